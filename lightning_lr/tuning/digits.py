"""A small task on real data: the 1797 digits that come with scikit-learn, and a network of one hidden layer.

A run of ten epochs takes about a second on one core. A third of the images validates; with folds each third does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lightning_lr.core.checks import did_you_mean, number, whole
from lightning_lr.core.durations import Horizon
from lightning_lr.tuning.point import Point
from lightning_lr.tuning.watch import quietly, scheduled

FOLDS = 3
MODEL_PARAMETERS = ("lr", "optimizer", "hidden", "weight_decay", "momentum")


@functools.cache
def images() -> tuple[Tensor, Tensor]:
    """All images as rows of 64 numbers in [0, 1], and their labels.

    Raises:
        ImportError: scikit-learn is not installed (the extra ``tune``).
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    return torch.tensor(digits.data / 16.0, dtype=torch.float32), torch.tensor(digits.target)


@functools.cache
def split(fold: int = 0, folds: int = FOLDS) -> tuple[Tensor, Tensor]:
    """The places of the images that train and of those that validate, the classes in equal shares.

    >>> train, val = split()
    >>> len(train), len(val), len(set(train.tolist()) & set(val.tolist()))
    (1198, 599, 0)
    """
    from sklearn.model_selection import StratifiedKFold

    data, labels = images()
    parts = list(StratifiedKFold(folds, shuffle=True, random_state=0).split(data, labels))
    return torch.tensor(parts[fold][0]), torch.tensor(parts[fold][1])


class Batches:
    """Batches of tensors in memory: what a DataLoader gives, without one.

    Args:
        data: the rows.
        labels: of each row.
        size: rows of a batch.
        seed: orders the rows anew in every epoch; ``None`` keeps their order.
    """

    def __init__(self, data: Tensor, labels: Tensor, size: int, seed: int | None = None) -> None:
        self.data, self.labels, self.size = data, labels, size
        self.generator = None if seed is None else torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return -(-len(self.data) // self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        count = len(self.data)
        order = torch.arange(count) if self.generator is None else torch.randperm(count, generator=self.generator)
        for places in torch.split(order, self.size):  # type: ignore[no-untyped-call, unused-ignore]
            yield self.data[places], self.labels[places]


def loaders(
    batch_size: int = 32, seed: int = 0, fold: int | None = None, folds: int | None = None
) -> tuple[Batches, list[Batches]]:
    """Training batches, and two sets to validate: the held-out images and the training images."""
    data, labels = images()
    train, val = split(fold or 0, folds or FOLDS)
    whole_sets = [Batches(data[places], labels[places], len(places)) for places in (val, train)]
    return Batches(data[train], labels[train], batch_size, seed), whole_sets


class Digits(L.LightningModule):
    """Logs ``val_loss`` and ``val_acc``, and ``train_loss`` and ``train_acc`` of the same weights.

    Args:
        lr: the optimizer's, the peak of any schedule.
        optimizer: a name in ``torch.optim``.
        hidden: units of the hidden layer.
        **options: go to the optimizer, such as ``momentum=0.9``.
    """

    def __init__(self, lr: float = 0.1, optimizer: str = "SGD", hidden: int = 64, **options: Any) -> None:
        super().__init__()
        self.lr, self.optimizer, self.options = lr, optimizer_class(optimizer), options
        self.net = nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        scores = self.net(batch[0])
        of = "train" if dataloader_idx else "val"
        accuracy = (scores.argmax(1) == batch[1]).float().mean()
        values = {f"{of}_loss": cross_entropy(scores, batch[1]), f"{of}_acc": accuracy}
        self.log_dict(values, add_dataloader_idx=False, batch_size=len(batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(self.parameters(), lr=self.lr, **self.options)


def optimizer_class(name: str) -> Callable[..., torch.optim.Optimizer]:
    """The optimizer of this name in ``torch.optim``.

    >>> optimizer_class("Adamm")
    Traceback (most recent call last):
    ValueError: torch.optim has no optimizer 'Adamm'; did you mean 'Adam'?
    """
    known = {
        key: value
        for key, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer) and value is not torch.optim.Optimizer
    }
    if name not in known:
        hint = did_you_mean(name, known) or f"; there is {', '.join(known)}"
        raise ValueError(f"torch.optim has no optimizer {name!r}{hint}")
    return known[name]


@dataclass(frozen=True)
class Task:
    """Trains on the digits; what :func:`~lightning_lr.tuning.sweep` calls at each point.

    ``lr``, ``optimizer``, ``hidden``, ``weight_decay``, ``momentum`` and ``batch_size`` may be parameters of the point.
    Its schedule, if it has one, is the lr's.

    Args:
        epochs: of each run.
        lr: where the point has none.
        optimizer: a name in ``torch.optim``, where the point has none.
        hidden: units of the hidden layer, where the point says nothing.
        batch_size: the same.

    >>> from lightning_lr.tuning import sweep
    >>> found = sweep(Task(epochs=1), {"lr": [0.01, 0.1]})
    >>> found.best.params, found.best.mean < 2.2
    ({'lr': 0.1}, True)
    """

    epochs: int = 10
    lr: float = 0.1
    optimizer: str = "SGD"
    hidden: int = 64
    batch_size: int = 32

    def settings(self, point: Point) -> dict[str, Any]:
        """What the point and the task's own values make together."""
        given = {name: point.params[name] for name in (*MODEL_PARAMETERS, "batch_size") if name in point.params}
        own = {name: getattr(self, name) for name in ("lr", "optimizer", "hidden", "batch_size")}
        return {**own, **given}

    def check(self, point: Point) -> None:
        """Whether it can be trained: an optimizer and sizes that exist, a schedule that fits the run."""
        settings = self.settings(point)
        number(settings["lr"], "lr", low=0, low_open=True)
        optimizer_class(settings["optimizer"])
        for name in ("hidden", "batch_size"):
            whole(settings[name], name, low=1)
        if point.schedule is not None:
            train, _ = loaders(settings["batch_size"], 0, point.fold, point.folds)
            point.schedule.resolve(Horizon(self.epochs * len(train), len(train)))

    def __call__(self, point: Point) -> L.Trainer:
        settings = self.settings(point)
        train, val = loaders(settings.pop("batch_size"), point.seed, point.fold, point.folds)
        L.seed_everything(point.seed, verbose=False)
        with quietly():
            trainer = L.Trainer(
                max_epochs=self.epochs,
                accelerator="cpu",
                devices=1,
                logger=False,
                callbacks=[*point.callbacks, *scheduled(point.schedule)],
                enable_progress_bar=False,
                enable_model_summary=False,
                enable_checkpointing=False,
                num_sanity_val_steps=0,
            )
            trainer.fit(Digits(**settings), train, val)
        return trainer
