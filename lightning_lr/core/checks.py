"""What is refused, and in which words: every constructor of the package checks its arguments here."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from fractions import Fraction
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


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


def text(value: object, where: str, what: str = "a text", *, empty: bool = False) -> str:
    """``value`` if it is a str, and not an empty one, or ``ValueError``; ``what`` says what it is to be."""
    if isinstance(value, str) and (value or empty):
        return value
    raise ValueError(f"{where} must be {what}, got {shown(value)}")


def as_key(value: object, where: str) -> str:
    """``value`` as a key of parameter groups, or ``ValueError``."""
    if isinstance(value, str) and value not in ("", "params", "name") and not value.startswith("initial_"):
        return value
    raise ValueError(
        f"{where} must be a key of the parameter groups, such as 'lr' or 'weight_decay', got {shown(value)}"
    )


def exact(value: object, where: str) -> Fraction:
    """``value`` as an exact position on the time axis, or ``ValueError``: a float is none.

    >>> exact(3, "Horizon.after: position")
    Fraction(3, 1)
    """
    if isinstance(value, numbers.Rational) and not isinstance(value, bool):
        return Fraction(int(value.numerator), int(value.denominator))
    raise ValueError(f"{where} must be a whole number or a Fraction, got {shown(value)}")


def instance(value: object, cls: type[T] | tuple[type[T], ...], where: str, what: str) -> T:
    """``value`` if it is of this class, or ``ValueError``; ``what`` says how one is made."""
    if isinstance(value, cls):
        return value
    raise ValueError(f"{where} must be {what}, got {shown(value)}")


def items(value: object, where: str, what: str) -> list[Any]:
    """The items of a list, in whatever container they come, or ``ValueError``: texts, mappings and sets are no lists.

    >>> items((1, 2), "plot: schedule", "a list")
    [1, 2]
    """
    if isinstance(value, (str, bytes, Mapping, Set)) or not isinstance(value, Iterable):
        raise ValueError(f"{where} must be {what}, got {shown(value)}")
    try:
        return list(value)
    except TypeError:  # an array without dimensions
        raise ValueError(f"{where} must be {what}, got {shown(value)}") from None


def measured(values: object, where: str) -> list[float]:
    """What was measured, as floats, NaN and infinities among them; or ``ValueError`` naming the place of what is none.

    Numbers of numpy and of torch are numbers.

    >>> measured([2.5, 1], "plot_lr_vs_loss: losses")
    [2.5, 1.0]
    >>> measured([2.5, "1"], "plot_lr_vs_loss: losses")
    Traceback (most recent call last):
    ValueError: plot_lr_vs_loss: losses[1] must be a number, got '1' (a str)
    """
    return [real(value, f"{where}[{i}]") for i, value in enumerate(items(values, where, "a list of numbers"))]


def real(value: object, where: str) -> float:
    """``value`` as a float, which may be NaN or infinite, or ``ValueError``: what a metric had."""
    if getattr(value, "shape", None) == ():  # of numpy or torch
        value = value.item()  # type: ignore[attr-defined]
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:  # an int beyond every float
            return -math.inf if value < 0 else math.inf
    raise ValueError(f"{where} must be a number, got {shown(value)}")


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


def parameters_of(fn: Callable[..., Any]) -> tuple[str, ...]:
    """The names that ``fn`` takes, without ``self``, ``*`` and ``**``."""
    code = fn.__code__
    return tuple(code.co_varnames[_bound(fn) : code.co_argcount + code.co_kwonlyargcount])


def _bound(fn: Callable[..., Any]) -> int:
    """1 for a method, whose first parameter is what it is called on, else 0."""
    return int(fn.__code__.co_varnames[:1] in (("self",), ("cls",), ("_cls",)))


def suggesting(fn: F) -> F:
    """``fn`` with a ``TypeError`` for a misspelt keyword that names the parameter it may have meant.

    An ``__init__`` that takes ``**options`` hands them on to a base class, whose own check then knows the names of
    both. It costs a call: what runs at every update goes without.

    >>> @suggesting
    ... def scaled(lr, factor=2.0): ...
    >>> scaled(0.1, facter=3.0)
    Traceback (most recent call last):
    TypeError: scaled has no parameter 'facter'; did you mean 'factor'?
    """
    own, bound = parameters_of(fn), _bound(fn)
    hands_on = bool(fn.__code__.co_flags & inspect.CO_VARKEYWORDS)
    takes = own[: fn.__code__.co_argcount - bound]
    any_number = bool(fn.__code__.co_flags & inspect.CO_VARARGS)

    @functools.wraps(fn)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if len(args) - bound > len(takes) and not any_number:
            raise TypeError(
                f"{_called(fn, args)} takes {', '.join(takes) or 'nothing'} by position and all else by name, got "
                f"{len(args) - bound} arguments by position (several values for one parameter go into a list)"
            )
        unknown = [key for key in kwargs if key not in own]
        if unknown and not hands_on:
            raise TypeError(_misspelt(fn, args, unknown[0]))
        try:
            return fn(*args, **kwargs)
        except TypeError:
            known = _known(fn, args) if unknown else ()
            misspelt = [key for key in unknown if key not in known]
            if misspelt:  # rather than that another one is missing
                raise TypeError(_misspelt(fn, args, misspelt[0])) from None
            raise

    return checked  # type: ignore[return-value]


def fields_checked(cls: type, **checks: Callable[[object, str], object]) -> None:
    """Let the constructor of a ``NamedTuple`` check its fields and suggest the name of a misspelt one.

    ``_replace`` and ``_make`` check nothing: the package uses them for what it has made itself.
    """
    make = suggesting(cls.__new__)

    @functools.wraps(make)
    def checked(_cls: Any, *args: Any, **kwargs: Any) -> Any:
        made = make(_cls, *args, **kwargs)
        return _cls._make(checks[name](value, f"{cls.__name__}: {name}") for name, value in made._asdict().items())

    cls.__new__ = checked  # type: ignore[assignment]


def _called(fn: Callable[..., Any], args: tuple[Any, ...]) -> str:
    """What was called, in the user's words: a class by its name, whichever base class has the constructor."""
    if fn.__name__ == "__init__":
        return type(args[0]).__name__
    return args[0].__name__ if fn.__name__ == "__new__" else fn.__qualname__


def _known(fn: Callable[..., Any], args: tuple[Any, ...]) -> Sequence[str]:
    """The names that a call may give, those included that a constructor hands on to base classes."""
    if fn.__name__ != "__init__":
        return parameters_of(fn)
    names: list[str] = []
    for base in type(args[0]).__mro__[:-1]:
        init = getattr(vars(base).get("__init__"), "__wrapped__", None)
        names += [] if init is None else [name for name in parameters_of(init) if name not in names]
        if init is not None and not init.__code__.co_flags & inspect.CO_VARKEYWORDS:
            break  # it hands nothing on to the classes above
    return names


def _misspelt(fn: Callable[..., Any], args: tuple[Any, ...], key: str) -> str:
    names = _known(fn, args)
    takes = did_you_mean(key, names) or f"; it takes {', '.join(names) or 'none'}"
    return f"{_called(fn, args)} has no parameter {key!r}{takes}"
