"""Train what lesson 07 does not train while you read: about three minutes on one core.

    python data/build/train_transformer.py [gpt] [dates]

Without names it makes both: data/checkpoints/transformer_gpt.npz and transformer_dates.npz.
"""

import math
import sys
from pathlib import Path

import numpy as np

from dlcourse import data, models, nn, no_grad, optim
from dlcourse import functional as F
from dlcourse.train import save, save_checkpoint, train

FOLDER = Path(__file__).parents[1] / "checkpoints"

# A GPT on Shakespeare, at the small setting for a CPU of nanoGPT's README

STEPS, WARMUP, BATCH, T = 2000, 100, 12, 64
KEPT = 1800  # the step whose weights are kept
EVERY = 100  # steps between two looks at the held-out text


def shakespeare():
    """Return the symbols' codes: the first 90 % to learn from, and the last 10 %."""
    text = data.load_shakespeare()
    codes = np.searchsorted(sorted(set(text)), list(text))
    return np.split(codes, [int(0.9 * len(codes))])


def batches(codes):
    """Give all batches (12, 64), each with what comes one symbol later."""
    starts = np.random.default_rng(1).integers(0, len(codes) - T, (STEPS, BATCH))
    for start in starts:
        piece = codes[start[:, None] + np.arange(T + 1)]
        yield piece[:, :-1], piece[:, 1:]


def rate(t):
    """Return the learning rate of step t, from 0: up in a line, then down along half a cosine."""
    if t < WARMUP:
        return 1e-3 * (t + 1) / (WARMUP + 1)
    share = (t - WARMUP) / (STEPS - WARMUP)
    return 1e-4 + 0.5 * (1 + math.cos(math.pi * share)) * (1e-3 - 1e-4)


def windows(codes):
    """Cut a text into all its windows (N, 64) that do not overlap, and what comes later."""
    n = (len(codes) - 1) // T
    return codes[: n * T].reshape(n, T), codes[1 : n * T + 1].reshape(n, T)


def mean_loss(z, y):
    return F.cross_entropy(z.reshape(-1, z.shape[-1]), y.reshape(-1))


def adamw(model):
    """Let the weights of matrices decay, not those of norms."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    rest = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    return optim.AdamW(groups, lr=rate(0), betas=(0.9, 0.99))


def held_out_loss(model, text):
    x, y = windows(text)
    with no_grad():
        parts = [
            mean_loss(model(x[i : i + 50]), y[i : i + 50]).item() * len(x[i : i + 50])
            for i in range(0, len(x), 50)
        ]
    return sum(parts) / len(x)


def gpt():
    learn, held_out = shakespeare()
    model = models.GPT(models.GPTConfig(vocab_size=66), rng=0)
    optimizer = adamw(model)
    losses, curve = [], [held_out_loss(model, held_out)]
    for step in train(model, mean_loss, optimizer, batches(learn), epochs=1, max_norm=1):
        losses.append(step.loss)
        optimizer.lr = rate(step.step)
        if step.step % EVERY == 0:
            curve.append(held_out_loss(model, held_out))
            print(f"gpt: step {step.step}, held-out loss {curve[-1]:.3f}", flush=True)
        if step.step == KEPT:
            # weights, and the roots of Adam's mean squares; its mean gradient forgets in ten steps
            kept = {"step": np.array(KEPT)}
            for name, p in model.named_parameters():
                kept[f"weights/{name}"] = p.data.astype(np.float16)
                root = np.sqrt(optimizer.state[p]["exp_avg_sq"])
                kept[f"roots/{name}"] = root.astype(np.float16)
    save({**kept, "losses": np.float32(losses), "held_out": np.array(curve)},
         FOLDER / "transformer_gpt.npz")  # fmt: skip


# An encoder and a decoder that turn written dates into ISO form

LETTERS = " ,/0123456789abcdefghijlmnoprstuvwyzì"  # those of all dates; 0 stands for no letter
DIGITS = "0123456789-"  # 11 stands for the start


def date_pairs():
    """Return written dates (N, 29), what the decoder reads (N, 10), and what it should say."""
    pairs = data.load_date_pairs()
    x = np.zeros((len(pairs.human), 29), int)
    for row, text in zip(x, pairs.human, strict=True):
        row[: len(text)] = [LETTERS.index(c) + 1 for c in text]
    y = np.array([[DIGITS.index(c) for c in text] for text in pairs.iso])
    return x, np.column_stack([np.full(len(y), 11), y[:, :-1]]), y


def sinusoids(T, C):
    """Return the positions' waves, (T, C)."""
    angle = np.arange(T)[:, None] / 10000 ** (np.arange(0, C, 2) / C)
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(T, C).astype(np.float32)


class Translator(nn.Module):
    """One encoder layer reads the letters, one decoder layer writes the digits."""

    def __init__(self, width=64, heads=4, rng=0):
        rng = np.random.default_rng(rng)
        self.letters = nn.Embedding(len(LETTERS) + 1, width, rng=rng)
        self.digits = nn.Embedding(len(DIGITS) + 1, width, rng=rng)
        options = {"dropout": 0.0, "batch_first": True, "norm_first": True, "rng": rng}
        self.encoder = nn.TransformerEncoderLayer(width, heads, 2 * width, **options)
        self.decoder = nn.TransformerDecoderLayer(width, heads, 2 * width, **options)
        self.head = nn.Linear(width, len(DIGITS), rng=rng)
        self.positions = sinusoids(29, width)

    def forward(self, written, so_far):
        """Read letters (N, S) and the digits so far (N, T); return scores (N, T, 11)."""
        nothing = written == 0
        memory = self.letters(written) + self.positions[: written.shape[1]]
        memory = self.encoder(memory, src_key_padding_mask=nothing)
        x = self.digits(so_far) + self.positions[: so_far.shape[1]]
        x = self.decoder(x, memory, tgt_is_causal=True, memory_key_padding_mask=nothing)
        return self.head(x)


def dates(steps=1200, lr=2e-3):
    *inputs, y = date_pairs()
    learn = tuple(a[:10000] for a in (*inputs, y))
    model = Translator()
    optimizer = optim.AdamW(model.parameters(), lr=lr / 100, betas=(0.9, 0.99))
    loader = data.DataLoader(learn, batch_size=32, shuffle=True, rng=0)
    for step in train(model, mean_loss, optimizer, loader, epochs=10, max_norm=1):
        optimizer.lr = lr * min(1, (step.step + 1) / 100)
        if step.step == steps:
            break
    with no_grad():
        said = model(*(a[10000:] for a in inputs)).data.argmax(axis=-1)
    right = (said == y[10000:]).all(axis=1).mean()
    print(f"dates: {right:.1%} of 2,000 new dates are right", flush=True)
    parts = {"model": model, "optimizer": optimizer, "loader": loader}
    save_checkpoint(FOLDER / "transformer_dates.npz", step, **parts)


def main():
    wanted = sys.argv[1:] or ["gpt", "dates"]
    FOLDER.mkdir(exist_ok=True)
    for name in wanted:
        {"gpt": gpt, "dates": dates}[name]()


if __name__ == "__main__":
    main()
