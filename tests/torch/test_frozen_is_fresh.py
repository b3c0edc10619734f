"""The frozen numbers are PyTorch's. Running this file, with tests/ on PYTHONPATH, makes them."""

from pathlib import Path
from types import SimpleNamespace

import frozen_cases as cases
import numpy as np
import pytest
import torch

FROZEN = Path(cases.__file__).with_name("frozen.npz")

TORCH = SimpleNamespace(
    F=torch.nn.functional,
    nn=torch.nn,
    cat=torch.cat,
    stack=torch.stack,
    einsum=torch.einsum,
    leaf=lambda a: torch.tensor(a, requires_grad=True),
    array=torch.tensor,
)


@pytest.mark.parametrize("name", [*cases.OPERATIONS, *cases.MODULES])
def test_frozen_numbers(name):
    with np.load(FROZEN) as file:
        expected = {k.split(": ")[1]: file[k] for k in file.files if k.startswith(f"{name}: ")}
    state = {k[6:]: torch.tensor(v) for k, v in expected.items() if k.startswith("state ")}
    found = cases.run(TORCH, name, state or None)
    assert set(found) == set(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-10, atol=1e-13)


if __name__ == "__main__":
    torch.manual_seed(0)
    names = [*cases.OPERATIONS, *cases.MODULES]
    found = {f"{n}: {k}": v for n in names for k, v in cases.run(TORCH, n).items()}
    np.savez_compressed(FROZEN, **found)
