"""The MLPs of engine.py, W1 and W2, in HIPS autograd and in tinygrad too.

    python benchmarks/peers.py [--rounds 3]

needs the packages autograd and tinygrad (on a processor it compiles with clang), and the extra
torch. As in engine.py: float32, one process each in turn, medians of the step's milliseconds.
"""

import argparse
import importlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import time

import engine
import numpy as np


def with_names_of_torch(library):
    """Build a step of dlcourse or of PyTorch, at one thread."""

    def make(name):
        modules = ("nn", "nn.functional" if library == "torch" else "functional", "optim")
        nn, F, optim = (importlib.import_module(f"{library}.{m}") for m in modules)
        model, optimizer, loss_fn, x, y, _ = engine.WORKLOADS[name](nn, F, optim)
        x, y = as_float32(x), as_float32(y)
        if library == "torch":
            torch = importlib.import_module("torch")
            torch.set_num_threads(1)
            x, y = torch.tensor(x), torch.tensor(y)
        else:
            train = importlib.import_module("dlcourse.train")
            train.keep_freed_memory()
            train.use_one_blas_thread()

        def step():
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()

        return step

    return make


def sizes_and_data(name):
    sizes = {"W1": [2, 16, 16, 1], "W2": [784, 256, 128, 10]}[name]
    rng, n = np.random.default_rng(0), {"W1": 100, "W2": 64}[name]
    x = as_float32(rng.normal(size=(n, sizes[0])))
    y = as_float32(rng.normal(size=(n, 1))) if name == "W1" else rng.integers(0, 10, n)
    return sizes, x, y


def as_float32(array):
    return array.astype(np.float32) if array.dtype == float else array


def autograd(name):
    """Written out: the package differentiates numpy and has no layers."""
    import autograd.numpy as np
    from autograd import grad

    sizes, x, y = sizes_and_data(name)
    rng = np.random.default_rng(0)
    parameters = [
        as_float32(rng.uniform(-1, 1, shape) / i**0.5)
        for i, o in itertools.pairwise(sizes)
        for shape in ((i, o), (o,))
    ]

    def loss(parameters):
        h = x
        for k in range(0, len(parameters), 2):
            z = h @ parameters[k] + parameters[k + 1]
            h = np.tanh(z) if name == "W1" else np.maximum(z, 0)
        if name == "W1":
            return np.mean((z - y) ** 2)
        z = z - np.max(z, axis=1, keepdims=True)
        return np.mean(np.log(np.sum(np.exp(z), axis=1)) - z[np.arange(len(y)), y])

    gradients = grad(loss)
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    steps = 0

    def step():
        nonlocal steps
        steps += 1
        for p, g, (m, v) in zip(parameters, gradients(parameters), moments, strict=True):
            if name == "W1":
                p -= 0.1 * g
            else:
                m += 0.1 * (g - m)
                v += 0.001 * (g * g - v)
                p -= 1e-3 * (m / (1 - 0.9**steps)) / (np.sqrt(v / (1 - 0.999**steps)) + 1e-8)

    return step


def tinygrad(name):
    """Compiled by `TinyJit`, which replays the kernels of the whole step."""
    from tinygrad import Context, Tensor, TinyJit, nn

    sizes, x, y = sizes_and_data(name)
    x, y = Tensor(x), Tensor(y)
    layers = [nn.Linear(i, o) for i, o in itertools.pairwise(sizes)]
    parameters = nn.state.get_parameters(layers)
    optimizer = nn.optim.SGD(parameters, 0.1) if name == "W1" else nn.optim.Adam(parameters)

    @TinyJit
    def compiled():
        h = x
        for layer in layers[:-1]:
            h = layer(h).tanh() if name == "W1" else layer(h).relu()
        z = layers[-1](h)
        loss = ((z - y) ** 2).mean() if name == "W1" else z.sparse_categorical_crossentropy(y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.realize()

    def step():
        with Context(TRAINING=1):
            compiled().item()  # waits until it is done

    return step


LIBRARIES = {
    "dlcourse": with_names_of_torch("dlcourse"),
    "PyTorch": with_names_of_torch("torch"),
    "autograd": autograd,
    "tinygrad": tinygrad,
}
ONE = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "THREADS": "0"}  # of BLAS; of tinygrad


def measure(library, name):
    """Print the median milliseconds of a step, as JSON."""
    step = LIBRARIES[library](name)
    for _ in range(5):  # what compiles does so now
        step()
    times = []
    while len(times) < 10 or sum(times) < engine.SECONDS:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    print(json.dumps(1e3 * statistics.median(times)))


def compare(rounds):
    """Run all libraries in turn, and print the table."""
    print("| ms a step, one thread |" + "".join(f" {library} |" for library in LIBRARIES))
    print("| --- |" + " --- |" * len(LIBRARIES))
    for name in ("W1", "W2"):
        runs = {library: [] for library in LIBRARIES}
        for _ in range(rounds):
            for library, measured in runs.items():
                command = [sys.executable, __file__, "--run", library, name]
                output = subprocess.run(command, check=True, env=ONE, stdout=subprocess.PIPE).stdout
                measured.append(json.loads(output))
        print(f"| {name} |" + "".join(f" {statistics.median(t):.3g} |" for t in runs.values()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", nargs=2, metavar=("LIBRARY", "NAME"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        measure(*arguments.run)
    else:
        compare(arguments.rounds)
