"""What is frozen: each case is written once, since both libraries have the same names.

``L`` stands for a library, with L.F, L.nn, L.cat … A case of OPERATIONS is a function of arrays, a
case of MODULES a module and its inputs. `run` gives the output and all gradients as arrays.
"""

import numpy as np

Y = np.array([2, 0, 1, 2])
MASK = np.tri(5, dtype=bool)

OPERATIONS = {  # name: (function, shapes of the arrays)
    "add": (lambda L, a, b: a + b, (3, 1, 4), (2, 4)),
    "sub": (lambda L, a, b: a - b, (4,), (3, 4)),
    "mul": (lambda L, a, b: a * b, (3, 1), (1, 4)),
    "div": (lambda L, a, b: a / (b * b + 1), (3, 4), (4,)),
    "pow": (lambda L, a, b: (a * a + 0.5) ** b, (3, 4), (3, 4)),
    "matmul": (lambda L, a, b: a @ b, (2, 1, 3, 4), (5, 4, 2)),
    "exp": (lambda L, x: x.exp(), (3, 4)),
    "log": (lambda L, x: (x * x + 0.1).log(), (3, 4)),
    "sqrt": (lambda L, x: (x * x + 0.1).sqrt(), (3, 4)),
    "abs": (lambda L, x: x.abs(), (3, 4)),
    "clip": (lambda L, x: x.clip(-0.5, 0.5), (3, 4)),
    "sum": (lambda L, x: x.sum((0, 2)), (3, 4, 2)),
    "mean": (lambda L, x: x.mean(dim=1, keepdim=True), (3, 4, 2)),
    "var": (lambda L, x: x.var(1), (3, 4)),
    "std": (lambda L, x: x.std(dim=0), (3, 4)),
    "max": (lambda L, x: x.max(dim=1).values, (3, 4)),
    "min": (lambda L, x: x.min(), (3, 4)),
    "logsumexp": (lambda L, x: x.logsumexp(1), (3, 4)),
    "index": (lambda L, x: x[[0, 0, 2], 1:], (3, 4)),
    "reshape": (lambda L, x: x.reshape(2, -1).transpose(0, 1), (3, 4)),
    "permute": (lambda L, x: x.permute(2, 0, 1).flatten(1), (3, 4, 2)),
    "expand": (lambda L, x: x.unsqueeze(0).expand(2, -1, 4), (3, 1)),
    "split": (lambda L, x: x.split([1, 3], 1)[1] * x.chunk(2, 1)[0][:, :1], (3, 4)),
    "cat": (lambda L, a, b: L.cat([a, b, a], 1), (3, 4), (3, 2)),
    "stack": (lambda L, a, b: L.stack([a, b], 1), (3, 4), (3, 4)),
    "einsum": (lambda L, a, b: L.einsum("bij,bjk->ik", a, b), (2, 3, 4), (2, 4, 5)),
    "pad": (lambda L, x: L.F.pad(x, (1, 2, 0, 1), value=3.0), (3, 4)),
    "linear": (lambda L, x, w, b: L.F.linear(x, w, b), (2, 3, 4), (5, 4), (5,)),
    "relu": (lambda L, x: L.F.relu(x), (3, 4)),
    "leaky_relu": (lambda L, x: L.F.leaky_relu(x, 0.2), (3, 4)),
    "elu": (lambda L, x: L.F.elu(x), (3, 4)),
    "silu": (lambda L, x: L.F.silu(x), (3, 4)),
    "gelu": (lambda L, x: L.F.gelu(x), (3, 4)),
    "gelu tanh": (lambda L, x: L.F.gelu(x, approximate="tanh"), (3, 4)),
    "sigmoid": (lambda L, x: L.F.sigmoid(x), (3, 4)),
    "tanh": (lambda L, x: L.F.tanh(x), (3, 4)),
    "softplus": (lambda L, x: L.F.softplus(x), (3, 4)),
    "softmax": (lambda L, x: L.F.softmax(x, dim=0), (3, 4)),
    "log_softmax": (lambda L, x: L.F.log_softmax(x, dim=-1), (3, 4)),
    "mse_loss": (lambda L, a, b: L.F.mse_loss(a, b), (3, 4), (3, 4)),
    "l1_loss": (lambda L, a, b: L.F.l1_loss(a, b), (3, 4), (3, 4)),
    "huber_loss": (lambda L, a, b: L.F.huber_loss(a, b, delta=0.7), (3, 4), (3, 4)),
    "cross_entropy": (lambda L, z: L.F.cross_entropy(z, L.array(Y), label_smoothing=0.1), (4, 3)),
    "cross_entropy of probabilities": (
        lambda L, z, t: L.F.cross_entropy(z, L.F.softmax(t, 1).detach()),
        (4, 3),
        (4, 3),
    ),
    "nll_loss": (lambda L, z: L.F.nll_loss(L.F.log_softmax(z, 1), L.array(Y)), (4, 3)),
    "bce": (
        lambda L, z, t: L.F.binary_cross_entropy(L.F.sigmoid(z), L.F.sigmoid(t).detach()),
        (3, 4),
        (3, 4),
    ),
    "bce with logits": (
        lambda L, z, t: L.F.binary_cross_entropy_with_logits(z, L.F.sigmoid(t).detach()),
        (3, 4),
        (3, 4),
    ),
    "kl_div": (
        lambda L, z, t: L.F.kl_div(L.F.log_softmax(z, 1), L.F.softmax(t, 1), reduction="batchmean"),
        (3, 4),
        (3, 4),
    ),
    "conv1d": (lambda L, x, w, b: L.F.conv1d(x, w, b, 2, 1), (2, 3, 9), (4, 3, 3), (4,)),
    "conv2d": (lambda L, x, w, b: L.F.conv2d(x, w, b), (2, 3, 6, 7), (4, 3, 3, 2), (4,)),
    "conv2d of all kinds": (
        lambda L, x, w: L.F.conv2d(x, w, None, (2, 1), (1, 2), (1, 2), 2),
        (2, 4, 7, 8),
        (6, 2, 3, 3),
    ),
    "conv_transpose2d": (
        lambda L, x, w, b: L.F.conv_transpose2d(x, w, b, 2, 1, 1),
        (2, 3, 4, 4),
        (3, 2, 3, 3),
        (2,),
    ),
    "max_pool2d": (lambda L, x: L.F.max_pool2d(x, 3, 2, 1), (2, 3, 7, 6)),
    "avg_pool2d": (lambda L, x: L.F.avg_pool2d(x, 2), (2, 3, 6, 6)),
    "adaptive_avg_pool2d": (lambda L, x: L.F.adaptive_avg_pool2d(x, (3, 2)), (2, 3, 7, 5)),
    "layer_norm": (lambda L, x, w, b: L.F.layer_norm(x, (4,), w, b), (2, 3, 4), (4,), (4,)),
    "rms_norm": (lambda L, x, w: L.F.rms_norm(x, (4,), w), (2, 3, 4), (4,)),
    "group_norm": (lambda L, x, w, b: L.F.group_norm(x, 2, w, b), (2, 4, 5), (4,), (4,)),
    "embedding": (
        lambda L, w: L.F.embedding(L.array(np.array([[0, 2, 2], [4, 0, 1]])), w),
        (5, 3),
    ),
    "attention": (
        lambda L, q, k, v: L.F.scaled_dot_product_attention(q, k, v, attn_mask=L.array(MASK)),
        (2, 2, 5, 3),
        (2, 2, 5, 3),
        (2, 2, 5, 4),
    ),
}
MODULES = {  # name: (module, shape of the input)
    "BatchNorm1d": (lambda L: L.nn.BatchNorm1d(4), (5, 4)),
    "BatchNorm2d": (lambda L: L.nn.BatchNorm2d(3), (2, 3, 4, 4)),
    "RNN": (lambda L: L.nn.RNN(3, 4, 2, nonlinearity="relu"), (5, 2, 3)),
    "LSTM": (lambda L: L.nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True), (2, 5, 3)),
    "GRU": (lambda L: L.nn.GRU(3, 4, 2, bidirectional=True), (5, 2, 3)),
    "TransformerEncoderLayer": (
        lambda L: L.nn.TransformerEncoderLayer(8, 2, 12, 0.0, batch_first=True),
        (2, 5, 8),
    ),
    "TransformerEncoderLayer, norm first": (
        lambda L: L.nn.TransformerEncoderLayer(
            8, 2, 12, 0.0, "gelu", batch_first=True, norm_first=True
        ),
        (2, 5, 8),
    ),
}


def arrays(name):
    """The inputs of a case, the same everywhere."""
    shapes = OPERATIONS[name][1:] if name in OPERATIONS else MODULES[name][1:]
    rng = np.random.default_rng(sum(map(ord, name)))
    return [rng.normal(size=shape) for shape in shapes]


def run(L, name, state=None):
    """Output and gradients of a case in a library, and the weights of a module."""
    inputs = [L.leaf(a) for a in arrays(name)]
    found = {}
    if name in OPERATIONS:
        out = OPERATIONS[name][0](L, *inputs)
        leaves = {f"grad {i}": x for i, x in enumerate(inputs)}
    else:
        module = MODULES[name][0](L).double()
        if state is not None:
            module.load_state_dict(state)
        found = {f"state {k}": np.array(v) for k, v in module.state_dict().items()}
        out = module(*inputs)
        out = out[0] if isinstance(out, tuple) else out
        leaves = {"grad 0": inputs[0]}
        leaves |= {f"grad {k}": p for k, p in module.named_parameters()}
    direction = np.random.default_rng(1).normal(size=tuple(out.shape))
    out.backward(L.array(direction))
    found["output"] = np.array(out.detach())
    for key, leaf in leaves.items():
        if leaf.grad is not None:
            found[key] = np.array(leaf.grad)
    return found
