"""One attempt of tests/crash_matrix.py, in a process of its own: it trains, tells what it uses, and dies as planned."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from crash_config import Config
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from runs import Net, trainer

from lightning_lr import LRScheduleMixin
from lightning_lr.reporting.events import Journal

DONE, FAILED, RAISED, DISK_FULL, TERMINATED = 0, 1, 70, 74, 128 + signal.SIGTERM
"""How a worker ends when nobody kills it."""

WAYS: dict[str, dict[str, str]] = {
    "SIGKILL": {
        "before an update": "update",
        "after an update": "batch end",
        "before a validation": "validation",
        "at an epoch's end": "epoch end",
        "writing a checkpoint": "saving",
        "writing a decision": "decision",
        "rewriting the decisions": "rewriting",
    },
    "SIGTERM": {"in training_step": "training step", "in a validation": "validation"},
    "SIGTERM, then SIGKILL": {
        "before the batch is over": "training step",
        "before it saves": "training step",
        "while it saves": "training step",
    },
    "exception": {"in training_step": "training step"},
    "full disk": {"a plain write": "saving", "Lightning's write": "saving"},
    "SIGKILL, newest checkpoint": {"truncated": "update", "bytes flipped": "update", "emptied": "update"},
}
"""Every way to die, and where; and the moment at which it is set off."""

THEN_KILLED = {"before the batch is over": "batch end", "before it saves": "exception", "while it saves": "saving"}


@dataclass(frozen=True)
class Death:
    """Set off when training passes its moment for the ``skip + 1``-th time from update ``update`` on.

    ``rank`` dies alone, or all of them do. A disk that is full may stay so.
    """

    way: str
    place: str
    update: int
    rank: int | None = None
    skip: int = 0
    stays: bool = True

    @property
    def moment(self) -> str:
        return WAYS[self.way][self.place]


class InjectedError(Exception):
    """What ``training_step`` raises."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Fate:
    """Tells every moment that training passes to a file that outlives the process, and strikes at the planned one."""

    def __init__(self, path: Path, attempt: int, death: Death | None) -> None:
        self.path, self.attempt, self.death = path, attempt, death
        self.trainer: Any = None
        self.passed = 0
        self.disk_is_full = self.disk_was_full = False
        self.killed_at = ""

    def passes(self, moment: str, *values: str) -> bool:
        """Whether it is time; the line is closed, thus in the kernel's hands, before anything else happens."""
        with self.path.open("a") as file:
            file.write(" ".join([str(self.attempt), moment.replace(" ", "_"), str(self.trainer.global_step), *values]))
            file.write("\n")
        if moment == self.killed_at:
            return True
        death = self.death
        if death is None or death.moment != moment or self.trainer.global_step < death.update or self.killed_at:
            return False
        self.passed += death.rank in (None, self.trainer.global_rank)
        return self.passed == death.skip + 1

    def strikes(self, moment: str, *values: str) -> None:
        """Pass a moment, and die there if it is the planned one."""
        if self.passes(moment, *values):
            assert self.death is not None
            if self.death.way == "exception":
                raise InjectedError("injected")
            if self.death.way == "SIGTERM" or (self.death.place in THEN_KILLED and not self.killed_at):
                self.killed_at = THEN_KILLED.get(self.death.place, "")
                os.kill(os.getpid(), signal.SIGTERM)  # Lightning's handler takes a note before the next line
            else:
                die()


class Told(Callback):
    """The moments that are hooks of Lightning's, and what every group uses in every update."""

    def __init__(self, fate: Fate) -> None:
        self.fate = fate

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.fate.strikes("update", *(value for group in optimizer.param_groups for value in used(group)))

    def on_train_batch_end(self, *_: Any) -> None:
        self.fate.strikes("batch end")

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self.fate.strikes("validation")

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.fate.strikes("epoch end")

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.fate.strikes("exception")


def used(group: dict[str, Any]) -> list[str]:
    """Everything of a group that may be scheduled, exactly."""
    momentum = group["betas"] if "betas" in group else [group["momentum"]]
    return [float(value).hex() for value in (group["lr"], group["weight_decay"], *momentum)]


class Disk(TorchCheckpointIO):
    """Writes checkpoints as Lightning does, until the moment comes."""

    def __init__(self, fate: Fate) -> None:
        self.fate = fate

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        fate = self.fate
        if not fate.passes("saving") and not fate.disk_is_full:
            super().save_checkpoint(checkpoint, path, storage_options)
            date(path)
            return
        assert fate.death is not None
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if fate.death.way != "full disk":  # half of it under its final name, as a plain torch.save would leave it
            Path(path).write_bytes(buffer.getvalue()[: buffer.tell() // 2])
            date(path)
            die()
        fate.disk_is_full, fate.disk_was_full = fate.death.stays, True
        with no_file_beyond(buffer.tell() // 2):
            if fate.death.place == "a plain write":
                try:
                    torch.save(checkpoint, path)
                finally:
                    date(path)
            else:
                super().save_checkpoint(checkpoint, path, storage_options)
        raise AssertionError("the disk was not full")


def date(path: Any) -> None:
    """Say exactly when a file was written: of two within one tick of the file system none would be the newest."""
    now = time.time_ns()
    os.utime(path, ns=(now, now))


@contextlib.contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Within it a write that would make a file larger ends there, with an ``OSError``: a full disk without root."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def tear_decisions(fate: Fate) -> None:
    """Let ``lr_events.jsonl`` be written half, where that is planned."""
    append, rewrite = Journal.append, Journal.__init__

    def torn(path: Path, before: int) -> None:
        os.truncate(path, (before + path.stat().st_size) // 2)
        die()

    def appends(self: Journal, entry: dict[str, Any]) -> None:
        before = self.path.stat().st_size if self.path.exists() else 0
        append(self, entry)
        if fate.passes("decision"):
            torn(self.path, before)

    def rewrites(self: Journal, path: Path, past: Any) -> None:
        rewrite(self, path, past)
        if past and fate.passes("rewriting"):
            torn(path, 0)

    Journal.append, Journal.__init__ = appends, rewrites  # type: ignore[method-assign]


class Folder(Logger):
    """Logs nothing, but has a directory, where the decisions are kept."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    name, version = "folder", 0

    @property
    def save_dir(self) -> str:
        return str(self.root)

    def log_metrics(self, *_: Any, **__: Any) -> None:
        pass

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        pass


class Measured(LRScheduleMixin, Net):
    """Two groups, and a metric that is a function of the step."""

    def __init__(self, config: Config, fate: Fate) -> None:
        super().__init__(batches=config.batches)
        self.config, self.fate = config, fate

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.fate.strikes("training step")
        return super().training_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        self.log("val_loss", self.config.metric(self.trainer.global_step, self.trainer.global_rank))

    def configure_optimizers(self) -> Any:
        return self.config.mixed(self, self.config.optimize(self.layer.weight, self.layer.bias))

    def val_dataloader(self) -> Any:
        return self.loader(2)


def work(
    config: Config, root: Path, attempt: int, ckpt: Path | None, death: Death | None, rank: int, ranks: int
) -> None:
    """One attempt of one rank."""
    with (root / f"attempt{attempt}.rank{rank}.log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    fate = Fate(root / f"trace{rank}", attempt, death)
    try:
        train(config, root, attempt, ckpt, fate, rank, ranks)
    except BaseException as error:
        traceback.print_exc()
        if fate.disk_was_full:
            sys.exit(DISK_FULL)
        sys.exit({SIGTERMException: TERMINATED, InjectedError: RAISED}.get(type(error), FAILED))


def train(config: Config, root: Path, attempt: int, ckpt: Path | None, fate: Fate, rank: int, ranks: int) -> None:
    """Train to the end, or to death; leave the final state behind."""
    parallel: dict[str, Any] = {}
    if ranks > 1:  # a file as the meeting point: no port that somebody else may take first
        meet = f"file://{root}/meet{attempt}"
        torch.distributed.init_process_group("gloo", init_method=meet, rank=rank, world_size=ranks)
        os.environ.update(LOCAL_RANK=str(rank), NODE_RANK="0", WORLD_SIZE=str(ranks))
        parallel = {"strategy": "ddp", "devices": ranks, "use_distributed_sampler": False}
    tear_decisions(fate)
    accumulate = {"accumulate_grad_batches": config.accumulate} if isinstance(config.accumulate, int) else {}
    fate.trainer = trainer(
        root,
        [Told(fate), *config.wishes(), *config.checkpoints(root)],
        max_epochs=config.epochs,
        enable_checkpointing=True,
        logger=Folder(root),
        plugins=[Disk(fate)],
        **accumulate,
        **config.validation,
        **parallel,
    )
    torch.manual_seed(config.seed)
    net = Measured(config, fate)
    fate.trainer.fit(net, ckpt_path=ckpt)
    final = {"state": fate.trainer.lr_scheduler_configs[0].scheduler.state_dict(), "updates": fate.trainer.global_step}
    if config.accumulate == 1:  # else the gradients of batches before the checkpoint are lost, as always
        final["weights"] = [float(parameter.detach()).hex() for parameter in net.parameters()]
    fate.path.with_suffix(".final").write_text(json.dumps(final))
