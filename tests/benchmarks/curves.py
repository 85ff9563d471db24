"""Whole curves, far updates, and what a checkpoint holds."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from itertools import repeat

import numpy as np
from harness import Arm, Row, interleave, micro
from hooks import SCHEDULE, optimizer_of

from lightning_lr import Control, Cosine, CosineRestarts, Cyclic, Horizon, ScheduledLR, StepDecay
from lightning_lr.core.control import factor

STEPS = 1_000_000
FAR, NEAR = 10**12, 10
RESTARTED = Control(scale=0.5, rewarm=4, origin=3, offset=1, num=7, den=5)
SOUGHT = {
    "cosine": Cosine(),
    "cycles": CosineRestarts(1000),
    "growing cycles": CosineRestarts(1000, cycle_mult=2),
    "triangles": Cyclic(500, 700),
    "stairs": StepDecay(1000, gamma=0.999),
}
"""Schedules of one phase, so that both updates ask the same formula."""


def plain_numpy(steps: int) -> np.ndarray:
    """The two formulas as one writes them down."""
    warm = steps // 10
    out = np.empty(steps)
    out[:warm] = np.arange(1, warm + 1) / warm
    out[warm:] = (1 + np.cos(np.pi * np.arange(steps - warm) / (steps - warm))) / 2
    return out


def rows(quick: bool) -> Iterator[Row]:
    """A curve of a million updates, with its schedule resolved anew."""
    steps, rounds = (1000, 3) if quick else (STEPS, 41)
    assert np.allclose(SCHEDULE.curve(steps), plain_numpy(steps), rtol=0, atol=1e-12)
    found = interleave([Arm(lambda: SCHEDULE.curve(steps)), Arm(lambda: plain_numpy(steps))], rounds)
    yield Row("curve / plain numpy", f"{steps:,} updates", f"{found.cost() * 1e3:.3g} ms", found.ratio(), 2)


def _asking(at: Callable[[int], float], t: int, count: int) -> Arm:
    def run() -> None:
        for _ in repeat(None, count):
            at(t)

    return Arm(run, count)


def seek_rows(quick: bool) -> Iterator[Row]:
    """A factor at a far update against one at a near update, untouched and after a restart with a ratio of its own."""
    rounds, count = (3, 20) if quick else (51, 2000)
    for name, schedule in SOUGHT.items():
        program = schedule.resolve(Horizon(3 * FAR))

        def restarted(t: int) -> float:
            return factor(program, RESTARTED, t)  # noqa: B023 - called in this turn only

        for variant, at in ((name, program), (f"{name}, restarted", restarted)):
            found = interleave([_asking(at, FAR, count), _asking(at, NEAR, count)], rounds)
            yield Row("seek: update 10¹² / update 10", variant, micro(found.cost()), found.ratio(), 2)


def state_rows(quick: bool) -> Iterator[Row]:
    """The pickled state of a scheduler without rules and events."""
    for groups in (1, 1000):
        scheduler = ScheduledLR(optimizer_of(groups), SCHEDULE, total_steps=STEPS)
        size = len(pickle.dumps(scheduler.state_dict()))
        yield Row("state, pickled", f"{groups} group{'s' * (groups > 1)}", "", size, 400, unit=" B")
