"""One training run as a process of its own: ``python one_run.py OUT [--strategy S --devices N] [--ckpt FILE ...]``.

Writes OUT/<name>.rank<r>.json with the lr of every update and the final weight; with several --ckpt, one run for each.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from lightning.pytorch.callbacks import Callback
from runs import Net, Used, trainer

from lightning_lr import Constant, Cosine, Linear, LRMultiPhaseDecay, LRWarmup


class Keep(Used):
    """The trace of this rank, in a file of its own; and a checkpoint after every update, if asked."""

    def __init__(self, out: Path, name: str, save: bool) -> None:
        super().__init__()
        self.out, self.name, self.save = out, name, save

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if self.save:
            trainer.save_checkpoint(self.out / f"step{trainer.global_step}.ckpt")

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        trace = {"lrs": self.groups, "weight": pl_module.layer.weight.item()}
        (self.out / f"{self.name}.rank{trainer.global_rank}.json").write_text(json.dumps(trace))


def wishes() -> list[Callback]:
    return [LRMultiPhaseDecay([Linear("30%", end_factor=0.4), Cosine()]), LRWarmup(3)]


def uneven() -> list[Callback]:
    return [LRWarmup(2), LRMultiPhaseDecay([Linear("1 epoch", end_factor=0.1), Constant()])]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--strategy", default="auto")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--ckpt", type=Path, nargs="*", default=[])
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--uneven", action="store_true", help="rank 1 has more batches than rank 0; 8 updates in all")
    args = parser.parse_args()
    for ckpt in args.ckpt or [None]:
        torch.manual_seed(0)
        keep = Keep(args.out, ckpt.stem if ckpt else "whole", args.save)
        limit = {"max_steps": 8, "max_epochs": -1} if args.uneven else {"max_epochs": 3}
        wanted = uneven() if args.uneven else wishes()
        runner = trainer(
            args.out,
            [keep, *wanted],
            strategy=args.strategy,
            devices=args.devices,
            use_distributed_sampler=False,
            **limit,
        )
        runner.fit(Net(batches=4 + 2 * runner.global_rank if args.uneven else 4), ckpt_path=ckpt)


if __name__ == "__main__":
    main()
