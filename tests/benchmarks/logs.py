"""What logging the lr of every group at every step costs, against Lightning's ``LearningRateMonitor``.

Both write to a ``TensorBoardLogger``; what the trainer calls is called.
"""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import count as numbers
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from harness import Arm, Row, interleave, micro
from hooks import SCHEDULE, optimizer_of
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.types import LRSchedulerConfig
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_lr import ScheduledLR
from lightning_lr.reporting.loggers import boards
from lightning_lr.reporting.recorder import Recorder, Source

Log = tuple[Callable[[int], object], TensorBoardLogger]
"""Log one step, and where to."""

GROWTH = 64.0
"""KiB that count as none."""


def ours(groups: int, folder: Path, total: int) -> Log:
    """One update's share of the recorder, and the update itself, by the scheduler's own hook: the lr moves."""
    optimizer = optimizer_of(groups)
    scheduler = ScheduledLR(optimizer, SCHEDULE, total_steps=total)
    logger = TensorBoardLogger(folder, name="ours")
    recorder = Recorder([Source("SGD", optimizer, scheduler)], [board.scalars for board in boards([logger])], 1)
    (hook,) = optimizer._optimizer_step_post_hooks.values()

    def step(k: int) -> None:
        recorder.before_update(k)
        hook(optimizer, (), {})

    return step, logger


def theirs(groups: int, folder: Path, total: int) -> Log:
    """``LearningRateMonitor.on_train_batch_start`` with a trainer that logs every step; the lr itself stands still."""
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


def arm_of(log: Log, count: int) -> Arm:
    """Stretches of steps that go on where the last one ended."""
    step, steps = log[0], numbers()

    def run() -> None:
        for k in islice(steps, count):
            step(k)

    return Arm(run, count)


def points(log: Log) -> int:
    """How many points of an lr its files hold."""
    log[1].finalize("success")
    read = EventAccumulator(str(log[1].log_dir), size_guidance={"scalars": 0}).Reload()
    return sum(len(read.Scalars(tag)) for tag in read.Tags()["scalars"] if tag.startswith("lr"))


def growth(build: Callable[[int, Path, int], Log], steps: int) -> float:
    """KiB that stay allocated, in all, by logging so many steps of 8 groups; after a tenth as many before."""
    with tempfile.TemporaryDirectory() as folder:
        log = build(8, Path(folder), steps + steps // 10)
        arm_of(log, steps // 10).run()
        arm = arm_of(log, steps)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            arm.run()
            return (tracemalloc.get_traced_memory()[0] - before) / 1024
        finally:
            tracemalloc.stop()
            log[1].finalize("success")


def rows(quick: bool) -> Iterator[Row]:
    """Time, points and memory."""
    what = "logging each step / LearningRateMonitor"
    for groups in (1, 8, 100):
        rounds, count = (3, 5) if quick else (41, 30)
        total = (rounds + 1) * count
        with tempfile.TemporaryDirectory() as folder:
            logs = [build(groups, Path(folder), total) for build in (ours, theirs)]
            found = interleave([arm_of(log, count) for log in logs], rounds)
            variant = f"{groups} group{'s' * (groups > 1)}"
            limit = {"target": 0.125} if groups == 100 else {"target": 1.0, "below": True}
            yield Row(what, variant, micro(found.cost()), found.ratio(), **limit)
            mine, other = map(points, logs)
            yield Row("(points of an lr / LearningRateMonitor's)", variant, f"{mine:,}", mine / other)
            assert other == groups * total, f"LearningRateMonitor was to log every step, and wrote {other} points"
    steps = 1000 if quick else 100_000
    said = "memory that logging each step keeps"
    yield Row(said, f"{steps:,} steps of 8 groups", "", growth(ours, steps), GROWTH, unit=" KiB")
    steps = min(steps, 10_000)
    yield Row("(LearningRateMonitor's)", f"{steps:,} steps of 8 groups", "", growth(theirs, steps), unit=" KiB")
