"""The four models: shapes, counts, causality, sampling, and that they learn."""

import contextlib
import gc
import sys

import numpy as np
import pytest

from dlcourse import Tensor, nn, no_grad, optim
from dlcourse import functional as F
from dlcourse.models import GPT, MLP, CharRNN, GPTConfig, LeNet, sample
from dlcourse.summary import summary

TINY = GPTConfig(vocab_size=11, block_size=8, n_layer=2, n_head=2, n_embd=8, bias=True)
RNG = np.random.default_rng(0)


def count(model):
    return sum(p.data.size for p in model.parameters())


def test_parameter_counts_are_those_of_the_literature():
    assert count(MLP([784, 500, 150, 10])) == 469_160
    assert count(LeNet()) == count(LeNet(modern=False)) == 61_706
    assert count(GPT(GPTConfig(vocab_size=66))) == 804_224
    full = GPTConfig(50257, 1024, 12, 12, 768, bias=True)
    by_hand = 50257 * 768 + 1024 * 768 + 12 * (12 * 768**2 + 13 * 768) + 2 * 768
    assert by_hand == 124_439_808  # GPT-2, the smallest
    block = count(GPT(GPTConfig(1, 1, 1, 12, 768, bias=True))) - (2 + 2) * 768
    assert block == 12 * 768**2 + 13 * 768
    assert full.n_layer * block + (50257 + 1024 + 2) * 768 == by_hand


@pytest.mark.parametrize("modern", [True, False])
def test_images_to_classes(modern):
    x = RNG.normal(size=(3, 1, 28, 28)).astype(np.float32)
    assert LeNet(modern, rng=0)(x).shape == (3, 10)
    assert MLP([784, 8, 8, 10], nn.Tanh, rng=0)(x).shape == (3, 10)
    kinds = {type(m) for m in LeNet(modern).modules()}
    assert (nn.MaxPool2d in kinds) == (nn.ReLU in kinds) == modern


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: MLP([4, 3, 2], rng=rng),
        lambda rng: LeNet(rng=rng),
        lambda rng: CharRNN(5, 4, 6, 2, "GRU", rng=rng),
        lambda rng: GPT(TINY, rng=rng),
    ],
)
def test_the_seed_decides(make):
    a, b, c = (make(seed).state_dict() for seed in (0, 0, 1))
    assert all(np.array_equal(a[k], b[k]) for k in a)
    assert not all(np.array_equal(a[k], c[k]) for k in a)


def test_gpt_looks_at_the_past_only():
    model, x = GPT(TINY, rng=0), RNG.integers(0, 11, (2, 8))
    changed = x.copy()
    changed[:, 5] = (x[:, 5] + 1) % 11
    before, after = model(x).data, model(changed).data
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert (np.abs(before - after)[:, 5:].max(axis=-1) > 1e-6).all()


def test_gpt_reads_and_writes_with_one_table():
    model = GPT(TINY, rng=0)
    assert model.lm_head.weight is model.wte.weight
    model(RNG.integers(0, 11, (2, 8))).sum().backward()
    names = [name for name, p in model.named_parameters() if p.grad is None]
    assert names == []
    assert sum(name.endswith("wte.weight") for name, _ in model.named_parameters()) == 1
    assert {"wte.weight", "lm_head.weight"} <= set(model.state_dict())


def test_gpt_starts_as_gpt_2_does():
    model = GPT(GPTConfig(66, n_embd=128, n_layer=8, bias=True), rng=0)
    block = model.h[3]
    assert block.attn.c_attn.weight.data.std() == pytest.approx(0.02, rel=0.02)
    assert block.mlp[2].weight.data.std() == pytest.approx(0.02 / 4, rel=0.02)
    assert block.attn.c_proj.weight.data.std() == pytest.approx(0.02 / 4, rel=0.03)
    assert not block.attn.c_proj.bias.data.any()
    loss = F.cross_entropy(model(RNG.integers(0, 66, (4, 64))).flatten(0, 1), [0] * 256)
    assert loss.item() == pytest.approx(np.log(66), abs=0.2)


def uncached(model, tokens, n):
    with no_grad():
        for _ in range(n):
            logits = model(tokens[:, -TINY.block_size :]).data[:, -1]
            tokens = np.concatenate([tokens, logits.argmax(-1)[:, None]], axis=1)
    return tokens


@pytest.mark.parametrize("start", [1, 5, 8, 12])
def test_gpts_cache_changes_nothing(start):
    model = GPT(TINY, rng=0)
    for p in model.parameters():  # far from their small start, so that the past matters
        p.data[...] = RNG.normal(scale=0.5, size=p.shape)
    tokens = RNG.integers(0, 11, (2, start))
    expected = uncached(model, tokens, 12)
    np.testing.assert_array_equal(model.generate(tokens, 12, temperature=0), expected)
    cache = [[] for _ in model.h]
    parts = [model(tokens[:, a:b], cache).data for a, b in [(0, 1), (1, 4), (4, 5)] if b <= start]
    if parts:
        whole = model(tokens[:, : sum(p.shape[1] for p in parts)]).data
        np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_char_rnn_carries_its_state(cell):
    model, x = CharRNN(11, 4, 6, 2, cell, rng=0), RNG.integers(0, 11, (2, 7))
    whole, _ = model(x)
    first, hx = model(x[:, :3])
    second, _ = model(x[:, 3:], hx)
    np.testing.assert_allclose(np.concatenate([first.data, second.data], 1), whole.data, rtol=1e-5)
    out = model.generate(x, 4, temperature=0)
    assert out.shape == (2, 11)
    assert (out[:, 7] == whole.data[:, -1].argmax(-1)).all()
    np.testing.assert_array_equal(model.generate(x, 9, rng=1), model.generate(x, 9, rng=1))


def test_a_char_rnn_writes_without_dropout():
    model = CharRNN(7, 4, 8, num_layers=2, rng=0)
    model.recurrent.dropout = 0.9
    one, other = (model.generate([[1, 2]], 20, temperature=0) for _ in range(2))
    assert (one == other).all()
    assert model.training


def test_generating_does_not_train():
    model = GPT(GPTConfig(11, 8, 1, 1, 4, dropout=0.5), rng=0)
    model.ln_f.eval()
    model.generate(np.zeros((1, 1), int), 3, rng=0)
    with pytest.raises(ValueError, match="temperature"):
        model.generate(np.zeros((1, 1), int), 3, temperature=-1)
    assert model.training
    assert model.h[0].attn.dropout.training
    assert not model.ln_f.training
    assert all(p.grad is None for p in model.parameters())


# ---- sampling ---------------------------------------------------------------------------


def test_sampling_follows_the_softmax():
    logits = np.log([[0.1, 0.2, 0.7]]).repeat(20_000, axis=0)
    share = np.bincount(sample(logits, rng=0), minlength=3) / 20_000
    np.testing.assert_allclose(share, [0.1, 0.2, 0.7], atol=0.015)
    hot = np.bincount(sample(logits, temperature=2.0, rng=0), minlength=3) / 20_000
    root = np.sqrt([0.1, 0.2, 0.7])
    np.testing.assert_allclose(hot, root / root.sum(), atol=0.015)
    two = np.bincount(sample(logits, top_k=2, rng=0), minlength=3) / 20_000
    np.testing.assert_allclose(two, [0, 2 / 9, 7 / 9], atol=0.015)
    assert (sample(logits, temperature=0) == 2).all()
    assert (sample(logits, top_k=1, rng=3) == 2).all()


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (lambda: sample(np.zeros((1, 3)), -1), "0 or more"),
        (lambda: sample(np.zeros((1, 3)), 1, 0), "top_k"),
        (lambda: sample(np.full((1, 3), np.nan)), "diverged"),
        (lambda: MLP([3]), "inputs and outputs"),
        (lambda: MLP([2, 3, 1], nn.Tanh()), "without brackets"),
        (lambda: GPT(GPTConfig(5, n_layer=0)), "n_layer=0"),
        (lambda: GPT(TINY)(np.zeros((1, 3), int), cache=[]), "a cache of 0 lists"),
        (lambda: CharRNN(5, cell="lstm"), "'LSTM'"),
        (lambda: GPT(GPTConfig(5, n_embd=6, n_head=4)), "divide"),
        (lambda: GPT(TINY)(np.zeros((1, 9), int)), "block_size is 8"),
        (lambda: GPT(TINY)(np.zeros(3, int)), r"symbols of shape \(3,\).*x\[None\]"),
        (lambda: GPT(TINY).generate(np.zeros(3, int), 1), "one row for each text"),
        (lambda: GPT(TINY).generate(np.zeros((1, 0), int), 1), "one symbol"),
    ],
)
def test_errors_name_the_mend(action, says):
    with pytest.raises(ValueError, match=says):
        action()


# ---- learning ---------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU", None])
def test_sequence_models_learn_to_count(cell):
    model = GPT(TINY, rng=0) if cell is None else CharRNN(11, 8, 16, cell=cell, rng=0)
    optimizer, losses = optim.Adam(model.parameters(), lr=0.01), []
    for step in range(150):
        x = (np.random.default_rng(step).integers(0, 11, (16, 1)) + np.arange(9)) % 11
        out = model(x[:, :-1])
        out = out if cell is None else out[0]
        loss = F.cross_entropy(out.flatten(0, 1), x[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 2
    assert losses[-1] < 0.1
    told = model.generate(np.array([[3]]), 7, temperature=0)
    np.testing.assert_array_equal(told, [np.arange(3, 11)])


# ---- summary ----------------------------------------------------------------------------


def test_summary_of_lenet_by_hand():
    found = summary(LeNet(rng=0), np.zeros((1, 1, 28, 28), np.float32))
    products = [6 * 28 * 28 * 25, 16 * 100 * 150, 400 * 120, 120 * 84, 84 * 10]
    assert [s.flops for s in found.layers if s.flops] == [2 * n for n in products]
    assert (found.parameters, found.flops) == (61_706, 2 * sum(products))
    assert [s.shape for s in found.layers[:3]] == [(1, 6, 28, 28), (1, 6, 28, 28), (1, 6, 14, 14)]
    assert str(found).splitlines()[-1].split() == ["total", "61,706", "833,040"]


def test_summary_counts_shared_weights_once_and_attention():
    model = GPT(GPTConfig(66), rng=0)
    found = summary(model, np.zeros((2, 64), int))
    assert found.parameters == sum(s.parameters for s in found.layers) == 804_224
    per_block = 2 * 12 * 128**2 * 128 + 4 * 2 * 64 * 64 * 128
    assert found.flops == 4 * per_block + 2 * 128 * 128 * 66
    assert model.training
    assert all(p.grad is None for p in model.parameters())


def test_summary_counts_cells_and_attention_to_another_sequence():
    def zeros(*shape):
        return np.zeros(shape, np.float32)

    assert summary(nn.LSTMCell(3, 4), zeros(5, 3)).flops == 2 * 5 * 16 * 7
    attention = nn.MultiheadAttention(4, 2, kdim=3, vdim=5, batch_first=True)
    found = summary(attention, zeros(2, 6, 4), zeros(2, 7, 3), zeros(2, 7, 5))
    maps = 2 * 4 * (6 * 4 + 7 * 3 + 7 * 5 + 6 * 4)  # to queries, keys, values, and outwards
    assert found.flops == 2 * (maps + 2 * 2 * 6 * 7 * 4)

    class ByName(nn.Module):
        def __init__(self):
            self.map = nn.Linear(3, 4)

        def forward(self, x):
            return {"out": self.map(input=x)}

    assert summary(ByName(), zeros(5, 3)).flops == 2 * 5 * 12


def test_summary_leaves_modules_as_they_were():
    call = nn.Module.__call__
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).eval()
    with pytest.raises(ValueError, match="last axis"):
        summary(model, np.zeros((1, 3), np.float32))
    assert nn.Module.__call__ is call
    assert not model.training
    assert summary(nn.LSTM(3, 4), np.zeros((5, 2, 3), np.float32)).flops == 2 * 16 * 7 * 10
    assert isinstance(model(np.zeros((1, 2), np.float32)), Tensor)


TRAINED = {
    "MLP": (lambda: MLP([6, 8, 3], rng=0), (5, 6)),
    "LeNet": (lambda: LeNet(rng=0), (2, 1, 28, 28)),
    **{
        cell: (lambda cell=cell: CharRNN(7, 4, 5, num_layers=2, cell=cell, rng=0), (3, 4))
        for cell in ("RNN", "LSTM", "GRU")
    },
    "GPT": (lambda: GPT(GPTConfig(7, 4, 2, 2, 8, dropout=0.1), rng=0), (3, 4)),
}


@contextlib.contextmanager
def no_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("name", TRAINED)
def test_no_reference_cycle_keeps_a_graph_alive(name):
    make, shape = TRAINED[name]
    model, rng = make(), np.random.default_rng(0)
    optimizer = optim.AdamW(model.parameters())
    x = rng.integers(0, 7, shape) if shape == (3, 4) else rng.normal(size=shape).astype(np.float32)

    def loss():
        out = model(x)
        out = out[0] if isinstance(out, tuple) else out
        return (out * out).mean()

    loss().backward()
    optimizer.step()
    with no_garbage_collector():
        loss().backward()
        optimizer.step()
        loss()  # a graph that is never walked
        assert gc.collect() == 0  # objects that only the garbage collector could free


def test_memory_is_flat_over_10_000_steps():
    model, x = MLP([2, 4, 1], nn.Tanh, rng=0), np.ones((8, 2), np.float32)
    optimizer = optim.Adam(model.parameters())

    def steps(n):
        for _ in range(n):
            optimizer.zero_grad()
            F.mse_loss(model(x), x[:, :1]).backward()
            optimizer.step()

    with no_garbage_collector():
        steps(100)
        before = sys.getallocatedblocks()
        steps(10_000)
        grown = sys.getallocatedblocks() - before
    assert grown < 5_000  # Python keeps up to 2,000 freed tuples of each length for reuse
