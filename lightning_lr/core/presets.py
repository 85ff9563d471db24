"""Schedules with a name of their own: functions of a line that return the phases they stand for."""

from __future__ import annotations

from functools import partial

from lightning_lr.core.checks import choice, number, suggesting
from lightning_lr.core.durations import Duration, as_duration
from lightning_lr.core.schedules import Constant, Cosine, Linear, OneMinusSqrt, Temperature, Warmup
from lightning_lr.core.schedules.base import Schedule
from lightning_lr.core.schedules.periodic import momentum

_COOLDOWNS = {"linear": Linear, "one_minus_sqrt": OneMinusSqrt, "cosine": Cosine}
_share = partial(number, low=0, high=1)


@suggesting
def wsd(
    warmup: Duration = "5%", cooldown: Duration = "20%", shape: str = "one_minus_sqrt", end_factor: float = 0.0
) -> Schedule:
    """Warmup, stable, decay: the rate stays at the peak until a cooldown over the run's last share.

    Args:
        warmup: a duration.
        cooldown: a duration; what lies between the two is constant.
        shape: the cooldown's: ``"one_minus_sqrt"`` (as published), ``"linear"`` or ``"cosine"``.
        end_factor: where it ends, a fraction of the peak.

    Source: Hu et al. 2024, arXiv 2404.06395 (MiniCPM); Hägele et al. 2024, arXiv 2405.18392.

    >>> wsd("20%", "40%", shape="linear").curve(10).tolist()
    [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    decay = _COOLDOWNS[choice(shape, _COOLDOWNS, "wsd: shape")]
    up, down = as_duration(warmup, "wsd: warmup"), as_duration(cooldown, "wsd: cooldown")
    return Warmup(up) >> Constant() >> decay(down, end_factor=_share(end_factor, "wsd: end_factor"))


@suggesting
def one_cycle(
    warmup: Duration = "30%",
    start_factor: float = 1 / 25,
    end_factor: float = 1 / 25 / 1e4,
    momentum_factor: float | None = None,
) -> Schedule:
    """1cycle: up along a cosine from 1/25 of the peak, down to 1/250000 of it.

    Args:
        warmup: the duration of the way up.
        start_factor: where it begins, a fraction of the peak.
        end_factor: where the way down ends, a fraction of the peak.
        momentum_factor: also move momentum (beta1 where there are betas), the other way round: from the group's own
            value to this share of it, where the lr is highest, and back; ``0.85 / 0.95`` as published.

    Source: Smith & Topin 2019, arXiv 1708.07120.

    >>> one_cycle().curve(10).round(3).tolist()
    [0.28, 0.76, 1.0, 1.0, 0.95, 0.812, 0.611, 0.389, 0.188, 0.05]
    >>> one_cycle(momentum_factor=0.9).others["momentum"].curve(10).round(3).tolist()
    [1.0, 0.975, 0.925, 0.9, 0.905, 0.919, 0.939, 0.961, 0.981, 0.995]
    """
    up, start = as_duration(warmup, "one_cycle: warmup"), _share(start_factor, "one_cycle: start_factor")
    end = _share(end_factor, "one_cycle: end_factor")
    cycle = Warmup(up, start_factor=start, shape="cosine") >> Cosine(end_factor=end)
    if momentum_factor is None:
        return cycle
    low = momentum("one_cycle", momentum_factor)
    return cycle.beside(momentum=Cosine(up, end_factor=low) >> Cosine(end_factor=1.0))


@suggesting
def cosine_with_warmup(warmup: Duration = "5%", end_factor: float = 0.0) -> Schedule:
    """A linear warmup, then a cosine over the rest of the run.

    Args:
        warmup: a duration.
        end_factor: where it ends, a fraction of the peak.

    >>> cosine_with_warmup("25%").curve(8).round(3).tolist()
    [0.5, 1.0, 1.0, 0.933, 0.75, 0.5, 0.25, 0.067]
    """
    up = as_duration(warmup, "cosine_with_warmup: warmup")
    return Warmup(up) >> Cosine(end_factor=_share(end_factor, "cosine_with_warmup: end_factor"))


@suggesting
def linear_with_warmup(warmup: Duration = "5%", end_factor: float = 0.0) -> Schedule:
    """A linear warmup, then a straight line over the rest of the run.

    Args:
        warmup: a duration.
        end_factor: where it ends, a fraction of the peak.

    >>> linear_with_warmup("25%").curve(8).round(3).tolist()
    [0.5, 1.0, 1.0, 0.833, 0.667, 0.5, 0.333, 0.167]
    """
    up = as_duration(warmup, "linear_with_warmup: warmup")
    return Warmup(up) >> Linear(end_factor=_share(end_factor, "linear_with_warmup: end_factor"))


@suggesting
def slanted_triangular(cut: Duration = "10%", ratio: float = 32.0) -> Schedule:
    """A short way up from 1/ratio of the peak, a long way back down to it.

    Args:
        cut: the duration of the way up.
        ratio: the peak over the lowest factor, >= 1.

    Source: Howard & Ruder 2018, arXiv 1801.06146 (ULMFiT: cut 0.1, ratio 32).

    >>> slanted_triangular("50%", ratio=4).curve(4).tolist()
    [0.625, 1.0, 1.0, 0.625]
    """
    low = 1 / number(ratio, "slanted_triangular: ratio", low=1)
    return Warmup(as_duration(cut, "slanted_triangular: cut"), start_factor=low) >> Linear(end_factor=low)


@suggesting
def flat_cosine(flat: Duration = "75%", end_factor: float = 0.0) -> Schedule:
    """Flat at the peak, then a cosine over the rest of the run.

    Args:
        flat: a duration.
        end_factor: where it ends, a fraction of the peak.

    >>> flat_cosine("50%").curve(4).round(3).tolist()
    [1.0, 1.0, 1.0, 0.5]
    """
    level = Constant(as_duration(flat, "flat_cosine: flat"))
    return level >> Cosine(end_factor=_share(end_factor, "flat_cosine: end_factor"))


@suggesting
def infinite(
    warmup: Duration = "5%",
    decay: Duration = "20%",
    anneal: Duration = "10%",
    constant_factor: float = 0.3,
    end_factor: float = 0.01,
) -> Schedule:
    """Warmup, cosine to a constant that can last for ever, and an exponential annealing at the run's end.

    Args:
        warmup: a duration.
        decay: the duration of the cosine.
        anneal: the duration of the annealing at the end; the constant takes the rest.
        constant_factor: the constant's level, a fraction of the peak.
        end_factor: where the annealing ends, a fraction of the peak; > 0 and not above the constant.

    Source: Ibrahim et al. 2024, arXiv 2403.08763.

    >>> infinite("20%", "20%", "20%", constant_factor=0.5, end_factor=0.125).curve(10).round(3).tolist()
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25]
    """
    level = number(constant_factor, "infinite: constant_factor", low=0, high=1, low_open=True)
    end = number(end_factor, "infinite: end_factor", low=0, high=level, low_open=True)
    spans = {"warmup": warmup, "decay": decay, "anneal": anneal}
    up, to, last = (as_duration(span, f"infinite: {name}") for name, span in spans.items())
    down = Temperature(level, end, "exponential", last)  # level · (end / level)^u
    return Warmup(up) >> Cosine(to, end_factor=level) >> Constant() >> down


__all__ = [
    "cosine_with_warmup",
    "flat_cosine",
    "infinite",
    "linear_with_warmup",
    "one_cycle",
    "slanted_triangular",
    "wsd",
]
