"""Every layer against PyTorch, on sizes that hypothesis draws: see `test_equality`."""

import numpy as np
import pytest
import torch
import torch.nn.functional as TF
from hypothesis import assume, given
from hypothesis import strategies as st
from test_equality import SEEDS, close, equal, normal

from dlcourse import Tensor, nn
from dlcourse import functional as F

torch.set_num_threads(1)  # two wait for each other where something else runs


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
    return [normal(draw(SEEDS), *shape) for shape in shapes], options


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
    arrays = x[:, :, 0], w[:, :, 0], *b
    equal(lambda *a: F.conv1d(*a, **options), lambda *a: TF.conv1d(*a, **options), *arrays)


@given(case=convolution())
@pytest.mark.filterwarnings("ignore:Using padding='same' with even")
def test_same_padding(case):
    arrays, options = case
    options.update(stride=1, padding="same")
    equal(lambda *a: F.conv2d(*a, **options), lambda *a: TF.conv2d(*a, **options), *arrays)
    (x, w, *b), dilation = arrays, options["dilation"][1]
    options.update(dilation=dilation)
    arrays = x[:, :, 0], w[:, :, 0], *b
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
    if ties:
        x = x.round()
    equal(
        lambda x: F.max_pool2d(x, kernel, stride, padding, dilation),
        lambda x: TF.max_pool2d(x, kernel, stride, padding, dilation),
        x,
    )
    for counted in (True, False):
        equal(
            lambda x, c=counted: F.avg_pool2d(x, kernel, stride, padding, count_include_pad=c),
            lambda x, c=counted: TF.avg_pool2d(x, kernel, stride, padding, count_include_pad=c),
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
