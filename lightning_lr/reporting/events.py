"""What a decision says: a line for people, a row for a table, an object for a file."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_lr.core.control import Event

SHOWN_GROUPS = 4


def change(name: str, before: float, after: float) -> str:
    """A group's old → new value."""
    return f"{name} {before:.4g} → {after:.4g}"


def what(entry: Mapping[str, Any]) -> str:
    """What a recorded decision did: its kind, and the number it is about where that is not the lr."""
    kind, key = str(entry["kind"]), entry.get("key", "lr")
    return kind if key == "lr" else f"{key} {kind}"


def lrs(event: Event, groups: Sequence[tuple[str, float]]) -> str:
    """Old → new lr of the groups: name and initial lr of each are given."""
    shown = [change(name, base * event.before, base * event.after) for name, base in groups[:SHOWN_GROUPS]]
    more = len(groups) - SHOWN_GROUPS
    return ", ".join(shown) + (f" and {more} more groups alike" if more > 0 else "")


def reason(event: Event) -> str:
    """Why, in words."""
    if not event.monitor:
        return event.detail or event.rule
    value = "" if event.value is None else f" = {event.value:.6g}"
    best = "" if event.best is None else f", best {event.best:.6g}"
    return f"{event.monitor}{value}{best}: {event.detail}"


def sentence(event: Event, groups: Sequence[tuple[str, float]], key: str = "lr") -> str:
    """One line: what was done, when, old → new lr, why."""
    epoch = "" if event.epoch is None else f", epoch {event.epoch}"
    return f"{key} {event.kind} at update {event.step}{epoch}: {lrs(event, groups)} ({reason(event)})"


def record(event: Event, optimizer: str, groups: Sequence[tuple[str, float]], key: str = "lr") -> dict[str, Any]:
    """The event as JSON: its numbers, the lrs of all groups, the reason in words."""
    return {
        "step": event.step,
        "epoch": event.epoch,
        "optimizer": optimizer,
        "kind": event.kind,
        "key": key,
        "rule": event.rule,
        "monitor": event.monitor,
        "value": event.value,
        "best": event.best,
        "lr_before": {name: base * event.before for name, base in groups},
        "lr_after": {name: base * event.after for name, base in groups},
        "reason": reason(event),
    }


class Journal:
    """``lr_events.jsonl``: one line a decision. A run that goes on keeps what is in its saved state, and no more.

    A new run (``past`` None) appends: a folder that several runs share loses none of their lines.
    """

    def __init__(self, path: Path, past: Sequence[dict[str, Any]] | None) -> None:
        self.path = path
        if past is not None and (past or path.exists()):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(map(_line, past)), encoding="utf-8")
        elif past is None and path.exists():
            written = path.read_bytes()
            os.truncate(path, written.rfind(b"\n") + 1)  # a killed run may have left its last line unfinished

    def append(self, entry: dict[str, Any]) -> None:
        """Write one more line, at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(entry))


def _line(entry: dict[str, Any]) -> str:
    odd = {k: str(v) for k, v in entry.items() if isinstance(v, float) and not math.isfinite(v)}  # JSON knows no NaN
    return json.dumps({**entry, **odd}, ensure_ascii=False) + "\n"


def table(entries: Sequence[dict[str, Any]]) -> str:
    """All decisions so far as a markdown table."""
    lines = ["| update | epoch | what | lr | why |", "|---|---|---|---|---|"]
    for entry in entries:
        changes = ", ".join(
            change(name, before, entry["lr_after"][name])
            for name, before in list(entry["lr_before"].items())[:SHOWN_GROUPS]
        )
        why = str(entry["reason"]).replace("|", "\\|").replace("\n", " ")
        epoch = "" if entry["epoch"] is None else entry["epoch"]
        lines.append(f"| {entry['step']} | {epoch} | {what(entry)} | {changes} | {why} |")
    return "\n".join(lines)
