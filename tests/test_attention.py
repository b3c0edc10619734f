"""Attention against loops written from its formula, and its gradients by trying."""

import numpy as np
import pytest

from dlcourse import Tensor, nn
from dlcourse import functional as F
from dlcourse.gradcheck import gradcheck


def leaf(*shape, seed=0, size=1.0):
    return Tensor(size * np.random.default_rng(seed).normal(size=shape), requires_grad=True)


def loop(q, k, v, allowed=None, bias=None, scale=None):
    """One query after the other; lists, no broadcasting."""
    scale = 1 / np.sqrt(q.shape[-1]) if scale is None else scale
    out = np.zeros((len(q), v.shape[-1]))
    for i in range(len(q)):
        scores = {j: scale * sum(q[i] * k[j]) for j in range(len(k))}
        if bias is not None:
            scores = {j: s + bias[i, j] for j, s in scores.items()}
        if allowed is not None:
            scores = {j: s for j, s in scores.items() if allowed[i, j]}
        total = sum(np.exp(s) for s in scores.values())
        for j, s in scores.items():
            out[i] += np.exp(s) / total * v[j]
    return out


def batch(f, *arrays, **options):
    """Apply to each example and head."""
    lead = arrays[0].shape[:-2]
    return np.array([f(*(a[at] for a in arrays), **options) for at in np.ndindex(lead)]).reshape(
        *lead, arrays[0].shape[-2], -1
    )


ALLOWED = np.array([[1, 1, 0, 1], [0, 0, 1, 0], [0, 1, 1, 1]], bool)
TRIANGLE = np.tri(3, 4, dtype=bool)
BIAS = np.random.default_rng(9).normal(size=(3, 4))
CASES = {
    "plain": ({}, {}),
    "scale": ({"scale": 0.3}, {"scale": 0.3}),
    "causal": ({"is_causal": True}, {"allowed": TRIANGLE}),
    "booleans": ({"attn_mask": ALLOWED}, {"allowed": ALLOWED}),
    "numbers": ({"attn_mask": BIAS}, {"bias": BIAS}),
    "-inf": ({"attn_mask": np.where(ALLOWED, 0, -np.inf)}, {"allowed": ALLOWED}),
    "booleans, causal": (
        {"attn_mask": TRIANGLE | ALLOWED, "is_causal": True},
        {"allowed": TRIANGLE},
    ),
}


@pytest.mark.parametrize("size", [1.0, 20.0], ids=["small scores", "large scores"])
@pytest.mark.parametrize("name", CASES)
def test_attention_is_the_formula(name, size):
    options, expected = CASES[name]
    q, k, v = leaf(2, 2, 3, 5, size=size), leaf(2, 2, 4, 5, seed=1), leaf(2, 2, 4, 2, seed=2)
    arrays = [t.data for t in (q, k, v)]
    out = F.scaled_dot_product_attention(q, k, v, **options)
    np.testing.assert_allclose(out.data, batch(loop, *arrays, **expected), rtol=1e-9, atol=1e-12)
    weights = F.attention_weights(q, k, **options)
    np.testing.assert_allclose((weights @ v).data, out.data, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(weights.data.sum(-1), 1)


@pytest.mark.parametrize("size", [1.0, 20.0], ids=["small scores", "large scores"])
@pytest.mark.parametrize("name", CASES)
def test_gradients_of_attention(name, size):
    options, _ = CASES[name]
    q, k, v = leaf(2, 3, 2, size=size), leaf(2, 4, 2, seed=1), leaf(2, 4, 3, seed=2)

    def attention(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, **options)

    assert gradcheck(attention, (q, k, v))
    for i in range(3):
        assert gradcheck(attention, [t.detach() if i == j else t for j, t in enumerate((q, k, v))])
    assert gradcheck(lambda q, k: F.attention_weights(q, k, **options), (q, k))


SHAPES = [
    ((3, 2), (4, 2), (4, 3), (3, 4)),
    ((2, 1, 3, 2), (1, 2, 4, 2), (4, 2), (2, 1, 3, 4)),
    ((3, 2), (2, 4, 2), (3, 1, 4, 2), (4,)),
    ((2, 2, 1, 2), (2, 2, 1, 2), (2, 2, 1, 2), (1, 1)),
]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_axes_before_are_broadcast_and_a_mask_of_numbers_learns(shapes):
    q, k, v, mask = (leaf(*shape, seed=i) for i, shape in enumerate(shapes))
    assert gradcheck(lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, m), (q, k, v, mask))
    assert gradcheck(lambda q, k, m: F.attention_weights(q, k, m), (q, k, mask))


@pytest.mark.parametrize("large", [1.0, 1e3])
@pytest.mark.parametrize("numbers", [False, True])
def test_a_query_that_may_read_nothing_gets_zero(large, numbers):
    allowed = ALLOWED & (np.arange(3) != 1)[:, None]
    mask = np.where(allowed, 0, -np.inf) if numbers else allowed
    q, k, v = leaf(3, 2, size=large), leaf(4, 2, seed=1), leaf(4, 2, seed=2)
    out = F.scaled_dot_product_attention(q, k, v, mask)
    out.sum().backward()
    assert (out.data[1] == 0).all()
    assert (q.grad[1] == 0).all()
    assert all(np.isfinite(t.grad).all() for t in (q, k, v))
    np.testing.assert_array_equal(F.attention_weights(q, k, mask).data[1], 0)


def test_huge_scores_in_float32_stay_finite():
    q = Tensor(np.full((3, 4), 1e4, np.float32), requires_grad=True)
    k = Tensor(np.eye(4, dtype=np.float32)[:3] * 1e2, requires_grad=True)
    with np.errstate(over="raise", invalid="raise"):
        out = F.scaled_dot_product_attention(q, k, k, is_causal=True)
        out.sum().backward()
    assert out.dtype == q.grad.dtype == np.float32
    np.testing.assert_array_equal(out.data[0], k.data[0])  # reads only itself
    assert np.isfinite(q.grad).all()
    rising = Tensor(k.data * np.float32([[1], [1e2], [1e4]]))  # what comes is likest
    out = F.scaled_dot_product_attention(q, rising, k, is_causal=True)
    np.testing.assert_array_equal(out.data, k.data)  # yet only what was is read
    low = np.full((3, 3), -1e9, np.float32)  # the same for all keys: it changes nothing
    low = F.scaled_dot_product_attention(k, k, k, low)
    np.testing.assert_allclose(low.data, F.scaled_dot_product_attention(k, k, k).data)


def test_a_later_token_changes_nothing_before_it():
    x = np.random.default_rng(0).normal(size=(2, 5, 4))
    changed = x.copy()
    changed[:, 3] += 1
    a, b = (F.scaled_dot_product_attention(t, t, t, is_causal=True).data for t in (x, changed))
    np.testing.assert_array_equal(a[:, :3], b[:, :3])
    assert (a[:, 3:] != b[:, 3:]).all()


def test_dropout_of_weights():
    q = k = np.zeros((1, 200, 2))
    v = np.eye(200)[None]
    out = F.scaled_dot_product_attention(q, k, v, dropout_p=0.25, rng=0).data * 200
    np.testing.assert_allclose(np.unique(out.round(12)), [0, 4 / 3], rtol=1e-9)
    assert (out == 0).mean() == pytest.approx(0.25, abs=0.01)
    assert (F.scaled_dot_product_attention(q, k, v, dropout_p=1.0).data == 0).all()
    tensors = leaf(3, 2), leaf(4, 2, seed=1), leaf(4, 2, seed=2)
    assert gradcheck(lambda *t: F.scaled_dot_product_attention(*t, dropout_p=0.5, rng=1), tensors)


# ---- layers ---------------------------------------------------------------------------------


def heads_by_hand(layer, query, key, value, allowed=None):
    """(L, E), (S, E), (S, E) of one example."""
    w, b = layer.in_proj_weight.data, layer.in_proj_bias.data
    E = layer.embed_dim
    q, k, v = (
        x @ w[i * E : (i + 1) * E].T + b[i * E : (i + 1) * E]
        for i, x in enumerate((query, key, value))
    )
    size = E // layer.num_heads
    cut = [slice(h * size, (h + 1) * size) for h in range(layer.num_heads)]
    out = np.concatenate([loop(q[:, c], k[:, c], v[:, c], allowed) for c in cut], axis=1)
    return out @ layer.out_proj.weight.data.T + layer.out_proj.bias.data


def multihead(**options):
    layer = nn.MultiheadAttention(4, 2, rng=0, **options).double()
    rng = np.random.default_rng(1)
    for p in layer.parameters():
        p.data[...] = rng.normal(size=p.shape)
    return layer


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_multihead_attention_is_heads_by_hand(batch_first, need_weights):
    layer = multihead(batch_first=batch_first)
    query, key, value = leaf(2, 3, 4).data, leaf(2, 4, 4, seed=1).data, leaf(2, 4, 4, seed=2).data
    padding = np.array([[0, 0, 0, 1], [0, 0, 0, 0]], bool)
    forbidden = ~ALLOWED | np.array([0, 0, 0, 0], bool)
    forbidden[1, 1] = False

    def order(x):
        return x if batch_first else x.swapaxes(0, 1)

    inputs = [Tensor(order(x)) for x in (query, key, value)]
    out, weights = layer(*inputs, padding, need_weights, forbidden)
    for n in range(2):
        allowed = ~(forbidden | padding[n])
        expected = heads_by_hand(layer, query[n], key[n], value[n], allowed)
        np.testing.assert_allclose(order(out.data)[n], expected, rtol=1e-9)
        if need_weights:
            np.testing.assert_allclose(weights.data[n].sum(-1), 1)
            assert (weights.data[n][~allowed] == 0).all()
    assert (weights is not None) == need_weights
    one, _ = layer(*(Tensor(x[1]) for x in (query, key, value)), attn_mask=forbidden)
    np.testing.assert_allclose(one.data, order(out.data)[1], rtol=1e-9)
    own = Tensor(order(query))  # to itself: one map for queries, keys and values
    out, _ = layer(own, own, own, is_causal=True, need_weights=need_weights)
    for n in range(2):
        expected = heads_by_hand(layer, *[query[n]] * 3, np.tri(3, dtype=bool))
        np.testing.assert_allclose(order(out.data)[n], expected, rtol=1e-9)


def test_multihead_weights_of_each_head_and_masks_of_each_head():
    layer, x = multihead(batch_first=True), leaf(3, 2, 4)
    _, mean = layer(x, x, x)
    _, each = layer(x, x, x, average_attn_weights=False)
    assert each.shape == (3, 2, 2, 2)
    np.testing.assert_allclose(each.data.mean(1), mean.data)
    mask = np.zeros((6, 2, 2), bool)
    mask[3, 0, 1] = True  # example 1, head 1: query 0 may not read key 1
    _, masked = layer(x, x, x, attn_mask=mask, average_attn_weights=False)
    assert [tuple(at) for at in np.argwhere(masked.data == 0)] == [(1, 1, 0, 1)]
    numbers = layer(x, x, x, attn_mask=np.where(mask, -np.inf, 0))
    np.testing.assert_allclose(numbers[0].data, layer(x, x, x, attn_mask=mask)[0].data)


@pytest.mark.parametrize("need_weights", [True, False])
def test_multihead_attention_to_nothing_gives_the_bias_alone(need_weights):
    layer, x = multihead(batch_first=True), leaf(2, 3, 4)
    padding = np.array([[1, 1, 1], [0, 0, 0]], bool)
    out, _ = layer(x, x, x, padding, need_weights)
    np.testing.assert_allclose(out.data[0], [layer.out_proj.bias.data] * 3)
    out.sum().backward()
    assert (x.grad[0] == 0).all()
    assert np.isfinite(x.grad).all()


def test_gradients_of_multihead_attention():
    layer = multihead(batch_first=True, kdim=3, vdim=2)
    padding = np.array([[0, 0, 1], [0, 0, 0]], bool)
    inputs = leaf(2, 2, 4), leaf(2, 3, 3, seed=1), leaf(2, 3, 2, seed=2)
    assert gradcheck(lambda *t: layer(*t, padding, need_weights=False)[0], inputs)
    assert gradcheck(lambda *t: layer(*t, padding)[1] * 3, inputs)
    layer = multihead()
    assert gradcheck(lambda x: layer(x, x, x, need_weights=False, is_causal=True)[0], leaf(2, 2, 4))


MHA_NAMES = ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]
FEED_FORWARD = ["linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias"]


def norms(n):
    return [f"norm{i}.{kind}" for i in range(1, n + 1) for kind in ("weight", "bias")]


def test_names_shapes_and_starting_values():
    layer = nn.MultiheadAttention(6, 2, rng=0)
    assert list(layer.state_dict()) == MHA_NAMES
    assert layer.in_proj_weight.shape == (18, 6)
    assert np.abs(layer.in_proj_weight.data).max() <= np.sqrt(6 / 24)
    assert (layer.in_proj_bias.data == 0).all()
    assert (layer.out_proj.bias.data == 0).all()
    assert list(nn.MultiheadAttention(6, 2, bias=False).state_dict()) == MHA_NAMES[::2]
    other = nn.MultiheadAttention(6, 2, kdim=4).state_dict()
    assert [(k, v.shape) for k, v in other.items()][:3] == [
        ("q_proj_weight", (6, 6)),
        ("k_proj_weight", (6, 4)),
        ("v_proj_weight", (6, 6)),
    ]
    own = [f"self_attn.{k}" for k in MHA_NAMES]
    encoder = nn.TransformerEncoderLayer(4, 2, 8, rng=0)
    assert list(encoder.state_dict()) == own + FEED_FORWARD + norms(2)
    decoder = nn.TransformerDecoderLayer(4, 2, 8, rng=0)
    to_memory = [f"multihead_attn.{k}" for k in MHA_NAMES]
    assert list(decoder.state_dict()) == own + to_memory + FEED_FORWARD + norms(3)


def normalised(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


@pytest.mark.parametrize("norm_first", [True, False])
def test_transformer_layers_are_their_parts(norm_first):
    options = {"dropout": 0.0, "batch_first": True, "norm_first": norm_first, "rng": 0}
    encoder = nn.TransformerEncoderLayer(4, 2, 8, **options).double()
    decoder = nn.TransformerDecoderLayer(4, 2, 8, activation="gelu", **options).double()
    x, memory = leaf(2, 3, 4).data, leaf(2, 5, 4, seed=1).data
    out = encoder(x, is_causal=True)
    decoded = decoder(x, memory, tgt_is_causal=True)
    for n in range(2):
        for layer, result in ((encoder, out), (decoder, decoded)):

            def feed_forward(h, layer=layer):
                return layer.linear2(layer.activation(layer.linear1(Tensor(h)))).data

            def own(h, layer=layer):
                return heads_by_hand(layer.self_attn, h, h, h, np.tri(3, dtype=bool))

            def other(h, layer=layer, n=n):
                return heads_by_hand(layer.multihead_attn, h, memory[n], memory[n])

            h = x[n]
            for part in (own, feed_forward) if layer is encoder else (own, other, feed_forward):
                h = h + part(normalised(h)) if norm_first else normalised(h + part(h))
            np.testing.assert_allclose(result.data[n], h, rtol=1e-8, atol=1e-10)
    assert encoder.activation is F.relu
    assert decoder.activation is F.gelu


@pytest.mark.parametrize("norm_first", [True, False])
def test_gradients_of_transformer_layers(norm_first):
    options = {"dropout": 0.0, "norm_first": norm_first, "activation": F.tanh, "rng": 0}
    encoder = nn.TransformerEncoderLayer(4, 2, 3, **options).double()
    decoder = nn.TransformerDecoderLayer(4, 2, 3, **options).double()
    assert gradcheck(lambda x: encoder(x, is_causal=True), leaf(3, 1, 4))
    assert gradcheck(decoder, (leaf(2, 1, 4), leaf(3, 1, 4, seed=1)))


def test_dropout_in_training_only():
    x = np.random.default_rng(0).normal(size=(5, 2, 8)).astype(np.float32)
    encoder = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5, rng=0)
    decoder = nn.TransformerDecoderLayer(8, 2, 16, dropout=0.5, rng=0)
    attention = nn.MultiheadAttention(8, 2, dropout=0.5, rng=0)
    for layer, run in (
        (encoder, lambda: encoder(x)),
        (decoder, lambda: decoder(x, x)),
        (attention, lambda: attention(x, x, x)[0]),
        (attention, lambda: attention(x, x, x, need_weights=False)[0]),
    ):
        layer.train()
        assert (run().data != run().data).any()
        layer.eval()
        np.testing.assert_array_equal(run().data, run().data)


X = np.ones((2, 3, 4), np.float32)


MHA = nn.MultiheadAttention(4, 2, batch_first=True)


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (lambda: F.scaled_dot_product_attention(X, X[..., :3], X), r"key \(2, 3, 3\).*transpose"),
        (lambda: F.scaled_dot_product_attention(X, X, X[:, :2]), r"value \(2, 2, 4\)"),
        (lambda: F.scaled_dot_product_attention(X[0, 0], X, X), r"query \(4,\)"),
        (lambda: F.scaled_dot_product_attention(X, X, X.astype(float)), "float32 and float64"),
        (lambda: F.scaled_dot_product_attention(X, X, X, np.ones((3, 3), int)), "booleans"),
        (lambda: F.scaled_dot_product_attention(X, X, X, np.ones((2, 3), bool)), r"mask of shape"),
        (
            lambda: F.scaled_dot_product_attention(X, X, X, np.ones((5, 1, 1, 3), bool)),
            "equal or 1",
        ),
        (
            lambda: F.scaled_dot_product_attention(X, X[:1], X[[0, 1, 1]]),
            r"value \(3, .*equal or 1",
        ),
        (lambda: F.scaled_dot_product_attention(X, X, X, dropout_p=1.5), "between 0 and 1"),
        (lambda: nn.MultiheadAttention(6, 4), "multiple of num_heads"),
        (  # two sequences of three steps, for two heads each
            lambda: MHA(X, X, X, np.zeros((3, 2), bool)),
            r"key_padding_mask of shape \(3, 2\): it needs \(2, 3\)",
        ),
        (
            lambda: MHA(X, X, X, attn_mask=np.zeros((2, 3, 3), bool)),
            r"attn_mask of shape \(2, 3, 3\): it needs \(3, 3\) or \(4, 3, 3\)",
        ),
        (lambda: nn.MultiheadAttention(4, 2)(X, X[0], X), "three of"),
        (lambda: nn.TransformerEncoderLayer(4, 2, activation="swish"), "'relu', 'gelu'"),
    ],
)
def test_errors_name_the_mend(action, says):
    with pytest.raises(ValueError, match=says):
        action()


def test_a_list_of_0_and_1_is_no_mask_of_numbers():
    x = leaf(1, 3, 4)
    layer = nn.MultiheadAttention(4, 2, batch_first=True, rng=0).double()
    for call in (
        lambda: layer(x, x, x, [[0, 0, 1]]),
        lambda: F.scaled_dot_product_attention(x, x, x, [[1, 0, 1]] * 3),
    ):
        with pytest.raises(ValueError, match="masks are of booleans"):
            call()
    with pytest.raises(ValueError, match="is_causal=True"):
        F.scaled_dot_product_attention(x, x, x, True)
    assert (layer(x, x, x, [[False, False, True]])[1].data[..., 2] == 0).all()
    F.scaled_dot_product_attention(x, x, x, [[0.0, -1.0, 0.0]])


@pytest.mark.parametrize(
    "shapes", [[(1, 5, 4), (3, 6, 4)], [(3, 5, 4), (1, 6, 4)], [(3, 5, 4), (3, 6, 3)]]
)
def test_batches_and_widths_of_heads_must_fit(shapes):
    query, key = (np.zeros(shape, np.float32) for shape in shapes)
    with pytest.raises(ValueError, match=r"MultiheadAttention\(4, 2\) got query.*batches equal"):
        nn.MultiheadAttention(4, 2, batch_first=True)(query, key, key)
