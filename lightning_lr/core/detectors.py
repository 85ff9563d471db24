"""Detectors: pure state machines that say when a metric has stopped getting better.

A detector minimises: whoever maximises a metric hands its negative over. Its state is a tuple of plain data and never
grows without bound. ``update`` takes the state and returns the next one; ``counts`` is False where an evaluation may
be good news but never bad news: during warmup, a hold or a cooldown. Detectors fire by level: as long as the condition
holds, until somebody acts and says so with ``after_action``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from lightning_lr.core.checks import choice, number, shown, whole
from lightning_lr.core.values import Value

State = tuple[Any, ...]


class Detector(Value):
    """When to act. Combine them: ``a | b`` fires when either does, ``a & b`` when both do on the same evaluation."""

    __slots__ = ()

    def init(self) -> State:
        """The state before the first evaluation."""
        raise NotImplementedError

    def update(self, state: State, value: float, counts: bool = True) -> tuple[State, bool]:
        """The state after one more value (to be minimised), and whether the detector fires."""
        raise NotImplementedError

    def _refused(self, state: object, value: object) -> ValueError:
        """The error for what :meth:`update` could make nothing of; nothing is checked before, which would cost time."""
        return ValueError(
            f"{type(self).__name__}.update: state must be what init() or update() returned and value must be a number, "
            f"got {shown(state)} and {shown(value)}"
        )

    def after_action(self, state: State) -> State:
        """The state once somebody has acted: what is best is kept, the evidence is dropped."""
        raise NotImplementedError

    def because(self, state: State) -> str:
        """The evidence in a few words, for the one line that tells of a decision."""
        raise NotImplementedError

    def best(self, state: State) -> float | None:
        """The best value so far, where the detector knows one."""
        return None

    @property
    def knows_best(self) -> bool:
        """Whether it tells an improvement: what ``Adapt(up=…)`` acts on."""
        return False

    def shape(self) -> str:
        """What kind of state it has: another kind's is of no use to it."""
        return type(self).__name__

    def __or__(self, other: Detector) -> Either:
        return Either(self, other)

    def __and__(self, other: Detector) -> Both:
        return Both(self, other)


def threshold_for(best: float, threshold: float, mode: str) -> float:
    """The value an improvement must be *below*: by ``threshold · |best|`` (``"rel"``) or ``threshold`` (``"abs"``).

    For a positive best this is torch's formula to the bit; for a negative one torch's takes a worse value for better.

    >>> threshold_for(1.0, 0.1, "rel"), threshold_for(-1.0, 0.1, "rel"), threshold_for(-1.0, 0.5, "abs")
    (0.9, -1.1, -1.5)
    """
    if mode == "abs":
        return best - threshold
    return best * (1.0 - threshold) if best >= 0 else best * (1.0 + threshold)


class Patience(Detector):
    """Fire on bad evaluation ``patience + 1`` in a row: one that is not better than the best by more than a threshold.

    Args:
        patience: how many bad evaluations in a row are borne, >= 0.
        threshold: >= 0.
        threshold_mode: ``"rel"`` (times \\|best\\|, sign-safe) or ``"abs"``.

    Source: torch's ``ReduceLROnPlateau``.

    >>> detector = Patience(1)
    >>> state, fired = detector.init(), []
    >>> for value in (1.0, 0.9, 0.95, 0.9, 0.8):
    ...     state, now = detector.update(state, value)
    ...     fired.append(now)
    >>> fired, state
    ([False, False, False, True, False], (0.8, 0))
    """

    __slots__ = ()
    patience: int
    threshold: float
    threshold_mode: str

    def __init__(self, patience: int = 10, threshold: float = 1e-4, threshold_mode: str = "rel") -> None:
        self._set(
            patience=whole(patience, "Patience: patience"),
            threshold=number(threshold, "Patience: threshold", low=0),
            threshold_mode=choice(threshold_mode, ("rel", "abs"), "Patience: threshold_mode"),
        )

    def init(self) -> State:
        return (None, 0)

    def update(self, state: State, value: float, counts: bool = True) -> tuple[State, bool]:
        try:
            best, bad = state
            if math.isfinite(value) and (
                best is None or value < threshold_for(best, self.threshold, self.threshold_mode)
            ):
                return (value, 0), False
            bad += counts
        except (TypeError, ValueError, OverflowError):
            raise self._refused(state, value) from None
        return (best, bad), counts and bad > self.patience

    def after_action(self, state: State) -> State:
        return (state[0], 0)

    def because(self, state: State) -> str:
        by = (
            f"{self.threshold:g}"
            if self.threshold_mode == "abs"
            else f"{self.threshold:.4%}".rstrip("0%").rstrip(".") + "%"
        )
        if state[0] is None:
            return f"no finite value in {state[1]} evaluations"
        return f"not better by more than {by} in {state[1]} evaluations"

    @property
    def knows_best(self) -> bool:
        return True

    def best(self, state: State) -> float | None:
        best: float | None = state[0]
        return best


class Window(Detector):
    """Fire when no value of the last ``window`` is better than the first of them by more than a threshold.

    A rule that asks whether the last values lie close together fires while the loss falls slowly but steadily, and
    not where it is flat and noisy; this one asks whether anything was gained.

    Args:
        window: evaluations looked at, >= 2.
        threshold: >= 0, times \\|first\\|.

    >>> detector = Window(3, threshold=0.01)
    >>> state, fired = detector.init(), []
    >>> for value in (1.0, 0.9, 0.8, 0.9, 0.85, 0.8):
    ...     state, now = detector.update(state, value)
    ...     fired.append(now)
    >>> fired
    [False, False, False, False, True, False]
    """

    __slots__ = ()
    window: int
    threshold: float

    def __init__(self, window: int = 10, threshold: float = 1e-3) -> None:
        self._set(
            window=whole(window, "Window: window", low=2), threshold=number(threshold, "Window: threshold", low=0)
        )

    def init(self) -> State:
        return ()

    def update(self, state: State, value: float, counts: bool = True) -> tuple[State, bool]:
        if not counts:
            return state, False
        try:
            values = (*state, value if math.isfinite(value) else math.inf)[-self.window :]
        except (TypeError, OverflowError):
            raise self._refused(state, value) from None
        if len(values) < self.window:
            return values, False
        first, least = values[0], min(values[1:])
        gained = least < (first if math.isinf(first) else threshold_for(first, self.threshold, "rel"))
        return values, not gained

    def after_action(self, state: State) -> State:
        return ()

    def because(self, state: State) -> str:
        return f"nothing gained by more than {self.threshold:g} of it within {len(state)} evaluations"


class Trend(Detector):
    """Fire when the slope of the recent values cannot be told from no progress, given their noise.

    At evaluation t since the last action, with d the differences of the last 61 values::

        σ  = 1.4826 · median|d − median d| / √2
        ρ  = clip(1 + 2 · lag-1 autocorrelation of (d − median d), 0, 0.8)
        σ* = σ · √((1 + ρ)/(1 − ρ)) / √(1 − ρ)
        δ  = c · |median of the last 8|                                        ("relative")
             c · (median of the first 5 − median of the last 8) / t            ("progress", free of scale)
        N  = clip(⌈(12 · (2 z σ* / δ)²)^(1/3)⌉, 8, 60)
        fire if t >= N and the least-squares slope of the last N values >= −δ/2

    The window grows with the noise as σ^(2/3), no faster than it must. A value that is not finite counts as the worst
    one remembered, one beyond ±1e100 as that.

    Args:
        form: ``"progress"`` (the default: fewer false alarms, later) or ``"relative"``.
        c: the progress per evaluation that still matters, as a share; ``None`` for 0.002 (relative) or 0.2 (progress).
        z: how sure to be, in standard deviations.

    >>> detector = Trend()
    >>> state, fired = detector.init(), []
    >>> for t in range(40):
    ...     state, now = detector.update(state, max(1.0, 2.0 - 0.1 * t))
    ...     fired.append(now)
    >>> fired.index(True)
    17
    """

    __slots__ = ()
    form: str
    c: float | None
    z: float

    KEPT = 61
    HUGE = 1e100
    FIRST, LAST = 5, 8
    SHORTEST, LONGEST = 8, 60

    def __init__(self, form: str = "progress", c: float | None = None, z: float = 2.054) -> None:
        self._set(
            form=choice(form, ("relative", "progress"), "Trend: form"),
            c=None if c is None else number(c, "Trend: c", low=0, low_open=True),
            z=number(z, "Trend: z", low=0, low_open=True),
        )

    def init(self) -> State:
        return (0, (), ())

    def update(self, state: State, value: float, counts: bool = True) -> tuple[State, bool]:
        try:
            t, first, last = state
            finite = math.isfinite(value)
        except (TypeError, ValueError, OverflowError):
            raise self._refused(state, value) from None
        if not finite:
            if not last:  # nothing finite yet: only time passes
                return (t + counts, (), ()), counts and t + 1 >= self.SHORTEST
            value = max(last)
        if not counts:
            return state, False
        t = t if last else 0
        value = min(max(value, -self.HUGE), self.HUGE)  # their squares are finite
        first = (*first, value) if len(first) < self.FIRST else first
        last = (*last, value)[-self.KEPT :]
        t += 1
        return (t, first, last), t >= self.SHORTEST and self._flat(t, first, last)

    def _flat(self, t: int, first: Sequence[float], last: Sequence[float]) -> bool:
        level = median(last[-self.LAST :])
        if self.form == "relative":
            delta = (self.c or 2e-3) * abs(level)
        else:
            delta = (self.c or 0.2) * (median(first) - level) / t
        doubt = 2.0 * self.z * noise(last)
        ratio = abs(doubt / delta) if delta else math.inf if doubt else 0.0
        needed = math.ceil((12.0 * min(1e3, ratio) ** 2) ** (1 / 3))  # beyond 1e3 the window is the longest anyway
        n = min(max(needed, self.SHORTEST), self.LONGEST)
        return t >= n and slope(last[-n:]) >= -delta / 2

    def after_action(self, state: State) -> State:
        return self.init()

    def because(self, state: State) -> str:
        return f"no trend beyond the noise after {state[0]} evaluations"


def noise(values: Sequence[float]) -> float:
    """The scale of the noise in a slowly falling series, its autocorrelation included: σ* of :class:`Trend`."""
    steps = [b - a for a, b in itertools.pairwise(values)]
    centre = median(steps)
    off = [step - centre for step in steps]
    sigma = 1.4826 * median(map(abs, off)) / math.sqrt(2)
    power = math.fsum(x * x for x in off)
    lag = math.fsum(x * y for x, y in itertools.pairwise(off)) / power if power > 0 else -0.5
    rho = min(max(1.0 + 2.0 * lag, 0.0), 0.8)
    return sigma * math.sqrt((1.0 + rho) / (1.0 - rho)) / math.sqrt(1.0 - rho)


def slope(values: Sequence[float]) -> float:
    """The least-squares slope of equally spaced values, per step.

    >>> slope([3.0, 2.0, 1.0])
    -1.0
    """
    n = len(values)
    centre = (n - 1) / 2
    return math.fsum((i - centre) * v for i, v in enumerate(values)) * 12.0 / (n * (n * n - 1))


class _Pair(Detector):
    __slots__ = ()
    a: Detector
    b: Detector

    def __init__(self, a: Detector, b: Detector) -> None:
        self._set(a=as_detector(a, f"{type(self).__name__}: a"), b=as_detector(b, f"{type(self).__name__}: b"))

    def init(self) -> State:
        return (self.a.init(), self.b.init())

    def _both(self, state: State, value: float, counts: bool) -> tuple[State, bool, bool]:
        try:
            one, other = state
        except (TypeError, ValueError):
            raise self._refused(state, value) from None
        (a, fired_a), (b, fired_b) = self.a.update(one, value, counts), self.b.update(other, value, counts)
        return (a, b), fired_a, fired_b

    def after_action(self, state: State) -> State:
        return (self.a.after_action(state[0]), self.b.after_action(state[1]))

    @property
    def knows_best(self) -> bool:
        return self.a.knows_best or self.b.knows_best

    def best(self, state: State) -> float | None:
        own = self.a.best(state[0])
        return self.b.best(state[1]) if own is None else own

    def shape(self) -> str:
        return f"{type(self).__name__}({self.a.shape()}, {self.b.shape()})"


class Either(_Pair):
    """``a | b``: fires when one of the two does.

    Args:
        a: a detector.
        b: another one.
    """

    __slots__ = ()

    def update(self, state: State, value: float, counts: bool = True) -> tuple[State, bool]:
        after, a, b = self._both(state, value, counts)
        return after, a or b

    def because(self, state: State) -> str:
        return f"{self.a.because(state[0])}, or {self.b.because(state[1])}"

    def __repr__(self) -> str:
        return f"({self.a!r} | {self.b!r})"


class Both(_Pair):
    """``a & b``: fires when both do on the same evaluation.

    Args:
        a: a detector.
        b: another one.
    """

    __slots__ = ()

    def update(self, state: State, value: float, counts: bool = True) -> tuple[State, bool]:
        after, a, b = self._both(state, value, counts)
        return after, a and b

    def because(self, state: State) -> str:
        return f"{self.a.because(state[0])}, and {self.b.because(state[1])}"

    def __repr__(self) -> str:
        return f"({self.a!r} & {self.b!r})"


def as_detector(value: object, where: str) -> Detector:
    """``value`` as a detector: one already, or a mapping that names one."""
    if isinstance(value, Detector):
        return value
    if isinstance(value, Mapping):
        from lightning_lr.core.band import Band
        from lightning_lr.core.coerce import build

        known: dict[str, type[Detector]] = {c.__name__: c for c in (Patience, Window, Trend, Band, Either, Both)}
        return build(value, known, "detector", where)
    raise ValueError(f"{where} must be a detector such as Patience(10), got {shown(value)}")


def tuples(value: Any) -> Any:
    """A saved state, whose tuples have become lists, as it was."""
    return tuple(map(tuples, value)) if isinstance(value, (list, tuple)) else value


def lists(value: Any) -> Any:
    """A state as plain data for a checkpoint."""
    return list(map(lists, value)) if isinstance(value, (list, tuple)) else value
