"""Two ranks of which one goes wrong, as processes of their own: ``python ddp_faults_run.py OUT TIMEOUT CASE...``.

Run it twice, with LOCAL_RANK 0 and 1. Each case is one fit; every rank that lives to its end writes
OUT/<case>.rank<r>.json. The last case's error is not caught: the process ends with it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from lightning.pytorch.callbacks import Callback
from runs import Net, Used, trainer

from lightning_lr import Cosine, Custom, Linear, LRController, LRMultiPhaseDecay, LRPlateauReduction, LRWarmup

METRICS = (3.0, 2.0, 2.0, 1.0)
"""What both ranks measure: patience 0 is over at the third validation."""


def sgd(lr: float = 1.0) -> Any:
    return lambda net: torch.optim.SGD(net.parameters(), lr=lr)


def two_groups(net: Any) -> Any:
    return torch.optim.SGD([{"params": [p]} for p in net.parameters()], lr=1.0)


def plateau(factor: float = 0.5, **options: Any) -> list[Callback]:
    return [LRPlateauReduction("val_loss", factor=factor, patience=0, **options), LRWarmup(2)]


class Saving(Callback):
    def __init__(self, out: Path) -> None:
        self.out = out

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step in (4, 6):
            trainer.save_checkpoint(self.out / f"step{trainer.global_step}.ckpt")


class Late(Callback):
    """Rank 1's validations end after rank 0 has begun to wait for it; or, ``for_ever``, after rank 0 has given up."""

    def __init__(self, out: Path, for_ever: bool = False) -> None:
        self.pipe, self.for_ever = out / "pipe", for_ever

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.global_rank == 0 and not self.for_ever:
            gather = torch.distributed.all_gather

            def announced(*args: Any, **options: Any) -> Any:
                self.pipe.write_text("I am waiting")
                return gather(*args, **options)

            torch.distributed.all_gather = announced

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.global_rank == 1:
            self.pipe.read_text()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        if trainer.global_rank == 0 and self.for_ever:
            self.pipe.write_text("I have given up")


class Dying(Callback):
    """Rank 1 is killed in a hook, when so many validations are over."""

    def __init__(self, hook: str, after: int = 0) -> None:
        self.after, self.seen = after, 0
        setattr(self, hook, self.die)

    def die(self, trainer: Any, *_: Any) -> None:
        self.seen += 1
        if trainer.global_rank == 1 and self.seen > self.after:
            os.kill(os.getpid(), signal.SIGKILL)


def doubled(progress: float) -> float:
    return 1.0 - progress / 2


def case_of(name: str, out: Path, rank: int) -> dict[str, Any]:
    """What one rank runs: its callbacks, and what else it does otherwise."""

    def mine(zero: Any, one: Any) -> Any:
        return one if rank else zero

    def inner(progress: float) -> float:  # it cannot be imported by name
        return 1.0 - progress / 2

    decay = [LRMultiPhaseDecay(Linear())]
    cases: dict[str, Any] = {
        "agree": {"callbacks": [LRController(Custom(inner) >> Custom(doubled, duration=2)), *plateau()]},
        "save": {"callbacks": [*decay, Saving(out)]},
        "schedule": {"callbacks": [LRMultiPhaseDecay(mine(Cosine(), Linear()))]},
        "rules": {"callbacks": plateau(mine(0.5, 0.3))},
        "more callbacks": {"callbacks": [*decay, *mine([], plateau())]},
        "lr": {"callbacks": plateau(), "optimizer": sgd(mine(1.0, 1.0 + 1e-15))},
        "groups": {"callbacks": decay, "optimizer": mine(sgd(), two_groups)},
        "length": {"callbacks": [LRMultiPhaseDecay(Linear(), total_steps=mine(16, 24))]},
        "refused": {"callbacks": [LRMultiPhaseDecay(mine(Linear(16), Linear(99)))]},
        "refused on rank 0": {"callbacks": [LRMultiPhaseDecay(mine(Linear(99), Linear(16)))]},
        "refused on all": {"callbacks": [LRMultiPhaseDecay(Linear(99))]},
        "another checkpoint": {"callbacks": decay, "ckpt": out / mine("step4.ckpt", "step6.ckpt")},
        "another state": {"callbacks": decay, "ckpt": out / mine("step4.ckpt", "reduced.ckpt")},
        "broken checkpoint": {"callbacks": decay, "ckpt": out / mine("step4.ckpt", "broken.ckpt")},
        "same checkpoint": {"callbacks": decay, "ckpt": out / "step4.ckpt"},
        "late": {"callbacks": [*plateau(), Late(out)]},
        "too late": {"callbacks": [*plateau(), Late(out, for_ever=True)]},
        "dies before a decision": {"callbacks": [*plateau(), Dying("on_validation_epoch_end", after=1)]},
        "dies before the start": {"callbacks": [Dying("on_train_start"), *plateau()]},
        "none on rank 1": {"callbacks": mine(plateau(), [])},
        "none on rank 0": {"callbacks": mine([], plateau())},
    }
    return cases[name]  # type: ignore[no-any-return]


def ruin(out: Path) -> None:
    """A checkpoint with a state that is broken, and one with a state of the same update that is another."""
    content = torch.load(out / "step4.ckpt", weights_only=True)
    state = content["lr_schedulers"][0]
    state["tracks"]["lr"][1][0] = 0.5
    torch.save(content, out / "broken.ckpt")
    del state["sums"]
    torch.save(content, out / "reduced.ckpt")


def fit(out: Path, name: str, rank: int) -> None:
    torch.manual_seed(0)
    case, watch = case_of(name, out, rank), Used()
    net = Net(optimizer=case.get("optimizer", sgd()), metric=lambda n: METRICS[n])
    runner = trainer(
        out, [watch, *case["callbacks"]], max_epochs=len(METRICS), limit_val_batches=1, strategy="ddp", devices=2,
        use_distributed_sampler=False,
    )  # fmt: skip
    began, found = time.monotonic(), {}
    try:
        runner.fit(net, ckpt_path=case.get("ckpt"))
    except Exception as error:
        found = {"kind": type(error).__name__, "text": str(error)}
        raise
    finally:
        found |= {"lrs": watch.lrs, "seconds": time.monotonic() - began}
        (out / f"{name}.rank{rank}.json").write_text(json.dumps(found))
    if name == "save" and rank == 0:
        ruin(out)


def main() -> None:
    out, timeout, cases = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    torch.set_num_threads(1)
    rank = int(os.environ["LOCAL_RANK"])
    store = torch.distributed.FileStore(f"{out}/meet", 2)  # no port that somebody else may take first
    store.set(f"rank {rank}", "here")
    store.wait([f"rank {1 - rank}"], timedelta(minutes=4))  # its imports may take longer than the timeout
    torch.distributed.init_process_group(
        "gloo", store=store, rank=rank, world_size=2, timeout=timedelta(seconds=timeout)
    )
    for name in cases[:-1]:
        try:
            fit(out, name, rank)
        except ValueError:
            continue  # the same on both, or the next case hangs
    fit(out, cases[-1], rank)


if __name__ == "__main__":
    main()
