"""The fuzzer agrees with the package on a seeded sample, draws everything there is, and can fail."""

from __future__ import annotations

import logging
import math
import warnings
from collections import Counter
from fractions import Fraction
from typing import Any

import fuzz
import numpy as np
import pytest
import torch
from fuzz_config import Loop, P, Part, code

import lightning_lr.core.actions
import lightning_lr.core.control
import lightning_lr.core.schedules.base
import lightning_lr.track
from lightning_lr import (
    Constant,
    Cooldown,
    Custom,
    Horizon,
    Linear,
    Program,
    Reduce,
    ScheduledLR,
    Temperature,
)
from lightning_lr.core import history
from lightning_lr.core.control import UNTOUCHED, Event
from lightning_lr.core.schedules import decays

SEED = 4


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


# ---- the sample


def test_every_route_to_every_lr_agrees() -> None:
    said: list[str] = []
    summary = fuzz.fuzz(fuzz.numbers_of(SEED, 300, 6), said.append)
    assert summary.findings == [], "\n\n".join(said)
    assert (summary.configs, summary.fits) == (300, 6)
    assert summary.lrs > 50_000
    assert 0 < summary.refusals.total() < 0.15 * 306
    assert {"reduce", "restart", "freeze", "adapt", "cooldown", "stop", "stretch", "schedule"} == set(summary.events)


def test_the_full_form_draws_everything_there_is() -> None:
    drawn: Counter[str] = Counter()
    for number in fuzz.numbers_of(0, 1500, 60):  # the first part of what the command draws
        drawn.update(fuzz.drawn_kinds(fuzz.drawn(number)))
    missing = [name for names in fuzz.WANTED.values() for name in names if not drawn[name]]
    assert missing == []


def test_a_configuration_is_its_number_and_its_repr_can_be_pasted() -> None:
    for number in fuzz.numbers_of(SEED, 40, 10):
        config = fuzz.drawn(number)
        assert repr(fuzz.drawn(number)) == repr(config)
        assert repr(eval(repr(config), vars(fuzz))) == repr(config)


def test_only_runs_one_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz.main(["--only", f"{SEED}000007"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"Loop(seed={SEED}000007, ")
    assert "1 configurations, 0 fits" in said


# ---- it can fail


def _formula_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A straight line that is a millionth of a millionth too steep: the scalar and the vectorised one."""
    right = decays.Linear._formula
    wrong = lambda m, n, d, *args: right(m, n, d, *args) * (1 + 1e6 * math.ulp(1.0))
    monkeypatch.setattr(decays.Linear, "_formula", staticmethod(wrong))


def _boundary_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Halves are rounded down."""
    monkeypatch.setattr(
        lightning_lr.core.schedules.base, "boundary", lambda position: math.ceil(position - Fraction(1, 2))
    )


def _curve_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vectorised curve of a sine is 16 ulp off, as a bad library's might be."""
    right = Program.curve
    wrong = lambda self, stop, start=0: right(self, stop, start) * np.float64(1 + 16 * math.ulp(1.0))
    monkeypatch.setattr(Program, "curve", wrong)


def _ramp_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A re-warmup begins at 0 and wastes an update; scheduler and replay do the same."""
    right = lightning_lr.core.control._law

    def wrong(m: Any, look_up: Any, control: Any, t: Any) -> Any:
        value = right(m, look_up, control, t)
        j = m.maximum(t, control.hold_until) - control.origin
        return m.where(j < control.rewarm, value * j / (j + 1), value)

    monkeypatch.setattr(lightning_lr.core.control, "_law", wrong)


def _replay_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events act one update late, in the replay alone."""
    right = history.replay_at

    def wrong(program: Any, events: Any, steps: Any, start: Any = UNTOUCHED) -> list[float]:
        return right(program, [event._replace(step=event.step + 1) for event in events], steps, start)

    monkeypatch.setattr(history, "replay_at", wrong)


def _hold_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A freeze is an update short."""
    right = lightning_lr.core.actions.Freeze.act

    def wrong(self: Any, now: Any, *args: Any) -> Any:
        outcome = right(self, now, *args)
        if outcome is None:
            return None
        c = outcome.control
        return outcome._replace(control=c._replace(hold_until=c.hold_until - 1, origin=c.origin - 1))

    monkeypatch.setattr(lightning_lr.core.actions.Freeze, "act", wrong)


def _event_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events tell another factor than the one that was used."""
    right = lightning_lr.track.LiveTrack.event

    def wrong(self: Any, *args: Any) -> Event:
        event = right(self, *args)
        return event._replace(after=event.after * (1 + 1e-9))

    monkeypatch.setattr(lightning_lr.track.LiveTrack, "event", wrong)


@pytest.mark.parametrize(
    ("spoil", "routes"),
    [
        (_formula_off, {"reference"}),
        (_boundary_off, {"reference"}),
        (_curve_off, {"curve"}),
        (_ramp_off, {"law", "curve", "reference", "event"}),
        (_replay_off, {"replay"}),
        (_hold_off, {"law", "curve", "reference"}),
        (_event_off, {"event"}),
    ],
)
def test_what_is_wrong_is_found_and_the_routes_named(
    spoil: Any, routes: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch)
    missing = set(routes)
    for number in fuzz.numbers_of(SEED, 120, 0):
        error = fuzz.failure(fuzz.drawn(number))
        if error is not None:
            assert isinstance(error, fuzz.Mismatch), error
            named = {line.split()[0] for line in str(error).splitlines()}
            assert named & routes
            missing -= named
        if not missing:
            return
    pytest.fail(f"not found in 120 configurations: {missing}")


def test_what_is_found_is_told_with_all_that_is_needed_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "drawn", lambda number: LINE)
    _formula_off(monkeypatch)
    said: list[str] = []
    summary = fuzz.fuzz([7], said.append)
    assert summary.findings == [7]
    assert "--- 7: Mismatch" in said[0]
    assert "expected" in said[0]
    small = eval(said[0].split("smaller, which fails in the same way: ")[1].splitlines()[0], vars(fuzz))
    assert small.ops == ()
    assert code(small.parts[0].schedule) == "Linear()"
    assert isinstance(fuzz.failure(small), fuzz.Mismatch)


LINE = Loop(
    seed=7,
    total=20,
    per_epoch=None,
    parts=(Part(P(">>", of=[P("Warmup", duration=4), P("Linear")])),),
    optimizer="SGD",
    lrs=(0.1, 0.2),
    updates=20,
    ops=((3, "step", 1), (9, "apply", {"action": P("Reduce", factor=0.5)})),
)


def test_another_exception_than_a_refusal_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def act(self: Any, *args: Any) -> None:
        raise ValueError("math domain error")

    monkeypatch.setattr(lightning_lr.core.actions.Reduce, "act", lambda self, *args: int("x"))
    error = fuzz.failure(LINE)
    assert isinstance(error, ValueError)
    assert "invalid literal" in str(error)
    monkeypatch.setattr(lightning_lr.core.actions.Reduce, "act", act)
    assert "math domain error" in str(fuzz.failure(LINE))


# ---- what it found


def _run(schedule: Any, updates: int, total: int, saved: Any = None) -> tuple[list[float], ScheduledLR]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = ScheduledLR(optimizer, schedule, total_steps=total, steps_per_epoch=2)
    if saved is not None:
        optimizer.load_state_dict(saved.optimizer.state_dict())
        scheduler.load_state_dict(saved.state_dict())
    lrs = []
    for _ in range(updates):
        lrs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
    return lrs, scheduler


def test_a_new_schedule_after_a_cooldown_keeps_reductions_only() -> None:
    _, scheduler = _run(Linear(), 4, 8)
    scheduler.apply(Cooldown(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the schedule has changed
        lrs, _ = _run(Constant(), 2, 8, saved=scheduler)
    assert lrs == [1.0, 1.0]  # nothing was ever reduced; 0.5 is where Linear() was when the cooldown began


@pytest.mark.parametrize(
    "schedule",
    [
        Temperature(cooling="logarithmic"),
        Custom("math:erfc", of="step"),
        Custom("math:erfc", of="epoch"),
    ],
)
def test_a_schedule_without_a_length_goes_on_in_a_longer_run(schedule: Any) -> None:
    _, scheduler = _run(schedule, 4, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it ends where it was to end
        lrs, _ = _run(schedule, 4, 8, saved=scheduler)
    assert lrs == _run(schedule, 8, 8)[0][4:]


def test_relaxation_keeps_its_digits_in_a_long_run() -> None:
    program = Temperature(1.0, 0.0, "relaxation").resolve(Horizon(10**9))
    assert program(10**9 - 1) == pytest.approx(math.exp((10**9 - 1) * math.log1p(-1e-9)), rel=1e-12)


def test_a_run_that_is_cut_below_what_it_has_made_keeps_its_past() -> None:
    lrs, scheduler = _run(lightning_lr.Exponential(0.5), 6, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        _, resumed = _run(lightning_lr.Exponential(0.5), 0, 4, saved=scheduler)
    assert resumed.replayed_at(range(6)) == lrs


def test_what_keeps_the_clock_stays_where_a_folded_cooldown_has_left_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_EVENTS", 1)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.5)
    scheduler = ScheduledLR(optimizer, Constant().beside(momentum=Linear()), total_steps=8)
    used = []
    for t in range(8):
        if t in (2, 4):
            scheduler.apply(Cooldown(6) if t == 2 else Reduce(0.5))
        used.append(optimizer.param_groups[0]["momentum"] / 0.5)
        optimizer.step()
    assert used == [1.0, 0.875] + [0.75] * 6
    assert scheduler.replayed_at(range(2, 8), track=1) == used[2:]
