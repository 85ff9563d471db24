"""What the source article says of optimizers, held against what was measured, by a rule that is printed.

Each claim is a number of differences that it says are above 0, each measured once for every seed; it is judged by the
95 % intervals of their means over the seeds (Student's t). ``RULE`` says how.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

RULE = (
    "rule: a claim is a set of k differences said to be above 0, each measured once per seed (3 seeds at least); "
    "confirmed: the 95 % interval (Student's t over the seeds) of every one lies above 0; not confirmed: the interval "
    "of one, at 1 - 5 % / k since any of k may do so by chance, lies below 0; no difference: anything else. Several "
    "claims are judged, each by itself"
)
SEEDS = 3
"""Fewer say nothing: shares of a grid are coarse, and two seeds may well agree to the digit."""


class Verdict(NamedTuple):
    """A claim of the source article, what was found, and the differences with their intervals."""

    claim: str
    found: str
    why: str


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """The interval of the mean at this level; boundless for fewer than three values.

    >>> [round(end, 3) for end in interval([1.0, 2.0, 3.0])]
    [-0.484, 4.484]
    >>> interval([1.0, 1.0])
    (-inf, inf)
    """
    if len(values) < SEEDS:
        return (-math.inf, math.inf)
    from scipy.stats import t

    half = float(t.ppf((1 + level) / 2, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return (statistics.fmean(values) - half, statistics.fmean(values) + half)


def judged(claim: str, differences: Mapping[str, Sequence[float]], lacking: str = "") -> Verdict:
    """The verdict on a claim.

    Args:
        claim: in words.
        differences: what each is about, and its value for each seed.
        lacking: why nothing can be said, if so.

    >>> judged("a beats b", {"a - b": [0.9, 1.0, 1.1]}).found
    'confirmed'
    >>> judged("a beats b", {"a - b": [-0.9, -1.0, -1.1]}).found
    'not confirmed'
    >>> judged("a beats b", {"a - b": [-1.0, 1.0, 1.0]}).found
    'no difference'
    """
    if lacking or not differences:
        return Verdict(claim, "not measured", lacking)
    intervals = {name: interval(values) for name, values in differences.items()}
    if all(low > 0 for low, _ in intervals.values()):
        found = "confirmed"
    else:
        level = 1 - 0.05 / len(differences)
        against = any(interval(values, level)[1] < 0 for values in differences.values())
        found = "not confirmed" if against else "no difference"
    told = [f"{name} {_short(differences[name])} [{low:.3g}, {high:.3g}]" for name, (low, high) in intervals.items()]
    return Verdict(claim, found, "; ".join(told))


def _short(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.3g}"
