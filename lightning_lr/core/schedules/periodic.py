"""Up and down again: cyclic rates and warm restarts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from lightning_lr.core.checks import choice, instance, number, suggesting
from lightning_lr.core.durations import Duration, as_duration, horizon_of
from lightning_lr.core.program import SCALAR, Program, Segment, Shape, half_cosine, libm
from lightning_lr.core.schedules.base import Phase, Schedule, Span
from lightning_lr.core.schedules.custom import checked, each, function

_MODES = ("triangular", "triangular2", "exp_range")


class Cyclic(Phase):
    """Swing between base and peak: start · (base + (peak − base) · w · scale).

    w rises from 0 to 1 over ``step_size_up`` and falls back over ``step_size_down``: in straight lines (a triangle),
    or, with ``shape="cosine"``, as sin²(πw/2), an oscillation. The scale is 1 (``"triangular"``), 1/2^(c − 1)
    (``"triangular2"``), gamma^k (``"exp_range"``) or a function of the cycle's number c, which is 1 for the first.

    Args:
        step_size_up: a duration.
        step_size_down: a duration; ``None`` is as long as the way up.
        base_factor: the lower bound, a fraction of the peak, in [0, 1].
        mode: ``"triangular"``, ``"triangular2"``, ``"exp_range"``, or a callable of c or its ``"module:name"``.
        gamma: in (0, 1], for ``"exp_range"``.
        shape: ``"linear"`` or ``"cosine"``.
        duration: the phase's length, or ``None`` for the rest of the run, however long.
        peak_factor: the upper bound, in [0, 1]; below ``base_factor`` the cycles point down.
        momentum_factor: also swing momentum (beta1 where there are betas), the other way round: from the group's own
            value, where the lr is lowest, to this share of it, where the lr is highest; in (0, 1].

    Source: Smith 2017, arXiv 1506.01186: base + (max − base) · max(0, 1 − |t/s − 2c + 1|) · scale(c).

    >>> Cyclic(2, base_factor=0.5).curve(8).tolist()
    [0.5, 0.75, 1.0, 0.75, 0.5, 0.75, 1.0, 0.75]
    >>> Cyclic(2, base_factor=0.5, mode="triangular2").curve(8).tolist()
    [0.5, 0.75, 1.0, 0.75, 0.5, 0.625, 0.75, 0.625]
    >>> Cyclic(1, base_factor=0.0, mode=lambda c: 1 / c).curve(6).round(3).tolist()
    [0.0, 1.0, 0.0, 0.5, 0.0, 0.333]
    >>> Cyclic(2, base_factor=0.5, momentum_factor=0.8).others["momentum"].curve(5).tolist()
    [1.0, 0.9, 0.8, 0.9, 1.0]
    """

    __slots__ = ()
    step_size_up: Duration
    step_size_down: Duration | None
    base_factor: float
    mode: str | Callable[[int], float]
    gamma: float
    shape: str
    peak_factor: float
    momentum_factor: float | None

    def __init__(
        self,
        step_size_up: Duration,
        step_size_down: Duration | None = None,
        base_factor: float = 0.1,
        mode: str | Callable[[int], float] = "triangular",
        gamma: float = 1.0,
        shape: str = "linear",
        duration: Duration | None = None,
        peak_factor: float = 1.0,
        momentum_factor: float | None = None,
    ) -> None:
        self._set(
            step_size_up=as_duration(step_size_up, "Cyclic: step_size_up"),
            step_size_down=None if step_size_down is None else as_duration(step_size_down, "Cyclic: step_size_down"),
            base_factor=number(base_factor, "Cyclic: base_factor", low=0, high=1),
            mode=_mode(mode),
            gamma=number(gamma, "Cyclic: gamma", low=0, high=1, low_open=True),
            shape=choice(shape, ("linear", "cosine"), "Cyclic: shape"),
            duration=self._length(duration),
            peak_factor=number(peak_factor, "Cyclic: peak_factor", low=0, high=1),
            momentum_factor=None if momentum_factor is None else momentum("Cyclic", momentum_factor),
        )

    @property
    def needs_length(self) -> bool:
        return False

    @property
    def others(self) -> Mapping[str, Schedule]:
        if self.momentum_factor is None:
            return {}
        fields = {name: getattr(self, name) for name in self._parameters}
        down = {"base_factor": 1.0, "peak_factor": self.momentum_factor, "momentum_factor": None}
        return {"momentum": Cyclic(**{**fields, **down})}

    def bind(self, span: Span) -> Shape:
        up = span.measure(self.step_size_up)
        down = up if self.step_size_down is None else span.measure(self.step_size_down)
        cycle = up + down
        args = (
            cycle.numerator,
            cycle.denominator,
            float(up / cycle),
            self.shape == "cosine",
            self.mode,
            self.gamma,
            self.base_factor,
            self.peak_factor,
            span.start,
        )
        ends_low = span.length is not None and span.length % cycle == 0  # and asks for no scale of a further cycle
        end = span.start * self.base_factor if ends_low else span.left_limit(_cyclic, args)
        return Shape(_cyclic, args, end)


def _cyclic(
    m: Any,
    n: Any,
    d: int,
    p: int,
    q: int,
    peak_at: float,
    cosine: bool,
    mode: str | Callable[[int], float],
    gamma: float,
    base: float,
    peak: float,
    start: float,
) -> Any:
    cycle, within = n * q // (d * p), n * q % (d * p) / (d * p)
    w = m.where(within <= peak_at, within / peak_at, (1.0 - within) / (1.0 - peak_at))
    if cosine:
        w = half_cosine(m, w)
    if callable(mode):
        w = w * each(m, _Scale(mode), cycle)
    elif mode == "triangular2":
        w = w * libm(m, math.pow, 0.5, cycle)
    elif mode == "exp_range":
        w = w * libm(m, math.pow, gamma, n / d)
    return start * (base + (peak - base) * w)


def _mode(value: object) -> str | Callable[[int], float]:
    if callable(value) or (isinstance(value, str) and {":", "."} & set(value)):  # 'module:name', as its repr says
        return function(value, "Cyclic: mode")
    return choice(value, _MODES, "Cyclic: mode (or a callable of the cycle number)")


def momentum(who: str, value: object) -> float:
    """The share of its own value that momentum falls to, where the lr is highest."""
    return number(value, f"{who}: momentum_factor", low=0, high=1, low_open=True)


class _Scale:
    """The user's own scaling of a cycle: cycles count from 1, and its values are checked."""

    __slots__ = ("fn",)

    def __init__(self, fn: Callable[[int], float]) -> None:
        self.fn = fn

    def __call__(self, cycle: int) -> float:
        return checked("Cyclic: mode", self.fn, cycle + 1)


class CosineRestarts(Phase):
    """Fall along a cosine, jump back to a peak, fall again: SGDR.

    Cycle i lasts ``cycle · cycle_mult^i`` updates and falls from start · peak_gamma^i to ``end_factor``. A phase that
    ends with a cycle holds the trough, not a new peak.

    Args:
        cycle: a duration, the first cycle's length.
        cycle_mult: >= 1, each cycle's length over the one before.
        peak_gamma: in (0, 1], each cycle's peak over the one before.
        end_factor: the trough, a fraction of the peak, in [0, 1]; a cycle whose peak is lower stays at its peak.
        duration: the phase's length, or ``None`` for the rest of the run, however long.

    Source: Loshchilov & Hutter 2017, arXiv 1608.03983.

    >>> CosineRestarts(2, cycle_mult=2, peak_gamma=0.5).curve(8).round(3).tolist()
    [1.0, 0.5, 0.5, 0.427, 0.25, 0.073, 0.25, 0.24]
    >>> CosineRestarts(2, duration=4, end_factor=0.1).curve(6).round(3).tolist()
    [1.0, 0.55, 1.0, 0.55, 0.1, 0.1]
    """

    __slots__ = ()
    cycle: Duration
    cycle_mult: float
    peak_gamma: float
    end_factor: float

    def __init__(
        self,
        cycle: Duration,
        cycle_mult: float = 1.0,
        peak_gamma: float = 1.0,
        end_factor: float = 0.0,
        duration: Duration | None = None,
    ) -> None:
        self._set(
            cycle=as_duration(cycle, "CosineRestarts: cycle"),
            cycle_mult=number(cycle_mult, "CosineRestarts: cycle_mult", low=1),
            peak_gamma=number(peak_gamma, "CosineRestarts: peak_gamma", low=0, high=1, low_open=True),
            end_factor=number(end_factor, "CosineRestarts: end_factor", low=0, high=1),
            duration=self._length(duration),
        )

    @property
    def needs_length(self) -> bool:
        return False

    def bind(self, span: Span) -> Shape:
        first = span.measure(self.cycle)
        args = (first, self.cycle_mult, self.peak_gamma, self.end_factor, span.start)
        if span.length is None:
            return Shape(_restarts, args, 0.0)
        cycle, u = _cycle_at(SCALAR, span.length, 1, first, self.cycle_mult)
        if u == 0:  # a cycle ends here: its trough, not the next peak
            return Shape(_restarts, args, min(self.end_factor, span.start * self.peak_gamma ** (cycle - 1)))
        return Shape(_restarts, args, _restarts(SCALAR, span.length, 1, *args))


def _restarts(m: Any, n: Any, d: int, first: Fraction, mult: float, peak_gamma: float, end: float, start: float) -> Any:
    cycle, u = _cycle_at(m, n, d, first, mult)
    w = half_cosine(m, 1.0 - u)
    peak = start * libm(m, math.pow, peak_gamma, cycle)
    return w * peak + (1.0 - w) * m.minimum(end, peak)


def _cycle_at(m: Any, n: Any, d: int, first: Fraction, mult: float) -> tuple[Any, Any]:
    """The number of the cycle, from 0, and the progress within it."""
    if mult == 1:
        p, q = first.numerator, first.denominator
        return n * q // (d * p), n * q % (d * p) / (d * p)
    k, length = n / d, float(first)
    if m is SCALAR:
        cycle = int(math.log1p(k * (mult - 1) / length) / math.log(mult))
        while _begin(cycle + 1, length, mult) <= k:
            cycle += 1
        while _begin(cycle, length, mult) > k:
            cycle -= 1
        return cycle, (k - _begin(cycle, length, mult)) / (length * mult**cycle)
    last, _ = _cycle_at(SCALAR, int(n[-1]), d, first, mult)
    begins = m.array([_begin(i, length, mult) for i in range(last + 1)])
    lengths = m.array([length * mult**i for i in range(last + 1)])
    cycles = m.searchsorted(begins, k, side="right") - 1
    return cycles, (k - begins[cycles]) / lengths[cycles]


def _begin(cycle: int, length: float, mult: float) -> float:
    """The first update of a cycle: length · (mult^cycle − 1)/(mult − 1), on the whole update it means."""
    try:
        exact = length * (mult**cycle - 1.0) / (mult - 1.0)
    except OverflowError:
        return math.inf
    near = round(exact)
    return float(near) if abs(exact - near) <= 1e-9 * max(1.0, exact) else exact


@suggesting
def cycle_ends(schedule: Schedule | Program, total_steps: int, steps_per_epoch: int | None = None) -> list[int]:
    """After how many updates each cycle of :class:`Cyclic` and :class:`CosineRestarts` is complete.

    There a cyclic rate has come down, and there a network trained with it is to be judged (Smith 2017, arXiv
    1506.01186; Loshchilov & Hutter 2017, arXiv 1608.03983): validate after so many updates. A cycle that the end of
    its phase or of the run cuts is not among them.

    Args:
        schedule: with or without cycles; or a program, which has been resolved already.
        total_steps: updates of the run.
        steps_per_epoch: updates per epoch, for durations in epochs.

    Raises:
        ValueError: as ``schedule.resolve``.

    >>> from lightning_lr import Constant, CosineRestarts, Cyclic, Warmup
    >>> cycle_ends(Warmup(10) >> Cyclic(20, 30), 200)
    [60, 110, 160]
    >>> cycle_ends(CosineRestarts(10, cycle_mult=2, duration=70) >> Constant(), 200)
    [10, 30, 70]
    >>> cycle_ends(Cyclic("12.5%"), 10)
    [3, 5, 8, 10]
    """
    horizon = horizon_of("cycle_ends", total_steps, steps_per_epoch)
    instance(schedule, (Schedule, Program), "cycle_ends: schedule", "a schedule or a program")
    program = schedule if isinstance(schedule, Program) else schedule.resolve(horizon)
    return [end for _, end in cycles(program, int(total_steps))]


def cycles(program: Program, stop: int) -> list[tuple[int, int]]:
    """The first update of each whole cycle before update ``stop``, and the first one after it."""
    return [cycle for segment in program.segments for cycle in _cycles(segment, stop)]


def _cycles(segment: Segment, stop: int) -> list[tuple[int, int]]:
    length = (stop if segment.end is None else min(stop, segment.end)) - segment.begin
    if segment.formula is _cyclic:
        first, mult = Fraction(*segment.args[:2]), 1.0
    elif segment.formula is _restarts:
        first, mult = segment.args[:2]
    else:
        return []
    found: list[tuple[int, int]] = []
    begin = segment.begin
    for cycle in itertools.count(1):
        exact = first * cycle if mult == 1 else _begin(cycle, float(first), mult)
        if exact >= length + 0.5:  # half an update is what the phase's own end may be rounded by
            return found
        end = segment.begin + min(math.ceil(exact), length)  # the next cycle's first update is not before it begins
        if end > begin:  # cycles shorter than an update share one
            found.append((begin, end))
        begin = end
    return found
