"""The conductor: one per fit. It turns the callbacks' wishes into one ``ScheduledLR`` per optimizer.

No callback computes a learning rate and none keeps any state: everything that must survive lies in the schedulers'
own state, which Lightning saves and restores.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from lightning_lr.callbacks import quirks
from lightning_lr.callbacks.base import LRCallback
from lightning_lr.callbacks.compose import Ownership, advice, compose
from lightning_lr.callbacks.metrics import Monitors
from lightning_lr.callbacks.ranks import agree, plan_of, waiting
from lightning_lr.callbacks.reporter import Reporter
from lightning_lr.core.durations import Horizon
from lightning_lr.core.native import name_of, together
from lightning_lr.core.rules import CHECKS
from lightning_lr.core.state import is_ours
from lightning_lr.core.tracks import Track
from lightning_lr.reporting.names import optimizer_names
from lightning_lr.scheduler import ScheduledLR
from lightning_lr.track import held

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

_EARLIER: weakref.WeakKeyDictionary[Any, tuple[Any, list[dict[str, Any]]]] = weakref.WeakKeyDictionary()
"""Per trainer, the module and the schedulers' states of its fit before: a second fit goes on from there."""


class Conductor:
    """Gathers the wishes at fit start, starts the schedulers when training starts, hands the metrics over.

    Raises:
        ValueError: two wishes, or a wish and somebody else's scheduler, say different things about one optimizer.
    """

    def __init__(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.callbacks = [c for c in trainer.callbacks if isinstance(c, LRCallback)]  # type: ignore[attr-defined]
        self.automatic = pl_module.automatic_optimization
        self.optimizers = list(trainer.optimizers)
        saved = quirks.saved_schedulers(trainer)
        self._native = [state for state in saved if isinstance(state, Mapping) and not is_ours(state)]
        self.owners: list[Ownership] = compose(trainer, self.callbacks, self.optimizers)
        self.groups_may_have_changed = False
        self.reporter = Reporter(self.callbacks)
        self._ours: list[ScheduledLR] = []
        self.who = " + ".join(dict.fromkeys(owner.who for owner in self.owners)) or "LRLogger"
        rules = [rule for scheduler in self.schedulers for rule in scheduler.rules]
        self.monitors = {check: Monitors(rules, check, self.who) for check in CHECKS}
        self._updates_before: list[int] | None = None  # when the epoch began, if this run has seen it begin
        self._warned: set[str] = set()
        for owner in self.owners:
            owner.scheduler.optimizer_index = owner.optimizer_index
            owner.scheduler.listener = None
            owner.scheduler.who = owner.who
            if owner.is_new:
                quirks.attach(trainer, owner.scheduler)
        quirks.spare_steps(trainer, pl_module, self.schedulers)

    @property
    def schedulers(self) -> list[ScheduledLR]:
        """The schedulers in the order of their optimizers; an optimizer that nobody wishes about has none."""
        return [owner.scheduler for owner in self.owners]

    # ---- the start --------------------------------------------------------------------------------------------------

    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The run's length is known and everything is restored: resolve, write the first lr, print the plan."""
        self._length = quirks.run_horizon(trainer, self.automatic)  # as this rank sees it
        with waiting(self.who):
            run = Horizon(*trainer.strategy.broadcast(self._length.state()))
        refused = None
        try:
            self._start_schedulers(trainer, pl_module, run)
        except ValueError as error:
            refused = error  # the other ranks are to hear of it
        actions = [callback.on_resume for callback in self.callbacks if callback.on_resume is not None]
        agree(trainer, self.who, lambda: plan_of(self.owners, actions), refused)
        self.groups_may_have_changed = True
        for message in advice(trainer, self.owners):
            rank_zero_warn(message)
        self.reporter.begin(trainer, self.owners, self.optimizers)
        for monitors in self.monitors.values():
            monitors.resumed = any(scheduler.resumed for scheduler in self.schedulers)
            monitors.begin(trainer)
        self._branch(trainer)
        self._make_up(trainer)
        watched = self.monitors["train_epoch"].sync
        if any(scheduler.resumed for scheduler in self.schedulers) and quirks.begin_next_epoch(trainer) and watched:
            rank_zero_warn(
                f"{self.monitors['train_epoch'].who}: the checkpoint was written before the end of an epoch whose "
                f"{', '.join(watched)} was to be checked; its training metrics are not in it, and a decision may be "
                "lost: save at the end of an epoch, or watch a validation metric"
            )

    def _start_schedulers(self, trainer: Trainer, pl_module: LightningModule, run: Horizon) -> None:
        watched = self.monitors["validation"].sync
        if watched and not quirks.validates(trainer):
            raise ValueError(
                f"{self.monitors['validation'].who}: {', '.join(watched)} is watched at each validation, but this run "
                "has none: give a validation loader and step, and a check_val_every_n_epoch that is not larger than "
                'max_epochs, or say check="train_epoch"'
            )
        self._deliver_states()
        self._resume_within(trainer, pl_module)
        for owner in self.owners:
            scheduler = owner.scheduler
            if scheduler.started:
                continue  # the user's own, built in configure_optimizers
            self._ours.append(scheduler)
            if dropped := scheduler.without_state():
                rank_zero_warn(dropped)
            self._settle_start(trainer, owner)
            if trainer.fast_dev_run:  # type: ignore[attr-defined]
                scheduler.on_overrun = "cut"
            try:
                notes = scheduler.start(self._horizon_of(scheduler, run))
            except ValueError as error:
                raise ValueError(f"{owner.who}: {error}") from None
            for note in () if trainer.fast_dev_run else notes:  # type: ignore[attr-defined]
                rank_zero_warn(f"{owner.who}: {note}")

    def _branch(self, trainer: Trainer) -> None:
        """What the user wants done once when a run goes on from a checkpoint: a cooldown from here, say."""
        if quirks.resumes_from(trainer) is None:
            return
        for owner in self.owners:
            done = {event.rule for event in owner.scheduler.events}
            run = owner.scheduler.run_horizon
            name = type(owner.scheduler.optimizer).__name__
            for callback in self.callbacks:
                action = callback.on_resume if callback.concerns(owner.optimizer_index, name) else None
                about = Track(groups=callback.groups, key=callback.key).id
                asked = f"on_resume={action!r}" + ("" if about == "lr" else f" of {about}")
                if action is None or asked in done or not owner.scheduler.updates:
                    continue
                owner.scheduler.apply(
                    action, groups=callback.groups, key=callback.key, epoch=trainer.current_epoch, rule=asked
                )
                end = owner.scheduler.end_of()
                if action.kind == "cooldown" and run is not None and run.total_steps not in (None, end):
                    rank_zero_warn(
                        f"{owner.who}: {asked} ends at update {end}, the run at {run.total_steps}: give the trainer "
                        "that max_steps, or leave the cooldown's duration out"
                    )

    def _make_up(self, trainer: Trainer) -> None:
        """Lightning goes on past a validation that was due when the checkpoint was written: see it now."""
        if not any(scheduler.resumed and scheduler.rules for scheduler in self.schedulers):
            return
        batch = quirks.last_batch(trainer)
        seen = any(scheduler.checked_at == batch for scheduler in self.schedulers)
        if not self.monitors["validation"].sync or seen or not quirks.dropped_validation(trainer):
            return
        rank_zero_info("The checkpoint was written before a validation that was due: it is run now")
        quirks.validate_now(trainer)

    def _horizon_of(self, scheduler: ScheduledLR, run: Horizon) -> Horizon:
        """The run's length for one optimizer; in manual optimization it is a guess, made only where it is needed."""
        total = scheduler.total_steps or run.total_steps
        if scheduler.total_steps is None and not self.automatic and not _needs_length(scheduler, run):
            total = None
        return Horizon(total, scheduler.steps_per_epoch or run.steps_per_epoch)

    def _deliver_states(self) -> None:
        """Lightning hands states out by position; each says which optimizer it is about."""
        strays = [s.misdelivered for s in self.schedulers if s.misdelivered is not None]
        for state in strays:
            for owner in self.owners:
                if owner.optimizer_index == state["optimizer"] and not owner.scheduler.resumed:
                    owner.scheduler.load_state_dict(state)

    def _resume_within(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A second fit of the same module on the same trainer goes on where the first one ended."""
        module, states = _EARLIER.get(trainer, (None, []))
        if module is None or module() is not pl_module or quirks.resumes_from(trainer) is not None:
            return
        for owner in self.owners:
            for state in states:
                if (
                    state["optimizer"] == owner.optimizer_index
                    and not owner.scheduler.resumed
                    and not owner.scheduler.started
                ):
                    owner.scheduler.load_state_dict(state)

    def _settle_start(self, trainer: Trainer, owner: Ownership) -> None:
        """A run that goes on from a checkpoint without a state of ours: where is the schedule?"""
        scheduler = owner.scheduler
        restored = quirks.resumes_from(trainer) is not None and trainer.global_step > 0
        if restored and scheduler.foreign_state is not None and not scheduler.resumed:
            if len(self.optimizers) == 1:  # Lightning has handed over the first state only
                scheduler.foreign_state = together(self._native) or scheduler.foreign_state
            elif len(self._native) > len(self.optimizers):
                self._warn_once(
                    f"{owner.who}: the checkpoint holds {len(self._native)} states of native schedulers "
                    f"({', '.join(map(name_of, self._native))}) for {len(self.optimizers)} optimizers, and does not "
                    "say which is whose: compare the first lrs with those that you expect",
                    key="native",
                )
        if scheduler.resumed or scheduler.start_step is not None or not restored:
            return  # without a checkpoint a new optimizer has made no updates, whatever the trainer has counted
        if not self.automatic or len(self.optimizers) > 1:
            raise ValueError(
                f"{owner.who}: training goes on at global_step {trainer.global_step}, but the checkpoint holds no "
                f"state of this schedule, and global_step counts the updates of all {len(self.optimizers)} "
                "optimizers, or those of manual optimization: say how many updates this one has made with start_step="
            )
        scheduler.start_step = trainer.global_step
        state = scheduler.foreign_state
        instead = "" if state is None else f", but one of {name_of(state)}, whose peak is taken over"
        rank_zero_warn(
            f"{owner.who}: the checkpoint holds no state of this schedule{instead}; it starts at update "
            f"{trainer.global_step} (global_step): start_step= would say otherwise"
        )

    # ---- during the run ---------------------------------------------------------------------------------------------

    def before_update(self, trainer: Trainer) -> None:
        """Make sure of the lr that the coming update uses, then log it."""
        for owner in self.owners:
            if owner.scheduler.groups_changed() or owner.scheduler.overwritten():
                self.check_groups()
        if self.reporter.boards:
            self.reporter.before_update(trainer)

    def validation_starts(self, trainer: Trainer) -> None:
        """What lies in ``callback_metrics`` now is not this validation's."""
        self.monitors["validation"].begin(trainer)
        self.reporter.validation_starts(trainer)

    def validation_ends(self, trainer: Trainer) -> None:
        """Each result once; what the sanity check measured counts for nothing."""
        if trainer.sanity_checking:
            return
        self._evaluate(trainer, "validation")
        for scheduler in self.schedulers:
            scheduler.checked_at = quirks.last_batch(trainer)
        self.reporter.log_metrics(trainer)

    def _evaluate(self, trainer: Trainer, check: str) -> None:
        """Every rank decides on the identical numbers, so every rank decides the same."""
        monitors = self.monitors[check]
        factors = [factor for scheduler in self.schedulers if scheduler.started for factor in scheduler.factors]
        values = monitors.end(trainer, factors)
        for owner in self.owners:
            watched = {rule.monitor for rule in owner.scheduler.rules if rule.check == check}
            mine = {name: value for name, value in values.items() if name in watched}
            if not mine:
                continue
            try:
                owner.scheduler.evaluate(mine, check=check, epoch=trainer.current_epoch)
            except ValueError as error:
                raise ValueError(f"{owner.who}: {error}") from None

    def epoch_starts(self, trainer: Trainer) -> None:
        """Callbacks such as BaseFinetuning add groups, or write an lr of their own, at this point."""
        self.groups_may_have_changed = True
        self._updates_before = [scheduler.updates for scheduler in self.schedulers]
        self._check_length(trainer)
        for owner in self.owners:
            scheduler = owner.scheduler
            for track in scheduler.live:
                end = track.end() if track.key == "lr" and track.members else None
                extended = scheduler.run_horizon != track.horizon  # a zero that was planned is in the plan
                if extended and end is not None and scheduler.updates >= end and track.factor == 0:
                    rank_zero_warn(f"{owner.who}: {track.title} ended at update {end}; this epoch trains with lr 0")

    def _check_length(self, trainer: Trainer) -> None:
        """Dataloaders that are reloaded may come with another length than the plan was made for."""
        before, now = self._length, quirks.run_horizon(trainer, self.automatic)
        for owner in self.owners:
            if now != before and owner.scheduler.total_steps is None and _needs_length(owner.scheduler, before):
                self._warn_once(
                    f"{owner.who}: this epoch has another number of updates ({now.steps_per_epoch}) than the schedule "
                    f"was made for ({before.steps_per_epoch}), and ends elsewhere than the run: give total_steps=",
                    key=f"length/{owner.optimizer_index}",
                )

    def first_batch(self, trainer: Trainer) -> None:
        """Of an epoch, or of a run that goes on within one."""
        if any(scheduler.resumed for scheduler in self.schedulers):
            quirks.accumulate_again(trainer)
        self.check_groups()

    def check_groups(self) -> None:
        """Before an epoch's first update: take new groups in; one owner writes the lr, and that is the scheduler."""
        self.groups_may_have_changed = False
        for owner in self.owners:
            scheduler = owner.scheduler
            for track in scheduler.live:
                for i, base in track.started_from():
                    value = held(scheduler.optimizer.param_groups[i], track.key)
                    found, mine = float(value), base * track.factor
                    if not _same(found, mine, value):
                        self._warn_once(
                            f"{owner.who}: something else set the {track.key} of group {i} to {found:g}; the schedule "
                            f"owns it and keeps {mine:g} (reported once per group)",
                            key=f"{owner.optimizer_index}/{track.key}/{i}",
                        )
            scheduler.rewrite()

    def epoch_ends(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluate; in manual optimization, compare the epoch's updates with what was assumed."""
        self._evaluate(trainer, "train_epoch")
        self.reporter.log_metrics(trainer, epoch_end=True)
        before, self._updates_before = self._updates_before, None
        if self.automatic or before is None or not quirks.epoch_is_complete(trainer):
            return
        names = optimizer_names([type(optimizer).__name__ for optimizer in self.optimizers])
        for owner, began in zip(self.owners, before, strict=True):
            run, seen = owner.scheduler.run_horizon, owner.scheduler.updates - began
            if owner.scheduler.total_steps is None and run and run.total_steps and seen != run.steps_per_epoch:
                epochs = trainer.max_epochs or 0
                right = f"total_steps={seen * epochs}" if epochs > 0 else "total_steps="
                self._warn_once(
                    f"{owner.who}: {names[owner.optimizer_index]} made {seen} updates in an epoch of manual "
                    f"optimization, and the schedule assumed one per batch, {run.steps_per_epoch}: give {right}",
                    key=f"manual/{owner.optimizer_index}",
                )

    def end(self, trainer: Trainer) -> None:
        """The curve ends with the last lr that was used."""
        self.reporter.end(trainer)

    def close(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let go of the optimizers; remember where they were, for another fit of the same module."""
        self.reporter.close()
        started = [scheduler for scheduler in self.schedulers if scheduler.started]
        if started:
            _EARLIER[trainer] = (weakref.ref(pl_module), [scheduler.state_dict() for scheduler in started])
        for scheduler in self.schedulers:
            scheduler.listener = None
        for scheduler in self._ours:  # one that the user has started goes on
            scheduler.release()
        if any(callback.from_mixin for callback in self.callbacks):  # a new list: Lightning is iterating over this one
            kept = [c for c in trainer.callbacks if not getattr(c, "from_mixin", False)]  # type: ignore[attr-defined]
            trainer.callbacks = kept  # type: ignore[attr-defined]

    def _warn_once(self, message: str, key: str) -> None:
        if key not in self._warned:
            self._warned.add(key)
            rank_zero_warn(message)


def _same(found: float, expected: float, value: Any) -> bool:
    tolerance = 1e-6 if isinstance(value, torch.Tensor) else 1e-12  # a float32 tensor holds seven digits
    return abs(found - expected) <= tolerance * max(abs(found), abs(expected))


def _needs_length(scheduler: ScheduledLR, run: Horizon) -> bool:
    """Whether the schedule, or one of its rules, cannot do without the run's total."""
    unknown = Horizon(None, run.steps_per_epoch)
    try:
        for track in scheduler.live:
            track.schedule.resolve(unknown)
        for rule in scheduler.rules:
            rule.do.check(unknown)
            rule.active(0, unknown)
    except ValueError:
        return True
    return False
