"""A run small enough to count by hand: SGD at lr 1.0, 4 batches an epoch, the lr of every update recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader, TensorDataset

from lightning_lr import LRScheduleMixin


class Used(Callback):
    """U: the lr of every group, as ``on_before_optimizer_step`` saw it just before each update."""

    def __init__(self) -> None:
        self.groups: list[list[float]] = []

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.groups.append([float(group["lr"]) for group in optimizer.param_groups])

    @property
    def lrs(self) -> list[float]:
        return [lrs[0] for lrs in self.groups]


class Net(L.LightningModule):
    """One linear layer, batches of one number, and a validation metric that a test may script."""

    def __init__(
        self,
        batches: int = 4,
        optimizer: Callable[[Any], Any] | None = None,
        metric: Callable[[int], float] | None = None,
    ) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.batches = batches
        self.make_optimizer = optimizer
        self.metric = metric
        self.validations = 0

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.layer(batch[0]).square().mean() * 1e-3

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass

    def on_validation_epoch_end(self) -> None:
        if self.metric is not None and not self.trainer.sanity_checking:
            self.log("val_loss", self.metric(self.validations))
            self.validations += 1

    def configure_optimizers(self) -> Any:
        return self.make_optimizer(self) if self.make_optimizer else torch.optim.SGD(self.parameters(), lr=1.0)

    def loader(self, batches: int) -> Any:
        return DataLoader(TensorDataset(torch.ones(batches, 1)), batch_size=1)

    def train_dataloader(self) -> Any:
        return self.loader(self.batches)

    def val_dataloader(self) -> Any:
        return self.loader(1)


class Mixed(LRScheduleMixin, Net):
    """The same, with its schedule from the mixin."""

    def __init__(self, schedule: Any, **options: Any) -> None:
        super().__init__(batches=options.pop("batches", 4))
        self.wanted = schedule
        self.options = options

    def configure_optimizers(self) -> Any:
        return self.scheduled(torch.optim.SGD(self.parameters(), lr=1.0), self.wanted, **self.options)


def trainer(root: Path, callbacks: Sequence[Callback] = (), kind: Any = L.Trainer, **settings: Any) -> Any:
    """A quiet trainer: no logger, no progress bar, no checkpoints, no sanity check, unless a test asks for them."""
    defaults: dict[str, Any] = {
        "max_epochs": 2,
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "num_sanity_val_steps": 0,
        "limit_val_batches": 0,
    }
    return kind(default_root_dir=root, callbacks=list(callbacks), **{**defaults, **settings})


def used(root: Path, callbacks: Sequence[Callback] = (), net: Net | None = None, **settings: Any) -> list[float]:
    """The lr of every update of a fit with these callbacks."""
    watch = Used()
    ckpt = settings.pop("ckpt_path", None)
    trainer(root, [*callbacks, watch], **settings).fit(net or Net(), ckpt_path=ckpt)
    return watch.lrs
