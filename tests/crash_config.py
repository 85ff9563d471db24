"""The configurations of tests/crash_matrix.py: everything that a run may be made of, drawn by seed."""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import (
    Callback,
    GradientAccumulationScheduler,
    ModelCheckpoint,
    OnExceptionCheckpoint,
)

from lightning_lr import (
    Adapt,
    Chain,
    Constant,
    Cooldown,
    Cosine,
    CosineRestarts,
    Custom,
    Cyclic,
    Exponential,
    Freeze,
    InverseSqrt,
    InverseTime,
    Linear,
    LRController,
    LRFreeze,
    LRMultiPhaseDecay,
    LRPlateauReduction,
    LRStagnationRestart,
    LRWarmup,
    MultiStep,
    OneMinusSqrt,
    Patience,
    Polynomial,
    Reduce,
    Restart,
    Rex,
    Rule,
    StepDecay,
    Temperature,
    Track,
    Trend,
    Warmup,
    Window,
    cosine_with_warmup,
    flat_cosine,
    infinite,
    linear_with_warmup,
    one_cycle,
    slanted_triangular,
    wsd,
)

SAVES_ON_EXCEPTION = "save_on_exception" in inspect.signature(ModelCheckpoint.__init__).parameters
"""Whether the installed Lightning's ModelCheckpoint has it."""

Length = Callable[[float], Any]


def wave(u: float) -> float:
    return 1.0 - 0.5 * math.sin(3.0 * math.pi * u) ** 2


def cooler(epoch: int) -> float:
    return 1.0 / (1.0 + 0.2 * epoch)


def bodies(draw: random.Random, length: Length) -> dict[str, Callable[[], Any]]:
    """By name, a schedule in which each public schedule has a part; ``length`` spells a share of the run somehow."""
    end, shape = draw.choice([0.0, 0.1, 0.3]), draw.choice(["linear", "cosine"])
    swing = draw.choice([None, 0.9])
    return {
        "Warmup": lambda: Warmup(length(0.2), start_factor=0.1, shape="exponential") >> Linear(),
        "Constant": lambda: [Constant(length(0.3)), Constant(length(0.2), factor=0.5), Linear(end_factor=end)],
        "Linear": lambda: [Linear(length(0.5), end_factor=0.5), Cosine()],
        "Cosine": lambda: Cosine(length(0.6), end_factor=max(end, 0.1)),
        "Polynomial": lambda: [Constant(length(0.2)), Polynomial(length(0.4), end_factor=0.3, power=2.0), Linear()],
        "OneMinusSqrt": lambda: [Constant(length(0.5)), OneMinusSqrt(end_factor=end)],
        "Rex": lambda: [Rex(length(0.5), end_factor=0.4), Linear()],
        "Exponential": lambda: Exponential(0.7, decay_steps=length(0.1), staircase=end > 0, min_factor=0.05),
        "InverseTime": lambda: InverseTime(0.5, decay_steps=length(0.1), staircase=end > 0),
        "InverseSqrt": lambda: InverseSqrt(draw.randint(3, 9)),
        "StepDecay": lambda: [StepDecay(length(0.1), gamma=0.8, duration=length(0.6)), Linear()],
        "MultiStep": lambda: MultiStep([length(0.3), length(0.6)], gamma=0.3),
        "Cyclic": lambda: Cyclic(
            length(0.1), mode=draw.choice(["triangular", "triangular2"]), shape=shape, momentum_factor=swing
        ),
        "CosineRestarts": lambda: [
            Cosine(length(0.2), end_factor=0.7),
            CosineRestarts(length(0.15), cycle_mult=1.5, peak_gamma=0.9),
        ],
        "Temperature": lambda: Temperature(
            1.0, 0.1, draw.choice(["linear", "exponential", "logarithmic", "relaxation"])
        ),
        "Custom": lambda: draw.choice([Custom(wave), Custom(cooler, of="epoch")]),
        "Chain": lambda: Chain([Chain([Constant(length(0.3)), Rex(length(0.3), end_factor=0.5)]), OneMinusSqrt()]),
        "Beside": lambda: Cosine(end_factor=end).beside(momentum=Linear(end_factor=0.8)),
        "wsd": lambda: wsd(draw.randint(2, 5)),
        "one_cycle": lambda: one_cycle(momentum_factor=swing),
        "cosine_with_warmup": lambda: cosine_with_warmup("10%", end_factor=end),
        "linear_with_warmup": lambda: linear_with_warmup(draw.randint(2, 5)),
        "slanted_triangular": slanted_triangular,
        "flat_cosine": lambda: flat_cosine(end_factor=end),
        "infinite": lambda: infinite(decay=length(0.3)),
    }


WARM = ("Warmup", "wsd", "one_cycle", "cosine_with_warmup", "linear_with_warmup", "slanted_triangular", "infinite")
MOVES_MOMENTUM = ("Cyclic", "one_cycle", "Beside")


def by_callbacks(draw: random.Random, length: Length) -> list[Callable[[], Callback]]:
    """Rules as callbacks of their own."""
    patience, monitor = draw.randint(0, 2), "val_loss"
    reduction = partial(
        LRPlateauReduction,
        monitor,
        patience=patience,
        factor=draw.choice([0.5, 0.3, 0.9]),
        cooldown=draw.randint(0, 1),
        threshold_mode=draw.choice(["rel", "abs"]),
        groups=draw.choice([None, None, "weight"]),
    )
    longer = patience + draw.randint(1, 2)
    restart = partial(
        LRStagnationRestart,
        monitor,
        patience=longer,
        peak_decay=draw.choice([1.0, 0.7, 0.5]),
        rewarm=draw.choice([0, 2, "5%"]),
        fit=draw.choice(["remaining", "original"]),
        max_restarts=draw.choice([1, 3, None]),
    )
    freeze = partial(LRFreeze, monitor, duration=length(0.1), patience=longer + 1)
    return draw.choice([[reduction, restart], [reduction, restart], [reduction, freeze], [reduction, restart, freeze]])


def detector(draw: random.Random) -> Any:
    patience = Patience(draw.randint(0, 2), draw.choice([1e-4, 1e-2]), draw.choice(["rel", "abs"]))
    window = Window(draw.randint(2, 4), draw.choice([1e-3, 1e-1]))
    trend = Trend(draw.choice(["progress", "relative"]))
    return draw.choice([patience, patience, window, window, patience | window, patience & window, trend])


def by_rules(draw: random.Random, length: Length) -> list[Rule]:
    """Two or three rules, each with a detector of its own.

    Not ``Stop``: a checkpoint written after it has fired goes on until it fires again, as with EarlyStopping.
    """
    adapt = Adapt(up=draw.choice([1.0, 1.2]), down=0.6, min_scale=0.05)
    late = {"active_from": length(0.7)}
    makers: list[Callable[[], Rule]] = [
        lambda: Rule(
            detector(draw), Reduce(draw.choice([0.5, 0.8]), min_lr=0.01), "val_loss", cooldown=draw.randint(0, 2)
        ),
        lambda: Rule(
            detector(draw),
            Restart(draw.choice([1.0, 0.6]), 2, draw.choice([0, "10%"]), reset_momentum=draw.random() < 0.5),
            "val_loss",
            until=length(0.8),
        ),
        lambda: Rule(detector(draw), Freeze(length(0.1), max_freezes=2), "val_loss"),
        lambda: Rule(Patience(draw.randint(0, 1)), adapt, "val_loss"),
        lambda: Rule(detector(draw), Cooldown(draw.choice([None, "20%"]), "cosine"), "val_loss", **late),
    ]
    return [make() for make in draw.sample(makers, draw.randint(2, 3))]


@dataclass(frozen=True)
class Config:
    """One way to train, drawn by seed."""

    seed: int
    batches: int
    epochs: int
    accumulate: int | dict[int, int]
    validation: dict[str, Any]
    savers: dict[str, int]
    on_exception: str
    optimizer: str
    tensor_lr: bool
    warmup: int
    body: str
    form: str
    other: str
    nans: bool

    @classmethod
    def drawn(cls, seed: int) -> Config:
        draw = random.Random(seed)
        batches = draw.randint(5, 9)
        across = {"check_val_every_n_epoch": None, "val_check_interval": draw.randint(3, 2 * batches)}
        often = {"val_check_interval": draw.randint(2, 4)}
        kinds = ["steps", "validation", "epoch"]
        names = list(bodies(draw, lambda share: 1))
        body = names[seed % len(names)]
        others = ["", "", "lr of bias", "weight_decay"]
        return cls(
            seed=seed,
            batches=batches,
            epochs=draw.randint(8, 12),
            accumulate=draw.choice([1, 1, 2, 3, {0: 1, 4: 2}]),
            validation={
                **draw.choice([{}, often, often, across, {"check_val_every_n_epoch": 2}]),
                "limit_val_batches": draw.choice([1, 2]),
                "num_sanity_val_steps": draw.choice([0, 1]),
            },
            savers={kind: draw.choice([-1, -1, 1]) for kind in draw.sample(kinds, draw.randint(1, 3))},
            on_exception=draw.choice(["", "callback", "callback", "model" if SAVES_ON_EXCEPTION else "callback"]),
            optimizer=draw.choice(["SGD", "AdamW"]),
            tensor_lr=draw.random() < 0.25,
            warmup=0 if body in WARM else draw.randint(0, 5),
            body=body,
            form=draw.choice(["callbacks", "callbacks", "controller", "controller", "mixin"]),
            other=draw.choice(others if body in MOVES_MOMENTUM else [*others, "momentum", "momentum"]),
            nans=draw.random() < 0.2,
        )

    def metric(self, step: int, rank: int) -> float:
        """Falls and stalls, in turns: a function of the step, and a contradicting one on the other rank."""
        draw = random.Random(f"{self.seed}/{step}/{rank}")
        if self.nans and draw.random() < 0.1:
            return math.nan
        return math.exp(-step / 8) + 0.2 * draw.random() + rank * math.sin(step)

    def _parts(self) -> tuple[Any, list[Any], list[Callable[[], Callback]], random.Random]:
        """The body, the rules, the callbacks that have rules, and what goes on drawing: the same at every call."""
        draw = random.Random(f"parts/{self.seed}")
        factor = self.accumulate if isinstance(self.accumulate, int) else 2
        per_epoch = math.ceil(self.batches / factor)

        def length(share: float) -> Any:
            updates = max(1, round(share * per_epoch * self.epochs))
            return draw.choice([updates, f"{100 * share:g}%", f"{updates / per_epoch:.2f} epochs"])

        body = bodies(draw, length)[self.body]()
        rules = by_rules(draw, length) if self.form != "callbacks" else []
        return body, rules, by_callbacks(draw, length) if self.form == "callbacks" else [], draw

    def wishes(self) -> list[Callback]:
        """The LR callbacks, in some order; they are new at every call."""
        body, rules, makers, draw = self._parts()
        wishes = [make() for make in makers]
        if self.warmup:
            wishes.append(LRWarmup(self.warmup))
        if self.form == "callbacks":
            wishes.append(LRMultiPhaseDecay(body, on_overrun="cut"))
        elif self.form == "controller":
            wishes.append(LRController(body, rules=rules, on_overrun="cut"))
        if self.other and self.form != "mixin":
            track = self.track()
            wishes.append(LRMultiPhaseDecay(track.schedule, groups=track.groups, key=track.key, on_overrun="cut"))
        draw.shuffle(wishes)
        return wishes

    def track(self) -> Track:
        """What is scheduled besides."""
        groups, key = ("bias", "lr") if self.other == "lr of bias" else (None, self.other)
        return Track([Constant("30%"), Linear(end_factor=0.5)], groups=groups, key=key)

    def mixed(self, module: Any, optimizer: Any) -> Any:
        """What ``configure_optimizers`` returns."""
        if self.form != "mixin":
            return optimizer
        body, rules, _, _ = self._parts()
        tracks = [self.track()] if self.other else []
        return module.scheduled(optimizer, body, rules=rules, tracks=tracks, on_overrun="cut")

    def optimize(self, weight: Any, bias: Any) -> torch.optim.Optimizer:
        """Two groups with lrs of their own."""
        lrs: list[Any] = [1.0, 0.125]
        if self.tensor_lr:
            lrs = [torch.tensor(lr) for lr in lrs]
        groups = [
            {"params": [parameter], "lr": lr, "name": name}
            for parameter, lr, name in zip((weight, bias), lrs, ("weight", "bias"), strict=True)
        ]
        if self.optimizer == "SGD":
            return torch.optim.SGD(groups, lr=1.0, momentum=0.9, weight_decay=0.1)
        return torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.99), weight_decay=0.1)

    def checkpoints(self, root: Path) -> list[Callback]:
        """What saves, each into a folder of its own."""
        draw = random.Random(f"savers/{self.seed}")
        kinds: dict[str, dict[str, Any]] = {
            "steps": {"every_n_train_steps": draw.randint(1, 4)},
            "validation": {"monitor": "val_loss", "every_n_epochs": 1, "save_on_train_epoch_end": False},
            "epoch": {"every_n_epochs": 1, "save_on_train_epoch_end": True},
        }
        out: list[Callback] = [
            ModelCheckpoint(root / kind, "{step}", save_top_k=kept, **kinds[kind]) for kind, kept in self.savers.items()
        ]
        if self.on_exception == "callback":
            out.append(OnExceptionCheckpoint(root / "exception"))
        if self.on_exception == "model":
            never = {"every_n_epochs": 10**6, "save_on_exception": True}
            out.append(ModelCheckpoint(root / "exception", "{step}", save_top_k=-1, **never))
        if isinstance(self.accumulate, dict):
            out.append(GradientAccumulationScheduler(self.accumulate))
        return out

    def __str__(self) -> str:
        check = self.validation.get("val_check_interval", "epoch")
        across = {None: " across", 2: " 2nd"}.get(self.validation.get("check_val_every_n_epoch", 1), "")
        saved = "+".join(f"{kind}{'' if kept < 0 else '!'}" for kind, kept in self.savers.items())
        at_exceptions = f"+exception by {self.on_exception}" if self.on_exception else ""
        accumulate = self.accumulate if isinstance(self.accumulate, int) else "1,2"
        what = f"{self.optimizer}{' tensor' if self.tensor_lr else ''}, {self.form}, {self.body}"
        besides = f" + {self.other}" if self.other else ""
        return (
            f"{self.batches}x{self.epochs}/{accumulate}, val {check}{across}, {saved}{at_exceptions}, {what}{besides}"
        )
