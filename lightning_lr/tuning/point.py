"""One run of one point: what the user's function is given, what it gives back, and what is no crash but a result."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from lightning_lr.core.checks import did_you_mean, shown

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

    from lightning_lr.core.schedules.base import Schedule

_NOT_FINITE = re.compile(r"\b(nan|inf|infinite|infinity|non-?finite|not finite)\b", re.IGNORECASE)


class Params(Mapping[str, Any]):
    """The values of a point, ``params["lr"]`` or ``params.lr``; it knows which of them were asked for.

    >>> params = Params({"lr": 0.1, "gamma": 0.9})
    >>> params.lr, params["gamma"], dict(params)
    (0.1, 0.9, {'lr': 0.1, 'gamma': 0.9})
    >>> params.gama
    Traceback (most recent call last):
    AttributeError: the point has no parameter 'gama'; did you mean 'gamma'? It has lr, gamma
    """

    def __init__(self, values: Mapping[str, Any], used: set[str] | None = None) -> None:
        self._values = dict(values)
        self.used = set() if used is None else used

    def __getitem__(self, name: str) -> Any:
        self.used.add(name)
        return self._values[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # copying and pickling ask before there are values
            raise AttributeError(name)
        if name not in self._values:
            hint = did_you_mean(name, self._values) or "."
            raise AttributeError(f"the point has no parameter {name!r}{hint} It has {', '.join(self._values)}")
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy, or another process, asks for cannot be seen here: it may be all."""
        self.used.update(self._values)
        return self.__dict__

    @property
    def plain(self) -> dict[str, Any]:
        """The values, without asking for them."""
        return dict(self._values)

    def __repr__(self) -> str:
        return spelt(self._values)


def spelt(params: Mapping[str, Any]) -> str:
    """A point as messages and legends have it.

    >>> spelt({"lr": 0.1, "schedule": "cosine"})
    'lr=0.1, schedule=cosine'
    """
    return ", ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in params.items()
    )


class Point:
    """What the user's function is given.

    Args:
        params: the values, as a mapping and as attributes.
        seed: of this repetition; seed what you like with it.
        fold: which of the ``folds`` parts of the data validates, ``None`` without folds.
        folds: how many parts there are.
        schedule: what ``sweep(schedule=...)`` makes of these values.
        metric: what is watched by ``callbacks``.
        pruning: makes the callback that prunes, where this run may be pruned.
    """

    def __init__(
        self,
        params: Params,
        seed: int = 0,
        fold: int | None = None,
        folds: int | None = None,
        schedule: Schedule | None = None,
        metric: str = "val_loss",
        pruning: Callable[[], Callback] | None = None,
    ) -> None:
        self.params = params
        self.seed = seed
        self.fold = fold
        self.folds = folds
        self._schedule = schedule
        self.asked_for_schedule = False
        self._metric = metric
        self._pruning = pruning

    @property
    def schedule(self) -> Schedule | None:
        """What ``sweep(schedule=...)`` makes of these values; it is known whether it was asked for."""
        self.asked_for_schedule = True
        return self._schedule

    def __getstate__(self) -> dict[str, Any]:
        """As for its parameters: a copy's schedule may be asked for where it is not seen."""
        self.asked_for_schedule = True
        return self.__dict__

    @cached_property
    def callbacks(self) -> list[Callback]:
        """For ``Trainer(callbacks=[*point.callbacks, ...])``: they collect the metric, stop a run whose metric is not
        finite, and prune."""
        from lightning_lr.tuning.watch import Watch

        return [Watch(self._metric), *([self._pruning()] if self._pruning is not None else [])]

    @property
    def watch(self) -> Any:
        """The callback that collects, if the run has asked for it."""
        return self.__dict__["callbacks"][0] if "callbacks" in self.__dict__ else None

    def __repr__(self) -> str:
        fold = "" if self.fold is None else f", fold {self.fold}"
        return f"{self.params!r} (seed {self.seed}{fold})"


class Run(NamedTuple):
    """What came of one run: the metric at its end, and less of it where it failed.

    ``gap`` is how much worse validation is than training; ``curve`` the metric after so many updates; ``failed`` is
    why it is no result, or ``None``.
    """

    params: Mapping[str, Any]
    seed: int
    fold: int | None
    score: float | None
    gap: float | None
    failed: str | None
    curve: Sequence[tuple[int, float]] = ()


def metrics_of(result: object, point: Point) -> dict[str, float]:
    """The numbers in what the user's function returned: a Trainer, a mapping, or nothing where callbacks watched."""
    if result is None and point.watch is not None and point.watch.metrics is not None:
        values: Mapping[Any, Any] = point.watch.metrics
    elif isinstance(result, Mapping):
        values = result
    else:
        values = getattr(result, "callback_metrics", None)  # type: ignore[assignment]
    if values is None:
        raise TypeError(
            "train must return the Trainer, or a mapping of metrics, or give point.callbacks to its Trainer; "
            f"it returned {shown(result)}"
        )
    out = {}
    for name, value in values.items():
        try:
            out[str(name)] = float(value)
        except (TypeError, ValueError, RuntimeError):
            continue  # a text, a tensor of several numbers
    return out


def wanted(metrics: Mapping[str, float], name: str, option: str) -> float:
    """One of the metrics, or an error that names the nearest."""
    if name not in metrics:
        listed = ", ".join(metrics) or "none"
        raise ValueError(f"sweep: {option}={name!r} is not logged{did_you_mean(name, metrics)}; available: {listed}")
    return metrics[name]


def diverged(error: BaseException) -> str | None:
    """Why an exception is a result of the point's values: what is no number any more; ``None`` for any other.

    >>> diverged(FloatingPointError("val_loss is nan after update 40"))
    'FloatingPointError: val_loss is nan after update 40'
    >>> diverged(ValueError("loss is inf")), diverged(ValueError("no such layer")), diverged(TypeError("nan"))
    ('ValueError: loss is inf', None, None)
    >>> diverged(ZeroDivisionError("division by zero")) is None  # no batches: a bug, which divergence is not
    True
    """
    arithmetic = isinstance(error, (FloatingPointError, OverflowError))
    said = isinstance(error, (ValueError, RuntimeError)) and _NOT_FINITE.search(str(error)) is not None
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}" if arithmetic or said else None


def measured(point: Point, result: object, metric: str, gap: str | None, sign: float) -> Run:
    """The run that a function's result stands for."""
    metrics = metrics_of(result, point)
    score = wanted(metrics, metric, "metric")
    train = None if gap is None else wanted(metrics, gap, "gap")
    curve = [] if point.watch is None else point.watch.curve
    failed = next((f"{name} is {value}" for name, value in ((metric, score), (gap, train)) if _bad(value)), None)
    module = getattr(result, "lightning_module", None)
    if failed is None and module is not None:  # an accuracy is a number even then
        from lightning_lr.tuning.watch import not_finite

        failed = not_finite(module)
    worse = None if train is None or failed else sign * (score - train)
    return Run(point.params.plain, point.seed, point.fold, None if failed else score, worse, failed, curve)


def failure(point: Point, why: str) -> Run:
    """The run that ended in no number."""
    curve = [] if point.watch is None else point.watch.curve
    return Run(point.params.plain, point.seed, point.fold, None, None, why, curve)


def _bad(value: float | None) -> bool:
    return value is not None and not math.isfinite(value)
