"""A preview of this run is what this run does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from runs import Mixed, Net, Used, trainer
from test_pains import Streaming
from test_tracks import two

from lightning_lr import (
    Constant,
    Cosine,
    Linear,
    LRLogger,
    LRMultiPhaseDecay,
    LRPlateauReduction,
    LRWarmup,
    Warmup,
    one_cycle,
    preview,
)


@pytest.mark.parametrize(
    ("settings", "callbacks"),
    [
        ({}, [LRWarmup(2), LRMultiPhaseDecay([Linear()])]),
        ({"max_steps": 6}, [LRMultiPhaseDecay([Linear()]), LRLogger()]),
        ({"accumulate_grad_batches": 3, "max_epochs": 3}, [LRWarmup("25%"), LRMultiPhaseDecay([Cosine()])]),
        ({"limit_train_batches": 3}, [LRWarmup("25%")]),
        ({"max_epochs": 4}, [GradientAccumulationScheduler({0: 1, 2: 2}), LRMultiPhaseDecay([Linear()])]),
    ],
)
def test_a_preview_is_what_the_run_uses(tmp_path: Path, settings: Any, callbacks: list[Any]) -> None:
    watch, net = Used(), Net()
    run = trainer(tmp_path, [*callbacks, watch], **settings)
    before = [parameter.clone() for parameter in net.parameters()]
    torch.manual_seed(3)
    seen = preview(run, net)
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert drawn == torch.rand(1), "random numbers are left as they were"
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    run.fit(net)
    assert seen["lr/SGD"].tolist() == pytest.approx(watch.lrs, rel=1e-15)


def test_it_has_every_group_every_key_and_the_plan(tmp_path: Path) -> None:
    def schedules(net: Net) -> Any:
        return two(net, momentum=0.9)

    wishes = [LRMultiPhaseDecay(one_cycle("50%", momentum_factor=0.5)), LRMultiPhaseDecay(Constant(), groups="head")]
    seen = preview(trainer(tmp_path, wishes), Net(optimizer=schedules))
    assert sorted(seen) == ["lr/SGD/body", "lr/SGD/head", "momentum/SGD/body"]
    assert seen["lr/SGD/body"].tolist() == (0.1 * one_cycle("50%").curve(8)).tolist()
    assert seen["momentum/SGD/body"][4] == 0.45
    assert repr(seen).startswith("Learning-rate plan for SGD, 8 updates\n")


def test_the_mixin_and_a_datamodule_are_previewed_too(tmp_path: Path) -> None:
    import lightning as L
    from torch.utils.data import DataLoader

    class Data(L.LightningDataModule):
        def train_dataloader(self) -> Any:
            return DataLoader(torch.ones(6, 1, 1))

    data, run = Data(), trainer(tmp_path, [], max_epochs=1)
    assert preview(run, Mixed(Warmup(2) >> Linear()), datamodule=data)["lr/SGD"].tolist() == [
        0.5,
        1,
        1,
        0.75,
        0.5,
        0.25,
    ]
    assert data.trainer is None
    assert not any(isinstance(callback, LRLogger) for callback in run.callbacks)


def test_of_several_processes_each_has_its_share(tmp_path: Path) -> None:
    run = trainer(tmp_path, [LRMultiPhaseDecay([Linear()])], devices=2, strategy="ddp", max_epochs=1)
    assert preview(run, Net(batches=5))["lr/SGD"].tolist() == pytest.approx([1, 2 / 3, 1 / 3])


def test_what_cannot_be_previewed_says_why(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing schedules the lr of this run: put an LR callback"):
        preview(trainer(tmp_path), Net())
    endless = trainer(tmp_path, [LRWarmup(2)], max_epochs=-1)
    with pytest.raises(ValueError, match=r"the run's length is unknown: give the trainer a limit, or say steps="):
        preview(endless, Net())
    assert preview(trainer(tmp_path, [LRWarmup(2)], max_epochs=-1), Net(), steps=3)["lr/SGD"].tolist() == [0.5, 1, 1]
    with pytest.raises(ValueError, match="this run has none"):
        preview(trainer(tmp_path, [LRPlateauReduction("val_loss")]), Net())
    assert preview(trainer(tmp_path, [LRWarmup(2)], max_steps=3, max_epochs=-1), Streaming())["lr/SGD"].shape == (3,)


class Talking(Net):
    """A module whose hooks use the logger, and whose callbacks are its own."""

    def on_fit_start(self) -> None:
        self.logger.log_hyperparams({"a": 1})

    def configure_callbacks(self) -> Any:
        return [LRMultiPhaseDecay([Linear()]), LRLogger()]


def test_a_modules_own_callbacks_and_its_use_of_the_logger_are_no_hindrance(tmp_path: Path) -> None:
    seen = preview(trainer(tmp_path, []), Talking())
    assert seen["lr/SGD"].tolist() == [1 - k / 8 for k in range(8)]


def test_a_run_that_only_time_ends_has_no_length(tmp_path: Path) -> None:
    timed = trainer(tmp_path, [LRMultiPhaseDecay([Cosine()])], max_epochs=None, max_time="00:01:00:00")
    with pytest.raises(ValueError, match="takes the rest of a run whose length is unknown"):
        preview(timed, Net())


def test_random_numbers_stay_also_where_it_is_refused_and_in_a_loaders_own_generator(tmp_path: Path) -> None:
    from torch.utils.data import DataLoader

    class Drawing(Net):
        def configure_optimizers(self) -> Any:
            torch.rand(5)
            return super().configure_optimizers()

    net = Drawing()
    torch.manual_seed(7)
    with pytest.raises(ValueError, match="100 updates long, but the run has 8"):
        preview(trainer(tmp_path, [LRMultiPhaseDecay([Linear(100)])]), net)
    drawn = torch.rand(1)
    torch.manual_seed(7)
    assert drawn == torch.rand(1)

    own = torch.Generator().manual_seed(0)
    loader = DataLoader(torch.ones(8, 1, 1), shuffle=True, generator=own)
    before = own.get_state()
    preview(trainer(tmp_path, [LRWarmup(2)]), Net(), loader)
    assert torch.equal(own.get_state(), before)


def test_a_module_that_cannot_be_copied_is_named(tmp_path: Path) -> None:
    net = Net()
    net.stream = iter(x for x in [1])  # type: ignore[assignment]
    with pytest.raises(ValueError, match="a copy of the module is made, and it cannot be copied: cannot pickle"):
        preview(trainer(tmp_path, [LRWarmup(2)]), net)
