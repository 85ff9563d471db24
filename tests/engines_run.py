"""One run on an engine of Lightning's, as a process of its own: ``python engines_run.py OUT ENGINE CASE...``.

Cases are ``whole``, which saves a checkpoint in the middle of an epoch, and ``resumed``, which goes on from it. Every
rank writes OUT/<case>.rank<r>.json at the end of a case. Engines that start their processes once must be run once for
each case, so that a resumed run has processes of its own.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from runs import Net, Used, trainer

from lightning_lr import Linear, LRMultiPhaseDecay, LRPlateauReduction, LRWarmup

EPOCHS = 5
SAVED_AT = 10  # in the middle of epoch 2, when one bad evaluation has been counted
MEASURED = (3.0, 3.0, 3.0, 2.0, 1.0)  # patience 1 is over at the end of epoch 2, at update 12


class Measured(Net):
    """Another loss on each rank, and a metric that would never, or always, reduce on one rank alone."""

    def __init__(self, optimizer: Callable[[Any], Any]) -> None:
        super().__init__(optimizer=optimizer)
        self.layer = torch.nn.Linear(4, 4)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x = batch[0].expand(-1, 4) * (1.0 + self.trainer.global_rank)
        return self.layer(x).square().mean() * 1e-3

    def on_validation_epoch_end(self) -> None:
        n = self.trainer.global_step // self.batches - 1
        ranks = self.trainer.world_size
        apart = 10.0 * n * (2 * self.trainer.global_rank - 1) if ranks == 2 else 0.0
        self.log("val_loss", MEASURED[n] + apart)


class Sharded(Measured):
    """The same, split over the ranks where ``ModelParallelStrategy`` asks for it."""

    def configure_model(self) -> None:
        from torch.distributed.fsdp import fully_shard

        fully_shard(self.layer, mesh=self.device_mesh["data_parallel"])


class Report(Used):
    """What this rank used, in a file of its own; and a checkpoint, if asked."""

    def __init__(self, out: Path, case: str) -> None:
        super().__init__()
        self.out, self.case = out, case

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if self.case == "whole" and trainer.global_step == SAVED_AT:
            trainer.save_checkpoint(self.out / "saved.ckpt")

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        weights = [getattr(p.detach(), "full_tensor", p.detach)() for p in pl_module.parameters()]
        found = {
            "lrs": self.lrs,
            "weights": [weight.tolist() for weight in weights],
            "state": trainer.lr_scheduler_configs[0].scheduler.state_dict(),
        }
        (self.out / f"{self.case}.rank{trainer.global_rank}.json").write_text(json.dumps(found))
        if multiprocessing.parent_process() is not None:
            # A forked child ends without the interpreter's finalization, in which a spawned one was seen to abort,
            # while threads of torch's process group live. Both end alike; the exit status stays what it is.
            sys.exit = os._exit


def wishes() -> list[Callback]:
    return [
        LRPlateauReduction("val_loss", factor=0.5, patience=1),
        LRWarmup(3),
        LRMultiPhaseDecay([Linear(end_factor=0.5)]),
    ]


def plan() -> list[float]:
    """The lr of every update, by hand."""
    smooth = [(k + 1) / 3 if k < 3 else 1 - 0.5 * (k - 3) / 17 for k in range(4 * EPOCHS)]
    return smooth[:12] + [0.5 * lr for lr in smooth[12:]]


def _adamw(net: Any) -> Any:
    return torch.optim.AdamW(net.parameters(), lr=1.0)


def _stateless(net: Any) -> Any:
    return torch.optim.SGD(net.parameters(), lr=1.0)


def _apart(net: Any) -> Any:
    from torch.distributed.optim import ZeroRedundancyOptimizer

    return ZeroRedundancyOptimizer(net.parameters(), torch.optim.AdamW, lr=1.0)


def _two_ranks(**options: Any) -> dict[str, Any]:
    return {"strategy": ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1, **options), "devices": 2}


def _gpu(strategy: Any) -> dict[str, Any]:
    return {"strategy": strategy, "devices": 1, "accelerator": "gpu"}


ENGINES: dict[str, tuple[type[Measured], Callable[[Any], Any], Callable[[], dict[str, Any]]]] = {
    "one process": (Measured, _adamw, dict),
    "ddp": (Measured, _adamw, lambda: {"strategy": "ddp", "devices": 2}),
    "ddp, zero redundancy": (Measured, _apart, lambda: {"strategy": "ddp", "devices": 2}),
    "ddp_spawn": (Measured, _adamw, lambda: {"strategy": "ddp_spawn", "devices": 2}),
    "ddp_fork": (Measured, _adamw, lambda: {"strategy": "ddp_fork", "devices": 2}),
    "sharded": (Sharded, _adamw, _two_ranks),
    "sharded, stateless": (Sharded, _stateless, _two_ranks),
    "sharded, one file": (Sharded, _adamw, lambda: _two_ranks(save_distributed_checkpoint=False)),
    "gpu, ddp": (Measured, _adamw, lambda: _gpu("ddp")),
    "gpu, fsdp": (Measured, _adamw, lambda: _gpu(FSDPStrategy())),
    "gpu, fsdp in pieces": (Measured, _adamw, lambda: _gpu(FSDPStrategy(state_dict_type="sharded"))),
}


def fit(out: Path, engine: str, case: str) -> None:
    torch.manual_seed(0)
    module, optimizer, settings = ENGINES[engine]
    runner = trainer(
        out, [Report(out, case), *wishes()], max_epochs=EPOCHS, limit_val_batches=1, use_distributed_sampler=False,
        **settings(),
    )  # fmt: skip
    runner.fit(module(optimizer), ckpt_path=out / "saved.ckpt" if case == "resumed" else None)


def main() -> None:
    out, engine, cases = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    torch.set_num_threads(1)
    for case in cases:
        fit(out, engine, case)


if __name__ == "__main__":
    main()
