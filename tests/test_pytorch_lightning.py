"""The other name of the same library: our callbacks, and the mixin, in a ``pytorch_lightning.Trainer``.

Both packages are installed side by side, and no class of one is an instance of the other's.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import runs
import torch
from lightning.pytorch.callbacks import Callback
from runs import Net as LightningNet
from runs import Used, used
from test_pains import SaveEveryStep
from torch.utils.data import DataLoader, TensorDataset

from lightning_lr import (
    Cosine,
    Exponential,
    Linear,
    LRLogger,
    LRMultiPhaseDecay,
    LRPlateauReduction,
    LRScheduleMixin,
    LRWarmup,
    Warmup,
)

# before 2.6 its Trainer asks every callback for its own base class, and refuses the other package's
pl = pytest.importorskip("pytorch_lightning", minversion="2.6", reason="needs pytorch-lightning 2.6")
callbacks_of_pl = pytest.importorskip("pytorch_lightning.callbacks")


class Net(pl.LightningModule):
    """As ``runs.Net``: one linear layer, and a validation metric that a test may script."""

    def __init__(
        self,
        batches: int = 4,
        optimizer: Callable[[Any], Any] | None = None,
        metric: Callable[[int], float] | None = None,
    ) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.batches, self.make_optimizer, self.metric = batches, optimizer, metric
        self.lr = 1.0

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.layer(batch[0]).square().mean() * 1e-3

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass

    def on_validation_epoch_end(self) -> None:
        if self.metric is not None:
            self.log("val_loss", self.metric(self.trainer.global_step // self.batches - 1))

    def configure_optimizers(self) -> Any:
        return self.make_optimizer(self) if self.make_optimizer else torch.optim.SGD(self.parameters(), lr=self.lr)

    def train_dataloader(self) -> Any:
        return DataLoader(TensorDataset(torch.ones(self.batches, 1)))

    def val_dataloader(self) -> Any:
        return DataLoader(TensorDataset(torch.ones(1, 1)))


class Mixed(LRScheduleMixin, Net):
    def configure_optimizers(self) -> Any:
        return self.scheduled(super().configure_optimizers(), Warmup(2) >> Cosine())


def trainer(root: Path, callbacks: Sequence[Any] = (), **settings: Any) -> Any:
    return runs.trainer(root, callbacks, kind=pl.Trainer, **settings)


def lrs(root: Path, callbacks: Sequence[Any] = (), net: Any = None, ckpt: Path | None = None, **settings: Any) -> Any:
    watch = Used()
    trainer(root, [*callbacks, watch], **settings).fit(net or Net(), ckpt_path=ckpt)
    return watch.lrs


def wishes() -> list[Callback]:
    plateau = LRPlateauReduction("val_loss", patience=1, factor=0.5)
    return [plateau, LRWarmup(3), LRMultiPhaseDecay(Linear(end_factor=0.5))]


MEASURED = (3.0, 3.0, 3.0, 2.0, 1.0)
SETTINGS: dict[str, Any] = {"max_epochs": 5, "limit_val_batches": 1}


def test_it_is_another_package() -> None:
    assert not issubclass(LRWarmup, pl.Callback)
    assert not issubclass(pl.LightningModule, L.LightningModule)


def test_callbacks_act_as_in_the_other_package(tmp_path: Path) -> None:
    found = lrs(tmp_path, wishes(), Net(metric=MEASURED.__getitem__), **SETTINGS)
    assert found == used(tmp_path, wishes(), LightningNet(metric=MEASURED.__getitem__), **SETTINGS)
    assert len(set(found)) > 15
    assert found[12] < 0.51 * found[11]


def test_resuming_is_exact(tmp_path: Path) -> None:
    def fit(callbacks: Sequence[Any], ckpt: Path | None = None) -> Any:
        return lrs(tmp_path, callbacks, Net(metric=MEASURED.__getitem__), ckpt, **SETTINGS)

    whole = fit([*wishes(), SaveEveryStep()])
    for k in (2, 8, 11, 12, 13):  # 8 and 12: before a validation that is due, which Lightning drops
        assert fit(wishes(), tmp_path / f"step{k}.ckpt") == whole[k:], k


def test_the_mixin_and_a_callback_beside_it(tmp_path: Path) -> None:
    plan = (Warmup(2) >> Cosine()).curve(8).tolist()
    assert lrs(tmp_path, [], Mixed()) == plan
    both = lrs(
        tmp_path, [LRPlateauReduction("val_loss", patience=0, factor=0.5)], Mixed(metric=lambda n: 1.0),
        limit_val_batches=1, max_epochs=4,
    )  # fmt: skip
    assert both[12] == pytest.approx(0.25 * (Warmup(2) >> Cosine()).curve(16)[12])


# ---- the other package's own callbacks and loggers


def test_its_accumulation_scheduler_is_counted(tmp_path: Path) -> None:
    changing = callbacks_of_pl.GradientAccumulationScheduler({0: 4, 1: 2, 3: 1})  # 2 + 3 + 3 + 5 updates
    found = lrs(tmp_path, [LRMultiPhaseDecay(Linear()), changing], Net(batches=5), max_epochs=4)
    assert found == pytest.approx([1 - k / 13 for k in range(13)])


def test_its_finetuning_adds_a_group_that_follows(tmp_path: Path) -> None:
    class Backboned(Net):
        def __init__(self) -> None:
            super().__init__(optimizer=lambda net: torch.optim.SGD(net.layer.parameters(), lr=1.0))
            self.backbone = torch.nn.Linear(1, 1)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.layer(self.backbone(batch[0])).square().mean() * 1e-3

    watch = Used()
    unfreezing = callbacks_of_pl.BackboneFinetuning(1, backbone_initial_ratio_lr=0.5, verbose=False)
    with pytest.warns(UserWarning, match="something else set the lr of group 1"):  # it raises its group's lr itself
        trainer(tmp_path, [LRMultiPhaseDecay(Linear()), unfreezing, watch], max_epochs=4).fit(Backboned())
    assert watch.lrs == [1 - k / 16 for k in range(16)]
    assert [groups[1] / groups[0] for groups in watch.groups[4:]] == pytest.approx([0.5] * 12, rel=1e-12)


@pytest.mark.parametrize("finder_first", [True, False])
def test_its_lr_finder_sets_the_peak(tmp_path: Path, finder_first: bool) -> None:
    finder = callbacks_of_pl.LearningRateFinder(num_training_steps=30, min_lr=1e-4)
    net = Net(batches=40)
    order = [finder, LRWarmup(4)] if finder_first else [LRWarmup(4), finder]
    found = lrs(tmp_path, order, net, max_epochs=1)
    assert net.lr != 1.0
    assert found[:5] == pytest.approx([net.lr * f for f in (0.25, 0.5, 0.75, 1.0, 1.0)])


def test_its_weight_averaging_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"LRWarmup.* and StochasticWeightAveraging both own the lr of SGD"):
        lrs(tmp_path, [LRWarmup(4), callbacks_of_pl.StochasticWeightAveraging(1e-2)])


def test_its_early_stopping_is_warned_about(tmp_path: Path) -> None:
    stopping = callbacks_of_pl.EarlyStopping("val_loss", patience=2)
    with pytest.warns(UserWarning, match="EarlyStopping's patience 2 .* leaves a reduction"):
        lrs(tmp_path, [LRPlateauReduction("val_loss", patience=1), stopping], Net(metric=lambda n: -n), **SETTINGS)


def test_its_tensorboard_logger_gets_points_the_plan_and_the_layout(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(folder: Path) -> Any:
        found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        found.Reload()
        return found

    logger = pytest.importorskip("pytorch_lightning.loggers").TensorBoardLogger(tmp_path, name="run")
    monitor = callbacks_of_pl.LearningRateMonitor()  # finds our scheduler, and names it
    watched = [LRMultiPhaseDecay(Exponential(0.5)), LRLogger(), monitor]
    found = lrs(tmp_path, watched, logger=logger, log_every_n_steps=1)
    points = read(Path(logger.log_dir))
    assert [point.value for point in points.Scalars("lr/SGD")] == found == [0.5**k for k in range(8)]
    assert [point.value for point in points.Scalars("lr-SGD")] == found
    assert "lr/plan/text_summary" in points.Tags()["tensors"]
    assert read(Path(logger.log_dir) / "plan").Scalars("lr/SGD")[0].value == 1.0


def test_its_csv_logger_gets_points(tmp_path: Path) -> None:
    logger = pytest.importorskip("pytorch_lightning.loggers").CSVLogger(tmp_path, name="run")
    lrs(tmp_path, [LRMultiPhaseDecay(Exponential(0.5))], logger=logger, log_every_n_steps=1)
    with (Path(logger.log_dir) / "metrics.csv").open(newline="") as file:
        points = [(int(row["step"]), float(row["lr/SGD"])) for row in csv.DictReader(file) if row["lr/SGD"]]
    assert points == [(k, 0.5**k) for k in range(8)]
