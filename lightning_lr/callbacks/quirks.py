"""Every use of what Lightning does not promise: each with its reason. Checked against lightning 2.6.6."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_lr.core.checks import is_a
from lightning_lr.core.durations import Horizon

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from torch.optim import Optimizer

    from lightning_lr.scheduler import ScheduledLR


NEVER = 2**62
"""No batch of an epoch has this number."""


def step_number(trainer: Trainer) -> int:
    """The step under which Lightning logs this batch's metrics; ``global_step`` counts optimizers, not batches."""
    return int(trainer.fit_loop.epoch_loop._batches_that_stepped)


def attach(trainer: Trainer, scheduler: ScheduledLR) -> None:
    """Add a scheduler after ``configure_optimizers`` has run: Lightning then saves, restores and monitors it.

    ``strategy.lr_scheduler_configs`` is the list that all three read; Lightning's own SWA callback edits it too.
    """
    from lightning.pytorch.utilities.types import LRSchedulerConfig

    trainer.strategy.lr_scheduler_configs.append(LRSchedulerConfig(scheduler, interval="step"))


def spare_steps(trainer: Trainer, pl_module: LightningModule, schedulers: Collection[ScheduledLR]) -> None:
    """Lightning need not call their ``step()`` after each batch: it would do nothing, after 5 µs of preparations.

    Unless the module's own ``lr_scheduler_step`` is what it would call.
    """
    if type(pl_module).lr_scheduler_step.__qualname__ != "LightningModule.lr_scheduler_step":
        return
    for config in trainer.strategy.lr_scheduler_configs:
        if config.scheduler in schedulers:
            config.frequency = NEVER


def owned(trainer: Trainer) -> list[tuple[Optimizer, Any]]:
    """Every scheduler that Lightning drives, with its optimizer: ours and the native ones."""
    return [(config.scheduler.optimizer, config.scheduler) for config in trainer.lr_scheduler_configs]


def run_horizon(trainer: Trainer, automatic: bool) -> Horizon:
    """The run's length as its configuration states it: updates of one optimizer in all, and in each epoch.

    ``Trainer.estimated_stepping_batches`` is -1 for an unsized loader, inf without a limit and refuses an accumulation
    that changes with the epoch. With manual optimization one update of each optimizer per batch is assumed, because
    Lightning knows batches only.
    """
    batches, max_epochs, max_steps = trainer.num_training_batches, trainer.max_epochs, trainer.max_steps
    lengths: list[int] = []
    if math.isfinite(batches) and batches > 0:
        factors = _accumulation(trainer) if automatic else {0: 1}
        epochs = range(max(factors) + 1)
        lengths = [math.ceil(batches / factors[max(e for e in factors if e <= epoch)]) for epoch in epochs]
    limits: list[int] = []
    if lengths and max_epochs is not None and max_epochs >= 0:
        whole = [lengths[min(epoch, len(lengths) - 1)] for epoch in range(min(max_epochs, len(lengths)))]
        limits.append(sum(whole) + lengths[-1] * max(0, max_epochs - len(lengths)))
    if max_steps is not None and max_steps >= 0:
        limits.append(max_steps if automatic else math.ceil(max_steps / max(1, len(trainer.optimizers))))
    total = min(limits, default=0)
    return Horizon(total if total > 0 else None, lengths or None)


def resumes_from(trainer: Trainer) -> str | None:
    """The checkpoint this run goes on from. A finder leaves its own there, and Lightning then restores no other."""
    path = trainer.ckpt_path
    own = path is not None and Path(str(path)).name.startswith((".lr_find_", ".scale_batch_size_"))
    return None if path is None or own else str(path)


def saved_schedulers(trainer: Trainer) -> list[dict[str, Any]]:
    """The schedulers' states in the checkpoint that is being restored, to be asked in ``on_fit_start``.

    Lightning hands them out by position and drops the rest without a word; and ``on_load_checkpoint`` is over before
    ``configure_optimizers``, in which the mixin puts its callback in front. Nothing is there yet with a strategy that
    restores after its setup, as FSDP does.
    """
    return list(trainer._checkpoint_connector._loaded_checkpoint.get("lr_schedulers", ()))


def accumulate_again(trainer: Trainer) -> None:
    """Set what a GradientAccumulationScheduler says of this epoch.

    A run that goes on within an epoch calls no ``on_train_epoch_start``, where it would have set it: without this the
    rest of the epoch makes one update per batch. Not in ``on_train_start``, where the scheduler refuses another value.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if is_a(callback, "GradientAccumulationScheduler"):
            trainer.accumulate_grad_batches = callback.get_accumulate_grad_batches(trainer.current_epoch)


def _accumulation(trainer: Trainer) -> dict[int, int]:
    """Batches per update from each epoch on: a GradientAccumulationScheduler's, else the trainer's."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if is_a(callback, "GradientAccumulationScheduler"):
            return {0: 1, **callback.scheduling}
    return {0: trainer.accumulate_grad_batches}


def share_batches(trainer: Trainer, other: Trainer) -> None:
    """Give one process as many batches as each process of another trainer will have.

    That one will replace the sampler by a ``DistributedSampler``: the samples are shared, and rounded up.
    """
    loader: Any = trainer.train_dataloader
    ranks = other.world_size
    if ranks == 1 or not other._accelerator_connector.use_distributed_sampler or not hasattr(loader, "dataset"):
        return
    each = math.ceil(len(loader.dataset) / ranks) / (loader.batch_size or 1)
    batches = math.floor(each) if loader.drop_last else math.ceil(each)
    limit = other.limit_train_batches
    trainer.fit_loop.max_batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)


def adds_groups(trainer: Trainer) -> bool:
    """Whether a callback is there that adds parameter groups in mid-run."""
    return any(is_a(callback, "BaseFinetuning") for callback in trainer.callbacks)  # type: ignore[attr-defined]


def last_batch(trainer: Trainer) -> int:
    """The number of the run's newest batch, from 0; -1 before the first."""
    return int(trainer.fit_loop.total_batch_idx)


def epoch_is_complete(trainer: Trainer) -> bool:
    """Whether the newest batch was the last of its epoch: ``max_steps`` and a stop may end one before."""
    return bool(trainer.fit_loop.epoch_loop.batch_progress.is_last_batch)


def validates(trainer: Trainer) -> bool:
    """Whether this fit runs validation at all: a first one after its last epoch is none."""
    every, epochs = trainer.check_val_every_n_epoch, trainer.max_epochs
    too_late = every is not None and epochs is not None and 0 <= epochs < every
    return bool(trainer.enable_validation) and not too_late


def dropped_validation(trainer: Trainer) -> bool:
    """Whether a validation was due after the newest batch of a run that goes on from a checkpoint.

    A checkpoint written in ``on_train_batch_end`` of such a batch (or in ``on_validation_end`` before the decision)
    goes on past the validation: Lightning fast-forwards it. Whoever calls this knows whether it had been seen.
    """
    loop = trainer.fit_loop.epoch_loop
    if not (loop.restarted_on_train_batch_end or loop.restarted_on_last) or loop.val_loop.restarted_mid_evaluation:
        return False  # the newest batch was not finished and is trained again, or Lightning goes back by itself
    fetcher = trainer.fit_loop._data_fetcher
    if fetcher is None:
        return False
    with _epoch_of_last_batch(trainer):
        return bool(loop._should_check_val_fx(fetcher))


def begin_next_epoch(trainer: Trainer) -> bool:
    """Let a run that goes on after an epoch's last batch begin the next epoch as any other; whether it was needed.

    Restored from a checkpoint written in ``on_train_batch_end`` of an epoch's last batch, Lightning counts that epoch
    as done, but enters the next as if in the middle of it: ``on_train_epoch_start`` is not called and the epoch is not
    counted as started. What is saved within it then goes on with the wrong epoch: an update count too many or too few.
    See ``_FitLoop.reset`` and ``on_advance_start``.
    """
    loop = trainer.fit_loop
    counted = loop.epoch_progress.current
    batches = loop.epoch_loop.batch_progress
    if not (loop.epoch_loop.restarted_on_train_batch_end or loop.epoch_loop.restarted_on_last):
        batches.total.reset_on_restart()  # saved within a batch, which is trained again: it is not to be counted twice
    if loop.restarted_on_epoch_start:  # saved in on_train_epoch_start: what it knows of batches is the last epoch's
        batches.reset_on_run()
    if loop.restarted_mid_epoch and counted.processed == counted.started:  # type: ignore[attr-defined]
        loop.reset_restart_stage()
        return True
    return False


def validate_now(trainer: Trainer) -> None:
    """Run the validation that was dropped, as the epoch loop would have: see ``_TrainingEpochLoop.on_advance_end``."""
    loop, connector = trainer.fit_loop.epoch_loop, trainer._logger_connector
    first_loop_iter = connector._first_loop_iter
    with _epoch_of_last_batch(trainer):
        trainer.validating = True
        loop.val_loop.restarting = False
        loop.val_loop.run()
        loop.val_loop._has_run = False  # else the epoch loop takes the rest of this epoch, and of every other, as done
        trainer.training = True
    connector._first_loop_iter = first_loop_iter


@contextlib.contextmanager
def _epoch_of_last_batch(trainer: Trainer) -> Iterator[None]:
    """The counters as they were when the newest batch was over: after an epoch's last one they have advanced when a run
    goes on. A checkpoint that is written within is then one of a validation's end as any other; with the counters as
    they stand, an epoch that is over with a batch that is not, Lightning would go on from it one batch behind.
    """
    epochs, batches = trainer.fit_loop.epoch_progress, trainer.fit_loop.epoch_loop.batch_progress
    now = epochs.state_dict(), batches.state_dict()
    for epoch in (epochs.total, epochs.current):
        epoch.processed = epoch.completed = max(0, epoch.started - 1)  # type: ignore[attr-defined]
    for batch in (batches.total, batches.current):
        batch.completed = batch.processed  # type: ignore[attr-defined]
    try:
        yield
    finally:
        epochs.load_state_dict(now[0])
        batches.load_state_dict(now[1])


def add_to_progress_bar(trainer: Trainer, values: Callable[[], dict[str, str]]) -> Callable[[], None]:
    """Show more values in the progress bar, whichever it is; returns what takes them out again.

    Both of Lightning's bars ask their own ``get_metrics``, which is theirs to be overridden; values that are logged
    with ``prog_bar=True`` must be numbers.
    """
    bar = trainer.progress_bar_callback
    if bar is None:
        return lambda: None
    own = bar.get_metrics

    def get_metrics(trainer: Any, pl_module: Any) -> dict[str, Any]:
        return {**own(trainer, pl_module), **values()}

    bar.get_metrics = get_metrics  # type: ignore[method-assign]
    return lambda: bar.__dict__.pop("get_metrics", None)


def run_directory(trainer: Trainer) -> Path | None:
    """Where the run's files lie, asked of the loggers: ``trainer.log_dir`` is a collective."""
    for logger in trainer.loggers:
        folder = getattr(logger, "log_dir", None) or logger.save_dir
        if isinstance(folder, (str, Path)) and "://" not in str(folder):  # a bucket is no folder
            return Path(folder)
    return None
