"""Tensors: numpy arrays that remember how they were computed."""

from dlcourse.tensor.core import Tensor
from dlcourse.tensor.joining import cat, einsum, stack, where
from dlcourse.tensor.tape import (
    as_tensor,
    is_grad_enabled,
    no_grad,
    operands,
    record,
    unbroadcast,
)

__all__ = [
    "Tensor",
    "as_tensor",
    "cat",
    "einsum",
    "is_grad_enabled",
    "no_grad",
    "operands",
    "record",
    "stack",
    "unbroadcast",
    "where",
]
