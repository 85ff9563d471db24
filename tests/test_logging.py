"""What is logged is what was used: every logger, at Lightning's own steps, in few points that miss no corner."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback, LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from runs import Mixed, Net, Used, trainer, used
from test_pains import Gan, Streaming, two_groups

from lightning_lr import (
    Constant,
    Cosine,
    Cyclic,
    Exponential,
    Linear,
    LRLogger,
    LRMultiPhaseDecay,
    LRWarmup,
    MultiStep,
    StepDecay,
    Warmup,
)
from lightning_lr.reporting.names import group_names, optimizer_names
from lightning_lr.reporting.recorder import Curve, Recorder

EVERY = {"log_every_n_steps": 1}


def points(root: Path) -> dict[str, dict[int, float]]:
    """Every scalar in a run's event files: tag -> step -> value."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(root), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: {p.step: p.value for p in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def as_logged(lrs: list[float]) -> dict[int, float]:
    """The lrs by step, as an event file holds them: float32."""
    return {step: float(torch.tensor(lr, dtype=torch.float32)) for step, lr in enumerate(lrs)}


def logged_run(
    root: Path, callbacks: list[Callback], net: Net | None = None, **settings: Any
) -> tuple[list[float], dict[str, dict[int, float]]]:
    logger = TensorBoardLogger(root, name="", version="run")
    lrs = used(root, callbacks, net, **{"logger": logger, **EVERY, **settings})
    return lrs, points(Path(logger.log_dir))


# ---- one truth

RUNS: dict[str, tuple[int, dict[str, Any]]] = {
    "accumulation with a last partial batch": (9, {"accumulate_grad_batches": 4}),
    "max_epochs": (12, {"max_epochs": 3, "batches": 4}),
    "max_steps": (7, {"max_steps": 7, "max_epochs": -1, "batches": 4}),
    "max_steps before max_epochs": (7, {"max_steps": 7, "max_epochs": 9, "batches": 4}),
    "limit_train_batches": (6, {"limit_train_batches": 2}),
    "limit_train_batches as a share": (6, {"limit_train_batches": 0.2}),
    "overfit_batches": (6, {"overfit_batches": 2}),
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("reverse", [False, True])
def test_used_monitored_logged_and_previewed_are_one(tmp_path: Path, name: str, reverse: bool) -> None:
    updates, settings = RUNS[name]
    settings = {"max_epochs": 3, **settings}
    net = Net(batches=settings.pop("batches", 10))
    schedule = Warmup("20%") >> Constant("30%") >> Cosine(end_factor=0.1)
    monitor = LearningRateMonitor()
    wishes: list[Callback] = [LRWarmup("20%"), LRMultiPhaseDecay([Constant("30%"), Cosine(end_factor=0.1)]), monitor]
    lrs, logged = logged_run(tmp_path, wishes[::-1] if reverse else wishes, net, **settings)
    assert len(lrs) == updates
    assert lrs == pytest.approx(schedule.curve(updates).tolist(), rel=1e-15)
    assert logged["lr/SGD"] == as_logged(lrs)
    assert logged["lr-SGD"] == as_logged(lrs)


def test_an_iterable_dataset_and_an_epoch_cut_short(tmp_path: Path) -> None:
    schedule = Warmup(3) >> Exponential(0.9)
    lrs, logged = logged_run(tmp_path, [LRMultiPhaseDecay(schedule)], Streaming())
    assert lrs == pytest.approx(schedule.curve(8).tolist(), rel=1e-15)
    assert logged["lr/SGD"] == as_logged(lrs)


def test_the_mixin_and_the_callbacks_give_the_same_lrs(tmp_path: Path) -> None:
    schedule = Warmup("25%") >> Linear("25%", end_factor=0.5) >> Cosine()
    by_mixin = used(tmp_path, [], Mixed(schedule))
    by_callbacks = used(tmp_path, [LRMultiPhaseDecay([Linear("25%", end_factor=0.5), Cosine()]), LRWarmup("25%")])
    assert by_mixin == by_callbacks == pytest.approx(schedule.curve(8).tolist(), rel=1e-15)


# ---- 31, 34, 35

CORNERED = {
    "stairs": StepDecay(7, gamma=0.5),
    "milestones": MultiStep([5, 6, 19], gamma=0.1),
    "a jump to a level": Linear(9, end_factor=0.2) >> Constant(10, factor=0.9) >> Constant(factor=0.3),
    "a triangle": Cyclic(6, mode="triangular2"),
    "a warmup": Warmup(13) >> Linear(),
}


@pytest.mark.parametrize("schedule", CORNERED.values(), ids=CORNERED)
def test_row_31_every_corner_is_logged_where_it_was_used_however_rare_the_points(tmp_path: Path, schedule: Any) -> None:
    lrs, logged = logged_run(
        tmp_path, [LRMultiPhaseDecay(schedule)], Net(batches=10), max_epochs=3, log_every_n_steps=1000
    )
    curve = logged["lr/SGD"]
    truth = as_logged(lrs)
    assert len(lrs) == 30
    assert all(truth[step] == value for step, value in curve.items())
    assert {0, 29} <= set(curve)
    steps = sorted(curve)
    drawn = []  # what TensorBoard draws between the points: straight lines
    for a, b in itertools.pairwise(steps):
        drawn += [curve[a] + (curve[b] - curve[a]) * (t - a) / (b - a) for t in range(a, b)]
    assert drawn == pytest.approx([truth[t] for t in range(29)], abs=2e-3)
    assert len(curve) < 24


def test_points_lie_on_lightnings_own_steps(tmp_path: Path) -> None:
    class Logging(Net):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            self.log("loss", loss)
            return loss

    _, logged = logged_run(
        tmp_path,
        [LRMultiPhaseDecay(Linear())],
        Logging(batches=11),
        max_epochs=2,
        log_every_n_steps=3,
        accumulate_grad_batches=2,
    )
    assert set(logged["loss"]) <= set(logged["lr/SGD"])
    assert set(logged["lr/SGD"]) - set(logged["loss"]) <= {0, 11}


def test_row_34_lr_points_without_a_scheduler(tmp_path: Path) -> None:
    lrs, logged = logged_run(tmp_path, [LRLogger()])
    assert lrs == [1.0] * 8
    assert logged["lr/SGD"] == as_logged(lrs)


@pytest.mark.parametrize("logger", [None, False])
@pytest.mark.parametrize("wish", [LRLogger(metrics=["nothing"][:0]), LRWarmup(2)])
def test_row_34_no_logger_is_no_error(tmp_path: Path, logger: Any, wish: Callback) -> None:
    assert len(used(tmp_path, [wish], logger=logger or False)) == 8


def test_fast_dev_run_is_no_error_and_cuts_the_schedule(tmp_path: Path) -> None:
    assert used(tmp_path, [LRWarmup(400), LRLogger()], fast_dev_run=True) == [1 / 400]
    wishes = [LRWarmup(2), LRMultiPhaseDecay([Linear("3 epochs"), Cosine()])]
    assert used(tmp_path, wishes, fast_dev_run=2) == [0.5, 1.0]


def test_several_loggers_each_get_all_points(tmp_path: Path) -> None:
    board = TensorBoardLogger(tmp_path, name="", version="board")
    table = CSVLogger(tmp_path, name="", version="table", flush_logs_every_n_steps=1)
    lrs = used(tmp_path, [LRWarmup(4), LRMultiPhaseDecay(Cosine())], logger=[board, table], **EVERY)
    assert points(Path(board.log_dir))["lr/SGD"] == as_logged(lrs)
    with open(Path(table.log_dir) / "metrics.csv") as file:
        rows = {int(row["step"]): float(row["lr/SGD"]) for row in csv.DictReader(file) if row["lr/SGD"]}
    assert rows == dict(enumerate(lrs))


def test_row_35_names_collide_and_groups_come_without_renaming_any() -> None:
    groups: list[dict[str, Any]] = [{"name": "head"}, {"name": "head"}, {}, {"name": "head-1"}]
    names = group_names("Adam", groups)
    assert names == ["Adam/head", "Adam/head-1", "Adam/pg3", "Adam/head-1-1"]
    assert all(group_names("Adam", groups[:n]) == names[:n] for n in range(5))
    assert group_names("SGD", [{"name": "a/b\n<i>"}, {"name": "**"}]) == ["SGD/a_b_i_", "SGD/_"]
    assert optimizer_names(["Adam", "Adam", "SGD"]) == ["Adam", "Adam-1", "SGD"]


def test_row_35_a_group_added_mid_run_gets_a_curve_and_the_first_keeps_its_own(tmp_path: Path) -> None:
    class Growing(Net):
        def on_train_epoch_start(self) -> None:
            if self.current_epoch == 1:
                optimizer = self.optimizers().optimizer
                optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.05})

    watch = Used()
    _, logged = logged_run(tmp_path, [LRMultiPhaseDecay(Linear()), watch], Growing())
    assert logged["lr/SGD"] == as_logged([1 - k / 8 for k in range(8)])
    assert {step: round(value, 6) for step, value in logged["lr/SGD/pg2"].items()} == {
        4: 0.05, 5: 0.0375, 6: 0.025, 7: 0.0125
    }  # fmt: skip
    assert [groups[1] for groups in watch.groups[4:]] == pytest.approx([0.05, 0.0375, 0.025, 0.0125])


def test_each_group_and_each_optimizer_has_its_curve(tmp_path: Path) -> None:
    _, logged = logged_run(tmp_path, [LRWarmup(4)], Net(optimizer=two_groups))
    assert logged["lr/SGD"][0] == 0.25
    assert logged["lr/SGD/pg2"][0] == pytest.approx(0.025)
    gan = Gan()
    logger = TensorBoardLogger(tmp_path, name="", version="gan")
    trainer(tmp_path, [LRWarmup(4)], max_epochs=1, logger=logger, **EVERY).fit(gan)
    logged = points(Path(logger.log_dir))
    assert logged["lr/SGD"] == as_logged(gan.seen["g"])
    assert [logged["lr/Adam"][step] for step in (1, 3, 5, 7)] == gan.seen["d"]


def test_log_false_logs_nothing(tmp_path: Path) -> None:
    _, logged = logged_run(tmp_path, [LRWarmup(4, log=False)])
    assert not any(tag.startswith("lr/") for tag in logged)


# ---- LRLogger


def test_the_logger_writes_hyperparameters_and_each_new_value_of_a_metric_once(tmp_path: Path) -> None:
    net = Net(metric=lambda n: float(10 - n), optimizer=lambda m: torch.optim.AdamW(m.parameters(), lr=1.0))
    wishes = [LRWarmup(4), LRLogger(metrics=["val_loss"], log_momentum=True, log_weight_decay=True)]
    _, logged = logged_run(tmp_path, wishes, net, limit_val_batches=1, max_epochs=3, check_val_every_n_epoch=2)
    assert logged["monitor/val_loss"] == {7: 10.0}
    assert logged["momentum/AdamW"][0] == pytest.approx(0.9)
    assert logged["weight_decay/AdamW"][0] == pytest.approx(0.01)


def test_a_metric_that_never_came_is_named_with_its_nearest_match(tmp_path: Path) -> None:
    net = Net(metric=lambda n: 1.0)
    with pytest.warns(UserWarning, match=r"'val_los' was never logged; did you mean 'val_loss'\?; available: val_loss"):
        used(tmp_path, [LRLogger(metrics=["val_los"])], net, limit_val_batches=1)


def test_the_loggers_interval_is_its_own(tmp_path: Path) -> None:
    _, logged = logged_run(
        tmp_path,
        [LRMultiPhaseDecay(Linear()), LRLogger(every_n_steps=5)],
        Net(batches=20),
        max_epochs=1,
        log_every_n_steps=1,
    )
    assert sorted(logged["lr/SGD"]) == [0, 4, 9, 14, 19]


def test_two_loggers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 LRLogger callbacks are on the trainer; keep one"):
        used(tmp_path, [LRLogger(), LRLogger()])


def test_the_plan_is_printed_and_written_as_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(tmp_path, name="", version="run")
    with caplog.at_level("INFO"):
        used(tmp_path, [LRWarmup("25%"), LRMultiPhaseDecay(Linear("50%", end_factor=0.5))], logger=logger, **EVERY)
    printed = next(message for message in caplog.messages if message.startswith("Learning-rate plan"))
    assert printed.splitlines() == [
        "Learning-rate plan for SGD, 8 updates",
        "  updates  epochs   phase                          SGD",
        "  0–1      0–0.5    Warmup('25%')                  0.5 → 1",
        "  2–5      0.5–1.5  Linear('50%', end_factor=0.5)  1 → 0.5",
        "  6–7      1.5–2    (hold)                         0.5 → 0.5",
    ]
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    text = events.Tensors("lr/plan/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "Linear('50%', end_factor=0.5)" in text


def test_the_plan_can_be_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        used(tmp_path, [LRWarmup("25%"), LRLogger(plan=False)])
    assert not any("plan" in message for message in caplog.messages)


# ---- the recorder


def test_the_recorder_keeps_no_history_and_writes_one_summary_per_point() -> None:
    class Ramp:
        def __init__(self) -> None:
            self.t = 0
            self.drawn = [Curve(f"lr/{name}", 1.0, 0) for name in "abc"]

        def moment(self) -> tuple[float, ...]:
            return (1.0 - self.t / 2000,)

        def curves(self) -> list[Curve]:
            return self.drawn

        def rates(self) -> list[Any]:
            return []

        def levels(self, alone: bool) -> dict[str, float]:
            return {}

        def enters_a_phase(self) -> bool:
            return False

    calls: list[tuple[dict[str, float], int]] = []
    source: Any = Ramp()
    recorder = Recorder([source], [lambda values, step: calls.append((dict(values), step))], every_n_steps=500)
    for source.t in range(2000):
        recorder.before_update(source.t)
        recorder.before_update(source.t)  # the same update of another optimizer
    recorder.last()
    recorder.last()
    assert [step for _, step in calls] == [0, 499, 999, 1499, 1999]
    assert calls[1][0] == dict.fromkeys(("lr/a", "lr/b", "lr/c"), 1.0 - 499 / 2000)
    held = [value for value in vars(recorder).values() if isinstance(value, list)]
    assert sum(map(len, held)) <= 4


# ---- TensorBoard's own pages


def board(root: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(root), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    return events


def test_the_plan_is_a_sub_run_under_the_same_tags(tmp_path: Path) -> None:
    schedule = Warmup(3) >> Cosine("50%", end_factor=0.2) >> Linear()
    logged_run(tmp_path, [LRMultiPhaseDecay(schedule)], Net(batches=10), max_epochs=3)
    planned = points(tmp_path / "run" / "plan")
    assert planned == {"lr/SGD": as_logged(schedule.curve(30).tolist())}


def test_a_long_plan_is_a_few_hundred_points_that_miss_no_corner() -> None:
    from lightning_lr.reporting.views import steps_of

    steps = steps_of(10**9, [123_456_789])
    assert len(steps) <= 503
    assert {0, 123_456_788, 123_456_789, 10**9 - 1} <= set(steps)
    assert steps == sorted(set(steps))
    assert steps_of(3, [0, 3]) == [0, 1, 2]


def test_the_charts_are_arranged_and_a_users_own_layout_is_left_alone(tmp_path: Path) -> None:
    from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

    logged_run(tmp_path, [LRWarmup(2)], Net(optimizer=two_groups))
    [event] = board(tmp_path / "run").Tensors("custom_scalars__config__")
    layout = Layout.FromString(event.tensor_proto.string_val[0])
    [category] = layout.category
    assert [chart.title for chart in category.chart] == ["lr", "loss", "phase", "decisions so far", "scale"]
    assert list(category.chart[0].multiline.tag) == ["^lr/SGD$", "^lr/SGD/pg2$"]
    logged_run(tmp_path / "own", [LRWarmup(2), LRLogger(layout=False)])
    assert "custom_scalars__config__" not in board(tmp_path / "own" / "run").Tags()["tensors"]


def test_decisions_are_counted_tabled_and_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from lightning_lr import LRPlateauReduction

    wish = LRPlateauReduction("val_loss", patience=0, factor=0.5)
    settings: dict[str, Any] = {"limit_val_batches": 1, "max_epochs": 4}
    lrs, logged = logged_run(tmp_path, [wish], Net(metric=lambda n: 1.0), **settings)
    assert lrs == [1.0] * 8 + [0.5] * 4 + [0.25] * 4
    assert logged["schedule/num_reductions"] == {0: 0.0, 7: 0.0, 8: 1.0, 11: 1.0, 12: 2.0, 15: 2.0, 16: 3.0}
    run = board(tmp_path / "run")
    texts = [e.tensor_proto.string_val[0].decode() for e in run.Tensors("lr/decisions/text_summary")]
    assert "| 8 | 1 | reduce | SGD 1 → 0.5 | val_loss = 1, best 1: not better" in texts[-1]
    assert "| 12 | 2 | reduce | SGD 0.5 → 0.25 |" in texts[-1]
    images = run.Images("lr_figures/SGD")
    assert len(images) >= 3
    assert (images[-1].width, images[-1].height) == (500, 300)
    lines = (tmp_path / "run" / "lr_events.jsonl").read_text().splitlines()
    import json

    tags = [tag for kind in ("scalars", "images", "tensors") for tag in run.Tags()[kind]]
    assert len(tags) == len(set(tags))  # TensorBoard shows nothing of a tag that two kinds share
    assert [json.loads(line)["lr_after"] for line in lines] == [{"SGD": 0.5}, {"SGD": 0.25}, {"SGD": 0.125}]


def test_a_resumed_run_cuts_the_journal_back_to_what_it_has_lived_through(tmp_path: Path) -> None:
    from test_pains import SaveEveryStep

    from lightning_lr import LRPlateauReduction

    def fit(ckpt: Path | None = None) -> list[str]:
        logger = TensorBoardLogger(tmp_path, name="", version="run")
        wishes = [LRPlateauReduction("val_loss", patience=0, factor=0.5), *([] if ckpt else [SaveEveryStep()])]
        settings: dict[str, Any] = {"limit_val_batches": 1, "max_epochs": 5, "logger": logger, "ckpt_path": ckpt}
        used(tmp_path, wishes, Net(metric=lambda n: 1.0), **settings, **EVERY)
        return (tmp_path / "run" / "lr_events.jsonl").read_text().splitlines()

    whole = fit()
    assert len(whole) == 4
    assert fit(tmp_path / "step11.ckpt") == whole  # three of the four decisions lie after that checkpoint
