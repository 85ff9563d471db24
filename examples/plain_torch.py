"""The same without Lightning: a plain torch loop on handwritten digits, saved half way and gone on with.

pip install -e ".[examples]"
python examples/plain_torch.py
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lightning_lr import Constant, Cosine, Linear, ScheduledLR, Warmup

PEAK_LR = 5e-3
SCHEDULE = Warmup("5%") >> Constant("25%") >> Cosine("50%", end_factor=0.1) >> Linear()
BATCH = 32


class Run:
    """A network, its optimizer and its schedule: what a checkpoint has to hold."""

    def __init__(self, total_steps: int) -> None:
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=PEAK_LR)
        self.scheduler = ScheduledLR(self.optimizer, SCHEDULE, total_steps=total_steps)

    def save(self, path: Path) -> None:
        state = {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
        }
        torch.save(state, path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])

    def train(self, images: Tensor, labels: Tensor, epochs: range) -> list[float]:
        """Train for some epochs; returns the lr that each update used."""
        self.net.train()
        lrs = []
        for epoch in epochs:
            order = torch.randperm(len(images), generator=torch.Generator().manual_seed(epoch))
            for batch in order.split(BATCH):
                self.optimizer.zero_grad()
                cross_entropy(self.net(images[batch]), labels[batch]).backward()
                lrs.append(self.optimizer.param_groups[0]["lr"])
                self.optimizer.step()  # this alone moves the schedule; there is no scheduler.step() to forget
        return lrs

    def accuracy(self, images: Tensor, labels: Tensor) -> float:
        self.net.eval()
        with torch.no_grad():
            return (self.net(images).argmax(1) == labels).float().mean().item()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--logdir", type=Path, default=Path("runs"), help="where the checkpoint goes (default: runs)")
    args = parser.parse_args(argv)

    torch.manual_seed(args.seed)
    digits = load_digits()
    images = torch.tensor(digits.images / 16.0, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    train, test = train_test_split(range(len(labels)), test_size=360, stratify=labels, random_state=0)
    total = args.epochs * -(-len(train) // BATCH)
    planned = PEAK_LR * SCHEDULE.curve(total)  # the preview: needs no optimizer and no training

    half = args.epochs // 2
    run = Run(total)
    lrs = run.train(images[train], labels[train], range(half))
    args.logdir.mkdir(parents=True, exist_ok=True)
    checkpoint = args.logdir / "plain_torch.pt"
    run.save(checkpoint)
    at = len(lrs)
    lrs += run.train(images[train], labels[train], range(half, args.epochs))

    resumed = Run(total)  # as if the process had died: everything new, then the checkpoint
    resumed.load(checkpoint)
    lrs_resumed = resumed.train(images[train], labels[train], range(half, args.epochs))

    print(f"{SCHEDULE!r}\n{total} updates, checkpoint after {at}\n")
    print("update      planned         used      resumed")
    for t in sorted({0, total // 20, total // 4, at - 1, at, 3 * total // 4, total - 1}):
        again = f"{lrs_resumed[t - at]:12.6g}" if t >= at else " " * 11 + "-"
        print(f"{t:6d} {planned[t]:12.6g} {lrs[t]:12.6g} {again}")
    print(f"\nused as planned:    {all(abs(a - b) <= 1e-12 * PEAK_LR for a, b in zip(lrs, planned, strict=True))}")
    print(f"resumed == through: {lrs_resumed == lrs[at:]}")
    print(f"test accuracy:      {run.accuracy(images[test], labels[test]):.2%}", end="")
    print(f" (resumed: {resumed.accuracy(images[test], labels[test]):.2%})")


if __name__ == "__main__":
    main()
