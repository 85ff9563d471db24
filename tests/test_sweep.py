"""``sweep``: every point once, whoever runs it, whoever dies; what diverges is a result, what is wrong is refused."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import math
import os
import pickle
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
import sweep_run
from optuna.trial import TrialState

import lightning_lr
from lightning_lr import cli
from lightning_lr.core.schedules import Exponential
from lightning_lr.tuning import Point, Sweep, queue, sweep
from lightning_lr.tuning.configured import Configured, changed, place, read
from lightning_lr.tuning.digits import Task
from lightning_lr.tuning.point import Params
from lightning_lr.tuning.space import as_space

ROOT = Path(lightning_lr.__file__).parents[1]
STORAGES = ["journal:sweep.log", "sqlite:///sweep.db"]


def bowl(point: Point) -> dict[str, float]:
    loss = abs(math.log10(point.params.lr) + 1) + abs(point.params.gamma - 0.9)
    return {"val_loss": loss + 0.1 * point.seed, "train_loss": loss, "val_acc": 1 - loss}


# ---- many processes on one storage


def started(at: Path, storage: str, hang: int = 0) -> subprocess.Popen[str]:
    """A process of its own that is ready to sweep."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "sweep_run.py"), storage, str(at / "notes"), str(hang)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=at,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def ended(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return out


def calls(at: Path) -> Counter[tuple[str, str]]:
    lines = (at / "notes").read_text(encoding="utf-8").splitlines()
    return Counter((line.split()[0], line.split()[1]) for line in lines)


@pytest.mark.parametrize("storage", STORAGES)
def test_two_processes_on_one_storage_run_every_point_of_10_by_10_once(tmp_path: Path, storage: str) -> None:
    both = [started(tmp_path, storage) for _ in range(2)]
    for process in both:
        go(process)
    assert [ended(process) for process in both] == ["100\n", "100\n"], "each returns when all is done, by whomever"
    assert len(calls(tmp_path)) == 100
    assert set(calls(tmp_path).values()) == {1}


@pytest.mark.parametrize("storage", STORAGES)
def test_what_was_killed_is_finished_by_the_next_with_every_point_once(
    tmp_path: Path, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = started(tmp_path, storage, hang=30)
    go(killed)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "hanging\n"
    killed.kill()  # SIGKILL, in the middle of its 30th point
    killed.communicate()
    assert sum(calls(tmp_path).values()) == 30
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWEEP_NOTES", str(tmp_path / "notes"))
    hung = (tmp_path / "notes").read_text(encoding="utf-8").splitlines()[-1].split()
    found = sweep_run.whole_grid(storage)
    assert len(found.rows) == len(found.runs) == 100
    assert sorted(calls(tmp_path).values()) == [1] * 99 + [2]
    assert calls(tmp_path)[hung[0], hung[1]] == 2, "the point that it was killed in, and no other"
    best = found.best.params
    assert found.best.mean == pytest.approx(sweep_run.loss_of(best["lr"], best["gamma"]))
    before = calls(tmp_path)
    assert repr(sweep_run.whole_grid(storage)) == repr(found)
    assert calls(tmp_path) == before, "nothing is left to do"


SCRIPT = """
from lightning_lr.tuning import sweep

def train(point):
    return {"val_loss": point.params.lr, "train_loss": 0.0}

"""


def run_script(at: Path, text: str) -> subprocess.CompletedProcess[str]:
    (at / "script.py").write_text(SCRIPT + text, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "script.py"]
    return subprocess.run(command, capture_output=True, text=True, cwd=at, env=environment, timeout=300, check=False)


def test_workers_of_a_script_train_with_its_own_function(tmp_path: Path) -> None:
    text = "if __name__ == '__main__':\n    print(len(sweep(train, {'lr': [0.1, 0.2, 0.3]}, workers=2).rows))\n"
    done = run_script(tmp_path, text)
    assert (done.stdout, done.returncode) == ("3\n", 0), done.stderr


def test_a_script_without_a_guard_is_told_of_it(tmp_path: Path) -> None:
    done = run_script(tmp_path, "sweep(train, {'lr': [0.1]}, workers=1 + 1)\n")
    assert done.returncode == 1
    assert "a script calls sweep under `if __name__ == '__main__':`" in done.stderr.splitlines()[-1]


def test_a_workers_error_comes_with_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="train failed at") as caught:
        sweep(sweep_run.mistaken, {"lr": [0.1]}, workers=2)
    assert "in mistaken" in str(caught.value.__cause__)


def test_a_lock_whose_holder_was_killed_is_no_lock_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shared").mkdir()
    storage = queue.opened("journal:shared/log")
    backend = storage._backend  # type: ignore[attr-defined]
    assert backend._lock.acquire()
    lock = Path(backend._lock._lock_file)
    assert lock.stat(), "what tells how old it is can be read, with a relative path too"
    backend._lock.grace_period = 0
    storage.create_new_study([optuna.study.StudyDirection.MINIMIZE])
    assert not lock.exists()


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("sqlite:///text.db", r"storage='sqlite:///text\.db' cannot be opened: .*file is not a database"),
        ("journal:text.db", r"storage='journal:text\.db' cannot be opened: "),
        ("sqllite:///x.db", r"storage='sqllite:///x\.db' cannot be opened: .*sqllite"),
        ("sqlite://", r"storage='sqlite://' is memory, which nobody can share: leave storage out"),
        ("sqlite:///:memory:", r"storage='sqlite:///:memory:' is memory, which nobody can share"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(queue, "MAKING_TABLES", 1)
    (tmp_path / "text.db").write_text("no storage\n" * 99, encoding="utf-8")
    with pytest.raises(ValueError, match=f"^sweep: {message}") as caught:
        sweep(never, {"lr": [0.1]}, storage=storage)
    assert "\n" not in str(caught.value)


def test_a_study_that_another_process_has_begun_meanwhile_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = optuna.storages.InMemoryStorage()
    looked = optuna.Study.get_trials
    begun = []

    def late(study: optuna.Study, *args: Any, **named: Any) -> Any:
        if not begun:  # between the look for settings and the look for trials
            begun.append(study)
            sweep(bowl, {"lr": [0.1], "gamma": [0.9]}, storage=storage)
        return looked(study, *args, **named)

    monkeypatch.setattr(optuna.Study, "get_trials", late)
    assert len(sweep(bowl, {"lr": [0.1], "gamma": [0.9]}, storage=storage).rows) == 1


def test_workers_are_processes_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_NOTES", str(tmp_path / "notes"))
    grid = {"lr": [0.1, 0.2], "gamma": [0.5, 0.6]}
    found = sweep(sweep_run.noting, grid, workers=2)
    assert [(row.params["lr"], row.params["gamma"]) for row in found.rows] == [
        (x, y) for x in (0.1, 0.2) for y in (0.5, 0.6)
    ]
    assert set(calls(tmp_path).values()) == {1}
    lines = (tmp_path / "notes").read_text(encoding="utf-8").splitlines()
    assert str(os.getpid()) not in {line.split()[2] for line in lines}


def test_a_point_that_kills_its_workers_is_given_up_and_the_rest_is_done(tmp_path: Path) -> None:
    storage = f"journal:{tmp_path / 'log'}"
    grid = {"lr": [1.0, 0.5]}
    for _ in range(2):  # the second worker takes the point up; the fourth may, before the third's death is noted
        with contextlib.suppress(RuntimeError):
            sweep(sweep_run.fatal, grid, workers=2, storage=storage)
            break
        study = optuna.load_study(study_name="sweep", storage=queue.opened(storage))
        assert len([key for key in study.user_attrs if key.startswith("a worker died of 1 ")]) >= 2
    found = sweep(sweep_run.fatal, grid, workers=2, storage=storage)
    assert [row.failed for row in found.rows] == [0, 1]
    assert found.rows[1].why == "3 workers died of it"


def test_points_that_are_left_are_told_of(tmp_path: Path) -> None:
    left = r"1 of 1 points are left, and all workers have ended \(exit codes -9, -9\)"
    with pytest.raises(RuntimeError, match=left):
        sweep(sweep_run.fatal, {"lr": [1.0]}, workers=2, storage=f"journal:{tmp_path / 'log'}")


def test_a_job_that_is_killed_again_and_again_blames_no_point() -> None:
    one = a_queue(1)
    for exitcode in (None, -signal.SIGTERM):  # killed as a whole; ended by somebody
        for _ in range(queue.DEATHS):
            one.fill()
            trial = one.take()
            assert trial is not None
            trial.set_user_attr("worker", [queue._machine(), 2**22 + 1])  # nobody has this number
            assert one.bury()
            if exitcode is not None:
                one.accuse(2**22 + 1, exitcode)
    assert one.deaths(0) == 0


def test_tpe_draws_the_same_again() -> None:
    space = {"lr": ("log", 1e-3, 1.0), "gamma": [0.5, 0.9]}
    drawn = [[row.params for row in sweep(bowl, space, sampler="tpe", trials=14).rows] for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert len({row["lr"] for row in drawn[0]}) == 14


def test_a_bug_in_a_worker_is_raised_in_the_parent_with_the_point() -> None:
    with pytest.raises(
        RuntimeError, match=r"sweep: train failed at lr=0\.1 \(seed 0\): TypeError: unsupported operand"
    ):
        sweep(sweep_run.mistaken, {"lr": [0.1]}, workers=2)


def test_a_function_that_no_process_can_import_is_refused() -> None:
    with pytest.raises(ValueError, match=r"workers= starts new processes.*define it.*at the top level of a module"):
        sweep(lambda point: {}, {"lr": [0.1]}, workers=2)
    with pytest.raises(ValueError, match=r"workers=2 need a storage that each can open: give its text"):
        sweep(bowl, {"lr": [0.1], "gamma": [1]}, workers=2, storage=optuna.storages.InMemoryStorage())


# ---- the queue


def a_queue(size: int = 2) -> queue.Queue:
    storage = optuna.storages.InMemoryStorage()
    return queue.Queue(optuna.create_study(storage=storage), storage, size, {})


def test_of_two_trials_of_one_point_the_first_counts() -> None:
    two = a_queue(1)
    assert two.fill()
    two.study.add_trial(optuna.create_trial(state=TrialState.WAITING, user_attrs={"slot": 0}))
    trial = two.take()
    assert trial is not None
    assert trial.number == 0
    assert two.take() is None
    assert [t.state.name for t in two.study.trials] == ["RUNNING", "FAIL"]
    assert not two.fill()


def test_a_worker_elsewhere_is_dead_when_it_shows_no_sign_of_life_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(queue.time, "monotonic", lambda: now[0])
    one = a_queue(1)
    one.fill()
    trial = one.take()
    assert trial is not None
    trial.set_user_attr("worker", ["elsewhere", 1])
    assert not one.bury(), "seen for the first time"
    now[0] += queue.GRACE + 1
    trial.set_user_attr("beat", 1)
    assert not one.bury(), "it has shown one meanwhile"
    now[0] += queue.GRACE
    assert not one.bury()
    now[0] += 1
    assert one.bury()
    assert one.fill()
    again = one.take()
    assert again is not None
    assert again.number == 1


def test_a_living_worker_of_this_machine_is_not_buried() -> None:
    one = a_queue(1)
    one.fill()
    assert one.take() is not None
    assert not one.bury()


def test_a_worker_shows_signs_of_life(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(queue, "BEAT", 0.001)
    storage = queue.opened(f"journal:{tmp_path / 'log'}")
    one = queue.Queue(optuna.create_study(storage=storage), storage, 1, {})
    one.fill()
    trial = one.take()
    assert trial is not None
    with one.beating(trial):
        while "beat" not in trial.storage.get_trial(trial._trial_id).user_attrs:
            pass
    assert trial.storage.get_trial(trial._trial_id).user_attrs["beat"] >= 1


# ---- results


def test_score_and_gap_are_means_with_their_spread_over_seeds_and_folds() -> None:
    def train(point: Point) -> dict[str, float]:
        assert point.fold is not None
        return {"val_loss": point.seed + 10.0 * point.fold, "train_loss": 1.0}

    def constant(point: Point) -> dict[str, float]:
        return {**train(point), "lr": point.params.lr}

    [row] = sweep(constant, {"lr": [0.1]}, seeds=[1, 3], folds=2).rows
    assert (row.mean, row.n, row.gap) == (7.0, 4, 6.0)
    assert row.sd == row.gap_sd == pytest.approx(math.sqrt((36 + 16 + 16 + 36) / 3))


def test_the_gap_of_an_accuracy_is_what_validation_lacks() -> None:
    def train(point: Point) -> dict[str, float]:
        return {"val_acc": point.params.lr, "train_acc": 0.99, "train_loss": 5.0}

    found = sweep(train, {"lr": [0.5, 0.9]}, metric="val_acc", mode="max")
    assert found.gap == "train_acc", "of an accuracy, not the loss"
    assert found.best.params == {"lr": 0.9}
    assert found.best.gap == pytest.approx(0.09)
    assert sweep(train, {"lr": [0.5]}, metric="val_acc", mode="max", gap=None).rows[0].gap is None


def test_what_diverges_is_a_result_and_is_never_the_best() -> None:
    def train(point: Point) -> dict[str, float]:
        lr, gamma = point.params.lr, point.params.gamma
        if lr == 1.0:
            raise FloatingPointError("overflow")
        if lr == 2.0:
            raise ValueError("the loss is nan or inf")
        failing = lr == 0.5 and point.seed == 1
        return {"val_loss": -1.0 if lr == 0.5 else lr + gamma, "train_loss": math.inf if failing else 0.0}

    found = sweep(train, {"lr": [0.1, 0.5, 1.0, 2.0], "gamma": [0.9, 1.0]}, seeds=2)
    assert [row.failed for row in found.rows] == [0, 0, 1, 1, 2, 2, 2, 2]
    assert found.best.params == {"lr": 0.1, "gamma": 0.9}
    assert found.rows[2].why == "train_loss is inf"
    assert found.rows[2].mean == -1.0, "of the seeds that are results"
    assert found.rows[4].why == "FloatingPointError: overflow"
    assert "1 of 2" in found.table()
    with pytest.raises(ValueError, match=r"none of 1 points has a result: the first one says 'FloatingPointError"):
        _ = sweep(train, {"lr": [1.0], "gamma": [1.0]}).best


def test_a_bug_is_a_crash_that_names_the_point_which_is_run_again_later(tmp_path: Path) -> None:
    seen = []

    def train(point: Point) -> dict[str, float]:
        seen.append((point.params.lr, point.seed))
        if point.params.lr == 0.2 and point.seed == 1 and len(seen) < 9:
            raise TypeError("no such layer")
        return {"val_loss": 0.0, "train_loss": 0.0}

    storage = f"journal:{tmp_path / 'log'}"
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"train failed at lr=0\.2 \(seed 1\): TypeError: no such layer"):
            sweep(train, {"lr": [0.2]}, seeds=3, storage=storage)
    assert seen == [(0.2, 0), (0.2, 1), (0.2, 1)], "what was finished of a point is not repeated"
    seen += [(0.0, 0)] * 9
    assert sweep(train, {"lr": [0.2]}, seeds=3, storage=storage).rows[0].n == 3


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
@pytest.mark.parametrize("returned", [True, False])
def test_weights_that_are_no_numbers_are_a_failure_even_where_an_accuracy_is_one(returned: bool) -> None:
    def train(point: Point) -> Any:
        return Task(epochs=1)(point if returned else Point(point.params, point.seed))

    found = sweep(train, {"lr": [0.1, 1e30]}, metric="val_acc", mode="max")
    assert [row.failed for row in found.rows] == [0, 1]
    assert found.rows[1].why is not None
    assert "net.0.weight is not finite" in found.rows[1].why


def test_a_division_by_zero_is_a_bug_and_no_result() -> None:
    with pytest.raises(RuntimeError, match=r"train failed at lr=0\.1 \(seed 0\): ZeroDivisionError"):
        sweep(lambda point: {"val_loss": point.params.lr / 0}, {"lr": [0.1]})


def test_a_parameter_that_only_some_points_need_is_not_misspelt() -> None:
    asked: list[Any] = []

    def train(point: Point) -> dict[str, float]:
        if not asked:
            asked.append(point.params.momentum)
        return {"val_loss": len(point.params.optimizer), "train_loss": 0.0}

    assert len(sweep(train, {"optimizer": ["SGD", "Adam"], "momentum": [0.9]}).rows) == 2
    with pytest.raises(ValueError, match=r"is it misspelt\? .*asked for at all: point\.params\['momentum'\]"):
        sweep(train, {"optimizer": ["SGD", "Adam"], "momentum": [0.9]})


def test_what_was_begun_is_gone_on_with_whichever_point_is_first_then(tmp_path: Path) -> None:
    calls: list[str] = []

    def train(point: Point) -> dict[str, float]:
        calls.append(point.params.optimizer)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return {"val_loss": point.params.momentum if len(calls) == 1 else 0.0, "train_loss": 0.0}

    asked: dict[str, Any] = {"storage": f"journal:{tmp_path / 'log'}"}
    space = {"optimizer": ["SGD", "Adam"], "momentum": [0.9]}
    with pytest.raises(KeyboardInterrupt):
        sweep(train, space, **asked)
    assert len(sweep(train, space, **asked).rows) == 2, "the first point has asked for all, in another process"


def test_a_point_that_another_process_is_handed_may_be_asked_for_anything_there() -> None:
    def train(point: Point) -> dict[str, float]:
        there = pickle.loads(pickle.dumps(point))
        assert there.schedule is not None
        return {"val_loss": there.params.lr, "train_loss": 0.0}

    [row] = sweep(train, {"lr": [0.1]}, schedule="Cosine()").rows
    assert row.mean == 0.1


def test_a_schedule_that_nothing_follows_is_refused() -> None:
    def train(point: Point) -> dict[str, float]:
        return {"val_loss": point.params.lr, "train_loss": 0.0}

    space = {"lr": [0.1], "gamma": [0.5, 0.9]}
    with pytest.raises(ValueError, match=r"schedule= is given, but train has not asked for point\.schedule"):
        sweep(train, space, schedule="Exponential({gamma})")
    with pytest.raises(ValueError, match=r"at lr=0\.1: schedule= has no place in a YAML file"):
        sweep(Configured({"model": {"lr": 0.1}}), {"lr": [0.1]}, schedule="Cosine()")


def test_an_interrupted_trainer_is_an_interrupt(tmp_path: Path) -> None:
    def train(point: Point) -> Any:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)  # as Lightning's Trainer does

    with pytest.raises(KeyboardInterrupt):
        sweep(train, {"lr": [0.1]})


def test_an_interrupt_gives_the_point_back(tmp_path: Path) -> None:
    seen = []

    def train(point: Point) -> dict[str, float]:
        seen.append(point.params.lr)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return {"val_loss": 0.0, "train_loss": 0.0}

    storage = f"sqlite:///{tmp_path / 'x.db'}"
    with pytest.raises(KeyboardInterrupt):
        sweep(train, {"lr": [0.1, 0.2, 0.3]}, storage=storage)
    assert len(sweep(train, {"lr": [0.1, 0.2, 0.3]}, storage=storage).rows) == 3
    assert len(seen) == 4


def test_tpe_tries_as_many_points_as_it_is_given_and_more_of_them_later(tmp_path: Path) -> None:
    space = {
        "lr": ("log", 1e-3, 1.0),
        "gamma": [0.5, 0.9],
        "units": optuna.distributions.IntDistribution(8, 16, step=8),
    }

    def train(point: Point) -> dict[str, float]:
        assert point.params.units in (8, 16)
        return bowl(point)

    storage = f"journal:{tmp_path / 'log'}"
    assert len(sweep(train, space, sampler="tpe", trials=4, storage=storage).rows) == 4
    found = sweep(train, space, sampler="tpe", trials=6, storage=storage)
    assert len(found.rows) == 6
    assert {row.params["gamma"] for row in found.rows} <= {0.5, 0.9}, "a list is what it may choose from"
    assert all(1e-3 <= row.params["lr"] <= 1.0 for row in found.rows)
    assert len({row.params["lr"] for row in found.rows}) == 6


def test_tpe_goes_on_with_the_values_whose_first_run_was_finished(tmp_path: Path) -> None:
    seen = []

    def train(point: Point) -> dict[str, float]:
        seen.append((point.params.lr, point.seed))
        if len(seen) in (2, 3):
            raise KeyboardInterrupt
        return {"val_loss": point.params.lr, "train_loss": 0.0}

    asked: dict[str, Any] = {"sampler": "tpe", "trials": 1, "seeds": 2, "storage": f"journal:{tmp_path / 'log'}"}
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            sweep(train, {"lr": ("log", 1e-6, 1.0)}, **asked)
    [row] = sweep(train, {"lr": ("log", 1e-6, 1.0)}, **asked).rows
    assert seen == [(row.params["lr"], seed) for seed in (0, 1, 1, 1)]
    assert (row.mean, row.sd) == (row.params["lr"], 0.0), "no run of another point is among them"


def test_a_point_that_tpe_chooses_again_is_one_point() -> None:
    def train(point: Point) -> dict[str, float]:
        return {"val_loss": float(point.params.units), "train_loss": 0.0}

    found = sweep(train, {"units": [1, 2]}, sampler="tpe", trials=8)
    assert [(row.params["units"], row.n, row.sd) for row in found.rows] == [(1, 1, None), (2, 1, None)]


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
def test_optunas_lightning_callback_prunes_a_point_in_its_first_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna.pruners, "MedianPruner", lambda: optuna.pruners.ThresholdPruner(upper=2.2))
    found = sweep(Task(epochs=2), {"lr": [1e-4, 0.5]}, prune=True, seeds=2)
    assert [(row.n, row.why) for row in found.rows] == [(0, "pruned"), (2, None)]
    assert "pruned" in found.table()


def test_a_schedule_is_built_from_each_points_values() -> None:
    seen = []

    def train(point: Point) -> dict[str, float]:
        seen.append(point.schedule)
        return {"val_loss": point.params.lr, "train_loss": 0.0}

    sweep(train, {"lr": [0.1], "gamma": [0.5, 0.9]}, schedule='Exponential({gamma}, decay_steps="1 epoch")')
    sweep(train, {"lr": [0.1], "gamma": [0.7]}, schedule=lambda params: Exponential(params["gamma"]))
    assert sorted(map(repr, seen)) == [
        "Exponential(0.5, decay_steps='1 epoch')",
        "Exponential(0.7)",
        "Exponential(0.9, decay_steps='1 epoch')",
    ]


def found_over(*names: str) -> Sweep:
    def train(point: Point) -> dict[str, float]:
        values = dict(point.params)
        score = sum(value if isinstance(value, float) else len(str(value)) for value in values.values())
        return {"val_loss": math.nan if values["lr"] == 1.0 else score, "train_loss": 0.0}

    grid = {"lr": [0.01, 0.1, 1.0], "gamma": [0.5, 0.9], "kind": ["a", "bb"]}
    return sweep(train, {name: grid[name] for name in names})


def test_the_heat_map_crosses_what_failed_and_marks_the_best(tmp_path: Path) -> None:
    found = found_over("lr", "gamma")
    figure = found.plot()
    axes = figure.axes[0]
    crosses = [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in axes.lines if line.get_marker() == "x"
    ]
    assert sorted(crosses) == [(2.0, 0.0), (2.0, 1.0)]
    [star] = [line for line in axes.lines if line.get_marker() == "*"]
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (0, 0)
    assert axes.images[0].get_array()[1, 0] == pytest.approx(0.91)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.01", "0.1", "1"]
    figure.savefig(tmp_path / "heat.png")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("lr", "gamma")
    turned = found.plot("gamma", "lr").axes[0]
    assert (turned.get_xlabel(), turned.get_ylabel()) == ("gamma", "lr")


def test_one_parameter_is_a_curve_and_more_show_the_best_of_the_rest(tmp_path: Path) -> None:
    figure = found_over("lr").plot()
    figure.savefig(tmp_path / "curve.png")
    assert figure.axes[0].get_xlabel() == "lr"
    three = found_over("lr", "gamma", "kind")
    axes = three.plot().axes[0]
    assert axes.get_title() == "the best of kind"
    assert axes.images[0].get_array()[0, 0] == pytest.approx(0.51 + 1), "not 0.51 + 2"
    found_over("lr", "kind").plot("kind").savefig(tmp_path / "kinds.png")
    with pytest.raises(ValueError, match=r"plot: 'gama' is no parameter of this sweep; did you mean 'gamma'\?"):
        three.plot("gama")


def test_a_picture_has_each_parameter_where_it_was_asked_for() -> None:
    axes = found_over("lr", "gamma").plot(y="lr").axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("gamma", "lr")
    with pytest.raises(ValueError, match=r"x and y are both 'lr': give two parameters, or one for a curve"):
        found_over("lr", "gamma").plot("lr", "lr")


def test_ten_labels_stand_upright_and_points_that_are_no_grid_at_their_values(tmp_path: Path) -> None:
    def train(point: Point) -> dict[str, float]:
        return {"val_loss": point.params.lr + point.params.gamma, "train_loss": 0.0}

    grid = sweep(train, {"lr": ("log", 1e-4, 1.0, 10), "gamma": [0.5, 0.9]}).plot()
    grid.savefig(tmp_path / "grid.png")
    labels = [label.get_window_extent() for label in grid.axes[0].get_xticklabels()]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(labels)), "none overlaps the next"
    found = sweep(train, {"lr": ("log", 1e-4, 1.0), "gamma": ("linear", 0.5, 0.9)}, sampler="tpe", trials=8)
    axes = found.plot().axes[0]
    drawn = {tuple(map(float, place)) for place in axes.collections[0].get_offsets()}
    assert drawn == {(row.params["lr"], row.params["gamma"]) for row in found.rows}
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    [star] = [line for line in axes.lines if line.get_marker() == "*"]
    assert (star.get_xdata()[0], star.get_ydata()[0]) == tuple(found.best.params.values())


def test_the_file_has_a_line_for_each_point(tmp_path: Path) -> None:
    found_over("lr", "gamma").to_csv(tmp_path / "x.csv")
    with (tmp_path / "x.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["lr"], row["gamma"], row["mean"], row["failed"]) for row in rows][::3] == [
        ("0.01", "0.5", "0.51", "0"),
        ("0.1", "0.9", "1.0", "0"),
    ]
    assert rows[-1]["why"] == "val_loss is nan"


# ---- what is refused, and when


def never(point: Point) -> Any:
    raise AssertionError("nothing may be trained")


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no space": ({"space": {}}, r"space must be a mapping such as \{'lr': \[1e-3, 1e-2\]\}, got \{\}"),
    "an empty list": ({"space": {"lr": []}}, r"space\['lr'\] is empty: give at least one value"),
    "twice": ({"space": {"lr": [0.1, 1, 0.1]}}, r"space\['lr'\] has 0\.1 twice"),
    "equal": ({"space": {"lr": ["a", 1, True]}}, r"space\['lr'\] has 1 and True, which are equal"),
    "no mode": ({"metric": "val_acc"}, r"metric='val_acc' says nothing of which values are good: say mode='max' or"),
    "no error": ({"metric": "val_terrain_iou"}, r"metric='val_terrain_iou' says nothing of which values are good"),
    "no validation": ({"metric": "interval_loss"}, r"metric='interval_loss' does not say what the same of the"),
    "no gap": ({"metric": "return", "mode": "max"}, r"metric='return' does not say.*: say gap=, or gap=None"),
    "the end of a range": (
        {"space": {"gamma": ("linear", 0.5, 1.5)}, "schedule": "Exponential({gamma})", "sampler": "tpe", "trials": 9},
        r"at gamma=1\.5: column 1: Exponential: gamma must be a number in \(0, 1\], got 1\.5",
    ),
    "a number": ({"space": {"lr": 0.1}}, r"space\['lr'\] must be a list of values or a range"),
    "a text": ({"space": {"lr": "log"}}, r"space\['lr'\] must be a list of values or a range"),
    "NaN": ({"space": {"lr": [math.nan]}}, r"space\['lr'\] holds nan: give finite numbers"),
    "an object": ({"space": {"lr": [object()]}}, r"space\['lr'\] may hold strings, numbers, True, False and None, got"),
    "no number of values": ({"space": {"lr": ("log", 0.1, 1)}}, r"write \('log', low, high, n\)"),
    "log from 0": ({"space": {"lr": ("log", 0, 1, 3)}}, r"space\['lr'\]: low must be a number > 0"),
    "upside down": ({"space": {"lr": ("linear", 1, 0, 3)}}, r"space\['lr'\]: high must be a number > 1"),
    "a distribution": (
        {"space": {"lr": optuna.distributions.FloatDistribution(0, 1)}},
        r"which a grid cannot exhaust: give a list, or sampler='tpe'",
    ),
    "an unknown name": (
        {"schedule": "Exponential({gama})"},
        r"uses 'gama', which space does not vary; did you mean 'gamma'",
    ),
    "no name": ({"schedule": "Exponential({})"}, r"\{\} is no name of a parameter"),
    "one brace": ({"schedule": "Exponential({gamma)"}, r"write the names of parameters in braces"),
    "a bad value": (
        {"space": {"gamma": [0.9, 1.5]}, "schedule": "Exponential({gamma})"},
        r"at gamma=1\.5: column 1: Exponential: gamma must be a number in \(0, 1\], got 1\.5",
    ),
    "no schedule": ({"schedule": lambda params: 3}, r"at lr=0\.1, gamma=0\.9: schedule must make a schedule, got 3"),
    "neither": ({"schedule": 3}, r"schedule must be an expression or a function of the parameters, got 3"),
    "sampler": ({"sampler": "rnd"}, r"sampler must be one of 'grid', 'tpe', got 'rnd'"),
    "trials": ({"trials": 3}, r"trials=3 is for sampler='tpe'; a grid has as many as it has points, 1"),
    "no trials": ({"sampler": "tpe"}, r"sampler='tpe' needs trials="),
    "mode": ({"mode": "least"}, r"mode must be one of 'min', 'max', got 'least'"),
    "metric": ({"metric": ""}, r"metric must be a name, got ''"),
    "seeds": ({"seeds": 0}, r"seeds must be a whole number >= 1, got 0"),
    "equal seeds": ({"seeds": [1, 1]}, r"seeds must differ, got \[1, 1\]"),
    "folds": ({"folds": 1}, r"folds must be a whole number >= 2, got 1"),
    "workers": ({"workers": 0}, r"workers must be a whole number >= 1, got 0"),
    "train": ({"train": 3}, r"train must be a function of a point, got 3"),
    "storage": ({"storage": "x.db"}, r"storage must be 'sqlite:///file\.db'.*got 'x\.db': write 'sqlite:///x\.db'"),
    "no folder": ({"storage": "journal:/missing/x"}, r"storage='journal:/missing/x': there is no directory '/missing'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_configuration_is_refused_before_any_training(name: str) -> None:
    given, message = BAD[name]
    arguments = {"train": never, "space": {"lr": [0.1], "gamma": [0.9]}, **given}
    with pytest.raises(ValueError, match=f"^sweep: .*{message}"):
        sweep(**arguments)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lr": [0.1, -1]}, r"at lr=-1: lr must be a number > 0 \(finite\), got -1"),
        ({"optimizer": ["SGD", "Adamm"]}, r"torch\.optim has no optimizer 'Adamm'; did you mean 'Adam'\?"),
        ({"lrr": [0.1]}, r"space varies 'lrr', which train has not asked for: is it misspelt\?"),
        ({"hidden": [8, 0]}, r"at hidden=0: hidden must be a whole number >= 1, got 0"),
    ],
)
def test_the_digits_say_what_is_wrong_before_any_training(
    given: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Task, "__call__", never)
    with pytest.raises(ValueError, match=message):
        sweep(Task(), given)
    with pytest.raises(ValueError, match="is 500 updates long, but the run has 380"):
        sweep(Task(), {"steps": [500]}, schedule="Linear({steps})")


def test_a_metric_that_is_not_logged_is_said_after_the_first_run() -> None:
    seen = []

    def train(point: Point) -> dict[str, float]:
        seen.append(point)
        return bowl(point)

    space = {"lr": [0.1, 0.2], "gamma": [0.9]}
    with pytest.raises(
        ValueError, match=r"metric='val_los' is not logged; did you mean 'val_loss'\?; available: val_loss"
    ):
        sweep(train, space, metric="val_los", mode="min", gap="train_loss")
    with pytest.raises(ValueError, match=r"gap='trainloss' is not logged; did you mean 'train_loss'\?"):
        sweep(train, space, gap="trainloss")
    with pytest.raises(TypeError, match=r"train must return the Trainer, or a mapping of metrics.*it returned 3"):
        sweep(lambda point: 3 if seen.append(point) is None else None, space)
    assert len(seen) == 3
    with pytest.raises(ValueError, match=r"space varies 'gama', which train has not asked for"):
        sweep(lambda point: {"val_loss": point.params.lr, "train_loss": 0.0}, {"lr": [0.1], "gama": [0.9]})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seeds": 2}, r"was begun with seeds=\[0\], and this is \[0, 1\]: give another name=, or another storage="),
        ({"space": {"lr": [0.1], "gamma": [0.8]}}, r"was begun with space=\{'lr': \[0\.1\], 'gamma': \[0\.9\]\}"),
        ({"train": never}, r"was begun with train='test_sweep\.bowl'"),
    ],
)
def test_a_study_of_another_sweep_is_not_continued(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    usual: dict[str, Any] = {
        "train": bowl,
        "space": {"lr": [0.1], "gamma": [0.9]},
        "storage": f"journal:{tmp_path / 'x'}",
    }
    sweep(**usual)
    with pytest.raises(ValueError, match=message):
        sweep(**{**usual, **given})


def test_a_study_of_somebody_else_is_left_alone() -> None:
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(storage=storage, study_name="sweep").optimize(lambda trial: 1.0, n_trials=1)
    with pytest.raises(ValueError, match=r"the study 'sweep' in this storage is none of sweep's: give another name="):
        sweep(bowl, {"lr": [0.1], "gamma": [0.9]}, storage=storage)


def test_numbers_of_a_range_are_those_that_people_write() -> None:
    assert as_space({"lr": ("log", 1e-4, 1.0, 5)})[0].values == (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    assert as_space({"x": ("linear", 0, 1, 5)})[0].values == (0, 0.25, 0.5, 0.75, 1)


# ---- the user's own module, from YAML

CONFIG = """
trainer:
  max_epochs: 1
  accelerator: cpu
  callbacks:
    - class_path: lightning_lr.LRMultiPhaseDecay
      init_args:
        phases: {class_path: lightning_lr.Exponential, init_args: {gamma: 0.9, decay_steps: 1 epoch}}
    - class_path: ModelCheckpoint
    - class_path: LearningRateMonitor
model: {class_path: sweep_net.Net, init_args: {lr: 0.1}}
data: {class_path: sweep_net.Data}
ckpt_path: null
"""
NET = """
import lightning as L
from lightning_lr.tuning.digits import Digits, loaders

class Net(Digits):
    def __init__(self, lr: float = 0.1, hidden: int = 8):
        super().__init__(lr, "SGD", hidden)

class Data(L.LightningDataModule):
    def __init__(self, fold: int = 0, folds: int = 3):
        super().__init__()
        self.place = (fold, folds)
    def train_dataloader(self):
        return loaders(64, 0, *self.place)[0]
    def val_dataloader(self):
        return loaders(64, 0, *self.place)[1]
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sweep_net.py").write_text(NET, encoding="utf-8")
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "config.yaml"


def test_a_key_is_found_by_its_last_parts(config: Path) -> None:
    content = read(config)
    gamma = ("trainer", "callbacks", 0, "init_args", "phases", "init_args", "gamma")
    for name in ("gamma", "phases.gamma", "LRMultiPhaseDecay.phases.gamma", "trainer.callbacks.0.phases.gamma"):
        assert place(content, name) == gamma
    assert place(content, "model.hidden") == ("model", "init_args", "hidden")
    assert place(content, "data.fold") == ("data", "init_args", "fold")
    assert changed(content, place(content, "data.fold"), 1)["data"]["init_args"] == {"fold": 1}
    assert "init_args" not in content["data"], "the configuration itself is left alone"
    named = {"trainer": {"callbacks": ["lightning_lr.LRLogger"]}}
    made = changed(named, place(named, "callbacks.LRLogger.every_n_steps"), 5)
    assert made["trainer"]["callbacks"] == [{"class_path": "lightning_lr.LRLogger", "init_args": {"every_n_steps": 5}}]
    twice = {**content, "trainer": {**content["trainer"], "lr": 1}}
    with pytest.raises(ValueError, match=r"has 'lr' in 2 places: say which of trainer\.lr, model\.init_args\.lr"):
        place(twice, "lr")


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
def test_the_users_module_is_swept_from_its_yaml(config: Path) -> None:
    before = {path.name for path in config.parent.iterdir()}
    found = sweep(Configured(read(config)), {"lr": [0.01, 0.5], "gamma": [0.9]}, folds=2)
    assert found.best.params == {"lr": 0.5, "gamma": 0.9}
    assert [row.n for row in found.rows] == [2, 2]
    assert {path.name for path in config.parent.iterdir()} - before <= {"__pycache__"}, "no logs, no checkpoints"


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ("gamma=0.5,1.5", "at gamma=1.5: trainer.callbacks[0]: LRMultiPhaseDecay: phases: Exponential: gamma must be"),
        ("gama=0.5", "the configuration has no 'gama'; did you mean 'gamma'?"),
        ("lr=fast", "Parser key \"lr\": Expected a <class 'float'>. Got value: fast"),
        ("model.hiden=3", "Option 'hiden' is not accepted"),
    ],
)
def test_a_bad_key_or_value_is_one_line(
    config: Path, vary: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sweep", str(config), "--vary", vary]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert message in said.err


def test_a_yaml_without_classes_needs_their_names(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text("trainer: {max_epochs: 1}\nmodel: {lr: 0.1}\n", encoding="utf-8")
    assert cli.main(["sweep", str(config), "--vary", "lr=0.1"]) == 2
    assert "write model: {class_path: ...} there, or say it with --model module.Class" in capsys.readouterr().err
    assert cli.main(["sweep", str(config), "--vary", "lr=0.1", "--model", "sweep_net.Nett"]) == 2
    assert "'sweep_net.Nett' cannot be imported as module.Class" in capsys.readouterr().err
    config.write_text("a: 1", encoding="utf-8")
    assert cli.main(["sweep", str(config), "--vary", "lr=0.1"]) == 2
    assert "is no configuration of a LightningCLI" in capsys.readouterr().err


# ---- the command


def test_the_command_sweeps_the_digits_and_goes_on_from_its_storage(tmp_path: Path) -> None:
    args = ["sweep", 'Exponential({gamma}, decay_steps="1 epoch")', "--vary", "lr=0.01,0.5", "--vary", "gamma=0.5,0.9"]
    args += ["--epochs", "1", "--storage", "sqlite:///x.db", "--png", "x.png", "--csv", "x.csv"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    outs = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "lightning_lr", *args],
            capture_output=True,
            cwd=tmp_path,
            env=environment,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert done.stderr.decode() == ""
        outs.append(done.stdout.decode())
    assert outs[0] == outs[1]
    head, *lines = outs[0].splitlines()
    assert head.split() == ["lr", "gamma", "val_loss", "gap"]
    assert lines[0].split()[:2] == ["0.5", "0.9"]
    assert len(lines) == 4
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert len((tmp_path / "x.csv").read_text(encoding="utf-8").splitlines()) == 5
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{tmp_path / 'x.db'}")
    assert len(study.trials) == 4, "the second time nothing was left"
    assert json.loads(json.dumps(study.user_attrs["sweep"]["space"])) == {"lr": [0.01, 0.5], "gamma": [0.5, 0.9]}


COMMANDS: dict[str, tuple[list[str], str]] = {
    "nothing": ([], "nothing is varied: say --vary lr=1e-3,1e-2,1e-1"),
    "no values": (["--vary", "lr"], "--vary must be NAME=VALUES, such as lr=1e-3,1e-2, got 'lr'"),
    "a gap in the list": (["--vary", "lr=1,,2"], "'1,,2' has an empty value between its commas"),
    "twice": (["--vary", "lr=1", "--vary", "lr=2"], "--vary lr is given twice: put all its values into one"),
    "a range": (["--vary", "lr=log:1e-3:1"], "write ('log', low, high, n)"),
    "a file": (["missing.yaml", "--vary", "lr=1"], "missing.yaml: No such file or directory"),
    "a picture": (["--vary", "lr=1", "--png", "x.gif"], "must end with one of .png, .svg, .pdf"),
    "a folder": (["--vary", "lr=1", "--csv", "no/x.csv"], "no/x.csv: there is no directory 'no'"),
    "a folder as file": (["--vary", "lr=1", "--csv", "."], ".: is a directory"),
    "twice, with a space": (["--vary", "lr=1", "--vary", "lr =2"], "--vary lr is given twice"),
    "an accuracy": (["--vary", "lr=1", "--metric", "val_acc"], "say mode='max' or mode='min'"),
    "a class": (["--vary", "lr=1", "--model", "a.B"], "--model names a class for a YAML file"),
    "a schedule": (["Cosin()", "--vary", "lr=1"], "there is no schedule 'Cosin'; did you mean 'Cosine'?"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_bad_input_of_the_command_is_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    args, message = COMMANDS[name]
    assert cli.main(["sweep", *args]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert message in said.err


def test_without_optuna_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert cli.main(["sweep", "--vary", "lr=0.1"]) == 2
    assert "optuna is not installed: python -m pip install 'lightning_lr[tune]'" in capsys.readouterr().err


def test_a_point_says_what_it_has() -> None:
    point = Point(Params({"lr": 0.1}), seed=3, fold=1)
    assert repr(point) == "lr=0.1 (seed 3, fold 1)"
    with pytest.raises(AttributeError, match="the point has no parameter 'l'; did you mean 'lr'"):
        _ = point.params.l
