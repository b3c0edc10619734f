"""Sequences against PyTorch: recurrent layers, attention, and what cuts tensors to pieces.

See `test_equality` for the tolerances. All outputs of a module are joined into one tensor, so that
one comparison covers each of them and the gradients of all inputs and parameters.
"""

import copy
import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as TF
from hypothesis import given
from hypothesis import strategies as st
from test_equality import equal, normal
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from dlcourse import cat, einsum, nn
from dlcourse import functional as F

SEEDS = st.integers(10, 2**31)  # the inputs are drawn from the seeds just below


def joined(outputs, cat):
    """Every tensor in nested tuples, flattened and joined."""
    flat, waiting = [], [outputs]
    while waiting:
        item = waiting.pop()
        if isinstance(item, tuple):
            waiting += item
        elif item is not None:
            flat.append(item.reshape(-1))
    return cat(flat)


def equal_modules(ours, theirs, inputs, seed, run_ours, run_theirs):
    """Compare ``run(module, *inputs)`` with the same random parameters in both modules.

    Inputs and parameters are pieces of one vector, so that the error of a gradient is measured by
    the size of all: a single number that is left over from large ones has few digits in float32.
    """
    state = theirs.state_dict()
    assert [(k, v.shape) for k, v in ours.state_dict().items()] == [
        (k, tuple(v.shape)) for k, v in state.items()
    ]
    arrays = [*inputs, *(0.5 * normal(seed + i, *v.shape) for i, v in enumerate(state.values()))]

    def pieces(vector):
        ends = np.cumsum([a.size for a in arrays])
        parts = [vector[e - a.size : e].reshape(a.shape) for e, a in zip(ends, arrays, strict=True)]
        return parts[: len(inputs)], dict(zip(state, parts[len(inputs) :], strict=True))

    def mine(vector):
        inputs, parameters = pieces(vector)
        changed = copy.deepcopy(ours)
        for name, value in parameters.items():
            *path, last = name.split(".")
            setattr(functools.reduce(getattr, path, changed), last, value)
        return joined(run_ours(changed, *inputs), cat)

    def other(vector):
        inputs, parameters = pieces(vector)
        replaced = {f"module.{k}": v for k, v in parameters.items()}
        return torch.func.functional_call(Run(theirs, run_theirs), replaced, tuple(inputs))

    equal(mine, other, np.concatenate([a.reshape(-1) for a in arrays]))


class Run(torch.nn.Module):
    def __init__(self, module, run):
        super().__init__()
        self.module, self.run = module, run

    def forward(self, *inputs):
        return joined(self.run(self.module, *inputs), torch.cat)


@st.composite
def recurrent(draw, kind):
    T, B, E, H = (draw(st.integers(1, most)) for most in (5, 4, 3, 4))
    options = {
        "num_layers": draw(st.integers(1, 3)),
        "bias": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "bidirectional": draw(st.booleans()),
    }
    if kind == "RNN":
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    form = draw(st.sampled_from(["batch", "single", "lengths"]))
    lengths = None
    if form == "lengths":
        lengths = draw(st.lists(st.integers(1, T), min_size=B, max_size=B))
        lengths[draw(st.integers(0, B - 1))] = T  # torch's padded output is as long as the longest
    x = (T, E) if form == "single" else (B, T, E) if options["batch_first"] else (T, B, E)
    rows = options["num_layers"] * (1 + options["bidirectional"])
    state = (rows, H) if form == "single" else (rows, B, H)
    states = draw(st.booleans()) * (1 + (kind == "LSTM"))
    return (E, H), options, lengths, [x] + [state] * states, draw(SEEDS)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@given(data=st.data())
def test_recurrent(kind, data):
    sizes, options, lengths, shapes, seed = data.draw(recurrent(kind))
    ours = getattr(nn, kind)(*sizes, **options)
    theirs = getattr(torch.nn, kind)(*sizes, **options)

    def mine(module, x, *states):
        return module(x, states if kind == "LSTM" and states else (*states, None)[0], lengths)

    def other(module, x, *states):
        hx = states if kind == "LSTM" and states else (*states, None)[0]
        if lengths is None:
            return module(x, hx)
        first = options["batch_first"]
        output, final = module(pack_padded_sequence(x, lengths, first, enforce_sorted=False), hx)
        return pad_packed_sequence(output, first)[0], final

    inputs = [normal(seed - 1 - i, *shape) for i, shape in enumerate(shapes)]
    equal_modules(ours, theirs, inputs, seed, mine, other)


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
@given(
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    batch=st.lists(st.integers(1, 4), max_size=1),
    bias=st.booleans(),
    relu=st.booleans(),
    stateful=st.booleans(),
    seed=SEEDS,
)
def test_cells(kind, sizes, batch, bias, relu, stateful, seed):
    options = {"bias": bias}
    if kind == "RNNCell":
        options["nonlinearity"] = "relu" if relu else "tanh"
    ours, theirs = (getattr(m, kind)(*sizes, **options) for m in (nn, torch.nn))

    def run(module, x, *states):
        return module(x, states if kind == "LSTMCell" and states else (*states, None)[0])

    shapes = [(*batch, sizes[0])]
    shapes += [(*batch, sizes[1])] * (stateful * (1 + (kind == "LSTMCell")))
    inputs = [normal(seed - 1 - i, *shape) for i, shape in enumerate(shapes)]
    equal_modules(ours, theirs, inputs, seed, run, run)


@given(data=st.data(), shape=st.lists(st.integers(1, 4), min_size=1, max_size=3), seed=SEEDS)
def test_pieces_and_padding(data, shape, seed):
    x, dim = normal(seed, *shape), data.draw(st.integers(-len(shape), len(shape) - 1))
    n = data.draw(st.integers(1, 5))

    def joined_again(cat):
        return lambda x: cat([(i + 1) * p * p for i, p in enumerate(x.split(n, dim))], dim)

    equal(joined_again(cat), joined_again(torch.cat), x)
    equal(lambda x: x.chunk(n, dim)[-1], lambda x: x.chunk(n, dim)[-1], x)
    cuts = [data.draw(st.integers(-(size // 2) + (size == 1), 2)) for size in shape for _ in "ab"]
    pads = [p if size > 2 else max(p, 0) for p, size in zip(cuts, np.repeat(shape, 2), strict=True)]
    pads = pads[: 2 * data.draw(st.integers(0, len(shape)))]
    value = data.draw(st.sampled_from([0.0, -1.5]))
    if all(n + a + b > 0 for n, a, b in zip(shape[::-1], pads[::2], pads[1::2], strict=False)):
        equal(lambda x: F.pad(x, pads, value=value), lambda x: TF.pad(x, pads, value=value), x)


EINSUMS = ["ij,jk->ik", "ij,kj", "bij,bjk->bik", "i,j->ji", "ij->", "ii->i", "ii", "iij,j->i"]
EINSUMS += ["...ij,...jk->...ik", "ik,jk->i", "nhld,nhsd->nhls", "bi,bi->b", "i...,i"]


@pytest.mark.parametrize("equation", EINSUMS)
@given(data=st.data(), seed=SEEDS)
def test_einsum(equation, data, seed):
    sizes = {c: data.draw(st.integers(1, 4)) for c in "ijkbnhlsd"}
    free = data.draw(st.lists(st.integers(1, 3), max_size=2))
    arrays = []
    for i, names in enumerate(equation.split("->")[0].split(",")):
        shape = []
        for part in names.replace("...", "."):
            shape += [sizes[part]] if part != "." else free
        arrays.append(normal(seed + i, *shape))
    equal(lambda *t: einsum(equation, *t), lambda *t: torch.einsum(equation, *t), *arrays)


@given(shape=st.lists(st.integers(1, 4), max_size=3), seed=SEEDS)
def test_hooks(shape, seed):
    def hooked(x):
        y = x * x
        y.register_hook(lambda g: g * 3)
        x.register_hook(lambda g: -g)
        return y * x

    equal(hooked, hooked, normal(seed, *shape))
