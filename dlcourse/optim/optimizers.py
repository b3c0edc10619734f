"""Optimisers: rules that turn gradients into better parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from dlcourse.tensor import Tensor

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop"]


class Optimizer:
    """What all optimisers share: groups of parameters, each with its own settings.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        What to optimise; or groups ``{"params": …, "lr": …}`` that differ in their settings.
    **defaults : number
        The settings of groups that do not name them.

    Attributes
    ----------
    param_groups : list of dict
        As in PyTorch: change ``group["lr"]`` at any time.
    defaults : dict
        The settings of groups that do not name them.
    state : dict
        Parameter → what the rule remembers of it, such as its momentum.

    Raises
    ------
    ValueError
        If there is nothing to optimise, a tensor is named twice or was computed from others, or a
        setting is negative.
    """

    def __init__(self, params: Iterable[Any], **defaults: Any) -> None:
        if isinstance(params, Tensor) or not isinstance(params, Iterable):
            raise ValueError(
                f"{type(self).__name__} got one {type(params).__name__}: it needs a list of "
                "tensors, model.parameters() or [w]"
            )
        params = list(params)
        if not params:
            raise ValueError(
                f"{type(self).__name__} got no parameters: pass model.parameters(), anew for each "
                "optimiser, and set layers as attributes of the model (a plain list hides them)"
            )
        groups = params if isinstance(params[0], dict) else [{"params": params}]
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        for group in groups:
            self.add_param_group(group)
        self.state: dict[Tensor, dict[str, Any]] = {}

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add parameters with settings of their own, such as those of layers that are thawed.

        Parameters
        ----------
        param_group : dict
            ``{"params": …, "lr": …}``; settings that it does not name are the optimiser's.

        Raises
        ------
        ValueError
            As when the optimiser is made.
        """
        group = self._group(param_group)
        everything = self._all() + group["params"]
        if len(set(everything)) < len(everything):
            raise ValueError(
                f"{type(self).__name__} got a parameter twice and would change it twice in each "
                "step: name every parameter once, in one group"
            )
        self.param_groups.append(group)

    def _group(self, group: Mapping[str, Any]) -> dict[str, Any]:
        if "params" not in group:
            raise ValueError(
                f"{type(self).__name__} got a group with {', '.join(map(str, group))} only: its "
                '"params" are to name the parameters'
            )
        given = [group["params"]] if isinstance(group["params"], Tensor) else [*group["params"]]
        group = {**self.defaults, **group, "params": given}
        for p in group["params"]:
            if not isinstance(p, Tensor):
                raise ValueError(
                    f"{type(self).__name__} got {type(p).__name__} among its parameters: it needs "
                    "tensors, model.parameters()"
                )
            if not p.is_leaf:
                raise ValueError(
                    f"{type(self).__name__} got a tensor of shape {p.shape} that was computed from "
                    "others, so that no gradient stays in it: pass the leaves, or make it one, "
                    "Tensor(w.data, requires_grad=True)"
                )
        self._check_switches(group)
        for name, value in group.items():
            number = isinstance(value, (int, float, np.number))
            fits = 0 <= value < math.inf if number else name != "lr"
            if not fits:
                raise ValueError(
                    f"{type(self).__name__} got {name}={value if number else repr(value)}: it must "
                    "be a number from 0, and finite"
                )
        return group

    def _check_switches(self, group: Mapping[str, Any]) -> None:
        for name in ("maximize", "amsgrad"):
            if group.get(name):
                raise ValueError(
                    f"{type(self).__name__} got {name}={group[name]}: PyTorch has this variant, "
                    "dlcourse does not"
                )

    @property
    def lr(self) -> float:
        """The learning rate of the first group; setting it sets that of all."""
        return self.param_groups[0]["lr"]

    @lr.setter
    def lr(self, value: float) -> None:
        for group in self.param_groups:
            group["lr"] = value

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters; or set those that there are to 0."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None if set_to_none or p.grad is None else np.zeros_like(p.grad)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient, by the rule of this optimiser.

        Parameters
        ----------
        closure : callable, optional
            Is called first: it sets the gradients to zero, computes the loss, walks back from it
            and returns it.

        Returns
        -------
        object
            What ``closure`` returned; None without it.
        """
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for p in group["params"]:
                g = p.grad
                if g is not None:
                    if isinstance(g, Tensor) or g.shape != p.data.shape:
                        raise ValueError(
                            f"{type(self).__name__} got, as gradient of a parameter, a "
                            f"{type(g).__name__} of shape {g.shape}: it needs an array of shape "
                            f"{p.shape}"
                        )
                    # `w.data = w.data - 1` makes a numpy scalar where w has no axes
                    if type(p.data) is not np.ndarray or not p.data.flags.c_contiguous:
                        p.data = np.array(p.data, order="C")
                    self._update(p, group, self.state.setdefault(p, {}))
                    p._touch()
        return loss

    def _update(self, p: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Return the settings, and a copy of what is remembered of each parameter, by number."""
        numbers = {p: i for i, p in enumerate(self._all())}
        groups = [
            {**group, "params": [numbers[p] for p in group["params"]]}
            for group in self.param_groups
        ]
        state = {
            numbers[p]: {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in s.items()}
            for p, s in self.state.items()
        }
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` of the same optimiser returned.

        Raises
        ------
        ValueError
            If the groups, their settings, or the numbers or shapes of their parameters differ;
            nothing is changed then.
        """
        if not {"param_groups", "state"} <= set(state_dict):
            raise ValueError(
                f"{type(self).__name__}.load_state_dict() got {', '.join(map(str, state_dict))}: "
                "it needs what the state_dict() of an optimiser returned, not that of a model"
            )
        groups = state_dict["param_groups"]
        own, given = ([len(g["params"]) for g in gs] for gs in (self.param_groups, groups))
        if own != given:
            raise ValueError(
                f"the state dict is of an optimiser with groups of {given} parameters; this one "
                f"has {own}: build it with the same model and groups"
            )
        everything = self._all()
        for group, saved in zip(self.param_groups, groups, strict=True):
            if lacking := set(group) - set(saved) - {"initial_lr", _DECOUPLED}:
                raise ValueError(
                    f"the state dict is of another optimiser than {type(self).__name__}: it has no "
                    f"{', '.join(sorted(lacking))}"
                )
            if saved.get(_DECOUPLED, group.get(_DECOUPLED)) != group.get(_DECOUPLED):
                raise ValueError(
                    f"the state dict is of another optimiser than {type(self).__name__}: Adam and "
                    "AdamW differ in their weight decay; build the one that it was saved from"
                )
            self._check_switches(saved)
        for i, remembered in state_dict["state"].items():
            for name, v in remembered.items():
                shape = everything[int(i)].shape
                if name != "step" and v is not None and np.shape(v) != shape:
                    raise ValueError(
                        f"the state dict's {name} of parameter {i} has shape {np.shape(v)}; the "
                        f"parameter has {shape}: build the model with the sizes that it was saved "
                        "with"
                    )
        for group, saved in zip(self.param_groups, groups, strict=True):
            group.update({k: v for k, v in saved.items() if k != "params"})
        self.state = {
            everything[int(i)]: {
                # rows one after the other: a rule may change a flat view of them
                k: np.asarray(v).item() if k == "step" else np.array(v, p.dtype, order="C")
                for k, v in s.items()
                if v is not None
            }
            for i, s in state_dict["state"].items()
            for p in (everything[int(i)],)
        }

    def _all(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if wanted: ``v ← μ v + g``, ``p ← p - lr v``.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        What to optimise.
    lr : float
        The learning rate: the length of a step per unit of gradient.
    momentum : float
        μ, the share of the last step's velocity that is kept (Polyak 1964).
    dampening : float
        How much of a new gradient is left out of the velocity.
    weight_decay : float
        Adds this times the parameter to its gradient: an L2 penalty.
    nesterov : bool
        Look ahead: step by ``g + μ v`` instead of ``v`` (Sutskever et al. 2013).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("SGD with nesterov=True needs a momentum above 0 and no dampening")
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
        )

    def _update(self, p: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        g, mu = _with_decay(p, group), group["momentum"]
        if mu:
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = np.array(g)  # of a parameter without axes, g is a scalar
            else:
                v = state["momentum_buffer"]
                v *= mu
                v += (1 - group["dampening"]) * g
            v = state["momentum_buffer"]
            g = g + mu * v if group["nesterov"] else v
        p.data -= group["lr"] * g


class Adagrad(Optimizer):
    """Divide each step by the root of all squared gradients so far (Duchi et al. 2011).

    ``s ← s + g²``, ``p ← p - lr g / (√s + ε)``.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        What to optimise.
    lr : float
        The learning rate.
    lr_decay : float
        Divides the rate by 1 + (t - 1) × lr_decay at step t.
    weight_decay : float
        Adds this times the parameter to its gradient.
    initial_accumulator_value : float
        Where s starts.
    eps : float
        Keeps the division finite.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )

    def _update(self, p: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        if not state:
            state.update(step=0, sum=np.full_like(p.data, group["initial_accumulator_value"]))
        state["step"] += 1
        g = _with_decay(p, group)
        state["sum"] += g * g
        lr = group["lr"] / (1 + (state["step"] - 1) * group["lr_decay"])
        p.data -= lr * g / (np.sqrt(state["sum"]) + group["eps"])


class RMSprop(Optimizer):
    """Divide each step by the root of a running mean of squared gradients (Hinton 2012).

    ``s ← α s + (1-α) g²``, ``p ← p - lr g / (√s + ε)``.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        What to optimise.
    lr : float
        The learning rate.
    alpha : float
        How much of the mean square is kept from step to step.
    eps : float
        Keeps the division finite.
    weight_decay : float
        Adds this times the parameter to its gradient.
    momentum : float
        The share of the last step that is kept.
    centered : bool
        Subtract the squared mean gradient, so that s becomes its variance.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
        )

    def _update(self, p: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        g, alpha = _with_decay(p, group), group["alpha"]
        if not state:
            names = ["square_avg", "grad_avg"] if group["centered"] else ["square_avg"]
            names += ["momentum_buffer"] if group["momentum"] else []
            state.update({name: np.zeros_like(p.data) for name in names}, step=0)
        state["step"] += 1  # which only PyTorch asks for, when it goes on from this state
        state["square_avg"] *= alpha
        state["square_avg"] += (1 - alpha) * g * g
        s = state["square_avg"]
        if group["centered"]:
            state["grad_avg"] *= alpha
            state["grad_avg"] += (1 - alpha) * g
            s = s - state["grad_avg"] ** 2
        move = g / (np.sqrt(s) + group["eps"])
        if group["momentum"]:
            state["momentum_buffer"] *= group["momentum"]
            state["momentum_buffer"] += move
            move = state["momentum_buffer"]
        p.data -= group["lr"] * move


class Adam(Optimizer):
    """Steps of a size of their own for each parameter (Kingma and Ba 2015).

    ``m ← β₁ m + (1-β₁) g``, ``v ← β₂ v + (1-β₂) g²``, ``p ← p - lr m̂ / (√v̂ + ε)``, where m̂ and v̂
    are m and v divided by 1 - βᵗ, since both start at 0.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        What to optimise.
    lr : float
        The learning rate: roughly, how far a parameter moves in a step.
    betas : (float, float)
        How much of the mean gradient and of the mean square is kept from step to step.
    eps : float
        Keeps the division finite.
    weight_decay : float
        Adds this times the parameter to its gradient (`AdamW` does better).
    """

    _decoupled = False  # whether the weights decay by themselves, not by way of the gradient

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        if np.shape(betas) != (2,) or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(
                f"{type(self).__name__} got betas={betas}: they are two, each 0 or more, below 1"
            )
        settings = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, **settings, **{_DECOUPLED: self._decoupled})

    def _update(self, p: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        if not state:
            state.update(step=0, exp_avg=np.zeros_like(p.data), exp_avg_sq=np.zeros_like(p.data))
        state["step"] += 1
        beta1, beta2 = group["betas"]
        # the corrections as two scalars: m̂ / (√v̂ + ε) = size m / (√v + ε root)
        root = math.sqrt(1 - beta2 ** state["step"])
        size = group["lr"] * root / (1 - beta1 ** state["step"])
        decay = group["weight_decay"]
        shrink = 1 - group["lr"] * decay
        arrays = (a.reshape(-1) for a in (p.data, p.grad, state["exp_avg"], state["exp_avg_sq"]))
        for x, g, m, v in _chunks(*arrays):
            if decay and self._decoupled:
                x *= shrink
            elif decay:
                g = g + decay * x
            t = (1 - beta1) * g
            m *= beta1
            m += t
            np.multiply(g, g, out=t)
            t *= 1 - beta2
            v *= beta2
            v += t
            np.sqrt(v, out=t)
            t += group["eps"] * root
            np.divide(m, t, out=t)
            t *= size
            x -= t


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameters themselves (Loshchilov and Hutter 2019).

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        What to optimise.
    lr, betas, eps
        As in `Adam`.
    weight_decay : float
        Each step multiplies the parameters by 1 - lr × weight_decay.
    """

    _decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)


_DECOUPLED = "decoupled_weight_decay"  # PyTorch's name for it in the groups


def _with_decay(p: Tensor, group: dict[str, Any]) -> np.ndarray:
    """Add the gradient of an L2 penalty, weight_decay / 2 × p²."""
    return p.grad + group["weight_decay"] * p.data if group["weight_decay"] else p.grad


def _chunks(*arrays: np.ndarray, size: int = 32768) -> Iterable[tuple[np.ndarray, ...]]:
    """Flat arrays in pieces that stay in the processor's cache from one operation to the next."""
    for start in range(0, len(arrays[0]), size):
        yield tuple(a[start : start + size] for a in arrays)
