"""The fuzzer's own durations and formulas, on exact fractions: nothing of the package computes them."""

from __future__ import annotations

import functools
import math
import re
from bisect import bisect_right
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

from fuzz_config import P, Piece


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
