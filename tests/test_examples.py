"""Every example is run as a user runs it, in a process of its own; what it prints and writes is what it promises."""

from __future__ import annotations

import json
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
import torch

from lightning_lr import Event, Horizon, recipe, replay

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 120
EPOCHS = 20
"""The main example's default."""
LAUNCHED = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "PL_GLOBAL_SEED", "PL_SEED_WORKERS")
"""What Lightning leaves behind in the environment of a process that trained; it would tell ours that it is a worker."""

Points = list[tuple[int, float]]


class Result(NamedTuple):
    out: str
    err: str
    logdir: Path

    @property
    def version(self) -> Path:
        """Where the main example's run lies."""
        return self.logdir / "digits" / "version_0"

    def accuracy(self) -> float:
        """The test accuracy it printed, in percent."""
        found = re.search(r"test accuracy: +([\d.]+)%", self.out)
        assert found, self.out
        return float(found[1])

    def points(self, tag: str = "lr/AdamW", run: Path | None = None) -> Points:
        """Step and value of every point in TensorBoard's files of a run, the main example's by default."""
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(run or self.version), size_guidance={"scalars": 0})
        events.Reload()
        return [(event.step, event.value) for event in events.Scalars(tag)]

    def decisions(self) -> list[dict[str, Any]]:
        """The lines of lr_events.jsonl."""
        lines = (self.version / "lr_events.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def kinds(self) -> list[str]:
        return [decision["kind"] for decision in self.decisions()]


def run(name: str, logdir: Path, *options: str) -> Result:
    """Run an example from elsewhere, with the repository's package; one thread, so that parallel tests don't fight."""
    env = {key: value for key, value in os.environ.items() if key not in LAUNCHED}
    env |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    where = [] if name.startswith(("experiments/", "cli/")) else ["--logdir", str(logdir)]
    command = [sys.executable, str(ROOT / "examples" / name), *where, *options]
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


def replayed(example: dict[str, Any], result: Result, epochs: int, steps_per_epoch: int) -> list[float]:
    """The lr of every update, from the schedule and the events in the run's last checkpoint and from nothing else."""
    checkpoint = torch.load(result.version / "checkpoints" / f"epoch={epochs - 1}.ckpt", weights_only=True)
    events = [Event.of(event) for event in checkpoint["lr_schedulers"][0]["events"]]
    assert [event.step for event in events] == [decision["step"] for decision in result.decisions()]
    total = epochs * steps_per_epoch
    program = example["SCHEDULE"].resolve(Horizon(total, steps_per_epoch))
    return [example["PEAK_LR"] * factor for factor in replay(program, events, total)]


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "examples" / "digits.py"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The main example, uninterrupted, with the callbacks."""
    return run("digits.py", tmp_path_factory.mktemp("digits"))


def test_digits_learns_and_says_what_to_do_next(digits: Result) -> None:
    assert digits.accuracy() >= 97.0
    assert f"tensorboard --logdir {digits.logdir} --samples_per_plugin scalars=100000" in digits.out
    assert digits.err.count(f"Learning-rate plan for AdamW, {EPOCHS * 34} updates") == 1


def test_digits_reduces_and_restarts_by_what_validation_measured(digits: Result) -> None:
    assert {"reduce", "restart"} <= set(digits.kinds())
    measured = [value for _, value in digits.points("val_loss")]
    assert len(measured) == len(set(measured)) == 2 * EPOCHS, "one number for every validation: nobody scripted them"
    for decision in digits.decisions():
        assert decision["monitor"] == "val_loss"
        assert np.float32(decision["value"]) in np.float32(measured)


@pytest.mark.parametrize(("kind", "counter"), [("reduce", "reductions"), ("restart", "restarts")])
def test_digits_tells_and_counts_every_decision(digits: Result, kind: str, counter: str) -> None:
    mine = [decision for decision in digits.decisions() if decision["kind"] == kind]
    for decision in mine:
        assert digits.err.count(f"lr {kind} at update {decision['step']}, epoch {decision['epoch']}: AdamW ") == 1
    steps = digits.points(f"schedule/num_{counter}")
    assert next(step for step, count in steps if count == len(mine)) == mine[-1]["step"]
    assert max(count for _, count in steps) == len(mine)


def test_digits_lrs_in_tensorboard_are_the_schedule_and_its_events(digits: Result, example: dict[str, Any]) -> None:
    points = digits.points()
    assert [step for step, _ in points] == list(range(EPOCHS * 34))
    np.testing.assert_allclose([lr for _, lr in points], replayed(example, digits, EPOCHS, 34), rtol=1e-6)
    lr = dict(points)
    for decision in digits.decisions():
        assert lr[decision["step"]] == pytest.approx(decision["lr_after"]["AdamW"], rel=1e-6)


def test_digits_callbacks_and_the_values_for_the_mixin_say_the_same(example: dict[str, Any]) -> None:
    assert [rule for callback in example["callbacks"]() for rule in callback.rules] == example["RULES"]


def test_digits_mixin_gives_the_identical_lrs_and_decisions(digits: Result, tmp_path: Path) -> None:
    mixin = run("digits.py", tmp_path, "--mixin")
    assert mixin.points() == digits.points()
    assert mixin.decisions() == digits.decisions()
    assert mixin.accuracy() == digits.accuracy()


def test_digits_resumed_goes_on_exactly_decisions_included(digits: Result, tmp_path: Path) -> None:
    checkpoint = digits.version / "checkpoints" / "epoch=4.ckpt"
    resumed = run("digits.py", tmp_path, f"--resume={checkpoint}")
    assert resumed.points() == digits.points()[5 * 34 :]
    assert resumed.points("val_loss") == digits.points("val_loss")[2 * 5 :]
    assert resumed.decisions() == digits.decisions()
    assert digits.decisions()[-1]["step"] > 5 * 34, "some of them were made again"
    assert resumed.accuracy() == digits.accuracy()


def test_digits_on_two_devices_decides_once_and_uses_what_was_decided(tmp_path: Path, example: dict[str, Any]) -> None:
    epochs = 15
    ddp = run("digits.py", tmp_path, f"--epochs={epochs}", "--devices=2")
    points = ddp.points()
    assert [step for step, _ in points] == list(range(epochs * 17))
    np.testing.assert_allclose([lr for _, lr in points], replayed(example, ddp, epochs, 17), rtol=1e-6)
    assert {"reduce", "restart"} <= set(ddp.kinds())
    assert ddp.err.count("Learning-rate plan") == 1, "one process prints it"
    assert ddp.err.count("\nlr re") == len(ddp.decisions())
    assert ddp.accuracy() >= 97.0


def test_cli_gives_the_identical_lrs_decisions_and_result_from_yaml_alone(digits: Result, tmp_path: Path) -> None:
    config = ROOT / "examples" / "cli" / "config.yaml"
    told = run("cli/main.py", tmp_path, "fit", f"--config={config}", f"--trainer.logger.save_dir={tmp_path}")
    assert told.err.count(f"Learning-rate plan for AdamW, {EPOCHS * 34} updates") == 1
    assert told.points() == digits.points()
    assert told.decisions() == digits.decisions()
    assert told.accuracy() == digits.accuracy()
    saved = told.version / "config.yaml"
    assert run("cli/main.py", tmp_path, "fit", f"--config={saved}", "--print_config").out == saved.read_text("utf-8")


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


def rows(result: Result, pattern: str) -> list[tuple[str, ...]]:
    """The groups of every line that is a row of the table."""
    found = [re.fullmatch(pattern, line) for line in result.out.splitlines()]
    return [match.groups() for match in found if match]


def test_plateau_and_restart_prints_a_row_for_every_detector(tmp_path: Path) -> None:
    result = run("plateau_and_restart.py", tmp_path, "--quick", "--restart")
    found = rows(result, r"(\S+) +(\d+) of (\d+) +([\d.]+) +([\d.]+)%  (.+)")
    names = [row[0] for row in found]
    assert names == ["none", "Patience(10)", "Window(10)", "Trend('relative')", "Trend('progress')"]
    assert any(int(row[2]) for row in found)
    for _, early, reductions, loss, accuracy, decisions in found:
        assert len(re.findall(r"(?:^| )\d+", decisions)) == int(reductions) >= int(early)
        assert float(loss) < 1.0
        assert float(accuracy) > 80.0


def test_branch_cooldown_ends_better_than_its_trunk_and_counts_the_updates(tmp_path: Path) -> None:
    result = run("branch_cooldown.py", tmp_path, "--quick")
    found = rows(result, r" +(\d+) +([\d.]+) +([\d.]+)")
    assert [int(step) for step, _, _ in found] == [68, 136]
    assert all(float(cooled) < float(trunk) for _, trunk, cooled in found)
    assert "updates spent: 204; two separate runs of the same lengths: 272" in result.out
    for step in (68, 136):
        [line] = (tmp_path / "cooldowns" / f"from_{step}" / "lr_events.jsonl").read_text().splitlines()
        event = json.loads(line)
        assert (event["kind"], event["step"], event["lr_before"]) == ("cooldown", step, event["lr_after"])


def test_gan_counts_the_updates_of_each_optimizer_and_schedules_beta1(tmp_path: Path) -> None:
    result = run("gan.py", tmp_path, "--epochs=8")
    updates = r"(\w+): (\d+) updates, its schedule counted (\d+); lr ([\d.]+) → ([\d.e-]+), beta1 ([\d.]+)"
    assert rows(result, updates) == [
        ("discriminator", "168", "168", "0.001", "0", "0.5"),
        ("generator", "80", "80", "0.002", "0", "0.25"),
    ]
    [(before, after)] = rows(result, r"Fréchet distance of the generated digits: ([\d.]+) untrained, ([\d.]+) trained")
    assert float(after) < 0.6 * float(before)
    version = tmp_path / "gan" / "version_0"
    generator = dict(result.points("lr/Adam-1", version))
    assert max(generator.values()) == pytest.approx(2e-3)
    assert min(dict(result.points("beta1/Adam-1", version)).values()) < 0.27


def test_transformer_layerwise_learns_cools_down_and_keeps_the_ratios_of_its_groups(tmp_path: Path) -> None:
    result = run("transformer_layerwise.py", tmp_path, "--max-steps=60")
    groups = rows(result, r"((?:input|output|blocks)\S*) +(\d+) +([\d.]+) +([\d.]+)")
    pairs = [f"blocks.{i}{kind}" for i in range(4) for kind in ("", "-no_decay")]
    assert [name for name, *_ in groups] == ["input", *pairs, "output", "output-no_decay"]
    assert [float(decay) for *_, decay in groups] == [0.1] + [0.1, 0.0] * 5
    depth = [5] + [layer for layer in (4, 3, 2, 1, 0) for _ in range(2)]
    assert [float(lr) for _, _, lr, _ in groups] == pytest.approx([8e-3 * 0.8**below for below in depth], rel=1e-3)
    assert f"; {sum(int(size) for _, size, *_ in groups)} parameters" in result.out, "every one is in a group"

    validations = rows(result, r" +(\d+) +([\d.]+) +([\d.]+)(?:  .*)?")
    assert [int(step) for step, *_ in validations] == list(range(6, 61, 6))
    for _, loss, bits in validations:
        assert float(bits) == pytest.approx(float(loss) / np.log(2), abs=1e-3)
    losses = [float(loss) for _, loss, _ in validations]
    assert losses[-1] < losses[7] < losses[0] < np.log(128), "it learns, and in the cooldown too"
    assert f"validation loss before the cooldown: {losses[7]:.4f}, after it: {losses[-1]:.4f}" in result.out

    version = tmp_path / "transformer_layerwise" / "version_0"
    top = dict(result.points("lr/AdamW/output", version))
    assert (top[2], top[48], max(top.values())) == pytest.approx((8e-3, 8e-3, 8e-3)), "warmed up, stable"
    assert top[0] == pytest.approx(8e-3 / 3)
    assert top[59] < 8e-4, "cooled down"
    for name, below in zip(["input", *pairs], depth, strict=False):
        points = result.points(f"lr/AdamW/{name}", version)
        assert points == [(step, pytest.approx(top[step] * 0.8**below)) for step in top]


def test_transformer_layerwise_refuses_a_length_without_a_validation_at_the_cooldown(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="--max-steps must be a multiple of 10"):
        run("transformer_layerwise.py", tmp_path, "--max-steps=55")


def test_autoencoder_cyclic_compares_the_rates_and_shows_the_loss_where_cycles_end(tmp_path: Path) -> None:
    result = run("autoencoder_cyclic.py", tmp_path, "--quick")
    number = r"(0\.\d+) ± (0\.\d+)"
    found = rows(result, rf"(\S.*?) +0\.003 +{number} +{number} *")
    assert [name for name, *_ in found] == ["constant", "cyclic", "linear to zero"]
    for _, error, _, rand, _ in found:
        assert float(error) < 0.04, "trained: an untrained one is above 0.1"
        assert float(rand) > 0.3, "the code knows something of the digits"
    ends = rows(result, rf"cycle (\d), update +(\d+): {number} +{number}")
    assert [(int(cycle), int(end)) for cycle, end, *_ in ends] == [(i, 40 * i) for i in range(1, 6)]
    for column in (2, 4):
        losses = [float(row[column]) for row in ends]
        assert losses == sorted(losses, reverse=True)
    assert len(rows(result, r"cyclic against (constant|linear to zero): error (.+); adjusted Rand index (.+)")) == 2

    cyclic = result.points("lr/Adam", tmp_path / "autoencoder" / "cyclic_0")
    lr = 3e-3 * recipe("unsupervised").schedule.curve(200)
    assert cyclic == [(step, pytest.approx(lr[step], rel=1e-6)) for step, _ in cyclic]
    assert len(cyclic) >= 200 / 5
    constant = result.points("lr/Adam", tmp_path / "autoencoder" / "constant_0")
    assert [value for _, value in constant] == pytest.approx([3e-3] * len(constant))


def test_policy_gradient_learns_and_each_rate_goes_as_its_recipe_says(tmp_path: Path) -> None:
    result = run("policy_gradient.py", tmp_path, "--quick")
    found = rows(result, r" +0\.003  (\w+) +([\d.]+) ± [\d.]+ +[\d.]+ ± [\d.]+ +([\d.]+) +([\d.]+)")
    arms = {arm: (float(reward), float(last), float(decisions)) for arm, reward, last, decisions in found}
    assert list(arms) == ["fixed", "linear", "reward", "kl"]
    assert all(reward > 50 for reward, *_ in arms.values()), "untrained, a pole falls after some ten steps"
    assert arms["fixed"][1:] == (1.0, 0.0)
    assert arms["linear"][1] < 0.01
    assert arms["linear"][2] == 0.0
    assert arms["kl"][2] > 0

    kl = tmp_path / "policy_gradient" / "kl_0.003_0"
    events = [json.loads(line) for line in (kl / "lr_events.jsonl").read_text("utf-8").splitlines()]
    assert events
    lr = dict(result.points("lr/Adam", kl))
    for event in events:
        assert event["kind"] == "adapt"
        assert (event["value"] > 0.02) != (event["value"] < 0.005)
        before, after = event["lr_before"]["Adam"], event["lr_after"]["Adam"]
        assert after == pytest.approx(min(1.5 * before, 1e-2) if event["value"] < 0.005 else before / 1.5)
        if event["step"] < 16 * 16:  # the last decision comes after the last update
            assert lr[event["step"]] == pytest.approx(after, rel=1e-6)


def test_detectors_prints_a_row_for_every_family_and_noise(tmp_path: Path) -> None:
    result = run("experiments/detectors.py", tmp_path, "--quick")
    found = rows(result, r"(\w[\w ]*?) +(0\.\d+)((?: \|[ \d.-]{22})+)")
    assert len(found) == 5 * 4
    sums = rows(result, r"(all(?:, flat at \d%)?) +((?: \|[ \d.-]{22})+)")
    assert [name for name, _ in sums] == ["all", "all, flat at 1%", "all, flat at 4%"]
    assert all(row[-1].count("|") == 5 for row in [*found, *sums])
