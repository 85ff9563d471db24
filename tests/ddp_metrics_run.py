"""Metrics on two ranks, as processes of their own: ``python ddp_metrics_run.py OUT STRATEGY CASE...``.

Each case is one fit; every rank writes OUT/<case>.rank<r>.json at its end, or OUT/<case>.rank<r>.error.json. The last
case's error is not caught: the process ends with it. Run twice with LOCAL_RANK 0 and 1 for "ddp", once for "ddp_spawn".
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from lightning.pytorch.callbacks import Callback
from runs import Net, Used, trainer

from lightning_lr import Linear, LRCallback, LRController, LRMultiPhaseDecay, LRWarmup, Patience, Reduce, Restart, Rule

EPOCHS = 10
SAVED_AT = 18  # in the middle of epoch 4, when "stuck" has been borne for three evaluations
BAD_AT = {"mean": 1, "min": 2, "max": 3, "rank0": 4, "count": 5}
"""At which evaluation each metric is worse than before, if the ranks' values are joined as its rule says."""


def joined(name: str, n: int) -> float:
    return 5.0 if n == BAD_AT[name] else -float(n)


def values(n: int, rank: int) -> dict[str, float]:
    """The n-th evaluation on one rank. By its own numbers each rank would decide otherwise."""
    nan_here = math.nan if rank == 1 and n == 5 else None
    return {
        "mean": joined("mean", n) + 10.0 * n * n * (2 * rank - 1),
        "min": joined("min", n) + (0.0 if rank == 1 else 50.0 - 8.0 * n),
        "max": joined("max", n) - (0.0 if rank == 0 else 100.0 - 7.0 * n),
        "rank0": joined("rank0", n) if rank == 0 else 100.0 - 9.0 * n,
        "count": -float(n) if nan_here is None else nan_here,
        "ignore": -float(n) if nan_here is None else nan_here,
        "nan0": -float(n) if nan_here is None else nan_here,
        "stuck": 1.0 - (2 * rank - 1) * float(n),
    }


def rules() -> list[Rule]:
    def reduce(monitor: str, factor: float, **how: Any) -> Rule:
        return Rule(Patience(0, 0.0), Reduce(factor), monitor, **how)

    return [
        reduce("mean", 0.5),
        reduce("min", 0.6, sync="min"),
        reduce("max", 0.7, sync="max"),
        reduce("rank0", 0.8, sync="rank0"),
        reduce("count", 0.9),
        reduce("ignore", 0.1, nan_policy="ignore"),
        reduce("nan0", 0.1, sync="rank0"),
        Rule(Patience(5), Restart(0.5, max_restarts=1), "stuck"),
    ]


class Measured(Net):
    """Another gradient on each rank, and what the case logs on this rank."""

    def __init__(self, case: str) -> None:
        super().__init__()
        self.case = case

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        return loss * (1.0 + self.trainer.global_rank)

    def on_validation_epoch_end(self) -> None:
        n, rank = self.trainer.global_step // self.batches - 1, self.trainer.global_rank
        logged = values(n, rank)
        if self.case == "raise" and n == 1 and rank == 1:
            logged["mean"] = math.nan
        if (self.case == "one_sided" and rank == 0) or self.case == "never":
            logged.pop("mean")
        if self.case == "refreshed_on_one" and n == 1 and rank == 1:
            logged.pop("mean")
        for name, value in logged.items():
            self.log(name, value)


class Report(Used):
    """What this rank used, and how often it gathered; or how it failed, and when."""

    def __init__(self, out: Path, case: str, save: bool) -> None:
        super().__init__()
        self.out, self.case, self.save = out, case, save
        self.gathers: list[list[Any]] = []
        self.validations = 0
        self.began = 0.0

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self.began = time.monotonic()
        original = torch.distributed.all_gather

        def counting(*args: Any, **kwargs: Any) -> Any:
            self.gathers.append([trainer.global_step, bool(trainer.validating)])
            return original(*args, **kwargs)

        torch.distributed.all_gather = counting
        for callback in trainer.callbacks:
            if isinstance(callback, LRCallback):
                callback.on_validation_end = self.watched(callback.on_validation_end)

    def watched(self, hook: Callable[..., None]) -> Callable[..., None]:
        """The hook; what it raises is written down first. Spawned processes get no ``on_exception``."""

        def run(trainer: Any, pl_module: Any) -> None:
            try:
                hook(trainer, pl_module)
            except Exception as error:
                seconds = time.monotonic() - self.began
                self.write(trainer, ".error", {"kind": type(error).__name__, "text": str(error), "seconds": seconds})
                if trainer.strategy.launcher is not None and "LOCAL_RANK" not in os.environ:
                    trainer.strategy.barrier()  # the first spawned process to end takes the other with it
                raise

        return run

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if self.save and trainer.global_step == SAVED_AT:
            trainer.save_checkpoint(self.out / "saved.ckpt")

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self.validations += 1

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        found = {
            "lrs": self.lrs,
            "weights": [parameter.tolist() for parameter in pl_module.parameters()],
            "state": trainer.lr_scheduler_configs[0].scheduler.state_dict(),
            "gathers": self.gathers,
            "validations": self.validations,
        }
        self.write(trainer, "", found)

    def write(self, trainer: Any, what: str, found: dict[str, Any]) -> None:
        (self.out / f"{self.case}.rank{trainer.global_rank}{what}.json").write_text(json.dumps(found))


def wishes(case: str) -> list[Callback]:
    if case in ("agree", "resumed"):
        return [LRController(rules=rules()), LRWarmup(3), LRMultiPhaseDecay([Linear(end_factor=0.5)])]
    policy = "raise" if case == "raise" else "count"
    return [LRController(rules=[Rule(Patience(0), Reduce(0.5), "mean", nan_policy=policy)])]


def fit(out: Path, strategy: str, case: str) -> None:
    torch.manual_seed(0)
    runner = trainer(
        out, [Report(out, case, save=case == "agree"), *wishes(case)], max_epochs=EPOCHS, limit_val_batches=1,
        strategy=strategy, devices=2, use_distributed_sampler=False,
    )  # fmt: skip
    runner.fit(Measured(case), ckpt_path=out / "saved.ckpt" if case == "resumed" else None)


def main() -> None:
    out, strategy, cases = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    torch.set_num_threads(1)
    if strategy == "ddp":  # a file as the meeting point: no port that somebody else may take first
        rank = int(os.environ["LOCAL_RANK"])
        torch.distributed.init_process_group("gloo", init_method=f"file://{out}/meet", rank=rank, world_size=2)
    for case in cases[:-1]:
        with contextlib.suppress(ValueError, torch.multiprocessing.ProcessRaisedException):
            fit(out, strategy, case)
    fit(out, strategy, cases[-1])


if __name__ == "__main__":
    main()
