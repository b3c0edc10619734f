"""Optimisers against their formulas, written out here once more, plainly."""

import numpy as np
import pytest

from dlcourse import Tensor, nn, optim
from dlcourse.optim import lr_scheduler, optimizers

TARGET = np.linspace(-1, 1, 6).reshape(2, 3)


def run(optimizer_class, steps=20, **options):
    """Follow a quadratic with uneven curvature; return the parameter after each step."""
    p = Tensor(np.ones((2, 3)), requires_grad=True)
    optimizer = optimizer_class([p], **options)
    path = []
    for _ in range(steps):
        optimizer.zero_grad()
        ((p - TARGET) ** 2 * np.arange(1.0, 7.0).reshape(2, 3)).sum().backward()
        optimizer.step()
        path.append(p.data.copy())
    return np.array(path)


def gradient(p):
    return 2 * (p - TARGET) * np.arange(1.0, 7.0).reshape(2, 3)


def sgd(lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, steps=20):
    p, v = np.ones((2, 3)), None
    for _ in range(steps):
        g = gradient(p) + weight_decay * p
        v = g if v is None else momentum * v + (1 - dampening) * g
        p = p - lr * (g + momentum * v if nesterov else v if momentum else g)
        yield p


def adam(lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False, steps=20):
    p, m, v = np.ones((2, 3)), 0, 0
    for t in range(1, steps + 1):
        g = gradient(p)
        if decoupled:
            p = p - lr * weight_decay * p
        else:
            g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        p = p - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
        yield p


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.5, "dampening": 0.5},
        {"weight_decay": 0.1},
        {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True},
    ],
    ids=str,
)
def test_sgd(options):
    expected = list(sgd(0.02, **options))
    np.testing.assert_allclose(run(optim.SGD, lr=0.02, **options), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "options",
    [{}, {"betas": (0.5, 0.9)}, {"eps": 0.1}, {"weight_decay": 0.3}, {"betas": (0.0, 0.9)}],
    ids=str,
)
def test_adam_and_adamw(options):
    np.testing.assert_allclose(
        run(optim.Adam, lr=0.1, **options), list(adam(0.1, **options)), rtol=1e-9
    )
    options = {"weight_decay": 0.01, **options}
    np.testing.assert_allclose(
        run(optim.AdamW, lr=0.1, **options),
        list(adam(0.1, decoupled=True, **options)),
        rtol=1e-9,
    )


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_a_gradient_of_another_kind_or_shape_is_refused(kind):
    p = Tensor(np.ones((2, 3)), requires_grad=True)
    for grad, got in (
        (np.ones(3), r"ndarray of shape \(3,\)"),
        (Tensor(np.ones((2, 3))), "Tensor"),
    ):
        p.grad = grad
        with pytest.raises(ValueError, match=rf"a {got}.*array of shape \(2, 3\)"):
            kind([p]).step()


def test_a_rate_of_zero_changes_nothing_but_the_moments():
    p, same = (Tensor(np.array([1.0, -2.0]), requires_grad=True) for _ in range(2))
    decayed = optim.AdamW([p], lr=0, weight_decay=0.1)
    plain = optim.AdamW([same], lr=0, weight_decay=0)
    for optimizer, q in ((decayed, p), (plain, same)):
        q.grad = np.array([0.001, 0.001])
        optimizer.step()
    np.testing.assert_array_equal(p.data, [1, -2])
    np.testing.assert_array_equal(decayed.state[p]["exp_avg"], plain.state[same]["exp_avg"])


def test_adam_works_in_chunks_as_in_one(monkeypatch):
    whole = run(optim.Adam, lr=0.1, weight_decay=0.1)
    chunks = optimizers._chunks
    monkeypatch.setattr(optimizers, "_chunks", lambda *arrays: chunks(*arrays, size=4))
    np.testing.assert_array_equal(run(optim.Adam, lr=0.1, weight_decay=0.1), whole)


def rmsprop(lr, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False, steps=20):
    p, s, mean, v = np.ones((2, 3)), 0, 0, 0
    for _ in range(steps):
        g = gradient(p) + weight_decay * p
        s = alpha * s + (1 - alpha) * g**2
        mean = alpha * mean + (1 - alpha) * g
        move = g / (np.sqrt(s - mean**2 if centered else s) + eps)
        v = momentum * v + move
        p = p - lr * (v if momentum else move)
        yield p


def adagrad(lr, lr_decay=0.0, weight_decay=0.0, initial=0.0, eps=1e-10, steps=20):
    p, s = np.ones((2, 3)), initial
    for t in range(steps):
        g = gradient(p) + weight_decay * p
        s = s + g**2
        p = p - lr / (1 + t * lr_decay) * g / (np.sqrt(s) + eps)
        yield p


@pytest.mark.parametrize(
    "options",
    [{}, {"alpha": 0.5, "eps": 0.1}, {"weight_decay": 0.1, "momentum": 0.9}, {"centered": True}],
    ids=str,
)
def test_rmsprop(options):
    expected = list(rmsprop(0.02, **options))
    np.testing.assert_allclose(run(optim.RMSprop, lr=0.02, **options), expected, rtol=1e-9)


def test_adagrad():
    np.testing.assert_allclose(run(optim.Adagrad, lr=0.1), list(adagrad(0.1)), rtol=1e-9)
    np.testing.assert_allclose(
        run(optim.Adagrad, lr=0.1, lr_decay=0.2, weight_decay=0.1, initial_accumulator_value=2),
        list(adagrad(0.1, 0.2, 0.1, 2.0)),
        rtol=1e-9,
    )


# ---- schedules --------------------------------------------------------------------------


def rates(make, steps, **options):
    p = Tensor(np.ones(1), requires_grad=True)
    optimizer = optim.SGD([p], lr=0.5, **options)
    scheduler, seen = make(optimizer), []
    for _ in range(steps):
        seen.append(optimizer.lr)
        scheduler.step()
    return seen


def test_schedules_are_their_formulas():
    t = np.arange(10)
    np.testing.assert_allclose(
        rates(lambda o: lr_scheduler.StepLR(o, 3, 0.2), 10), 0.5 * 0.2 ** (t // 3)
    )
    np.testing.assert_allclose(
        rates(lambda o: lr_scheduler.LinearLR(o, 0.2, 1, 4), 10),
        [0.1, 0.2, 0.3, 0.4, *[0.5] * 6],
    )
    np.testing.assert_allclose(
        rates(lambda o: lr_scheduler.CosineAnnealingLR(o, 10, 0.1), 10),
        0.1 + 0.2 * (1 + np.cos(np.pi * t / 10)),
    )


def test_a_warm_up_and_then_a_decay():
    def make(optimizer):
        first = lr_scheduler.LinearLR(optimizer, 0.2, 1, 4)
        second = lr_scheduler.CosineAnnealingLR(optimizer, 6)
        return lr_scheduler.SequentialLR(optimizer, [first, second], [4])

    down = 0.25 * (1 + np.cos(np.pi * np.arange(6) / 6))
    np.testing.assert_allclose(rates(make, 10), [0.1, 0.2, 0.3, 0.4, *down])


def test_schedules_that_are_stepped_in_turn_multiply():
    p = Tensor(np.ones(1), requires_grad=True)

    def make():
        optimizer = optim.SGD([p], lr=0.5)
        warm_up = lr_scheduler.LinearLR(optimizer, 0.2, 1, 4)
        return optimizer, warm_up, lr_scheduler.CosineAnnealingLR(optimizer, 10, 0.1)

    optimizer, *schedules = make()
    seen = []
    for t in range(10):
        if t == 3:  # go on with new ones
            saved = [schedule.state_dict() for schedule in schedules]
            optimizer, *schedules = make()
            for schedule, state in zip(schedules, saved, strict=True):
                schedule.load_state_dict(state)
        seen.append(optimizer.lr)
        for schedule in schedules:
            schedule.step()
    # as torch.optim.lr_scheduler has it: the cosine multiplies what lies above its eta_min
    assert seen[:3] == pytest.approx([0.1, 0.1975528258147577, 0.2820362077544823])
    assert seen[3:5] == pytest.approx([0.34228925682496436, 0.37029874957124354])
    optimizer.lr = 0.3  # a change by hand stays, too
    schedules[0].step()
    assert optimizer.lr == 0.3
    with pytest.raises(ValueError, match="needs the optimiser"):
        lr_scheduler.StepLR(p, 1)


def test_a_group_that_is_added_later_is_scheduled_too():
    optimizer = optim.SGD([other(1)], lr=0.5)
    schedule = lr_scheduler.StepLR(optimizer, 2, 0.1)
    schedule.step()
    optimizer.add_param_group({"params": [other(1)], "lr": 0.3})
    schedule.step()
    assert schedule.get_last_lr() == pytest.approx([0.05, 0.03])


def test_one_cycle_goes_up_and_down_and_the_momentum_the_other_way():
    p = Tensor(np.ones(1), requires_grad=True)
    optimizer = optim.SGD([p], lr=9, momentum=0.9)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 1.0, 10, pct_start=0.4)
    seen, momenta = [], []
    for _ in range(10):
        seen.append(optimizer.lr)
        momenta.append(optimizer.param_groups[0]["momentum"])
        scheduler.step()  # after each step of training, also after the last
    assert seen[0] == pytest.approx(0.04)
    assert np.argmax(seen) == np.argmin(momenta) == 3
    assert seen[3] == pytest.approx(1)
    assert seen[-1] == pytest.approx(4e-6)
    assert (momenta[0], momenta[3], momenta[-1]) == pytest.approx((0.95, 0.85, 0.95))
    with pytest.raises(ValueError, match="len"):
        scheduler.step()
    adam = optim.Adam([p])
    lr_scheduler.OneCycleLR(adam, 1.0, 10)
    assert adam.param_groups[0]["betas"] == (0.95, 0.999)
    with pytest.raises(ValueError, match="total_steps, or epochs and steps_per_epoch"):
        lr_scheduler.OneCycleLR(adam, 1.0, epochs=3)
    assert lr_scheduler.OneCycleLR(adam, 1.0, epochs=3, steps_per_epoch=4).total_steps == 12
    with pytest.raises(ValueError, match="cycle_momentum=False"):
        lr_scheduler.OneCycleLR(optim.SGD([p]), 1.0, 10)


@pytest.mark.parametrize(("total", "share"), [(10, 0.1), (1, 1.0), (1, 0.3), (4, 1.0)])
def test_one_cycle_may_begin_or_end_at_its_peak(total, share):
    optimizer = optim.Adam([other(1)])
    schedule = lr_scheduler.OneCycleLR(optimizer, 0.5, total, pct_start=share)
    rates = [schedule.get_last_lr()[0]]
    for _ in range(total):
        schedule.step()
        rates += schedule.get_last_lr()
    assert all(0 < rate <= 0.5 for rate in rates)
    assert share == 0.3 or max(rates) == 0.5


def test_a_schedule_goes_on_where_it_stopped():
    optimizers = [optim.SGD([Tensor([1.0], requires_grad=True)], lr=0.5) for _ in range(2)]
    a, b = (lr_scheduler.StepLR(o, 2) for o in optimizers)
    for _ in range(3):
        a.step()
    b.load_state_dict(a.state_dict())
    assert b.get_last_lr() == a.get_last_lr() == [0.05]
    with pytest.raises(ValueError, match="one milestone"):
        lr_scheduler.SequentialLR(optimizers[0], [a], [1])
    with pytest.raises(ValueError, match="step_size=0"):
        lr_scheduler.StepLR(optimizers[0], 0)


# ---- clipping ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("norm_type", "norm"), [(2, 5.0), (1, 7.0), (np.inf, 4.0), (3, 91 ** (1 / 3))]
)
def test_clipping_by_norm(norm_type, norm):
    ps = [Tensor(np.zeros(1), requires_grad=True) for _ in range(3)]
    ps[0].grad, ps[1].grad = np.array([3.0]), np.array([-4.0])
    kept = ps[0].grad
    assert optim.clip_grad_norm_(ps, 10, norm_type) == pytest.approx(norm)
    assert ps[0].grad is kept  # short enough
    assert optim.clip_grad_norm_(iter(ps), 1, norm_type) == pytest.approx(norm)
    np.testing.assert_allclose([ps[0].grad[0], ps[1].grad[0]], np.array([3, -4]) / norm, rtol=1e-5)
    assert kept == 3
    assert ps[2].grad is None
    for max_norm, kind in ((-1, 2), (1, 0), (np.nan, 2)):
        with pytest.raises(ValueError, match="length from 0, and a norm above 0"):
            optim.clip_grad_norm_(ps, max_norm, kind)


@pytest.mark.parametrize("norm_type", [2, "inf", 3])
def test_a_norm_that_is_nan_makes_every_gradient_nan(norm_type):
    ps = [Tensor(np.zeros(1), requires_grad=True) for _ in range(2)]
    ps[0].grad, ps[1].grad = np.array([3.0]), np.array([np.nan])
    assert np.isnan(optim.clip_grad_norm_(ps, 1, norm_type))
    assert np.isnan([ps[0].grad, ps[1].grad]).all()
    ps[0].grad[:] = 3
    with pytest.raises(FloatingPointError, match="length is nan: start again with a smaller"):
        optim.clip_grad_norm_(ps, 1, norm_type, error_if_nonfinite=True)
    assert ps[0].grad == 3


def test_clipping_by_value():
    p = Tensor(np.zeros(3, np.float32), requires_grad=True)
    p.grad = np.array([-3, 0.5, 2], np.float32)
    optim.clip_grad_value_(p, np.float64(1.0))
    np.testing.assert_array_equal(p.grad, [-1, 0.5, 1])
    assert p.grad.dtype == np.float32


def test_a_clipped_gradient_without_axes_stays_an_array():
    p = Tensor(1.0, requires_grad=True)
    for clip in (optim.clip_grad_norm_, optim.clip_grad_value_):
        p.grad = np.array(3, np.float32)
        clip([p], 1.0)
        assert isinstance(p.grad, np.ndarray)
        assert p.grad.dtype == np.float32
        assert float(p.grad) == pytest.approx(1)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (optim.SGD, {"momentum": 0.9}),
        (optim.SGD, {"momentum": 0.9, "nesterov": True}),
        (optim.RMSprop, {"momentum": 0.9, "centered": True}),
        (optim.Adagrad, {}),
        (optim.AdamW, {}),
    ],
)
def test_a_parameter_without_axes_moves_as_one_with_an_axis(kind, options):
    p, q = Tensor(np.array(2.0), requires_grad=True), Tensor(np.array([2.0]), requires_grad=True)
    optimizer = kind([p, q], lr=0.1, weight_decay=0.1, **options)
    for _ in range(5):
        optimizer.zero_grad()
        (p * p + (q * q).sum()).backward()
        optim.clip_grad_value_([p, q], 3.0)
        optimizer.step()
    np.testing.assert_allclose(p.data, q.data[0])


# ---- state, groups, errors --------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (optim.SGD, {"momentum": 0.9}),
        (optim.Adam, {}),
        (optim.AdamW, {}),
        (optim.Adagrad, {}),
        (optim.RMSprop, {"momentum": 0.5}),
    ],
)
def test_going_on_from_a_state_dict_is_the_same_as_never_stopping(kind, options):
    def start():
        p = Tensor(np.ones((2, 3)), requires_grad=True)
        return p, kind([p], lr=0.05, **options)

    def steps(p, optimizer, n):
        for _ in range(n):
            p.grad = gradient(p.data)
            optimizer.step()

    p, optimizer = start()
    steps(p, optimizer, 5)
    saved, values = optimizer.state_dict(), p.data.copy()
    steps(p, optimizer, 5)
    q, other = start()
    q.data[:] = values
    other.lr = 9
    other.load_state_dict(saved)
    assert other.lr == 0.05
    steps(q, other, 5)
    np.testing.assert_array_equal(q.data, p.data)


def test_groups_have_settings_of_their_own():
    a, b = (Tensor(np.ones(1), requires_grad=True) for _ in range(2))
    optimizer = optim.SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.1)
    a.grad = b.grad = np.ones(1)
    optimizer.step()
    assert (a.data, b.data) == (0.5, 0.9)
    optimizer.lr = 0.25
    assert [g["lr"] for g in optimizer.param_groups] == [0.25, 0.25]
    assert optimizer.lr == 0.25
    optimizer.zero_grad()
    assert a.grad is None
    optimizer.step()  # nothing to follow, nothing changed
    assert a.data == 0.5


def test_a_step_changes_the_models_own_arrays_and_no_gradient():
    layer = nn.Linear(2, 2, rng=0)
    layer.weight.data = np.asfortranarray(layer.weight.data)  # flat views of it would be copies
    for kind in (optim.SGD, optim.Adam):
        before = layer.weight.data.copy()
        layer.weight.grad = np.ones((2, 2), np.float32)
        kind(layer.parameters(), lr=0.1).step()
        np.testing.assert_allclose(layer.weight.data, before - 0.1, rtol=1e-5)
        np.testing.assert_array_equal(layer.weight.grad, 1)
        assert layer.weight.dtype == np.float32


def test_a_step_may_be_given_what_computes_the_gradients():
    w = Tensor(np.array(3.0), requires_grad=True)
    optimizer = optim.SGD([w], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = w * w
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(3)]
    assert losses == [9, 2.25, 0.5625]  # each step halves w
    assert optimizer.step() is None


def other(n):
    return Tensor(np.ones(n), requires_grad=True)


def test_a_state_whose_columns_lie_together_goes_on():
    seen = []
    for order in ("C", "F"):
        p = Tensor(np.ones((2, 3)), requires_grad=True)
        p.grad = np.ones((2, 3))
        optimizer = optim.Adam([p])
        for _ in range(2):
            optimizer.step()
            saved = optimizer.state_dict()
            of_p = saved["state"][0]
            saved["state"][0] = {k: np.array(v, order=order) for k, v in of_p.items()}
            optimizer.load_state_dict(saved)
        seen.append(optimizer.state[p]["exp_avg"])
    np.testing.assert_array_equal(*seen)


def stepped(kind, n):
    """Return the state of an optimiser of n numbers that has taken a step."""
    p = other(n)
    p.grad = np.ones(n)
    optimizer = kind([p])
    optimizer.step()
    return optimizer.state_dict()


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (lambda p: optim.SGD([]), "model.parameters"),
        (lambda p: optim.SGD([p], lr=-1), "lr=-1"),
        (lambda p: optim.SGD([p], lr=float("nan")), "lr=nan"),
        (lambda p: optim.Adam([p], betas=(0.9, 1.0)), "below 1"),
        (lambda p: optim.Adam([p], betas=(0.9,)), "they are two"),
        (lambda p: optim.SGD([p], nesterov=True), "momentum above 0"),
        (lambda p: optim.SGD([p.data]), "ndarray"),
        (
            lambda p: optim.SGD([p, other(1)]).load_state_dict(optim.SGD([p]).state_dict()),
            r"\[1\] parameters; this one has \[2\]",
        ),
        (lambda p: optim.SGD([p], lr=np.float32(-1)), "lr=-1"),
        (lambda p: optim.SGD([p], lr="0.1"), "lr='0.1': it must be a number"),
        (lambda p: optim.SGD([{"lr": 0.1}]), '"params"'),
        (lambda p: optim.Adam([p], betas=0.9), "betas=0.9"),
        (lambda p: optim.SGD(p), "one Tensor"),
        (lambda p: optim.SGD(nn.Linear(1, 1)), "one Linear"),
        (lambda p: optim.SGD([p * 2]), "computed from others"),
        (lambda p: optim.SGD([p, p]), "twice"),
        (lambda p: optim.SGD([{"params": [p]}, {"params": p}]), "twice"),
        (lambda p: optim.Adam([p]).load_state_dict(nn.Linear(1, 1).state_dict()), "weight, bias"),
        (lambda p: optim.Adam([p]).load_state_dict(optim.SGD([p]).state_dict()), "betas, eps"),
        (lambda p: optim.Adam([p]).load_state_dict(stepped(optim.Adam, 2)), r"\(2,\).*has \(1,\)"),
        (lambda p: optim.Adam([{"params": p, "amsgrad": True}]), "amsgrad=True: PyTorch has"),
        (lambda p: lr_scheduler.LinearLR(optim.SGD([p]), -1), "start_factor=-1"),
        (
            lambda p: lr_scheduler.OneCycleLR(optim.SGD([p], momentum=0.9), 1, 10, pct_start=30),
            "pct_start=30",
        ),
        (
            lambda p: lr_scheduler.SequentialLR(
                optim.SGD([p]), [lr_scheduler.StepLR(optim.SGD([p]), 1)], []
            ),
            "another optimiser",
        ),
    ],
)
def test_errors_name_the_mend(action, says):
    with pytest.raises(ValueError, match=says):
        action(Tensor(np.ones(1), requires_grad=True))


def test_a_group_added_later_has_the_optimisers_settings_where_it_names_none():
    a, b = (Tensor([1.0], requires_grad=True) for _ in range(2))
    optimizer = optim.SGD([a], lr=0.1, momentum=0.5)
    optimizer.add_param_group({"params": b, "lr": 0.01})
    assert [(g["lr"], g["momentum"]) for g in optimizer.param_groups] == [(0.1, 0.5), (0.01, 0.5)]
    a.grad, b.grad = np.ones(1, np.float32), np.ones(1, np.float32)
    optimizer.step()
    np.testing.assert_allclose([a.item(), b.item()], [0.9, 0.99])
    optimizer.zero_grad(set_to_none=False)
    assert (a.grad == 0).all()
    optimizer.zero_grad()
    assert a.grad is b.grad is None
    with pytest.raises(ValueError, match="twice"):
        optimizer.add_param_group({"params": [a]})
    assert len(optimizer.param_groups) == 2


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam, optim.RMSprop, optim.Adagrad])
def test_the_state_of_a_parameter_without_axes_goes_on(make):
    options = {"momentum": 0.9} if make is optim.SGD else {}
    ends = []
    for interrupted in (False, True):
        w = Tensor(1.0, requires_grad=True)
        optimizer = make([w], lr=0.1, **options)
        for step in range(6):
            if step == 3 and interrupted:
                state = optimizer.state_dict()
                optimizer = make([w], lr=0.1, **options)
                optimizer.load_state_dict(state)
            optimizer.zero_grad()
            (w * w).backward()
            optimizer.step()
        ends.append(w.item())
    assert ends[0] == ends[1]


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam])
def test_a_parameter_that_became_a_numpy_scalar_still_moves(make):
    w = Tensor(0.5, requires_grad=True)
    w.data = w.data - 0.1
    w.grad = np.array(1.0, np.float32)
    make([w], lr=0.1).step()
    assert w.item() == pytest.approx(0.3)


def test_adam_and_adamw_do_not_take_each_others_state():
    w = Tensor([1.0], requires_grad=True)
    for one, other in ((optim.Adam, optim.AdamW), (optim.AdamW, optim.Adam)):
        with pytest.raises(ValueError, match="weight decay"):
            one([w]).load_state_dict(other([w]).state_dict())
        old = one([w]).state_dict()
        del old["param_groups"][0]["decoupled_weight_decay"]  # as PyTorch before 2.7
        one([w]).load_state_dict(old)
