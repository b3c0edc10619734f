"""Tensor's methods with PyTorch's names, parts with gradients of their own, changes in place."""

import numpy as np
import pytest

from dlcourse import Tensor, cat, init, nn, no_grad, optim, where
from dlcourse import functional as F
from dlcourse.gradcheck import gradcheck
from dlcourse.tensor import record


def leaf(*shape, seed=0):
    return Tensor(np.random.default_rng(seed).uniform(-2, 2, shape), requires_grad=True)


X = leaf(3, 4)
PICKED = np.array([[0, 0, 2, 3], [3, 1, 1, 1]])
# each method's result in Tensor's words, and in numpy's
METHODS = {
    "sin": (lambda x: x.sin(), np.sin),
    "cos": (lambda x: x.cos(), np.cos),
    "abs": (lambda x: abs(x), np.abs),
    "clamp": (lambda x: x.clamp(-1, 1), lambda a: a.clip(-1, 1)),
    "pow": (lambda x: x.pow(3), lambda a: a**3),
    "clone": (lambda x: x.clone(), np.array),
    "view": (lambda x: x.view(2, -1), lambda a: a.reshape(2, -1)),
    "double": (lambda x: x.double(), lambda a: a),
    "tril": (lambda x: x.tril(1), lambda a: np.tril(a, 1)),
    "triu": (lambda x: x.triu(-1), lambda a: np.triu(a, -1)),
    "masked_fill": (lambda x: x.masked_fill(X > 0, 7), lambda a: np.where(a > 0, 7, a)),
    "cumsum": (lambda x: x.cumsum(-1), lambda a: a.cumsum(-1)),
    "cumsum of rows": (lambda x: x.cumsum(0), lambda a: a.cumsum(0)),
    "sort": (lambda x: x.sort().values, np.sort),
    "sort down": (lambda x: x.sort(0, descending=True).values, lambda a: -np.sort(-a, 0)),
    "topk": (lambda x: x.topk(2, 1).values, lambda a: -np.sort(-a)[:, :2]),
    "topk smallest": (lambda x: x.topk(1, 0, largest=False)[0], lambda a: a.min(0)[None]),
    "gather": (lambda x: x.gather(1, PICKED), lambda a: np.take_along_axis(a[:2], PICKED, 1)),
    "gather rows": (
        lambda x: x.gather(0, PICKED % 3),
        lambda a: np.take_along_axis(a, PICKED % 3, 0),
    ),
    "unbind": (lambda x: x.unbind(1)[2], lambda a: a[:, 2]),
    "unpacking": (lambda x: cat([*x]), np.ravel),
    "matmul": (lambda x: x.matmul(x.T), lambda a: a @ a.T),
    "dot": (lambda x: x[0].dot(x[1]), lambda a: a[0] @ a[1]),
    "outer": (lambda x: x[0].outer(x[1]), lambda a: np.outer(a[0], a[1])),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_give_numpys_values_and_their_gradients(name):
    ours, numpys = METHODS[name]
    np.testing.assert_allclose(ours(X).data, numpys(X.data), rtol=1e-12)
    assert gradcheck(ours, X)


def test_methods_without_gradient():
    x = Tensor(np.array([[3, 1], [2, 5]]))
    assert (x.size(), x.size(-1), x.dim(), x.numel()) == ((2, 2), 2, 2, 4)
    assert x.tolist() == [[3, 1], [2, 5]]
    assert (x.argmin().item(), x.argmin(0).tolist()) == (1, [1, 0])
    assert (x > 0).all()
    assert (x > 2).any(dim=1).tolist() == [True, True]
    assert (x > 2).all(dim=0, keepdim=True).tolist() == [[False, False]]
    assert Tensor([-1.7, 1.7]).long().tolist() == [-1, 1]
    assert (x.float().dtype, x.double().dtype) == (np.float32, np.float64)


def test_indices_of_sort_and_topk_name_equal_elements_in_their_order():
    x = Tensor([2.0, 1.0, 2.0, 1.0])
    assert x.sort().indices.tolist() == [1, 3, 0, 2]
    assert x.sort(descending=True).indices.tolist() == [0, 2, 1, 3]
    assert x.topk(3).indices.tolist() == [0, 2, 1]


def test_logic_of_booleans():
    x = Tensor([-1.0, 0.5, 2.0])
    assert ((x > 0) & (x < 1)).tolist() == [False, True, False]
    assert ((x < 0) | (x > 1)).tolist() == [True, False, True]
    assert (~(x > 0)).tolist() == [True, False, False]
    assert ((x > 0) ^ True).tolist() == [True, False, False]
    assert (True & (x > 0)).tolist() == [False, True, True]
    assert (Tensor(np.array([6, 3])) & 2).tolist() == [2, 2]
    with pytest.raises(ValueError, match="brackets"):
        x & (x > 0)


def test_a_conversion_keeps_what_needs_none_and_passes_the_gradient_back_in_its_own_kind():
    x = Tensor([1.0, 2.0], requires_grad=True)
    assert x.float() is x
    (x.double() ** 2).sum().backward()
    assert x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad, [2, 4])


def test_only_leaves_can_start_or_stop_to_need_a_gradient():
    x = Tensor([1.0])
    assert x.requires_grad_() is x
    assert x.requires_grad
    assert x.is_leaf
    assert not (x * 2).is_leaf
    assert not x.requires_grad_(False).requires_grad
    with pytest.raises(RuntimeError, match="leaves"):
        (x.requires_grad_() * 2).requires_grad_()
    with pytest.raises(ValueError, match="floating-point"):
        Tensor(np.arange(3)).requires_grad_()


# ---- parts ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cut",
    [
        lambda x: x.chunk(2),
        lambda x: x.split([1, 3]),
        lambda x: x.unbind(),
        lambda x: tuple(x),
        lambda x: (x[0], x[1:]),
    ],
)
@pytest.mark.parametrize("computed", [False, True])
def test_each_part_may_go_back_alone_as_in_pytorch(cut, computed):
    x = leaf(4, 3)
    a, *_, b = cut(x + 0 if computed else x)
    if computed:
        (a.sum() + b.sum()).backward()
    else:
        a.sum().backward()
        (2 * b).sum().backward()
    assert x.grad.shape == x.shape
    expected = np.zeros((4, 3))
    k, n = (len(p.data) if p.ndim > 1 else 1 for p in (a, b))
    expected[:k] += 1
    expected[4 - n :] += 1 if computed else 2
    np.testing.assert_allclose(x.grad, expected)


def test_parts_and_the_whole_add_up_in_any_order():
    def f(x):
        whole = x * 2
        rows = [whole[i] * i for i in (2, 0, 1, 1)]
        return sum(rows).sum() + (whole * whole).sum() + whole[[0, 0]].sum() + whole[..., 1].sum()

    assert gradcheck(f, leaf(3, 2))


def test_overlapping_parts_add_up():
    x = leaf(4, 2)
    (x[:3].sum() + 2 * x[1:].sum() + 3 * x[1].sum() + 4 * x[[1, 1, 0]].sum()).backward()
    np.testing.assert_array_equal(x.grad, [[5, 5], [14, 14], [3, 3], [2, 2]])


@pytest.mark.parametrize("turned", [False, True])
def test_rows_that_bytes_name_twice_get_all_their_gradients(turned):
    x, rows = leaf(4, 100), np.array([[3, -1], [0, 3]], np.int8)  # 3 * 100 is no byte
    (x.T.clone().T if turned else x.clone())[rows].sum().backward()
    np.testing.assert_array_equal(x.grad, np.repeat([[1], [0], [0], [3]], 100, axis=1))


def test_leaves_that_get_one_array_for_gradient_share_no_memory():
    a, b, c = leaf(3), leaf(3), leaf(3)
    ((a + b + c) * 2).sum().backward()
    a.grad += 1
    np.testing.assert_array_equal([b.grad, c.grad], 2)
    assert not np.shares_memory(b.grad, c.grad)


def test_many_parts_cost_one_array_not_one_each():
    x, touched = Tensor(np.ones((2000, 500)), requires_grad=True), []
    plain = np.zeros_like
    y = x * 1
    loss = sum((row.sum() for row in y), start=(y * 0).sum())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "zeros_like", lambda a: touched.append(1) or plain(a))
        loss.backward()
    assert len(touched) == 1
    np.testing.assert_array_equal(x.grad, 1)


# ---- changes in place -------------------------------------------------------------------

CHANGES = {
    "step": lambda model, x: optim.SGD(model.parameters(), lr=0.1).step(),
    "load_state_dict": lambda model, x: model.load_state_dict(model.state_dict()),
    "copy_": lambda model, x: no_grad()(model.weight.copy_)(0),
    "assignment": lambda model, x: no_grad()(model.weight.__setitem__)(0, 1.0),
    "in place": lambda model, x: no_grad()(model.weight.__imul__)(2.0),
    "initialisation": lambda model, x: model.apply(lambda m: init.zeros_(m.weight)),
    "conversion": lambda model, x: model.double(),
    "the input": lambda model, x: x.__iadd__(1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_between_forward_and_backward_is_noticed(name):
    model, x = nn.Linear(3, 2, rng=0), Tensor(np.ones((4, 3), np.float32))
    F.mse_loss(model(x), np.zeros((4, 2), np.float32)).backward()
    loss = F.mse_loss(model(x), np.zeros((4, 2), np.float32))
    CHANGES[name](model, x)
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()
    model.float().zero_grad()
    F.mse_loss(
        model(x), np.zeros((4, 2), np.float32)
    ).backward()  # what is computed from it now is fine
    assert model.weight.grad is not None


def test_in_place_on_what_needs_no_gradient_changes_it_itself():
    x = Tensor(np.zeros(2, np.float32))
    same = x
    x += 1
    x *= np.float32(3)
    assert x is same
    assert x.tolist() == [3, 3]
    total = x
    total += Tensor([1.0, 1.0], requires_grad=True)  # recorded, so a new one
    assert total.requires_grad
    assert x.tolist() == [3, 3]
    with pytest.raises(ValueError, match="x = x"):
        x += np.zeros((2, 2), np.float32)
    count = Tensor(np.array([1]))
    with pytest.raises(ValueError, match="no place"):
        count += 0.5


def test_assignment():
    x = Tensor(np.zeros((2, 3, 4)))
    x[0] = 1
    x[1, :, [0, 2]] = np.array([[1, 2, 3], [4, 5, 6]]).T
    x[:, -1] = Tensor(np.full(4, 9.0))
    x[x == 9] = 8
    expected = np.zeros((2, 3, 4))
    expected[0], expected[1][:, [0, 2]], expected[:, -1] = 1, [[1, 4], [2, 5], [3, 6]], 8
    expected[1, :, 0], expected[1, :, 2] = [1, 2, 8], [4, 5, 8]
    np.testing.assert_array_equal(x.data, expected)
    w = leaf(3)
    for target, value in ((w, 1.0), (w * 2, 1.0), (Tensor(np.zeros(3)), w[0])):
        with pytest.raises(RuntimeError, match="where"):
            target[0] = value
    with no_grad():
        w[0] = 5.0
    assert w.data[0] == 5


def test_retain_graph_walks_again():
    x = leaf(3)
    y = (x.exp() * x).sum()
    y.backward(retain_graph=True)
    once = x.grad.copy()
    y.backward()
    np.testing.assert_allclose(x.grad, 2 * once)
    with pytest.raises(RuntimeError, match="retain_graph"):
        y.backward()


def cut_short(x):
    return record(x.data * 2, (x,), lambda g: (2 * g[:2],))


def test_a_text_is_in_no_tensor():
    assert 2.0 in Tensor([1.0, 2.0])
    assert "2" not in Tensor([1.0, 2.0])


@pytest.mark.parametrize(
    ("action", "error", "says"),
    [
        (lambda: leaf(2, 3).gather(1, np.zeros(3, int)), ValueError, "gather"),
        (lambda: leaf(2, 3).gather(1, np.zeros((3, 3), int)), ValueError, "no axis but 1 longer"),
        (lambda: leaf(2, 3).gather(1, np.zeros((2, 3))), ValueError, "integers"),
        (lambda: leaf(2, 3).topk(4), ValueError, "from 0 to 3"),
        (lambda: leaf(2, 3).dot(leaf(3)), ValueError, "one axis"),
        (lambda: leaf(2, 3).cumsum(2), ValueError, "axis 2"),
        (lambda: leaf(2, 3).var(False), ValueError, "whole number, not a bool"),
        (lambda: leaf(2, 3).max(leaf(2, 3)), ValueError, "whole number, not a Tensor"),
        (lambda: leaf(2, 0).max(1), ValueError, r"\(2, 0\) has no elements over dim=1"),
        (lambda: leaf(0).argmin(), ValueError, "no elements"),
        (lambda: leaf(3).triu(), ValueError, "triu.*2 axes"),
        (lambda: leaf(2, 3, 4).flatten(2, 1), ValueError, "from 2 to 1"),
        (lambda: f"{leaf(3):.2f}", ValueError, "one element"),
        (lambda: Tensor([1.0, 2.0]).copy_([1.0, 2.0, 3.0]), ValueError, r"shape \(2,\): could not"),
        (lambda: cut_short(leaf(3)).sum().backward(), ValueError, r"\(2,\) for an .* \(3,\)"),
        (lambda: leaf(2, 3)[2], IndexError, r"shape \(2, 3\): index 2 is out of bounds"),
        (lambda: leaf(2, 3).masked_fill(np.ones(2, bool), 0), ValueError, "mask of shape"),
        (lambda: leaf(2).masked_fill([0.3, 1.0], 0), ValueError, "mask of float64: it needs bool"),
        (lambda: where([0, 2], leaf(2), 0.0), ValueError, "mask of int64: it needs booleans"),
        (lambda: Tensor(np.arange(2)).masked_fill([True, False], -np.inf), ValueError, "no infin"),
        (lambda: leaf(2, 3).sum(0, axis=1), ValueError, "dim=0 and axis=1"),
        (lambda: leaf(3).split([1.5, 1.5]), TypeError, "as an integer"),
        (lambda: list(leaf()), TypeError, "no axes"),
    ],
)
def test_errors(action, error, says):
    with pytest.raises(error, match=says):
        action()


def test_a_single_number_has_an_axis_for_reductions_as_in_pytorch():
    x = Tensor(np.array(2.0), requires_grad=True)
    for result in (x.sum(0), x.mean(-1), x.logsumexp(0)):
        result.backward()
        assert result.shape == ()
    assert x.grad == 3
    assert x.argmax(0).item() == x.argmin(axis=0).item() == 0
    with pytest.raises(ValueError, match="axis 1 of a tensor of 0 axes: it has none"):
        x.sum(1)


def test_clip_by_tensors_gives_them_the_gradient_of_what_they_limit():
    low, high = leaf(4, seed=1), leaf(3, 1, seed=2)
    assert gradcheck(lambda x, a, b: x.clip(a, b), (X, low, high))  # also where low is above high
    assert gradcheck(lambda x, b: x.clip(max=b), (low, X))  # the limits have more axes
    assert gradcheck(lambda x, a: x.clip(a), (X, low))


def test_no_axes_are_all_axes():
    assert X.sum(()).shape == X.max(()).shape == ()
    assert X.var(dim=(), keepdim=True).shape == (1, 1)


def test_a_tensor_without_axes_is_a_number_in_an_index():
    x = Tensor(np.arange(24).reshape(2, 3, 4))
    i = Tensor(np.array(1))
    assert x[i, :, [0, 2]].shape == (3, 2)
    np.testing.assert_array_equal(x[i, i].data, x.data[1, 1])


def test_clip_of_integers_by_what_is_none():
    out = Tensor(np.array([-2, 0, 2])).clamp(-0.5, 1)
    assert out.dtype == np.float32
    assert out.tolist() == [-0.5, 0, 1]
    assert Tensor(np.array([-2, 2])).clamp(0, 1).dtype == np.int64


def test_sums_of_bytes_are_whole_numbers_of_either_sign():
    one, two = (Tensor(np.array([n], np.uint8)) for n in (1, 2))
    for difference in (one.sum() - two.sum(), one.cumsum(0) - two.cumsum(0), -one.sum()):
        assert difference.dtype == np.int64
        assert difference.item() == -1


def test_where_gives_a_number_the_dtype_of_the_array_beside_it():
    mask, array = np.array([True, False]), np.array([1 / 3, 2])
    for found, expected in [
        (where(mask, array, 1.0), [1 / 3, 1]),
        (where(mask, 1.0, array), [1, 2]),
        (where(mask, array, Tensor(array)), array),
        (where(mask, [5, 6], array.astype(np.float32)), [5, 2]),
    ]:
        np.testing.assert_array_equal(found.data, expected)
    assert where(mask, 1.0, 0.0).dtype == np.float32


def test_arrays_of_the_other_byte_order_are_turned_round():
    x = np.array([[1.5, 2]], ">f8")
    np.testing.assert_array_equal((Tensor(x) + Tensor(np.ones(2))).data, [[2.5, 3]])
    assert F.scaled_dot_product_attention(x, x, x).dtype == np.float64


def test_a_length_below_minus_one_is_no_length():
    with pytest.raises(ValueError, match="or -1 for what is left"):
        Tensor(np.zeros((2, 3))).reshape(-5, 3)
    with pytest.raises(ValueError, match="only axes of length 1 and new ones"):
        Tensor(np.zeros(2)).expand(-1, 2)
    assert Tensor(np.zeros((2, 1))).expand(3, -1, 4).shape == (3, 2, 4)
