"""The command, as a shell runs it: results on stdout, one line and exit code 2 for bad input, no traceback."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from runs import Net, trainer

import lightning_lr
from lightning_lr import Linear, LRMultiPhaseDecay, LRPlateauReduction, LRWarmup, Warmup, cli
from lightning_lr.core.expression import makers

ROOT = Path(lightning_lr.__file__).parents[1]
PNG = b"\x89PNG"


def command(*args: object, at: Path, code: int = 0, **environment: str) -> tuple[str, str]:
    """stdout and stderr of ``python -m lightning_lr …``, which must end with this code."""
    usual = {"PYTHONPATH": str(ROOT), "COLUMNS": "80", "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "lightning_lr", *map(str, args)],
        capture_output=True,
        cwd=at,
        env={**os.environ, **usual, **environment},
        timeout=120,
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == code, err
    assert "\x1b" not in out + err, "no colour codes without a terminal"
    return out, err


def refused(*args: object, at: Path, **environment: str) -> str:
    """The one line that it says."""
    out, err = command(*args, at=at, code=2, **environment)
    assert out == ""
    assert err.startswith("lightning-lr: error: ")
    assert err.count("\n") == 1
    return err


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two real runs, ``flat`` with a reduction and ``better`` without; the names are hard on a page."""
    root = tmp_path_factory.mktemp("logs")
    for name, metric in (("<i>flat", lambda i: 1.0), ("better", lambda i: 1.0 / (i + 1))):
        callbacks = [
            LRWarmup(2),
            LRMultiPhaseDecay([Linear()]),
            LRPlateauReduction("val_loss", patience=0, factor=0.5),
        ]
        logger = TensorBoardLogger(root, name="", version=name)
        net = Net(metric=metric)
        trainer(root, callbacks, max_epochs=3, limit_val_batches=1, logger=logger, log_every_n_steps=1).fit(net)
    return root


# ---- preview


def test_an_expression_is_previewed_as_a_table_a_chart_and_files(tmp_path: Path) -> None:
    schedule = 'Warmup("25%") >> Linear(end_factor=0.5)'
    args = ("--total-steps", 8, "--steps-per-epoch", 4, "--lr", 0.1, "--csv", "plan.csv", "--png", "plan.PNG")
    out, err = command("preview", schedule, *args, at=tmp_path)
    assert err == ""
    table, _, chart = out.partition("\n\n")
    assert table.splitlines() == [
        "Learning-rate plan, 8 updates",
        "  updates  epochs  phase                   lr",
        "  0–1      0–0.5   Warmup('25%')           0.05 → 0.1",
        "  2–7      0.5–2   Linear(end_factor=0.5)  0.1 → 0.05",
    ]
    head, *rows, ruler = chart.rstrip("\n").splitlines()
    assert head == "lr: 0.05 at first, 0.1 at most (update 1), 0.05833 at last; a column is 0.1 updates"
    assert [len(row) for row in rows] == [80] * 5
    assert set("".join(rows)) <= set("▁▂▃▄▅▆▇█ ")
    assert ruler == "|Warmup" + " " * 13 + "|Linear"
    with (tmp_path / "plan.csv").open(encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    factors = (Warmup("25%") >> Linear(end_factor=0.5)).curve(8).tolist()
    assert [(int(row["step"]), float(row["epoch"]), float(row["factor"])) for row in written] == [
        (t, t / 4, factor) for t, factor in enumerate(factors)
    ]
    assert [float(row["lr"]) for row in written] == pytest.approx([0.1 * factor for factor in factors], rel=1e-15)
    assert (tmp_path / "plan.PNG").read_bytes().startswith(PNG)


def test_a_terminal_that_has_no_blocks_gets_ascii_and_its_width_is_kept(tmp_path: Path) -> None:
    args = ("preview", "one_cycle(momentum_factor=0.9)", "--total-steps", 10**9)
    out, _ = command(*args, at=tmp_path, PYTHONIOENCODING="ascii", COLUMNS="40")
    assert out.isascii()
    assert "  0-299999999          Warmup('30%', start_factor=0.04, shape='cosine')  4e-05 -> 0.001" in out
    assert "Plan of momentum, 1000000000 updates" in out
    assert [len(line) for line in out.splitlines() if "###" in line] == [40] * 7


def test_the_configuration_of_a_lightning_cli_is_previewed_as_its_run_will_join_it(tmp_path: Path) -> None:
    out, _ = command("preview", ROOT / "examples/cli/config.yaml", "--total-steps", 680, at=tmp_path)
    assert out.splitlines()[:6] == [
        "Learning-rate plan, 680 updates",
        "  updates  phase                          lr",
        "  0–33     Warmup('5%')                   2.941e-05 → 0.001",
        "  34–203   Constant('25%')                0.001 → 0.001",
        "  204–543  Cosine('50%', end_factor=0.1)  0.001 → 0.0001",
        "  544–679  Linear()                       0.0001 → 0",
    ]
    assert "may be changed by Rule(Patience(5, threshold=0.01), do=Restart(0.5, max_restarts=1)" in out


YAML = {
    "a list of phases": ("[{class_path: Warmup, init_args: {duration: 2}}, {class_path: Linear}]", ["lr"]),
    "a schedule": ("{_target_: lightning_lr.wsd, cooldown: 50%}", ["lr"]),
    "a callback": ("{class_path: lightning_lr.LRWarmup, init_args: {duration: 2}}", ["lr"]),
    "groups and keys, which have the warmup that is said of all": (
        "- {class_path: LRWarmup, init_args: {duration: 2}}\n"
        "- {class_path: LRMultiPhaseDecay, init_args: {phases: {class_path: Linear}, groups: head}}\n"
        "- {class_path: LRMultiPhaseDecay, init_args: {phases: {class_path: Cosine}, key: weight_decay}}\n"
        "- {class_path: EarlyStopping, init_args: {monitor: val_loss}}\n"
        "- LRLogger\n",
        ["lr", "lr[head]", "weight_decay"],
    ),
    "two optimizers": (
        "fit: {trainer: {callbacks: [{class_path: LRWarmup, init_args: {duration: 5e0 steps, optimizer: 0}},"
        "{class_path: LRMultiPhaseDecay, init_args: {phases: {class_path: Linear}, optimizer: 1}}]}}",
        None,
    ),
}


@pytest.mark.parametrize("name", [name for name, (_, tracks) in YAML.items() if tracks])
def test_the_other_forms_of_yaml_are_understood(name: str) -> None:
    import yaml

    text, tracks = YAML[name]
    [wanted] = cli._from_yaml(yaml.safe_load(text), 8)
    assert [track.id for track in wanted.tracks] == tracks
    if "groups" in name:
        assert [repr(track.schedule) for track in wanted.tracks] == ["Warmup(2)", "Warmup(2) >> Linear()", "Cosine()"]


def test_each_optimizer_that_is_named_has_a_plan_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "gan.yaml").write_text(YAML["two optimizers"][0].replace("5e0 steps", "5"), encoding="utf-8")
    out, _ = command("preview", "gan.yaml", "--total-steps", 10, at=tmp_path)
    titles = [line for line in out.splitlines() if line.startswith("Learning-rate plan")]
    assert titles == [f"Learning-rate plan of optimizer {i}, 10 updates" for i in (0, 1)]


# ---- report, events


@pytest.mark.parametrize("name", ["report.html", "report.png", "report.svg", "report.pdf"])
def test_a_report_is_one_file_of_the_kind_that_its_name_says(tmp_path: Path, logdir: Path, name: str) -> None:
    out, err = command("report", logdir, *([] if name == "report.html" else ["--out", name]), at=tmp_path)
    assert (out, err) == ("", f"lightning-lr: {name} written\n")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    content = (tmp_path / name).read_bytes()
    begins = {".html": b"<!doctype html>", ".png": PNG, ".svg": b"<?xml", ".pdf": b"%PDF"}
    assert content.startswith(begins[Path(name).suffix])
    if name == "report.html":
        text = content.decode()
        assert "&lt;i&gt;flat" in text
        assert "<i>" not in text
        assert "<td class=n>8</td><td class=n>1</td><td class=n>reduce</td><td>SGD 0.4 → 0.2</td>" in text
        assert "val_loss = 1, best 1: " in text
        assert "0–1      0–0.5   Warmup(2)" in text, "the plan"


def test_the_decisions_are_a_table_or_lines_of_json(tmp_path: Path, logdir: Path) -> None:
    out, err = command("events", logdir, at=tmp_path)
    assert err == "lightning-lr: better: no decisions\n"
    assert out.splitlines()[0].rstrip() == "<i>flat"
    assert "SGD 0.4 → 0.2" in out
    assert max(map(len, out.splitlines())) == 80
    out, _ = command("events", logdir / "<i>flat", "--json", at=tmp_path)
    told = [json.loads(line) for line in out.splitlines()]
    assert [(entry["run"], entry["step"], entry["kind"]) for entry in told] == [("<i>flat", 8, "reduce")]
    assert told[0]["lr_after"] == {"SGD": pytest.approx(0.2)}


# ---- schedules, help


def test_every_schedule_and_preset_is_listed_and_drawn(tmp_path: Path) -> None:
    out, err = command("schedules", at=tmp_path)
    assert err == ""
    for name in makers():
        assert f" {name}(" in out
    out, _ = command("schedules", "wsd", at=tmp_path)
    assert out.startswith("wsd(warmup='5%', cooldown='20%', shape='one_minus_sqrt', end_factor=0.0)\n\nWarmup, stable")
    assert ">>> wsd(" in out
    assert "`" not in out


def test_the_help_names_every_command_and_every_option(tmp_path: Path) -> None:
    out, _ = command("--help", at=tmp_path)
    assert all(name in out for name in ("preview", "report", "events", "schedules"))
    out, _ = command("preview", "--help", at=tmp_path)
    options = ("WHAT", "--total-steps", "--steps-per-epoch", "--lr", "--png", "--csv")
    assert all(option in out for option in options)
    assert 'Warmup("5%")' in out


def test_recipes_are_listed_with_what_they_are_for_and_not_for(tmp_path: Path) -> None:
    out, _ = command("recipes", at=tmp_path)
    assert out.count("    not for: ") == 15
    out, _ = command("recipes", "fine-tune", at=tmp_path)
    assert out.count("    source: ") == 2
    assert "recipe('fine-tune')  Warmup('10%') >> Linear()" in out


# ---- what is refused

BAD: dict[str, tuple[list[Any], str]] = {
    "no command": ([], 'expected "subcommand" to be one of {preview,report,events,schedules,recipes,sweep,compare}'),
    "unknown command": (["prevew"], "prevew"),
    "unknown recipe": (["recipes", "gann"], "there is no recipe 'gann'; did you mean 'gan'?"),
    "unknown option": (["schedules", "--jsn"], "unrecognized arguments: --jsn"),
    "no length": (["preview", "Cosine()"], "required: --total-steps"),
    "a bad length": (
        ["preview", "Cosine()", "--total-steps", "1e3"],
        "--total-steps must be a whole number >= 1: invalid literal for int() with base 10: '1e3'",
    ),
    "a bad lr": (["preview", "Cosine()", "--total-steps", 9, "--lr", "-1"], "--lr must be a number > 0: -1"),
    "an endless lr": (
        ["preview", "Cosine()", "--total-steps", 9, "--lr", "inf"],
        "--lr must be a number > 0 (finite), got inf",
    ),
    "unknown schedule": (
        ["preview", "Warmup(4) >> Cosin()", "--total-steps", 9],
        "column 14: there is no schedule 'Cosin'; did you mean 'Cosine'?",
    ),
    "epochs": (
        ["preview", "Linear('3 epochs')", "--total-steps", 9],
        "'3 epochs' counts epochs, whose length is unknown: give --steps-per-epoch, or a length in updates",
    ),
    "too long": (["preview", "Linear(10)", "--total-steps", 9], "is 10 updates long, but the run has 9"),
    "no such file": (["preview", "missing.yaml", "--total-steps", 9], "missing.yaml: No such file or directory"),
    "a directory": (["preview", "./", "--total-steps", 9], "directory"),
    "broken YAML": (["preview", "broken.yaml", "--total-steps", 9], "broken.yaml is no YAML: "),
    "no text": (["preview", "binary.yaml", "--total-steps", 9], "binary.yaml is no text in UTF-8"),
    "no callbacks": (
        ["preview", "other.yaml", "--total-steps", 9],
        "other.yaml: neither trainer.callbacks nor a schedule with class_path nor a list of phases is in it; there is",
    ),
    "none of ours": (["preview", "alien.yaml", "--total-steps", 9], "alien.yaml: trainer.callbacks holds none of LR"),
    "a misspelt field": (
        ["preview", "typo.yaml", "--total-steps", 9],
        "typo.yaml: trainer.callbacks[0]: LRWarmup has no parameter 'duraton'; did you mean 'duration'?",
    ),
    "another length": (
        ["preview", "length.yaml", "--total-steps", 9],
        "a callback says total_steps=7, which the run would follow: give that as --total-steps, got 9",
    ),
    "a bad picture": (["preview", "Cosine()", "--total-steps", 9, "--png", "x.gif"], "must end with one of .png, .svg"),
    "unwritable CSV": (["preview", "Cosine()", "--total-steps", 9, "--csv", "no/x.csv"], "no/x.csv: No such file"),
    "no such run": (["report", "missing"], "missing: there is no such directory"),
    "no run": (["events", "empty"], "empty: no run in it or below: neither events.out.tfevents.* nor lr_events.jsonl"),
    "a file": (["report", "typo.yaml"], "typo.yaml is a file, and a run is a directory"),
    "another kind": (["report", "empty", "--out", "x.docx"], "x.docx: the name must end with one of .png, .svg, .pdf"),
    "no kind": (["report", "empty", "--out", "x"], "got 'no suffix'"),
    "no name": (["schedules", "wsdd"], "there is no schedule 'wsdd'; did you mean 'wsd'?"),
}
LOADS_LIGHTNING = ("no callbacks", "none of ours", "a misspelt field", "another length")


@pytest.fixture
def bad_files(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.yaml").write_text("trainer: [\n", encoding="utf-8")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "other.yaml").write_text("model: {x: 1}\n", encoding="utf-8")
    (tmp_path / "alien.yaml").write_text("trainer: {callbacks: [{class_path: Timer}]}\n", encoding="utf-8")
    wish = "trainer: {callbacks: [{class_path: LRWarmup, init_args: {%s}}]}\n"
    (tmp_path / "typo.yaml").write_text(wish % "duraton: 5", encoding="utf-8")
    (tmp_path / "length.yaml").write_text(wish % "duration: 5, total_steps: 7", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", [name for name in BAD if name not in LOADS_LIGHTNING])
def test_bad_input_is_one_line_and_exit_code_2(bad_files: Path, name: str) -> None:
    args, message = BAD[name]
    assert message in refused(*args, at=bad_files)


@pytest.mark.parametrize("name", LOADS_LIGHTNING)
def test_a_bad_configuration_is_one_line_too(
    bad_files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.chdir(bad_files)
    args, message = BAD[name]
    assert cli.main(list(map(str, args))) == 2  # in this process, which has loaded Lightning
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert message in said.err


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path, logdir: Path) -> None:
    (tmp_path / "taken.png").mkdir()
    assert "taken.png: Is a directory" in refused("report", logdir, "--out", "taken.png", at=tmp_path)
    assert "no/x.html: No such file" in refused("report", logdir, "--out", "no/x.html", at=tmp_path)


@pytest.mark.parametrize(
    ("missing", "args", "extra"),
    [
        ("rich", ["schedules"], "cli"),
        ("jsonargparse", ["schedules"], "cli"),
        ("matplotlib", ["report", "."], "plot"),
    ],
)
def test_what_is_not_installed_is_named_with_the_extra_that_has_it(
    tmp_path: Path, missing: str, args: list[str], extra: str
) -> None:
    hidden = "class Hidden:\n    def find_spec(self, name, path=None, target=None):\n"
    hidden += f"        if name == {missing!r}: raise ModuleNotFoundError(name, name=name)\n"
    (tmp_path / "sitecustomize.py").write_text(f"import sys\n{hidden}sys.meta_path.insert(0, Hidden())\n")
    said = refused(*args, at=tmp_path, PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    assert said == f"lightning-lr: error: {missing} is not installed: python -m pip install 'lightning_lr[{extra}]'\n"


def test_a_reader_that_stops_early_is_no_error(tmp_path: Path, logdir: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "lightning_lr", "events", str(logdir / "<i>flat"), "--json"],
        stdout=write,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
    )
    os.close(write)
    assert (done.stderr, done.returncode) == (b"", 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trainer: [1]", "trainer must be a mapping of its settings, got [1]"),
        ("&a [*a]", "holds a list that holds itself"),
    ],
)
def test_odd_yaml_is_refused_in_a_line(
    tmp_path: Path, text: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from lightning_lr.cli import main

    file = tmp_path / "odd.yaml"
    file.write_text(text)
    assert main(["preview", str(file), "--total-steps", "10"]) == 2
    assert words in capsys.readouterr().err


def test_what_is_no_wish_about_the_lr_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lightning_lr.cli import main

    file = tmp_path / "finder.yaml"
    warmup = "{class_path: lightning_lr.LRWarmup, init_args: {duration: 5}}"
    file.write_text(
        f"trainer: {{callbacks: [{{class_path: lightning_lr.LRFinder}}, {{class_path: own.MyLRDecay}}, {warmup}]}}"
    )
    assert main(["preview", str(file), "--total-steps", "10"]) == 0
    told = capsys.readouterr()
    assert "Warmup(5)" in told.out
    assert "not shown: lightning_lr.LRFinder" in told.err
    assert "not shown: own.MyLRDecay" in told.err
    assert main(["preview", " ", "--total-steps", "10"]) == 2
    assert "WHAT is empty" in capsys.readouterr().err
