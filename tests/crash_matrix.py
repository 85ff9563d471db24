"""Let training die in many ways, and go on from what lies on the disk: what its updates use must not show it.

    python tests/crash_matrix.py --kills 200 --seed 0 [--ranks 2] [--markdown FILE]

Every configuration (schedule, rules, tracks, optimizer, accumulation, validation, what saves and when) is drawn by
seed, with a metric that is a function of the step and differs from rank to rank. It is trained once without
interruption; then again, dying several times, each time going on in a new process from the newest checkpoint that can
be read, or from the start where there is none. The lr, momentum or betas and weight decay of every group at every
update of every attempt must be the uninterrupted run's, bit for bit; so must the scheduler's final state, the final
weights (where no gradients were being accumulated) and the file of its decisions.

The ways to die are those of ``crash_worker.WAYS``. "Can be read" means that torch loads it and its checksums are right:
torch itself does not look at those, and loads flipped bytes as other numbers.

Workers are forked from one parent that has imported everything and computed nothing, which saves seconds for each.
Prints tables; the exit status is 1 if anything differs, hangs, or ends otherwise than planned.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from crash_config import Config
from crash_worker import DISK_FULL, DONE, RAISED, TERMINATED, WAYS, Death, work

FORK = multiprocessing.get_context("fork")
RANK_VARIABLES = ("LOCAL_RANK", "NODE_RANK", "RANK", "WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
HANGS_AFTER = 120.0
KILLED = -int(signal.SIGKILL)
ENDS = {
    "SIGTERM": {TERMINATED},
    "SIGTERM, then SIGKILL": {KILLED, TERMINATED},  # it may be done before the second signal comes
    "exception": {RAISED},
    "full disk": {DISK_FULL},
}
"""How a worker may end that dies in this way; else it was killed."""

Row = tuple[int, str, int, tuple[str, ...]]
"""An attempt, the moment that it passed, the updates made before, and what the groups used, where it is an update."""


def run(
    config: Config, root: Path, attempt: int, ckpt: Path | None, death: Death | None, ranks: int
) -> list[int | None]:
    """Start the ranks, wait for the first death, end the others; the exit codes, ``None`` for one that we killed.

    A rank that was told to stop may take its time.
    """
    workers = [
        FORK.Process(target=work, args=(config, root, attempt, ckpt, death, rank, ranks)) for rank in range(ranks)
    ]
    for worker in workers:
        worker.start()
    deadline = time.monotonic() + HANGS_AFTER
    codes: dict[int, int | None] = dict.fromkeys(range(ranks))
    running = dict(enumerate(workers))
    while running:
        ended = wait([worker.sentinel for worker in running.values()], max(0.0, deadline - time.monotonic()))
        for rank, worker in list(running.items()):
            if worker.sentinel in ended:
                worker.join()
                codes[rank] = worker.exitcode
                del running[rank]
        if not ended or any(code not in (None, DONE, TERMINATED) for code in codes.values()):
            for worker in running.values():
                worker.kill()
                worker.join()
            break
    return list(codes.values())


def newest(root: Path, broken: set[Path]) -> tuple[Path | None, int]:
    """The newest checkpoint that can be read, and its step; what cannot be read is remembered."""
    found = sorted(root.glob("*/*.ckpt"), key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
    for path in found:
        try:
            with zipfile.ZipFile(path) as file:
                if file.testzip() is None:
                    return path, int(torch.load(path, weights_only=True)["global_step"])
        except Exception:  # whatever the zip reader, or the unpickler, stumbles over
            pass
        broken.add(path)
    return None, 0


def damage(path: Path, how: str, draw: random.Random) -> None:
    """Spoil a file; it keeps its age."""
    age, data = path.stat(), bytearray(path.read_bytes())
    if how == "truncated":
        del data[draw.randrange(1, len(data)) :]
    elif how == "emptied":
        data.clear()
    else:
        for _ in range(16):
            data[draw.randrange(len(data))] ^= draw.randint(1, 255)
    path.write_bytes(data)
    os.utime(path, ns=(age.st_atime_ns, age.st_mtime_ns))


def trace(root: Path, rank: int) -> list[Row]:
    path = root / f"trace{rank}"
    rows = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [(int(row[0]), row[1].replace("_", " "), int(row[2]), tuple(row[3:])) for row in rows]


def updates(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row[1] == "update"]


def decisions(root: Path) -> list[str]:
    path = root / "lr_events.jsonl"
    return path.read_text().splitlines(keepends=True) if path.exists() else []


@dataclass
class Attempt:
    """What was tried again after a death (``None``: the first time), and from what."""

    after: Death | None
    ckpt: Path | None


@dataclass
class Result:
    """What one configuration showed."""

    config: Config
    updates: int = 0
    lrs: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    moments: list[Row] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    missed: list[Death] = field(default_factory=list)
    broken: int = 0
    compared: Counter[int] = field(default_factory=Counter)
    wrong: list[tuple[int, str]] = field(default_factory=list)

    @property
    def deaths(self) -> list[Death]:
        return [attempt.after for attempt in self.attempts if attempt.after is not None]


def uninterrupted(config: Config, root: Path, ranks: int) -> tuple[Result, dict[int, tuple[str, ...]]]:
    """The run that nobody kills: what every attempt is compared with."""
    result = Result(config)
    codes = run(config, root, 0, None, None, ranks)
    if any(codes):
        result.wrong.append((0, f"the uninterrupted run ended with {codes}:\n{logs(root, 0)}"))
        return result, {}
    result.moments = trace(root, 0)
    whole = {update: values for _, _, update, values in updates(result.moments)}
    for rank in range(1, ranks):
        if {update: values for _, _, update, values in updates(trace(root, rank))} != whole:
            result.wrong.append((0, f"rank {rank} of the uninterrupted run used other lrs than rank 0"))
    result.updates, result.lrs = len(whole), len({values[0] for values in whole.values()})
    result.kinds = Counter(json.loads(line)["kind"] for line in decisions(root))
    return result, whole


def planned(
    result: Result, deck: list[tuple[str, str]], step: int, ckpt: Path | None, draw: random.Random, ranks: int
) -> Death | None:
    """The next way to die that can still happen to this run; it goes to the end of the deck."""
    far = step + draw.choice([2, max(4, (result.updates - step) // 2)])  # several deaths are to fit into one run
    for i, (way, place) in enumerate(deck):
        moment = WAYS[way][place]
        passed = [row[2] for row in result.moments if row[1] == moment]
        if moment == "rewriting":
            told = any(row[1] == "decision" and row[2] < step for row in result.moments)
            reach = [0] if ckpt is not None and told else []
        else:
            first = step if moment in ("update", "training step") else step + 1
            reach = [update for update in passed if first <= update < far]
        if not reach:
            continue
        deck.append(deck.pop(i))
        accumulated = result.config.accumulate if isinstance(result.config.accumulate, int) else 1
        skip = draw.randrange(accumulated) if moment == "training step" and accumulated > 1 else 0
        alone = draw.choice([None, None, 0, 1]) if ranks > 1 and way == "SIGKILL" and moment == "update" else None
        return Death(way, place, draw.choice(reach), alone, skip, stays=draw.random() < 0.5)
    return None


def killed(
    result: Result,
    whole: dict[int, tuple[str, ...]],
    root: Path,
    original: Path,
    kills: int,
    deck: list[tuple[str, str]],
    ranks: int,
) -> None:
    """Train the same again, dying ``kills`` times; compare everything."""
    config, draw, broken = result.config, random.Random(f"deaths/{result.config.seed}"), set[Path]()
    last: Death | None = None
    before: list[str] = []  # the decisions of attempts that left no checkpoint: a run that starts anew keeps them
    while True:
        ckpt, step = newest(root, broken)
        before = decisions(root) if ckpt is None else []
        if ckpt is None:  # left to itself, Lightning goes on from OnExceptionCheckpoint's file, readable or not
            (root / "exception" / "on_exception.ckpt").unlink(missing_ok=True)
        death = (
            planned(result, deck, step, ckpt, draw, ranks) if len(result.deaths) < kills - (last is not None) else None
        )
        result.attempts.append(Attempt(last, ckpt))
        codes = run(config, root, len(result.attempts), ckpt, death, ranks)
        if codes == [DONE] * ranks:
            if death is not None:
                result.missed.append(death)
            break
        if death is None or not ENDS.get(death.way, {KILLED}) & set(codes):
            said = logs(root, len(result.attempts))
            story = f"attempt {len(result.attempts)} from {ckpt}, {death}: ended with {codes}\n{said}"
            result.wrong.append((len(result.attempts), story))
            return
        last = death
        if death.way == "SIGKILL, newest checkpoint":
            readable, every = True, draw.random() < 0.25
            while readable:
                spoilt, _ = newest(root, set())
                if spoilt is not None:
                    damage(spoilt, death.place, draw)
                readable = spoilt is not None and every
    result.broken = len(broken)
    compare(result, whole, root, original, ranks)
    if [line for line in before if line.endswith("\n")] + decisions(original) != decisions(root):
        text = f"other decisions in {root}/lr_events.jsonl than in {original}"
        result.wrong.append((len(result.attempts), text))


def compare(result: Result, whole: dict[int, tuple[str, ...]], root: Path, original: Path, ranks: int) -> None:
    for rank in range(ranks):
        rows = updates(trace(root, rank))
        for attempt, _, update, values in rows:
            result.compared[attempt] += 1
            if values != whole.get(update):
                got, want = ([float.fromhex(v) for v in vs] for vs in (values, whole.get(update, ())))
                result.wrong.append((attempt, f"rank {rank}, attempt {attempt}, update {update}: {got}, not {want}"))
        missing = sorted(set(whole) - {update for _, _, update, _ in rows})
        last = len(result.attempts)
        if missing:
            result.wrong.append((last, f"rank {rank} never made the updates {missing}"))
        finals = [folder / f"trace{rank}.final" for folder in (original, root)]
        if not all(path.exists() for path in finals) or len({path.read_text() for path in finals}) > 1:
            result.wrong.append((last, f"rank {rank}: another final state of the scheduler, see {finals}"))


def logs(root: Path, attempt: int) -> str:
    return "\n".join(path.read_text()[-3000:] for path in sorted(root.glob(f"attempt{attempt}.rank*.log")))


def summary(results: Sequence[Result]) -> list[str]:
    """Ways to die as a markdown table; what was compared counts for the death before it."""
    lines = [
        "| way to die | where | deaths | gone on from what it saved dying | from a checkpoint before | from the start "
        "| updates compared | mismatches |",
        "|---|---|---|---|---|---|---|---|",
    ]
    totals = Counter[str]()
    columns = ("deaths", "dying", "before", "start", "compared", "wrong")
    for way, place in [(way, place) for way, places in WAYS.items() for place in places] + [("", "")]:
        tally = Counter[str]()
        for result in results:
            for number, attempt in enumerate(result.attempts, 1):
                death = attempt.after
                if (("", "") if death is None else (death.way, death.place)) != (way, place):
                    continue
                tally["compared"] += result.compared[number]
                tally["wrong"] += sum(n == number or (n == 0 and number == 1) for n, _ in result.wrong)
                if death is not None:
                    tally["deaths"] += 1
                    folder = "start" if attempt.ckpt is None else attempt.ckpt.parent.name
                    tally[{"start": "start", "exception": "dying"}.get(folder, "before")] += 1
        totals += tally
        if way:
            lines.append(f"| {way} | {place} | " + " | ".join(str(tally[column]) for column in columns) + " |")
    lines.append("| all, and first attempts | | " + " | ".join(str(totals[column]) for column in columns) + " |")
    return lines


def report(results: Sequence[Result], ranks: int, seconds: float) -> int:
    print("| seed | run | updates | lrs | decisions | deaths | broken | compared | ≠ |\n" + "|---" * 9 + "|")
    for r in results:
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(r.kinds.items()))
        print(
            f"| {r.config.seed} | {r.config} | {r.updates} | {r.lrs} | {kinds} | {len(r.deaths)} | {r.broken} | "
            f"{r.compared.total()} | {len(r.wrong)} |"
        )
    print()
    print("\n".join(summary(results)))
    print(
        f"\nranks {ranks}; configurations {len(results)}; schedules {len({r.config.body for r in results})}; "
        f"deaths {sum(len(r.deaths) for r in results)}; one rank alone "
        f"{sum(death.rank is not None for r in results for death in r.deaths)}; "
        f"planned, but never came {sum(len(r.missed) for r in results)}; "
        f"broken checkpoints {sum(r.broken for r in results)}; "
        f"updates compared {sum(r.compared.total() for r in results)}; "
        f"mismatches {sum(len(r.wrong) for r in results)}; {seconds:.0f} s"
    )
    for r in results:
        for _, line in r.wrong[:10]:
            print(f"seed {r.config.seed}: {line}", file=sys.stderr)
        for death in r.missed:
            print(f"seed {r.config.seed}: {death} never came")
    return int(any(r.wrong for r in results))


def arguments(argv: Sequence[str] | None) -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="deaths over all configurations")
    parser.add_argument("--per-run", type=int, default=5, help="of them in one run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="keep the files here")
    parser.add_argument("--markdown", type=Path, help="write the table of ways to die here too")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    for name in RANK_VARIABLES:
        os.environ.pop(name, None)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    began, results, drawn = time.monotonic(), list[Result](), args.seed * 1000
    deck = [(way, place) for way, places in WAYS.items() for place in places]
    random.Random(args.seed).shuffle(deck)
    with contextlib.ExitStack() as stack:
        top = args.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        while (left := args.kills - sum(len(result.deaths) for result in results)) > 0:
            config = Config.drawn(drawn)
            original, root = top / f"{drawn}.whole", top / f"{drawn}.killed"
            drawn += 1
            for folder in (original, root):
                folder.mkdir(parents=True)
            result, whole = uninterrupted(config, original, args.ranks)
            if not result.wrong:
                killed(result, whole, root, original, min(left, args.per_run), deck, args.ranks)
            results.append(result)
            print(f"{time.monotonic() - began:.0f} s: {config.seed}, {len(result.wrong)} mismatches", file=sys.stderr)
    if args.markdown:
        args.markdown.write_text("\n".join(summary(results)) + "\n")
    return report(results, args.ranks, time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
