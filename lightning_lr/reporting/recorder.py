"""The lr curve: every group's lr under the step at which it was used, in as few points as draw it truly."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch.optim import Optimizer

from lightning_lr.core.control import position, update_at
from lightning_lr.reporting.loggers import Writer
from lightning_lr.reporting.names import clean, group_names
from lightning_lr.scheduler import ScheduledLR
from lightning_lr.track import LiveTrack, read

BEND = 1e-3
"""A value that lies off the line through the two before it by more than this share is a corner."""

Moment = tuple[float, ...]

COUNTED = {
    "reduce": "reductions",
    "restart": "restarts",
    "freeze": "freezes",
    "cooldown": "cooldowns",
    "adapt": "adaptations",
    "stop": "stops",
    "stretch": "stretches",
    "schedule": "schedule_changes",
}
"""Kinds of decisions, as counters name them."""


class Curve(NamedTuple):
    """One line to draw: its tag, and at each moment ``base`` times the number in its place of the moment."""

    tag: str
    base: float
    place: int


Seen = tuple[Moment, Sequence[Curve]]


class Source:
    """One optimizer's curves: its name, its groups, and the scheduler that moves them, if any."""

    def __init__(self, name: str, optimizer: Optimizer, scheduler: ScheduledLR | None) -> None:
        self.name, self.optimizer, self.scheduler = name, optimizer, scheduler
        self.live: Sequence[LiveTrack] = () if scheduler is None else scheduler.live
        self._names: list[str] = []
        self._loose: list[dict[str, Any]] = []
        self._curves: list[Curve] = []
        self._of: object = None
        self._until = 0.0

    def moment(self) -> Moment:
        """What moves now: every track's factor, and the lr of every group that follows none."""
        self._look()
        return (*[track.factor for track in self.live], *[float(group["lr"]) for group in self._loose])

    def curves(self) -> Sequence[Curve]:
        """What to draw of a moment: every group's lr, and whatever else is scheduled; no device is asked for it."""
        self._look()
        return self._curves

    def _look(self) -> None:
        """Find the curves again, when the groups are others than before."""
        now = len(self.optimizer.param_groups) if self.scheduler is None else self.scheduler.bindings
        if now == self._of:
            return
        self._of = now
        followed = {i for track in self.live if track.key == "lr" for i in track.members}
        groups = self.optimizer.param_groups
        self._loose = [group for i, group in enumerate(groups) if i not in followed]
        places = iter(range(len(self.live), len(self.live) + len(self._loose)))
        names = self.names()
        lrs = {i: Curve(f"lr/{names[i]}", 1.0, next(places)) for i in range(len(groups)) if i not in followed}
        others: list[Curve] = []
        for place, track in enumerate(self.live):
            for i, base in track.started_from():
                curve = Curve(f"{track.key}/{names[i]}", base, place)
                if track.key == "lr":
                    lrs[i] = curve
                else:
                    others.append(curve)
        found = [*(lrs[i] for i in sorted(lrs)), *others]
        if found != self._curves:  # else it stays the same object: nothing has changed for who has seen it
            self._curves = found

    def rates(self) -> list[LiveTrack]:
        """The tracks of the lr."""
        return [track for track in self.live if track.key == "lr"]

    def enters_a_phase(self) -> bool:
        """Whether the coming update begins a phase that has not been told yet."""
        return self.scheduler is not None and self.scheduler.updates >= self._until

    def levels(self, alone: bool) -> dict[str, float]:
        """The number of the phase, 1 for the first, and the scale of every schedule of the lr.

        A cooldown that was branched off has the number after the last. ``alone``: there is one schedule in all.
        """
        out: dict[str, float] = {}
        self._until = math.inf
        for track in self.rates():
            if self.scheduler is None or track.program is None:
                continue
            phase, until = _phase(track, self.scheduler.updates)
            self._until = min(self._until, until)
            own = "" if track.wanted.groups is None else f"/{clean(track.id[3:-1])}"
            name = "" if alone else f"/{self.name}{own}"
            out |= {f"schedule/phase{name}": float(phase), f"schedule/scale{name}": track.control.scale}
        return out

    def peaks(self, track: int = 0) -> list[tuple[str, float]]:
        """Name and first value of every group that a track moves; of every group, where nobody moves any."""
        names = self.names()
        if self.scheduler is None:
            return list(zip(names, self.moment(), strict=True))
        return [(names[i], base) for i, base in self.live[track].started_from()] if track >= 0 else []

    def key(self, track: int) -> str:
        """What a track moves: ``lr``, ``momentum``, …"""
        return self.live[track].key if 0 <= track < len(self.live) else "lr"

    def names(self) -> list[str]:
        """A name for each group, made again only when there are more of them."""
        groups = self.optimizer.param_groups
        if len(self._names) != len(groups):
            self._names = group_names(self.name, groups)
        return self._names


class Recorder:
    """Watches every update; writes its lr on the interval, at the first and the last, and on both sides of a corner.

    It keeps the two moments before, nothing that grows. What changes by steps (the phase, the scale, counters of
    decisions) is written at each change only, and once more just before it: TensorBoard then draws a clear step.

    Args:
        sources: the optimizers.
        writers: where points go; see :func:`~lightning_lr.reporting.loggers.boards`.
        every_n_steps: the interval; the points are those of Lightning's own metrics.
        extra: keys of the groups to write as well: ``"momentum"`` (beta1 where there are betas), ``"weight_decay"``.
        counts: decisions so far, by kind.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        writers: Sequence[Writer],
        every_n_steps: int,
        extra: Sequence[str] = (),
        counts: Mapping[str, int] | None = None,
    ) -> None:
        self.sources, self.writers, self.every_n_steps, self.extra = sources, writers, every_n_steps, extra
        self._step = self._written = -1
        self._now: list[Seen] = []  # with what it is a moment of: groups may come
        self._before: list[Seen] = []
        self._counts = dict(counts or {})
        self._news = True
        self._alone = sum(len(source.rates()) for source in sources) == 1
        self._levels: dict[str, float] = {}
        self._level_step = -1

    def decided(self, kind: str) -> None:
        """A decision has been made: the coming update is a corner, and a counter has a step there."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        self._news = True

    def before_update(self, step: int) -> None:
        """The update under this step number is about to use what the groups hold now."""
        if step == self._step:
            return  # another optimizer's, or the closure evaluated again
        now = [(source.moment(), source.curves()) for source in self.sources]
        corner = self._news or any(map(_bends, self._before, self._now, now))
        if corner:
            self.last()
        if self._news or any(source.enters_a_phase() for source in self.sources):
            self._write_levels(step)
        self._before, self._now, self._step = self._now, now, step
        if corner or (self.every_n_steps and (step + 1) % self.every_n_steps == 0):
            self.last()

    def _write_levels(self, step: int) -> None:
        """What changes by steps, before and after: all of it, so that no curve ends before another."""
        self._news = False
        levels = {f"schedule/num_{COUNTED.get(kind, kind)}": float(n) for kind, n in self._counts.items()}
        for source in self.sources:
            levels.update(source.levels(self._alone))
        if levels != self._levels:
            if self._levels and step - 1 > self._level_step:
                self.write(self._levels, step - 1)
            self.write(levels, step)
            self._levels, self._level_step = levels, step

    def end(self) -> None:
        """The run is over: its last update's point, and what was decided after it."""
        self.last()
        if self._news:
            self._write_levels(self._step + 1)
        elif self._levels and self._step > self._level_step:
            self.write(self._levels, self._step)

    def last(self) -> None:
        """Write the newest update's point, unless it stands already."""
        if self._step > self._written:
            values: dict[str, float] = {}
            for source, (moment, curves) in zip(self.sources, self._now, strict=True):
                self._collect(values, source, moment, curves)
            self.write(values, self._step)
            self._written = self._step

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Several values under one step, to every logger."""
        if values:
            for writer in self.writers:
                writer(values, step)

    def _collect(self, values: dict[str, float], source: Source, moment: Moment, curves: Sequence[Curve]) -> None:
        if self.extra:
            for name, group in zip(source.names(), source.optimizer.param_groups, strict=True):
                for key in self.extra:
                    value = _hyperparameter(group, key)
                    if value is not None:
                        values[f"{key}/{name}"] = value
        for tag, base, place in curves:  # what is scheduled is known without asking the group
            values[tag] = base * moment[place]


def _bends(a: Seen, b: Seen, c: Seen) -> bool:
    """Whether c lies off the line through a and b, or there are other groups than before."""
    if a[1] is not b[1] or b[1] is not c[1]:
        return True
    return any(abs(z - 2.0 * y + x) > BEND * max(x, y, z) for x, y, z in zip(a[0], b[0], c[0], strict=True))


def phase_name(track: LiveTrack, t: int) -> str:
    """The kind of phase that update ``t`` lies in, such as ``Cosine``; or ``cooldown``, or ``hold`` after the last."""
    program = track.running
    if program.end is not None and position(track.control, t) >= program.end:
        return "hold"
    if track.finish is not None:
        return "cooldown"
    return program.segments[max(1, _segments_begun(track, t)) - 1].label.partition("(")[0]


def _segments_begun(track: LiveTrack, t: int) -> int:
    """How many of the program's segments have begun by update ``t``: the last of them owns it."""
    return bisect_right([segment.begin for segment in track.running.segments], position(track.control, t))


def _phase(track: LiveTrack, t: int) -> tuple[int, float]:
    """The number of the phase that update ``t`` lies in, and the update that begins the next one."""
    number = _segments_begun(track, t)
    end = track.running.segments[number - 1].end if number else 0
    last = number >= len(track.running.segments)
    reached = None if end is None or last else update_at(track.control, end)
    until = math.inf if reached is None else max(reached, t + 1)
    return (number if track.finish is None else len(track.schedule.phases) + 1), until


def _hyperparameter(group: Mapping[str, Any], key: str) -> float | None:
    try:
        return read(group, key)
    except ValueError:
        return None
