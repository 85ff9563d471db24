"""The plan: what a schedule will do to every group, phase by phase, as data and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from lightning_lr.core.control import Control, factor, update_at
from lightning_lr.core.durations import Horizon
from lightning_lr.core.program import Program

SHOWN_GROUPS = 4


class Row(NamedTuple):
    """A phase: its updates ``begin <= t < end``, and the factor of its first update and where it ends."""

    phase: str
    begin: int
    end: int | None
    first: float
    last: float


def rows(program: Program, control: Control, run: Horizon, start: int = 0) -> list[Row]:
    """The phases that the run will see from update ``start`` on: what events have changed is in them."""
    out = []
    for segment in program.segments:
        reached = update_at(control, segment.begin)
        if reached is None:
            break
        begin = max(start, reached)
        end = None if segment.end is None else update_at(control, segment.end)
        if end is not None and end <= begin:
            continue  # it was over before the last event
        if run.total_steps is not None and begin >= run.total_steps:
            break
        last = control.scale * segment.end_value if end is not None else _last(program, control, run)
        out.append(Row(segment.label, begin, end, factor(program, control, begin), last))
    held = max(start, out[-1].end or 0) if out else start
    bounded = program.end is not None and (not out or out[-1].end is not None)
    if bounded and run.total_steps is not None and held < run.total_steps:
        level = control.scale * program.end_value
        out.append(Row("(hold)", held, run.total_steps, level, level))
    return out


def _last(program: Program, control: Control, run: Horizon) -> float:
    return factor(program, control, run.total_steps - 1) if run.total_steps else float("nan")


def table(title: str, plan: Sequence[Row], run: Horizon, groups: Sequence[tuple[str, float]]) -> str:
    """The plan as plain text: phase, updates, epochs and the lr from → to of every group.

    Args:
        title: the line above.
        plan: see :func:`rows`.
        run: for the epochs.
        groups: name and initial lr of every group; at most four are shown.
    """
    lines = [["updates", "epochs", "phase", *(name for name, _ in groups[:SHOWN_GROUPS])]]
    for row in plan:
        updates = f"{row.begin}–{'…' if row.end is None else row.end - 1}"
        lrs = [f"{base * row.first:.4g} → {_number(base * row.last)}" for _, base in groups[:SHOWN_GROUPS]]
        lines.append([updates, _epochs(row, run), row.phase, *lrs])
    if run.steps_per_epoch is None:
        lines = [line[:1] + line[2:] for line in lines]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = ["  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    if len(groups) > SHOWN_GROUPS:
        text.append(f"  … and {len(groups) - SHOWN_GROUPS} more groups, whose lrs keep their ratios to these")
    return "\n".join([title, *(line.rstrip() for line in text)])


def markdown(text: str) -> str:
    """A table made by :func:`table`, as a block that a page shows as it is."""
    return "\n".join("    " + line for line in text.splitlines())


def _number(value: float) -> str:
    return "…" if value != value else f"{value:.4g}"


def _epochs(row: Row, run: Horizon) -> str:
    if run.steps_per_epoch is None:
        return ""
    end = "…" if row.end is None else _short(run.epochs(row.end))
    return f"{_short(run.epochs(row.begin))}–{end}"


def _short(epochs: Fraction) -> str:
    return f"{float(epochs):.2f}".rstrip("0").rstrip(".")
