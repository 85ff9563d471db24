"""Configurations that go through ``Trainer.fit``."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from fuzz_config import GROUPS, NAMES, OPTIMIZERS, Fit, Loop, P, Part, Piece, built, code
from fuzz_drawing import Drawer, drawn_optimizer, walk
from fuzz_loop import Differences, Running, Seen, _is_refusal, check_programs
from lightning.pytorch.callbacks import Callback
from runs import Net, Used, trainer

from lightning_lr import LRScheduleMixin, preview


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
