"""Rules, and the decision: when a metric says so, which of them acts. Pure: numbers in, at most one outcome out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lightning_lr.core.actions import Action, Outcome, Restart, Situation, as_action
from lightning_lr.core.checks import choice, instance, shown, suggesting, text, whole
from lightning_lr.core.coerce import build
from lightning_lr.core.detectors import Detector, as_detector, lists, tuples
from lightning_lr.core.durations import Duration, Horizon, as_duration
from lightning_lr.core.values import Value

CHECKS = ("validation", "train_epoch")
NAN_POLICIES = ("count", "ignore", "raise")
SYNCS = ("mean", "min", "max", "rank0")


class Rule(Value):
    """When ``when`` fires on ``monitor``, do ``do``.

    Args:
        when: a detector.
        do: an action.
        monitor: the metric's name.
        mode: ``"min"`` or ``"max"``: which values are good.
        check: ``"validation"`` (each validation's result, once) or ``"train_epoch"``.
        cooldown: after acting, this many evaluations are not bad.
        nan_policy: what NaN and ±inf are: ``"count"`` (bad), ``"ignore"`` (no evaluation) or ``"raise"``.
        sync: how the ranks' values become one: ``"mean"``, ``"min"``, ``"max"`` or ``"rank0"``.
        active_from: a duration from the run's start, before which evaluations are not bad.
        until: a duration from the run's start, from which on evaluations are not bad.

    >>> from lightning_lr import Patience, Reduce
    >>> Rule(Patience(3), Reduce(0.5), "val_loss", until="80%")
    Rule(Patience(3), do=Reduce(0.5), monitor='val_loss', until='80%')
    """

    __slots__ = ()
    when: Detector
    do: Action
    monitor: str
    mode: str
    check: str
    cooldown: int
    nan_policy: str
    sync: str
    active_from: Duration | None
    until: Duration | None

    def __init__(
        self,
        when: Detector,
        do: Action,
        monitor: str,
        *,
        mode: str = "min",
        check: str = "validation",
        cooldown: int = 0,
        nan_policy: str = "count",
        sync: str = "mean",
        active_from: Duration | None = None,
        until: Duration | None = None,
    ) -> None:
        self._set(
            when=as_detector(when, "Rule: when"),
            do=as_action(do, "Rule: do"),
            monitor=text(monitor, "Rule: monitor", "a metric's name"),
            mode=choice(mode, ("min", "max"), "Rule: mode"),
            check=choice(check, CHECKS, "Rule: check"),
            cooldown=whole(cooldown, "Rule: cooldown"),
            nan_policy=choice(nan_policy, NAN_POLICIES, "Rule: nan_policy"),
            sync=choice(sync, SYNCS, "Rule: sync"),
            active_from=None if active_from is None else as_duration(active_from, "Rule: active_from"),
            until=None if until is None else as_duration(until, "Rule: until"),
        )

        if getattr(self.do, "up", 1.0) > 1.0 and not self.when.knows_best:
            raise ValueError(
                f"Rule: do=Adapt(up=…) acts on improvements, which {self.when!r} does not tell: use Patience, alone or "
                "in a combination"
            )

    @property
    def key(self) -> str:
        """What its state is kept under: ``kind:monitor:check``."""
        return f"{self.do.kind}:{self.monitor}:{self.check}"

    @property
    def kind_of_state(self) -> str:
        """Tells a saved detector state that is of use from one of another detector, or of another mode."""
        return self.when.shape() + (":max" if self.mode == "max" else "")

    @suggesting
    def active(self, t: int, run: Horizon) -> bool:
        """Whether update ``t`` lies in its window."""
        whole(t, "Rule.active: t")
        instance(run, Horizon, "Rule.active: run", "a Horizon(total_steps, steps_per_epoch)")
        after = self.active_from is None or t >= run.after(0, self.active_from)
        return after and (self.until is None or t < run.after(0, self.until))


def as_rules(values: object, where: str) -> tuple[Rule, ...]:
    """Rules, or mappings that describe them, as a tuple; two with the same key are refused."""
    if isinstance(values, (Rule, Mapping, str)) or not hasattr(values, "__iter__"):
        raise ValueError(f"{where} must be a list of rules, got {shown(values)}")
    rules = tuple(_as_rule(value, f"{where}[{i}]") for i, value in enumerate(values))
    for i, rule in enumerate(rules):
        if rule.key in {other.key for other in rules[:i]}:
            raise ValueError(
                f"{where} has two {rule.do.kind} rules on {rule.monitor!r}: join their detectors with | or &, or let "
                "them watch different metrics"
            )
    return rules


def _as_rule(value: object, where: str) -> Rule:
    if isinstance(value, Rule):
        return value
    if isinstance(value, Mapping):
        named = value if {"class_path", "_target_"} & set(value) else {**value, "class_path": "Rule"}
        return build(named, {"Rule": Rule}, "rule", where)
    raise ValueError(f"{where} must be a Rule(when, do, monitor), got {shown(value)}")


class RuleState(NamedTuple):
    """What a rule remembers: its detector's state, evaluations of cooldown left, times it acted, times outranked."""

    detector: tuple[Any, ...]
    cooldown: int = 0
    acted: int = 0
    waiting: int = 0

    def state(self, rule: Rule) -> list[Any]:
        """Plain data for a checkpoint, with the detector's kind, whose state is of no use to another one."""
        return [rule.kind_of_state, lists(self.detector), self.cooldown, self.acted, self.waiting]

    @classmethod
    def of(cls, rule: Rule, saved: Sequence[Any] | None) -> RuleState:
        """The state of a checkpoint, or a new one."""
        if saved is None:
            return cls(rule.when.init())
        name, detector, cooldown, acted, waiting = saved
        same = name == rule.kind_of_state
        return cls(tuples(detector) if same else rule.when.init(), cooldown, acted, waiting)


class Decision(NamedTuple):
    """One evaluation's result: every rule's new state, and what acts, if anything does."""

    states: tuple[RuleState, ...]
    rule: Rule | None = None
    outcome: Outcome | None = None
    value: float | None = None
    best: float | None = None
    because: str = ""


def decide(
    rules: Sequence[Rule], states: Sequence[RuleState], metrics: Mapping[str, float], check: str, now: Situation
) -> Decision:
    """Let every rule that watches one of the metrics see its value; at most one of those that fire acts.

    Whoever has been outranked most often goes first; then restart, freeze, cooldown, reduce, adapt, stop; then the
    smallest resulting scale; then the rule's key. The others of the acting kind drop their evidence too; the rest keep
    it, and fire again. A restart resets all.
    """
    after = list(states)
    fired: list[tuple[int, Outcome]] = []
    settled = now.settled()
    for i, (rule, state) in enumerate(zip(rules, states, strict=True)):
        if rule.check != check or rule.monitor not in metrics:
            continue
        value = metrics[rule.monitor]
        if not math.isfinite(value):
            if rule.nan_policy == "raise":
                raise ValueError(
                    f"{rule.monitor!r} is {value} at update {now.t}, and the {rule.do.kind} rule has nan_policy='raise'"
                )
            if rule.nan_policy == "ignore":
                continue
        after[i], asks, improved = _seen(rule, state, value, settled and rule.active(now.t, now.run))
        outcome = rule.do.act(now, state.acted, improved) if asks else None
        if outcome is not None:
            fired.append((i, outcome))
        elif asks or after[i].detector != state.detector:  # it cannot act, or its evidence is gone
            after[i] = after[i]._replace(waiting=0)
    if not fired:
        return Decision(tuple(after))

    def order(item: tuple[int, Outcome]) -> tuple[int, int, float, str]:
        i, outcome = item
        return (-after[i].waiting, rules[i].do.rank, outcome.control.scale, rules[i].key)

    winner, outcome = min(fired, key=order)
    rule, evidence = rules[winner], after[winner].detector
    for i, _ in fired:
        if i != winner:
            loser = after[i]
            after[i] = (
                loser._replace(waiting=loser.waiting + 1)
                if rules[i].do.kind != rule.do.kind
                else loser._replace(waiting=0, detector=rules[i].when.after_action(loser.detector))
            )
    if isinstance(rule.do, Restart):
        after = [RuleState(r.when.init(), acted=s.acted) for r, s in zip(rules, after, strict=True)]
    elif rule.do.kind != "stop":
        after[winner] = after[winner]._replace(detector=rule.when.after_action(evidence))
    acted = after[winner].acted + 1
    after[winner] = after[winner]._replace(cooldown=rule.cooldown, acted=acted, waiting=0)
    best = rule.when.best(evidence)
    return Decision(
        tuple(after),
        rule,
        outcome,
        metrics[rule.monitor],
        best if best is None or rule.mode == "min" else -best,
        rule.when.because(evidence),
    )


def _seen(rule: Rule, state: RuleState, value: float, counts: bool) -> tuple[RuleState, bool, bool]:
    """The rule's state after a value, whether it asks to act, and whether because of an improvement."""
    better = value if rule.mode == "min" else -value
    detector, fired = rule.when.update(state.detector, better, counts and state.cooldown == 0)
    before, best = rule.when.best(state.detector), rule.when.best(detector)
    improved = counts and not fired and before is not None and best is not None and best < before
    asks = fired or (improved and getattr(rule.do, "up", 1.0) > 1.0)
    return state._replace(detector=detector, cooldown=max(0, state.cooldown - 1)), asks, improved
