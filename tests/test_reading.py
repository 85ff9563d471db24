"""Runs read back: what was written later holds, names stay apart, decisions are found with and without their file."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from lightning_lr.core.control import Control
from lightning_lr.core.control import Event as Decision
from lightning_lr.reporting.events import record, table
from lightning_lr.reporting.reading import cells, merged, runs
from lightning_lr.reporting.report import finite, page, panels_of, picture, value_at, write


def write_events(folder: Path, scalars: dict[str, dict[int, float]], text: str = "", name: str = "x") -> None:
    """An event file, begun now."""
    writer = EventFileWriter(str(folder), filename_suffix=".new")
    for tag, points in scalars.items():
        for step, value in points.items():
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            writer.add_event(Event(step=step, wall_time=time.time(), summary=summary))
    if text:
        plugin = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()])
        value = Summary.Value(tag="lr/decisions/text_summary", metadata=plugin, tensor=tensor)
        writer.add_event(Event(step=0, wall_time=time.time(), summary=Summary(value=[value])))
    writer.close()
    [path] = folder.glob("*.new")
    path.rename(folder / f"events.out.tfevents.{name}")


def decision(step: int, kind: str = "reduce", monitor: str = "val_loss", key: str = "lr") -> dict[str, Any]:
    event = Decision(step, kind, 1.0, 0.5, Control(), "no better", monitor=monitor, value=2.0, best=1.5, epoch=3)
    return record(event, "SGD", [("SGD", 0.1), ("SGD/head", 0.01)], key)


def test_a_resumed_run_is_one_curve_and_the_later_file_holds(tmp_path: Path) -> None:
    first = {"lr/SGD": dict.fromkeys(range(10), 1.0), "loss": {3: 9.0, 7: 8.0, 9: 7.0}, "hp_metric": {0: -1.0}}
    second = {"lr/SGD": dict.fromkeys(range(6, 12), 0.5), "loss": {11: 6.0}, "hp_metric": {0: -1.0}}
    write_events(tmp_path, first, name="3")  # when they were begun counts, not what they are called
    write_events(tmp_path, second, name="2")
    write_events(tmp_path, {"test_acc": {4: 0.5}}, name="1")  # a test that was run afterwards undoes nothing
    [run] = runs([tmp_path])
    assert run.scalars == {
        "lr/SGD": [(t, 1.0) for t in range(6)] + [(t, 0.5) for t in range(6, 12)],
        "loss": [(3, 9.0), (11, 6.0)],
        "hp_metric": [(0, -1.0)],
        "test_acc": [(4, 0.5)],
    }


def test_going_back_within_a_file_undoes_what_was_written_before() -> None:
    assert merged([{"loss": [(0, 1.0), (1, 2.0), (2, 3.0), (1, 4.0)]}]) == {"loss": [(0, 1.0), (1, 4.0)]}


def test_runs_are_told_apart_by_the_shortest_names_and_the_plan_is_no_run(tmp_path: Path) -> None:
    for name in ("a/r", "b/r", "b/plan"):
        write_events(tmp_path / name, {"lr/SGD": {0: 1.0}})
    write_events(tmp_path / "a/r/plan", {"lr/SGD": {0: 2.0}})
    found = runs([tmp_path, tmp_path / "a"])
    assert [(run.name, dict(run.plan)) for run in found] == [
        ("a/r", {"lr/SGD": [(0, 2.0)]}),
        ("b/plan", {}),  # nothing lies beside it that it could be the plan of
        ("b/r", {}),
    ]
    assert [run.name for run in runs([tmp_path / "b/r"])] == ["r"]


def test_decisions_are_read_from_their_file_and_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    entries = [decision(4), decision(9, "restart", key="momentum")]
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    (tmp_path / "lr_events.jsonl").write_text(text + '{"step": 12, "ki', encoding="utf-8")
    [run] = runs([tmp_path], curves=False)
    assert run.decisions == entries
    assert cells(run.decisions[1]) == (
        "9", "3", "momentum restart", "SGD 0.1 → 0.05, SGD/head 0.01 → 0.005",
        "val_loss = 2, best 1.5: no better",
    )  # fmt: skip


@pytest.mark.parametrize("line", ["no json", "[1]", '{"step": "4", "kind": "reduce"}', '{"step": 4}'])
def test_a_line_that_is_no_decision_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "lr_events.jsonl").write_text(f"{json.dumps(decision(4))}\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"lr_events\.jsonl: line 2 is no decision: "):
        runs([tmp_path])


def test_without_their_file_decisions_are_read_back_from_the_table(tmp_path: Path) -> None:
    entries = [decision(4, monitor="a|b"), decision(9, "restart", key="momentum")]
    write_events(tmp_path, {"lr/SGD": {0: 1.0}}, table(entries))
    [run] = runs([tmp_path])
    assert [cells(entry) for entry in run.decisions] == [cells(entry) for entry in entries]
    assert run.decisions[0]["lr_after"] == {"SGD": 0.05, "SGD/head": 0.005}


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing: there is no such directory"):
        runs([tmp_path / "missing"])
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="file is a file, and a run is a directory"):
        runs([tmp_path / "file"])
    with pytest.raises(ValueError, match=r"no run in it or below: neither events\.out\.tfevents\.\* nor lr_events"):
        runs([tmp_path])


def test_event_files_that_hold_nothing_are_nothing_to_report(tmp_path: Path) -> None:
    (tmp_path / "events.out.tfevents.1.x").write_bytes(b"no events" * 50)
    (tmp_path / "events.out.tfevents.2.x").write_bytes(b"")
    with pytest.raises(ValueError, match="hold no scalars, and there are no decisions"):
        write(runs([tmp_path]), tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_an_odd_name_stays_text_in_page_and_picture(tmp_path: Path) -> None:
    name = "<script>alert(1)<|script> *x* $y$ _z"
    entry = decision(1, monitor="<b>$1$\x1b[31m\n</b>")
    write_events(tmp_path / name, {"lr/SGD": {0: 1.0, 2: 0.5}, "<i>loss</i>$": {0: 1.0, 1: float("nan")}})
    (tmp_path / name / "lr_events.jsonl").write_text(json.dumps(entry) + "\n", encoding="utf-8")
    write_events(tmp_path / "_other", {"lr/SGD": {0: 1.0}})
    found = runs([tmp_path])
    text = page(found)
    assert not {"<script", "<i>", "<b>", "\x1b"} & {tag for tag in ("<script", "<i>", "<b>", "\x1b") if tag in text}
    assert "&lt;script&gt;alert(1)&lt;|script&gt; *x* $y$ _z" in text
    assert "http" not in text.partition("base64,")[0] + text.partition('">\n<h2>')[2], "it needs no other file"
    [legend] = picture(found).legends
    shown = [label.get_text() for label in legend.get_texts()]
    assert shown[:2] == [r"<script>alert(1)<|script> *x* \$y\$ _z", " _other"]


def test_the_panels_are_the_lr_the_losses_and_what_else_was_watched(tmp_path: Path) -> None:
    scalars = ["lr/SGD", "train_loss", "val_loss", "monitor/val_loss", "monitor/val_acc", "val_f1", "epoch"]
    write_events(tmp_path, {tag: {0: 1.0} for tag in scalars})
    lines = [json.dumps(decision(0, monitor=name)) + "\n" for name in ("val_acc", "val_loss")]
    (tmp_path / "lr_events.jsonl").write_text("".join(lines), encoding="utf-8")
    assert [(panel.label, list(panel.tags)) for panel in panels_of(runs([tmp_path]))] == [
        ("lr", ["lr/SGD"]),
        ("loss", ["val_loss", "train_loss"]),
        ("val_acc", ["monitor/val_acc"]),
    ]


def test_many_points_are_drawn_as_few_that_keep_every_peak() -> None:
    points = [(t, float(t == 12345)) for t in range(100_000)]
    few = finite(points)
    assert len(few) <= 4001
    assert (12345, 1.0) in few
    assert (few[0][0], few[-1]) == (0, (99_999, 0.0))
    assert finite([(0, float("inf")), (1, 2.0)]) == [(1, 2.0)]


def test_a_value_between_two_points_lies_on_their_line() -> None:
    points = [(0, 1.0), (4, 0.0), (5, 3.0)]
    assert [value_at(points, step) for step in (-1, 0, 1, 4, 5, 9)] == [1.0, 1.0, 0.75, 0.0, 3.0, 3.0]
