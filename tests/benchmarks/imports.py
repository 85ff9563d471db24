"""What ``import lightning_lr`` costs, in processes that have imported nothing before."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from harness import ROOT, Rounds, Row, child

PROGRAM = """
import json, sys, time
seconds = []
for statement in sys.argv[1:]:
    begin = time.perf_counter()
    exec(statement)
    seconds.append(time.perf_counter() - begin)
print(json.dumps(seconds))
"""
NAMES = "from lightning_lr import Cosine, LRMultiPhaseDecay, LRPlateauReduction, LRWarmup"


def seconds_of(*statements: str) -> list[float]:
    """The seconds of each of these statements, in a new process; not those of starting Python."""
    command = [sys.executable, "-c", PROGRAM, *statements]
    done = subprocess.run(command, env=child(ROOT), check=True, stdout=subprocess.PIPE, text=True)
    return list(map(float, json.loads(done.stdout)))


def rows(quick: bool) -> Iterator[Row]:
    """The package, and then the names of a usual script, against ``import lightning.pytorch``."""
    if not quick:
        seconds_of("import lightning_lr", "import lightning.pytorch", NAMES)  # bytecode and the disk's cache
    found = Rounds()
    for number in range(1 if quick else 15):
        turns = [("import lightning_lr",), ("import lightning.pytorch", NAMES)]
        measured = {statements: seconds_of(*statements) for statements in turns[:: -1 if number % 2 else 1]}
        (ours,), (theirs, names) = (measured[statements] for statements in turns)
        found.append((ours, theirs, names))
    what = "import lightning_lr / import lightning.pytorch"
    yield Row(what, "the package", f"{found.cost() * 1e3:.3g} ms", found.ratio(), 0.005)
    yield Row(what, "(its names, after that)", f"{found.cost(2) * 1e3:.3g} ms", found.ratio(2))
