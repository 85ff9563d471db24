"""``lightning-lr report`` and ``lightning-lr events``: runs are read back, as a picture or page, and as decisions."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_lr.cli import terminal

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from lightning_lr.reporting.reading import Run

REPORT_HELP = "lr, losses and decisions of runs as a picture or a page"
REPORT_DESCRIPTION = (
    "Read runs back and make one picture or page of them: lr (planned and used) and losses on one time axis, and every "
    "decision with its reason."
)
EVENTS_HELP = "what was decided in runs, and why"
EVENTS_DESCRIPTION = "Print what was decided in runs: when, what, old and new lr, why."


def report_arguments(parser: ArgumentParser) -> None:
    """What ``report`` takes."""
    _add_folders(parser)
    parser.add_argument(
        "--out", type=str, default="report.html", metavar="F", help="the file: .html (a page), .png, .svg or .pdf"
    )


def events_arguments(parser: ArgumentParser) -> None:
    """What ``events`` takes."""
    _add_folders(parser)
    parser.add_argument("--json", action="store_true", help="a JSON object per line instead of a table")


def _add_folders(parser: ArgumentParser) -> None:
    parser.add_argument(
        "logdir",
        type=str,
        nargs="+",
        metavar="LOGDIR",
        help="directories of runs, or above them: TensorBoard's event files and lr_events.jsonl are read",
    )


def report(options: Namespace) -> None:
    from lightning_lr.reporting import report as reports

    out = Path(options.out)
    reports.checked_suffix(out, reports.SUFFIXES)
    import matplotlib  # noqa: F401 better missed before the reading than after it

    reports.write(_runs(options), out)
    print(f"{terminal.NAME}: {out} written", file=sys.stderr)


def _runs(options: Namespace, curves: bool = True) -> list[Run]:
    from lightning_lr.reporting.reading import runs

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it says much about old files
    return runs(map(Path, options.logdir), curves)


def events(options: Namespace) -> None:
    from lightning_lr.reporting.reading import one_line

    runs = _runs(options, curves=False)
    if options.json:
        for run in runs:
            for entry in run.decisions:
                print(json.dumps({"run": run.name, **entry}, ensure_ascii=False))
    for run in () if options.json else runs:
        if run.decisions:
            _print_decisions(run)
    for run in runs:
        if not run.decisions:
            print(f"{terminal.NAME}: {one_line(run.name)}: no decisions", file=sys.stderr)


def _print_decisions(run: Run) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from lightning_lr.reporting.reading import cells, one_line

    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title=Text(one_line(run.name)), title_justify="left", title_style="bold"
    )
    for column in ("update", "epoch", "what", "old → new", "why"):
        table.add_column(column, justify="right" if column in ("update", "epoch") else "left", overflow="fold")
    for entry in run.decisions:
        table.add_row(*map(Text, cells(entry)))
    terminal.console().print(table)
