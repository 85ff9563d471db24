"""The boundary to configuration files: mappings and foreign lists become schedules, or an error that names the phase.

YAML and Hydra hand over mappings and list containers of their own. A mapping names a class under ``class_path`` (with
``init_args`` beside it, as LightningCLI writes it) or ``_target_`` (with the arguments beside it, as Hydra does).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lightning_lr.core.checks import did_you_mean, shown
from lightning_lr.core.schedules.base import Schedule


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
        from lightning_lr.core.schedules.base import Chain

        items = as_schedules(value, where)
        return items[0] if len(items) == 1 else Chain(items)
    hint = f": write {value.__name__}(…), not the class itself" if isinstance(value, type) else ""
    raise ValueError(f"{where} must be a schedule or a list of phases, got {shown(value)}{hint}")


def as_schedules(values: object, where: str) -> list[Schedule]:
    """The items of ``values`` as schedules, each error naming the item it is about."""
    if isinstance(values, (Schedule, Mapping, str, bytes)) or not isinstance(values, Iterable):
        raise ValueError(f"{where} must be a list of phases, got {shown(values)}")
    items = [as_schedule(item, f"{where}[{i}]") for i, item in enumerate(values)]
    if not items:
        raise ValueError(f"{where} must not be empty, got {values!r}: give at least one phase, such as Cosine()")
    return items


def _build(value: Mapping[Any, Any], where: str) -> Schedule:
    import lightning_lr.core.schedules as known

    fields = {str(key): item for key, item in value.items()}
    target = fields.pop("class_path", None) or fields.pop("_target_", None)
    if not isinstance(target, str):
        raise ValueError(f"{where} must name its class under 'class_path' or '_target_', got {dict(value)!r}")
    module, _, name = target.rpartition(".")
    if name not in known.__all__ or module.partition(".")[0] not in ("", "lightning_lr"):
        raise ValueError(
            f"{where} names the unknown schedule {target!r}{did_you_mean(name, known.__all__)}; "
            f"known: {', '.join(known.__all__)}"
        )
    arguments = fields.pop("init_args", None) or {}
    if not isinstance(arguments, Mapping):
        raise ValueError(f"{where}: init_args must be a mapping of parameters, got {shown(arguments)}")
    arguments = {**fields, **{str(key): item for key, item in arguments.items()}}
    try:
        schedule: Schedule = getattr(known, name)(**arguments)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{where}: {error}") from None
    return schedule
