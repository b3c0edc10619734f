"""Train the dense networks of LeCun et al. 1998 as one does today: about two minutes on one core.

    python data/build/train_mlp.py

It makes data/checkpoints/mlp_1998.npz for lesson 02: the weights of four networks, in float16.
"""

from pathlib import Path

import numpy as np

from dlcourse import data, models, optim
from dlcourse import functional as F
from dlcourse.train import evaluate, save, train

FILE = Path(__file__).parents[1] / "checkpoints" / "mlp_1998.npz"
SHAPES = ([784, 300, 10], [784, 1000, 10], [784, 300, 100, 10], [784, 500, 150, 10])
EPOCHS = 8


def main() -> None:
    """Train all four and write what they learned."""
    mnist, states = data.load_mnist(), {}
    test = data.DataLoader((mnist.x_test, mnist.y_test), batch_size=1000)
    for sizes in SHAPES:
        model = models.MLP(sizes, rng=0)
        loader = data.DataLoader((mnist.x_train, mnist.y_train), 128, shuffle=True, rng=0)
        optimizer = optim.Adam(model.parameters(), lr=0.002)
        for step in train(model, F.cross_entropy, optimizer, loader, epochs=EPOCHS):
            optimizer.lr = 0.002 * (1 - step.step / (EPOCHS * len(loader)))
        name = "-".join(map(str, sizes))
        states |= {f"{name}/{k}": v.astype(np.float16) for k, v in model.state_dict().items()}
        wrong = 1 - evaluate(model, F.cross_entropy, test).accuracy
        print(f"{name}: {wrong:.2%} of the test images wrong", flush=True)
    FILE.parent.mkdir(exist_ok=True)
    save(states, FILE)


if __name__ == "__main__":
    main()
