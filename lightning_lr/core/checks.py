"""What is refused, and in which words: every constructor of the package checks its arguments here."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def shown(value: object) -> str:
    """``value`` as an error message shows it: its repr, with the type where that is what was wrong.

    >>> shown(1.5), shown(True), shown("a")
    ('1.5', 'True (a bool)', "'a' (a str)")
    """
    text = repr(value)
    text = text if len(text) <= 200 else f"{text[:200]}…"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return text
    return f"{text} (a {type(value).__name__})"


def number(
    value: object,
    where: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    low_open: bool = False,
    high_open: bool = False,
) -> float:
    """``value`` as a float in the interval, or ``ValueError`` saying what was given and what is allowed.

    >>> number(0.5, "Warmup: start_factor", low=0, high=1)
    0.5
    >>> number(1.5, "Warmup: start_factor", low=0, high=1)
    Traceback (most recent call last):
    ValueError: Warmup: start_factor must be a number in [0, 1], got 1.5
    """
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            x = float(value)
        except OverflowError:  # an int beyond every float
            x = math.inf
        above = x > low if low_open else x >= low
        below = x < high if high_open else x <= high
        if above and below and math.isfinite(x):
            return x
    raise ValueError(f"{where} must be a number {_interval(low, high, low_open, high_open)}, got {shown(value)}")


def _interval(low: float, high: float, low_open: bool, high_open: bool) -> str:
    if math.isinf(high):
        return "that is finite" if math.isinf(low) else f"{'>' if low_open else '>='} {low:g} (finite)"
    return f"in {'(' if low_open else '['}{low:g}, {high:g}{')' if high_open else ']'}"


def whole(value: object, where: str, *, low: int = 0) -> int:
    """``value`` as an int of at least ``low``, or ``ValueError``."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= low:
        return int(value)
    raise ValueError(f"{where} must be a whole number >= {low}, got {shown(value)}")


def flag(value: object, where: str) -> bool:
    """``value`` as a bool, or ``ValueError``: 0, 1 and "yes" are not flags."""
    if isinstance(value, bool):
        return value
    raise ValueError(f"{where} must be True or False, got {shown(value)}")


def choice(value: object, allowed: Iterable[str], where: str) -> str:
    """``value`` if it is one of ``allowed``, or ``ValueError`` with the nearest match.

    >>> choice("cosin", ["linear", "cosine"], "Warmup: shape")
    Traceback (most recent call last):
    ValueError: Warmup: shape must be one of 'linear', 'cosine', got 'cosin' (a str); did you mean 'cosine'?
    """
    options = list(allowed)
    if isinstance(value, str) and value in options:
        return value
    listed = ", ".join(repr(option) for option in options)
    raise ValueError(f"{where} must be one of {listed}, got {shown(value)}{did_you_mean(value, options)}")


def is_a(thing: object, name: str) -> bool:
    """Whether it is of the class of this name or of one derived from it, in whichever of Lightning's two packages.

    >>> is_a(True, "int"), is_a(1.5, "int")
    (True, False)
    """
    return any(cls.__name__ == name for cls in type(thing).__mro__)


def did_you_mean(value: object, options: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the option nearest to ``value``, or the empty string."""
    import difflib  # only an error needs it

    near = difflib.get_close_matches(str(value), list(options), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def parameters_of(init: Callable[..., Any]) -> tuple[str, ...]:
    """The names that ``init`` takes after ``self``, without ``*`` and ``**``."""
    code = init.__code__
    return tuple(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])


def suggesting(init: F) -> F:
    """``init`` with a ``TypeError`` for a misspelt keyword that names the parameter it may have meant.

    An ``init`` that takes ``**options`` hands them on to a base class, whose own check then knows the names of both.
    """
    own = parameters_of(init)
    hands_on = bool(init.__code__.co_flags & inspect.CO_VARKEYWORDS)
    takes = own[: init.__code__.co_argcount - 1]
    any_number = bool(init.__code__.co_flags & inspect.CO_VARARGS)

    @functools.wraps(init)
    def checked(self: object, *args: Any, **kwargs: Any) -> Any:
        if len(args) > len(takes) and not any_number:
            raise TypeError(
                f"{type(self).__name__} takes {', '.join(takes) or 'nothing'} by position and all else by name, got "
                f"{len(args)} arguments by position (several values for one parameter go into a list)"
            )
        unknown = [key for key in kwargs if key not in own]
        if unknown and not hands_on:
            raise TypeError(_misspelt(type(self), unknown[0]))
        try:
            return init(self, *args, **kwargs)
        except TypeError:
            known = _parameters_of_class(type(self)) if unknown else []
            misspelt = [key for key in unknown if key not in known]
            if misspelt:  # rather than that another one is missing
                raise TypeError(_misspelt(type(self), misspelt[0])) from None
            raise

    return checked  # type: ignore[return-value]


def _parameters_of_class(cls: type) -> list[str]:
    names: list[str] = []
    for base in cls.__mro__[:-1]:
        init = getattr(vars(base).get("__init__"), "__wrapped__", None)
        names += [] if init is None else [name for name in parameters_of(init) if name not in names]
        if init is not None and not init.__code__.co_flags & inspect.CO_VARKEYWORDS:
            break  # it hands nothing on to the classes above
    return names


def _misspelt(cls: type, key: str) -> str:
    names = _parameters_of_class(cls)
    listed = ", ".join(names) or "none"
    return f"{cls.__name__} has no parameter {key!r}{did_you_mean(key, names) or '; it takes ' + listed}"
