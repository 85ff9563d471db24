"""``LRScheduleMixin``: schedules for those who like to say everything in ``configure_optimizers``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch.optim import Optimizer

from lightning_lr.core.checks import instance, items, shown, suggesting
from lightning_lr.core.rules import as_rules
from lightning_lr.core.schedules.base import Schedule
from lightning_lr.scheduler import ScheduledLR


class LRScheduleMixin:
    """Adds :meth:`scheduled` to a LightningModule: ``class Net(LRScheduleMixin, L.LightningModule)``.

    It defines no hooks, so none of yours can be lost.
    """

    @suggesting
    def scheduled(
        self,
        optimizer: Optimizer | Sequence[Optimizer],
        schedule: Schedule | Sequence[Schedule] | None,
        *,
        rules: Iterable[object] = (),
        tracks: Iterable[object] = (),
        total_steps: int | Sequence[int | None] | None = None,
        steps_per_epoch: int | None = None,
        on_horizon_change: str = "keep",
        on_lr_change: str = "keep",
        on_overrun: str = "error",
        start_step: int | None = None,
    ) -> Any:
        """What ``configure_optimizers`` returns to Lightning.

        With a trainer the schedule starts when training does, and callbacks on the trainer act on the same scheduler.
        Without one it starts at once, and shares of the run need ``total_steps``.

        Args:
            optimizer: one optimizer, or a list of several.
            schedule: its schedule; for several optimizers a list with one for each, or one for all.
            rules: what metrics may change, for every optimizer: a list of :class:`~lightning_lr.Rule`.
            tracks: schedules for some of the groups, or for other keys: a list of :class:`~lightning_lr.Track`; for
                several optimizers a list of such lists.
            total_steps: updates of the whole run; for several optimizers a list, or one number for all.
            steps_per_epoch, on_horizon_change, on_lr_change, on_overrun, start_step: see
                :class:`~lightning_lr.ScheduledLR`.

        Returns:
            ``{"optimizer": …, "lr_scheduler": {"scheduler": ScheduledLR, "interval": "step"}}``, or a list of these.

        Raises:
            ValueError: another number of schedules than of optimizers; what :class:`~lightning_lr.ScheduledLR` refuses.
        """
        settings: dict[str, Any] = {
            "rules": as_rules(rules, "LRScheduleMixin.scheduled: rules"),
            "steps_per_epoch": steps_per_epoch,
            "on_horizon_change": on_horizon_change,
            "on_lr_change": on_lr_change,
            "on_overrun": on_overrun,
            "start_step": start_step,
        }
        trainer = getattr(self, "_trainer", None)
        if trainer is not None:
            _put_in_front(trainer)
        if isinstance(optimizer, Optimizer):
            return _pair(trainer, optimizer, schedule, tracks=tracks, total_steps=total_steps, **settings)
        where, what = "LRScheduleMixin.scheduled: optimizer", "a torch.optim.Optimizer or a list of them"
        optimizers = [instance(one, Optimizer, where, what) for one in items(optimizer, where, what)]
        if not optimizers:
            raise ValueError(f"{where} must be {what}, got {shown(optimizer)}")
        tracks = items(tracks, "LRScheduleMixin.scheduled: tracks", "a list of lists of tracks, one for each optimizer")
        several = isinstance(schedule, Sequence)
        schedules = list(schedule) if isinstance(schedule, Sequence) else [schedule] * len(optimizers)
        totals = list(total_steps) if isinstance(total_steps, Sequence) else [total_steps] * len(optimizers)
        beside = tracks or [()] * len(optimizers)
        if not len(optimizers) == len(schedules) == len(totals) == len(beside):
            raise ValueError(
                f"LRScheduleMixin.scheduled: {len(optimizers)} optimizers need as many schedules, total_steps and "
                f"lists of tracks, got {len(schedules) if several else 'one'}, {len(totals)} and {len(beside)}"
            )
        each = zip(optimizers, schedules, totals, beside, strict=True)
        return [_pair(trainer, o, s, tracks=more, total_steps=n, **settings) for o, s, n, more in each]


def _pair(trainer: Any, optimizer: Optimizer, schedule: Any, **settings: Any) -> Any:
    build = ScheduledLR if trainer is None else ScheduledLR.deferred
    scheduler = build(optimizer, schedule, **settings)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _put_in_front(trainer: Any) -> None:
    """Somebody must conduct the run; in front, so that ModelCheckpoint saves after the decision."""
    from lightning_lr.callbacks import LRController

    if not any(getattr(callback, "from_mixin", False) for callback in trainer.callbacks):
        controller = LRController()
        controller.from_mixin = True
        trainer.callbacks.insert(0, controller)
