"""What other processes of tests/test_sweep.py run: cheap functions that note each call, and a sweep of 10 x 10.

As a script: ``sweep_run.py STORAGE NOTES HANG``; it says ``ready``, waits for a line, and sweeps; at its HANG-th call
it says ``hanging`` and does nothing more, until it is killed.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from lightning_lr.tuning import Point, Sweep, sweep

GRID: dict[str, Any] = {"lr": ("log", 1e-4, 1.0, 10), "gamma": ("linear", 0.9, 0.99, 10)}


def loss_of(lr: float, gamma: float) -> float:
    return abs(lr - 0.1) + abs(gamma - 0.95)


def noting(point: Point) -> dict[str, float]:
    """A line for each call; an append of a line is one write."""
    value = loss_of(point.params.lr, point.params.gamma)
    notes = Path(os.environ["SWEEP_NOTES"])
    with notes.open("a", encoding="utf-8") as file:
        file.write(f"{point.params.lr!r} {point.params.gamma!r} {os.getpid()}\n")
    mine = [line for line in notes.read_text(encoding="utf-8").splitlines() if line.endswith(f" {os.getpid()}")]
    if len(mine) == int(os.environ.get("SWEEP_HANG", "0")):
        print("hanging", flush=True)
        signal.pause()
    return {"val_loss": value, "train_loss": value}


def fatal(point: Point) -> dict[str, float]:
    """Kills its process where the lr is 1."""
    if point.params.lr == 1.0:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"val_loss": point.params.lr, "train_loss": 0.0}


def mistaken(point: Point) -> dict[str, float]:
    """A bug."""
    return {"val_loss": point.params.lr + "1"}  # type: ignore[dict-item, operator]


def whole_grid(storage: str) -> Sweep:
    return sweep(noting, GRID, storage=storage, progress=False)


if __name__ == "__main__":
    where, os.environ["SWEEP_NOTES"], os.environ["SWEEP_HANG"] = sys.argv[1:]
    print("ready", flush=True)
    sys.stdin.readline()
    import sweep_run

    print(len(sweep_run.whole_grid(where).rows), flush=True)
