"""Layers: functions with weights of their own, with PyTorch's names, shapes and conventions."""

from dlcourse.nn.activations import ReLU, Sigmoid, Softmax, Tanh
from dlcourse.nn.linear import Flatten, Linear
from dlcourse.nn.losses import BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, MSELoss
from dlcourse.nn.module import Module, ModuleList, Parameter, Sequential

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "Flatten",
    "Linear",
    "MSELoss",
    "Module",
    "ModuleList",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
]
