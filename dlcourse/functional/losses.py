"""Losses: one number that says how wrong an output is.

Each backward takes the gradient of the unreduced losses; `_reduce` puts sum and mean on top.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dlcourse.functional.activations import log1p_array, log_softmax_array, sigmoid_array
from dlcourse.tensor import Tensor, as_tensor, operands, record
from dlcourse.tensor.arrays import ones, plain

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "nll_loss",
]


def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """Return the squared error, (input - target)².

    Parameters
    ----------
    input, target : Tensor or array, of one shape
        What came out, and what should have.
    reduction : {'mean', 'sum', 'none'}
        The mean over all elements, their sum, or each on its own.

    Raises
    ------
    ValueError
        If the shapes differ: (N, 1) minus (N,) would silently compare every pair.
    """
    x, t = _same_shape("mse_loss", input, target)
    error = x.data - t.data

    def backward(g):
        gx = error * (2 * g)
        return gx, -gx if t.requires_grad else None

    return _reduce(error * error, (x, t), backward, reduction)


def l1_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """Return the absolute error, abs(input - target); its slope at 0 is taken as 0.

    Parameters and errors are those of `mse_loss`.
    """
    x, t = _same_shape("l1_loss", input, target)
    error = x.data - t.data

    def backward(g):
        gx = np.sign(error) * g
        return gx, -gx if t.requires_grad else None

    return _reduce(np.abs(error), (x, t), backward, reduction)


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """Return e²/2 for errors e up to ±δ, and δ (abs(e) - δ/2) beyond, where the slope is only ±δ.

    Parameters
    ----------
    input, target : Tensor or array, of one shape
        What came out, and what should have.
    reduction : {'mean', 'sum', 'none'}
        The mean over all elements, their sum, or each on its own.
    delta : float
        δ, above 0.

    Raises
    ------
    ValueError
        If the shapes differ or ``delta`` is not positive.

    References
    ----------
    Huber (1964), doi:10.1214/aoms/1177703732.
    """
    if not delta > 0:
        raise ValueError(f"huber_loss got delta={delta}: it must be above 0")
    x, t = _same_shape("huber_loss", input, target)
    error = x.data - t.data
    limit = x.dtype.type(delta)
    slope = np.clip(error, -limit, limit)

    def backward(g):
        gx = slope * g
        return gx, -gx if t.requires_grad else None

    return _reduce(slope * (error - 0.5 * slope), (x, t), backward, reduction)


def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """Return the Kullback-Leibler divergence's terms t (log t - x): how far x is from log t.

    Parameters
    ----------
    input : Tensor or array
        The logarithms x of probabilities, as `log_softmax` gives them.
    target : Tensor or array of the same shape
        Probabilities t; or, if ``log_target``, their logarithms.
    reduction : {'mean', 'batchmean', 'sum', 'none'}
        'batchmean' divides the sum by the number of examples, as the divergence is defined; 'mean'
        by that of elements.
    log_target : bool
        Whether the target holds logarithms.

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    Kullback and Leibler (1951), doi:10.1214/aoms/1177729694.
    """
    x, t = _same_shape("kl_div", input, target)
    if log_target:
        p, log_p = np.exp(t.data), t.data
    else:
        p, log_p = t.data, np.log(np.where(t.data == 0, 1, t.data))  # 0 log 0 = 0
    error = log_p - x.data

    def backward(g):
        gt = None
        if t.requires_grad:  # d(t log t) = log t + 1, and d exp(t) = exp(t)
            gt = g * (error + 1) * (p if log_target else 1)
        return -p * g, gt

    if reduction == "batchmean":
        n = x.shape[0] if x.ndim else 1
        return _reduce(p * error, (x, t), backward, "mean", count=max(n, 1))
    return _reduce(p * error, (x, t), backward, reduction)


def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Tensor:
    """Return the cross-entropy of yes-or-no answers, from scores before the sigmoid.

    Parameters
    ----------
    input : Tensor or array of logits z, any real numbers
        The scores.
    target : array of the same shape, from 0 (no) to 1 (yes)
        The right answers.
    weight : array, optional
        Multiplies each element's loss; broadcast to ``input``.
    reduction : {'mean', 'sum', 'none'}
        The mean over all elements, their sum, or each on its own.
    pos_weight : array, optional
        Multiplies the yes part, where yes is rare; broadcast to ``input``.

    Raises
    ------
    ValueError
        If the shapes differ or a target lies outside 0 to 1.

    Notes
    -----
    With p = sigmoid(z) and s(z) = log(1 + exp(z)), -log p = s(-z) and -log(1 - p) = s(z). So the
    loss -t log p - (1 - t) log(1 - p) is t s(-z) + (1 - t) s(z), and its slope by z is p - t.
    """
    name = "binary_cross_entropy_with_logits"
    z, t = _same_shape(name, input, target)
    _check_range(name, "target", t.data)
    scale = 1 if weight is None else _like(weight, z)
    of_yes = 1 if pos_weight is None else _like(pos_weight, z, "pos_weight")
    yes = t.data * of_yes
    no = 1 - t.data
    small = log1p_array(np.exp(-np.abs(z.data)))
    if_yes, if_no = small + np.maximum(-z.data, 0), small + np.maximum(z.data, 0)  # s(-z), s(z)

    def backward(g):
        gt = None
        if t.requires_grad:
            gt = g * scale * (of_yes * if_yes - if_no)
        return g * scale * ((no + yes) * sigmoid_array(z.data) - yes), gt

    return _reduce(scale * (yes * if_yes + no * if_no), (z, t), backward, reduction)


def binary_cross_entropy(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean"
) -> Tensor:
    """Return the cross-entropy of yes-or-no answers, from probabilities: -t log p - (1-t) log(1-p).

    Where the probabilities come from a sigmoid, `binary_cross_entropy_with_logits` is safer.

    Parameters
    ----------
    input : Tensor or array of probabilities p, from 0 to 1
        The predictions.
    target : array of the same shape, from 0 (no) to 1 (yes)
        The right answers.
    weight : array, optional
        Multiplies each element's loss; broadcast to ``input``.
    reduction : {'mean', 'sum', 'none'}
        The mean over all elements, their sum, or each on its own.

    Raises
    ------
    ValueError
        If the shapes differ, or a probability or a target lies outside 0 to 1.

    Notes
    -----
    As in PyTorch no logarithm falls below -100, so that one certain mistake costs 100 and not
    infinity.
    """
    name = "binary_cross_entropy"
    p, t = _same_shape(name, input, target)
    _check_range(name, "target", t.data)
    _check_range(name, "input", p.data)
    scale = 1 if weight is None else _like(weight, p)
    with np.errstate(divide="ignore"):
        log_p, log_q = np.maximum(np.log(p.data), -100), np.maximum(np.log1p(-p.data), -100)

    def backward(g):
        gt = g * scale * (log_q - log_p) if t.requires_grad else None
        return g * scale * (p.data - t.data) / np.maximum(p.data * (1 - p.data), 1e-12), gt

    loss = -scale * (t.data * log_p + (1 - t.data) * log_q)
    return _reduce(loss, (p, t), backward, reduction)


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return -log of the probability that softmax gives to the right class.

    Parameters
    ----------
    input : Tensor or array of logits, shape (N, C), (C,) or (N, C, d1, …)
        A score for each of C classes, before any softmax.
    target : array of integers or of probabilities
        The right classes, 0 to C-1, shape (N,), () or (N, d1, …); or a probability for each
        class, in the shape of ``input``.
    weight : array, shape (C,), optional
        Multiplies the loss of each class; the mean over labels is then a weighted mean.
    ignore_index : int
        Labels equal to it count for nothing.
    reduction : {'mean', 'sum', 'none'}
        The mean over the examples, their sum, or each on its own.
    label_smoothing : float, from 0 to 1
        The share of each target that is spread evenly over all classes.

    Raises
    ------
    ValueError
        If the shapes do not fit, or a label is out of range.

    Notes
    -----
    The loss is -Σᵢ aᵢ log pᵢ with p = softmax(z), where ``a`` says how much each class counts (a
    single 1 at the label, in the plain case). Since ∂log pᵢ/∂zⱼ = δᵢⱼ - pⱼ, its slope by the logits
    is p Σa - a.
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy got label_smoothing={label_smoothing}: from 0 to 1")
    z = as_tensor(input)
    if z.ndim == 0 or z.dtype.kind != "f":
        raise ValueError(
            f"cross_entropy got logits of shape {z.shape} and dtype {z.dtype}: it needs a "
            "floating-point score for each class, shape (N, C)"
        )
    classes = min(1, z.ndim - 1)  # their axis; inside this function it comes last
    log_p = log_softmax_array(np.moveaxis(z.data, classes, -1))  # (N, d1, …, C)
    a, count = _class_weights(
        "cross_entropy", log_p, classes, target, weight, ignore_index, label_smoothing
    )

    def backward(g):
        g = np.expand_dims(g, -1)
        slope = np.exp(log_p)
        slope *= np.vecdot(a, ones(a.shape[-1], a.dtype))[..., None]
        slope -= a
        slope *= g
        gz = np.moveaxis(slope, -1, classes)
        if len(parents) == 1:
            return (gz,)
        w = 1 if weight is None else np.asarray(plain(weight), z.dtype)  # (C,), as log_p ends
        of_target = (label_smoothing - 1) * w
        return gz, np.moveaxis(log_p * of_target * g, -1, classes)

    learned = isinstance(target, Tensor) and target.requires_grad  # probabilities from a model
    parents = (z, target) if learned else (z,)
    return _reduce(_weighted(a, log_p), parents, backward, reduction, count)


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Return -log p of the right class, from logarithms of probabilities: see `cross_entropy`.

    Parameters
    ----------
    input : Tensor or array of log p, shape (N, C), (C,) or (N, C, d1, …)
        As `log_softmax` gives them.
    target : array of integers
        The right classes, 0 to C-1, shape (N,), () or (N, d1, …).
    weight, ignore_index, reduction
        As in `cross_entropy`.

    Raises
    ------
    ValueError
        If the shapes do not fit or a label is out of range.
    """
    x = as_tensor(input)
    labels = target.data if isinstance(target, Tensor) else np.asarray(target)
    if x.ndim == 0 or x.dtype.kind != "f" or labels.dtype.kind not in "iu":
        raise ValueError(
            f"nll_loss got input of {x.dtype} and shape {x.shape} and targets of {labels.dtype}: "
            "it needs a log-probability for each class, shape (N, C), and integer labels"
        )
    classes = min(1, x.ndim - 1)  # their axis; inside this function it comes last
    log_p = np.moveaxis(x.data, classes, -1)  # (N, d1, …, C)
    a, count = _class_weights("nll_loss", log_p, classes, labels, weight, ignore_index, 0.0)

    def backward(g):
        return (np.moveaxis(-a * np.expand_dims(g, -1), -1, classes),)

    return _reduce(_weighted(a, log_p), (x,), backward, reduction, count)


def _weighted(a: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        loss = np.vecdot(a, log_p)
        if not np.isfinite(loss).all():
            loss = np.where(a == 0, 0, a * log_p).sum(axis=-1)  # 0 log 0 = 0
    return -loss


def _class_weights(
    name: str,
    log_p: np.ndarray,
    classes: int,
    target: Any,
    weight: Any,
    ignore_index: int,
    smoothing: float,
) -> tuple[np.ndarray, Any]:
    """How much each class counts, (N, d1, …, C); and the divisor of the mean."""
    n = log_p.shape[-1]
    w = np.ones(n, log_p.dtype) if weight is None else np.asarray(weight, log_p.dtype)
    if w.shape != (n,):
        raise ValueError(f"{name} got weight of shape {w.shape}: it needs ({n},)")
    target = target.data if isinstance(target, Tensor) else np.asarray(target)
    if target.dtype.kind == "f":
        if target.ndim != log_p.ndim or np.moveaxis(target, classes, -1).shape != log_p.shape:
            raise ValueError(
                f"{name} got targets of {target.dtype} and shape {target.shape} for {n} "
                "classes: labels must be integers, y.astype(int); probabilities must have the "
                "shape of the logits"
            )
        if ignore_index >= 0:
            raise ValueError(f"{name} got ignore_index={ignore_index}: only labels can be ignored")
        a = np.moveaxis(target, classes, -1).astype(log_p.dtype)
        return (a * (1 - smoothing) + smoothing / n) * w, log_p.size / n
    if target.dtype.kind not in "iub":
        raise ValueError(
            f"{name} got labels of {target.dtype}: it needs class numbers from 0; from names they "
            "are np.unique(y, return_inverse=True)[1]"
        )
    kept = _check_labels(name, target, log_p, classes, ignore_index)
    labels = np.where(kept, target, 0)
    of_label = w[labels] * kept
    a = np.zeros_like(log_p)
    np.put_along_axis(a, labels[..., None], of_label[..., None] * (1 - smoothing), axis=-1)
    if smoothing:
        a += kept[..., None] * w * (smoothing / n)
    return a, of_label.sum()


def _check_labels(
    name: str, target: np.ndarray, log_p: np.ndarray, classes: int, ignore_index: int
) -> np.ndarray:
    n = log_p.shape[-1]
    if target.shape != log_p.shape[:-1]:
        mend = f"one label per example, shape {log_p.shape[:-1]}"
        if target.size == log_p.size:
            mend += f"; from one-hot rows they are y.argmax(axis={classes})"
        elif target.size == log_p.size // n:
            mend += f"; reshape them, y.reshape({', '.join(map(str, log_p.shape[:-1]))})"
        raise ValueError(f"{name} got labels of shape {target.shape}: it needs {mend}")
    kept = target != ignore_index
    wrong = kept & ((target < 0) | (target >= n))
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"{name} got label {target[at]} at position {at or 0}, but there are {n} "
            f"classes: labels are 0 to {n - 1}; do yours start at 1, or has the last layer too "
            "few outputs?"
        )
    return kept


def _same_shape(name: str, input: Any, target: Any) -> tuple[Tensor, Tensor]:
    x, t = operands(as_tensor(input), target)
    if x.data.dtype.kind != "f":  # of bytes, 0 - 200 would be 56
        raise ValueError(
            f"{name} got input of {x.dtype} and target of {t.dtype}: one must be floating-point; "
            "convert it, x.astype(np.float32)"
        )
    if x.data.shape != t.data.shape:
        mend = "they must be equal"
        if x.data.size == t.data.size:
            mend += f"; reshape the target, y.reshape({', '.join(map(str, x.shape))})"
        raise ValueError(f"{name} got input of shape {x.shape} and target of {t.shape}: {mend}")
    return x, t


def _check_range(name: str, what: str, p: np.ndarray) -> None:
    # written so that NaN, too, is let through: the training loop tells where it came from
    if p.size and (p.min() < 0 or p.max() > 1):
        raise ValueError(
            f"{name} got {what} from {p.min():.4g} to {p.max():.4g}: it must lie between 0 and 1"
            + ("; for scores use binary_cross_entropy_with_logits" if what == "input" else "")
        )


def _like(weight: Any, x: Tensor, name: str = "weight") -> np.ndarray:
    """Return a weight as an array of x's kind, in a shape that broadcasts to x's."""
    w = np.asarray(weight.data if isinstance(weight, Tensor) else weight, x.dtype)
    try:
        return np.broadcast_to(w, x.shape)
    except ValueError:
        raise ValueError(
            f"a loss got a {name} of shape {w.shape} for scores of shape {x.shape}: compared from "
            "the last axis backwards, its lengths must be equal or 1"
        ) from None


def _reduce(
    loss: np.ndarray,
    parents: tuple[Tensor, ...],
    backward: Callable,
    reduction: str,
    count: Any = None,
) -> Tensor:
    if reduction == "none":
        return record(loss, parents, backward)
    if reduction == "sum":  # one gradient for all: it broadcasts
        return record(loss.sum(), parents, backward)
    if reduction != "mean":
        raise ValueError(
            f"reduction={reduction!r}: it must be 'mean', 'sum' or 'none'; kl_div knows "
            "'batchmean', too"
        )
    if loss.size == 0:
        raise ValueError("the mean loss of an empty batch is not defined: leave the batch out")
    count = loss.size if count is None else count
    # NaN where every label is ignored, as in PyTorch
    mean = loss.sum() / count if count else loss.dtype.type(np.nan)
    return record(mean, parents, lambda g: backward(g / (count or 1)))
