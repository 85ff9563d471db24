"""``compare``: equal effort for every optimizer and schedule, numbers counted by hand, claims judged by a rule."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_sweep import CONFIG, NET, ROOT

from lightning_lr import Constant, Cosine, Exponential, cli
from lightning_lr.tuning import Comparison, Point, compare
from lightning_lr.tuning.claims import RULE, interval, judged
from lightning_lr.tuning.digits import Task

LRS = [0.01, 0.1, 1.0]
GOOD = {"SGD": {0.1: 1.0}, "Adam": {0.01: 1.04, 0.1: 1.0, 1.0: 1.049}, "RMSprop": {0.1: 1.0, 1.0: 1.0}}
"""The losses of the lrs that are good; of the others it is 2."""


def task(point: Point) -> dict[str, float]:
    """Losses of a table; SGD diverges at 1; decay halves the gap."""
    lr, optimizer = point.params.lr, point.params.optimizer
    if optimizer == "SGD" and lr == 1.0:
        return {"val_loss": math.nan, "train_loss": math.nan}
    loss = GOOD[optimizer].get(lr, 2.0) + 1e-4 * point.seed
    gap = (0.2 if point.schedule == Constant() else 0.1) + 1e-3 * point.seed
    return {"val_loss": loss, "train_loss": loss - gap}


@pytest.fixture(scope="module")
def found() -> Comparison:
    return compare(task, list(GOOD), {"flat": Constant(), "cosine": "Cosine()"}, LRS, seeds=3)


def test_what_the_verdicts_need_is_missed_before_the_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match="scipy"):
        compare(task, list(GOOD), {"flat": Constant()}, LRS)
    assert cli.main(["compare", "--optimizers", "SGD", "--lrs", "0.1", "--seeds", "1", "--epochs", "1"]) == 2
    assert "scipy is not installed: python -m pip install 'lightning_lr[tune]'" in capsys.readouterr().err


def test_each_pair_is_reported_at_its_best_lr_with_what_was_measured(found: Comparison) -> None:
    assert [(arm.optimizer, arm.schedule) for arm in found.arms] == [
        (optimizer, schedule) for optimizer in GOOD for schedule in ("flat", "cosine")
    ]
    sgd, adam, rmsprop = found.arms[::2]
    assert (sgd.lr, sgd.decades, sgd.failed) == (0.1, 0.0, pytest.approx(1 / 3))
    assert (adam.lr, adam.decades, adam.failed) == (0.1, pytest.approx(2.0), 0.0), "1.049 is within 5 % of 1"
    assert (rmsprop.lr, rmsprop.decades) == (0.1, pytest.approx(1.0))
    assert adam.row is not None
    assert (adam.row.n, adam.row.mean, adam.row.sd) == (3, pytest.approx(1.0001), pytest.approx(1e-4))
    assert adam.row.gap == pytest.approx(0.201)
    assert found.arms[3].row is not None
    assert found.arms[3].row.gap == pytest.approx(0.101)
    head, first, *_ = found.table().splitlines()
    assert head.split("  ")[0] == "optimizer"
    assert "33 %" in first
    assert "0 decades" in first


def test_the_claims_stand_beside_it_with_verdicts_and_the_rule(found: Comparison) -> None:
    assert [(said.found, said.claim.partition(":")[0]) for said in found.verdicts] == [
        ("confirmed", "SGD depends most on a good lr and decay"),
        ("confirmed", "Adam depends least on the initial lr"),
        ("not measured", "Adam converges fastest"),
        ("confirmed", "RMSprop lies between SGD and Adam in how little it depends on the initial lr"),
        ("not measured", "RMSprop suits problems that change while they are learnt"),
        ("confirmed", "decay reduces over-fitting, with every optimizer"),
    ]
    told = found.claims()
    assert told.startswith("Claims of the source article:\n- confirmed: SGD")
    assert told.endswith(RULE)
    assert "Adam − SGD 0.667 [0.667, 0.667]" in told


def test_a_claim_that_does_not_hold_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def turned(point: Point) -> dict[str, float]:
        worse = 0.2 if point.schedule == Constant() else 0.4 + 0.01 * point.seed
        wide = point.params.optimizer == "SGD"
        loss = 1.0 if point.params.lr == 0.1 or wide else 3.0
        return {"val_loss": loss, "train_loss": loss - worse}

    verdicts = compare(turned, ["SGD", "Adam"], {"flat": "Constant()", "cosine": Cosine()}, LRS, seeds=3).verdicts
    assert [said.found for said in verdicts] == [
        "not confirmed", "not confirmed", "not measured", "not measured", "not measured", "not confirmed",
    ]  # fmt: skip
    assert verdicts[3].why == "it needs RMSprop"
    assert verdicts[2].why == "it needs the curves of two optimizers"


def test_what_is_within_the_noise_is_no_difference() -> None:
    assert judged("a", {"x": [1.0, -1.0, 0.5], "y": [1.0, 1.0]}).found == "no difference"
    assert judged("a", {"x": [1.0]}).found == "no difference", "one seed says nothing"
    assert judged("a", {"x": [1.0, 1.0]}).found == "no difference", "nor do two that agree"
    below, even = [-1.0, -1.1, -0.5], [1.0, -1.0, 1.0]  # its 95 % interval lies below 0, that at 1 - 5 % / 3 does not
    assert judged("a", {"x": below}).found == "not confirmed"
    assert judged("a", {"x": below, "y": even, "z": even}).found == "no difference"
    assert judged("a", {}, "it needs b") == ("a", "not measured", "it needs b")
    low, high = interval([0.0, 1.0, 2.0, 3.0, 4.0])  # 2 ± 2.776 · sqrt(2.5) / sqrt(5)
    assert (low, high) == (pytest.approx(2 - 1.963, abs=1e-3), pytest.approx(2 + 1.963, abs=1e-3))
    assert interval([0.0, 1.0] * 50)[1] > 0.5


def test_an_optimizer_may_have_its_own_lrs_as_many_as_the_others() -> None:
    seen = []

    def train(point: Point) -> dict[str, float]:
        seen.append((point.params.optimizer, point.params.lr))
        return {"val_loss": 1.0, "train_loss": 1.0}

    compare(train, ["SGD", "Adam"], {"flat": "Constant()"}, {"SGD": [1.0, 0.1], "Adam": [0.01, 0.001]}, seeds=1)
    assert sorted(seen) == [("Adam", 0.001), ("Adam", 0.01), ("SGD", 0.1), ("SGD", 1.0)]


def test_verdicts_count_seeds_not_folds() -> None:
    def train(point: Point) -> dict[str, float]:
        assert point.fold is not None
        wide = 0.0 if point.params.optimizer == "Adam" else 1.0
        loss = 1.0 + wide * abs(math.log10(point.params.lr)) + 1e-3 * point.fold
        return {"val_loss": loss, "train_loss": 1.0}

    def found(seeds: int) -> str:
        said = compare(train, ["SGD", "Adam"], {"flat": "Constant()"}, LRS, seeds=seeds, folds=3).verdicts[1]
        assert said.claim.startswith("Adam depends least")
        return said.found

    assert (found(1), found(3)) == ("no difference", "confirmed"), "the three folds of one seed share their data"


def test_what_train_leaves_alone_is_not_compared() -> None:
    def train(point: Point) -> dict[str, float]:
        _ = point.params.optimizer
        return {"val_loss": 1.0, "train_loss": 1.0}

    with pytest.raises(RuntimeError, match=r"compare: train has not asked for point\.params\.lr, which is what is"):
        compare(train, ["SGD"], {"flat": "Constant()"}, [0.1])

    def unscheduled(point: Point) -> dict[str, float]:
        return {"val_loss": point.params.lr * len(point.params.optimizer), "train_loss": 1.0}

    with pytest.raises(ValueError, match=r"train has not asked for point\.schedule: nothing follows it"):
        compare(unscheduled, ["SGD"], {"flat": "Constant()", "cosine": "Cosine()"}, [0.1])


def test_a_run_that_stops_early_has_not_been_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    found = compare(task, ["SGD", "Adam"], {"flat": "Constant()"}, LRS, seeds=2)
    curves = {
        "SGD": [(50, 2.0), (100, 1.0)],
        "Adam": [(50, 0.5)],
    }  # Adam was as good at half of the budget, and stopped
    found.sweep.runs = [run._replace(curve=curves[run.params["optimizer"]]) for run in found.sweep.runs]
    assert found._speed() == {"SGD": [1.0, 1.0], "Adam": [0.5, 0.5]}


def never(point: Point) -> Any:
    raise AssertionError("nothing may be trained")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"lrs": {"SGD": [0.1], "Adam": [0.1, 1]}},
            r"takes equally many lrs for each optimizer, got \{'SGD': 1, 'Adam': 2\}",
        ),
        ({"lrs": {"SGD": [0.1]}}, r"lrs must have a list for each optimizer and no other, not so: \['Adam'\]"),
        ({"lrs": [0.1, 0]}, r"lrs of SGD must be a number > 0 \(finite\), got 0"),
        ({"lrs": [0.1, 0.1]}, r"lrs of SGD has a value twice"),
        ({"lrs": []}, r"takes equally many lrs for each optimizer, got \{'SGD': 0, 'Adam': 0\}"),
        ({"optimizers": "SGD"}, r"optimizers must be a list of names in torch\.optim, got 'SGD'"),
        ({"schedules": {"c": "Cosin()"}}, r"schedules\['c'\]: column 1: there is no schedule 'Cosin'; did you mean"),
        ({"schedules": {"c": 3}}, r"schedules\['c'\] must be a schedule or an expression, got 3"),
        ({"schedules": {}}, r"schedules must be a mapping such as \{'cosine': 'Cosine\(\)'\}, got \{\}"),
    ],
)
def test_unequal_tuning_and_what_is_no_schedule_are_refused(given: dict[str, Any], message: str) -> None:
    arguments = {"optimizers": ["SGD", "Adam"], "schedules": {"flat": "Constant()"}, "lrs": [0.1], **given}
    with pytest.raises(ValueError, match=f"compare: .*{message}"):
        compare(never, **arguments)


def test_the_digits_refuse_an_unknown_optimizer_and_a_schedule_that_is_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Task, "__call__", never)
    with pytest.raises(ValueError, match=r"torch\.optim has no optimizer 'Adem'; did you mean 'Adam'\?"):
        compare(Task(), ["Adem"], {"flat": "Constant()"}, [0.1])
    with pytest.raises(ValueError, match="is 9999 updates long, but the run has 38"):
        compare(Task(epochs=1), ["SGD"], {"long": "Cosine(9999)"}, [0.1])


# ---- real runs


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
def test_two_optimizers_and_two_schedules_on_the_digits_are_compared_in_one_figure(tmp_path: Path) -> None:
    schedules = {"flat": Constant(), "exponential": Exponential(0.01, decay_steps="100%")}
    found = compare(Task(epochs=2), ["SGD", "Adam"], schedules, [0.01, 0.1], seeds=2)
    assert len(found.sweep.runs) == 16
    assert all(arm.failed == 0.0 for arm in found.arms)
    faster = next(said for said in found.verdicts if said.claim.startswith("Adam converges fastest"))
    assert faster.found != "not measured"
    figure = found.plot()
    figure.savefig(tmp_path / "x.png")
    assert [axes.get_title() for axes in figure.axes] == ["SGD", "Adam", "", ""]
    for axes in figure.axes[:2]:
        assert [line.get_xdata().tolist() for line in axes.lines] == [[38, 76], [38, 76]]
    arm = found.arms[0]
    drawn = figure.axes[0].lines[0].get_ydata()
    assert arm.row is not None
    assert drawn[-1] == pytest.approx(arm.row.mean, rel=1e-6), "the curve ends at the score"


def test_the_command_compares_on_the_digits(tmp_path: Path) -> None:
    args = ["compare", "--optimizers", "SGD,Adam", "--schedule", "flat=Constant()", "--schedule", "cosine=Cosine()"]
    args += ["--lrs", "1e-2,1e-1", "--seeds", "2", "--epochs", "1", "--png", "x.png", "--csv", "x.csv"]
    done = subprocess.run(
        [sys.executable, "-m", "lightning_lr", *args],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr.decode() == "lightning-lr: 16 runs: 2 optimizers, 2 schedules, 2 lrs\n"
    table, claims = done.stdout.decode().split("Claims of the source article:\n")
    assert [line.split()[:2] for line in table.splitlines()[1:]] == [
        ["SGD", "flat"], ["SGD", "cosine"], ["Adam", "flat"], ["Adam", "cosine"],
    ]  # fmt: skip
    assert table.split()[4] == "val_acc"
    assert len(claims.splitlines()) == 7
    assert claims.splitlines()[-1] == RULE
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert len((tmp_path / "x.csv").read_text(encoding="utf-8").splitlines()) == 9


def test_the_command_gives_the_users_module_each_optimizer_and_schedule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sweep_net.py").write_text(NET, encoding="utf-8")
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    args = [
        "config.yaml",
        "--optimizers",
        "Adam,Adagrad",
        "--schedule",
        "flat=Constant()",
        "--lrs",
        "0.01",
        "--seeds",
        "1",
    ]
    assert cli.main(["compare", *args]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[1:3]] == [["Adam", "flat", "0.01"], ["Adagrad", "flat", "0.01"]]
    assert lines[1].split()[3] != lines[2].split()[3]


COMMANDS: dict[str, tuple[list[str], str]] = {
    "an expression": (
        ["Cosine()"],
        "WHAT must be a YAML file, got 'Cosine()': schedules are given as --schedule NAME=",
    ),
    "no name": (
        ["--schedule", "Cosine()"],
        "--schedule must be NAME=EXPRESSION, such as cosine='Cosine()', got 'Cosine()'",
    ),
    "twice": (["--schedule", "a=Cosine()", "--schedule", "a=Rex()"], "--schedule a is given twice"),
    "an optimizer": (["--optimizers", "SGD,Adem"], "torch.optim has no optimizer 'Adem'; did you mean 'Adam'?"),
    "a metric": (["--metric", "val_acc"], "metric='val_acc' says nothing of which values are good: say mode='max'"),
    "an lr": (["--lrs", "0.1,fast"], "lrs of SGD must be a number > 0 (finite), got 'fast'"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_bad_input_of_the_command_is_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    args, message = COMMANDS[name]
    assert cli.main(["compare", *args]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert [line for line in said.err.splitlines() if "error: " in line and message in line] == [
        said.err.splitlines()[-1]
    ]
