"""One decision on two gloo ranks, against a bare ``all_gather`` of as many numbers in the same two processes.

A decision is the whole ``on_validation_end`` of the callback that conducts a real fit under ``ddp``: the metric's
state, the ranks' agreement, the rule, and what is told of it. ``ranks.py FOLDER ROUNDS COUNT`` is one rank.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from harness import ROOT, Arm, Rounds, Row, child, interleave, micro
from lightning.pytorch.callbacks import Callback
from runs import Net, trainer

from lightning_lr import Cosine, LRCallback, LRMultiPhaseDecay, LRPlateauReduction, LRWarmup


class Measure(Callback):
    """When training is over, decide again and again, each time on a new value."""

    def __init__(self, folder: Path, rounds: int, count: int) -> None:
        self.folder, self.rounds, self.count = folder, rounds, count

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        conducting = next(callback for callback in trainer.callbacks if isinstance(callback, LRCallback))
        metrics, decide = trainer.callback_metrics, conducting.on_validation_end
        scheduler = trainer.lr_scheduler_configs[0].scheduler
        (state,) = (state for track in scheduler.live for state in track.rule_states)

        def decisions() -> None:
            for _ in repeat(None, self.count):
                metrics["val_loss"] = torch.tensor(1.0)  # another tensor: a new result
                decide(trainer, pl_module)

        mine = torch.ones(len(scheduler.factors) + 1, 2, dtype=torch.float64)
        every = [torch.empty_like(mine) for _ in range(trainer.world_size)]

        def gathers() -> None:
            for _ in repeat(None, self.count):
                dist.all_gather(every, mine)

        begun = collectives()
        dist.all_gather(every, mine)
        before = collectives()
        assert before == begun + 1, "the process group was to count a bare all_gather"
        metrics["val_loss"] = torch.tensor(1.0)
        decide(trainer, pl_module)
        made = collectives() - before
        (after,) = (state for track in scheduler.live for state in track.rule_states)
        assert after != state, "the rule was to see a value"
        found = interleave([Arm(decisions, self.count), Arm(gathers, self.count)], self.rounds, time.perf_counter)
        if trainer.is_global_zero:
            (self.folder / "found.json").write_text(json.dumps([made, found]))


def collectives() -> int:
    """How many collectives this rank has begun: the process group itself counts them."""
    return int(dist.group.WORLD._get_sequence_number_for_group())


def rank(folder: Path, rounds: int, count: int) -> None:
    """One of the two processes."""
    torch.set_num_threads(1)
    meeting = f"file://{folder}/meet"
    dist.init_process_group("gloo", init_method=meeting, rank=int(os.environ["LOCAL_RANK"]), world_size=2)
    wishes = [LRWarmup(2), LRMultiPhaseDecay([Cosine()]), LRPlateauReduction("val_loss", patience=10**9)]
    runner = trainer(
        folder, [*wishes, Measure(folder, rounds, count)], max_epochs=3, limit_val_batches=1, strategy="ddp",
        devices=2, use_distributed_sampler=False,
    )  # fmt: skip
    runner.fit(Net(metric=float))


def measured(rounds: int, count: int) -> tuple[int, Rounds]:
    """The collectives of one decision, and the seconds of both arms on the first rank."""
    with tempfile.TemporaryDirectory() as folder:
        environment = child(ROOT / "tests", ROOT) | {"NODE_RANK": "0", "WORLD_SIZE": "2"}
        command = [sys.executable, __file__, folder, str(rounds), str(count)]
        ranks = [
            subprocess.Popen(
                command, env=environment | {"LOCAL_RANK": str(i)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            for i in (0, 1)
        ]
        try:
            said = [process.communicate(timeout=600)[0].decode() for process in ranks]
        finally:
            for process in ranks:
                process.kill()
        if any(process.returncode for process in ranks):
            raise RuntimeError("a rank has failed:\n" + "\n".join(text[-2000:] for text in said))
        made, found = json.loads((Path(folder) / "found.json").read_text())
        return made, Rounds(map(tuple, found))


def rows(quick: bool) -> Iterator[Row]:
    """Time, by the clock on the wall since ranks wait for each other, and collectives."""
    made, found = measured(*((3, 5) if quick else (101, 50)))
    yield Row("a decision / bare all_gather", "2 gloo ranks", micro(found.cost()), found.ratio(), 1.5)
    yield Row("collectives of a decision", "2 gloo ranks", "", made, 1)


if __name__ == "__main__":
    rank(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
