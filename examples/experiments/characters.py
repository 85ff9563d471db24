"""A small language model for ``tasks.text``, a pre-LN transformer of 117,600 weights, and runs that can be branched."""

from __future__ import annotations

import io

import tasks
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, linear, scaled_dot_product_attention

from lightning_lr import Schedule, ScheduledLR, param_groups

CONTEXT, WIDTH, HEADS, DEPTH, BATCH = 32, 48, 4, 4, 16


class Block(nn.Module):
    """Attention and a multi-layer perceptron, each behind a norm and added to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3 * HEADS, -1)).transpose(1, 2).chunk(3, dim=1)
        attended = scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.down(gelu(self.up(self.norm2(x))))


class Characters(nn.Module):
    """The loss, in nats, of each window's next characters; the matrix that reads symbols also writes them."""

    def __init__(self, symbols: int) -> None:
        super().__init__()
        self.symbols, self.places = nn.Embedding(symbols, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks, self.norm = nn.Sequential(*(Block() for _ in range(DEPTH))), nn.LayerNorm(WIDTH)
        for weight in self.parameters():
            if weight.ndim == 2:
                nn.init.normal_(weight, std=0.02)

    def forward(self, windows: Tensor) -> Tensor:
        x = self.norm(self.blocks(self.symbols(windows[:, :-1]) + self.places.weight))
        return cross_entropy(linear(x, self.symbols.weight).flatten(0, 1), windows[:, 1:].flatten())


class Run:
    """A net, its optimizer and its schedule: what a checkpoint has to hold; and how it is trained on.

    Args:
        schedule, lr: of AdamW.
        seed: of the first weights and of the data; update t sees the same windows whatever the schedule.
        longest: the most updates that any run of this seed makes.
        total: updates of this run, or ``None`` if it is open-ended.
    """

    def __init__(self, schedule: Schedule, lr: float, seed: int, longest: int, total: int | None = None) -> None:
        torch.manual_seed(seed)
        self.text, self.lr, self.begin, self.curve = tasks.text(), lr, 0, dict[int, float]()
        self.starts = torch.randint(len(self.text.train) - CONTEXT - 1, (longest, BATCH))
        self.net = Characters(self.text.symbols)
        self.optimizer = torch.optim.AdamW(param_groups(self.net, lr, weight_decay=0.1), betas=(0.9, 0.95), fused=True)
        self.scheduler = ScheduledLR(self.optimizer, schedule, total_steps=total)

    def save(self) -> bytes:
        parts = {"net": self.net, "optimizer": self.optimizer, "scheduler": self.scheduler}
        torch.save({name: part.state_dict() for name, part in parts.items()}, file := io.BytesIO())
        return file.getvalue()

    def load(self, saved: bytes) -> None:
        state = torch.load(io.BytesIO(saved), weights_only=True)
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.begin = self.scheduler.updates

    def train(self, until: int, watch: int | None = None) -> None:
        """Go on; ``curve`` gets the loss over 128 validation windows after every ``watch`` updates."""
        for t in range(self.scheduler.updates, until + 1):
            if watch and t % watch == 0:
                self.curve[t] = self.loss(self.text.val, 128)
            if t < until:
                self.optimizer.zero_grad()
                self.net(self.text.train[self.starts[t, :, None] + torch.arange(CONTEXT + 1)]).backward()
                nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
                self.optimizer.step()

    @torch.no_grad()
    def loss(self, text: Tensor, at_most: int) -> float:
        """Over windows side by side: all of the text, or every n-th window if there are more than ``at_most``."""
        windows = text.unfold(0, CONTEXT + 1, CONTEXT)
        return float(self.net(windows[:: -(-len(windows) // at_most)]))

    @property
    def lrs(self) -> list[float]:
        """Of every update since the first, before a checkpoint and after it."""
        return [self.lr * factor for factor in self.scheduler.replayed_at(range(self.scheduler.updates))]
