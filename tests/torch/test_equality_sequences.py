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
    """Compare ``run(module, *inputs)`` with the same random parameters in both modules."""
    state = theirs.state_dict()
    assert [(k, v.shape) for k, v in ours.state_dict().items()] == [
        (k, tuple(v.shape)) for k, v in state.items()
    ]
    arrays = [*inputs, *(0.5 * normal(seed + i, *v.shape) for i, v in enumerate(state.values()))]
    n = len(inputs)

    def mine(*tensors):
        changed = copy.deepcopy(ours)
        for name, value in zip(state, tensors[n:], strict=True):
            *path, last = name.split(".")
            vars(functools.reduce(getattr, path, changed))[last] = value  # no Parameter
        return joined(run_ours(changed, *tensors[:n]), cat)

    def other(*tensors):
        replaced = {f"module.{k}": v for k, v in zip(state, tensors[n:], strict=True)}
        return torch.func.functional_call(Run(theirs, run_theirs), replaced, tensors[:n])

    equal_jointly(mine, other, *arrays)


def equal_jointly(ours, theirs, *arrays):
    """Compare as `equal` does, with all arrays as pieces of one vector.

    The error of a gradient is then measured by the size of all: one that is 0, or a single number
    that is left over from large ones, has few digits of its own in float32.
    """
    ends = np.cumsum([a.size for a in arrays])

    def apart(f):
        def of_vector(vector):
            pieces = zip(ends, arrays, strict=True)
            return f(*(vector[end - a.size : end].reshape(a.shape) for end, a in pieces))

        return of_vector

    equal(apart(ours), apart(theirs), np.concatenate([a.reshape(-1) for a in arrays]))


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
        T = x.shape[first]
        return pad_packed_sequence(output, first, total_length=T)[0], final

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


@st.composite
def masked(draw, L, S, numbers=True):
    """A mask of booleans or numbers (None: without), and whether it is causal."""
    kind = draw(st.sampled_from(["none", "booleans", "numbers", "-inf"][: 4 if numbers else 2]))
    seed = draw(SEEDS)
    lead = draw(st.sampled_from([(), (1,), (2, 1), (1, 3), (2, 3)]))
    if kind == "none":
        return None
    allowed = np.random.default_rng(seed).random((*lead, L, S)) < draw(st.sampled_from([0.3, 0.8]))
    if kind == "booleans":
        return allowed
    return np.where(allowed, 0, -np.inf) if kind == "-inf" else normal(seed, *lead, L, S)


@given(data=st.data(), sizes=st.tuples(*[st.integers(1, 5)] * 4), seed=SEEDS)
def test_attention(data, sizes, seed):
    L, S, E, V = sizes
    size = data.draw(st.sampled_from([1.0, 15.0]))  # scores beyond what exp takes as they are
    arrays = [size * normal(seed, 2, 3, L, E), normal(seed + 1, 2, 3, S, E)]
    arrays.append(normal(seed + 2, 2, 3, S, V))
    mask = data.draw(masked(L, S))
    options = {"is_causal": mask is None and data.draw(st.booleans())}
    options["scale"] = data.draw(st.sampled_from([None, 0.3]))

    def as_(mask, like):
        return None if mask is None else mask if mask.dtype == bool else mask.astype(like)

    def ours(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, as_(mask, q.dtype), **options)

    def theirs(q, k, v):
        given = None if mask is None else torch.tensor(mask)
        given = given.to(q.dtype) if mask is not None and mask.dtype != bool else given
        return TF.scaled_dot_product_attention(q, k, v, given, **options)

    equal_jointly(ours, theirs, *arrays)
    if mask is not None and mask.dtype != bool and np.isfinite(mask).all():
        attention = F.scaled_dot_product_attention, TF.scaled_dot_product_attention
        equal_jointly(*attention, *arrays, mask)


@given(data=st.data(), sizes=st.tuples(*[st.integers(1, 4)] * 5), seed=SEEDS)
def test_multihead_attention(data, sizes, seed):
    L, S, N, heads, width = sizes
    E = heads * width
    flags = data.draw(st.tuples(*[st.booleans()] * 5))
    batch_first, bias, need_weights, average, own = flags
    own = own or data.draw(st.booleans())
    S = L if own else S
    options = {"bias": bias, "batch_first": batch_first}
    if not own and data.draw(st.booleans()):
        options |= {"kdim": data.draw(st.integers(1, 5)), "vdim": data.draw(st.integers(1, 5))}
    ours, theirs = (m.MultiheadAttention(E, heads, **options) for m in (nn, torch.nn))
    rng = np.random.default_rng(seed)
    mask = rng.random((N * heads, L, S) if data.draw(st.booleans()) else (L, S)) < 0.3
    padding = rng.random((N, S)) < 0.3
    mask[..., 0] = padding[..., 0] = False  # each query may read something: torch gives NaN else
    mask = mask if data.draw(st.booleans()) else None
    padding = padding if data.draw(st.booleans()) else None

    def run(convert):
        def attend(module, query, *others):
            key, value = others or (query, query)
            given = [None if m is None else convert(m) for m in (padding, mask)]
            return module(query, key, value, given[0], need_weights, given[1], average)

        return attend

    def shape(n, features):
        return (N, n, features) if batch_first else (n, N, features)

    shapes = [shape(L, E)]
    if not own:
        shapes += [shape(S, options.get("kdim", E)), shape(S, options.get("vdim", E))]
    inputs = [normal(seed - 1 - i, *shape) for i, shape in enumerate(shapes)]
    equal_modules(ours, theirs, inputs, seed, run(np.asarray), run(torch.tensor))


@pytest.mark.parametrize("kind", ["TransformerEncoderLayer", "TransformerDecoderLayer"])
@given(data=st.data(), sizes=st.tuples(*[st.integers(1, 4)] * 5), seed=SEEDS)
def test_transformer_layers(kind, data, sizes, seed):
    L, S, N, heads, width = sizes
    E, decoder = heads * width, kind.endswith("DecoderLayer")
    batch_first, norm_first, bias, causal, padded = data.draw(st.tuples(*[st.booleans()] * 5))
    options = {
        "dim_feedforward": data.draw(st.integers(1, 5)),
        "dropout": 0.0,
        "activation": data.draw(st.sampled_from(["relu", "gelu"])),
        "batch_first": batch_first,
        "norm_first": norm_first,
        "bias": bias,
        "layer_norm_eps": 0.1,  # one feature alone has no variance: 1 / √eps then multiplies errors
    }
    ours, theirs = (getattr(m, kind)(E, heads, **options) for m in (nn, torch.nn))
    rng = np.random.default_rng(seed)
    padding = rng.random((N, L)) < 0.3 * padded
    padding[:, 0] = False
    forbidden = ~np.tri(L, dtype=bool)

    def run(convert):
        def read(module, x, *memory):
            names = (
                ("tgt_mask", "tgt_key_padding_mask")
                if decoder
                else (
                    "src_mask",
                    "src_key_padding_mask",
                )
            )
            masks = convert(forbidden) if causal else None, convert(padding) if padded else None
            return module(x, *memory, **dict(zip(names, masks, strict=True)))

        return read

    def shape(n):
        return (N, n, E) if batch_first else (n, N, E)

    shapes = [shape(L), shape(S)][: 1 + decoder]
    inputs = [normal(seed - 1 - i, *shape) for i, shape in enumerate(shapes)]
    equal_modules(ours, theirs, inputs, seed, run(np.asarray), run(torch.tensor))
