"""Train a small network on handwritten digits with a warmup and three decay phases, and look at it in TensorBoard.

    pip install "lightning_lr[examples]"
    python examples/digits.py
    tensorboard --logdir runs --samples_per_plugin scalars=100000

Variations, all on the same schedule:

    python examples/digits.py --mixin                     # from configure_optimizers: the identical lr at every update
    python examples/digits.py --devices 2                 # two processes on the CPU; half the updates, the same shape
    python examples/digits.py --resume runs/digits/version_0/checkpoints/epoch=14.ckpt

Checkpoints are written every five epochs; a resumed run logs into a version directory of its own.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy

from lightning_lr import (
    Chain,
    Constant,
    Cosine,
    Linear,
    LRLogger,
    LRMultiPhaseDecay,
    LRScheduleMixin,
    LRWarmup,
    Schedule,
    Warmup,
)

PEAK_LR = 5e-3
WARMUP = "5%"  # of the run's updates; 50 or "2 epochs" would do as well
PHASES = [
    Constant("25%"),  # stay at the peak
    Cosine("50%", end_factor=0.1),  # fall to a tenth of it
    Linear(),  # and to 0 over whatever is left
]
SCHEDULE = Warmup(WARMUP) >> Chain(PHASES)  # the same in one value, for --mixin


class Digits(LRScheduleMixin, L.LightningModule):
    """Two convolutions and a linear layer for 8x8 images; the mixin matters only when a schedule is given."""

    def __init__(self, schedule: Schedule | None = None) -> None:
        super().__init__()
        self.schedule = schedule
        self.net = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(32 * 4 * 4, 10),
        )  # fmt: skip
        self.val_acc = MulticlassAccuracy(10, average="micro")
        self.test_acc = MulticlassAccuracy(10, average="micro")

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        loss = cross_entropy(self.net(images), labels, label_smoothing=0.1)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = batch
        self.val_acc(self.net(images), labels)
        self.log("val_acc", self.val_acc, prog_bar=True)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = batch
        self.test_acc(self.net(images), labels)
        self.log("test_acc", self.test_acc)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=PEAK_LR)
        if self.schedule is None:
            return optimizer  # the callbacks schedule it
        return self.scheduled(optimizer, self.schedule)


def loaders() -> tuple[DataLoader[Any], DataLoader[Any], DataLoader[Any]]:
    """The 1797 digits that come with scikit-learn: 1077 to train, 360 to validate, 360 to test, always the same."""
    digits = load_digits()
    images = torch.tensor(digits.images / 16.0, dtype=torch.float32).unsqueeze(1)
    labels = torch.tensor(digits.target)
    rest, test = train_test_split(range(len(labels)), test_size=360, stratify=labels, random_state=0)
    train, val = train_test_split(rest, test_size=360, stratify=labels[rest], random_state=0)
    return (
        DataLoader(TensorDataset(images[train], labels[train]), batch_size=32, shuffle=True),
        DataLoader(TensorDataset(images[val], labels[val]), batch_size=180),
        DataLoader(TensorDataset(images[test], labels[test]), batch_size=180),
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mixin", action="store_true", help="schedule in configure_optimizers, not by callbacks")
    parser.add_argument("--devices", type=int, default=1, help="more than one: distributed training on the CPU")
    parser.add_argument("--resume", metavar="CKPT", help="go on from this checkpoint")
    parser.add_argument("--logdir", default="runs", help="where curves and checkpoints go (default: runs)")
    args = parser.parse_args(argv)

    # The data lie in memory; the filter is the one that Lightning's manual gives for this advice.
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    L.seed_everything(args.seed)
    train, val, test = loaders()

    callbacks: list[Callback] = [
        LRLogger(every_n_steps=1, metrics=["val_acc"]),
        ModelCheckpoint(every_n_epochs=5, save_top_k=-1, filename="{epoch}"),
    ]
    if not args.mixin:
        callbacks += [LRWarmup(WARMUP), LRMultiPhaseDecay(PHASES)]

    trainer = L.Trainer(
        max_epochs=args.epochs,
        accelerator="cpu",
        devices=args.devices,
        strategy="ddp" if args.devices > 1 else "auto",
        callbacks=callbacks,
        logger=TensorBoardLogger(args.logdir, name="digits"),
        log_every_n_steps=10,
    )
    model = Digits(SCHEDULE if args.mixin else None)
    trainer.fit(model, train, val, ckpt_path=args.resume)
    # On two devices Lightning warns here that it may count some images twice; 360 divide evenly, so it does not.
    [result] = trainer.test(model, test, verbose=False)
    if trainer.is_global_zero:
        print(f"test accuracy: {result['test_acc']:.2%}")
        print(f"look at it:    tensorboard --logdir {args.logdir} --samples_per_plugin scalars=100000")


if __name__ == "__main__":  # with --devices 2 Lightning starts this file once more
    main()
