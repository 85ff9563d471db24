"""What a range test says: from losses at growing learning rates to a peak for the schedule.

All suggestions are made in log lr and from one smoothed curve. The losses end at the first one that is not finite. A
blow-up after their minimum is clipped a little above the level from which they fell: its height does not matter. Then a
Gaussian whose standard deviation is a twentieth of the points is laid over each point. Averaging to both sides moves
the curve neither to the left nor to the right, as a running mean would.

The curve's *fall* is its highest point before its minimum, less the minimum. A curve that may be flat is refused: the
minimum must lie below the mean of the losses before it by 5 standard errors, of which the noise around the minimum is a
part. Of flat curves of 100 noisy points one in 200 passes.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lightning_lr.core.checks import fields_checked, number

Floats = NDArray[np.float64]

FEWEST = 20
"""A curve of fewer points is refused."""
STEEP = 0.2
"""What still belongs to the valley: a fifth of its steepest descent."""
CERTAIN = 5.0
"""By how many standard errors the minimum must lie below what was before."""
MARGIN = 10.0
"""How far from trouble a suggestion stays: 10 times its lr must not be worse."""


class Suggestions(NamedTuple):
    """Five answers to one question, the schedule's peak lr. Made by :func:`suggest`.

    ``median`` is the median of the logarithms of the other four: the geometric mean of the two in the middle.

    >>> Suggestions(valley=0.01, steepest=0.004, slide=0.04, minimum=0.02, median=0.014).spread
    10.0
    """

    valley: float
    steepest: float
    slide: float
    minimum: float
    median: float

    @property
    def spread(self) -> float:
        """The largest divided by the smallest: beyond about 10 look at the curve before trusting any of them."""
        return max(self) / min(self)


fields_checked(Suggestions, **dict.fromkeys(Suggestions._fields, partial(number, low=0, low_open=True)))


def suggest(lrs: ArrayLike, losses: ArrayLike) -> Suggestions:
    """All suggestions for one range test.

    Args:
        lrs: learning rates, positive and increasing.
        losses: the loss of the batch that each was used with, not smoothed; the first one that is NaN or infinite
            ends the curve.

    Raises:
        ValueError: lrs that do not increase; fewer than 20 finite losses; a loss that does not fall by more than its
            noise. The message says what to change in the test.

    >>> lrs = np.geomspace(1e-6, 10, 71)  # 10 points a decade
    >>> losses = 2 - 1.5 / (1 + (lrs / 1e-3) ** -2) + lrs**2  # falls around 1e-3, and blows up at 1
    >>> {name: float(f"{lr:.2g}") for name, lr in suggest(lrs, losses)._asdict().items()}
    {'valley': 0.0029, 'steepest': 0.001, 'slide': 0.01, 'minimum': 0.0032, 'median': 0.003}
    """
    four = (valley(lrs, losses), steepest(lrs, losses), slide(lrs, losses), minimum(lrs, losses))
    return Suggestions(*four, median=math.exp(float(np.median(np.log(four)))))


def valley(lrs: ArrayLike, losses: ArrayLike) -> float:
    """The point two thirds along the longest decreasing stretch of the smoothed loss over log lr.

    A stretch consists of neighbouring points where the loss falls at least a fifth as steeply as where it is steepest:
    the flat ends of a valley are long and say little. It lies between the last place where three quarters of the fall
    are still to come and the minimum: what noise does before is no valley.

    Source: the idea is fastai's ``valley``, which takes the longest decreasing subsequence.
    """
    x, slope = _descent(lrs, losses)
    falls = np.append(slope <= STEEP * slope.min(), False)
    best, begin = (0, 0), 0
    for i, falling in enumerate(falls):
        if falling:
            continue
        if i > begin and x[i - 1] - x[begin] >= x[best[1]] - x[best[0]]:
            best = (begin, i - 1)
        begin = i + 1
    return math.exp(x[best[0]] + 2 / 3 * (x[best[1]] - x[best[0]]))


def steepest(lrs: ArrayLike, losses: ArrayLike) -> float:
    """The lr where the smoothed loss falls fastest per log lr, in the last three quarters of its fall.

    Per lr, as Lightning differentiates, the smallest lrs win: there the same change is divided by almost nothing.
    """
    x, slope = _descent(lrs, losses)
    return math.exp(x[slope.argmin()])


def slide(lrs: ArrayLike, losses: ArrayLike) -> float:
    """The largest lr before the loss blows up: 10 times as much would not yet be worse.

    An interval one decade wide (half of the range, where that is less) slides from the largest lr to the left, until
    the smoothed loss at its right end is not above that at its left end, and at least half of the fall is kept there.
    Its left end is the suggestion; the smallest lr, if there is no such place.

    Source: the idea is fastai's ``slide``, which compares gradients at both ends of an interval.
    """
    x, loss = _log(lrs, losses)
    width = min(math.log(MARGIN), (x[-1] - x[0]) / 2)
    kept = loss <= loss.min() + _fall(loss) / 2
    fits = (x - width >= x[0]) & (loss <= np.interp(x - width, x, loss)) & kept
    return math.exp(x[np.flatnonzero(fits)[-1]] - width if fits.any() else x[0])


def minimum(lrs: ArrayLike, losses: ArrayLike) -> float:
    """A tenth of the lr where the smoothed loss is least: at the least itself nothing is gained any more."""
    x, loss = _log(lrs, losses)
    return math.exp(x[loss.argmin()]) / MARGIN


def smoothed(lrs: ArrayLike, losses: ArrayLike) -> tuple[Floats, Floats]:
    """The lrs up to the cut and the smoothed loss at each: the curve that every suggestion is made from.

    Raises:
        ValueError: as :func:`suggest` does, except for a loss that does not fall.

    >>> lrs, losses = smoothed(np.geomspace(1e-4, 1, 30), [2.0] * 22 + [float("nan")] * 8)
    >>> len(lrs), set(losses.round(9).tolist())
    (22, {2.0})
    """
    lr, loss = _clipped(lrs, losses)
    return lr, _smooth(loss)


def still_falling(lrs: ArrayLike, losses: ArrayLike) -> bool:
    """Whether the smoothed loss is least at the end, in the last twentieth: the test could not show the best lr.

    A curve that a NaN or an infinity has cut was not stopped too early.
    """
    loss = smoothed(lrs, losses)[1]
    return len(loss) == len(_vector(losses, "losses")) and bool(loss.argmin() >= len(loss) - max(1, len(loss) // 20))


def _clipped(lrs: ArrayLike, losses: ArrayLike) -> tuple[Floats, Floats]:
    """The finite curve; after its minimum it rises no higher than 3 times the noise above the median before it."""
    lr, loss = _measured(lrs, losses)
    least = 2 + int(np.median(np.lib.stride_tricks.sliding_window_view(loss, 5), axis=1).argmin())
    ceiling = float(np.median(loss[: least + 1])) + 3 * _noise(loss)
    return lr, np.append(loss[:least], np.minimum(loss[least:], ceiling))


def _measured(lrs: ArrayLike, losses: ArrayLike) -> tuple[Floats, Floats]:
    lr, loss = _vector(lrs, "lrs"), _vector(losses, "losses")
    if len(lr) != len(loss):
        raise ValueError(f"range test: lrs and losses must have the same length, got {len(lr)} and {len(loss)}")
    wrong = np.flatnonzero(~(np.isfinite(lr) & (lr > np.append(0.0, lr[:-1]))))
    if len(wrong):
        i = int(wrong[0])
        before = f" after {lr[i - 1]:g}" if i else ""
        raise ValueError(f"range test: lrs must be finite, positive and increasing, got lrs[{i}] = {lr[i]:g}{before}")
    bad = np.flatnonzero(~np.isfinite(loss))
    end = int(bad[0]) if len(bad) else len(loss)
    if end < FEWEST:
        why = f", because losses[{end}] is {loss[end]:g}" if len(bad) else ""
        raise ValueError(
            f"range test: {FEWEST} finite losses are needed, got {end}{why}: begin with a smaller min_lr, take more "
            "steps (num_training_steps), or, if the test was stopped too early, give a larger early_stop_threshold "
            "or None"
        )
    return lr[:end], loss[:end]


def _vector(values: ArrayLike, name: str) -> Floats:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"range test: {name} must be a sequence of numbers, got {values!r}") from None
    if array.ndim != 1:
        raise ValueError(f"range test: {name} must be a sequence of numbers, got an array of shape {array.shape}")
    return array


def _log(lrs: ArrayLike, losses: ArrayLike) -> tuple[Floats, Floats]:
    """Log lr and the smoothed loss, once it is certain that it falls."""
    lr, loss = _clipped(lrs, losses)
    smooth, weight = _smooth(loss), _kernel(len(loss))
    fall, least = _fall(smooth), int(smooth.argmin())
    reach = len(weight) // 2
    before, around = loss[: max(0, least - reach)], loss[max(0, least - reach) : least + reach + 1]
    noise = _noise(around) * float(np.linalg.norm(weight) / weight.sum())
    error = math.hypot(noise, np.std(before) / math.sqrt(len(before))) if len(before) else 0.0
    found = float(before.mean() - smooth[least]) if len(before) else 0.0
    flat = fall <= 1e-6 * float(np.abs(smooth).max())  # float32 knows no less
    early = len(before) < FEWEST // 4
    if flat or early or found <= CERTAIN * error:
        why = f"it is least at the beginning, at {lr[least]:g}" if early else f"by {found:.3g} ± {error:.3g} at most"
        raise ValueError(
            f"range test: the loss does not fall between lr {lr[0]:g} and {lr[-1]:g} by more than its noise ({why}): "
            "widen the range (a smaller min_lr, a larger max_lr), or take more steps (num_training_steps)"
        )
    return np.log(lr), smooth


def _fall(smooth: Floats) -> float:
    return float(smooth[: smooth.argmin() + 1].max() - smooth.min())


def _descent(lrs: ArrayLike, losses: ArrayLike) -> tuple[Floats, Floats]:
    """Log lr and slope from where three quarters of the fall are still to come to the minimum."""
    x, loss = _log(lrs, losses)
    least = int(loss.argmin())
    begin = int(np.flatnonzero(loss[:least] >= loss[least] + 0.75 * _fall(loss))[-1])
    return x[begin : least + 1], np.asarray(np.gradient(loss, x)[begin : least + 1])


def _kernel(n: int) -> Floats:
    width = max(1.0, n / 20)
    reach = math.ceil(3 * width)
    return np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)


def _smooth(loss: Floats) -> Floats:
    weight = _kernel(len(loss))
    return np.asarray(np.convolve(loss, weight, "same") / np.convolve(np.ones_like(loss), weight, "same"))


def _noise(loss: Floats) -> float:
    """The standard deviation of white noise on a slow curve, by the median: a blow-up does not count."""
    steps = np.diff(loss)
    return float(1.4826 * np.median(np.abs(steps - np.median(steps))) / math.sqrt(2))
