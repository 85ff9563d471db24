"""A resolved schedule: segments between whole updates, each one formula. A value is a bisect and that formula.

The same formula serves a single update (``math``) and a whole curve (``numpy``): it is written once, against a
namespace ``m`` that is either :data:`SCALAR` or numpy itself, for the exact time ``n / d`` since its segment began.
"""

from __future__ import annotations

import math
import numbers
from bisect import bisect_right
from collections.abc import Callable
from fractions import Fraction
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from lightning_lr.core.checks import shown, suggesting, whole

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from lightning_lr.core.durations import Horizon

EXACT = 2**52
"""Whole numbers below, and sums of two of them, are exact in numpy's float64 as they are in Python: quotients agree."""

Formula = Callable[..., Any]
"""``formula(m, n, d, *args)``: the factor, ``n / d`` updates after the segment began."""


class SCALAR:
    """The functions of ``math`` under numpy's names, so that one formula serves both."""

    sin = staticmethod(math.sin)
    sqrt = staticmethod(math.sqrt)
    minimum = staticmethod(min)
    maximum = staticmethod(max)
    abs = staticmethod(abs)

    @staticmethod
    def searchsorted(edges: tuple[int, ...], value: int, side: str) -> int:
        return bisect_right(edges, value)

    @staticmethod
    def where(condition: bool, yes: Any, no: Any) -> Any:
        return yes if condition else no


def libm(m: Any, fn: Callable[..., float], *args: Any) -> Any:
    """A function of ``math`` of numbers, or of each number of an array.

    numpy's own power, exp and log have another last bit on a processor with AVX-512 than on one without: ranks would
    disagree, and a run would not go on exactly where it was not begun.
    """
    if m is SCALAR:
        return fn(*args)
    return m.fromiter(map(fn, *(x.tolist() if isinstance(x, m.ndarray) else repeat(x) for x in args)), dtype=m.float64)


def half_cosine(m: Any, w: Any) -> Any:
    """sin²(πw/2): from 0 to 1 along half a cosine, with all digits near both ends. numpy's sine is that of ``math``."""
    s = m.sin(math.pi / 2 * w)
    return s * s


class Shape(NamedTuple):
    """What a phase becomes once its length is known: a formula, its numbers, and where it ends."""

    formula: Formula
    args: tuple[Any, ...]
    end: float
    notes: tuple[str, ...] = ()


class Segment(NamedTuple):
    """One phase on the time axis: it owns the updates ``begin <= t < end`` (``end`` None: for ever).

    ``open_end`` says that its end is only the run's: in a longer run the same formula would go on.
    """

    begin: int
    end: int | None
    formula: Formula
    args: tuple[Any, ...]
    end_value: float
    label: str
    open_end: bool = False

    def reach(self, d: int) -> int:
        """Where the formula's integers may grow too large for numpy: soon, after '33.333333333333336%'."""
        whole = (x for x in self.args if isinstance(x, (int, Fraction)))
        largest = max((max(x.numerator, x.denominator) for x in whole), default=1)
        return 0 if d * largest >= EXACT else EXACT // max(1, largest)


class Program:
    """The factor of every update, as a pure function of the update's number.

    ``program(t)`` is the factor by which update ``t`` (0 for the first) multiplies the group's own lr. It is
    immutable, picklable and stateless; asking for update 10¹² costs what asking for update 10 costs. One update and a
    whole curve are computed by the same functions of numpy, so they agree to the last bit.

    Args:
        segments: the phases, adjacent and in order; none empty but an open last one.
        horizon: what the units were resolved with.
        warmup_end: the first update after the leading warmup.
        notes: what a user should know about the way the schedule met this run.

    >>> from lightning_lr import Horizon, Linear, Warmup
    >>> program = (Warmup(4) >> Linear(8)).resolve(Horizon(12))
    >>> [program(t) for t in (0, 3, 4, 8, 11, 12, 10**12)]
    [0.25, 1.0, 1.0, 0.5, 0.125, 0.0, 0.0]
    """

    __slots__ = ("_begins", "calls_out", "end", "end_value", "horizon", "notes", "segments", "warmup_end")

    def __init__(
        self, segments: tuple[Segment, ...], horizon: Horizon, warmup_end: int = 0, notes: tuple[str, ...] = ()
    ) -> None:
        self.segments = segments
        self.horizon = horizon
        self.warmup_end = warmup_end
        self.notes = notes
        self._begins = [segment.begin for segment in segments]
        self.end: int | None = segments[-1].end if segments else 0
        self.end_value: float = segments[-1].end_value if segments else 1.0
        self.calls_out = any(callable(x) for segment in segments for x in segment.args)
        """Whether it asks functions of the user's, which are not to be called before their time."""

    def __call__(self, step: int) -> float:
        """The factor of update ``step``, a whole number from 0 (or an exact ``Fraction``); else ``ValueError``."""
        if type(step) is int:
            return self.at(step)
        if not isinstance(step, numbers.Rational) or isinstance(step, bool):
            raise ValueError(f"Program: step must be a whole number of updates, got {shown(step)}")
        return self.at(int(step.numerator), int(step.denominator))

    def at(self, n: int, d: int = 1) -> float:
        """The factor at the exact position ``n / d``."""
        import numpy as np

        step = n // d
        if step < 0:
            raise ValueError(f"a program starts at update 0, got {Fraction(n, d)}")
        if self.end is not None and step >= self.end:
            return self.end_value
        segment = self.segments[bisect_right(self._begins, step) - 1]
        n -= segment.begin * d
        if n < segment.reach(d):
            with np.errstate(all="ignore"):  # what the user has asked numpy to raise is no business of the lr
                return float(segment.formula(np, np.array([n]), d, *segment.args)[0])
        return float(segment.formula(SCALAR, n, d, *segment.args))

    def take(self, n: npt.NDArray[np.int64], d: int = 1) -> npt.NDArray[np.float64]:
        """The factors at the increasing positions ``n / d``: float64, of the same shape."""
        import numpy as np

        out = np.full(len(n), self.end_value, dtype=np.float64)
        if not len(n):
            return out
        first, last = int(n[0]), int(n[-1])
        if first < 0:
            raise ValueError(f"a program starts at update 0, got {Fraction(first, d)}")
        low = 0
        owner, beyond = (bisect_right(self._begins, edge // d) for edge in (first, last))
        for segment in self.segments[owner - 1 : beyond]:
            begin = segment.begin * d
            end = last + 1 if segment.end is None else segment.end * d
            far = begin + segment.reach(d)
            high = len(n) if end > last else int(np.searchsorted(n, end))
            near = high if min(far, end) > last else int(np.searchsorted(n, min(far, end)))
            if low < near:
                with np.errstate(all="ignore"):
                    out[low:near] = segment.formula(np, n[low:near] - begin, d, *segment.args)
            for i in range(max(low, near), high):
                out[i] = segment.formula(SCALAR, int(n[i]) - begin, d, *segment.args)
            low = high
        return out

    @suggesting
    def phase(self, step: int) -> int:
        """The index of the phase that owns update ``step``; past the end, the number of phases."""
        step = whole(step, "Program.phase: step")
        if self.end is not None and step >= self.end:
            return len(self.segments)
        return bisect_right(self._begins, step) - 1

    @suggesting
    def curve(self, stop: int, start: int = 0) -> npt.NDArray[np.float64]:
        """The factors of updates ``start <= t < stop``: float64, shape ``(stop - start,)``, vectorised."""
        import numpy as np

        start, stop = whole(start, "Program.curve: start"), whole(stop, "Program.curve: stop")
        return self.take(np.arange(start, stop, dtype=np.int64))

    def is_constant(self) -> bool:
        """Whether every update after the warmup has the same factor, as far as a few hundred of them tell."""
        import numpy as np

        begin, end = self.warmup_end, self.end if self.end is not None else self.warmup_end + 1000
        steps = {begin, end, *(segment.begin for segment in self.segments if segment.begin >= begin)}
        steps |= {begin + (end - begin) * i // 256 for i in range(256)}
        return len(set(self.take(np.array(sorted(steps))).tolist())) == 1

    def continued_by(self, other: Program) -> bool:
        """Whether another run's length changes nothing but where the last, open phase is cut."""
        if not self.segments or not other.segments or self.segments[:-1] != other.segments[:-1]:
            return self == other
        mine, its = self.segments[-1], other.segments[-1]
        return mine == its or (mine.open_end and mine[:1] + mine[2:4] == its[:1] + its[2:4])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self.segments == other.segments

    def __hash__(self) -> int:
        return hash((self.end, self.end_value, tuple(self._begins)))

    def __repr__(self) -> str:
        return f"<Program of {len(self.segments)} phases, {self.end or 'unbounded'} updates>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Program, (self.segments, self.horizon, self.warmup_end, self.notes)
