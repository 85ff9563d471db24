"""Runs read back from their directories: curves from TensorBoard's event files, decisions from ``lr_events.jsonl``."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lightning_lr.core.checks import shown
from lightning_lr.reporting.events import SHOWN_GROUPS, change, what

EVENT_FILES = "events.out.tfevents"
JOURNAL = "lr_events.jsonl"
PLAN = "plan"

Points = list[tuple[int, float]]
"""(step, value), the steps increasing."""

_CELLS = re.compile(r"(?<!\\)\|")
_CHANGE = re.compile(r"(.+?) (\S+) → (\S+)(?:, |$)")


class Run(NamedTuple):
    """One run: its curves by tag, those of its plan, and its decisions as :func:`~.events.record` wrote them."""

    name: str
    folder: Path
    scalars: Mapping[str, Points]
    plan: Mapping[str, Points]
    plan_text: str
    decisions: Sequence[Mapping[str, Any]]

    @property
    def lrs(self) -> list[str]:
        """The tags of its learning rates: ours, else those of Lightning's LearningRateMonitor."""
        ours = [tag for tag in self.scalars if re.match(r"(.*-)?lr/", tag)]
        return ours or [tag for tag in self.scalars if tag.startswith("lr-")]


def runs(folders: Iterable[Path], curves: bool = True) -> list[Run]:
    """Every run in these directories and below, each with the shortest path that tells it from the others.

    Args:
        folders: directories.
        curves: whether scalars are wanted; without them, event files are read only where decisions have no file.

    Raises:
        FileNotFoundError, NotADirectoryError: one of them is no directory.
        ValueError: no run in one of them; a line of ``lr_events.jsonl`` is not what was written there.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        if not folder.exists():
            raise FileNotFoundError(f"{folder}: there is no such directory")
        if not folder.is_dir():
            raise NotADirectoryError(f"{folder} is a file, and a run is a directory")
        here = sorted(_runs_below(folder))
        if not here:
            raise ValueError(f"{folder}: no run in it or below: neither {EVENT_FILES}.* nor {JOURNAL}")
        found.update(dict.fromkeys(path.resolve() for path in here))
    names = _names(list(found))
    return [_read(name, path, curves) for name, path in zip(names, found, strict=True)]


def _runs_below(folder: Path) -> Iterable[Path]:
    """Directories with event files or a journal; the ``plan`` of a run is no run."""
    holds: dict[Path, bool] = {}
    for root, _, files in os.walk(folder):  # from the top down
        path = Path(root)
        holds[path] = any(name.startswith(EVENT_FILES) or name == JOURNAL for name in files)
        if holds[path] and not (path.name == PLAN and holds.get(path.parent)):
            yield path


def _names(paths: Sequence[Path]) -> list[str]:
    common = Path(os.path.commonpath(paths))
    above = common.parent if common in paths else common
    return [path.relative_to(above).as_posix() for path in paths]


def _read(name: str, folder: Path, curves: bool) -> Run:
    journal = folder / JOURNAL
    decisions = _journal(journal) if journal.is_file() else None
    if decisions is not None and not curves:
        return Run(name, folder, {}, {}, "", decisions)
    files = _event_files(folder)
    if decisions is None:
        decisions = _decisions(_text(files, "lr/decisions"))
    plan = merged(map(_scalars, _event_files(folder / PLAN)))
    text = "\n".join(line.removeprefix("    ") for line in _text(files, "lr/plan").splitlines())
    return Run(name, folder, merged(map(_scalars, files)), plan, text, decisions)


# ---- event files


def _event_files(folder: Path) -> list[Any]:
    """What TensorBoard reads of each event file of a directory, in the order in which they were begun."""
    paths = sorted(folder.glob(f"{EVENT_FILES}.*"))
    if not paths:
        return []
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    one = dict.fromkeys(("tensors", "images", "audio", "histograms", "compressedHistograms"), 1)  # the newest
    files = [EventAccumulator(str(path), size_guidance={"scalars": 0, **one}).Reload() for path in paths]
    begun = {id(file): file.FirstEventTimestamp() for file in files if file.file_version is not None}
    return sorted((file for file in files if id(file) in begun), key=lambda file: begun[id(file)])


def _scalars(file: Any) -> dict[str, Points]:
    return {tag: [(point.step, point.value) for point in file.Scalars(tag)] for tag in file.Tags()["scalars"]}


def merged(files: Iterable[Mapping[str, Points]]) -> dict[str, Points]:
    """The curves of a run that was written in several goes, oldest first: where they overlap, the later one holds.

    A go that has learning rates undoes all that was written from its first update on; another one (a test after the
    fit) only what it writes itself.

    >>> first = {"lr/SGD": [(0, 1.0), (1, 0.5), (2, 0.25)], "loss": [(1, 9.0), (2, 8.0)], "hp_metric": [(0, -1.0)]}
    >>> resumed = {"lr/SGD": [(1, 0.5), (2, 0.125)], "hp_metric": [(0, -1.0)]}
    >>> merged([first, resumed])
    {'lr/SGD': [(0, 1.0), (1, 0.5), (2, 0.125)], 'hp_metric': [(0, -1.0)]}
    """
    out: dict[str, Points] = {}
    for file in files:
        fresh = {tag: _forward(points) for tag, points in file.items() if points}
        begins = [points[0][0] for tag, points in fresh.items() if re.match(r"(.*-)?lr[/-]", tag)]
        if begins:
            out = {tag: _before(points, min(begins)) for tag, points in out.items()}
        for tag, points in fresh.items():
            out[tag] = _before(out.get(tag, []), points[0][0]) + points
    return {tag: points for tag, points in out.items() if points}


def _before(points: Points, step: int) -> Points:
    return [point for point in points if point[0] < step]


def _forward(points: Points) -> Points:
    """Within a file too, what was written later holds."""
    kept: Points = []
    for point in points:
        while kept and kept[-1][0] >= point[0]:
            kept.pop()
        kept.append(point)
    return kept


def _text(files: Sequence[Any], tag: str) -> str:
    """The newest text under a tag, whatever prefix the logger put before it."""
    for file in reversed(files):
        for name in file.Tags()["tensors"]:
            if re.fullmatch(rf"(.*-)?{re.escape(tag)}/text_summary", name):
                values = file.Tensors(name)[-1].tensor_proto.string_val
                return str(values[0].decode("utf-8", "replace")) if values else ""
    return ""


# ---- decisions


def _journal(path: Path) -> list[dict[str, Any]]:
    """The lines of ``lr_events.jsonl``; one that a killed run has not finished is left out."""
    text = path.read_text(encoding="utf-8", errors="replace")
    out = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            if not text.endswith("\n") and number == text.count("\n") + 1:
                break
            entry = line
        if not isinstance(entry, dict) or not isinstance(entry.get("step"), int) or "kind" not in entry:
            raise ValueError(f"{path}: line {number} is no decision: {shown(entry)}")
        out.append(entry)
    return out


def _decisions(table: str) -> list[dict[str, Any]]:
    """The rows of the table that was written for TensorBoard: lrs in four digits, of four groups at most."""
    out = []
    for line in table.splitlines()[2:]:
        cells = [cell.strip().replace("\\|", "|") for cell in _CELLS.split(line)[1:-1]]
        if len(cells) != 5 or not cells[0].isdigit():
            continue
        step, epoch, what, change, why = cells
        key, _, kind = what.rpartition(" ")
        lrs = _CHANGE.findall(change)
        out.append(
            {
                "step": int(step),
                "epoch": int(epoch) if epoch.isdigit() else None,
                "kind": kind,
                "key": key or "lr",
                "lr_before": {name: float(before) for name, before, _ in lrs},
                "lr_after": {name: float(after) for name, _, after in lrs},
                "reason": why,
            }
        )
    return out


def cells(entry: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    """A decision as the cells of a table: update, epoch, what, old → new value of each group, why.

    >>> cells({"step": 8, "kind": "reduce", "lr_before": {"SGD": 1.0}, "lr_after": {"SGD": 0.5}, "reason": "flat"})
    ('8', '', 'reduce', 'SGD 1 → 0.5', 'flat')
    """
    before, after = _numbers(entry.get("lr_before")), _numbers(entry.get("lr_after"))
    both = [change(name, before[name], after[name]) for name in before if name in after]
    more = len(both) - SHOWN_GROUPS
    changes = ", ".join(both[:SHOWN_GROUPS]) + (f" and {more} more" if more > 0 else "")
    epoch = entry.get("epoch")
    told = (str(entry["step"]), "" if epoch is None else str(epoch), what(entry), changes, str(entry.get("reason", "")))
    return tuple(map(one_line, told))  # type: ignore[return-value]


def _numbers(values: object) -> dict[str, float]:
    items = values.items() if isinstance(values, Mapping) else ()
    return {str(name): float(value) for name, value in items if isinstance(value, (int, float))}


def one_line(text: str) -> str:
    r"""A text from a file as a cell of a table shows it: without line breaks and what :func:`visible` takes out.

    >>> one_line("val\n loss\x1b[31m")
    'val loss�[31m'
    """
    return visible(" ".join(text.split()))


def visible(text: str) -> str:
    """Without what steers a terminal or cannot be seen."""
    return "".join(c if c.isprintable() else "�" for c in text)
