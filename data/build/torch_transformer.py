"""Train lesson 07's GPT in PyTorch: same starting weights, same batches, same steps.

    python data/build/torch_transformer.py

Needs torch. Writes data/checkpoints/transformer_torch.npz: the loss of every step, and the loss on
the held-out text every 100 steps.
"""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from train_transformer import EVERY, FOLDER, batches, rate, shakespeare, windows

from dlcourse import models
from dlcourse.train import save

C, HEADS, LAYERS, T, V = 128, 4, 4, 64, 66


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.c_attn = nn.Linear(C, 3 * C, bias=False)
        self.c_proj = nn.Linear(C, C, bias=False)

    def forward(self, x):
        B, T, _ = x.shape
        q, k, v = self.c_attn(x).view(B, T, 3, HEADS, C // HEADS).permute(2, 0, 3, 1, 4)
        out = scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, HEADS, T, C / HEADS)
        return self.c_proj(out.transpose(1, 2).reshape(B, T, C))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(C, bias=False), nn.LayerNorm(C, bias=False)
        self.attn = Attention()
        self.mlp = nn.Sequential(
            nn.Linear(C, 4 * C, bias=False),
            nn.GELU("tanh"),
            nn.Linear(4 * C, C, bias=False),
        )

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(V, C), nn.Embedding(T, C)
        self.h = nn.ModuleList(Block() for _ in range(LAYERS))
        self.ln_f = nn.LayerNorm(C, bias=False)
        self.lm_head = nn.Linear(C, V, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, x):
        x = self.wte(x) + self.wpe.weight
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


def loss_on(model, x, y):
    return cross_entropy(model(torch.from_numpy(x)).reshape(-1, V), torch.from_numpy(y).reshape(-1))


def main():
    torch.set_num_threads(1)
    learn, held_out = shakespeare()
    ours = models.GPT(models.GPTConfig(vocab_size=V), rng=0)
    model = GPT()
    model.load_state_dict({k: torch.from_numpy(v) for k, v in ours.state_dict().items()})
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    rest = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate(0), betas=(0.9, 0.99))

    def look():
        x, y = windows(held_out)
        with torch.no_grad():
            parts = [
                loss_on(model, x[i : i + 50], y[i : i + 50]).item() * len(x[i : i + 50])
                for i in range(0, len(x), 50)
            ]
        return sum(parts) / len(x)

    losses, curve = [], [look()]
    for step, (x, y) in enumerate(batches(learn), 1):
        optimizer.zero_grad()
        loss = loss_on(model, x, y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        if step % EVERY == 0:
            curve.append(look())
            print(f"torch: step {step}, held-out loss {curve[-1]:.3f}", flush=True)
    save({"losses": np.float32(losses), "held_out": np.array(curve)},
         FOLDER / "transformer_torch.npz")  # fmt: skip


if __name__ == "__main__":
    main()
