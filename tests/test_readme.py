"""The README is true: its code runs, its outputs are real, and each row of its tables computes what it says."""

from __future__ import annotations

import doctest
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lightning_lr
from lightning_lr import Constant, Cosine, Linear, Schedule, ScheduledLR, Warmup

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCHEDULES = lightning_lr._HOMES["core.schedules"].split()
PRESETS = lightning_lr._HOMES["core.presets"].split()

TECHNIQUES = """
exponential decay
exponential decay, staircase
polynomial decay
inverse-time decay, 1/t
inverse-time decay, staircase
step decay
multi-step decay
multi-phase decay, a level per phase
cosine decay
oscillating cosine, from below
oscillating cosine, from the peak
cyclic, triangular
cyclic, triangular2
cyclic, exp_range
cyclic, a scaling of your own
warmup
warmup + decay
warm restarts (SGDR)
freezing the rate (constant)
temperature annealing, linear
temperature annealing, exponential
temperature annealing, logarithmic
temperature annealing, relaxation
any function of the step (LambdaLR)
any function of the epoch (LambdaLR)
fine-tuning: frozen body + StepLR
""".strip().splitlines()
"""What an article on learning-rate decay teaches."""
SNIPPETS = 34
BY_A_METRIC = {"reduction on a plateau": 0.5, "restart on stagnation": 0.5 / 0.6, "freezing on a metric": 1.0}
"""What each does to the lr at update 400 of Linear() over 1000, with a metric that never improves."""


# ---- reading it


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    """What stands under a heading of the second level."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, flags=re.MULTILINE | re.DOTALL)
    assert found, f"the README has no section {title!r}"
    return found[1]


def table(header: str) -> list[str]:
    """The lines below a table's header and its rule."""
    lines = README.splitlines()
    assert lines.count(header) == 1, f"{lines.count(header)} tables have the header {header!r}"
    begin = lines.index(header) + 2
    end = next(i for i in range(begin, len(lines) + 1) if i == len(lines) or not lines[i].startswith("|"))
    return lines[begin:end]


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def snippet(row: str) -> tuple[str, str, str]:
    """Technique, the usual snippet and the line for it here, the last two without their backticks."""
    found = re.fullmatch(r"\| ([^|`]+) \| `([^|`]+)` \| `([^|`]+)` \|", row)
    if not found:
        raise ValueError(f"not a row of | technique | `expression` | `expression` |: {row}")
    technique, usual, here = found.groups()
    for expression in (usual, here):
        compile(expression, row, "eval")
    return technique, usual, here


ROWS = table("| technique | the usual snippet | here |")


# ---- the commands and the blocks


def test_the_first_two_bash_blocks_are_the_two_commands() -> None:
    assert blocks("bash")[:2] == [
        'python -m pip install -e ".[examples]"\npython examples/digits.py\n',
        'python -m pip install -e ".[test]"\npython -m pytest\n',
    ]


def test_every_fence_has_a_language_that_is_tested_or_known() -> None:
    opened = re.findall(r"^```(.*)$", README, flags=re.MULTILINE)
    assert set(opened[1::2]) == {""}
    assert set(opened[::2]) == {"bash", "python", "pycon", "text", "yaml"}


def test_the_quick_start_is_short() -> None:
    assert len(blocks("python")[0].splitlines()) <= 15


@pytest.fixture
def at_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`examples` can be imported, as from the repository's root; what is written goes elsewhere."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.chdir(tmp_path)
    return tmp_path


BLOCKS = {"quick start": 0, "groups": 1, "mixin": 2, "plain torch": 3, "finder": 4, "sweep": 5, "pictures": 6}


def run(name: str) -> dict[str, Any]:
    """Execute a python block in a fresh namespace; what it defined."""
    namespace: dict[str, Any] = {"__name__": "readme"}
    exec(compile(blocks("python")[BLOCKS[name]], f"README.md, {name}", "exec"), namespace)
    return namespace


def logged(trainer: Any) -> list[tuple[int, float]]:
    """Step and value of the lr points of a run with the trainer's default logger."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(trainer.log_dir, size_guidance={"scalars": 0}).Reload()
    return [(point.step, point.value) for point in events.Scalars("lr/AdamW")]


def test_the_groups_block_prints_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    from lightning_lr import Cosine, ScheduledLR, Track

    names = run("groups")
    assert capsys.readouterr().out in blocks("text")
    assert [(c.groups, c.key) for c in names["callbacks"]] == [
        (None, "lr"), (None, "lr"), ("head.*", "lr"), ("blocks.*", "lr"), (None, "weight_decay"),
    ]  # fmt: skip
    assert sorted(names["cycle"].others) == ["momentum"]
    from lightning_lr.callbacks.compose import tracks_of

    both = ScheduledLR.deferred(torch.optim.AdamW(names["groups"]), tracks=tracks_of(names["callbacks"], ()))
    both.refuse_unknown_groups()
    assert {track.id: track.members for track in both.live if track.key == "lr"} == {
        "lr": (), "lr[blocks.*]": (0, 1), "lr[head.*]": (2, 3),
    }  # fmt: skip
    tracks = re.search(r"`tracks=(\[[^`]+\])`", README)
    assert tracks
    optimizer = torch.optim.AdamW(names["groups"])
    scheduler = ScheduledLR.deferred(optimizer, Cosine(), tracks=eval(tracks[1], {"Track": Track, "Linear": Linear}))
    assert [track.id for track in scheduler.live] == ["lr", "lr[head]", "weight_decay", "weight_decay@lr[head]"]


@pytest.mark.filterwarnings("ignore:LRFinder. the suggestions differ")
def test_the_finder_block_sets_the_peak_and_draws(at_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = run("finder")
    found = names["finder"].results.suggestions
    assert repr(found) in capsys.readouterr().out
    group = names["trainer"].optimizers[0].param_groups[0]
    assert group["initial_lr"] == found.median
    assert (at_root / "finder.png").stat().st_size > 1000
    said = re.search(r"`scale_lr\(0\.1, batch_size=1024\)`.*?\(`([\d.]+)`\)", README, flags=re.DOTALL)
    assert said
    assert lightning_lr.scale_lr(0.1, batch_size=1024) == float(said[1])


def test_the_sweep_block_trains_at_every_point(at_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = run("sweep")
    assert [row.n for row in names["found"].rows] == [1, 1]
    assert str(names["found"].best.params) in capsys.readouterr().out
    assert (at_root / "sweep.png").stat().st_size > 1000


def test_the_pictures_block_draws_and_names_the_cycles(at_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("pictures")
    for name in ("compared", "cycles", "against", "events"):
        assert (at_root / f"{name}.png").stat().st_size > 1000
    assert capsys.readouterr().out == "[(1, 99), (2, 199), (3, 299)]\n"


def test_the_yaml_block_is_a_configuration() -> None:
    import yaml

    from lightning_lr import Chain, LRMultiPhaseDecay, LRWarmup
    from lightning_lr.core.coerce import build

    (text,) = blocks("yaml")
    listed = yaml.safe_load(text)["trainer"]["callbacks"]
    known = {"LRWarmup": LRWarmup, "LRMultiPhaseDecay": LRMultiPhaseDecay}
    warmup, decay = (build(entry, known, "callback", "callbacks") for entry in listed)
    assert repr(warmup) == "LRWarmup(Warmup('5%'))"
    assert decay.schedule == Chain([Constant("25%"), Cosine(end_factor=0.1)])


def test_every_python_block_is_run_below() -> None:
    assert len(blocks("python")) == len(BLOCKS)


def test_the_quick_start_prints_the_plan_shown_and_trains_with_the_preview(
    at_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        names = run("quick start")
    [printed] = [message for message in caplog.messages if message.startswith("Learning-rate plan")]
    [shown] = [block for block in blocks("text") if block.startswith("Learning-rate plan")]
    assert printed == shown.rstrip("\n")
    points = logged(names["trainer"])
    assert {0, 16, 17, 339} <= {step for step, _ in points}, "the first update, the corners, the last"
    for step, lr in points:
        assert lr == pytest.approx(names["preview"][step], rel=1e-6)


def test_the_mixin_block_trains_with_its_schedule(at_root: Path) -> None:
    points = logged(run("mixin")["trainer"])
    planned = 1e-3 * (Warmup("5%") >> Cosine()).curve(40)
    assert {0, 1, 39} <= {step for step, _ in points}
    for step, lr in points:
        assert lr == pytest.approx(planned[step], rel=1e-6)


def test_the_plain_torch_block_ends_at_zero_and_saves_a_state_that_loads(at_root: Path) -> None:
    scheduler = run("plain torch")["scheduler"]
    assert (scheduler.updates, scheduler.get_last_lr()) == (200, [0.0])
    state = torch.load(at_root / "run.pt", weights_only=True)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))], lr=1e-3)
    again = ScheduledLR(optimizer, scheduler.schedule, total_steps=200)
    optimizer.load_state_dict(state["optimizer"])
    again.load_state_dict(state["scheduler"])
    assert (again.updates, again.get_last_lr()) == (200, [0.0])


@pytest.mark.parametrize("number", range(3))
def test_the_interactive_blocks_print_what_is_shown(number: int) -> None:
    assert len(blocks("pycon")) == 3
    test = doctest.DocTestParser().get_doctest(blocks("pycon")[number], {}, f"pycon {number}", "README.md", 0)
    report: list[str] = []
    failed, tried = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=report.append)
    assert not failed, "".join(report)
    assert tried >= 3


# ---- the tables of schedules


def test_every_public_schedule_has_a_row() -> None:
    rows = [cells(row) for row in table("| name | factor | worth knowing | source |")]
    assert [len(row) for row in rows] == [4] * len(rows)
    assert sorted(row[0] for row in rows) == sorted(f"`{name}`" for name in SCHEDULES)


def test_every_preset_has_a_row() -> None:
    rows = [cells(row) for row in table("| name | is | source |")]
    assert [len(row) for row in rows] == [3] * len(rows)
    assert sorted(row[0] for row in rows) == sorted(f"`{name}()`" for name in PRESETS)


@pytest.mark.parametrize("row", table("| name | is | source |"))
def test_a_preset_spelled_out_is_that_schedule(row: str) -> None:
    name, is_, _ = cells(row)
    names = {name: getattr(lightning_lr, name) for name in lightning_lr.__all__}
    preset = eval(name.strip("`"), names)
    assert isinstance(preset, Schedule)
    if is_.startswith("`"):
        assert preset == eval(is_.strip("`"), names)


def test_every_parameter_worth_knowing_exists() -> None:
    for row in table("| name | factor | worth knowing | source |"):
        name, _, knowing, _ = cells(row)
        cls = getattr(lightning_lr, name.strip("`"))
        for parameter in re.findall(r"`([a-z_]+)(?:=[^`]*)?`", knowing):
            assert parameter in cls._parameters, f"{name} has no {parameter}"


# ---- the snippets of articles, and the line for each


def names_at(k: int) -> dict[str, Any]:
    """The names that the README gives the snippets, evaluated for update k, in the order in which it gives them."""
    text = section("From the usual snippets").partition("\n|")[0]
    names: dict[str, Any] = {**vars(math), **{name: getattr(lightning_lr, name) for name in lightning_lr.__all__}}
    names["k"] = k
    for name, expression in re.findall(r"`(\w+) = ([^`]+)`", " ".join(text.split())):
        names[name] = eval(expression, names)
    return names


def test_the_names_in_the_snippets_are_those_documented() -> None:
    names = names_at(250)
    wanted = {
        "total": 1000,
        "epoch": 2,
        "lr0": 0.1,
        "lr_end": 0.001,
        "cycle": 2,
        "x": 0.5,
        "T": 2,
        "T0": 1.0,
        "Tf": 0.2,
    }
    assert {name: names[name] for name in wanted} == wanted


@pytest.fixture(scope="module")
def updates() -> list[dict[str, Any]]:
    return [names_at(k) for k in range(names_at(0)["total"])]


def mismatch(row: str, updates: list[dict[str, Any]]) -> float:
    """The largest difference between a row's two columns over the whole run, as a share of lr0."""
    _, usual, here = snippet(row)
    schedule = eval(here, dict(updates[0]))
    assert isinstance(schedule, Schedule), f"{here} is no schedule"
    lr0 = updates[0]["lr0"]
    code = compile(usual, row, "eval")
    expected = np.array([eval(code, names) for names in updates], dtype=float)
    curve = lr0 * schedule.curve(len(updates), steps_per_epoch=100)
    return float(np.abs(curve - expected).max() / lr0)


@pytest.mark.parametrize("row", ROWS)
def test_a_snippet_and_the_line_for_it_agree_at_every_update(row: str, updates: list[dict[str, Any]]) -> None:
    assert mismatch(row, updates) < 1e-12


def test_the_table_is_complete() -> None:
    found = [snippet(row)[0] for row in ROWS]
    assert len(ROWS) == len(set(found)) == SNIPPETS
    assert [technique for technique in TECHNIQUES if technique not in found] == []


@pytest.mark.parametrize(
    "row",
    [
        "| step decay | lr0 * 0.5 ** (epoch // 3) | `StepDecay(300)` |",
        "| step decay | `lr0 * 0.5 **` | `StepDecay(300)` |",
        "| step decay | `lr0` | `StepDecay(300` |",
        "| step decay | `lr0` | `StepDecay(300)`, or so |",
        "| step decay | `lr0` |",
    ],
)
def test_the_test_itself_refuses_a_row_it_cannot_read(row: str) -> None:
    with pytest.raises((ValueError, SyntaxError)):
        snippet(row)


def test_the_test_itself_sees_a_wrong_row(updates: list[dict[str, Any]]) -> None:
    assert mismatch("| warmup | `lr0 * min(1, k / 50)` | `Warmup(50)` |", updates) == pytest.approx(1 / 50)
    with pytest.raises(AssertionError, match="no schedule"):
        mismatch("| warmup | `lr0` | `0.1` |", updates)


def test_what_needs_a_metric_acts_after_three_bad_evaluations() -> None:
    rows = [cells(row) for row in table("| technique | the usual code | here |")]
    assert [technique for technique, *_ in rows] == list(BY_A_METRIC)
    for technique, _, here in rows:
        names = {name: getattr(lightning_lr, name) for name in lightning_lr.__all__}
        wish = eval(here.strip("`"), names)
        weight = torch.nn.Parameter(torch.ones(1))
        optimizer = torch.optim.SGD([weight], lr=0.1)
        scheduler = lightning_lr.ScheduledLR(
            optimizer, lightning_lr.Linear(), rules=wish.rules, total_steps=1000, steps_per_epoch=100
        )
        for update in range(1, 401):
            optimizer.step()
            if update % 100 == 0:
                scheduler.evaluate({"val_loss": 1.0})
        [event] = scheduler.events
        assert event.step == 400
        assert event.after / event.before == pytest.approx(BY_A_METRIC[technique])
        planned = [scheduler.factor_at(t) for t in (400, 500, 700)]
        assert planned[0] == pytest.approx(0.6 * BY_A_METRIC[technique])
        assert planned[1] == planned[0] if technique.startswith("freezing") else planned[1] < planned[0]


def test_the_copied_temperature_recipe_raises_the_rate_and_ours_lowers_it() -> None:
    temperatures = np.linspace(1.0, 0.2, 100)
    assert (np.diff(np.exp(-temperatures)) > 0).all()
    assert (np.diff(lightning_lr.Temperature(1.0, 0.2).curve(100)) < 0).all()


# ---- what it says elsewhere


def test_it_names_no_public_thing_that_is_not_there() -> None:
    for name in re.findall(r"`(LR\w+|\w+LR)\b", README):
        assert hasattr(lightning_lr, name), name


def test_the_files_it_names_exist() -> None:
    for path in re.findall(r"\bexamples/\w+\.py", README):
        assert (ROOT / path).is_file(), path


# ---- the recipes


def test_every_recipe_has_a_row_and_is_the_schedule_in_it() -> None:
    from lightning_lr.core.recipes import listing

    names = {name: getattr(lightning_lr, name) for name in lightning_lr.__all__}
    rows = [cells(row) for row in table("| recipe | its schedule | not for | source |")]
    for call, is_, _, source in rows:
        one = eval(call.strip("`"), names)
        assert repr(one) == call.strip("`").replace('"', "'")
        written = re.match(r"`([^`]+)`", is_)
        assert written
        assert one.schedule == eval(written[1], names), call
        assert set(re.findall(r"\d{4}\.\d{5}", source)) <= set(re.findall(r"\d{4}\.\d{5}", one.source)) | {"1706.08500"}
    shown = {call.strip("`").replace('"', "'") for call, *_ in rows}
    assert {row.call for row in listing()} - shown == {
        "recipe('gan', network='discriminator')",
        "recipe('gan', network='generator')",
    }, "the two differ from the first one in the optimizer's settings only"
