"""``LRScheduleMixin``: schedules for those who like to say everything in ``configure_optimizers``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch.optim import Optimizer

from lightning_lr.core.schedules.base import Schedule
from lightning_lr.scheduler import ScheduledLR


class LRScheduleMixin:
    """Adds :meth:`scheduled` to a LightningModule: ``class Net(LRScheduleMixin, L.LightningModule)``.

    It defines no hooks, so none of yours can be lost.
    """

    def scheduled(
        self,
        optimizer: Optimizer | Sequence[Optimizer],
        schedule: Schedule | Sequence[Schedule],
        *,
        rules: Iterable[object] = (),
        total_steps: int | Sequence[int | None] | None = None,
    ) -> Any:
        """What ``configure_optimizers`` returns to Lightning.

        With a trainer the schedule starts when training does, and callbacks on the trainer act on the same scheduler.
        Without one it starts at once, and shares of the run need ``total_steps``.

        Args:
            optimizer: one optimizer, or a list of several.
            schedule: its schedule; for several optimizers a list with one for each.
            rules: what metrics may change: a list of :class:`~lightning_lr.Rule`.
            total_steps: updates of the whole run; for several optimizers a list, or one number for all.

        Returns:
            ``{"optimizer": …, "lr_scheduler": {"scheduler": ScheduledLR, "interval": "step"}}``, or a list of these.

        Raises:
            ValueError: another number of schedules than of optimizers.
        """
        rules = tuple(rules)
        trainer = getattr(self, "_trainer", None)
        if trainer is not None:
            _put_in_front(trainer)
        if isinstance(optimizer, Optimizer):
            return _pair(trainer, optimizer, schedule, rules, total_steps)
        optimizers = list(optimizer)
        schedules = [schedule] * len(optimizers) if isinstance(schedule, Schedule) else list(schedule)
        totals = list(total_steps) if isinstance(total_steps, Sequence) else [total_steps] * len(optimizers)
        if not len(optimizers) == len(schedules) == len(totals):
            raise ValueError(
                f"LRScheduleMixin.scheduled: {len(optimizers)} optimizers need as many schedules and total_steps, got "
                f"{len(schedules)} and {len(totals)}"
            )
        return [_pair(trainer, o, s, rules, n) for o, s, n in zip(optimizers, schedules, totals, strict=True)]


def _pair(trainer: Any, optimizer: Optimizer, schedule: Any, rules: Iterable[object], total_steps: Any) -> Any:
    build = ScheduledLR if trainer is None else ScheduledLR.deferred
    scheduler = build(optimizer, schedule, rules=rules, total_steps=total_steps)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _put_in_front(trainer: Any) -> None:
    """Somebody must conduct the run; in front, so that ModelCheckpoint saves after the decision."""
    from lightning_lr.callbacks import LRController

    if not any(getattr(callback, "from_mixin", False) for callback in trainer.callbacks):
        controller = LRController()
        controller.from_mixin = True
        trainer.callbacks.insert(0, controller)
