"""Recurrent layers against loops written from their formulas, and their gradients by trying."""

import copy

import numpy as np
import pytest

from dlcourse import Tensor, nn
from dlcourse import functional as F
from dlcourse.gradcheck import gradcheck

GATES = {"rnn": 1, "lstm": 4, "gru": 3}
LAYERS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
CELLS = {"rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}


def leaf(*shape, seed=0):
    return Tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rnn_step(x, state, w_ih, w_hh, b_ih, b_hh):
    (h,) = state
    return (np.tanh(w_ih @ x + b_ih + w_hh @ h + b_hh),)


def relu_step(x, state, w_ih, w_hh, b_ih, b_hh):
    (h,) = state
    return (np.maximum(w_ih @ x + b_ih + w_hh @ h + b_hh, 0),)


def lstm_step(x, state, w_ih, w_hh, b_ih, b_hh):
    h, c = state
    i, f, g, o = np.split(w_ih @ x + b_ih + w_hh @ h + b_hh, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_step(x, state, w_ih, w_hh, b_ih, b_hh):
    (h,) = state
    (xr, xz, xn), (hr, hz, hn) = np.split(w_ih @ x + b_ih, 3), np.split(w_hh @ h + b_hh, 3)
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    return ((1 - z) * np.tanh(xn + r * hn) + z * h,)


STEPS = {"rnn": rnn_step, "relu": relu_step, "lstm": lstm_step, "gru": gru_step}


def loop(step, x, states, parameters):
    """One sequence of the batch after the other, one step after the other: (T, B, H) each."""
    T, B, _ = x.shape
    out = [np.zeros((T, B, s.shape[-1])) for s in states]
    for b in range(B):
        state = tuple(s[b] for s in states)
        for t in range(T):
            state = step(x[t, b], state, *parameters)
            for o, s in zip(out, state, strict=True):
                o[t, b] = s
    return out


def problem(kind, T=3, B=2, E=3, H=4):
    n = GATES.get(kind, 1) * H
    states = [leaf(B, H, seed=1), leaf(B, H, seed=2)][: 2 if kind == "lstm" else 1]
    shapes = (n, E), (n, H), (n,), (n,)
    return leaf(T, B, E), states, [leaf(*s, seed=3 + i) for i, s in enumerate(shapes)]


def run(kind, x, states, parameters):
    if kind == "lstm":
        return F.lstm(x, tuple(states) or None, *parameters)
    if kind == "gru":
        return (F.gru(x, *states or (None,), *parameters),)
    return (
        F.rnn(x, *states or (None,), *parameters, nonlinearity="relu" * (kind == "relu") or "tanh"),
    )


@pytest.mark.parametrize("kind", STEPS)
def test_sequence_is_the_formula_step_by_step(kind):
    x, states, parameters = problem(kind)
    expected = loop(STEPS[kind], x.data, [s.data for s in states], [p.data for p in parameters])
    for out, right in zip(run(kind, x, states, parameters), expected, strict=True):
        np.testing.assert_allclose(out.data, right, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("sizes", [(3, 2, 3, 4), (1, 1, 1, 1), (2, 3, 2, 3)], ids=str)
def test_gradients_of_everything_that_a_sequence_reads(kind, sizes):
    x, states, parameters = problem(kind, *sizes)
    n = len(states)

    def everything(x, *rest):
        return sum((i + 1) * o for i, o in enumerate(run(kind, x, rest[:n], rest[n:])))

    assert gradcheck(everything, (x, *states, *parameters))
    for k in range(1 + n + 4):  # any of them may be a constant
        some = [t.detach() if i == k else t for i, t in enumerate((x, *states, *parameters))]
        assert gradcheck(everything, some)


@pytest.mark.parametrize("kind", STEPS)
def test_without_states_and_biases_they_are_zero(kind):
    x, states, parameters = problem(kind)
    zeros = [s * 0 for s in states], [*parameters[:2], *(p * 0 for p in parameters[2:])]
    for a, b in zip(run(kind, x, [], parameters[:2]), run(kind, x, *zeros), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    assert gradcheck(lambda x, *w: run(kind, x, [], w)[0], (x, *parameters[:2]))


@pytest.mark.parametrize("kind", CELLS)
def test_a_loop_over_the_cell_is_the_layer(kind):
    cell, layer = CELLS[kind](3, 4, rng=0).double(), LAYERS[kind](3, 4, rng=1).double()
    layer.load_state_dict({f"{k}_l0": v for k, v in cell.state_dict().items()})
    x, state, outputs = leaf(5, 2, 3), None, []
    for step in x:
        state = cell(step, state)
        outputs.append((state[0] if kind == "lstm" else state).data)
    output, final = layer(x)
    np.testing.assert_allclose(output.data, outputs, rtol=1e-12)
    for a, b in zip(*[(f if kind == "lstm" else (f,)) for f in (final, state)], strict=True):
        np.testing.assert_allclose(a.data, b.data[None], rtol=1e-12)
    one = cell(x[0, 1])  # a single input, as in PyTorch
    batch = cell(x[0])
    for a, b in zip(*[(f if kind == "lstm" else (f,)) for f in (one, batch)], strict=True):
        np.testing.assert_allclose(a.data, b.data[1], rtol=1e-12)


@pytest.mark.parametrize("kind", LAYERS)
def test_two_layers_in_both_directions_are_loops(kind):
    layer = LAYERS[kind](3, 4, num_layers=2, bidirectional=True, rng=0).double()
    x, lengths = leaf(5, 3, 3).data, [5, 2, 3]
    own = {k: v.data for k, v in layer.named_parameters()}
    zeros = [np.zeros((1, 4))] * (2 if kind == "lstm" else 1)
    output, final = layer(x, lengths=lengths)
    final = final if kind == "lstm" else (final,)
    for b, n in enumerate(lengths):
        read = x[:n, b : b + 1]
        for k in range(2):
            ways = []
            for d, way in enumerate(("", "_reverse")):
                names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                parameters = [own[f"{name}_l{k}{way}"] for name in names]
                states = loop(STEPS[kind], read[:: 1 - 2 * d], zeros, parameters)
                ways.append(states[0][:: 1 - 2 * d])
                for got, s in zip(final, states, strict=True):
                    np.testing.assert_allclose(got.data[2 * k + d, b], s[-1, 0], rtol=1e-10)
            read = np.concatenate(ways, axis=-1)
        np.testing.assert_allclose(output.data[:n, b], read[:, 0], rtol=1e-10)
        assert (output.data[n:, b] == 0).all()


@pytest.mark.parametrize("kind", LAYERS)
def test_gradients_of_a_deep_layer_with_lengths(kind):
    layer = LAYERS[kind](2, 3, num_layers=2, bidirectional=True, rng=0).double()
    names = list(layer.state_dict())
    n = 2 if kind == "lstm" else 1

    def everything(x, *rest):
        changed = copy.copy(layer)
        for name, value in zip(names, rest[n:], strict=True):
            vars(changed)[name] = value  # a tensor that is no Parameter
        output, final = changed(x, rest[:2] if n == 2 else rest[0], lengths=[2, 3])
        final = final if n == 2 else (final,)
        return output.sum() + sum((s * s).sum() for s in final)

    states = [leaf(4, 2, 3, seed=i) for i in range(n)]
    weights = [Tensor(v, requires_grad=True) for v in layer.state_dict().values()]
    assert gradcheck(everything, (leaf(3, 2, 2), *states, *weights))


@pytest.mark.parametrize("kind", LAYERS)
def test_padding_is_never_read(kind):
    layer = LAYERS[kind](2, 3, batch_first=True, bidirectional=True, rng=0)
    x = np.random.default_rng(0).normal(size=(2, 4, 2)).astype(np.float32)
    padded = x.copy()
    padded[0, 2:] = np.nan
    results = []
    for given in (x, padded):
        given = Tensor(given, requires_grad=True)
        layer.zero_grad()
        output, _ = layer(given, lengths=[2, 4])
        output.sum().backward()
        results.append([output.data, given.grad, *(p.grad for p in layer.parameters())])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (results[0][1][0, 2:] == 0).all()


def test_steps_that_no_sequence_has_are_not_taken():
    layer = nn.RNN(1, 2, nonlinearity="relu", rng=0)
    for p in layer.parameters():
        p.data[...] = 3.0  # after 100 steps more than float32 can hold
    x = np.ones((100, 2, 1), np.float32)
    output, final = layer(x, lengths=[3, 2])
    (output.sum() + final.sum()).backward()
    assert output.shape == (100, 2, 2)
    assert (output.data[3:] == 0).all()
    assert all(np.isfinite(p.grad).all() for p in layer.parameters())


def test_batch_first_and_a_single_sequence_are_the_same_numbers():
    x = leaf(5, 2, 3)
    for kind, layer in LAYERS.items():
        steps_first = layer(3, 4, rng=0).double()
        batch_first = layer(3, 4, batch_first=True, rng=0).double()
        a, _ = steps_first(x)
        b, _ = batch_first(x.transpose(0, 1))
        np.testing.assert_array_equal(a.data, b.data.swapaxes(0, 1))
        single, final = steps_first(x[:, 1])
        assert (final[0] if kind == "lstm" else final).shape == (1, 4)
        np.testing.assert_allclose(single.data, a.data[:, 1])


def test_names_shapes_and_starting_values():
    layer = nn.LSTM(3, 4, num_layers=2, bidirectional=True, rng=0)
    expected = [
        (f"{kind}_l{k}{way}", shape)
        for k, width in ((0, 3), (1, 8))
        for way in ("", "_reverse")
        for kind, shape in (
            ("weight_ih", (16, width)),
            ("weight_hh", (16, 4)),
            ("bias_ih", (16,)),
            ("bias_hh", (16,)),
        )
    ]
    assert [(k, v.shape) for k, v in layer.state_dict().items()] == expected
    assert "bias_ih_l0" not in nn.GRU(3, 4, bias=False).state_dict()
    w = nn.GRU(50, 100, rng=0).weight_hh_l0.data
    assert 0.099 < np.abs(w).max() <= 0.1
    np.testing.assert_array_equal(w, nn.GRU(50, 100, rng=0).weight_hh_l0.data)
    assert (w != nn.GRU(50, 100, rng=1).weight_hh_l0.data).all()
    assert repr(nn.GRU(3, 4, num_layers=2, bidirectional=True)) == (
        "GRU(3, 4, num_layers=2, bidirectional=True)"
    )


def test_dropout_between_layers_in_training_only():
    layer = nn.GRU(3, 64, num_layers=2, dropout=0.5, rng=0)
    x = np.ones((2, 3, 3), np.float32)
    first, second = layer(x)[0].data, layer(x)[0].data
    assert (first != second).any()
    layer.eval()
    np.testing.assert_array_equal(layer(x)[0].data, layer(x)[0].data)
    one = nn.GRU(3, 64, dropout=0.5, rng=0)  # nothing lies above the only layer
    np.testing.assert_array_equal(one(x)[0].data, one(x)[0].data)


def test_frozen_recurrent_weights_get_no_gradient():
    layer = nn.LSTM(2, 3, rng=0)
    layer.weight_hh_l0.requires_grad = False
    layer(np.ones((2, 1, 2), np.float32))[0].sum().backward()
    assert layer.weight_hh_l0.grad is None
    assert layer.weight_ih_l0.grad.shape == (12, 2)


X = np.ones((5, 2, 3), np.float32)
STATE = np.zeros((1, 2, 4), np.float32)


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (lambda: nn.LSTM(3, 4)(X[..., :2]), r"LSTM\(3, 4\).*needs \(steps, batch, 3\)"),
        (lambda: nn.GRU(1, 4)(X[0]), r"x\[..., None\]"),
        (
            lambda: nn.GRU(5, 4, batch_first=True)(X),
            r"shape \(5, 2, 3\): it needs \(batch, steps, 5",
        ),
        (lambda: nn.GRU(3, 4)(X, np.zeros((1, 2, 4))), r"hx.astype\(np.float32\)"),
        (lambda: nn.GRU(3, 4)(X, (STATE, STATE)), "one tensor h"),
        (lambda: nn.LSTM(3, 4)(X, (STATE, None)), "pair"),
        (lambda: nn.LSTM(3, 4, 2, True, True, True), "dropout=True"),
        (lambda: nn.RNN(3, 4)(X.astype(float)), r"float32.*astype\(np.float32\).*model.double"),
        (lambda: nn.GRU(3, 4)(X, np.zeros((2, 2, 4), np.float32)), r"\(1, batch, 4\)"),
        (lambda: nn.GRU(3, 4)(X, np.zeros((1, 3, 4), np.float32)), r"state of shape \(3, 4\)"),
        (lambda: nn.LSTM(3, 4)(X, np.zeros((1, 2, 4), np.float32)), "pair"),
        (lambda: nn.GRU(3, 4)(X, lengths=[5, 6]), r"lengths \[5, 6\].*from 1 to 5"),
        (lambda: nn.GRU(3, 4)(X, lengths=[5, 0]), "from 1 to 5"),
        (lambda: nn.GRU(3, 4)(X, lengths=[5, 1, 2]), "batch_first"),
        (lambda: nn.GRU(3, 4)(X, lengths=[5.0, 1.0]), "whole numbers"),
        (lambda: nn.GRU(3, 4)(X[:0]), "a step at least"),
        (lambda: nn.LSTMCell(3, 4)(X[0], (X[0],)), "1 initial states: it needs a pair"),
        (lambda: nn.GRU(0, 4), "input_size must be a whole number"),
        (lambda: nn.LSTM(3, 4, 0), "num_layers must be a whole number"),
        (lambda: nn.LSTM(3, 4, dropout=2.0), "between 0 and 1"),
        (lambda: nn.LSTM(3, 4, 2, 0.5), "bias=0.5: it must be True or False"),
        (lambda: nn.RNN(3, 4, nonlinearity="sin"), "'tanh' or 'relu'"),
        (lambda: F.rnn(X, None, leaf(4, 3), leaf(4, 4), nonlinearity="sin"), "'tanh' or 'relu'"),
        (
            lambda: F.lstm(X, None, leaf(4, 3), leaf(4, 4)),
            r"weight_ih of shape \(4, 3\).*\(16, 3\)",
        ),
    ],
)
def test_errors_name_the_mend(action, says):
    with pytest.raises(ValueError, match=says):
        action()


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_an_empty_batch_gives_nothing_and_gradients_of_0(kind):
    layer = kind(3, 4, num_layers=2, bidirectional=True)
    x = Tensor(np.zeros((5, 0, 3), np.float32), requires_grad=True)
    out, _ = layer(x)
    assert out.shape == (5, 0, 8)
    out.sum().backward()
    assert x.grad.shape == x.shape
    assert all((p.grad == 0).all() and p.grad.shape == p.shape for p in layer.parameters())


def test_nearly_shut_gates_let_through_what_they_should():
    zero, one = np.zeros((1, 1, 1), np.float32), Tensor(np.zeros((4, 1), np.float32))
    through = sigmoid(np.array([-20.0, -90.0]))  # 2e-9; and too little for a product of float32
    for z, share in zip((-20, -90), through, strict=True):
        bias = Tensor(np.array([z, z, 1, 0], np.float32))  # i, f, g, o
        _, c = F.lstm(zero, None, one, one, bias)
        np.testing.assert_allclose(c.data.item(), share * np.tanh(1), rtol=1e-5, atol=1e-38)
        b_ih, b_hh = (Tensor(np.array(b, np.float32)) for b in ([z, 0, 0], [0, 0, 1e8]))  # r, z, n
        h = F.gru(zero, None, one[:3], one[:3], b_ih, b_hh)
        np.testing.assert_allclose(h.data.item(), np.tanh(share * 1e8) / 2, rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("used", ["states", "cells", "both", "last cell"])
def test_states_and_cells_of_an_lstm_may_each_be_used_alone(used):
    x, (w_ih, w_hh) = leaf(4, 3, 2), (leaf(20, 2, seed=1), leaf(20, 5, seed=2))

    def loss(*inputs):
        h, c = F.lstm(inputs[0], None, *inputs[1:])
        parts = {"states": (h,), "cells": (c,), "both": (h, c), "last cell": (c[-1],)}[used]
        return sum((part * part).sum() for part in parts)

    assert gradcheck(loss, [x, w_ih, w_hh])


def test_a_walk_to_an_lstms_states_finds_nothing_of_an_earlier_one_to_its_cells():
    x, w_ih, w_hh = leaf(4, 3, 2), leaf(20, 2, seed=1), leaf(20, 5, seed=2)
    h, c = F.lstm(x, None, w_ih, w_hh)
    of_h, of_both, grads = h.sum(), (h + c).sum(), []
    for end in (of_h, of_both, of_h):
        x.grad = None
        end.backward(retain_graph=True)
        grads.append(x.grad)
    assert np.array_equal(grads[0], grads[2])
    assert not np.allclose(grads[0], grads[1])
