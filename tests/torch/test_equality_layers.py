"""Every layer against PyTorch, on sizes that hypothesis draws: see `test_equality`."""

import numpy as np
import pytest
import torch
import torch.nn.functional as TF
from hypothesis import assume, given
from hypothesis import strategies as st
from test_equality import SEEDS, SHAPES, classification, close, equal, normal

from dlcourse import Tensor, nn, optim
from dlcourse import functional as F


def layers(kind, dtype, *arguments, **options):
    """One of our layers and PyTorch's of the same name, with the same weights."""
    ours = getattr(nn, kind)(*arguments, **options)
    theirs = getattr(torch.nn, kind)(*arguments, **options)
    ours, theirs = (ours.double(), theirs.double()) if dtype == np.float64 else (ours, theirs)
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in ours.state_dict().items()})
    return ours, theirs


def fill(ours, theirs, rng):
    """Give both the same random weights."""
    for (_, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        p.data[...] = rng.normal(size=p.shape)
        q.data[...] = torch.from_numpy(p.data)


def compare(ours, theirs, x):
    """Outputs and all gradients of two layers."""
    ours.zero_grad()
    theirs.zero_grad()
    mine, other = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    out, expected = ours(mine), theirs(other)
    dtype = x.dtype.type
    close(out.data, expected, dtype, "output")
    direction = np.random.default_rng(0).normal(size=out.shape).astype(dtype)
    out.backward(direction)
    expected.backward(torch.from_numpy(direction))
    close(mine.grad, other.grad, dtype, "gradient of x")
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        close(p.grad, q.grad, dtype, f"gradient of {name}")


@st.composite
def convolution(draw, transposed=False):
    """Shapes of x and weight, whether there is a bias, and the options."""
    groups = draw(st.integers(1, 3))
    n, c, o = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 4)) for _ in range(2))
    options = {
        "stride": tuple(draw(st.integers(1, 3)) for _ in range(2)),
        "dilation": tuple(draw(st.integers(1, 3)) for _ in range(2)),
        "padding": tuple(draw(st.integers(0, 4)) for _ in range(2)),
        "groups": groups,
    }
    size = tuple(draw(st.integers(1, 9)) for _ in range(2))
    if transposed:
        most = [max(s, d) for s, d in zip(options["stride"], options["dilation"], strict=True)]
        extra = tuple(draw(st.integers(0, m - 1)) for m in most)
        options["output_padding"] = extra
        for i in range(2):
            s, d, p = (options[k][i] for k in ("stride", "dilation", "padding"))
            assume((size[i] - 1) * s - 2 * p + d * (kernel[i] - 1) + extra[i] + 1 > 0)
        weight = (c * groups, o, *kernel)
    else:
        for i in range(2):
            reach = options["dilation"][i] * (kernel[i] - 1) + 1
            assume(size[i] + 2 * options["padding"][i] >= reach)
        weight = (o * groups, c, *kernel)
    shapes = [(n, c * groups, *size), weight] + [(o * groups,)] * draw(st.booleans())
    x, *parameters = (normal(draw(SEEDS), *shape) for shape in shapes)
    return [x[0] if draw(st.booleans()) else x, *parameters], options  # or a single image


@given(case=convolution())
def test_conv2d(case):
    arrays, options = case
    equal(lambda *a: F.conv2d(*a, **options), lambda *a: TF.conv2d(*a, **options), *arrays)


@given(case=convolution(transposed=True))
def test_conv_transpose2d(case):
    arrays, options = case
    equal(
        lambda *a: F.conv_transpose2d(*a, **options),
        lambda *a: TF.conv_transpose2d(*a, **options),
        *arrays,
    )


@given(case=convolution())
def test_conv1d(case):
    (x, w, *b), options = case
    options = {k: v if k == "groups" else v[1] for k, v in options.items()}
    arrays = x[..., 0, :], w[:, :, 0], *b
    equal(lambda *a: F.conv1d(*a, **options), lambda *a: TF.conv1d(*a, **options), *arrays)


@given(case=convolution())
@pytest.mark.filterwarnings("ignore:Using padding='same' with even")
def test_same_padding(case):
    arrays, options = case
    options.update(stride=1, padding="same")
    equal(lambda *a: F.conv2d(*a, **options), lambda *a: TF.conv2d(*a, **options), *arrays)
    (x, w, *b), dilation = arrays, options["dilation"][1]
    options.update(dilation=dilation)
    arrays = x[..., 0, :], w[:, :, 0], *b
    equal(lambda *a: F.conv1d(*a, **options), lambda *a: TF.conv1d(*a, **options), *arrays)


@given(data=st.data(), ties=st.booleans(), seed=SEEDS)
def test_pooling(data, ties, seed):
    kernel = tuple(data.draw(st.integers(1, 4)) for _ in range(2))
    stride = data.draw(st.none() | st.tuples(*[st.integers(1, 4)] * 2))
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    dilation = tuple(data.draw(st.integers(1, 3)) for _ in range(2))
    size = [
        data.draw(st.integers(d * (k - 1) + 1, 12)) for k, d in zip(kernel, dilation, strict=True)
    ]
    x = normal(seed, data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3)), *size)
    x = x[0] if data.draw(st.booleans()) else x
    if ties:
        x = x.round()
    up = data.draw(st.booleans())
    equal(
        lambda x: F.max_pool2d(x, kernel, stride, padding, dilation, up),
        lambda x: TF.max_pool2d(x, kernel, stride, padding, dilation, up),
        x,
    )
    for counted in (True, False):
        equal(
            lambda x, c=counted: F.avg_pool2d(x, kernel, stride, padding, up, c),
            lambda x, c=counted: TF.avg_pool2d(x, kernel, stride, padding, up, c),
            x,
        )
    out = tuple(data.draw(st.none() | st.integers(1, 9)) for _ in range(2))
    equal(lambda x: F.adaptive_avg_pool2d(x, out), lambda x: TF.adaptive_avg_pool2d(x, out), x)


@given(
    axes=st.integers(0, 2),
    training=st.booleans(),
    momentum=st.sampled_from([0.1, 0.7, None]),
    affine=st.booleans(),
    seed=SEEDS,
)
def test_batch_norm(axes, training, momentum, affine, seed):
    rng = np.random.default_rng(seed)
    n, c, *more = map(int, rng.integers(4, 7, 2 + axes))  # of two, all gradients cancel
    kind = "BatchNorm2d" if axes == 2 else "BatchNorm1d"
    for dtype in (np.float64, np.float32):
        ours, theirs = layers(kind, dtype, c, momentum=momentum, affine=affine)
        if affine:
            fill(ours, theirs, rng)
        for _ in range(3):
            compare(ours, theirs, rng.normal(2, 3, (n, c, *more)).astype(dtype))
            state = theirs.state_dict()
            assert list(state) == list(ours.state_dict())
            for name, value in ours.state_dict().items():
                if value.dtype == dtype:
                    close(value, state[name], dtype, name)
                else:
                    assert value.dtype == np.int64
                    assert value == state[name].item()
            ours.train(training)
            theirs.train(training)


@given(data=st.data(), affine=st.booleans(), seed=SEEDS)
def test_other_norms(data, affine, seed):
    rng = np.random.default_rng(seed)
    shape = tuple(data.draw(st.lists(st.integers(3, 5), min_size=2, max_size=4)))
    rows = shape[-data.draw(st.integers(1, len(shape))) :]
    groups = data.draw(st.integers(1, 3))
    channels = groups * data.draw(st.integers(3, 4))
    for dtype in (np.float64, np.float32):
        x = rng.normal(1, 2, shape).astype(dtype)
        # ε is large and no row shorter than 3: else gradients cancel, and only rounding is left
        for kind in ("LayerNorm", "RMSNorm"):
            ours, theirs = layers(kind, dtype, rows, 0.1, affine)
            if affine:
                fill(ours, theirs, rng)
            compare(ours, theirs, x)
        ours, theirs = layers("RMSNorm", dtype, rows)
        compare(ours, theirs, x + np.sign(x))
        ours, theirs = layers("GroupNorm", dtype, groups, channels, 0.1, affine)
        if affine:
            fill(ours, theirs, rng)
        images = rng.normal(size=(shape[0], channels, *shape[2:]))
        compare(ours, theirs, images.astype(dtype))


ACTIVATIONS = {
    "leaky_relu": (lambda F, x, a: F.leaky_relu(x, a)),
    "elu": (lambda F, x, a: F.elu(x, a)),
    "silu": (lambda F, x, a: F.silu(x)),
    "gelu": (lambda F, x, a: F.gelu(x)),
    "gelu tanh": (lambda F, x, a: F.gelu(x, approximate="tanh")),
    "softplus": (lambda F, x, a: F.softplus(x, a + 0.1, 5 * a)),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(shape=SHAPES, scale=st.sampled_from([1e-3, 1, 30]), a=st.floats(0, 2), seed=SEEDS)
def test_activations(name, shape, scale, a, seed):
    x = normal(seed, *shape) * scale
    x.flat[0] = 0
    # at the jump of softplus, rounding decides on which side an element lies
    assume(name != "softplus" or np.abs(x * (a + 0.1) - 5 * a).min() > 1e-3)
    equal(lambda x: ACTIVATIONS[name](F, x, a), lambda x: ACTIVATIONS[name](TF, x, a), x)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@given(shape=SHAPES, reduction=st.sampled_from(["mean", "sum", "none"]), seed=SEEDS)
def test_losses(shape, reduction, seed):
    x, t = normal(seed, *shape), normal(seed + 1, *shape)
    p = np.random.default_rng(seed).uniform(0.01, 1, shape)
    delta = 0.1 + seed % 20 / 10
    pairs = [
        (F.l1_loss, TF.l1_loss, {}, t),
        (F.huber_loss, TF.huber_loss, {"delta": delta}, t),
        (F.kl_div, TF.kl_div, {}, p),
        (F.kl_div, TF.kl_div, {"log_target": True}, t),
    ]
    for ours, theirs, options, target in pairs:
        options["reduction"] = reduction
        equal(
            lambda x, t, f=ours, o=options: f(x, t, **o),
            lambda x, t, f=theirs, o=options: f(x, t, **o),
            x,
            target,
        )
    equal(
        lambda x, t: F.kl_div(x, t, "batchmean"),
        lambda x, t: TF.kl_div(x, t, reduction="batchmean"),
        x,
        p,
    )


@given(case=classification())
def test_nll_loss(case):
    z, labels, _, weight, options = case
    del options["label_smoothing"]
    assume((labels != options.get("ignore_index")).any())

    def theirs(x):
        w = None if weight is None else torch.tensor(weight, dtype=x.dtype)
        return TF.nll_loss(x, torch.tensor(labels), w, **options)

    equal(lambda x: F.nll_loss(x, labels, weight, **options), theirs, z)


@given(
    v=st.sampled_from([1, 5, 128, 129, 300]),
    shape=SHAPES,
    padding=st.none() | st.just(-1) | st.just(0),
    seed=SEEDS,
)
def test_embedding(v, shape, padding, seed):
    symbols = np.random.default_rng(seed).integers(0, v, shape)
    equal(
        lambda w: F.embedding(symbols, w, padding),
        lambda w: TF.embedding(torch.tensor(symbols), w, padding),
        normal(seed, v, 3),
    )


CNN = (
    lambda nn, **rng: nn.Conv2d(1, 4, 3, padding=1, **rng),
    lambda nn, **_: nn.BatchNorm2d(4),
    lambda nn, **_: nn.GELU(),
    lambda nn, **_: nn.MaxPool2d(2),
    lambda nn, **rng: nn.Conv2d(4, 6, 3, 2, 1, **rng),
    lambda nn, **_: nn.GroupNorm(2, 6),
    lambda nn, **_: nn.LeakyReLU(0.1),
    lambda nn, **rng: nn.ConvTranspose2d(6, 5, 2, 2, **rng),
    lambda nn, **_: nn.SiLU(),
    lambda nn, **_: nn.AdaptiveAvgPool2d(2),
    lambda nn, **_: nn.Flatten(),
    lambda nn, **_: nn.LayerNorm(20),
    lambda nn, **rng: nn.Linear(20, 3, **rng),
)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-3)])
def test_100_steps_of_a_convolutional_network(dtype, tolerance):
    rng = np.random.default_rng(0)
    ours = nn.Sequential(*(layer(nn, rng=rng) for layer in CNN))
    theirs = torch.nn.Sequential(*(layer(torch.nn) for layer in CNN))
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in ours.state_dict().items()})
    if dtype == np.float64:
        ours.double()
        theirs.double()
    a = optim.Adam(ours.parameters(), lr=0.01)
    b = torch.optim.Adam(theirs.parameters(), lr=0.01)
    for _ in range(100):
        x, y = rng.normal(size=(16, 1, 8, 8)).astype(dtype), rng.integers(0, 3, 16)
        a.zero_grad()
        loss = F.cross_entropy(ours(x), y)
        loss.backward()
        a.step()
        b.zero_grad()
        expected = TF.cross_entropy(theirs(torch.from_numpy(x)), torch.from_numpy(y))
        expected.backward()
        b.step()
        assert abs(loss.item() - expected.item()) <= tolerance
    back = {k: v.numpy() for k, v in theirs.state_dict().items()}
    assert list(back) == list(ours.state_dict())
    ours.load_state_dict(back)
    out, expected = ours.eval()(x), theirs.eval()(torch.from_numpy(x))
    np.testing.assert_allclose(out.data, expected.detach().numpy(), rtol=tolerance, atol=tolerance)
