"""The same training steps in dlcourse and in PyTorch, one process each, in turn.

    python benchmarks/engine.py [W1 W2 ...] [--rounds 5]

needs the extra torch. Each workload is written once, since both libraries have the same names. A
round runs dlcourse, then PyTorch with one thread and with two, in fresh processes; the table gives
medians and minima over all rounds, the ratio of medians to PyTorch's better thread count, and the
peak memory above the import.
"""

import argparse
import importlib
import itertools
import json
import resource
import statistics
import subprocess
import sys
import time

import numpy as np

RNG = np.random.default_rng(0)


def mlp(nn, sizes, activation):
    layers = [nn.Linear(sizes[0], sizes[1])]
    for i, o in itertools.pairwise(sizes[1:]):
        layers += [activation(), nn.Linear(i, o)]
    return nn.Sequential(*layers)


def w1(nn, F, optim):
    """MLP 2-16-16-1, tanh, batch 100, SGD."""
    model = mlp(nn, [2, 16, 16, 1], nn.Tanh)
    x, y = RNG.normal(size=(100, 2)), RNG.normal(size=(100, 1))
    return model, optim.SGD(model.parameters(), lr=0.1), F.mse_loss, x, y, None


def w2(nn, F, optim):
    """MLP 784-256-128-10, ReLU, batch 64, Adam."""
    model = mlp(nn, [784, 256, 128, 10], nn.ReLU)
    x, y = RNG.normal(size=(64, 784)), RNG.integers(0, 10, 64)
    return model, optim.Adam(model.parameters()), F.cross_entropy, x, y, None


def w3(nn, F, optim):
    """CNN 1-16-32, 3x3, two poolings, 1568-128-10, batch 64, Adam."""
    model = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(1568, 128), nn.ReLU(), nn.Linear(128, 10)),
    )
    x, y = RNG.normal(size=(64, 1, 28, 28)), RNG.integers(0, 10, 64)
    return model, optim.Adam(model.parameters()), F.cross_entropy, x, y, None


def recurrent(kind):
    def workload(nn, F, optim):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.embedding = nn.Embedding(64, 32)
                self.recurrent = getattr(nn, kind)(32, 128, batch_first=True)
                self.head = nn.Linear(128, 64)

            def forward(self, x):
                return self.head(self.recurrent(self.embedding(x))[0]).reshape(-1, 64)

        model = Net()
        x, y = RNG.integers(0, 64, (32, 64)), RNG.integers(0, 64, 32 * 64)
        return model, optim.Adam(model.parameters()), F.cross_entropy, x, y, 1.0

    workload.__doc__ = f"{kind}, hidden 128, T 64, batch 32, vocabulary 64, Adam with clipping."
    return workload


def w5(nn, F, optim):
    """GPT: width 128, 4 heads, 4 layers, context 64, vocabulary 65, batch 32, AdamW."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(128), nn.LayerNorm(128)
            self.c_attn, self.c_proj = nn.Linear(128, 384), nn.Linear(128, 128)
            self.mlp = nn.Sequential(nn.Linear(128, 512), nn.GELU("tanh"), nn.Linear(512, 128))

        def forward(self, x):
            B, T, C = x.shape
            qkv = self.c_attn(self.ln_1(x)).reshape(B, T, 3, 4, 32).permute(2, 0, 3, 1, 4)
            out = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], is_causal=True)
            x = x + self.c_proj(out.transpose(1, 2).reshape(B, T, C))
            return x + self.mlp(self.ln_2(x))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.wte, self.wpe = nn.Embedding(65, 128), nn.Embedding(64, 128)
            self.blocks = nn.Sequential(*(Block() for _ in range(4)))
            self.ln_f, self.head = nn.LayerNorm(128), nn.Linear(128, 65, bias=False)

        def forward(self, x):
            x = self.wte(x) + self.wpe.weight
            return self.head(self.ln_f(self.blocks(x))).reshape(-1, 65)

    model = Net()
    x, y = RNG.integers(0, 65, (32, 64)), RNG.integers(0, 65, 32 * 64)
    return model, optim.AdamW(model.parameters()), F.cross_entropy, x, y, None


WORKLOADS = {
    "W1": w1,
    "W2": w2,
    "W3": w3,
    "W4 LSTM": recurrent("LSTM"),
    "W4 GRU": recurrent("GRU"),
    "W4 RNN": recurrent("RNN"),
    "W5": w5,
}
SECONDS = 2.0  # of measured steps in a process
LIBRARIES = {"dlcourse": ("dlcourse", 1), "torch 1": ("torch", 1), "torch 2": ("torch", 2)}


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB on Linux


def measure(name, library, threads):
    """Time the steps of one workload in this process; print milliseconds and MiB as JSON."""
    modules = ("nn", "nn.functional" if library == "torch" else "functional", "optim")
    nn, F, optim = (importlib.import_module(f"{library}.{m}") for m in modules)
    model, optimizer, loss_fn, x, y, clip = WORKLOADS[name](nn, F, optim)
    x = x.astype(np.float32) if x.dtype == float else x
    y = y.astype(np.float32) if y.dtype == float else y
    if library == "torch":
        torch = importlib.import_module("torch")
        torch.set_num_threads(threads)
        x, y, clip_grad_norm_ = torch.tensor(x), torch.tensor(y), nn.utils.clip_grad_norm_
    else:
        importlib.import_module("dlcourse.train").settle()
        clip_grad_norm_ = optim.clip_grad_norm_
    before, times = peak(), []
    while len(times) < 10 or sum(times) < SECONDS:
        start = time.perf_counter()
        optimizer.zero_grad()
        loss_fn(model(x), y).backward()
        if clip is not None:
            clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        times.append(time.perf_counter() - start)
    warm = times[len(times) // 5 :]
    print(json.dumps([1e3 * statistics.median(warm), 1e3 * min(warm), peak() - before]))


def compare(names, rounds):
    """Run every library in turn, and print the table."""
    print("| workload | dlcourse ms (min) | torch ms (min) | ratio | dlcourse MiB | torch MiB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in names:
        runs = {key: [] for key in LIBRARIES}
        for _ in range(rounds):
            for key, (library, threads) in LIBRARIES.items():
                command = [sys.executable, __file__, name, "--run", library, str(threads)]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                runs[key].append(json.loads(output))
        rows = {
            key: (
                statistics.median(r[0] for r in measured),
                min(r[1] for r in measured),
                statistics.median(r[2] for r in measured),
            )
            for key, measured in runs.items()
        }
        ours, theirs = rows["dlcourse"], min(rows["torch 1"], rows["torch 2"])
        print(
            f"| {name}: {WORKLOADS[name].__doc__} | {ours[0]:.3g} ({ours[1]:.3g}) "
            f"| {theirs[0]:.3g} ({theirs[1]:.3g}) | {ours[0] / theirs[0]:.2f} "
            f"| {ours[2]:.0f} | {theirs[2]:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="workload", help=", ".join(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--run", nargs=2, metavar=("LIBRARY", "THREADS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        measure(arguments.names[0], arguments.run[0], int(arguments.run[1]))
    else:
        wanted = [
            n for n in WORKLOADS if not arguments.names or n.startswith(tuple(arguments.names))
        ]
        compare(wanted, arguments.rounds)
