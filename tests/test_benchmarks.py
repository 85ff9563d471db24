"""The benchmarks run, every row of the table is there, and what is not a time holds. No time is looked at."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent / "benchmarks"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The command, as a module; its folder is not importable afterwards."""
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("run")


def found(run: ModuleType, *families: str) -> dict[tuple[str, str], object]:
    return {(row.what, row.variant): row for row in run.measure(families, quick=True)}


SIZES = ["1 group", "8 groups", "100 groups", "1000 groups"]


def test_a_row_for_every_number_of_groups_and_every_peer(run):
    rows = found(run, "hook", "phases", "peers")
    targets = {key: (row.target, row.below) for key, row in rows.items() if row.target is not None}
    hook = dict(zip(SIZES, [4, 2.5, 1.4, 1.3], strict=True))
    peers = [("hook / " + name, size) for name in ("SequentialLR", "LambdaLR", "timm", "ignite") for size in SIZES]
    assert targets == {
        **{("hook / bare assignment loop", size): (limit, False) for size, limit in hook.items()},
        ("100 phases / 2 phases", "1 group"): (1.3, False),
        **dict.fromkeys(peers, (1, True)),
    }
    measured = [row for row in rows.values() if isinstance(row.found, tuple)]
    assert all(0 < row.found.low <= row.found.median <= row.found.high for row in measured)
    assert len(measured) >= 4 * (3 + 2) + 1  # torch's own schedulers are always there


def test_a_peer_that_is_not_installed_is_a_row_and_no_error(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "ignite", None)
    monkeypatch.setitem(sys.modules, "ignite.handlers", None)
    rows = found(run, "peers")
    assert [rows["hook / ignite", size].found for size in SIZES] == ["not installed"] * 4
    assert {rows["hook / ignite", size].met for size in SIZES} == {None}
    assert "| not installed " in run.table(rows.values())


def test_curves_seeks_and_the_state(run):
    rows = found(run, "curve", "seek", "state")
    assert {key[0] for key in rows} == {"curve / plain numpy", "seek: update 10¹² / update 10", "state, pickled"}
    assert sum(row.target == 2 for row in rows.values()) == 11
    one, thousand = (rows["state, pickled", size].found for size in (SIZES[0], SIZES[3]))
    assert 0 < one <= 400
    assert thousand - one <= 8, "the state was not to know how many groups there are"


def test_logging_writes_as_many_points_as_lightning_and_keeps_no_memory(run):
    rows = found(run, "logging")
    what = "logging each step / LearningRateMonitor"
    assert [rows[what, size].target for size in SIZES[:3]] == [1, 1, 0.125]
    assert [rows["(points of an lr / LearningRateMonitor's)", size].found for size in SIZES[:3]] == [1.0] * 3
    (memory,) = (row for row in rows.values() if row.what == "memory that logging each step keeps")
    (theirs,) = (row for row in rows.values() if row.what == "(LearningRateMonitor's)")
    assert memory.found < 24 < theirs.found, "what grows was to be seen, and ours not to grow"  # KiB in 1000 steps


def test_a_fit_in_turns_makes_all_its_updates(run):
    rows = found(run, "fit")  # the fits compare their own updates with what was to be made
    assert [row.target for row in rows.values()] == [0.5, None, None, 0.5, None, None, None]


def test_one_decision_is_one_collective(run):
    rows = found(run, "ranks")
    assert rows["collectives of a decision", "2 gloo ranks"].found == 1
    assert rows["a decision / bare all_gather", "2 gloo ranks"].target == 1.5


def test_importing_is_measured_in_processes_of_their_own(run):
    rows = found(run, "import")
    assert [row.target for row in rows.values()] == [0.005, None]


def test_the_command_prints_the_table_and_writes_it(run, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["run.py", "--quick", "--only", "state,phases", "--markdown", f"{tmp_path}/t.md"])
    run.main()
    printed = capsys.readouterr().out
    assert printed.startswith((tmp_path / "t.md").read_text(encoding="utf-8"))
    assert [line.split("|")[1].strip() for line in printed.splitlines()[2:-1]] == [
        "state, pickled", "state, pickled", "100 phases / 2 phases",
    ]  # fmt: skip


def test_a_family_that_is_not_there_is_refused(run, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run.py", "--only", "hooks"])
    with pytest.raises(SystemExit):
        run.main()
    assert "no family hooks; there are hook, peers" in capsys.readouterr().err


def test_a_target_is_met_or_missed_by_the_median(run):
    from harness import Row, spread

    assert spread([3.0, 1.0, 2.0]) == (1.5, 2.0, 2.5)
    assert Row("a", "b", "", spread([1.0, 2.0, 3.0]), 2.0).met is True
    assert Row("a", "b", "", spread([1.0, 2.0, 3.0]), 2.0, below=True).met is False
    assert Row("a", "b", "", "not installed", 2.0).met is None
    assert Row("a", "b", "", 401.0, 400, unit=" B").cells() == ["a", "b", "", "401 B", "≤ 400 B", "missed"]


def test_arms_take_turns_and_each_round_has_its_ratio(run):
    from harness import Arm, interleave

    now, order = [0.0], []

    def arm(name, seconds):
        def go():
            order.append(name)
            now[0] += seconds

        return Arm(go, 2)

    rounds = interleave([arm("a", 6.0), arm("b", 2.0)], 4, clock=lambda: now[0])
    assert "".join(order) == "ab" + "abbaabba"
    assert rounds == [(3.0, 1.0)] * 4
    assert rounds.ratio() == (3.0, 3.0, 3.0)
    assert rounds.merged(2) == [(3.0, 1.0)] * 2
