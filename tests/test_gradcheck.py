"""The check itself: it must notice wrong gradients."""

import numpy as np
import pytest

from dlcourse import Tensor
from dlcourse.gradcheck import gradcheck, numeric_gradient
from dlcourse.tensor import record


def leaf(*shape):
    return Tensor(np.random.default_rng(0).normal(size=shape), requires_grad=True)


def test_numeric_gradient_of_a_known_function():
    x = np.array([[1.0, -2.0], [0.5, 3.0]])
    kept = x.copy()
    np.testing.assert_allclose(numeric_gradient(lambda x: (x**3).sum(), x), 3 * x**2, rtol=1e-8)
    np.testing.assert_array_equal(x, kept)
    assert numeric_gradient(lambda x: x**2, 3).shape == ()


def test_a_wrong_element_is_named():
    def wrong(x):
        def backward(g):
            slope = 2 * x.data
            slope[1, 2] += 0.01
            return (g * slope,)

        return record(x.data**2, (x,), backward)

    with pytest.raises(
        AssertionError, match=r"input 0 is wrong in 1 of 6 elements; most at \(1, 2\)"
    ):
        gradcheck(wrong, leaf(2, 3))
    assert not gradcheck(wrong, leaf(2, 3), raise_exception=False)


@pytest.mark.parametrize("bad", [lambda g: (g * 0,), lambda g: (g * np.nan,), lambda g: (None,)])
def test_missing_and_nan_gradients_are_noticed(bad):
    assert not gradcheck(lambda x: record(x.data * 2, (x,), bad), leaf(3), raise_exception=False)


def test_an_error_that_vanishes_in_the_plain_sum_is_noticed():
    def constant_sum(
        x,
    ):  # softmax adds up to 1, so the slope of its sum is 0 whatever backward says
        p = np.exp(x.data) / np.exp(x.data).sum()
        return record(p, (x,), lambda g: (g * 0,))

    assert not gradcheck(constant_sum, leaf(3), raise_exception=False)


def test_the_second_input_is_checked_too_and_the_inputs_stay():
    a, b = leaf(2), leaf(2)
    kept = a.data.copy()
    with pytest.raises(AssertionError, match="input 1"):
        gradcheck(lambda a, b: record(a.data * b.data, (a, b), lambda g: (g * b.data, g)), (a, b))
    assert a.grad is None
    np.testing.assert_array_equal(a.data, kept)


def test_what_cannot_be_checked_is_refused():
    with pytest.raises(ValueError, match="nothing to check"):
        gradcheck(lambda x: x * 2, Tensor(np.ones(2)))
    with pytest.raises(ValueError, match="float64"):
        gradcheck(lambda x: x * 2, Tensor([1.0], requires_grad=True))
    with pytest.raises(ValueError, match="got tuple from func"):
        gradcheck(lambda x: (x, x), leaf(2))
    with pytest.raises(ValueError, match=r"shape \(2,\) from f: it must return one number"):
        numeric_gradient(lambda x: x**2, [1.0, 2.0])


@pytest.mark.parametrize("f", [lambda x: x.sum(keepdims=True), lambda x: Tensor(x).sum(), max])
def test_one_number_may_come_in_any_form(f):
    np.testing.assert_allclose(numeric_gradient(f, [1.0, 2.0])[1], 1)
