"""Configuration by YAML alone: LightningCLI and Hydra give the same U as Python, and short errors."""

from __future__ import annotations

import inspect
import math
import os
import re
import subprocess
import sys
from argparse import ArgumentError
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from jsonargparse import ArgumentParser
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LightningCLI, OptimizerCallable
from omegaconf import DictConfig, OmegaConf
from runs import Mixed, Net, Used, used
from torch.utils.data import DataLoader, TensorDataset

import lightning_lr
from lightning_lr import (
    Adapt,
    Band,
    Beside,
    Chain,
    Constant,
    Cooldown,
    Cosine,
    CosineRestarts,
    Custom,
    Cyclic,
    Detector,
    Exponential,
    Freeze,
    InverseSqrt,
    InverseTime,
    Linear,
    LRCallback,
    LRController,
    LRFreeze,
    LRLogger,
    LRMultiPhaseDecay,
    LRPlateauReduction,
    LRScheduleMixin,
    LRStagnationRestart,
    LRWarmup,
    MultiStep,
    OneMinusSqrt,
    Patience,
    Polynomial,
    Reduce,
    Restart,
    Rex,
    Rule,
    Schedule,
    StepDecay,
    Stop,
    Temperature,
    Track,
    Trend,
    Warmup,
    Window,
    cosine_with_warmup,
    flat_cosine,
    infinite,
    linear_with_warmup,
    one_cycle,
    slanted_triangular,
    wsd,
)
from lightning_lr.callbacks.wishes import LROptions
from lightning_lr.core import presets
from lightning_lr.core.detectors import Both, Either
from lightning_lr.core.values import Value
from lightning_lr.parser import LRArgumentParser, explained

ROOT = Path(__file__).resolve().parents[1]
QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
    "num_sanity_val_steps": 0,
}


@pytest.fixture(autouse=True)
def _as_from_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["main.py"])  # LightningCLI warns of pytest's own options
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # about what Lightning calls


# ---- what is configured


class Flat(Net):
    """Its validation loss never gets better."""

    def __init__(self) -> None:
        super().__init__(metric=lambda i: 1.0)


class Scheduled(LRScheduleMixin, Net):
    """Everything about its learning rate comes through the constructor."""

    def __init__(
        self,
        schedule: Schedule = Cosine(end_factor=0.5),  # noqa: B008, it is immutable
        rules: list[Rule] | None = None,
        optimizer: OptimizerCallable = torch.optim.SGD,
    ) -> None:
        super().__init__(metric=lambda i: 1.0)
        self.schedule, self.rules, self.optimizer = schedule, rules, optimizer

    def configure_optimizers(self) -> Any:
        return self.scheduled(self.optimizer(self.parameters()), self.schedule, rules=self.rules or ())


class Bare(L.LightningModule):
    """No ``configure_optimizers``: LightningCLI writes one."""

    training_step = Net.training_step

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def train_dataloader(self) -> Any:
        return DataLoader(TensorDataset(torch.ones(4, 1)), batch_size=1)


class Mine(Linear):
    """A schedule of the user's."""

    def __init__(self, duration: int | str | None = None, end_factor: float = 0.0) -> None:
        super().__init__(duration, end_factor)


class Fussy(Callback):
    """A callback of the user's."""

    def __init__(self) -> None:
        raise ValueError("Fussy has a reason of its own")


def decaying(cycle: int) -> float:
    return 1 / cycle


# ---- how


def cli(*args: str, model: type[L.LightningModule] = Flat, cls: Any = LightningCLI, **settings: Any) -> LightningCLI:
    """A LightningCLI that has made its trainer, and runs a subcommand if the first of the arguments is one."""
    return cls(
        model,
        args=list(args),
        run=args[:1] == ("fit",),
        save_config_callback=None,
        seed_everything_default=False,
        trainer_defaults={**QUIET, **settings.pop("trainer", {})},
        **settings,
    )


def stopped(capsys: pytest.CaptureFixture[str], code: int, *args: str, **settings: Any) -> str:
    """What it prints before it exits: the help, the configuration, an error."""
    with pytest.raises(SystemExit) as done:
        cli(*args, **settings)
    assert done.value.code == code
    said = capsys.readouterr()
    return said.err if code else said.out


def trained(config: Path, *args: str, **settings: Any) -> list[float]:
    """U of ``python main.py fit --config …``."""
    watch = Used()
    cli("fit", "--config", str(config), *args, trainer={"callbacks": watch}, **settings)
    return watch.lrs


def spelt(value: Any, key: str = "class_path") -> Any:
    """A value as YAML spells it out, for LightningCLI or (``"_target_"``) for Hydra."""
    if isinstance(value, Value):
        fields = dict(zip(value._parameters, value._values(), strict=True))
        return named(type(value), fields, key)
    if isinstance(value, (list, tuple)):
        return [spelt(item, key) for item in value]
    if isinstance(value, dict):
        return {name: spelt(item, key) for name, item in value.items()}
    return f"{value.__module__}:{value.__qualname__}" if callable(value) else value


def named(maker: Any, fields: dict[str, Any], key: str = "class_path") -> dict[str, Any]:
    name = maker.__name__
    home = "lightning_lr" if name in lightning_lr.__all__ else maker.__module__
    fields = {field: spelt(value, key) for field, value in fields.items()}
    return {key: f"{home}.{name}", **({"init_args": fields} if key == "class_path" else fields)}


def host(value: Value, key: str = "class_path") -> dict[str, Any]:
    """The callback that takes such a value, as YAML spells it out."""
    if isinstance(value, Schedule):
        return named(LRMultiPhaseDecay, {"phases": value}, key)
    if isinstance(value, Detector):
        return named(LRPlateauReduction, {"monitor": "x", "detector": value}, key)
    if isinstance(value, Rule):
        return named(LRController, {"rules": [value]}, key)
    return named(LRController, {"on_resume": value}, key)


def hosted(callback: Any, value: Value) -> Value:
    """The value, back from the callback."""
    if isinstance(value, Detector):
        return callback.rules[0].when
    return callback.schedule or callback.on_resume or callback.rules[0]


def saved(folder: Path, config: str | dict[str, Any] | list[Any]) -> Path:
    """A configuration file: text, a trainer's callbacks or all of it."""
    if not isinstance(config, str):
        config = yaml.safe_dump({"trainer": {"callbacks": config}} if isinstance(config, list) else config)
    path = folder / "config.yaml"
    path.write_text(config, encoding="utf-8")
    return path


# ---- LightningCLI: the same U as Python

RUN = """
trainer:
  max_epochs: 3
  callbacks:
    - class_path: lightning_lr.LRPlateauReduction
      init_args: {monitor: val_loss, patience: 0, factor: 0.5, until: 75%}
    - class_path: lightning_lr.LRMultiPhaseDecay
      init_args:
        phases:
          - class_path: lightning_lr.Constant
            init_args: {duration: 1 epoch}
          - class_path: lightning_lr.Chain
            init_args:
              phases:
                - class_path: lightning_lr.Linear
                  init_args: {duration: 25%, end_factor: 0.5}
          - class_path: lightning_lr.Cosine
    - class_path: LRWarmup
      init_args: {duration: 2}
"""


@pytest.fixture
def in_python(tmp_path: Path) -> list[float]:
    """U of the same in Python."""
    callbacks = [
        LRWarmup(2),
        LRMultiPhaseDecay([Constant("1 epoch"), Linear("25%", end_factor=0.5), Cosine()]),
        LRPlateauReduction("val_loss", patience=0, factor=0.5, until="75%"),
    ]
    lrs = used(tmp_path, callbacks, Flat(), max_epochs=3, limit_val_batches=1)
    assert lrs[:8] == [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, pytest.approx(1.0 - 0.5 / 3)]
    assert lrs[8] == pytest.approx(0.5 * (1.0 - 0.5 * 2 / 3)), "the second validation was not better"
    return lrs


def test_row_39_a_run_by_yaml_alone_gives_the_u_of_python(tmp_path: Path, in_python: list[float]) -> None:
    assert trained(saved(tmp_path, RUN)) == in_python


def test_row_39_a_run_by_what_print_config_printed_gives_it_again(
    tmp_path: Path, in_python: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    printed = stopped(capsys, 0, "--config", str(saved(tmp_path, RUN)), "--print_config")
    assert "class_path: lightning_lr.LRWarmup" in printed
    assert trained(saved(tmp_path, printed)) == in_python


def test_full_names_work_where_nothing_of_the_package_was_imported_before(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from lightning.pytorch.cli import LightningCLI\n"
        "from lightning.pytorch.demos.boring_classes import BoringModel\n"
        "assert 'lightning_lr' not in sys.modules\n"
        "print(LightningCLI(BoringModel, run=False, save_config_callback=None).trainer.callbacks[:3])"
    )
    config = saved(tmp_path, RUN.replace("class_path: LRW", "class_path: lightning_lr.LRW"))
    command = [sys.executable, "-c", code, f"--config={config}", "--trainer.logger=false", "--trainer.accelerator=cpu"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=env, timeout=60)
    assert done.stdout.strip() == str(cli(f"--config={config}").trainer.callbacks[:3])


# ---- every public name round-trips

VALUES: list[Value] = [
    Warmup("5%", 0.1, "exponential"),
    Constant("2 epochs", 0.5),
    Linear(4, 0.25),
    Cosine("50%", 0.1),
    OneMinusSqrt("1.5 epochs", 0.1),
    Rex(4, 0.1),
    Polynomial(4, 0.1, 2.0),
    Exponential(0.9, "1 epoch", True, 8, 0.1),
    InverseTime(0.5, 3, True, 8),
    InverseSqrt(4, 8),
    StepDecay(2, 0.5, 8),
    MultiStep([1, "50%"], 0.5, 8),
    Cyclic(2, 3, 0.2, "exp_range", 0.9, "cosine", 8, 0.9, 0.8),
    Beside(Linear(4), {"momentum": Linear(4, end_factor=0.5)}),
    Cyclic(2, mode=decaying),
    CosineRestarts(2, 2.0, 0.5, 0.1, 8),
    Temperature(2.0, 0.5, "exponential", 8),
    Custom(math.exp, "step", 8),
    Chain([Warmup(2), Chain([Constant(3), Cosine()])]),
    Patience(3, 0.01, "abs"),
    Window(3, 0.01),
    Trend("relative", 0.01, 1.5),
    Band(0.005, 0.02),
    Patience(3) | Window(4) & Trend(),
    (Patience(3) | Window(4)) & Trend(),
    Reduce(0.5, 0.01),
    Restart(0.5, None, "5%", "original", True),
    Freeze("1 epoch", 2),
    Adapt(1.1, 0.9, 0.1, 2.0),
    Cooldown("20%", "cosine"),
    Stop(),
    Rule(
        Patience(3) | Window(4),
        Adapt(1.1),
        "val_acc",
        mode="max",
        check="train_epoch",
        cooldown=2,
        nan_policy="ignore",
        sync="max",
        active_from=4,
        until="80%",
    ),
]

PRESETS: list[tuple[Callable[..., Schedule], dict[str, Any]]] = [
    (wsd, {"warmup": "10%", "cooldown": 4, "shape": "linear", "end_factor": 0.1}),
    (one_cycle, {"warmup": 3, "start_factor": 0.1, "end_factor": 0.01, "momentum_factor": 0.9}),
    (cosine_with_warmup, {"warmup": 3, "end_factor": 0.1}),
    (linear_with_warmup, {"warmup": 3, "end_factor": 0.1}),
    (slanted_triangular, {"cut": "20%", "ratio": 8.0}),
    (flat_cosine, {"flat": "50%", "end_factor": 0.1}),
    (infinite, {"warmup": 2, "decay": 3, "anneal": 4, "constant_factor": 0.5, "end_factor": 0.1}),
]

_OPTIONS = {
    "optimizer": "SGD",
    "groups": [0, "head"],
    "key": "weight_decay",
    "total_steps": 12,
    "on_horizon_change": "stretch",
    "on_lr_change": "use_new",
    "on_overrun": "cut",
    "start_step": 3,
    "log": False,
}
OPTIONS = {name: value for name, value in _OPTIONS.items() if name in LROptions.__annotations__}
WATCH = {"mode": "max", "check": "train_epoch", "nan_policy": "ignore", "active_from": 2, "until": "80%"}
BORNE = {"patience": 3, "threshold": 0.01, "threshold_mode": "abs"}
RESTART = {"max_restarts": None, "peak_decay": 0.5, "rewarm": "5%", "fit": "original"}
LOGGED = {"layout": False, "plan": False, "figures": False, "progress_bar": False}
LOGGED |= {"log_momentum": True, "log_weight_decay": True}

CALLBACKS: list[tuple[type[LRCallback], dict[str, Any]]] = [
    (LRWarmup, {"duration": "5%", "start_factor": 0.1, "shape": "cosine", **OPTIONS}),
    (LRMultiPhaseDecay, {"phases": [Constant(2), Chain([Linear(4)])], **OPTIONS}),
    (LRController, {"schedule": [Constant(2), Linear()], "rules": VALUES[-1:], "on_resume": Stop(), **OPTIONS}),
    (LRPlateauReduction, {"monitor": "x", "factor": 0.5, "cooldown": 2, "min_lr": 1e-5, **BORNE, **WATCH, **OPTIONS}),
    (LRPlateauReduction, {"monitor": "x", "detector": Trend("relative") | Window(3)}),
    (LRStagnationRestart, {"monitor": "x", **RESTART, **BORNE, **WATCH, **OPTIONS}),
    (LRStagnationRestart, {"monitor": "x", "detector": Window(3)}),
    (LRFreeze, {"monitor": "x", "duration": "1 epoch", **BORNE, **WATCH, **OPTIONS}),
    (LRFreeze, {"monitor": "x", "duration": 3, "detector": Window(3)}),
    (LRLogger, {"every_n_steps": 3, "metrics": ["a", "b"], **LOGGED}),
]


def wished(callback: Any) -> dict[str, Any]:
    """What a callback remembers of its configuration."""
    assert isinstance(callback, LRCallback)
    return {"class": type(callback), **vars(callback)}


def again(capsys: pytest.CaptureFixture[str], config: Path) -> LightningCLI:
    """A configuration once more, from what ``--print_config`` makes of it."""
    return cli(f"--config={saved(config.parent, stopped(capsys, 0, f'--config={config}', '--print_config'))}")


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_every_value_by_yaml_and_by_its_print_config(
    value: Value, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = saved(tmp_path, [host(value)])
    assert hosted(cli(f"--config={config}").trainer.callbacks[0], value) == value
    assert hosted(again(capsys, config).trainer.callbacks[0], value) == value


@pytest.mark.parametrize(("preset", "given"), PRESETS)
def test_every_preset_by_yaml_and_by_its_print_config(
    preset: Any, given: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = saved(tmp_path, [{**named(LRMultiPhaseDecay, {}), "init_args": {"phases": [named(preset, given)]}}])
    assert cli(f"--config={config}").trainer.callbacks[0].schedule == preset(**given)
    assert again(capsys, config).trainer.callbacks[0].schedule == preset(**given)


@pytest.mark.parametrize(("cls", "given"), CALLBACKS)
def test_every_callback_by_yaml_and_by_its_print_config(
    cls: type[LRCallback], given: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = saved(tmp_path, [named(cls, given)])
    expected = wished(cls(**given))
    assert wished(cli(f"--config={config}").trainer.callbacks[0]) == expected
    assert wished(again(capsys, config).trainer.callbacks[0]) == expected


def not_default(maker: Any, given: Iterable[dict[str, Any]], more: Iterable[str] = ()) -> None:
    """Every parameter is given, somewhere with another value than its default."""
    for parameter in inspect.signature(maker).parameters.values():
        if parameter.kind is not parameter.VAR_KEYWORD:
            values = [fields.get(parameter.name, parameter.default) for fields in given]
            assert any(value != parameter.default for value in values), f"{maker.__name__}: {parameter.name}"
    assert set(more) <= {name for fields in given for name in fields}


def test_the_tables_above_leave_out_no_public_name_and_no_parameter() -> None:
    public = [getattr(lightning_lr, name) for name in lightning_lr.__all__]
    classes = [item for item in public if isinstance(item, type) and issubclass(item, (Value, LRCallback))]
    for cls in {*classes, Either, Both} - {Schedule, Detector, LRCallback, Track}:  # no callback takes a Track
        if issubclass(cls, Value):
            not_default(cls, [dict(zip(v._parameters, v._values(), strict=True)) for v in VALUES if type(v) is cls])
        else:
            options = () if cls is LRLogger else LROptions.__annotations__
            not_default(cls, [given for maker, given in CALLBACKS if maker is cls], options)
    for preset in presets.__all__:
        not_default(getattr(presets, preset), [given for maker, given in PRESETS if maker.__name__ == preset])


@pytest.mark.parametrize("written", ["test_cli_config.decaying", "test_cli_config:decaying"])
@pytest.mark.parametrize("schedule", [Cyclic(2, mode=decaying), Custom(decaying)])
def test_a_function_by_its_dotted_path_or_as_its_repr_has_it(schedule: Schedule, written: str, tmp_path: Path) -> None:
    config = saved(tmp_path, [host(schedule)])
    config.write_text(config.read_text(encoding="utf-8").replace("test_cli_config:decaying", written), encoding="utf-8")
    assert cli(f"--config={config}").trainer.callbacks[0].schedule == schedule


# ---- on the command line


def test_options_behind_the_file_change_the_last_callback_and_add_others(tmp_path: Path) -> None:
    config = saved(tmp_path, [named(LRLogger, {}), named(LRWarmup, {"duration": 4})])
    options = [
        "--trainer.callbacks.init_args.duration=10%",
        "--trainer.callbacks.start_factor=0.5",
        "--trainer.callbacks+=LRPlateauReduction",
        "--trainer.callbacks.monitor=val_loss",
        "--trainer.callbacks.detector=lightning_lr.Window",
        "--trainer.callbacks.detector.window=3",
        "--trainer.callbacks+=LRMultiPhaseDecay",
        "--trainer.callbacks.phases+=lightning_lr.Constant",
        "--trainer.callbacks.phases.duration=3 epochs",
        "--trainer.callbacks.phases+=Linear",
        "--trainer.callbacks.phases.end_factor=0.5",
    ]
    assert list(map(repr, cli(f"--config={config}", *options).trainer.callbacks[:4])) == [
        "LRLogger()",
        "LRWarmup(Warmup('10%', start_factor=0.5))",
        "LRPlateauReduction(Rule(Window(3), do=Reduce(), monitor='val_loss'))",
        "LRMultiPhaseDecay(Constant('3 epochs') >> Linear(end_factor=0.5))",
    ]


def test_a_preset_and_its_parameters_on_the_command_line() -> None:
    named_only = ["--trainer.callbacks=lightning_lr.LRMultiPhaseDecay", "--trainer.callbacks.phases=lightning_lr.wsd"]
    assert cli(*named_only).trainer.callbacks[0].schedule == wsd()
    assert cli(*named_only, "--trainer.callbacks.phases.warmup=10%").trainer.callbacks[0].schedule == wsd("10%")


def test_a_callback_under_a_key_of_its_own_keeps_its_options_apart() -> None:
    class CLI(LightningCLI):
        def add_arguments_to_parser(self, parser: Any) -> None:
            parser.add_lightning_class_args(LRWarmup, "warmup")
            parser.add_lightning_class_args(LRMultiPhaseDecay, "decay")

    made = cli("--warmup.duration=10%", "--decay.phases=lightning_lr.Linear", "--decay.phases.end_factor=0.5", cls=CLI)
    assert list(map(repr, made.trainer.callbacks[:2])) == [
        "LRWarmup(Warmup('10%'))",
        "LRMultiPhaseDecay(Linear(end_factor=0.5))",
    ]


# ---- what YAML makes of it


@pytest.mark.parametrize(
    ("written", "duration"),
    [("5%", "5%"), ("500", 500), ("1_000", 1000), ("3 epochs", "3 epochs"), ("1.5ep", "1.5 epochs"), ("10:00", 600)],
)
def test_durations_as_yaml_reads_them(written: str, duration: object, tmp_path: Path) -> None:
    config = RUN.replace("duration: 2}", f"duration: {written}}}")
    warmup = cli(f"--config={saved(tmp_path, config)}").trainer.callbacks[2].schedule
    assert isinstance(warmup, Warmup)
    assert warmup.duration == duration


# ---- help


@pytest.mark.parametrize("name", ["LRPlateauReduction", "lightning_lr.LRPlateauReduction"])
def test_the_help_of_a_callback_says_what_its_parameters_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = " ".join(stopped(capsys, 0, "--trainer.callbacks.help", name).split())
    assert "Multiply the lr by ``factor`` when a metric has stopped getting better" in shown
    assert "bad evaluations in a row that are borne. (type: int, default: 10)" in shown
    assert "which optimizer it is about: ``None`` for all, an index, or a class name such as" in shown
    assert "known subclasses: lightning_lr.Detector, lightning_lr.Patience, lightning_lr.Window" in shown


@pytest.mark.parametrize("maker", sorted({*map(type, VALUES), *(m for m, _ in [*PRESETS, *CALLBACKS])}, key=str))
def test_the_help_describes_every_parameter(maker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    parser = ArgumentParser()
    (parser.add_class_arguments if isinstance(maker, type) else parser.add_function_arguments)(maker, "it")
    options = [text for text in re.split(r"\n  --it\.", parser.format_help())[1:] if not re.match(r"\w+\.help", text)]
    expected = set(inspect.signature(maker).parameters)
    if "options" in expected:
        expected = expected - {"options"} | set(LROptions.__annotations__)
    assert {re.match(r"\w+", text)[0] for text in options} == expected
    assert [text for text in options if re.search(r"\s\s\((required|type)", text)] == [], "no words before the type"


# ---- errors


def second(phase: str) -> str:
    """Phases, the second of which is this."""
    return f"{{phases: [{{class_path: Constant, init_args: {{duration: 1}}}}, {{class_path: {phase}}}]}}"


def rules(when: str, do: str) -> str:
    return f"{{rules: [{{monitor: x, when: {{class_path: {when}}}, do: {{class_path: {do}}}}}]}}"


WRONG = [
    (second("Cosine, init_args: {duraton: 2}"), "Cosine has no parameter 'duraton'; did you mean 'duration'?"),
    (second("Cosine, init_args: {end_factor: a}"), "Cosine: end_factor must be a number in [0, 1], got 'a' (a str)"),
    (second("Cosine, init_args: {end_factor: 2}"), "Cosine: end_factor must be a number in [0, 1], got 2.0"),
    (second("Cosine, init_args: {duration: 0.05}"), "Cosine: duration is a bare float, 0.05, which has no unit: write"),
    (
        second("Cosine, init_args: {duration: 1e3}"),
        "Cosine: duration is a bare float, 1000.0, which has no unit: ",
    ),
    (second("Cosine, init_args: {duration: yes}"), "Cosine: duration must be a duration, got True (a bool): write 500"),
    (second("StepDecay"), "StepDecay: step_size must be a duration, got None (a NoneType): write 500 or "),
    (
        second("Cosin"),
        " names the unknown schedule 'Cosin'; did you mean 'Cosine'?; known: Beside, Chain, Constant",
    ),
    (second("lightning_lr.Cosin"), " names the unknown schedule 'lightning_lr.Cosin'; did you mean 'Cosine'?; known: "),
]
WRONG = [("LRMultiPhaseDecay", given, f"phases[1]{'' if text[0] == ' ' else ': '}{text}") for given, text in WRONG]
WRONG += [
    ("LRMultiPhaseDecay", second("Linear}, {class_path: Cosine"), "at most one phase may leave its duration out"),
    ("LRPlateauReduction", "{monitor: x, factor: 2}", "factor must be a number in (0, 1), got 2.0"),
    (
        "LRPlateauReduction",
        "{monitor: x, mode: mni}",
        "mode must be one of 'min', 'max', got 'mni' (a str); did",
    ),
    ("LRPlateauReduction", "{monitor: x, on_overrun: cute}", "on_overrun must be one of 'error', 'cut', got 'cute'"),
    ("LRPlateauReduction", "{patience: 2}", "monitor must be a metric's name, got None"),
    (
        "LRPlateauReduction",
        "{monitor: x, detector: {class_path: Trent}}",
        "detector names the unknown detector 'Trent'; did you mean 'Trend'?; known: Patience, ",
    ),
    (
        "LRController",
        rules("Patience, init_args: {patience: -3}", "Stop"),
        "rules[0]: Rule: when: Patience: patience must be a whole number >= 0, got -3",
    ),
    (
        "LRController",
        rules("Patience", "Reduce, init_args: {factr: 1}"),
        "rules[0]: Rule: do: Reduce has no parameter 'factr'; did you mean 'factor'?",
    ),
]
WRONG = [(name, given, f"trainer.callbacks[1]: {name}: {text}") for name, given, text in WRONG]
WRONG += [
    (
        "LRPlateauReduction",
        "{monitor: x, patiens: 2}",
        "trainer.callbacks[1]: LRPlateauReduction has no parameter 'patiens'; did you mean 'patience'?",
    ),
    (
        "LRWarmpu",
        "{duration: 4}",
        "trainer.callbacks[1] names the unknown callback 'lightning_lr.LRWarmpu'; did you mean 'LRWarmup'?; known: LRC",
    ),
]


def wrong(folder: Path, name: str, given: str, first: str = "class_path: lightning_lr.LRLogger") -> str:
    path = name if "." in name else f"lightning_lr.{name}"
    config = f"trainer: {{callbacks: [{{{first}}}, {{class_path: {path}, init_args: {given}}}]}}"
    return f"--config={saved(folder, config)}"


@pytest.mark.parametrize(("name", "given", "said"), WRONG)
def test_an_error_names_callback_phase_and_field_in_a_line(
    name: str, given: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = stopped(capsys, 2, wrong(tmp_path, name, given), parser_class=LRArgumentParser)
    assert shown.startswith(f"error: {said}")
    assert shown.count("\n") == 1


@pytest.mark.parametrize(("name", "given", "said"), WRONG)
def test_without_the_parser_class_the_same_mistakes_are_refused(
    name: str, given: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises((SystemExit, ValueError)) as refused:
        cli(wrong(tmp_path, name, given))
    shown = capsys.readouterr().err if refused.type is SystemExit else str(refused.value)
    assert name in shown
    assert len(shown.splitlines()) > 12, "jsonargparse has become terse: is LRArgumentParser still of use?"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["LRPlateauReduction", "monitor=x", "facto=3"], ["lightning_lr.LRPlateauReduction", "Option 'facto' is not"]),
        (["LRPlateauReduction", "monitor=x", "factor=low"], ["lightning_lr.LRPlateauReduction", '"factor"', "low"]),
        (
            ["LRMultiPhaseDecay", "phases+=lightning_lr.Linear", "phases.end_fact=1"],
            ["lightning_lr.Linear", "end_fact"],
        ),
        (["LRMultiPhaseDecay", "phases=[{class_path: wsd}]"], ["phases", "Expected a dot import path string: wsd"]),
    ],
)
def test_where_the_callback_cannot_be_built_again_what_jsonargparse_says_is_cut_to_its_reasons(
    options: list[str], said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    head, *tail = options
    given = [f"--trainer.callbacks+={head}", *(f"--trainer.callbacks.{option}" for option in tail)]
    shown = stopped(capsys, 2, *given, parser_class=LRArgumentParser)
    assert shown.startswith('error: Parser key "trainer.callbacks":\n')
    assert all(part in shown for part in said)
    assert shown.count("\n") <= 6


@pytest.mark.parametrize("subcommand", [[], ["fit"]])
def test_a_value_out_of_range_on_the_command_line_is_said_in_a_line(
    subcommand: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    given = [
        *subcommand,
        "--trainer.callbacks+=LRPlateauReduction",
        "--trainer.callbacks.monitor=x",
        "--trainer.callbacks.factor=3",
    ]
    shown = stopped(capsys, 2, *given, parser_class=LRArgumentParser)
    assert shown == "error: trainer.callbacks[0]: LRPlateauReduction: factor must be a number in (0, 1), got 3.0\n"


def test_a_class_of_the_users_is_not_blamed_for_the_next_ones_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = f"class_path: lightning_lr.LRMultiPhaseDecay, init_args: {{phases: {{class_path: {__name__}.Mine}}}}"
    given = wrong(tmp_path, "LRPlateauReduction", "{monitor: x, factor: 2}", first)
    shown = stopped(capsys, 2, given, parser_class=LRArgumentParser)
    assert shown == "error: trainer.callbacks[1]: LRPlateauReduction: factor must be a number in (0, 1), got 2.0\n"


def test_mistakes_elsewhere_are_reported_as_ever(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = {"parser_class": LRArgumentParser}
    assert stopped(capsys, 2, "--trainer.max_epochs=many", **parser).startswith("usage: ")
    with pytest.raises(ValueError, match="Fussy has a reason of its own"):
        cli(wrong(tmp_path, f"{__name__}.Fussy", "{}"), **parser)
    given = wrong(tmp_path, "lightning.pytorch.callbacks.ModelCheckpoint", "{every_n_epoch: 2}")
    assert "ModelCheckpoint':\n        Option 'every_n_epoch' is not accepted" in stopped(capsys, 2, given, **parser)
    nested = wrong(tmp_path, "LRMultiPhaseDecay", "{phases: [[{class_path: Linear}]]}")
    assert "Not a valid subclass of Schedule" in stopped(capsys, 2, nested, **parser), "a list in a list: use Chain"


def test_the_short_error_can_be_raised_instead(tmp_path: Path) -> None:
    settings = {"parser_class": LRArgumentParser, "parser_kwargs": {"exit_on_error": False}}
    with pytest.raises(ArgumentError, match=r"^trainer\.callbacks\[1\]: LRPlateauReduction has no parameter 'patiens'"):
        cli(wrong(tmp_path, "LRPlateauReduction", "{monitor: x, patiens: 2}"), **settings)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "trainer.callbacks",
        "lightning_lr",
        'Parser key "trainer.max_epochs": no',
        "Given value: 'trainer.callbacks LRWarmup'",
        "Given value: [{'class_path': 3, 'init_args': 'trainer.callbacks LRWarmup'}]",
    ],
)
def test_only_messages_about_our_callbacks_are_explained(message: str) -> None:
    assert explained(message) is None


# ---- the mixin, and optimizers from the configuration


def test_a_module_takes_its_schedule_rules_and_optimizer_from_yaml(tmp_path: Path) -> None:
    rule = Rule(Patience(0), Reduce(0.5), "val_loss")
    model = {
        "schedule": spelt(Constant(5) >> Linear()),
        "rules": [spelt(rule)],
        "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 1.0}},
    }
    callbacks = [named(LRWarmup, {"duration": 2})]
    config = saved(tmp_path, {"trainer": {"max_epochs": 3, "callbacks": callbacks}, "model": model})
    made = Mixed(Constant(5) >> Linear(), rules=[rule])
    made.metric = lambda i: 1.0
    expected = used(tmp_path, [LRWarmup(2)], made, max_epochs=3, limit_val_batches=1)
    assert trained(config, model=Scheduled) == expected
    assert expected[:2] == [0.5, 1.0]
    assert expected[8] == pytest.approx(0.5 * (1 - 1 / 5)), "the second validation was not better"


def test_a_schedule_that_is_a_default_is_printed_and_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = saved(tmp_path, stopped(capsys, 0, "--print_config", model=Scheduled))
    made = cli(f"--config={config}", model=Scheduled)
    assert made.model.schedule == Cosine(end_factor=0.5)
    assert "end_factor: 0.5" in config.read_text(encoding="utf-8")


def test_a_schedule_for_a_module_on_the_command_line() -> None:
    options = ["--model.schedule=lightning_lr.wsd", "--model.schedule.warmup=50%", "--model.schedule.end_factor=0.1"]
    assert cli(*options, model=Scheduled).model.schedule == wsd("50%", end_factor=0.1)


def test_an_optimizer_of_the_command_line_and_our_callbacks(tmp_path: Path) -> None:
    config = saved(tmp_path, [named(LRWarmup, {"duration": "50%"})])
    assert trained(config, "--optimizer=SGD", "--optimizer.lr=2.0", "--trainer.max_epochs=1", model=Bare) == [
        1,
        2,
        2,
        2,
    ]


# ---- Hydra

HYDRA = """
trainer:
  _target_: lightning.Trainer
  max_epochs: 3
  accelerator: cpu
  logger: false
  enable_progress_bar: false
  enable_model_summary: false
  enable_checkpointing: false
  num_sanity_val_steps: 0
  callbacks:
    - {_target_: lightning_lr.LRWarmup, duration: 2}
    - _target_: lightning_lr.LRMultiPhaseDecay
      phases:
        - {_target_: lightning_lr.Constant, duration: 1 epoch}
        - [{_target_: lightning_lr.Linear, duration: 25%, end_factor: 0.5}]
        - {_target_: lightning_lr.Cosine}
    - _target_: lightning_lr.LRController
      rules:
        - _target_: lightning_lr.Rule
          monitor: val_loss
          when: {_target_: lightning_lr.Patience, patience: 0}
          do: {_target_: lightning_lr.Reduce, factor: 0.5}
          until: 75%
    - _target_: runs.Used
"""


def by_hydra(config: DictConfig) -> list[float]:
    trainer = instantiate(config.trainer)
    trainer.fit(Flat())
    return next(callback for callback in trainer.callbacks if isinstance(callback, Used)).lrs


@pytest.mark.parametrize("recursive", [True, False])
@pytest.mark.parametrize("convert", ["none", "partial", "all", "object"])
def test_a_run_by_hydra_gives_the_u_of_python(convert: str, recursive: bool, in_python: list[float]) -> None:
    config = OmegaConf.create(HYDRA)
    for callback in config.trainer.callbacks[1:3]:
        callback.update(_convert_=convert, _recursive_=recursive)
    config.trainer.callbacks[1].phases[0].update(_convert_=convert, _recursive_=recursive)
    assert by_hydra(config) == in_python


@pytest.mark.parametrize("recursive", [True, False])
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_every_value_by_hydra(value: Value, recursive: bool) -> None:
    config = OmegaConf.create({**host(value, "_target_"), "_recursive_": recursive})
    assert hosted(instantiate(config), value) == value


@pytest.mark.parametrize(("cls", "given"), CALLBACKS)
def test_every_callback_by_hydra(cls: type[LRCallback], given: dict[str, Any]) -> None:
    assert wished(instantiate(OmegaConf.create(named(cls, given, "_target_")))) == wished(cls(**given))


def test_hydras_arguments_by_position_also_where_it_leaves_the_building_to_us() -> None:
    phase = {"_target_": "lightning_lr.Warmup", "_args_": [4], "shape": "cosine"}
    config = OmegaConf.create({"_target_": "lightning_lr.LRMultiPhaseDecay", "phases": [phase], "_recursive_": False})
    assert instantiate(config).schedule == Warmup(4, shape="cosine")


def test_hydra_composes_a_run_from_groups_interpolations_and_overrides(tmp_path: Path) -> None:
    config = OmegaConf.create(HYDRA)
    config.trainer.callbacks = [
        {"_target_": "lightning_lr.LRMultiPhaseDecay", "phases": "${schedule}"},
        {"_target_": "lightning_lr.LRLogger", "plan": "${plan}"},
        {"_target_": "runs.Used"},
    ]
    config.update(plan=True, defaults=["_self_", {"schedule": "flat"}])
    (tmp_path / "schedule").mkdir()
    OmegaConf.save(config, tmp_path / "config.yaml")
    for name, schedule in (("flat", Constant()), ("falling", Warmup(2) >> Cosine())):
        OmegaConf.save(OmegaConf.create(spelt(schedule, "_target_")), tmp_path / "schedule" / f"{name}.yaml")
    with initialize_config_dir(version_base=None, config_dir=str(tmp_path)):
        assert by_hydra(compose("config")) == [1.0] * 12
        overrides = ["schedule=falling", "schedule.phases.0.duration=4", "plan=false", "trainer.max_epochs=2"]
        expected = used(tmp_path, [LRMultiPhaseDecay(Warmup(4) >> Cosine())])
        assert by_hydra(compose("config", overrides=overrides)) == expected


@pytest.mark.parametrize(("recursive", "who"), [(True, ""), (False, r"LRMultiPhaseDecay: phases\[2\]: ")])
def test_an_error_by_hydra_names_phase_and_field(recursive: bool, who: str) -> None:
    config = OmegaConf.create(HYDRA)
    config.trainer.callbacks[1].phases[2].end_factor = 2
    config.trainer.callbacks[1]._recursive_ = recursive
    where = "full_key: " + re.escape("trainer.callbacks[1].phases" if recursive else "trainer.callbacks")
    said = rf"'{who}Cosine: end_factor must be a number in \[0, 1\], got 2'\)\n{where}"
    with pytest.raises(InstantiationException, match=said) as refused:
        instantiate(config.trainer)
    assert len(str(refused.value).splitlines()) == 3
