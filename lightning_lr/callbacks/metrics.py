"""Metrics become evaluations: each result once, and the same number on every rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from lightning_lr.callbacks.ranks import gather
from lightning_lr.core.checks import did_you_mean
from lightning_lr.core.rules import Rule

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

FRESH, STALE, NEVER = 0.0, 1.0, 2.0


class Monitors:
    """The metrics that rules watch at one kind of check.

    A metric lying in ``callback_metrics`` from before is no evaluation: its tensor is compared with the one that lay
    there when the check began.

    Args:
        rules: all rules of all optimizers; those of the other check are left out.
        check: ``"validation"`` or ``"train_epoch"``.
        who: the callbacks to name in errors.
    """

    def __init__(self, rules: Sequence[Rule], check: str, who: str) -> None:
        self.check, self.who = check, who
        mine = [rule for rule in rules if rule.check == check]
        self.sync = {rule.monitor: rule.sync for rule in sorted(mine, key=lambda rule: rule.key)}
        for rule in mine:
            if self.sync[rule.monitor] != rule.sync:
                raise ValueError(
                    f"{who}: two rules on {rule.monitor!r} say sync={self.sync[rule.monitor]!r} and {rule.sync!r}: "
                    "the ranks' values become one number: give the same"
                )
        self._before: dict[str, torch.Tensor | None] = {}
        self._checks = 0
        self.resumed = False
        """Whether the run goes on from before: what it has logged then is not there, and no error."""

    def begin(self, trainer: Trainer) -> None:
        """A validation begins, or an epoch's check is over: what lies there now is old."""
        if self.sync:
            metrics = trainer.callback_metrics
            self._before = {name: metrics.get(name) for name in self.sync}

    def end(self, trainer: Trainer, factors: Sequence[float]) -> dict[str, float]:
        """The values that are new, the same on all ranks; with them the ranks compare the lr they use.

        One collective, made on every rank whatever it has measured: nobody waits for a rank that raised.

        Raises:
            ValueError: a metric was never logged, not here or not on all ranks; the ranks' lrs differ.
        """
        if not self.sync:
            return {}
        self._checks += 1
        metrics = trainer.callback_metrics
        mine = [(FRESH, lr) for lr in factors]
        for name in self.sync:
            value = metrics.get(name)
            if value is None:
                mine.append((STALE if self.resumed else NEVER, math.nan))
            else:
                mine.append((STALE if value is self._before.get(name) else FRESH, float(value)))
        ranks = self._gather(trainer, mine)
        for i in range(len(factors)):
            if len({rank[i][1] for rank in ranks}) > 1:
                raise ValueError(f"{self.who}: the ranks use different lr factors: {[rank[i][1] for rank in ranks]}")
        values: dict[str, float] = {}
        for i, name in enumerate(self.sync, start=len(factors)):
            status = [rank[i][0] for rank in ranks]
            self._refuse_missing(name, status, metrics)
            if FRESH in status:
                if STALE in status:
                    where = [r for r, s in enumerate(status) if s == FRESH]
                    raise ValueError(f"{self.who}: {name!r} has a new value on rank {where} only: log it on every rank")
                values[name] = _one([rank[i][1] for rank in ranks], self.sync[name])
            elif self._checks == 1 and self.check == "validation" and not self.resumed:
                raise ValueError(
                    f"{self.who}: {name!r} exists but this validation did not refresh it: log it in validation, or, if "
                    'it is a training metric, say check="train_epoch"'
                )
        if self.check == "train_epoch":
            self.begin(trainer)  # what is logged after this point of the epoch is seen at the next one's end
        return values

    def _refuse_missing(self, name: str, status: Sequence[float], metrics: object) -> None:
        if NEVER not in status:
            return
        if set(status) == {NEVER}:
            if self.check == "train_epoch" and self._checks == 1:
                return  # what the module logs in its own on_train_epoch_end is seen an epoch later
            available = sorted(map(str, metrics))  # type: ignore[call-overload]
            raise ValueError(
                f"{self.who}: the metric {name!r} was never logged{did_you_mean(name, available)}; available: "
                f"{', '.join(available) or 'none'}"
            )
        where = [r for r, s in enumerate(status) if s != NEVER]
        raise ValueError(f"{self.who}: the metric {name!r} was logged on rank {where} only: log it on every rank")

    def _gather(self, trainer: Trainer, mine: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
        if trainer.world_size == 1:
            return [list(mine)]
        dtype = torch.float32 if trainer.strategy.root_device.type == "mps" else torch.float64
        every = gather(trainer, self.who, torch.tensor(mine, dtype=dtype))
        return [[(row[0], row[1]) for row in rank] for rank in every]


def _one(values: Sequence[float], sync: str) -> float:
    """The ranks' values as one number; equal ones as they are."""
    if sync == "rank0" or all(value == values[0] for value in values):
        return values[0]
    if any(value != value for value in values):
        return math.nan
    return {"min": min, "max": max}[sync](values) if sync != "mean" else math.fsum(values) / len(values)
