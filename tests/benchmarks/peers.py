"""One advance of "10% warmup, cosine to 0" by what others use, each in its own cheapest form."""

from __future__ import annotations

import importlib.util
import math
import sys
import types
from collections.abc import Callable, Iterator
from itertools import count as numbers
from itertools import islice, repeat
from typing import Any

from harness import Arm, Row, interleave, micro
from hooks import PEAK, TARGETS, UPDATES, optimizer_of, our_arm
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, SequentialLR

Build = Callable[[Optimizer, int, int], Callable[[], object]]
"""Of an optimizer, the run's updates and a stretch's: a stretch."""


def _stepping(scheduler: Any, count: int) -> Callable[[], object]:
    step = scheduler.step

    def run() -> None:
        for _ in repeat(None, count):
            step()

    return run


def sequential_lr(optimizer: Optimizer, total: int, count: int) -> Callable[[], object]:
    warm = total // 10
    parts = [LinearLR(optimizer, 1 / warm, total_iters=warm), CosineAnnealingLR(optimizer, total - warm)]
    return _stepping(SequentialLR(optimizer, parts, [warm]), count)  # type: ignore[arg-type]


def lambda_lr(optimizer: Optimizer, total: int, count: int) -> Callable[[], object]:
    warm = total // 10

    def factor(t: int) -> float:
        return (t + 1) / warm if t < warm else (1 + math.cos(math.pi * (t - warm) / (total - warm))) / 2

    return _stepping(LambdaLR(optimizer, factor), count)


def timm(optimizer: Optimizer, total: int, count: int) -> Callable[[], object]:
    if "timm" not in sys.modules:  # its schedulers need torch only; its own __init__ needs torchvision, for the models
        spec = importlib.util.find_spec("timm")
        if spec is None:
            raise ImportError("timm")
        package = types.ModuleType("timm")
        package.__path__ = list(spec.submodule_search_locations or ())
        sys.modules["timm"] = package
    from timm.scheduler.cosine_lr import CosineLRScheduler

    warm = total // 10
    scheduler = CosineLRScheduler(optimizer, total - warm, warmup_t=warm, warmup_prefix=True, t_in_epochs=False)
    advance, updates = scheduler.step_update, numbers(1)

    def run() -> None:
        for t in islice(updates, count):
            advance(t)

    return run


def ignite(optimizer: Optimizer, total: int, count: int) -> Callable[[], object]:
    """One scheduler for all groups: ``create_lr_scheduler_with_warmup`` would make one for each while it warms up."""
    from ignite.handlers import ConcatScheduler, CosineAnnealingScheduler, PiecewiseLinear

    warm = total // 10
    ramp = PiecewiseLinear(optimizer, "lr", [(0, 0.0), (warm, PEAK)])
    fall = CosineAnnealingScheduler(optimizer, "lr", PEAK, 0.0, total - warm)
    scheduler = ConcatScheduler([ramp, fall], [warm])

    def run() -> None:
        for _ in repeat(None, count):
            scheduler(None)

    return run


PEERS: dict[str, Build] = {
    "SequentialLR": sequential_lr,
    "LambdaLR": lambda_lr,
    "timm": timm,
    "ignite": ignite,
}


def rows(quick: bool) -> Iterator[Row]:
    """Our hook against each of them: an update of ours costs nothing else, ``step()`` need not be called."""
    for name, build in PEERS.items():
        for groups in TARGETS:
            rounds, ours, theirs = (3, 20, 20) if quick else (51 if groups < 100 else 21, UPDATES, UPDATES // 5)
            what, variant = f"hook / {name}", f"{groups} group{'s' * (groups > 1)}"
            optimizer = optimizer_of(groups)
            total = (rounds + 1) * theirs
            try:
                run = build(optimizer, total, theirs)
            except ImportError:
                yield Row(what, variant, "", "not installed", 1, below=True)
                continue
            found = interleave([our_arm(groups, rounds, ours)[0], Arm(run, theirs)], rounds)
            last = optimizer.param_groups[-1]["lr"]
            assert 0 <= last < PEAK * 20 / total, f"{name} was to go through its whole schedule, it is at {last}"
            yield Row(what, variant, micro(found.cost()), found.ratio(), 1, below=True)
