"""The fuzzer's own clock, which goes from update to update and knows of events only what kind they were."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from fuzz_config import P, Part, Piece, built
from fuzz_reference import COOLDOWNS, DEFAULTS, Reference, after, nearest

from lightning_lr import Horizon


class Moment(NamedTuple):
    """What makes the factor of one update."""

    scale: float
    its_scale: float
    """The same, where the package's own values of the program have gone into it: equal to the last bit."""
    ramp: float
    place: Fraction
    reference: Reference
    program: Any
    """The package's own, for the same schedule and run."""

    def value(self) -> float:
        return self.scale * self.ramp * self.reference.at(self.place)

    def its_value(self) -> float:
        """By the package's program, one update at a time."""
        return self.its_scale * float(self.program(self.place)) * self.ramp

    def unit(self) -> float:
        """What a small factor may be a difference of."""
        return self.scale * self.ramp * self.reference.unit(self.place)


class Model:
    """What one track does, said in another way than the law's: it moves on by one update at a time."""

    def __init__(self, part: Part, total: int | None, per_epoch: Any, overrun: str, leader: Model | None) -> None:
        self.part, self.overrun, self.leader = part, overrun, leader
        self.scales = self.reduced = (1.0, 1.0)  # the second without what a cooldown has taken over from the schedule
        self.hold = self.ramp = self.ramped = self.restarts = 0
        self.place, self.rate = Fraction(0), Fraction(1)
        self.finishing = False
        self.left_at = Fraction(0)  # where a cooldown has left the schedule
        self.resolve(total, per_epoch)

    def resolve(self, total: int | None, per_epoch: Any) -> None:
        self.own = self.fitted = (total, per_epoch)
        self.reference = Reference(self.part.body, total, per_epoch)
        self.program = built(self.part.body).resolve(Horizon(total, per_epoch), on_overrun="cut")

    def now(self) -> Moment:
        if self.leader is not None:
            at = self.leader.left_at if self.leader.finishing else self.leader.place
            return Moment(1.0, 1.0, 1.0, at, self.reference, self.program)
        ramp = min(1.0, (self.ramped + 1) / self.ramp) if self.ramp else 1.0
        return Moment(*self.scales, ramp, self.place, self.reference, self.program)

    def advance(self, updates: int = 1) -> None:
        held = min(self.hold, updates)
        self.hold -= held
        before, self.ramped = self.ramped, self.ramped + updates - held
        self.place += self.rate * (max(0, self.ramped - self.ramp) - max(0, before - self.ramp))

    def act(self, action: Piece, t: int, run: tuple[int | None, Any], largest: float, raised: bool) -> None:
        """An action, before update ``t``; ``raised``: whether it was an improvement that asked."""
        a = {**DEFAULTS[action.name], **action.args}
        total = run[0]

        def updates(spec: Any) -> int:
            return nearest(after(t, spec, *run) - t)

        factors = (self.now().value(), self.now().its_value())
        if action.name == "Reduce":
            least = (a["min_lr"] / (largest * factor) if factor else 0.0 for factor in factors)
            self.scales = _pair(max(s * a["factor"], s * low) for s, low in zip(self.scales, least, strict=True))
        elif action.name == "Adapt" and raised:
            self.scales = _pair(min(s * a["up"], a["max_scale"]) for s in self.scales)
        elif action.name == "Adapt":
            self.scales = _pair(max(s * a["down"], a["min_scale"]) for s in self.scales)
        elif action.name == "Freeze":
            self.hold = max(self.hold, updates(a["duration"]))
        elif action.name == "Restart":
            self.restarts += 1
            self.scales = _pair([a["peak_decay"] ** self.restarts] * 2)
            self.ramp, self.ramped, self.hold = updates(a["rewarm"]), 0, 0
            self.place, self.rate, self.fitted = Fraction(self.reference.warmup_end), Fraction(1), run
            if a["fit"] == "remaining":
                assert self.reference.end is not None
                assert total is not None
                self.rate = Fraction(self.reference.end - self.reference.warmup_end, total - t - self.ramp)
        elif action.name == "Cooldown":
            self.left_at, self.finishing, self.fitted = self.place, True, run
            self.scales = factors
            self.hold = self.ramp = self.ramped = 0
            self.place, self.rate = Fraction(0), Fraction(1)
            length = (total or 0) - t if a["duration"] is None else updates(a["duration"])
            finish = P(COOLDOWNS[a["shape"]], duration=length)
            self.reference = Reference(finish, length, None)
            self.program = built(finish).resolve(Horizon(length))
        if not self.finishing:
            self.reduced = self.scales

    def resume(self, run: tuple[int | None, Any], kinds: Sequence[str], schedule: Piece | None, t: int) -> None:
        """In a run of another length, or with another schedule; ``kinds``: of the events that tell of it."""
        if schedule is not None:
            self.part = dataclasses.replace(self.part, schedule=schedule)
            self.resolve(*run)
            self.scales, self.finishing = self.reduced, False
            self.hold = self.ramp = self.ramped = 0
            self.place, self.rate = Fraction(t), Fraction(1)
            return
        if self.leader is not None:
            now = self.leader.own
            if now != self.own and self.reference.continued_by(Reference(self.part.body, *now)):
                self.resolve(*now)
        elif run != self.fitted:
            if not self.finishing and self.fitted == self.own and self._goes_on(run):
                self.resolve(*run)
            elif "stretch" in kinds:
                assert run[0] is not None
                assert self.reference.end is not None
                left = run[0] - t - self.hold - max(0, self.ramp - self.ramped)
                self.rate, self.fitted = (self.reference.end - self.place) / left, run

    def _goes_on(self, run: tuple[int | None, Any]) -> bool:
        """Whether the schedule in a run of that length is the same one, for longer or shorter."""
        return self.reference.continued_by(Reference(self.part.body, *run))


def _pair(values: Iterable[float]) -> tuple[float, float]:
    one, other = values
    return one, other
