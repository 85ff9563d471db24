"""What logging the lr of every group at every step costs, against Lightning's LearningRateMonitor in the same process.

    python tests/benchmarks/logging_cost.py

Arms are interleaved: each round times a stretch of steps of one, then of the other; medians of the rounds' ratios are
printed, with quartiles. Both write to a TensorBoardLogger; the hooks are called as the trainer calls them.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import TensorBoardLogger

from lightning_lr import Cosine, ScheduledLR
from lightning_lr.reporting.loggers import boards
from lightning_lr.reporting.recorder import Recorder, Source

Arm = tuple[Callable[[int], None], TensorBoardLogger]


def optimizer_of(groups: int) -> torch.optim.SGD:
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.ones(1))]} for _ in range(groups)], lr=0.1)


def ours(groups: int, folder: Path, total: int) -> Arm:
    """One update's share of the recorder: the moment, and a point for every group."""
    optimizer = optimizer_of(groups)
    scheduler = ScheduledLR(optimizer, Cosine(), total_steps=total)
    logger = TensorBoardLogger(folder, name="ours")
    recorder = Recorder([Source("SGD", optimizer, scheduler)], [board.scalars for board in boards([logger])], 1)

    def step(k: int) -> None:
        scheduler.updates = k
        scheduler.live[0].factor = scheduler.factor_at(k)
        recorder.before_update(k)

    return step, logger


def theirs(groups: int, folder: Path, total: int) -> Arm:
    """``LearningRateMonitor.on_train_batch_start`` with a trainer that logs every step."""
    from lightning.pytorch.utilities.types import LRSchedulerConfig

    optimizer = optimizer_of(groups)
    native = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1 - k / total)
    monitor = LearningRateMonitor("step")
    logger = TensorBoardLogger(folder, name="theirs")
    loop: Any = SimpleNamespace(epoch_loop=SimpleNamespace(_batches_that_stepped=0))
    trainer: Any = SimpleNamespace(
        lr_scheduler_configs=[LRSchedulerConfig(native)], loggers=[logger], optimizers=[optimizer], fit_loop=loop,
        callback_metrics={}, _logger_connector=SimpleNamespace(should_update_logs=True),
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )  # fmt: skip
    monitor.on_train_start(trainer)

    def step(k: int) -> None:
        loop.epoch_loop._batches_that_stepped = k
        monitor.on_train_batch_start(trainer)

    return step, logger


def timed(step: Callable[[int], None], begin: int, count: int) -> float:
    gc.disable()
    start = time.perf_counter()
    for k in range(begin, begin + count):
        step(k)
    spent = time.perf_counter() - start
    gc.enable()
    return spent / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=60, help="steps of a round")
    parser.add_argument("--memory-steps", type=int, default=100_000)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    total = args.rounds * args.steps + 100
    print("groups  ours / LearningRateMonitor (median, quartiles)   us a step, ours   theirs")
    for groups in (1, 8, 100):
        with tempfile.TemporaryDirectory() as folder:
            arms = [build(groups, Path(folder), total) for build in (ours, theirs)]
            for step, _ in arms:
                timed(step, 0, 20)
            pairs = [[timed(step, 20 + r * args.steps, args.steps) for step, _ in arms] for r in range(args.rounds)]
            for _, logger in arms:
                logger.finalize("success")
        low, median, high = statistics.quantiles([mine / other for mine, other in pairs], n=4)
        spent = [statistics.median(column) * 1e6 for column in zip(*pairs, strict=True)]
        print(f"{groups:6}  {median:.3f} ({low:.3f} to {high:.3f}) {spent[0]:39.0f} {spent[1]:8.0f}")

    with tempfile.TemporaryDirectory() as folder:
        step, logger = ours(8, Path(folder), args.memory_steps)
        timed(step, 0, 1000)
        tracemalloc.start()
        timed(step, 1000, args.memory_steps // 10)
        early = tracemalloc.get_traced_memory()[0]
        timed(step, 1000 + args.memory_steps // 10, args.memory_steps - 2000 - args.memory_steps // 10)
        grown = tracemalloc.get_traced_memory()[0] - early
        tracemalloc.stop()
        logger.finalize("success")
    print(f"memory: {grown / 1024:+.1f} KiB over {args.memory_steps:,} logged steps of 8 groups")


if __name__ == "__main__":
    main()
