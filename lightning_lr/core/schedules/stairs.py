"""Staircases: the factor falls at whole updates and holds in between."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from lightning_lr.core.checks import items, number
from lightning_lr.core.durations import Duration, as_duration, boundary, split
from lightning_lr.core.program import Shape, libm
from lightning_lr.core.schedules.base import Phase, Span


def stairs(n: Any, d: int, p: int, q: int) -> Any:
    """How many stairs of exactly p / q updates have begun at update ⌊n / d⌋, each beginning at its nearest update.

    The i-th begins at ⌊i·p/q + 1/2⌋, so i counts when i < (⌊n/d⌋ + 1/2)·q/p: integers throughout, nothing is rounded.
    """
    count = -(-(2 * (n // d) + 1) * q // (2 * p)) - 1
    return count * (n >= d)  # the phase's first update is never a stair lower, however short the stairs


class StepDecay(Phase):
    """Multiply by gamma every ``step_size``: start · gamma^⌊k / step_size⌋.

    Args:
        step_size: a duration; each multiple of it is rounded to the nearest update.
        gamma: in (0, 1].
        duration: the phase's length, or ``None`` for the rest of the run, however long.

    >>> StepDecay(2, gamma=0.5).curve(6).tolist()
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    >>> (StepDecay(2, gamma=0.5, duration=4) >> StepDecay(1, gamma=0.5, duration=1)).curve(6).tolist()
    [1.0, 1.0, 0.5, 0.5, 0.5, 0.5]
    """

    __slots__ = ()
    step_size: Duration
    gamma: float

    def __init__(self, step_size: Duration, gamma: float = 0.1, duration: Duration | None = None) -> None:
        self._set(
            step_size=as_duration(step_size, "StepDecay: step_size"),
            gamma=number(gamma, "StepDecay: gamma", low=0, high=1, low_open=True),
            duration=self._length(duration),
        )

    @property
    def needs_length(self) -> bool:
        return False

    def bind(self, span: Span) -> Shape:
        size = span.measure(self.step_size)
        args = (size.numerator, size.denominator, span.start, self.gamma)
        return Shape(_step_decay, args, span.left_limit(_step_decay, args, stairs=True))


def _step_decay(m: Any, n: Any, d: int, p: int, q: int, start: float, gamma: float) -> Any:
    return start * libm(m, math.pow, gamma, stairs(n, d, p, q))


class MultiStep(Phase):
    """Multiply by gamma at each milestone: start · gamma^(milestones passed at update k).

    Args:
        milestones: increasing durations from the phase's start, each rounded to the nearest update.
        gamma: in (0, 1].
        duration: the phase's length, or ``None`` for the rest of the run, however long.

    Raises:
        ValueError: no milestones, or not strictly increasing.

    >>> MultiStep([2, 5], gamma=0.5).curve(7).tolist()
    [1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]
    >>> MultiStep(["50%", "75%"]).curve(8).round(3).tolist()
    [1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01]
    """

    __slots__ = ()
    milestones: tuple[Duration, ...]
    gamma: float

    def __init__(self, milestones: Iterable[Duration], gamma: float = 0.1, duration: Duration | None = None) -> None:
        self._set(
            milestones=_milestones(milestones),
            gamma=number(gamma, "MultiStep: gamma", low=0, high=1, low_open=True),
            duration=self._length(duration),
        )

    @property
    def needs_length(self) -> bool:
        return False

    def bind(self, span: Span) -> Shape:
        exact = [span.horizon.after(span.begin, milestone) for milestone in self.milestones]
        if any(b <= a for a, b in itertools.pairwise(exact)):
            raise ValueError(
                f"milestones must increase, got {list(self.milestones)} = {list(map(float, exact))} updates"
            )
        edges = tuple(max(1, boundary(position) - span.begin) for position in exact)
        end = span.length if span.length is not None else span.horizon.total_steps
        late = [m for m, edge in zip(self.milestones, edges, strict=True) if end is not None and edge >= end]
        notes = (f"the milestones {late} lie past the phase's end and never happen",) if late else ()
        args = (edges, span.start, self.gamma)
        return Shape(_multi_step, args, span.left_limit(_multi_step, args, stairs=True), notes)


def _multi_step(m: Any, n: Any, d: int, edges: tuple[int, ...], start: float, gamma: float) -> Any:
    return start * libm(m, math.pow, gamma, m.searchsorted(edges, n // d, side="right"))


def _milestones(values: object) -> tuple[Duration, ...]:
    where = "MultiStep: milestones"
    listed = items(values, where, "a list of durations")
    specs = tuple(as_duration(value, f"{where}[{i}]") for i, value in enumerate(listed))
    if not specs:
        raise ValueError(f"{where} must not be empty, got []: give at least one, or use Constant()")
    last: dict[str, Fraction] = {}  # other units can be compared only once a run is known: bind does that
    for amount, unit in map(split, specs):
        if amount <= last.get(unit, 0):
            raise ValueError(f"{where} must increase, got {list(specs)}: sort them and leave out duplicates")
        last[unit] = amount
    return specs
