"""The further losses: values, gradients, errors. MSE and the cross-entropies: test_functional."""

import numpy as np
import pytest

from dlcourse import Tensor, nn
from dlcourse import functional as F
from dlcourse.gradcheck import gradcheck

RNG = np.random.default_rng(0)
LABELS = np.array([0, 2, 1, 2])


def leaf(*shape):
    return Tensor(RNG.normal(size=shape) * 2, requires_grad=True)


def reduced(a, reduction):
    return {"mean": a.mean(), "sum": a.sum(), "none": a}[reduction]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_l1_and_huber(reduction):
    x, t = leaf(4, 3), leaf(4, 3)
    e = np.abs(x.data - t.data)
    pairs = [
        (F.l1_loss, e),
        (F.huber_loss, np.where(e < 1, e * e / 2, e - 0.5)),
        (
            lambda x, t, r: F.huber_loss(x, t, r, delta=0.7),
            np.where(e < 0.7, e * e / 2, 0.7 * (e - 0.35)),
        ),
    ]
    for loss, expected in pairs:
        np.testing.assert_allclose(loss(x, t, reduction).data, reduced(expected, reduction))
        assert gradcheck(lambda x, t, loss=loss: loss(x, t, reduction), (x, t))
        assert gradcheck(lambda x, loss=loss: loss(x, t.data, reduction), x)
    at_zero = Tensor([1.0, 2.0], requires_grad=True)
    F.l1_loss(at_zero, [1.0, 5.0]).backward()
    np.testing.assert_array_equal(at_zero.grad, [0, -0.5])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("shape", "labels"),
    [((4, 3), LABELS), ((2, 3, 2), LABELS.reshape(2, 2)), ((3,), np.array(1))],
    ids=str,
)
def test_nll_of_log_softmax_is_cross_entropy(shape, labels, reduction):
    z = leaf(*shape)
    dim = min(1, len(shape) - 1)
    for options in ({}, {"weight": [0.5, 2.0, 1.0]}, {"ignore_index": 2}):
        options = {**options, "reduction": reduction}

        def loss(z, options=options):
            return F.nll_loss(F.log_softmax(z, dim), labels, **options)

        np.testing.assert_allclose(loss(z).data, F.cross_entropy(z, labels, **options).data)
        assert gradcheck(loss, z)
        assert gradcheck(lambda x, options=options: F.nll_loss(x, labels, **options), z)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none", "batchmean"])
def test_kl_div(reduction):
    x = leaf(4, 3)
    t = Tensor(RNG.dirichlet(np.ones(3), 4), requires_grad=True)
    each = t.data * (np.log(t.data) - x.data)
    expected = each.sum() / 4 if reduction == "batchmean" else reduced(each, reduction)
    np.testing.assert_allclose(F.kl_div(x, t, reduction).data, expected)
    log_t = Tensor(np.log(t.data), requires_grad=True)
    np.testing.assert_allclose(F.kl_div(x, log_t, reduction, log_target=True).data, expected)
    assert gradcheck(lambda x, t: F.kl_div(x, t, reduction), (x, t))
    assert gradcheck(lambda x, t: F.kl_div(x, t, reduction, True), (x, log_t))
    assert gradcheck(lambda x: F.kl_div(x, t.data, reduction), x)
    assert F.kl_div([-1.0, -2.0], [0.0, 0.0], "sum").item() == 0  # 0 log 0


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_probabilities_that_a_model_gives_as_targets_learn_too(reduction):
    z, w, t = leaf(4, 3), [0.5, 2.0, 1.0], Tensor(RNG.uniform(0.2, 0.8, (4, 3)), requires_grad=True)
    p = Tensor(RNG.uniform(0.2, 0.8, (4, 3)), requires_grad=True)
    assert gradcheck(lambda z, t: F.cross_entropy(z, t, w, -100, reduction, 0.1), (z, t))
    assert gradcheck(lambda p, t: F.binary_cross_entropy(p, t, w, reduction), (p, t))
    with_logits = F.binary_cross_entropy_with_logits
    assert gradcheck(lambda z, t: with_logits(z, t, w, reduction, [1.0, 3.0, 0.5]), (z, t))
    assert gradcheck(lambda z, t: with_logits(z, t, None, reduction), (z, t))


def test_the_loss_of_a_sure_and_right_answer_keeps_its_digits():
    z, t = np.array([-40, -10, 10, 40], np.float32), np.array([0, 0, 1, 1], np.float32)
    loss = F.binary_cross_entropy_with_logits(z, t, reduction="none")
    np.testing.assert_allclose(loss.data, np.log1p(np.exp(-np.abs(z))), rtol=1e-6)


def test_the_weight_of_a_loss_is_kept_with_the_model_as_in_pytorch():
    loss = nn.BCEWithLogitsLoss([1.0, 2.0], pos_weight=[3.0, 4.0])
    assert list(loss.state_dict()) == ["weight", "pos_weight"]
    assert loss.double().pos_weight.dtype == np.float64
    assert not nn.CrossEntropyLoss().state_dict()


def test_layers_are_their_functions():
    x, t = (RNG.uniform(0.1, 0.9, (4, 3)).astype(np.float32) for _ in range(2))
    pairs = [
        (nn.L1Loss("sum")(x, t), F.l1_loss(x, t, "sum")),
        (nn.HuberLoss("none", 0.1)(x, t), F.huber_loss(x, t, "none", 0.1)),
        (nn.KLDivLoss("batchmean", True)(x, t), F.kl_div(x, t, "batchmean", True)),
        (
            nn.NLLLoss([1.0, 2.0, 3.0], ignore_index=1, reduction="sum")(x, LABELS),
            F.nll_loss(x, LABELS, [1.0, 2.0, 3.0], 1, "sum"),
        ),
    ]
    for layer, function in pairs:
        np.testing.assert_array_equal(layer.data, function.data)
        assert layer.dtype == np.float32


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (lambda: F.l1_loss(leaf(4, 1), np.ones(4)), r"l1_loss.*y.reshape\(4, 1\)"),
        (lambda: F.huber_loss(leaf(4, 1), np.ones(4)), "huber_loss.*reshape"),
        (lambda: F.huber_loss(leaf(4), np.ones(4), delta=0), "delta=0"),
        (lambda: F.kl_div(leaf(4, 3), np.ones((4, 2))), "kl_div.*equal"),
        (lambda: F.kl_div(leaf(4), np.ones(4), "avg"), "'mean', 'sum' or 'none'"),
        (lambda: F.nll_loss(leaf(4, 3), [0, 1, 3, 2]), "nll_loss got label 3"),
        (lambda: F.nll_loss(leaf(4, 3), np.ones(4)), "integer labels"),
        (lambda: F.nll_loss(leaf(4, 3), [0, 1]), "nll_loss.*one label per example"),
        (lambda: F.cross_entropy(leaf(4, 3), LABELS, label_smoothing=1.5), "from 0 to 1"),
        (lambda: F.cross_entropy(leaf(4, 3), leaf(4, 3), ignore_index=1), "only labels"),
    ],
)
def test_errors_name_the_mend(action, says):
    with pytest.raises(ValueError, match=says):
        action()


def test_a_weight_must_not_make_the_loss_larger():
    z, y = Tensor(np.zeros((2, 1))), np.ones((2, 1))
    for weights in ({"weight": np.ones(2)}, {"pos_weight": np.ones(2)}, {"weight": np.ones(3)}):
        with pytest.raises(ValueError, match="weight of shape"):
            F.binary_cross_entropy_with_logits(z, y, **weights)


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss, F.huber_loss])
def test_bytes_would_wrap_around(loss):
    with pytest.raises(ValueError, match=r"uint8.*astype"):
        loss(np.array([[0, 200]], np.uint8), np.array([[200, 0]], np.uint8))
    assert F.mse_loss(np.zeros(2, np.float32), np.array([1, 2])).item() == 2.5


def test_probabilities_of_pixels_with_weights_have_a_gradient():
    scores, target = leaf(3, 4, 2), leaf(3, 4, 2)
    weight = np.array([0.5, 1.0, 2.0, 3.0])
    assert gradcheck(lambda z, t: F.cross_entropy(z, t, weight=weight), (scores, target))
