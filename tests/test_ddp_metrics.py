"""Two ranks, one decision: contradicting, NaN and one-sided metrics, under ``ddp`` and ``ddp_spawn``."""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ddp_metrics_run import BAD_AT, EPOCHS, SAVED_AT
from launching import TWO_RANKS, said
from launching import launched as launched_on

SCRIPT = Path(__file__).with_name("ddp_metrics_run.py")
CASES = {
    "ddp": ["agree", "resumed", "raise", "refreshed_on_one", "never", "one_sided"],
    "ddp_spawn": ["agree", "resumed", "never", "one_sided"],  # each of them starts two processes
}
SECONDS = 30.0  # an error must be there by then, from the fit's start: a second or two, on a busy machine too


class Launch(NamedTuple):
    """Where the ranks wrote, and how their processes ended."""

    out: Path
    codes: list[int]
    log: str

    def both(self, case: str, what: str = "") -> list[dict[str, Any]]:
        """What each rank wrote: at its end, or as its error."""
        paths = [self.out / f"{case}.rank{rank}{what}.json" for rank in (0, 1)]
        if not all(path.exists() for path in paths):
            pytest.fail(f"{case}: {sorted(os.listdir(self.out))}\n{self.log}")
        return [json.loads(path.read_text()) for path in paths]


def launch(out: Path, strategy: str, cases: list[str]) -> Launch:
    """Run the cases; a spawning strategy starts its second process by itself."""
    codes = launched_on(SCRIPT, out, strategy, *cases, ranks=TWO_RANKS if strategy == "ddp" else [{}])
    return Launch(out, codes, said(out))


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Launch]:
    """One launch of each strategy, when it is first asked for."""
    return functools.cache(lambda strategy: launch(tmp_path_factory.mktemp(strategy), strategy, CASES[strategy]))


@pytest.fixture(params=["ddp", pytest.param("ddp_spawn", marks=pytest.mark.slow)])
def run(request: pytest.FixtureRequest, launched: Callable[[str], Launch]) -> Launch:
    return launched(request.param)


@pytest.fixture
def ddp(launched: Callable[[str], Launch]) -> Launch:
    return launched("ddp")


def test_contradicting_metrics_one_decision_and_the_same_weights(run: Launch) -> None:
    first, second = run.both("agree")
    assert len(first["lrs"]) == 4 * EPOCHS
    for what in ("lrs", "weights", "state"):
        assert json.dumps(first[what]) == json.dumps(second[what]), what  # as text: a NaN equals itself
    found = [(event["monitor"], event["kind"], event["step"], event["value"]) for event in first["state"]["events"]]
    reductions = [(name, "reduce", 4 * (n + 1), 5.0) for name, n in BAD_AT.items() if name != "count"]
    assert [event for event in found if event[0] != "count"] == [*reductions, ("stuck", "restart", 4 * 7, 1.0)]


def test_each_factor_is_applied_once(run: Launch) -> None:
    plan = [min(1.0, (k + 1) / 3) if k < 3 else 1 - 0.5 * (k - 3) / (4 * EPOCHS - 3) for k in range(4 * EPOCHS)]
    first, _ = run.both("agree")
    scales = [lr / planned for lr, planned in zip(first["lrs"], plan, strict=True)]
    expected, scale = [], 1.0
    by = {BAD_AT["mean"]: 0.5, BAD_AT["min"]: 0.6, BAD_AT["max"]: 0.7, BAD_AT["rank0"]: 0.8, BAD_AT["count"]: 0.9}
    for epoch in range(7):  # then comes the restart
        expected += [scale] * 4
        scale *= by.get(epoch, 1.0)
    assert scales[:28] == pytest.approx(expected, rel=1e-12)
    assert first["lrs"][28:] == pytest.approx([0.5 * (1 - 0.5 * k / 12) for k in range(12)], rel=1e-12)


def test_nan_on_one_rank_follows_the_policy_on_both(run: Launch) -> None:
    for rank in run.both("agree"):
        events = {event["monitor"]: event for event in rank["state"]["events"]}
        assert math.isnan(events["count"]["value"])
        assert (events["count"]["kind"], events["count"]["step"]) == ("reduce", 4 * (BAD_AT["count"] + 1))
        assert not {"ignore", "nan0"} & set(events)  # ignored; and with sync="rank0" it was never looked at


def test_one_gather_at_the_start_and_for_each_evaluation_and_none_for_a_step(run: Launch) -> None:
    for rank in run.both("agree"):
        assert rank["validations"] == EPOCHS
        assert rank["gathers"] == [[0, False], *([4 * (n + 1), True] for n in range(EPOCHS))]


def test_resuming_on_two_ranks_is_exact(run: Launch) -> None:
    for whole, resumed in zip(run.both("agree"), run.both("resumed"), strict=True):
        assert resumed["lrs"] == whole["lrs"][SAVED_AT:]
        assert resumed["weights"] == whole["weights"]
        assert json.dumps(resumed["state"]) == json.dumps(whole["state"])
        assert resumed["validations"] == len(resumed["gathers"]) - 1 == EPOCHS - SAVED_AT // 4


def _same_error(run: Launch, case: str, *words: str) -> None:
    first, second = run.both(case, ".error")
    assert first["text"] == second["text"]
    assert {first["kind"], second["kind"]} == {"ValueError"}
    assert max(first["seconds"], second["seconds"]) < SECONDS
    for word in words:
        assert word in first["text"], first["text"]


def test_nan_that_is_refused_ends_both_ranks_alike(ddp: Launch) -> None:
    _same_error(ddp, "raise", "LRController: 'mean' is nan at update 8", "nan_policy='raise'")


def test_a_metric_refreshed_on_one_rank_only_ends_both_ranks_alike(ddp: Launch) -> None:
    _same_error(ddp, "refreshed_on_one", "'mean' has a new value on rank [0] only: log it on every rank")


def test_a_metric_logged_nowhere_ends_both_ranks_alike(run: Launch) -> None:
    _same_error(run, "never", "LRController: the metric 'mean' was never logged", "available: count, ignore")


def test_a_metric_logged_on_one_rank_only_ends_both_ranks_alike(run: Launch) -> None:
    _same_error(run, "one_sided", "LRController: the metric 'mean' was logged on rank [1] only: log it on every rank")
    assert all(code == 1 for code in run.codes), run.codes
    assert "log it on every rank" in run.log
