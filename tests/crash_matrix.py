"""Kill training with SIGKILL, many times, and go on from what lies on the disk: the used lrs must not show it.

    python tests/crash_matrix.py --kills 30 --seed 0 [--ranks 2]

Warmup, a decay in several phases, plateau reductions and stagnation restarts are active together, on a metric that is
a function of the step (and differs from rank to rank). Every configuration is drawn by seed and trained once without
interruption; then again, killed before updates, in validations and half-way through writing a checkpoint, each time
going on in a new process from the newest checkpoint that can be read. The lr of every update of every attempt must be
the uninterrupted run's, bit for bit; so must the final state of the scheduler and the file of its decisions.

Workers are forked from one parent that has imported everything and computed nothing, which saves seconds for each.
Prints a table; the exit status is 1 if anything differs, hangs, or ends otherwise than planned.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import Logger
from runs import Net, trainer

from lightning_lr import (
    Constant,
    Cosine,
    CosineRestarts,
    Linear,
    LRMultiPhaseDecay,
    LRPlateauReduction,
    LRStagnationRestart,
    LRWarmup,
    OneMinusSqrt,
    Polynomial,
    StepDecay,
)

FORK = multiprocessing.get_context("fork")
RANK_VARIABLES = ("LOCAL_RANK", "NODE_RANK", "RANK", "WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
PLACES = ("update", "update", "validation", "update", "saving")
"""Where the kills of one configuration strike, in turn; those before updates are the ones that --kills counts."""
HANGS_AFTER = 120.0


def _phases() -> list[list[Any]]:
    return [
        [Linear("50%", end_factor=0.5), Cosine()],
        [Constant("20%"), Polynomial("40%", end_factor=0.3, power=2.0), OneMinusSqrt()],
        [StepDecay("10%", gamma=0.8, duration="60%"), Linear()],
        [Cosine("1.5ep", end_factor=0.7), CosineRestarts("1ep", cycle_mult=1.5, peak_gamma=0.9)],
    ]


@dataclass(frozen=True)
class Config:
    """One way to train, drawn by seed."""

    seed: int
    batches: int
    epochs: int
    accumulate: int
    validation: dict[str, Any]
    savers: dict[str, int]
    warmup: int
    phases: int
    reduce: dict[str, Any]
    restart: dict[str, Any]

    @classmethod
    def drawn(cls, seed: int) -> Config:
        draw = random.Random(seed)
        batches = draw.randint(5, 9)
        across = {"check_val_every_n_epoch": None, "val_check_interval": draw.randint(3, 2 * batches)}
        kinds = ["steps", "validation", "epoch"]
        patience = draw.randint(0, 2)
        return cls(
            seed=seed,
            batches=batches,
            epochs=draw.randint(8, 12),
            accumulate=draw.choice([1, 1, 2, 3]),
            validation=draw.choice([{}, {"val_check_interval": draw.randint(2, 4)}, across]),
            savers={kind: draw.randint(1, 4) for kind in draw.sample(kinds, draw.randint(1, 3))},
            warmup=draw.randint(2, 6),
            phases=draw.randrange(len(_phases())),
            reduce={
                "patience": patience,
                "factor": draw.choice([0.5, 0.3, 0.9]),
                "cooldown": draw.randint(0, 1),
                "threshold_mode": draw.choice(["rel", "abs"]),
            },
            restart={
                "patience": patience + draw.randint(1, 2),
                "peak_decay": draw.choice([1.0, 0.7, 0.5]),
                "rewarm": draw.choice([0, 2, "5%"]),
                "fit": draw.choice(["remaining", "original"]),
            },
        )

    def metric(self, step: int, rank: int) -> float:
        """Falls and stalls: a function of the step, and a contradicting one on the other rank."""
        noise = random.Random(f"{self.seed}/{step}/{rank}").random()
        return math.exp(-step / 30) + 0.2 * noise + rank * math.sin(step)

    def wishes(self) -> list[Callback]:
        wishes: list[Callback] = [
            LRWarmup(self.warmup),
            LRMultiPhaseDecay(_phases()[self.phases]),
            LRPlateauReduction("val_loss", **self.reduce),
            LRStagnationRestart("val_loss", **self.restart),
        ]
        random.Random(self.seed).shuffle(wishes)
        return wishes

    def checkpoints(self, root: Path) -> list[Callback]:
        kinds: dict[str, dict[str, Any]] = {
            "steps": {"every_n_train_steps": self.savers.get("steps")},
            "validation": {"monitor": "val_loss", "every_n_epochs": 1, "save_on_train_epoch_end": False},
            "epoch": {"every_n_epochs": 1, "save_on_train_epoch_end": True},
        }
        return [ModelCheckpoint(root / kind, "{step}", save_top_k=-1, **kinds[kind]) for kind in self.savers]

    def __str__(self) -> str:
        check = self.validation.get("val_check_interval", "epoch")
        saved = "+".join(f"{kind}/{n}" if kind == "steps" else kind for kind, n in self.savers.items())
        across = " across" if "check_val_every_n_epoch" in self.validation else ""
        return f"{self.batches}x{self.epochs}/{self.accumulate}, val {check}{across}, {saved}"


@dataclass(frozen=True)
class Kill:
    """Die at the first ``place`` from update ``update`` on; ``rank`` alone, or all of them."""

    place: str
    update: int
    rank: int | None = None

    def strikes(self, place: str, trainer: Any) -> bool:
        here = self.rank is None or self.rank == trainer.global_rank
        return here and self.place == place and trainer.global_step >= self.update


# ---- the worker


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Trace(Callback):
    """Appends the lr of every update to a file that outlives the process; dies when the plan says so."""

    def __init__(self, path: Path, attempt: int, kill: Kill | None) -> None:
        self.path, self.attempt, self.kill = path, attempt, kill

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        if self.kill is not None and self.kill.strikes("update", trainer):
            die()
        with self.path.open("a") as file:  # closed, thus in the kernel's hands, before the update is made
            file.write(f"{self.attempt} {trainer.global_step} {float(optimizer.param_groups[0]['lr']).hex()}\n")

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        if self.kill is not None and self.kill.strikes("validation", trainer):
            die()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        state = trainer.lr_scheduler_configs[0].scheduler.state_dict()
        self.path.with_suffix(".final").write_text(json.dumps({"state": state, "updates": trainer.global_step}))


class HalfWritten(TorchCheckpointIO):
    """Dies half-way through writing a checkpoint under its final name, as a plain ``torch.save`` would."""

    def __init__(self, kill: Kill | None) -> None:
        self.kill = kill
        self.trainer: Any = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        if self.kill is not None and self.kill.strikes("saving", self.trainer):
            buffer = io.BytesIO()
            torch.save(checkpoint, buffer)
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(buffer.getvalue()[: buffer.tell() // 2])
            die()
        super().save_checkpoint(checkpoint, path, storage_options)


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


class Measured(Net):
    def __init__(self, config: Config) -> None:
        super().__init__(batches=config.batches)
        self.config = config

    def on_validation_epoch_end(self) -> None:
        self.log("val_loss", self.config.metric(self.trainer.global_step, self.trainer.global_rank))


def work(config: Config, root: Path, attempt: int, ckpt: Path | None, kill: Kill | None, rank: int, ranks: int) -> None:
    """One attempt of one rank, in a process of its own."""
    with (root / f"attempt{attempt}.rank{rank}.log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        parallel: dict[str, Any] = {}
        if ranks > 1:  # a file as the meeting point: no port that somebody else may take first
            meet = f"file://{root}/meet{attempt}"
            torch.distributed.init_process_group("gloo", init_method=meet, rank=rank, world_size=ranks)
            os.environ.update(LOCAL_RANK=str(rank), NODE_RANK="0", WORLD_SIZE=str(ranks))
            parallel = {"strategy": "ddp", "devices": ranks, "use_distributed_sampler": False}
        disk = HalfWritten(kill)
        disk.trainer = trainer(
            root,
            [Trace(root / f"trace{rank}", attempt, kill), *config.wishes(), *config.checkpoints(root)],
            max_epochs=config.epochs,
            accumulate_grad_batches=config.accumulate,
            limit_val_batches=1,
            enable_checkpointing=True,
            logger=Folder(root),
            plugins=[disk],
            **config.validation,
            **parallel,
        )
        torch.manual_seed(config.seed)
        disk.trainer.fit(Measured(config), ckpt_path=ckpt)
    except BaseException:
        traceback.print_exc()
        raise


# ---- the harness: it knows nothing but the files


def run(config: Config, root: Path, attempt: int, ckpt: Path | None, kill: Kill | None, ranks: int) -> list[int | None]:
    """Start the ranks, wait for the first death, end the others; the exit codes, ``None`` for one that we killed."""
    workers = [
        FORK.Process(target=work, args=(config, root, attempt, ckpt, kill, rank, ranks)) for rank in range(ranks)
    ]
    for worker in workers:
        worker.start()
    deadline, codes = time.monotonic() + HANGS_AFTER, dict.fromkeys(range(ranks))
    running = dict(enumerate(workers))
    while running:
        ended = wait([worker.sentinel for worker in running.values()], max(0.0, deadline - time.monotonic()))
        for rank, worker in list(running.items()):
            if worker.sentinel in ended:
                worker.join()
                codes[rank] = worker.exitcode
                del running[rank]
        if not ended or any(codes[rank] for rank in range(ranks)):
            for worker in running.values():
                worker.kill()
                worker.join()
            break
    return list(codes.values())


def saved(root: Path) -> list[Path]:
    """Every checkpoint, the newest first."""
    found = [*root.glob("steps/*.ckpt"), *root.glob("validation/*.ckpt"), *root.glob("epoch/*.ckpt")]
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)


def newest(root: Path, broken: set[Path]) -> tuple[Path | None, int]:
    """The newest checkpoint that can be read, and its step; what cannot be read is remembered."""
    for path in saved(root):
        try:
            return path, int(torch.load(path, weights_only=True)["global_step"])
        except Exception:  # truncated: torch raises whatever the zip reader, or the unpickler, stumbles over
            broken.add(path)
    return None, 0


def trace(root: Path, rank: int) -> list[tuple[int, int, str]]:
    path = root / f"trace{rank}"
    rows = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [(int(attempt), int(update), lr) for attempt, update, lr in rows]


def decisions(root: Path) -> str:
    path = root / "lr_events.jsonl"
    return path.read_text() if path.exists() else ""


@dataclass
class Result:
    """What one configuration showed."""

    config: Config
    updates: int = 0
    lrs: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    killed: list[Kill] = field(default_factory=list)
    attempts: int = 0
    broken: int = 0
    compared: int = 0
    wrong: list[str] = field(default_factory=list)

    def count(self, place: str) -> int:
        return sum(kill.place == place for kill in self.killed)


def uninterrupted(config: Config, root: Path, ranks: int) -> tuple[Result, dict[int, str]]:
    """The run that nobody kills: what every attempt is compared with."""
    result = Result(config)
    codes = run(config, root, 0, None, None, ranks)
    if any(codes):
        result.wrong.append(f"the uninterrupted run ended with {codes}:\n{logs(root, 0)}")
        return result, {}
    whole = {update: lr for _, update, lr in trace(root, 0)}
    for rank in range(1, ranks):
        if {update: lr for _, update, lr in trace(root, rank)} != whole:
            result.wrong.append(f"rank {rank} of the uninterrupted run used other lrs than rank 0")
    events = [json.loads(line) for line in decisions(root).splitlines()]
    result.updates, result.lrs = len(whole), len(set(whole.values()))
    result.kinds = {kind: sum(event["kind"] == kind for event in events) for kind in ("reduce", "restart")}
    return result, whole


def killed(
    result: Result, whole: dict[int, str], root: Path, original: Path, kills: int, used: set[int], ranks: int
) -> None:
    """Train the same again, killed ``kills`` times before updates and now and then elsewhere; compare everything."""
    config, draw, broken = result.config, random.Random(f"kills/{result.config.seed}"), set[Path]()
    done = False
    while not done:
        ckpt, step = newest(root, broken)
        kill = None
        if result.count("update") < kills and step < result.updates:
            place = PLACES[result.attempts % len(PLACES)]
            # not too far: several kills are to fit into one run
            reach = range(step, min(result.updates, step + max(4, (result.updates - step) // 2)))
            update = draw.choice([k for k in reach if k not in used] or list(reach))
            alone = draw.choice([None, None, 0, 1]) if ranks > 1 and place == "update" else None
            kill = Kill(place, update, alone)
        result.attempts += 1
        codes = run(config, root, result.attempts, ckpt, kill, ranks)
        # no further validation, or checkpoint, may have come after that update
        done = codes == [0] * ranks and (kill is None or kill.place != "update")
        if done:
            continue
        if kill is None or -signal.SIGKILL not in codes:
            said = logs(root, result.attempts)
            result.wrong.append(f"attempt {result.attempts} from {ckpt}, {kill}: ended with {codes}\n{said}")
            return
        result.killed.append(kill)
        if kill.place == "update":
            used.add(kill.update)
    result.broken = len(broken)
    compare(result, whole, root, original, ranks)


def compare(result: Result, whole: dict[int, str], root: Path, original: Path, ranks: int) -> None:
    for rank in range(ranks):
        rows = trace(root, rank)
        result.compared += len(rows)
        for attempt, update, lr in rows:
            if lr != whole.get(update):
                want = float.fromhex(whole.get(update, "nan"))
                result.wrong.append(
                    f"rank {rank}, attempt {attempt}, update {update}: {float.fromhex(lr)!r}, not {want!r}"
                )
        missing = sorted(set(whole) - {update for _, update, _ in rows})
        if missing:
            result.wrong.append(f"rank {rank} never made the updates {missing}")
        finals = [folder / f"trace{rank}.final" for folder in (original, root)]
        if not all(path.exists() for path in finals) or len({path.read_text() for path in finals}) > 1:
            result.wrong.append(f"rank {rank}: another final state of the scheduler, see {finals}")
    if decisions(root) != decisions(original):
        result.wrong.append(f"other decisions in {root}/lr_events.jsonl than in {original}")


def logs(root: Path, attempt: int) -> str:
    return "\n".join(path.read_text()[-3000:] for path in sorted(root.glob(f"attempt{attempt}.rank*.log")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="kills before an update, over all configurations")
    parser.add_argument("--per-run", type=int, default=4, help="of them in one run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="keep the files here")
    args = parser.parse_args()
    for name in RANK_VARIABLES:
        os.environ.pop(name, None)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    began, results, used, drawn = time.monotonic(), list[Result](), set[int](), args.seed * 1000
    with contextlib.ExitStack() as stack:
        top = args.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        while (left := args.kills - sum(result.count("update") for result in results)) > 0:
            config = Config.drawn(drawn)
            original, root = top / f"{drawn}.whole", top / f"{drawn}.killed"
            drawn += 1
            for folder in (original, root):
                folder.mkdir(parents=True)
            result, whole = uninterrupted(config, original, args.ranks)
            if not result.wrong:
                if result.kinds["reduce"] < 2 or result.kinds["restart"] < 1:
                    continue  # a quiet run proves little: draw another
                killed(result, whole, root, original, min(left, args.per_run), used, args.ranks)
            results.append(result)
            if result.wrong:
                break
    return report(results, used, args.ranks, time.monotonic() - began)


def report(results: list[Result], used: set[int], ranks: int, seconds: float) -> int:
    print(
        "| seed | run | updates | lrs | reduce | restart | kills: update, validation, saving | broken | compared | ≠ |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for r in results:
        kills = ", ".join(str(r.count(place)) for place in ("update", "validation", "saving"))
        print(
            f"| {r.config.seed} | {r.config} | {r.updates} | {r.lrs} | {r.kinds.get('reduce')} | "
            f"{r.kinds.get('restart')} | {kills} | {r.broken} | {r.compared} | {len(r.wrong)} |"
        )
    alone = sum(kill.rank is not None for r in results for kill in r.killed)
    print(
        f"ranks {ranks}; configurations {len(results)}; kills {sum(len(r.killed) for r in results)}; "
        f"before updates {sum(r.count('update') for r in results)} "
        f"({len(used)} different ones; one rank alone {alone}); "
        f"broken checkpoints {sum(r.broken for r in results)}; updates compared {sum(r.compared for r in results)}; "
        f"mismatches {sum(len(r.wrong) for r in results)}; {seconds:.0f} s"
    )
    for r in results:
        for line in r.wrong[:10]:
            print(f"seed {r.config.seed}: {line}", file=sys.stderr)
    return int(any(r.wrong for r in results))


if __name__ == "__main__":
    sys.exit(main())
