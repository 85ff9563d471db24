"""How two things are compared: in stretches that take turns, in one process; never against a clock on the wall.

A *round* is one stretch of every arm, in an order that moves on from round to round. Whatever slows the machine for
longer than a round slows all arms of it alike, so each round has a ratio of its own, and their median and quartiles are
what is reported. Seconds are the processor's, of all threads of the process: on a busy machine an arm is not charged
for what others do in its turn. Where processes wait for each other, the arms say so, and the clock's seconds are taken.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Arm(NamedTuple):
    """One of the things compared: a call of ``run`` is a stretch of ``count`` operations, with a loop of its own.

    The loop is the arm's, so that none pays for a wrapper that another does without.
    """

    run: Callable[[], object]
    count: int = 1


class Spread(NamedTuple):
    """The quartiles of what the rounds measured."""

    low: float
    median: float
    high: float

    def scaled(self, by: float) -> Spread:
        """In another unit."""
        return Spread(*(value * by for value in self))

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


def spread(values: Iterable[float]) -> Spread:
    """The quartiles; between two values they are interpolated.

    >>> spread([1.0, 2.0, 3.0, 4.0, 5.0])
    Spread(low=2.0, median=3.0, high=4.0)
    """
    several = list(values)
    return Spread(*statistics.quantiles(several * 2 if len(several) == 1 else several, n=4, method="inclusive"))


class Rounds(list[tuple[float, ...]]):
    """The seconds that one operation took: a row for each round, a column for each arm."""

    def ratio(self, of: int = 0, to: int = 1) -> Spread:
        """One arm's cost as a multiple of another's, round by round."""
        return spread(seconds[of] / seconds[to] for seconds in self)

    def merged(self, size: int) -> Rounds:
        """Fewer rounds: each arm's median over so many of them. For differences that one round would bury in noise."""
        blocks = [self[i : i + size] for i in range(0, len(self) - size + 1, size)]
        return Rounds(tuple(map(statistics.median, zip(*block, strict=True))) for block in blocks)

    def cost(self, arm: int = 0) -> float:
        """The median seconds of one operation."""
        return statistics.median(seconds[arm] for seconds in self)


def stretch(arm: Arm, clock: Callable[[], float] = time.process_time) -> float:
    """The seconds of one of its operations, over one stretch."""
    gc.disable()
    try:
        begin = clock()
        arm.run()
        return (clock() - begin) / arm.count
    finally:
        gc.enable()


def interleave(arms: Sequence[Arm], rounds: int, clock: Callable[[], float] = time.process_time) -> Rounds:
    """Time the arms in turns; one stretch of each goes before and is not counted: every arm runs ``rounds + 1``."""
    for arm in arms:
        stretch(arm, clock)
    found = Rounds()
    for number in range(rounds):
        seconds = [0.0] * len(arms)
        for place in range(len(arms)):
            which = (number + place) % len(arms)
            seconds[which] = stretch(arms[which], clock)
        found.append(tuple(seconds))
    return found


class Row(NamedTuple):
    """A line of the table.

    Attributes:
        what: what is compared with what.
        variant: in which of its forms.
        cost: ours in a handy unit: information, and another on every machine.
        found: a ratio's quartiles, or a number that is no time, or why there is none.
        target: what the ratio or number must not exceed; ``None``: the row is there for information.
        below: whether it must stay below the target.
        unit: of a number that is no ratio.
    """

    what: str
    variant: str
    cost: str
    found: Spread | float | str
    target: float | None = None
    below: bool = False
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; ``None`` where nothing was to be met, or nothing was found."""
        if self.target is None or isinstance(self.found, str):
            return None
        value = self.found.median if isinstance(self.found, Spread) else self.found
        return value < self.target if self.below else value <= self.target

    def cells(self) -> list[str]:
        """What the table shows of it."""
        found = f"{self.found:.3g}" if isinstance(self.found, (int, float)) else str(self.found)
        sign = "<" if self.below else "≤"
        target = "" if self.target is None else f"{sign} {self.target:g}{self.unit}"
        verdict = {None: "", True: "met", False: "missed"}[self.met]
        return [self.what, self.variant, self.cost, found + self.unit, target, verdict]


HEAD = ["what", "variant", "ours", "found: median (quartiles)", "target", ""]


def table(rows: Iterable[Row]) -> str:
    """The rows in aligned columns, which are a table in markdown as well."""
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(cell.ljust(w) for cell, w in zip(line, widths, strict=True))} |" for line in lines)


def child(*folders: Path) -> dict[str, str]:
    """The environment of another process that finds what lies in these folders before anything else."""
    paths = [*map(str, folders), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def micro(seconds: float) -> str:
    """Seconds as microseconds."""
    return f"{seconds * 1e6:.3g} µs"
