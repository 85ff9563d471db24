"""What users run into elsewhere when a metric moves the lr: one test a report, with the sequence that must hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, StochasticWeightAveraging
from runs import Mixed, Net, Used, trainer, used
from test_pains import SaveEveryStep, two_groups

from lightning_lr import (
    Constant,
    Cosine,
    Linear,
    LRController,
    LRFreeze,
    LRMultiPhaseDecay,
    LRPlateauReduction,
    LRStagnationRestart,
    LRWarmup,
    Patience,
    Reduce,
    Restart,
    Rule,
    ScheduledLR,
)

VALIDATED: dict[str, Any] = {"limit_val_batches": 1}


def constant(n: int) -> float:
    return 1.0


def scheduler_state(ckpt: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(ckpt, weights_only=True)["lr_schedulers"][0]
    return state


def test_row_1_sparse_validation_is_no_error_and_each_result_counts_once(tmp_path: Path) -> None:
    net = Net(metric=constant)
    lrs = used(
        tmp_path,
        [LRPlateauReduction("val_loss", patience=0, factor=0.5)],
        net,
        max_epochs=6,
        check_val_every_n_epoch=2,
        **VALIDATED,
    )
    assert net.validations == 3
    assert lrs == [1.0] * 16 + [0.5] * 8


def test_row_1_a_metric_that_was_never_logged_is_named_with_its_nearest_match(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"LRPlateauReduction: .*'val_los' was never logged; did you mean 'val_loss'"):
        used(tmp_path, [LRPlateauReduction("val_los")], Net(metric=constant), **VALIDATED)


def test_row_2_a_stale_metric_is_no_evaluation(tmp_path: Path) -> None:
    lrs = used(
        tmp_path,
        [LRPlateauReduction("val_loss", patience=1, factor=0.1)],
        Net(metric=constant),
        val_check_interval=2,
        **VALIDATED,
    )
    assert lrs == [1.0] * 6 + [0.1] * 2


def test_row_3_warmup_and_plateau_compose(tmp_path: Path) -> None:
    wishes: list[Callback] = [LRWarmup(4), LRPlateauReduction("val_loss", patience=0, factor=0.5)]
    for order in (wishes, wishes[::-1]):
        lrs = used(tmp_path, order, Net(metric=constant), max_epochs=3, **VALIDATED)
        assert lrs == [0.25, 0.5, 0.75, 1.0] + [1.0] * 4 + [0.5] * 4


# ---- 7, 8: counters survive


def noisy(n: int) -> float:
    """Falls, stalls, falls, stalls: a metric that is a function of the validation's number."""
    return [1.0, 0.8, 0.81, 0.82, 0.79, 0.7, 0.71, 0.72, 0.73, 0.74, 0.6, 0.61, 0.62, 0.63, 0.64, 0.65][n % 16]


class Scripted(Net):
    """The n-th validation of the run logs ``metric(n)``, in a run that goes on as well."""

    def __init__(self, metric: Callable[[int], float], per_epoch: int = 1, batches: int = 4) -> None:
        super().__init__(batches=batches, metric=metric)
        self.per_epoch = per_epoch

    def on_validation_epoch_end(self) -> None:
        if not self.trainer.sanity_checking:
            assert self.metric is not None
            self.log("val_loss", self.metric(self.trainer.global_step * self.per_epoch // self.batches - 1))


def all_wishes() -> list[Callback]:
    return [
        LRStagnationRestart("val_loss", patience=3, peak_decay=0.5, max_restarts=2, rewarm=2),
        LRWarmup(5),
        LRPlateauReduction("val_loss", patience=1, factor=0.5, cooldown=1),
        LRMultiPhaseDecay([Linear("50%", end_factor=0.5), Cosine()]),
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {"max_epochs": 10},
        {"max_epochs": 8, "val_check_interval": 2},
        {"max_epochs": 12, "check_val_every_n_epoch": 2},
        {"max_epochs": 8, "accumulate_grad_batches": 3},
        {"max_epochs": 8, "check_val_every_n_epoch": None, "val_check_interval": 6},
    ],
    ids=str,
)
def test_rows_7_and_8_metrics_resume_from_every_update_bit_for_bit(tmp_path: Path, settings: dict[str, Any]) -> None:
    def net() -> Net:
        return Scripted(noisy, per_epoch=2 if settings.get("val_check_interval") == 2 else 1)

    whole_watch = Used()
    trainer(tmp_path, [*all_wishes(), whole_watch, SaveEveryStep()], **settings, **VALIDATED).fit(net())
    whole = whole_watch.lrs
    assert len(set(whole)) > 8
    final = scheduler_state(tmp_path / f"step{len(whole)}.ckpt")
    for k in range(1, len(whole)):
        ckpt = tmp_path / f"step{k}.ckpt"
        callbacks = [*all_wishes(), SaveEveryStep()]
        (tmp_path / f"again{k}").mkdir()
        lrs = used(tmp_path / f"again{k}", callbacks, net(), ckpt_path=ckpt, **settings, **VALIDATED)
        assert lrs == whole[k:], k
        assert scheduler_state(tmp_path / f"again{k}" / f"step{len(whole)}.ckpt") == final, k


@pytest.mark.parametrize(
    "saving",
    [{"monitor": "val_loss"}, {"every_n_epochs": 1, "save_on_train_epoch_end": True}, {"every_n_train_steps": 3}],
    ids=str,
)
def test_row_7_counters_survive_every_kind_of_checkpoint(tmp_path: Path, saving: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"max_epochs": 10, "enable_checkpointing": True, **VALIDATED}
    saver = ModelCheckpoint(tmp_path / "kept", filename="{step}", save_top_k=-1, **saving)
    whole = used(tmp_path, [*all_wishes(), saver], Scripted(noisy), **settings)
    kept = sorted((tmp_path / "kept").glob("*.ckpt"))
    assert len(kept) >= 8
    for ckpt in kept:
        done = torch.load(ckpt, weights_only=True)["global_step"]
        assert used(tmp_path, all_wishes(), Scripted(noisy), ckpt_path=ckpt, **settings) == whole[done:], ckpt.name


# ---- 24, 25, 26, 30, 42: exact sequences


@pytest.mark.parametrize(
    ("cooldown", "lrs"),
    [(0, [0.1] * 4 + [0.01] * 3 + [0.001] * 3), (1, [0.1] * 4 + [0.01] * 4 + [0.001] * 4)],
)
def test_row_24_patience_and_cooldown_are_not_off_by_one(tmp_path: Path, cooldown: int, lrs: list[float]) -> None:
    def sgd(module: Any) -> Any:
        return torch.optim.SGD(module.parameters(), lr=0.1)

    wish = LRPlateauReduction("val_loss", patience=2, cooldown=cooldown)
    net = Net(batches=1, optimizer=sgd, metric=constant)
    assert used(tmp_path, [wish], net, max_epochs=len(lrs), **VALIDATED) == pytest.approx(lrs, rel=1e-12)


def test_row_25_a_worsening_negative_metric_is_worse(tmp_path: Path) -> None:
    wish = LRPlateauReduction("val_loss", patience=0, factor=0.5, threshold=0.1)
    net = Net(batches=1, metric=lambda n: [-1.0, -0.95, -2.0][n])
    assert used(tmp_path, [wish], net, max_epochs=3, **VALIDATED) == [1.0, 1.0, 0.5]


def test_row_26_restarts_decay_their_peak_and_a_rewarmup_ends_at_it(tmp_path: Path) -> None:
    wish = LRStagnationRestart("val_loss", patience=1, peak_decay=0.5, rewarm=2)
    lrs = used(tmp_path, [wish, LRMultiPhaseDecay(Constant())], Net(metric=constant), max_epochs=8, **VALIDATED)
    assert lrs[:12] == [1.0] * 12
    assert lrs[12:24] == [0.25, 0.5] + [0.5] * 10
    assert lrs[24:] == [0.125, 0.25] + [0.25] * 6


@pytest.mark.parametrize(
    ("policy", "lrs"), [("count", [1.0] * 2 + [0.5, 0.25]), ("ignore", [1.0, 1.0, 1.0, 1.0]), ("raise", None)]
)
def test_row_30_nan_follows_its_policy(tmp_path: Path, policy: str, lrs: list[float] | None) -> None:
    wish = LRPlateauReduction("val_loss", patience=0, factor=0.5, nan_policy=policy)
    net = Net(batches=1, metric=lambda n: 1.0 if n == 0 else math.nan)
    if lrs is None:
        with pytest.raises(ValueError, match=r"LRPlateauReduction: 'val_loss' is nan .*nan_policy='raise'"):
            used(tmp_path, [wish], net, max_epochs=4, **VALIDATED)
    else:
        assert used(tmp_path, [wish], net, max_epochs=4, **VALIDATED) == lrs


def test_row_42_a_tiny_lr_is_reduced(tmp_path: Path) -> None:
    net = Net(batches=1, optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=1e-8), metric=constant)
    lrs = used(tmp_path, [LRPlateauReduction("val_loss", patience=0, factor=0.5)], net, max_epochs=3, **VALIDATED)
    assert lrs == [1e-8, 1e-8, 5e-9]


# ---- 27, 28, 29 and what else is told at the start


def test_row_27_swa_on_the_same_optimizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="StochasticWeightAveraging both own the lr of SGD"):
        used(tmp_path, [LRWarmup(2), StochasticWeightAveraging(0.1)])


def test_row_28_early_stopping_that_leaves_no_time_is_told(tmp_path: Path) -> None:
    wishes = [EarlyStopping("val_loss", patience=3), LRPlateauReduction("val_loss", patience=3)]
    with pytest.warns(UserWarning, match=r"EarlyStopping's patience 3 on 'val_loss' leaves a reduction after 4"):
        used(tmp_path, wishes, Net(metric=constant), max_epochs=1, **VALIDATED)
    used(tmp_path, [EarlyStopping("val_loss", patience=9), wishes[1]], Net(metric=constant), max_epochs=1, **VALIDATED)


def test_a_restart_that_always_comes_first_is_told(tmp_path: Path) -> None:
    wishes = [LRPlateauReduction("val_loss", patience=3), LRStagnationRestart("val_loss", patience=3)]
    with pytest.warns(UserWarning, match="restart's patience 3 on 'val_loss' is not larger than the reduction's, 3"):
        used(tmp_path, wishes, Net(metric=constant), max_epochs=1, **VALIDATED)


@pytest.mark.parametrize("wish", [LRStagnationRestart("val_loss"), LRFreeze("val_loss", duration=3)])
def test_an_action_that_cannot_change_any_lr_is_told(tmp_path: Path, wish: Callback) -> None:
    with pytest.warns(UserWarning, match="rule on 'val_loss' cannot change any lr"):
        used(tmp_path, [wish], Net(metric=constant), max_epochs=1, **VALIDATED)


def test_row_29_the_sanity_check_counts_for_nothing(tmp_path: Path) -> None:
    class Extreme(Net):
        def on_validation_epoch_end(self) -> None:
            self.log("val_loss", -1e9 if self.trainer.sanity_checking else 1.0)

    wishes = [LRPlateauReduction("val_loss", patience=1, factor=0.5), SaveEveryStep()]
    lrs = used(tmp_path, wishes, Extreme(), max_epochs=4, num_sanity_val_steps=1, **VALIDATED)
    assert lrs == [1.0] * 12 + [0.5] * 4
    rules = scheduler_state(tmp_path / "step4.ckpt")["tracks"]["lr"][3]
    assert rules == {"reduce:val_loss:validation": ["Patience", [None, 0], 0, 0, False]}


def test_validate_after_fit_counts_for_nothing(tmp_path: Path) -> None:
    net = Net(metric=constant)
    runner = trainer(tmp_path, [LRPlateauReduction("val_loss", patience=0)], max_epochs=2, **VALIDATED)
    runner.fit(net)
    before = runner.optimizers[0].param_groups[0]["lr"]
    runner.validate(net, verbose=False)
    assert runner.optimizers[0].param_groups[0]["lr"] == before


# ---- checks


def test_a_run_without_validation_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"val_loss is watched at each validation, but this run has none"):
        used(tmp_path, [LRPlateauReduction("val_loss")], limit_val_batches=0)


class TrainLoss(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("train_loss", 1.0, on_step=False, on_epoch=True)
        return super().training_step(batch, batch_idx)


def test_a_training_metric_watched_at_validation_is_refused_naming_the_fix(tmp_path: Path) -> None:
    wish = LRPlateauReduction("train_loss", patience=0)
    with pytest.raises(ValueError, match=r"never logged|did not refresh it.*check=\"train_epoch\""):
        used(tmp_path, [wish], TrainLoss(metric=constant), max_epochs=3, **VALIDATED)


def test_a_training_metric_is_checked_once_an_epoch(tmp_path: Path) -> None:
    wish = LRPlateauReduction("train_loss", patience=0, factor=0.5, check="train_epoch")
    assert used(tmp_path, [wish], TrainLoss(), max_epochs=4) == [1.0] * 8 + [0.5] * 4 + [0.25] * 4


def test_groups_keep_their_ratio_through_reductions_and_restarts(tmp_path: Path) -> None:
    watch = Used()
    wishes = [*all_wishes(), watch]
    trainer(tmp_path, wishes, max_epochs=12, **VALIDATED).fit(
        type("Two", (Scripted,), {"configure_optimizers": two_groups})(noisy)
    )
    assert len({a for a, _ in watch.groups}) > 8
    assert [b / a for a, b in watch.groups] == pytest.approx([0.1] * len(watch.groups), rel=1e-12)


def test_any_order_of_the_callbacks_gives_the_same_lrs(tmp_path: Path) -> None:
    import itertools

    found = {
        tuple(used(tmp_path, order, Scripted(noisy), max_epochs=8, **VALIDATED))
        for order in itertools.permutations(all_wishes())
    }
    assert len(found) == 1


def test_the_mixin_with_rules_and_a_callback_beside_it(tmp_path: Path) -> None:
    class Ruled(Mixed):
        def on_validation_epoch_end(self) -> None:
            self.log("val_loss", 1.0)

    rule = Rule(Patience(0), Reduce(0.5), "val_loss")
    lrs = used(tmp_path, [], Ruled(Constant(), rules=[rule]), max_epochs=3, **VALIDATED)
    assert lrs == [1.0] * 8 + [0.5] * 4
    with pytest.raises(ValueError, match=r"rules of configure_optimizers and LRPlateauReduction.* are two of a kind"):
        used(tmp_path, [LRPlateauReduction("val_loss")], Ruled(Constant(), rules=[rule]), **VALIDATED)


def test_two_plateau_rules_on_different_metrics_are_fine_on_the_same_refused(tmp_path: Path) -> None:
    class Twice(Net):
        def on_validation_epoch_end(self) -> None:
            self.log("a", 1.0)
            self.log("b", 1.0)

    wishes = [LRPlateauReduction(name, patience=0, factor=0.5) for name in "ab"]
    assert used(tmp_path, wishes, Twice(), max_epochs=3, **VALIDATED) == [1.0] * 8 + [0.5] * 4
    with pytest.raises(ValueError, match="two of a kind for one optimizer: both reduce by 'a'"):
        used(tmp_path, [LRPlateauReduction("a"), LRPlateauReduction("a")], Twice(), **VALIDATED)


def test_rules_by_hand_in_a_plain_loop() -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.zeros(1)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    rules = [Rule(Patience(0), Reduce(0.5), "loss"), Rule(Patience(2), Restart(0.5), "loss")]
    scheduler = ScheduledLR(optimizer, Linear(), rules=rules, total_steps=8)
    lrs = []
    for _ in range(8):
        lrs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.evaluate({"loss": 1.0, "other": 3.0})
    # the best, two reductions, a restart at half the peak over what is left, the best, two reductions, nothing left
    assert lrs == [1.0, 0.875, 0.375, 0.15625, 0.5, 0.375, 0.125, 0.03125]
    assert [event.kind for event in scheduler.events] == ["reduce", "reduce", "restart", "reduce", "reduce"]
    assert scheduler.rules == tuple(rules)
    with pytest.raises(ValueError, match="no validation rule watches 'los'; did you mean 'loss'"):
        scheduler.evaluate({"los": 1.0})


def test_a_training_metrics_decision_that_a_checkpoint_lost_is_told(tmp_path: Path) -> None:
    def wish() -> list[Callback]:
        return [LRPlateauReduction("train_loss", patience=1, factor=0.5, check="train_epoch")]

    whole = used(tmp_path, [*wish(), SaveEveryStep()], TrainLoss(), max_epochs=5)
    with pytest.warns(UserWarning, match=r"LRPlateauReduction: .* whose train_loss was to be checked; .* may be lost"):
        used(tmp_path, wish(), TrainLoss(), max_epochs=5, ckpt_path=tmp_path / "step8.ckpt")
    assert whole == [1.0] * 12 + [0.5] * 8


def test_a_run_that_resumes_twice_trains_as_many_epochs_as_it_was_to(tmp_path: Path) -> None:
    def fit(folder: str, ckpt: Path | None = None) -> list[float]:
        (tmp_path / folder).mkdir()
        wishes = [LRPlateauReduction("val_loss", patience=1, factor=0.5), SaveEveryStep()]
        return used(tmp_path / folder, wishes, Scripted(noisy), max_epochs=5, ckpt_path=ckpt, **VALIDATED)

    whole = fit("whole")
    once = fit("once", tmp_path / "whole" / "step8.ckpt")
    twice = fit("twice", tmp_path / "once" / "step12.ckpt")
    assert (once, twice) == (whole[8:], whole[12:])


@pytest.mark.parametrize(
    "wish",
    [
        LRPlateauReduction("val_loss", patience=0, factor=0.5, until="50%"),
        LRFreeze("val_loss", patience=0, duration=2, until="50%"),
        LRStagnationRestart("val_loss", patience=0, peak_decay=0.5, until="50%"),
    ],
)
def test_until_keeps_the_end_of_a_run_as_planned(tmp_path: Path, wish: Callback) -> None:
    wishes = [wish, LRMultiPhaseDecay(Linear()), SaveEveryStep()]
    used(tmp_path, wishes, Net(metric=constant), max_epochs=8, **VALIDATED)
    steps = [event["step"] for event in scheduler_state(tmp_path / "step32.ckpt")["events"]]
    assert steps[0] == 8
    assert max(steps) < 16


def test_a_resumed_plan_shows_what_is_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    used(tmp_path, [LRWarmup(4), LRMultiPhaseDecay([Linear(8), Constant()]), SaveEveryStep()], max_epochs=4)
    with caplog.at_level("INFO"):
        wishes = [LRWarmup(4), LRMultiPhaseDecay([Linear(8), Constant()])]
        used(tmp_path, wishes, max_epochs=4, ckpt_path=tmp_path / "step6.ckpt")
    plan = [message for message in caplog.messages if message.startswith("Learning-rate plan")][-1]
    assert [line.split()[0] for line in plan.splitlines()[2:]] == ["6–11", "12–15"]
    assert plan.splitlines()[2].split()[-3:] == ["0.75", "→", "0"]


# ---- odder turns


def test_what_is_logged_after_our_check_of_an_epoch_is_seen_at_the_next(tmp_path: Path) -> None:
    class Late(Net):
        def on_train_epoch_end(self) -> None:
            self.log("late", 1.0)

    wish = LRPlateauReduction("late", patience=0, factor=0.5, check="train_epoch")
    assert used(tmp_path, [wish], Late(), max_epochs=5) == [1.0] * 12 + [0.5] * 4 + [0.25] * 4


@pytest.mark.filterwarnings("ignore:.*this epoch trains with lr 0")
def test_stretch_after_keep_and_an_error_after_keep(tmp_path: Path) -> None:
    def fit(folder: str, epochs: int, ckpt: Path | None = None, change: str = "keep") -> list[float]:
        (tmp_path / folder).mkdir()
        wishes = [LRMultiPhaseDecay(Linear(), on_horizon_change=change), SaveEveryStep()]
        return used(tmp_path / folder, wishes, max_epochs=epochs, ckpt_path=ckpt)

    fit("first", 4)
    with pytest.warns(UserWarning, match="schedule ends at update 16 as before"):
        fit("kept", 8, tmp_path / "first" / "step4.ckpt")
    with pytest.raises(ValueError, match="from 16 updates to 32 updates"):
        fit("refused", 8, tmp_path / "kept" / "step8.ckpt", "error")
    with pytest.warns(UserWarning, match="takes what is left of the run"):
        lrs = fit("stretched", 8, tmp_path / "kept" / "step8.ckpt", "stretch")
    assert lrs == pytest.approx([0.5 * (1 - k / 24) for k in range(24)])
    with pytest.warns(UserWarning, match="takes what is left of the run"):
        back = fit("back", 4, tmp_path / "stretched" / "step12.ckpt", "stretch")
    assert len(back) == 4
    assert back[0] == pytest.approx(lrs[4])
    assert back[-1] == pytest.approx(back[0] / 4)


def test_a_metric_of_some_validations_only_is_no_error_after_a_resume(tmp_path: Path) -> None:
    class Sometimes(Net):
        def on_validation_epoch_end(self) -> None:
            if self.current_epoch % 2 == 0:
                self.log("fid", 1.0)

    def wish() -> list[Callback]:
        return [LRPlateauReduction("fid", patience=0, factor=0.5)]

    whole = used(tmp_path, [*wish(), SaveEveryStep()], Sometimes(), max_epochs=6, **VALIDATED)
    assert whole == [1.0] * 12 + [0.5] * 8 + [0.25] * 4
    for k in (4, 6, 8, 13):
        ckpt = tmp_path / f"step{k}.ckpt"
        assert used(tmp_path, wish(), Sometimes(), max_epochs=6, ckpt_path=ckpt, **VALIDATED) == whole[k:], k


def test_rules_that_nobody_hears_are_told_at_the_end(tmp_path: Path) -> None:
    def by_hand(module: Any) -> Any:
        optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
        rules = [Rule(Patience(0), Reduce(0.5), "val_loss")]
        scheduler = ScheduledLR(optimizer, Constant(), rules=rules, total_steps=8)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    net = Net(metric=constant, optimizer=by_hand)
    with pytest.warns(UserWarning, match=r"rules have never seen a metric: .* put an LRController\(\) on the trainer"):
        assert used(tmp_path, [], net, **VALIDATED) == [1.0] * 8
    assert used(tmp_path, [LRController()], net, max_epochs=3, **VALIDATED) == [1.0] * 8 + [0.5] * 4


def test_stopping_by_hand_stops(tmp_path: Path) -> None:
    from lightning_lr import Stop

    class Enough(Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == 5:
                trainer.lr_scheduler_configs[0].scheduler.apply(Stop())

    assert used(tmp_path, [LRMultiPhaseDecay(Linear()), Enough()], max_epochs=4) == [1 - k / 16 for k in range(5)]


def test_a_branch_of_a_trunk_without_our_state_and_of_one_that_was_branched_before(tmp_path: Path) -> None:
    from lightning_lr import Cooldown

    used(tmp_path, [SaveEveryStep()], max_epochs=2)
    branch = LRController(on_resume=Cooldown())
    with pytest.warns(UserWarning, match="it starts at update 4"):
        lrs = used(tmp_path, [branch], ckpt_path=tmp_path / "step4.ckpt")
    assert lrs == [1.0, 0.75, 0.5, 0.25]
    (tmp_path / "a").mkdir()
    used(tmp_path, [LRController(), SaveEveryStep()])
    used(tmp_path / "a", [LRController(on_resume=Reduce(0.5)), SaveEveryStep()], ckpt_path=tmp_path / "step2.ckpt")
    again = used(tmp_path, [LRController(on_resume=Cooldown())], ckpt_path=tmp_path / "a" / "step4.ckpt")
    assert again == [0.5, 0.375, 0.25, 0.125]
    with pytest.warns(UserWarning, match=r"on_resume=Cooldown\(2\) ends at update 6, the run at 8"):
        used(tmp_path, [LRController(on_resume=Cooldown(2))], ckpt_path=tmp_path / "step4.ckpt")


def test_fast_dev_run_lets_a_window_pass_that_a_whole_run_would_have(tmp_path: Path) -> None:
    wish = LRStagnationRestart("val_loss", peak_decay=0.5, active_from="2 epochs", until="80%")
    assert len(used(tmp_path, [wish], Net(metric=constant), fast_dev_run=True, **VALIDATED)) == 1


def test_a_restart_of_a_schedule_that_is_only_a_warmup_resumes_with_its_plan(tmp_path: Path) -> None:
    def wishes() -> list[Callback]:
        return [LRWarmup(4), LRStagnationRestart("val_loss", patience=0, peak_decay=0.5, rewarm=2)]

    whole = used(tmp_path, [*wishes(), SaveEveryStep()], Net(metric=constant), max_epochs=5, **VALIDATED)
    again = used(
        tmp_path, wishes(), Net(metric=constant), max_epochs=5, ckpt_path=tmp_path / "step10.ckpt", **VALIDATED
    )
    assert 0.25 in whole
    assert again == whole[10:]
