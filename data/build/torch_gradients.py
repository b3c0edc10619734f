"""Freeze what PyTorch says about a small network, so that lesson 03 can compare without it.

    python data/build/torch_gradients.py

Needs torch. Writes the batch, the weights, the loss and all gradients, in float64.
"""

from pathlib import Path

import numpy as np
import torch

from dlcourse import data
from dlcourse.train import save

FILE = Path(__file__).parents[1] / "checkpoints" / "torch_gradients.npz"


def main() -> None:
    """Build the network from a seed, run it once forward and once back."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(64, 32),
        torch.nn.Tanh(),
        torch.nn.Linear(32, 16),
        torch.nn.ReLU(),
        torch.nn.Linear(16, 10),
    ).double()
    digits = data.load_digits()
    x = digits.x[:20].reshape(20, 64).astype(np.float64)
    y = digits.y[:20]
    leaf = torch.tensor(x, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(model(leaf), torch.tensor(y))
    loss.backward()
    found = {"x": x, "y": y, "loss": loss.detach().numpy(), "grad x": leaf.grad.numpy()}
    for name, parameter in model.named_parameters():
        found[name] = parameter.detach().numpy()
        found[f"grad {name}"] = parameter.grad.numpy()
    FILE.parent.mkdir(exist_ok=True)
    save(found, FILE)


if __name__ == "__main__":
    main()
