"""Optimisers, learning-rate schedules and clipping, with PyTorch's names."""

from dlcourse.optim import lr_scheduler
from dlcourse.optim.clip import clip_grad_norm_, clip_grad_value_
from dlcourse.optim.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "clip_grad_norm_",
    "clip_grad_value_",
    "lr_scheduler",
]
