"""Checkpoints of torch's own schedulers go on under ours: at the right update, of the right peak."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from runs import Net, trainer, used
from torch.optim import lr_scheduler as native

from lightning_lr import Constant, Cosine, Linear, LRMultiPhaseDecay, ScheduledLR, Warmup, one_cycle
from lightning_lr.core.native import name_of


def sgd(net: Net, **options: Any) -> torch.optim.SGD:
    groups = [{"params": [net.layer.weight]}, {"params": [net.layer.bias], "lr": 0.1}]
    return torch.optim.SGD(groups, **{"lr": 1.0, **options})


def checkpoint(root: Path, build: Any, interval: str = "step", **options: Any) -> Path:
    """Written after 2 epochs of 4 updates of a run of 4 epochs with a native scheduler."""

    def configure(net: Net) -> Any:
        optimizer = sgd(net, **options)
        built = build(optimizer)
        each = [
            {"scheduler": one, "interval": interval, "monitor": "val_loss"}
            for one in (built if isinstance(built, list) else [built])
        ]
        return [optimizer], each

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
        (lambda_lr, "step", "LambdaLR or MultiplicativeLR"),
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


def one_cycle_lr(optimizer: Any) -> Any:
    return native.OneCycleLR(optimizer, max_lr=[1.0, 0.1], total_steps=17)


def cyclic_lr(optimizer: Any) -> Any:
    return native.CyclicLR(optimizer, base_lr=[0.1, 0.01], max_lr=[1.0, 0.1], step_size_up=3, cycle_momentum=False)


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (cyclic_lr, "CyclicLR"),
        (lambda o: native.SequentialLR(o, [native.LinearLR(o), cyclic_lr(o)], [2]), "SequentialLR"),
        (lambda o: native.SequentialLR(o, [native.LinearLR(o), one_cycle_lr(o)], [2]), "SequentialLR"),
        (lambda o: native.ChainedScheduler([native.ConstantLR(o), cyclic_lr(o)]), "ChainedScheduler"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*had left momentum at")
def test_the_upper_lr_of_a_cycle_is_the_peak(tmp_path: Path, build: Any, name: str) -> None:
    ckpt = checkpoint(tmp_path, build, momentum=0.95)
    options = {"momentum": 0.95}
    net = Net(optimizer=lambda net: sgd(net, **options))
    run = trainer(tmp_path, [LRMultiPhaseDecay(Linear())], max_epochs=3)
    with pytest.warns(UserWarning, match=f"one of {name}, whose peak is taken over"):
        run.fit(net, ckpt_path=ckpt)
    scheduler = run.lr_scheduler_configs[0].scheduler
    assert scheduler.base_lrs == [1.0, 0.1]
    assert [group["lr"] for group in scheduler.optimizer.param_groups] == [0.0, 0.0]


@pytest.mark.filterwarnings("ignore:.*(whose peak is taken over|had left momentum)")
def test_a_checkpoint_of_ours_that_followed_a_one_cycle_is_ours_alone(tmp_path: Path) -> None:
    ckpt = checkpoint(tmp_path, one_cycle_lr)
    save = ModelCheckpoint(tmp_path, filename="ours", save_on_train_epoch_end=True)
    schedule = LRMultiPhaseDecay(Constant(), on_lr_change="use_new")
    net = Net(optimizer=lambda net: sgd(net, lr=0.5, momentum=0.95))
    with pytest.warns(UserWarning, match=r"is 0\.5 in the code and 1 in the checkpoint; the code's is used"):
        trainer(tmp_path, [schedule, save], max_epochs=3, enable_checkpointing=True).fit(net, ckpt_path=ckpt)
    net = Net(optimizer=lambda net: sgd(net, lr=0.5, momentum=0.95))
    assert used(tmp_path, [schedule], net, max_epochs=4, ckpt_path=tmp_path / "ours.ckpt") == [0.5] * 4


@pytest.mark.filterwarnings("ignore:.*(whose peak is taken over|no schedule is about the lr)")
@pytest.mark.parametrize("kind", ["momentum", "beta1"])
def test_a_schedule_of_the_momentum_alone_starts_from_the_full_one(tmp_path: Path, kind: str) -> None:
    def build(net: Net) -> Any:
        if kind == "momentum":
            return torch.optim.SGD(net.parameters(), lr=1.0, momentum=0.95)
        return torch.optim.Adam(net.parameters(), lr=1.0, betas=(0.95, 0.99))

    def configure(net: Net) -> Any:
        optimizer = build(net)
        scheduler = native.OneCycleLR(optimizer, 1.0, total_steps=17)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    save = ModelCheckpoint(tmp_path, filename="native", save_on_train_epoch_end=True)
    trainer(tmp_path, [save], enable_checkpointing=True).fit(Net(optimizer=configure))
    run = trainer(tmp_path, [LRMultiPhaseDecay(Linear(end_factor=0.5), key=kind)], max_epochs=3)
    with pytest.warns(UserWarning, match=r"OneCycleLR had left momentum at 0\.8\d+; it is 0\.95 again"):
        run.fit(Net(optimizer=build), ckpt_path=tmp_path / "native.ckpt")
    (group,) = run.optimizers[0].param_groups
    assert group[f"initial_{kind}"] == 0.95
    assert (group["momentum"] if kind == "momentum" else group["betas"][0]) == 0.95 / 2


@pytest.mark.filterwarnings("ignore:.*(whose peak is taken over|had left momentum)")
def test_an_lr_that_nobody_schedules_is_named(tmp_path: Path) -> None:
    ckpt = checkpoint(tmp_path, one_cycle_lr, momentum=0.95)
    words = r"no schedule is about the lr of group 1: OneCycleLR has left it at 0\.0\d+"
    assert goes_on(tmp_path, ckpt, [LRMultiPhaseDecay(Constant(), groups=0)], words, momentum=0.95) == [1.0] * 8


def reducing(optimizer: Any) -> list[Any]:
    return [
        native.ExponentialLR(optimizer, 0.9),
        native.ReduceLROnPlateau(optimizer, factor=0.5, patience=-1),
    ]  # reduces always


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.filterwarnings("ignore:.*whose peak is taken over")
def test_reductions_beside_another_scheduler_are_named_and_not_taken_over(tmp_path: Path, order: int) -> None:
    ckpt = checkpoint(tmp_path, lambda o: reducing(o)[::order], "epoch")
    (group, _) = torch.load(ckpt, weights_only=True)["optimizer_states"][0]["param_groups"]
    assert group["lr"] < 0.9**2  # the plateau has reduced
    names = " beside ".join(["ExponentialLR", "ReduceLROnPlateau"][::order])
    words = f"one of {names}, and what the plateau has reduced cannot be told from the rest"
    assert goes_on(tmp_path, ckpt, [LRMultiPhaseDecay(Linear())], words) == [1 - k / 16 for k in range(8, 16)]


@pytest.mark.filterwarnings("ignore:.*(whose peak is taken over|cannot be told)")
def test_what_the_warning_says_keeps_the_reductions(tmp_path: Path) -> None:
    ckpt = checkpoint(tmp_path, reducing, "epoch")
    schedule = LRMultiPhaseDecay(Constant(), on_lr_change="use_new")
    assert goes_on(tmp_path, ckpt, [schedule], "the code's is used", lr=0.5) == [0.5] * 8


@pytest.mark.filterwarnings("ignore:.*whose peak is taken over")
def test_two_plateaus_hand_over_what_both_have_reduced(tmp_path: Path) -> None:
    def build(optimizer: Any) -> list[Any]:
        for group in optimizer.param_groups:
            group["lr"] *= 0.25
        return [native.ReduceLROnPlateau(optimizer, patience=100) for _ in range(2)]

    ckpt = checkpoint(tmp_path, build, "epoch")
    words = "one of ReduceLROnPlateau beside ReduceLROnPlateau"
    assert goes_on(tmp_path, ckpt, [LRMultiPhaseDecay(Constant())], words) == [0.25] * 8


def test_more_states_than_optimizers_are_named(tmp_path: Path) -> None:
    def two(net: Net) -> Any:
        net.automatic_optimization = False
        return [torch.optim.SGD([p], lr=1.0) for p in net.parameters()]

    def configure(net: Net) -> Any:
        optimizers = two(net)
        return optimizers, [*reducing(optimizers[0]), native.StepLR(optimizers[1], 1)]

    class Manual(Net):
        def training_step(self, batch: Any, batch_idx: int) -> None:
            for optimizer in self.optimizers():
                optimizer.zero_grad()
                self.manual_backward(super().training_step(batch, batch_idx))
                optimizer.step()

    save = ModelCheckpoint(tmp_path, filename="native", save_on_train_epoch_end=True)
    trainer(tmp_path, [save], enable_checkpointing=True).fit(Manual(optimizer=configure))
    callbacks = [LRMultiPhaseDecay(Linear(), start_step=8, total_steps=16)]
    words = r"LRMultiPhaseDecay: .* 3 states .* \(ExponentialLR, ReduceLROnPlateau, StepLR\) for 2 optimizers"
    run = trainer(tmp_path, callbacks, max_epochs=3)
    with pytest.warns(UserWarning, match=words) as warned:
        run.fit(Manual(optimizer=two), ckpt_path=tmp_path / "native.ckpt")
    assert sum("3 states" in str(w.message) for w in warned) == 1


def loaded_one_cycle() -> tuple[torch.optim.SGD, dict[str, Any]]:
    """A new optimizer, and what a plain loop saved of one after 8 updates."""
    old, new = (torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0, momentum=0.95) for _ in range(2))
    scheduler = native.OneCycleLR(old, 1.0, total_steps=17)
    for _ in range(8):
        old.step()
        scheduler.step()
    return new, old.state_dict()


@pytest.mark.parametrize("loads", ["before", "after"])
@pytest.mark.parametrize("policy", ["keep", "use_new", "error"])
@pytest.mark.filterwarnings("ignore:.*had left momentum at")
def test_a_plain_loop_finds_the_peak_of_a_one_cycle_in_the_groups(loads: str, policy: str) -> None:
    optimizer, saved = loaded_one_cycle()

    def build() -> ScheduledLR:
        if loads == "before":
            optimizer.load_state_dict(saved)
        scheduler = ScheduledLR(optimizer, Linear(), total_steps=16, start_step=8, on_lr_change=policy)
        if loads == "after":
            optimizer.load_state_dict(saved)
        return scheduler

    with pytest.warns(UserWarning, match="groups are those of OneCycleLR: their max_lr is the peak"):
        scheduler = build()
    assert scheduler.base_lrs == [1.0]
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert optimizer.param_groups[0]["momentum"] == 0.95


def test_the_names_that_states_tell() -> None:
    def states(build: Any) -> Any:
        return build(torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0, momentum=0.9)).state_dict()

    told = {
        "PolynomialLR": native.PolynomialLR,
        "ConstantLR": native.ConstantLR,
        "LinearLR": native.LinearLR,
        "LambdaLR or MultiplicativeLR": lambda o: native.MultiplicativeLR(o, lambda k: 0.9),
        "MultiStepLR": lambda o: native.MultiStepLR(o, [2]),
        "ExponentialLR": lambda o: native.ExponentialLR(o, 0.9),
        "CosineAnnealingWarmRestarts": lambda o: native.CosineAnnealingWarmRestarts(o, 2),
        "ReduceLROnPlateau": native.ReduceLROnPlateau,
        "SWALR": lambda o: torch.optim.swa_utils.SWALR(o, 0.1),
        "CyclicLR": lambda o: native.CyclicLR(o, 0.1, 1.0),
        "OneCycleLR": lambda o: native.OneCycleLR(o, 1.0, total_steps=9),
    }
    assert [name_of(states(build)) for build in told.values()] == list(told)
    assert name_of({"last_epoch": 7}) == "a native scheduler"
