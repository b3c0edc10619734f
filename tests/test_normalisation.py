"""Normalisation: against the formula, gradients, running statistics, modes, saving."""

import numpy as np
import pytest

from dlcourse import Tensor, nn, no_grad
from dlcourse import functional as F
from dlcourse.gradcheck import gradcheck
from dlcourse.optim import SGD

RNG = np.random.default_rng(0)
EPS = 1e-5


def leaf(*shape):
    return Tensor(RNG.normal(size=shape), requires_grad=True)


def formula(x, axes, eps=EPS):
    return (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(x.var(axis=axes, keepdims=True) + eps)


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2), (2, 3, 4, 2), (2, 3, 2, 2, 1)], ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(shape, training):
    x, w, b = leaf(*shape), leaf(3), leaf(3)
    mean, var = RNG.normal(size=3), RNG.uniform(0.5, 2, 3)
    others, ones = (0, *range(2, len(shape))), (3, *(1,) * (len(shape) - 2))

    def f(x, *affine):
        return F.batch_norm(x, Tensor(mean.copy()), Tensor(var.copy()), *affine, training=training)

    normal = formula(x.data, others)
    if not training:
        normal = (x.data - mean.reshape(ones)) / np.sqrt(var.reshape(ones) + EPS)
    expected = w.data.reshape(ones) * normal + b.data.reshape(ones)
    np.testing.assert_allclose(f(x, w, b).data, expected, rtol=1e-10)
    np.testing.assert_allclose(f(x).data, normal, rtol=1e-10)
    assert gradcheck(f, (x, w, b))
    assert gradcheck(f, (x, w))
    assert gradcheck(f, x)
    assert gradcheck(f, (x.detach(), w.detach(), b))
    assert gradcheck(lambda x, b: f(x, None, b), (x, b))


def test_the_running_statistics_follow_the_batches():
    layer = nn.BatchNorm2d(3, momentum=0.3).double()
    mean, var = np.zeros(3), np.ones(3)
    for _ in range(4):
        x = RNG.normal(2, 3, size=(5, 3, 2, 4))
        layer(x)
        mean = 0.7 * mean + 0.3 * x.mean(axis=(0, 2, 3))
        var = 0.7 * var + 0.3 * x.var(axis=(0, 2, 3), ddof=1)
    np.testing.assert_allclose(layer.running_mean.data, mean)
    np.testing.assert_allclose(layer.running_var.data, var)
    assert layer.num_batches_tracked.item() == 4
    before = layer.state_dict()
    with no_grad():
        out = layer.eval()(x)
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    ones = (3, 1, 1)
    np.testing.assert_allclose(
        out.data, (x - mean.reshape(ones)) / np.sqrt(var.reshape(ones) + EPS), rtol=1e-10
    )


def test_without_momentum_the_running_statistics_are_means_and_may_be_left_out():
    layer = nn.BatchNorm1d(2, momentum=None).double()
    xs = RNG.normal(size=(3, 5, 2))
    for x in xs:
        layer(x)
    np.testing.assert_allclose(layer.running_mean.data, xs.mean(axis=(0, 1)))
    np.testing.assert_allclose(layer.running_var.data, xs.var(axis=1, ddof=1).mean(axis=0))
    none = nn.BatchNorm1d(2, affine=False, track_running_stats=False).double()
    assert none.state_dict() == {}
    np.testing.assert_allclose(none.eval()(xs[0]).data, formula(xs[0], 0))


def test_buffers_are_saved_but_not_learned():
    model = nn.Sequential(nn.Linear(4, 3, rng=0), nn.BatchNorm1d(3))
    names = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert list(model.state_dict()) == ["0.weight", "0.bias", *(f"1.{name}" for name in names)]
    assert [name for name, _ in model.named_parameters()] == [
        "0.weight",
        "0.bias",
        "1.weight",
        "1.bias",
    ]
    x = RNG.normal(size=(6, 4)).astype(np.float32)
    optimizer = SGD(model.parameters(), lr=0.1)
    model(x).sum().backward()
    optimizer.step()
    state = model.state_dict()
    assert state["1.num_batches_tracked"] == 1
    assert state["1.num_batches_tracked"].dtype == np.int64
    other = nn.Sequential(nn.Linear(4, 3, rng=1), nn.BatchNorm1d(3))
    other.load_state_dict(state)
    np.testing.assert_array_equal(other.eval()(x).data, model.eval()(x).data)
    model.train()(x)  # the copy stays as it was
    assert state["1.num_batches_tracked"] == other.state_dict()["1.num_batches_tracked"] == 1
    model.double()
    assert model[1].running_var.dtype == np.float64
    assert model[1].num_batches_tracked.dtype == np.int64
    with pytest.raises(ValueError, match=r"missing 1\.running_mean"):
        other.load_state_dict({k: v for k, v in state.items() if k != "1.running_mean"})


@pytest.mark.parametrize(
    ("shape", "rows"), [((4, 3), 3), ((2, 5, 3), (3,)), ((2, 4, 3), (4, 3)), ((3,), 3), ((0, 3), 3)]
)
def test_layer_norm_and_rms_norm(shape, rows):
    n = 1 if isinstance(rows, int) else len(rows)
    axes, x = tuple(range(-n, 0)), leaf(*shape)
    w, b = leaf(*shape[len(shape) - n :]), leaf(*shape[len(shape) - n :])
    np.testing.assert_allclose(
        F.layer_norm(x, rows, w, b).data, w.data * formula(x.data, axes) + b.data, rtol=1e-10
    )
    assert gradcheck(lambda x, w, b: F.layer_norm(x, rows, w, b), (x, w, b))
    assert gradcheck(lambda x, w: F.layer_norm(x, rows, w, eps=0.1), (x, w))
    assert gradcheck(lambda x: F.layer_norm(x, rows), x)
    assert gradcheck(lambda b: F.layer_norm(x.detach(), rows, w.detach(), b), b)
    assert gradcheck(lambda x, b: F.layer_norm(x, rows, None, b), (x, b))
    mean_square = (x.data**2).mean(axis=axes, keepdims=True)
    expected = x.data / np.sqrt(mean_square + np.finfo(float).eps)
    np.testing.assert_allclose(F.rms_norm(x, rows).data, expected, rtol=1e-10)
    np.testing.assert_allclose(F.rms_norm(x, rows, w).data, w.data * expected, rtol=1e-10)
    assert gradcheck(lambda x, w: F.rms_norm(x, rows, w, 0.1), (x, w))
    assert gradcheck(lambda x: F.rms_norm(x, rows), x)


@pytest.mark.parametrize("shape", [(2, 6), (3, 6, 2), (2, 6, 3, 2), (0, 6, 2, 2)], ids=str)
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_norm(shape, groups):
    x, w, b = leaf(*shape), leaf(6), leaf(6)
    ones = (6, *(1,) * (len(shape) - 2))
    cut = x.data.reshape(shape[0], groups, int(np.prod(shape[1:])) // groups)
    expected = w.data.reshape(ones) * formula(cut, 2).reshape(shape) + b.data.reshape(ones)
    np.testing.assert_allclose(F.group_norm(x, groups, w, b).data, expected, rtol=1e-8, atol=1e-8)
    assert gradcheck(lambda x, w, b: F.group_norm(x, groups, w, b, 0.1), (x, w, b))
    assert gradcheck(lambda x: F.group_norm(x, groups, eps=0.1), x)


LAYERS = {
    "LayerNorm": (nn.LayerNorm(5), ["weight", "bias"], (5,)),
    "LayerNorm without bias": (nn.LayerNorm((2, 5), bias=False), ["weight"], (2, 5)),
    "LayerNorm without weights": (nn.LayerNorm(5, elementwise_affine=False), [], None),
    "RMSNorm": (nn.RMSNorm(5), ["weight"], (5,)),
    "RMSNorm without weights": (nn.RMSNorm(5, elementwise_affine=False), [], None),
    "GroupNorm": (nn.GroupNorm(2, 4), ["weight", "bias"], (4,)),
    "GroupNorm without weights": (nn.GroupNorm(2, 4, affine=False), [], None),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    layer, names, shape = LAYERS[name]
    state = layer.state_dict()
    assert list(state) == names
    assert all(value.shape == shape for value in state.values())
    x = RNG.normal(3, 2, size=(3, 4, 2, 5)).astype(np.float32)
    out = layer(x)
    assert out.shape == x.shape
    assert out.dtype == np.float32
    if "RMS" not in name:
        np.testing.assert_allclose(out.data.mean(), 0, atol=1e-6)
    before = x.copy()
    np.testing.assert_array_equal(layer.eval()(x).data, out.data)
    np.testing.assert_array_equal(x, before)


def test_constant_rows_stay_finite_in_float32():
    x = Tensor(np.full((2, 4, 3, 3), 7, np.float32), requires_grad=True)
    for layer in (nn.BatchNorm2d(4), nn.LayerNorm(3), nn.GroupNorm(2, 4), nn.RMSNorm(3)):
        x.grad = None
        layer(x).sum().backward()
        assert np.isfinite(x.grad).all()


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (lambda: nn.BatchNorm2d(3)(np.ones((4, 3), "f")), r"BatchNorm2d\(3\).*\(N, 3, H, W\)"),
        (lambda: nn.BatchNorm1d(3)(np.ones((4, 2), "f")), r"\(N, 3\) or \(N, 3, L\)"),
        (lambda: nn.BatchNorm1d(3)(np.ones((1, 3), "f")), "no variance.*drop_last"),
        (lambda: nn.BatchNorm1d(3)(np.ones((4, 3))), "float64.*astype"),
        (lambda: nn.BatchNorm1d(0), "num_features=0"),
        (lambda: F.batch_norm(leaf(4, 2), None, None, leaf(3), training=True), "3 channels"),
        (lambda: F.batch_norm(leaf(4), None, None, training=True), r"\(N, C, ...\)"),
        (lambda: F.batch_norm(leaf(4, 2), None, None), "running_mean"),
        (lambda: nn.LayerNorm(5)(np.ones((5, 4), "f")), r"LayerNorm.*last axes must be \(5,\)"),
        (lambda: nn.RMSNorm((5, 4))(np.ones(4, "f")), r"RMSNorm.*last axes must be \(5, 4\)"),
        (lambda: nn.LayerNorm(4)(np.ones((5, 4))), "float64.*astype"),
        (lambda: nn.LayerNorm(0), "normalized_shape"),
        (lambda: F.layer_norm(leaf(2, 4), 4, leaf(5)), r"weights of shape \(5,\)"),
        (lambda: nn.GroupNorm(3, 4), "must divide"),
        (lambda: F.group_norm(leaf(2, 4), 3), "num_groups=3"),
        (lambda: nn.LayerNorm(4)(np.ones((5, 4), int)), "int64.*astype"),
    ],
)
def test_errors_name_the_mend(action, says):
    with pytest.raises(ValueError, match=says):
        action()


def test_weights_may_be_arrays():
    x, w = np.random.default_rng(0).normal(size=(4, 6, 2)), np.linspace(1, 2, 6)
    mean, var = np.zeros(6), np.ones(6)
    for call in (
        lambda w, b: F.batch_norm(x, mean, var, w, b, training=True),
        lambda w, b: F.group_norm(x, 2, w, b),
        lambda w, b: F.layer_norm(x.swapaxes(1, 2), 6, w, b),
        lambda w, b: F.rms_norm(x.swapaxes(1, 2), 6, w),
    ):
        assert (call(w, w).data == call(Tensor(w), Tensor(w)).data).all()
    assert np.abs(mean).max() > 0  # they move, in place
