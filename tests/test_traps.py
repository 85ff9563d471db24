"""Every trap of Lightning that the project has measured, and what this package does there.

The table follows the list of measured facts, paragraph by paragraph: the trap, the test here (its name goes on after
``test_trap_``), and where other tests go deeper.

| trap | test here | deeper |
|---|---|---|
| per batch: logged before the update, saved after it | ``points_lie``, ``a_save_after`` | test_logging |
| on resume ``on_fit_start`` sees the configured lr | ``on_fit_start_sees`` | test_resume |
| some strategies restore callbacks after ``on_fit_start`` | ``callbacks_restored_after_setup`` | |
| a due validation is dropped on resume | ``a_due_validation`` | test_metrics_pains 7, 8; test_neighbours |
| the native plateau is not resume-exact | ``native_plateau`` | core/test_parity_plateau |
| ``optimizer.load_state_dict`` replaces the groups | ``load_state_dict_replaces`` | |
| ``global_step`` counts all optimizers, skipped updates | ``global_step``, ``training_step_none`` | test_pains 5, 18 |
| ``estimated_stepping_batches``: -1, inf, wrong, early | ``estimated``, ``reloaded``, ``a_stateful`` | test_pains 20 |
| ``callback_metrics``: sanity check, stale, rank-local | ``sanity_check``, ``stale_value`` | test_ddp_metrics |
| ``strategy.reduce`` works in place | ``reduce_in_place`` | test_ddp_metrics |
| ``trainer.log_dir`` is a collective | ``log_dir`` | |
| ``validate()`` after ``fit``; ``max_steps`` in an epoch | ``validate_after_fit``, ``max_steps_mid_epoch`` | |
| finders load a state from before the start | ``finders_load`` | test_neighbours |
| SWA inserts its scheduler; BaseFinetuning adds groups | ``swa``, ``base_finetuning`` | test_pains 11 |
| ``state_key`` collides, or changes with parameters | ``state_key``, ``changed_hyperparameters`` | test_resume |
| ``configure_callbacks`` replaces those of one class | ``configure_callbacks`` | |
| ``weights_only`` refuses all but plain types | ``weights_only`` | test_pains 37 |
| ``pl_module.log`` is not allowed in some hooks | ``module_log`` | |
| KeyboardInterrupt: ``on_exception`` only | ``keyboard_interrupt`` | test_neighbours |
| after a spawn the parent's callbacks know nothing | ``spawn_leaves`` | test_resume, test_ddp_metrics |
| Rich's bar shows ``.3f`` | ``progress_bar`` | |
| every hook of every callback costs | ``dispatch`` | |
| callbacks of ``lightning`` run in ``pytorch_lightning`` | ``pytorch_lightning`` | |
| an entry point would put us into every Trainer | ``entry_point`` | |
| a tensor lr is shared; float and tensor change over | ``tensor_lr``, ``float_and_tensor`` | test_pains 36 |
| LightningCLI, Hydra | – | tests of the command line |
"""

from __future__ import annotations

import signal
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    Callback,
    LearningRateMonitor,
    ModelCheckpoint,
    OnExceptionCheckpoint,
    StochasticWeightAveraging,
)
from lightning.pytorch.strategies import SingleDeviceStrategy
from runs import Mixed, Net, Used, trainer, used
from test_logging import as_logged, logged_run
from test_metrics_pains import VALIDATED, Scripted, all_wishes, constant, noisy, scheduler_state
from test_pains import Backboned, Gan, SaveEveryStep, _finetuning
from torch.utils.data import DataLoader

import lightning_lr
from lightning_lr import (
    Constant,
    Exponential,
    Linear,
    LRCallback,
    LRController,
    LRLogger,
    LRMultiPhaseDecay,
    LRPlateauReduction,
    LRWarmup,
    Patience,
    Reduce,
    Rule,
    ScheduledLR,
    Warmup,
)

PACKAGE = Path(lightning_lr.__file__).parent
EIGHTHS = [1 - k / 8 for k in range(8)]


def plateau(**how: Any) -> LRPlateauReduction:
    return LRPlateauReduction("val_loss", **{"patience": 0, "factor": 0.5, **how})


# ---- the order of things


def test_trap_points_lie_on_lightnings_own_steps_and_show_what_was_used(tmp_path: Path) -> None:
    wishes = [LearningRateMonitor(), LRMultiPhaseDecay(Linear()), LRLogger(every_n_steps=1)]
    lrs, logged = logged_run(tmp_path, wishes, Net(batches=5), accumulate_grad_batches=2, max_epochs=2)
    assert lrs == pytest.approx([1 - k / 6 for k in range(6)])
    assert logged["lr/SGD"] == as_logged(lrs)
    assert set(logged["lr-SGD"].items()) <= set(logged["lr/SGD"].items())


@pytest.mark.parametrize("saver_first", [True, False])
def test_trap_a_save_after_the_update_holds_the_next_updates_lr(tmp_path: Path, saver_first: bool) -> None:
    ours = [LRMultiPhaseDecay(Linear())]
    used(tmp_path, [SaveEveryStep(), *ours] if saver_first else [*ours, SaveEveryStep()])
    saved = torch.load(tmp_path / "step3.ckpt", weights_only=True)
    assert saved["lr_schedulers"][0]["updates"] == 3
    assert saved["optimizer_states"][0]["param_groups"][0]["lr"] == 1 - 3 / 8


def test_trap_on_fit_start_sees_the_configured_lr_and_on_train_start_the_restored(tmp_path: Path) -> None:
    class Look(Callback):
        def __init__(self) -> None:
            self.lrs: list[float] = []

        def look(self, trainer: Any, *_: Any) -> None:
            self.lrs.append(trainer.optimizers[0].param_groups[0]["lr"])

        on_fit_start = on_sanity_check_start = on_train_start = look

    settings: dict[str, Any] = {"num_sanity_val_steps": 1, "enable_checkpointing": True, **VALIDATED}
    saver = ModelCheckpoint(tmp_path, filename="{step}", save_top_k=-1, save_on_train_epoch_end=True)
    used(tmp_path, [LRMultiPhaseDecay(Linear()), saver], **settings)
    for look_first in (True, False):
        look, ours = Look(), LRMultiPhaseDecay(Linear())
        order = [look, ours] if look_first else [ours, look]
        assert used(tmp_path, order, ckpt_path=tmp_path / "step=4.ckpt", **settings) == EIGHTHS[4:]
        assert look.lrs == [1.0, 0.5, 0.5]


def test_trap_callbacks_restored_after_setup(tmp_path: Path) -> None:
    class Late(SingleDeviceStrategy):
        restore_checkpoint_after_setup = True  # type: ignore[assignment]

    settings: dict[str, Any] = {"max_epochs": 8, **VALIDATED}
    whole = used(tmp_path, [*all_wishes(), SaveEveryStep()], Scripted(noisy), **settings)
    for k in (3, 8, 13, 28):
        ckpt = tmp_path / f"step{k}.ckpt"
        late = used(tmp_path, all_wishes(), Scripted(noisy), ckpt_path=ckpt, strategy=Late("cpu"), **settings)
        assert late == whole[k:], k


def test_trap_a_due_validation_is_dropped(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_epochs": 3, **VALIDATED}
    whole = used(tmp_path, [plateau(), SaveEveryStep()], Net(metric=constant), **settings)
    assert whole == [1.0] * 8 + [0.5] * 4
    net = Net(metric=constant)
    assert used(tmp_path, [plateau()], net, ckpt_path=tmp_path / "step8.ckpt", **settings) == [0.5] * 4
    assert net.validations == 2  # the one that Lightning goes past, and the last


def test_trap_native_plateau_is_not_resume_exact_and_ours_is(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_epochs": 8, **VALIDATED}
    wish = [LRPlateauReduction("val_loss", patience=1, factor=0.5, cooldown=1)]
    whole = used(tmp_path, [*wish, SaveEveryStep()], Net(metric=constant), **settings)
    assert whole == [1.0] * 12 + [0.5] * 12 + [0.25] * 8
    for k in range(1, 32):
        again = used(tmp_path, wish, Net(metric=constant), ckpt_path=tmp_path / f"step{k}.ckpt", **settings)
        assert again == whole[k:], k


# ---- what is counted


def test_trap_load_state_dict_replaces_groups(tmp_path: Path) -> None:
    class Reloading(Net):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            optimizer = self.optimizers().optimizer
            before = optimizer.param_groups[0]
            state = optimizer.state_dict()
            state["param_groups"][0].pop("initial_lr", None)  # as a state of another origin would come
            optimizer.load_state_dict(state)
            assert optimizer.param_groups[0] is not before

    assert used(tmp_path, [LRMultiPhaseDecay(Linear())], Reloading()) == EIGHTHS


def test_trap_global_step_counts_every_optimizer(tmp_path: Path) -> None:
    gan = Gan()
    runner = trainer(tmp_path, [LRMultiPhaseDecay(Exponential(0.5)), SaveEveryStep()], max_epochs=1)
    runner.fit(gan)
    assert runner.global_step == 12
    assert (gan.seen["g"], gan.seen["d"]) == ([0.5**k for k in range(8)], [0.5**k for k in range(4)])
    states = torch.load(tmp_path / "step12.ckpt", weights_only=True)["lr_schedulers"]
    assert [state["updates"] for state in states] == [8, 4]


@pytest.mark.filterwarnings("ignore:.training_step. returned .None.")  # Lightning says so once per process
def test_trap_training_step_none_is_an_update_of_the_optimizer(tmp_path: Path) -> None:
    class Skipping(Net):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return None if batch_idx == 1 else super().training_step(batch, batch_idx)

    watch = Used()
    runner = trainer(tmp_path, [LRMultiPhaseDecay(Linear()), watch, SaveEveryStep()])
    runner.fit(Skipping())
    assert watch.lrs == EIGHTHS  # the optimizer was called: planned and used stay one
    assert scheduler_state(tmp_path / "step8.ckpt")["updates"] == runner.global_step == 8


# ---- how long the run is


def forbid(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
    """Whoever in this package reads the property, or calls the method, raises; Lightning itself may."""
    there = getattr(owner, name)
    original = there.fget if isinstance(there, property) else there

    def guarded(*args: Any, **kwargs: Any) -> Any:
        file = sys._getframe(1).f_code.co_filename
        if Path(file).is_relative_to(PACKAGE):
            raise AssertionError(f"{file} uses {owner.__name__}.{name}")
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, property(guarded) if isinstance(there, property) else guarded)


@pytest.mark.parametrize("mixin", [True, False])
def test_trap_estimated_stepping_batches_is_never_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mixin: bool
) -> None:
    forbid(monkeypatch, L.Trainer, "estimated_stepping_batches")
    lrs = used(tmp_path, [] if mixin else [LRMultiPhaseDecay(Linear())], Mixed(Linear()) if mixin else Net())
    assert lrs == EIGHTHS


@pytest.mark.parametrize("settings", [{"max_epochs": -1, "max_steps": 8}, {"max_epochs": 2, "max_steps": 99}], ids=str)
def test_trap_estimated_length_without_or_beyond_one_limit(tmp_path: Path, settings: dict[str, Any]) -> None:
    assert used(tmp_path, [LRMultiPhaseDecay(Linear())], **settings) == EIGHTHS


class Reloaded(Net):
    """2 batches in the first epoch, 4 in each later one."""

    def train_dataloader(self) -> Any:
        return self.loader(2 if self.trainer.current_epoch == 0 else 4)


def test_trap_reloaded_dataloaders_of_another_length_follow_total_steps(tmp_path: Path) -> None:
    wish = LRMultiPhaseDecay(Linear(), total_steps=10)
    lrs = used(tmp_path, [wish], Reloaded(), max_epochs=3, reload_dataloaders_every_n_epochs=1)
    assert lrs == pytest.approx([1 - k / 10 for k in range(10)])


def test_trap_reloaded_dataloaders_of_another_length_are_told(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"epoch.*give total_steps="):
        used(tmp_path, [LRMultiPhaseDecay(Linear())], Reloaded(), max_epochs=3, reload_dataloaders_every_n_epochs=1)


def test_trap_a_stateful_dataloader_is_restored_before_anybody_asks_for_data(tmp_path: Path) -> None:
    class Stateful:
        def __init__(self) -> None:
            self.next, self.log = 0, []  # type: ignore[var-annotated]

        def __len__(self) -> int:
            return 4

        def __iter__(self) -> Any:
            self.log.append(("iter", self.next))
            self.next %= 4
            while self.next < 4:
                self.next += 1
                yield torch.full((1, 1), float(self.next))

        def state_dict(self) -> dict[str, Any]:
            return {"next": self.next}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.log.append(("load", state["next"]))
            self.next = state["next"]

    class Fed(Net):
        def __init__(self) -> None:
            super().__init__()
            self.data, self.seen = Stateful(), []  # type: ignore[var-annotated]

        def train_dataloader(self) -> Any:
            return self.data

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.seen.append(batch.item())
            return self.layer(batch).square().mean() * 1e-3

    used(tmp_path, [LRMultiPhaseDecay(Linear()), SaveEveryStep()], Fed(), max_epochs=1)
    net = Fed()
    lrs = used(tmp_path, [LRMultiPhaseDecay(Linear())], net, max_epochs=1, ckpt_path=tmp_path / "step2.ckpt")
    assert net.data.log[:2] == [("load", 2), ("iter", 2)]
    assert (lrs, net.seen) == ([0.5, 0.25], [3.0, 4.0])


# ---- metrics


def test_trap_sanity_check_values_lie_in_callback_metrics(tmp_path: Path) -> None:
    class Extreme(Net):
        def on_validation_epoch_end(self) -> None:
            self.log("val_loss", -1e9 if self.trainer.sanity_checking else 1.0)

    lrs = used(tmp_path, [plateau()], Extreme(), max_epochs=3, num_sanity_val_steps=1, **VALIDATED)
    assert lrs == [1.0] * 8 + [0.5] * 4  # after the first evaluation it would be .5, were that value the best so far


def test_trap_stale_value_is_no_evaluation(tmp_path: Path) -> None:
    class Rarely(Net):
        def on_validation_epoch_end(self) -> None:
            if self.current_epoch in (0, 3):
                self.log("val_loss", 1.0)

    assert used(tmp_path, [plateau()], Rarely(), max_epochs=6, **VALIDATED) == [1.0] * 16 + [0.5] * 8


def test_trap_reduce_in_place_is_never_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch, SingleDeviceStrategy, "reduce")
    lrs = used(tmp_path, [plateau()], Net(metric=constant), max_epochs=3, **VALIDATED)
    assert lrs == [1.0] * 8 + [0.5] * 4


def test_trap_log_dir_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch, L.Trainer, "log_dir")
    wishes = [LRWarmup(4), plateau(), LRLogger(metrics=["val_loss"], log_momentum=True)]
    lrs, logged = logged_run(tmp_path, wishes, Net(metric=constant), max_epochs=3, **VALIDATED)
    assert logged["lr/SGD"] == as_logged(lrs)
    assert (tmp_path / "run" / "lr_events.jsonl").exists()


def test_trap_validate_after_fit_decides_nothing(tmp_path: Path) -> None:
    net, runner = Net(metric=constant), trainer(tmp_path, [plateau()], **VALIDATED)
    runner.fit(net)
    scheduler = runner.lr_scheduler_configs[0].scheduler
    before = (runner.optimizers[0].param_groups[0]["lr"], scheduler.state_dict())
    runner.validate(net, verbose=False)
    assert (runner.optimizers[0].param_groups[0]["lr"], scheduler.state_dict()) == before


def test_trap_max_steps_mid_epoch_ends_without_validation(tmp_path: Path) -> None:
    net = Net(metric=constant)
    lrs = used(tmp_path, [plateau(), SaveEveryStep()], net, max_epochs=-1, max_steps=10, **VALIDATED)
    assert (lrs, net.validations) == ([1.0] * 8 + [0.5] * 2, 2)
    longer = used(
        tmp_path, [plateau()], Net(metric=constant), max_epochs=4, ckpt_path=tmp_path / "step10.ckpt", **VALIDATED
    )
    assert longer == [0.5] * 2 + [0.25] * 4


# ---- other callbacks


def test_trap_finders_load_a_state_from_before_the_start_which_is_no_resume(tmp_path: Path) -> None:
    class Sized(Net):
        batch_size = 4

        def loader(self, batches: int) -> Any:
            return DataLoader(torch.ones(16, 1), batch_size=self.batch_size)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.layer(batch).square().mean() * 1e-3

    class Look(Callback):
        resumed: bool | None = None

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            self.resumed = trainer.lr_scheduler_configs[0].scheduler.resumed

    finder, look = BatchSizeFinder(steps_per_trial=1, max_trials=1, init_val=2), Look()
    net = Sized()
    lrs = used(tmp_path, [LRMultiPhaseDecay(Linear(), on_lr_change="error"), finder, look], net, max_epochs=1)
    assert net.batch_size == 2
    assert (lrs, look.resumed) == (EIGHTHS, False)


def test_trap_swa_inserts_its_scheduler(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"LRController.* and StochasticWeightAveraging both own the lr of SGD"):
        used(tmp_path, [LRController(Constant()), StochasticWeightAveraging(0.1)])


def test_trap_base_finetuning_adds_groups_with_a_decayed_lr(tmp_path: Path) -> None:
    watch = Used()
    with pytest.warns(UserWarning, match="something else set the lr of group 1"):
        trainer(tmp_path, [*_finetuning(), watch], max_epochs=4).fit(Backboned())
    assert watch.lrs == [1 - k / 16 for k in range(16)]
    ratios = [lrs[1] / lrs[0] for lrs in watch.groups[4:]]
    assert ratios == pytest.approx([0.5] * 12, rel=1e-12)


# ---- state


class Two(Net):
    def on_validation_epoch_end(self) -> None:
        self.log("a", 1.0)
        self.log("b", 1.0 if self.current_epoch else 2.0)


def test_trap_state_key_two_instances_of_a_class_are_no_collision(tmp_path: Path) -> None:
    def wishes() -> list[Callback]:
        return [LRPlateauReduction(name, patience=0, factor=0.5) for name in "ab"]

    whole = used(tmp_path, [*wishes(), SaveEveryStep()], Two(), max_epochs=5, **VALIDATED)
    assert whole == [1.0] * 8 + [0.5] * 4 + [0.25] * 4 + [0.125] * 4
    assert torch.load(tmp_path / "step9.ckpt", weights_only=True)["callbacks"] == {}  # nothing to collide
    for k in (5, 8, 13):
        again = used(tmp_path, wishes(), Two(), max_epochs=5, ckpt_path=tmp_path / f"step{k}.ckpt", **VALIDATED)
        assert again == whole[k:], k


def test_trap_changed_hyperparameters_keep_the_counters(tmp_path: Path) -> None:
    used(tmp_path, [plateau(patience=9), SaveEveryStep()], Net(metric=constant), max_epochs=4, **VALIDATED)
    ckpt = tmp_path / "step13.ckpt"  # the best, and two that are not better
    lrs = used(
        tmp_path, [plateau(patience=2, factor=0.1)], Net(metric=constant), max_epochs=5, ckpt_path=ckpt, **VALIDATED
    )
    assert lrs == [1.0] * 3 + [0.1] * 4


def test_trap_configure_callbacks_is_as_good_as_the_trainers_list(tmp_path: Path) -> None:
    class Own(Two):
        def configure_callbacks(self) -> Any:
            return [LRPlateauReduction(name, patience=0, factor=0.5) for name in "ab"]

    expected = [1.0] * 8 + [0.5] * 4 + [0.25] * 4
    assert used(tmp_path, [LRWarmup(1)], Own(), max_epochs=4, **VALIDATED) == expected
    replaced = [LRPlateauReduction("a", patience=0, factor=0.1)]  # Lightning takes the module's of the same class
    assert used(tmp_path, replaced, Own(), max_epochs=4, **VALIDATED) == expected


def plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return type(value) in (list, tuple) and all(map(plain, value))
    if isinstance(value, dict):
        return type(value) is dict and all(map(plain, [*value, *value.values()]))
    return value is None or type(value) in (int, float, str, bool)


def test_trap_weights_only_takes_plain_types_only(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_epochs": 16, **VALIDATED}
    whole = used(tmp_path, [*all_wishes(), SaveEveryStep()], Scripted(noisy), **settings)
    ckpt = tmp_path / "step61.ckpt"
    state = torch.load(ckpt, weights_only=False)["lr_schedulers"][0]
    assert {event["kind"] for event in state["events"]} == {"reduce", "restart"}
    assert plain(state)
    watch = Used()
    trainer(tmp_path, [*all_wishes(), watch], **settings).fit(Scripted(noisy), ckpt_path=ckpt, weights_only=True)
    assert watch.lrs == whole[61:]


def test_trap_module_log_is_not_called_by_us(tmp_path: Path) -> None:
    by_module = set()

    class Listening(Net):
        def log(self, name: str, *args: Any, **kwargs: Any) -> None:
            by_module.add(name)
            super().log(name, *args, **kwargs)

    wishes = [*all_wishes(), LRLogger(metrics=["val_loss"])]
    _, logged = logged_run(tmp_path, wishes, Listening(metric=constant), max_epochs=6, **VALIDATED)
    assert by_module == {"val_loss"}
    assert "lr/SGD" in logged


# ---- processes


@pytest.mark.filterwarnings(
    "ignore:.*ckpt_path:UserWarning"
)  # with OnExceptionCheckpoint Lightning looks for a last one
def test_trap_keyboard_interrupt_calls_on_exception_only(tmp_path: Path) -> None:
    class Interrupting(Net):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if self.trainer.global_step == 5:
                raise KeyboardInterrupt
            return super().training_step(batch, batch_idx)

    wish, net = LRMultiPhaseDecay(Linear()), Interrupting()
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    net.make_optimizer = lambda module: optimizer
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit):
            used(tmp_path, [wish, OnExceptionCheckpoint(tmp_path)], net, enable_checkpointing=True)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert used(tmp_path, [wish], ckpt_path=tmp_path / "on_exception.ckpt") == EIGHTHS[5:]
    optimizer.step()
    assert optimizer.param_groups[0]["lr"] == EIGHTHS[5]  # the optimizer was let go


@pytest.mark.parametrize(
    "wish", [LRMultiPhaseDecay(Linear()), pytest.param(None, marks=pytest.mark.slow)], ids=["callback", "mixin"]
)
def test_trap_spawn_leaves_the_parents_objects_as_they_were_and_usable(tmp_path: Path, wish: LRCallback | None) -> None:
    net = Net() if wish else Mixed(Linear())
    wishes = [wish] if wish else []
    runner = trainer(tmp_path, wishes, strategy="ddp_spawn", devices=1)
    runner.fit(net)
    assert not any(getattr(callback, "from_mixin", False) for callback in runner.callbacks)
    runner.save_checkpoint(tmp_path / "parent.ckpt", weights_only=True)
    assert used(tmp_path, wishes, net) == EIGHTHS


# ---- what is shown, what it costs, where we are


def test_trap_progress_bar_gets_no_lr_that_it_would_show_as_zero(tmp_path: Path) -> None:
    runner = trainer(tmp_path, [LRMultiPhaseDecay(Linear()), plateau()], **VALIDATED)
    runner.fit(Net(metric=constant))
    assert not any("lr" in name for name in runner.progress_bar_metrics)


def test_trap_dispatch_no_hook_of_a_batch_that_is_not_needed_is_overridden() -> None:
    batch_hooks = [name for name in dir(Callback) if "batch" in name or "backward" in name or "grad" in name]
    ours = {name for name in batch_hooks if getattr(LRCallback, name) is not getattr(Callback, name)}
    assert ours == {"on_train_batch_start"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_trap_pytorch_lightning_trainer_runs_our_callbacks(tmp_path: Path) -> None:
    other = pytest.importorskip("pytorch_lightning")

    class Module(other.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.layer(batch).square().mean() * 1e-3

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", 1.0)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=1.0)

    def fit(callbacks: list[Any], ckpt: Path | None = None) -> list[float]:
        watch, data = Used(), DataLoader(torch.ones(4, 1), batch_size=1)
        runner = other.Trainer(
            default_root_dir=tmp_path, callbacks=[*callbacks, watch], max_epochs=4, accelerator="cpu", logger=False,
            enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
            num_sanity_val_steps=0, **VALIDATED,
        )  # fmt: skip
        runner.fit(Module(), data, data, ckpt_path=ckpt)
        return watch.lrs

    whole = fit([LRWarmup(4), plateau(), SaveEveryStep()])
    assert whole == [0.25, 0.5, 0.75, 1.0] + [1.0] * 4 + [0.5] * 4 + [0.25] * 4
    assert fit([LRWarmup(4), plateau()], tmp_path / "step8.ckpt") == whole[8:]
    swa = other.callbacks.StochasticWeightAveraging(0.1)
    with pytest.raises(ValueError, match="StochasticWeightAveraging both own the lr of SGD"):
        fit([LRWarmup(4), swa])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_trap_pytorch_lightning_early_stopping_is_recognised(tmp_path: Path) -> None:
    other = pytest.importorskip("pytorch_lightning")
    stopping = other.callbacks.EarlyStopping("val_loss", patience=1)
    with pytest.warns(UserWarning, match="EarlyStopping's patience 1 on 'val_loss' leaves a reduction after 1"):
        used(tmp_path, [plateau(), stopping], Net(metric=constant), max_epochs=1, **VALIDATED)


def test_trap_entry_point_group_is_not_registered() -> None:
    groups = ("lightning.pytorch.callbacks_factory", "lightning.fabric.callbacks_factory")
    ours = [point for group in groups for point in entry_points(group=group) if "lightning_lr" in point.value]
    assert ours == []
    assert "callbacks_factory" not in (PACKAGE.parent / "pyproject.toml").read_text()
    assert not any(
        isinstance(callback, LRCallback) for callback in L.Trainer(logger=False, accelerator="cpu").callbacks
    )


# ---- tensor lr


def tensor_groups(module: Any) -> Any:
    groups = [{"params": [parameter]} for parameter in module.parameters()]
    return torch.optim.SGD(groups, lr=torch.tensor(1.0), foreach=False)


def test_trap_tensor_lr_is_shared_by_the_groups_and_filled_in_place(tmp_path: Path) -> None:
    ids = set()

    class Look(Used):
        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            super().on_before_optimizer_step(trainer, pl_module, optimizer)
            ids.add(tuple(id(group["lr"]) for group in optimizer.param_groups))

    look = Look()
    trainer(tmp_path, [LRMultiPhaseDecay(Linear()), look]).fit(Net(optimizer=tensor_groups))
    assert look.groups == [[lr, lr] for lr in EIGHTHS]
    assert len(ids) == 1  # the same tensors throughout: a compiled step is compiled once
    assert len(set(*ids)) == 2  # one for each group


def float_groups(module: Any) -> Any:
    return torch.optim.SGD([{"params": [parameter]} for parameter in module.parameters()], lr=1.0)


@pytest.mark.parametrize(("before", "after"), [(tensor_groups, float_groups), (float_groups, tensor_groups)])
def test_trap_tensor_lr_and_float_change_over_on_resume(tmp_path: Path, before: Any, after: Any) -> None:
    used(tmp_path, [LRMultiPhaseDecay(Linear()), SaveEveryStep()], Net(optimizer=before))
    for k in (1, 3, 6):
        watch = Used()
        runner = trainer(tmp_path, [LRMultiPhaseDecay(Linear()), watch])
        runner.fit(Net(optimizer=after), ckpt_path=tmp_path / f"step{k}.ckpt")
        assert watch.groups == [[lr, lr] for lr in EIGHTHS[k:]], k


def test_trap_float_and_tensor_in_a_plain_loop_too() -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.zeros(1)
    first = torch.optim.SGD([weight], lr=torch.tensor(1.0), foreach=False)
    schedule = ScheduledLR(first, Warmup(4), rules=[Rule(Patience(0), Reduce(0.5), "loss")])
    first.step()
    saved = first.state_dict(), schedule.state_dict()
    second = torch.optim.SGD([weight], lr=1.0)
    again = ScheduledLR(second, Warmup(4), rules=[Rule(Patience(0), Reduce(0.5), "loss")])
    second.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    lrs = []
    for _ in range(3):
        lrs.append(float(second.param_groups[0]["lr"]))
        second.step()
    assert lrs == [0.5, 0.75, 1.0]
