"""Every example is run as a user runs it, in a process of its own; what it prints and writes is what it promises."""

from __future__ import annotations

import os
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 120
EPOCHS = 8
LAUNCHED = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "PL_GLOBAL_SEED", "PL_SEED_WORKERS")
"""What Lightning leaves behind in the environment of a process that trained; it would tell ours that it is a worker."""

Points = list[tuple[int, float]]


class Result(NamedTuple):
    out: str
    err: str
    logdir: Path

    def accuracy(self) -> float:
        """The test accuracy it printed, in percent."""
        found = re.search(r"test accuracy: +([\d.]+)%", self.out)
        assert found, self.out
        return float(found[1])

    def lrs(self, version: int = 0) -> Points:
        """Step and value of every lr point in TensorBoard's files."""
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(self.logdir / "digits" / f"version_{version}"), size_guidance={"scalars": 0})
        events.Reload()
        return [(event.step, event.value) for event in events.Scalars("lr/AdamW")]


def run(name: str, logdir: Path, *options: str) -> Result:
    """Run an example from elsewhere, with the repository's package; one thread, so that parallel tests don't fight."""
    env = {key: value for key, value in os.environ.items() if key not in LAUNCHED}
    env |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, str(ROOT / "examples" / name), "--logdir", str(logdir), *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=logdir, env=env, stdout=pipe, stderr=pipe, encoding="utf-8", start_new_session=True
    ) as process:
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with what Lightning launched
            raise
    assert process.returncode == 0, err[-5000:]
    return Result(out, err, logdir)


def planned(example: dict[str, Any], total_steps: int, steps_per_epoch: int) -> list[float]:
    return [float(lr) for lr in example["PEAK_LR"] * example["SCHEDULE"].curve(total_steps, steps_per_epoch)]


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "examples" / "digits.py"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The main example, uninterrupted, with the callbacks."""
    return run("digits.py", tmp_path_factory.mktemp("digits"), f"--epochs={EPOCHS}")


def test_digits_learns_and_says_what_to_do_next(digits: Result) -> None:
    assert digits.accuracy() >= 97.0
    assert f"tensorboard --logdir {digits.logdir} --samples_per_plugin scalars=100000" in digits.out
    assert digits.err.count(f"Learning-rate plan for AdamW, {34 * EPOCHS} updates") == 1


def test_digits_lr_in_tensorboard_is_the_previewed_one(digits: Result, example: dict[str, Any]) -> None:
    points = digits.lrs()
    assert [step for step, _ in points] == list(range(34 * EPOCHS))
    np.testing.assert_allclose([lr for _, lr in points], planned(example, 34 * EPOCHS, 34), rtol=1e-6)


def test_digits_mixin_gives_the_identical_lrs(digits: Result, tmp_path: Path) -> None:
    mixin = run("digits.py", tmp_path, f"--epochs={EPOCHS}", "--mixin")
    assert mixin.lrs() == digits.lrs()
    assert mixin.accuracy() == digits.accuracy()


def test_digits_resumed_goes_on_with_the_identical_lrs(digits: Result, tmp_path: Path) -> None:
    checkpoint = digits.logdir / "digits" / "version_0" / "checkpoints" / "epoch=4.ckpt"
    resumed = run("digits.py", tmp_path, f"--epochs={EPOCHS}", f"--resume={checkpoint}")
    assert resumed.lrs() == digits.lrs()[5 * 34 :]
    assert resumed.accuracy() >= 97.0


def test_digits_on_two_devices_trains_with_the_plan(tmp_path: Path, example: dict[str, Any]) -> None:
    ddp = run("digits.py", tmp_path, "--epochs=3", "--devices=2")
    points = ddp.lrs()
    assert [step for step, _ in points] == list(range(3 * 17))
    np.testing.assert_allclose([lr for _, lr in points], planned(example, 3 * 17, 17), rtol=1e-6)
    assert ddp.err.count("Learning-rate plan") == 1, "one process prints it"
    assert ddp.accuracy() > 90.0


def test_plain_torch_uses_the_plan_and_resumes_exactly(tmp_path: Path) -> None:
    result = run("plain_torch.py", tmp_path, "--epochs=10")
    assert "Warmup('5%') >> Constant('25%') >> Cosine('50%', end_factor=0.1) >> Linear()" in result.out
    rows = re.findall(r"^ +\d+ +(\S+) +(\S+) +(\S+)$", result.out, flags=re.MULTILINE)
    assert len(rows) == 7
    assert all(plan == used and resumed in ("-", used) for plan, used, resumed in rows), rows
    assert re.search(r"used as planned: +True", result.out)
    assert re.search(r"resumed == through: +True", result.out)
    assert result.accuracy() > 95.0


def test_finetune_prints_the_table_and_a_verdict(tmp_path: Path) -> None:
    result = run("finetune.py", tmp_path, "--quick")
    row = r" +(\S+) +([\d.]+) % +([\d.]+) ± ([\d.]+) %$"
    for arm in ("A: step decay", "B: slanted triangle"):
        found = re.search(f"^{arm}{row}", result.out, flags=re.MULTILINE)
        assert found, result.out
        assert 50.0 < float(found[3]) < 97.0, "neither untrained nor saturated"
    assert re.search(r"p = \S+: (no difference|[AB] is better)$", result.out, flags=re.MULTILINE)
