"""Any function of the user's, checked: the one schedule that may also grow."""

from __future__ import annotations

import importlib
import math
import numbers
from collections.abc import Callable
from typing import Any

from lightning_lr.core.checks import choice, shown
from lightning_lr.core.durations import Duration, Horizon
from lightning_lr.core.program import SCALAR, Shape
from lightning_lr.core.schedules.base import Phase, Span


class Custom(Phase):
    """Any function: start · fn(x), where x is the phase's progress, update or epoch.

    Args:
        fn: a callable of one number, or ``"module:name"`` of one (what YAML can say). Its values must be finite and
            >= 0. A function that can be imported keeps the schedule picklable and its repr pasteable.
        of: what fn is given: ``"progress"`` (u = k / D, from 0.0), ``"step"`` (updates since the phase began, whole
            numbers from 0) or ``"epoch"`` (epochs since the phase began, whole numbers from 0).
        duration: the phase's length, or ``None`` for the rest of the run.

    >>> Custom(lambda u: 1 - u**2, duration=4).curve(6).tolist()
    [1.0, 0.9375, 0.75, 0.4375, 0.0, 0.0]
    >>> Custom("math:exp", of="epoch").curve(4, steps_per_epoch=2).round(3).tolist()
    [1.0, 1.0, 2.718, 2.718]
    """

    __slots__ = ()
    fn: Callable[[Any], float]
    of: str

    def __init__(
        self, fn: str | Callable[[Any], float], of: str = "progress", duration: Duration | None = None
    ) -> None:
        self._set(
            fn=function(fn, "Custom: fn"),
            of=choice(of, ("progress", "step", "epoch"), "Custom: of"),
            duration=self._length(duration),
        )

    @property
    def needs_length(self) -> bool:
        return self.of == "progress"

    def bind(self, span: Span) -> Shape:
        time: Any = span.length if self.needs_length else None
        if self.of == "epoch":
            span.horizon.at_epoch(0, f"Custom(of={self.of!r})")  # refuses an epoch of unknown length
            time = (span.begin, Horizon(None, span.horizon.steps_per_epoch))
        args = (self.fn, self.of, time, span.start)
        return Shape(_custom, args, span.left_limit(_custom, args, stairs=self.of != "progress"))


def _custom(m: Any, n: Any, d: int, fn: Callable[[Any], float], of: str, time: Any, start: float) -> Any:
    call = _Checked(fn)
    if of == "progress":
        return start * each(m, call, n / (d * time))
    if of == "step":
        return start * each(m, call, n // d)
    begin, horizon = time
    return start * each(m, call, each(m, _EpochOf(begin, horizon), n // d))


class _Checked:
    __slots__ = ("fn",)

    def __init__(self, fn: Callable[[Any], float]) -> None:
        self.fn = fn

    def __call__(self, x: float) -> float:
        return checked("Custom: fn", self.fn, x)


class _EpochOf:
    """Whole epochs between a phase's first update and its k-th."""

    __slots__ = ("begin", "horizon")

    def __init__(self, begin: int, horizon: Horizon) -> None:
        self.begin, self.horizon = begin, horizon

    def __call__(self, k: int) -> int:
        return math.floor(self.horizon._epochs(self.begin + k) - self.horizon._epochs(self.begin))


def each(m: Any, fn: Callable[[Any], float], x: Any) -> Any:
    """``fn`` of a number, or of each number in an array, called once for each distinct one."""
    if m is SCALAR:
        return fn(x)
    if len(x) == 1:
        return m.array([fn(x.item())])
    distinct, places = m.unique(x, return_inverse=True)
    return m.array([fn(value) for value in distinct.tolist()])[places]


def checked(where: str, fn: Callable[[Any], float], x: float) -> float:
    """``fn(x)`` as a float, or ``ValueError`` when that is no finite number >= 0."""
    try:
        value = fn(x)
    except Exception as error:
        name = getattr(fn, "__qualname__", repr(fn))
        raise ValueError(f"{where} must return a finite number >= 0, but {name}({x!r}) raised {error!r}") from error
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not 0 <= value < math.inf:
        name = getattr(fn, "__qualname__", repr(fn))
        raise ValueError(f"{where} must return a finite number >= 0, got {shown(value)} from {name}({x!r})")
    return float(value)


def function(fn: object, where: str) -> Callable[[Any], float]:
    """A callable as it is, or the one that ``"module:name"`` names."""
    if callable(fn):
        return fn
    if isinstance(fn, str):
        module, _, name = fn.replace(":", ".").rpartition(".")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError):
            found = None
        if callable(found):
            return found  # type: ignore[no-any-return]
        raise ValueError(f"{where} names {fn!r}, which cannot be imported: write 'module:function'")
    raise ValueError(f"{where} must be a function of one number or 'module:function', got {shown(fn)}")
