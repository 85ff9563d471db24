"""``preview``: what a run would do to its learning rates, from its trainer and its module, without training."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.utilities.seed import isolate_rng

from lightning_lr.callbacks import quirks
from lightning_lr.callbacks.base import LRCallback
from lightning_lr.callbacks.reporter import plan_of
from lightning_lr.callbacks.wishes import LRLogger
from lightning_lr.core.checks import did_you_mean, is_a, shown, suggesting, whole
from lightning_lr.reporting.recorder import Source

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from lightning.pytorch import LightningModule


class Preview(Mapping[str, "npt.NDArray[np.float64]"]):
    """The curves of a run that has not been made: tag → value at every update, shape ``(total,)``, float64.

    Tags are those of the logs: ``lr/AdamW``, ``lr/AdamW/head``, ``momentum/SGD``. Printed, it is the plan.
    """

    def __init__(self, curves: dict[str, npt.NDArray[np.float64]], plan: str) -> None:
        self._curves = curves
        self.plan = plan

    def __getitem__(self, tag: str) -> npt.NDArray[np.float64]:
        if not isinstance(tag, str) or tag not in self._curves:
            raise KeyError(f"no curve {tag!r} in this preview{did_you_mean(tag, self)}; it has {', '.join(self)}")
        return self._curves[tag]

    def __iter__(self) -> Iterator[str]:
        return iter(self._curves)

    def __len__(self) -> int:
        return len(self._curves)

    def __repr__(self) -> str:
        return self.plan


class _Done(Exception):  # noqa: N818, it is no error
    """Training would begin now."""


class _Share(Callback):
    """First in the list: of a run with several processes, each has its share of the batches."""

    def __init__(self, trainer: Trainer) -> None:
        self.original = trainer

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """A module's own callbacks come after the others: who stops is to be the last, with a list of its own."""
        every: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        trainer.callbacks = sorted(every, key=lambda callback: isinstance(callback, _Stop))  # type: ignore[attr-defined]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        quirks.share_batches(trainer, self.original)


class _Stop(Callback):
    """Last in the list: when training starts, everything is known."""

    def __init__(self, steps: int | None) -> None:
        self.steps = steps
        self.found: Preview | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        ours = [c for c in trainer.callbacks if isinstance(c, LRCallback)]  # type: ignore[attr-defined]
        conductor = next(c._conductor for c in ours if c._conductor is not None)
        curves: dict[str, npt.NDArray[np.float64]] = {}
        sources = conductor.reporter.sources
        for source in sources:
            curves |= self._curves(source)
        self.found = Preview(curves, "\n".join(plan_of(source) for source in sources if source.scheduler is not None))
        raise _Done

    def _curves(self, source: Source) -> dict[str, npt.NDArray[np.float64]]:
        scheduler = source.scheduler
        if scheduler is None or scheduler.run_horizon is None:
            return {}
        total = self.steps or scheduler.run_horizon.total_steps
        if total is None:
            raise ValueError("preview: the run's length is unknown: give the trainer a limit, or say steps=")
        factors = [track.running.curve(total) for track in source.live]
        return {tag: base * factors[place] for tag, base, place in source.curves() if place < len(factors)}


@suggesting
def preview(
    trainer: Trainer,
    model: LightningModule,
    train_dataloaders: Any = None,
    *,
    datamodule: Any = None,
    steps: int | None = None,
) -> Preview:
    """The lr of every update that ``trainer.fit(model, …)`` would make, if no metric changed it.

    A copy of the module is set up by a trainer of the same length, on the CPU and without loggers, up to where its
    first update would come: the module's own hooks until ``on_train_start`` run, on the copy. Random numbers are left
    as they were. An ``LRFinder`` is not run.

    Args:
        trainer: the run's trainer; its LR callbacks, limits and number of processes count.
        model: the run's module; it stays as it is.
        train_dataloaders, datamodule: as for ``fit``.
        steps: how many updates to show, where the run has no end.

    Raises:
        ValueError: what ``fit`` would raise at its start; nothing schedules the lr; a run without an end.
    """
    for value, classes, name in (
        (trainer, ("Trainer",), "trainer"),
        (model, ("LightningModule", "OptimizedModule"), "model"),
        (datamodule, ("LightningDataModule", "NoneType"), "datamodule"),
    ):
        if not any(is_a(value, cls) for cls in classes):
            raise ValueError(f"preview: {name} must be a {classes[0]}, got {shown(value)}")
    stop = _Stop(None if steps is None else whole(steps, "preview: steps", low=1))
    every: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    wishes = [copy.copy(c) for c in every if isinstance(c, LRCallback) and not isinstance(c, LRLogger)]
    changes = [copy.copy(c) for c in every if is_a(c, "GradientAccumulationScheduler")]
    try:
        mine = copy.deepcopy(model)
    except Exception as error:
        raise ValueError(f"preview: a copy of the module is made, and it cannot be copied: {error}") from error
    other = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=-1 if trainer.max_epochs is None else trainer.max_epochs,  # None would mean 1000 here
        max_steps=trainer.max_steps,
        accumulate_grad_batches=1 if changes else trainer.accumulate_grad_batches,
        limit_train_batches=trainer.limit_train_batches,
        limit_val_batches=trainer.limit_val_batches,
        fast_dev_run=trainer.fast_dev_run,  # type: ignore[attr-defined]
        check_val_every_n_epoch=trainer.check_val_every_n_epoch,
        num_sanity_val_steps=0,
        logger=DummyLogger(),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[_Share(trainer), LRLogger(plan=False, layout=False, figures=False), *wishes, *changes, stop],
    )
    before = getattr(datamodule, "trainer", None)
    refused: Exception | None = None
    with isolate_rng(), _undrawn(train_dataloaders), _quietly():
        try:
            other.fit(mine, train_dataloaders, datamodule=datamodule)
        except _Done:
            pass
        except Exception as error:  # raised below: what isolates random numbers does not put them back after an error
            refused = error
    if datamodule is not None:
        datamodule.trainer = before
    if refused is not None:
        raise refused
    if stop.found is None or not stop.found:
        raise ValueError("preview: nothing schedules the lr of this run: put an LR callback on the trainer")
    return stop.found


@contextmanager
def _undrawn(loader: Any) -> Iterator[None]:
    """Generators of a loader's own are put back as well."""
    parts = (loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None))
    found = [generator for part in parts if (generator := getattr(part, "generator", None)) is not None]
    states = [generator.get_state() for generator in found]
    yield
    for generator, state in zip(found, states, strict=True):
        generator.set_state(state)


@contextmanager
def _quietly() -> Iterator[None]:
    """Lightning's remarks on the machine are not about this run."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


__all__ = ["Preview", "preview"]
