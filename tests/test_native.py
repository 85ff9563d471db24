"""Checkpoints of torch's own schedulers go on under ours: at the right update, of the right peak."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from runs import Net, trainer, used
from torch.optim import lr_scheduler as native

from lightning_lr import Cosine, Linear, LRMultiPhaseDecay, ScheduledLR, Warmup, one_cycle


def sgd(net: Net, **options: Any) -> torch.optim.SGD:
    groups = [{"params": [net.layer.weight]}, {"params": [net.layer.bias], "lr": 0.1}]
    return torch.optim.SGD(groups, **{"lr": 1.0, **options})


def checkpoint(root: Path, build: Any, interval: str = "step", **options: Any) -> Path:
    """Written after 2 epochs of 4 updates of a run of 4 epochs with a native scheduler."""

    def configure(net: Net) -> Any:
        optimizer = sgd(net, **options)
        scheduler = {"scheduler": build(optimizer), "interval": interval, "monitor": "val_loss"}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    save = ModelCheckpoint(root, filename="native", save_on_train_epoch_end=True)
    net = Net(optimizer=configure, metric=lambda n: 1.0)
    trainer(root, [save], max_epochs=2, enable_checkpointing=True, limit_val_batches=1).fit(net)
    return root / "native.ckpt"


def goes_on(root: Path, ckpt: Path, callbacks: list[Any], words: str, **options: Any) -> list[float]:
    net = Net(optimizer=lambda net: sgd(net, **options), metric=lambda n: 1.0)
    with pytest.warns(UserWarning, match=words):
        return used(root, callbacks, net, max_epochs=4, ckpt_path=ckpt, limit_val_batches=1)


def lambda_lr(optimizer: Any) -> Any:
    return native.LambdaLR(optimizer, lambda k: 1 - k / 16)


@pytest.mark.parametrize(
    ("build", "interval", "name"),
    [
        (lambda_lr, "step", "LambdaLR"),
        (lambda o: native.CosineAnnealingLR(o, T_max=4), "epoch", "CosineAnnealingLR"),
        (lambda o: native.StepLR(o, 1), "epoch", "StepLR"),
        (
            lambda o: native.SequentialLR(o, [native.LinearLR(o), native.ExponentialLR(o, 0.9)], [2]),
            "step",
            "SequentialLR",
        ),
    ],
)
def test_a_decaying_scheduler_hands_over_its_peak(tmp_path: Path, build: Any, interval: str, name: str) -> None:
    ckpt = checkpoint(tmp_path, build, interval)
    lrs = goes_on(tmp_path, ckpt, [LRMultiPhaseDecay(Linear())], f"one of {name}, .*starts at update 8")
    assert lrs == [1 - k / 16 for k in range(8, 16)]


@pytest.mark.filterwarnings("ignore:.*whose peak is taken over")
def test_one_cycle_keeps_its_peak_beside_a_lower_initial_lr(tmp_path: Path) -> None:
    ckpt = checkpoint(tmp_path, lambda o: native.OneCycleLR(o, max_lr=[1.0, 0.1], total_steps=17), momentum=0.95)
    words = "OneCycleLR had left momentum at .*; it is 0.95 again"
    lrs = goes_on(tmp_path, ckpt, [LRMultiPhaseDecay(one_cycle())], words, momentum=0.95)
    assert lrs == pytest.approx(one_cycle().curve(16)[8:])


def test_a_plateau_hands_over_its_reductions_as_an_event(tmp_path: Path) -> None:
    def build(optimizer: Any) -> Any:
        for group in optimizer.param_groups:
            group["lr"] *= 0.25  # as if it had been reduced twice by half
        return native.ReduceLROnPlateau(optimizer, factor=0.5, patience=100)

    ckpt = checkpoint(tmp_path, build, "epoch")
    net = Net(optimizer=sgd, metric=lambda n: 1.0)
    run = trainer(tmp_path, [LRMultiPhaseDecay(Warmup(2) >> Cosine())], max_epochs=4)
    with pytest.warns(UserWarning, match="starts at update 8"):
        run.fit(net, ckpt_path=ckpt)
    scheduler = run.lr_scheduler_configs[0].scheduler
    assert isinstance(scheduler, ScheduledLR)
    (event,) = scheduler.events
    assert (event.step, event.kind, event.control.scale) == (8, "reduce", 0.25)
    assert event.detail == "ReduceLROnPlateau, which wrote the checkpoint, had reduced it to 0.25 of the code's"
    assert scheduler.base_lrs == [1.0, 0.1]
    assert scheduler.factor_at(9) == 0.25 * (Warmup(2) >> Cosine()).curve(16)[9]


def test_groups_that_a_plateau_left_at_different_shares_are_refused(tmp_path: Path) -> None:
    def build(optimizer: Any) -> Any:
        optimizer.param_groups[0]["lr"] *= 0.25
        return native.ReduceLROnPlateau(optimizer, patience=100)

    ckpt = checkpoint(tmp_path, build, "epoch")
    with pytest.raises(ValueError, match=r"ReduceLROnPlateau has left the groups at different shares .* 0\.25, 1"):
        goes_on(tmp_path, ckpt, [LRMultiPhaseDecay(Linear())], "starts at update 8")
