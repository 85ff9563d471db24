"""The way up: the only built-in phase that raises the learning rate once."""

from __future__ import annotations

import math
from typing import Any

from lightning_lr.core.checks import choice, number
from lightning_lr.core.durations import Duration
from lightning_lr.core.program import Shape, half_cosine, libm
from lightning_lr.core.schedules.base import Phase, Span


class Warmup(Phase):
    """Rise to the peak, which the phase's last update reaches: no update is wasted at 0.

    With p = min(1, (k + 1) / D) for update k of D, and s the factor it starts from:

    - ``"linear"``: (1 − p)·s + p
    - ``"cosine"``: s + (1 − s)·sin²(πp/2)
    - ``"exponential"``: s^(1 − p), which needs s > 0

    Args:
        duration: the phase's length D: updates, ``"3 epochs"`` or ``"5%"``.
        start_factor: s, in [0, 1], the factor one update *before* the first. A warmup that is not the first phase
            starts where the phase before it ended and may not give one.
        shape: ``"linear"``, ``"cosine"`` or ``"exponential"``.

    Raises:
        ValueError: a duration that is not positive or has no unit, a start_factor outside [0, 1].

    Source: Goyal et al. 2017, arXiv 1706.02677 (gradual warmup).

    >>> [Warmup(4).curve(6).tolist(), Warmup(4, start_factor=0.5).curve(4).tolist()]
    [[0.25, 0.5, 0.75, 1.0, 1.0, 1.0], [0.625, 0.75, 0.875, 1.0]]
    """

    __slots__ = ()
    start_factor: float
    shape: str

    def __init__(self, duration: Duration, start_factor: float = 0.0, shape: str = "linear") -> None:
        shape = choice(shape, _FORMULAS, "Warmup: shape")
        start = number(start_factor, "Warmup: start_factor", low=0, high=1)
        if shape == "exponential" and start == 0:
            raise ValueError(
                "Warmup: shape 'exponential' needs start_factor > 0, got 0.0 (a geometric rise cannot leave 0): "
                "give one such as start_factor=0.01, or use 'linear' or 'cosine'"
            )
        if duration is None:
            raise ValueError("Warmup: duration must be given, got None: write 500, '3 epochs' or '5%'")
        self._set(duration=self._length(duration), start_factor=start, shape=shape)

    def bind(self, span: Span) -> Shape:
        start = self.start_factor if span.begin == 0 else span.start
        return Shape(_FORMULAS[self.shape], (span.required(), start), 1.0)


def _progress(m: Any, n: Any, d: int, length: int) -> Any:
    return m.minimum(1.0, (n + d) / (d * length))  # a stretched warmup passes (k + 1) / D = 1: never past the peak


def _linear(m: Any, n: Any, d: int, length: int, start: float) -> Any:
    p = _progress(m, n, d, length)
    return (1.0 - p) * start + p


def _cosine(m: Any, n: Any, d: int, length: int, start: float) -> Any:
    w = half_cosine(m, _progress(m, n, d, length))
    return (1.0 - w) * start + w


def _exponential(m: Any, n: Any, d: int, length: int, start: float) -> Any:
    return libm(m, math.pow, start, 1.0 - _progress(m, n, d, length))


_FORMULAS = {"linear": _linear, "cosine": _cosine, "exponential": _exponential}
