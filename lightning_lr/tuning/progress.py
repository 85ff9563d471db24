"""The bar of a sweep; nothing where there is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lightning_lr.tuning.point import spelt

if TYPE_CHECKING:
    from lightning_lr.tuning.results import Sweep
    from lightning_lr.tuning.search import Plan


@contextmanager
def bar(plan: Plan, wanted: bool) -> Iterator[Callable[[Callable[[], Sweep]], None]]:
    """A function that shows how far a sweep has come; it looks only where there is a bar."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        wanted = False
    if not wanted or not (sys.stdout.isatty() and sys.stderr.isatty()):
        yield lambda _: None
        return

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True, markup=False), transient=True) as progress:
        task = progress.add_task("", total=plan.trials)

        def show(look: Callable[[], Sweep]) -> None:
            sweep = look()
            best = sweep.best_or_none
            said = "" if best is None else f"best {plan.metric} {best.mean:.4g} at {spelt(best.params)}"
            progress.update(task, completed=len(sweep.rows), description=said)

        yield show
