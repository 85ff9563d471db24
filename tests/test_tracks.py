"""Tracks: schedules and rules for some of the groups, and for other numbers than the lr; alone and within Lightning."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from runs import Mixed, Net, Used, trainer, used
from test_pains import Backboned, _finetuning

from lightning_lr import (
    Constant,
    Cooldown,
    Cosine,
    CosineRestarts,
    Cyclic,
    Freeze,
    Linear,
    LRController,
    LRLogger,
    LRMultiPhaseDecay,
    LRPlateauReduction,
    LRWarmup,
    Patience,
    Reduce,
    Restart,
    Rule,
    Schedule,
    ScheduledLR,
    Track,
    Warmup,
    one_cycle,
)


def parameter() -> torch.nn.Parameter:
    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.zeros(1)
    return weight


def body_and_head(**options: Any) -> torch.optim.SGD:
    groups = [{"params": [parameter()], "name": "body"}, {"params": [parameter()], "name": "head", "lr": 10.0}]
    return torch.optim.SGD(groups, **{"lr": 1.0, **options})


def walk(optimizer: torch.optim.Optimizer, steps: int, key: str = "lr") -> list[tuple[float, ...]]:
    """What every group holds before each of the next updates."""
    out = []
    for _ in range(steps):
        out.append(tuple(float(group[key]) for group in optimizer.param_groups))
        optimizer.step()
    return out


RESTART = Rule(Patience(0), Restart(rewarm=2), "loss")


# ---- groups


def test_a_track_names_groups_and_the_general_schedule_has_the_rest() -> None:
    optimizer = body_and_head()
    ScheduledLR(optimizer, Linear(4), tracks=[Track(Constant() >> Linear(2), groups="head")], total_steps=4)
    assert walk(optimizer, 5) == [(1, 10), (0.75, 10), (0.5, 10), (0.25, 5), (0, 0)]


@pytest.mark.parametrize("groups", ["head", "he.*", 1, ["head", "tail.*"]])
def test_groups_are_named_by_name_regular_expression_or_index(groups: Any) -> None:
    optimizer = body_and_head()
    scheduler = ScheduledLR.deferred(optimizer, None, tracks=[Track(Linear(4), groups=groups)])
    scheduler.groups_may_come = True
    from lightning_lr import Horizon

    scheduler.start(Horizon(4))
    assert walk(optimizer, 3) == [(1, 10), (1, 7.5), (1, 5)]
    assert "initial_lr" not in optimizer.param_groups[0]  # nobody schedules it: it is left alone


def test_a_name_with_signs_of_regular_expressions_names_itself() -> None:
    groups = [{"params": [parameter()], "name": "block(1)+"}, {"params": [parameter()]}]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    ScheduledLR(optimizer, None, tracks=[Track(Linear(2), groups="block(1)+"), Track(Linear(4), groups="pg2")])
    assert walk(optimizer, 2) == [(1, 1), (0.5, 0.75)]


def test_rules_that_name_no_groups_hold_for_all_and_a_tracks_own_comes_first() -> None:
    optimizer = body_and_head()
    scheduler = ScheduledLR(
        optimizer,
        Constant(),
        rules=[Rule(Patience(0), Reduce(0.5), "loss")],
        tracks=[Track(groups="head", rules=[Rule(Patience(1), Reduce(0.1), "loss")])],
    )
    scheduler.evaluate({"loss": 1.0})
    assert [(event.track, event.kind) for event in scheduler.evaluate({"loss": 1.0})] == [(0, "reduce")]
    assert walk(optimizer, 1) == [(0.5, 10)]
    assert [event.track for event in scheduler.evaluate({"loss": 1.0})] == [0, 1]
    assert walk(optimizer, 1) == [(0.25, 1)]


def test_a_restart_of_one_track_leaves_the_other_alone() -> None:
    optimizer = body_and_head()
    tracks = [Track(Linear(), groups="head", rules=[Rule(Patience(0), Restart(), "loss")])]
    scheduler = ScheduledLR(optimizer, Linear(), tracks=tracks, total_steps=8)
    walk(optimizer, 4)
    scheduler.evaluate({"loss": 1.0})
    scheduler.evaluate({"loss": 1.0})
    assert walk(optimizer, 4) == [(0.5, 10), (0.375, 7.5), (0.25, 5), (0.125, 2.5)]


def test_by_hand_acts_on_every_schedule_of_the_lr_or_on_the_one_that_is_named() -> None:
    optimizer = body_and_head()
    scheduler = ScheduledLR(optimizer, Constant(), tracks=[Track(groups="head")])
    scheduler.apply(Reduce(0.5))
    scheduler.apply(Reduce(0.5), groups="head")
    assert walk(optimizer, 1) == [(0.5, 2.5)]
    assert [event.track for event in scheduler.events] == [0, 1, 1]
    with pytest.raises(ValueError, match=r"no schedule is about lr\[hat\]; did you mean 'lr\[head\]'\?; there are lr"):
        scheduler.apply(Reduce(0.5), groups="hat")


def test_a_group_that_is_added_mid_run_follows_the_track_that_names_it() -> None:
    optimizer = torch.optim.SGD([{"params": [parameter()], "name": "body"}], lr=1.0)
    scheduler = ScheduledLR.deferred(optimizer, Linear(), tracks=[Track(Linear(2), groups="late")])
    scheduler.groups_may_come = True
    from lightning_lr import Horizon

    scheduler.start(Horizon(8))
    walk(optimizer, 1)
    optimizer.add_param_group({"params": [parameter()], "name": "late", "lr": 3.0})
    optimizer.add_param_group({"params": [parameter()], "name": "other", "lr": 7.0})
    optimizer.step()
    assert walk(optimizer, 2) == [(0.75, 0, 6), (0.625, 0, 5)]


# ---- other numbers


@pytest.mark.parametrize(
    ("optimizer", "key", "found"),
    [
        (lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.8), "momentum", lambda g: g["momentum"]),
        (lambda p: torch.optim.RMSprop(p, lr=1.0, momentum=0.8), "momentum", lambda g: g["momentum"]),
        (lambda p: torch.optim.AdamW(p, lr=1.0, betas=(0.8, 0.9)), "momentum", lambda g: g["betas"][0]),
        (lambda p: torch.optim.AdamW(p, lr=1.0, betas=(0.8, 0.9)), "beta1", lambda g: g["betas"][0]),
        (lambda p: torch.optim.AdamW(p, lr=1.0, betas=(0.9, 0.8)), "beta2", lambda g: g["betas"][1]),
        (lambda p: torch.optim.AdamW(p, lr=1.0, weight_decay=0.8), "weight_decay", lambda g: g["weight_decay"]),
        (lambda p: torch.optim.Adam(p, lr=1.0, eps=0.8), "eps", lambda g: g["eps"]),
    ],
)
def test_any_number_of_a_group_can_follow_a_schedule(optimizer: Any, key: str, found: Any) -> None:
    made = optimizer([parameter()])
    group = made.param_groups[0]
    ScheduledLR(made, Constant(), tracks=[Track(Linear(4, end_factor=0.5), key=key)])
    seen = []
    for _ in range(6):
        seen.append(found(group))
        made.step()
    assert seen == pytest.approx([0.8, 0.7, 0.6, 0.5, 0.4, 0.4])
    assert group["lr"] == 1.0
    assert len(group.get("betas", (0, 0))) == 2


def test_one_cycle_moves_momentum_the_other_way_in_one_call() -> None:
    ours = torch.optim.SGD([parameter()], lr=1.0, momentum=0.95)
    ScheduledLR(ours, one_cycle(momentum_factor=0.85 / 0.95), total_steps=100)
    theirs = torch.optim.SGD([parameter()], lr=1.0, momentum=0.95)
    native = torch.optim.lr_scheduler.OneCycleLR(theirs, max_lr=1.0, total_steps=101)
    momenta = []
    for _ in range(100):
        momenta.append((ours.param_groups[0]["momentum"], theirs.param_groups[0]["momentum"]))
        ours.step()
        theirs.step()
        native.step()
    assert momenta[0][0] == 0.95
    assert min(m for m, _ in momenta) == pytest.approx(0.85)
    assert momenta.index(min(momenta)) == 30
    assert all(a == pytest.approx(b, abs=0.006) for a, b in momenta)  # torch's knot is at update 29.3 of 101


def test_cyclic_momentum_is_torchs_at_every_update() -> None:
    ours = torch.optim.SGD([parameter()], lr=1.0, momentum=0.9)
    ScheduledLR(ours, Cyclic(4, 6, base_factor=0.1, momentum_factor=0.8 / 0.9))
    theirs = torch.optim.SGD([parameter()], lr=1.0, momentum=0.9)
    native = torch.optim.lr_scheduler.CyclicLR(theirs, 0.1, 1.0, step_size_up=4, step_size_down=6)
    for _ in range(40):
        for key in ("lr", "momentum"):
            assert ours.param_groups[0][key] == pytest.approx(theirs.param_groups[0][key], rel=1e-12)
        ours.step()
        theirs.step()
        native.step()


def momentum_and_lr(optimizer: torch.optim.Optimizer, steps: int) -> list[tuple[float, float]]:
    out = []
    for _ in range(steps):
        out.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        optimizer.step()
    return out


def test_what_is_beside_the_lr_keeps_its_clock_but_not_its_scale() -> None:
    """Linear to 0 and momentum 1 → .5 over 8; a reduction, a hold of 2, a restart with a re-warmup of 2, a cooldown."""
    optimizer = torch.optim.SGD([parameter()], lr=1.0, momentum=1.0)
    schedule = Linear().beside(momentum=Linear(end_factor=0.5))
    scheduler = ScheduledLR(optimizer, schedule, total_steps=8)
    assert momentum_and_lr(optimizer, 2) == [(1, 1), (0.875, 0.9375)]
    scheduler.apply(Reduce(0.5))
    assert momentum_and_lr(optimizer, 1) == [(0.375, 0.875)]
    scheduler.apply(Freeze(2))
    assert momentum_and_lr(optimizer, 2) == [(0.3125, 0.8125)] * 2
    scheduler.apply(Restart(rewarm=2, fit="original"))
    assert momentum_and_lr(optimizer, 4) == [(0.5, 1), (1, 1), (1, 1), (0.875, 0.9375)]
    scheduler.apply(Cooldown(2))
    assert momentum_and_lr(optimizer, 4) == [(0.75, 0.875), (0.375, 0.875), (0, 0.875), (0, 0.875)]


def test_a_key_with_rules_of_its_own_has_a_clock_of_its_own() -> None:
    optimizer = torch.optim.SGD([parameter()], lr=1.0, momentum=0.8)
    rule = Rule(Patience(0), Reduce(0.5), "loss")
    scheduler = ScheduledLR(optimizer, Constant(), tracks=[Track(key="momentum", rules=[rule])])
    scheduler.evaluate({"loss": 1.0})
    (event,) = scheduler.evaluate({"loss": 1.0})
    assert scheduler.live[event.track].key == "momentum"
    assert momentum_and_lr(optimizer, 1) == [(1.0, 0.4)]


def test_beside_joins_with_what_is_in_front_of_it() -> None:
    schedule = Warmup(2) >> Cyclic(2, momentum_factor=0.8)
    assert schedule.others["momentum"].curve(6).tolist() == pytest.approx([1, 1, 1, 0.9, 0.8, 0.9])
    longer = Constant(2) >> Linear(4).beside(momentum=Linear(4, end_factor=0.6)) >> Constant(2)
    assert longer.others["momentum"].curve(9).tolist() == pytest.approx([1, 1, 1, 0.9, 0.8, 0.7, 0.6, 0.6, 0.6])
    assert longer.curve(9).tolist() == [1, 1, 1, 0.75, 0.5, 0.25, 0, 0, 0]


@pytest.mark.parametrize("schedule", [Linear().beside(momentum=Cosine()), one_cycle(momentum_factor=0.9)])
def test_beside_is_a_value_like_any_schedule(schedule: Schedule) -> None:
    assert eval(repr(schedule)) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert hash(pickle.loads(pickle.dumps(schedule))) == hash(schedule)
    assert schedule != schedule.beside(weight_decay=Linear())


def test_a_tensor_that_groups_share_is_unshared_across_tracks() -> None:
    optimizer = torch.optim.SGD(
        [{"params": [parameter()], "name": "body"}, {"params": [parameter()], "name": "head"}], lr=torch.tensor(1.0)
    )
    ScheduledLR(optimizer, Linear(4), tracks=[Track(Linear(2), groups="head")])
    assert walk(optimizer, 3) == [(1, 1), (0.75, 0.5), (0.5, 0)]


# ---- resuming


def several(optimizer: torch.optim.Optimizer, total: int = 12, **options: Any) -> ScheduledLR:
    tracks = [
        Track(Linear(), groups="head", rules=[Rule(Patience(1), Restart(peak_decay=0.5), "loss")]),
        Track(Cosine(end_factor=0.5), key="momentum"),
    ]
    rules = [Rule(Patience(0), Reduce(0.5), "loss")]
    return ScheduledLR(
        optimizer, Warmup(2) >> CosineRestarts(4), rules=rules, tracks=tracks, total_steps=total, **options
    )


def run_on(optimizer: torch.optim.Optimizer, scheduler: ScheduledLR, begin: int, end: int) -> list[tuple[float, ...]]:
    out = []
    for k in range(begin, end):
        groups = optimizer.param_groups
        out.append(tuple(x for g in groups for x in (g["lr"], g["momentum"])))
        optimizer.step()
        if k % 2:
            scheduler.evaluate({"loss": 1.0 if k < 8 else 1.0 / k})
    return out


@pytest.mark.parametrize("k", range(12))
def test_several_tracks_resume_bit_for_bit(k: int) -> None:
    optimizer = body_and_head(momentum=0.9)
    whole = run_on(optimizer, several(optimizer), 0, 12)
    assert len({row[0] / row[2] for row in whole if row[2]}) > 2  # the groups go ways of their own

    optimizer = body_and_head(momentum=0.9)
    scheduler = several(optimizer)
    run_on(optimizer, scheduler, 0, k)
    saved = pickle.loads(pickle.dumps((optimizer.state_dict(), scheduler.state_dict())))
    later = body_and_head(momentum=0.9)
    again = several(later)
    later.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    assert run_on(later, again, k, 12) == whole[k:]
    assert [event.track for event in again.events] == [event.track for event in scheduler.events][
        : len(again.events)
    ] or k < 12


def test_a_state_of_the_first_format_goes_on() -> None:
    """Written by the first version, after 4 of 8 updates of Warmup(2) >> Linear() and one reduction by half."""
    state = {
        "lightning_lr": 1,
        "optimizer": 0,
        "started": True,
        "updates": 4,
        "tracks": [
            [
                FIRST_FINGERPRINT,
                [0.5, 0, 0, 0, 0, 1, 1],
                0.3333333333333333,
                {},
                0,
                None,
                None,
            ]
        ],
        "program_horizon": [8, None],
        "run_horizon": [8, None],
        "checked_at": -1,
        "groups": 1,
        "events": [{"step": 4, "kind": "reduce", "before": 0.667, "after": 0.333, "control": [0.5, 0, 0, 0, 0, 1, 1]}],
    }
    optimizer = torch.optim.SGD([parameter()], lr=1.0)
    scheduler = ScheduledLR(optimizer, Warmup(2) >> Linear(), total_steps=8)
    scheduler.load_state_dict(state)
    assert [lrs[0] for lrs in walk(optimizer, 5)] == pytest.approx([0.5 * x / 6 for x in (4, 3, 2, 1, 0)])
    assert [event.kind for event in scheduler.events] == ["reduce"]


FIRST_FINGERPRINT = "42886eb106a29aff"


def test_tracks_that_are_new_or_gone_are_said() -> None:
    optimizer = body_and_head(momentum=0.8)
    scheduler = ScheduledLR(optimizer, Linear(), total_steps=8)
    walk(optimizer, 4)
    saved = optimizer.state_dict(), scheduler.state_dict()

    later = body_and_head(momentum=0.8)
    again = ScheduledLR(later, Linear(), tracks=[Track(Linear(end_factor=0.5), key="momentum")], total_steps=8)
    later.load_state_dict(saved[0])
    with pytest.warns(UserWarning, match=r"the schedule of momentum has changed since the checkpoint; from update 4"):
        again.load_state_dict(saved[1])
    assert walk(later, 2, "momentum") == [pytest.approx((0.6, 0.6)), pytest.approx((0.55, 0.55))]

    third = body_and_head(momentum=0.8)
    last = ScheduledLR(third, Linear(), total_steps=8)
    third.load_state_dict(later.state_dict())
    with pytest.warns(UserWarning, match="the checkpoint has a schedule of momentum, and the code has none"):
        last.load_state_dict(again.state_dict())
    assert walk(third, 1) == [(0.25, 2.5)]


def test_a_longer_run_stretches_every_track() -> None:
    def build(total: int) -> tuple[torch.optim.Optimizer, ScheduledLR]:
        optimizer = torch.optim.SGD([parameter()], lr=1.0, momentum=1.0)
        schedule = Linear().beside(momentum=Linear(end_factor=0.5))
        return optimizer, ScheduledLR(optimizer, schedule, total_steps=total, on_horizon_change="stretch")

    optimizer, scheduler = build(8)
    momentum_and_lr(optimizer, 4)
    saved = optimizer.state_dict(), scheduler.state_dict()
    optimizer, scheduler = build(12)
    optimizer.load_state_dict(saved[0])
    with pytest.warns(UserWarning, match="what is left of the schedule takes what is left of the run"):
        scheduler.load_state_dict(saved[1])
    assert momentum_and_lr(optimizer, 9) == [(0.5 - k / 16, 0.75 - k / 32) for k in range(9)]


# ---- what is refused


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            lambda o: ScheduledLR(o, Linear(4), tracks=[Track(Linear(4), groups="hed")]),
            r"groups='hed' names no group of SGD; its groups are 'body', 'head'; did you mean 'head'\?",
        ),
        (
            lambda o: ScheduledLR(o, None, tracks=[Track(Linear(4), groups="h.*"), Track(Linear(2), groups="head")]),
            r"groups='h\.\*' and groups='head' both name the group 'head', whose lr can follow one schedule only",
        ),
        (
            lambda o: ScheduledLR(o, Linear(4), tracks=[Track(Linear(2))]),
            "two tracks are about 'lr': each key of each group has one owner",
        ),
        (
            lambda o: ScheduledLR(o, Linear(4), tracks=[Track(Linear(2), key="betas")]),
            r"betas of group 0 of SGD: it has no numeric 'betas'; it has params, name, lr, momentum",
        ),
        (
            lambda o: ScheduledLR(o, Linear(4), tracks=[Track(Linear(2), key="weight_deca")]),
            "no numeric 'weight_deca'; did you mean 'weight_decay'",
        ),
        (
            lambda o: ScheduledLR(o, one_cycle(momentum_factor=0.9), total_steps=9),
            "momentum is 0 in every group of SGD that .* is about, and a schedule multiplies it",
        ),
        (lambda o: Track(groups=[]), "Track: groups must name at least one group"),
        (lambda o: Track(groups=True), "Track: groups must be a name, a regular expression, an index or a list"),
        (lambda o: Track(groups=["a", -1]), "a group is named by its name, a regular expression or an index, got -1"),
        (lambda o: Track(groups="a("), r"Track: groups: 'a\(' is not a regular expression"),
        (lambda o: Track(key="params"), "Track: key must be a key of the parameter groups"),
        (lambda o: ScheduledLR(o, None, tracks=Track()), "tracks must be a list of tracks"),
        (lambda o: ScheduledLR(o, None, tracks=[Linear()]), r"tracks\[0\] must be a Track"),
        (lambda o: Linear().beside(lr=Linear()), "name the other keys, such as momentum= or weight_decay=, got lr"),
        (lambda o: Linear().beside(momentum=0.9), "beside: momentum must be a schedule"),
        (lambda o: one_cycle(momentum_factor=0), r"one_cycle: momentum_factor must be a number in \(0, 1\], got 0"),
        (lambda o: Cyclic(2, momentum_factor=1.5), r"Cyclic: momentum_factor must be a number in \(0, 1\], got 1\.5"),
    ],
)
def test_bad_tracks_are_refused(build: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build(body_and_head())


def test_tracks_come_from_configuration_files() -> None:
    optimizer = body_and_head()
    tracks = [{"schedule": {"class_path": "Linear", "init_args": {"duration": 4}}, "groups": "head"}]
    ScheduledLR(optimizer, {"class_path": "Constant"}, tracks=tracks)  # type: ignore[arg-type]
    assert walk(optimizer, 2) == [(1, 10), (1, 7.5)]


# ---- within Lightning


def two(net: Net, **options: Any) -> torch.optim.Optimizer:
    groups = [
        {"params": [net.layer.weight], "name": "body", "lr": 0.1},
        {"params": [net.layer.bias], "name": "head"},
    ]
    return torch.optim.SGD(groups, **{"lr": 1.0, **options})


def watched(root: Path, callbacks: list[Any], net: Net, **settings: Any) -> list[list[float]]:
    watch = Used()
    trainer(root, [*callbacks, watch], **settings).fit(net)
    return watch.groups


@pytest.mark.parametrize("order", [1, -1])
def test_callbacks_may_name_groups_and_what_names_none_holds_for_all(tmp_path: Path, order: int) -> None:
    callbacks = [LRWarmup(2), LRMultiPhaseDecay([Linear()]), LRMultiPhaseDecay(Constant(), groups="head")]
    groups = watched(tmp_path, callbacks[::order], Net(optimizer=two))
    body = [0.05, 0.1, *(0.1 * (1 - k / 6) for k in range(6))]
    assert groups == [pytest.approx([b, h]) for b, h in zip(body, [0.5, *[1.0] * 7], strict=True)]


def test_a_rule_for_one_group(tmp_path: Path) -> None:
    net = Net(optimizer=two, metric=lambda n: 1.0)
    plateau = LRPlateauReduction("val_loss", factor=0.5, patience=0, groups="head")
    groups = watched(tmp_path, [plateau], net, max_epochs=3, limit_val_batches=1)
    assert groups == [[0.1, 1]] * 8 + [[0.1, 0.5]] * 4


def test_only_what_is_named_is_scheduled(tmp_path: Path) -> None:
    groups = watched(tmp_path, [LRMultiPhaseDecay(Linear(), groups="head")], Net(optimizer=two))
    assert groups == [[0.1, 1 - k / 8] for k in range(8)]


def test_the_mixin_takes_tracks_and_callbacks_add_to_them(tmp_path: Path) -> None:
    class Tracked(Mixed):
        def configure_optimizers(self) -> Any:
            return self.scheduled(two(self), Constant(), tracks=[Track(Linear(6), groups="head")])

    groups = watched(tmp_path, [LRWarmup(2)], Tracked(Constant()))
    head = [0.5, 1, *(1 - k / 6 for k in range(6))]
    assert groups == [pytest.approx([b, h]) for b, h in zip([0.05, *[0.1] * 7], head, strict=True)]


@pytest.mark.parametrize(
    ("callbacks", "words"),
    [
        ([LRWarmup(2, groups="hed")], r"LRWarmup: groups='hed' names no group of SGD.*did you mean 'head'"),
        (
            [LRMultiPhaseDecay(Linear(), groups="head"), LRController(Cosine(), groups="head")],
            "two of a kind for one optimizer.*or give each its own optimizer= or groups=",
        ),
        ([LRMultiPhaseDecay(Linear(), key="momentun")], "no numeric 'momentun'; did you mean 'momentum'"),
    ],
)
def test_callbacks_that_name_the_wrong_thing_are_refused_at_fit_start(
    tmp_path: Path, callbacks: list[Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        watched(tmp_path, callbacks, Net(optimizer=two))


def test_another_number_is_scheduled_logged_and_resumed(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    class Momenta(Used):
        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            self.groups.append([float(group["momentum"]) for group in optimizer.param_groups])

    def fit(name: str, ckpt: Any = None, **settings: Any) -> list[list[float]]:
        watch = Momenta()
        net = Net(optimizer=lambda net: two(net, momentum=0.8))
        save = ModelCheckpoint(tmp_path / name, every_n_train_steps=1, save_top_k=-1, filename="{step}")
        callbacks = [LRMultiPhaseDecay(one_cycle("25%", momentum_factor=0.5)), save, watch]
        logger = TensorBoardLogger(tmp_path, name=name, version=0)
        settings = {"enable_checkpointing": True, "log_every_n_steps": 1, **settings}
        trainer(tmp_path, callbacks, logger=logger, **settings).fit(net, ckpt_path=ckpt)
        return watch.groups

    whole = fit("whole")
    assert whole == [
        [pytest.approx(m)] * 2 for m in one_cycle("25%", momentum_factor=0.5).others["momentum"].curve(8) * 0.8
    ]
    assert fit("again", tmp_path / "whole" / "step=3.ckpt") == whole[3:]
    events = EventAccumulator(str(tmp_path / "whole" / "version_0"), size_guidance={"scalars": 0})
    events.Reload()
    for n, name in enumerate(["body", "head"]):
        points = {point.step: point.value for point in events.Scalars(f"momentum/SGD/{name}")}
        assert points == {k: pytest.approx(row[n]) for k, row in enumerate(whole)}


def test_a_backbone_that_unfreezes_follows_the_track_that_names_it(tmp_path: Path) -> None:
    """Lightning's BackboneFinetuning adds the group without a name at epoch 1: it is pg2."""
    backbone = _finetuning()[1]
    callbacks = [backbone, LRMultiPhaseDecay(Constant()), LRMultiPhaseDecay(Linear(), groups="pg2")]
    groups = watched(tmp_path, callbacks, Backboned(), max_epochs=2)
    assert [len(lrs) for lrs in groups] == [1] * 4 + [2] * 4
    assert [lrs[0] for lrs in groups] == [1.0] * 8
    first = groups[4][1]
    assert [lrs[1] / first for lrs in groups[4:]] == pytest.approx([1, 0.75, 0.5, 0.25])


def test_every_tracks_decisions_are_told_with_their_groups(tmp_path: Path) -> None:
    import json

    net = Net(optimizer=two, metric=lambda n: 1.0)
    plateau = LRPlateauReduction("val_loss", factor=0.5, patience=0)
    callbacks = [plateau, LRMultiPhaseDecay(Constant(), groups="head")]
    logger = TensorBoardLogger(tmp_path, name="run", version=0)
    watched(tmp_path, callbacks, net, limit_val_batches=1, logger=logger)
    lines = (tmp_path / "run" / "version_0" / "lr_events.jsonl").read_text().splitlines()
    assert [sorted(json.loads(line)["lr_after"]) for line in lines] == [["SGD/body"], ["SGD/head"]]
    assert used(tmp_path, [LRWarmup(2)])[:2] == [0.5, 1.0]


def test_what_is_beside_a_schedule_is_about_its_groups_only() -> None:
    optimizer = body_and_head(momentum=0.8)
    body = Linear(4).beside(momentum=Linear(4, end_factor=0.5))
    head = Constant().beside(weight_decay=Constant())
    with pytest.raises(ValueError, match="weight_decay is 0 in every group"):
        ScheduledLR(body_and_head(), Constant(), tracks=[Track(head, groups="head")])
    ScheduledLR(optimizer, body, tracks=[Track(Constant(), groups="head")])
    assert walk(optimizer, 2, "momentum") == [(0.8, 0.8), (pytest.approx(0.7), 0.8)]


# ---- what a review found


def with_momentum(total: int, schedule: Schedule, momentum: Schedule, **options: Any) -> tuple[Any, ScheduledLR]:
    optimizer = torch.optim.SGD([parameter()], lr=1.0, momentum=1.0)
    tracks = [Track(momentum, key="momentum")]
    return optimizer, ScheduledLR(optimizer, schedule, tracks=tracks, total_steps=total, **options)


def resumed(build: Any, optimizer: Any, scheduler: ScheduledLR) -> tuple[Any, ScheduledLR]:
    later, again = build
    saved = pickle.loads(pickle.dumps((optimizer.state_dict(), scheduler.state_dict())))
    later.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    return later, again


def test_momentum_of_a_group_that_comes_later_is_its_own_start() -> None:
    optimizer = torch.optim.SGD([parameter()], lr=1.0, momentum=0.95)
    ScheduledLR(optimizer, one_cycle("50%", momentum_factor=0.85 / 0.95), total_steps=8)
    walk(optimizer, 4)
    optimizer.add_param_group({"params": [parameter()]})
    optimizer.step()
    assert max(m for row in walk(optimizer, 4, "momentum") for m in row) <= 0.95
    assert optimizer.param_groups[1]["initial_momentum"] == 0.95


@pytest.mark.parametrize("momentum", [Linear("50%", end_factor=0.5), Linear(4, end_factor=0.5), Linear(end_factor=0.5)])
def test_a_stretched_lr_takes_what_keeps_its_clock_along(momentum: Schedule) -> None:
    options = {"on_horizon_change": "stretch"}
    optimizer, scheduler = with_momentum(8, Linear(), momentum, **options)
    momentum_and_lr(optimizer, 2)
    with pytest.warns(UserWarning, match="takes what is left of the run"):
        optimizer, scheduler = resumed(with_momentum(16, Linear(), momentum, **options), optimizer, scheduler)
    planned = momentum.resolve(scheduler.live[0].horizon)
    for lr, value in momentum_and_lr(optimizer, 14):
        place = 8 * (1 - lr)  # where in the program the lr is
        low, high = planned(int(place)), planned(int(place) + 1)
        assert min(low, high) - 1e-12 <= value <= max(low, high) + 1e-12
    assert [event.kind for event in scheduler.events] == ["stretch"]


def test_what_is_beside_a_cooldown_stays_even_if_something_is_held() -> None:
    optimizer, scheduler = with_momentum(20, Constant(), Linear(end_factor=0.5))
    momentum_and_lr(optimizer, 10)
    scheduler.apply(Cooldown(8))
    momentum_and_lr(optimizer, 3)
    scheduler.apply(Freeze(2))
    assert {m for _, m in momentum_and_lr(optimizer, 5)} == {0.75}
    optimizer, scheduler = resumed(with_momentum(20, Constant(), Linear(end_factor=0.5)), optimizer, scheduler)
    assert {m for _, m in momentum_and_lr(optimizer, 5)} == {0.75}


def test_a_changed_lr_schedule_puts_what_is_beside_it_on_its_new_clock() -> None:
    optimizer, scheduler = with_momentum(20, Linear(), Linear(end_factor=0.5))
    momentum_and_lr(optimizer, 8)
    scheduler.apply(Restart())
    momentum_and_lr(optimizer, 2)
    with pytest.warns(UserWarning, match="the schedule has changed"):
        optimizer, scheduler = resumed(with_momentum(20, Cosine(), Linear(end_factor=0.5)), optimizer, scheduler)
    assert [m for _, m in momentum_and_lr(optimizer, 2)] == pytest.approx([0.75, 0.725])
    scheduler.apply(Freeze(1))
    assert [m for _, m in momentum_and_lr(optimizer, 2)] == pytest.approx([0.7, 0.7])


def test_schedule_and_events_replay_what_keeps_a_clock_too() -> None:
    optimizer, scheduler = with_momentum(12, Linear(), Linear(end_factor=0.5))
    used_momenta = [m for _, m in momentum_and_lr(optimizer, 4)]
    for action in (Restart(rewarm=2), Freeze(2), Reduce(0.5), Cooldown(3)):
        scheduler.apply(action)
        used_momenta += [m for _, m in momentum_and_lr(optimizer, 2)]
    assert scheduler.replayed_at(range(12), track=1) == used_momenta
    assert scheduler.live[1].key == "momentum"


def test_by_hand_nothing_is_done_to_what_keeps_a_clock() -> None:
    _, scheduler = with_momentum(12, Linear(), Linear(end_factor=0.5))
    with pytest.raises(ValueError, match="momentum keeps the clock of lr: act on that, or give it rules of its own"):
        scheduler.apply(Reduce(0.5), key="momentum")


def test_two_keys_for_one_number_are_refused() -> None:
    optimizer = torch.optim.AdamW([parameter()], lr=1.0)
    tracks = [Track(Linear(4), key="momentum"), Track(Linear(4), key="beta1")]
    with pytest.raises(ValueError, match="beta1 and momentum are the same number of the group 'pg1'"):
        ScheduledLR(optimizer, Constant(), tracks=tracks)
    with pytest.raises(ValueError, match="key must be a key of the parameter groups"):
        Track(key="initial_lr")


def test_a_group_has_the_name_that_the_code_gives_it() -> None:
    def build(names: tuple[str | None, str | None], **options: Any) -> tuple[Any, ScheduledLR]:
        groups = [{"params": [parameter()], **({"name": name} if name else {})} for name in names]
        optimizer = torch.optim.SGD(groups, lr=1.0)
        return optimizer, ScheduledLR(optimizer, Linear(), total_steps=8, **options)

    optimizer, scheduler = build((None, None))
    walk(optimizer, 4)
    named = build(("body", "head"), tracks=[Track(Constant(), groups="head")])
    with pytest.warns(UserWarning, match=r"the schedule of lr\[head\] has changed since the checkpoint"):
        optimizer, scheduler = resumed(named, optimizer, scheduler)
    assert [track.members for track in scheduler.live] == [(0,), (1,)]
    assert walk(optimizer, 2) == [(0.5, 1), (0.375, 1)]


def test_what_runs_beside_is_as_long_where_something_follows() -> None:
    short = Linear(4).beside(momentum=Linear(2, end_factor=0.5))
    with pytest.raises(ValueError, match=r"momentum: Linear\(2, end_factor=0\.5\) is not as long as Linear\(4\)"):
        _ = (short >> Constant(4).beside(momentum=Constant(4, factor=0.9))).others
    assert (Constant(4) >> short).others["momentum"].curve(8)[-1] == 0.5


def test_letting_go_leaves_other_keys_as_they_were() -> None:
    optimizer, scheduler = with_momentum(8, Linear(), Linear(end_factor=0.5))
    momentum_and_lr(optimizer, 4)
    scheduler.detach()
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]) == (0.5, 1.0)
    assert "initial_momentum" not in optimizer.param_groups[0]


@pytest.mark.parametrize(
    "wishes",
    [
        [LRLogger()],
        [LRMultiPhaseDecay(Linear(), groups="pg1")],
        [LRMultiPhaseDecay(Linear(), key="momentum")],
    ],
)
def test_a_group_that_nobody_schedules_may_come_in_mid_run(tmp_path: Path, wishes: list[Any]) -> None:
    class Momentous(Backboned):
        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.layer.parameters(), lr=1.0, momentum=0.5)

    logger = TensorBoardLogger(tmp_path, name="run", version=0)
    groups = watched(tmp_path, [_finetuning()[1], *wishes], Momentous(), logger=logger, log_every_n_steps=50)
    assert [len(lrs) for lrs in groups] == [1] * 4 + [2] * 4


@pytest.mark.parametrize("key", ["lr", "weight_decay"])
def test_who_writes_to_a_schedule_is_told_whichever_it_is(tmp_path: Path, key: str) -> None:
    from lightning.pytorch.callbacks import Callback

    class Meddling(Callback):
        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            if trainer.global_step == 2:
                for group in trainer.optimizers[0].param_groups:
                    group[key] = 9.0

    wishes = [
        LRMultiPhaseDecay(Linear()),
        LRMultiPhaseDecay(Constant(), groups=".*"),
        LRMultiPhaseDecay(Constant(), key="weight_decay"),
    ]
    net = Net(optimizer=lambda net: two(net, weight_decay=0.5))
    with pytest.warns(UserWarning, match=f"something else set the {key} of group"):
        groups = watched(tmp_path, [*wishes, Meddling()], net)
    assert groups == [[0.1, 1]] * 8


def test_what_is_done_on_resume_is_done_to_the_groups_and_key_it_names(tmp_path: Path) -> None:
    save = ModelCheckpoint(tmp_path, filename="four", every_n_train_steps=4)
    watched(
        tmp_path, [LRMultiPhaseDecay(Constant()), save], Net(optimizer=two), max_epochs=1, enable_checkpointing=True
    )
    watch = Used()
    branch = [LRMultiPhaseDecay(Constant()), LRController(on_resume=Cooldown(), groups="head")]
    run = trainer(tmp_path, [*branch, watch])
    with pytest.warns(UserWarning, match=r"lr\[head\]"):
        run.fit(Net(optimizer=two), ckpt_path=tmp_path / "four.ckpt")
    assert watch.groups == [[0.1, 1 - k / 4] for k in range(4)]
    with pytest.raises(ValueError, match="groups='nonsense' names no group of SGD"):
        watched(tmp_path, [LRController(on_resume=Cooldown(), groups="nonsense")], Net(optimizer=two))


def test_a_started_scheduler_may_have_a_controller_beside_it(tmp_path: Path) -> None:
    def configure(net: Net) -> Any:
        optimizer = two(net)
        return {
            "optimizer": optimizer,
            "lr_scheduler": ScheduledLR(optimizer, None, tracks=[Track(Linear(4), groups="head")]),
        }

    groups = watched(tmp_path, [LRController()], Net(optimizer=configure), max_epochs=1)
    assert groups == [[0.1, 1], [0.1, 0.75], [0.1, 0.5], [0.1, 0.25]]


def test_another_number_may_follow_a_schedule_beside_a_native_one_of_the_lr(tmp_path: Path) -> None:
    def configure(net: Net) -> Any:
        optimizer = two(net, weight_decay=0.5)
        native = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1 - k / 8)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": native, "interval": "step"}}

    class Decays(Used):
        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            self.groups.append(
                [float(group[key]) for group in optimizer.param_groups for key in ("lr", "weight_decay")]
            )

    watch = Decays()
    wish = LRMultiPhaseDecay(Linear(end_factor=0.5), key="weight_decay")
    trainer(tmp_path, [wish, watch]).fit(Net(optimizer=configure))
    rows = [[0.1 * (1 - k / 8), 0.5 - k / 32, 1 - k / 8, 0.5 - k / 32] for k in range(8)]
    assert watch.groups == [pytest.approx(row) for row in rows]
    with pytest.raises(ValueError, match=r"LambdaLR .* both own the lr"):
        trainer(tmp_path, [wish, LRWarmup(2)]).fit(Net(optimizer=configure))
