"""Schedules from configuration files: mappings and foreign lists become phases, or an error that names the phase."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any

from lightning_lr.core.checks import shown
from lightning_lr.core.coerce import build
from lightning_lr.core.schedules.base import Schedule, joined


def as_schedule(value: object, where: str) -> Schedule:
    """``value`` as a schedule: one already, a mapping that names one, or a list of them.

    >>> as_schedule([{"class_path": "Warmup", "init_args": {"duration": 4}}, {"_target_": "Cosine"}], "phases")
    Warmup(4) >> Cosine()
    """
    if isinstance(value, Schedule):
        return value
    if isinstance(value, Mapping):
        return _build(value, where)
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        items = as_schedules(value, where)
        return items[0] if len(items) == 1 else joined(items)
    hint = f": write {value.__name__}(…), not the class itself" if isinstance(value, type) else ""
    if isinstance(value, str) and value.isidentifier():
        hint = f": write {value}(…), or, in a configuration file, a mapping with class_path: {value}"
    raise ValueError(f"{where} must be a schedule or a list of phases, got {shown(value)}{hint}")


def as_schedules(values: object, where: str) -> list[Schedule]:
    """The items of ``values`` as schedules, each error naming the item it is about."""
    if isinstance(values, (Schedule, Mapping, Set, str, bytes)) or not isinstance(values, Iterable):
        raise ValueError(f"{where} must be a list of phases, got {shown(values)}")
    items = [as_schedule(item, f"{where}[{i}]") for i, item in enumerate(values)]
    if not items:
        raise ValueError(f"{where} must not be empty, got {values!r}: give at least one phase, such as Cosine()")
    return items


def _build(value: Mapping[Any, Any], where: str) -> Schedule:
    return build(value, makers(), "schedule", where)


def makers() -> dict[str, Callable[..., Schedule]]:
    """Every schedule and preset by its name.

    >>> sorted(makers())[-3:]
    ['one_cycle', 'slanted_triangular', 'wsd']
    """
    import lightning_lr.core.presets as presets
    import lightning_lr.core.schedules as schedules

    known: dict[str, Callable[..., Schedule]] = {name: getattr(schedules, name) for name in schedules.__all__}
    return {**known, **{name: getattr(presets, name) for name in presets.__all__}}
