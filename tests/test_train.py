"""The training loop, evaluation and files: from a spiral to all of MNIST."""

import dataclasses
import errno
import os
import pickle
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dlcourse import data, nn, optim
from dlcourse import functional as F
from dlcourse.train import (
    EarlyStopping,
    Evaluation,
    Step,
    evaluate,
    load,
    load_checkpoint,
    progress,
    save,
    save_checkpoint,
    train,
)


def setting(seed=0, lr=0.02, n=120):
    x, y = data.make_spiral(n, rng=0)
    rng = np.random.default_rng(seed)
    model = nn.Sequential(
        nn.Linear(2, 16, rng=rng), nn.Tanh(), nn.Linear(16, int(y.max()) + 1, rng=rng)
    )
    optimizer = optim.Adam(model.parameters(), lr=lr)
    loader = data.DataLoader((x, y), batch_size=32, shuffle=True, rng=rng)
    return model, F.cross_entropy, optimizer, loader


def test_steps_are_counted_frozen_and_repeatable():
    steps = list(train(*setting(), epochs=3))
    assert [s.step for s in steps] == list(range(1, 13))
    assert [s.epoch for s in steps] == [1] * 4 + [2] * 4 + [3] * 4
    assert steps[0].lr == 0.02
    assert steps == list(train(*setting(), epochs=3))
    assert steps != list(train(*setting(seed=1), epochs=3))
    with pytest.raises(dataclasses.FrozenInstanceError):
        steps[0].loss = 0
    assert isinstance(steps[0], Step)


def test_training_learns_a_spiral():
    model, loss_fn, optimizer, loader = setting()
    before = evaluate(model, loss_fn, loader)
    *_, last = train(model, loss_fn, optimizer, loader, epochs=300)
    after = evaluate(model, loss_fn, loader)
    assert before.accuracy < 0.7
    assert after.accuracy > 0.95
    assert after.loss < 0.3 * before.loss
    assert last.step == 1200


def test_the_caller_decides_when_the_next_step_is_taken():
    model, *rest = setting()
    steps = train(model, *rest, epochs=1)
    before = model.state_dict()
    np.testing.assert_array_equal(model.state_dict()["0.bias"], before["0.bias"])
    next(steps)
    assert not np.array_equal(model.state_dict()["0.bias"], before["0.bias"])


def test_the_learning_rate_may_change_on_the_way():
    model, loss_fn, optimizer, loader = setting()
    rates = []
    for step in train(model, loss_fn, optimizer, loader, epochs=1):
        rates.append(step.lr)
        optimizer.lr /= 2
    assert rates == [0.02, 0.01, 0.005, 0.0025]


def test_training_returns_to_training_mode_after_a_look():
    class Spy(nn.Module):
        def __init__(self):
            self.layer, self.seen = nn.Linear(2, 2, rng=0), []

        def forward(self, x):
            self.seen.append(self.training)
            return self.layer(x)

    model = Spy()
    x, y = np.ones((4, 2), np.float32), np.zeros(4, int)
    batches = [(x, y)]
    for _ in train(model, F.cross_entropy, optim.SGD(model.parameters()), batches, epochs=2):
        evaluate(model, F.cross_entropy, batches)
        assert model.training
        model.eval()
    assert model.seen == [True, False, True, False]


def test_evaluate_weighs_the_last_batch_by_its_size_and_records_nothing():
    model, loss_fn, _, _ = setting()
    x, y = data.make_spiral(120, rng=0)
    whole = evaluate(model, loss_fn, [(x, y)])
    parts = evaluate(model, loss_fn, data.DataLoader((x, y), batch_size=50))
    assert parts.loss == pytest.approx(whole.loss, rel=1e-6)
    assert parts.accuracy == whole.accuracy
    assert all(p.grad is None for p in model.parameters())
    line = nn.Sequential(nn.Linear(2, 1, rng=0))
    target = x[:, :1]
    assert evaluate(line, F.mse_loss, [(x, target)]) == Evaluation(
        F.mse_loss(line(x), target).item(), None
    )
    with pytest.raises(ValueError, match="no examples"):
        evaluate(model, loss_fn, [])


def test_targets_that_are_no_class_numbers_have_no_accuracy():
    x, y = data.make_moons(20, rng=0)
    score, pair = nn.Linear(2, 1, rng=0), nn.Linear(2, 2, rng=0)
    yes_or_no = F.binary_cross_entropy_with_logits
    assert evaluate(score, yes_or_no, [(x, y[:, None])]).accuracy is None
    assert evaluate(score, lambda z, t: yes_or_no(z.squeeze(1), t), [(x, y)]).accuracy is None
    assert evaluate(pair, F.mse_loss, [(x, np.eye(2, dtype=int)[y])]).accuracy is None


def test_a_learning_rate_too_large_stops_with_advice():
    x = np.linspace(-1, 1, 32, dtype=np.float32).reshape(-1, 1)
    model = nn.Sequential(nn.Linear(1, 8, rng=0), nn.Linear(8, 1, rng=0))
    steps = train(
        model, F.mse_loss, optim.SGD(model.parameters(), lr=50.0), [(x, 2 * x)], epochs=1000
    )
    with pytest.raises(FloatingPointError, match=r"step \d+: .*learning rate 50.*such as 5") as e:
        list(steps)
    assert "nan" in str(e.value) or "inf" in str(e.value)


@pytest.mark.parametrize(("where", "says"), [(0, "input 0"), (1, "the target")])
def test_nan_in_the_data_is_found(where, says):
    batch = [np.ones((4, 2), np.float32), np.ones((4, 1), np.float32)]
    batch[where][2, 0] = np.nan
    model = nn.Sequential(nn.Linear(2, 1, rng=0))
    before = model.state_dict()
    steps = train(model, F.mse_loss, optim.SGD(model.parameters()), [tuple(batch)], epochs=1)
    with pytest.raises(FloatingPointError, match=rf"step 1.*{says}.*holds nan at \(2, 0\)"):
        next(steps)
    np.testing.assert_array_equal(model.state_dict()["0.weight"], before["0.weight"])


def test_one_epoch_may_come_from_a_generator():
    losses = []
    for made_of in (list, iter):
        model, loss_fn, optimizer, loader = setting()
        steps = train(model, loss_fn, optimizer, made_of(loader), epochs=1)
        losses.append([step.loss for step in steps])
    assert losses[0] == losses[1] != []


def test_bad_calls_are_refused_at_once():
    model, loss_fn, optimizer, loader = setting()
    for epochs in (0, 1.5, None):
        with pytest.raises(ValueError, match="whole number from 1"):
            train(model, loss_fn, optimizer, loader, epochs=epochs)
    with pytest.raises(ValueError, match="pass the DataLoader itself"):
        train(model, loss_fn, optimizer, iter(loader), epochs=2)
    with pytest.raises(ValueError, match="parameters have no part in the loss"):
        next(train(model, loss_fn, optim.SGD(setting()[0].parameters()), loader, epochs=1))
    x, y = next(iter(loader))
    for batches in ([x], [(x,)], (x, y)):
        with pytest.raises(ValueError, match="tuples of inputs and targets"):
            next(train(model, F.cross_entropy, optimizer, batches, epochs=1))
    with pytest.raises(ValueError, match="no batch"):
        list(train(model, loss_fn, optimizer, [], epochs=1))
    for loss in (1.0, np.float32(1), None):
        with pytest.raises(ValueError, match="loss must be a tensor"):
            next(train(model, lambda out, y, loss=loss: loss, optimizer, loader, epochs=1))
    with pytest.raises(ValueError, match=r"shape \(32, 3\) from loss_fn"):
        next(train(model, lambda out, y: out, optimizer, loader, epochs=1))


def test_gradients_are_clipped_where_asked():
    model, loss_fn, optimizer, loader = setting()
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    before = model.state_dict()
    next(train(model, loss_fn, optimizer, loader, epochs=1, max_norm=1e-3))
    after = model.state_dict()
    moved = sum(float(((after[k] - before[k]) ** 2).sum()) for k in before) ** 0.5
    assert moved == pytest.approx(1e-3, rel=1e-2)


def test_only_what_the_optimiser_moves_is_clipped():
    model, loss_fn, _, loader = setting()
    optimizer = optim.SGD(model[2].parameters(), lr=1e-6)
    lengths = []
    for step in train(model, loss_fn, optimizer, loader, epochs=10, max_norm=1e-3):
        total = sum(float((p.grad**2).sum()) for p in model[2].parameters())
        lengths += [total**0.5] if step.step in (1, 40) else []
    assert lengths == pytest.approx([1e-3, 1e-3], rel=1e-2)


def test_a_root_at_zero_is_named():
    model = nn.Linear(2, 1, bias=False, rng=0)
    model.weight.data[:] = 0
    loader = data.DataLoader((np.ones((4, 2), np.float32), np.ones((4, 1), np.float32)), 4)
    optimizer = optim.SGD(model.parameters())
    steps = train(model, lambda out, t: (out * out).sqrt().mean(), optimizer, loader, epochs=2)
    next(steps)
    with pytest.raises(FloatingPointError, match="a root or a logarithm at 0"):
        next(steps)


def test_early_stopping_goes_on_from_a_checkpoint(tmp_path):
    model = nn.Linear(1, 1, rng=0)
    stopping = EarlyStopping(model, patience=2)
    stopping(0.5)
    stopping(0.7)
    save_checkpoint(tmp_path / "c.npz", Step(1, 1, 0.7, 0.1), stopping=stopping)
    other = EarlyStopping(nn.Linear(1, 1, rng=1), patience=2)
    load_checkpoint(tmp_path / "c.npz", stopping=other)
    assert other(0.6)
    other.restore()
    assert other.model.weight.data == model.weight.data
    with pytest.raises(ValueError, match="patience=0"):
        EarlyStopping(model, patience=0)


def test_a_look_at_the_training_loader_leaves_it_where_it_is(tmp_path):
    def losses(looks):
        model, loss_fn, optimizer, loader = setting()
        for step in train(model, loss_fn, optimizer, loader, epochs=3):
            if looks and step.step == 2:
                seen.append(evaluate(model, loss_fn, loader))
                save_checkpoint(tmp_path / "c.npz", step, **parts(model, optimizer, loader))
            yield step.loss

    def parts(*all_three):
        return dict(zip(("model", "optimizer", "loader"), all_three, strict=True))

    seen = []
    plain = list(losses(looks=False))
    assert list(losses(looks=True)) == plain
    model, loss_fn, optimizer, loader = setting(seed=5)
    step = load_checkpoint(tmp_path / "c.npz", **parts(model, optimizer, loader))
    seen.append(evaluate(model, loss_fn, loader))  # of all, not of what was left
    assert seen[0] == seen[1]
    rest = train(model, loss_fn, optimizer, loader, epochs=3, after=step)
    assert [step.loss for step in rest] == plain[2:]


def test_early_stopping_keeps_the_best():
    model = nn.Linear(1, 1, rng=0)
    stopping = EarlyStopping(model, patience=2, min_delta=0.1)
    stops = []
    for loss in (1.0, 0.5, 0.45, 0.6):
        model.bias.data[:] = loss
        stops.append(stopping(loss))
    assert stops == [False, False, False, True]
    assert stopping.best == 0.5
    stopping.restore()
    assert model.bias.data == 0.5


def test_progress_writes_one_line_and_changes_nothing(capsys):
    steps = list(train(*setting(), epochs=2))
    assert list(progress(train(*setting(), epochs=2))) == steps
    out = capsys.readouterr().out
    assert out.startswith("\repoch 1, step 1: loss")
    assert out.rstrip().split("\r")[-1].startswith("epoch 2, step 8: loss")
    assert out.count("\n") == 1
    assert list(progress([])) == []


# ---- checkpoints ------------------------------------------------------------------------


def parts(kind, options):
    x, y = data.make_spiral(120, rng=0)
    rng = np.random.default_rng(0)  # shared by weights, dropout and order, as lessons do
    model = nn.Sequential(
        nn.Linear(2, 16, rng=rng), nn.Tanh(), nn.Dropout(0.1, rng=rng), nn.Linear(16, 3, rng=rng)
    )
    loader, loss_fn = data.DataLoader((x, y), 32, shuffle=True, rng=rng), F.cross_entropy
    optimizer = kind(model.parameters(), lr=0.02, **options)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    return loss_fn, {
        "model": model,
        "optimizer": optimizer,
        "loader": loader,
        "scheduler": scheduler,
    }


def losses(loss_fn, parts, until, after=None):
    """Train up to a step, and say what it was."""
    model, optimizer, loader = parts["model"], parts["optimizer"], parts["loader"]
    seen = []
    for step in train(model, loss_fn, optimizer, loader, epochs=5, after=after):
        seen.append(step)
        parts["scheduler"].step()
        if step.step == until:
            break
    return seen


@pytest.mark.parametrize("stop", [1, 3, 4, 8, 11])  # amid an epoch of 4 batches, and at its end
@pytest.mark.parametrize(
    ("kind", "options"),
    [(optim.SGD, {"momentum": 0.9}), (optim.Adam, {}), (optim.RMSprop, {"centered": True})],
)
def test_a_checkpoint_goes_on_to_the_same_losses_exactly(tmp_path, stop, kind, options):
    whole = losses(*parts(kind, options), until=20)
    loss_fn, first = parts(kind, options)
    begun = losses(loss_fn, first, until=stop)
    save_checkpoint(tmp_path / "run.npz", begun[-1], **first)
    loss_fn, second = parts(kind, options)
    list(second["loader"])  # whatever was done before loading does not matter
    after = load_checkpoint(tmp_path / "run.npz", **second)
    assert after == begun[-1]
    assert begun + losses(loss_fn, second, until=20, after=after) == whole
    assert len(whole) == 20


def test_a_checkpoint_that_does_not_fit_says_so(tmp_path):
    loss_fn, one = parts(optim.Adam, {})
    step = losses(loss_fn, one, until=1)[0]
    path = tmp_path / "run.npz"
    with pytest.raises(ValueError, match="loader=list"):
        save_checkpoint(path, step, loader=[1])
    save_checkpoint(path, step, model=one["model"])
    with pytest.raises(ValueError, match="but no optimizer"):
        load_checkpoint(path, model=one["model"], optimizer=one["optimizer"])
    save(one["model"].state_dict(), path)
    with pytest.raises(ValueError, match="not a checkpoint"):
        load_checkpoint(path, model=one["model"])


def test_a_checkpoint_of_which_one_part_does_not_fit_changes_nothing(tmp_path):
    loss_fn, one = parts(optim.Adam, {})
    step = losses(loss_fn, one, until=1)[0]
    path = tmp_path / "run.npz"
    save_checkpoint(path, step, **one)
    _, fresh = parts(optim.Adam, {})
    before = fresh["model"].state_dict()
    other = optim.SGD(fresh["model"].parameters(), lr=0.1)
    with pytest.raises(ValueError, match="another optimiser"):
        load_checkpoint(path, model=fresh["model"], optimizer=other)
    for name, array in fresh["model"].state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    bare = nn.Sequential(*(m for m in fresh["model"] if not isinstance(m, nn.Dropout)))
    with pytest.raises(ValueError, match="1 random generators; this one has 0"):
        load_checkpoint(path, model=bare)


def test_a_failed_load_leaves_a_finished_loader_as_it_was(tmp_path):
    model, loss_fn, optimizer, loader = setting()
    *_, step = train(model, loss_fn, optimizer, loader, epochs=1)
    save_checkpoint(tmp_path / "c.npz", step, loader=loader, optimizer=optimizer)
    with pytest.raises(ValueError, match="another optimiser"):
        load_checkpoint(
            tmp_path / "c.npz", loader=loader, optimizer=optim.RMSprop(model.parameters())
        )
    assert len(list(loader)) == len(loader)


def test_a_checkpoint_takes_numpys_numbers(tmp_path):
    loss_fn, one = parts(optim.SGD, {"momentum": np.float32(0.5)})
    save_checkpoint(tmp_path / "run.npz", losses(loss_fn, one, until=1)[0], **one)
    _, two = parts(optim.SGD, {"momentum": 0.9})
    load_checkpoint(tmp_path / "run.npz", **two)
    assert two["optimizer"].param_groups[0]["momentum"] == 0.5


# ---- files ------------------------------------------------------------------------------


def test_save_and_load(tmp_path):
    model, other = setting()[0], setting(seed=1)[0]
    path = tmp_path / "model.npz"
    state = {**model.state_dict(), "file": np.arange(3), "a/b": np.float64(2)}
    save(state, path)
    loaded = load(path)
    assert list(loaded) == list(state)
    for name, value in state.items():
        np.testing.assert_array_equal(loaded[name], value)
        assert loaded[name].dtype == np.asarray(value).dtype
    save(model.state_dict(), path)
    other.load_state_dict(load(path))
    np.testing.assert_array_equal(other[0].weight.data, model[0].weight.data)
    assert np.load(path)["0.weight"].shape == (16, 2)  # an ordinary .npz
    assert [f.name for f in tmp_path.iterdir()] == ["model.npz"]


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    save({"w": np.ones(3)}, path)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    with pytest.raises(OSError, match="No space left"):
        save({"w": np.zeros(3)}, path)
    monkeypatch.undo()
    np.testing.assert_array_equal(load(path)["w"], 1)
    assert [f.name for f in tmp_path.iterdir()] == ["model.npz"]


def test_what_is_no_state_dict_is_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"model.state_dict\(\)"):
        save({"model": setting()[0]}, tmp_path / "x.npz")
    with pytest.raises(ValueError, match=r"model.state_dict\(\)"):
        save({"rows": [[1], [1, 2]]}, tmp_path / "x.npz")
    with pytest.raises(ValueError, match=r"model.state_dict\(\)"):
        save(dict(setting()[0].named_parameters()), tmp_path / "x.npz")
    for wrong in (setting()[0], "x.npz", [np.ones(1)]):
        with pytest.raises(ValueError, match="dict of arrays, and then the path"):
            save(wrong, tmp_path / "x.npz")
    assert not list(tmp_path.iterdir())


class Trap:
    def __reduce__(self):
        return pytest.fail, ("the pickle was run",)


def write_pickle(path):
    path.write_bytes(pickle.dumps(Trap()))


def write_pickle_in_npz(path):
    np.savez(path, w=np.array([Trap()], dtype=object))


def write_torch_like(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Trap()))


def write_truncated(path):
    np.savez_compressed(path, w=np.arange(1000))
    path.write_bytes(path.read_bytes()[:-300])


def write_damaged(path):
    np.savez(path, w=np.arange(1000))
    content = bytearray(path.read_bytes())
    content[4000] ^= 0xFF
    path.write_bytes(content)


def write_another_compression(path):
    np.savez(path, w=np.arange(1000))
    path.write_bytes(
        path.read_bytes().replace(
            b"PK\x01\x02\x2d\x03\x2d\0\0\0\0\0", b"PK\x01\x02\x2d\x03\x2d\0\0\0\x63\0"
        )
    )


def write_a_broken_header(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w.npy", b"\x93NUMPY\x01\0\x10\0{'descr': ((    ")


def write_one_array(path):
    with path.open("wb") as file:
        np.save(file, np.ones(3))


@pytest.mark.parametrize(
    "write",
    [
        write_pickle,
        write_pickle_in_npz,
        write_torch_like,
        write_truncated,
        write_damaged,
        write_another_compression,
        write_a_broken_header,
        write_one_array,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("weights"),
    ],
)
def test_what_is_no_state_dict_is_not_read(tmp_path, write):
    path = tmp_path / "model.npz"
    write(path)
    with pytest.raises(ValueError, match=r"model.npz cannot be read as a state dict") as told:
        load(path)
    assert "allow_pickle=`" not in str(told.value)  # numpy's advice to run it after all


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(tmp_path / "nowhere.npz")


# ---- speed and memory -------------------------------------------------------------------


def test_the_processs_settings_are_made_when_training_starts_and_can_be_refused():
    look = """
import ctypes, sys
from pathlib import Path
import numpy as np
from dlcourse import nn, optim, functional as F
from dlcourse.train import train
calls = []
real = ctypes.CDLL
class Spy:
    def __init__(self, name):
        self.name, self.real = Path(name).name, real(name)
    def __getattr__(self, function):
        calls.append(function)
        return getattr(self.real, function)
ctypes.CDLL = Spy
model, batch = nn.Linear(1, 1), (np.ones((2, 1), np.float32),) * 2
steps = train(model, F.mse_loss, optim.SGD(model.parameters()), [batch], epochs=2)
assert not calls
list(steps)
from dlcourse.tensor import threads
print(*calls, *["second_thread"] * (threads._helper is not None))
"""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "DLCOURSE_SETTLE")
    plain = {k: v for k, v in os.environ.items() if k not in names}

    def calls(**environment):
        run = [sys.executable, "-c", look]
        return subprocess.check_output(run, env={**plain, **environment}, text=True).split()

    if sys.platform == "linux" and list(Path(np.__file__).parents[1].glob("numpy.libs/*openblas*")):
        one_thread = "scipy_openblas_set_num_threads64_"
        second = ["second_thread"] * (os.cpu_count() > 1)
        assert calls() == ["mallopt", "mallopt", one_thread, *second]
    assert calls(DLCOURSE_SETTLE="0") == []
    refused = calls(OPENBLAS_NUM_THREADS="2")
    assert not {"scipy_openblas_set_num_threads64_", "second_thread"} & set(refused)


def test_mnist_98_percent_within_a_minute():
    started = time.process_time()  # a busy laptop is no failure
    mnist = data.load_mnist()
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 256, rng=rng),
        nn.ReLU(),
        nn.Linear(256, 128, rng=rng),
        nn.ReLU(),
        nn.Linear(128, 10, rng=rng),
    )
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    loader = data.DataLoader((mnist.x_train, mnist.y_train), 64, shuffle=True, rng=rng)
    for step in train(model, F.cross_entropy, optimizer, loader, epochs=8):
        if step.epoch == 7:
            optimizer.lr = 1e-4  # small steps at the end settle what large ones leave in motion
    test = data.DataLoader((mnist.x_test, mnist.y_test), 1000)
    assert evaluate(model, F.cross_entropy, test).accuracy >= 0.98
    assert time.process_time() - started < 60
