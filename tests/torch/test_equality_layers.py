"""Every layer against PyTorch, on sizes that hypothesis draws: see `test_equality`."""

import pytest
import torch.nn.functional as TF
from hypothesis import assume, given
from hypothesis import strategies as st
from test_equality import SEEDS, equal, normal

from dlcourse import functional as F


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
