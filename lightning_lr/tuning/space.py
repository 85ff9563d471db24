"""What is searched: a name and its values for each axis, read and checked before anything is trained."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lightning_lr.core.checks import did_you_mean, number, shown, whole

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

Value = str | int | float | bool | None
RANGES = ("log", "linear")


class Axis(NamedTuple):
    """One parameter: the values of its grid, or the range that is searched."""

    name: str
    values: tuple[Value, ...] = ()
    distribution: BaseDistribution | None = None

    def suggest(self, trial: Trial) -> Any:
        """The value that Optuna has for a trial; a grid of numbers stays one of numbers for Optuna's own pictures."""
        if self.distribution is not None:
            fields = dict(self.distribution._asdict())
            if "choices" in fields:
                return trial.suggest_categorical(self.name, **fields)
            whole_numbers = type(self.distribution).__name__ == "IntDistribution"
            return (trial.suggest_int if whole_numbers else trial.suggest_float)(self.name, **fields)
        kinds = {type(value) for value in self.values}
        if kinds == {int}:
            return trial.suggest_int(self.name, min(self.values), max(self.values))  # type: ignore[type-var, arg-type]
        if kinds == {float}:
            return trial.suggest_float(self.name, min(self.values), max(self.values))  # type: ignore[type-var, arg-type]
        return trial.suggest_categorical(self.name, self.values)

    def ends(self) -> tuple[Any, ...]:
        """The values of a grid, or the ends of a range: what is certain to be allowed if it is allowed at all."""
        if self.distribution is None:
            return self.values
        fields = self.distribution._asdict()
        return tuple(fields["choices"]) if "choices" in fields else (fields["low"], fields["high"])

    def described(self) -> Any:
        """What is kept in the storage, to recognise the same space again."""
        return list(self.values) if self.distribution is None else repr(self.distribution)


class Space(tuple[Axis, ...]):
    """The axes in the user's order."""

    def points(self) -> Iterator[dict[str, Value]]:
        """Every point of the grid, the last axis fastest."""
        for values in itertools.product(*(axis.values for axis in self)):
            yield dict(zip((axis.name for axis in self), values, strict=True))

    def checked(self) -> Iterator[dict[str, Any]]:
        """What is looked at before training: every point of a grid; of ranges, each end and each choice once."""
        if self.is_grid:
            yield from self.points()
            return
        ends = {axis.name: axis.ends() for axis in self}
        for i in range(max(map(len, ends.values()))):
            yield {name: values[i % len(values)] for name, values in ends.items()}

    @property
    def size(self) -> int:
        """How many points the grid has."""
        return math.prod(len(axis.values) for axis in self)

    @property
    def is_grid(self) -> bool:
        """Whether every axis has values."""
        return all(axis.distribution is None for axis in self)


def as_space(space: object, sampler: str = "grid") -> Space:
    """A mapping of names to what each may be, checked.

    Args:
        space: for each name a list of values, of which TPE picks one; ``("log", low, high, n)`` or ``("linear", low,
            high, n)``, which is *n* values of equal ratios or differences for a grid, and everything in between for TPE
            (where *n* may be left out); or, for TPE, a distribution of Optuna's.
        sampler: ``"grid"`` or ``"tpe"``.

    Raises:
        ValueError: no axis; an empty list, a value twice, a value that cannot be stored; a range that is none.

    >>> [axis.values for axis in as_space({"lr": ("log", 1e-3, 1e-1, 3), "gamma": [0.9, 1]})]
    [(0.001, 0.01, 0.1), (0.9, 1.0)]
    >>> as_space({"lr": [0.1, 0.2, 0.1]})
    Traceback (most recent call last):
    ValueError: sweep: space['lr'] has 0.1 twice: every point is run once, and seeds= repeats them
    """
    if not isinstance(space, Mapping) or not space:
        raise ValueError(f"sweep: space must be a mapping such as {{'lr': [1e-3, 1e-2]}}, got {shown(space)}")
    for name in space:
        if not isinstance(name, str) or not name:
            raise ValueError(f"sweep: space must name its parameters with strings, got {shown(name)}")
    return Space(_axis(name, values, f"sweep: space[{name!r}]", sampler) for name, values in space.items())


def _axis(name: str, values: object, where: str, sampler: str) -> Axis:
    if isinstance(values, tuple) and values and isinstance(values[0], str) and values[0] in RANGES:
        return _range(name, values, where, sampler)
    if type(values).__module__ == "optuna.distributions":
        if sampler == "grid":
            raise ValueError(f"{where} is {values!r}, which a grid cannot exhaust: give a list, or sampler='tpe'")
        return Axis(name, distribution=values)  # type: ignore[arg-type]
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__iter__"):
        raise ValueError(f"{where} must be a list of values or a range ('log', low, high, n), got {shown(values)}")
    listed = [_plain(value, where) for value in values]
    if not listed:
        raise ValueError(f"{where} is empty: give at least one value")
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in listed) and any(
        isinstance(value, float) for value in listed
    ):
        listed = [float(value) for value in listed]  # type: ignore[arg-type]
    for i, value in enumerate(listed):
        for other in listed[:i]:
            if value == other:  # True is 1, for Python and for every storage
                said = f"{value!r} twice" if type(value) is type(other) else f"{other!r} and {value!r}, which are equal"
                raise ValueError(f"{where} has {said}: every point is run once, and seeds= repeats them")
    if sampler != "grid":
        from optuna.distributions import CategoricalDistribution

        return Axis(name, distribution=CategoricalDistribution(listed))
    return Axis(name, tuple(listed))


def _plain(value: Any, where: str) -> Value:
    """A value that every storage keeps as it is; numpy's numbers become Python's."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if not isinstance(value, (str, int, float, bool, type(None))):
        raise ValueError(f"{where} may hold strings, numbers, True, False and None, got {shown(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} holds {value}: give finite numbers")
    return value


def _range(name: str, given: Sequence[Any], where: str, sampler: str) -> Axis:
    kind = given[0]
    if len(given) not in (3, 4) or (len(given) == 3 and sampler == "grid"):
        raise ValueError(f"{where}: write ({kind!r}, low, high, n), with the number n of values, got {tuple(given)!r}")
    ratios = kind == "log"
    low = number(given[1], f"{where}: low", low=0 if ratios else -math.inf, low_open=ratios)
    high = number(given[2], f"{where}: high", low=low, low_open=True)
    n = whole(given[3], f"{where}: n", low=2) if len(given) == 4 else 2
    if sampler != "grid":
        from optuna.distributions import FloatDistribution

        return Axis(name, distribution=FloatDistribution(low, high, log=ratios))
    shares = [i / (n - 1) for i in range(n)]
    if kind == "linear":
        return Axis(name, tuple(low + (high - low) * share for share in shares))
    inner = tuple(
        float(f"{low * (high / low) ** share:.12g}") for share in shares[1:-1]
    )  # 0.01, not 0.010000000000000002
    return Axis(name, (low, *inner, high))


def refuse_unknown(names: Sequence[str], space: Space, where: str) -> None:
    """Every name that a template uses must be an axis."""
    known = [axis.name for axis in space]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or f"; there is {', '.join(known)}"
            raise ValueError(f"{where} uses {name!r}, which space does not vary{hint}")
