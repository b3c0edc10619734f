"""The examples in the engine's docstrings run and give what they say."""

import doctest
import importlib

import pytest

MODULES = [
    "models",
    "summary",
    "tensor.core",
    "tensor.tape",
    "tensor.joining",
    "nn.module",
    "gradcheck",
    "optim.optimizers",
    "train.loop",
    "train.watch",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(f"dlcourse.{name}"))
    assert result.failed == 0
