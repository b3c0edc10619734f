"""Large operations in two threads: the same numbers, the same errors, and no waiting in vain."""

import os
import threading
import time

import numpy as np
import pytest

from dlcourse import Tensor, nn
from dlcourse import functional as F
from dlcourse.tensor import threads


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    """Two threads, and every operation is large enough for both."""
    monkeypatch.setattr(threads, "_helper", None)
    monkeypatch.setattr(threads, "_LARGE", 1)
    threads.use_second_thread()
    yield
    threads._helper.shutdown()


def rows_and_threads(n):
    seen = []
    threads.in_halves(1, n, lambda rows: seen.append((rows, threading.get_ident())))
    return sorted(seen, key=lambda entry: entry[0].start)


@pytest.mark.parametrize("n", [2, 3, 8, 101])
def test_each_row_is_done_once_in_halves(n):
    (first, here), (second, _) = rows_and_threads(n)
    assert (first.start, first.stop, second.stop) == (0, second.start, n)
    assert abs(2 * first.stop - n) <= 1
    assert here == threading.get_ident()


@pytest.mark.parametrize("n", [0, 1])
def test_what_cannot_be_halved_is_done_here(n):
    assert rows_and_threads(n) == [(slice(0, n), threading.get_ident())]


def test_small_operations_stay_in_one_thread(monkeypatch):
    monkeypatch.setattr(threads, "_LARGE", 2)
    assert rows_and_threads(8) == [(slice(0, 8), threading.get_ident())]


def test_both_halves_run_at_once():
    meet = threading.Barrier(2, timeout=10)  # each waits there for the other
    threads.in_halves(1, 2, lambda rows: meet.wait())


def test_a_busy_helper_is_not_waited_for():
    go_on = threading.Event()
    threads._helper.submit(go_on.wait, 10)
    assert {thread for _, thread in rows_and_threads(4)} == {threading.get_ident()}
    go_on.set()


def test_halves_may_be_halved_again():
    def body(rows):
        n = rows.stop - rows.start
        threads.in_halves(1, n, lambda some: done.append(some.stop - some.start))

    done = []
    threads.in_halves(1, 8, body)
    assert done == [2, 2, 2, 2]


@pytest.mark.parametrize("half", [0, 1])
def test_an_error_of_either_half_comes_out(half):
    def body(rows):
        if bool(rows.start) == bool(half):
            raise ValueError(f"rows from {rows.start}")

    with pytest.raises(ValueError, match=f"rows from {4 * half}"):
        threads.in_halves(1, 8, body)


def test_numpys_errstate_holds_in_both():
    meet = threading.Barrier(2, timeout=10)

    def body(rows):
        meet.wait()  # so that it is the helper who does the second half
        return a[rows] * a[rows]

    for large in (0, 3):
        a = np.zeros(4, np.float32)
        a[large] = 1e30
        with np.errstate(over="raise"), pytest.raises(FloatingPointError):
            threads.in_halves(1, 4, body)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_goes_on_alone():
    assert len(rows_and_threads(4)) == 2  # the thread is there, and is not in the child
    child = os.fork()
    if not child:
        os._exit(len(rows_and_threads(4)))
    end = time.monotonic() + 20
    while not (status := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < end:
        time.sleep(0.01)
    if not status[0]:
        os.kill(child, 9)
    assert os.waitstatus_to_exitcode(status[1]) == 2


@pytest.mark.parametrize("shape", [(7, 5, 3), (2, 1, 9), (64, 33, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_product_is_numpys(shape, dtype):
    m, k, n = shape
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(n, k)).astype(dtype).T
    ours = threads.product(a, b)
    assert ours.dtype == dtype
    np.testing.assert_allclose(ours, a @ b, rtol=100 * np.finfo(dtype).eps, atol=1e-6)


LAYERS = [
    (nn.Linear(6, 5, rng=0), (7, 6)),
    (nn.Conv2d(2, 4, 3, padding=1, rng=0), (3, 2, 7, 6)),
    (nn.ConvTranspose2d(2, 4, 3, stride=2, rng=0), (3, 2, 5, 4)),
    (nn.GELU("tanh"), (5, 7)),
    (nn.GELU(), (5, 7)),
    (nn.RNN(3, 5, rng=0), (7, 3, 3)),
    (nn.LSTM(3, 5, rng=0), (7, 3, 3)),
    (nn.GRU(3, 5, rng=0), (7, 3, 3)),
]


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda v: type(v).__name__)
def test_layers_and_gradients_are_those_of_one_thread(layer, shape, monkeypatch):
    layer.double()
    values = np.random.default_rng(0).normal(size=shape)

    def run():
        x = Tensor(values, requires_grad=True)
        layer.zero_grad()
        out = layer(x)
        out = out[0] if isinstance(out, tuple) else out
        F.mse_loss(out, np.ones(out.shape)).backward()
        return [out.data, x.grad, *(p.grad for p in layer.parameters())]

    two = run()
    monkeypatch.setattr(threads, "_LARGE", np.inf)
    for ours, expected in zip(two, run(), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-14)
