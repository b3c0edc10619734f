"""Functions of tensors, with PyTorch's names: ``from dlcourse import functional as F``.

Each one is a single step of the tape: its forward pass, and right below it the backward pass,
derived by hand.
"""

from dlcourse.functional.activations import log_softmax, relu, sigmoid, softmax, tanh
from dlcourse.functional.linear import linear
from dlcourse.functional.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    mse_loss,
)

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "linear",
    "log_softmax",
    "mse_loss",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]
