"""Every operation against PyTorch, on shapes that hypothesis draws. Needs the extras torch and dev.

One line an operation: ``equal(ours, torch's, arrays)`` compares outputs and all gradients, to 1e-10
in float64 and to ‖a-b‖/‖b‖ ≤ 1e-5 in float32.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as TF
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import dlcourse
from dlcourse import Tensor, nn, optim
from dlcourse import functional as F

settings.register_profile("equality", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("equality")

TOLERANCE = {np.float64: 1e-10, np.float32: 1e-5}
SEEDS = st.integers(0, 2**32 - 1)
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5)


def close(ours, theirs, dtype, what):
    ours, theirs = np.asarray(ours), theirs.detach().numpy()
    assert ours.shape == theirs.shape, what
    assert ours.dtype == theirs.dtype == dtype, what
    error = np.linalg.norm(ours.astype(float) - theirs.astype(float))
    scale = max(np.linalg.norm(theirs.astype(float)), 1e-3)
    assert error <= TOLERANCE[dtype] * scale, f"{what}: {error / scale:.2e}"


def equal(ours, theirs, *arrays):
    for dtype in (np.float64, np.float32):
        mine = [Tensor(a.astype(dtype), requires_grad=True) for a in arrays]
        other = [torch.tensor(a.astype(dtype), requires_grad=True) for a in arrays]
        out, expected = ours(*mine), theirs(*other)
        close(out.data, expected, dtype, "output")
        direction = np.random.default_rng(0).normal(size=out.shape).astype(dtype)
        out.backward(direction)
        expected.backward(torch.from_numpy(direction))
        for i, (m, o) in enumerate(zip(mine, other, strict=True)):
            gradient = torch.zeros_like(o) if o.grad is None else o.grad
            close(np.zeros_like(m.data) if m.grad is None else m.grad, gradient, dtype, f"grad {i}")


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


BINARY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / (b * b + 1),
    "pow": lambda a, b: (a * a + 0.5) ** b,
}


@pytest.mark.parametrize("name", BINARY)
@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4), seed=SEEDS)
def test_binary(name, shapes, seed):
    a, b = (normal(seed + i, *shape) for i, shape in enumerate(shapes.input_shapes))
    equal(BINARY[name], BINARY[name], a, b)


@given(
    shapes=hnp.mutually_broadcastable_shapes(signature="(n?,k),(k,m?)->(n?,m?)", max_side=4),
    seed=SEEDS,
)
def test_matmul(shapes, seed):
    a, b = (normal(seed + i, *shape) for i, shape in enumerate(shapes.input_shapes))
    equal(lambda a, b: a @ b, lambda a, b: a @ b, a, b)


UNARY = {
    "exp": (lambda x: x.exp(),) * 2,
    "log": (lambda x: (x * x + 0.1).log(),) * 2,
    "sqrt": (lambda x: (x * x + 0.1).sqrt(),) * 2,
    "abs": (lambda x: x.abs(),) * 2,
    "clip": (lambda x: x.clip(-0.5, 0.7),) * 2,
    "clip max": (lambda x: x.clip(max=0.2),) * 2,
    "neg": (lambda x: -x,) * 2,
    "square": (lambda x: x**2,) * 2,
    "cube": (lambda x: x**3,) * 2,
    "fifth": (lambda x: x**5,) * 2,
    "to the zero": (lambda x: (x * 0) ** 0,) * 2,
    "2**x": (lambda x: 2**x,) * 2,
    "1/x": (lambda x: 1 / (x * x + 1),) * 2,
    "sin": (lambda x: x.sin(),) * 2,
    "cos": (lambda x: x.cos(),) * 2,
    "clamp": (lambda x: x.clamp(min=-0.3),) * 2,
    "pow": (lambda x: x.pow(2),) * 2,
    "clone": (lambda x: abs(x.clone()),) * 2,
    "view": (lambda x: x.view(-1),) * 2,
    "masked_fill": (lambda x: x.masked_fill((x > 0) & ~(x > 1), 3.0),) * 2,
    "matmul": (lambda x: x.matmul(x.transpose(-1, -2)) if x.ndim > 1 else x.dot(x),) * 2,
    "outer": (lambda x: x.flatten().outer(x.flatten()[:2]),) * 2,
    "relu": (lambda x: x.relu(),) * 2,
    "sigmoid": (lambda x: x.sigmoid(),) * 2,
    "tanh": (lambda x: x.tanh(),) * 2,
    "softmax": (lambda x: x.softmax(-1),) * 2,
    "log_softmax": (lambda x: x.log_softmax(0),) * 2,
    "flatten": (lambda x: x.flatten(),) * 2,
    "unsqueeze": (lambda x: x.unsqueeze(0).unsqueeze(-1),) * 2,
    "squeeze": (lambda x: x.squeeze(),) * 2,
    "reshape": (lambda x: x.reshape(-1, x.shape[-1]),) * 2,
    "first": (lambda x: x[0],) * 2,
    "ellipsis": (lambda x: x[..., -1:],) * 2,
    "new axis": (lambda x: x[None, 1:],) * 2,
    "repeated": (lambda x: x[[0, 0, -1]],) * 2,
    "expand": (lambda x: x.unsqueeze(0).expand(3, *[-1] * len(x.shape)),) * 2,
    "mean all": (lambda x: x.mean(),) * 2,
    "sum all": (lambda x: x.sum(),) * 2,
    "max all": (lambda x: x.max(),) * 2,
    "min all": (lambda x: (x * 0 + 2).min(),) * 2,
    "logsumexp all": (lambda x: x.logsumexp(), lambda x: x.logsumexp(tuple(range(x.ndim)))),
}


@pytest.mark.parametrize("name", UNARY)
@given(shape=SHAPES, seed=SEEDS)
def test_unary(name, shape, seed):
    equal(*UNARY[name], normal(seed, *shape))


ALONG = {
    "sum": lambda x, d, k: x.sum(d, k),
    "mean": lambda x, d, k: x.mean(dim=d, keepdim=k),
    "logsumexp": lambda x, d, k: x.logsumexp(d, k),
    "var": lambda x, d, k: x.var(dim=d, keepdim=k, correction=0),
    "std": lambda x, d, k: x.std(dim=d, keepdim=k, correction=0),
    "amax": lambda x, d, k: x.amax(d, k) if isinstance(x, torch.Tensor) else x.max(d, k),
    "amin": lambda x, d, k: x.amin(d, k) if isinstance(x, torch.Tensor) else x.min(d, k),
}


@pytest.mark.parametrize("name", ALONG)
@given(data=st.data(), shape=SHAPES, keepdim=st.booleans(), seed=SEEDS)
def test_reduction(name, data, shape, keepdim, seed):
    n = len(shape)
    dims = tuple(data.draw(st.lists(st.integers(-n, n - 1), min_size=1, unique_by=lambda d: d % n)))
    if name in ("std",) and np.prod([shape[d] for d in dims]) == 1:
        return  # a single element: torch's slope of a square root at 0 is not defined
    equal(*[lambda x: ALONG[name](x, dims, keepdim)] * 2, normal(seed, *shape))


@given(data=st.data(), shape=SHAPES, keepdim=st.booleans(), seed=SEEDS)
def test_along_one_axis(data, shape, keepdim, seed):
    x, d = normal(seed, *shape).round(1), data.draw(st.integers(-len(shape), len(shape) - 1))
    unique = x + np.random.default_rng(seed).normal(size=shape) * 1e-3
    equal(*[lambda x: x.max(dim=d, keepdim=keepdim).values] * 2, unique)
    equal(*[lambda x: x.min(d, keepdim).values] * 2, unique)
    equal(lambda x: F.softmax(x, d), lambda x: TF.softmax(x, d), x)
    equal(lambda x: F.log_softmax(x, d), lambda x: TF.log_softmax(x, d), x)
    equal(*[lambda x: x.transpose(d, 0)] * 2, x)
    equal(*[lambda x: x.unsqueeze(d).squeeze(d)] * 2, x)
    equal(
        lambda x: dlcourse.cat([x, x * 2], d),
        lambda x: torch.cat([x, x * 2], d),
        x,
    )
    equal(
        lambda x: dlcourse.stack([x, x * 2], d),
        lambda x: torch.stack([x, x * 2], d),
        x,
    )
    equal(*[lambda x: x.cumsum(d)] * 2, x)
    for down in (False, True):
        equal(*[lambda x: x.sort(d, descending=down).values] * 2, unique)  # noqa: B023
        equal(*[lambda x: x.topk((x.shape[d] + 1) // 2, d, down).values] * 2, unique)  # noqa: B023
    pieces = data.draw(st.integers(1, 6))
    equal(*[lambda x: x.unbind(d)[-1] + x.unbind(d)[0]] * 2, x)
    equal(*[lambda x: x.chunk(pieces, d)[-1] * 2] * 2, x)
    equal(*[lambda x: x.split(pieces, d)[0] * 2] * 2, x)
    if len(shape) > 1:
        equal(*[lambda x: x.tril(d) + 2 * x.triu(d)] * 2, x)
    order = data.draw(st.permutations(range(len(shape))))
    equal(*[lambda x: x.permute(*order)] * 2, x)


@given(data=st.data(), shape=SHAPES, seed=SEEDS)
def test_gather(data, shape, seed):
    d = data.draw(st.integers(-len(shape), len(shape) - 1))
    size = [data.draw(st.integers(1, n)) for n in shape]
    size[d] = data.draw(st.integers(0, 6))
    at = np.random.default_rng(seed).integers(0, shape[d], size)
    equal(lambda x: x.gather(d, at), lambda x: x.gather(d, torch.tensor(at)), normal(seed, *shape))


@given(shape=SHAPES, seed=SEEDS)
def test_parts_may_go_back_one_by_one(shape, seed):
    a = normal(seed, *shape)
    ours, theirs = Tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    for x in (ours, theirs):
        for k, part in enumerate((*x.chunk(2), *x.split(2), *x)):
            (part * (k + 1)).sum().backward()
    close(ours.grad, theirs.grad, np.float64, "gradient")


@given(shape=SHAPES, seed=SEEDS)
def test_ties_share_as_in_torch(shape, seed):
    x = np.random.default_rng(seed).integers(0, 3, shape).astype(float)
    equal(*[lambda x: x.max()] * 2, x)
    equal(*[lambda x: x.max(dim=0).values] * 2, x)
    equal(lambda x: x.min((0,)), lambda x: x.amin((0,)), x)


@given(shape=SHAPES, outputs=st.integers(1, 5), bias=st.booleans(), seed=SEEDS)
def test_linear(shape, outputs, bias, seed):
    arrays = [normal(seed, *shape), normal(seed + 1, outputs, shape[-1])]
    equal(F.linear, TF.linear, *arrays, *([normal(seed + 2, outputs)] if bias else []))


@st.composite
def classification(draw):
    n, c = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    extra = draw(st.lists(st.integers(1, 3), max_size=2))
    rng = np.random.default_rng(draw(SEEDS))
    options = {"reduction": draw(st.sampled_from(["mean", "sum", "none"]))}
    options["label_smoothing"] = draw(st.sampled_from([0.0, 0.1, 0.9]))
    weight = rng.uniform(0.1, 2, c) if draw(st.booleans()) else None
    labels = rng.integers(0, c, (n, *extra))
    probabilities = np.moveaxis(rng.dirichlet(np.ones(c), (n, *extra)), -1, 1)
    if draw(st.booleans()):
        options["ignore_index"] = draw(st.integers(-1, c - 1))
        labels.flat[0] = (options["ignore_index"] + 1) % c  # something is left
    return rng.normal(size=(n, c, *extra)) * 3, labels, probabilities, weight, options


@given(case=classification())
def test_cross_entropy(case):
    z, labels, probabilities, weight, options = case

    def theirs(target, **options):
        def loss(z):
            w = None if weight is None else torch.tensor(weight, dtype=z.dtype)
            t = torch.tensor(target)
            return TF.cross_entropy(z, t.to(z.dtype) if t.is_floating_point() else t, w, **options)

        return loss

    if options.get("ignore_index") == 0 and z.shape[1] == 1:
        return  # every label is ignored
    equal(lambda z: F.cross_entropy(z, labels, weight, **options), theirs(labels, **options), z)
    options.pop("ignore_index", None)
    equal(
        lambda z: F.cross_entropy(z, probabilities, weight, **options),
        theirs(probabilities, **options),
        z,
    )
    equal(
        lambda z: F.cross_entropy(z[0].flatten(1)[:, 0], labels[0].flat[0]),
        lambda z: TF.cross_entropy(z[0].flatten(1)[:, 0], torch.tensor(labels[0].flat[0])),
        z.reshape(*z.shape, 1),
    )


@given(shape=SHAPES, reduction=st.sampled_from(["mean", "sum", "none"]), seed=SEEDS)
def test_other_losses(shape, reduction, seed):
    rng = np.random.default_rng(seed)
    x, y, p, t = (
        normal(seed, *shape),
        normal(seed + 1, *shape),
        *rng.uniform(0.01, 0.99, (2, *shape)),
    )
    w, pos = rng.uniform(0.5, 2, (2, shape[-1]))
    equal(
        lambda x, y: F.mse_loss(x, y, reduction),
        lambda x, y: TF.mse_loss(x, y, reduction=reduction),
        x,
        y,
    )

    def as_(a, like):
        return torch.tensor(a, dtype=like.dtype)

    equal(
        lambda x: F.binary_cross_entropy_with_logits(
            x, t.astype(x.dtype), w, reduction, pos_weight=pos
        ),
        lambda x: TF.binary_cross_entropy_with_logits(
            x, as_(t, x), as_(w, x), reduction=reduction, pos_weight=as_(pos, x)
        ),
        5 * x,
    )
    equal(
        lambda p: F.binary_cross_entropy(p, t.astype(p.dtype), w, reduction),
        lambda p: TF.binary_cross_entropy(p, as_(t, p), as_(w, p), reduction=reduction),
        p,
    )


OPTIMISERS = {
    "sgd": ("SGD", {"lr": 0.1}),
    "momentum": ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01}),
    "nesterov": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "adagrad": ("Adagrad", {"lr": 0.1, "lr_decay": 0.01, "weight_decay": 0.01}),
    "rmsprop": ("RMSprop", {"lr": 0.01, "momentum": 0.5, "centered": True}),
    "adam": ("Adam", {"lr": 0.01, "weight_decay": 0.01}),
    "adamw": ("AdamW", {"lr": 0.01, "betas": (0.8, 0.99)}),
}


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-3)])
def test_100_steps_from_the_same_weights(name, dtype, tolerance):
    kind, options = OPTIMISERS[name]
    rng = np.random.default_rng(0)
    ours = nn.Sequential(nn.Linear(8, 32, rng=rng), nn.Tanh(), nn.Linear(32, 4, rng=rng))
    ours = ours.double() if dtype == np.float64 else ours
    theirs = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 4))
    theirs = theirs.to(torch.float64 if dtype == np.float64 else torch.float32)
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in ours.state_dict().items()})
    a = getattr(optim, kind)(ours.parameters(), **options)
    b = getattr(torch.optim, kind)(theirs.parameters(), **options)
    for _ in range(100):
        x, y = rng.normal(size=(16, 8)).astype(dtype), rng.integers(0, 4, 16)
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
    ours.load_state_dict(back)
    assert list(back) == list(ours.state_dict())


@pytest.mark.parametrize("name", OPTIMISERS)
def test_an_optimisers_state_goes_on_in_torch_and_back(name):
    kind, options = OPTIMISERS[name]
    p = Tensor(normal(0, 3, 2), requires_grad=True)
    q = torch.tensor(p.data, requires_grad=True)
    a, b = getattr(optim, kind)([p], **options), getattr(torch.optim, kind)([q], **options)

    def as_torch(state):
        return {k: torch.tensor(v) for k, v in state.items()}

    for step in range(9):
        if step == 3:
            saved = a.state_dict()
            b = getattr(torch.optim, kind)([q], **options)
            b.load_state_dict(
                {**saved, "state": {i: as_torch(s) for i, s in saved["state"].items()}}
            )
        if step == 6:
            saved = b.state_dict()
            arrays = {i: {k: v.numpy() for k, v in s.items()} for i, s in saved["state"].items()}
            a = getattr(optim, kind)([p], **options)
            a.load_state_dict({**saved, "state": arrays})
        p.grad = normal(step, 3, 2)
        q.grad = torch.from_numpy(p.grad.copy())
        a.step()
        b.step()
        close(p.data, q, np.float64, f"step {step}")


SCHEDULES = {
    "in turn": lambda m, o: InTurn(
        m.LinearLR(o, 0.2, 1.0, 5), m.StepLR(o, 4, 0.5), m.CosineAnnealingLR(o, 12, 0.01)
    ),
    "StepLR": lambda m, o: m.StepLR(o, 7, gamma=0.5),
    "LinearLR": lambda m, o: m.LinearLR(o, 0.1, 1.0, 9),
    "CosineAnnealingLR": lambda m, o: m.CosineAnnealingLR(o, 12, eta_min=0.01),
    "OneCycleLR": lambda m, o: m.OneCycleLR(o, 0.3, total_steps=40),
    "SequentialLR": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o, 0.2, 1.0, 5), m.CosineAnnealingLR(o, 20)], [5]
    ),
}


class InTurn(list):
    """Several schedules, stepped in turn."""

    def __init__(self, *schedules):
        super().__init__(schedules)

    def step(self):
        for schedule in self:
            schedule.step()


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule(name):
    ours = optim.SGD([Tensor([1.0], requires_grad=True)], lr=0.1, momentum=0.9)
    theirs = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.1, momentum=0.9)
    a = SCHEDULES[name](optim.lr_scheduler, ours)
    b = SCHEDULES[name](torch.optim.lr_scheduler, theirs)
    for _ in range(39):
        group, expected = ours.param_groups[0], theirs.param_groups[0]
        assert group["lr"] == pytest.approx(expected["lr"], rel=1e-9, abs=1e-15)
        assert group["momentum"] == pytest.approx(expected["momentum"], rel=1e-9)
        theirs.step()
        a.step()
        b.step()


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, np.inf])
def test_clipping(norm_type):
    arrays = [normal(i, 3, 2) for i in range(3)]
    ours = [Tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    for a, b in zip(ours, theirs, strict=True):
        a.grad, b.grad = 3 * a.data, 3 * b.detach()
    norm = optim.clip_grad_norm_(ours, 0.7, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, 0.7, norm_type)
    assert norm == pytest.approx(expected.item())
    for a, b in zip(ours, theirs, strict=True):
        close(a.grad, b.grad, np.float64, "clipped")
