"""The tape: every operation's gradient, and the cases that engines get wrong."""

import array
import copy
import gc
import tracemalloc
import weakref

import numpy as np
import pytest

from dlcourse import Tensor, cat, einsum, no_grad, stack, where
from dlcourse.gradcheck import gradcheck
from dlcourse.tensor import record


def leaf(*shape, seed=0, low=-2.0, high=2.0):
    values = np.random.default_rng(seed).uniform(low, high, shape)
    return Tensor(values, requires_grad=True)


# ---- every operation against numeric gradients ------------------------------------------

BROADCASTS = [
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((3, 1), (1, 4)),
    ((2, 3, 4), (3, 1)),
    ((), (3,)),
    ((1,), ()),
    ((0, 3), (3,)),
]
BINARY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "where": lambda a, b: where(np.array(a.data > 1), a, b),
}


@pytest.mark.parametrize("shapes", BROADCASTS, ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_binary_operation_with_broadcasting(name, shapes):
    a, b = (leaf(*s, seed=i, low=0.5) for i, s in enumerate(shapes))
    assert gradcheck(BINARY[name], (a, b))
    assert gradcheck(BINARY[name], (a.detach(), b))  # one parent without a gradient
    assert gradcheck(BINARY[name], (a, b.detach()))


@pytest.mark.parametrize(
    "shapes",
    [
        ((3,), (3,)),
        ((3,), (3, 4)),
        ((2, 3), (3,)),
        ((2, 3), (3, 4)),
        ((5, 2, 3), (3, 4)),
        ((5, 2, 3), (5, 3, 4)),
        ((5, 1, 2, 3), (6, 3, 4)),
        ((3,), (5, 3, 4)),
        ((5, 2, 3), (3,)),
        ((0, 3), (3, 4)),
        ((2, 0), (0, 4)),
    ],
    ids=str,
)
def test_matmul(shapes):
    a, b = (leaf(*s, seed=i) for i, s in enumerate(shapes))
    np.testing.assert_allclose((a @ b).data, a.data @ b.data)
    assert gradcheck(lambda a, b: a @ b, (a, b))


UNARY = {
    "neg": lambda x: -x,
    "exp": lambda x: x.exp(),
    "log": lambda x: x.log(),
    "sqrt": lambda x: x.sqrt(),
    "root": lambda x: x**0.5,
    "one over the root": lambda x: x**-0.5,
    "abs": lambda x: (x - 1).abs(),
    "clip": lambda x: x.clip(0.7, 1.5),
    "relu": lambda x: (x - 1).relu(),
    "sigmoid": lambda x: x.sigmoid(),
    "tanh": lambda x: x.tanh(),
    "softmax": lambda x: x.softmax(1),
    "log_softmax": lambda x: x.log_softmax(1),
    "clip below": lambda x: x.clip(min=0.9),
    "square": lambda x: x**2,
    "cube": lambda x: x**3,
    "reciprocal": lambda x: 1 / x,
    "2**x": lambda x: 2**x,
    "1-x": lambda x: 1 - x,
    "array-x": lambda x: np.ones(x.shape) - x,
    "sum": lambda x: x.sum(),
    "sum dim": lambda x: x.sum(1),
    "sum axis keepdim": lambda x: x.sum(axis=(0, -1), keepdim=True),
    "mean": lambda x: x.mean(dim=-1),
    "mean all": lambda x: x.mean(),
    "var": lambda x: x.var(1),
    "var all": lambda x: x.var(correction=0),
    "std": lambda x: x.std((0, 2), keepdim=True),
    "logsumexp": lambda x: x.logsumexp(1),
    "logsumexp all": lambda x: x.logsumexp(),
    "max": lambda x: x.max(),
    "max dim": lambda x: x.max(dim=1).values,
    "max keepdim": lambda x: x.max(1, keepdim=True).values,
    "max tuple": lambda x: x.max((0, 2)),
    "min": lambda x: x.min(),
    "min dim": lambda x: x.min(-1).values,
    "reshape": lambda x: x.reshape(6, -1),
    "flatten": lambda x: x.flatten(1),
    "permute": lambda x: x.permute(2, 0, 1),
    "transpose": lambda x: x.transpose(0, -1),
    "T": lambda x: x[0].T,
    "unsqueeze": lambda x: x.unsqueeze(-1),
    "squeeze": lambda x: x[:, :1].squeeze(1),
    "expand": lambda x: x.unsqueeze(0).expand(5, -1, -1, 4),
    "index": lambda x: x[1, 0],
    "slice": lambda x: x[:, ::-1, 1:3],
    "ellipsis": lambda x: x[..., None, 0],
    "mask": lambda x: x[x.data > 1],
    "twice": lambda x: x[[0, 0, 1, 0]],
    "pairs": lambda x: x[[0, 1, 0], [2, 1, 2]],
    "tensor index": lambda x: x[Tensor(np.array([1, 1]))],
    "cat": lambda x: cat([x, x * 2, x[:, :1]], dim=1),
    "stack": lambda x: stack([x, x * x], dim=-1),
}


@pytest.mark.parametrize("name", UNARY)
def test_operation(name):
    assert gradcheck(UNARY[name], leaf(2, 3, 4, low=0.5))


def test_max_shares_the_gradient_among_equals_but_gives_it_to_one_along_an_axis():
    x = Tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 0.0]], requires_grad=True)
    x.max().backward()
    np.testing.assert_array_equal(x.grad, [[0, 0.5, 0.5], [0, 0, 0]])
    x.zero_grad()
    values, indices = x.max(dim=1)
    values.sum().backward()
    np.testing.assert_array_equal(indices.data, [1, 0])
    np.testing.assert_array_equal(x.grad, [[0, 1, 0], [1, 0, 0]])


def test_slopes_at_the_edges_are_finite():
    x = Tensor([0.0, 4.0], requires_grad=True)
    (x**0).sum().backward()
    np.testing.assert_array_equal(x.grad, [0, 0])
    x.zero_grad()
    x.std(0, correction=0).backward()
    np.testing.assert_allclose(x.grad, [-0.5, 0.5])
    flat = Tensor([2.0, 2.0], requires_grad=True)
    flat.std().backward()
    np.testing.assert_array_equal(flat.grad, [0, 0])
    lost = Tensor([-np.inf, -np.inf], requires_grad=True)
    out = lost.logsumexp(0)
    out.backward()
    assert out.item() == -np.inf
    np.testing.assert_array_equal(lost.grad, [0, 0])
    a, b = (Tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    where([True, False], a, b).backward(np.array([np.inf, np.inf]))
    np.testing.assert_array_equal(a.grad, [np.inf, 0])
    np.testing.assert_array_equal(b.grad, [0, np.inf])


# ---- the walk ---------------------------------------------------------------------------


def test_a_tensor_used_twice_gets_both_gradients():
    x = Tensor(3.0, requires_grad=True)
    (x * x + x).backward()
    assert x.grad == 7
    assert isinstance(x.grad, np.ndarray)
    (x * x).backward()
    assert isinstance(x.grad, np.ndarray)


def test_a_diamond_is_walked_in_order():
    x = Tensor(2.0, requires_grad=True)
    a = x * 3
    b = a * a  # a is reached at once and again through b: it must wait for both
    (b * a).backward()
    assert x.grad == 3 * 27 * 4


def test_backward_adds_to_grad_until_zero_grad():
    x = Tensor([1.0, 2.0], requires_grad=True)
    (x * 2).sum().backward()
    first = x.grad
    (x * 3).sum().backward()
    np.testing.assert_array_equal(x.grad, [5, 5])
    np.testing.assert_array_equal(first, [2, 2])  # what was handed out is not changed
    x.zero_grad()
    assert x.grad is None


def test_leaves_never_share_the_memory_of_a_gradient():
    a, b = leaf(3), leaf(3)
    seed = np.ones(3)
    (a + b).backward(seed)
    a.grad[:] = 7
    np.testing.assert_array_equal(b.grad, 1)
    np.testing.assert_array_equal(seed, 1)
    c = leaf(2, 3)
    c.sum().backward()
    c.grad += 1  # a broadcast view could not be written to
    np.testing.assert_array_equal(c.grad, 2)


def test_a_chain_of_ten_thousand_steps():
    x = Tensor(1.0, requires_grad=True)
    y = x
    for _ in range(10_000):
        y = y + 1
    y.backward()
    assert x.grad == 1


def test_parents_without_gradient_get_none_computed():
    calls = []
    x, w = Tensor([1.0]), Tensor([2.0], requires_grad=True)
    out = record(x.data * w.data, (x, w), lambda g: calls.append("walked") or (None, g * x.data))
    out.backward()
    assert calls == ["walked"]
    assert x.grad is None
    assert (x * 2)._backward is None


def test_the_tape_is_freed_as_it_is_walked():
    x = Tensor(np.ones(10), requires_grad=True)
    middle = x * 2
    held = weakref.ref(middle)
    out = (middle * 3).sum()
    del middle
    assert held() is not None
    out.backward()
    assert held() is None  # without waiting for the garbage collector
    with pytest.raises(RuntimeError, match="compute the loss again"):
        out.backward()


def test_memory_is_flat_over_many_steps():
    def step():
        x = Tensor(np.ones(1000), requires_grad=True)
        ((x * 2).exp() / x).sum().backward()

    gc.disable()
    try:
        for _ in range(100):
            step()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1000):
            step()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        gc.enable()
    assert grown < 20_000


def test_no_grad_nests_decorates_and_survives_errors():
    x = Tensor(1.0, requires_grad=True)

    @no_grad()
    def inside(depth):
        return (x * 2).requires_grad or (depth and inside(depth - 1))

    assert not inside(2)
    with no_grad():
        with no_grad():
            pass
        assert not (x * 2).requires_grad
    with pytest.raises(ZeroDivisionError), no_grad():
        raise ZeroDivisionError
    assert (x * 2).requires_grad

    @no_grad
    def without_brackets(factor):
        return x * factor

    assert not without_brackets(factor=2).requires_grad


def test_einsum_of_one_operand_gives_no_view_of_it():
    x = Tensor(np.ones((2, 2)))
    transposed = einsum("ij->ji", x)
    x += 5
    assert transposed.data.max() == 1


def test_no_grad_may_be_entered_again_inside_itself():
    x, off = leaf(2), no_grad()
    with off, off:
        pass
    assert (x * x).requires_grad


def test_no_grad_holds_inside_a_generator_and_not_around_it():
    x = leaf(2)

    @no_grad()
    def steps(n):
        """Count."""
        factor = 2
        for _ in range(n):
            factor = (yield x * factor) or factor
        return "end"

    generator = steps(2)
    assert not next(generator).requires_grad
    assert (x * 2).requires_grad
    tripled = generator.send(3)
    assert not tripled.requires_grad
    np.testing.assert_array_equal(tripled.data, 3 * x.data)
    with pytest.raises(StopIteration, match="end"):
        next(generator)
    assert steps.__doc__ == "Count."


def test_detach_stops_the_gradient_and_shares_memory():
    x = Tensor([2.0], requires_grad=True)
    y = x * 3
    (y * y.detach()).sum().backward()
    np.testing.assert_array_equal(x.grad, [18])
    assert y.detach().data is y.data


# ---- data types and memory --------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        ([1.0, 2.0], np.float32),
        ([1, 2], np.float32),
        (3, np.float32),
        (np.ones(2), np.float64),
        (np.ones(2, np.float32), np.float32),
        (np.arange(3), np.int64),
        (np.arange(3, dtype=np.uint8), np.uint8),
        (np.array([True]), bool),
        ([True, False], bool),
    ],
)
def test_dtypes(data, dtype):
    assert Tensor(data).dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_operations_keep_the_dtype(dtype):
    x = Tensor(np.full((2, 3, 4), 1.5, dtype), requires_grad=True)
    others = (2, 2.5, np.float64(2), np.sqrt(2), [1.0, 2.0, 3.0, 4.0], np.arange(1, 5))
    results = [f(x) for n, f in UNARY.items() if n != "array-x"]
    results += [f(x, o) for o in others for f in (BINARY["add"], BINARY["mul"], BINARY["div"])]
    for out in results:
        assert out.dtype == dtype
        x.zero_grad()
        out.sum().backward()
        assert x.grad.dtype == dtype
        assert x.grad.shape == x.shape
        assert isinstance(out.data, np.ndarray)


@pytest.mark.parametrize("limit", [np.float64(0.5), 0.5, np.array(0.5, np.float32)])
def test_clip_keeps_the_dtype_whatever_its_limits(limit):
    x = Tensor([0.0, 1.0], requires_grad=True)
    y = x.clip(-limit, limit)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad, [1, 0])


def test_the_first_power_has_memory_of_its_own():
    x = leaf(3)
    assert not np.shares_memory((x**1).data, x.data)


def test_the_variance_takes_only_its_axis_by_place():
    """In PyTorch the next would be `unbiased`; taken for `keepdim`, it would give other numbers."""
    with pytest.raises(TypeError):
        leaf(3, 4).var(0, False)
    with pytest.raises(TypeError):
        leaf(3, 4).std(0, False)


@pytest.mark.parametrize("kind", [list, tuple, np.array, Tensor, lambda i: array.array("l", i)])
def test_repeated_indices_of_any_kind_add_up(kind):
    x = leaf(3)
    index = kind(np.array([0, 0, 1]))
    x[index if not isinstance(index, tuple) else (index,)].sum().backward()
    np.testing.assert_array_equal(x.grad, [2, 1, 0])


@pytest.mark.parametrize(
    ("index", "same"),
    [
        (np.s_[0, :, [0, 1]], lambda x: x[0][:, [0, 1]]),
        (np.s_[[0, 1], :, -1], lambda x: x[..., -1][[0, 1]]),
        (np.s_[[1, 1], ..., None, 2], lambda x: x[..., 2][[1, 1]][:, :, None]),
        (np.s_[:, np.array([True, False, True]), 0], lambda x: x[:, :, 0][:, [0, 2]]),
        (np.s_[np.ones((2, 3), bool), 1], lambda x: x[..., 1].reshape(6)),
    ],
    ids=str,
)
def test_a_single_number_beside_an_array_is_taken_first_as_in_pytorch(index, same):
    x = leaf(2, 3, 4)
    np.testing.assert_array_equal(x[index].data, same(x.data))
    assert gradcheck(lambda x: x[index], x)


def test_float32_never_silently_meets_float64():
    x = Tensor([1.0, 2.0], requires_grad=True)
    for f in BINARY.values():
        with pytest.raises(ValueError, match="astype"):
            f(x, np.ones(2))
    with pytest.raises(ValueError, match=r"model\.double"):
        cat([x]) @ Tensor(np.ones(2))
    with pytest.raises(ValueError, match="float32, float64"):
        cat([x, Tensor(np.ones(2))])


def test_integers_follow_floats_and_divide_to_floats():
    assert (Tensor(np.arange(3)) + Tensor([0.5, 0.5, 0.5])).dtype == np.float32
    assert (Tensor(np.arange(3)) / 2).dtype == np.float32
    assert (Tensor(np.arange(3)) * 2).dtype == np.int64
    assert Tensor(np.arange(3)).mean().dtype == np.float32
    assert Tensor(np.array([True, True])).sum().item() == 2


def test_a_leaf_owns_its_memory_and_a_constant_shares_it():
    array = np.zeros(3)
    w = Tensor(array, requires_grad=True)
    with no_grad():
        w -= 1.0
    np.testing.assert_array_equal(array, 0)
    assert Tensor(array).data is array


def test_in_place_update_of_a_leaf():
    w = Tensor([1.0, 2.0], requires_grad=True)
    before = w
    with pytest.raises(RuntimeError, match="no_grad"):
        w -= 1
    (w * w).sum().backward()
    with no_grad():
        w -= 0.5 * w.grad
        w *= 2
        w += 1
        w /= 1
    assert w is before
    assert w.requires_grad
    np.testing.assert_array_equal(w.data, [1, 1])
    y = w * 2
    z = y
    y += 1  # computed tensors are not changed: z keeps its values
    np.testing.assert_array_equal(z.data, [2, 2])


def write(tensor, value=5.0):
    with no_grad():
        tensor[...] = value


@pytest.mark.parametrize(
    "change",
    [
        lambda x, y: write(x),
        lambda x, y: write(x[0]),
        lambda x, y: write(next(iter(x))),
        lambda x, y: write(x.detach()),
        lambda x, y: write(x.reshape(4).T),
        lambda x, y: write(x.transpose(0, 1)[1]),
        lambda x, y: write(y[0]),
    ],
)
def test_what_was_changed_in_place_through_another_tensor_is_noticed(change):
    x = leaf(2, 2)
    y = x.exp()
    loss = (y * x).sum()
    change(x, y)
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()
    x.exp().sum().backward()  # what is computed afterwards is as good as ever
    np.testing.assert_array_equal(x.grad, np.exp(x.data))


def test_a_part_of_a_tensor_without_gradient_that_is_changed_meanwhile_is_noticed():
    w, table = leaf(2), Tensor(np.zeros((3, 2)))
    loss = (w * table[0]).sum()
    table[0] = 5.0
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()
    (w * table[0]).sum().backward()
    np.testing.assert_array_equal(w.grad, [5, 5])


@pytest.mark.parametrize("backward", [lambda g: g, lambda g: (g, g), lambda g: ()])
def test_a_backward_must_give_a_tuple_of_one_gradient_for_each_input(backward):
    with pytest.raises(ValueError, match="one gradient"):
        record(np.ones(2), (leaf(2),), backward).sum().backward()


def test_a_tensor_may_be_what_fills_the_mask():
    x, value = leaf(3), leaf()
    assert gradcheck(lambda x, v: x.masked_fill([True, False, True], v), (x, value))


@pytest.mark.parametrize("reduce", ["sum", "mean", "var", "std", "cumsum"])
def test_a_million_float32_numbers_are_added_up_as_exactly_as_pytorch_does(reduce):
    x = np.random.default_rng(0).uniform(5, 6, (1_000_000, 2)).astype(np.float32)
    expected = getattr(Tensor(x.astype(float)), reduce)(0).data
    np.testing.assert_allclose(getattr(Tensor(x), reduce)(0).data, expected, rtol=1e-6)
    w = Tensor(np.zeros(2, np.float32), requires_grad=True)
    (w * x).sum().backward()
    np.testing.assert_allclose(w.grad, x.sum(0, dtype=float), rtol=1e-6)


def test_comparisons_and_python_protocols():
    x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    for op in ("__lt__", "__le__", "__eq__", "__ne__", "__ge__", "__gt__"):
        expected = getattr(x.data, op)(np.float32(2))
        np.testing.assert_array_equal(getattr(x, op)(2).data, expected)
        assert not getattr(x, op)(2).requires_grad
    assert x is not None
    assert (x == None) is False  # noqa: E711
    assert 2 in x
    assert len(x) == 3
    assert [t.item() for t in x] == [1, 2, 3]
    assert float(x[1]) == 2
    assert f"{x[2]:.2f}" == "3.00"
    assert {x: 1}[x] == 1
    assert repr(Tensor([1.0, 2.0])) == "Tensor([1., 2.])"
    assert repr(x.sum().detach()) == "Tensor(6.)"
    assert "requires_grad=True" in repr(x)
    assert "float64" in repr(Tensor(np.ones(1)))
    np.testing.assert_array_equal(np.asarray(x.detach()), [1, 2, 3])
    with pytest.raises(RuntimeError, match="detach"):
        np.asarray(x)
    with pytest.raises(RuntimeError, match="detach"):
        x.numpy()
    twin = copy.deepcopy(x)
    assert twin.requires_grad
    assert twin.data is not x.data
    assert (np.ones(3, np.float32) * x).requires_grad  # numpy asks the tensor, not the reverse


# ---- what learners get wrong ------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "error", "says"),
    [
        (lambda: Tensor([[1, 2], [3]]), ValueError, "different lengths"),
        (lambda: Tensor(["a"]), ValueError, "numbers only"),
        (lambda: Tensor(None), ValueError, "numbers only"),
        (lambda: Tensor(np.arange(3), requires_grad=True), ValueError, "astype"),
        (lambda: Tensor([1.0]).backward(), RuntimeError, "requires_grad"),
        (lambda: leaf(3).backward(), ValueError, "needs the gradient"),
        (lambda: leaf(3).backward(np.ones(2)), ValueError, r"\(2,\)"),
        (lambda: leaf(64, 10) + leaf(64), ValueError, r"\(64, 10\) and \(64,\)"),
        (lambda: leaf(2, 3) @ leaf(2, 3), ValueError, "transposed"),
        (lambda: leaf(2, 3) @ leaf(), ValueError, r"\(2, 3\) @ \(\)"),
        (lambda: leaf(2, 3).reshape(4, 2), ValueError, "6 elements"),
        (lambda: leaf(2, 3).sum(2), ValueError, "axis 2"),
        (lambda: leaf(2, 3).item(), ValueError, "one element"),
        (lambda: leaf(1).var(), ValueError, "correction=0"),
        (lambda: leaf(2).clip(), ValueError, "min"),
        (lambda: cat([]), ValueError, "at least one"),
        (lambda: cat([leaf(), leaf()]), ValueError, "stack"),
        (lambda: cat([leaf(2, 3), leaf(2)], dim=1), ValueError, "all axes but 1"),
        (lambda: cat([leaf(2, 3), leaf(2, 4)]), ValueError, r"\(2, 3\), \(2, 4\)"),
        (lambda: cat([leaf(2), leaf(2)], dim=1), ValueError, "axis 1"),
        (lambda: stack([leaf(2), leaf(3)]), ValueError, r"\(2,\), \(3,\)"),
        (lambda: stack([leaf(2), leaf(2)], dim=3), ValueError, "axis 3"),
        (
            lambda: where([True, False], leaf(3), leaf(3)),
            ValueError,
            r"\(2,\) and values of \(3,\)",
        ),
        (lambda: leaf(2, 3).sum((0, -2)), ValueError, "only once"),
        (lambda: leaf(2, 3).argmax(2), ValueError, "axis 2"),
        (lambda: leaf(2, 3).transpose(0, 2), ValueError, "axis 2"),
        (lambda: leaf(2, 3).permute(0), ValueError, "2 axes once"),
        (lambda: leaf(2, 3).permute(1, -1), ValueError, "2 axes once"),
        (lambda: leaf(2, 3).expand(3), ValueError, r"expand\(3\)"),
        (lambda: leaf(2, 3).expand(2, 6), ValueError, "length 1"),
        (lambda: Tensor(np.arange(3)) ** -1, ValueError, "negative power"),
        (lambda: len(leaf()), TypeError, "no length"),
    ],
)
def test_errors_name_the_mend(action, error, says):
    with pytest.raises(error, match=says):
        action()


# ---- pieces, einsum, hooks -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "lengths"),
    [(2, [2, 2, 1]), (5, [5]), (9, [5]), ([1, 4], [1, 4]), ((5, 0), [5, 0])],
    ids=str,
)
@pytest.mark.parametrize("dim", [1, -2])
def test_split(sizes, lengths, dim):
    x = leaf(3, 5, 2)
    pieces = x.split(sizes, dim)
    assert [p.shape for p in pieces] == [(3, n, 2) for n in lengths]
    np.testing.assert_array_equal(np.concatenate([p.data for p in pieces], 1), x.data)
    assert all(np.shares_memory(p.data, x.data) for p in pieces if p.data.size)
    for k in range(len(pieces)):  # a piece that is not used has a gradient of 0

        def used(x, k=k):
            return sum((p * p * (i + 1)).sum() for i, p in enumerate(x.split(sizes, dim)) if i >= k)

        assert gradcheck(used, x)


def test_pieces_of_pieces_used_twice():
    def f(x):
        a, b = x.chunk(2)
        c, d = (a * b).split([1, 1], 1)
        return (a * a).sum() + c * d + b[0, 0] * x.sum()

    assert gradcheck(f, leaf(4, 2))


@pytest.mark.parametrize(("n", "lengths"), [(1, [5]), (2, [3, 2]), (3, [2, 2, 1]), (4, [2, 2, 1])])
def test_chunk_is_as_in_pytorch(n, lengths):
    assert [len(p) for p in leaf(5).chunk(n)] == lengths


EINSUMS = {
    "ij,jk->ik": [(2, 3), (3, 4)],
    "ij,kj": [(2, 3), (4, 3)],
    "bij,bjk->bik": [(2, 3, 4), (2, 4, 2)],
    "i,j,k->kij": [(2,), (3,), (4,)],
    "ij->": [(2, 3)],
    "ij->ji": [(2, 3)],
    "ii->i": [(3, 3)],
    "ii": [(3, 3)],
    "iij,j->i": [(2, 2, 3), (3,)],
    "...ij,...jk->...ik": [(2, 1, 2, 3), (4, 3, 2)],
    "...i,...i": [(2, 3), (3,)],
    "b i, i -> b": [(2, 3), (1,)],
    "ik,jk->i": [(2, 3), (4, 3)],
    "i,->i": [(3,), ()],
    "nhld,nhsd->nhls": [(2, 2, 3, 2), (2, 2, 4, 2)],
}


@pytest.mark.parametrize("equation", EINSUMS)
def test_einsum(equation):
    tensors = [leaf(*shape, seed=i) for i, shape in enumerate(EINSUMS[equation])]
    expected = np.einsum(equation, *(t.data for t in tensors))
    np.testing.assert_allclose(einsum(equation, *tensors).data, expected, atol=1e-14)
    assert gradcheck(lambda *t: einsum(equation, *t), tensors)
    assert gradcheck(
        lambda *t: einsum(equation, *t), [tensors[0], *(t.detach() for t in tensors[1:])]
    )


def test_hooks_see_and_change_gradients():
    x = leaf(3)
    seen = []
    y = x * 2
    watching = y.register_hook(lambda g: seen.append(g.copy()))
    doubling = y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: -g)
    (y.sum() + y[0]).backward()
    np.testing.assert_array_equal(seen, [[2, 1, 1]])  # once, when all has come
    np.testing.assert_array_equal(x.grad, [-40, -20, -20])
    y = x * 2
    watching, doubling = y.register_hook(seen.append), y.register_hook(lambda g: g * 10)
    doubling.remove()
    doubling.remove()
    watching.remove()
    x.zero_grad()
    y.sum().backward()
    assert len(seen) == 1
    np.testing.assert_array_equal(x.grad, [-2, -2, -2])


def test_retain_grad_keeps_what_was_computed():
    x = leaf(3)
    y = x * x
    z = y * 3
    y.retain_grad()
    x.retain_grad()
    y.register_hook(lambda g: g * 2)
    z.sum().backward()
    np.testing.assert_array_equal(y.grad, [6, 6, 6])  # after the hooks, as in PyTorch
    np.testing.assert_allclose(x.grad, 12 * x.data)
    assert z.grad is None
    x.zero_grad()
    y = x + 1  # hands its gradient on as it is
    y.retain_grad()
    (y * 3).sum().backward()
    y.grad[:] = 0
    np.testing.assert_array_equal(x.grad, [3, 3, 3])


@pytest.mark.parametrize(
    ("action", "error", "says"),
    [
        (lambda: leaf(5).split(0), ValueError, "length from 1"),
        (lambda: leaf(5).split([2, 2]), ValueError, "add up to 5"),
        (lambda: leaf(5).split([6, -1]), ValueError, "add up to 5"),
        (lambda: leaf(5).chunk(0), ValueError, "whole number from 1"),
        (lambda: leaf(5).split(1, dim=1), ValueError, "axis 1"),
        (lambda: einsum("ij,jk", leaf(2, 3)), ValueError, "names 2 operands, but got 1"),
        (lambda: einsum("ij,jk", leaf(2, 3), leaf(4, 5)), ValueError, r"\(2, 3\), \(4, 5\)"),
        (lambda: einsum("ij->i", leaf(2)), ValueError, "names 2 axes of an operand of shape"),
        (lambda: einsum("i->i", leaf(2, 3)), ValueError, "one letter for each axis"),
        (
            lambda: leaf(2, 3).gather(1, [[-1], [0]]),
            IndexError,
            "from -1 to 0: they must be 0 to 2",
        ),
        (lambda: leaf(2).masked_fill([True, False], [1.0, 2.0]), ValueError, "a single number"),
        (lambda: leaf(2, 3, 4).sum(1, 2), ValueError, r"dim=\(1, 2\)"),
        (lambda: leaf(2, 3).reshape(1.5, 4), TypeError, "integer"),
        (lambda: leaf(4).split(2.0), TypeError, "integer"),
        (lambda: leaf(4).chunk(1.5), TypeError, "integer"),
        (
            lambda: leaf(2, 3).clip(np.zeros(2)),
            ValueError,
            r"clip\(\) of a tensor of shape \(2, 3\)",
        ),
        (lambda: copy.deepcopy(leaf(2) * 2), RuntimeError, "detach"),
        (lambda: Tensor([1.0]).retain_grad(), RuntimeError, "requires_grad"),
        (lambda: Tensor([1.0]).register_hook(print), RuntimeError, "requires_grad"),
    ],
)
def test_errors_of_pieces_einsum_and_hooks(action, error, says):
    with pytest.raises(error, match=says):
        action()


def test_a_hook_must_keep_the_shape():
    x = leaf(3)
    x.register_hook(lambda g: g[:1])
    with pytest.raises(ValueError, match="hook returned"):
        x.sum().backward()
