"""The experiments run, print what they promise, and the README's table is what their full forms wrote."""

from __future__ import annotations

import doctest
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "examples" / "experiments"
SHARED = ("trials", "tasks", "summary")
SCRIPTS = sorted(
    path.stem for path in FOLDER.glob("*.py") if path.stem not in SHARED and "report(" in path.read_text("utf-8")
)
VERDICTS = {"reproduced", "in part", "no difference", "not reproduced"}


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


def module(name: str) -> ModuleType:
    __import__(name)
    return sys.modules[name]


@pytest.mark.parametrize("name", ["trials", "tasks"])
def test_what_the_docstrings_show_is_so(name: str) -> None:
    found = doctest.testmod(module(name))
    assert found.attempted
    assert not found.failed


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_an_experiment_runs_prints_and_draws(name: str, tmp_path: Path) -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, str(FOLDER / f"{name}.py"), "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, encoding="utf-8", timeout=240)
    assert done.returncode == 0, done.stderr[-5000:]
    saved = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    assert saved["quick"]
    assert saved["script"] == f"{name}.py"
    assert saved["text"] in done.stdout
    for finding in saved["findings"]:
        assert finding["verdict"] in VERDICTS
        assert finding["claim"] in done.stdout
    assert saved["findings"]
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_experiment_has_been_run_in_full(name: str) -> None:
    saved = json.loads((FOLDER / "results" / f"{name}.json").read_text(encoding="utf-8"))
    assert saved["quick"] is False
    now = module("trials").fingerprint(FOLDER / f"{name}.py")
    assert saved["code"] == now, f"{name}.py, or what it imports, has changed since its results: run it in full again"
    assert (FOLDER / "results" / f"{name}.png").exists()


def test_the_readme_has_the_results_and_no_others() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    wanted = module("summary").rows()
    if SCRIPTS:
        begin = lines.index(wanted[0])
        end = next(i for i in range(begin, len(lines)) if not lines[i].startswith("|"))
        assert lines[begin:end] == wanted


def test_a_result_is_told_from_that_of_other_code_but_not_of_other_words(tmp_path: Path) -> None:
    fingerprint = module("trials").fingerprint
    script, task = tmp_path / "some.py", tmp_path / "task.py"
    task.write_text('"""Data."""\n\nSIZE = 3  # rows\n', encoding="utf-8")
    script.write_text('"""Words."""\n\nimport math\n\nfrom task import SIZE\n\nLR = 0.1\n', encoding="utf-8")
    first = fingerprint(script)
    script.write_text(
        '"""Other\nwords."""\n# and a reason\nimport math\nfrom task import SIZE\nLR = 0.1\n', encoding="utf-8"
    )
    assert fingerprint(script) == first
    task.write_text('"""Data."""\n\nSIZE = 4  # rows\n', encoding="utf-8")
    assert fingerprint(script) != first


def test_a_quick_form_is_no_result(tmp_path: Path) -> None:
    saved = {"script": "some.py", "quick": True, "findings": []}
    (tmp_path / "some.json").write_text(json.dumps(saved), encoding="utf-8")
    with pytest.raises(ValueError, match=r"some\.json holds a quick form, which proves nothing: run some\.py in full"):
        module("summary").rows(tmp_path)


def test_the_lr_is_chosen_by_the_mean_and_a_failed_run_counts_as_worst() -> None:
    trials = module("trials")
    scores = {("a", 0.1): [3.0, 1.0], ("a", 1.0): [0.5, math.nan], ("b", 0.1): [2.0, 2.0], ("b", 1.0): [1.0, 1.5]}

    def job(arm: str, lr: float, seed: int) -> float:
        return scores[arm, lr][seed]

    grids = {"a": [0.1, 1.0], "b": [0.1, 1.0]}
    assert trials.chosen(job, grids, [0, 1]) == {"a": 0.1, "b": 1.0}


def test_workers_change_nothing() -> None:
    trials = module("trials")
    points = [(seed, power) for seed in range(4) for power in (2, 3)]
    assert trials.run_all(pow, points, workers=2) == trials.run_all(pow, points) == [s**p for s, p in points]


def test_the_interval_is_students() -> None:
    trials = module("trials")
    found = trials.compare(trials.Sample((1.0, 2.0, 3.0)), trials.Sample((0.0, 0.0, 0.0)))
    assert found.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-5)
    assert found.found == "no difference"
    one = trials.compare(trials.Sample((1.0, math.inf)), trials.Sample((0.0, 0.0)))
    assert one.found == "no difference"
