"""Layers that read sequences: RNN, LSTM, GRU, and their cells for one step at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dlcourse import functional as F
from dlcourse import init
from dlcourse.functional.dropout import check_share
from dlcourse.nn.module import Module, Parameter
from dlcourse.tensor import Tensor, as_tensor, cat, stack

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell"]


class Recurrent(Module):
    """What RNN, LSTM and GRU share; `RNN` tells the parameters and attributes."""

    gates: int
    states: int = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        rng: Any = None,
    ) -> None:
        name = type(self).__name__
        _check_sizes(name, input_size, hidden_size, num_layers)
        switches = {"bias": bias, "batch_first": batch_first, "bidirectional": bidirectional}
        for what, value in switches.items():
            if not isinstance(value, bool):
                raise ValueError(f"{name} got {what}={value!r}: it must be True or False")
        check_share(name, "dropout", dropout)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, dropout
        self.bidirectional = bidirectional
        self._rng = np.random.default_rng(rng)
        self._suffixes = [
            f"l{layer}{way}"
            for layer in range(num_layers)
            for way in (("", "_reverse") if bidirectional else ("",))
        ]
        ways = 1 + bidirectional
        for suffix in self._suffixes:
            width = input_size if suffix.startswith("l0") else ways * hidden_size
            _set_parameters(self, f"_{suffix}", self.gates, width, hidden_size, bias, self._rng)

    def forward(self, input: Any, hx: Any = None, lengths: Any = None) -> tuple[Tensor, Any]:
        """Read sequences from their start to their end.

        Parameters
        ----------
        input : Tensor or array, shape (T, B, E), (B, T, E) with ``batch_first``, or (T, E)
            A batch of sequences, or a single one.
        hx : Tensor, shape (layers × directions, B, H), or a pair (h, c) of them for an LSTM
            The states before the first step; zeros if None. Of a single sequence without B.
        lengths : sequence of int, shape (B,), optional
            How many steps of each sequence are its own, where short ones are padded at the end.
            What follows is not read, and gives outputs of 0: the same as PyTorch's
            ``pack_padded_sequence(…, enforce_sorted=False)`` and
            ``pad_packed_sequence(…, total_length=T)``.

        Returns
        -------
        output : Tensor, shape (T, B, directions × H), or as ``input`` came
            The states of the last layer after each step.
        hx : Tensor, shape (layers × directions, B, H), or a pair (h, c) of them for an LSTM
            The states of each layer and direction when all of the sequence was read.

        Raises
        ------
        ValueError
            If shapes, dtypes or lengths do not fit.
        """
        x = as_tensor(input)
        single = x.ndim == 2
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size:
            E, order = self.input_size, "batch, steps" if self.batch_first else "steps, batch"
            raise ValueError(
                f"{self._name()} got x of shape {x.shape}: it needs ({order}, {E}), or (steps, "
                f"{E}) for a single sequence"
                + ("; give each number an axis of its own, x[..., None]" if E == 1 else "")
            )
        if single:
            x = x.unsqueeze(1)
        elif self.batch_first and x.ndim == 3:
            x = x.transpose(0, 1)  # (T, B, E)
        initial = self._initial_states(hx, single)
        last: Any = -1
        if lengths is not None:
            lengths = self._check_lengths(lengths, x)
            last, steps = (lengths - 1, np.arange(len(lengths))), len(x)
            x = F.zero_padding(x[: lengths.max()], lengths)
        output, final = self._layers(x, initial, lengths, last)
        if lengths is not None:
            output = F.zero_padding(output, lengths)
            output = F.pad(output, (0, 0, 0, 0, 0, steps - len(output)))
        if single:
            output, final = output.squeeze(1), [s.squeeze(1) for s in final]
        elif self.batch_first:
            output = output.transpose(0, 1)
        return output, tuple(final) if self.states > 1 else final[0]

    def _layers(self, x: Tensor, initial: list, lengths: Any, last: Any) -> tuple[Tensor, list]:
        """Return what the last layer gives (T, B, …), and h (and c) at the end of each layer."""
        ways, final = 1 + self.bidirectional, []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = F.dropout(x, self.dropout, self.training, rng=self._rng)
            outputs = []
            for way in range(ways):
                k = layer * ways + way
                read = F.reverse_sequences(x, lengths) if way else x
                states = self._run(read, initial[k], self._parameters_of(k))  # (T, B, H) each
                final.append([s[last] for s in states])
                outputs.append(F.reverse_sequences(states[0], lengths) if way else states[0])
            x = cat(outputs, -1) if ways > 1 else outputs[0]
        return x, [stack(s) for s in zip(*final, strict=True)]

    def _run(self, x: Tensor, hx: Any, parameters: list) -> tuple[Tensor, ...]:
        """Return the state (and the cell) after each step of one layer and direction."""
        raise NotImplementedError

    def _parameters_of(self, k: int) -> list[Parameter | None]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return [getattr(self, f"{name}_{self._suffixes[k]}") for name in names]

    def _initial_states(self, hx: Any, single: bool) -> list[tuple]:
        """For each layer and direction, its h (and c); None for zeros."""
        n = len(self._suffixes)
        if hx is None:
            return [(None,) * self.states] * n
        pair = self.states > 1
        if pair != isinstance(hx, (tuple, list)) or (pair and any(s is None for s in hx)):
            raise ValueError(
                f"{self._name()} got a {type(hx).__name__} of initial states: it needs "
                + ("a pair (h, c) of tensors" if pair else "one tensor h; a pair is an LSTM's")
            )
        given = [as_tensor(s) for s in (hx if pair else (hx,))]
        if len(given) != self.states or any(s.ndim != 3 - single or len(s) != n for s in given):
            raise ValueError(
                f"{self._name()} got initial states of shapes "
                f"{', '.join(str(s.shape) for s in given)}: it needs {self.states} of shape "
                f"({n}, {'' if single else 'batch, '}{self.hidden_size}), one row for each layer "
                "and direction" + (", as a pair (h, c)" if self.states > 1 else "")
            )
        given = [s.unsqueeze(1) if single else s for s in given]
        return [tuple(s[k] for s in given) for k in range(n)]

    def _check_lengths(self, lengths: Any, x: Tensor) -> np.ndarray:
        lengths = np.asarray(lengths.data if isinstance(lengths, Tensor) else lengths)
        T, B = x.shape[:2]
        whole = lengths.dtype.kind in "iu" and lengths.shape == (B,)
        if not whole or (lengths < 1).any() or (lengths > T).any():
            raise ValueError(
                f"{self._name()} got lengths {lengths.tolist()} for {B} sequences of at most {T} "
                f"steps: it needs {B} whole numbers from 1 to {T}; is batch_first="
                f"{self.batch_first} meant?"
            )
        return lengths

    def _name(self) -> str:
        return f"{type(self).__name__}({self.input_size}, {self.hidden_size})"

    def extra_repr(self) -> str:
        """Return the sizes, and what differs from the usual."""
        usual = {"num_layers": 1, "bias": True, "batch_first": False}
        usual |= {"dropout": 0.0, "bidirectional": False}
        own = [f"{k}={getattr(self, k)}" for k, v in usual.items() if getattr(self, k) != v]
        return ", ".join([str(self.input_size), str(self.hidden_size), *own])


class RNN(Recurrent):
    """Layers of plain recurrent units: ``hₜ = tanh(W_ih xₜ + b_ih + W_hh hₜ₋₁ + b_hh)``.

    Parameters
    ----------
    input_size : int
        Features of each step, E.
    hidden_size : int
        Features of the state, H.
    num_layers : int
        Layers, each reading the states of the one below.
    nonlinearity : {'tanh', 'relu'}
        What is applied to the sum; LSTM and GRU do not have it.
    bias : bool
        Whether to add ``b_ih`` and ``b_hh``.
    batch_first : bool
        Whether sequences come and go as (B, T, …) and not (T, B, …). States are (…, B, H) always.
    dropout : float
        The share of a layer's outputs that the next layer does not see in training.
    bidirectional : bool
        Whether each layer also reads from the end to the start; outputs are then 2H wide.
    rng : int, Generator or None
        Where starting values, even up to ±1/√H as in PyTorch, and dropout come from.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0 : Parameter, shapes (gates H, E) and (gates H, H)
        Of layer 0; an RNN has 1 gate, an LSTM 4, a GRU 3. In the layers above, E is the width of
        the output below. The direction from the end to the start has names with ``_reverse``.
    bias_ih_l0, bias_hh_l0 : Parameter, shape (gates H,)
        The shifts, with ``bias``.
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        rng: Any = None,
    ) -> None:
        self.nonlinearity = _checked_nonlinearity("RNN", nonlinearity)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, rng=rng
        )

    def _run(self, x: Tensor, hx: Any, parameters: list) -> tuple[Tensor, ...]:
        return (F.rnn(x, *hx, *parameters, self.nonlinearity),)


class LSTM(Recurrent):
    """Layers of long short-term memory, with a state h and a cell c: see `functional.lstm`.

    Parameters, attributes and what it takes and gives are those of `RNN`.
    """

    gates, states = 4, 2

    def _run(self, x: Tensor, hx: Any, parameters: list) -> tuple[Tensor, ...]:
        return F.lstm(x, hx, *parameters)


class GRU(Recurrent):
    """Layers of gated recurrent units: see `functional.gru`.

    Parameters, attributes and what it takes and gives are those of `RNN`.
    """

    gates = 3

    def _run(self, x: Tensor, hx: Any, parameters: list) -> tuple[Tensor, ...]:
        return (F.gru(x, *hx, *parameters),)


# ---- cells ------------------------------------------------------------------------------


class Cell(Module):
    """What RNNCell, LSTMCell and GRUCell share; `RNNCell` tells the parameters and attributes."""

    gates: int

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, *, rng: Any = None
    ) -> None:
        _check_sizes(type(self).__name__, input_size, hidden_size)
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rng = np.random.default_rng(rng)
        _set_parameters(self, "", self.gates, input_size, hidden_size, bias, rng)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Take a step: from (B, E) and the state (B, H), zeros if None, to the next state.

        A single input (E,) with a state (H,) gives a state (H,). The state of an LSTMCell is a
        pair (h, c).
        """
        x = as_tensor(input)
        single = x.ndim == 1
        if single:
            x, hx = x.unsqueeze(0), _each(hx, lambda s: as_tensor(s).unsqueeze(0))
        out = self._step(x, hx)
        return _each(out, lambda s: s.squeeze(0)) if single else out

    def _step(self, x: Tensor, hx: Any) -> Any:
        raise NotImplementedError

    def _parameters(self) -> tuple[Parameter | None, ...]:
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(Cell):
    """One step of `RNN`, for loops that the reader writes.

    Parameters
    ----------
    input_size, hidden_size : int
        Features of the input, E, and of the state, H.
    bias : bool
        Whether to add ``b_ih`` and ``b_hh``.
    nonlinearity : {'tanh', 'relu'}
        What is applied to the sum; LSTMCell and GRUCell do not have it.
    rng : int, Generator or None
        Where starting values come from: even up to ±1/√H, as in PyTorch.

    Attributes
    ----------
    weight_ih, weight_hh : Parameter, shapes (gates H, E) and (gates H, H)
    bias_ih, bias_hh : Parameter, shape (gates H,), or None
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        rng: Any = None,
    ) -> None:
        self.nonlinearity = _checked_nonlinearity("RNNCell", nonlinearity)
        super().__init__(input_size, hidden_size, bias, rng=rng)

    def _step(self, x: Tensor, hx: Any) -> Tensor:
        return F.rnn_cell(x, hx, *self._parameters(), self.nonlinearity)


class LSTMCell(Cell):
    """One step of `LSTM`; its state is a pair (h, c). Parameters are those of `RNNCell`."""

    gates = 4

    def _step(self, x: Tensor, hx: Any) -> tuple[Tensor, Tensor]:
        return F.lstm_cell(x, hx, *self._parameters())


class GRUCell(Cell):
    """One step of `GRU`. Parameters are those of `RNNCell`."""

    gates = 3

    def _step(self, x: Tensor, hx: Any) -> Tensor:
        return F.gru_cell(x, hx, *self._parameters())


# ---- details ----------------------------------------------------------------------------


def _set_parameters(
    module: Module, suffix: str, gates: int, width: int, H: int, bias: bool, rng: Any
) -> None:
    n = gates * H
    shapes = {"weight_ih": (n, width), "weight_hh": (n, H), "bias_ih": (n,), "bias_hh": (n,)}
    for name, shape in shapes.items():
        parameter = None
        if bias or name.startswith("weight"):
            parameter = Parameter(np.empty(shape, np.float32))
            init.uniform_(parameter, -1 / math.sqrt(H), 1 / math.sqrt(H), rng)
        setattr(module, name + suffix, parameter)


def _check_sizes(name: str, *sizes: int) -> None:
    for what, n in zip(("input_size", "hidden_size", "num_layers"), sizes, strict=False):
        if not isinstance(n, (int, np.integer)) or n < 1:
            raise ValueError(
                f"{name}({', '.join(map(str, sizes))}): {what} must be a whole number from 1"
            )


def _checked_nonlinearity(name: str, nonlinearity: str) -> str:
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"{name} got nonlinearity={nonlinearity!r}: it must be 'tanh' or 'relu'")
    return nonlinearity


def _each(states: Any, change: Any) -> Any:
    """Apply to a state, to both of a pair, or to none."""
    if states is None:
        return None
    return tuple(map(change, states)) if isinstance(states, (tuple, list)) else change(states)
