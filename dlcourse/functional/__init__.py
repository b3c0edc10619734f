"""Functions of tensors, with PyTorch's names: ``from dlcourse import functional as F``.

Each one is a single step of the tape: its forward pass, and right below it the backward pass,
derived by hand.
"""

from dlcourse.functional.activations import (
    elu,
    gelu,
    leaky_relu,
    log_softmax,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from dlcourse.functional.attention import attention_weights, scaled_dot_product_attention
from dlcourse.functional.convolution import conv1d, conv2d, conv_transpose2d
from dlcourse.functional.dropout import dropout
from dlcourse.functional.embedding import embedding
from dlcourse.functional.linear import linear
from dlcourse.functional.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
)
from dlcourse.functional.normalisation import batch_norm, group_norm, layer_norm, rms_norm
from dlcourse.functional.pooling import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from dlcourse.functional.recurrent import (
    gru,
    gru_cell,
    lstm,
    lstm_cell,
    reverse_sequences,
    rnn,
    rnn_cell,
    zero_padding,
)
from dlcourse.functional.shape import pad

__all__ = [
    "adaptive_avg_pool2d",
    "attention_weights",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "elu",
    "embedding",
    "gelu",
    "group_norm",
    "gru",
    "gru_cell",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "lstm",
    "lstm_cell",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "pad",
    "relu",
    "reverse_sequences",
    "rms_norm",
    "rnn",
    "rnn_cell",
    "scaled_dot_product_attention",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
    "zero_padding",
]
