"""``LRFinder``: the range test's suggestion is the peak of the schedule, and nothing else of the test remains.

As a program, ``python test_finder.py OUT``, one rank of the test with two processes.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import pytest
import torch
from lightning.pytorch.callbacks import BatchSizeFinder, Callback
from runs import Net, Used, trainer
from torch.utils.data import DataLoader, TensorDataset

from lightning_lr import (
    Linear,
    LRFinder,
    LRMultiPhaseDecay,
    LRPlateauReduction,
    LRScheduleMixin,
    LRWarmup,
    ScheduledLR,
    Suggestions,
    Warmup,
)
from lightning_lr.callbacks import RangeTest

WARM = [0.25, 0.5, 0.75, 1.0]


class Regression(Net):
    """Noisy data on a line: with SGD the loss falls around lr 0.03 and blows up around 1."""

    def __init__(
        self, lr: float | None = 1.0, batches: int = 40, optimizer: Callable[[Any], Any] | None = None
    ) -> None:
        super().__init__(batches=batches, optimizer=optimizer)
        self.lr = lr
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = torch.nn.Linear(4, 1)

    def loader(self, batches: int) -> Any:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(32 * batches, 4, generator=generator)
        y = x @ torch.tensor([[1.0], [2.0], [-1.0], [0.5]]) + 0.3 * torch.randn(len(x), 1, generator=generator)
        return DataLoader(TensorDataset(x, y), batch_size=32)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return (self.layer(batch[0]) - batch[1]).square().mean()

    def configure_optimizers(self) -> Any:
        if self.make_optimizer:
            return self.make_optimizer(self)
        return torch.optim.SGD(self.parameters(), lr=1.0 if self.lr is None else self.lr)


def two_groups(net: Any) -> torch.optim.Optimizer:
    """The head at the module's lr, the body at a tenth of it."""
    body = {"params": [net.layer.bias], "lr": net.lr / 10}
    return torch.optim.SGD([body, {"params": [net.layer.weight]}], lr=net.lr)


class Watch(Used):
    """U, and the weights with which training began."""

    weights: Any = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.weights = [parameter.tolist() for parameter in pl_module.parameters()]


def found(finder: LRFinder) -> Suggestions:
    assert finder.results is not None
    assert finder.results.suggestions is not None
    return finder.results.suggestions


# ---- the peak


@pytest.mark.parametrize("finder_at", [0, 1, 2])
def test_the_schedule_targets_the_suggestion_whatever_the_order(tmp_path: Path, finder_at: int) -> None:
    finder, watch, net = LRFinder(), Watch(), Regression()
    order: list[Callback] = [LRWarmup(4), LRMultiPhaseDecay(Linear())]
    order.insert(finder_at, finder)
    trainer(tmp_path, [*order, watch]).fit(net)
    peak = found(finder).median
    assert 0.01 < peak < 0.2
    assert watch.lrs == [peak * f for f in (Warmup(4) >> Linear()).curve(80)]
    assert net.lr == peak
    assert watch.weights == [parameter.tolist() for parameter in Regression().parameters()]  # nothing was learnt


@pytest.mark.parametrize("name", Suggestions._fields)
def test_each_suggestion_can_be_the_peak(tmp_path: Path, name: str) -> None:
    finder, watch = LRFinder(suggestion=name), Used()
    trainer(tmp_path, [finder, watch], max_epochs=1).fit(Regression())
    assert set(watch.lrs) == {getattr(found(finder), name)}


def test_groups_keep_their_ratios_in_the_test_and_after_it(tmp_path: Path) -> None:
    tested: list[list[float]] = []

    def watched(net: Any) -> Any:
        optimizer = two_groups(net)
        optimizer.register_step_post_hook(lambda o, *_: tested.append([group["lr"] for group in o.param_groups]))
        return optimizer

    finder, watch, net = LRFinder(), Used(), Regression(lr=5.0, optimizer=watched)
    trainer(tmp_path, [LRWarmup(4), finder, watch]).fit(net)
    assert finder.results is not None
    during = tested[: len(finder.results.lrs)]
    assert [head for _, head in during] == finder.results.lrs
    assert all(body == pytest.approx(head / 10, rel=1e-12) for body, head in during)
    peak = found(finder).median
    assert net.lr == peak
    assert watch.groups[:4] == [pytest.approx([peak * f / 10, peak * f], rel=1e-12) for f in WARM]


def test_an_attribute_that_is_not_the_largest_lr_is_scaled_as_the_groups_are(tmp_path: Path) -> None:
    def faster_head(net: Any) -> Any:
        return torch.optim.SGD(
            [{"params": [net.layer.weight], "lr": 10 * net.lr}, {"params": [net.layer.bias]}], net.lr
        )

    finder, watch, net = LRFinder(), Used(), Regression(optimizer=faster_head)
    trainer(tmp_path, [finder, watch]).fit(net)
    peak = found(finder).median
    assert watch.groups[0] == pytest.approx([peak, peak / 10], rel=1e-12)
    assert net.lr == pytest.approx(peak / 10, rel=1e-12)


@pytest.mark.parametrize(
    ("options", "attributes", "expected"),
    [
        ({}, {"lr": None}, ["lr"]),
        ({}, {"learning_rate": 1.0}, ["learning_rate"]),
        ({"attr_name": "eta"}, {"eta": 1.0, "lr": 1.0}, ["eta"]),
        ({"update_attr": False}, {"lr": 1.0}, []),
        ({}, {"lr": "auto"}, []),  # no number: nothing of ours to set
        ({}, {}, []),
    ],
)
def test_which_attribute_is_set(tmp_path: Path, options: Any, attributes: Any, expected: list[str]) -> None:
    finder, net = LRFinder(**options), Regression(optimizer=lambda net: torch.optim.SGD(net.parameters(), lr=1.0))
    del net.lr
    for name, value in attributes.items():
        setattr(net, name, value)
    trainer(tmp_path, [finder], max_epochs=1).fit(net)
    for name, value in attributes.items():
        assert getattr(net, name) == (found(finder).median if name in expected else value)
    assert not hasattr(net, "lr") or "lr" in attributes


def test_hyperparameters_are_updated_as_well(tmp_path: Path) -> None:
    class Hyper(Regression):
        def __init__(self, learning_rate: float = 1.0) -> None:
            super().__init__(optimizer=lambda net: torch.optim.SGD(net.parameters(), lr=net.hparams.learning_rate))
            del self.lr
            self.save_hyperparameters()

    finder, net = LRFinder(), Hyper()
    trainer(tmp_path, [finder], max_epochs=1).fit(net)
    assert net.hparams.learning_rate == found(finder).median


def test_a_mixin_schedule_targets_the_suggestion(tmp_path: Path) -> None:
    finder, watch = LRFinder(), Used()
    trainer(tmp_path, [finder, watch]).fit(Mixed())
    assert watch.lrs == [found(finder).median * f for f in (Warmup(4) >> Linear()).curve(80)]


def test_a_tensor_lr_stays_a_tensor(tmp_path: Path) -> None:
    kept: list[Any] = []

    def tensors(net: Any) -> Any:
        kept.append(torch.optim.SGD(net.parameters(), lr=torch.tensor(1.0), foreach=False))
        return kept[0]

    finder, watch = LRFinder(), Used()
    trainer(tmp_path, [finder, LRWarmup(4), watch], max_epochs=1).fit(Regression(optimizer=tensors))
    assert isinstance(kept[0].param_groups[0]["lr"], torch.Tensor)
    assert watch.lrs[:4] == pytest.approx([found(finder).median * f for f in WARM], rel=1e-6)


# ---- the test


def test_the_whole_range_is_tested_however_short_the_run_and_no_validation_interrupts_it(tmp_path: Path) -> None:
    finder, net = LRFinder(num_training_steps=60, early_stop_threshold=None, max_lr=3.0), Regression(batches=4)
    runner = trainer(tmp_path, [finder], max_epochs=1, limit_val_batches=1)
    net.metric = float  # counts the validations
    runner.fit(net)
    assert finder.results is not None
    assert len(finder.results.lrs) == len(finder.results.losses) == 60
    assert finder.results.lrs[0] == 1e-7
    assert finder.results.lrs[-1] == pytest.approx(3.0)
    assert net.validations == 1  # that of the run
    assert runner.ckpt_path is None  # and not the test's own
    assert (runner.global_step, runner.max_epochs, runner.check_val_every_n_epoch) == (4, 1, 1)


def test_validation_counted_in_batches_beyond_the_epoch_is_no_obstacle(tmp_path: Path) -> None:
    finder = LRFinder(num_training_steps=60)
    settings = {"val_check_interval": 50, "check_val_every_n_epoch": None, "limit_val_batches": 1}
    trainer(tmp_path, [finder], max_epochs=1, **settings).fit(Regression())
    assert found(finder).median > 0


def test_the_losses_are_those_of_the_updates_and_not_a_running_mean(tmp_path: Path) -> None:
    seen: list[float] = []

    class Recording(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            seen.append(loss.item())
            return loss

    finder = LRFinder()
    trainer(tmp_path, [finder], max_epochs=1).fit(Recording())
    assert finder.results is not None
    assert finder.results.losses == seen[: len(finder.results.losses)]
    assert len(finder.results.losses) > 60


def test_accumulated_batches_make_one_point_of_their_mean(tmp_path: Path) -> None:
    seen: list[float] = []

    class Recording(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            seen.append(loss.item())
            return loss

    finder = LRFinder(num_training_steps=50)
    trainer(tmp_path, [finder], max_epochs=1, accumulate_grad_batches=2).fit(Recording(batches=5))
    assert finder.results is not None
    assert finder.results.losses[1:4] == pytest.approx([(seen[2] + seen[3]) / 2, seen[4], (seen[5] + seen[6]) / 2])
    assert finder.results.lrs == sorted(set(finder.results.lrs))


def test_batches_without_a_loss_make_no_point_and_a_loss_that_is_nan_ends_the_curve(tmp_path: Path) -> None:
    class Odd(Regression):
        steps = 0

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.steps += 1
            loss = super().training_step(batch, batch_idx)
            return None if self.steps in (3, 10) else loss * torch.nan if self.steps == 95 else loss

    finder = LRFinder(max_lr=3.0)
    with pytest.warns(UserWarning, match="returned `None`"):
        trainer(tmp_path, [finder], max_epochs=1).fit(Odd())
    assert finder.results is not None
    assert len(finder.results.lrs) == 98
    assert 0.01 < found(finder).median < 0.2


def test_rules_see_nothing_of_the_test(tmp_path: Path) -> None:
    def used(*callbacks: Callback, lr: float = 1.0) -> tuple[list[float], Any]:
        watch, net = Used(), Regression(lr=lr, batches=4)
        net.metric = lambda n: 1.0
        rule = LRPlateauReduction("val_loss", patience=1, factor=0.5)
        runner = trainer(tmp_path, [rule, *callbacks, watch], max_epochs=6, limit_val_batches=1)
        runner.fit(net)
        return watch.lrs, runner.lr_scheduler_configs[0].scheduler.state_dict()

    finder = LRFinder()
    lrs, state = used(finder)
    expected, expected_state = used(lr=found(finder).median)
    assert lrs == expected
    assert state == expected_state
    assert len(set(lrs)) == 3


def test_fast_dev_run_makes_no_test(tmp_path: Path) -> None:
    finder, watch = LRFinder(), Used()
    with pytest.warns(UserWarning, match="Skipping learning rate finder since `fast_dev_run` is enabled"):
        trainer(tmp_path, [finder, watch], fast_dev_run=True).fit(Regression())
    assert (watch.lrs, finder.results) == ([1.0], None)


@pytest.mark.parametrize("ours_first", [True, False])
def test_beside_the_finder_of_batch_sizes(tmp_path: Path, ours_first: bool) -> None:
    class Sized(Regression):
        batch_size = 8

        def train_dataloader(self) -> Any:
            return DataLoader(super().train_dataloader().dataset, batch_size=self.batch_size)

    finder, watch, net = LRFinder(), Used(), Sized()
    sizes = BatchSizeFinder(steps_per_trial=1, max_trials=2, init_val=16)
    order = [finder, sizes] if ours_first else [sizes, finder]
    trainer(tmp_path, [*order, LRWarmup(4), watch], max_epochs=1).fit(net)
    assert net.batch_size > 16
    assert watch.lrs[:4] == [found(finder).median * f for f in WARM]


# ---- what is said


def test_one_line_tells_all_suggestions_and_the_plan_has_the_new_peak(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    finder = LRFinder()
    with caplog.at_level("INFO"):
        trainer(tmp_path, [LRWarmup(4), finder]).fit(Regression())
    [line] = [message for message in caplog.messages if message.startswith("LRFinder")]
    listed = ", ".join(f"{name} {value:.3g}" for name, value in found(finder)._asdict().items())
    assert line.startswith(f"LRFinder: the peak lr is {found(finder).median:.3g} (median), after ")
    assert line.endswith(f"suggestions: {listed}")
    [plan] = [message for message in caplog.messages if message.startswith("Learning-rate plan")]
    assert f"→ {found(finder).median:.4g}" in plan


class Scripted(Regression):
    """The loss as a function of the lr in use, whatever the weights."""

    def __init__(self, loss: Callable[[float], float]) -> None:
        super().__init__()
        self.loss = loss

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        lr = self.trainer.optimizers[0].param_groups[0]["lr"]
        return super().training_step(batch, batch_idx) * 0.0 + self.loss(lr)


def test_suggestions_that_differ_by_more_than_10x_are_warned_about(tmp_path: Path) -> None:
    def stairs(lr: float) -> float:
        return 3.0 - 2.0 * (lr > 1e-5) - 0.5 * (lr > 1e-1) + 5.0 * (lr > 3.0)

    finder = LRFinder()
    with pytest.warns(UserWarning, match=r"differ by a factor of \d+.*valley .*slide .*look at finder\.plot\(\)"):
        trainer(tmp_path, [finder], max_epochs=1).fit(Scripted(stairs))
    assert found(finder).spread > 10


def test_a_loss_that_still_falls_at_the_end_is_warned_about(tmp_path: Path) -> None:
    finder = LRFinder(max_lr=0.05)
    with pytest.warns(UserWarning, match=r"still falling at max_lr=0\.05: .* give a larger max_lr"):
        trainer(tmp_path, [finder], max_epochs=1).fit(Regression())


# ---- going on


class Saving(Callback):
    def __init__(self, at: int) -> None:
        self.at = at

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self.at:
            trainer.save_checkpoint(Path(trainer.default_root_dir) / "saved.ckpt")


class Mixed(LRScheduleMixin, Regression):
    def configure_optimizers(self) -> Any:
        return self.scheduled(super().configure_optimizers(), Warmup(4) >> Linear())


@pytest.mark.parametrize("mixin", [False, True])
@pytest.mark.parametrize("at", [3, 50])
def test_a_run_that_goes_on_is_not_tested_again(
    tmp_path: Path, at: int, mixin: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def fit(finder: LRFinder, net: Regression, ckpt_path: Path | None = None) -> list[float]:
        watch = Used()
        wishes = [] if mixin else [LRWarmup(4), LRMultiPhaseDecay(Linear(), on_lr_change="error")]
        trainer(tmp_path, [*wishes, finder, watch, Saving(at)]).fit(net, ckpt_path=ckpt_path)
        return watch.lrs

    kind = Mixed if mixin else Regression
    finder, again, net = LRFinder(), LRFinder(suggestion="slide"), kind()
    whole = fit(finder, kind())
    with caplog.at_level("INFO"):
        assert fit(again, net, tmp_path / "saved.ckpt") == whole[at:]
    assert "LRFinder: the run goes on; it is not tested again, and its lr stays" in caplog.messages
    assert again.results == finder.results
    assert net.lr == found(finder).median


@pytest.mark.parametrize(
    "mixin",
    [False, True],
)
def test_going_on_is_silent_where_the_module_has_no_attribute(tmp_path: Path, mixin: bool) -> None:
    def fit(finder: LRFinder, ckpt_path: Path | None = None) -> list[float]:
        watch, net = Used(), (Mixed if mixin else Regression)(lr=None)
        del net.lr
        net.make_optimizer = two_lrs
        wishes = [] if mixin else [LRWarmup(4), LRMultiPhaseDecay(Linear())]
        trainer(tmp_path, [*wishes, finder, watch, Saving(9)]).fit(net, ckpt_path=ckpt_path)
        return watch.lrs

    def two_lrs(net: Any) -> Any:
        return torch.optim.SGD([{"params": [net.layer.bias], "lr": 0.5}, {"params": [net.layer.weight]}], lr=1.0)

    assert fit(LRFinder(), tmp_path / "saved.ckpt" if fit(LRFinder()) else None)


def test_a_checkpoint_of_update_0_goes_on_as_well(tmp_path: Path) -> None:
    class AtOnce(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            trainer.save_checkpoint(tmp_path / "saved.ckpt")

    first, again = LRFinder(), LRFinder(suggestion="slide")
    trainer(tmp_path, [LRWarmup(4), first, AtOnce()]).fit(Regression())
    watch = Used()
    trainer(tmp_path, [LRWarmup(4), again, watch]).fit(Regression(), ckpt_path=tmp_path / "saved.ckpt")
    assert watch.lrs[:4] == [found(first).median * f for f in WARM]


def test_a_checkpoint_made_without_the_finder_keeps_its_lr(tmp_path: Path) -> None:
    watch, finder = Used(), LRFinder()
    trainer(tmp_path, [LRWarmup(4), Saving(2)]).fit(Regression())
    trainer(tmp_path, [LRWarmup(4), finder, watch]).fit(Regression(), ckpt_path=tmp_path / "saved.ckpt")
    assert watch.lrs == [0.75] + [1.0] * 77
    assert finder.results is None


def test_what_is_saved_is_plain_data(tmp_path: Path) -> None:
    trainer(tmp_path, [LRFinder(), Saving(2)], max_epochs=1).fit(Regression())
    saved = torch.load(tmp_path / "saved.ckpt", weights_only=True)
    assert set(saved["callbacks"]["LRFinder"]) == {"lrs", "losses", "suggestions", "peaks", "attribute"}


def test_a_second_fit_goes_on_and_a_new_trainer_tests_anew(tmp_path: Path) -> None:
    finder, watch, net = LRFinder(), Used(), Regression()
    runner = trainer(tmp_path, [LRMultiPhaseDecay(Linear(80), on_overrun="cut"), finder, watch], max_epochs=1)
    runner.fit(net)
    first = finder.results
    runner.fit_loop.max_epochs = 2
    runner.fit(net)
    assert finder.results is first
    assert watch.lrs == [found(finder).median * f for f in Linear(80).curve(80)]
    trainer(tmp_path, [finder], max_epochs=1).fit(Regression())
    assert finder.results is not first
    assert finder.results == first  # the same module and data
    with pytest.warns(UserWarning, match="Skipping learning rate finder"):
        trainer(tmp_path, [finder], fast_dev_run=True).fit(Regression())
    assert finder.results is None  # another trainer's is not this one's


# ---- what is refused


def _built(build: Callable[[Any, Any], Any]) -> Regression:
    def configured(net: Any) -> Any:
        optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
        return {"optimizer": optimizer, "lr_scheduler": build(optimizer, net)}

    return Regression(optimizer=configured)


def _manual() -> Regression:
    net = Regression()
    net.automatic_optimization = False
    return net


def _several() -> Regression:
    net = Regression(optimizer=lambda net: [torch.optim.SGD([p], lr=1.0) for p in net.parameters()])
    net.automatic_optimization = False
    return net


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (_several(), "LRFinder: a range test is about one optimizer, and Regression has 2"),
        (_manual(), "LRFinder: Regression optimizes manually"),
        (
            _built(lambda o, _: torch.optim.lr_scheduler.StepLR(o, 2)),
            "LRFinder: StepLR (from configure_optimizers) took its base lr when it was built",
        ),
        (_built(lambda o, _: ScheduledLR(o, Warmup(4))), "LRFinder: the ScheduledLR of configure_optimizers runs alr"),
    ],
)
def test_modules_that_cannot_be_tested(tmp_path: Path, net: Regression, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        trainer(tmp_path, [LRFinder()]).fit(net)


def test_a_module_without_an_optimizer_cannot_be_tested(tmp_path: Path) -> None:
    with (
        pytest.warns(UserWarning, match="configure_optimizers` returned `None`"),
        pytest.raises(ValueError, match="LRFinder: a range test is about one optimizer, and Regression has 0"),
    ):
        trainer(tmp_path, [LRFinder()]).fit(Regression(optimizer=lambda net: None))


def test_torchs_plateau_scheduler_has_no_lr_of_its_own(tmp_path: Path) -> None:
    def plateau(optimizer: Any, net: Any) -> Any:
        return {"scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer), "monitor": "val_loss"}

    finder, watch, net = LRFinder(), Used(), _built(plateau)
    net.metric = lambda n: 1.0
    trainer(tmp_path, [finder, watch], max_epochs=1, limit_val_batches=1).fit(net)
    assert set(watch.lrs) == {found(finder).median}


def test_an_attribute_that_is_not_there_or_no_number(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="LRFinder: attr_name='eta' is neither in Regression nor in its hparams or dat"
    ):
        trainer(tmp_path, [LRFinder(attr_name="eta")]).fit(Regression())
    net = Regression()
    net.eta = "x"
    with pytest.raises(ValueError, match=r"LRFinder: eta must hold a number, or None, got 'x' \(a str\)"):
        trainer(tmp_path, [LRFinder(attr_name="eta")]).fit(net)


def test_a_loss_that_does_not_fall_is_refused_and_can_be_looked_at(tmp_path: Path) -> None:
    finder, net = LRFinder(), Scripted(lambda lr: 0.7)
    with pytest.raises(ValueError, match=r"LRFinder: range test: the loss does not fall .*widen the range"):
        trainer(tmp_path, [finder]).fit(net)
    assert finder.results is not None
    assert finder.results.suggestions is None
    assert {text.get_text() for text in finder.plot().axes[0].get_legend().get_texts()} == {"loss", "smoothed"}
    assert net.lr == 1.0


def test_a_test_that_was_stopped_at_once_says_what_to_change(tmp_path: Path) -> None:
    finder = LRFinder()
    with pytest.raises(
        ValueError, match=r"LRFinder: range test: 20 finite losses are needed, got 2: .*early_stop_thre"
    ):
        trainer(tmp_path, [finder]).fit(Scripted(lambda lr: -1.0))  # Lightning takes a negative loss for a blow-up
    finder.plot()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_lr": 0.0}, "LRFinder: min_lr must be a number > 0 (finite), got 0.0"),
        ({"min_lr": 1.0, "max_lr": 1.0}, "LRFinder: max_lr must be a number > 1 (finite), got 1.0"),
        ({"num_training_steps": 19}, "LRFinder: num_training_steps must be a whole number >= 20, got 19"),
        ({"mode": "exp"}, "LRFinder: mode must be one of 'linear', 'exponential', got 'exp' (a str)"),
        (
            {"early_stop_threshold": 1.0},
            "LRFinder: early_stop_threshold (or None) must be a number > 1 (finite), got 1",
        ),
        ({"update_attr": 1}, "LRFinder: update_attr must be True or False, got 1"),
        ({"attr_name": None}, "LRFinder: attr_name must be a name, or '', got None"),
        ({"suggestion": "best"}, "LRFinder: suggestion must be one of 'valley', 'steepest', 'slide', 'minimum', 'med"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        LRFinder(**options)


def test_misspelt_arguments() -> None:
    with pytest.raises(
        TypeError, match=r"LRFinder has no parameter 'num_training'; did you mean 'num_training_steps'\?"
    ):
        LRFinder(num_training=50)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="LRFinder takes nothing by position and all else by name"):
        LRFinder(1e-6)  # type: ignore[misc]


def test_a_finder_can_be_copied_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(LRFinder(suggestion="valley"))).suggestion == "valley"


# ---- the picture


def test_the_plot_marks_and_labels_every_suggestion() -> None:
    finder = LRFinder(suggestion="valley")
    with pytest.raises(RuntimeError, match="LRFinder: nothing to plot: the test is made when trainer"):
        finder.plot()
    lrs = [10 ** (-6 + k / 10) for k in range(70)]
    losses = [2 - 1.5 / (1 + (lr / 1e-3) ** -2) + lr**2 for lr in lrs]
    marks = Suggestions(valley=2e-3, steepest=1e-3, slide=1e-2, minimum=3e-3, median=2.5e-3)
    finder.results = RangeTest(lrs, losses, marks)
    picture = finder.plot()
    [axes] = picture.axes
    assert axes.get_xscale() == "log"
    texts = {text.get_text() for text in axes.texts}
    assert texts == {"valley 0.002 (used)", "steepest 0.001", "slide 0.01", "minimum 0.003", "median 0.0025"}
    loss, smooth, *lines = axes.lines
    assert loss.get_xydata().tolist() == [list(pair) for pair in zip(lrs, losses, strict=True)]
    assert len(smooth.get_xdata()) == 70
    assert sorted(line.get_xdata()[0] for line in lines) == sorted(marks)
    assert getattr(picture.canvas, "manager", None) is None  # pyplot knows nothing of it
    assert max(losses) > 60  # the blow-up, which must not hide the fall
    assert axes.get_ylim()[1] < 4


# ---- two ranks


def test_the_suggestion_is_the_same_on_every_rank(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LOCAL_", "WORLD_"))}
    environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "NODE_RANK": "0", "WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(tmp_path)], env={**environment, "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first["saw"] != second["saw"]
    assert first["results"] == second["results"]
    lrs, losses, _ = first["results"]
    mean = [(a + b) / 2 for a, b in zip(first["saw"], second["saw"], strict=True)]
    assert losses == pytest.approx(mean[: len(losses)], rel=1e-6)
    assert len(lrs) == len(losses) > 60
    assert first["lrs"] == second["lrs"] == [pytest.approx(first["peak"] * f) for f in [*WARM, *[1.0] * 6]]


def one_rank(out: Path) -> None:
    rank = int(os.environ["LOCAL_RANK"])
    torch.set_num_threads(1)
    meet = f"file://{out}/meet"  # a file as the meeting point: no port that somebody else may take first
    torch.distributed.init_process_group("gloo", init_method=meet, rank=rank, world_size=2)
    saw: list[float] = []

    class Recording(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            if not self.trainer.global_step and not batch_idx and saw:
                self.frozen = True  # the run itself begins
            if not getattr(self, "frozen", False):
                saw.append(loss.item())
            return loss

    finder, watch = LRFinder(), Used()
    trainer(out, [LRWarmup(4), finder, watch], max_epochs=1, strategy="ddp", devices=2).fit(Recording(batches=20))
    results = finder.results
    assert results is not None
    found = {"saw": saw, "results": list(results), "lrs": watch.lrs, "peak": results.suggestions.median}
    (out / f"rank{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    one_rank(Path(sys.argv[1]))
