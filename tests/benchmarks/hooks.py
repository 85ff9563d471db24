"""What one update costs: the optimizer's post hook of ``ScheduledLR``, called as torch calls it after a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat

import torch
from harness import Arm, Row, interleave, micro

from lightning_lr import Chain, Cosine, Linear, ScheduledLR, Warmup
from lightning_lr.core.schedules.base import Schedule

PEAK = 0.1
SCHEDULE = Warmup("10%") >> Cosine()
TARGETS = {1: 4.0, 8: 2.5, 100: 1.4, 1000: 1.3}
UPDATES = 1000
"""Of a stretch: enough to hold its share of whatever a scheduler does once in a while."""


def optimizer_of(groups: int) -> torch.optim.SGD:
    """Groups of one parameter, all with the same lr."""
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.ones(1))]} for _ in range(groups)], lr=PEAK)


def our_arm(groups: int, rounds: int, count: int = UPDATES, schedule: Schedule = SCHEDULE) -> tuple[Arm, ScheduledLR]:
    """Our hook with a schedule that lasts for as many updates as the rounds will make: no cheap ones after its end."""
    optimizer = optimizer_of(groups)
    scheduler = ScheduledLR(optimizer, schedule, total_steps=(rounds + 1) * count)
    (hook,) = optimizer._optimizer_step_post_hooks.values()

    def run() -> None:
        for _ in repeat(None, count):
            hook(optimizer, (), {})

    return Arm(run, count), scheduler


def values_of(groups: int, count: int) -> list[list[float]]:
    """Every group's lr, for each of ``count`` updates; at most 100 different lists, so that caches hold them."""
    distinct = min(count, 100)
    rows = [[PEAK * factor] * groups for factor in SCHEDULE.curve(distinct).tolist()]
    return [rows[k % distinct] for k in range(count)]


def bare_arm(groups: int, count: int = UPDATES) -> Arm:
    """The bare loop: every group's precomputed value of an update is assigned to it, inline, without a call."""
    params, rows = optimizer_of(groups).param_groups, values_of(groups, count)

    def run() -> None:
        for row in rows:
            for group, value in zip(params, row):  # noqa: B905 - nothing that costs
                group["lr"] = value

    return Arm(run, count)


def shared_arm(groups: int, count: int = UPDATES) -> Arm:
    """The tightest loop there is: one precomputed value for all groups."""
    params, values = optimizer_of(groups).param_groups, [row[0] for row in values_of(1, count)]

    def run() -> None:
        for value in values:
            for group in params:
                group["lr"] = value

    return Arm(run, count)


class BarestHook:
    """What no hook can do without: a bound method that counts, and assigns the next precomputed values."""

    def __init__(self, optimizer: torch.optim.Optimizer, rows: Sequence[Sequence[float]]) -> None:
        self.params, self.rows, self.updates = optimizer.param_groups, rows, 0

    def after_update(self, optimizer: object, args: object, kwargs: object) -> None:
        row = self.rows[self.updates]
        self.updates += 1
        for group, value in zip(self.params, row):  # noqa: B905
            group["lr"] = value


def barest_arm(groups: int, count: int = UPDATES) -> Arm:
    """The barest hook, through as many calls."""
    optimizer, rows = optimizer_of(groups), values_of(groups, count)
    barest = BarestHook(optimizer, rows)
    hook = barest.after_update

    def run() -> None:
        barest.updates = 0
        for _ in repeat(None, count):
            hook(optimizer, (), {})

    return Arm(run, count)


def rows(quick: bool) -> Iterator[Row]:
    """Our hook, and the barest one, against the bare loop."""
    for groups, target in TARGETS.items():
        rounds, count = (3, 20) if quick else (101 if groups < 100 else 51, UPDATES)
        arm, scheduler = our_arm(groups, rounds, count)
        others = [bare_arm(groups, count), barest_arm(groups, count), shared_arm(groups, count)]
        found = interleave([arm, *others], rounds)
        done = scheduler.updates, scheduler.optimizer.param_groups[-1]["lr"]
        assert done == ((rounds + 1) * count, 0.0), f"the hook was to go through the whole schedule: {done}"
        variant = f"{groups} group{'s' * (groups > 1)}"
        yield Row("hook / bare assignment loop", variant, micro(found.cost()), found.ratio(), target)
        yield Row("(the barest hook / the same loop)", variant, "", found.ratio(2))
        yield Row("(hook / a loop with one value for all)", variant, "", found.ratio(0, 3))


def phase_rows(quick: bool) -> Iterator[Row]:
    """The same straight line, cut into 100 phases and into 2."""
    rounds, count = (3, 20) if quick else (101, UPDATES)
    chains = [Chain([Linear(f"{100 // n}%", end_factor=1 - (i + 1) / n) for i in range(n)]) for n in (100, 2)]
    arms, schedulers = zip(*[our_arm(1, rounds, count, chain) for chain in chains], strict=True)
    found = interleave(arms, rounds)
    assert {scheduler.updates for scheduler in schedulers} == {(rounds + 1) * count}
    yield Row("100 phases / 2 phases", "1 group", micro(found.cost()), found.ratio(), 1.3)
