"""A detector for a metric that is to lie between two numbers: neither low nor high is good in itself."""

from __future__ import annotations

import math

from lightning_lr.core.checks import number
from lightning_lr.core.detectors import Detector, State


class Band(Detector):
    """Fire on every value above ``high``; a value below ``low`` asks for more, and what lies between is left alone.

    With ``Adapt(up, down)`` this is a controller: the lr goes down where the metric is too high and up where it is too
    low. A value that is not finite counts as too high. It needs ``mode="min"``.

    Args:
        low: values below it let ``Adapt(up=…)`` act.
        high: values above it fire, > ``low``.

    Source: the adaptive lr of PPO implementations (rl_games; rsl_rl, Rudin et al. 2022, arXiv 2109.11978).

    >>> from lightning_lr import Adapt, Constant, Rule, ScheduledLR
    >>> rule = Rule(Band(0.005, 0.02), Adapt(up=1.5, down=1 / 1.5, max_scale=10), "kl")
    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.9)
    >>> scheduler, lrs = ScheduledLR(optimizer, Constant(), rules=[rule], total_steps=9), []
    >>> for kl in (0.03, 0.021, 0.02, 0.005, 0.004, 0.001):
    ...     event = scheduler.evaluate({"kl": kl})
    ...     lrs.append(round(scheduler.get_last_lr()[0], 9))
    >>> lrs
    [0.6, 0.4, 0.4, 0.4, 0.6, 0.9]
    """

    __slots__ = ()
    low: float
    high: float

    def __init__(self, low: float, high: float) -> None:
        bottom = number(low, "Band: low")
        self._set(low=bottom, high=number(high, "Band: high (above low)", low=bottom, low_open=True))

    def init(self) -> State:
        return (self.low,)

    def update(self, state: State, value: float, counts: bool = True) -> tuple[State, bool]:
        if counts and value < self.low and math.isfinite(value):
            # An improvement is a best that fell: by the least that a number can, so that it still reads as ``low``.
            return (math.nextafter(state[0], -math.inf),), False
        return state, counts and not value <= self.high

    def after_action(self, state: State) -> State:
        return state

    def because(self, state: State) -> str:
        return f"outside of {self.low:g} to {self.high:g}"

    @property
    def knows_best(self) -> bool:
        return True

    def best(self, state: State) -> float | None:
        edge: float = state[0]
        return edge
