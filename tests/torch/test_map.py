"""Every name in lesson 09's map of four libraries exists, and what the lesson says of them is so.

PyTorch is the extra `torch`; jax, flax, optax and keras, which belong to no extra, are installed by
`.ci/run`. Of KerasHub, which needs TensorFlow, two names were only looked up.
"""

import importlib
import inspect
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

import dlcourse
import dlcourse.functional
import dlcourse.init
import dlcourse.nn
import dlcourse.optim

os.environ.setdefault("KERAS_BACKEND", "jax")
LESSON = Path(__file__).parents[2] / "notebooks" / "09_beyond.ipynb"
SHORT = {"jnp": "jax.numpy", "nnx": "flax.nnx"}


def the_map():
    """Run the cell that builds the map and return its variables."""
    cells = json.loads(LESSON.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    (source,) = [source for source in sources if source.startswith("# The map: ")]
    names = {"re": re, "display": lambda *_, **__: None}
    exec(source, names)
    return names


def exists(name):
    """Say whether a dotted name can be reached from the module that it begins with."""
    root, *parts = name.split(".")
    path = SHORT.get(root, root)
    thing = importlib.import_module(path)
    for part in parts:
        path = f"{path}.{part}"
        if not hasattr(thing, part):
            try:
                thing = importlib.import_module(path)
            except ImportError:
                return False
        else:
            thing = getattr(thing, part)
    return True


def default(function, parameter):
    return inspect.signature(function).parameters[parameter].default


def test_a_cell_is_names_or_words():
    names_in = the_map()["names_in"]
    assert names_in("nnx.max_pool, avg_pool") == ["nnx.max_pool", "nnx.avg_pool"]
    assert names_in("optax.exponential_decay(staircase=True)") == ["optax.exponential_decay"]
    assert names_in("nnx.RNN around a cell") == ["nnx.RNN"]
    assert names_in("– (keras.ops.stop_gradient for one tensor)") == ["keras.ops.stop_gradient"]
    assert names_in("–") == names_in("a list") == []


def test_each_name_of_dlcourse_exists_and_stands_there_once():
    homes = {
        "": dlcourse,
        "nn.": dlcourse.nn,
        "F.": dlcourse.functional,
        "optim.": dlcourse.optim,
        "optim.lr_scheduler.": dlcourse.optim.lr_scheduler,
        "init.": dlcourse.init,
    }
    known = the_map()["known"]
    assert set(known) == set(homes)
    for place, names in known.items():
        assert len(names) == len(set(names))
        assert [name for name in names if not hasattr(homes[place], name)] == []
    public = {place: set(home.__all__) for place, home in homes.items() if place}
    assert {place: set(names) for place, names in known.items() if place} == public


@pytest.mark.parametrize(
    ("library", "root"),
    [
        ("PyTorch", "torch"),
        ("JAX", "jax"),
        ("JAX", "jnp"),
        ("JAX", "nnx"),
        ("JAX", "optax"),
        ("Keras", "keras"),
    ],
)
def test_each_name_of_the_others_exists(library, root):
    names = [name for name in the_map()["named"][library] if name.split(".")[0] == root]
    assert names
    assert [name for name in names if not exists(name)] == []


def test_no_name_is_left_out():
    roots = {"torch", "jax", "jnp", "nnx", "optax", "keras", "keras_hub"}
    named = the_map()["named"]
    assert {name.split(".")[0] for names in named.values() for name in names} == roots


def test_what_the_lesson_says_of_flax():
    import jax
    from flax import nnx

    rngs = nnx.Rngs(0)
    assert nnx.Linear(5, 2, rngs=rngs).kernel.shape == (5, 2)
    conv = nnx.Conv(5, 2, (3, 4), rngs=rngs)
    assert conv.kernel.shape == (3, 4, 5, 2)
    assert conv(np.zeros((1, 9, 8, 5))).shape == (1, 9, 8, 2)  # NHWC, and padding "SAME"
    assert nnx.LSTMCell(3, 2, rngs=rngs).ii.kernel.shape == (3, 2)
    assert default(nnx.LayerNorm.__init__, "epsilon") == 1e-6
    norm = nnx.BatchNorm(1, rngs=rngs)
    norm(np.ones((4, 1)))
    assert norm.mean[0] == pytest.approx(0.01)
    exact, rough = (float(jax.nn.gelu(1.0, approximate=a)) for a in (False, True))
    assert float(jax.nn.gelu(1.0)) == rough != exact
    q = np.random.default_rng(0).normal(size=(1, 5, 2, 3)).astype(np.float32)  # (B, T, heads, d)
    one = jax.nn.dot_product_attention(q[:, :, :1], q[:, :, :1], q[:, :, :1])
    assert np.allclose(jax.nn.dot_product_attention(q, q, q)[:, :, :1], one, atol=1e-5)

    gru = nnx.GRUCell(3, 2, rngs=rngs)  # with the update gate, in the middle, shut: h stays
    gru.dense_i.bias[...] = np.array([0, 0, 50, 50, 0, 0], dtype=np.float32)
    h = np.array([[0.3, -0.4]], dtype=np.float32)
    assert np.allclose(gru(h, np.ones((1, 3), dtype=np.float32))[0], h)


def test_what_the_lesson_says_of_keras():
    import keras

    dense, conv = keras.layers.Dense(2), keras.layers.Conv2D(2, (3, 4))
    dense.build((None, 5))
    conv.build((None, 9, 8, 5))
    assert dense.kernel.shape == (5, 2)
    assert conv.kernel.shape == (3, 4, 5, 2)
    assert conv.compute_output_shape((1, 9, 8, 5)) == (1, 7, 5, 2)
    assert default(keras.layers.LayerNormalization.__init__, "epsilon") == 1e-3
    norm = keras.layers.BatchNormalization()
    norm(np.ones((4, 1)), training=True)
    assert float(norm.moving_mean[0]) == pytest.approx(0.01)
    exact, rough = (float(keras.activations.gelu(1.0, approximate=a)) for a in (False, True))
    assert float(keras.activations.gelu(1.0)) == exact != rough
    assert float(keras.ops.gelu(1.0)) == rough
    q = np.random.default_rng(0).normal(size=(1, 5, 2, 3)).astype(np.float32)  # (B, T, heads, d)
    one = keras.ops.dot_product_attention(q[:, :, :1], q[:, :, :1], q[:, :, :1])
    assert np.allclose(keras.ops.dot_product_attention(q, q, q)[:, :, :1], one, atol=1e-5)

    x, h = np.ones((1, 3), dtype=np.float32), np.array([[0.3, -0.4]], dtype=np.float32)
    gru = keras.layers.GRUCell(2)
    gru.build((None, 3))
    bias = np.zeros((2, 6), dtype=np.float32)
    bias[0, :2] = 50  # the first gate is z, and shut it keeps h
    gru.bias.assign(bias)
    assert np.allclose(gru(x, h)[0], h)
    lstm = keras.layers.LSTMCell(2, unit_forget_bias=False)
    lstm.build((None, 3))
    lstm.bias.assign(np.repeat([-50, 50, 0, 50], 2).astype(np.float32))  # i shut, f and o open
    _, (_, c) = lstm(x, [h, h])
    assert np.allclose(c, h)
