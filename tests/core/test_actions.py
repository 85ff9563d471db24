"""What each action makes of the control, by numbers worked out by hand; and the replay of whole runs."""

import contextlib
import json
import math
import pickle
import random

import numpy as np
import pytest
import torch

from lightning_lr import (
    Adapt,
    Constant,
    Control,
    Cooldown,
    Cosine,
    CosineRestarts,
    Event,
    Exponential,
    Freeze,
    Horizon,
    Linear,
    Patience,
    Reduce,
    Restart,
    Rule,
    ScheduledLR,
    StepDecay,
    Stop,
    Trend,
    Warmup,
    Window,
    replay,
)
from lightning_lr.core.actions import Situation, as_action
from lightning_lr.core.control import Finish, factor, position, replay_at, stretched

UNTOUCHED = Control()


def at(t, schedule, control=UNTOUCHED, total=8, run=None, per_epoch=None, **more):
    """The situation at update ``t`` of a schedule resolved for ``total`` updates (in a run of ``run``)."""
    program = schedule.resolve(Horizon(total, per_epoch), on_overrun="cut")
    return Situation(t, program, control, run or Horizon(total, per_epoch), **more)


def after(now, action, steps, acted=0, improved=False):
    """The factors of the next ``steps`` updates once ``action`` has acted."""
    outcome = action.act(now, acted, improved)
    program = outcome.finish.program() if outcome.finish else now.program
    return [factor(program, outcome.control, t) for t in range(now.t, now.t + steps)]


# ---- Reduce


def test_reduce_multiplies_the_scale_and_touches_nothing_else():
    control = Control(scale=0.5, rewarm=2, origin=6, hold_until=9, offset=3, num=5, den=7)
    outcome = Reduce(0.5).act(at(20, Constant(), control, total=40))
    assert outcome.control == control._replace(scale=0.25)
    assert outcome.finish is None
    assert after(at(4, Linear()), Reduce(0.5), 5) == [0.25, 0.1875, 0.125, 0.0625, 0.0]
    assert after(at(4, Linear()), Reduce(), 1) == [0.05]


@pytest.mark.parametrize(
    ("schedule", "t", "scale", "largest", "min_lr", "result"),
    [
        (Constant(), 4, 1.0, 1.0, 0.25, 0.5),  # the floor is far
        (Constant(), 4, 1.0, 1.0, 0.75, 0.75),  # and here it cuts
        (Constant(), 4, 0.5, 1.0, 0.375, 0.375),
        (Constant(), 4, 1.0, 0.5, 0.375, 0.75),  # the largest group's lr is what is bounded
        (Linear(), 4, 1.0, 1.0, 0.375, 0.75),  # .5 now: × .75 is the floor now; the schedule then goes below it
        (Constant(), 4, 1.0, 1.0, 1.0, None),  # at the floor
        (Constant(), 4, 0.5, 1.0, 0.75, None),  # below it: never raised
        (Linear(), 6, 1.0, 1.0, 0.25, None),  # the schedule has come to it
        (Linear(), 8, 1.0, 1.0, 0.0, None),  # nothing is left to reduce
        (Constant(), 4, 0.0, 1.0, 0.0, None),
    ],
)
def test_reduce_stops_at_the_floor_of_the_largest_lr(schedule, t, scale, largest, min_lr, result):
    outcome = Reduce(0.5, min_lr).act(at(t, schedule, Control(scale=scale), largest=largest))
    assert (None if outcome is None else outcome.control.scale) == result


def test_reduce_reaches_its_floor_once_and_no_more():
    r = random.Random(0)
    for _ in range(3000):
        largest, action = 10 ** r.uniform(-6, 1), Reduce(r.choice([0.1, 0.3, 0.5, 0.9]), 10 ** r.uniform(-8, 1))
        now, reductions = at(4, Constant(), largest=largest), 0
        while (outcome := action.act(now)) is not None:
            assert outcome.control.scale < now.control.scale
            now, reductions = now._replace(control=outcome.control), reductions + 1
        lr = largest * now.control.scale
        assert lr == pytest.approx(min(largest, action.min_lr), rel=1e-12)
        exact = math.log(action.min_lr / largest) / math.log(action.factor)
        assert reductions == max(0, math.ceil(round(exact, 9)))


# ---- Restart


@pytest.mark.parametrize(
    ("action", "now", "factors"),
    [
        # the whole program again, on what is left of the run
        (Restart(), at(4, Linear()), [1, 0.75, 0.5, 0.25, 0, 0]),
        # the second restart's peak; reductions are discarded
        (Restart(0.5), at(4, Linear(), Control(scale=0.01), restarts=1), [0.25, 0.1875, 0.125, 0.0625, 0]),
        (Restart(0.5), at(4, Constant(), Control(scale=0.01), restarts=0), [0.5] * 6),
        # straight up to the new peak, then the program
        (Restart(0.5, rewarm=2), at(2, Linear()), [0.25, 0.5, 0.5, 0.375, 0.25, 0.125, 0, 0]),
        (Restart(rewarm="25%"), at(2, Linear()), [0.5, 1, 1, 0.75, 0.5, 0.25, 0]),
        (Restart(rewarm="1 epoch"), at(2, Linear(), per_epoch=2), [0.5, 1, 1, 0.75, 0.5, 0.25, 0]),
        # the leading warmup is not repeated, nor counted in the fit
        (Restart(), at(8, Warmup(4) >> Linear(), total=12), [1, 0.75, 0.5, 0.25, 0]),
        (Restart(rewarm=2), at(6, Warmup(4) >> Linear(), total=12), [0.5, 1, 1, 0.75, 0.5, 0.25, 0]),
        # its own length, however little is left
        (Restart(fit="original"), at(6, Linear()), [1, 0.875, 0.75, 0.625]),
        (Restart(0.5, rewarm=1, fit="original"), at(9, Warmup(2) >> Linear(4), total=20),
         [0.5, 0.5, 0.375, 0.25, 0.125, 0]),
        (Restart(fit="original"), at(8, Linear()), [1, 0.875]),  # at the end, too
        # stretched: two thirds of an update of the program each; staircases stay exact
        (Restart(), at(2, Linear(4)), [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0]),
        (Restart(), at(4, StepDecay(2, gamma=0.5)), [1, 0.5, 0.25, 0.125]),
        (Restart(), at(4, StepDecay(2, gamma=0.5, duration=4), total=10), [1, 1, 1, 0.5, 0.5, 0.5, 0.5]),
        # out of a hold, a re-warmup and a stretched program: all forgotten
        (Restart(), at(4, Linear(), Control(0.1, 3, 2, 6, 5, 3, 7)), [1, 0.75, 0.5, 0.25, 0]),
        # the run has been extended since: what is left of this run
        (Restart(), at(8, Linear(), run=Horizon(12)), [1, 0.75, 0.5, 0.25, 0]),
        # a lone warmup stays at its peak
        (Restart(0.5), at(5, Warmup(4)), [0.5] * 4),
    ],
)  # fmt: skip
def test_restart_begins_again(action, now, factors):
    assert after(now, action, len(factors)) == pytest.approx(factors, rel=1e-15, abs=0)


def test_restart_is_an_exact_control():
    now = at(5, Warmup(3) >> Linear(), Control(scale=0.1), total=21, restarts=2)
    assert Restart(0.5, rewarm=4).act(now).control == Control(0.125, 4, 5, 0, 3 * 2, 3, 2)  # 18 updates in 12
    assert Restart(0.5, rewarm=4).act(now).finish is None


@pytest.mark.parametrize(
    ("action", "now", "acted", "acts"),
    [
        (Restart(), at(4, Linear()), 2, True),
        (Restart(), at(4, Linear()), 3, False),
        (Restart(max_restarts=1), at(4, Linear()), 0, True),
        (Restart(max_restarts=1), at(4, Linear()), 1, False),
        (Restart(max_restarts=None), at(4, Linear()), 10**6, True),
        (Restart(max_restarts=1), at(4, Linear(), restarts=5), 0, True),  # other rules' restarts are theirs
        (Restart(), at(7, Linear()), 0, True),  # one update is left
        (Restart(), at(8, Linear()), 0, False),
        (Restart(), at(9, Linear()), 0, False),
        (Restart(rewarm=3), at(4, Linear()), 0, True),
        (Restart(rewarm=4), at(4, Linear()), 0, False),  # nothing is left after the re-warmup
        (Restart(rewarm=4, fit="original"), at(4, Linear()), 0, True),
        (Restart(), at(4, Linear(), finishing=True), 0, False),  # a restart must not ruin a cooldown
        (Restart(fit="original"), at(4, Linear(), finishing=True), 0, False),
        (Restart(), at(4, Linear(8), total=None), 0, False),
        (Restart(), at(4, Constant(), total=None), 0, False),
        (Restart(fit="original"), at(4, Linear(8), total=None), 0, True),
    ],
)
def test_restart_acts_only_where_it_can(action, now, acted, acts):
    assert (action.act(now, acted) is not None) is acts


def test_restart_that_must_fit_a_run_of_unknown_length_is_refused():
    with pytest.raises(ValueError, match=r"^Restart: fit='remaining' needs to know the run's length.*total_steps="):
        Restart().check(Horizon(None))
    Restart(fit="original").check(Horizon(None))
    Restart().check(Horizon(8))
    with pytest.raises(ValueError, match=r"'2 epochs' counts epochs, whose length is unknown"):
        Restart(rewarm="2 epochs").check(Horizon(8))
    with pytest.raises(ValueError, match=r"'5%' is a share of a run whose length is unknown"):
        Restart(rewarm="5%", fit="original").check(Horizon(None))


# ---- Freeze


@pytest.mark.parametrize(
    ("action", "now", "factors"),
    [
        (Freeze(3), at(2, Linear()), [0.75, 0.75, 0.75, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0, 0]),
        (Freeze("25%"), at(2, Linear()), [0.75, 0.75, 0.75, 0.625]),
        (Freeze("2 epochs"), at(2, Linear(), per_epoch=2), [0.75] * 5 + [0.625]),
        (Freeze(2), at(2, Linear(), Control(scale=0.5)), [0.375, 0.375, 0.375, 0.3125]),
        (Freeze(2), at(2, Cosine()), [(1 + math.cos(math.pi / 4)) / 2] * 3 + [(1 + math.cos(math.pi * 3 / 8)) / 2]),
        # within a hold that was to last until 5: from here on another three
        (Freeze(3), at(3, Linear(), Control(hold_until=5, origin=3)), [0.75, 0.75, 0.75, 0.75, 0.625, 0.5]),
        # within a re-warmup, which goes on afterwards
        (Freeze(2), at(5, Constant(), Control(rewarm=4, origin=4)), [0.5, 0.5, 0.5, 0.75, 1, 1]),
        (Freeze(1), at(4, Constant(), Control(rewarm=4, origin=4)), [0.25, 0.25, 0.5, 0.75, 1, 1]),
        # within a program that runs at half its pace
        (Freeze(2), at(5, Linear(), Control(origin=4, offset=4, num=1, den=2)), [0.6875] * 3 + [0.625, 0.5625, 0.5]),
        # within the warmup (only a hand does that): it goes on afterwards
        (Freeze(2), at(1, Warmup(4)), [0.5, 0.5, 0.5, 0.75, 1]),
        # past the end
        (Freeze(2), at(8, Linear(end_factor=0.5)), [0.5] * 4),
    ],
)  # fmt: skip
def test_freeze_holds_and_puts_the_rest_off(action, now, factors):
    assert after(now, action, len(factors)) == pytest.approx(factors, rel=1e-15, abs=0)


def test_freeze_within_a_freeze_keeps_the_place_in_the_program():
    control = Freeze(4).act(at(2, Linear())).control
    assert control == Control(hold_until=6, origin=4)
    again = Freeze(4).act(at(3, Linear(), control)).control
    assert again == Control(hold_until=7, origin=5)
    assert [position(again, t) for t in range(3, 10)] == [2, 2, 2, 2, 2, 3, 4]
    once_over = Freeze(1).act(at(7, Linear(), again)).control  # the hold is over: update 7 would have used position 2
    assert [position(once_over, t) for t in range(7, 11)] == [2, 2, 3, 4]


def test_freeze_acts_as_often_as_it_may():
    assert Freeze(3).act(at(2, Linear()), acted=10**6) is not None
    assert Freeze(3, max_freezes=2).act(at(2, Linear()), acted=1) is not None
    assert Freeze(3, max_freezes=2).act(at(2, Linear()), acted=2) is None
    with pytest.raises(ValueError, match="'2 epochs' counts epochs, whose length is unknown"):
        Freeze("2 epochs").check(Horizon(8))
    Freeze("2 epochs").check(Horizon(8, 2))


# ---- Adapt


@pytest.mark.parametrize(
    ("action", "scale", "improved", "result"),
    [
        (Adapt(up=1.25, down=0.5), 0.5, False, 0.25),
        (Adapt(up=1.25, down=0.5), 0.5, True, 0.625),
        (Adapt(up=2, down=0.5), 0.75, True, 1.0),  # not above max_scale
        (Adapt(up=2, down=0.5), 1.0, True, None),
        (Adapt(up=2, max_scale=4), 1.0, True, 2.0),
        (Adapt(up=2, max_scale=4), 3.0, True, 4.0),
        (Adapt(up=2, max_scale=0.5), 0.75, True, None),  # never lowers on an improvement
        (Adapt(down=0.5), 0.015, False, 0.01),  # not below min_scale
        (Adapt(down=0.5), 0.01, False, None),
        (Adapt(down=0.5, min_scale=0.25), 0.125, False, None),  # never raises on a bad one
        (Adapt(down=0.5, min_scale=0.25), 0.375, False, 0.25),
        (Adapt(up=2), 0.5, False, None),  # one way only
        (Adapt(down=0.5), 0.5, True, None),
    ],
)
def test_adapt_goes_up_and_down_within_its_bounds(action, scale, improved, result):
    control = Control(scale=scale, rewarm=2, origin=1, hold_until=3, offset=5, num=2, den=3)
    outcome = action.act(at(5, Linear(), control), improved=improved)
    assert outcome is None if result is None else outcome.control == control._replace(scale=result)


# ---- Cooldown


SHAPES = {
    "linear": lambda u: 1 - u,
    "cosine": lambda u: (1 + math.cos(math.pi * u)) / 2,
    "one_minus_sqrt": lambda u: 1 - math.sqrt(u),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("now", "height"),
    [
        (at(10, Constant(), total=40), 1.0),
        (at(10, Constant(), Control(scale=0.5), total=40), 0.5),  # during a reduced scale
        (at(10, Linear(), Control(scale=0.5), total=40), 0.375),
        (at(10, Linear(), Control(hold_until=12, origin=2), total=40), 0.75),  # from within a hold
        (at(10, Constant(), Control(rewarm=4, origin=8, scale=0.5), total=40), 0.375),  # and a re-warmup
        (at(1, Warmup(4), total=40), 0.5),
        (at(10, Linear(), Control(origin=4, offset=4, num=2, den=1), total=40), 0.6),
    ],
)  # fmt: skip
def test_cooldown_goes_from_here_to_exactly_zero(shape, now, height):
    outcome = Cooldown(5, shape).act(now)
    assert outcome.finish == Finish(shape, 5)
    assert outcome.control == Control(origin=now.t)._replace(scale=pytest.approx(height, rel=1e-15))
    factors = after(now, Cooldown(5, shape), 6)
    assert factors[0] == factor(now.program, now.control, now.t)
    assert factors[:5] == pytest.approx([height * SHAPES[shape](k / 5) for k in range(5)], rel=1e-12)
    assert factors[4] > 0
    assert factors[5] == 0.0
    assert after(now, Cooldown(5, shape), 1000)[5:] == [0.0] * 995


def test_cooldown_may_be_reduced_held_and_never_begun_again():
    control, finish = Cooldown(4).act(at(2, Constant()))
    now = Situation(4, finish.program(), control, Horizon(8), finishing=True)
    assert [factor(now.program, control, t) for t in range(2, 8)] == [1, 0.75, 0.5, 0.25, 0, 0]
    assert after(now, Reduce(0.5), 4) == [0.25, 0.125, 0, 0]
    assert after(now, Freeze(1), 4) == [0.5, 0.5, 0.25, 0]
    assert Cooldown(4).act(now) is None
    assert Cooldown().act(now) is None


@pytest.mark.parametrize(
    ("action", "now", "length"),
    [
        (Cooldown(), at(3, Constant()), 5),
        (Cooldown(), at(7, Constant()), 1),
        (Cooldown(), at(8, Constant()), None),
        (Cooldown(), at(9, Constant()), None),
        (Cooldown(), at(3, Constant(), run=Horizon(20)), 17),
        (Cooldown(), at(3, Constant(), total=None), None),
        (Cooldown("25%"), at(3, Constant()), 2),
        (Cooldown("2 epochs"), at(3, Constant(), per_epoch=3), 6),
        (Cooldown(4), at(3, Constant(), total=None), 4),
        (Cooldown("1%"), at(3, Constant()), None),  # rounds to no update at all
    ],
)
def test_cooldown_is_as_long_as_was_said_or_as_is_left(action, now, length):
    outcome = action.act(now)
    assert outcome is None if length is None else outcome.finish == Finish("linear", length)


def test_cooldown_whose_length_cannot_be_known_is_refused():
    with pytest.raises(ValueError, match=r"^Cooldown: the rest of a run whose length is unknown: give total_steps="):
        Cooldown().check(Horizon(None))
    with pytest.raises(ValueError, match="'20%' is a share of a run whose length is unknown"):
        Cooldown("20%").check(Horizon(None))
    Cooldown(5).check(Horizon(None))
    Cooldown().check(Horizon(8))


# ---- Stop, and what all have


def test_stop_leaves_the_lr_alone():
    control = Control(scale=0.5, origin=3)
    assert Stop().act(at(5, Linear(), control)) == (control, None)


@pytest.mark.parametrize(
    ("action", "schedule", "idle"),
    [
        (Restart(), Constant(), True),
        (Restart(), Warmup(4), True),
        (Restart(), Warmup(4) >> Constant(), True),
        (Restart(0.5), Constant(), False),
        (Restart(rewarm=2), Constant(), False),
        (Restart(), Linear(), False),
        (Restart(), Constant(4) >> Constant(factor=0.5), False),
        (Freeze(3), Constant(), True),
        (Freeze(3), Warmup(4), True),
        (Freeze(3), Linear(), False),
        (Reduce(), Constant(), False),
        (Adapt(down=0.5), Constant(), False),
        (Cooldown(), Constant(), False),
        (Stop(), Constant(), False),
    ],
)
def test_idle_is_what_could_never_change_any_lr(action, schedule, idle):
    assert action.idle(schedule.resolve(Horizon(20))) is idle


def test_settled_is_after_warmup_re_warmup_and_hold():
    def settled(t, *args, **more):
        return at(t, *args, **more).settled()

    assert [settled(t, Warmup(4) >> Linear()) for t in (0, 3, 4, 5, 8)] == [False, False, True, True, True]
    assert [settled(t, Linear()) for t in (0, 1)] == [True, True]
    assert [settled(t, Constant(), Control(rewarm=3, origin=4)) for t in (4, 6, 7)] == [False, False, True]
    assert [settled(t, Constant(), Control(hold_until=6, origin=2)) for t in (4, 5, 6)] == [False, False, True]
    # a warmup that was held (by hand) ends later; one that is stretched, too
    held = Freeze(2).act(at(1, Warmup(4))).control
    assert [settled(t, Warmup(4), held) for t in (5, 6)] == [False, True]
    slow = Control(num=1, den=2)
    assert [settled(t, Warmup(4), slow) for t in (7, 8)] == [False, True]
    # after a restart the warmup lies behind
    again = Restart().act(at(6, Warmup(4) >> Linear())).control
    assert [settled(t, Warmup(4) >> Linear(), again) for t in (6, 7)] == [True, True]


ACTIONS = [
    (Reduce(), "Reduce()"),
    (Reduce(0.5, 0.001), "Reduce(0.5, min_lr=0.001)"),
    (Restart(), "Restart()"),
    (Restart(0.5, None, "5%", "original", True),
     "Restart(0.5, max_restarts=None, rewarm='5%', fit='original', reset_momentum=True)"),
    (Freeze("2ep"), "Freeze('2 epochs')"),
    (Freeze(5, 2), "Freeze(5, max_freezes=2)"),
    (Adapt(1.1), "Adapt(1.1)"),
    (Adapt(1.1, 0.5, 0.1, 2), "Adapt(1.1, down=0.5, min_scale=0.1, max_scale=2.0)"),
    (Cooldown(), "Cooldown()"),
    (Cooldown("20%", "cosine"), "Cooldown('20%', shape='cosine')"),
    (Stop(), "Stop()"),
]  # fmt: skip


@pytest.mark.parametrize(("action", "text"), ACTIONS, ids=[text for _, text in ACTIONS])
def test_actions_are_values(action, text):
    assert repr(action) == text
    for same in (eval(text), pickle.loads(pickle.dumps(action)), as_action(action, "x")):
        assert same == action
        assert hash(same) == hash(action)
    assert [other for other, _ in ACTIONS if other == action] == [action]
    parameters = {name: getattr(action, name) for name in action._parameters}
    assert as_action({"class_path": f"lightning_lr.{type(action).__name__}", "init_args": parameters}, "x") == action
    assert as_action({"_target_": type(action).__name__, **parameters}, "x") == action
    with pytest.raises(AttributeError, match="immutable"):
        action.factor = 1


# ---- Stretching: every combination goes on where it was, and ends where the run does


@pytest.mark.parametrize(
    ("control", "t", "run_end", "expected"),
    [
        # (within a program of 8 updates)
        (UNTOUCHED, 4, 12, {3: 4, 4: 4, 5: 4.5, 8: 6, 12: 8, 20: 12}),
        (Control(hold_until=6, origin=2), 5, 14, {5: 4, 6: 4, 7: 4.5, 14: 8}),  # the hold is finished first
        (Control(rewarm=4, origin=4, num=2), 6, 24, {6: 0, 7: 0, 8: 0, 9: 0.5, 24: 8}),  # and the re-warmup
        (Control(rewarm=4, origin=5, hold_until=8), 6, 25, {6: 0, 9: 0, 11: 1, 25: 8}),  # and both
        (Control(origin=4, offset=8, num=1, den=2), 8, 16, {8: 6, 9: 6.25, 16: 8}),  # again
        (UNTOUCHED, 4, 6, {4: 4, 5: 6, 6: 8}),  # a shorter run
    ],
)
def test_stretched_by_hand(control, t, run_end, expected):
    new = stretched(control, 8, t, run_end)
    assert {u: position(new, u) for u in expected if u >= t} == {u: p for u, p in expected.items() if u >= t}


@pytest.mark.parametrize(("control", "t", "run_end"), [(UNTOUCHED, 8, 16), (UNTOUCHED, 9, 16), (UNTOUCHED, 4, 4)])
def test_nothing_is_left_to_stretch(control, t, run_end):
    assert stretched(control, 8, t, run_end) == control


def test_any_pile_of_events_stays_continuous_and_ends_with_the_run():
    """Freeze, restart, reduce and stretch in any order: a stretch keeps the next factor and fits the rest exactly."""
    program = (Warmup(3) >> Linear(17, end_factor=0.5) >> Cosine(20)).resolve(Horizon(40))
    for seed in range(300):
        r = random.Random(seed)
        control, t, run, restarts = UNTOUCHED, r.randint(0, 12), 40, 0
        for _ in range(r.randint(1, 5)):
            now = Situation(t, program, control, Horizon(run), restarts)
            kind = r.choice(["freeze", "restart", "reduce", "stretch", "stretch"])
            if kind == "stretch":
                run += r.randint(1, 60)
                new = stretched(control, 40, t, run)
                assert factor(program, new, t) == pytest.approx(factor(program, control, t), rel=1e-15)
                assert position(new, run) == 40
                assert factor(program, new, run) == 0.0
                assert factor(program, new, run - 1) > 0.0
                control = new
            else:
                action = {
                    "freeze": Freeze(r.randint(1, 5)),
                    "restart": Restart(0.9, None, r.randint(0, 4), "remaining"),
                    "reduce": Reduce(0.5),
                }[kind]
                control = action.act(now).control
                restarts += kind == "restart"
                if kind == "restart":
                    assert position(control, run) == 40
            t += r.randint(0, 6)


# ---- Events and replay


def test_events_survive_json():
    events = [
        Event(3, "reduce", 1.0, 0.5, Control(scale=0.5), "why", 0, "reduce:loss:validation", "loss", 1.5, 1.25, 2),
        Event(9, "cooldown", 0.5, 0.5, Control(scale=0.5, origin=9), finish=Finish("cosine", 7)),
        Event(9, "stop", 0.5, 0.5, Control()),
    ]
    for event in events:
        assert Event.of(json.loads(json.dumps(event.state()))) == event
    assert events[2].state() == {
        "step": 9, "kind": "stop", "before": 0.5, "after": 0.5, "control": [1.0, 0, 0, 0, 0, 1, 1],
    }  # fmt: skip


def test_replay_by_hand():
    program = Linear().resolve(Horizon(8))
    events = [
        Event(2, "reduce", 0.75, 0.375, Control(scale=0.5)),
        Event(4, "cooldown", 0.25, 0.25, Control(scale=0.25, origin=4), finish=Finish("linear", 2)),
    ]
    assert replay(program, events, 8) == [1, 0.875, 0.375, 0.3125, 0.25, 0.125, 0, 0]
    assert replay(program, events, 3) == [1, 0.875, 0.375]
    assert replay(program, [], 3, Control(scale=0.5)) == [0.5, 0.4375, 0.375]
    assert replay(program, events, 0) == []


SCHEDULES = [
    Constant(),
    Linear(),
    Warmup(4),
    Warmup("10%") >> Cosine(),
    Warmup(3, 0.2, "cosine") >> Linear("40%", end_factor=0.5) >> Cosine(),
    StepDecay(7, gamma=0.5),
    Exponential(0.95),
    Warmup(2) >> CosineRestarts(9),
    Linear("1 epoch") >> Constant(),
]


def random_action(r, kind):
    duration = r.choice([1, 3, 6, "10%", "0.5 epochs"])
    return {
        "reduce": lambda: Reduce(r.choice([0.1, 0.5, 0.9]), r.choice([0.0, 0.05])),
        "restart": lambda: Restart(
            r.choice([1.0, 0.5]), r.choice([1, 3, None]), r.choice([0, 2, "5%"]), r.choice(["remaining", "original"])
        ),
        "freeze": lambda: Freeze(duration),
        "adapt": lambda: Adapt(r.choice([1.0, 1.5]), r.choice([0.5, 0.9]), 0.01, r.choice([1.0, 2.0])),
        "cooldown": lambda: Cooldown(r.choice([None, duration]), r.choice(list(SHAPES))),
        "stop": lambda: Stop(),
    }[kind]()


def random_rule(r, kind, monitor):
    detector = r.choice([
        Patience(r.randint(0, 3), r.choice([0.0, 0.05]), r.choice(["rel", "abs"])), Window(r.randint(2, 4)), Trend(),
        Patience(r.randint(0, 2)) | Window(3), Patience(r.randint(0, 2)) & Window(3),
    ])  # fmt: skip
    action = random_action(r, kind)
    return Rule(
        Patience(1) if kind == "adapt" else detector, action, monitor,
        mode=r.choice(["min", "max"]), cooldown=r.choice([0, 0, 2]),
        nan_policy=r.choice(["count", "ignore"]), until=r.choice([None, None, "70%"]),
        active_from=r.choice([None, None, "20%"]),
    )  # fmt: skip


class CannotActError(Exception):
    pass


def apply(scheduler, action):
    try:
        scheduler.apply(action)
    except ValueError as error:
        if f"{action!r} cannot act" in str(error):
            raise CannotActError from None
        raise


@pytest.mark.filterwarnings("ignore:.*cannot change any lr")
def test_replay_is_the_curve_that_was_used():
    """Random schedules, rules, metrics and hands in a plain loop: schedule + events give every used lr, bit for bit."""
    kinds = ["reduce", "restart", "freeze", "adapt", "cooldown", "stop"]
    acted = dict.fromkeys(kinds, 0)
    for seed in range(300):
        r = random.Random(seed)
        total, per_epoch, schedule = r.randint(16, 60), r.randint(4, 9), r.choice(SCHEDULES)
        chosen = [(kind, monitor) for kind in kinds for monitor in "ab" if r.random() < 0.4]
        rules = [random_rule(r, kind, monitor) for kind, monitor in chosen]
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        scheduler = ScheduledLR(optimizer, schedule, rules=rules, total_steps=total, steps_per_epoch=per_epoch)
        program, used, every = scheduler.program, [], r.randint(1, 3)
        for t in range(total + 5):
            used.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if chosen and t % every == 0:
                values = {"a": r.choice([r.gauss(1, 0.3), 1.0, math.nan]), "b": 1 / (t + 1) + r.gauss(0, 0.05)}
                scheduler.evaluate({name: values[name] for name in {monitor for _, monitor in chosen}})
            if r.random() < 0.03:
                action = random_action(r, r.choice(kinds))
                with contextlib.suppress(CannotActError):
                    apply(scheduler, action)
        events = [Event.of(json.loads(json.dumps(event.state()))) for event in scheduler.events]
        assert repr(events) == repr(scheduler.events)  # a value may be NaN
        assert replay(program, events, total + 5) == used, seed
        last_at = {event.step: event for event in events}
        assert all(used[step] == event.after for step, event in last_at.items() if step < len(used))
        for event in events:
            acted[event.kind] += 1
            assert all(math.isfinite(x) and x >= 0 for x in (event.before, event.after))
    assert min(acted.values()) > 30, acted


def test_replay_beyond_what_a_float_counts_takes_any_whole_numbers() -> None:
    program, far = Cosine().resolve(Horizon(2**54)), [2**53, 2**53 + 3]
    control = Control(scale=0.5, origin=3, offset=10**15 + 1, num=7919, den=7907)
    events = [Event(4, "restart", 1.0, 0.5, control)]
    expected = [factor(program, control, t) for t in far]
    assert replay_at(program, events, far) == replay_at(program, events, np.array(far)) == expected
    assert replay_at(program, events, [0, *far]) == [1.0, *expected]
    assert replay_at(program, events, np.array([], dtype=int)) == []
