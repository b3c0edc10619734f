"""The further activations: values, slopes, far out, errors. The first five: test_functional."""

import math

import numpy as np
import pytest

from dlcourse import Tensor, nn
from dlcourse import functional as F
from dlcourse.functional.activations import erf_array
from dlcourse.gradcheck import gradcheck

RNG = np.random.default_rng(0)


def each(function):
    return lambda x: np.vectorize(function, otypes=[float])(x)


ACTIVATIONS = {
    "leaky_relu": (F.leaky_relu, each(lambda x: x if x > 0 else 0.01 * x)),
    "leaky_relu 2": (lambda x: F.leaky_relu(x, 2.0), each(lambda x: x if x > 0 else 2 * x)),
    "elu": (F.elu, each(lambda x: x if x > 0 else math.exp(x) - 1)),
    "elu 0.3": (lambda x: F.elu(x, 0.3), each(lambda x: x if x > 0 else 0.3 * (math.exp(x) - 1))),
    "silu": (F.silu, each(lambda x: x / (1 + math.exp(-x)))),
    "softplus": (F.softplus, each(lambda x: math.log1p(math.exp(x)))),
    "softplus 2, 1": (
        lambda x: F.softplus(x, 2.0, 1.0),
        each(lambda x: x if 2 * x > 1 else math.log1p(math.exp(2 * x)) / 2),
    ),
    "gelu": (F.gelu, each(lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2)),
    "gelu tanh": (
        lambda x: F.gelu(x, "tanh"),
        each(
            lambda x: x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
        ),
    ),
}


def test_the_slope_of_elu_keeps_its_digits():
    x = Tensor(np.array([-30, -10], np.float32), requires_grad=True)
    F.elu(x).sum().backward()
    np.testing.assert_allclose(x.grad, np.exp(x.data), rtol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name):
    function, formula = ACTIVATIONS[name]
    x = Tensor(RNG.normal(size=(2, 3, 4)) * 2, requires_grad=True)
    before = x.data.copy()
    np.testing.assert_allclose(function(x).data, formula(x.data), rtol=1e-12)
    assert gradcheck(function, x)
    assert gradcheck(function, Tensor(np.zeros((0, 3)), requires_grad=True))
    turned = x.data.transpose(2, 0, 1)  # in another order in memory
    np.testing.assert_allclose(function(turned).data, formula(turned), rtol=1e-12)
    small = Tensor(x.data.astype(np.float32), requires_grad=True)
    out = function(small)
    out.sum().backward()
    assert out.dtype == small.grad.dtype == np.float32
    np.testing.assert_allclose(out.data, formula(x.data), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(x.data, before)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_of_huge_numbers(name):
    x = Tensor(np.array([-1e4, -30, 0.0, 30, 1e4], np.float32), requires_grad=True)
    with np.errstate(over="raise", invalid="raise"):
        out = ACTIVATIONS[name][0](x)
        out.sum().backward()
    assert np.isfinite(out.data).all()
    np.testing.assert_allclose(x.grad[3:], 1, rtol=1e-6)
    assert out.data[4] == 1e4


def test_slopes_at_zero_are_pytorchs():
    for function, slope in ((F.leaky_relu, 0.01), (lambda x: F.elu(x, 0.3), 0.3)):
        x = Tensor(np.zeros(1), requires_grad=True)
        function(x).backward()
        assert x.grad == slope


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softplus_to_the_last_digits(dtype):
    x = np.linspace(-80, 15, 1000).astype(dtype)
    exact = [math.log1p(math.exp(v)) for v in x.tolist()]
    np.testing.assert_allclose(F.softplus(x).data, exact, rtol=4 * np.finfo(dtype).eps)


def test_erf_to_the_last_digits():
    x = np.concatenate([np.linspace(-7, 7, 10_001), 10.0 ** np.arange(-300, 1), [np.inf, -np.inf]])
    expected = np.array([math.erf(v) for v in x])
    np.testing.assert_allclose(erf_array(x), expected, rtol=3e-15)
    np.testing.assert_allclose(erf_array(x.astype(np.float32)), expected, rtol=3e-6, atol=1e-7)
    assert np.isnan(erf_array(np.array([np.nan])))


def test_gelu_of_more_elements_than_one_piece():
    x = Tensor(RNG.normal(size=(70, 1000)), requires_grad=True)
    for how in ("none", "tanh"):
        x.grad = None
        out = F.gelu(x, how)
        out.sum().backward()
        part = Tensor(x.data[66:, 500:], requires_grad=True)
        expected = F.gelu(part, how)
        expected.sum().backward()
        np.testing.assert_array_equal(out.data[66:, 500:], expected.data)
        np.testing.assert_array_equal(x.grad[66:, 500:], part.grad)


def test_layers_are_their_functions():
    x = RNG.normal(size=(4, 3)).astype(np.float32)
    pairs = [
        (nn.LeakyReLU(0.2)(x), F.leaky_relu(x, 0.2)),
        (nn.ELU(0.5)(x), F.elu(x, 0.5)),
        (nn.SiLU()(x), F.silu(x)),
        (nn.Softplus(2, 1)(x), F.softplus(x, 2, 1)),
        (nn.GELU()(x), F.gelu(x)),
        (nn.GELU("tanh")(x), F.gelu(x, "tanh")),
        (nn.LogSoftmax(0)(x), F.log_softmax(x, 0)),
    ]
    for layer, function in pairs:
        np.testing.assert_array_equal(layer.data, function.data)


def test_errors_name_the_mend():
    for function in (F.leaky_relu, F.elu, F.silu, F.softplus, F.gelu):
        with pytest.raises(ValueError, match=r"int64.*astype"):
            function(np.arange(3))
    with pytest.raises(ValueError, match="'none' or 'tanh'"):
        F.gelu(np.ones(3), "sigmoid")
