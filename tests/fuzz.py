"""Random configurations, every lr by several independent routes: all of them must agree.

    python tests/fuzz.py --configs 10000 --fits 300 --seed 0
    python tests/fuzz.py --only 1234            # draw one configuration again, and run it

Each configuration is drawn from one integer: schedules, durations in every unit, detectors, actions by rule and by
hand, groups, tracks, optimizers, checkpoints that change the run's length, the lr or the schedule, copies. Of each:

=========== ========================================================================================= ==============
route       what the used lrs are compared with                                                       must agree to
=========== ========================================================================================= ==============
loop        a torch optimizer, ``ScheduledLR`` and ``optimizer.step()``: the lrs that are used
replay      ``ScheduledLR.replayed_at`` and ``lightning_lr.replay``, of the recorded events           every bit
law         the model: this file's own clock, which goes from update to update and knows of events   every bit
            only what kind they were, no control is taken over; with the package's program, one
            update at a time
curve       ``Program.curve``, at the places of the program that the model names, where these are     every bit
            whole
reference   the model with this file's own formulas, on exact fractions: they round otherwise         10⁻¹²
fit         ``Trainer.fit``: replay and reference as above; the loop, given the same metrics at the   every bit
            same updates; ``preview`` up to the first decision
=========== ========================================================================================= ==============

A lr in a float32 tensor has 24 bits: what is compared with it is rounded as it was. Where a factor is a small
difference of larger ones, an ulp is one of the phase's peak; and 8 of those are no difference from the reference.

What the package refuses must be a ``ValueError`` with a message. A failure prints the configuration, which can be
pasted into ``fuzz.check(…)``, and where each route first differs. The exit status is 1 if anything was found.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import functools
import io
import itertools
import logging
import math
import pickle
import random
import re
import sys
import tempfile
import time
import traceback
import warnings
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import inf, nan
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from runs import Net, Used, trainer

import lightning_lr
import lightning_lr.scheduler
from lightning_lr import Horizon, LRScheduleMixin, ScheduledLR, preview
from lightning_lr.core import presets, schedules

NAMES = {name: getattr(lightning_lr, name) for name in lightning_lr.__all__}
RELATIVE = 1e-12
FITS_FROM = 500_000
"""Of a million configurations of one seed, the ones from here on are fits."""


# ---- what is drawn: calls, as data


class Piece(NamedTuple):
    """A call such as ``Cosine(duration=4)``, as data: what the package builds, and what the reference reads."""

    name: str
    args: dict[str, Any]

    def __repr__(self) -> str:
        return f"P({', '.join([repr(self.name), *(f'{key}={value!r}' for key, value in self.args.items())])})"


def P(name: str, /, **args: Any) -> Piece:  # noqa: N802, it stands for Piece in what is printed
    """A piece, in few letters."""
    return Piece(name, args)


def code(value: Any) -> str:
    """The Python that builds it."""
    if isinstance(value, (list, tuple)) and not isinstance(value, Piece):
        return f"[{', '.join(map(code, value))}]"
    if not isinstance(value, Piece):
        return repr(value)
    if value.name in (">>", "|", "&"):
        return f"({f' {value.name} '.join(map(code, value.args['of']))})"
    if value.name == "beside":
        others = ", ".join(f"{key}={code(other)}" for key, other in value.args["others"].items())
        return f"({code(value.args['of'])}).beside({others})"
    return f"{value.name}({', '.join(f'{key}={code(arg)}' for key, arg in value.args.items())})"


def built(piece: Piece | None) -> Any:
    """What the package makes of it."""
    return None if piece is None else eval(code(piece), dict(NAMES))


def pieces(value: Any) -> Iterator[Piece]:
    """All pieces in a configuration, or a part of one."""
    if isinstance(value, Piece):
        yield value
        yield from pieces(value.args)
    elif isinstance(value, dict):
        yield from itertools.chain.from_iterable(map(pieces, value.values()))
    elif isinstance(value, (list, tuple)):
        yield from itertools.chain.from_iterable(map(pieces, value))
    elif dataclasses.is_dataclass(value):
        yield from pieces([getattr(value, f.name) for f in dataclasses.fields(value)])


@dataclass(frozen=True)
class Part:
    """What some groups follow, or all others, in one of their numbers: a ``Track``."""

    schedule: Piece | None
    groups: Any = None
    key: str = "lr"
    rules: tuple[Piece, ...] = ()

    @property
    def id(self) -> str:
        listed = self.groups if isinstance(self.groups, (list, tuple)) else [self.groups]
        return self.key if self.groups is None else f"{self.key}[{'|'.join(map(str, listed))}]"

    @property
    def body(self) -> Piece:
        """The lr's schedule, without those beside it."""
        found = self.schedule or P("Constant")
        return found.args["of"] if found.name == "beside" else found


@dataclass(frozen=True)
class Loop:
    """A run in a plain loop."""

    seed: int
    total: int | None
    per_epoch: int | tuple[int, ...] | None
    parts: tuple[Part, ...]
    optimizer: str
    lrs: tuple[float, ...]
    updates: int
    ops: tuple[tuple[int, str, Any], ...] = ()
    """(update before which it happens, what, with what)"""
    overrun: str = "error"
    start: int = 0
    tensor: str | None = None
    gradients: bool = False
    kept: int = 1000
    """Events that the scheduler keeps; older ones are folded."""


@dataclass(frozen=True)
class Fit:
    """A run of ``Trainer.fit``."""

    seed: int
    batches: int
    epochs: int
    accumulate: int
    parts: tuple[Part, ...]
    optimizer: str
    lrs: tuple[float, ...]
    form: str
    metrics: tuple[float, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    overrun: str = "error"


GROUPS = ("body", "head", "head.1", None, "tail")
OPTIMIZERS: dict[str, Any] = {
    "SGD": functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.01),
    "AdamW": functools.partial(torch.optim.AdamW, lr=0.1, weight_decay=0.01),
    "RMSprop": functools.partial(torch.optim.RMSprop, lr=0.1, momentum=0.5, weight_decay=0.1),
}


def number_of(group: dict[str, Any], key: str) -> float:
    """What a group holds: momentum is beta1 where there are betas."""
    return float(group["betas"][0] if key == "momentum" and "betas" in group else group[key])


# ---- the reference: durations and schedules, on exact fractions


def epochs_at(position: Fraction, per_epoch: Any) -> Fraction:
    """Epochs that have passed."""
    lengths = [per_epoch] if isinstance(per_epoch, int) else list(per_epoch)
    for done, length in enumerate(lengths[:-1]):
        if position < length:
            return done + Fraction(position) / length
        position -= length
    return len(lengths) - 1 + Fraction(position) / lengths[-1]


def update_at(epochs: Fraction, per_epoch: Any) -> Fraction:
    """The inverse."""
    lengths = [per_epoch] if isinstance(per_epoch, int) else list(per_epoch)
    position = Fraction(0)
    for length in lengths[:-1]:
        if epochs < 1:
            return position + epochs * length
        epochs, position = epochs - 1, position + length
    return position + epochs * lengths[-1]


def after(position: Fraction | int, spec: Any, total: int | None, per_epoch: Any, sign: int = 1) -> Fraction:
    """Where a duration ends that begins at a position; with sign -1, where one begins that ends there."""
    text = str(spec)
    amount = sign * Fraction(re.sub("[^0-9.]", "", text))
    if "%" in text:
        assert total is not None
        return position + amount * total / 100
    if "ep" in text.replace("step", ""):
        return update_at(epochs_at(Fraction(position), per_epoch) + amount, per_epoch)
    return position + amount


def nearest(position: Fraction) -> int:
    """The nearest whole update; halves go up."""
    return math.floor(position + Fraction(1, 2))


DEFAULTS: dict[str, dict[str, Any]] = {
    "Warmup": {"start_factor": 0.0, "shape": "linear"},
    "Constant": {"factor": None},
    **{name: {"end_factor": 0.0} for name in ("Linear", "Cosine", "OneMinusSqrt", "Rex")},
    "Polynomial": {"end_factor": 0.0, "power": 1.0},
    "Exponential": {"decay_steps": 1, "staircase": False, "min_factor": 0.0},
    "InverseTime": {"decay_steps": 1, "staircase": False},
    "InverseSqrt": {},
    "StepDecay": {"gamma": 0.1},
    "MultiStep": {"gamma": 0.1},
    "Cyclic": {
        "step_size_down": None, "base_factor": 0.1, "mode": "triangular", "gamma": 1.0, "shape": "linear",
        "peak_factor": 1.0,
    },
    "CosineRestarts": {"cycle_mult": 1.0, "peak_gamma": 1.0, "end_factor": 0.0},
    "Temperature": {"initial_temperature": 1.0, "final_temperature": 0.01, "cooling": "linear"},
    "Custom": {"of": "progress"},
    "Reduce": {"factor": 0.1, "min_lr": 0.0},
    "Restart": {"peak_decay": 1.0, "rewarm": 0, "fit": "remaining"},
    "Freeze": {},
    "Adapt": {"up": 1.0, "down": 1.0, "min_scale": 0.01, "max_scale": 1.0},
    "Cooldown": {"duration": None, "shape": "linear"},
    "Stop": {},
}  # fmt: skip
"""The contract's, written down once more."""

COOLDOWNS = {"linear": "Linear", "cosine": "Cosine", "one_minus_sqrt": "OneMinusSqrt"}


def flat(piece: Piece) -> list[Piece]:
    """The phases of a chain, of a preset, or of chains of those."""
    a = piece.args
    if piece.name in (">>", "Chain"):
        return [phase for part in a.get("of", a.get("phases")) for phase in flat(part)]
    if piece.name == "beside":
        return flat(a["of"])
    end = {"end_factor": a.get("end_factor", 0.0)}
    if piece.name == "wsd":
        down = P(COOLDOWNS[a.get("shape", "one_minus_sqrt")], duration=a.get("cooldown", "20%"), **end)
        return [P("Warmup", duration=a.get("warmup", "5%")), P("Constant"), down]
    if piece.name == "one_cycle":
        up = P("Warmup", duration=a.get("warmup", "30%"), start_factor=a.get("start_factor", 0.04), shape="cosine")
        return [up, P("Cosine", end_factor=a.get("end_factor", 0.04 / 1e4))]
    if piece.name in ("cosine_with_warmup", "linear_with_warmup"):
        down = P("Cosine" if piece.name.startswith("cosine") else "Linear", **end)
        return [P("Warmup", duration=a.get("warmup", "5%")), down]
    if piece.name == "slanted_triangular":
        low = 1 / a.get("ratio", 32.0)
        return [P("Warmup", duration=a.get("cut", "10%"), start_factor=low), P("Linear", end_factor=low)]
    if piece.name == "flat_cosine":
        return [P("Constant", duration=a.get("flat", "75%")), P("Cosine", **end)]
    if piece.name == "infinite":
        level, last = a.get("constant_factor", 0.3), a.get("end_factor", 0.01)
        cooling = {"initial_temperature": level, "final_temperature": last, "cooling": "exponential"}
        return [
            P("Warmup", duration=a.get("warmup", "5%")),
            P("Cosine", duration=a.get("decay", "20%"), end_factor=level),
            P("Constant"),
            P("Temperature", **cooling, duration=a.get("anneal", "10%")),
        ]
    return [piece]


def beside(piece: Piece | None) -> dict[str, Piece]:
    """What runs beside a schedule, by key."""
    if piece is None:
        return {}
    if piece.name == "beside":
        return {**beside(piece.args["of"]), **piece.args["others"]}
    low = piece.args.get("momentum_factor")
    if low is None:
        return {}
    if piece.name == "Cyclic":
        kept = {key: value for key, value in piece.args.items() if key != "momentum_factor"}
        return {"momentum": P("Cyclic", **{**kept, "base_factor": 1.0, "peak_factor": low})}
    down = P("Cosine", duration=piece.args.get("warmup", "30%"), end_factor=low)
    return {"momentum": P(">>", of=[down, P("Cosine", end_factor=1.0)])}


def stairs(k: Fraction, size: Fraction) -> int:
    """Multiples of a size that have begun, each at its nearest update, none at the phase's first."""
    now = math.floor(k)
    if now == 0:
        return 0
    count = math.floor(now / size)
    while max(1, nearest((count + 1) * size)) <= now:
        count += 1
    while count and max(1, nearest(count * size)) > now:
        count -= 1
    return count


def half_sine(w: Fraction) -> float:
    """(1 − cos πw) / 2"""
    return math.sin(math.pi * float(w) / 2) ** 2


def one_minus_sqrt(u: Fraction) -> float:
    """1 − √u to all digits: the root of an integer."""
    digits = 10**40
    return float(1 - Fraction(math.isqrt(u.numerator * u.denominator * digits**2), u.denominator * digits))


WEIGHTS: dict[str, Callable[[Fraction, dict[str, Any]], float]] = {
    "Linear": lambda u, a: float(1 - u),
    "Cosine": lambda u, a: half_sine(1 - u),
    "OneMinusSqrt": lambda u, a: one_minus_sqrt(u),
    "Rex": lambda u, a: float((1 - u) / (1 - u / 2)),
    "Polynomial": lambda u, a: float(1 - u) ** a["power"],
}
"""How what is left of the way falls from 1 to 0 with the progress u."""


@functools.lru_cache(1024)
def cycle_begins(first: Fraction, mult: float, count: int) -> list[float]:
    """The first updates of growing cycles; those that lie on a whole update but for rounding, on it."""
    ratio, begin, length, out = Fraction(mult), Fraction(0), first, []
    for _ in range(count):
        near = round(begin)
        out.append(float(near if abs(begin - near) <= 1e-9 * max(1, begin) else begin))
        begin, length = begin + length, length * ratio
    return out


def cycle_of(k: Fraction, first: Fraction, mult: float) -> tuple[int, float, bool]:
    """The number of a restart's cycle, the progress within it, and whether rounding may have it elsewhere."""
    if mult == 1:
        cycle = math.floor(k / first)
        return cycle, float(k / first - cycle), False
    count = 2 + math.ceil(math.log(1 + float(k) * (mult - 1) / float(first)) / math.log(mult))
    begins = cycle_begins(first, mult, count)
    cycle = bisect_right(begins, float(k)) - 1
    doubt = any(
        begin and begin != round(begin) and abs(begin - k) <= 1e-9 * begin for begin in begins[cycle : cycle + 2]
    )
    return cycle, (float(k) - begins[cycle]) / float(first * Fraction(mult) ** cycle), doubt


class Segment(NamedTuple):
    """A phase that has a place: what it is, its first update, its length, where it starts, its own numbers."""

    name: str
    begin: int
    length: int | None
    start: float
    a: dict[str, Any]
    open: bool
    per_epoch: Any

    def same_in_a_longer_run(self, other: Segment) -> bool:
        return self._replace(length=0) == other._replace(length=0)

    def at(self, k: Fraction) -> float:
        """The factor, so many updates after its first."""
        a, s, name = self.a, self.start, self.name
        if name == "Constant":
            return s if a["factor"] is None else a["factor"]
        if name == "Warmup":
            p = min(Fraction(1), (k + 1) / self.length)
            if a["shape"] == "exponential":
                return s ** float(1 - p)
            return s * float(1 - p) + float(p) if a["shape"] == "linear" else s + (1 - s) * half_sine(p)
        if name in WEIGHTS:
            u = k / self.length
            w = WEIGHTS[name](u, a)
            return s * w + a["end_factor"] * (1 - w)
        if name == "Exponential":
            gone = stairs(k, a["decay_steps"]) if a["staircase"] else float(k / a["decay_steps"])
            return max(s * a["gamma"] ** gone, min(s, a["min_factor"]))
        if name == "InverseTime":
            gone = stairs(k, a["decay_steps"]) if a["staircase"] else float(k / a["decay_steps"])
            return s / (1 + a["decay_rate"] * gone)
        if name == "InverseSqrt":
            return s * math.sqrt(a["timescale"] / (k + a["timescale"]))
        if name == "StepDecay":
            return s * a["gamma"] ** stairs(k, a["step_size"])
        if name == "MultiStep":
            return s * a["gamma"] ** sum(edge <= k for edge in a["milestones"])
        if name == "Cyclic":
            return self._cyclic(k)
        if name == "CosineRestarts":
            cycle, u, _ = cycle_of(k, a["cycle"], a["cycle_mult"])
            peak = s * a["peak_gamma"] ** cycle
            low = min(peak, a["end_factor"])
            return low + (peak - low) * math.cos(math.pi * u / 2) ** 2
        if name == "Temperature":
            return s * self._cooled(k)
        assert name == "Custom"
        if a["of"] == "progress":
            return s * a["fn"](float(k / self.length))
        if a["of"] == "step":
            return s * a["fn"](math.floor(k))
        here = epochs_at(self.begin + math.floor(k), self.per_epoch)
        return s * a["fn"](math.floor(here - epochs_at(self.begin, self.per_epoch)))

    def _cyclic(self, k: Fraction) -> float:
        a = self.a
        up, down = a["step_size_up"], a["step_size_down"]
        cycle = math.floor(k / (up + down))
        within = k - cycle * (up + down)
        w = within / up if within <= up else (up + down - within) / down
        height = half_sine(w) if a["shape"] == "cosine" else float(w)
        if callable(a["mode"]):
            height *= a["mode"](cycle + 1) if height else 0.0
        elif a["mode"] == "triangular2":
            height /= 2**cycle
        elif a["mode"] == "exp_range":
            height *= a["gamma"] ** float(k)
        return self.start * (a["base_factor"] + (a["peak_factor"] - a["base_factor"]) * height)

    def _cooled(self, k: Fraction) -> float:
        first, last, cooling = (self.a[f] for f in ("initial_temperature", "final_temperature", "cooling"))
        ratio = last / first
        if cooling == "logarithmic":
            return max(ratio, 1 / math.log(float(k) + math.e))
        u = k / self.length
        if cooling == "exponential":
            return ratio ** float(u)
        if cooling == "linear":
            return float(1 - u) + ratio * float(u)
        left = float(k == 0) if self.length == 1 else math.exp(float(k) * math.log1p(-1 / self.length))
        return left + ratio * (1 - left)

    def end_value(self) -> float:
        """What it comes to just before its end: no stair, no new cycle begins there."""
        if self.length is None:
            return 0.0
        a, length = self.a, Fraction(self.length)
        if self.name == "Warmup":
            return 1.0
        if self.name in WEIGHTS:
            return a["end_factor"]
        if a.get("staircase") or a.get("of") in ("step", "epoch") or self.name in ("StepDecay", "MultiStep"):
            return self.at(Fraction(max(0, self.length - 1)))
        if self.name == "CosineRestarts":
            cycle, u, _ = cycle_of(length, a["cycle"], a["cycle_mult"])
            if u == 0:
                return min(a["end_factor"], self.start * a["peak_gamma"] ** (cycle - 1))
        return self.at(length)


MEASURED = ("decay_steps", "timescale", "step_size", "step_size_up", "step_size_down", "cycle")
NEEDS_LENGTH = {"Warmup", *WEIGHTS}


class Reference:
    """A schedule in a run, in the simplest terms: which segment owns an update, and its formula there."""

    def __init__(self, piece: Piece, total: int | None, per_epoch: Any) -> None:
        phases = flat(piece)
        rest = next((i for i, phase in enumerate(phases) if phase.args.get("duration") is None), len(phases))
        ends: list[Fraction | None] = []
        position = Fraction(0)
        for phase in phases[:rest]:
            position = after(position, phase.args["duration"], total, per_epoch)
            ends.append(position)
        if rest < len(phases) and total is None:
            ends.append(None)
        elif rest < len(phases):
            last = Fraction(total or 0)
            for phase in reversed(phases[rest + 1 :]):
                last = after(last, phase.args["duration"], total, per_epoch, sign=-1)
            position = max(position, last)
            ends.append(position)
            for phase in phases[rest + 1 :]:
                position = after(position, phase.args["duration"], total, per_epoch)
                ends.append(position)
        self.segments: list[Segment] = []
        self.warmup_end, begin, value = 0, 0, 1.0
        self.end: int | None = 0
        self.end_value = 1.0
        for i, (phase, exact) in enumerate(zip(phases, ends, strict=True)):
            end = None if exact is None else nearest(exact)
            segment = self._segment(phase, begin, end, value, total, per_epoch, i == len(phases) - 1)
            if begin == end and not segment.open:
                continue
            self.end_value = value if begin == end else segment.end_value()
            self.segments.append(segment)
            self.end, value = end, segment.end_value()
            if phase.name == "Warmup" and begin == 0:
                self.warmup_end = end or 0
            begin = end or 0
        self._begins = [segment.begin for segment in self.segments]
        self._whole: dict[int, float] = {}

    @staticmethod
    def _segment(
        phase: Piece, begin: int, end: int | None, start: float, total: int | None, per_epoch: Any, last: bool
    ) -> Segment:
        a = {**DEFAULTS[phase.name], **phase.args}
        for name in MEASURED:
            if a.get(name) is not None:
                a[name] = after(begin, a[name], total, per_epoch) - begin
        if phase.name == "Cyclic" and a["step_size_down"] is None:
            a["step_size_down"] = a["step_size_up"]
        if phase.name == "MultiStep":
            exact = [after(begin, milestone, total, per_epoch) for milestone in a["milestones"]]
            a["milestones"] = [max(1, nearest(position) - begin) for position in exact]
        for name in ("fn", "mode"):
            if ":" in str(a.get(name)):
                a[name] = getattr(math, a[name].removeprefix("math:"))
        if phase.name == "Warmup" and begin == 0:
            start = a["start_factor"]
        needs_length = phase.name in NEEDS_LENGTH or (
            a["cooling"] != "logarithmic" if phase.name == "Temperature" else a.get("of") == "progress"
        )
        endless = last and a.get("duration") is None and not needs_length
        a.pop("duration", None)
        by_epoch = per_epoch if a.get("of") == "epoch" else None
        return Segment(phase.name, begin, None if end is None else end - begin, start, a, endless, by_epoch)

    def at(self, place: Fraction | int) -> float:
        """The factor at a place, which may lie between two updates."""
        if place.denominator == 1 and int(place) in self._whole:
            return self._whole[int(place)]
        if self.end is not None and math.floor(place) >= self.end:
            value = self.end_value
        else:
            segment = self.segments[bisect_right(self._begins, math.floor(place)) - 1]
            value = segment.at(Fraction(place) - segment.begin)
        if place.denominator == 1:
            self._whole[int(place)] = value
        return value

    def doubtful(self, place: Fraction) -> bool:
        """Whether a jump lies so near that rounding decides on which side of it this is."""
        if self.end is not None and place >= self.end:
            return False
        segment = self.segments[bisect_right(self._begins, math.floor(place)) - 1]
        if segment.name != "CosineRestarts":
            return False
        return cycle_of(place - segment.begin, segment.a["cycle"], segment.a["cycle_mult"])[2]

    def continued_by(self, other: Reference) -> bool:
        """Whether in the other's run only the last phase ends elsewhere, and depends on nothing but the update."""
        mine, its = self.segments, other.segments
        if not mine or not its or mine[:-1] != its[:-1]:
            return mine == its and self.end_value == other.end_value
        return mine[-1] == its[-1] or (mine[-1].open and mine[-1].same_in_a_longer_run(its[-1]))

    def unit(self, place: Fraction) -> float:
        """The largest value of the phase at a place: what a small difference there is a difference of."""
        if self.end is not None and place >= self.end:
            return max(1.0, self.end_value)
        segment = self.segments[bisect_right(self._begins, math.floor(place)) - 1]
        return max(1.0, segment.start, self.at(place))


# ---- the reference: the clock, from update to update


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


# ---- the loop, and what it is compared with


class Mismatch(AssertionError):  # noqa: N818, what it says is no error of the program's
    """Two routes disagree."""


@dataclass
class Seen:
    """What checking a configuration has shown."""

    refused: str = ""
    """The message, where the package does not want it."""
    idle: int = 0
    """Actions by hand that could not act."""
    lrs: int = 0
    events: Counter[str] = field(default_factory=Counter)
    relative: float = 0.0
    """The largest difference from the reference."""


def off(a: float, b: float, unit: float) -> float:
    """The relative difference; 8 ulps of ``unit`` are none."""
    gap = abs(a - b)
    return 0.0 if gap <= 8 * math.ulp(unit) or max(abs(a), abs(b)) < 1e-300 else gap / max(abs(a), abs(b))


class Differences:
    """The first difference of each route."""

    def __init__(self) -> None:
        self.first: dict[str, str] = {}

    def note(self, route: str, where: str, used: Any, expected: Any) -> None:
        self.first.setdefault(route, f"{where}: used {used!r}, expected {expected!r}")

    def refuse(self) -> None:
        if self.first:
            raise Mismatch("\n".join(f"{route:12} first differs at {said}" for route, said in self.first.items()))


class Running:
    """An optimizer with its scheduler, and a model of each track."""

    def __init__(self, config: Loop) -> None:
        self.config = config
        self.lrs = list(config.lrs)
        self.run: tuple[int | None, Any] = (config.total, config.per_epoch)
        self.parts = config.parts
        self.heard: list[Any] = []
        self.seen = Seen()
        self.differences = Differences()
        self.changed = False  # the schedule, or the lr's run in a way that replay_at alone does not know of
        optimizer = self.new_optimizer(self.lrs)
        start = {"start_step": config.start} if config.start else {}
        self.adopt(optimizer, self.new_scheduler(optimizer, **start))
        made: list[Model] = []
        for track in self.scheduler.live:
            leader = None if track.leader is None else made[self.scheduler.live.index(track.leader)]
            made.append(Model(self.part_of(track), *self.run, config.overrun, leader))
        self.models = made
        for model in made:
            if model.leader is None:
                model.advance(config.start)
        self.keys = tuple(dict.fromkeys(["lr", *(track.key for track in self.scheduler.live)]))
        self.bases = {key: [number_of(g, key) for g in self.new_optimizer(self.lrs).param_groups] for key in self.keys}
        self.rows: list[list[float]] = []
        self.base_rows: list[list[float]] = []
        self.moments: list[list[Moment]] = []
        self.born: dict[int, int] = {}

    # what a user would write

    def new_optimizer(self, lrs: Sequence[float]) -> torch.optim.Optimizer:
        kind = None if self.config.tensor is None else getattr(torch, self.config.tensor)
        groups: list[dict[str, Any]] = []
        for i, lr in enumerate(lrs):
            value = lr if kind is None else torch.tensor(lr, dtype=kind)
            name = {} if GROUPS[i % 5] is None else {"name": f"{GROUPS[i % 5]}{i // 5 or ''}"}
            groups.append({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": value, **name})
        optimizer: torch.optim.Optimizer = OPTIMIZERS[self.config.optimizer](groups)
        return optimizer

    def new_scheduler(self, optimizer: torch.optim.Optimizer, **settings: Any) -> ScheduledLR:
        general = next((part for part in self.parts if part.groups is None and part.key == "lr"), None)
        tracks = [
            built(P("Track", schedule=p.schedule, groups=p.groups, key=p.key, rules=list(p.rules)))
            for p in self.parts
            if p is not general
        ]
        settings = {"total_steps": self.run[0], "steps_per_epoch": self.run[1], "tracks": tracks, **settings}
        body = None if general is None else built(general.schedule)
        rules = () if general is None else tuple(map(built, general.rules))
        return ScheduledLR(optimizer, body, rules=rules, on_overrun=self.config.overrun, **settings)

    # whose is what

    def part_of(self, track: Any) -> Part:
        """The part that a track of the scheduler runs: its own, or one beside it."""
        for part in self.parts:
            if part.id == track.wanted.id:
                general = next((p for p in self.parts if p.groups is None and p.key == part.key), None)
                schedule = part.schedule or (None if general is None else general.schedule)
                return dataclasses.replace(part, schedule=schedule)
        for part in self.parts:
            for key, other in beside(part.schedule).items():
                if Part(None, part.groups, key).id == track.wanted.id:
                    return Part(other, part.groups, key)
        raise AssertionError(f"nobody asked for {track.id}")

    def rule_of(self, event: Any) -> Piece:
        """The rule that an event names: the track's own, or the general one's."""
        track = self.scheduler.live[event.track]
        own = [p for p in self.parts if p.id == track.wanted.id]
        general = [p for p in self.parts if p.groups is None and p.key == track.key]
        for part in own + general:
            for rule in part.rules:
                a = rule.args
                if event.rule == f"{a['do'].name.lower()}:{a['monitor']}:{a.get('check', 'validation')}":
                    return rule
        raise AssertionError(f"nobody asked for {event.rule}")

    def owner(self, group: int, key: str) -> int | None:
        """Which track's a group is; of the lr's by what the parts say."""
        found = [i for i, t in enumerate(self.scheduler.live) if t.key == key and group in t.members]
        assert len(found) <= 1
        if key == "lr":
            held = self.optimizer.param_groups[group]
            label = held.get("name") or f"pg{group + 1}"
            named = [p for p in self.parts if p.key == "lr" and p.groups is not None and _names(p.groups, group, label)]
            wanted = [p.id for p in named or self.parts if p.key == "lr" and (named or p.groups is None)]
            if [self.scheduler.live[i].wanted.id for i in found] != wanted:
                self.differences.note("owner", f"group {group}", found, wanted)
        return found[0] if found else None

    # what happens

    def adopt(self, optimizer: torch.optim.Optimizer, scheduler: ScheduledLR) -> None:
        self.optimizer, self.scheduler = optimizer, scheduler
        scheduler.listener = self.heard.append
        self._owners: dict[tuple[int, str], int | None] = {}

    def steps(self) -> None:
        """All of its updates, each after what is to happen before it."""
        ops: dict[int, list[tuple[str, Any]]] = {}
        for t, name, given in self.config.ops:
            ops.setdefault(t, []).append((name, given))
        for t in range(self.config.start, self.config.start + self.config.updates):
            for name, given in ops.get(t, ()):
                getattr(self, f"_{name}")(t, given)
            self.record()
            if self.config.gradients:
                for group in self.optimizer.param_groups:
                    group["params"][0].grad = torch.ones(1)
            self.optimizer.step()
            for i, born in self.born.items():
                if born == t:  # it is taken in by this update, at the factor that this one had
                    track = self._owner(i, "lr")
                    factor = 0.0 if track is None else self.factors[track]
                    x = self.bases["lr"][i]
                    self.bases["lr"][i] = x / factor if factor > 0 else x
            for model in self.models:
                if model.leader is None:
                    model.advance()

    def record(self) -> None:
        groups = self.optimizer.param_groups
        self.rows.append([number_of(group, key) for key in self.keys for group in groups])
        self.base_rows.append([base for key in self.keys for base in self.bases[key]])
        self.moments.append([model.now() for model in self.models])
        self.factors = self.scheduler.factors

    def _owner(self, group: int, key: str) -> int | None:
        if (group, key) not in self._owners:
            self._owners[group, key] = self.owner(group, key)
        return self._owners[group, key]

    def _listen(self, t: int, given: Piece | None = None) -> None:
        """Let the models do what the events that were heard say has been done."""
        for event in self.heard:
            model = self.models[event.track]
            self.seen.events[event.kind] += 1
            before = model.now().value()
            if given is not None or event.rule:
                action = given or self.rule_of(event).args["do"]
                if event.kind != action.name.lower():
                    self.differences.note("event", f"update {t}", event.kind, action.name)
                track = self.scheduler.live[event.track]
                largest = max((self.bases[track.key][i] for i in track.members), default=1.0)
                model.act(action, t, self.run, largest, event.control.scale > model.scales[0])
            if event.kind not in ("schedule", "stretch"):
                for what, told, mine in (("before", event.before, before), ("after", event.after, model.now().value())):
                    if off(told, mine, model.now().unit()) > RELATIVE:
                        self.differences.note("event", f"update {t}, {event.kind}, factor {what}", told, mine)
            if event.step != t:
                self.differences.note("event", f"update {t}, {event.kind}, step", event.step, t)
        self.heard.clear()

    def _evaluate(self, t: int, given: dict[str, Any]) -> None:
        self.scheduler.evaluate(given["metrics"], check=given["check"])
        self._listen(t)

    def _apply(self, t: int, given: dict[str, Any]) -> None:
        try:
            self.scheduler.apply(built(given["action"]), groups=given.get("groups"), key=given.get("key", "lr"))
        except ValueError as error:
            if "cannot act" not in str(error):
                raise
            self.seen.idle += 1
        self._listen(t, given["action"])

    def _step(self, t: int, times: int) -> None:
        for _ in range(times):
            self.scheduler.step()

    def _copy(self, t: int, how: str) -> None:
        both = (self.optimizer, self.scheduler)
        self.adopt(*(copy.deepcopy(both) if how == "deepcopy" else pickle.loads(pickle.dumps(both))))

    def _add_group(self, t: int, share: float) -> None:
        """As BaseFinetuning does: its lr is what it is to have now, a share of another's."""
        i = len(self.lrs)
        self.lrs.append(share * number_of(self.optimizer.param_groups[0], "lr"))
        new = self.new_optimizer(self.lrs).param_groups[-1]
        self.optimizer.add_param_group({key: new[key] for key in ("params", "lr", "name") if key in new})
        for key in self.keys:
            self.bases[key].append(number_of(self.optimizer.param_groups[i], key))
        self.born[i] = t
        self._owners.clear()

    def _resume(self, t: int, given: dict[str, Any]) -> None:
        """Save, throw everything away, build it anew with what has changed in the code, load."""
        if t in self.born.values():
            return  # a group that no update has seen yet: whether its lr is the peak's is for the code to say
        file = io.BytesIO()
        torch.save({"optimizer": self.optimizer.state_dict(), "scheduler": self.scheduler.state_dict()}, file)
        file.seek(0)
        saved = torch.load(file, weights_only=True)
        self.run = (given.get("total", self.run[0]), given.get("per_epoch", self.run[1]))
        schedule = given.get("schedule")
        if schedule is not None:
            self.parts = (dataclasses.replace(self.parts[0], schedule=schedule), *self.parts[1:])
        times, own = given.get("times", 1.0), len(self.config.lrs)
        configured = [lr * times for lr in self.lrs[:own]]
        policies = {f"on_{name}": given[name] for name in ("horizon_change", "lr_change") if name in given}
        self.scheduler.detach()
        optimizer = self.new_optimizer([*configured, *self.bases["lr"][own:]])
        order = given["order"]
        if order == "before":
            optimizer.load_state_dict(saved["optimizer"])
        scheduler = self.new_scheduler(optimizer, **policies)
        self.adopt(optimizer, scheduler)
        if order == "optimizer":
            optimizer.load_state_dict(saved["optimizer"])
        scheduler.load_state_dict(saved["scheduler"])
        if order == "scheduler":
            optimizer.load_state_dict(saved["optimizer"])
        if order != "before" and given.get("lr_change") == "use_new":
            scheduled = [i for i in range(own) if self._owner(i, "lr") is not None]
            for i in scheduled:
                self.bases["lr"][i] = number_of(self.new_optimizer(configured).param_groups[i], "lr")
                self.lrs[i] = configured[i]
        for i, model in enumerate(self.models):
            kinds = [event.kind for event in self.heard if event.track == i]
            mine = schedule if self.scheduler.live[i].wanted.id == self.parts[0].id else None
            model.resume(self.run, kinds, mine, t)
        self.changed = True
        self._listen(t)

    # the comparison

    def compare(self) -> Seen:
        """Every lr that was used with every other route to it."""
        first = self.config.start
        replayed = [
            self.scheduler.replayed_at(range(first, first + len(self.rows)), i) for i in range(len(self.scheduler.live))
        ]
        if len(self.scheduler.live) == 1 and not self.changed and self.config.kept >= 1000 and first < 4000:
            program = built(self.parts[0].body).resolve(Horizon(*self.run), on_overrun=self.config.overrun)
            again = lightning_lr.replay(program, self.scheduler.events, first + len(self.rows))
            replayed[0] = again[first:] if again[first:] == replayed[0] else [-1.0] * len(self.rows)
        for n, (row, bases, moments) in enumerate(zip(self.rows, self.base_rows, self.moments, strict=True)):
            t = first + n
            values = [(m.value(), m.its_value(), vectorised(m), m.unit()) for m in moments]
            groups = len(row) // len(self.keys)
            for column, (used, base) in enumerate(zip(row, bases, strict=True)):
                key, group = self.keys[column // groups], column % groups
                owner = self._owner(group, key)
                if owner is None or self.born.get(group) == t:
                    if used != base:
                        self.differences.note("unscheduled", f"update {t}, {key} of group {group}", used, base)
                    continue
                self.seen.lrs += 1
                self.compare_one(f"update {t}, {key} of group {group}", used, base, key, replayed[owner][n],
                                 values[owner], moments[owner])  # fmt: skip
        self.compare_future()
        self.differences.refuse()
        return self.seen

    def compare_one(
        self, where: str, used: float, base: float, key: str, replay: float, value: tuple[float, float, float, float],
        moment: Moment,
    ) -> None:  # fmt: skip
        mine, law, vector, unit = value
        rounded = _single if self.config.tensor == "float32" and key == "lr" else float
        unknown = self.changed or self.config.kept < 1000  # what was before a new schedule, or is folded
        if used != rounded(base * replay) and not (math.isnan(replay) and unknown):
            self.differences.note("replay", where, used, base * replay)
        if used != rounded(base * law):
            self.differences.note("law", where, used, base * law)
        elif rounded is _single:
            used = base * law  # before it was rounded
        if not math.isnan(vector) and used != base * vector:
            self.differences.note("curve", where, used, base * vector)
        gap = 0.0 if moment.reference.doubtful(moment.place) else off(used, base * mine, base * unit)
        self.seen.relative = max(self.seen.relative, gap)
        if gap > RELATIVE:
            self.differences.note("reference", where, used, base * mine)

    def compare_future(self) -> None:
        """What is still to come, and what comes after the end, if no further event happens."""
        draw = random.Random(self.config.seed)
        t = self.config.start + self.config.updates
        far = [draw.randint(t, max(t, self.run[0] or 0) + 50) for _ in range(20)]
        far = sorted({t, *far, *([self.run[0] - 1, self.run[0]] if self.run[0] and self.run[0] > t else [])})
        models = copy.copy(self.models)
        for i, model in enumerate(models):
            replayed = self.scheduler.replayed_at(far, i)
            ahead = copy.copy(model)
            here = copy.copy(model.leader) if model.leader is not None else ahead
            ahead.leader = None if model.leader is None else here
            now = t
            for step, replay in zip(far, replayed, strict=True):
                here.advance(step - now)
                now, moment = step, ahead.now()
                where = f"update {step} to come, track {i}"
                vector, unit = vectorised(moment), moment.unit()
                if replay != moment.its_value():
                    self.differences.note("law", where, replay, moment.its_value())
                if not math.isnan(vector) and replay != vector:
                    self.differences.note("curve", where, replay, vector)
                if off(replay, moment.value(), unit) > RELATIVE and not moment.reference.doubtful(moment.place):
                    self.differences.note("reference", where, replay, moment.value())


def vectorised(moment: Moment) -> float:
    """The factor from the program's curve, where the place is whole; else NaN."""
    if moment.place.denominator != 1:
        return nan
    return moment.its_scale * _curve(moment.program, int(moment.place)) * moment.ramp


_CURVES: dict[int, tuple[Any, Any]] = {}


def _curve(program: Any, place: int) -> float:
    """One value of the vectorised curve, of which a stretch is kept."""
    if place >= 10_000:
        return float(program.curve(place + 1, place)[0])
    kept = _CURVES.get(id(program))
    if kept is None or kept[0] is not program or len(kept[1]) <= place:
        kept = _CURVES[id(program)] = (program, program.curve(max(64, 2 * place + 1)))
    return float(kept[1][place])


def _names(groups: Any, index: int, label: str) -> bool:
    listed = groups if isinstance(groups, (list, tuple)) else [groups]
    return any(one == index if isinstance(one, int) else re.fullmatch(one, label) is not None for one in listed)


def _single(x: float) -> float:
    """As a float32 holds it."""
    return float(np.float32(x))


def check_programs(config: Loop | Fit, total: int | None, per_epoch: Any) -> None:
    """Each schedule by itself: one update at a time, vectorised and by the reference, over the whole run."""
    draw = random.Random(config.seed)
    for part in config.parts:
        for piece in [part.body, *beside(part.schedule).values()]:
            schedule = built(piece)
            if eval(repr(schedule), dict(NAMES)) != schedule:
                raise Mismatch(f"repr         {schedule!r} pasted back is another schedule")
            program = schedule.resolve(Horizon(total, per_epoch), on_overrun="cut")
            reference = Reference(piece, total, per_epoch)
            if (program.end, program.warmup_end) != (reference.end, reference.warmup_end):
                ends = (program.end, program.warmup_end), (reference.end, reference.warmup_end)
                raise Mismatch(f"reference    {schedule!r}: end and warmup's end are {ends[0]}, expected {ends[1]}")
            stop = 400 if total is None else total + 10
            many = stop > 4000
            updates = sorted({draw.randrange(stop) for _ in range(60)}) if many else range(stop)
            curve = None if many else program.curve(stop)
            for t in updates:
                vector = float(program.curve(t + 1, t)[0] if curve is None else curve[t])
                mine, scalar = reference.at(t), program(t)
                unit = reference.unit(Fraction(t))
                if scalar != vector:
                    raise Mismatch(f"curve        {schedule!r}, update {t}: {scalar!r}, vectorised {vector!r}")
                if off(scalar, mine, unit) > RELATIVE and not reference.doubtful(Fraction(t)):
                    raise Mismatch(f"reference    {schedule!r}, update {t}: {scalar!r}, expected {mine!r}")


def check(config: Loop | Fit) -> Seen:
    """Run a configuration; ``Mismatch`` where routes disagree, any other exception is the package's fault too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _CURVES.clear()
        return check_fit(config) if isinstance(config, Fit) else check_loop(config)


def check_loop(config: Loop) -> Seen:
    seen = Seen()
    try:
        check_programs(config, config.total, config.per_epoch)
        lightning_lr.scheduler.MAX_EVENTS = config.kept
        running = Running(config)
        seen = running.seen
        running.steps()
        seen = running.compare()
    except ValueError as error:
        if not _is_refusal(error):
            raise
        seen.refused = str(error)
    finally:
        lightning_lr.scheduler.MAX_EVENTS = 1000
    return seen


def _is_refusal(error: ValueError) -> bool:
    """Whether the package raised it on purpose: its own ``raise``, with a message that says something."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    own = Path(lightning_lr.__file__).parent in Path(last.filename).parents
    return own and (last.line or "").startswith("raise ") and len(str(error)) > 20


# ---- drawing


AWKWARD = ("33.333333333333336%", "66.66666666666667%", "0.1%", "14.285714285714286%", "12.5%", "5 %", "100%")
FUNCTIONS = {
    "progress": ("math:cos", "math:exp", "math:sqrt", "math:erfc", "math:cosh"),
    "step": ("math:sqrt", "math:log1p", "math:isqrt", "math:erfc"),
    "epoch": ("math:sqrt", "math:log1p", "math:erfc"),
}
PHASES = tuple(name for name in schedules.__all__ if name not in ("Chain", "Beside"))
PRESETS = tuple(presets.__all__)
ENDLESS = ("Constant", "Exponential", "InverseTime", "InverseSqrt", "StepDecay", "MultiStep", "Cyclic",
           "CosineRestarts", "Custom")  # fmt: skip


class Drawer:
    """Draws the parts of a configuration, mostly legal ones, for a run of a length."""

    def __init__(self, seed: int, total: int | None, per_epoch: Any) -> None:
        self.draw = random.Random(f"parts/{seed}")
        self.total, self.per_epoch = total, per_epoch
        self.long = total or 200
        self.sync = self.maybe(0.3, sync=self.one("mean", "min", "max", "rank0"))

    def maybe(self, chance: float, **args: Any) -> dict[str, Any]:
        """Arguments that are given, or left at their defaults."""
        return args if self.draw.random() < chance else {}

    def one(self, *options: Any) -> Any:
        return self.draw.choice(options)

    def unit(self) -> float:
        """A share in [0, 1], the ends now and then."""
        return self.one(0.0, 1.0, self.draw.random(), self.draw.random(), round(self.draw.random(), 2), 0.1)

    def gamma(self) -> float:
        return self.one(1.0, 0.5, 0.1, self.draw.uniform(0.3, 1), self.draw.uniform(0.9, 1), 1 - self.draw.random())

    def spelled(self, updates: float) -> Any:
        """A length of about so many updates, in one of the units, to more or fewer digits."""
        draw = self.draw
        kinds = ["steps", "plain"] + ["%", "%"] * (self.total is not None) + ["epochs"] * (self.per_epoch is not None)
        kind = draw.choice(kinds)
        digits = draw.choice([0, 1, 2, 3, 15, 16, 18])
        if kind == "%":
            amount = min(100.0, 100 * updates / (self.total or 1))
            text = f"{amount:.{digits}f}"
            text = text if float(text) > 0 else f"{max(amount, 0.001):.18f}"
            return f"{text}{self.one('%', ' %')}" if draw.random() < 0.9 else draw.choice(AWKWARD)
        if kind == "epochs":
            length = self.per_epoch if isinstance(self.per_epoch, int) else self.per_epoch[0]
            text = f"{updates / length:.{digits}f}"
            text = text if float(text) > 0 else f"{max(updates / length, 0.001):.18f}"
            return f"{text} {self.one('epochs', 'ep', 'epoch')}"
        return max(1, round(updates)) if kind == "plain" else f"{max(1, round(updates))} {self.one('step', 'steps')}"

    def some(self, low: float = 0.002, high: float = 0.6) -> Any:
        """A duration of any size."""
        return self.spelled(self.long * math.exp(self.draw.uniform(math.log(low), math.log(high))))

    def phase(self, name: str, duration: Any, first: bool) -> Piece:
        draw, one = self.draw, self.one
        a: dict[str, Any] = {} if duration is None else {"duration": duration}
        if name == "Warmup":
            shape = one("linear", "cosine", "exponential") if first else one("linear", "cosine")
            a |= self.maybe(0.6 if shape == "linear" else 1, shape=shape)
            if first:
                a |= self.maybe(1 if shape == "exponential" else 0.5, start_factor=max(0.001, self.unit()))
        elif name == "Constant":
            a |= self.maybe(0.4, factor=one(self.unit(), 2.5))
        elif name in WEIGHTS:
            a |= self.maybe(0.6, end_factor=self.unit())
            if name == "Polynomial":
                a |= self.maybe(0.8, power=one(1, 2, 0.5, draw.uniform(0.2, 5)))
        elif name == "Exponential":
            a |= {"gamma": self.gamma(), **self.maybe(0.8, decay_steps=self.some())}
            a |= self.maybe(0.5, staircase=True) | self.maybe(0.3, min_factor=self.unit())
        elif name == "InverseTime":
            a |= {"decay_rate": one(0, 1, draw.uniform(0, 3)), **self.maybe(0.8, decay_steps=self.some())}
            a |= self.maybe(0.5, staircase=True)
        elif name == "InverseSqrt":
            a |= {"timescale": self.some()}
        elif name == "StepDecay":
            a |= {"step_size": self.some(0.0005), **self.maybe(0.8, gamma=self.gamma())}
        elif name == "MultiStep":
            places = sorted({draw.randint(1, self.long) for _ in range(draw.randint(1, 5))})
            spell = one(lambda n: n, lambda n: f"{n / self.long * 100:.14f}%") if self.total else lambda n: n
            a |= {"milestones": list(map(spell, places)), **self.maybe(0.7, gamma=self.gamma())}
        elif name == "Cyclic":
            a |= {"step_size_up": self.some(), **self.maybe(0.4, step_size_down=self.some())}
            a |= self.maybe(0.5, base_factor=self.unit()) | self.maybe(0.3, peak_factor=self.unit())
            a |= self.maybe(0.6, mode=one("triangular2", "exp_range", "math:erfc"))
            a |= self.maybe(0.5, gamma=one(0.9, 0.999, 1.0)) | self.maybe(0.4, shape="cosine")
        elif name == "CosineRestarts":
            a |= {"cycle": self.some(0.005), **self.maybe(0.6, cycle_mult=one(2, 3, 1.5, draw.uniform(1.05, 4)))}
            a |= self.maybe(0.5, peak_gamma=self.gamma()) | self.maybe(0.5, end_factor=self.unit())
        elif name == "Temperature":
            initial = one(1.0, draw.uniform(0.1, 100))
            ratio = one(0.01, draw.uniform(0.001, 1), 1.0)
            cooling = one("linear", "exponential", "logarithmic", "relaxation")
            a |= {"initial_temperature": initial, "final_temperature": initial * ratio}
            a |= self.maybe(0.9 if cooling == "linear" else 1, cooling=cooling)
        elif name == "Custom":
            of = one("progress", "step", *(["epoch"] if self.per_epoch else []))
            a |= {"fn": one(*FUNCTIONS[of]), **self.maybe(0.5 if of == "progress" else 1, of=of)}
        return P(name, **a)

    def chain(self, count: int) -> Piece:
        """Phases, of which one may take the rest; short enough for the run, unless by chance."""
        draw = self.draw
        rest = draw.randrange(count) if draw.random() < 0.7 else None
        if self.total is None:
            rest = count - 1 if draw.random() < 0.6 else None
        shares = [draw.expovariate(1) for _ in range(count)]
        room = self.long * draw.choice([0.3, 0.8, 0.95, 1.0]) / sum(shares)
        parts: list[Piece] = []
        for i in range(count):
            name = draw.choice(PHASES)
            if i == rest:
                while name == "Warmup" or (self.total is None and name not in ENDLESS):
                    name = draw.choice(PHASES)
            length = None if i == rest else self.spelled(draw.choice([1.0, 1.0, 1.0, 0.2]) * shares[i] * room)
            part = self.phase(name, length, i == 0)
            if self.total is None and length is None and part.name == "Custom" and part.args.get("of") is None:
                part = P("Custom", fn="math:sqrt", of="step")
            parts.append(part)
        if count == 1:
            return parts[0] if draw.random() < 0.8 else P("Chain", phases=parts)
        cut = draw.randint(1, count - 1)
        if draw.random() < 0.3:
            return P("Chain", phases=[P(">>", of=parts[:cut]) if cut > 1 else parts[0], *parts[cut:]])
        return P(">>", of=parts)

    def preset(self) -> Piece:
        draw, one = self.draw, self.one
        name = one(*PRESETS)
        low = self.maybe(0.4, end_factor=self.unit())
        a: dict[str, Any] = {}
        if name == "wsd":
            a = self.maybe(0.5, warmup=self.some(0.01, 0.2)) | self.maybe(0.5, cooldown=self.some(0.01, 0.4)) | low
            a |= self.maybe(0.5, shape=one(*COOLDOWNS))
        elif name == "one_cycle":
            a = self.maybe(0.5, warmup=self.some(0.01, 0.7)) | self.maybe(0.4, start_factor=self.unit()) | low
            a |= self.maybe(0.4, momentum_factor=draw.uniform(0.1, 1))
        elif name in ("cosine_with_warmup", "linear_with_warmup"):
            a = self.maybe(0.5, warmup=self.some(0.01, 0.5)) | low
        elif name == "slanted_triangular":
            a = self.maybe(0.5, cut=self.some(0.01, 0.5)) | self.maybe(0.5, ratio=draw.uniform(1, 50))
        elif name == "flat_cosine":
            a = self.maybe(0.5, flat=self.some(0.01, 0.9)) | low
        else:
            a = self.maybe(0.4, warmup=self.some(0.01, 0.2)) | self.maybe(0.4, decay=self.some(0.01, 0.3))
            a |= self.maybe(0.4, anneal=self.some(0.01, 0.2))
            a |= self.maybe(0.4, constant_factor=draw.uniform(0.1, 1), end_factor=draw.uniform(0.001, 0.1))
        piece = P(name, **a)
        if draw.random() < 0.2 and "momentum_factor" not in a:
            return P(">>", of=[piece, self.phase(one("Constant", "Linear", "Cosine"), self.some(0.01, 0.1), False)])
        return piece

    def schedule(self) -> Piece:
        draw = self.draw
        if self.total is not None and draw.random() < 0.15:
            return self.preset()
        found = self.chain(draw.choice([1, 1, 2, 2, 2, 3, 3, 4, 5, 6, 7, 8]))
        if draw.random() < 0.08:
            others = {draw.choice(["momentum", "weight_decay"]): self.chain(draw.randint(1, 3))}
            return P("beside", of=found, others=others)
        if found.name == "Cyclic" and draw.random() < 0.3:
            return P("Cyclic", **found.args, momentum_factor=draw.uniform(0.1, 1))
        return found

    def detector(self, best: bool = False, deep: int = 0) -> Piece:
        """A detector; with ``best`` one that tells an improvement."""
        draw, one = self.draw, self.one
        kind = one("Patience", "Patience", "Window", "Trend", *(["|", "&"] if deep < 2 else []))
        if kind in "|&":
            return P(kind, of=[self.detector(best, deep + 1), self.detector(False, deep + 1)])
        if kind == "Patience" or best:
            a = self.maybe(0.4, threshold=one(0.0, 0.1, 0.01)) | self.maybe(0.4, threshold_mode=one("abs", "rel"))
            return P("Patience", patience=draw.randint(0, 4), **a)
        if kind == "Window":
            return P("Window", window=draw.randint(2, 6), **self.maybe(0.5, threshold=one(0.0, 0.05)))
        a = self.maybe(0.7, form=one("relative", "progress"))
        return P("Trend", **a, **self.maybe(0.4, c=draw.uniform(0.001, 1)), **self.maybe(0.4, z=draw.uniform(0.1, 3)))

    def action(self, kind: str | None = None) -> Piece:
        draw, one = self.draw, self.one
        kind = kind or one("Reduce", "Reduce", "Restart", "Restart", "Freeze", "Freeze", "Adapt", "Cooldown", "Stop")
        if kind == "Reduce":
            return P(kind, **self.maybe(0.8, factor=draw.uniform(0.1, 0.95)), **self.maybe(0.3, min_lr=one(1e-3, 0.02)))
        if kind == "Restart":
            a = self.maybe(0.6, peak_decay=self.gamma()) | self.maybe(0.6, rewarm=one(0, 1, self.some(0.005, 0.2)))
            a |= self.maybe(0.4, max_restarts=one(None, 1, 2)) | self.maybe(0.2, reset_momentum=True)
            return P(kind, **a, **self.maybe(1.0 if self.total is None else 0.5, fit=one("original", "remaining")))
        if kind == "Freeze":
            return P(kind, duration=self.some(0.005, 0.2), **self.maybe(0.4, max_freezes=one(1, 2)))
        if kind == "Adapt":
            up, down = 1 + draw.random(), draw.uniform(0.3, 0.99)
            a = one({"up": up}, {"down": down}, {"up": up, "down": down})
            low = draw.uniform(0.001, 0.5)
            return P(kind, **a, **self.maybe(0.4, min_scale=low), **self.maybe(0.4, max_scale=low + 2 * draw.random()))
        if kind == "Cooldown":
            length = self.maybe(1.0 if self.total is None else 0.7, duration=self.some(0.02, 0.4))
            return P(kind, **length, **self.maybe(0.6, shape=one(*COOLDOWNS)))
        return P("Stop")

    def rule(self, monitors: Sequence[str], checks: Sequence[str]) -> Piece:
        draw = self.draw
        action = self.action()
        a = self.maybe(0.3, mode="max") | self.maybe(0.3, cooldown=draw.randint(0, 2))
        a |= self.maybe(0.6, nan_policy=self.one("count", "ignore", "ignore", "count", "raise"))
        a |= self.sync
        a |= self.maybe(0.2, active_from=self.some(0.01, 0.3)) | self.maybe(0.2, until=self.some(0.5, 0.95))
        check = draw.choice(checks)
        a |= {} if check == "validation" else {"check": check}
        return P("Rule", when=self.detector("up" in action.args), do=action, monitor=draw.choice(monitors), **a)

    def rules(self, most: int, monitors: Sequence[str], checks: Sequence[str]) -> tuple[Piece, ...]:
        found: dict[Any, Piece] = {}
        for _ in range(self.draw.randint(0, most)):
            rule = self.rule(monitors, checks)
            found[rule.args["do"].name, rule.args["monitor"], rule.args.get("check")] = rule
        return tuple(found.values())

    def parts(self, groups: int, most: int, monitors: Sequence[str], checks: Sequence[str]) -> tuple[Part, ...]:
        """One schedule for all groups; sometimes others for some of them, or for another number."""
        draw = self.draw
        main = self.schedule()
        parts = [Part(main, rules=self.rules(most, monitors, checks))]
        if groups > 1 and draw.random() < 0.25:
            named = draw.choice([1, "head", "head.*", "pg4" if groups > 3 else "head", ["head", 0], "body|head"])
            own = self.chain(draw.randint(1, 3)) if draw.random() < 0.8 else None
            part = Part(own, groups=named, rules=self.rules(most, monitors, checks))
            parts = [part] if own is not None and draw.random() < 0.2 else [*parts, part]
        if draw.random() < 0.12 and main.name != "beside" and not beside(main):
            rules = self.rules(most, monitors, checks) if draw.random() < 0.3 else ()
            key = draw.choice(["weight_decay", "momentum"])
            parts.append(Part(self.chain(draw.randint(1, 3)), key=key, rules=rules))
        return tuple(parts)


def walk(draw: random.Random, count: int, bad: float) -> list[float]:
    """A metric: it falls, stalls, jumps, with noise; now and then it is no number. As float32 holds it."""
    value, out = draw.uniform(0.5, 3), []
    noise, fall = draw.choice([0.0, 0.01, 0.3]), draw.choice([0.0, 0.01, 0.1])
    for _ in range(count):
        if draw.random() < 0.05:
            fall = draw.choice([0.0, 0.0, 0.05, -0.1])
        value = value * (1 - fall) if draw.random() < 0.98 else -value
        seen = value + noise * draw.gauss(0, 1)
        out.append(_single(seen) if draw.random() >= bad else draw.choice([nan, inf, -inf]))
    return out


def drawn(number: int) -> Loop | Fit:
    """The configuration of a number."""
    return drawn_fit(number) if number % 10**6 >= FITS_FROM else drawn_loop(number)


def drawn_loop(seed: int) -> Loop:
    draw = random.Random(seed)
    kind = draw.random()
    total: int | None = int(math.exp(draw.uniform(math.log(20), math.log(400))))
    if kind < 0.05:
        total = draw.randint(1, 8)
    elif kind < 0.08:
        total = draw.randint(400, 3000)
    elif kind < 0.13:
        total = None
    elif kind < 0.17:
        total = draw.choice([10**6, 10**9, 10**9 + 7, 2**40])
    long = total or draw.randint(20, 300)
    distant = long > 3000
    per_epoch: Any = draw.choice([None, 1, 7, draw.randint(1, max(1, min(long, 10**6) // 3)), draw.randint(1, 50)])
    if per_epoch is not None and draw.random() < 0.1:
        per_epoch = (per_epoch, per_epoch + 3, per_epoch + 1)
    groups = draw.choice([1, 1, 1, 2, 3, 5])
    peak = 10 ** draw.uniform(-4, 0)
    lrs = tuple(draw.choice([peak, peak / 10, round(peak, 3) or 0.001, 0.1]) for _ in range(groups))
    start = draw.randrange(long if distant else max(1, long // 2)) if distant or draw.random() < 0.1 else 0
    updates = draw.randint(10, 40) if distant else max(1, long - start + draw.choice([0, 0, 0, 0, 5, -long // 4]))
    drawer = Drawer(seed, total, per_epoch)
    monitors, checks = ("a", "b"), ("validation", "validation", "train_epoch")
    parts = drawer.parts(groups, draw.choice([0, 1, 3]), monitors, checks)
    ops = tuple(sorted(drawn_ops(draw, drawer, parts, start, updates, groups), key=lambda op: op[0]))
    names = {name for _, name, _ in ops}
    resumed = "resume" in names
    grown = resumed and "add_group" in names  # a float32 would round the base that the code is to give the new group
    return Loop(
        seed, total, per_epoch, parts, drawn_optimizer(draw, parts), lrs, updates, ops,
        overrun=draw.choice(["cut", "cut", "error"] if resumed else ["cut", "error"]),
        start=start,
        tensor=draw.choice([None] * 6 + [None if grown else "float32", "float64"]),
        gradients=draw.random() < 0.05 and "momentum" not in moved(parts),  # torch cannot do with any
        kept=2 if draw.random() < 0.05 else 1000,
    )  # fmt: skip


def drawn_optimizer(draw: random.Random, parts: Sequence[Part]) -> str:
    """Any; but torch's RMSprop cannot raise a momentum that its first update finds at 0 (KeyError)."""
    return draw.choice(["SGD", "AdamW"] if "momentum" in moved(parts) else list(OPTIMIZERS))


def moved(parts: Sequence[Part]) -> set[str]:
    """The numbers that are on a schedule."""
    return {part.key for part in parts} | {key for part in parts for key in beside(part.schedule)}


def drawn_ops(
    draw: random.Random, drawer: Drawer, parts: Sequence[Part], start: int, updates: int, groups: int
) -> Iterator[tuple[int, str, Any]]:
    """What happens in a loop besides updates."""
    watched = {(rule.args.get("check", "validation"), rule.args["monitor"]) for part in parts for rule in part.rules}
    raises = any(rule.args.get("nan_policy") == "raise" for part in parts for rule in part.rules)
    every = max(1, updates // draw.choice([5, 20, 60]))
    names = sorted({name for _, name in watched})
    walks = {name: walk(draw, updates // every + 1, 0.0 if raises and draw.random() < 0.95 else 0.03) for name in names}
    for check in sorted({check for check, _ in watched}):
        mine = [name for where, name in sorted(watched) if where == check]
        for n, t in enumerate(range(start + draw.randrange(every), start + updates, every)):
            metrics = {name: walks[name][n] for name in mine if len(mine) == 1 or draw.random() < 0.8}
            if metrics:
                yield t, "evaluate", {"metrics": metrics, "check": check}

    def when() -> int:
        return start + draw.randrange(updates)

    if draw.random() < 0.35:
        for _ in range(draw.choice([1, 1, 2, 4])):
            named = draw.choice([p for p in parts if p.key == "lr"])
            about = {} if named.groups is None else {"groups": named.groups}
            yield when(), "apply", {"action": drawer.action(), **about}
    for _ in range(draw.choice([0, 0, 0, 1, 5])):
        yield when(), "step", draw.randint(1, 2)
    if draw.random() < 0.1:
        yield when(), "copy", draw.choice(["deepcopy", "pickle"])
    if draw.random() < 0.08 and groups < 6:
        yield when(), "add_group", draw.choice([1.0, 0.1, draw.random()])
    if draw.random() < 0.2:
        for _ in range(draw.choice([1, 1, 2])):
            t = when()
            yield t, "resume", drawn_resume(draw, drawer, parts, t)


def drawn_resume(draw: random.Random, drawer: Drawer, parts: Sequence[Part], t: int) -> dict[str, Any]:
    """What has changed in the code when a run goes on."""
    given: dict[str, Any] = {"order": draw.choice(["before", "optimizer", "scheduler"])}
    if drawer.total is not None and draw.random() < 0.5:
        given["total"] = max(t + 1, int(drawer.total * draw.choice([1.5, 2, 1.1, 0.9, draw.uniform(0.5, 3)])))
    if isinstance(drawer.per_epoch, int) and draw.random() < 0.15:
        given["per_epoch"] = drawer.per_epoch + 1
    if draw.random() < 0.7:
        given["horizon_change"] = draw.choice(["keep", "stretch"] * 4 + ["error"])
    if draw.random() < 0.4:
        given["times"] = draw.choice([2.0, 0.5])
        given["lr_change"] = draw.choice(["keep", "use_new"] * 4 + ["error"])
    elif draw.random() < 0.3:
        given["lr_change"] = draw.choice(["keep", "use_new", "error"])
    if len(parts) == 1 and not beside(parts[0].schedule) and draw.random() < 0.15:
        given["schedule"] = drawer.chain(draw.randint(1, 3))
    return given


# ---- Trainer.fit


class Module(LRScheduleMixin, Net):
    """Groups, and metrics that are scripted: ``a`` and ``b`` of each validation, ``c`` of each epoch."""

    def __init__(self, config: Fit) -> None:
        super().__init__(batches=config.batches)
        self.config = config
        self.weights = torch.nn.ParameterList(torch.nn.Parameter(torch.zeros(1)) for _ in config.lrs)
        self.scripts = {name: itertools.cycle(config.metrics[i:]) for i, name in enumerate("abc")}
        self.now = 0.0

    def on_train_epoch_start(self) -> None:
        self.now = next(self.scripts["c"])

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("c", self.now, on_step=False, on_epoch=True)
        return sum(weight.sum() for weight in self.weights) * 1e-3

    def on_validation_epoch_end(self) -> None:
        for name in "ab":
            self.log(name, next(self.scripts[name]))

    def configure_optimizers(self) -> Any:
        groups: list[dict[str, Any]] = []
        for i, (weight, lr) in enumerate(zip(self.weights, self.config.lrs, strict=True)):
            groups.append({"params": [weight], "lr": lr, **({} if GROUPS[i] is None else {"name": GROUPS[i]})})
        optimizer = OPTIMIZERS[self.config.optimizer](groups)
        if self.config.form != "mixin":
            return optimizer
        main = self.config.parts[0]
        tracks = [
            built(P("Track", schedule=p.schedule, groups=p.groups, key=p.key, rules=list(p.rules)))
            for p in self.config.parts[1:]
        ]
        rules = list(map(built, main.rules))
        return self.scheduled(
            optimizer, built(main.schedule), rules=rules, tracks=tracks, on_overrun=self.config.overrun
        )


class Watch(Callback):
    """What rules are shown, and after how many updates; last in the list, and first to see."""

    def __init__(self, used: Used) -> None:
        self.used = used
        self.shown: list[tuple[int, str, dict[str, float]]] = []
        self.scheduler: Any = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.scheduler = trainer.lr_scheduler_configs[0].scheduler

    def _note(self, trainer: Any, check: str, names: str) -> None:
        found = {name: float(trainer.callback_metrics[name]) for name in names if name in trainer.callback_metrics}
        self.shown.append((len(self.used.groups), check, found))

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self._note(trainer, "validation", "ab")

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._note(trainer, "train_epoch", "c")


SHORTHANDS = {"Reduce": "LRPlateauReduction", "Restart": "LRStagnationRestart", "Freeze": "LRFreeze"}


def wishes(config: Fit) -> list[Any]:
    """The callbacks that say it."""
    if config.form == "mixin":
        return []
    out: list[Piece] = []
    for part in config.parts:
        about = {"groups": part.groups, "key": part.key, "on_overrun": config.overrun}
        if config.form == "controller":
            out.append(P("LRController", schedule=part.schedule, rules=list(part.rules), **about))
            continue
        schedule = part.schedule
        if schedule is not None and _warms_up(schedule):
            warmup, *phases = schedule.args["of"]
            out.append(P("LRWarmup", **warmup.args, **about))
            schedule = P(">>", of=phases) if len(phases) > 1 else phases[0]
        if schedule is not None:
            out.append(P("LRMultiPhaseDecay", phases=schedule, **about))
        for rule in part.rules:
            out.append(_shorthand(rule, about))
    callbacks = [eval(code(wish), dict(NAMES)) for wish in out]
    random.Random(config.seed).shuffle(callbacks)
    return callbacks


def _warms_up(schedule: Piece) -> bool:
    return schedule.name == ">>" and bool(schedule.args["of"][0].name == "Warmup")


def _shorthand(rule: Piece, about: dict[str, Any]) -> Piece:
    """A rule's own callback, where it has one that can say it."""
    a, do = dict(rule.args), rule.args["do"]
    name = SHORTHANDS.get(do.name)
    lacks = {"sync", *(() if do.name == "Reduce" else ("cooldown",))} & set(a)
    if name is None or lacks or {"reset_momentum", "max_freezes"} & set(do.args):
        return P("LRController", rules=[rule], **about)
    kept = {key: value for key, value in a.items() if key not in ("do", "when")}
    return P(name, **kept, **do.args, detector=a["when"], **about)


def as_loop(config: Fit, updates: int, shown: Sequence[tuple[int, str, dict[str, float]]]) -> Loop:
    """The same in a plain loop: the metrics that the rules were shown, at the same updates."""
    per_epoch = math.ceil(config.batches / config.accumulate)
    watched = {(rule.args.get("check", "validation"), rule.args["monitor"]) for p in config.parts for rule in p.rules}
    parts = list(config.parts)
    main = parts[0].schedule
    if config.form == "callbacks" and main is not None and _warms_up(main):  # an LRWarmup is for named groups too
        for i, part in enumerate(parts[1:], 1):
            if part.key == "lr" and part.schedule is not None:
                parts[i] = dataclasses.replace(part, schedule=P(">>", of=[main.args["of"][0], part.schedule]))
    ops = []
    for t, check, metrics in shown:
        mine = {name: value for name, value in metrics.items() if (check, name) in watched}
        if mine and t < updates:
            ops.append((t, "evaluate", {"metrics": mine, "check": check}))
    return Loop(
        config.seed, per_epoch * config.epochs, per_epoch, tuple(parts), config.optimizer, config.lrs, updates,
        tuple(ops), config.overrun,
    )  # fmt: skip


def check_fit(config: Fit) -> Seen:
    try:
        used = Used()
        watch = Watch(used)
        differences = Differences()
        with tempfile.TemporaryDirectory() as root:

            def trained(*more: Any) -> Any:
                settings = {"max_epochs": config.epochs, "accumulate_grad_batches": config.accumulate}
                return trainer(Path(root), [*wishes(config), *more], **{**settings, **config.settings})

            trained(used, watch).fit(Module(config))
            foreseen = preview(trained(), Module(config))
        loop = as_loop(config, len(used.groups), watch.shown)
        check_programs(config, loop.total, loop.per_epoch)
        running = Running(loop)
        running.steps()
    except ValueError as error:
        if not _is_refusal(error):
            raise
        return Seen(refused=str(error))
    scheduler, groups = watch.scheduler, len(config.lrs)
    rows = [row[:groups] for row in running.rows]
    replayed = [scheduler.replayed_at(range(len(rows)), i) for i in range(len(scheduler.live))]
    curves = [curve for tag, curve in foreseen.items() if tag.startswith("lr/")]
    decided = min((event.step for event in scheduler.events), default=len(rows))
    for t, (row, plain) in enumerate(zip(used.groups, rows, strict=True)):
        for group, lr in enumerate(row):
            where = f"update {t}, lr of group {group}"
            if lr != plain[group]:
                differences.note("loop", where, lr, plain[group])
            owner = next((i for i, track in enumerate(scheduler.live) if track.key == "lr" and group in track.members))
            if lr != config.lrs[group] * replayed[owner][t]:
                differences.note("replay", where, lr, config.lrs[group] * replayed[owner][t])
            if t < decided and lr != float(curves[group][t]):
                differences.note("preview", where, lr, float(curves[group][t]))
    decisions = [[e[:3] for e in s.events if e.step < len(rows)] for s in (scheduler, running.scheduler)]
    if decisions[0] != decisions[1]:
        differences.note("loop", "the list of events", *decisions)
    differences.refuse()
    return running.compare()


def drawn_fit(seed: int) -> Fit:
    draw = random.Random(seed)
    batches, epochs, accumulate = draw.randint(1, 9), draw.randint(1, 6), draw.choice([1, 1, 2, 3])
    per_epoch = math.ceil(batches / accumulate)
    groups = draw.choice([1, 1, 2, 3])
    peak = 10 ** draw.uniform(-4, 0)
    validated = draw.random() < 0.8
    validation = draw.choice([{}, {"val_check_interval": draw.randint(1, batches)}, {"val_check_interval": 0.5},
                              {"check_val_every_n_epoch": draw.randint(1, 2)}])  # fmt: skip
    if batches == 1 and validation.get("val_check_interval") == 0.5:
        validation = {}
    if validation.get("check_val_every_n_epoch", 0) > epochs:
        validation = {}
    settings = {**(validation if validated else {}), "limit_val_batches": draw.choice([1, 1.0]) if validated else 0}
    drawer = Drawer(seed, per_epoch * epochs, per_epoch)
    by_epoch = not validated or draw.random() < 0.2
    monitors, check = ("c", "train_epoch") if by_epoch else ("ab", "validation")
    parts = drawer.parts(groups, draw.choice([0, 1, 2, 3]), monitors, [check])
    raises = any(rule.args.get("nan_policy") == "raise" for part in parts for rule in part.rules)
    if any(part.groups is None and part.key == "lr" for part in parts[:1]):
        form = draw.choice(["callbacks", "callbacks", "controller", "mixin"])
    else:
        parts, form = (Part(parts[0].schedule, rules=parts[0].rules), *parts[1:]), "controller"
    return Fit(
        seed, batches, epochs, accumulate, parts, drawn_optimizer(draw, parts),
        tuple(draw.choice([peak, peak / 10, 0.1]) for _ in range(groups)), form,
        tuple(walk(draw, 40, 0.0 if raises else 0.02)), settings, draw.choice(["cut", "cut", "error"]),
    )  # fmt: skip


# ---- what was drawn, and what was found


POLICIES = {
    "mode": ("min", "max"),
    "check": ("validation", "train_epoch"),
    "nan_policy": ("count", "ignore", "raise"),
    "sync": ("mean", "min", "max", "rank0"),
    "threshold_mode": ("rel", "abs"),
    "fit": ("remaining", "original"),
    "horizon_change": ("keep", "stretch", "error"),
    "lr_change": ("keep", "use_new", "error"),
    "overrun": ("error", "cut"),
}
WANTED = {
    "schedules": [*PHASES, "Chain", "Beside", *PRESETS],
    "detectors": ["Patience", "Window", "Trend", "Either", "Both"],
    "actions": ["Reduce", "Restart", "Freeze", "Adapt", "Cooldown", "Stop"],
    "policies": [f"{field}={value}" for field, values in POLICIES.items() for value in values],
    "durations": ["updates", "steps", "epochs", "%"],
    "ops": ["evaluate", "apply", "step", "copy", "add_group", "resume"],
    "optimizers": list(OPTIMIZERS),
    "forms": ["callbacks", "controller", "mixin"],
    "other": ["tensor float32", "tensor float64", "groups", "another key", "no total", "1-update run", "long horizon"],
}
"""What must be among thousands of configurations."""

CALLED = {"beside": "Beside", ">>": "Chain", "|": "Either", "&": "Both"}


def drawn_kinds(config: Loop | Fit) -> Iterator[str]:
    """What of the above is in a configuration."""
    yield from (config.optimizer, f"overrun={config.overrun}")
    for piece in pieces(config):
        yield CALLED.get(piece.name, piece.name)
        for name, value in piece.args.items():
            if name in ("duration", *MEASURED) and value is not None:
                unit = re.sub(r"[\d. ]", "", str(value))
                yield "%" if unit == "%" else "updates" if not unit else "steps" if "step" in unit else "epochs"
            if name in POLICIES:
                yield f"{name}={value}"
        if piece.name == "Rule":
            yield from (f"{name}={POLICIES[name][0]}" for name in POLICIES if name in ("mode", "check", "sync"))
    if isinstance(config, Fit):
        yield config.form
        return
    for _, name, given in config.ops:
        yield name
        if name == "resume":
            yield from (f"{field}={given[field]}" for field in ("horizon_change", "lr_change") if field in given)
    yield from (f"tensor {config.tensor}" for _ in range(config.tensor is not None))
    yield from ("groups" for part in config.parts if part.groups is not None)
    yield from ("another key" for part in config.parts if part.key != "lr")
    total = config.total
    yield "no total" if total is None else "1-update run" if total == 1 else "long horizon" if total > 4000 else "run"


def smaller(config: Loop | Fit) -> Iterator[Loop | Fit]:
    """The same with something left out."""
    parts = config.parts
    if isinstance(config, Loop):
        size = len(config.ops)
        while size:  # many at once first
            for i in range(0, len(config.ops), size):
                yield dataclasses.replace(config, ops=config.ops[:i] + config.ops[i + size :])
            size //= 2
        if config.updates > 1:
            yield dataclasses.replace(config, updates=config.updates // 2)
    for i in range(1, len(parts)):
        yield dataclasses.replace(config, parts=parts[:i] + parts[i + 1 :])
    for i, part in enumerate(parts):
        fewer = [dataclasses.replace(part, rules=part.rules[:j] + part.rules[j + 1 :]) for j in range(len(part.rules))]
        phases = [] if part.schedule is None else flat(part.schedule)
        for j in range(len(phases) if len(phases) > 1 else 0):
            kept = phases[:j] + phases[j + 1 :]
            fewer.append(dataclasses.replace(part, schedule=P(">>", of=kept) if len(kept) > 1 else kept[0]))
        yield from (dataclasses.replace(config, parts=(*parts[:i], one, *parts[i + 1 :])) for one in fewer)
    if len(config.lrs) > 1:
        yield dataclasses.replace(config, lrs=config.lrs[:1])


def failure(config: Loop | Fit) -> BaseException | None:
    """What is wrong with it, if anything."""
    try:
        check(config)
    except Exception as error:
        return error
    return None


def shrunk(config: Loop | Fit, seconds: float) -> Loop | Fit:
    """A smaller configuration that fails in the same way."""
    kind, until = type(failure(config)), time.monotonic() + seconds
    again = True
    while again:
        again = False
        for candidate in smaller(config):
            if time.monotonic() > until:
                return config
            if type(failure(candidate)) is kind:
                config, again = candidate, True
                break
    return config


def told(number: int, error: BaseException, config: Loop | Fit, seconds: float) -> str:
    """A finding, to be read and pasted; what it may cost to make it smaller."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = "" if isinstance(error, Mismatch) else f" ({Path(frame.filename).name}:{frame.lineno})"
    small = shrunk(config, seconds)
    lines = [f"--- {number}: {type(error).__name__}{where}", str(error)]
    lines += [f"{'drawn' if small == config else 'smaller, which fails in the same way'}: {small!r}"]
    if small != config:
        lines += [str(failure(small))]
    lines += [f"{part.id}: {code(part.schedule)} {code(part.rules)}" for part in small.parts]
    return "\n".join(lines)


@dataclass
class Summary:
    """Of many configurations."""

    configs: int = 0
    fits: int = 0
    findings: list[int] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    lrs: int = 0
    idle: int = 0
    relative: float = 0.0

    def take(self, config: Loop | Fit, seen: Seen) -> None:
        self.lrs, self.idle, self.events = self.lrs + seen.lrs, self.idle + seen.idle, self.events + seen.events
        self.relative = max(self.relative, seen.relative)
        if seen.refused:
            self.refusals[re.sub(r"\d[\d.]*", "N", seen.refused)[-60:]] += 1

    def __str__(self) -> str:
        lines = []
        for title, names in WANTED.items():
            lines.append(f"{title}: " + ", ".join(f"{name} {self.kinds[name]}" for name in names))
        lines.append("events: " + ", ".join(f"{kind} {count}" for kind, count in self.events.most_common()))
        refused = sum(self.refusals.values())
        lines += [f"refused {count}: …{said}" for said, count in self.refusals.most_common(8)]
        lines.append(
            f"{self.configs} configurations, {self.fits} fits, {self.lrs} lrs, refused {refused}; against "
            f"the reference at most {self.relative:.1e}; findings "
            f"{len(self.findings)} {self.findings[:20]}"
        )
        return "\n".join(lines)


def fuzz(numbers: Iterable[int], say: Callable[[str], None] = print) -> Summary:
    """Check the configurations of these numbers."""
    out = Summary()
    for number in numbers:
        config = drawn(number)
        out.kinds.update(drawn_kinds(config))
        out.fits += isinstance(config, Fit)
        out.configs += isinstance(config, Loop)
        try:
            out.take(config, check(config))
        except Exception as error:
            out.findings.append(number)
            say(told(number, error, config, seconds=20.0 if len(out.findings) <= 5 else 0.0))
    return out


def numbers_of(seed: int, configs: int, fits: int) -> list[int]:
    """The numbers of a seed's configurations."""
    return [seed * 10**6 + i for i in range(configs)] + [seed * 10**6 + FITS_FROM + i for i in range(fits)]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", type=int, default=10_000)
    parser.add_argument("--fits", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="one configuration's number")
    args = parser.parse_args(argv)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    if args.only is not None:
        print(repr(drawn(args.only)))
    began = time.perf_counter()
    numbers = [args.only] if args.only is not None else numbers_of(args.seed, args.configs, args.fits)
    summary = fuzz(numbers, lambda text: print(text, flush=True))
    print(summary)
    print(f"{time.perf_counter() - began:.0f} s")
    return 1 if summary.findings else 0


if __name__ == "__main__":
    sys.exit(main())
