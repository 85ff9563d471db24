"""The callback that a sweep puts into a user's Trainer."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback
from torch.nn.parameter import UninitializedParameter

from lightning_lr.callbacks import LRController, LRLogger

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from torch import nn

    from lightning_lr.core.schedules.base import Schedule


def scheduled(schedule: Schedule | None) -> list[Callback]:
    """The callbacks that follow a schedule without a word: no plan on the screen for each of many runs, no logs."""
    if schedule is None:
        return []
    quiet = LRLogger(plan=False, layout=False, figures=False, progress_bar=False)
    return [LRController(schedule, log=False), quiet]


class Watch(Callback):
    """Keeps a metric's value after every validation, and all metrics at the end; NaN or inf ends the run, in the metric
    or in the weights (an accuracy is a number even then).

    Args:
        metric: its name in ``trainer.callback_metrics``.
    """

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.curve: list[tuple[int, float]] = []
        self.metrics: dict[str, Any] | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep it; the sanity check and ``trainer.validate()`` are no part of the curve."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self._refuse_weights(trainer, pl_module)
        if self.metric not in trainer.callback_metrics:
            return
        value = float(trainer.callback_metrics[self.metric])
        if not math.isfinite(value):
            raise FloatingPointError(f"{self.metric} is {value} after update {trainer.global_step}")
        self.curve.append((trainer.global_step, value))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """All metrics, as they are now: the trainer may validate or test later."""
        self._refuse_weights(trainer, pl_module)
        self.metrics = dict(trainer.callback_metrics)

    @staticmethod
    def _refuse_weights(trainer: Trainer, pl_module: LightningModule) -> None:
        why = not_finite(pl_module)
        if why is not None:
            raise FloatingPointError(f"{why} after update {trainer.global_step}")


def not_finite(module: nn.Module) -> str | None:
    """Which weights are NaN or inf, if any are.

    >>> from torch import nn
    >>> net = nn.Linear(2, 1)
    >>> not_finite(net)
    >>> _ = nn.init.constant_(net.bias, float("nan"))
    >>> not_finite(net)
    'bias is not finite'
    """
    for name, weights in module.named_parameters():
        if not isinstance(weights, UninitializedParameter) and not bool(weights.detach().isfinite().all()):
            return f"{name} is not finite"
    return None


_KNOWN = (
    "The '.*dataloader' does not have many workers",
    "The number of training batches",
    ".*LeafSpec",
    "LightningCLI's args parameter",
    r"(?s).*was deprecated in v4\.\d+",  # jsonargparse, of what LightningCLI calls
    r"(?s).*only one JsonargparseDeprecationWarning",
)


@contextmanager
def quietly() -> Iterator[None]:
    """Without what Lightning says of every run: devices, tips, and advice about loaders."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "pytorch_lightning")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for text in _KNOWN:
            warnings.filterwarnings("ignore", text)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
