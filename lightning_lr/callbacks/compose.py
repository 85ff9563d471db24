"""From wishes to owners: what each optimizer's schedule is made of, and every conflict that is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lightning.pytorch.callbacks import EarlyStopping

from lightning_lr.callbacks import quirks
from lightning_lr.callbacks.base import OPTIONS, LRCallback
from lightning_lr.core.rules import Rule
from lightning_lr.core.schedules import Constant, Warmup
from lightning_lr.core.schedules.base import Schedule
from lightning_lr.scheduler import ScheduledLR

if TYPE_CHECKING:
    from lightning.pytorch import Trainer
    from torch.optim import Optimizer

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
    owners = []
    for i, (optimizer, name) in enumerate(zip(optimizers, names, strict=True)):
        wishes = [c for c in callbacks if c.role != "log" and not c.from_mixin and c.concerns(i, name)]
        ours = [s for o, s in owned if o is optimizer and isinstance(s, ScheduledLR)]
        if wishes or ours:
            _refuse_others(trainer, wishes, optimizer, owned)
            owners.append(_own(i, optimizer, wishes, ours))
    return owners


def _own(index: int, optimizer: Optimizer, wishes: Sequence[LRCallback], ours: Sequence[ScheduledLR]) -> Ownership:
    if len(ours) > 1:
        raise ValueError(
            f"configure_optimizers returned {len(ours)} ScheduledLR for {type(optimizer).__name__}; keep one of them"
        )
    warmup = _one(wishes, "warmup")
    body = _one(wishes, "schedule")
    if ours and body is not None:
        raise ValueError(
            f"{body!r} and the schedule of configure_optimizers ({ours[0].schedule!r}) both own the lr of "
            f"{type(optimizer).__name__}: remove one of them, or join them with >>"
        )
    if ours:
        schedule: Schedule | None = ours[0].schedule
    else:
        schedule = None if body is None else body.schedule
    source = "the schedule of configure_optimizers" if ours else "" if body is None else repr(body)
    whole = _joined(warmup, schedule, source)
    options = _options(wishes)
    rules = _rules(wishes, ours[0].rules if ours else ())
    who = " + ".join(dict.fromkeys([*(["LRScheduleMixin"] if ours else []), *(type(w).__name__ for w in wishes)]))
    if not ours:
        return Ownership(index, ScheduledLR.deferred(optimizer, whole, rules=rules, **options), who, True)
    scheduler = ours[0]
    if warmup is not None:
        scheduler.schedule = whole
    if rules != scheduler.rules:
        scheduler.rules = rules
    for field, value in options.items():
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
    return Ownership(index, scheduler, who, False)


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


def _one(wishes: Sequence[LRCallback], role: str) -> LRCallback | None:
    found = [wish for wish in wishes if wish.role == role]
    if len(found) > 1:
        both = " and ".join(map(repr, found))
        fix = "join their phases with >>" if role == "schedule" else "keep one"
        raise ValueError(f"{both} are two of a kind for one optimizer: {fix}, or give each its own optimizer=")
    return found[0] if found else None


def _rules(wishes: Sequence[LRCallback], own: Sequence[Rule]) -> tuple[Rule, ...]:
    """The rules of all wishes in the order of their keys: the order of the callbacks does not matter."""
    owner_of: dict[str, object] = {rule.key: "configure_optimizers" for rule in own}
    rules = list(own)
    for wish in wishes:
        for rule in wish.rules:
            other = owner_of.setdefault(rule.key, wish)
            if other is not wish:
                raise ValueError(
                    f"{other!r} and {wish!r} are two of a kind for one optimizer: both {rule.do.kind} by "
                    f"{rule.monitor!r}: keep one, or join their detectors with | or &"
                )
            rules.append(rule)
    return tuple(sorted(rules, key=lambda rule: rule.key))


def _options(wishes: Sequence[LRCallback]) -> dict[str, Any]:
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
    finders = [c for c in trainer.callbacks if "Finder" in type(c).__name__]  # type: ignore[attr-defined]
    if hasattr(optimizer.step, "_wrapped_by_lr_sched") and not finders:  # a finder builds one, and is done with it
        raise ValueError(
            f"{who} and a torch LR scheduler that was built on this {type(optimizer).__name__}, but not returned from "
            "configure_optimizers, both own its lr: do not build that scheduler, or remove the callback"
        )
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if type(callback).__name__ == "StochasticWeightAveraging":
            raise ValueError(
                f"{who} and StochasticWeightAveraging both own the lr of {type(optimizer).__name__}: SWA replaces the "
                "scheduler in the middle of the run; remove it, and end the schedule with Constant(…, factor=…) "
                "beside EMAWeightAveraging or WeightAveraging, which leave the lr alone"
            )


def advice(trainer: Trainer, owners: Sequence[Ownership]) -> list[str]:
    """What will probably not do what it was meant to."""
    out = []
    for owner in owners:
        rules = owner.scheduler.rules
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
                stops = isinstance(callback, EarlyStopping) and callback.monitor == rule.monitor
                if stops and callback.patience <= patience + 1:
                    out.append(
                        f"{owner.who}: EarlyStopping's patience {callback.patience} on {rule.monitor!r} leaves a "
                        f"reduction after {patience + 1} bad evaluations no time to help: give it a larger one"
                    )
    return out
