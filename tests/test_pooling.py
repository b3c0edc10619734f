"""Pooling: against the formula written out in loops, ties, gradients, errors."""

import numpy as np
import pytest

from dlcourse import Tensor, nn
from dlcourse import functional as F
from dlcourse.gradcheck import gradcheck

RNG = np.random.default_rng(0)


def leaf(*shape):
    return Tensor(RNG.normal(size=shape), requires_grad=True)


def windows(x, kernel, stride, padding, dilation, size):
    """Yield each output's place, the elements under its window and where these stand."""
    for y, z in np.ndindex(*size):
        rows = y * stride[0] + dilation[0] * np.arange(kernel[0]) - padding[0]
        columns = z * stride[1] + dilation[1] * np.arange(kernel[1]) - padding[1]
        rows = rows[(rows >= 0) & (rows < x.shape[2])]
        columns = columns[(columns >= 0) & (columns < x.shape[3])]
        yield y, z, rows, columns, x[:, :, rows[:, None], columns]


# x, kernel, stride, padding, dilation, and the size that PyTorch's formula gives
CASES = {
    "halves": ((2, 3, 4, 6), (2, 2), (2, 2), (0, 0), (1, 1), (2, 3)),
    "halves of odd sizes": ((2, 3, 5, 7), (2, 2), (2, 2), (0, 0), (1, 1), (2, 3)),
    "thirds": ((2, 1, 6, 9), (3, 3), (3, 3), (0, 0), (1, 1), (2, 3)),
    "overlapping": ((2, 2, 5, 6), (3, 2), (2, 1), (0, 0), (1, 1), (2, 5)),
    "padded": ((2, 2, 4, 5), (3, 2), (2, 2), (1, 1), (1, 1), (2, 3)),
    "apart": ((1, 2, 7, 6), (2, 1), (3, 2), (0, 0), (1, 1), (2, 3)),
    "one": ((1, 2, 3, 4), (1, 1), (1, 1), (0, 0), (1, 1), (3, 4)),
    "an empty batch": ((0, 2, 4, 4), (2, 2), (2, 2), (0, 0), (1, 1), (2, 2)),
}
DILATED = {"dilated": ((1, 2, 7, 8), (3, 2), (1, 2), (1, 0), (2, 3), (5, 3))}


@pytest.mark.parametrize("name", CASES | DILATED)
def test_max_pool2d_is_its_formula(name):
    shape, kernel, stride, padding, dilation, size = (CASES | DILATED)[name]
    x = leaf(*shape)
    expected = np.empty((*shape[:2], *size))
    for y, z, *_, seen in windows(x.data, kernel, stride, padding, dilation, size):
        expected[:, :, y, z] = seen.max(axis=(2, 3))

    def f(x):
        return F.max_pool2d(x, kernel, stride, padding, dilation)

    np.testing.assert_array_equal(f(x).data, expected)
    assert gradcheck(f, x)


@pytest.mark.parametrize("name", CASES | DILATED)
def test_of_equal_elements_the_first_one_gets_the_gradient(name):
    shape, kernel, stride, padding, dilation, size = (CASES | DILATED)[name]
    x = Tensor(RNG.integers(0, 2, shape).astype(float), requires_grad=True)
    g = RNG.normal(size=(*shape[:2], *size))
    expected = np.zeros(shape)
    for y, z, rows, columns, seen in windows(x.data, kernel, stride, padding, dilation, size):
        first = seen.reshape(*shape[:2], len(rows) * len(columns)).argmax(axis=2)
        for n, c in np.ndindex(*shape[:2]):
            i, j = divmod(first[n, c], len(columns))
            expected[n, c, rows[i], columns[j]] += g[n, c, y, z]
    F.max_pool2d(x, kernel, stride, padding, dilation).backward(g)
    np.testing.assert_allclose(x.grad, expected, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("count_include_pad", [True, False])
def test_avg_pool2d_is_its_formula(name, count_include_pad):
    shape, kernel, stride, padding, dilation, size = CASES[name]
    x = leaf(*shape)
    expected = np.empty((*shape[:2], *size))
    for y, z, rows, columns, seen in windows(x.data, kernel, stride, padding, dilation, size):
        counted = kernel[0] * kernel[1] if count_include_pad else len(rows) * len(columns)
        expected[:, :, y, z] = seen.sum(axis=(2, 3)) / counted

    def f(x):
        return F.avg_pool2d(x, kernel, stride, padding, count_include_pad=count_include_pad)

    np.testing.assert_allclose(f(x).data, expected, atol=1e-12)
    assert gradcheck(f, x)


@pytest.mark.parametrize("size", [1, 3, (2, 5), (None, 2), (7, 9), (4, 6)], ids=str)
def test_adaptive_avg_pool2d(size):
    x = leaf(2, 3, 4, 6)
    oh, ow = (size, size) if isinstance(size, int) else size
    oh = 4 if oh is None else oh
    expected = np.empty((2, 3, oh, ow))
    for y, z in np.ndindex(oh, ow):
        rows = slice(int(np.floor(y * 4 / oh)), int(np.ceil((y + 1) * 4 / oh)))
        columns = slice(int(np.floor(z * 6 / ow)), int(np.ceil((z + 1) * 6 / ow)))
        expected[:, :, y, z] = x.data[:, :, rows, columns].mean(axis=(2, 3))
    np.testing.assert_allclose(F.adaptive_avg_pool2d(x, size).data, expected)
    assert gradcheck(lambda x: F.adaptive_avg_pool2d(x, size), x)


def test_the_stride_is_the_kernel_unless_given_and_nothing_is_changed():
    x = leaf(1, 2, 6, 6)
    before, g = x.data.copy(), np.ones((1, 2, 3, 2))
    for f in (F.max_pool2d, F.avg_pool2d):
        out = f(x, (2, 3))
        assert out.shape == (1, 2, 3, 2)
        out.backward(g)
    np.testing.assert_array_equal(x.data, before)
    np.testing.assert_array_equal(g, 1)
    assert F.max_pool2d(x, 2, 1).shape == (1, 2, 5, 5)


def test_nan_is_not_lost():
    x = np.zeros((1, 1, 2, 2), np.float32)
    x[0, 0, 1, 0] = np.nan
    assert np.isnan(F.max_pool2d(x, 2).item())


def test_layers_are_their_functions():
    x = RNG.normal(size=(2, 3, 7, 8)).astype(np.float32)
    pairs = [
        (nn.MaxPool2d(2)(x), F.max_pool2d(x, 2)),
        (nn.MaxPool2d(3, 1, 1, 2)(x), F.max_pool2d(x, 3, 1, 1, 2)),
        (nn.AvgPool2d(2)(x), F.avg_pool2d(x, 2)),
        (
            nn.AvgPool2d(3, 2, 1, count_include_pad=False)(x),
            F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        ),
        (nn.AdaptiveAvgPool2d((2, None))(x), F.adaptive_avg_pool2d(x, (2, None))),
    ]
    for layer, function in pairs:
        np.testing.assert_array_equal(layer.data, function.data)
        assert layer.dtype == np.float32
    assert repr(nn.MaxPool2d(2)) == "MaxPool2d(2)"


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (lambda: nn.MaxPool2d(2)(np.ones((8, 8), "f")), r"MaxPool2d got x .*x\[None\]"),
        (lambda: nn.MaxPool2d(2)(np.ones((4, 1, 8, 8), int)), "int64.*astype"),
        (lambda: nn.MaxPool2d(5)(np.ones((4, 1, 4, 8), "f")), "window of 5 does not fit in 4"),
        (lambda: nn.MaxPool2d(2, padding=2)(np.ones((4, 1, 8, 8), "f")), "at most half"),
        (lambda: nn.AvgPool2d(0)(np.ones((4, 1, 8, 8), "f")), "kernel_size=0"),
        (lambda: nn.AdaptiveAvgPool2d((1, 2, 3))(np.ones((4, 1, 8, 8), "f")), "needs .OH, OW"),
        (lambda: nn.AdaptiveAvgPool2d(0)(np.ones((4, 1, 8, 8), "f")), "output_size"),
    ],
)
def test_errors_name_the_mend(action, says):
    with pytest.raises(ValueError, match=says):
        action()


CEIL = {  # with ceil_mode: sizes as PyTorch gives them
    "odd": ((2, 3, 5, 7), (2, 2), (2, 2), (0, 0), (3, 4)),
    "overlapping": ((1, 2, 6, 8), (3, 3), (2, 2), (0, 0), (3, 4)),
    "none begins in the padding": ((1, 1, 4, 5), (2, 2), (2, 3), (1, 1), (3, 2)),
    "far apart": ((1, 1, 7, 7), (1, 2), (3, 4), (0, 1), (3, 2)),
}


@pytest.mark.parametrize("name", CEIL)
def test_windows_over_the_end(name):
    shape, kernel, stride, padding, size = CEIL[name]
    x = leaf(*shape)
    largest, mean = np.empty((*shape[:2], *size)), np.empty((*shape[:2], *size))
    for y, z, *_, seen in windows(x.data, kernel, stride, padding, (1, 1), size):
        largest[:, :, y, z], mean[:, :, y, z] = seen.max(axis=(2, 3)), seen.mean(axis=(2, 3))

    def max_pool(x):
        return F.max_pool2d(x, kernel, stride, padding, ceil_mode=True)

    def avg_pool(x):
        return F.avg_pool2d(x, kernel, stride, padding, True, count_include_pad=False)

    np.testing.assert_array_equal(max_pool(x).data, largest)
    np.testing.assert_allclose(avg_pool(x).data, mean)
    assert gradcheck(max_pool, x)
    assert gradcheck(avg_pool, x)
    layer = nn.MaxPool2d(kernel, stride, padding, ceil_mode=True)
    np.testing.assert_array_equal(layer(x).data, largest)
    assert nn.AvgPool2d(kernel, stride, padding, ceil_mode=True)(x).shape == largest.shape


@pytest.mark.parametrize("layer", [nn.MaxPool2d(2), nn.AvgPool2d(3, 2, 1), nn.AdaptiveAvgPool2d(2)])
def test_a_single_image_is_a_batch_of_one(layer):
    x = leaf(3, 6, 7)
    np.testing.assert_array_equal(layer(x).data, layer(x[None]).data[0])
    assert gradcheck(layer, x)


def test_what_is_pooled_is_no_view_of_the_input():
    x = Tensor(np.ones((1, 1, 4, 4)))
    y = F.max_pool2d(x, 1, 2)
    x += 5
    assert y.data.max() == 1
