"""What a run shows beside its curves: phases and scales as steps, the progress bar, other loggers; going on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from runs import Net, Used, trainer
from test_pains import Gan

from lightning_lr import (
    Constant,
    Cooldown,
    Cosine,
    Linear,
    LRController,
    LRLogger,
    LRMultiPhaseDecay,
    LRPlateauReduction,
    LRStagnationRestart,
    LRWarmup,
)


def read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0}).Reload()


def points(folder: Path, tag: str) -> dict[int, float]:
    found = [(point.step, point.value) for point in read(folder).Scalars(tag)]
    assert len(found) == len(dict(found)), f"{tag} has two points at one step"
    return dict(found)


def run(root: Path, callbacks: list[Callback], net: Net | None = None, **settings: Any) -> L.Trainer:
    logger = TensorBoardLogger(root, name="run", version=0)
    ckpt = settings.pop("ckpt_path", None)
    made = trainer(root, callbacks, **{"logger": logger, "log_every_n_steps": 50, **settings})
    made.fit(net or Net(metric=lambda n: 1.0), ckpt_path=ckpt)
    return made


FOLDER = "run/version_0"


def test_phases_and_scales_are_clear_steps(tmp_path: Path) -> None:
    wishes = [
        LRWarmup(2),
        LRMultiPhaseDecay([Constant(5), Linear()]),
        LRPlateauReduction("val_loss", factor=0.5, patience=1),
    ]
    run(tmp_path, wishes, max_epochs=4, limit_val_batches=1)
    assert points(tmp_path / FOLDER, "schedule/phase") == {0: 1, 1: 1, 2: 2, 6: 2, 7: 3, 11: 3, 12: 3, 15: 3}
    assert points(tmp_path / FOLDER, "schedule/scale")[12] == 0.5
    assert points(tmp_path / FOLDER, "schedule/scale")[11] == 1.0


def test_a_restart_goes_back_to_the_phase_after_the_warmup_and_a_cooldown_is_one_more(tmp_path: Path) -> None:
    wishes = [LRWarmup(2), LRMultiPhaseDecay([Constant(3), Linear()]), LRStagnationRestart("val_loss", patience=0)]
    run(tmp_path, wishes, max_epochs=4, limit_val_batches=1)
    phase = points(tmp_path / FOLDER, "schedule/phase")
    assert (phase[7], phase[8]) == (3, 2)
    save = ModelCheckpoint(tmp_path, filename="trunk", every_n_train_steps=4)
    run(tmp_path / "trunk", [LRMultiPhaseDecay([Constant()]), save], max_epochs=1, enable_checkpointing=True)
    branch = [LRMultiPhaseDecay([Constant()]), LRController(on_resume=Cooldown("25%"))]
    with pytest.warns(UserWarning, match="ends at update 6, the run at 8"):
        run(tmp_path / "branch", branch, ckpt_path=tmp_path / "trunk.ckpt")
    assert points(tmp_path / "branch" / FOLDER, "schedule/phase")[4] == 2


def test_several_optimizers_have_phases_of_their_own(tmp_path: Path) -> None:
    run(tmp_path, [LRWarmup(2)], Gan())
    tags = read(tmp_path / FOLDER).Tags()["scalars"]
    assert {"schedule/phase/SGD", "schedule/phase/Adam", "schedule/scale/SGD"} <= set(tags)


def test_going_on_in_the_same_directory_leaves_one_curve(tmp_path: Path) -> None:
    """The first run gets to update 6, its checkpoint to 4: TensorBoard shows what the second run made of 4 and 5."""

    class Stopping(Callback):
        def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
            if trainer.global_step == 6:
                raise KeyboardInterrupt

    def fit(callbacks: list[Callback], **settings: Any) -> list[float]:
        watch = Used()
        run(tmp_path, [*callbacks, watch], log_every_n_steps=1, **settings)
        return watch.lrs

    save = ModelCheckpoint(tmp_path, filename="four", every_n_train_steps=4, save_top_k=1)
    with pytest.raises(SystemExit):
        fit([LRWarmup(8), save, Stopping()], enable_checkpointing=True)
    assert max(points(tmp_path / FOLDER, "lr/SGD")) == 5
    lrs = fit([LRWarmup(8)], ckpt_path=tmp_path / "four.ckpt")
    assert points(tmp_path / FOLDER, "lr/SGD") == {k: (k + 1) / 8 for k in range(8)}
    assert lrs == [(k + 1) / 8 for k in range(4, 8)]
    for tag in read(tmp_path / FOLDER).Tags()["scalars"]:
        points(tmp_path / FOLDER, tag)


@pytest.mark.parametrize("bar", [TQDMProgressBar, RichProgressBar])
def test_the_progress_bar_shows_lr_and_phase(tmp_path: Path, bar: Any) -> None:
    class Watching(bar):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[dict[str, Any]] = []

        def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
            super().on_train_batch_end(trainer, pl_module, *args)
            self.seen.append(self.get_metrics(trainer, pl_module))

    shown = Watching()
    wishes = [LRWarmup(4), LRMultiPhaseDecay([Cosine(3, end_factor=1.2e-5)]), shown]
    made = run(tmp_path, wishes, enable_progress_bar=True)
    assert [(seen["lr"], seen["phase"]) for seen in shown.seen] == [
        ("0.5", "Warmup"), ("0.75", "Warmup"), ("1", "Warmup"), ("1", "Cosine"), ("0.75", "Cosine"), ("0.25", "Cosine"),
        ("1.2e-05", "hold"), ("1.2e-05", "hold"),
    ]  # fmt: skip
    assert "lr" not in shown.get_metrics(made, made.lightning_module)  # the bar is as it was found


def test_the_progress_bar_can_be_left_alone(tmp_path: Path) -> None:
    class Watching(TQDMProgressBar):
        seen: dict[str, Any]

        def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
            self.seen = self.get_metrics(trainer, pl_module)

    shown = Watching()
    run(tmp_path, [LRWarmup(4), LRLogger(progress_bar=False), shown], enable_progress_bar=True)
    assert "lr" not in shown.seen


class Bare(Logger):
    """A logger that can only take numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[set[str]] = []

    @property
    def name(self) -> str:
        return "bare"

    @property
    def version(self) -> int:
        return 0

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.keys.append(set(metrics))


def test_a_logger_that_shows_nothing_gets_numbers_and_the_picture_lies_beside_the_events(tmp_path: Path) -> None:
    bare = Bare()
    loggers = [bare, CSVLogger(tmp_path, name="csv", version=0)]
    wishes = [LRPlateauReduction("val_loss", factor=0.5, patience=0)]
    run(tmp_path, wishes, logger=loggers, max_epochs=3, limit_val_batches=1)
    assert {"lr/SGD"} in bare.keys
    steps = [keys for keys in bare.keys if "schedule/phase" in keys]
    assert steps
    assert all(keys == {"schedule/phase", "schedule/scale", "schedule/num_reductions"} for keys in steps)
    folder = tmp_path / "csv" / "version_0"
    assert (folder / "lr_SGD.png").stat().st_size > 1000
    lines = (folder / "lr_events.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["reduce"] * 2


@pytest.mark.slow
def test_mlflow_gets_numbers_texts_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a local folder, as its tests use
    from lightning.pytorch.loggers import MLFlowLogger

    logger = MLFlowLogger(tracking_uri=f"file:{tmp_path / 'mlruns'}")
    wishes = [LRPlateauReduction("val_loss", factor=0.5, patience=0)]
    run(tmp_path, wishes, logger=logger, max_epochs=3, limit_val_batches=1, log_every_n_steps=1)
    client, run_id = logger.experiment, logger.run_id
    assert run_id is not None
    history = {m.step: m.value for m in client.get_metric_history(run_id, "lr/SGD")}
    assert history == {k: 1.0 if k < 8 else 0.5 for k in range(12)}
    assert {a.path for a in client.list_artifacts(run_id, "lr")} == {"lr/plan.md", "lr/decisions.md"}
    assert [a.path for a in client.list_artifacts(run_id, "lr_figures")] == ["lr_figures/SGD.png"]


@pytest.mark.slow
def test_wandb_offline_gets_numbers_texts_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    from lightning.pytorch.loggers import WandbLogger

    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = WandbLogger(save_dir=tmp_path, offline=True)
    logged: list[set[str]] = []
    experiment = logger.experiment
    log = experiment.log

    def watched(values: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        logged.append(set(values))
        log(values, *args, **kwargs)

    monkeypatch.setattr(experiment, "log", watched)
    wishes = [LRPlateauReduction("val_loss", factor=0.5, patience=0)]
    run(tmp_path, wishes, logger=logger, max_epochs=3, limit_val_batches=1, log_every_n_steps=1)
    wandb.finish()
    keys = set().union(*logged)
    assert {"lr/SGD", "schedule/num_reductions", "lr/plan", "lr/decisions", "lr_figures/SGD"} <= keys


@pytest.mark.parametrize(
    "phases",
    [[Constant(1), Constant(1, factor=0.5), Constant(1, factor=0.2), Linear()], [Constant(7), Linear()]],
)
def test_no_level_is_written_twice_at_a_step(tmp_path: Path, phases: Any) -> None:
    plateau = LRPlateauReduction("val_loss", factor=0.5, patience=0)
    run(tmp_path, [LRMultiPhaseDecay(phases), plateau], limit_val_batches=1, val_check_interval=2)
    for tag in read(tmp_path / FOLDER).Tags()["scalars"]:
        points(tmp_path / FOLDER, tag)


def test_a_metric_of_the_epoch_lies_where_lightnings_own_point_lies(tmp_path: Path) -> None:
    class Logging(Net):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            self.log("loss", loss + self.global_step, on_step=False, on_epoch=True)
            return loss

    net = Logging(metric=lambda n: float(n))
    run(tmp_path, [LRWarmup(2), LRLogger(metrics=["loss", "val_loss"])], net, max_epochs=3, limit_val_batches=1)
    assert points(tmp_path / FOLDER, "monitor/loss") == points(tmp_path / FOLDER, "loss")
    assert points(tmp_path / FOLDER, "monitor/val_loss") == points(tmp_path / FOLDER, "val_loss")
