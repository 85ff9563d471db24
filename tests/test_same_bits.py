"""What the lr must not depend on: the processor, numpy's settings, the process; and whose code stands around it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from runs import Net, trainer

from lightning_lr import (
    CosineRestarts,
    Exponential,
    Horizon,
    Linear,
    LRMultiPhaseDecay,
    Reduce,
    Rule,
    Schedule,
    ScheduledLR,
    StepDecay,
)
from lightning_lr.core.detectors import Detector

ROOT = Path(__file__).parents[1]


def sgd(groups: int = 1) -> torch.optim.SGD:
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.ones(1))]} for _ in range(groups)], lr=1.0)


def said(code: str, **environment: str) -> str:
    """What another process prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    return done.stdout


CURVES = """
import hashlib
from lightning_lr import *
for schedule in (
    Exponential(0.97, decay_steps=3), StepDecay(3, gamma=0.93), MultiStep([7, 9, 40], gamma=0.3), Polynomial(power=1.7),
    CosineRestarts(17, peak_gamma=0.93), Cyclic(9, mode="exp_range", gamma=0.99), Cyclic(9, mode="triangular2"),
    Warmup(100, start_factor=0.01, shape="exponential"), Warmup(100, shape="cosine"), Cosine(), OneMinusSqrt(), Rex(),
    Warmup(5) >> InverseSqrt(5), InverseTime(0.3), *[Temperature(1.0, 0.2, cooling) for cooling in
    ("linear", "exponential", "logarithmic", "relaxation")],
):
    print(repr(schedule), hashlib.sha256(schedule.curve(5000).tobytes()).hexdigest())
"""


def test_every_schedule_has_the_same_bits_on_a_processor_without_avx512() -> None:
    """numpy's power, exp and log would not: ranks on unlike nodes would disagree."""
    without = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR X86_V4"
    here, there = said(CURVES), said(f"import warnings; warnings.simplefilter('ignore')\n{CURVES}",
                                     NPY_DISABLE_CPU_FEATURES=without)  # fmt: skip
    assert here == there
    assert here.count("\n") == 18


@pytest.mark.parametrize("schedule", [Exponential(0.1), StepDecay(1, gamma=0.1), CosineRestarts(1, peak_gamma=0.1)])
def test_what_the_user_has_asked_numpy_to_raise_does_not_concern_the_lr(schedule: Schedule) -> None:
    optimizer = sgd()
    with np.errstate(all="raise"):
        scheduler = ScheduledLR(optimizer, schedule, total_steps=1000)
        for _ in range(1000):
            optimizer.step()
        assert scheduler.updates == 1000
        assert schedule.resolve(Horizon(1000))(999) >= 0.0


class Mine(Detector):
    """A detector of a user's own, as the design has it: ``counts`` has no default."""

    def __init__(self, most: int = 2) -> None:
        self._set(most=most)

    def init(self) -> Any:
        return (None, 0)

    def update(self, state: Any, value: float, counts: bool) -> Any:
        best, bad = state
        if best is None or value < best:
            return (value, 0), False
        return (best, bad + counts), bad + counts > self.most

    def after_action(self, state: Any) -> Any:
        return (state[0], 0)

    def because(self, state: Any) -> str:
        return "mine"


class Growing(Mine):
    """Its first state says nothing of the later ones."""

    def init(self) -> Any:
        return ()

    def update(self, state: Any, value: float, counts: bool = True) -> Any:
        return ((value, "down") if not state else (min(value, state[0]), "up")), False


@pytest.mark.parametrize("kind", [Mine, Growing])
def test_a_detector_of_a_users_own_goes_on_from_its_state(kind: type[Mine]) -> None:
    def made() -> ScheduledLR:
        return ScheduledLR(sgd(), None, rules=[Rule(kind(), Reduce(0.5), "v")])

    before, after = made(), made()
    before.evaluate({"v": 1.0})
    before.evaluate({"v": 2.0})
    after.load_state_dict(json.loads(json.dumps(before.state_dict())))
    assert after.live[0].rule_states == before.live[0].rule_states != made().live[0].rule_states


def test_a_detector_without_an_init_has_a_repr() -> None:
    class Bare(Detector):
        def init(self) -> Any:
            return (None,)

    assert "Bare()" in repr(Rule(Bare(), Reduce(0.5), "v"))


def test_a_states_sum_is_the_same_in_another_process() -> None:
    code = "from lightning_lr.core.state import sums; print(sums({'tracks': {'lr': [set('abcdefgh')]}})['tracks'])"
    assert len({said(code, PYTHONHASHSEED=str(seed)) for seed in range(4)}) == 1


def test_a_group_that_was_put_in_the_middle_is_taken_in() -> None:
    optimizer = sgd(2)
    ScheduledLR(optimizer, Linear(), total_steps=10)
    optimizer.step()
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 1.0})
    optimizer.param_groups.insert(1, optimizer.param_groups.pop())
    optimizer.step()
    assert [group["initial_lr"] for group in optimizer.param_groups] == pytest.approx([1.0, 1 / 0.9, 1.0])


def test_a_modules_own_lr_scheduler_step_is_called(tmp_path: Path) -> None:
    seen = []

    class Stepping(Net):
        def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
            seen.append(scheduler.get_last_lr()[0])
            super().lr_scheduler_step(scheduler, metric)

    trainer(tmp_path, [LRMultiPhaseDecay([Linear()])], max_epochs=1).fit(Stepping())
    assert seen == [0.75, 0.5, 0.25, 0.0]
    assert L.LightningModule.lr_scheduler_step.__qualname__ == "LightningModule.lr_scheduler_step"
