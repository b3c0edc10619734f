"""dlcourse: deep learning from one neuron to a Transformer, in numpy, with PyTorch's names.

The engine is here (`Tensor`, `functional`, `nn`, `optim`, `init`), with `data`, `train`, `models`,
`summary` and `gradcheck`.
Pictures and controls are in `dlcourse.plots` and `dlcourse.live`; they alone load matplotlib and
ipywidgets, so import them by name.
"""

from dlcourse import (
    data,
    functional,
    gradcheck,
    init,
    models,
    nn,
    optim,
    summary,
    tensor,
    train,
)
from dlcourse.tensor import Tensor, cat, einsum, no_grad, stack, where

__all__ = [
    "Tensor",
    "cat",
    "data",
    "einsum",
    "functional",
    "gradcheck",
    "init",
    "models",
    "nn",
    "no_grad",
    "optim",
    "stack",
    "summary",
    "tensor",
    "train",
    "where",
]

__version__ = "0.1.0"
