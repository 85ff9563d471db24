"""What schedules, detectors, actions and rules have in common: they are values, with a repr that can be pasted back."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, TypeVar

from lightning_lr.core.checks import parameters_of, suggesting

V = TypeVar("V", bound="Value")


class Value:
    """Immutable, picklable, comparable, hashable; its fields are the parameters of its constructor."""

    __slots__ = ("__dict__",)
    _parameters: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        init = cls.__dict__.get("__init__")
        if init is not None:
            cls._parameters = parameters_of(init)
            cls.__init__ = suggesting(init)  # type: ignore[method-assign]

    def _set(self, **values: object) -> None:
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; make another instead of assigning {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; {name} cannot be deleted")

    def _values(self) -> tuple[object, ...]:
        return tuple(self.__dict__[name] for name in self._parameters)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Value):
            return NotImplemented
        return type(self) is type(other) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._values()))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), dict(zip(self._parameters, self._values(), strict=True)))

    def __repr__(self) -> str:
        return call(self)


def _rebuild(cls: type[V], values: dict[str, Any]) -> V:
    return cls(**values)


def call(value: Value, replaced: Mapping[str, object] | None = None) -> str:
    """The call that makes ``value``: its first argument by position, then what differs from the defaults."""
    if not value._parameters:  # a class without an __init__ of its own
        return f"{type(value).__name__}()"
    init = type(value).__init__
    init = getattr(init, "__wrapped__", init)
    defaults = dict(
        zip(
            reversed(parameters_of(init)[: init.__code__.co_argcount - 1]),
            reversed(init.__defaults__ or ()),
            strict=False,
        )
    )
    defaults |= init.__kwdefaults__ or {}
    shown = []
    for i, name in enumerate(value._parameters):
        field = (replaced or {}).get(name, value.__dict__[name])
        if name in defaults and field == defaults[name] and type(field) is type(defaults[name]):
            continue
        text = function_name(field) if callable(field) else repr(field)
        shown.append(text if i == 0 else f"{name}={text}")
    return f"{type(value).__name__}({', '.join(shown)})"


def function_name(fn: object) -> str:
    """``'module:name'``, quoted, for a function that can be imported; else what it is, saying that it cannot."""
    module, name = getattr(fn, "__module__", None), getattr(fn, "__qualname__", None)
    found: object = sys.modules.get(module or "")
    for part in (name or "").split("."):
        found = getattr(found, part, None)
    if found is fn:
        return repr(f"{module}:{name}")
    return f"<{name or type(fn).__name__}: cannot be imported by name, so this repr cannot be pasted back>"
