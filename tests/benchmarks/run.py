"""Every figure that this package promises, measured against something else in the same run.

    python -m pip install -e ".[bench]"
    python tests/benchmarks/run.py

Each ratio is the median of rounds in which both sides took turns in one process; see ``harness.py``. A peer that is
not installed gives a row that says so. ``--quick`` shows that everything runs; its times mean nothing.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tests/runs.py

import curves
import fits
import hooks
import imports
import logs
import peers
import ranks
import torch
from harness import Row, table

FAMILIES: dict[str, Callable[[bool], Iterator[Row]]] = {
    "hook": hooks.rows,
    "peers": peers.rows,
    "phases": hooks.phase_rows,
    "fit": fits.rows,
    "curve": curves.rows,
    "seek": curves.seek_rows,
    "state": curves.state_rows,
    "logging": logs.rows,
    "ranks": ranks.rows,
    "import": imports.rows,
}


def measure(families: Iterable[str], quick: bool = False) -> Iterator[Row]:
    """The rows of these families, one by one as they are found."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the peers say of themselves
        for family in families:
            yield from FAMILIES[family](quick)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(FAMILIES), help="families, with commas: %(default)s")
    parser.add_argument("--quick", action="store_true", help="a few rounds of a few operations")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there too")
    args = parser.parse_args()
    families = args.only.split(",")
    unknown = [family for family in families if family not in FAMILIES]
    if unknown:
        parser.error(f"--only: no family {', '.join(unknown)}; there are {', '.join(FAMILIES)}")
    torch.set_num_threads(1)
    rows = []
    for row in measure(families, args.quick):
        rows.append(row)
        print("  ".join(cell for cell in row.cells() if cell), file=sys.stderr, flush=True)
    text = table(rows)
    print(text)
    if args.markdown:
        args.markdown.write_text(text + "\n", encoding="utf-8")
    missed = sum(row.met is False for row in rows)
    print(f"{sum(row.met is True for row in rows)} targets met, {missed} missed")


if __name__ == "__main__":
    main()
