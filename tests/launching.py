"""Processes of a test that may hang: both ranks started, waited for, and killed where they never end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from crash_matrix import RANK_VARIABLES

HANGS_AFTER = 300.0  # on a busy machine
TWO_RANKS = tuple({"LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": "2"} for rank in (0, 1))


def launched(script: Path, out: Path, *arguments: str, ranks: Sequence[dict[str, str]] = TWO_RANKS) -> list[int]:
    """Run the script once for each rank's environment; how they ended. A hang kills them all and fails the test.

    What they say is in the file ``log`` of the folder, which is the script's first argument.
    """
    clean = {name: value for name, value in os.environ.items() if name not in RANK_VARIABLES}
    clean |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(script), str(out), *arguments]
    with (out / "log").open("w") as log:
        processes = [
            subprocess.Popen(command, env=clean | rank, stdout=log, stderr=log, start_new_session=True)
            for rank in ranks
        ]
        deadline, hung = time.monotonic() + HANGS_AFTER, False
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                hung = True
                os.killpg(process.pid, signal.SIGKILL)  # with what it started
                process.wait()
    assert not hung, f"hung; {sorted(os.listdir(out))}\n{said(out)}"
    return [process.returncode for process in processes]


def said(out: Path) -> str:
    """The end of what the processes printed."""
    return (out / "log").read_text()[-6000:]
