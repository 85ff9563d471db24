"""``ScheduledLR`` without Lightning: the optimizer's own updates are the clock, and it is the one writer."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler

from lightning_lr import (
    Constant,
    Cosine,
    CosineRestarts,
    Custom,
    Exponential,
    Horizon,
    Linear,
    Polynomial,
    Reduce,
    Schedule,
    ScheduledLR,
    StepDecay,
    Warmup,
)
from lightning_lr.core.control import AHEAD

ALL = Warmup(5, shape="cosine") >> Linear(6, end_factor=0.5) >> CosineRestarts(4, cycle_mult=2, peak_gamma=0.5)


def weights(n: int = 1) -> list[Any]:
    out = [torch.nn.Parameter(torch.ones(1)) for _ in range(n)]
    for weight in out:
        weight.grad = torch.zeros(1)
    return out


def sgd(lr: Any = 1.0, **settings: Any) -> torch.optim.SGD:
    return torch.optim.SGD(weights(), lr=lr, **settings)


def used(optimizer: Any, updates: int) -> list[float]:
    """The first group's lr at each of the next updates."""
    lrs = []
    for _ in range(updates):
        lrs.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
    return lrs


def test_it_is_a_torch_scheduler_with_torchs_names() -> None:
    optimizer = sgd(2.0)
    scheduler = ScheduledLR(optimizer, Warmup(4))
    assert isinstance(scheduler, LRScheduler)
    assert scheduler.get_last_lr() == scheduler.get_lr() == scheduler._last_lr == [0.5]
    assert (scheduler.base_lrs, scheduler.last_epoch) == ([2.0], 0)
    optimizer.step()
    assert (scheduler.get_last_lr(), scheduler.last_epoch, scheduler.factor) == ([1.0], 1, 0.5)
    assert scheduler.factor_at(3) == 1.0


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_step_called_never_once_or_twice_changes_nothing(steps: int) -> None:
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, Warmup(4))
    lrs = []
    for _ in range(6):
        lrs += used(optimizer, 1)
        for _ in range(steps):
            scheduler.step()
    assert lrs == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_used_equals_previewed() -> None:
    optimizer = sgd(0.3)
    ScheduledLR(optimizer, ALL, total_steps=40)
    previewed = 0.3 * ALL.resolve(Horizon(40)).curve(60)
    assert used(optimizer, 60) == pytest.approx(previewed.tolist(), rel=1e-15)


def test_lbfgs_evaluates_often_and_updates_once() -> None:
    weight = torch.nn.Parameter(torch.tensor([3.0]))
    optimizer = torch.optim.LBFGS([weight], lr=1.0, max_iter=5)
    scheduler = ScheduledLR(optimizer, Warmup(4))
    evaluations = 0

    def closure() -> Any:
        nonlocal evaluations
        evaluations += 1
        optimizer.zero_grad()
        loss = weight.square().sum() + weight.abs().sum()
        loss.backward()
        return loss

    lrs = []
    for _ in range(4):
        lrs.append(optimizer.param_groups[0]["lr"])
        optimizer.step(closure)
    assert lrs == [0.25, 0.5, 0.75, 1.0]
    assert evaluations > 4
    assert scheduler.updates == 4


def test_two_optimizers_have_two_clocks() -> None:
    first, second = sgd(), sgd()
    ScheduledLR(first, Warmup(4))
    ScheduledLR(second, Warmup(2))
    assert used(first, 3) == [0.25, 0.5, 0.75]
    assert used(second, 2) == [0.5, 1.0]


def test_a_group_added_mid_run_keeps_its_lr_at_the_current_factor() -> None:
    optimizer = sgd()
    ScheduledLR(optimizer, Linear(), total_steps=8)
    used(optimizer, 4)
    optimizer.add_param_group({"params": weights(), "lr": 0.1})
    seen = []
    for _ in range(4):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
    assert [a for a, _ in seen] == [0.5, 0.375, 0.25, 0.125]
    assert [b for _, b in seen] == pytest.approx([0.1, 0.075, 0.05, 0.025], rel=1e-12)


def test_a_group_added_at_factor_0_takes_its_lr_as_the_peak() -> None:
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, Linear(2))
    used(optimizer, 3)
    optimizer.add_param_group({"params": weights(), "lr": 0.1})
    optimizer.step()
    assert scheduler.base_lrs == [1.0, 0.1]
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 0.0]


# ---- state


@pytest.mark.parametrize("optimizer_first", [True, False])
def test_a_plain_loop_resumes_anywhere_bit_for_bit(optimizer_first: bool) -> None:
    whole = sgd(0.3)
    scheduler = ScheduledLR(whole, ALL, total_steps=40)
    for k in range(1, 41):
        lr = used(whole, 1)
        saved = pickle.loads(pickle.dumps((whole.state_dict(), scheduler.state_dict())))
        resumed = sgd(0.3)
        again = ScheduledLR(resumed, ALL, total_steps=40)
        parts = [(resumed, saved[0]), (again, saved[1])]
        for part, state in parts if optimizer_first else parts[::-1]:
            part.load_state_dict(state)
        assert again.get_last_lr() == scheduler.get_last_lr(), k
        assert resumed.param_groups[0]["lr"] == whole.param_groups[0]["lr"], k
        assert lr
        ahead = [again.factor_at(t) for t in range(k, 60)]
        assert ahead == [scheduler.factor_at(t) for t in range(k, 60)]


def test_the_state_is_small_and_plain_whatever_the_number_of_groups() -> None:
    optimizer = torch.optim.SGD([{"params": [w]} for w in weights(1000)], lr=1.0)
    scheduler = ScheduledLR(optimizer, ALL, total_steps=10**6)
    optimizer.step()
    state = scheduler.state_dict()
    assert len(pickle.dumps(state)) <= 400

    def plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(type(key) is str and plain(item) for key, item in value.items())
        if isinstance(value, (list, tuple)):
            return all(map(plain, value))
        return value is None or type(value) in (int, float, str, bool)

    assert plain(state)
    assert not {"schedule", "lr", "base_lrs"} & set(state)


def test_the_users_new_schedule_wins_and_is_an_event() -> None:
    first = sgd()
    scheduler = ScheduledLR(first, Linear(), total_steps=8)
    used(first, 4)
    second = sgd()
    second.load_state_dict(first.state_dict())
    changed = ScheduledLR(second, Polynomial(power=2), total_steps=8)
    with pytest.warns(UserWarning, match=r"schedule has changed since the checkpoint; from update 4 .*power=2"):
        changed.load_state_dict(scheduler.state_dict())
    assert used(second, 4) == [0.25, 0.140625, 0.0625, 0.015625]
    [event] = changed.events
    assert (event.step, event.kind, event.before, event.after) == (4, "schedule", 0.5, 0.25)
    assert event.detail == "Polynomial(power=2.0)"
    [again] = changed.state_dict()["events"]
    assert again["detail"] == "Polynomial(power=2.0)"


@pytest.mark.parametrize(
    ("choice", "lrs", "words"),
    [
        ("keep", [0.5, 0.25], "lr of group 0 is 10 in the code and 1 in the checkpoint; the checkpoint's is kept"),
        ("use_new", [5.0, 2.5], "the code's is used"),
    ],
)
def test_a_changed_lr_is_kept_or_used_and_said(choice: str, lrs: list[float], words: str) -> None:
    first = sgd(1.0)
    scheduler = ScheduledLR(first, Linear(), total_steps=4)
    used(first, 2)
    second = sgd(10.0)
    again = ScheduledLR(second, Linear(), total_steps=4, on_lr_change=choice)
    with pytest.warns(UserWarning, match=words):
        second.load_state_dict(first.state_dict())
    again.load_state_dict(scheduler.state_dict())
    assert used(second, 2) == lrs


def test_a_changed_lr_can_be_an_error() -> None:
    first = sgd(1.0)
    ScheduledLR(first, Linear(), total_steps=4)
    second = sgd(10.0)
    ScheduledLR(second, Linear(), total_steps=4, on_lr_change="error")
    with pytest.raises(ValueError, match=r"lr of group 0 is 10 in the code and 1 in the checkpoint: restore it"):
        second.load_state_dict(first.state_dict())


def test_a_checkpoint_may_turn_a_float_lr_into_a_tensor_and_back() -> None:
    def adam(lr: Any) -> Any:
        return torch.optim.AdamW(weights(), lr=lr, foreach=False)

    for saved, loaded in [(torch.tensor(1.0), 1.0), (1.0, torch.tensor(1.0))]:
        first = adam(saved)
        scheduler = ScheduledLR(first, Warmup(4))
        used(first, 1)
        second = adam(loaded)
        again = ScheduledLR(second, Warmup(4))
        second.load_state_dict(first.state_dict())
        again.load_state_dict(scheduler.state_dict())
        assert type(second.param_groups[0]["lr"]) is type(first.param_groups[0]["lr"])
        assert used(second, 3) == [0.5, 0.75, 1.0]


def test_stretching_twice_and_an_event_that_is_saved() -> None:
    def resumed(optimizer: Any, scheduler: Any, total: int) -> tuple[Any, Any]:
        fresh = sgd()
        fresh.load_state_dict(optimizer.state_dict())
        again = ScheduledLR(fresh, Linear(), total_steps=total, on_horizon_change="stretch")
        with pytest.warns(UserWarning, match="takes what is left of the run"):
            again.load_state_dict(scheduler.state_dict())
        return fresh, again

    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, Linear(), total_steps=8)
    used(optimizer, 4)
    optimizer, scheduler = resumed(optimizer, scheduler, 12)
    assert used(optimizer, 4) == [0.5, 0.4375, 0.375, 0.3125]
    optimizer, scheduler = resumed(optimizer, scheduler, 10)
    assert used(optimizer, 3) == [0.25, 0.125, 0.0]
    assert [(e.step, e.kind) for e in scheduler.events] == [(4, "stretch"), (8, "stretch")]


def test_a_length_that_does_not_matter_to_the_schedule_changes_without_a_word() -> None:
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, Warmup(2) >> StepDecay(3), total_steps=8)
    used(optimizer, 4)
    fresh = sgd()
    fresh.load_state_dict(optimizer.state_dict())
    again = ScheduledLR(fresh, Warmup(2) >> StepDecay(3), total_steps=16, on_horizon_change="error")
    again.load_state_dict(scheduler.state_dict())
    assert used(fresh, 3) == pytest.approx([1.0, 0.1, 0.1])


# ---- refused


def test_two_owners_of_one_optimizer_are_refused_until_one_lets_go() -> None:
    optimizer = sgd()
    first = ScheduledLR(optimizer, Warmup(4))
    with pytest.raises(ValueError, match=r"already has the ScheduledLR of Warmup\(4\).*detach"):
        ScheduledLR(optimizer, Constant())
    used(optimizer, 3)
    first.detach()
    assert used(optimizer, 3) == [1.0, 1.0, 1.0]
    assert first.updates == 3
    optimizer.param_groups[0]["lr"] = 0.5
    second = ScheduledLR(optimizer, Exponential(0.5))
    assert second.base_lrs == [0.5]


def test_a_native_scheduler_on_the_same_optimizer_is_refused() -> None:
    optimizer = sgd()
    torch.optim.lr_scheduler.StepLR(optimizer, 3)
    with pytest.raises(ValueError, match="a torch LR scheduler was already built on this SGD; two owners"):
        ScheduledLR(optimizer, Warmup(4))


def test_start_step_goes_on_without_a_state() -> None:
    optimizer = sgd()
    ScheduledLR(optimizer, Linear(), total_steps=8, start_step=6)
    assert used(optimizer, 2) == [0.25, 0.125]


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        (lambda w: torch.optim.Adagrad(w, lr=1.0, lr_decay=0.1), "Adagrad divides the scheduled lr further"),
        (lambda w: torch.optim.ASGD(w, lr=1.0), "not the step size here: ASGD"),
        (lambda w: torch.optim.Rprop(w, lr=1.0), "not the step size here: Rprop"),
        (lambda w: torch.optim.Adafactor(w, lr=1.0), "not the step size here: Adafactor"),
    ],
)
def test_optimizers_that_rescale_the_lr_themselves_are_named(optimizer: Any, words: str) -> None:
    with pytest.warns(UserWarning, match=words):
        ScheduledLR(optimizer(weights()), Cosine(4))


def test_a_newer_state_is_refused_and_a_foreign_one_named() -> None:
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, Warmup(4))
    with pytest.raises(ValueError, match="state has format 99, this version reads up to 2: install the newer"):
        scheduler.load_state_dict({**scheduler.state_dict(), "lightning_lr": 99})
    with pytest.raises(
        ValueError, match=r"not a state of ScheduledLR \(its keys: last_epoch, lr_lambdas\).*start_step="
    ):
        scheduler.load_state_dict({"last_epoch": 3, "lr_lambdas": []})
    assert scheduler.updates == 0


def test_a_deferred_scheduler_touches_nothing() -> None:
    optimizer = sgd()
    scheduler = ScheduledLR.deferred(optimizer, Warmup(4))
    optimizer.step()
    assert optimizer.param_groups[0]["lr"] == 1.0
    assert "initial_lr" not in optimizer.param_groups[0]
    assert scheduler.state_dict() == {"lightning_lr": 2, "optimizer": 0, "started": False}
    assert (scheduler.updates, scheduler.get_last_lr(), scheduler.base_lrs) == (0, [1.0], [1.0])
    with pytest.raises(RuntimeError, match="not started yet"):
        _ = scheduler.program


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it compiles
def test_a_compiled_step_is_counted_like_any_other() -> None:
    optimizer = sgd(torch.tensor(1.0), foreach=False)
    scheduler = ScheduledLR(optimizer, Warmup(4))
    step = torch.compile(optimizer.step, backend="eager", fullgraph=False)
    lrs = []
    for _ in range(5):
        lrs.append(float(optimizer.param_groups[0]["lr"]))
        step()
    assert lrs == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert scheduler.updates == 5


def test_past_a_thousand_events_the_oldest_are_folded_and_the_rest_replays() -> None:
    from lightning_lr import Cooldown, Reduce

    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, Linear(), total_steps=4000)
    scheduler.apply(Cooldown(2000))
    lrs = []
    for _ in range(1100):
        lrs += used(optimizer, 1)
        scheduler.apply(Reduce(0.999))
    state = pickle.loads(pickle.dumps(scheduler.state_dict()))
    assert len(state["events"]) == 1000
    resumed = sgd()
    resumed.load_state_dict(optimizer.state_dict())
    again = ScheduledLR(resumed, Linear(), total_steps=4000)
    again.load_state_dict(state)
    replayed = again.replayed_at(range(1100))
    assert all(math.isnan(value) for value in replayed[:100])  # what was before the fold is gone
    assert replayed[100:] == lrs[100:]
    assert again.get_last_lr() == scheduler.get_last_lr()


@pytest.mark.parametrize("schedule", [Warmup(40) >> Cosine(), Exponential(0.999), CosineRestarts(300, cycle_mult=1.3)])
def test_every_update_used_the_previewed_lr_to_the_last_bit(schedule: Schedule) -> None:
    """Across the borders of what is computed ahead, through a reduction and a resume between them."""
    total = 3 * AHEAD + 7
    optimizer = sgd(0.1)
    scheduler = ScheduledLR(optimizer, schedule, total_steps=total)
    lrs = []
    for k in range(total):
        if k == 700:
            scheduler.apply(Reduce(0.5))
        if k == 900:
            states = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
            optimizer = sgd(0.1)
            scheduler = ScheduledLR(optimizer, schedule, total_steps=total)
            optimizer.load_state_dict(states[0])
            scheduler.load_state_dict(states[1])
        lrs += used(optimizer, 1)
    preview = schedule.curve(total)
    preview[700:] *= 0.5
    assert lrs == (preview * 0.1).tolist()


def test_a_function_of_the_users_is_not_asked_before_its_time() -> None:
    asked = []
    table = [1.0, 0.5, 0.25]
    optimizer = sgd(0.1)
    ScheduledLR(optimizer, Custom(lambda k: asked.append(k) or table[k], of="step"))
    optimizer.step()
    optimizer.step()
    assert max(asked) == 2
    with pytest.raises(ValueError, match="raised IndexError"):
        optimizer.step()
