"""The way down, smoothly: shapes that fall from the factor they start at.

Two families. Those that end somewhere blend their start and end factors with a weight w that falls from 1 to 0 over
the phase; they need a length. Those that fall at a rate multiply the factor they start from; without a duration they
never end, so the run's length does not matter to them.
"""

from __future__ import annotations

import math
from typing import Any

from lightning_lr.core.checks import choice, flag, number
from lightning_lr.core.durations import Duration, as_duration
from lightning_lr.core.program import Formula, Shape, half_cosine, libm
from lightning_lr.core.schedules.base import Phase, Span
from lightning_lr.core.schedules.stairs import stairs


class Constant(Phase):
    """Stay: at the factor where the phase before ended, or at a level of its own.

    Args:
        duration: the phase's length, or ``None`` for the rest of the run.
        factor: the level, a fraction of the peak, >= 0; ``None`` stays where the phase before ended. This is the one
            phase that may jump.

    >>> from lightning_lr import Linear
    >>> (Linear(2, end_factor=0.5) >> Constant(2) >> Constant(2, factor=0.125)).curve(7).tolist()
    [1.0, 0.75, 0.5, 0.5, 0.125, 0.125, 0.125]
    """

    __slots__ = ()
    factor: float | None

    def __init__(self, duration: Duration | None = None, factor: float | None = None) -> None:
        level = None if factor is None else number(factor, "Constant: factor", low=0)
        self._set(duration=self._length(duration), factor=level)

    @property
    def needs_length(self) -> bool:
        return False

    def bind(self, span: Span) -> Shape:
        level = span.start if self.factor is None else self.factor
        return Shape(_constant, (level,), level)


def _constant(m: Any, n: Any, d: int, level: float) -> Any:
    return 0.0 * n + level


class _Falling(Phase):
    """A blend of start and end factor: start·w + end·(1 − w), where w falls from 1 to 0."""

    __slots__ = ()
    end_factor: float
    _formula: Formula

    def __init__(self, duration: Duration | None = None, end_factor: float = 0.0) -> None:
        end = number(end_factor, f"{type(self).__name__}: end_factor", low=0, high=1)
        self._set(duration=self._length(duration), end_factor=end)

    def bind(self, span: Span) -> Shape:
        args = (span.required(), span.start, self.end_factor)
        return Shape(type(self)._formula, args, self.end_factor)


def _left(n: Any, d: int, length: int) -> Any:
    """1 − progress, exactly 1 at the start and exactly 0 at the end."""
    return (d * length - n) / (d * length)


def _blend(w: Any, start: float, end: float) -> Any:
    return w * start + (1.0 - w) * end  # exact at both ends; between them within an ulp of both


class Linear(_Falling):
    """Fall in a straight line: w = 1 − u, with u = k / D for update k of D.

    Args:
        duration: the phase's length D, or ``None`` for the rest of the run.
        end_factor: where it ends, as a fraction of the peak, in [0, 1].

    Source: Defazio et al. 2023, arXiv 2310.07831; Bergsma et al. 2025, arXiv 2502.15938 (linear to zero).

    >>> Linear(4, end_factor=0.5).curve(6).tolist()
    [1.0, 0.875, 0.75, 0.625, 0.5, 0.5]
    """

    __slots__ = ()

    @staticmethod
    def _formula(m: Any, n: Any, d: int, length: int, start: float, end: float) -> Any:
        return _blend(_left(n, d, length), start, end)


class Cosine(_Falling):
    """Fall along half a cosine: w = (1 + cos πu) / 2, computed as sin²(π(1 − u)/2), which keeps its digits near 0.

    Args:
        duration: the phase's length D, or ``None`` for the rest of the run.
        end_factor: where it ends, as a fraction of the peak, in [0, 1]. It stays there: it never climbs again.

    Source: Loshchilov & Hutter 2017, arXiv 1608.03983.

    >>> Cosine(4, end_factor=0.1).curve(6).round(4).tolist()
    [1.0, 0.8682, 0.55, 0.2318, 0.1, 0.1]
    """

    __slots__ = ()

    @staticmethod
    def _formula(m: Any, n: Any, d: int, length: int, start: float, end: float) -> Any:
        return _blend(half_cosine(m, _left(n, d, length)), start, end)


class OneMinusSqrt(_Falling):
    """Fall as 1 − √u: fast at first. The cooldown of WSD as it was published.

    Args:
        duration: the phase's length D, or ``None`` for the rest of the run.
        end_factor: where it ends, as a fraction of the peak, in [0, 1].

    Source: Hägele et al. 2024, arXiv 2405.18392.

    >>> OneMinusSqrt(4).curve(5).round(4).tolist()
    [1.0, 0.5, 0.2929, 0.134, 0.0]
    """

    __slots__ = ()

    @staticmethod
    def _formula(m: Any, n: Any, d: int, length: int, start: float, end: float) -> Any:
        root = m.sqrt(n / (d * length))
        return _blend(_left(n, d, length) / (1.0 + root), start, end)  # (1 − u)/(1 + √u) = 1 − √u


class Rex(_Falling):
    """Fall slowly, then fast: w = (1 − u) / (1 − u/2), the reflected exponential.

    Args:
        duration: the phase's length D, or ``None`` for the rest of the run.
        end_factor: where it ends, as a fraction of the peak, in [0, 1].

    Source: Chen et al. 2021, arXiv 2107.04197.

    >>> Rex(4).curve(5).round(4).tolist()
    [1.0, 0.8571, 0.6667, 0.4, 0.0]
    """

    __slots__ = ()

    @staticmethod
    def _formula(m: Any, n: Any, d: int, length: int, start: float, end: float) -> Any:
        w = _left(n, d, length)
        return _blend(2.0 * w / (1.0 + w), start, end)  # the same, with w = 1 − u


class Polynomial(_Falling):
    """Fall as (1 − u)^power: a straight line for 1, a parabola for 2.

    Args:
        duration: the phase's length D, or ``None`` for the rest of the run.
        end_factor: where it ends, as a fraction of the peak, in [0, 1].
        power: > 0.

    >>> Polynomial(4, power=2).curve(5).tolist()
    [1.0, 0.5625, 0.25, 0.0625, 0.0]
    """

    __slots__ = ()
    power: float

    def __init__(self, duration: Duration | None = None, end_factor: float = 0.0, power: float = 1.0) -> None:
        super().__init__(duration, end_factor)
        self._set(power=number(power, "Polynomial: power", low=0, low_open=True))

    def bind(self, span: Span) -> Shape:
        shape = super().bind(span)
        return shape._replace(args=(*shape.args, self.power))

    @staticmethod
    def _formula(m: Any, n: Any, d: int, length: int, start: float, end: float, power: float) -> Any:
        return _blend(libm(m, math.pow, _left(n, d, length), power), start, end)


class Exponential(Phase):
    """Multiply by gamma every ``decay_steps``: start · gamma^(k / decay_steps), smoothly or in stairs.

    Args:
        gamma: in (0, 1].
        decay_steps: a duration, from the phase's start.
        staircase: hold the value until each multiple of ``decay_steps``: gamma^⌊k / decay_steps⌋.
        duration: the phase's length, or ``None`` for the rest of the run, however long.
        min_factor: a floor, as a fraction of the peak, in [0, 1]; it never raises the factor.

    >>> Exponential(0.25, decay_steps=2).curve(5).tolist()
    [1.0, 0.5, 0.25, 0.125, 0.0625]
    >>> Exponential(0.5, decay_steps=2, staircase=True, min_factor=0.3).curve(6).tolist()
    [1.0, 1.0, 0.5, 0.5, 0.3, 0.3]
    """

    __slots__ = ()
    gamma: float
    decay_steps: Duration
    staircase: bool
    min_factor: float

    def __init__(
        self,
        gamma: float,
        decay_steps: Duration = 1,
        staircase: bool = False,
        duration: Duration | None = None,
        min_factor: float = 0.0,
    ) -> None:
        self._set(
            gamma=number(gamma, "Exponential: gamma", low=0, high=1, low_open=True),
            decay_steps=as_duration(decay_steps, "Exponential: decay_steps"),
            staircase=flag(staircase, "Exponential: staircase"),
            duration=self._length(duration),
            min_factor=number(min_factor, "Exponential: min_factor", low=0, high=1),
        )

    @property
    def needs_length(self) -> bool:
        return False

    def bind(self, span: Span) -> Shape:
        args = (
            *_rate(span, self.decay_steps),
            self.staircase,
            span.start,
            self.gamma,
            min(self.min_factor, span.start),
        )
        return Shape(_exponential, args, span.left_limit(_exponential, args, stairs=self.staircase))


def _exponential(
    m: Any, n: Any, d: int, p: int, q: int, staircase: bool, start: float, gamma: float, floor: float
) -> Any:
    return m.maximum(floor, start * libm(m, math.pow, gamma, _decays(n, d, p, q, staircase)))


class InverseTime(Phase):
    """Divide by 1 + decay_rate · t: start / (1 + decay_rate · k / decay_steps), the 1/t decay.

    Args:
        decay_rate: >= 0.
        decay_steps: a duration, from the phase's start.
        staircase: count whole multiples of ``decay_steps`` only.
        duration: the phase's length, or ``None`` for the rest of the run, however long.

    Source: Robbins & Monro 1951.

    >>> InverseTime(1.0, decay_steps=2).curve(5).round(4).tolist()
    [1.0, 0.6667, 0.5, 0.4, 0.3333]
    >>> InverseTime(1.0, decay_steps=2, staircase=True).curve(5).round(4).tolist()
    [1.0, 1.0, 0.5, 0.5, 0.3333]
    """

    __slots__ = ()
    decay_rate: float
    decay_steps: Duration
    staircase: bool

    def __init__(
        self,
        decay_rate: float,
        decay_steps: Duration = 1,
        staircase: bool = False,
        duration: Duration | None = None,
    ) -> None:
        self._set(
            decay_rate=number(decay_rate, "InverseTime: decay_rate", low=0),
            decay_steps=as_duration(decay_steps, "InverseTime: decay_steps"),
            staircase=flag(staircase, "InverseTime: staircase"),
            duration=self._length(duration),
        )

    @property
    def needs_length(self) -> bool:
        return False

    def bind(self, span: Span) -> Shape:
        args = (*_rate(span, self.decay_steps), self.staircase, span.start, self.decay_rate)
        return Shape(_inverse_time, args, span.left_limit(_inverse_time, args, stairs=self.staircase))


def _inverse_time(m: Any, n: Any, d: int, p: int, q: int, staircase: bool, start: float, rate: float) -> Any:
    return start / (1.0 + rate * _decays(n, d, p, q, staircase))


class InverseSqrt(Phase):
    """Fall as 1/√t: start · √(timescale / (k + timescale)).

    After ``Warmup(W)``, ``InverseSqrt(W)`` is the transformer's schedule: min(t/W, √(W/t)).

    Args:
        timescale: a duration; after three of them the rate has halved.
        duration: the phase's length, or ``None`` for the rest of the run, however long.

    Source: Vaswani et al. 2017, arXiv 1706.03762.

    >>> InverseSqrt(4).curve(13)[[0, 4, 12]].round(4).tolist()
    [1.0, 0.7071, 0.5]
    """

    __slots__ = ()
    timescale: Duration

    def __init__(self, timescale: Duration, duration: Duration | None = None) -> None:
        self._set(timescale=as_duration(timescale, "InverseSqrt: timescale"), duration=self._length(duration))

    @property
    def needs_length(self) -> bool:
        return False

    def bind(self, span: Span) -> Shape:
        args = (*_rate(span, self.timescale), span.start)
        return Shape(_inverse_sqrt, args, span.left_limit(_inverse_sqrt, args))


def _inverse_sqrt(m: Any, n: Any, d: int, p: int, q: int, start: float) -> Any:
    return start * m.sqrt((d * p) / (q * n + d * p))


class Temperature(Phase):
    """Follow an annealing temperature: start · T(k) / T(0). The factor *falls* with the temperature.

    With T₀ and T_f the initial and final temperature, and u = k / D:

    - ``"linear"``: T = T₀ + (T_f − T₀)·u
    - ``"exponential"``: T = T₀ · (T_f / T₀)^u
    - ``"logarithmic"``: T = max(T_f, T₀ / ln(k + e)), the cooling for which simulated annealing is proved to converge
    - ``"relaxation"``: T ← T − (T − T_f)/D per update, so T = T_f + (T₀ − T_f)(1 − 1/D)^k; after its D updates
      1/e of the way is left, 37 %: it does not get cold. Decay further behind it: ``>> Linear("20%")``

    An often copied recipe, ``lr · exp(−T)`` with a falling T, *raises* the rate while it cools; this does not.

    Args:
        initial_temperature: T₀ > 0.
        final_temperature: T_f, in [0, T₀] (above 0 for ``"exponential"``).
        cooling: one of the four above.
        duration: the phase's length D, or ``None`` for the rest of the run.

    >>> Temperature(1.0, 0.2, duration=4).curve(5).round(4).tolist()
    [1.0, 0.8, 0.6, 0.4, 0.2]
    >>> Temperature(2.0, 0.5, "exponential", duration=2).curve(4).tolist()
    [1.0, 0.5, 0.25, 0.25]
    >>> Temperature(1.0, 0.4, "logarithmic").curve(11)[[0, 1, 10]].round(4).tolist()
    [1.0, 0.7615, 0.4]
    """

    __slots__ = ()
    initial_temperature: float
    final_temperature: float
    cooling: str

    def __init__(
        self,
        initial_temperature: float = 1.0,
        final_temperature: float = 0.01,
        cooling: str = "linear",
        duration: Duration | None = None,
    ) -> None:
        cooling = choice(cooling, _COOLING, "Temperature: cooling")
        initial = number(initial_temperature, "Temperature: initial_temperature", low=0, low_open=True)
        open_end = cooling == "exponential"
        final = number(
            final_temperature,
            "Temperature: final_temperature (which must not lie above the initial one)",
            low=0,
            high=initial,
            low_open=open_end,
        )
        self._set(
            initial_temperature=initial, final_temperature=final, cooling=cooling, duration=self._length(duration)
        )

    @property
    def needs_length(self) -> bool:
        return self.cooling != "logarithmic"

    def bind(self, span: Span) -> Shape:
        formula = _COOLING[self.cooling]
        length = span.required() if self.needs_length else 0  # else a longer run would be another program
        args = (length, span.start, self.final_temperature / self.initial_temperature)
        return Shape(formula, args, span.left_limit(formula, args))


def _cool_linearly(m: Any, n: Any, d: int, length: int, start: float, ratio: float) -> Any:
    return start * _blend(_left(n, d, length), 1.0, ratio)


def _cool_exponentially(m: Any, n: Any, d: int, length: int, start: float, ratio: float) -> Any:
    return start * libm(m, math.pow, ratio, n / (d * length))


def _cool_logarithmically(m: Any, n: Any, d: int, length: int, start: float, ratio: float) -> Any:
    return start * m.maximum(ratio, 1.0 / libm(m, math.log, n / d + math.e))


def _relax(m: Any, n: Any, d: int, length: int, start: float, ratio: float) -> Any:
    if length == 1:
        return start * _blend(0.0 ** (n / d), 1.0, ratio)
    left = libm(m, math.exp, n / d * math.log1p(-1.0 / length))  # a power would lose digits
    return start * _blend(left, 1.0, ratio)


_COOLING: dict[str, Formula] = {
    "linear": _cool_linearly,
    "exponential": _cool_exponentially,
    "logarithmic": _cool_logarithmically,
    "relaxation": _relax,
}


def _rate(span: Span, spec: Duration) -> tuple[int, int]:
    """A decay's own time scale as the exact number of updates p / q."""
    scale = span.measure(spec)
    return scale.numerator, scale.denominator


def _decays(n: Any, d: int, p: int, q: int, staircase: bool) -> Any:
    """How many time scales have passed: whole ones on a staircase."""
    return stairs(n, d, p, q) if staircase else (n * q) / (d * p)
