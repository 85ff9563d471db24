"""The life of a run, in its odder turns: fits that were interrupted, owners that write, copies, uneven ranks."""

from __future__ import annotations

import copy
import csv
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import BatchSizeFinder, Callback
from runs import Mixed, Net, Used, trainer, used
from test_pains import Backboned, Gan, SaveEveryStep, _finetuning

from lightning_lr import (
    Constant,
    Cosine,
    Custom,
    Linear,
    LRController,
    LRLogger,
    LRMultiPhaseDecay,
    LRWarmup,
    MultiStep,
    ScheduledLR,
    StepDecay,
    Warmup,
)
from lightning_lr.core.tracks import Track
from lightning_lr.track import LiveTrack


class Failing(Net):
    """Raises once, when the trainer has counted so many updates."""

    def __init__(self, at: int, error: type[BaseException] = RuntimeError) -> None:
        super().__init__()
        self.at, self.error = at, error

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if self.trainer.global_step == self.at:
            self.at = -1
            raise self.error("interrupted")
        return super().training_step(batch, batch_idx)


def test_a_fit_after_an_interrupted_fit_goes_on_where_it_was(tmp_path: Path) -> None:
    watch, net = Used(), Failing(6)
    runner = trainer(tmp_path, [LRMultiPhaseDecay(Linear(16), on_overrun="cut"), watch], max_epochs=1)
    runner.fit(net)
    runner.fit_loop.max_epochs = 2
    with pytest.raises(RuntimeError, match="interrupted"):
        runner.fit(net)
    runner.fit_loop.max_epochs = 4
    runner.fit(net)
    assert watch.lrs[:6] == [1 - k / 16 for k in range(6)]
    assert watch.lrs[6:] == [max(0.0, 1 - k / 16) for k in range(6, len(watch.lrs))]
    assert len(watch.lrs) > 10


def test_two_optimizers_go_on_after_an_interrupted_fit_each_at_its_own_count(tmp_path: Path) -> None:
    class Interrupted(Gan):
        interrupted = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            if batch_idx == 5 and not self.interrupted:
                self.interrupted = True
                raise RuntimeError("interrupted")
            super().training_step(batch, batch_idx)

    gan = Interrupted()
    runner = trainer(tmp_path, [LRWarmup(16)], max_epochs=2)
    with pytest.raises(RuntimeError, match="interrupted"):
        runner.fit(gan)
    runner.fit(gan)
    assert gan.seen["g"] == [min(1.0, k / 16) for k in range(1, len(gan.seen["g"]) + 1)]
    assert gan.seen["d"] == [min(1.0, k / 16) for k in range(1, len(gan.seen["d"]) + 1)]


def test_a_cached_optimizer_can_be_fitted_again_after_an_exception(tmp_path: Path) -> None:
    net = Failing(2)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    net.make_optimizer = lambda module: optimizer
    watch = Used()
    runner = trainer(tmp_path, [LRMultiPhaseDecay(Linear(16), on_overrun="cut"), watch])
    with pytest.raises(RuntimeError, match="interrupted"):
        runner.fit(net)
    runner.fit(net)
    assert watch.lrs == [1 - k / 16 for k in range(len(watch.lrs))]


def test_a_crash_between_restoring_and_training_loses_no_state(tmp_path: Path) -> None:
    class Crashing(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            trainer.save_checkpoint(tmp_path / "crash.ckpt")
            raise RuntimeError("before the schedule started")

    whole = used(tmp_path, [LRMultiPhaseDecay(Cosine()), SaveEveryStep()])
    with pytest.raises(RuntimeError, match="before the schedule"):
        used(tmp_path, [Crashing(), LRMultiPhaseDecay(Cosine())], ckpt_path=tmp_path / "step5.ckpt")
    assert used(tmp_path, [LRMultiPhaseDecay(Cosine())], ckpt_path=tmp_path / "crash.ckpt") == whole[5:]


def test_a_scheduler_that_the_user_started_is_not_switched_off(tmp_path: Path) -> None:
    class Own(Net):
        made: Any = None

        def configure_optimizers(self) -> Any:
            if self.made is None:
                optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
                self.made = {"optimizer": optimizer, "lr_scheduler": ScheduledLR(optimizer, Linear(16))}
            return self.made

    net, watch = Own(), Used()
    runner = trainer(tmp_path, [LRLogger(), watch])
    runner.fit(net)
    runner.fit_loop.max_epochs = 4
    runner.fit(net)
    assert watch.lrs == [1 - k / 16 for k in range(16)]


def test_a_native_scheduler_that_is_built_but_not_returned_is_refused(tmp_path: Path) -> None:
    def hidden(module: Any) -> Any:
        optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
        module.hidden = torch.optim.lr_scheduler.StepLR(optimizer, 2)
        return optimizer

    with pytest.raises(ValueError, match=r"LRMultiPhaseDecay.* and a torch LR scheduler that was built on this SGD"):
        used(tmp_path, [LRMultiPhaseDecay(Constant())], Net(optimizer=hidden))


def test_whoever_else_writes_the_lr_is_named_and_the_schedule_is_used(tmp_path: Path) -> None:
    class Meddling(Net):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            self.optimizers().optimizer.param_groups[0]["lr"] = 7.0

    with pytest.warns(UserWarning, match="LRMultiPhaseDecay: something else set the lr of group 0 to 7; .* keeps 1"):
        lrs = used(
            tmp_path,
            [
                LRMultiPhaseDecay(Linear()),
            ],
            Meddling(),
        )
    assert lrs == [1 - k / 8 for k in range(8)]


def test_replaced_groups_are_found_at_once(tmp_path: Path) -> None:
    class Replacing(Net):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            if self.trainer.global_step == 2:
                optimizer = self.optimizers().optimizer
                optimizer.param_groups.clear()
                optimizer.add_param_group({"params": list(self.parameters()), "lr": 0.75})

    assert used(tmp_path, [LRMultiPhaseDecay(Linear())], Replacing()) == [1 - k / 8 for k in range(8)]


def test_a_checkpoint_of_another_run_is_not_taken_for_this_trainers_own_past(tmp_path: Path) -> None:
    used(tmp_path, [SaveEveryStep()], max_epochs=3)
    watch, net = Used(), Net()
    runner = trainer(tmp_path, [LRMultiPhaseDecay(Linear(40), on_overrun="cut"), watch], max_epochs=1)
    runner.fit(net)
    runner.fit_loop.max_epochs = 3
    with pytest.warns(UserWarning, match="it starts at update 8"):
        runner.fit(net, ckpt_path=tmp_path / "step8.ckpt")
    assert watch.lrs[4:] == [1 - k / 40 for k in range(8, 12)]


def test_start_step_0_keeps_the_peak_of_a_foreign_checkpoint(tmp_path: Path) -> None:
    def native(module: Any) -> Any:
        optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
        falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 8)
        return [optimizer], [{"scheduler": falling, "interval": "step"}]

    used(tmp_path, [SaveEveryStep()], Net(optimizer=native))
    lrs = used(tmp_path, [LRMultiPhaseDecay(Constant(), start_step=0)], ckpt_path=tmp_path / "step4.ckpt")
    assert lrs == [1.0] * 4


@pytest.mark.parametrize("finetuning_first", [True, False])
def test_an_lr_that_a_callback_put_back_is_not_the_codes(tmp_path: Path, finetuning_first: bool) -> None:
    def order() -> list[Callback]:
        ours, theirs = _finetuning()
        return [theirs, ours] if finetuning_first else [ours, theirs]

    watch, again = Used(), Used()
    with pytest.warns(UserWarning, match="something else set the lr of group 1"):
        trainer(tmp_path, [*order(), watch, SaveEveryStep()], max_epochs=4).fit(Backboned())
    changed = [
        LRMultiPhaseDecay(Linear(), on_lr_change="error") if type(c) is LRMultiPhaseDecay else c for c in order()
    ]
    with pytest.warns(UserWarning, match="something else set the lr of group 1"):
        trainer(tmp_path, [*changed, again], max_epochs=4).fit(Backboned(), ckpt_path=tmp_path / "step10.ckpt")
    assert again.groups == watch.groups[10:]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_a_copy_of_optimizer_and_scheduler_runs_on_its_own(duplicate: Any) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = ScheduledLR(optimizer, Linear(4))
    optimizer.step()
    other, twin = duplicate((optimizer, scheduler))
    for _ in range(2):
        other.step()
    assert (other.param_groups[0]["lr"], twin.updates) == (0.25, 3)
    assert (optimizer.param_groups[0]["lr"], scheduler.updates) == (0.75, 1)
    optimizer.step()
    assert scheduler.updates == 2


def test_stairs_shorter_than_an_update_leave_the_first_update_alone() -> None:
    assert (Warmup(2) >> StepDecay("5%", gamma=0.5)).curve(8)[2] == 1.0
    assert StepDecay("5%", gamma=0.5).curve(8)[0] == 1.0
    assert MultiStep(["1%"], gamma=0.5).curve(8)[:2].tolist() == [1.0, 0.5]


def test_another_module_on_the_same_trainer_starts_at_its_own_first_update(tmp_path: Path) -> None:
    watch = Used()
    runner = trainer(tmp_path, [LRMultiPhaseDecay(Linear(16), on_overrun="cut"), watch], max_epochs=2)
    runner.fit(Net())
    runner.fit_loop.max_epochs = 4
    runner.fit(Net())
    assert watch.lrs == [1 - k / 16 for k in range(8)] * 2


def falling(u: float) -> float:
    return 1.0 - u


def test_a_function_keeps_its_fingerprint_when_its_script_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    def track(schedule: Any) -> LiveTrack:
        return LiveTrack(Track(schedule))

    imported = track(Custom(falling)).fingerprint
    monkeypatch.setattr(falling, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "falling", falling, raising=False)
    assert "__main__:falling" in repr(Custom(falling))
    assert track(Custom(falling)).fingerprint == imported
    assert track(Custom(abs)).fingerprint != imported


def test_the_finder_of_batch_sizes_meets_no_live_hook(tmp_path: Path) -> None:
    class Sized(Net):
        batch_size = 2

        def loader(self, batches: int) -> Any:
            return torch.utils.data.DataLoader(torch.ones(64, 1), batch_size=self.batch_size)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.layer(batch).square().mean() * 1e-3

    for finder_first in (True, False):
        finder = BatchSizeFinder(steps_per_trial=2, max_trials=2, init_val=2)
        order: list[Callback] = [finder, LRMultiPhaseDecay(Linear())]
        net = Sized()
        lrs = used(tmp_path, order if finder_first else order[::-1], net, max_epochs=1)
        assert net.batch_size > 2
        assert lrs == [1 - k / (64 // net.batch_size) for k in range(64 // net.batch_size)]


# ---- small things that were wrong once


def test_the_corrected_call_is_only_offered_when_it_would_work() -> None:
    with pytest.raises(ValueError, match=r"101 updates long, but the run has 8: shorten it, or ask for on_overrun"):
        (Warmup(100) >> Linear(1)).curve(8)


def test_a_set_of_phases_has_no_order_and_is_refused() -> None:
    with pytest.raises(ValueError, match=r"LRMultiPhaseDecay: phases must be"):
        LRMultiPhaseDecay({Linear(4), Cosine(4)})  # type: ignore[arg-type]


def test_a_preset_can_be_named_in_a_mapping() -> None:
    wish = LRMultiPhaseDecay([{"_target_": "lightning_lr.wsd", "warmup": "10%"}])  # type: ignore[list-item]
    assert wish.schedule is not None
    assert len(wish.schedule.phases) == 3


def test_the_mixins_hidden_controller_does_not_log_for_a_callback_that_must_not(tmp_path: Path) -> None:
    from lightning.pytorch.loggers import CSVLogger

    def logged(callbacks: list[Callback]) -> bool:
        logger = CSVLogger(tmp_path, flush_logs_every_n_steps=1)
        used(tmp_path, callbacks, Mixed(Linear()), logger=logger, log_every_n_steps=1)
        file = Path(logger.log_dir) / "metrics.csv"
        return file.exists() and "lr/SGD" in file.read_text()

    assert logged([])
    assert not logged([LRWarmup(2, log=False)])


def test_log_every_n_steps_0_leaves_corners_only(tmp_path: Path) -> None:
    from lightning.pytorch.loggers import CSVLogger

    logger = CSVLogger(tmp_path, flush_logs_every_n_steps=1)
    used(tmp_path, [LRMultiPhaseDecay(Linear())], Net(batches=20), logger=logger, log_every_n_steps=0, max_epochs=1)
    with (Path(logger.log_dir) / "metrics.csv").open() as file:
        steps = [row["step"] for row in csv.DictReader(file) if row["lr/SGD"]]
    assert steps == ["0", "19"]


def test_step_takes_an_epoch_but_no_metric() -> None:
    scheduler = ScheduledLR(torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0), Warmup(4))
    scheduler.step(3)
    scheduler.step(epoch=3)
    with pytest.raises(ValueError, match=r"step\(\) takes no metric, got 0.5: hand it to evaluate"):
        scheduler.step(0.5)
    assert scheduler.updates == 0


def test_a_user_function_that_raises_is_named() -> None:
    with pytest.raises(ValueError, match=r"Custom: fn must return .* raised ZeroDivisionError"):
        Custom(lambda u: 1 / (1 - u), duration=4).curve(4)


def test_an_lr_that_is_nan_is_refused() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    optimizer.param_groups[0]["lr"] = float("nan")
    with pytest.raises(ValueError, match="lr of group 0 of SGD must be a number >= 0"):
        ScheduledLR(optimizer, Warmup(4))


def test_a_controller_without_wishes_beside_the_mixin_changes_nothing(tmp_path: Path) -> None:
    assert used(tmp_path, [LRController()], Mixed(Linear())) == [1 - k / 8 for k in range(8)]


def test_natural_slips_are_told_what_to_write() -> None:
    with pytest.raises(TypeError, match=r"LRMultiPhaseDecay takes phases by position .* got 2 .* go into a list"):
        LRMultiPhaseDecay(Constant("25%"), Cosine())  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"LRMultiPhaseDecay: phases\[0\] must be a schedule .*'Cosine'.* Cosine\(…\)"):
        LRMultiPhaseDecay(["Cosine"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"^LRMultiPhaseDecay: at most one phase may leave its duration out"):
        LRMultiPhaseDecay([Linear(), Cosine()])
    with pytest.raises(ValueError, match=r"LRWarmup: duration must be a duration, got '9{199}… \(a str\)"):
        LRWarmup("9" * 5000)
