"""Beside Lightning's own callbacks every update uses the lr that it would have used without them, and resumes so.

U is the lr of every update, G that of the run that nobody interrupts. Nobody sleeps: clocks are fake, and signals are
sent by the run to itself, at an update that is named.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    GradientAccumulationScheduler,
    LearningRateFinder,
    LearningRateMonitor,
    ModelCheckpoint,
    OnExceptionCheckpoint,
    StochasticWeightAveraging,
    Timer,
)
from lightning.pytorch.plugins.environments import SLURMEnvironment
from runs import Mixed, Net, Used, trainer, used
from test_logging import as_logged, logged_run
from test_metrics_pains import VALIDATED, Scripted, all_wishes, constant, noisy, scheduler_state
from test_pains import SaveEveryStep, two_groups
from torch.utils.data import DataLoader

from lightning_lr import (
    Exponential,
    Linear,
    LRLogger,
    LRMultiPhaseDecay,
    LRPlateauReduction,
    LRScheduleMixin,
    LRWarmup,
)


def global_step(ckpt: Path) -> int:
    return int(torch.load(ckpt, weights_only=True)["global_step"])


# ---- StochasticWeightAveraging


@pytest.mark.parametrize("swa_first", [True, False])
@pytest.mark.parametrize("mixin", [True, False])
def test_swa_is_refused_in_any_order_naming_both_and_the_fix(tmp_path: Path, swa_first: bool, mixin: bool) -> None:
    ours: list[Callback] = [] if mixin else [LRWarmup(2), LRMultiPhaseDecay(Linear())]
    order = [StochasticWeightAveraging(0.1), *ours] if swa_first else [*ours, StochasticWeightAveraging(0.1)]
    who = "LRScheduleMixin" if mixin else r"LRWarmup.* \+ LRMultiPhaseDecay.*"
    with pytest.raises(
        ValueError, match=rf"{who} and StochasticWeightAveraging both own the lr of SGD.*EMAWeightAveraging"
    ):
        used(tmp_path, order, Mixed(Linear()) if mixin else Net())


def test_a_subclass_of_swa_is_refused_as_well(tmp_path: Path) -> None:
    class Mine(StochasticWeightAveraging):
        pass

    with pytest.raises(ValueError, match=r"LRMultiPhaseDecay.* and StochasticWeightAveraging both own the lr of SGD"):
        used(tmp_path, [LRMultiPhaseDecay(Linear()), Mine(0.1)])


def test_a_lone_logger_owns_nothing_and_lets_swa_have_the_lr(tmp_path: Path) -> None:
    swa = StochasticWeightAveraging(0.25, swa_epoch_start=1, annealing_epochs=1)
    lrs, logged = logged_run(tmp_path, [LRLogger(), swa], max_epochs=3)
    assert lrs == [1.0] * 4 + [0.25] * 8
    assert logged["lr/SGD"] == as_logged(lrs)


# ---- EMAWeightAveraging


class Learning(Net):
    """Approaches 3 and measures how far it still is; rounded, that comes to a plateau."""

    def __init__(self, decimals: int = 6) -> None:
        super().__init__()
        self.decimals = decimals
        torch.nn.init.zeros_(self.layer.weight)
        torch.nn.init.zeros_(self.layer.bias)

    def loss(self) -> Any:
        return (self.layer(torch.ones(1, 1)) - 3.0).square().mean()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss() * 0.1

    def on_validation_epoch_end(self) -> None:
        pass

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", torch.round(self.loss(), decimals=self.decimals))


EMA: dict[str, Any] = {"max_epochs": 8, **VALIDATED}


def ema_wishes() -> list[Callback]:
    return [LRWarmup(4), LRPlateauReduction("val_loss", patience=0, factor=0.5), LRMultiPhaseDecay(Linear())]


@pytest.mark.parametrize("ema_first", [True, False])
def test_ema_leaves_the_lr_alone(tmp_path: Path, ema_first: bool) -> None:
    ours: list[Callback] = [LRWarmup(4), LRMultiPhaseDecay(Linear())]
    ema = EMAWeightAveraging(decay=0.5)
    assert used(tmp_path, [ema, *ours] if ema_first else [*ours, ema], Learning(), **EMA) == used(tmp_path, ours, **EMA)


def test_ema_resumes_exactly_lrs_and_weights(tmp_path: Path) -> None:
    def fit(extra: list[Callback], ckpt: Path | None = None) -> tuple[list[float], float]:
        net, watch = Learning(decimals=2), Used()
        callbacks = [EMAWeightAveraging(decay=0.5), *ema_wishes(), watch, *extra]
        trainer(tmp_path, callbacks, **EMA).fit(net, ckpt_path=ckpt)
        return watch.lrs, net.layer.weight.item()

    whole, weight = fit([SaveEveryStep()])
    assert len(scheduler_state(tmp_path / "step31.ckpt")["events"]) >= 2
    for k in (3, 4, 9, 16, 20, 30):
        assert fit([], tmp_path / f"step{k}.ckpt") == (whole[k:], weight), k


def test_a_plateau_rule_sees_what_the_averaged_weights_measure(tmp_path: Path) -> None:
    plateau = LRPlateauReduction("val_loss", patience=0, factor=0.5)
    untouched = EMAWeightAveraging(update_starting_at_step=10**6)  # its average stays what the weights were at first
    assert used(tmp_path, [plateau], Learning(), max_epochs=4, **VALIDATED) == [1.0] * 16
    lrs = used(tmp_path, [plateau, untouched], Learning(), max_epochs=4, **VALIDATED)
    assert lrs == [1.0] * 8 + [0.5] * 4 + [0.25] * 4


# ---- EarlyStopping


class Patient(EarlyStopping):
    """Lightning loads the saved patience over the user's new one."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({**state_dict, "patience": self.patience})


@pytest.mark.parametrize("saving", [{}, {"save_on_train_epoch_end": True}, "after the fit"], ids=str)
def test_early_stopping_ends_the_run_and_more_patience_continues_the_same_curve(tmp_path: Path, saving: Any) -> None:
    def wishes(patience: int) -> list[Callback]:
        plateau = LRPlateauReduction("val_loss", patience=1, factor=0.5)
        return [Patient("val_loss", patience=patience), plateau, LRMultiPhaseDecay(Linear())]

    settings: dict[str, Any] = {"max_epochs": 8, **VALIDATED}
    whole = used(tmp_path, wishes(50), Scripted(constant), **settings)
    assert len(whole) == 32
    after = saving == "after the fit"
    savers = [] if after else [ModelCheckpoint(tmp_path / "kept", save_last=True, **saving)]
    watch = Used()
    runner = trainer(tmp_path, [*wishes(4), watch, *savers], enable_checkpointing=not after, **settings)
    runner.fit(Scripted(constant))
    assert watch.lrs == whole[:20]  # the best, and four that are not better
    ckpt = tmp_path / "kept" / "last.ckpt"
    if after:
        runner.save_checkpoint(ckpt)
    assert scheduler_state(ckpt)["updates"] == 20
    assert used(tmp_path, wishes(50), Scripted(constant), ckpt_path=ckpt, **settings) == whole[20:]


@pytest.mark.parametrize(("patience", "has_time"), [(3, False), (4, False), (5, True), (9, True)])
def test_row_28_a_warning_when_early_stopping_leaves_a_reduction_no_time_and_none_when_it_does(
    tmp_path: Path, patience: int, has_time: bool
) -> None:
    wishes = [EarlyStopping("val_loss", patience=patience), LRPlateauReduction("val_loss", patience=3, factor=0.5)]

    def fit() -> list[float]:
        return used(tmp_path, wishes, Net(metric=constant), max_epochs=12, **VALIDATED)

    if has_time:
        lrs = fit()  # a warning would be an error here
    else:
        with pytest.warns(UserWarning, match=rf"EarlyStopping's patience {patience} on 'val_loss' leaves a reduction"):
            lrs = fit()
    assert len(lrs) == 4 * (1 + patience)
    assert (0.5 in lrs) is has_time


# ---- GradientAccumulationScheduler: of 5 batches 4, 2, 2, 1 at a time: 2 + 3 + 3 + 5 updates

CHANGING = {0: 4, 1: 2, 3: 1}


def changing() -> list[Callback]:
    return [LRMultiPhaseDecay([Linear("3 epochs", end_factor=0.5), Linear()]), GradientAccumulationScheduler(CHANGING)]


BY_HAND = [1 - k / 16 for k in range(8)] + [0.5 - k / 10 for k in range(5)]


@pytest.mark.parametrize(
    ("wish", "lrs"),
    [
        (LRMultiPhaseDecay(Linear()), [1 - k / 13 for k in range(13)]),
        (LRMultiPhaseDecay([Linear("3 epochs", end_factor=0.5), Linear()]), BY_HAND),
        (LRWarmup("2 epochs"), [k / 5 for k in range(1, 6)] + [1.0] * 8),
        (LRWarmup("100%"), [k / 13 for k in range(1, 14)]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("ours_first", [True, False])
def test_epochs_of_different_lengths_are_summed(
    tmp_path: Path, wish: Callback, lrs: list[float], ours_first: bool
) -> None:
    theirs = GradientAccumulationScheduler(CHANGING)
    order = [wish, theirs] if ours_first else [theirs, wish]
    assert used(tmp_path, order, Net(batches=5), max_epochs=4) == pytest.approx(lrs, rel=1e-12)


@pytest.mark.parametrize("saving", [{"monitor": "val_loss"}, {"save_on_train_epoch_end": True}], ids=str)
def test_accumulation_that_changes_resumes_after_every_epoch(tmp_path: Path, saving: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"max_epochs": 4, "enable_checkpointing": True, **VALIDATED}
    saver = ModelCheckpoint(tmp_path / "kept", filename="{step}", save_top_k=-1, every_n_epochs=1, **saving)
    whole = used(tmp_path, [*changing(), saver], Net(batches=5, metric=constant), **settings)
    assert whole == pytest.approx(BY_HAND, rel=1e-12)
    kept = sorted((tmp_path / "kept").glob("*.ckpt"))
    assert sorted(map(global_step, kept)) == [2, 5, 8, 13]
    for ckpt in kept:
        lrs = used(tmp_path, changing(), Net(batches=5, metric=constant), ckpt_path=ckpt, **settings)
        assert lrs == whole[global_step(ckpt) :]


def test_accumulation_that_changes_resumes_within_an_epoch(tmp_path: Path) -> None:
    whole = used(tmp_path, [*changing(), SaveEveryStep()], Net(batches=5), max_epochs=4)
    resumed = {
        k: used(tmp_path, changing(), Net(batches=5), max_epochs=4, ckpt_path=tmp_path / f"step{k}.ckpt")
        for k in range(1, 13)
    }
    assert resumed == {k: whole[k:] for k in range(1, 13)}


def test_a_subclass_of_the_accumulation_scheduler_is_summed_as_well(tmp_path: Path) -> None:
    class Mine(GradientAccumulationScheduler):
        pass

    lrs = used(tmp_path, [LRMultiPhaseDecay(Linear()), Mine(CHANGING)], Net(batches=5), max_epochs=4)
    assert lrs == pytest.approx([1 - k / 13 for k in range(13)])


# ---- BatchSizeFinder


class Sized(Net):
    """128 samples; more than 20 at once are too many. Remembers the lrs of the steps that the finder tried."""

    batch_size = 2

    def __init__(self) -> None:
        super().__init__()
        self.tried: list[float] = []
        self.began_with: dict[str, Any] = {}
        self.momenta = -1

    def loader(self, batches: int) -> Any:
        return DataLoader(torch.ones(128, 1), batch_size=self.batch_size)

    def on_train_start(self) -> None:
        """The last call is that of the training itself."""
        self.began_with = {name: value.clone() for name, value in self.state_dict().items()}
        self.momenta = len(self.optimizers().optimizer.state)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if len(batch) > 20:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        self.tried.append(self.optimizers().optimizer.param_groups[0]["lr"])
        return self.layer(batch).square().mean() * 1e-3

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=1.0, momentum=0.9)


class SizedMixed(LRScheduleMixin, Sized):
    def configure_optimizers(self) -> Any:
        return self.scheduled(super().configure_optimizers(), Linear("1 epoch", end_factor=0.5) >> Linear())


def size_finder(mode: str = "power") -> BatchSizeFinder:
    return BatchSizeFinder(mode=mode, steps_per_trial=2, init_val=2, max_trials=8)


@pytest.mark.parametrize(("mode", "size", "epoch"), [("power", 16, 8), ("binsearch", 19, 7)])
@pytest.mark.parametrize("how", ["finder first", "finder last", "mixin"])
def test_the_plan_is_made_for_the_batch_size_that_was_found(
    tmp_path: Path, mode: str, size: int, epoch: int, how: str
) -> None:
    ours: list[Callback] = [LRMultiPhaseDecay([Linear("1 epoch", end_factor=0.5), Linear()])]
    order = {"finder first": [size_finder(mode), *ours], "finder last": [*ours, size_finder(mode)]}
    net = SizedMixed() if how == "mixin" else Sized()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    lrs = used(tmp_path, order.get(how, [size_finder(mode)]), net)
    assert net.batch_size == size
    assert lrs == pytest.approx([1 - k / (2 * epoch) for k in range(2 * epoch)], rel=1e-12)
    trials = net.tried[: -len(lrs)]
    assert len(trials) >= 8  # four sizes, two steps each
    assert set(trials) == {1.0}  # ours was dormant meanwhile
    assert all(torch.equal(net.began_with[name], value) for name, value in before.items())
    assert net.momenta == 0


def test_with_a_finder_lightning_restores_no_progress_and_the_schedule_starts_where_the_trainer_does(
    tmp_path: Path,
) -> None:
    def net() -> Sized:
        sized = Sized()
        sized.batch_size = 16
        return sized

    used(tmp_path, [LRMultiPhaseDecay(Linear()), SaveEveryStep()], net())
    watch = Used()
    runner = trainer(tmp_path, [LRMultiPhaseDecay(Linear()), size_finder(), watch])
    runner.fit(net(), ckpt_path=tmp_path / "step3.ckpt")
    assert runner.global_step == 16
    assert watch.lrs == [1 - k / 16 for k in range(16)]


# ---- the lr finder


class Tuned(Net):
    lr = 1.0

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.lr)


def falling_from(peak: float) -> list[float]:
    """4 updates of warmup, then linear to 0, in 40 updates."""
    return [peak * (k + 1) / 4 for k in range(4)] + [peak * (1 - k / 36) for k in range(36)]


def decaying() -> list[Callback]:
    return [LRWarmup(4), LRMultiPhaseDecay(Linear())]


@pytest.mark.parametrize("mode", ["exponential", "linear"])
@pytest.mark.parametrize("finder_first", [True, False])
def test_row_32_the_finders_suggestion_is_the_peak(tmp_path: Path, mode: str, finder_first: bool) -> None:
    finder = LearningRateFinder(num_training_steps=20, min_lr=1e-3, mode=mode)
    net = Tuned(batches=40)
    watch = Used()
    order = [finder, *decaying()] if finder_first else [*decaying(), finder]
    trainer(tmp_path, [*order, watch, SaveEveryStep()], max_epochs=1).fit(net)
    assert net.lr != 1.0
    assert watch.lrs == pytest.approx(falling_from(net.lr), rel=1e-12)
    assert finder.optimal_lr is not None
    tried = finder.optimal_lr.results["lr"]
    assert tried == sorted(set(tried))  # nobody else wrote the lr meanwhile
    state = scheduler_state(tmp_path / "step40.ckpt")
    assert (state["updates"], state["events"]) == (40, [])


def test_row_32_the_tuner_leaves_no_traces_in_a_run_that_takes_no_suggestion(tmp_path: Path) -> None:
    without = used(tmp_path, decaying(), Tuned(batches=40), max_epochs=1)
    watch, net = Used(), Tuned(batches=40)
    runner = trainer(tmp_path, [*decaying(), watch], max_epochs=1)
    L.pytorch.tuner.Tuner(runner).lr_find(net, num_training=20, min_lr=1e-3, update_attr=False)
    assert watch.lrs == []
    runner.fit(net)
    assert watch.lrs == without == pytest.approx(falling_from(1.0), rel=1e-12)


class Later(LearningRateFinder):
    """At an epoch's start, as Lightning's documentation has it for fine-tuning: the schedule runs already."""

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        pass

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 0:
            self.lr_find(trainer, pl_module)


@pytest.mark.parametrize("finder_first", [True, False])
def test_a_finder_within_the_run_disturbs_nothing_and_its_suggestion_is_refused_aloud(
    tmp_path: Path, finder_first: bool
) -> None:
    finder, watch = Later(num_training_steps=20, min_lr=1e-3), Used()
    order = [finder, *decaying()] if finder_first else [*decaying(), finder]
    with pytest.warns(UserWarning, match=r"something else set the lr of group 0 to 0\.\d+; the schedule owns it"):
        trainer(tmp_path, [*order, watch], max_epochs=1).fit(Tuned(batches=40))
    assert finder.optimal_lr is not None
    assert len(set(finder.optimal_lr.results["lr"])) == 20
    assert watch.lrs == pytest.approx(falling_from(1.0), rel=1e-12)


@pytest.mark.filterwarnings("ignore:.*holds no state of this schedule:UserWarning")
def test_a_second_fit_goes_on_although_a_finder_runs_before_it(tmp_path: Path) -> None:
    net, watch = Tuned(batches=30, metric=constant), Used()
    finder = LearningRateFinder(num_training_steps=20, min_lr=1e-3, update_attr=False)
    wish = LRPlateauReduction("val_loss", patience=0, factor=0.5)
    runner = trainer(tmp_path, [wish, finder, watch], max_epochs=3, **VALIDATED)
    runner.fit(net)
    runner.fit_loop.max_epochs = 5
    runner.fit(net)
    assert watch.lrs[::30] == [1.0, 1.0, 0.5, 0.25, 0.125]


# ---- Timer and max_time, on a clock that each batch moves on by a second


class Ticking(Callback):
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def on_train_batch_start(self, *_: Any) -> None:
        self.now += 1.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Ticking:
    ticking = Ticking()
    monkeypatch.setattr(
        L.pytorch.callbacks.timer, "time", types.SimpleNamespace(monotonic=ticking.monotonic), raising=True
    )
    return ticking


def limited(how: str) -> tuple[list[Callback], dict[str, Any]]:
    if how == "max_time":
        return [], {"max_time": {"seconds": 6}, "max_epochs": None}
    return [Timer(duration={"seconds": 6})], {"max_epochs": None}


@pytest.mark.parametrize("how", ["max_time", "Timer"])
@pytest.mark.parametrize("wish", [LRWarmup("5%"), LRMultiPhaseDecay(Linear())], ids=repr)
def test_a_share_of_a_run_that_only_time_ends_is_refused_naming_total_steps(
    tmp_path: Path, clock: Ticking, how: str, wish: Callback
) -> None:
    timers, settings = limited(how)
    with pytest.raises(ValueError, match=r"LR\w+: .*a run whose length is unknown: give total_steps="):
        used(tmp_path, [wish, *timers, clock], **settings)


@pytest.mark.filterwarnings("ignore:.*Please add the following callbacks:UserWarning")
@pytest.mark.parametrize("how", ["max_time", "Timer"])
def test_a_run_that_time_ended_goes_on_exactly(tmp_path: Path, clock: Ticking, how: str) -> None:
    timers, settings = limited(how)
    watch = Used()
    runner = trainer(tmp_path, [LRMultiPhaseDecay(Linear(), total_steps=12), *timers, clock, watch], **settings)
    runner.fit(Net())
    assert watch.lrs == pytest.approx([1 - k / 12 for k in range(6)], rel=1e-12)
    runner.save_checkpoint(tmp_path / "late.ckpt")
    wish = LRMultiPhaseDecay(Linear(), total_steps=12)
    by_steps: dict[str, Any] = {"max_epochs": -1, "max_steps": 12}  # the epoch that time cut short is over
    rest = used(tmp_path, [wish], ckpt_path=tmp_path / "late.ckpt", **by_steps)
    assert [*watch.lrs, *rest] == used(tmp_path, [wish], **by_steps)


def test_time_beside_a_known_length_only_cuts_the_run(tmp_path: Path, clock: Ticking) -> None:
    wish = LRMultiPhaseDecay(Linear())
    whole = used(tmp_path, [wish], max_epochs=3)
    assert used(tmp_path, [wish, clock], max_epochs=3, max_time={"seconds": 6}) == whole[:6]
    clock.now = 0.0
    by_epoch = Timer(duration={"seconds": 6}, interval="epoch")
    assert used(tmp_path, [wish, clock, by_epoch], max_epochs=3) == whole[:8]


# ---- runs that are broken off: by an exception, by a signal


class At(Callback):
    """Does something once, in one hook, when so many updates have been made."""

    def __init__(self, hook: str, step: int, do: Callable[[], None]) -> None:
        self.done = False

        def here(trainer: Any, *_: Any) -> None:
            if not self.done and trainer.global_step == step:
                self.done = True
                do()

        setattr(self, hook, here)


def fail() -> None:
    raise KeyError("the disk is on fire")


def send(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


RESTARTED = pytest.mark.filterwarnings("ignore:.*ckpt_path:UserWarning")  # Lightning looks for a last checkpoint


def broken_off(
    tmp_path: Path, breaker: Callback, first: bool, settings: dict[str, Any], error: type[BaseException]
) -> tuple[list[float], list[float], int]:
    """G, U of the run that goes on, and how many updates had been made when it broke off."""

    def net() -> Net:
        return Scripted(noisy, per_epoch=2 if "val_check_interval" in settings else 1)

    settings = {"max_epochs": 6, **VALIDATED, **settings}
    whole = used(tmp_path, all_wishes(), net(), **settings)
    order = [breaker, *all_wishes()] if first else [*all_wishes(), breaker]
    with pytest.raises(error):
        used(tmp_path, [*order, OnExceptionCheckpoint(tmp_path)], net(), enable_checkpointing=True, **settings)
    ckpt = tmp_path / "on_exception.ckpt"
    rest = used(tmp_path, all_wishes(), net(), ckpt_path=ckpt, **settings)
    return whole, rest, global_step(ckpt)


@RESTARTED
@pytest.mark.parametrize("step", range(1, 12))
def test_an_exception_in_a_training_step_leaves_no_trace(tmp_path: Path, step: int) -> None:
    class Failing(Net):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if self.trainer.global_step == step:
                fail()
            return super().training_step(batch, batch_idx)

    def wishes() -> list[Callback]:
        return [LRWarmup("25%"), LRMultiPhaseDecay([Linear("50%", end_factor=0.5), Exponential(0.9)])]

    whole = used(tmp_path, wishes(), max_epochs=3)
    with pytest.raises(KeyError, match="fire"):
        used(
            tmp_path,
            [*wishes(), OnExceptionCheckpoint(tmp_path)],
            Failing(),
            max_epochs=3,
            enable_checkpointing=True,
        )
    assert used(tmp_path, wishes(), max_epochs=3, ckpt_path=tmp_path / "on_exception.ckpt") == whole[step:]


@RESTARTED
@pytest.mark.parametrize("first", [True, False], ids=["before ours", "after ours"])
@pytest.mark.parametrize(
    ("hook", "step", "settings"),
    [
        ("on_train_batch_start", 5, {}),
        ("on_before_optimizer_step", 6, {}),
        ("on_before_optimizer_step", 8, {"val_check_interval": 2}),
        ("on_train_batch_end", 6, {}),
        ("on_train_batch_end", 8, {}),
        ("on_train_epoch_end", 8, {}),
        ("on_before_optimizer_step", 7, {}),
        ("on_before_optimizer_step", 5, {"val_check_interval": 2}),
        ("on_validation_start", 8, {}),
        ("on_validation_batch_end", 8, {}),
        ("on_validation_epoch_end", 8, {"val_check_interval": 2}),
        ("on_train_epoch_start", 8, {}),
    ],
)
def test_an_exception_anywhere_leaves_no_trace_in_what_the_metrics_decide(
    tmp_path: Path, hook: str, step: int, settings: dict[str, Any], first: bool
) -> None:
    whole, rest, done = broken_off(tmp_path, At(hook, step, fail), first, settings, KeyError)
    assert done == step
    assert rest == whole[step:]


@RESTARTED
@pytest.mark.parametrize("first", [True, False], ids=["before ours", "after ours"])
def test_an_exception_when_a_validation_has_ended_leaves_no_trace(tmp_path: Path, first: bool) -> None:
    whole, rest, done = broken_off(tmp_path, At("on_validation_end", 8, fail), first, {}, KeyError)
    assert rest == whole[done:]


@RESTARTED
def test_a_run_that_broke_off_twice_trains_as_many_batches_as_it_was_to(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_epochs": 5, **VALIDATED}
    whole = used(tmp_path, all_wishes(), Scripted(noisy), **settings)
    breaking = [*all_wishes(), At("on_before_optimizer_step", 6, fail), OnExceptionCheckpoint(tmp_path)]
    with pytest.raises(KeyError, match="fire"):
        used(tmp_path, breaking, Scripted(noisy), enable_checkpointing=True, **settings)
    ckpt = tmp_path / "on_exception.ckpt"
    once = used(tmp_path, [*all_wishes(), SaveEveryStep()], Scripted(noisy), ckpt_path=ckpt, **settings)
    twice = used(tmp_path, all_wishes(), Scripted(noisy), ckpt_path=tmp_path / "step10.ckpt", **settings)
    assert (once, twice) == (whole[6:], whole[10:])


@pytest.fixture
def handlers() -> Iterator[None]:
    """Whatever a run leaves behind, the next test finds the handlers that this one found."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@RESTARTED
@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize(
    ("hook", "step", "ends_at"),
    [
        ("on_train_batch_start", 6, 7),
        ("on_train_batch_start", 7, 8),
        ("on_before_optimizer_step", 6, 7),
        ("on_train_batch_end", 6, 6),
        ("on_train_batch_end", 8, 8),
        ("on_validation_start", 8, 8),
        ("on_validation_end", 8, 8),
        ("on_train_epoch_end", 8, 8),
    ],
)
def test_sigterm_lets_the_batch_end_and_leaves_no_trace(tmp_path: Path, hook: str, step: int, ends_at: int) -> None:
    whole, rest, done = broken_off(tmp_path, At(hook, step, send(signal.SIGTERM)), True, {}, SystemExit)
    assert done == ends_at
    assert rest == whole[ends_at:]


KILLED = """
import os, sys
sys.path[:0] = [{tests!r}, {root!r}]
import conftest
import lightning_lr
from lightning.pytorch.callbacks import OnExceptionCheckpoint
from test_metrics_pains import Scripted, VALIDATED, all_wishes, noisy
from test_neighbours import At
from runs import Used, trainer

def told():  # the signal comes while this waits for the line
    print("here", flush=True)
    sys.stdin.readline()

watch = Used()
callbacks = [At("on_train_batch_start", 6, told), *all_wishes(), watch, OnExceptionCheckpoint({out!r})]
try:
    trainer({out!r}, callbacks, max_epochs=6, enable_checkpointing=True, **VALIDATED).fit(Scripted(noisy))
finally:
    print(watch.lrs, flush=True)
"""


@RESTARTED
def test_a_process_that_is_told_to_terminate_leaves_a_checkpoint_that_goes_on_exactly(tmp_path: Path) -> None:
    here = Path(__file__).parent
    script = KILLED.format(tests=str(here), root=str(here.parent), out=str(tmp_path))
    command = [sys.executable, "-W", "ignore", "-c", script]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate("\n", timeout=240)
    assert line == "here\n", err[-3000:]
    settings: dict[str, Any] = {"max_epochs": 6, **VALIDATED}
    whole = used(tmp_path, all_wishes(), Scripted(noisy), **settings)
    ckpt = tmp_path / "on_exception.ckpt"
    assert out.splitlines()[-1] == str(whole[:7]), err[-3000:]
    assert used(tmp_path, all_wishes(), Scripted(noisy), ckpt_path=ckpt, **settings) == whole[7:]


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch, handlers: None) -> list[list[str]]:
    """One task of a job that SLURM might requeue; what Lightning would have told scontrol."""
    told: list[list[str]] = []
    monkeypatch.setattr(
        L.pytorch.trainer.connectors.signal_connector, "call", lambda command, **_: told.append(command) or 0
    )
    names = {"NTASKS": 1, "JOB_NAME": "train", "JOB_ID": 77, "LOCALID": 0, "PROCID": 0, "NODEID": 0}
    for name, value in names.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    return told


@pytest.mark.parametrize("first", [True, False], ids=["before ours", "after ours"])
@pytest.mark.parametrize(
    ("hook", "step"),
    [
        ("on_before_optimizer_step", 6),
        ("on_train_batch_end", 6),
        ("on_train_batch_end", 8),
        ("on_train_epoch_end", 8),
        ("on_after_backward", 7),
        ("on_validation_batch_start", 8),
        ("on_train_epoch_start", 8),
    ],
)
def test_a_job_that_slurm_requeues_goes_on_exactly(
    tmp_path: Path, slurm: list[list[str]], hook: str, step: int, first: bool
) -> None:
    def fit(breaker: list[Callback]) -> tuple[list[float], Any]:
        watch = Used()
        ours = [*all_wishes(), watch]
        environment = SLURMEnvironment(auto_requeue=True, requeue_signal=signal.SIGUSR1)
        order = [*breaker, *ours] if first else [*ours, *breaker]
        runner = trainer(tmp_path, order, max_epochs=6, plugins=[environment], **VALIDATED)
        runner.fit(Scripted(noisy))
        return watch.lrs, runner.ckpt_path

    whole, _ = fit([At(hook, step, send(signal.SIGUSR1))])  # saves and goes on, until SLURM kills it
    assert slurm == [["scontrol", "requeue", "77"]]
    assert global_step(tmp_path / "hpc_ckpt_1.ckpt") == step
    rest, path = fit([])
    assert Path(path).name == "hpc_ckpt_1.ckpt"  # Lightning finds it by itself
    assert rest == whole[step:]


# ---- LearningRateMonitor, ModelCheckpoint


@pytest.mark.parametrize("monitor_first", [True, False])
def test_the_lr_monitor_and_ours_say_the_same_at_every_step(tmp_path: Path, monitor_first: bool) -> None:
    watch = Used()
    ours: list[Callback] = [LRWarmup(4), LRPlateauReduction("val_loss", patience=0, factor=0.5), watch]
    monitor = LearningRateMonitor(log_momentum=True)
    order = [monitor, *ours] if monitor_first else [*ours, monitor]
    net = Net(optimizer=two_groups, metric=constant)
    _, logged = logged_run(tmp_path, order, net, max_epochs=4, **VALIDATED)
    first, second = ([lrs[group] for lrs in watch.groups] for group in (0, 1))
    assert first == [0.25, 0.5, 0.75, 1.0] + [1.0] * 4 + [0.5] * 4 + [0.25] * 4
    assert logged["lr/SGD"] == logged["lr-SGD/pg1"] == as_logged(first)
    assert logged["lr/SGD/pg2"] == logged["lr-SGD/pg2"] == as_logged(second)


def test_going_on_from_the_best_checkpoint_goes_on_from_its_own_counters(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_epochs": 10, "enable_checkpointing": True, **VALIDATED}
    saver = ModelCheckpoint(tmp_path / "kept", monitor="val_loss", save_top_k=1)
    whole = used(tmp_path, [*all_wishes(), saver], Scripted(noisy), **settings)
    best = Path(saver.best_model_path)
    assert global_step(best) == 24  # the sixth validation's .7 is the lowest of ten
    assert len(set(whole[24:])) > 4
    assert used(tmp_path, all_wishes(), Scripted(noisy), ckpt_path=best, **settings) == whole[24:]
