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
        schedule: Schedule | Sequence[Schedule] | None,
        *,
        rules: Iterable[object] = (),
        tracks: Iterable[object] = (),
        total_steps: int | Sequence[int | None] | None = None,
        **settings: Any,
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
            **settings: as :class:`~lightning_lr.ScheduledLR` takes them: ``on_horizon_change``, ``on_lr_change``,
                ``on_overrun``, ``start_step``, ``steps_per_epoch``.

        Returns:
            ``{"optimizer": …, "lr_scheduler": {"scheduler": ScheduledLR, "interval": "step"}}``, or a list of these.

        Raises:
            ValueError: another number of schedules than of optimizers.
        """
        settings["rules"] = tuple(rules)
        trainer = getattr(self, "_trainer", None)
        if trainer is not None:
            _put_in_front(trainer)
        if isinstance(optimizer, Optimizer):
            return _pair(trainer, optimizer, schedule, tracks=tracks, total_steps=total_steps, **settings)
        optimizers, tracks = list(optimizer), list(tracks)
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
