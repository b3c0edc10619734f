"""Activations: functions of each element, and softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcourse.tensor import Tensor, as_tensor, record

__all__ = ["log_softmax", "relu", "sigmoid", "softmax", "tanh"]


def relu(input: Any) -> Tensor:
    """Return max(x, 0). The slope at 0 is taken as 0."""
    x = as_tensor(input)
    out = np.maximum(x.data, 0)
    return record(out, (x,), lambda g: (g * (out > 0),))


def sigmoid(input: Any) -> Tensor:
    """Return 1 / (1 + exp(-x)), without overflow: it equals (1 + tanh(x/2)) / 2."""
    x = as_tensor(input)
    out = sigmoid_array(x.data)
    return record(out, (x,), lambda g: (g * out * (1 - out),))


def tanh(input: Any) -> Tensor:
    """Return the hyperbolic tangent, (exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
    x = as_tensor(input)
    out = np.tanh(x.data)
    return record(out, (x,), lambda g: (g * (1 - out * out),))


def softmax(input: Any, dim: int = -1) -> Tensor:
    """Return exp(x) / sum(exp(x)) along ``dim``: positive numbers that add up to 1."""
    x = as_tensor(input)
    out = np.exp(x.data - x.data.max(axis=dim, keepdims=True))
    out /= out.sum(axis=dim, keepdims=True)

    def backward(g):  # dpᵢ/dxⱼ = pᵢ (δᵢⱼ - pⱼ)
        g = g * out
        return (g - out * g.sum(axis=dim, keepdims=True),)

    return record(out, (x,), backward)


def log_softmax(input: Any, dim: int = -1) -> Tensor:
    """Return the logarithm of `softmax`, without ever taking the log of a rounded 0."""
    x = as_tensor(input)
    out = log_softmax_array(x.data, dim)

    def backward(g):  # d log pᵢ/dxⱼ = δᵢⱼ - pⱼ
        return (g - np.exp(out) * g.sum(axis=dim, keepdims=True),)

    return record(out, (x,), backward)


def sigmoid_array(x: np.ndarray) -> np.ndarray:
    out = np.tanh(x * 0.5)
    out *= 0.5
    out += 0.5
    return out


def log_softmax_array(x: np.ndarray, dim: int = -1) -> np.ndarray:
    out = x - x.max(axis=dim, keepdims=True)
    out -= np.log(np.exp(out).sum(axis=dim, keepdims=True))
    return out
