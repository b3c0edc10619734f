"""Recurrent layers: a whole sequence in one step of the tape, and single cells.

Inside, features come before the batch: a state is (H, B), a column for each sequence, so that one
step is ``W_hh h`` and all gates come from one product. What does not depend on the step before (the
part of the inputs; the slopes, and the gradients of weights and inputs) is computed for all steps
at once, outside the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlcourse.tensor import Tensor, as_tensor, record
from dlcourse.tensor.arrays import ones
from dlcourse.tensor.threads import in_halves

__all__ = [
    "gru",
    "gru_cell",
    "lstm",
    "lstm_cell",
    "reverse_sequences",
    "rnn",
    "rnn_cell",
    "zero_padding",
]


def rnn(
    input: Any,
    hx: Any,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    nonlinearity: str = "tanh",
) -> Tensor:
    """Read a batch of sequences: ``hₜ = tanh(W_ih xₜ + b_ih + W_hh hₜ₋₁ + b_hh)``.

    Parameters
    ----------
    input : Tensor or array, shape (T, B, E)
        T steps of B sequences, E features each.
    hx : Tensor or array, shape (B, H), or None
        The state before the first step; zeros if None.
    weight_ih, weight_hh : Tensor, shapes (H, E) and (H, H)
        From the input and from the state before.
    bias_ih, bias_hh : Tensor, shape (H,), optional
        The shifts.
    nonlinearity : {'tanh', 'relu'}
        What is applied to the sum.

    Returns
    -------
    Tensor, shape (T, B, H)
        The state after each step; the last is ``[-1]``.

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit.
    """
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"rnn got nonlinearity={nonlinearity!r}: it must be 'tanh' or 'relu'")
    parents = x, *parameters, h0 = _prepare(
        "RNN", 1, input, weight_ih, weight_hh, bias_ih, bias_hh, hx
    )
    w_ih, W, b_ih, b_hh = (p.data for p in parameters)
    z = _from_inputs(x, w_ih, b_ih + b_hh)[:, 0]  # (T, H, B)
    h = np.empty((len(z) + 1, *z.shape[1:]), z.dtype)  # (T+1, H, B)
    h[0] = h0.data.T
    for t, now in enumerate(h[1:]):
        np.matmul(W, h[t], out=now)
        now += z[t]
        if nonlinearity == "tanh":
            np.tanh(now, out=now)
        else:
            np.maximum(now, 0, out=now)

    # With dh for the gradient by hₜ, of the output at t and of all that is later:
    # dzₜ = dh f'(zₜ), and W_hhᵀ dzₜ goes on to hₜ₋₁.
    def backward(g):
        g = g.swapaxes(1, 2)  # (T, H, B)
        dz = 1 - h[1:] * h[1:] if nonlinearity == "tanh" else (h[1:] > 0).astype(h.dtype)
        back, dh = _blocks(W.T), np.zeros_like(h[0])
        for t in reversed(range(len(dz))):
            dh += g[t]
            dz[t] *= dh
            dh = (back @ dz[t]).reshape(dh.shape)
        return (*_outside_the_loop(dz, None, x, h[:-1], parameters), dh.T)

    return record(h[1:].swapaxes(1, 2), parents, backward)


def lstm(
    input: Any,
    hx: Any,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Read a batch of sequences with a long short-term memory (Hochreiter and Schmidhuber 1997).

    With the four gates ``z = W_ih xₜ + b_ih + W_hh hₜ₋₁ + b_hh`` and the sigmoid σ::

        i, f, g, o = σ(z_i), σ(z_f), tanh(z_g), σ(z_o)
        cₜ = f cₜ₋₁ + i g
        hₜ = o tanh(cₜ)

    Parameters
    ----------
    input : Tensor or array, shape (T, B, E)
        T steps of B sequences, E features each.
    hx : (Tensor or array, Tensor or array), each of shape (B, H), or None
        The state h and the cell c before the first step; zeros if None.
    weight_ih, weight_hh : Tensor, shapes (4H, E) and (4H, H)
        H rows for each of the gates i, f, g, o.
    bias_ih, bias_hh : Tensor, shape (4H,), optional
        The shifts.

    Returns
    -------
    (Tensor, Tensor), each of shape (T, B, H)
        The state and the cell after each step; the last are ``[-1]``.

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit.

    References
    ----------
    S. Hochreiter and J. Schmidhuber, Long short-term memory, 1997, doi:10.1162/neco.1997.9.8.1735;
    the forget gate: F. Gers et al., 2000, doi:10.1162/089976600300015015.
    """
    if hx is not None and len(hx) != 2:
        raise ValueError(f"LSTM got {len(hx)} initial states: it needs a pair (h, c)")
    h0, c0 = (None, None) if hx is None else hx
    parents = x, *parameters, h0, c0 = _prepare(
        "LSTM", 4, input, weight_ih, weight_hh, bias_ih, bias_hh, h0, c0
    )
    (T, B, _), H = x.shape, h0.shape[1]
    # in `gates` they stand as o, i, f, g, so that one call takes the three sigmoids, from -z
    w_ih, W, b_ih, b_hh = (np.roll(p.data, H, axis=0) for p in parameters)
    sign = np.array([-1, -1, -1, 1], x.dtype).reshape(4, 1, 1)
    W, product = sign * W.reshape(4, H, H), np.empty((4, H, B), x.dtype)
    gates = _from_inputs(x, w_ih, b_ih + b_hh, sign)
    h, c = np.empty((2, T + 1, H, B), x.dtype)
    h[0], c[0], tanh_c = h0.data.T, c0.data.T, np.empty_like(h[1:])
    for t, now in enumerate(gates):
        now += np.matmul(W, h[t], out=product)
        _sigmoids_of_minus(now[:3])
        np.tanh(now[3], out=now[3])
        o, i, f, g = now
        np.multiply(f, c[t], out=c[t + 1])
        c[t + 1] += i * g
        np.multiply(o, np.tanh(c[t + 1], out=tanh_c[t]), out=h[t + 1])

    # dh and dc are the gradients by hₜ and cₜ, of the outputs at t and of all that is later
    def backward(g):
        g, g_c = g.swapaxes(1, 2), handed.pop() if handed else None  # (T, H, B)
        dz, c_of_h = _lstm_slopes(gates, c[:-1], tanh_c)
        back, dh, dc = _blocks(parameters[1].data.T), np.zeros_like(h[0]), np.zeros_like(c[0])
        for t in reversed(range(T)):
            dh += g[t]
            if g_c is not None:
                dc += g_c[t]
            dc += dh * c_of_h[t]
            dz[t, :3] *= dc
            dz[t, 3] *= dh
            dc *= gates[t, 2]  # f
            dh = (back @ dz[t].reshape(4 * H, B)).reshape(H, B)
        return (*_outside_the_loop(dz, None, x, h[:-1], parameters), dh.T, dc.T)

    # the cells, where they are used, hand their gradient over to the states, which come after them
    def backward_of_cells(g):
        handed[:] = [g.swapaxes(1, 2)]
        return (np.zeros_like(g),)

    handed: list[np.ndarray] = []
    output = record(h[1:].swapaxes(1, 2), parents, backward)
    return output, record(c[1:].swapaxes(1, 2), (output,), backward_of_cells)


def _lstm_slopes(
    gates: np.ndarray, before: np.ndarray, tanh_c: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return dz per dc (of o: per dh), (T, 4, H, B), and what dh adds to dc, (T, H, B).

    From c = f cₜ₋₁ + i g and h = o tanh(c): dz = dc (i' g, f' cₜ₋₁, i g') and dh o' tanh(c), with
    σ' = σ (1 - σ) and tanh' = 1 - tanh²; and dh adds dh o (1 - tanh²c) to dc.
    """
    dz, c_of_h = np.empty_like(gates), np.empty_like(tanh_c)

    def some(t):
        o, i, f, g = gates[t].swapaxes(0, 1)  # (T, H, B) each
        np.multiply(i * (1 - i), g, out=dz[t, 0])
        np.multiply(f * (1 - f), before[t], out=dz[t, 1])
        np.multiply(i, 1 - g * g, out=dz[t, 2])
        np.multiply(o * (1 - o), tanh_c[t], out=dz[t, 3])
        np.multiply(o, 1 - tanh_c[t] * tanh_c[t], out=c_of_h[t])

    in_halves(32 * gates.size, len(gates), some)
    return dz, c_of_h


def gru(
    input: Any,
    hx: Any,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
) -> Tensor:
    """Read a batch of sequences with gated recurrent units (Cho et al. 2014).

    With the sigmoid σ, and writing only the names of the gates for their shares of the weights::

        r = σ(W_ir xₜ + b_ir + W_hr hₜ₋₁ + b_hr)
        z = σ(W_iz xₜ + b_iz + W_hz hₜ₋₁ + b_hz)
        n = tanh(W_in xₜ + b_in + r (W_hn hₜ₋₁ + b_hn))
        hₜ = (1 - z) n + z hₜ₋₁

    Parameters
    ----------
    input : Tensor or array, shape (T, B, E)
        T steps of B sequences, E features each.
    hx : Tensor or array, shape (B, H), or None
        The state before the first step; zeros if None.
    weight_ih, weight_hh : Tensor, shapes (3H, E) and (3H, H)
        H rows for each of r, z, n.
    bias_ih, bias_hh : Tensor, shape (3H,), optional
        The shifts.

    Returns
    -------
    Tensor, shape (T, B, H)
        The state after each step; the last is ``[-1]``.

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit.

    References
    ----------
    K. Cho et al., Learning phrase representations using RNN encoder-decoder, 2014, arXiv:1406.1078.
    As in PyTorch, r multiplies after the matrix: version 1 of that paper, which needs one product.
    """
    parents = x, *parameters, h0 = _prepare(
        "GRU", 3, input, weight_ih, weight_hh, bias_ih, bias_hh, hx
    )
    (T, B, _), H = x.shape, h0.shape[1]
    w_ih, w_hh, b_ih, b_hh = (p.data for p in parameters)
    # the gates stand as (n's part of h, r, z, n): the first three come from h, the last three
    # from x; of b_hh only n's share must stay with h. One call takes the two sigmoids, from -z
    sign = np.array([-1, -1, 1], x.dtype).reshape(3, 1, 1)
    from_x = _from_inputs(x, w_ih, b_ih + b_hh * (np.arange(3 * H) < 2 * H), sign)
    W, b_n = np.roll(w_hh, H, axis=0), b_hh[2 * H :, None]  # (3H, H): n, r, z
    signed = sign[::-1] * W.reshape(3, H, H)
    gates, h = np.empty((T, 4, H, B), x.dtype), np.empty((T + 1, H, B), x.dtype)
    h[0] = h0.data.T
    for t, (n_h, r, z, n) in enumerate(gates):
        np.matmul(signed, h[t], out=gates[t, :3])
        n_h += b_n
        rz = gates[t, 1:3]
        rz += from_x[t, :2]
        _sigmoids_of_minus(rz)
        np.multiply(r, n_h, out=n)
        n += from_x[t, 2]
        np.tanh(n, out=n)
        np.subtract(h[t], n, out=h[t + 1])  # n + z (hₜ₋₁ - n)
        h[t + 1] *= z
        h[t + 1] += n

    # dh is the gradient by hₜ, of the output at t and of all that is later
    def backward(g):
        g = g.swapaxes(1, 2)  # (T, H, B)
        dz = _gru_slopes(gates, h[:-1])
        back, dh = _blocks(W.T), np.zeros_like(h[0])
        for t in reversed(range(T)):
            dh += g[t]
            dz[t] *= dh
            dh *= gates[t, 2]  # z
            dh += (back @ dz[t, :3].reshape(3 * H, B)).reshape(H, B)
        dx, w_ih, w_hh, b_ih, b_hh = _outside_the_loop(dz[:, 1:], dz[:, :3], x, h[:-1], parameters)
        w_hh, b_hh = (g if g is None else np.roll(g, -H, axis=0) for g in (w_hh, b_hh))
        return dx, w_ih, w_hh, b_ih, b_hh, dh.T

    return record(h[1:].swapaxes(1, 2), parents, backward)


def _gru_slopes(gates: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return the gradients of (n's part of h, r, z, n's part of x) per dh, (T, 4, H, B).

    From h = (1 - z) n + z hₜ₋₁: s = (1 - z) (1 - n²) goes to n's part of x, s r to its part n_h of
    h, s n_h r' to r and (hₜ₋₁ - n) z' to z, with σ' = σ (1 - σ).
    """
    dz = np.empty_like(gates)

    def some(t):
        n_h, r, z, n = gates[t].swapaxes(0, 1)  # (T, H, B) each
        s = np.multiply(1 - z, 1 - n * n, out=dz[t, 3])
        np.multiply(s, r, out=dz[t, 0])
        np.multiply(dz[t, 0], n_h * (1 - r), out=dz[t, 1])
        np.multiply(before[t] - n, z * (1 - z), out=dz[t, 2])

    in_halves(32 * gates.size, len(gates), some)
    return dz


def rnn_cell(
    input: Any,
    hx: Any,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    nonlinearity: str = "tanh",
) -> Tensor:
    """Take one step of `rnn`: from (B, E) and the state (B, H) to the next state (B, H)."""
    x = as_tensor(input).unsqueeze(0)
    return rnn(x, hx, weight_ih, weight_hh, bias_ih, bias_hh, nonlinearity)[0]


def lstm_cell(
    input: Any,
    hx: Any,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Take one step of `lstm`: from (B, E) and (h, c) to the next (h, c), each (B, H)."""
    h, c = lstm(as_tensor(input).unsqueeze(0), hx, weight_ih, weight_hh, bias_ih, bias_hh)
    return h[0], c[0]


def gru_cell(
    input: Any,
    hx: Any,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
) -> Tensor:
    """Take one step of `gru`: from (B, E) and the state (B, H) to the next state (B, H)."""
    return gru(as_tensor(input).unsqueeze(0), hx, weight_ih, weight_hh, bias_ih, bias_hh)[0]


def zero_padding(input: Tensor, lengths: np.ndarray) -> Tensor:
    """Set to 0 what comes after the end of each sequence.

    Parameters
    ----------
    input : Tensor, shape (T, B, F)
        Sequences that are padded at the end.
    lengths : array of int, shape (B,)
        How many steps of each are its own.

    Returns
    -------
    Tensor, shape (T, B, F)
    """
    own = (np.arange(len(input))[:, None] < lengths)[..., None]  # (T, B, 1)

    def backward(g):
        return (np.where(own, g, 0),)

    # not input * own: a NaN in the padding stays out, too
    return record(np.where(own, input.data, 0), (input,), backward)


def reverse_sequences(input: Tensor, lengths: np.ndarray | None = None) -> Tensor:
    """Turn each sequence round, and leave the padding after it where it is.

    Parameters
    ----------
    input : Tensor, shape (T, B, F)
        A batch of sequences.
    lengths : array of int, shape (B,), optional
        How many steps of each are its own; all if None.

    Returns
    -------
    Tensor, shape (T, B, F)
    """
    input = as_tensor(input)
    T, B, _ = input.shape
    t = np.arange(T)[:, None]
    ends = np.full(B, T) if lengths is None else lengths
    order = np.where(t < ends, ends - 1 - t, t), np.arange(B)  # twice gives the first order again
    return record(input.data[order], (input,), lambda g: (g[order],))


# ---- details -------------------------------------------------------------------------


def _prepare(
    name: str, gates: int, input: Any, weight_ih: Tensor, weight_hh: Tensor, *optional: Any
) -> tuple[Tensor, ...]:
    """Check all that comes in; biases and states (``optional``) that are None become zeros."""
    x, E, H = as_tensor(input), weight_ih.shape[-1], weight_hh.shape[-1]
    name, n = f"{name}({E}, {H})", gates * H
    if x.ndim != 3 or x.shape[2] != E or not len(x.data):
        raise ValueError(
            f"{name} got a batch of sequences of shape {x.shape}: it needs (steps, batch, {E}), "
            "and a step at least"
            + ("; give each number an axis of its own, x[..., None]" if E == 1 else "")
        )
    state = "the initial state", (x.shape[1], H)
    needed = [("weight_ih", (n, E)), ("weight_hh", (n, H)), ("bias_ih", (n,)), ("bias_hh", (n,))]
    needed += [state] * (len(optional) - 2)
    parents = [x]
    for tensor, (what, shape) in zip((weight_ih, weight_hh, *optional), needed, strict=True):
        tensor = Tensor(np.zeros(shape, x.dtype)) if tensor is None else as_tensor(tensor)
        if tensor.shape != shape:
            raise ValueError(f"{name} got {what} of shape {tensor.shape}: it needs {shape}")
        if tensor.dtype != x.dtype:
            mend = f"the data, x.astype(np.{tensor.dtype})"
            if what == state[0] and x.dtype.kind == "f":
                mend = f"the state, hx.astype(np.{x.dtype})"
            elif x.dtype == np.float64:
                mend += ", or the model, model.double()"
            raise ValueError(
                f"{name} got x of {x.dtype}, but {what} of {tensor.dtype}: convert {mend}"
            )
        parents.append(tensor)
    return tuple(parents)


@np.errstate(over="ignore")  # 1 / inf is 0
def _sigmoids_of_minus(z: np.ndarray) -> None:
    """Write σ(-z), 1 / (1 + exp z), in the place of z."""
    np.exp(z, out=z)
    z += 1
    np.reciprocal(z, out=z)


def _from_inputs(x: Tensor, weight: np.ndarray, bias: np.ndarray, sign: Any = 1) -> np.ndarray:
    """Return ``sign (W x + b)`` of all steps, (T, gates, H, B); ``sign`` is one per gate."""
    (T, B, E), (n, _) = x.shape, weight.shape
    gates = np.size(sign)
    W = np.concatenate([weight, bias[:, None]], axis=1).reshape(gates, -1, E + 1)
    columns = np.ones((T, E + 1, B), x.dtype)  # [xₜ, 1]
    columns[:, :E] = x.data.swapaxes(1, 2)
    return _at_all_steps((W * sign).reshape(n, E + 1), columns).reshape(T, gates, n // gates, B)


def _at_all_steps(weight: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return ``weight @ columns[t]`` for each t: (N, K) times (T, K, B)."""
    T, _, B = columns.shape
    out = np.empty((T, len(weight), B), columns.dtype)
    in_halves(weight.size * T * B, T, lambda t: np.matmul(weight, columns[t], out=out[t]))
    return out


def _outside_the_loop(
    by_x: np.ndarray,
    by_h: np.ndarray | None,
    x: Tensor,
    h: np.ndarray,
    parameters: Sequence[Tensor],
) -> tuple[np.ndarray | None, ...]:
    """Return the gradients of the input and the parameters, of all steps at once.

    From dz, (T, …, B), of what came from x; and of what came from h, where it differs:
    dxₜ = W_ihᵀ dzₜ, dW_ih = Σₜ dzₜ xₜᵀ, dW_hh = Σₜ dzₜ hₜ₋₁ᵀ, db = Σₜ dzₜ.
    """
    (T, B, E), n = x.shape, len(parameters[0].data)
    by_x = by_x.reshape(T, n, B)
    dx = None
    if x.requires_grad:
        dx = _at_all_steps(parameters[0].data.T, by_x).swapaxes(1, 2)
    if not any(p.requires_grad for p in parameters):
        return dx, None, None, None, None
    all_x, all_h, one = x.data.reshape(T * B, E), _columns(h).T, ones(T * B, x.dtype)
    if by_h is None:
        w_ih, w_hh, b = _over_steps(by_x, all_x, all_h, one)
        return dx, w_ih, w_hh, b, b
    w_ih, b_ih = _over_steps(by_x, all_x, one)
    w_hh, b_hh = _over_steps(by_h.reshape(T, n, B), all_h, one)
    return dx, w_ih, w_hh, b_ih, b_hh


def _over_steps(dz: np.ndarray, *factors: np.ndarray) -> list[np.ndarray]:
    """Return Σₜ dzₜ fₜ for each factor f, (T·B, …): one product of matrices of T·B columns."""
    n = dz.shape[1]
    sums = [np.empty((n, *f.shape[1:]), dz.dtype) for f in factors]

    def some(rows):
        columns = _columns(dz[:, rows])
        for out, f in zip(sums, factors, strict=True):
            np.matmul(columns, f, out=out[rows])

    in_halves(n * sum(f.size for f in factors), n, some)
    return sums


def _columns(rows: np.ndarray) -> np.ndarray:
    """(T, N, B) as a matrix (N, T·B)."""
    T, n, B = rows.shape
    return rows.swapaxes(0, 1).reshape(n, T * B)


def _blocks(weight: np.ndarray) -> np.ndarray:
    """(n, K) as (4, n/4, K): OpenBLAS has a faster way for products of small matrices."""
    n, K = weight.shape
    return np.ascontiguousarray(weight).reshape(4 if n % 4 == 0 else 1, -1, K)
