"""Every operation against PyTorch's numbers, frozen in a file, so that PyTorch is not needed."""

from pathlib import Path
from types import SimpleNamespace

import frozen_cases as cases
import numpy as np
import pytest

import dlcourse

DLCOURSE = SimpleNamespace(
    F=dlcourse.functional,
    nn=dlcourse.nn,
    cat=dlcourse.cat,
    stack=dlcourse.stack,
    einsum=dlcourse.einsum,
    leaf=lambda a: dlcourse.Tensor(a, requires_grad=True),
    array=lambda a: a,
)


@pytest.fixture(scope="module")
def frozen():
    with np.load(Path(__file__).with_name("frozen.npz")) as file:
        found = {}
        for key in file.files:
            name, what = key.split(": ")
            found.setdefault(name, {})[what] = file[key]
        return found


def test_nothing_is_left_out(frozen):
    assert set(frozen) == set(cases.OPERATIONS) | set(cases.MODULES)


@pytest.mark.parametrize("name", [*cases.OPERATIONS, *cases.MODULES])
def test_equal_to_pytorchs_numbers(frozen, name):
    expected = frozen[name]
    state = {k[6:]: v for k, v in expected.items() if k.startswith("state ")}
    found = cases.run(DLCOURSE, name, state or None)
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert found[key].shape == value.shape
        error = np.linalg.norm(found[key] - value)
        assert error <= 1e-10 * max(np.linalg.norm(value), 1e-3), key
