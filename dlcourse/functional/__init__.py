"""Functions of tensors, with PyTorch's names: ``from dlcourse import functional as F``.

Each one is a single step of the tape: its forward pass, and right below it the backward pass,
derived by hand.
"""

from dlcourse.functional.activations import log_softmax, relu, sigmoid, softmax, tanh
from dlcourse.functional.convolution import conv1d, conv2d, conv_transpose2d
from dlcourse.functional.linear import linear
from dlcourse.functional.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    mse_loss,
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
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "group_norm",
    "gru",
    "gru_cell",
    "layer_norm",
    "linear",
    "log_softmax",
    "lstm",
    "lstm_cell",
    "max_pool2d",
    "mse_loss",
    "pad",
    "relu",
    "reverse_sequences",
    "rms_norm",
    "rnn",
    "rnn_cell",
    "sigmoid",
    "softmax",
    "tanh",
    "zero_padding",
]
