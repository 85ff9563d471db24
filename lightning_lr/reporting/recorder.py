"""The lr curve: every group's lr under the step at which it was used, in as few points as draw it truly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch.optim import Optimizer

from lightning_lr.reporting.names import group_names
from lightning_lr.reporting.scalars import Writer
from lightning_lr.scheduler import ScheduledLR
from lightning_lr.track import LiveTrack, read

BEND = 1e-3
"""A value that lies off the line through the two before it by more than this share is a corner."""

Moment = tuple[float, ...]


class Curve(NamedTuple):
    """One line to draw: its tag, and at each moment ``base`` times the number in its place of the moment."""

    tag: str
    base: float
    place: int


class Source:
    """One optimizer's curves: its name, its groups, and the scheduler that moves them, if any."""

    def __init__(self, name: str, optimizer: Optimizer, scheduler: ScheduledLR | None) -> None:
        self.name, self.optimizer, self.scheduler = name, optimizer, scheduler
        self.live: Sequence[LiveTrack] = () if scheduler is None else scheduler.live
        self._names: list[str] = []
        self._loose: list[dict[str, Any]] = []
        self._curves: list[Curve] = []
        self._of: object = None

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
        self._curves = [*(lrs[i] for i in sorted(lrs)), *others]

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

    It keeps the two moments before, nothing that grows.

    Args:
        sources: the optimizers.
        writers: where points go; see :func:`~lightning_lr.reporting.scalars.writers`.
        every_n_steps: the interval; the points are those of Lightning's own metrics.
        extra: keys of the groups to write as well: ``"momentum"`` (beta1 where there are betas), ``"weight_decay"``.
        counts: decisions so far, by kind: counters ``schedule/num_<kind>`` that draw clear steps.
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
        self._now: list[Moment] = []
        self._before: list[Moment] = []
        self._counts = dict(counts or {})
        self._decided: list[str] = []

    def decided(self, kind: str) -> None:
        """A decision has been made: the coming update is a corner, and a counter has a step there."""
        self._decided.append(kind)

    def before_update(self, step: int) -> None:
        """The update under this step number is about to use what the groups hold now."""
        if step == self._step:
            return  # another optimizer's, or the closure evaluated again
        now = [source.moment() for source in self.sources]
        first = not self._now
        corner = first or bool(self._decided) or any(map(_bends, self._before, self._now, now))
        if corner:
            self.last()
        if first or self._decided:
            self._count(step)
        self._before, self._now, self._step = self._now, now, step
        if corner or (self.every_n_steps and (step + 1) % self.every_n_steps == 0):
            self.last()

    def _count(self, step: int) -> None:
        """All counters, before and after: a clear step in each that has one."""
        if self._decided and step > 0:
            self._write_counts(step - 1)
        for kind in self._decided:
            self._counts[kind] = self._counts.get(kind, 0) + 1
        self._decided = []
        self._write_counts(step)

    def _write_counts(self, step: int) -> None:
        self.write({f"schedule/num_{kind}": float(count) for kind, count in self._counts.items()}, step)

    def end(self) -> None:
        """The run is over: its last update's point, and what was decided after it."""
        self.last()
        self._count(self._step + 1 if self._decided else self._step)

    def last(self) -> None:
        """Write the newest update's point, unless it stands already."""
        if self._step > self._written:
            values: dict[str, float] = {}
            for source, moment in zip(self.sources, self._now, strict=True):
                self._collect(values, source, moment)
            self.write(values, self._step)
            self._written = self._step

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Several values under one step, to every logger."""
        if values:
            for writer in self.writers:
                writer(values, step)

    def _collect(self, values: dict[str, float], source: Source, moment: Moment) -> None:
        if self.extra:
            for name, group in zip(source.names(), source.optimizer.param_groups, strict=True):
                for key in self.extra:
                    value = _hyperparameter(group, key)
                    if value is not None:
                        values[f"{key}/{name}"] = value
        for tag, base, place in source.curves():  # what is scheduled is known without asking the group
            values[tag] = base * moment[place]


def _bends(a: Moment, b: Moment, c: Moment) -> bool:
    """Whether c lies off the line through a and b, or there are other groups than before."""
    if len(a) != len(b) or len(b) != len(c):
        return True
    return any(abs(z - 2.0 * y + x) > BEND * max(x, y, z) for x, y, z in zip(a, b, c, strict=True))


def _hyperparameter(group: Mapping[str, Any], key: str) -> float | None:
    try:
        return read(group, key)
    except ValueError:
        return None
