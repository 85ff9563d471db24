"""From wishes to owners: what each optimizer's schedule is made of, and every conflict that is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from torch.optim import Optimizer

from lightning_lr.callbacks import quirks
from lightning_lr.callbacks.base import OPTIONS, LRCallback
from lightning_lr.core.checks import is_a
from lightning_lr.core.rules import Rule
from lightning_lr.core.schedules import Constant, Warmup
from lightning_lr.core.schedules.base import Schedule
from lightning_lr.core.tracks import Track
from lightning_lr.scheduler import ScheduledLR

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

_DEFAULTS = {"total_steps": None, "on_horizon_change": "keep", "on_lr_change": "keep", "on_overrun": "error"}


class Ownership(NamedTuple):
    """One optimizer's scheduler, and who wished for it."""

    optimizer_index: int
    scheduler: ScheduledLR
    who: str
    is_new: bool


def compose(trainer: Trainer, callbacks: Sequence[LRCallback], optimizers: Sequence[Optimizer]) -> list[Ownership]:
    """One ``ScheduledLR`` per optimizer that is wished about: the mixin's own, or a new one that has not started.

    Raises:
        ValueError: a wish for an optimizer that is not there, two of a kind, two owners of one lr; both are named.
    """
    names = [type(optimizer).__name__ for optimizer in optimizers]
    loggers = [c for c in callbacks if c.role == "log"]
    if len(loggers) > 1:
        raise ValueError(f"{len(loggers)} LRLogger callbacks are on the trainer; keep one, with the settings of both")
    for callback in callbacks:
        if not any(callback.concerns(i, name) for i, name in enumerate(names)):
            listed = ", ".join(f"{i} ({name})" for i, name in enumerate(names)) or "none"
            raise ValueError(
                f"{type(callback).__name__}: optimizer={callback.optimizer!r} is not there; the module has: {listed}"
            )
    owned = quirks.owned(trainer)
    _refuse_hidden(trainer, callbacks, optimizers, owned)
    owners = []
    for i, (optimizer, name) in enumerate(zip(optimizers, names, strict=True)):
        wishes = [c for c in callbacks if c.role != "log" and not c.from_mixin and c.concerns(i, name)]
        ours = [s for o, s in owned if o is optimizer and isinstance(s, ScheduledLR)]
        if wishes or ours:
            rates = [wish for wish in wishes if wish.key == "lr"]
            if rates or any(track.key == "lr" for scheduler in ours for track in scheduler.live):
                _refuse_others(trainer, rates, optimizer, owned)  # another number leaves the lr to whom it belongs
            owners.append(_own(i, optimizer, wishes, ours, quirks.adds_groups(trainer)))
    return owners


def _refuse_hidden(
    trainer: Trainer, callbacks: Sequence[LRCallback], optimizers: Sequence[Any], owned: Sequence[tuple[Optimizer, Any]]
) -> None:
    """An engine such as DeepSpeed hides the optimizer, and calls it once for each group: its updates have no hook."""
    hidden = [type(optimizer).__name__ for optimizer in optimizers if not isinstance(optimizer, Optimizer)]
    who = [type(c).__name__ for c in callbacks if c.says_something and not c.from_mixin]
    if any(isinstance(scheduler, ScheduledLR) for _, scheduler in owned):
        who.insert(0, "LRScheduleMixin")
    if hidden and who:
        raise ValueError(
            f"{' + '.join(dict.fromkeys(who))}: {type(trainer.strategy).__name__} has put {hidden[0]} in the place of "
            "the optimizer; it is no torch.optim.Optimizer and does not tell when it updates, so no schedule can keep "
            "its time: use the engine's own scheduler, or a strategy that leaves the optimizer as it is (FSDPStrategy, "
            "ModelParallelStrategy, DDPStrategy)"
        )


class _Part:
    """What is said about the same groups and key: at most one warmup and one schedule, any number of rules."""

    def __init__(self, key: str, groups: Any) -> None:
        self.key, self.groups = key, groups
        self.warmup: LRCallback | None = None
        self.body: Schedule | None = None
        self.source = ""
        self.rules: list[Rule] = []
        self._owner_of: dict[str, object] = {}

    def takes(self, wish: LRCallback) -> None:
        """A callback's wish."""
        if wish.role == "warmup":
            if self.warmup is not None:
                raise _two_of_a_kind(self.warmup, wish, "keep one")
            self.warmup = wish
        if wish.role == "schedule":
            self.runs_through(wish.schedule, repr(wish))
        self.follows(wish.rules, wish)

    def runs_through(self, schedule: Schedule | None, source: str) -> None:
        """A schedule, and who says so."""
        if self.body is not None and schedule is not None:
            raise _two_of_a_kind(self.source, source, "remove one of them, or join their phases with >>")
        if schedule is not None:
            self.body, self.source = schedule, source

    def follows(self, rules: Sequence[Rule], owner: object) -> None:
        """Rules, and who says so."""
        for rule in rules:
            other = self._owner_of.setdefault(rule.key, owner)
            if other is not owner:
                fix = f"both {rule.do.kind} by {rule.monitor!r}: keep one, or join their detectors with | or &"
                raise _two_of_a_kind(other, owner, fix)
            self.rules.append(rule)

    def track(self, general: _Part) -> Track:
        """As a track: where it says nothing about a warmup or a schedule, it has those of the general part."""
        warmup = self.warmup or general.warmup
        body, source = (self.body, self.source) if self.body is not None else (general.body, general.source)
        return Track(_joined(warmup, body, source), groups=self.groups, key=self.key, rules=self.rules)


def _two_of_a_kind(one: object, other: object, fix: str) -> ValueError:
    both = " and ".join(item if isinstance(item, str) else repr(item) for item in (one, other))
    return ValueError(f"{both} are two of a kind for one optimizer: {fix}, or give each its own optimizer= or groups=")


def tracks_of(wishes: Sequence[LRCallback], written: Sequence[Track]) -> list[Track]:
    """The wishes, and what ``configure_optimizers`` wrote, as one track for each set of groups and key."""
    parts: dict[tuple[str, Any], _Part] = {}

    def part(key: str, groups: Any) -> _Part:
        return parts.setdefault((key, groups), _Part(key, groups))

    for track in written:
        mine = part(track.key, track.groups)
        mine.runs_through(track.schedule, f"the schedule of configure_optimizers ({track.schedule!r})")
        mine.follows(track.rules, "the rules of configure_optimizers")
    for wish in wishes:
        part(wish.key, wish.groups).takes(wish)
    return [p.track(parts.get((p.key, None), p)) for p in parts.values()]


def _own(
    index: int,
    optimizer: Optimizer,
    wishes: Sequence[LRCallback],
    ours: Sequence[ScheduledLR],
    groups_may_come: bool,
) -> Ownership:
    if len(ours) > 1:
        raise ValueError(
            f"configure_optimizers returned {len(ours)} ScheduledLR for {type(optimizer).__name__}; keep one of them"
        )
    written = ours[0].tracks if ours else ()
    saying = [wish for wish in wishes if wish.says_something]
    tracks = tracks_of(saying, written) if saying else list(written) or [Track()]
    options = options_of(wishes)
    who = " + ".join(dict.fromkeys([*(["LRScheduleMixin"] if ours else []), *(type(w).__name__ for w in wishes)]))
    try:
        scheduler = ours[0] if ours else ScheduledLR.deferred(optimizer, tracks=tracks, **options)
        if tuple(tracks) != scheduler.tracks:
            scheduler.tracks = tuple(tracks)
        scheduler.groups_may_come = groups_may_come
        scheduler.refuse_unknown_groups()
    except ValueError as error:
        raise ValueError(f"{who}: {error}") from None
    for field, value in options.items() if ours else ():
        if scheduler.started:
            raise ValueError(
                f"{who}: {field}= comes too late, configure_optimizers built a scheduler that runs already"
            )
        mine = getattr(scheduler, field)
        if mine not in (None, _DEFAULTS.get(field)) and mine != value:
            raise ValueError(
                f"{who}: {field} is {mine!r} in configure_optimizers and {value!r} in a callback: keep one"
            )
        setattr(scheduler, field, value)
    return Ownership(index, scheduler, who, not ours)


def _joined(warmup: LRCallback | None, schedule: Schedule | None, source: str) -> Schedule:
    if warmup is None:
        return Constant() if schedule is None else schedule
    assert warmup.schedule is not None
    if schedule is None:
        return warmup.schedule
    if isinstance(schedule.phases[0], Warmup):
        raise ValueError(
            f"{warmup!r} and {source} both say how to warm up ({schedule.phases[0]!r}): remove the callback, or "
            "the schedule's own warmup"
        )
    return warmup.schedule >> schedule


def options_of(wishes: Sequence[LRCallback]) -> dict[str, Any]:
    """What the wishes say about the run; two that say different things are refused."""
    said: dict[str, tuple[LRCallback, Any]] = {}
    for wish in wishes:
        for field in OPTIONS:
            value = getattr(wish, field)
            if value is None:
                continue
            other, before = said.setdefault(field, (wish, value))
            if before != value:
                raise ValueError(
                    f"{other!r} says {field}={before!r} and {wish!r} says {field}={value!r} for the same "
                    "optimizer: give it once"
                )
    return {field: value for field, (_, value) in said.items()}


def _refuse_others(
    trainer: Trainer, wishes: Sequence[LRCallback], optimizer: Optimizer, owned: Sequence[tuple[Optimizer, Any]]
) -> None:
    who = " + ".join(map(repr, wishes)) or "LRScheduleMixin"
    for other, scheduler in owned:
        if other is optimizer and not isinstance(scheduler, ScheduledLR):
            raise ValueError(
                f"{who} and {type(scheduler).__name__} (from configure_optimizers) both own the lr of "
                f"{type(optimizer).__name__}, and would overwrite each other's: return the optimizer alone from "
                "configure_optimizers, or remove the callback"
            )
    finders = [c for c in trainer.callbacks if is_a(c, "LearningRateFinder")]  # type: ignore[attr-defined]
    if hasattr(optimizer.step, "_wrapped_by_lr_sched") and not finders:  # a finder builds one, and is done with it
        raise ValueError(
            f"{who} and a torch LR scheduler that was built on this {type(optimizer).__name__}, but not returned from "
            "configure_optimizers, both own its lr: do not build that scheduler, or remove the callback"
        )
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if is_a(callback, "StochasticWeightAveraging"):
            raise ValueError(
                f"{who} and StochasticWeightAveraging both own the lr of {type(optimizer).__name__}: SWA replaces the "
                "scheduler in the middle of the run; remove it, and end the schedule with Constant(…, factor=…) "
                "beside EMAWeightAveraging or WeightAveraging, which leave the lr alone"
            )


def advice(trainer: Trainer, owners: Sequence[Ownership]) -> list[str]:
    """What will probably not do what it was meant to."""
    out = []
    for owner, rules in [(one, track.rules) for one in owners for track in one.scheduler.live]:
        for rule in rules:
            patience = getattr(rule.when, "patience", None)
            if rule.do.kind != "reduce" or patience is None:
                continue
            for other in rules:
                longer = getattr(other.when, "patience", patience + 1)
                if other.do.kind == "restart" and other.monitor == rule.monitor and longer <= patience:
                    out.append(
                        f"{owner.who}: the restart's patience {longer} on {rule.monitor!r} is not larger than the "
                        f"reduction's, {patience}: the lr will be restarted before it was ever reduced"
                    )
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                stops = is_a(callback, "EarlyStopping") and callback.monitor == rule.monitor
                if stops and callback.patience <= patience + 1:
                    out.append(
                        f"{owner.who}: EarlyStopping's patience {callback.patience} on {rule.monitor!r} leaves a "
                        f"reduction after {patience + 1} bad evaluations no time to help: give it a larger one"
                    )
    return list(dict.fromkeys(out))
