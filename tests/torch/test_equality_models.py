"""The four models beside the same ones in PyTorch: weights both ways, and 100 steps of training."""

import numpy as np
import pytest
import torch
import torch.nn.functional as TF
from torch import nn

from dlcourse import data, optim
from dlcourse import functional as F
from dlcourse.models import GPT, MLP, CharRNN, GPTConfig, LeNet

MNIST = data.load_mnist()
CONFIG = GPTConfig(vocab_size=13, block_size=12, n_layer=2, n_head=2, n_embd=16, bias=True)


class TorchCharRNN(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.embedding = nn.Embedding(13, 8)
        self.recurrent = getattr(nn, cell)(8, 16, 2, batch_first=True)
        self.head = nn.Linear(16, 13)

    def forward(self, x):
        out, hx = self.recurrent(self.embedding(x))
        return self.head(out), hx


class TorchAttention(nn.Module):
    def __init__(self, C):
        super().__init__()
        self.c_attn, self.c_proj = nn.Linear(C, 3 * C), nn.Linear(C, C)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = self.c_attn(x).reshape(B, T, 3, 2, C // 2).permute(2, 0, 3, 1, 4)
        out = TF.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(out.transpose(1, 2).reshape(B, T, C))


class TorchBlock(nn.Module):
    def __init__(self, C):
        super().__init__()
        self.ln_1, self.attn, self.ln_2 = nn.LayerNorm(C), TorchAttention(C), nn.LayerNorm(C)
        self.mlp = nn.Sequential(nn.Linear(C, 4 * C), nn.GELU("tanh"), nn.Linear(4 * C, C))

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class TorchGPT(nn.Module):
    def __init__(self, C=16):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(13, C), nn.Embedding(12, C)
        self.h = nn.ModuleList(TorchBlock(C) for _ in range(2))
        self.ln_f, self.lm_head = nn.LayerNorm(C), nn.Linear(C, 13, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, x):
        x = self.wte(x) + self.wpe.weight
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


def torch_mlp():
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU()),
        nn.Linear(16, 10),
    )


def torch_lenet(modern):
    act, pool = (nn.ReLU, nn.MaxPool2d) if modern else (nn.Tanh, nn.AvgPool2d)
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), act(), pool(2), nn.Conv2d(6, 16, 5), act(), pool(2)),
        *(nn.Flatten(), nn.Linear(400, 120), act(), nn.Linear(120, 84), act(), nn.Linear(84, 10)),
    )


MODELS = {
    "MLP": (lambda: MLP([784, 32, 16, 10], rng=0), torch_mlp),
    "LeNet": (lambda: LeNet(rng=0), lambda: torch_lenet(True)),
    "LeNet of 1998": (lambda: LeNet(False, rng=0), lambda: torch_lenet(False)),
    "LSTM": (lambda: CharRNN(13, 8, 16, 2, "LSTM", rng=0), lambda: TorchCharRNN("LSTM")),
    "GRU": (lambda: CharRNN(13, 8, 16, 2, "GRU", rng=0), lambda: TorchCharRNN("GRU")),
    "RNN": (lambda: CharRNN(13, 8, 16, 2, "RNN", rng=0), lambda: TorchCharRNN("RNN")),
    "GPT": (lambda: GPT(CONFIG, rng=0), TorchGPT),
}
OPTIMISERS = {
    "SGD": ("SGD", {"lr": 0.05}),
    "momentum": ("SGD", {"lr": 0.01, "momentum": 0.9}),
    "Adam": ("Adam", {"lr": 0.001}),
    "AdamW": ("AdamW", {"lr": 0.001, "weight_decay": 0.1}),
}


def batch(name, step, dtype):
    rng = np.random.default_rng(step)
    if name.startswith(("MLP", "LeNet")):
        rows = slice(8 * step, 8 * step + 8)
        return MNIST.x_train[rows].astype(dtype), MNIST.y_train[rows]
    text = (rng.integers(0, 13, (8, 1)) + 2 * np.arange(13)) % 13
    return text[:, :-1], text[:, 1:].reshape(-1)


def flat(out):
    out = out[0] if isinstance(out, tuple) else out
    return out.reshape(-1, out.shape[-1])


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-3)])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("name", MODELS)
def test_100_steps(name, optimiser, dtype, tolerance):
    ours, theirs = (make() for make in MODELS[name])
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in ours.state_dict().items()})
    if dtype == np.float64:
        ours, theirs = ours.double(), theirs.double()
    kind, options = OPTIMISERS[optimiser]
    a = getattr(optim, kind)(ours.parameters(), **options)
    b = getattr(torch.optim, kind)(theirs.parameters(), **options)
    for step in range(100):
        x, y = batch(name, step, dtype)
        a.zero_grad()
        loss = F.cross_entropy(flat(ours(x)), y)
        loss.backward()
        a.step()
        b.zero_grad()
        expected = TF.cross_entropy(flat(theirs(torch.from_numpy(x))), torch.from_numpy(y))
        expected.backward()
        b.step()
        assert abs(loss.item() - expected.item()) <= tolerance, f"step {step}"
    back = {k: v.numpy() for k, v in theirs.state_dict().items()}
    assert list(back) == list(ours.state_dict())
    ours.load_state_dict(back)
    x, _ = batch(name, 100, dtype)
    out, expected = flat(ours(x)).data, flat(theirs(torch.from_numpy(x))).detach().numpy()
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-6)
