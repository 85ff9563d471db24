"""What users run into elsewhere: one test a report, with the sequence that must hold. U is the lr of every update."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import BackboneFinetuning, Callback, GradientAccumulationScheduler
from runs import Mixed, Net, Used, trainer, used
from torch.utils.data import DataLoader, IterableDataset

from lightning_lr import (
    Cosine,
    CosineRestarts,
    Exponential,
    Linear,
    LRController,
    LRMultiPhaseDecay,
    LRWarmup,
    ScheduledLR,
    Warmup,
)


def with_native(module: Any) -> Any:
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 1.0)]


class SaveEveryStep(Callback):
    """A checkpoint after every update, from ``on_train_batch_end``."""

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        trainer.save_checkpoint(Path(trainer.default_root_dir) / f"step{trainer.global_step}.ckpt")


# ---- 4: two owners


def test_row_4_native_scheduler_and_callback_are_refused_naming_both(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"LRWarmup.* and LambdaLR .*both own the lr of SGD.*remove the callback"):
        used(tmp_path, [LRWarmup(4)], Net(optimizer=with_native))


def test_row_4_mixin_and_decay_callback_are_refused_naming_both(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"schedule of configure_optimizers \(Cosine\(\)\) and LRMultiPhaseDecay"):
        used(tmp_path, [LRMultiPhaseDecay(Linear())], Mixed(Cosine()))


def test_row_4_two_of_a_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"LRWarmup\(Warmup\(4\)\) and LRWarmup\(Warmup\(2\)\) are two of a kind"):
        used(tmp_path, [LRWarmup(4), LRWarmup(2)])


# ---- 5: updates that AMP skipped


@pytest.mark.parametrize("fused", [False, True])
def test_row_5_updates_that_amp_skipped_do_not_move_the_schedule(fused: bool) -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1.0, fused=fused)
    scheduler = ScheduledLR(optimizer, Warmup(4))
    scaler = torch.amp.GradScaler("cpu")
    lrs = []
    for attempt in range(6):
        optimizer.zero_grad()
        scaler.scale((weight * (float("inf") if attempt < 2 else 0.0)).sum()).backward()
        lrs.append(optimizer.param_groups[0]["lr"])
        scaler.step(optimizer)
        scaler.update()
    assert lrs == [0.25, 0.25, 0.25, 0.5, 0.75, 1.0]
    assert scheduler.updates == 4


# ---- 6: resume


def test_row_6_resuming_after_any_update_gives_the_rest_of_the_run_bit_for_bit(tmp_path: Path) -> None:
    def wishes() -> list[Callback]:
        return [LRWarmup(3), LRMultiPhaseDecay([Cosine("40%", end_factor=0.3), CosineRestarts(2, peak_gamma=0.7)])]

    whole = used(tmp_path, [*wishes(), SaveEveryStep()], max_epochs=3)
    assert len(whole) == 12
    for k in range(1, 12):
        ckpt = tmp_path / f"step{k}.ckpt"
        assert used(tmp_path, wishes(), max_epochs=3, ckpt_path=ckpt) == whole[k:], k


# ---- 9: extending the run


def _first_half(tmp_path: Path) -> Path:
    used(tmp_path, [LRMultiPhaseDecay(Linear()), SaveEveryStep()], max_epochs=2)
    return tmp_path / "step4.ckpt"


def test_row_9_an_extended_run_keeps_the_schedule_and_warns_how_many_updates_have_lr_0(tmp_path: Path) -> None:
    ckpt = _first_half(tmp_path)
    with pytest.warns(UserWarning) as caught:  # noqa: PT030, the texts are asserted below
        lrs = used(tmp_path, [LRMultiPhaseDecay(Linear())], max_epochs=4, ckpt_path=ckpt)
    assert lrs == [0.5, 0.375, 0.25, 0.125] + [0.0] * 8
    said = [str(warning.message) for warning in caught]
    assert any("from 8 updates to 16 updates" in text and "8 updates after it run at lr 0" in text for text in said)
    assert sum("this epoch trains with lr 0" in text for text in said) == 2


def test_row_9_an_extended_run_can_be_stretched(tmp_path: Path) -> None:
    ckpt = _first_half(tmp_path)
    with pytest.warns(UserWarning, match="takes what is left of the run"):
        lrs = used(tmp_path, [LRMultiPhaseDecay(Linear(), on_horizon_change="stretch")], max_epochs=4, ckpt_path=ckpt)
    assert lrs[0] == 0.5
    assert all(b <= a for a, b in itertools.pairwise(lrs))
    assert lrs == pytest.approx([0.5 * (1 - k / 12) for k in range(12)], abs=1e-15)


def test_row_9_an_extended_run_can_be_refused(tmp_path: Path) -> None:
    ckpt = _first_half(tmp_path)
    with pytest.raises(ValueError, match=r"LRMultiPhaseDecay: .*from 8 updates to 16 updates.*on_horizon_change"):
        used(tmp_path, [LRMultiPhaseDecay(Linear(), on_horizon_change="error")], max_epochs=4, ckpt_path=ckpt)


# ---- 11: groups added mid-run


class Backboned(Net):
    def __init__(self) -> None:
        super().__init__(optimizer=lambda module: torch.optim.SGD(module.layer.parameters(), lr=1.0))
        self.backbone = torch.nn.Linear(1, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.layer(self.backbone(batch[0])).square().mean() * 1e-3


def _finetuning() -> list[Callback]:
    return [LRMultiPhaseDecay(Linear()), BackboneFinetuning(1, backbone_initial_ratio_lr=0.5, verbose=False)]


def test_row_11_a_group_added_mid_run_follows_the_same_factors(tmp_path: Path) -> None:
    watch = Used()
    with pytest.warns(UserWarning, match="something else set the lr of group 1") as caught:
        trainer(tmp_path, [*_finetuning(), watch, SaveEveryStep()], max_epochs=4).fit(Backboned())
    assert watch.lrs == [1 - k / 16 for k in range(16)]
    assert [len(groups) for groups in watch.groups] == [1] * 4 + [2] * 12
    assert [groups[1] / groups[0] for groups in watch.groups[4:]] == pytest.approx([0.5] * 12, rel=1e-12)
    said = [str(w.message) for w in caught if "something else set the lr of group 1" in str(w.message)]
    assert len(said) == 1  # BackboneFinetuning raises its group's lr by itself, which the schedule does not allow
    for k in (3, 5, 8, 10):  # not 4: there Lightning resumes past the epoch start at which the callback unfreezes
        resumed = Used()
        with pytest.warns(UserWarning, match="something else set the lr of group 1"):
            trainer(tmp_path, [*_finetuning(), resumed], max_epochs=4).fit(
                Backboned(), ckpt_path=tmp_path / f"step{k}.ckpt"
            )
        assert resumed.groups == watch.groups[k:], k


# ---- 14, 15, 16: where a warmup begins and ends, and what an update is


def test_row_14_the_first_update_is_neither_at_0_nor_at_the_peak(tmp_path: Path) -> None:
    assert used(tmp_path, [LRWarmup(4)]) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]


def test_row_15_the_decay_begins_when_the_warmup_has_ended(tmp_path: Path) -> None:
    lrs = used(tmp_path, [LRWarmup(4), LRMultiPhaseDecay(Cosine(8, end_factor=0.1))], max_epochs=4)
    assert lrs[3] == lrs[4] == 1.0
    assert all(b <= a for a, b in itertools.pairwise(lrs[4:]))
    assert lrs[12:] == [0.1] * 4


def test_row_16_a_schedule_counts_updates_not_batches(tmp_path: Path) -> None:
    lrs = used(tmp_path, [LRWarmup(3)], Net(batches=5), accumulate_grad_batches=2, max_epochs=2)
    assert lrs == [1 / 3, 2 / 3, 1.0, 1.0, 1.0, 1.0]
    shares = used(tmp_path, [LRMultiPhaseDecay(Linear())], Net(batches=5), accumulate_grad_batches=2, max_epochs=2)
    assert shares == pytest.approx([1 - k / 6 for k in range(6)])


def test_row_16_accumulation_that_changes_with_the_epoch_is_summed(tmp_path: Path) -> None:
    changing = GradientAccumulationScheduler({0: 4, 1: 2, 3: 1})  # 2 + 3 + 3 + 5 updates of 5 batches
    lrs = used(tmp_path, [LRWarmup(3), changing], Net(batches=5), max_epochs=4)
    assert len(lrs) == 13
    assert lrs[:3] == [1 / 3, 2 / 3, 1.0]
    whole = used(tmp_path, [LRMultiPhaseDecay(Linear()), changing], Net(batches=5), max_epochs=4)
    assert whole == pytest.approx([1 - k / 13 for k in range(13)])
    epoch = used(tmp_path, [LRMultiPhaseDecay([Linear("3 epochs")]), changing], Net(batches=5), max_epochs=4)
    assert epoch == pytest.approx([1 - k / 8 for k in range(8)] + [0.0] * 5)


# ---- 18, 19: several optimizers, manual optimization


class Gan(Net):
    """G every batch, D every second one; nobody calls ``step()`` of a scheduler."""

    def __init__(self, batches: int = 8) -> None:
        super().__init__(batches=batches)
        self.automatic_optimization = False
        self.other = torch.nn.Linear(1, 1)
        self.seen: dict[str, list[float]] = {"g": [], "d": []}

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.layer.parameters(), lr=1.0), torch.optim.Adam(self.other.parameters(), lr=1.0)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        g, d = self.optimizers()
        self._update("g", g, self.layer(batch[0]).square().mean())
        if batch_idx % 2:
            self._update("d", d, self.other(batch[0]).square().mean())

    def _update(self, name: str, optimizer: Any, loss: Any) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss * 1e-3)
        self.seen[name].append(optimizer.param_groups[0]["lr"])
        optimizer.step()


def test_rows_18_and_19_each_optimizer_has_its_own_clock_without_anybody_stepping_a_scheduler(tmp_path: Path) -> None:
    gan = Gan()
    trainer(tmp_path, [LRWarmup(4)], max_epochs=1).fit(gan)
    assert gan.seen["g"] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert gan.seen["d"] == [0.25, 0.5, 0.75, 1.0]


def test_row_19_a_share_of_a_manual_run_is_compared_with_what_was_seen(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"Adam made 4 updates in an epoch .* one per batch, 8: give total_steps=8"):
        trainer(tmp_path, [LRMultiPhaseDecay(Linear(), optimizer="Adam")], max_epochs=2).fit(Gan())
    gan = Gan()
    right = [LRMultiPhaseDecay(Linear(), optimizer="Adam", total_steps=8), LRWarmup(2, optimizer=0)]
    trainer(tmp_path, right, max_epochs=2).fit(gan)
    assert gan.seen["d"] == [1 - k / 8 for k in range(8)]
    assert gan.seen["g"] == [0.5] + [1.0] * 15


# ---- 20, 22: a length that is unknown or wrong


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([torch.ones(1)] * 4)


class Streaming(Net):
    def train_dataloader(self) -> Any:
        return DataLoader(Endless(), batch_size=1)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.layer(batch).square().mean() * 1e-3


def test_row_20_schedules_in_updates_work_in_a_run_of_unknown_length(tmp_path: Path) -> None:
    wishes = [LRWarmup(2), LRMultiPhaseDecay([Linear(2, end_factor=0.5), Exponential(0.5)])]
    assert used(tmp_path, wishes, Streaming()) == [0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.125, 0.0625]


@pytest.mark.parametrize("wish", [LRWarmup("5%"), LRMultiPhaseDecay(Cosine())])
def test_row_20_a_share_of_an_unknown_run_is_refused_naming_total_steps(tmp_path: Path, wish: Callback) -> None:
    with pytest.raises(ValueError, match=r"LR\w+: .*length is unknown: give total_steps="):
        used(tmp_path, [wish], Streaming())


def test_row_20_total_steps_tells_the_unknown_length(tmp_path: Path) -> None:
    lrs = used(tmp_path, [LRMultiPhaseDecay(Linear(), total_steps=8)], Streaming())
    assert lrs == [1 - k / 8 for k in range(8)]


def test_row_22_an_epoch_cut_short_moves_the_clock_by_its_real_updates(tmp_path: Path) -> None:
    class Short(Net):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
            return -1 if self.current_epoch == 0 and batch_idx == 2 else None

    assert used(tmp_path, [LRWarmup(4)], Short()) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


# ---- 23: ratios


def two_groups(module: Any) -> Any:
    layer = module.layer
    return torch.optim.SGD([{"params": [layer.weight]}, {"params": [layer.bias], "lr": 0.1}], lr=1.0)


def test_row_23_groups_keep_their_ratio(tmp_path: Path) -> None:
    watch = Used()
    trainer(tmp_path, [LRWarmup(4), LRMultiPhaseDecay(Linear()), watch]).fit(Net(optimizer=two_groups))
    assert [a for a, _ in watch.groups] == [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25]
    assert [b / a for a, b in watch.groups] == pytest.approx([0.1] * 8, rel=1e-15)


# ---- 36, 37, 41


def test_row_36_a_tensor_lr_stays_the_same_tensor_and_saved_lrs_are_floats(tmp_path: Path) -> None:
    weights = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    shared = torch.tensor(1.0)
    optimizer = torch.optim.AdamW([{"params": [w]} for w in weights], lr=shared, capturable=False, foreach=False)
    assert optimizer.param_groups[0]["lr"] is optimizer.param_groups[1]["lr"]  # torch shares it
    scheduler = ScheduledLR(optimizer, Warmup(4))
    tensors = [group["lr"] for group in optimizer.param_groups]
    assert tensors[0] is not tensors[1]
    seen = []
    for _ in range(4):
        seen.append([float(group["lr"]) for group in optimizer.param_groups])
        for weight in weights:
            weight.grad = torch.zeros(1)
        optimizer.step()
    assert seen == [[0.25, 0.25], [0.5, 0.5], [0.75, 0.75], [1.0, 1.0]]
    assert all(group["lr"] is tensor for group, tensor in zip(optimizer.param_groups, tensors, strict=True))
    assert [type(lr) for lr in scheduler.get_last_lr()] == [float, float]
    assert [type(group["initial_lr"]) for group in optimizer.param_groups] == [float, float]


def test_row_37_a_checkpoint_loads_with_weights_only(tmp_path: Path) -> None:
    used(tmp_path, [LRWarmup("25%"), LRMultiPhaseDecay(Cosine()), SaveEveryStep()])
    state = torch.load(tmp_path / "step5.ckpt", weights_only=True)["lr_schedulers"][0]
    assert state["updates"] == 5
    buffer = io.BytesIO()
    torch.save(state, buffer)
    assert buffer.tell() > 0


def test_row_41_three_fits_of_an_epoch_equal_one_of_three(tmp_path: Path) -> None:
    def wishes() -> list[Callback]:
        return [LRWarmup(3), LRMultiPhaseDecay([Exponential(0.9, decay_steps=3, staircase=True)])]

    whole = used(tmp_path, wishes(), max_epochs=3)
    watch, net = Used(), Net()
    runner = trainer(tmp_path, [*wishes(), watch], max_epochs=1)
    for _ in range(3):
        runner.fit(net)
        runner.fit_loop.max_epochs += 1
    assert watch.lrs == whole


def test_row_41_the_same_callbacks_in_a_new_trainer_start_fresh(tmp_path: Path) -> None:
    wishes = [LRWarmup(4)]
    first = used(tmp_path, wishes)
    assert used(tmp_path, wishes) == first


def test_row_32_the_lr_finder_leaves_no_traces_and_the_warmup_targets_its_suggestion(tmp_path: Path) -> None:
    class Tuned(Net):
        def __init__(self) -> None:
            super().__init__(batches=40)
            self.lr = 1.0

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=self.lr)

    wish = LRWarmup(4)
    watch, net = Used(), Tuned()
    runner = trainer(tmp_path, [wish, watch], max_epochs=1)
    finder = L.pytorch.tuner.Tuner(runner).lr_find(net, num_training=30, min_lr=1e-4, max_lr=1.0)
    assert watch.lrs == []
    assert finder is not None
    assert len(set(finder.results["lr"])) == len(finder.results["lr"])  # nobody else wrote the lr meanwhile
    runner.fit(net)
    assert net.lr != 1.0
    assert watch.lrs[:5] == pytest.approx([net.lr * f for f in (0.25, 0.5, 0.75, 1.0, 1.0)])


def test_row_32_as_a_callback_the_lr_finder_sets_the_peak(tmp_path: Path) -> None:
    class Tuned(Net):
        lr = 1.0

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=self.lr)

    for finder_first in (True, False):
        finder = L.pytorch.callbacks.LearningRateFinder(num_training_steps=30, min_lr=1e-4)
        watch, net = Used(), Tuned(batches=40)
        order = [finder, LRWarmup(4)] if finder_first else [LRWarmup(4), finder]
        runner = trainer(tmp_path, [*order, watch], max_epochs=1)
        runner.fit(net)
        assert net.lr != 1.0
        assert watch.lrs[:5] == pytest.approx([net.lr * f for f in (0.25, 0.5, 0.75, 1.0, 1.0)])


def test_a_lone_controller_keeps_the_lr_constant(tmp_path: Path) -> None:
    assert used(tmp_path, [LRController()]) == [1.0] * 8
