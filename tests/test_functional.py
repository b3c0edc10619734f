"""Activations, the linear map and the losses: values, gradients, errors."""

import numpy as np
import pytest

from dlcourse import Tensor
from dlcourse import functional as F
from dlcourse.gradcheck import gradcheck

RNG = np.random.default_rng(0)
ACTIVATIONS = {
    "relu": (F.relu, lambda x: np.where(x > 0, x, 0)),
    "sigmoid": (F.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
    "tanh": (F.tanh, np.tanh),
    "softmax": (F.softmax, lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
    "log_softmax": (F.log_softmax, lambda x: x - np.log(np.exp(x).sum(-1, keepdims=True))),
    "softmax dim 0": (lambda x: F.softmax(x, 0), lambda x: np.exp(x) / np.exp(x).sum(0)),
    "log_softmax dim 1": (
        lambda x: F.log_softmax(x, dim=1),
        lambda x: x - np.log(np.exp(x).sum(1, keepdims=True)),
    ),
}


def leaf(*shape):
    return Tensor(RNG.normal(size=shape), requires_grad=True)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name):
    function, formula = ACTIVATIONS[name]
    x = leaf(2, 3, 4)
    np.testing.assert_allclose(function(x).data, formula(x.data), rtol=1e-12)
    assert gradcheck(function, x)
    assert function(x.data.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_of_huge_numbers(name):
    x = Tensor(np.array([[[-1e4, 0.0, 1e4]]], np.float32), requires_grad=True)
    with np.errstate(over="raise", invalid="raise"):
        out = ACTIVATIONS[name][0](x)
        out.sum().backward()
    assert np.isfinite(out.data).all()
    assert np.isfinite(x.grad).all()


@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 3), (0, 3)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_linear(shape, bias):
    x, w, b = leaf(*shape), leaf(4, 3), leaf(4) if bias else None
    expected = x.data @ w.data.T + (b.data if bias else 0)
    np.testing.assert_allclose(F.linear(x, w, b).data, expected)
    inputs = (x, w, b) if bias else (x, w)
    assert gradcheck(F.linear, inputs)
    for frozen in range(len(inputs)):  # any input may be a constant
        some = [t.detach() if i == frozen else t for i, t in enumerate(inputs)]
        assert gradcheck(F.linear, some)


def one_hot(labels, n):
    return np.eye(n)[labels]


def reference_cross_entropy(z, a, divisor):
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    return -(a * log_p).sum() / divisor


LABELS = np.array([0, 2, 1, 2])
W = np.array([0.5, 2.0, 1.0])


@pytest.mark.parametrize(
    ("target", "options", "a", "divisor"),
    [
        (LABELS, {}, one_hot(LABELS, 3), 4),
        (LABELS, {"reduction": "sum"}, one_hot(LABELS, 3), 1),
        (LABELS, {"weight": W}, one_hot(LABELS, 3) * W, W[LABELS].sum()),
        (LABELS, {"label_smoothing": 0.3}, one_hot(LABELS, 3) * 0.7 + 0.1, 4),
        (
            LABELS,
            {"label_smoothing": 0.3, "weight": W},
            one_hot(LABELS, 3) * 0.7 * W + 0.1 * W,
            W[LABELS].sum(),
        ),
        (
            LABELS,
            {"ignore_index": 2},
            one_hot(LABELS, 3) * (LABELS != 2)[:, None],
            2,
        ),
        (
            np.array([0, -100, 1, -100]),
            {"label_smoothing": 0.3},
            (one_hot([0, 0, 1, 0], 3) * 0.7 + 0.1) * np.array([1, 0, 1, 0])[:, None],
            2,
        ),
        (np.full((4, 3), 1 / 3), {}, np.full((4, 3), 1 / 3), 4),
        (
            np.full((4, 3), 1 / 3),
            {"weight": W, "label_smoothing": 0.5},
            np.full((4, 3), 1 / 3) * W,
            4,
        ),
    ],
)
def test_cross_entropy(target, options, a, divisor):
    z = leaf(4, 3)
    loss = F.cross_entropy(z, target, **options)
    np.testing.assert_allclose(loss.item(), reference_cross_entropy(z.data, a, divisor))
    assert gradcheck(lambda z: F.cross_entropy(z, target, **options), z)


def test_cross_entropy_of_more_axes_of_one_example_and_unreduced():
    z = leaf(2, 3, 4)
    labels = RNG.integers(0, 3, (2, 4))
    flat = F.cross_entropy(z.data.transpose(0, 2, 1).reshape(8, 3), labels.reshape(8))
    assert F.cross_entropy(z, labels).item() == pytest.approx(flat.item())
    none = F.cross_entropy(z, labels, reduction="none")
    assert none.shape == (2, 4)
    assert none.data.mean() == pytest.approx(flat.item())
    assert gradcheck(lambda z: F.cross_entropy(z, labels, reduction="none"), z)
    assert gradcheck(lambda z: F.cross_entropy(z, labels), z)
    one = leaf(3)
    assert F.cross_entropy(one, np.array(1)).shape == ()
    assert gradcheck(lambda z: F.cross_entropy(z, np.array(1)), one)


def test_cross_entropy_of_small_label_types_and_excluded_classes():
    z = leaf(4, 3)
    for dtype in (np.uint8, np.int8, np.int32):
        assert F.cross_entropy(z, LABELS.astype(dtype)).item() == pytest.approx(
            F.cross_entropy(z, LABELS).item()
        )
    masked = Tensor(np.array([[0.0, 0.0, -np.inf]]))
    assert F.cross_entropy(masked, [1]).item() == pytest.approx(np.log(2))
    assert F.cross_entropy(masked, [2]).item() == np.inf


def test_cross_entropy_of_certain_answers_is_finite_in_float32():
    z = Tensor(np.array([[1e4, -1e4]], np.float32), requires_grad=True)
    loss = F.cross_entropy(z, [1])
    loss.backward()
    assert loss.item() == pytest.approx(2e4)
    np.testing.assert_allclose(z.grad, [[1, -1]])
    assert loss.dtype == z.grad.dtype == np.float32


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_mse(reduction):
    x, t = leaf(4, 2), leaf(4, 2)
    squared = (x.data - t.data) ** 2
    expected = {"mean": squared.mean(), "sum": squared.sum(), "none": squared}[reduction]
    np.testing.assert_allclose(F.mse_loss(x, t, reduction).data, expected)
    assert gradcheck(lambda x, t: F.mse_loss(x, t, reduction), (x, t))
    assert gradcheck(lambda x: F.mse_loss(x, t.data, reduction), x)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [True, False])
def test_binary_cross_entropies(reduction, weighted):
    z, t = leaf(4, 2), RNG.uniform(size=(4, 2))
    weight = RNG.uniform(1, 2, 2) if weighted else None
    pos = np.array([3.0, 0.5]) if weighted else None
    p = 1 / (1 + np.exp(-z.data))
    w, q = (1, 1) if weight is None else (weight, pos)

    def reduced(a):
        return {"mean": a.mean(), "sum": a.sum(), "none": a}[reduction]

    def logits(z):
        return F.binary_cross_entropy_with_logits(z, t, weight, reduction, pos)

    def probabilities(p):
        return F.binary_cross_entropy(p, t, weight, reduction)

    expected = reduced(-w * (q * t * np.log(p) + (1 - t) * np.log(1 - p)))
    np.testing.assert_allclose(logits(z).data, expected)
    assert gradcheck(logits, z)
    expected = reduced(-w * (t * np.log(p) + (1 - t) * np.log(1 - p)))
    np.testing.assert_allclose(probabilities(p).data, expected)
    assert gradcheck(probabilities, Tensor(p, requires_grad=True))


def test_binary_cross_entropies_at_the_extremes():
    z = Tensor(np.array([-1e4, 1e4], np.float32), requires_grad=True)
    with np.errstate(over="raise", invalid="raise"):
        loss = F.binary_cross_entropy_with_logits(z, [1.0, 0.0], reduction="sum")
        loss.backward()
    assert loss.item() == 2e4
    np.testing.assert_array_equal(z.grad, [-1, 1])
    assert F.binary_cross_entropy([0.0, 1.0], [1.0, 0.0]).item() == 100


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (lambda: F.linear(np.ones((2, 3)), leaf(4, 3), leaf(3)), r"needs \(4,\) and float64"),
        (lambda: F.linear(np.ones((2, 3)), leaf(4, 3), np.ones(4, np.float32)), "float32: it need"),
        (lambda: F.cross_entropy(leaf(2, 3), ["cat", "dog"]), "np.unique"),
        (lambda: F.cross_entropy(leaf(2, 3), np.array([0, None])), "class numbers"),
        (lambda: F.softmax(leaf(2, 3), dim=4), "axis 4"),
        (lambda: F.log_softmax(np.arange(3)), "floating-point"),
        (lambda: F.linear(np.ones((64, 28, 28)), leaf(10, 784)), r"x.reshape\(64, -1\)"),
        (lambda: F.linear(np.ones((64, 5)), leaf(10, 784)), "last axis must be 784"),
        (lambda: F.linear(np.ones(5), leaf(10, 1)), r"reshape\(-1, 1\)"),
        (lambda: F.linear(np.ones((2, 3), np.float32), leaf(4, 3)), "astype"),
        (lambda: F.linear(np.arange(6).reshape(2, 3), leaf(4, 3)), "int64"),
        (lambda: F.mse_loss(leaf(4, 1), np.ones(4)), r"y.reshape\(4, 1\)"),
        (lambda: F.mse_loss(leaf(4), np.ones(3)), "must be equal"),
        (lambda: F.mse_loss(leaf(4), np.ones(4), "avg"), "'mean', 'sum' or 'none'"),
        (lambda: F.mse_loss(leaf(0, 2), np.ones((0, 2))), "empty batch"),
        (lambda: F.cross_entropy(leaf(0, 3), np.ones(0, int)), "empty batch"),
        (lambda: F.cross_entropy(leaf(4, 3), [0, 1, 3, 2]), "label 3 at position .2.*0 to 2"),
        (lambda: F.cross_entropy(leaf(4, 3), [0, -1, 1, 2]), "label -1"),
        (lambda: F.cross_entropy(leaf(4, 3), [0, 1]), "one label per example"),
        (lambda: F.cross_entropy(leaf(4, 3), np.ones((4, 1), int)), r"y.reshape\(4\)"),
        (lambda: F.cross_entropy(leaf(4, 3), np.ones((4, 3), int)), "argmax"),
        (lambda: F.cross_entropy(leaf(4, 3), np.ones(4)), "integers"),
        (lambda: F.cross_entropy(leaf(4, 3), LABELS, weight=[1.0]), r"needs \(3,\)"),
        (lambda: F.cross_entropy(np.ones((4, 3), int), LABELS), "floating-point"),
        (lambda: F.binary_cross_entropy([1.5], [1.0]), "with_logits"),
        (lambda: F.binary_cross_entropy_with_logits([1.5], [2.0]), "between 0 and 1"),
        (lambda: F.binary_cross_entropy_with_logits(leaf(4, 1), np.ones(4)), "reshape"),
    ],
)
def test_errors_name_the_mend(action, says):
    with pytest.raises(ValueError, match=says):
        action()


@pytest.mark.parametrize(
    ("pad", "value"),
    [
        ((1, 2), 0.0),
        ((0, 1, 2, 0), -1.5),
        ((-1, 1), 0.0),
        ((1, -2, -1, 0, 1, 1), 2.0),
        ((), 0.0),
        ((1, 0), None),
    ],
    ids=str,
)
def test_pad(pad, value):
    x = leaf(2, 3, 4)
    out = F.pad(x, pad, value=value)
    widths = np.zeros((3, 2), int)
    widths[3 - len(pad) // 2 :] = np.reshape(pad, (-1, 2))[::-1]
    assert out.shape == tuple(np.array(x.shape) + widths.sum(1))
    for at in np.ndindex(out.shape):
        source = np.array(at) - widths[:, 0]
        inside = ((source >= 0) & (source < x.shape)).all()
        assert out.data[at] == (x.data[tuple(source)] if inside else value or 0)
    assert gradcheck(lambda x: F.pad(x, pad, value=value), x)


@pytest.mark.parametrize(
    ("pad", "options", "says"),
    [
        ((1,), {}, "pair"),
        (1, {}, "got 1: it needs a pair"),
        ((1, 1) * 3, {}, "at most 2 pairs"),
        ((-2, -2), {}, "cuts off too much"),
        ((5, -6), {}, "cuts off too much"),
        ((1, 1), {"mode": "reflect"}, "only 'constant'"),
    ],
)
def test_pad_refuses(pad, options, says):
    with pytest.raises(ValueError, match=says):
        F.pad(leaf(2, 3), pad, **options)


def test_sigmoid_keeps_its_digits_near_0():
    x = np.array([-80, -20, -1, 0, 20, 1e4, -1e4], np.float32)
    with np.errstate(all="raise", under="ignore"):
        out = F.sigmoid(x).data
    np.testing.assert_allclose(np.log(out[:2]), x[:2], rtol=1e-6)
    np.testing.assert_allclose(out[2:], [1 / (1 + np.e), 0.5, 1, 1, 0], rtol=1e-6)


def test_what_holds_nothing_and_what_has_no_axes():
    assert F.softmax(leaf(2, 0)).shape == (2, 0)
    assert leaf(2, 0).logsumexp(1).data.tolist() == [-np.inf] * 2
    for function in (F.gelu, lambda x: F.gelu(x, "tanh"), F.silu, F.sigmoid, F.tanh, F.softplus):
        assert gradcheck(function, Tensor(np.float64(0.7), requires_grad=True))
    assert F.linear(np.ones((2, 3)), np.ones((4, 3)), np.ones(4)).data.tolist() == [[4.0] * 4] * 2
    loss = F.huber_loss(np.ones(3, np.float32), np.zeros(3, np.float32), delta=np.float64(0.5))
    assert loss.dtype == np.float32


def test_when_every_label_is_ignored_nothing_is_learned():
    z = leaf(2, 3)
    with np.errstate(all="raise"):
        loss = F.cross_entropy(z, [-100, -100])
    loss.backward()
    assert np.isnan(loss.item())
    np.testing.assert_array_equal(z.grad, 0)
