"""Configurations, each drawn from one number."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from math import inf, nan
from typing import Any

from fuzz_config import OPTIMIZERS, Loop, P, Part, Piece
from fuzz_loop import _single
from fuzz_reference import COOLDOWNS, WEIGHTS, beside

from lightning_lr.core import presets, schedules

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
