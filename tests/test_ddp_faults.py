"""Two ranks of which one dies, comes late, or has another configuration or checkpoint: an error on both, and no hang.

A metric that is missing, stale or NaN on one rank only is in ``test_ddp_metrics.py``.
"""

from __future__ import annotations

import functools
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from launching import launched, said
from runs import used

from lightning_lr import LRWarmup
from lightning_lr.callbacks import ranks

SCRIPT = Path(__file__).with_name("ddp_faults_run.py")
TIMEOUT = 8.0  # seconds, of the process group, where somebody is to wait in vain
PATIENT = 120.0  # where nobody is

DIFFER = {
    "schedule": ("the schedule of SGD's lr: rank 1 has Linear(), rank 0 has Cosine()", "LRMultiPhaseDecay"),
    "rules": (
        "the rules of SGD's lr: rank 1 has Rule(Patience(0), do=Reduce(0.3), monitor='val_loss'), "
        "rank 0 has Rule(Patience(0), do=Reduce(0.5), monitor='val_loss')",
        "LRPlateauReduction + LRWarmup",
    ),
    "more callbacks": ("rank 1 has Warmup(2) >> Linear(), rank 0 has Linear()", "LRMultiPhaseDecay"),
    "lr": (
        "what SGD's lr starts from: rank 1 has 1.000000000000001 in group 0, rank 0 has 1.0 in group 0",
        "LRPlateauReduction + LRWarmup",
    ),
    "groups": ("rank 1 has 1.0 in group 0, 1.0 in group 1, rank 0 has 1.0 in group 0", "LRMultiPhaseDecay"),
    "length": (
        "the run that SGD's lr is planned for: rank 1 has Horizon(24, steps_per_epoch=4), rank 0 has Horizon(16,",
        "LRMultiPhaseDecay",
    ),
    "another checkpoint": ("the updates that SGD has made: rank 1 has 6, rank 0 has 4", "LRMultiPhaseDecay"),
    "another state": ("what SGD remembers: rank 1 has a state with the sums", "LRMultiPhaseDecay"),
}
REFUSED = {
    "refused": "on rank 1, and not on all: LRMultiPhaseDecay: Linear(99) is 99 updates long, but the run has 16",
    "refused on rank 0": "on rank 0, and not on all: LRMultiPhaseDecay: Linear(99) is 99 updates long",
    "refused on all": "LRMultiPhaseDecay: Linear(99) is 99 updates long, but the run has 16",
    "broken checkpoint": "on rank 1, and not on all: LRMultiPhaseDecay: the saved state of the schedule cannot be used",
}
SOUND = ["agree", "same checkpoint", "late"]
TOGETHER = ["save", *DIFFER, *REFUSED, *SOUND]

Found = list[dict[str, Any]]


def launch(out: Path, timeout: float, *cases: str) -> list[int]:
    """Run the cases on two ranks."""
    os.mkfifo(out / "pipe")
    return launched(SCRIPT, out, str(timeout), *cases)


def wrote(out: Path, case: str, rank: int) -> dict[str, Any]:
    path = out / f"{case}.rank{rank}.json"
    assert path.exists(), f"{case}: {sorted(os.listdir(out))}\n{said(out)}"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Found]:
    """What both ranks wrote of a case; all of them run when the first one is asked for, one after the other."""

    @functools.cache
    def run() -> Path:
        out = tmp_path_factory.mktemp("ranks")
        assert launch(out, PATIENT, *TOGETHER) == [0, 0], said(out)
        return out

    return lambda case: [wrote(run(), case, rank) for rank in (0, 1)]


# ---- other configurations, other checkpoints


@pytest.mark.parametrize("case", DIFFER)
def test_ranks_that_differ_say_so_on_both_before_any_update(case: str, both: Callable[[str], Found]) -> None:
    words, who = DIFFER[case]
    first, second = both(case)
    assert first["text"] == second["text"]
    assert first["text"].startswith(f"{who}: ")
    assert words in first["text"], first["text"]
    assert "the same configuration on every rank, and resume all of them from the same checkpoint" in first["text"]
    assert first["kind"] == second["kind"] == "ValueError"
    assert first["lrs"] == second["lrs"] == []


@pytest.mark.parametrize("case", REFUSED)
def test_what_one_rank_refuses_ends_both_alike(case: str, both: Callable[[str], Found]) -> None:
    first, second = both(case)
    assert first["text"] == second["text"]
    assert first["text"].startswith(REFUSED[case]), first["text"]
    assert first["kind"] == second["kind"] == "ValueError"
    assert first["lrs"] == second["lrs"] == []


def test_ranks_that_agree_train_on(both: Callable[[str], Found]) -> None:
    """Their functions have other addresses, and some cannot be imported by name."""
    first, second = both("agree")
    assert first["lrs"] == second["lrs"]
    assert len(first["lrs"]) == 16
    first, second = both("same checkpoint")
    assert first["lrs"] == second["lrs"] == both("save")[0]["lrs"][4:]


def test_a_validation_that_is_late_on_one_rank_makes_the_same_decision(both: Callable[[str], Found]) -> None:
    first, second = both("late")
    assert first["lrs"] == second["lrs"] == [0.5, *[1.0] * 11, *[0.5] * 4]


def test_one_process_compares_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("nobody is there to compare with")

    monkeypatch.setattr(ranks, "gather", never)
    monkeypatch.setattr("lightning_lr.callbacks.conductor.plan_of", never)
    assert used(tmp_path, [LRWarmup(8)]) == [k / 8 for k in range(1, 9)]


# ---- ranks that do not come


def fault(out: Path, case: str, timeout: float) -> tuple[list[int], dict[str, Any]]:
    codes = launch(out, timeout, case)
    return codes, wrote(out, case, 0)


def test_a_rank_that_is_killed_before_a_decision_ends_the_other(tmp_path: Path) -> None:
    codes, found = fault(tmp_path, "dies before a decision", PATIENT)
    assert codes == [1, -signal.SIGKILL]
    assert found["kind"] == "RuntimeError"
    assert found["text"].startswith("LRPlateauReduction + LRWarmup: the ranks could not compare")
    assert "one of them has died" in found["text"]
    assert found["seconds"] < PATIENT
    assert found["lrs"] == [0.5, *[1.0] * 7]


@pytest.mark.slow
def test_a_rank_that_is_killed_before_training_starts_ends_the_other(tmp_path: Path) -> None:
    codes, found = fault(tmp_path, "dies before the start", PATIENT)
    assert codes == [1, -signal.SIGKILL]
    assert "one of them has died" in found["text"]
    assert found["lrs"] == []


@pytest.mark.slow
def test_a_rank_later_than_the_timeout_ends_both(tmp_path: Path) -> None:
    codes, found = fault(tmp_path, "too late", TIMEOUT)
    assert codes == [1, 1]
    assert "came later than the process group's timeout (as in DDPStrategy(timeout=…))" in found["text"]
    assert "Timed out waiting 8000ms" in found["text"]
    assert found["lrs"] == wrote(tmp_path, "too late", 1)["lrs"] == [0.5, 1.0, 1.0, 1.0]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_without_our_callbacks_ends_both_before_any_update(tmp_path: Path, rank: int) -> None:
    """The others wait for it in their first collective, and it waits for their gradients."""
    case = f"none on rank {rank}"
    codes = launch(tmp_path, TIMEOUT, case)
    assert codes == [1, 1]
    found = wrote(tmp_path, case, 1 - rank)
    assert "or has none of these callbacks; torch says: " in found["text"]
    assert found["lrs"] == wrote(tmp_path, case, rank)["lrs"] == []
