"""Embedding and dropout: values, gradients, modes, errors."""

import numpy as np
import pytest

from dlcourse import Tensor, nn
from dlcourse import functional as F
from dlcourse.gradcheck import gradcheck

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("v", [1, 7, 128, 129, 1000])  # both ways to add up gradients
@pytest.mark.parametrize("shape", [(6,), (3, 5), (), (0,), (2, 0, 3)], ids=str)
def test_embedding(v, shape):
    weight = Tensor(RNG.normal(size=(v, 2)), requires_grad=True)
    symbols = RNG.integers(0, v, shape, np.uint16)
    if symbols.size > 1:
        symbols.flat[:2] = v - 1  # one comes twice
    out = F.embedding(symbols, weight)
    np.testing.assert_array_equal(out.data, weight.data[symbols])
    g = RNG.normal(size=out.shape)
    out.backward(g)
    expected = np.zeros((v, 2))
    np.add.at(expected, symbols, g)
    np.testing.assert_allclose(weight.grad, expected, atol=1e-12)
    if v < 100:
        assert gradcheck(lambda w: F.embedding(symbols, w), weight)


@pytest.mark.parametrize("v", [5, 500])
@pytest.mark.parametrize("padding", [0, 3, -1])
def test_padding_gets_no_gradient(v, padding):
    weight = Tensor(RNG.normal(size=(v, 2)), requires_grad=True)
    F.embedding(np.array([[0, 3, v - 1], [1, 3, 2]]), weight, padding).sum().backward()
    expected = np.zeros((v, 2))
    expected[[0, v - 1, 1, 2]], expected[3] = 1, 2
    expected[padding] = 0
    np.testing.assert_array_equal(weight.grad, expected)


def test_embedding_layer():
    layer = nn.Embedding(1000, 50, rng=0)
    assert [(k, v.shape) for k, v in layer.state_dict().items()] == [("weight", (1000, 50))]
    assert layer.weight.data.std() == pytest.approx(1, rel=0.02)
    symbols = np.array([[1, 2], [999, 0]], np.uint16)
    np.testing.assert_array_equal(layer(symbols).data, layer.weight.data[symbols])
    np.testing.assert_array_equal(layer(Tensor(symbols)).data, layer.weight.data[symbols])
    padded = nn.Embedding(4, 2, padding_idx=-1)
    np.testing.assert_array_equal(padded.weight.data[3], 0)
    assert padded.weight.data[:3].all()
    padded(np.array([3, 1])).sum().backward()
    np.testing.assert_array_equal(padded.weight.grad[:, 0], [0, 1, 0, 0])


def test_dropout_keeps_the_mean_and_the_gradient_follows():
    x = Tensor(np.ones((100, 200), np.float32), requires_grad=True)
    out = F.dropout(x, 0.3, rng=0)
    assert out.dtype == np.float32
    assert (out.data == 0).mean() == pytest.approx(0.3, abs=0.01)
    np.testing.assert_allclose(out.data[out.data != 0], 1 / 0.7, rtol=1e-6)
    g = RNG.normal(size=out.shape).astype(np.float32)
    out.backward(g)
    np.testing.assert_array_equal(x.grad, g * out.data)
    assert gradcheck(lambda x: F.dropout(x, 0.3, rng=0), Tensor(RNG.normal(size=(3, 4)), True))


def test_dropout_draws_anew_from_its_seed_and_only_in_training():
    x = np.ones((20, 20), np.float32)
    layer, again = nn.Dropout(0.5, rng=0), nn.Dropout(0.5, rng=0)
    first = layer(x).data
    assert not np.array_equal(first, layer(x).data)
    np.testing.assert_array_equal(first, again(x).data)
    np.testing.assert_array_equal(layer.eval()(x).data, x)
    np.testing.assert_array_equal(F.dropout(x, 0.5, training=False).data, x)
    np.testing.assert_array_equal(F.dropout(x, 0.0).data, x)
    np.testing.assert_array_equal(F.dropout(x, 1.0).data, 0)


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (lambda: nn.Embedding(5, 2)(np.array([1.0])), "float64.*astype"),
        (lambda: nn.Embedding(5, 2)(np.array([[0, 5]])), r"symbol 5 at position \(0, 1\).*0 to 4"),
        (lambda: nn.Embedding(5, 2)(np.array([-1])), "symbol -1"),
        (lambda: nn.Embedding(0, 2), "num_embeddings=0"),
        (lambda: nn.Embedding(5, 2, 5), "padding_idx=5"),
        (lambda: F.embedding([0], Tensor(np.ones((5, 2))), 7), "padding_idx=7"),
        (lambda: F.embedding([0], Tensor(np.ones(5))), r"\(V, D\)"),
        (lambda: nn.Dropout(1.5), "p=1.5"),
        (lambda: F.dropout(np.ones(3), -0.1), "p=-0.1"),
    ],
)
def test_errors_name_the_mend(action, says):
    with pytest.raises(ValueError, match=says):
        action()
