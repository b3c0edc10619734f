"""Layers: functions with weights of their own, with PyTorch's names, shapes and conventions."""

from dlcourse.nn.activations import ReLU, Sigmoid, Softmax, Tanh
from dlcourse.nn.convolution import Conv1d, Conv2d, ConvTranspose2d
from dlcourse.nn.linear import Flatten, Linear
from dlcourse.nn.losses import BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, MSELoss
from dlcourse.nn.module import Buffer, Module, ModuleList, Parameter, Sequential
from dlcourse.nn.normalisation import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm, RMSNorm
from dlcourse.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from dlcourse.nn.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "CrossEntropyLoss",
    "Flatten",
    "GRUCell",
    "GroupNorm",
    "LSTMCell",
    "LayerNorm",
    "Linear",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "Parameter",
    "RMSNorm",
    "RNNCell",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
]
