"""Training that dies goes on bit for bit: a seeded dozen of tests/crash_matrix.py's deaths, and all of them (slow)."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from crash_config import Config, bodies
from crash_worker import WAYS
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from runs import Net, trainer

import lightning_lr
from lightning_lr import LRPlateauReduction
from lightning_lr.core.schedules.base import Schedule
from lightning_lr.reporting.events import Journal
from lightning_lr.reporting.reading import _journal

SEED_OF_MANY = 1
"""A small run with many decisions, which dies among them."""
SCRIPT = Path(__file__).with_name("crash_matrix.py")
TOTALS = (
    r"schedules (?P<schedules>\d+); deaths (?P<deaths>\d+); one rank alone (?P<alone>\d+);.*; "
    r"broken checkpoints (?P<broken>\d+);.*; mismatches (?P<mismatches>\d+);"
)


def command(*args: object, timeout: float) -> tuple[int, str]:
    """The exit status of a Python command, and all that it says; what it has started ends with it."""
    process = subprocess.Popen(
        [sys.executable, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            said, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, said


def nothing_shows(*args: object, timeout: float) -> tuple[dict[str, int], str]:
    """The totals of a matrix that finds no mismatch, and what it says."""
    status, said = command(SCRIPT, *args, timeout=timeout)
    totals = re.search(TOTALS, said)
    assert totals is not None, said
    assert (status, totals["mismatches"]) == (0, "0"), said
    return {name: int(number) for name, number in totals.groupdict().items()}, said


def deaths(said: str) -> dict[str, int]:
    """By way to die and place, how often."""
    rows = re.findall(r"^\| (\S[^|]*) \| (\S[^|]*) \| (\d+) \|", said, re.MULTILINE)
    return {f"{way}: {place}": int(number) for way, place, number in rows if way in WAYS}


PLACES = {f"{way}: {place}" for way, places in WAYS.items() for place in places}


def test_a_dozen_deaths_leave_no_trace(tmp_path: Path) -> None:
    totals, said = nothing_shows(
        "--kills", 12, "--seed", 8, "--per-run", 6, "--markdown", tmp_path / "t.md", timeout=300
    )
    assert totals["deaths"] == 12
    counts = deaths(said)
    assert set(counts) == PLACES
    assert sum(number > 0 for number in counts.values()) == 12
    assert totals["broken"] >= 1
    assert deaths((tmp_path / "t.md").read_text()) == counts


@pytest.mark.slow
def test_two_hundred_deaths_leave_no_trace() -> None:
    totals, said = nothing_shows("--kills", 200, "--seed", 0, timeout=3000)
    assert totals["deaths"] == 200
    assert totals["schedules"] == len(schedules())
    assert min(deaths(said).values()) >= 3
    assert totals["broken"] >= 50


@pytest.mark.slow
def test_deaths_on_two_ranks_leave_no_trace() -> None:
    totals, said = nothing_shows("--kills", 30, "--seed", 1, "--ranks", 2, timeout=3000)
    assert totals["deaths"] == 30
    assert totals["alone"] >= 1
    assert sum(number > 0 for number in deaths(said).values()) >= 12


BROKEN_ON_PURPOSE = """
import sys
from dataclasses import replace
from unittest import mock
sys.path.insert(0, {tests!r})
import crash_matrix
from lightning_lr import ScheduledLR
from lightning_lr.core.rules import RuleState
from lightning_lr.reporting.events import Journal

def restless(seed, drawn=crash_matrix.Config.drawn):  # decides often, and saves often
    small = replace(drawn(seed), batches=6, epochs=6, accumulate=1, form="callbacks", nans=False)
    often = {{"val_check_interval": 2, "limit_val_batches": 1}}
    return replace(small, validation=often, savers={{"steps": -1}}, on_exception="")

def one_less(self, honest=ScheduledLR.state_dict):
    state = honest(self)
    return {{**state, "updates": state["updates"] - 1, "sums": {{}}}} if "updates" in state else state

def forgets(rule, saved):
    return RuleState(rule.when.init())

def keeps(self, path, past):
    self.path = path

crash_matrix.Config.drawn = restless
for way in crash_matrix.WAYS.values():
    for place in [place for place in way if place != "before an update"]:
        del way[place]
sabotages = ((ScheduledLR, "state_dict", one_less), (RuleState, "of", forgets), (Journal, "__init__", keeps))
for broken, name, by in sabotages:
    with mock.patch.object(broken, name, by):
        print("exit status", crash_matrix.main(["--kills", "3", "--seed", "{seed}"]), "of", name, flush=True)
"""


def test_the_harness_sees_what_is_broken_on_purpose() -> None:
    """A state that loses an update, rules that forget what they have seen, decisions that outlive their checkpoint."""
    _, said = command("-c", BROKEN_ON_PURPOSE.format(tests=str(SCRIPT.parent), seed=SEED_OF_MANY), timeout=300)
    assert said.count("exit status 1") == 3, said
    updates, rules, journal = re.split(r"exit status 1 of \S+\n", said)[:3]
    assert re.search(r"rank 0, attempt \d+, update \d+: \[.*\], not \[.*\]", updates), updates
    assert re.search(r"mismatches [1-9]", rules), rules
    assert re.search(r"other decisions in .*lr_events.jsonl than in", journal), journal


# ---- what the matrix is made of


def schedules() -> set[str]:
    """Every public schedule and preset."""
    public = {name: getattr(lightning_lr, name) for name in lightning_lr.__all__}
    phases = {n for n, value in public.items() if isinstance(value, type) and issubclass(value, Schedule)} - {
        "Schedule"
    }
    return phases | {n for n, value in public.items() if getattr(value, "__module__", "").endswith("core.presets")}


def test_every_public_schedule_is_in_the_matrix() -> None:
    assert set(bodies(random.Random(0), lambda share: 1)) == schedules()
    assert {Config.drawn(seed).body for seed in range(len(schedules()))} == schedules()


def test_a_configuration_is_the_same_at_every_drawing() -> None:
    for seed in range(50):
        one, other = Config.drawn(seed), Config.drawn(seed)
        assert (one, repr(one.wishes())) == (other, repr(other.wishes()))


def test_torch_does_not_see_flipped_bytes_and_checksums_do(tmp_path: Path) -> None:
    path = tmp_path / "one.ckpt"
    torch.save({"weight": torch.ones(1000)}, path)
    data = bytearray(path.read_bytes())
    data[data.index(torch.ones(1000).numpy().tobytes()) + 2] ^= 255
    path.write_bytes(data)
    assert int((torch.load(path)["weight"] != 1).sum()) == 1
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is not None


# ---- what it has found


class Validations(Callback):
    def __init__(self) -> None:
        self.at: list[int] = []

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self.at.append(trainer.global_step)


def saved_everywhere(root: Path, ckpt: Path | None = None) -> list[int]:
    """After how many updates an epoch-spanning validation came; everything is saved, before and after each."""
    seen = Validations()
    savers = [
        ModelCheckpoint(root / "steps", "{step}", save_top_k=-1, every_n_train_steps=1),
        ModelCheckpoint(
            root / "validation", "{step}", save_top_k=-1, monitor="val_loss", save_on_train_epoch_end=False
        ),
    ]
    runner = trainer(
        root,
        [seen, LRPlateauReduction("val_loss", patience=1, factor=0.5), *savers],
        max_epochs=6,
        enable_checkpointing=True,
        limit_val_batches=1,
        check_val_every_n_epoch=None,
        val_check_interval=4,
    )
    runner.fit(Net(batches=2, metric=float), ckpt_path=ckpt)
    return seen.at


def test_a_checkpoint_of_a_validation_that_was_made_up_goes_on_as_any_other(tmp_path: Path) -> None:
    whole, made_up, after = tmp_path / "whole", tmp_path / "made_up", tmp_path / "after"
    assert saved_everywhere(whole) == [4, 8, 12]
    assert saved_everywhere(made_up, whole / "steps" / "step=4.ckpt") == [4, 8, 12]
    assert saved_everywhere(after, made_up / "validation" / "step=4.ckpt") == [8, 12]


def test_a_decision_after_an_unfinished_line_is_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "lr_events.jsonl"
    whole = {"step": 3, "kind": "reduce"}
    Journal(path, None).append(whole)
    with path.open("a") as file:
        file.write('{"step": 5, "ki')  # killed here; a run that starts anew goes on in the same folder
    Journal(path, None).append({"step": 4, "kind": "reduce"})
    assert _journal(path) == [whole, {"step": 4, "kind": "reduce"}]
