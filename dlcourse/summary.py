"""What a model is made of: layers, shapes, parameters and the arithmetic of a forward pass."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcourse import nn
from dlcourse.models import CausalSelfAttention
from dlcourse.nn.module import evaluating
from dlcourse.tensor import Tensor, no_grad

__all__ = ["LayerSummary", "Summary", "summary"]


@dataclass(frozen=True)
class LayerSummary:
    """One layer of a `Summary`.

    Attributes
    ----------
    name, kind : str
        Where it stands in the model, such as ``h.0.attn``, and its class.
    shape : tuple of int
        Of its output.
    parameters : int
        Its own, without those of layers inside it and of layers named before.
    flops : int
        Multiplications and additions of its matrix products, for this input.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    flops: int


@dataclass(frozen=True)
class Summary:
    """What `summary` found; shown as a table.

    Attributes
    ----------
    layers : list of LayerSummary
        In the order in which they were done: a layer comes after those inside it.
    parameters, flops : int
        Of all layers together.
    """

    layers: list[LayerSummary]
    parameters: int
    flops: int

    def __str__(self) -> str:
        rows = [("layer", "kind", "output", "parameters", "FLOPs")]
        rows += [
            (s.name, s.kind, str(s.shape), f"{s.parameters:,}", f"{s.flops:,}") for s in self.layers
        ]
        rows += [("total", "", "", f"{self.parameters:,}", f"{self.flops:,}")]
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        return "\n".join(
            "  ".join(
                cell.rjust(w) if i > 2 else cell.ljust(w)
                for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )

    __repr__ = __str__


def summary(model: nn.Module, *inputs: Any) -> Summary:
    """Send an example through a model, and note what each layer does.

    Parameters
    ----------
    model : Module
        It is called once, in eval mode and without recording.
    *inputs : Tensor or array
        An example batch.

    Returns
    -------
    Summary
        A multiplication and an addition count as two FLOPs; only those of matrix products and
        convolutions count, as in the literature. Training takes about three times as many.

    Examples
    --------
    >>> import numpy as np
    >>> print(summary(nn.Sequential(nn.Linear(3, 4), nn.Tanh()), np.zeros((2, 3), np.float32)))
    layer  kind    output  parameters  FLOPs
    0      Linear  (2, 4)          16     48
    1      Tanh    (2, 4)           0      0
    total                          16     48
    """
    names = {id(module): name for name, module in model.named_modules()}
    layers: list[LayerSummary] = []
    counted: set[int] = set()

    def call(module: nn.Module, *args: Any, **options: Any) -> Any:
        out = plain_call(module, *args, **options)
        shape = _first_shape(out)
        own = [p for p in vars(module).values() if isinstance(p, nn.Parameter)]
        new = sum(p.data.size for p in own if id(p) not in counted)
        counted.update(id(p) for p in own)
        given = (*args, *options.values())
        inputs = [x.shape for x in given if isinstance(x, (Tensor, np.ndarray))]
        n = flops(module, inputs, shape) if inputs else 0
        if id(module) in names and (own or n or not any(True for _ in module.children())):
            name, kind = names[id(module)], type(module).__name__
            layers.append(LayerSummary(name, kind, shape, new, n))
        return out

    plain_call = nn.Module.__call__
    nn.Module.__call__ = call
    try:
        with no_grad(), evaluating(model):
            model(*inputs)
    finally:
        nn.Module.__call__ = plain_call
    return Summary(
        layers, sum(p.data.size for p in model.parameters()), sum(s.flops for s in layers)
    )


Shapes = list[tuple[int, ...]]


def _first_shape(out: Any) -> tuple[int, ...]:
    """Return the shape of an output, of the first of several, or () where there is none."""
    if isinstance(out, Tensor):
        return out.shape
    parts = out.values() if isinstance(out, dict) else out
    return next(map(_first_shape, parts), ()) if isinstance(out, (tuple, list, dict)) else ()


@functools.singledispatch
def flops(module: nn.Module, inputs: Shapes, output: tuple[int, ...]) -> int:
    """Return the FLOPs of a layer's own matrix products, from the shapes of inputs and output."""
    return 0


@flops.register
def _(module: nn.Linear, inputs: Shapes, output: tuple[int, ...]) -> int:
    return 2 * math.prod(output) * module.in_features


@flops.register(nn.Conv1d)
@flops.register(nn.Conv2d)
def _(module: Any, inputs: Shapes, output: tuple[int, ...]) -> int:
    return 2 * math.prod(output) * math.prod(module.weight.shape[1:])


@flops.register
def _(module: nn.ConvTranspose2d, inputs: Shapes, output: tuple[int, ...]) -> int:
    return 2 * math.prod(inputs[0]) * math.prod(module.weight.shape[1:])


@flops.register(nn.RNN)
@flops.register(nn.LSTM)
@flops.register(nn.GRU)
@flops.register(nn.RNNCell)
@flops.register(nn.LSTMCell)
@flops.register(nn.GRUCell)
def _(module: Any, inputs: Shapes, output: tuple[int, ...]) -> int:
    weights = sum(p.data.size for k, p in vars(module).items() if k.startswith("weight_"))
    return 2 * weights * math.prod(inputs[0][:-1])


@flops.register
def _(module: CausalSelfAttention, inputs: Shapes, output: tuple[int, ...]) -> int:
    B, T, C = inputs[0]
    return 2 * 2 * B * T * T * C  # queries times keys, weights times values


@flops.register
def _(module: nn.MultiheadAttention, inputs: Shapes, output: tuple[int, ...]) -> int:
    query, key, value = inputs[:3]
    steps = key[1 if module.batch_first and len(key) == 3 else 0]
    maps = sum(math.prod(shape) for shape in (query, key, value))
    # scores and sums of the values; out_proj, a Linear, counts its own
    return 2 * module.embed_dim * (maps + 2 * steps * math.prod(query[:-1]))
