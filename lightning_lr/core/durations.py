"""Units: ``500``, ``"3 epochs"`` and ``"20%"`` become positions, in optimizer updates, on the run's time axis.

Positions are exact fractions until a phase's boundary is rounded, so that shares which add up to 100% cover any
run exactly: boundaries are rounded, lengths never are.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from lightning_lr.core.checks import exact, shown, suggesting, whole

Duration = int | str
"""How a length is written: ``500`` or ``"500 steps"`` (optimizer updates), ``"3 epochs"``, ``"1.5ep"``, ``"20%"``."""

_TEXT = re.compile(r"\s*(?P<amount>[+-]?(?:\d{1,18}(?:\.\d{0,18})?|\.\d{1,18}))\s*(?P<unit>%|[a-zA-Z]*)\s*\Z")
_UNITS = {"": "steps", "step": "steps", "steps": "steps", "ep": "epochs", "epoch": "epochs", "epochs": "epochs"}
_ALLOWED = "write 500 or '500 steps' (optimizer updates), '3 epochs' or '20%' (of the whole run)"


def as_duration(value: object, where: str, *, zero: bool = False) -> Duration:
    """``value`` in its canonical form, or ``ValueError`` with the fix in the message.

    Args:
        value: what the user wrote.
        where: the class and parameter to name, such as ``"Warmup: duration"``.
        zero: whether a length of 0 is allowed.

    >>> as_duration("500 steps", "Warmup: duration"), as_duration("1.5ep", "x"), as_duration("20.0 %", "x")
    (500, '1.5 epochs', '20%')
    >>> as_duration(0.05, "Warmup: duration")
    Traceback (most recent call last):
    ValueError: Warmup: duration is a bare float, 0.05, which has no unit: write '5%' for a share of the run, \
or 500 or '500 steps' (optimizer updates), '3 epochs' or '20%' (of the whole run)
    """
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        amount, unit = Fraction(int(value)), "steps"
    elif isinstance(value, float):
        raise ValueError(f"{where} is a bare float, {value!r}, which has no unit: {_float_fix(value)}")
    elif isinstance(value, str) and (match := _TEXT.match(value)):
        amount = Fraction(match["amount"])
        unit = "%" if match["unit"] == "%" else _UNITS.get(match["unit"].lower(), "")
        if not unit:
            raise ValueError(f"{where} has the unknown unit {match['unit']!r} in {value!r}: {_ALLOWED}")
    else:
        raise ValueError(f"{where} must be a duration, got {shown(value)}: {_ALLOWED}")
    if amount < 0 or (amount == 0 and not zero):
        raise ValueError(f"{where} must be {'>= 0' if zero else 'positive'}, got {value!r}: {_ALLOWED}")
    if unit == "%" and amount > 100:
        raise ValueError(f"{where} is more than the whole run, got {value!r}: a share is at most '100%'")
    if unit == "steps":
        if amount.denominator != 1:
            raise ValueError(f"{where} must be a whole number of updates, got {value!r}: {_ALLOWED}")
        return int(amount)
    return f"{_decimal(amount)}%" if unit == "%" else f"{_decimal(amount)} epoch{'' if amount == 1 else 's'}"


def _float_fix(value: float) -> str:
    rest = _ALLOWED.removeprefix("write ")
    if math.isfinite(value) and 0 < value < 1:
        return f"write '{value * 100:g}%' for a share of the run, or {rest}"
    if math.isfinite(value) and value.is_integer() and value > 0:
        return f"write {int(value)} for optimizer updates, or {rest}"
    return _ALLOWED


def _decimal(amount: Fraction) -> str:
    """A fraction that came from decimal digits, in decimal digits again: exact, shortest."""
    if amount.denominator == 1:
        return str(amount.numerator)
    digits = 0
    while (amount * 10**digits).denominator != 1:
        digits += 1
    text = str(amount.numerator * 10**digits // amount.denominator).rjust(digits + 1, "0")
    return f"{text[:-digits]}.{text[-digits:]}"


def split(spec: Duration) -> tuple[Fraction, str]:
    """A canonical duration as an exact amount and its unit: ``"steps"``, ``"epochs"`` or ``"%"``."""
    if isinstance(spec, int):
        return Fraction(spec), "steps"
    if spec.endswith("%"):
        return Fraction(spec[:-1]), "%"
    return Fraction(spec.split()[0]), "epochs"


class Horizon:
    """How long a run is: its optimizer updates, and how many of them make an epoch.

    Args:
        total_steps: optimizer updates of the whole run, or ``None`` where nobody knows.
        steps_per_epoch: updates per epoch, or ``None``. A sequence gives each epoch's length, the last one repeating
            (accumulation that changes with the epoch does that).

    Raises:
        ValueError: a number is not whole or not positive.

    >>> h = Horizon(1000, steps_per_epoch=100)
    >>> h.after(0, "5%"), h.after(50, "3 epochs"), h.after(7, 500)
    (Fraction(50, 1), Fraction(350, 1), Fraction(507, 1))
    >>> Horizon(None).after(0, "5%")
    Traceback (most recent call last):
    ValueError: '5%' is a share of a run whose length is unknown: give total_steps=, or a length in updates
    """

    __slots__ = ("steps_per_epoch", "total_steps")
    total_steps: int | None
    steps_per_epoch: int | tuple[int, ...] | None

    @suggesting
    def __init__(self, total_steps: int | None, steps_per_epoch: int | Sequence[int] | None = None) -> None:
        if total_steps is not None:
            total_steps = whole(total_steps, "Horizon: total_steps", low=1)
        per_epoch: int | tuple[int, ...] | None
        if isinstance(steps_per_epoch, Sequence) and not isinstance(steps_per_epoch, str):
            lengths = tuple(whole(n, "Horizon: steps_per_epoch", low=1) for n in steps_per_epoch)
            while len(lengths) > 1 and lengths[-1] == lengths[-2]:
                lengths = lengths[:-1]  # the last repeats anyway
            if not lengths:
                raise ValueError("Horizon: steps_per_epoch must not be empty, got []")
            per_epoch = lengths if len(lengths) > 1 else lengths[0]
        elif steps_per_epoch is not None:
            per_epoch = whole(steps_per_epoch, "Horizon: steps_per_epoch", low=1)
        else:
            per_epoch = None
        object.__setattr__(self, "total_steps", total_steps)
        object.__setattr__(self, "steps_per_epoch", per_epoch)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Horizon is immutable; make another instead of assigning {name}")

    @suggesting
    def after(self, position: Fraction | int, spec: Duration) -> Fraction:
        """The exact position that lies the duration ``spec`` after ``position``."""
        return self._moved(exact(position, "Horizon.after: position"), _spec(spec, "Horizon.after: spec"), 1)

    @suggesting
    def before(self, position: Fraction | int, spec: Duration) -> Fraction:
        """The exact position that lies the duration ``spec`` before ``position``."""
        return self._moved(exact(position, "Horizon.before: position"), _spec(spec, "Horizon.before: spec"), -1)

    def _moved(self, position: Fraction, spec: Duration, sign: int) -> Fraction:
        amount, unit = split(spec)
        if unit == "steps":
            return position + sign * amount
        if unit == "epochs":
            return self.at_epoch(self._epochs(position) + sign * amount, spec)
        if self.total_steps is None:
            raise ValueError(
                f"{spec!r} is a share of a run whose length is unknown: give total_steps=, or a length in updates"
            )
        return position + sign * amount * self.total_steps / 100

    @suggesting
    def epochs(self, position: Fraction | int) -> Fraction:
        """Epochs that have passed at ``position``, fractions included."""
        return self._epochs(exact(position, "Horizon.epochs: position"))

    def _epochs(self, position: Fraction | int) -> Fraction:
        """As :meth:`epochs`, for what is asked at every update: nothing is checked."""
        if self.steps_per_epoch is None:
            return Fraction(0)  # at_epoch refuses
        if isinstance(self.steps_per_epoch, int):
            return Fraction(position) / self.steps_per_epoch
        done, begin = 0, 0
        for length in self.steps_per_epoch[:-1]:
            if position < begin + length:
                return done + Fraction(position - begin) / length
            done, begin = done + 1, begin + length
        return done + Fraction(position - begin) / self.steps_per_epoch[-1]

    @suggesting
    def at_epoch(self, epochs: Fraction | int, spec: object = None) -> Fraction:
        """The position at which ``epochs`` epochs have passed: the inverse of :meth:`epochs`.

        Where an epoch's length is unknown, the error says that ``spec`` counts epochs.
        """
        epochs = exact(epochs, "Horizon.at_epoch: epochs")
        if self.steps_per_epoch is None:
            said = epochs if spec is None else repr(spec)
            raise ValueError(
                f"{said} counts epochs, whose length is unknown: give steps_per_epoch= (in a plain loop) or a "
                "length in updates"
            )
        if isinstance(self.steps_per_epoch, int):
            return epochs * self.steps_per_epoch
        lengths = self.steps_per_epoch
        whole_epochs = max(0, min(int(epochs), len(lengths) - 1))  # before the run's start, the first epoch's length
        return Fraction(sum(lengths[:whole_epochs])) + (epochs - whole_epochs) * lengths[whole_epochs]

    def state(self) -> list[Any]:
        """Plain data for a checkpoint; ``Horizon(*state)`` is the way back."""
        per_epoch = self.steps_per_epoch
        return [self.total_steps, list(per_epoch) if isinstance(per_epoch, tuple) else per_epoch]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Horizon) and self.state() == other.state()

    def __hash__(self) -> int:
        return hash((self.total_steps, self.steps_per_epoch))

    def __repr__(self) -> str:
        per_epoch = "" if self.steps_per_epoch is None else f", steps_per_epoch={self.steps_per_epoch}"
        return f"Horizon({self.total_steps}{per_epoch})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Horizon, (self.total_steps, self.steps_per_epoch)


def _spec(value: object, where: str) -> Duration:
    """A duration of any length; what the package hands over is one already."""
    return as_duration(value, where, zero=True)


def horizon_of(who: str, total_steps: object, steps_per_epoch: object = None) -> Horizon:
    """A run whose length must be known, for a function of its own name: ``ValueError`` names that.

    >>> horizon_of("plot", 0)
    Traceback (most recent call last):
    ValueError: plot: total_steps must be a whole number >= 1, got 0
    """
    total = whole(total_steps, f"{who}: total_steps", low=1)
    try:
        return Horizon(total, steps_per_epoch)  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(str(error).replace("Horizon:", f"{who}:")) from None


def boundary(position: Fraction | int) -> int:
    """The whole update nearest to an exact position, halves up: ``floor(position + 1/2)``.

    >>> boundary(Fraction(5, 2)), boundary(Fraction(7, 3))
    (3, 2)
    """
    return math.floor(position + Fraction(1, 2))
