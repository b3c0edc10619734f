"""Convolutions: against the formula written out in loops, gradients, layers, errors."""

import itertools

import numpy as np
import pytest

from dlcourse import Tensor, nn
from dlcourse import functional as F
from dlcourse.gradcheck import gradcheck

RNG = np.random.default_rng(0)


def leaf(*shape):
    return Tensor(RNG.normal(size=shape), requires_grad=True)


def loops(x, w, b, stride, before, dilation, groups, out_size):
    """The formula in the docstring of `conv2d`, an element at a time."""
    n, _, h, width = x.shape
    n_out, n_in, kh, kw = w.shape
    out = np.zeros((n, n_out, *out_size))
    for o, y, z in np.ndindex(n_out, *out_size):
        out[:, o, y, z] = b[o]
        first = o // (n_out // groups) * n_in  # the first channel of its group
        for c, i, j in np.ndindex(n_in, kh, kw):
            row = y * stride[0] + i * dilation[0] - before[0]
            column = z * stride[1] + j * dilation[1] - before[1]
            if 0 <= row < h and 0 <= column < width:
                out[:, o, y, z] += w[o, c, i, j] * x[:, first + c, row, column]
    return out


# x, weight, stride, padding, dilation, groups, and the size that PyTorch's formula gives
CASES = {
    "plain": ((2, 3, 5, 6), (4, 3, 3, 3), (1, 1), (0, 0), (1, 1), 1, (3, 4)),
    "padded": ((2, 1, 5, 4), (2, 1, 3, 3), (1, 1), (1, 1), (1, 1), 1, (5, 4)),
    "strides differ": ((1, 2, 7, 8), (3, 2, 3, 2), (2, 3), (1, 0), (1, 1), 1, (4, 3)),
    "stride beyond the kernel": ((1, 1, 8, 9), (1, 1, 2, 1), (3, 2), (0, 0), (1, 1), 1, (3, 5)),
    "dilated": ((2, 2, 7, 8), (2, 2, 3, 2), (1, 2), (2, 1), (2, 3), 1, (7, 4)),
    "grouped": ((2, 4, 4, 5), (6, 2, 2, 3), (1, 1), (0, 1), (1, 1), 2, (3, 5)),
    "a kernel for each channel": ((2, 3, 4, 4), (3, 1, 3, 3), (1, 1), (1, 1), (1, 1), 3, (4, 4)),
    "1 by 1": ((2, 3, 3, 4), (5, 3, 1, 1), (1, 1), (0, 0), (1, 1), 1, (3, 4)),
    "padding beyond the kernel": ((1, 1, 2, 3), (1, 1, 2, 2), (2, 1), (4, 3), (1, 1), 1, (5, 8)),
    "nothing but padding": ((1, 1, 5, 2), (1, 1, 1, 1), (13, 9), (4, 4), (1, 1), 1, (1, 2)),
    "the whole image": ((3, 2, 4, 3), (5, 2, 4, 3), (1, 1), (0, 0), (1, 1), 1, (1, 1)),
}


@pytest.mark.parametrize("name", CASES)
def test_conv2d_is_its_formula(name):
    x_shape, w_shape, stride, padding, dilation, groups, size = CASES[name]
    x, w, b = leaf(*x_shape), leaf(*w_shape), leaf(w_shape[0])

    def f(x, w, b):
        return F.conv2d(x, w, b, stride, padding, dilation, groups)

    expected = loops(x.data, w.data, b.data, stride, padding, dilation, groups, size)
    np.testing.assert_allclose(f(x, w, b).data, expected, rtol=1e-10, atol=1e-10)
    for needed in itertools.product([True, False], repeat=3):  # any input may be a constant
        if any(needed):
            given = [t if n else t.detach() for t, n in zip((x, w, b), needed, strict=True)]
            assert gradcheck(f, given)


@pytest.mark.parametrize("name", CASES)
def test_conv_transpose2d_is_the_gradient_of_conv2d(name):
    x_shape, w_shape, stride, padding, dilation, groups, size = CASES[name]
    y, w = leaf(x_shape[0], w_shape[0], *size), leaf(*w_shape)
    b = leaf(w_shape[1] * groups)
    extra = tuple(
        x_shape[2 + i]
        - (size[i] - 1) * stride[i]
        + 2 * padding[i]
        - dilation[i] * (w_shape[2 + i] - 1)
        - 1
        for i in range(2)
    )

    def f(y, w, b):
        return F.conv_transpose2d(y, w, b, stride, padding, extra, groups, dilation)

    x = leaf(*x_shape)
    F.conv2d(x, w.detach(), None, stride, padding, dilation, groups).backward(y.data)
    np.testing.assert_allclose(f(y, w, b).data, x.grad + b.data[:, None, None], atol=1e-10)
    assert gradcheck(f, (y, w, b))
    assert gradcheck(lambda w: f(y.detach(), w, b.detach()), w)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, (2, 5)])
@pytest.mark.parametrize("dilation", [1, 2])
def test_same_padding_keeps_the_size_with_the_odd_zero_at_the_end(kernel, dilation):
    kernel = (kernel,) * 2 if isinstance(kernel, int) else kernel
    x, w = leaf(1, 1, 5, 6), leaf(1, 1, *kernel)
    before = [dilation * (k - 1) // 2 for k in kernel]
    out = F.conv2d(x, w, padding="same", dilation=dilation)
    expected = loops(x.data, w.data, [0], (1, 1), before, (dilation,) * 2, 1, (5, 6))
    np.testing.assert_allclose(out.data, expected, atol=1e-10)
    np.testing.assert_array_equal(
        F.conv2d(x, w[:, :, :1, :1], padding="valid").data, F.conv2d(x, w[:, :, :1, :1]).data
    )


@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": (1,), "dilation": 2}])
@pytest.mark.parametrize("groups", [1, 2])
def test_conv1d(options, groups):
    x, w, b = leaf(3, 4, 9), leaf(2, 4 // groups, 3), leaf(2)
    assert gradcheck(lambda x, w, b: F.conv1d(x, w, b, groups=groups, **options), (x, w, b))
    wide = {k: (1, v) if isinstance(v, int) else (0, *v) for k, v in options.items()}
    image = F.conv2d(x[:, :, None], w[:, :, None], b, groups=groups, **wide)
    np.testing.assert_array_equal(
        F.conv1d(x, w, b, groups=groups, **options).data, image.data[:, :, 0]
    )
    assert F.conv1d(x, leaf(2, 4, 4), padding="same").shape == (3, 2, 9)


@pytest.mark.parametrize("function", [F.conv2d, F.conv_transpose2d])
def test_gradients_that_nobody_needs_are_not_computed(function):
    x, w, b = leaf(1, 2, 5, 5), leaf(2, 2, 3, 3), leaf(2)
    for i in range(3):
        given = [t if j == i else t.detach() for j, t in enumerate((x, w, b))]
        out = function(*given)
        gradients = out._backward(np.ones(out.shape))
        assert [g is not None for g in gradients] == [j == i for j in range(3)]


@pytest.mark.parametrize("function", [F.conv2d, F.conv_transpose2d])
def test_an_empty_batch(function):
    x, w, b = leaf(0, 2, 5, 5), leaf(2, 2, 3, 3), leaf(2)
    out = function(x, w, b, padding=1)
    assert out.shape == (0, 2, 5, 5)
    out.sum().backward()
    assert x.grad.shape == x.shape
    np.testing.assert_array_equal(w.grad, np.zeros(w.shape))
    np.testing.assert_array_equal(b.grad, np.zeros(2))


def test_the_input_may_lie_in_memory_in_any_order_and_is_not_changed():
    plain = RNG.normal(size=(2, 3, 6, 5))
    w, direction = leaf(4, 3, 3, 3), RNG.normal(size=(2, 4, 4, 3))
    seen = []
    for order in itertools.permutations(range(4)):
        x = Tensor(plain.transpose(order).copy().transpose(np.argsort(order)))
        x.requires_grad, w.grad = True, None
        before, g = x.data.copy(), direction.transpose(order).copy().transpose(np.argsort(order))
        out = F.conv2d(x, w)
        out.backward(g)
        np.testing.assert_array_equal(x.data, before)
        np.testing.assert_array_equal(g, direction)
        seen.append((out.data, x.grad, w.grad))
    for arrays in seen[1:]:
        for a, b in zip(arrays, seen[0], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_an_input_used_twice_and_float32():
    x = leaf(2, 2, 4, 4)
    assert gradcheck(lambda x: F.conv2d(x, Tensor(np.ones((2, 2, 3, 3))), padding=1) * x, x)
    out = nn.Conv2d(2, 3, 3, rng=0)(x.data.astype(np.float32))
    assert out.dtype == np.float32


LAYERS = {
    "Conv2d": (nn.Conv2d(4, 6, 3, groups=2, rng=0), (6, 2, 3, 3), (2, 4, 5, 5)),
    "Conv1d": (nn.Conv1d(4, 6, 5, rng=0), (6, 4, 5), (2, 4, 9)),
    "ConvTranspose2d": (nn.ConvTranspose2d(4, 6, (2, 3), 2, rng=0), (4, 6, 2, 3), (2, 4, 3, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    layer, weight, x = LAYERS[name]
    assert [(k, v.shape) for k, v in layer.state_dict().items()] == [
        ("weight", weight),
        ("bias", (6,)),
    ]
    bound = 1 / np.sqrt(np.prod(weight[1:]))
    assert 0.8 * bound < np.abs(layer.weight.data).max() <= bound
    assert np.abs(layer.bias.data).max() <= bound
    again = type(layer)(4, 6, layer.kernel_size, groups=layer.groups, rng=0)
    np.testing.assert_array_equal(again.weight.data, layer.weight.data)
    none = type(layer)(4, 6, layer.kernel_size, bias=False)
    assert list(none.state_dict()) == ["weight"]
    x = RNG.normal(size=x).astype(np.float32)
    assert layer(x).shape[:2] == (2, 6)
    layer(x).sum().backward()
    assert layer.weight.grad.flags.c_contiguous


def test_layers_pass_their_options_on():
    x = RNG.normal(size=(2, 4, 9, 9)).astype(np.float32)
    layer = nn.Conv2d(4, 4, (3, 2), (2, 1), (1, 0), (1, 3), 2, rng=0)
    expected = F.conv2d(x, layer.weight, layer.bias, (2, 1), (1, 0), (1, 3), 2)
    np.testing.assert_array_equal(layer(x).data, expected.data)
    layer = nn.ConvTranspose2d(4, 4, 3, 2, 1, 1, 2, dilation=2, rng=0)
    expected = F.conv_transpose2d(x, layer.weight, layer.bias, 2, 1, 1, 2, 2)
    np.testing.assert_array_equal(layer(x).data, expected.data)
    layer = nn.Conv1d(4, 4, 3, 2, 1, 2, 4, rng=0)
    expected = F.conv1d(x[:, :, 0], layer.weight, layer.bias, 2, 1, 2, 4)
    np.testing.assert_array_equal(layer(x[:, :, 0]).data, expected.data)
    assert repr(nn.Conv2d(1, 8, 3, padding="same", bias=False)) == (
        "Conv2d(1, 8, kernel_size=(3, 3), padding=same, bias=False)"
    )


def test_a_kernel_may_be_a_plain_array():
    x, edges = leaf(1, 1, 5, 4), np.array([[-1.0, 1.0]])[None, None]
    np.testing.assert_allclose(F.conv2d(x, edges).data, np.diff(x.data))
    assert F.conv_transpose2d(x, edges).shape == (1, 1, 5, 5)


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (lambda: nn.Conv2d(1, 8, 3)(np.ones((64, 28, 28), "f")), r"x\[:, None\]"),
        (lambda: nn.Conv2d(3, 8, 3)(np.ones((64, 28, 28, 3), "f")), r"np.moveaxis\(x, -1, 1\)"),
        (lambda: nn.Conv2d(3, 8, 3)(np.ones((4, 1, 8, 8), "f")), "Conv2d.3, 8.*3 channels"),
        (lambda: nn.Conv1d(3, 8, 3)(np.ones((4, 8, 3), "f")), "Conv1d.3, 8.*moveaxis"),
        (lambda: nn.ConvTranspose2d(3, 8, 3)(np.ones((4, 8, 3), "f")), "ConvTranspose2d.3, 8"),
        (lambda: nn.Conv2d(1, 8, 5)(np.ones((4, 1, 3, 9), "f")), "window of 5 does not fit in 3"),
        (lambda: nn.Conv2d(1, 8, 3)(np.ones((4, 1, 9, 9))), "float64.*astype"),
        (lambda: nn.Conv2d(1, 8, 3)(np.ones((4, 1, 9, 9), int)), "int64.*astype"),
        (lambda: nn.Conv2d(1, 8, 3, 2, "same")(np.ones((4, 1, 9, 9), "f")), "stride 1"),
        (lambda: nn.Conv2d(4, 6, 3, groups=3), "groups=3 must divide in_channels"),
        (lambda: nn.Conv2d(6, 4, 3, groups=3), "groups=3 must divide out_channels"),
        (lambda: nn.Conv2d(6, 4, 3, groups=0), "groups=0 must be a whole number"),
        (lambda: nn.Conv2d(0, 4, 3), "in_channels=0 must be a whole number from 1"),
        (lambda: nn.Conv2d(1, 4, (3, 3, 3)), "or 2 of them"),
        (lambda: nn.Conv2d(1, 4, 3, padding=-1), "padding=-1 must be a whole number from 0"),
        (lambda: nn.Conv2d(1, 4, 3, padding="full"), "padding='full'"),
        (lambda: F.conv2d(leaf(1, 1, 4, 4), leaf(2, 1, 3)), r"weight of shape \(2, 1, 3\)"),
        (lambda: F.conv2d(leaf(1, 1, 4, 4), leaf(2, 1, 3, 3), leaf(3)), r"needs \(2,\)"),
        (lambda: F.conv2d(leaf(1, 3, 4, 4), leaf(4, 1, 3, 3), groups=3), "must divide 4"),
        (
            lambda: F.conv_transpose2d(leaf(1, 1, 4, 4), leaf(1, 1, 3, 3), output_padding=1),
            "below the stride",
        ),
    ],
)
def test_errors_name_the_mend(action, says):
    with pytest.raises(ValueError, match=says):
        action()


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2), (2, 5, 6)),
        (nn.ConvTranspose2d(2, 4, 3, stride=2, groups=2), (2, 3, 4)),
        (nn.Conv1d(2, 4, 3, padding="same"), (2, 7)),
    ],
)
def test_a_single_example_is_a_batch_of_one(layer, shape):
    x = Tensor(np.random.default_rng(0).normal(size=shape), requires_grad=True)
    layer.double()
    np.testing.assert_allclose(layer(x).data, layer(x[None]).data[0])
    assert gradcheck(layer, x)
    layer.zero_grad()
    (layer(x) ** 2).sum().backward()
    once = layer.weight.grad
    layer.zero_grad()
    (layer(x[None]) ** 2).sum().backward()
    np.testing.assert_allclose(layer.weight.grad, once)


def test_images_without_channels_are_told_to_get_one():
    with pytest.raises(ValueError, match=r"axis 0 must be 1 channels; .* x\[:, None\]"):
        nn.Conv2d(1, 2, 3)(np.ones((4, 8, 8), "f"))
