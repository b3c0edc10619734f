"""The same training steps in dlcourse and in PyTorch, one process each, in turn.

    python benchmarks/engine.py [W1 W2 ...] [--rounds 5]

needs the extra torch. Each workload is written once, since both libraries have the same names. A
round runs dlcourse, then PyTorch with one thread and with two, in fresh processes; the table gives
medians and minima over all rounds, the ratio of medians to PyTorch's better thread count, and the
peak memory above the import.

    python benchmarks/engine.py --costs

needs dlcourse alone, and counts CPU time, which a busy machine stretches less: what a step costs
above its matrix products, what the tape costs for each operation, and how cost grows with batch,
length and depth.
"""

import argparse
import collections
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
        Tensor, clip_grad_norm_ = importlib.import_module("dlcourse").Tensor, optim.clip_grad_norm_
        x, y = Tensor(x), Tensor(y)  # beforehand, as in torch: in W1 it takes 1 or 2 of 47 µs
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
        what = f"{name.split()[0]}: {WORKLOADS[name].__doc__.rstrip('.')}"
        print(
            f"| {what} | {ours[0]:.3g} ({ours[1]:.3g}) "
            f"| {theirs[0]:.3g} ({theirs[1]:.3g}) | {ours[0] / theirs[0]:.2f} "
            f"| {ours[2]:.0f} | {theirs[2]:.0f} |",
            flush=True,
        )


# ---- what is not arithmetic ---------------------------------------------------------------


def linear_products(n, sizes):
    """Forward, for the weights, and for the input of all layers but the first."""
    for k, (i, o) in enumerate(itertools.pairwise(sizes)):
        yield from [((n, i), (i, o)), ((o, n), (n, i))] + [((n, o), (o, i))] * (k > 0)


def conv_products(n, c, o, size, first=False):
    """Those of `F.conv2d` with a kernel of 3, padded: see the notes in its docstring."""
    k, columns = 9 * c, size * n
    yield from [((o, k), (size, k, columns)), ((size, k, columns), (size, columns, o))]
    if not first:
        yield from [((3 * c, o), (size, o, columns))] * 3


def recurrent_products(gates):
    T, B, E, H = 64, 32, 32, 128
    n, g = gates * H, T * B
    yield from [((n, E + 1), (T, E + 1, B)), ((E, n), (T, n, B))]
    yield from [((gates, H, H), (H, B)), ((4, H // 4, n), (n, B))] * T
    yield from [((n, g), (g, E)), ((n, g), (g, H)), ((64, g), (g, E))]
    yield from [((g, H), (H, 64)), ((64, g), (g, H)), ((g, 64), (64, H))]


def gpt_products():
    n, heads = 32 * 64, (32, 4)
    for _ in range(4):
        for i, o in ((128, 384), (128, 128), (128, 512), (512, 128)):
            yield from [((n, i), (i, o)), ((o, n), (n, i)), ((n, o), (o, i))]
        wide, deep = [((*heads, 64, 32), (*heads, 32, 64))], [((*heads, 64, 64), (*heads, 64, 32))]
        yield from wide * 2 + deep * 4
    yield from [((n, 128), (128, 65)), ((65, n), (n, 128)), ((n, 65), (65, 128))]
    yield ((65, n), (n, 128))


PRODUCTS = {
    "W1": lambda: linear_products(100, [2, 16, 16, 1]),
    "W2": lambda: linear_products(64, [784, 256, 128, 10]),
    "W3": lambda: itertools.chain(
        conv_products(64, 1, 16, 28, first=True),
        conv_products(64, 16, 32, 14),
        linear_products(64, [1568, 128, 10]),
        [((64, 128), (128, 1568))],
    ),
    "W4 LSTM": lambda: recurrent_products(4),
    "W4 GRU": lambda: recurrent_products(3),
    "W4 RNN": lambda: recurrent_products(1),
    "W5": gpt_products,
}


def cpu_time(function, seconds=1.0):
    """Return the least CPU time of a call, in ms."""
    function()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.process_time()
        for _ in range(5):
            function()
        best = min(best, (time.process_time() - start) / 5)
    return 1e3 * best


def product_time(left, right):
    a, b = np.ones(left, np.float32), np.ones(right, np.float32)
    return cpu_time(lambda: a @ b, 0.05)


def trainer(model, optimizer, loss_fn, x, y, clip):
    from dlcourse import optim

    x, y = (a.astype(np.float32) if a.dtype == float else a for a in (x, y))

    def step():
        optimizer.zero_grad()
        loss_fn(model(x), y).backward()
        if clip is not None:
            optim.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()

    return step


def costs():
    from dlcourse import Tensor, nn, optim, train
    from dlcourse import functional as F

    train.keep_freed_memory()
    train.use_one_blas_thread()  # and no second one of Python: CPU time would count both
    print("| workload | step, CPU ms | its matrix products | above them |")
    print("| --- | --- | --- | --- |")
    for name, make in WORKLOADS.items():
        step = cpu_time(trainer(*make(nn, F, optim)))
        shapes = collections.Counter(PRODUCTS[name]())
        products = sum(n * product_time(*pair) for pair, n in shapes.items())
        above = 100 * (step / products - 1)
        print(f"| {name} | {step:.3g} | {products:.3g} | {above:.0f} % |", flush=True)

    def chain(n):
        y = x
        for _ in range(n):
            y = -y
        y.backward()

    def plain(n):
        for _ in range(2 * n):
            np.negative(x.data)

    x = Tensor(1.0, requires_grad=True)
    node = (cpu_time(lambda: chain(1000)) - cpu_time(lambda: plain(1000))) * 1e3
    print(f"\nThe tape takes {node:.0f} ns for each operation, forward and backward together.\n")

    def lstm(batch=16, length=32, depth=2):
        model = nn.LSTM(32, 64, num_layers=depth)
        x = RNG.normal(size=(length, batch, 32)).astype("f")
        return lambda: model(x)[0].sum().backward()

    def transformer(batch=8, length=32, depth=2):
        layers = (nn.TransformerEncoderLayer(64, 4, 256, 0.0) for _ in range(depth))
        model, x = nn.Sequential(*layers), RNG.normal(size=(length, batch, 64)).astype("f")
        return lambda: model(x).sum().backward()

    def cnn(batch=8, length=16, depth=2):
        layers = (nn.Conv2d(16, 16, 3, padding=1) for _ in range(depth))
        model, x = nn.Sequential(*layers), RNG.normal(size=(batch, 16, 16, length)).astype("f")
        return lambda: model(x).sum().backward()

    times = (1, 2, 4, 8)
    print("| CPU time, times that of the first |" + "".join(f" {k}× |" for k in times))
    print("| --- |" + " --- |" * len(times))
    for model, start in ((cnn, (8, 16, 2)), (lstm, (16, 32, 2)), (transformer, (8, 32, 2))):
        for which, n in zip(("batch", "length", "depth"), start, strict=True):
            took = [cpu_time(model(**{which: k * n})) for k in times]
            growth = "".join(f" {t / took[0]:.1f} |" for t in took)
            print(f"| {model.__name__}, {which} from {n} |{growth}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="workload", help=", ".join(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--run", nargs=2, metavar=("LIBRARY", "THREADS"), help=argparse.SUPPRESS)
    parser.add_argument("--costs", action="store_true", help="of dlcourse alone")
    arguments = parser.parse_args()
    if arguments.costs:
        costs()
    elif arguments.run:
        measure(arguments.names[0], arguments.run[0], int(arguments.run[1]))
    else:
        for name in arguments.names:
            if not any(name in workload for workload in WORKLOADS):
                parser.error(f"no workload is called {name}: choose of {', '.join(WORKLOADS)}")
        names = arguments.names or [""]
        compare([w for w in WORKLOADS if any(n in w for n in names)], arguments.rounds)
