"""A track that runs: which groups follow which program, under which control, by which rules; and how it resumes."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lightning_lr.core.actions import Action, Outcome, Situation
from lightning_lr.core.checks import did_you_mean
from lightning_lr.core.control import (
    UNTOUCHED,
    Control,
    Event,
    Finish,
    ahead,
    beside,
    factor,
    halted,
    stretched,
    update_at,
)
from lightning_lr.core.durations import Horizon
from lightning_lr.core.program import Program
from lightning_lr.core.rules import RuleState, decide
from lightning_lr.core.state import StateError, remembered
from lightning_lr.core.tracks import Track

NOTHING: tuple[int, int, list[float]] = (0, 0, [])
BETAS = {"momentum": 0, "beta1": 0, "beta2": 1}


def slot(group: Mapping[str, Any], key: str) -> tuple[str, int | None]:
    """Where a group keeps what a key names: its own key, and the place within ``betas`` where it is one of those.

    Raises:
        ValueError: the group has no such number.

    >>> slot({"momentum": 0.9}, "momentum"), slot({"betas": (0.9, 0.999)}, "momentum")
    (('momentum', None), ('betas', 0))
    """
    name, index = (key, None) if key in group or key not in BETAS or "betas" not in group else ("betas", BETAS[key])
    value = group.get(name)
    if index is not None and isinstance(value, (tuple, list)) and len(value) == 2:
        value = value[index]
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    if numeric or (isinstance(value, torch.Tensor) and value.numel() == 1):
        return name, index
    raise ValueError(f"it has no numeric {key!r}{did_you_mean(key, group)}; it has {', '.join(map(str, group))}")


def held(group: Mapping[str, Any], key: str) -> Any:
    """What a group holds under a key: a number, or a tensor with one."""
    name, index = slot(group, key)
    return group[name] if index is None else group[name][index]


def read(group: Mapping[str, Any], key: str) -> float:
    """The number that a group holds under a key."""
    return float(held(group, key))


def store(group: dict[str, Any], key: str, value: Any) -> None:
    """Put a value where a group keeps what a key names."""
    name, index = slot(group, key)
    if index is None:
        group[name] = value
    else:
        group[name] = tuple(value if i == index else other for i, other in enumerate(group[name]))


class LiveTrack:
    """One program and its control for one key of some parameter groups.

    ``factor`` is what the groups hold now, as a multiple of their own base values.

    Args:
        wanted: what the user asked for; see :func:`~lightning_lr.core.tracks.settled`.
        leader: the track of the lr whose clock it keeps, if it does: its control is then derived from that one's, at
            every change, and not saved.
    """

    def __init__(self, wanted: Track, leader: LiveTrack | None = None) -> None:
        assert wanted.schedule is not None, "tracks are settled first"
        self.wanted, self.leader = wanted, leader
        self.key, self.schedule, self.rules = wanted.key, wanted.schedule, wanted.rules
        self.id: str = wanted.id if leader is None or leader.wanted.groups is None else f"{wanted.id}@{leader.id}"
        self.initial = f"initial_{self.key}"
        """The group's key for the base value: torch's own name, so optimizers save and restore it."""
        self._program: Program | None = None
        self._control = UNTOUCHED
        self._ahead: tuple[int, int, list[float]] = NOTHING  # the factors of the updates from one to before another
        self.horizon = Horizon(None)  # the schedule's own; a run that goes on may have another
        self.fitted = Horizon(None)  # the run's length that the control was last fitted to
        self.finish: Finish | None = None
        self.aside: Control = UNTOUCHED  # what those that keep its clock stay at, once a cooldown has replaced it
        self.factor = 1.0
        self.restarts = 0
        self.rule_states = tuple(RuleState.of(rule, None) for rule in self.rules)
        self.members: tuple[int, ...] = ()
        self.bases: list[float] = []
        self.floats: list[tuple[dict[str, Any], float]] = []
        self.alone: list[tuple[dict[str, Any], float]] = []  # of these, whose base no other group has
        self.together: list[tuple[float, list[dict[str, Any]]]] = []  # the others, by base
        self.tensors: list[tuple[torch.Tensor, float]] = []
        self.betas: list[tuple[dict[str, Any], int, float]] = []
        self.unusual = False  # anything but what stands alone

    @property
    def title(self) -> str:
        """What messages call its schedule."""
        return "the schedule" if self.id == "lr" else f"the schedule of {self.id}"

    @property
    def clock(self) -> Control:
        """The control of what keeps its clock."""
        return beside(self.control) if self.finish is None else self.aside._replace(scale=1.0)

    @property
    def program(self) -> Program | None:
        """The schedule, or the cooldown that has replaced it, resolved for the run."""
        return self._program

    @program.setter
    def program(self, program: Program | None) -> None:
        self._program, self._ahead = program, NOTHING

    @property
    def control(self) -> Control:
        """What events have made of it."""
        return self._control

    @control.setter
    def control(self, control: Control) -> None:
        self._control, self._ahead = control, NOTHING

    def keep_time(self) -> None:
        """Its leader's control may have changed: so has its own."""
        if self.leader is not None:
            self.control = self.leader.clock

    @property
    def fingerprint(self) -> str:
        """Tells a changed schedule from the saved one."""
        text = re.sub(r"'[\w.]+:([\w.<>]+)'", r"\1", repr(self.schedule))  # a script's functions move: __main__, train
        return hashlib.sha256(f"{self.key}={text}".encode()).hexdigest()[:16]

    @property
    def running(self) -> Program:
        """The program, once there is one."""
        assert self.program is not None, "not started"
        return self.program

    def planned(self) -> Program:
        """The program as the schedule alone has it, whatever has replaced it since."""
        return self.schedule.resolve(self.horizon, on_overrun="cut")

    def started_from(self) -> list[tuple[int, float]]:
        """The places of its groups, and the value that each starts from."""
        return list(zip(self.members, self.bases, strict=False))

    def base_of(self, group: Mapping[str, Any], configured: float | None) -> float:
        """The base value of a group that came without it: torch's distributed checkpoints restore only those keys of
        a group that the new optimizer has already. What it holds is then the base times the saved factor.
        """
        found, now = read(group, self.key), self.factor
        tolerance = 1e-6 if isinstance(held(group, self.key), torch.Tensor) else 1e-12
        if configured is not None and (found == configured or math.isclose(found, configured * now, rel_tol=tolerance)):
            return configured
        return found / now if now > 0 else configured if configured is not None else found

    # ---- the writer -------------------------------------------------------------------------------------------------

    def bind(self, groups: Sequence[dict[str, Any]], seen: set[int]) -> None:
        """Find its groups again: their dictionaries may be new. Tensors that were seen before are not shared."""
        self.bases, self.floats, self.tensors, self.betas = [], [], [], []
        for group in (groups[i] for i in self.members):
            _, index = slot(group, self.key)
            value = held(group, self.key)
            if self.initial not in group:  # added mid-run: its lr keeps its value at the current factor
                now, decayed = float(value), self.key == "lr" and self.factor > 0
                group[self.initial] = now / self.factor if decayed else now  # only an lr comes decayed already
            base = group[self.initial] = float(group[self.initial])
            self.bases.append(base)
            if isinstance(value, torch.Tensor):
                if id(value) in seen:  # torch lets groups share the default's tensor; filling one would fill all
                    value = value.clone()
                    store(group, self.key, value)
                seen.add(id(value))
                self.tensors.append((value, base))
            elif index is not None:
                self.betas.append((group, index, base))
            else:
                self.floats.append((group, base))
        same: dict[float, list[dict[str, Any]]] = {}
        for group, base in self.floats:
            same.setdefault(base, []).append(group)
        self.alone = [(groups[0], base) for base, groups in same.items() if len(groups) == 1]
        self.together = [(base, groups) for base, groups in same.items() if len(groups) > 1]
        self.unusual = bool(self.together or self.tensors or self.betas)

    def write(self, t: int) -> None:
        """Set its groups to the values of update ``t``; now and then the factors of the next updates are computed."""
        begin, end, factors = self._ahead
        if not begin <= t < end:
            factors = ahead(self.running, self._control, t)
            begin, end, _ = self._ahead = t, t + len(factors), factors
        now = self.factor = factors[t - begin]
        key = self.key
        for group, base in self.alone:
            group[key] = base * now
        if self.unusual:
            for base, groups in self.together:
                value = base * now
                for group in groups:
                    group[key] = value
            for tensor, base in self.tensors:
                tensor.fill_(base * now)
            for group, index, base in self.betas:
                pair = group["betas"]
                group["betas"] = (base * now, pair[1]) if index == 0 else (pair[0], base * now)

    # ---- decisions --------------------------------------------------------------------------------------------------

    def situation(self, t: int, run: Horizon) -> Situation:
        """What an action may look at."""
        finishing = self.finish is not None
        return Situation(t, self.running, self.control, run, self.restarts, max(self.bases, default=1.0), finishing)

    def evaluate(self, metrics: Mapping[str, float], check: str, t: int, run: Horizon) -> Event | None:
        """Let the rules see their metrics' values; what acts is the event that is returned."""
        decision = decide(self.rules, self.rule_states, metrics, check, self.situation(t, run))
        self.rule_states = decision.states
        if decision.rule is None or decision.outcome is None:
            return None
        event = self.adopt(decision.rule.do, decision.outcome, t, run)
        return event._replace(
            rule=decision.rule.key,
            monitor=decision.rule.monitor,
            value=decision.value,
            best=decision.best,
            detail=decision.because,
        )

    def adopt(self, action: Action, outcome: Outcome, t: int, run: Horizon, by_hand: bool = False) -> Event:
        """Make an action's outcome what holds from update ``t`` on."""
        before = factor(self.running, self.control, t)
        if outcome.finish is not None:
            self.aside = halted(beside(self.control), t)._replace(scale=self.control.scale)
        self.control = outcome.control
        if outcome.finish is not None:
            self.finish, self.program = outcome.finish, outcome.finish.program()
        if action.kind in ("restart", "cooldown"):
            self.fitted = run
        if action.kind == "restart":
            self.restarts += 1
            fresh = zip(self.rules, self.rule_states, strict=True)
            if by_hand:
                self.rule_states = tuple(RuleState(r.when.init(), acted=s.acted) for r, s in fresh)
        return self.event(action.kind, before, t)._replace(finish=outcome.finish)

    def event(self, kind: str, before: float, t: int, detail: str = "") -> Event:
        """The record of a change that has just been made."""
        return Event(t, kind, before, factor(self.running, self.control, t), self.control, detail)

    def check(self, run: Horizon, on_overrun: str = "error") -> list[str]:
        """Refuse rules that could only fail later; name those that could never change anything."""
        notes = []
        for rule in self.rules:
            for spec in (rule.active_from, rule.until):
                if spec is not None:
                    run.after(0, spec)
            if rule.active_from is not None and rule.until is not None:
                begin, end = run.after(0, rule.active_from), run.after(0, rule.until)
                if begin >= end and on_overrun == "error":
                    raise ValueError(
                        f"the {rule.do.kind} rule on {rule.monitor!r} is never active: in this run active_from="
                        f"{rule.active_from!r} is not before until={rule.until!r}"
                    )
            rule.do.check(run)
            if rule.do.idle(self.running) and not any(other.do.kind in ("reduce", "adapt") for other in self.rules):
                notes.append(
                    f"the {rule.do.kind} rule on {rule.monitor!r} cannot change any lr: the schedule is constant, "
                    "nothing reduces it, and a restart would go back to the same peak"
                )
        return notes

    # ---- resuming ---------------------------------------------------------------------------------------------------

    def state(self) -> list[Any]:
        """Plain data for a checkpoint; the schedule's own horizon comes last."""
        rules = {rule.key: state.state(rule) for rule, state in zip(self.rules, self.rule_states, strict=True)}
        finish = None if self.finish is None else [*self.finish, self.aside.state()]
        control = None if self.leader is not None else self.control.state()
        fitted = None if self.fitted == self.horizon else self.fitted.state()
        own = self.horizon.state()
        return [self.fingerprint, control, self.factor, rules, self.restarts, finish, fitted, own]

    def load(self, state: Sequence[Any], where: str) -> None:
        """Take a saved state over; the program too, if the schedule is still the one it was made of.

        Raises:
            StateError: a rule, or the schedule, cannot go on from it; the message names the place in ``where``.
        """
        fingerprint, control, self.factor, rules, self.restarts, finish, fitted, own = state
        self.control, self.horizon, self.program = Control(*(control or ())), Horizon(*own), None
        self.fitted = self.horizon if fitted is None else Horizon(*fitted)
        self.finish = None if finish is None else Finish(*finish[:2])
        self.aside = Control(*finish[2]) if finish is not None and len(finish) > 2 else UNTOUCHED
        self.rule_states = tuple(RuleState.of(rule, remembered(rule, rules, where)) for rule in self.rules)
        if fingerprint == self.fingerprint:
            try:
                self.program = self.planned() if self.finish is None else self.finish.program()
            except ValueError as error:
                raise StateError(f"{where}.horizon does not fit {self.schedule!r}: {error}") from None

    def begin(self, horizon: Horizon, on_overrun: str) -> list[str]:
        """Resolve for a run of this length; returns what to say about it."""
        self.program = self.schedule.resolve(horizon, on_overrun=on_overrun)
        self.horizon = self.fitted = horizon
        return list(self.program.notes)

    def change_schedule(self, horizon: Horizon, on_overrun: str, t: int) -> tuple[list[str], Event]:
        """The user's new schedule wins, at its own update ``t``; reductions so far stay."""
        before = self.factor
        reduced = self.control if self.finish is None else self.aside
        self.finish, self.control = None, Control(scale=reduced.scale)
        self.keep_time()
        notes = self.begin(horizon, on_overrun)
        said = f"{self.title} has changed since the checkpoint; from update {t} on it is {self.schedule!r}"
        return [f"{said}, at its own update {t}", *notes], self.event("schedule", before, t, repr(self.schedule))

    def change_horizon(self, now: Horizon, policy: str, t: int) -> tuple[list[str], Event | None]:
        """Go on with the saved program in a run that may be longer or shorter than the one it was fitted to."""
        before = self.fitted
        if self.leader is not None:
            return self._follow_horizon(self.leader, now), None
        if now == before:
            return [], None
        if self.finish is None and before == self.horizon:
            try:
                fresh = self.schedule.resolve(now, on_overrun="cut")
                if self.running.continued_by(fresh) and (fresh.end is None or t <= fresh.end):
                    self.program, self.horizon, self.fitted = fresh, now, now
                    return [], None  # the run's length does not matter to its units
            except ValueError:
                pass  # the new length is unknown: certainly another
        end = self.running.end
        if end is None:
            return [], None
        if self.end() == now.total_steps:
            return [], None  # it fits this run as well
        change = f"the run's length has changed from {_change(before, now)}"
        if policy == "error":
            raise ValueError(
                f'{change} since the checkpoint: restore the length, or ask for on_horizon_change="keep" (the '
                'schedule ends where it was to end) or "stretch"'
            )
        if policy == "keep":
            return [f"{change}; {self._what_keep_means(now)}"], None
        if now.total_steps is None:
            raise ValueError(f'{change}; on_horizon_change="stretch" needs total_steps=')
        old, new = factor(self.running, self.control, t), stretched(self.control, end, t, now.total_steps)
        if new == self.control:
            return [f"{change}, but nothing is left of the schedule that could be stretched: it stays at its end"], None
        self.control, self.fitted = new, now
        event = self.event("stretch", old, t, _change(before, now))
        return [f"{change}: what is left of the schedule takes what is left of the run"], event

    def _follow_horizon(self, leader: LiveTrack, now: Horizon) -> list[str]:
        """As the leader has it: its control says where in the program an update is."""
        self.keep_time()
        fresh = self.schedule.resolve(leader.horizon, on_overrun="cut")
        if leader.horizon == self.horizon or self.running.continued_by(fresh):
            self.program, self.horizon = fresh, leader.horizon
            return []
        return [f"the run's length has changed from {_change(self.horizon, now)}; {self._what_keep_means(now)}"]

    def _what_keep_means(self, run: Horizon) -> str:
        end = self.end()
        stretch = 'on_horizon_change="stretch" would spread what is left of the schedule over the run'
        if run.total_steps is None or end is None:
            return f"{self.title} keeps its own; {stretch}"
        if run.total_steps > end:
            held = f"{self.control.scale * self.running.end_value:g} of the {'peak' if self.key == 'lr' else 'start'}"
            return (
                f"{self.title} ends at update {end} as before, and the {run.total_steps - end} updates after it "
                f"run at {f'{self.key} 0' if held.startswith('0 ') else held}; {stretch}"
            )
        return f"the run ends {end - run.total_steps} updates before {self.title} does; {stretch}"

    def end(self) -> int | None:
        """The update at which the program ends under the current control, or ``None`` if it never does."""
        if self.program is None or self.program.end is None:
            return None
        end = update_at(self.control, self.program.end)
        return None if end is None else max(end, self.control.origin + self.control.rewarm)


def _change(before: Horizon, now: Horizon) -> str:
    if before.total_steps == now.total_steps:
        return f"{before.steps_per_epoch} to {now.steps_per_epoch} updates an epoch"
    old, new = (h.total_steps or "an unknown number of" for h in (before, now))
    return f"{old} updates to {new} updates"


def live_tracks(tracks: Sequence[Track]) -> list[LiveTrack]:
    """What runs: the lr's tracks, then the others; one without rules of its own keeps the clock of each group's lr."""
    leaders = [LiveTrack(track) for track in tracks if track.key == "lr"]
    out = list(leaders)
    for track in tracks:
        if track.key == "lr":
            continue
        clocks: list[LiveTrack | None] = [] if track.rules else list(leaders)
        if track.beside is not None:
            out.extend(LiveTrack(track, leader) for leader in leaders if leader.wanted.id == track.beside)
            continue
        if all(leader is not None and leader.wanted.groups is not None for leader in clocks):
            clocks.append(None)  # for groups whose lr follows nothing
        out.extend(LiveTrack(track, leader) for leader in clocks)
    return out
