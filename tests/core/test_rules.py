"""The decision table, cell by cell: who acts on an evaluation, and what that does to every rule's memory."""

import itertools
import json
import math
import pickle
import random

import pytest

from lightning_lr import (
    Adapt,
    Constant,
    Control,
    Cooldown,
    Freeze,
    Horizon,
    Linear,
    Patience,
    Reduce,
    Restart,
    Rule,
    Stop,
    Trend,
    Warmup,
    Window,
)
from lightning_lr.core.actions import Situation
from lightning_lr.core.control import factor, position
from lightning_lr.core.rules import RuleState, as_rules, decide

NAN, INF = math.nan, math.inf
LETTER = {"restart": "R", "freeze": "f", "cooldown": "c", "reduce": "r", "adapt": "a", "stop": "s", None: "."}


class Loop:
    """A run without a model: one update, then one evaluation, again and again."""

    def __init__(self, rules, schedule=None, total=100, largest=1.0, per_epoch=None, control=None):
        self.rules = as_rules(rules, "rules")
        self.states = tuple(RuleState.of(rule, None) for rule in self.rules)
        self.run = Horizon(total, per_epoch)
        self.program = (schedule or Linear()).resolve(self.run)
        self.control = control or Control()
        self.largest = largest
        self.t, self.restarts, self.finishing = 0, 0, False

    def see(self, metrics, check="validation"):
        """One update and an evaluation of ``metrics`` (or of {"loss": metrics}); who acted, as a letter."""
        self.t += 1
        return self.evaluate(metrics, check)

    def evaluate(self, metrics, check="validation"):
        metrics = metrics if isinstance(metrics, dict) else {"loss": metrics}
        now = Situation(self.t, self.program, self.control, self.run, self.restarts, self.largest, self.finishing)
        self.decision = decide(self.rules, self.states, metrics, check, now)
        self.states = self.decision.states
        if self.decision.outcome is not None:
            self.control = self.decision.outcome.control
            if self.decision.outcome.finish:
                self.program, self.finishing = self.decision.outcome.finish.program(), True
            self.restarts += self.decision.rule.do.kind == "restart"
        return LETTER[self.decision.rule and self.decision.rule.do.kind]

    def trace(self, values):
        return "".join(map(self.see, values))

    def state(self, kind):
        return next(state for rule, state in zip(self.rules, self.states, strict=True) if rule.do.kind == kind)

    @property
    def factor(self):
        return factor(self.program, self.control, self.t)


def rule(patience, do, monitor="loss", **more):
    return Rule(Patience(patience) if isinstance(patience, int) else patience, do, monitor, **more)


# ---- The table: row by row, every column

DOING = {
    "restart": Restart(0.5),
    "freeze": Freeze(10),
    "reduce": Reduce(0.5),
    "adapt": Adapt(up=2, down=0.25),
    "cooldown": Cooldown(10),
    "stop": Stop(),
}


def one_that_acts(kind, **control):
    """All kinds watch the same metric, only ``kind`` has seen enough: at update 3 it acts. The metric's best is 4."""
    loop = Loop([rule(1 if k == kind else 9, do, cooldown=2) for k, do in DOING.items()], control=Control(**control))
    assert loop.trace([4.0, 5.0]) == ".."
    assert set(loop.states) == {RuleState((4.0, 1))}
    assert loop.see(6.0) == LETTER[kind]
    return loop


@pytest.mark.parametrize("kind", ["reduce", "freeze", "adapt", "cooldown"])
def test_own_detector_counts_again_and_its_cooldown_starts(kind):
    loop = one_that_acts(kind)
    assert loop.state(kind) == RuleState((4.0, 0), cooldown=2, acted=1)


def test_restart_resets_its_own_detector_and_forgets_the_best():
    loop = one_that_acts("restart")
    assert loop.state("restart") == RuleState((None, 0), cooldown=2, acted=1)


def test_stop_leaves_its_own_detector_as_it_is():
    loop = one_that_acts("stop")
    assert loop.state("stop") == RuleState((4.0, 2), cooldown=2, acted=1)


@pytest.mark.parametrize("kind", ["reduce", "freeze", "adapt", "cooldown", "stop"])
def test_the_others_are_untouched(kind):
    loop = one_that_acts(kind)
    for other in set(DOING) - {kind}:
        assert loop.state(other) == RuleState((4.0, 2)), other


def test_restart_resets_all_others_too_and_they_forget_the_best():
    loop = one_that_acts("restart")
    for other in set(DOING) - {"restart"}:
        assert loop.state(other) == RuleState((None, 0)), other


@pytest.mark.parametrize("kind", ["reduce", "freeze", "adapt", "cooldown", "stop"])
def test_the_best_is_kept(kind):
    loop = one_that_acts(kind)
    assert loop.decision.best == 4.0
    assert [state.detector[0] for state in loop.states] == [4.0] * 6
    loop.see(4.0)
    assert [state.detector[0] for state in loop.states] == [4.0] * 6  # 4.0 again is no improvement


def test_restart_makes_the_next_value_the_best():
    loop = one_that_acts("restart")
    assert loop.decision.best == 4.0
    loop.see(9.0)
    assert set(loop.states) == {RuleState((9.0, 0), 1, 1), RuleState((9.0, 0))}


@pytest.mark.parametrize(
    ("kind", "scale", "result"),
    [
        ("reduce", 0.8, 0.4),
        ("freeze", 0.8, 0.8),
        ("restart", 0.8, 0.5),
        ("adapt", 0.8, 0.2),
        ("cooldown", 0.8, 0.8 * 0.97),  # what the rate is now: it takes the program's place
        ("stop", 0.8, 0.8),
    ],
)
def test_scale(kind, scale, result):
    assert one_that_acts(kind, scale=scale).control.scale == pytest.approx(result, rel=1e-15)


def test_scale_of_the_nth_restart_of_the_track():
    loop = Loop([rule(0, Restart(0.5)), rule(0, Restart(0.5), "other"), rule(9, Reduce(0.1))])
    scales = []
    for monitor in ("loss", "other", "loss"):
        loop.see({"loss": 1.0, "other": 1.0})
        assert loop.see({monitor: 1.0}) == "R"
        scales.append(loop.control.scale)
    assert scales == [0.5, 0.25, 0.125]  # whichever rule it was


@pytest.mark.parametrize("kind", ["reduce", "adapt", "stop"])
def test_clock_runs(kind):
    loop = one_that_acts(kind)
    assert [position(loop.control, t) for t in (3, 4, 20)] == [3, 4, 20]


def test_clock_pauses_in_a_freeze_and_the_rest_shifts_back():
    loop = one_that_acts("freeze")
    assert [position(loop.control, t) for t in (3, 4, 12, 13, 14, 20)] == [3, 3, 3, 3, 4, 10]


def test_clock_of_a_restart_begins_anew():
    loop = one_that_acts("restart")
    assert loop.control == Control(0.5, 0, 3, 0, 0, 100, 97)
    assert [position(loop.control, t) for t in (3, 100)] == [0, 100]


def test_clock_of_a_cooldown_is_its_own():
    loop = one_that_acts("cooldown")
    assert (loop.control.origin, loop.program.end) == (3, 10)
    assert factor(loop.program, loop.control, 13) == 0.0


# ---- The order, when several fire at once

ORDER = ["restart", "freeze", "cooldown", "reduce", "adapt", "stop"]


@pytest.mark.parametrize("seed", range(6))
def test_the_order_when_several_fire_on_one_evaluation(seed):
    for first in range(len(ORDER)):
        rules = [rule(0, DOING[kind]) for kind in ORDER[first:]]
        random.Random(seed).shuffle(rules)
        loop = Loop(rules)
        assert loop.trace([1.0, 1.0]) == "." + LETTER[ORDER[first]]


def test_one_acts_on_one_evaluation_the_others_keep_their_evidence():
    loop = Loop([rule(0, DOING["adapt"]), rule(0, DOING["reduce"]), rule(0, DOING["stop"])])
    assert loop.trace([1.0, 1.0]) == ".r"
    assert loop.control == Control(scale=0.5)
    assert loop.state("reduce") == RuleState((1.0, 0), acted=1)
    assert loop.state("adapt") == loop.state("stop") == RuleState((1.0, 1), waiting=1)


@pytest.mark.parametrize("turn", [1, -1])
def test_among_equals_the_smallest_resulting_scale_wins(turn):
    loop = Loop([rule(0, Reduce(0.5), "a"), rule(0, Reduce(0.25), "b"), rule(0, Reduce(0.75), "c")][::turn])
    bad = {"a": 1.0, "b": 2.0, "c": 3.0}
    assert (loop.see(bad), loop.see(bad)) == (".", "r")
    assert (loop.decision.rule.key, loop.control.scale) == ("reduce:b:validation", 0.25)


@pytest.mark.parametrize("turn", [1, -1])
def test_among_equals_it_is_the_resulting_scale_that_counts_not_the_factor(turn):
    loop = Loop([rule(0, Reduce(0.1, min_lr=0.9), "a"), rule(0, Reduce(0.8), "b")][::turn], Constant())
    bad = {"a": 1.0, "b": 2.0}
    assert (loop.see(bad), loop.see(bad)) == (".", "r")
    assert (loop.decision.rule.key, loop.control.scale) == ("reduce:b:validation", 0.8)


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize("do", [Reduce(0.5), Freeze(3), Adapt(down=0.5), Stop()], ids=repr)
def test_then_the_key_decides(do, turn):
    loop = Loop([rule(0, do, "b"), rule(0, do, "a"), rule(0, do, "c")][::turn])
    bad = {"a": 1.0, "b": 2.0, "c": 3.0}
    loop.see(bad), loop.see(bad)
    assert loop.decision.rule.monitor == "a"


def test_the_counters_of_the_losers_among_equals_are_reset_too():
    loop = Loop([rule(1, Reduce(0.5), "a"), rule(2, Reduce(0.25), "b", cooldown=4), rule(9, Reduce(), "c")], Constant())
    bad = {"a": 1.0, "b": 2.0, "c": 3.0}
    assert loop.see(bad) + loop.see(bad) == ".."
    assert loop.see({"b": 2.0, "c": 3.0}) == "."
    assert loop.see(bad) == "r"
    assert loop.control.scale == 0.25
    # the winner, a loser that fired (its best stays, no cooldown of its own), one that did not fire
    assert loop.states == (RuleState((1.0, 0)), RuleState((2.0, 0), cooldown=4, acted=1), RuleState((3.0, 3)))
    assert "".join(loop.see(bad) for _ in range(5)) == ".r.r."


# ---- Who cannot act blocks nobody


@pytest.mark.parametrize(
    ("blocked", "schedule", "t", "before"),
    [
        (rule(0, Restart(max_restarts=1)), Linear(), 0, ".R"),  # used up
        (rule(0, Freeze(1, max_freezes=1)), Linear(), 0, ".f"),
        (rule(0, Cooldown(1)), Constant(), 0, ".c"),  # there is only one
        (rule(0, Restart(rewarm=90)), Linear(), 20, "."),  # more than what is left
        (rule(0, Restart(), active_from=50), Linear(), 0, "."),  # not yet
        (rule(0, Freeze(5), until=2), Linear(), 0, "."),  # no more
    ],
    ids=repr,
)
def test_a_rule_that_cannot_act_blocks_nobody(blocked, schedule, t, before):
    loop = Loop([blocked, rule(0, Adapt(down=0.9), "other")], schedule)
    loop.t, values = t, {"loss": 1.0, "other": 1.0}
    assert "".join(loop.see(values) for _ in before) == before
    loop.see(values)  # the best, where a restart has reset all
    assert "".join(loop.see(values) for _ in range(3)) == "aaa"
    assert loop.states[0].acted == len(before) - 1


def test_a_reduction_at_its_floor_blocks_nobody():
    loop = Loop([rule(0, Reduce(0.1, min_lr=0.5)), rule(0, Stop())], Constant())
    assert loop.trace([1.0] * 5) == ".rs" + "ss"
    assert loop.control.scale == 0.5


def test_a_rule_that_could_not_act_goes_on_counting_and_acts_when_it_can():
    loop = Loop([rule(0, Reduce(0.5, min_lr=0.5)), rule(0, Adapt(up=2.0), "other")], Constant())
    loop.see({"loss": 1.0, "other": 2.0})
    assert "".join(loop.see({"loss": 1.0}) for _ in range(4)) == "r..."
    assert loop.see({"other": 1.0}) == "a"
    assert loop.control.scale == 1.0
    assert loop.see({"loss": 1.0}) == "r"
    assert loop.control.scale == 0.5


# ---- Who was outranked


def test_an_outranked_rule_fires_at_the_next_bad_evaluation():
    loop = Loop([rule(1, Freeze(1)), rule(1, Reduce(0.5))])
    assert loop.trace([1.0, 1.0, 1.0, 1.0]) == "..fr"


@pytest.mark.parametrize("patience", [0, 1, 2, 5])
def test_equal_patience_takes_turns(patience):
    loop = Loop([rule(patience, Freeze(1)), rule(patience, Reduce(0.9))])
    trace = loop.trace([1.0] * (1 + patience + 6 * (patience + 1) + 1))
    acted = trace.replace(".", "")
    assert acted == "frfrfrfrfrfrfrfr"[: len(acted)]
    assert trace.startswith("." * (1 + patience) + "fr")


@pytest.mark.parametrize("turn", [1, -1])
def test_three_of_equal_patience_take_turns(turn):
    loop = Loop([rule(0, Freeze(1)), rule(0, Reduce(0.9)), rule(0, Adapt(down=0.9))][::turn])
    assert loop.trace([1.0] * 10) == ".frafrafra"


def test_an_outranked_rule_keeps_its_turn_through_a_hold():
    loop = Loop([rule(0, Freeze(3)), rule(0, Reduce(0.9))])
    assert loop.trace([1.0] * 13) == ".f..rf..rf..r"


def test_who_was_outranked_goes_first_even_before_a_restart():
    loop = Loop([rule(3, Restart(0.5)), rule(1, Freeze(1)), rule(1, Reduce(0.5))])
    # at the third bad one both the freeze and the reduction's turn come before; the restart's own turn is the fourth
    assert loop.trace([1.0] * 6) == "..frR."
    assert loop.control.scale == 0.5
    loop = Loop([rule(2, Restart(0.5)), rule(1, Freeze(1)), rule(1, Reduce(0.5))])
    assert loop.trace([1.0] * 5) == "..frR"  # outranked by the waiting reduction, then first


def test_an_improvement_ends_the_wait():
    loop = Loop([rule(0, Freeze(1)), rule(0, Reduce(0.9))])
    assert loop.trace([1.0, 1.0]) == ".f"
    assert loop.state("reduce").waiting == 1
    assert loop.trace([0.5]) == "."
    assert loop.state("reduce") == RuleState((0.5, 0))
    assert loop.trace([0.5, 0.5]) == "fr"
    # also one that comes during the hold
    loop = Loop([rule(0, Freeze(3)), rule(0, Reduce(0.9))])
    assert loop.trace([1.0, 1.0, 0.5, 1.0, 1.0, 1.0]) == ".f..f."
    assert loop.state("reduce") == RuleState((0.5, 1), waiting=1)


def test_an_evaluation_of_another_metric_ends_nobodys_wait():
    loop = Loop([rule(0, Freeze(1)), rule(0, Reduce(0.9)), rule(9, Stop(), "other"), rule(9, Stop(), "loss")])
    assert loop.trace([1.0, 1.0]) == ".f"
    assert loop.see({"other": 1.0}) == "."
    assert loop.see({"loss": 1.0}, check="train_epoch") == "."
    assert loop.see(1.0) == "r"


def test_a_restart_clears_who_was_waiting():
    loop = Loop([rule(0, Restart()), rule(0, Reduce(0.5))])
    assert loop.trace([1.0, 1.0]) == ".R"
    assert loop.states == (RuleState((None, 0), acted=1), RuleState((None, 0)))


def test_a_restart_as_patient_as_the_reduction_comes_first_until_used_up():
    loop = Loop([rule(1, Restart(max_restarts=2)), rule(1, Reduce(0.5))])
    assert loop.trace([1.0] * 12) == "..R..R..r.r."


# ---- When an evaluation is never bad, but may be the best


def test_warmup():
    loop = Loop([rule(0, Reduce(0.5))], Warmup(4) >> Linear())
    assert loop.trace([5.0, 4.0, 6.0]) == "..."
    assert loop.states[0] == RuleState((4.0, 0))
    assert loop.see(4.5) == "r"  # the warmup's four updates are made: the first that may be bad


def test_re_warmup():
    loop = Loop([rule(0, Restart(rewarm=4)), rule(0, Reduce(0.5), "other")])
    assert loop.trace([1.0, 1.0]) == ".R"
    assert "".join(loop.see({"loss": v, "other": v}) for v in (5.0, 4.0, 6.0)) == "..."
    assert [state.detector for state in loop.states] == [(4.0, 0), (4.0, 0)]
    assert loop.see({"other": 4.5}) == "r"
    assert loop.t == 6


def test_hold():
    loop = Loop([rule(0, Freeze(3)), rule(5, Reduce(0.5), "other")])
    assert loop.trace([1.0, 1.0]) == ".f"
    assert "".join(loop.see({"loss": v, "other": v}) for v in (5.0, 0.5)) == ".."
    assert [state.detector for state in loop.states] == [(0.5, 0), (0.5, 0)]
    assert loop.see({"loss": 0.7, "other": 0.7}) == "f"  # three updates were held
    assert loop.states[1].detector == (0.5, 1)


@pytest.mark.parametrize(
    ("window", "total", "bad"),
    [
        ({}, 10, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}),
        ({"active_from": 4}, 10, {4, 5, 6, 7, 8, 9, 10}),
        ({"until": 4}, 10, {1, 2, 3}),
        ({"active_from": 4, "until": 7}, 10, {4, 5, 6}),
        ({"active_from": "50%", "until": "80%"}, 10, {5, 6, 7}),
        ({"active_from": "50%", "until": "80%"}, 9, {5, 6, 7}),  # from 4.5 up to 7.2
        ({"active_from": "1 epoch", "until": "2.5 epochs"}, 10, {4, 5, 6, 7, 8, 9}),
    ],
)
def test_outside_its_window_a_rule_learns_the_best_but_nothing_bad(window, total, bad):
    loop = Loop([rule(99, Reduce(0.5), **window)], total=total, per_epoch=4)
    counted = set()
    loop.evaluate(5.0)
    for t in range(1, total + 1):
        before = loop.states[0].detector[1]
        assert loop.see(5.0) == "."
        counted |= {t} if loop.states[0].detector[1] > before else set()
    assert counted - {0} == bad
    loop.see(3.0)
    assert loop.states[0].detector == (3.0, 0)


def test_a_rule_acts_only_within_its_window():
    loop = Loop([rule(0, Reduce(0.5), active_from=3, until=6)], Constant())
    assert loop.trace([1.0] * 8) == "..rrr..."


def test_cooldown_is_so_many_evaluations_that_are_not_bad():
    """FACTS 24: patience 2, a constant metric; and an improvement during the cooldown counts."""
    assert Loop([rule(2, Reduce(0.1))], Constant()).trace([1.0] * 10) == "...r..r..r"
    assert Loop([rule(2, Reduce(0.1), cooldown=1)], Constant()).trace([1.0] * 12) == "...r...r...r"
    loop = Loop([rule(0, Reduce(0.1), cooldown=2)], Constant())
    assert loop.trace([2.0, 2.0, 1.0, 1.5, 1.5]) == ".r..r"
    assert loop.states[0].detector[0] == 1.0


def test_window_and_trend_see_nothing_of_what_does_not_count():
    loop = Loop([Rule(Window(3), Reduce(0.5), "loss"), Rule(Trend(), Stop(), "loss")], Warmup(4) >> Linear())
    assert loop.trace([1.0] * 3) == "..."
    assert loop.states == (RuleState(()), RuleState((0, (), ())))
    assert loop.trace([1.0] * 8) == "..r..r.s"


# ---- NaN, mode, improvements


def test_nan_counts_as_bad():
    loop = Loop([rule(1, Reduce(0.5))])
    assert loop.trace([1.0, NAN, INF, -INF, NAN]) == "..r.r"
    assert loop.states[0].detector[0] == 1.0
    assert Loop([rule(1, Reduce(0.5), mode="max")]).trace([1.0, NAN, INF]) == "..r"


def test_nan_is_no_evaluation_where_it_is_ignored():
    loop = Loop([rule(1, Reduce(0.5), nan_policy="ignore", cooldown=1)], Constant())
    assert loop.trace([NAN, 1.0, NAN, 1.0, INF, NAN, 1.0]) == "......r"
    assert loop.states[0] == RuleState((1.0, 0), cooldown=1, acted=1)
    assert loop.trace([NAN, NAN]) == ".."
    assert loop.states[0].cooldown == 1  # an evaluation that is none shortens no cooldown
    assert loop.trace([1.0, 1.0, NAN, 1.0]) == "...r"


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_nan_raises_where_that_is_asked_for(value):
    loop = Loop([rule(9, Stop()), rule(1, Reduce(0.5), nan_policy="raise")])
    assert loop.trace([1.0, 1.0]) == ".."
    before = loop.states
    with pytest.raises(ValueError, match=f"^'loss' is {value} at update 3, and the reduce rule has nan_policy='raise'"):
        loop.see(value)
    assert loop.states is before


def test_mode_max():
    loop = Loop([rule(0, Reduce(0.5), mode="max")], Constant())
    assert loop.trace([0.5, 0.6, 0.6, 0.5, 0.7]) == "..rr."
    assert loop.states[0].detector == (-0.7, 0)
    assert loop.see(0.65) == "r"
    assert (loop.decision.value, loop.decision.best) == (0.65, 0.7)


def test_a_decision_says_who_why_and_on_what():
    loop = Loop([rule(1, Reduce(0.5)), rule(9, Stop())])
    loop.trace([4.0, 5.0, 6.0])
    d = loop.decision
    assert (d.rule.key, d.value, d.best) == ("reduce:loss:validation", 6.0, 4.0)
    assert d.because == "not better by more than 0.01% in 2 evaluations"
    loop.see(3.0)
    assert loop.decision[1:] == (None, None, None, None, "")
    loop = Loop([Rule(Window(2), Reduce(0.5), "loss")])
    loop.trace([4.0, 5.0])
    assert (loop.decision.value, loop.decision.best) == (5.0, None)


def test_negative_metrics():
    """FACTS 25: what is worse is worse, below zero too."""
    assert Loop([Rule(Patience(0, 0.1), Reduce(0.5), "loss")]).trace([-1.0, -0.95, -1.05, -1.2]) == ".rr."


def test_restarts_decay_their_peak():
    """FACTS 26: peaks 1, .5, .25; a re-warmup ends at the new one."""
    loop = Loop([rule(0, Restart(0.5, rewarm=2))], Constant())
    assert loop.trace([1.0, 1.0]) == ".R"
    assert [factor(loop.program, loop.control, t) for t in (2, 3, 4)] == [0.25, 0.5, 0.5]
    assert loop.trace([1.0, 1.0]) == ".R"
    assert [factor(loop.program, loop.control, t) for t in (4, 5, 6)] == [0.125, 0.25, 0.25]


def test_adapt_goes_up_on_an_improvement_and_down_on_enough_bad_ones():
    loop = Loop([rule(1, Adapt(up=1.5, down=0.5, max_scale=3.0))], Constant())
    scales = []
    for value in (9.0, 8.0, 7.0, 7.0, 7.0, 7.0, 7.0, 6.0, 5.0, 4.0, 3.0):
        loop.see(value)
        scales.append(loop.control.scale)
    assert scales == [1, 1.5, 2.25, 2.25, 1.125, 1.125, 0.5625, 0.84375, 1.265625, 1.8984375, 2.84765625]
    assert loop.trace([2.0, 1.0]) == "a."
    assert loop.control.scale == 3.0


def test_adapt_that_only_goes_down_ignores_improvements_and_none_goes_up_during_warmup():
    loop = Loop([rule(0, Adapt(down=0.5), cooldown=1)], Constant())
    assert loop.trace([3.0, 2.0, 1.0, 1.0, 0.5, 0.5]) == "...a.a"
    loop = Loop([rule(0, Adapt(up=1.5, max_scale=9.0))], Warmup(4) >> Linear())
    assert loop.trace([9.0, 8.0, 7.0, 6.0, 5.0]) == "...aa"


def test_rules_of_the_other_check_and_of_metrics_that_are_not_there_see_nothing():
    rules = [rule(0, Reduce(0.5)), rule(0, Reduce(0.5), check="train_epoch"), rule(0, Reduce(0.5), "other")]
    loop = Loop(rules, Constant())
    assert loop.see(1.0) == "."
    assert loop.states == (RuleState((1.0, 0)), RuleState((None, 0)), RuleState((None, 0)))
    assert loop.see(2.0, check="train_epoch") == "."
    assert loop.states == (RuleState((1.0, 0)), RuleState((2.0, 0)), RuleState((None, 0)))
    assert loop.see(2.0, check="train_epoch") == "r"
    assert loop.states[0] == RuleState((1.0, 0))


def test_a_restart_resets_the_rules_of_the_other_check_as_well():
    loop = Loop([rule(0, Restart()), rule(9, Reduce(0.5), check="train_epoch"), rule(9, Stop(), "other")])
    loop.see({"loss": 1.0, "other": 1.0}), loop.see(1.0, "train_epoch")
    assert loop.see(1.0) == "R"
    assert loop.states == (RuleState((None, 0), acted=1), RuleState((None, 0)), RuleState((None, 0)))


def test_restarts_are_used_up_even_though_they_reset_all():
    assert Loop([rule(0, Restart(max_restarts=2))]).trace([1.0] * 9) == ".R.R....."


def test_deciding_changes_none_of_what_it_was_given_and_does_not_depend_on_the_order_of_the_rules():
    """Random rules and metrics, in every order of the rules: the same decisions, the same states."""
    for seed in range(40):
        r = random.Random(seed)
        kinds = r.sample(sorted(DOING), 3)
        rules = [
            Rule(
                r.choice([Patience(r.randint(0, 2)), Patience(1) if kind == "adapt" else Window(2)]),
                DOING[kind],
                r.choice("ab"),
                cooldown=r.randint(0, 2),
            )
            for kind in kinds
        ]
        metrics = [{"a": r.choice([r.random(), 1.0, NAN]), "b": r.random()} for _ in range(25)]
        found = []
        for order in itertools.permutations(rules):
            loop, out = Loop(order), []
            for values in metrics:
                before = (loop.states, dict(values))
                out.append(loop.see(values))
                assert repr((before[0], values)) == repr(before)
            states = {rule.key: state for rule, state in zip(loop.rules, loop.states, strict=True)}
            found.append((out, loop.control, {key: repr(state) for key, state in sorted(states.items())}))
        assert all(other == found[0] for other in found)


# ---- What a rule is


def test_two_rules_with_one_key_are_refused():
    rules = [rule(1, Reduce(0.5)), rule(2, Reduce(0.1), mode="max")]
    with pytest.raises(
        ValueError,
        match=r"^here has two reduce rules on 'loss': join their detectors with \| or &, or let them watch different",
    ):
        as_rules(rules, "here")
    fine = [rule(1, Reduce()), rule(1, Reduce(), "other"), rule(1, Reduce(), check="train_epoch"), rule(1, Freeze(3))]
    assert as_rules(fine, "here") == tuple(fine)
    assert as_rules(iter(fine), "here") == tuple(fine)
    assert as_rules([], "here") == as_rules((), "here") == ()
    assert [one.key for one in fine] == [
        "reduce:loss:validation", "reduce:other:validation", "reduce:loss:train_epoch", "freeze:loss:validation",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "mapping",
    [
        {
            "class_path": "lightning_lr.Rule",
            "init_args": {
                "when": {"class_path": "lightning_lr.Patience", "init_args": {"patience": 3}},
                "do": {"class_path": "lightning_lr.Reduce", "init_args": {"factor": 0.5}},
                "monitor": "val_loss",
                "until": "80 %",
            },
        },
        {
            "_target_": "lightning_lr.core.rules.Rule",
            "when": {"_target_": "lightning_lr.Patience", "patience": 3},
            "do": {"_target_": "lightning_lr.Reduce", "factor": 0.5},
            "monitor": "val_loss",
            "until": "80%",
        },
        {
            "when": {"class_path": "Patience", "patience": 3},
            "do": {"class_path": "Reduce", "factor": 0.5},
            "monitor": "val_loss",
            "until": "80.0%",
        },
        {"when": Patience(3), "do": Reduce(0.5), "monitor": "val_loss", "until": "80%"},
    ],
)
def test_a_rule_may_come_from_a_configuration_file(mapping):
    assert as_rules([mapping], "rules") == (Rule(Patience(3), Reduce(0.5), "val_loss", until="80%"),)


def test_detectors_of_a_configuration_file_may_be_joined():
    either = {"class_path": "Either", "init_args": {"a": {"class_path": "Patience", "patience": 3}, "b": Window(4)}}
    both = {"_target_": "Both", "a": either, "b": {"_target_": "Trend", "form": "progress"}}
    (made,) = as_rules([{"when": both, "do": {"class_path": "Stop"}, "monitor": "x"}], "rules")
    assert made == Rule((Patience(3) | Window(4)) & Trend("progress"), Stop(), "x")


@pytest.mark.parametrize(
    "text",
    [
        "Rule(Patience(), do=Reduce(), monitor='loss')",
        "Rule((Patience(3) | Trend()), do=Restart(0.5), monitor='acc', mode='max', check='train_epoch', cooldown=2, "
        "nan_policy='raise', sync='rank0', active_from='10%', until='3 epochs')",
    ],
)
def test_rules_are_values(text):
    one = eval(text)
    assert repr(one) == text
    for same in (eval(repr(one)), pickle.loads(pickle.dumps(one))):
        assert same == one
        assert hash(same) == hash(one)
    assert one != Rule(Patience(99), Reduce(), "loss")
    with pytest.raises(AttributeError, match="immutable"):
        one.mode = "max"


@pytest.mark.parametrize(
    "when",
    [Patience(3), Window(3), Trend(), Patience(3) | Window(3), (Patience(3) & Trend()) | Window(3)],
    ids=repr,
)
def test_a_state_survives_a_checkpoint_if_the_detector_is_of_the_same_kind(when):
    one = Rule(when, Reduce(0.5), "loss")
    state = RuleState(when.init())
    for value in (3.0, 2.0, 2.0, 2.5):
        state = state._replace(detector=when.update(state.detector, value)[0])
    state = state._replace(cooldown=3, acted=2, waiting=1)
    saved = json.loads(json.dumps(state.state(one)))
    assert RuleState.of(one, saved) == state
    assert RuleState.of(one, None) == RuleState(when.init())


@pytest.mark.parametrize(
    ("before", "now", "kept"),
    [
        (Patience(3), Patience(5, 0.1, "abs"), True),
        (Window(3), Window(9), True),
        (Trend(), Trend("progress", 0.1), True),
        (Patience(3) | Window(3), Patience(4) | Window(5), True),
        (Patience(3), Window(3), False),
        (Patience(3), Patience(3) | Window(3), False),
        (Patience(3) | Window(3), Patience(3) & Window(3), False),
        (Patience(3) | Window(3), Patience(3) | Trend(), False),
        (Patience(3) | Window(3), Window(3) | Patience(3), False),
    ],
    ids=repr,
)
def test_the_new_detector_wins_over_the_saved_state_of_another_kind(before, now, kept):
    old, new = Rule(before, Reduce(), "loss"), Rule(now, Reduce(), "loss")
    detector = before.init()
    for value in (3.0, 2.0, 2.5):
        detector = before.update(detector, value)[0]
    saved = RuleState(detector, cooldown=1, acted=2).state(old)
    loaded = RuleState.of(new, saved)
    assert loaded == RuleState(detector if kept else now.init(), cooldown=1, acted=2)
    now.update(loaded.detector, 1.0)  # and it is a state it understands


def test_a_rule_whose_detector_tells_no_improvement_cannot_adapt_upwards():
    with pytest.raises(
        ValueError, match=r"Rule: do=Adapt\(up=…\) acts on improvements, which Window\(3\) does not tell"
    ):
        Rule(Window(3), Adapt(up=1.5), "loss")
    Rule(Window(3) | Patience(2), Adapt(up=1.5), "loss")


def test_a_saved_state_of_the_other_mode_is_of_no_use():
    low, high = (Rule(Patience(2), Reduce(0.5), "acc", mode=mode) for mode in ("min", "max"))
    saved = RuleState((0.7, 1), 0, 1, 0).state(low)
    assert RuleState.of(low, saved).detector == (0.7, 1)
    assert RuleState.of(high, saved).detector == (None, 0)
