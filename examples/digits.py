"""Train on handwritten digits with a schedule and two decisions that a metric takes, and look at it in TensorBoard.

    pip install -e ".[examples]"
    python examples/digits.py
    tensorboard --logdir runs --samples_per_plugin scalars=100000

All four learning-rate callbacks work on one optimizer: a warmup, three decay phases, a reduction when the validation
loss is on a plateau, and a restart when it stagnates for longer. One training label in twenty is wrong and only 120
images validate, twice an epoch, so the loss is as unsteady as in real life, and nobody knows beforehand when the rate
will change. Each decision prints one line and appends another to ``lr_events.jsonl`` in the run's directory.

In TensorBoard, with smoothing at 0, look at

- ``lr/AdamW``: what each update used, over the run ``plan``, which is what the schedule alone would have been. A step
  down is a reduction, a step up the restart; after it the rest of the schedule is fitted to the rest of the run.
- ``monitor/val_loss``, on the same axis: what the decisions saw.
- ``schedule/num_reductions``, ``schedule/num_restarts``: how many there have been.
- Text: ``lr/plan``, the phases in numbers, and ``lr/decisions``: when, by how much and why.
- Custom Scalars: rate, losses and decisions on one page; Images: plan and actual drawn (where matplotlib is installed).

Variations, all with the same schedule and rules:

    python examples/digits.py --mixin                     # from configure_optimizers: the identical lr at every update
    python examples/digits.py --devices 2                 # two processes on the CPU: half the updates, the same rules
    python examples/digits.py --resume runs/digits/version_0/checkpoints/epoch=14.ckpt

Checkpoints are written every five epochs; a resumed run repeats the rest exactly, decisions included, in a version
directory of its own.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Sampler, TensorDataset
from torchmetrics.classification import MulticlassAccuracy

from lightning_lr import (
    Chain,
    Constant,
    Cosine,
    Linear,
    LRLogger,
    LRMultiPhaseDecay,
    LRPlateauReduction,
    LRScheduleMixin,
    LRStagnationRestart,
    LRWarmup,
    Patience,
    Reduce,
    Restart,
    Rule,
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
WRONG_LABELS = 0.05  # the share of training labels that are made wrong


def callbacks() -> list[Callback]:
    """The schedule and what may change it, as callbacks; their order does not matter."""
    return [
        LRWarmup(WARMUP),
        LRMultiPhaseDecay(PHASES),
        LRPlateauReduction("val_loss", factor=0.5, patience=2, threshold=0.01, min_lr=5e-4),
        LRStagnationRestart("val_loss", patience=5, threshold=0.01, max_restarts=1, peak_decay=0.5),
    ]


# The same as values, for --mixin.
SCHEDULE = Warmup(WARMUP) >> Chain(PHASES)
RULES = [
    Rule(Patience(2, threshold=0.01), Reduce(0.5, min_lr=5e-4), "val_loss"),
    Rule(Patience(5, threshold=0.01), Restart(peak_decay=0.5, max_restarts=1), "val_loss"),
]


class Digits(LRScheduleMixin, L.LightningModule):
    """Two convolutions and a linear layer for 8x8 images; the mixin matters only when a schedule is given."""

    def __init__(self, schedule: Schedule | None = None, rules: Sequence[Rule] = ()) -> None:
        super().__init__()
        self.schedule, self.rules = schedule, rules
        self.net = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 4 * 4, 10),
        )  # fmt: skip
        self.test_acc = MulticlassAccuracy(10, average="micro")

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        loss = cross_entropy(self.net(images), labels, label_smoothing=0.1)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = batch
        self.log("val_loss", cross_entropy(self.net(images), labels), prog_bar=True, sync_dist=True)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = batch
        self.test_acc(self.net(images), labels)
        self.log("test_acc", self.test_acc)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=PEAK_LR)
        if self.schedule is None:
            return optimizer  # the callbacks schedule it
        return self.scheduled(optimizer, self.schedule, rules=self.rules)


class EpochOrder(Sampler[int]):
    """A new order in every epoch, which depends on the epoch and the seed only: a resumed run sees the same batches."""

    def __init__(self, length: int, seed: int) -> None:
        self.length, self.seed, self.epoch = length, seed, 0

    def set_epoch(self, epoch: int) -> None:  # Lightning calls it
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(1000 * self.seed + self.epoch)
        return iter(torch.randperm(self.length, generator=generator).tolist())


def loaders(seed: int = 0) -> tuple[DataLoader[Any], DataLoader[Any], DataLoader[Any]]:
    """The 1797 digits that come with scikit-learn: 1077 to train, 120 to validate, 600 to test, always the same."""
    digits = load_digits()
    images = torch.tensor(digits.images / 16.0, dtype=torch.float32).unsqueeze(1)
    labels = torch.tensor(digits.target)
    rest, test = train_test_split(range(len(labels)), test_size=600, stratify=labels, random_state=0)
    train, val = train_test_split(rest, test_size=120, stratify=labels[rest], random_state=0)
    generator = torch.Generator().manual_seed(0)
    wrong = torch.rand(len(train), generator=generator) < WRONG_LABELS
    noisy = (labels[train] + wrong * torch.randint(1, 10, (len(train),), generator=generator)) % 10
    return (
        DataLoader(TensorDataset(images[train], noisy), batch_size=32, sampler=EpochOrder(len(train), seed)),
        DataLoader(TensorDataset(images[val], labels[val]), batch_size=60),
        DataLoader(TensorDataset(images[test], labels[test]), batch_size=300),
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
    train, val, test = loaders(args.seed)
    trainer = L.Trainer(
        max_epochs=args.epochs,
        accelerator="cpu",
        devices=args.devices,
        strategy="ddp" if args.devices > 1 else "auto",
        callbacks=[
            *([] if args.mixin else callbacks()),
            LRLogger(every_n_steps=1, metrics=["val_loss"]),
            ModelCheckpoint(every_n_epochs=5, save_on_train_epoch_end=True, save_top_k=-1, filename="{epoch}"),
        ],
        logger=TensorBoardLogger(args.logdir, name="digits"),
        log_every_n_steps=10,
        val_check_interval=0.5,  # of an epoch
    )
    model = Digits(SCHEDULE, RULES) if args.mixin else Digits()
    trainer.fit(model, train, val, ckpt_path=args.resume)
    # On two devices Lightning warns here that it may count some images twice; 600 divide evenly, so it does not.
    [result] = trainer.test(model, test, verbose=False)
    if trainer.is_global_zero:
        print(f"test accuracy: {result['test_acc']:.2%}")
        print(f"look at it:    tensorboard --logdir {args.logdir} --samples_per_plugin scalars=100000")


if __name__ == "__main__":  # with --devices 2 Lightning starts this file once more
    main()
