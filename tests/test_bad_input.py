"""Everything that is refused, and the words it is refused with; and what configuration files may hand over.

A row for each public callable says what its parameters take; what they refuse follows from that. A callable without a
row, and a parameter without a kind, fail a test.
"""

import inspect
import math
import re
from collections import UserDict, UserList
from collections.abc import Sequence
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import lightning as L
import numpy as np
import pytest
import torch

import lightning_lr
from lightning_lr import (
    Adapt,
    Beside,
    Chain,
    Constant,
    Control,
    Cosine,
    Custom,
    Cyclic,
    Detector,
    Event,
    Exponential,
    Freeze,
    Horizon,
    InverseSqrt,
    InverseTime,
    Linear,
    LRController,
    LRFreeze,
    LRLogger,
    LRMultiPhaseDecay,
    LRPlateauReduction,
    LRScheduleMixin,
    LRStagnationRestart,
    LRWarmup,
    MultiStep,
    Patience,
    Preview,
    Reduce,
    Restart,
    Rex,
    Rule,
    ScheduledLR,
    StepDecay,
    Stop,
    Temperature,
    Track,
    Trend,
    Warmup,
    Window,
    cycle_end_losses,
    param_groups,
    plot,
    plot_cycle_ends,
    plot_events,
    plot_lr_vs_loss,
    recipe,
    replay,
    wsd,
)
from lightning_lr.callbacks.wishes import LROptions
from lightning_lr.cli import main
from lightning_lr.core.durations import as_duration
from lightning_lr.core.expression import parse
from lightning_lr.core.schedules.coerce import as_schedule

NAN, INF, HUGE = math.nan, math.inf, 10**400
EVENT = Event(2, "reduce", 0.5, 0.25, Control(scale=0.5))


def sgd(lr=0.1):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def scheduled(schedule=None, **settings):
    return ScheduledLR(sgd(), schedule or Constant(), **{"total_steps": 9, **settings})


def rule(when=None, do=None, **settings):
    return Rule(when or Patience(3), do or Reduce(), "loss", **settings)


def in_file(**settings):
    """A rule as a configuration file has it."""
    return {"when": {"class_path": "Patience"}, "do": {"class_path": "Reduce"}, "monitor": "loss", **settings}


BAD_DURATIONS = [
    # (what, value, the words that follow the parameter's name)
    ("bool", True, r"must be a duration, got True \(a bool\)"),
    ("bare share", 0.05, r"is a bare float, 0.05, which has no unit: write '5%' for a share of the run"),
    ("bare whole float", 500.0, r"is a bare float, 500.0, which has no unit: write 500 for optimizer updates"),
    ("NaN", NAN, "is a bare float, nan, which has no unit: write 500 or '500 steps'"),
    ("inf", INF, "is a bare float, inf, which has no unit: write 500 or '500 steps'"),
    ("numpy float", np.float64(0.05), "is a bare float, .*0.05.*write '5%'"),
    ("zero", 0, "must be positive, got 0: write 500"),
    ("zero share", "0%", "must be positive, got '0%'"),
    ("negative", -3, "must be positive, got -3"),
    ("negative epochs", "-2 epochs", "must be positive, got '-2 epochs'"),
    ("above the whole run", "100.5%", "is more than the whole run, got '100.5%': a share is at most '100%'"),
    ("wrong unit", "5 batches", "has the unknown unit 'batches' in '5 batches': write 500 or '500 steps'"),
    ("misspelt unit", "5 epocs", "has the unknown unit 'epocs' in '5 epocs'"),
    ("half an update", "1.5 steps", r"must be a whole number of updates, got '1.5 steps'"),
    ("half an update without a unit", "1.5", "must be a whole number of updates, got '1.5'"),
    ("empty text", "", r"must be a duration, got '' \(a str\)"),
    ("no number", "epochs", r"must be a duration, got 'epochs' \(a str\)"),
    ("two numbers", "5 epochs 3", r"must be a duration, got '5 epochs 3' \(a str\)"),
    ("list", [5], r"must be a duration, got \[5\] \(a list\)"),
    ("fraction", Fraction(1, 2), r"must be a duration, got Fraction\(1, 2\) \(a Fraction\)"),
]


# ---- Every public callable, what each of its parameters takes, and what is refused with which words

ALIEN = SimpleNamespace()
"""Of no type that anything takes."""
JUNK = (ALIEN, None, True, NAN, INF, -1, 0.5, "", "§", [], {})
"""What every parameter refuses, but for what its kind allows."""


class Kind(NamedTuple):
    """What a parameter takes: a good value, the words of its refusal, and what else it must and must not refuse."""

    words: str
    good: Any = None
    """A value that is fine, or, for what cannot be shared, a function without a name that makes one."""
    allows: tuple[Any, ...] = ()
    more: tuple[tuple[Any, str], ...] = ()
    """Bad values, each with words of its own."""

    def refused(self):
        allowed = set(map(repr, self.allows))
        return [*((value, self.words) for value in JUNK if repr(value) not in allowed), *self.more]


class Theirs(NamedTuple):
    """A parameter that is not ours to check, and why."""

    why: str
    good: Any = None

    def refused(self):
        return []


def made(good):
    return good() if getattr(good, "__name__", "") == "<lambda>" else good


def misspelt(word):
    """The word without a letter; a short one with one too many."""
    middle = len(word) // 2
    return word + word[-1] if len(word) < 4 else word[:middle] + word[middle + 1 :]


def each(words, values):
    """Bad values that are refused with the same words, and shown."""
    return [(value, f"{words}, got {re.escape(repr(value)[:7])}") for value in values]


def optional(kind):
    return kind._replace(allows=(*kind.allows, None), more=tuple(row for row in kind.more if row[0] is not None))


def number(interval, good=None):
    """A number in an interval, which is written as messages write it: ``"(0, 1]"``, ``">= 0"``."""
    if interval[0] == ">":
        low, high, ends = float(interval.strip(">= ")), INF, "[)" if "=" in interval else "()"
        words = f"must be a number {re.escape(interval)} \\(finite\\)"
    else:
        (low, high), ends = map(float, interval[1:-1].split(",")), interval[0] + interval[-1]
        words = f"must be a number in {re.escape(interval)}"

    def inside(x):
        return (low < x or (low == x and ends[0] == "[")) and (x < high or (x == high and ends[1] == "]"))

    tried = [low, low - 0.1, *([high, high + 0.1] if high < INF else []), -INF, HUGE]
    wrong = [x for x in tried if not inside(x) or x == HUGE] + ["0.5", [0.5], 0.5j, True]
    near = low + 0.5 if high == INF else (low + high) / 2
    return Kind(words, near if good is None else good, [x for x in (-1, 0.5) if inside(x)], each(words, wrong))


def whole(low, good=None):
    words = f"must be a whole number >= {low}"
    wrong = [low - 1, 2.0, 2.5, "3", 3j, [3], -INF]
    return Kind(words, low + 3 if good is None else good, [-1] if low < 0 else [], each(words, wrong))


def one_of(*options, good=None):
    """A word, which is also refused with the nearest one where it is misspelt."""
    words = "must be one of .*" + ".*".join(re.escape(repr(option)) for option in options)
    near = [(misspelt(option), f"must be one of .*did you mean {option!r}") for option in options]
    return Kind(words, good or options[0], more=(*near, (3, words), ([options[0]], words)))


def a(words, good=None, allows=(), more=()):
    return Kind(words, good, tuple(allows), tuple(more))


ANY_DURATION = "(must be a duration|is a bare float|must be positive|must be given|must be >= 0)"
DURATION = a(ANY_DURATION, 3, more=[(value, words) for _, value, words in BAD_DURATIONS])
DURATION_OR_0 = a(
    ANY_DURATION, 0, more=[(value, words) for _, value, words in BAD_DURATIONS if "must be positive" not in words]
)
FLAG = a("must be True or False", True, [True], [(0, "must be True or False"), (1, "must be True or False")])
SHARE, DECAY = number("[0, 1]"), number("(0, 1]")
ANY_SCHEDULE = r"(must be a schedule or a list of phases|must not be empty|must name its class under)"
SCHEDULE = a(
    ANY_SCHEDULE, Cosine(), more=[([5], r"\[0\] must be a sch"), (Cosine, r"write Cosine\(…\), not the class")]
)
DETECTOR = a("(must be a detector such as|must name its class under)", Patience(3), more=[(Patience, "must be a det")])
ACTION = a("(must be an action such as|must name its class under)", Reduce(), more=[(Patience(3), "must be an action")])
RULES = a(
    "must be a list of rules", [], [[]], [(rule(), "must be a list of rules"), ([5], r"\[0\] must be a Rule\(when, do")]
)
TRACKS = a("must be a list of tracks", [], [[]], [([5], r"\[0\] must be a Track\("), (Track(), "must be a list of tr")])
GROUPS = a(
    "(must be a name, a regular expression|a group is named by|must name at least one group)", "§", ["§"],
    [("(", "is not a regular expression"), ([True], "a group is named by"), (["a", ""], "a group is named by")],
)  # fmt: skip
KEY = a("must be a key of the parameter groups", "§", ["§"], [(x, "must be a key") for x in ("params", "name", ["lr"])])
HORIZON = a(r"must be a Horizon\(total_steps, steps_per_epoch\)", Horizon(9, 3), more=[(9, "must be a Horizon")])
EPOCHS = a(
    "(must be a whole number >= 1|must not be empty)", 3, [None],
    [(x, "must be a whole number >= 1") for x in (0, 2.5, "23", [3, 0], [True])],
)  # fmt: skip
MONITOR = a("must be a metric's name", "loss", ["§"], [(3, "must be a metric's name")])
POSITION = a(
    "must be a whole number or a Fraction", 5, [-1], [(x, "must be a whole number or a Fr") for x in ("5", 2.5)]
)
EVENTS = a("must be a list of events", [], [[]], [([5], r"\[0\] must be an Event"), (EVENT, "must be an Event")])
PROGRAM = a("must be a Program", Cosine().resolve(Horizon(9)), more=[(Cosine(), "must be a Program")])
CYCLES = a("must be a schedule or a program", Cyclic(2), more=[("Cyclic(2)", "must be a schedule or a program")])
AXES = a("must be a matplotlib Axes", None, [None], [(np.zeros(2), "must be a matplotlib Axes")])
MEASURED = a(
    r"(must be a list of numbers|must be a number)", [2, 4], [[]],
    [
        ("12", "must be a list of numbers"), (["a", 1.0], r"\[0\] must be a number, got 'a' \(a str\)"),
        ([1.0, None], r"\[1\] must be a number, got None"), ([True, 1.0], r"\[0\] must be a number, got True"),
        (np.zeros((2, 2)), r"\[0\] must be a number, got array\("), ([1.0, 3j], r"\[1\] must be a number, got 3j"),
        (np.array(1.0), "must be a list of numbers"), ({1.0, 2.0}, "must be a list of numbers"),
    ],
)  # fmt: skip
STEPS = MEASURED._replace(
    more=(*MEASURED.more, *(([1, x], r"steps\[1\] must be a whole number >= 0") for x in (2.5, -1, NAN, INF)))
)
OPTIONS = {
    "optimizer": optional(
        a("must be (a whole number >= 0|an index, a class name)", 0, ["§"], [(2.5, "must be a who")])
    ),
    "total_steps": optional(whole(1)),
    "on_horizon_change": optional(one_of("keep", "stretch", "error")),
    "on_lr_change": optional(one_of("keep", "use_new", "error")),
    "on_overrun": optional(one_of("error", "cut")),
    "start_step": optional(whole(0)),
    "log": FLAG,
    "groups": optional(GROUPS),
    "key": KEY,
}
WATCHING = {
    "monitor": MONITOR,
    "mode": one_of("min", "max"),
    "threshold": number(">= 0", 1e-4),
    "threshold_mode": one_of("rel", "abs"),
    "check": one_of("validation", "train_epoch"),
    "nan_policy": one_of("count", "ignore", "raise"),
    "detector": optional(DETECTOR)._replace(good=None),
    "active_from": optional(DURATION),
    "until": optional(DURATION)._replace(good=5),
    **OPTIONS,
}
SCHEDULED = {
    "schedule": optional(SCHEDULE),
    "rules": RULES,
    "tracks": TRACKS,
    "total_steps": optional(whole(1, good=9)),
    "steps_per_epoch": EPOCHS,
    "on_horizon_change": one_of("keep", "stretch", "error"),
    "on_lr_change": one_of("keep", "use_new", "error"),
    "on_overrun": one_of("error", "cut"),
    "start_step": optional(whole(0)),
}
OPTIMIZER = a(
    "must be a torch.optim.Optimizer", lambda: sgd(), more=[(torch.optim.SGD, "must be a torch.optim.Optimi")]
)


class Row:
    """A public callable: what its parameters take. Those that are not named are of the kind that their type says.

    ``who`` is what its messages begin with, ``called`` what a misspelt keyword is said of: its name, unless another one
    is given. ``lambda: …`` makes what is called anew, for each call.
    """

    BY_TYPE: ClassVar = {"Duration": DURATION, "Duration | None": optional(DURATION), "bool": FLAG}

    def __init__(self, make=None, /, who=None, called=None, error=ValueError, **kinds):
        self.fn, self.who, self.called, self.error, self.given = make, who, called, error, kinds

    def settle(self, name):
        self.name = name
        self.fn = self.fn or (lambda: getattr(lightning_lr, name))
        self.who, self.called = self.who or re.escape(name), self.called or name
        self.kinds = {}
        for parameter, annotation in parameters(self.fn()).items():
            kind = self.given.get(parameter, self.BY_TYPE.get(annotation))
            if kind is not None:
                self.kinds[parameter] = kind
        return self

    def good(self):
        return {name: made(kind.good) for name, kind in self.kinds.items()}

    def call(self, **values):
        """With good values for all else."""
        return self.fn()(**{**self.good(), **values})


def parameters(fn):
    """The names and types of what a callable takes; ``**options`` of a callback are those of every LR callback."""
    out = {}
    for name, parameter in inspect.signature(fn).parameters.items():
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            out[name] = parameter.annotation
        elif "LROptions" in str(parameter.annotation):
            out |= dict.fromkeys(LROptions.__annotations__, "")
        else:
            out["momentum"] = ""  # of Schedule.beside: any key
    return out


ROWS = {
    # schedules
    "Warmup": Row(start_factor=SHARE, shape=one_of("linear", "cosine", "exponential")),
    "Constant": Row(factor=optional(number(">= 0"))),
    "Linear": Row(end_factor=SHARE),
    "Cosine": Row(end_factor=SHARE),
    "OneMinusSqrt": Row(end_factor=SHARE),
    "Rex": Row(end_factor=SHARE),
    "Polynomial": Row(end_factor=SHARE, power=number("> 0")),
    "Exponential": Row(gamma=DECAY, min_factor=SHARE),
    "InverseTime": Row(decay_rate=number(">= 0")),
    "InverseSqrt": Row(),
    "StepDecay": Row(gamma=DECAY),
    "MultiStep": Row(
        milestones=a(
            "(must be a list of durations|must not be empty)", [3],
            more=[
                *(([3, value], rf"milestones\[1\] {words}") for _, value, words in BAD_DURATIONS),
                ([5, 3], r"must increase, got \[5, 3\]: sort them"),
                ("5", "must be a list of durations"),
            ],
        ),
        gamma=DECAY,
    ),
    "Cyclic": Row(
        base_factor=SHARE, mode=one_of("triangular", "triangular2", "exp_range"), gamma=DECAY, peak_factor=SHARE,
        shape=one_of("linear", "cosine"), momentum_factor=optional(DECAY),
    ),
    "CosineRestarts": Row(cycle_mult=number(">= 1"), peak_gamma=DECAY, end_factor=SHARE),
    "Temperature": Row(
        initial_temperature=number("> 0", 1.0), final_temperature=number("[0, 1]"),
        cooling=one_of("linear", "exponential", "logarithmic", "relaxation"),
    ),
    "Custom": Row(
        fn=a("(must be a function of one number|which cannot be imported)", math.cos),
        of=one_of("progress", "step", "epoch"),
    ),
    "Chain": Row(
        phases=a(
            "(must be a list of phases|must not be empty)", [Cosine()],
            more=[(Cosine(), "must be a list of phases"), ([5], r"phases\[0\] must be a schedule")],
        )
    ),
    "Beside": Row(
        who="[Bb]eside", schedule=SCHEDULE,
        others=a("must be a mapping", {"momentum": Linear()}, [{}], [([("momentum", Linear())], "must be a mapping")]),
    ),
    "Schedule.beside": Row(lambda: Cosine().beside, who="beside", momentum=SCHEDULE),
    "Schedule.curve": Row(lambda: Cosine().curve, who="curve", total_steps=whole(1), steps_per_epoch=EPOCHS),
    "Schedule.resolve": Row(
        lambda: Cosine().resolve, who="resolve", horizon=HORIZON, on_overrun=one_of("error", "cut")
    ),
    "wsd": Row(shape=one_of("linear", "one_minus_sqrt", "cosine"), end_factor=SHARE),
    "one_cycle": Row(start_factor=SHARE, end_factor=SHARE, momentum_factor=optional(DECAY)),
    "cosine_with_warmup": Row(end_factor=SHARE),
    "linear_with_warmup": Row(end_factor=SHARE),
    "slanted_triangular": Row(ratio=number(">= 1")),
    "flat_cosine": Row(end_factor=SHARE),
    "infinite": Row(constant_factor=DECAY, end_factor=number("(0, 0.5]")),
    "parse": Row(
        lambda: parse, text=a("must be an expression such as", "Cosine()", ["", "§"], [(b"Cosine()", "must be an exp")])
    ),
    # the run, programs, events
    "Horizon": Row(total_steps=optional(whole(1)), steps_per_epoch=EPOCHS),
    "Horizon.after": Row(lambda: Horizon(9, 3).after, position=POSITION, spec=DURATION_OR_0),
    "Horizon.before": Row(lambda: Horizon(9, 3).before, position=POSITION, spec=DURATION_OR_0),
    "Horizon.epochs": Row(lambda: Horizon(9, 3).epochs, position=POSITION),
    "Horizon.at_epoch": Row(lambda: Horizon(9, 3).at_epoch, epochs=POSITION, spec=Theirs("for the words of an error")),
    "Program.__call__": Row(
        lambda: Cosine().resolve(Horizon(9)), who="(Program|a program)",
        step=a("must be a whole number of updates", 3, [-1], [(2.5, "must be a whole number of updates")]),
    ),
    "Program.curve": Row(lambda: Cosine().resolve(Horizon(9)).curve, stop=whole(0), start=whole(0)),
    "Program.phase": Row(lambda: Cosine().resolve(Horizon(9)).phase, step=whole(0)),
    "Control": Row(
        scale=number(">= 0"), den=whole(1),
        **dict.fromkeys(("rewarm", "origin", "hold_until", "offset", "num"), whole(0)),
    ),
    "Event": Row(
        step=whole(0), kind=a("must be a text", "reduce", ["§"]), before=number(">= 0"), after=number(">= 0"),
        control=a("must be a Control", Control()), track=whole(-1), epoch=optional(whole(0)),
        **dict.fromkeys(("detail", "rule", "monitor"), a("must be a text", "a", ["", "§"], [(3, "must be a text")])),
        **dict.fromkeys(
            ("value", "best"), a("must be a number", 0.5, [None, NAN, INF, -1, 0.5], [("1", "must be a number")])
        ),
        finish=a("must be a Finish", None, [None]),
    ),
    "Event.of": Row(
        lambda: Event.of, state=a(
            r"must be what Event.state\(\) returns", EVENT.state(),
            more=[
                ({**EVENT.state(), "control": None}, r"\['control'\] must be a list"),
                ({**EVENT.state(), "control": [NAN]}, "Control: scale must be"),
                ({**EVENT.state(), "step": "2"}, "Event: step must be"),
                ({**EVENT.state(), "finish": ["lin", 3]}, "Finish: shape must be one of"),
            ],
        ),
    ),
    "replay": Row(
        program=PROGRAM, events=EVENTS, stop=whole(0),
        start=a("must be a Control", Control(), more=[((1.0,), "must be a Control")]),
    ),
    "cycle_ends": Row(schedule=CYCLES, total_steps=whole(1, good=9), steps_per_epoch=EPOCHS),
    # detectors, actions, rules, tracks
    "Patience": Row(patience=whole(0), threshold=number(">= 0"), threshold_mode=one_of("rel", "abs")),
    "Window": Row(window=whole(2), threshold=number(">= 0")),
    "Band": Row(low=a("must be a number that is finite", 0.005, [-1, 0.5]), high=number("> 0.005", 2.0)),
    "Trend": Row(form=one_of("relative", "progress"), c=optional(number("> 0")), z=number("> 0")),
    "Detector.update": Row(
        lambda: Patience(3).update, who="Patience",
        state=a("must be what init", (0.5, 0), more=[((1, 2, 3), "must be what init")]),
        value=a("must be a number", 0.5, [True, NAN, INF, -1, 0.5], [("0.5", "must be a num"), (3j, "must be a num")]),
        counts=Theirs("an int is as good", True),
    ),
    "Reduce": Row(factor=number("(0, 1)"), min_lr=number(">= 0")),
    "Restart": Row(
        peak_decay=DECAY, max_restarts=optional(whole(1)), rewarm=DURATION_OR_0, fit=one_of("remaining", "original")
    ),
    "Freeze": Row(max_freezes=optional(whole(1))),
    "Adapt": Row(up=number(">= 1"), down=DECAY, min_scale=number("> 0"), max_scale=number(">= 0.5", 1.0)),
    "Cooldown": Row(shape=one_of("linear", "cosine", "one_minus_sqrt")),
    "Rule": Row(
        when=DETECTOR, do=ACTION, monitor=MONITOR, mode=one_of("min", "max"), check=one_of("validation", "train_epoch"),
        cooldown=whole(0), nan_policy=one_of("count", "ignore", "raise"), sync=one_of("mean", "min", "max", "rank0"),
        active_from=optional(DURATION), until=optional(DURATION)._replace(good=5),
    ),
    "Rule.active": Row(lambda: rule(until=5).active, t=whole(0), run=HORIZON),
    "Track": Row(schedule=optional(SCHEDULE), groups=optional(GROUPS), key=KEY, rules=RULES),
    # callbacks
    "LRCallback": Row(**OPTIONS),
    "LRWarmup": Row(start_factor=SHARE, shape=one_of("linear", "cosine", "exponential"), **OPTIONS),
    "LRMultiPhaseDecay": Row(phases=SCHEDULE, **OPTIONS),
    "LRController": Row(schedule=optional(SCHEDULE), rules=RULES, on_resume=optional(ACTION), **OPTIONS),
    "LRPlateauReduction": Row(
        factor=number("(0, 1)"), patience=whole(0, good=10), cooldown=whole(0), min_lr=number(">= 0"), **WATCHING
    ),
    "LRStagnationRestart": Row(
        patience=whole(0, good=20), max_restarts=optional(whole(1)), peak_decay=DECAY, rewarm=DURATION_OR_0,
        fit=one_of("remaining", "original"), **WATCHING,
    ),
    "LRFreeze": Row(patience=whole(0, good=10), **WATCHING),
    "LRLogger": Row(
        every_n_steps=optional(whole(1)),
        metrics=a(
            "must be a list of names", ["loss"], [[], {}], [(["a", 5], r"got \['a', 5\]"), ("loss", "got 'loss'")]
        ),
    ),
    "LRFinder": Row(
        min_lr=number("> 0"), max_lr=number("> 0.5", 9.0), num_training_steps=whole(20),
        mode=one_of("linear", "exponential"),
        early_stop_threshold=optional(number("> 1")), attr_name=a("must be a name, or ''", "", ["", "§"]),
        suggestion=one_of("valley", "steepest", "slide", "minimum", "median"),
    ),
    "Suggestions": Row(**dict.fromkeys(("valley", "steepest", "slide", "minimum", "median"), number("> 0"))),
    "Preview.__getitem__": Row(
        lambda: Preview({"lr/SGD": np.ones(3)}, "").__getitem__, who="no curve", error=KeyError,
        tag=a("in this preview.*; it has lr/SGD", "lr/SGD", more=[("lr/SDG", "did you mean 'lr/SGD'")]),
    ),
    "preview": Row(
        trainer=a("must be a Trainer", lambda: quiet_trainer()), model=a("must be a LightningModule", lambda: Small()),
        train_dataloaders=Theirs("Trainer.fit looks at it", lambda: [torch.zeros(1)] * 3),
        datamodule=a("must be a LightningDataModule", None, [None]), steps=optional(whole(1)),
    ),
    # schedulers
    "ScheduledLR": Row(optimizer=OPTIMIZER, **SCHEDULED),
    "ScheduledLR.start": Row(lambda: ScheduledLR.deferred(sgd(), Cosine()).start, who="resolve", horizon=HORIZON),
    "ScheduledLR.step": Row(
        lambda: scheduled().step, who="ScheduledLR",
        epoch=a("takes no metric", None, [None, -1], [(x, "takes no metric") for x in ("3", torch.tensor(1.0))]),
    ),
    "ScheduledLR.evaluate": Row(
        lambda: scheduled(rules=[rule()]).evaluate, who="evaluate",
        metrics=a(
            "must be a mapping", {"loss": 1.0}, [{}],
            [({"loss": x}, "must be a number, got") for x in ("1.0", None, True, [1.0], torch.zeros(2))],
        ),
        check=one_of("validation", good="validation"), epoch=optional(whole(0)),
    ),
    "ScheduledLR.apply": Row(
        lambda: scheduled().apply, who="apply", action=ACTION, groups=optional(GROUPS)._replace(good=None),
        key=KEY._replace(good="lr"), epoch=optional(whole(0)),
        rule=a("must be a text", "by hand", ["§"], [(3, "must be a text")]),
    ),
    "ScheduledLR.factor_at": Row(lambda: scheduled().factor_at, who="factor_at", t=whole(0)),
    "ScheduledLR.per_group": Row(lambda: scheduled().per_group, who="per_group", key=KEY._replace(good="lr")),
    **{
        f"ScheduledLR.{name}": Row(
            lambda name=name: getattr(scheduled(), name), who=name,
            steps=a(
                "must be a list", [0, 3], [[]],
                [([1, x], r"steps\[1\] must be a whole number >= 0") for x in (2.5, "3", True, NAN, -1)],
            ),
            track=whole(0, good=0)._replace(more=((1, "must be .* 0"), *whole(0).more)),
        )
        for name in ("planned_at", "replayed_at")
    },
    "ScheduledLR.load_state_dict": Row(
        lambda: scheduled().load_state_dict, who="ScheduledLR",
        state_dict=a(
            "must be", lambda: scheduled().state_dict(), [{}],
            [(x, "is not a state of ScheduledLR") for x in ({}, {"a": 1})],
        ),
    ),
    "LRScheduleMixin.scheduled": Row(
        lambda: LRScheduleMixin().scheduled, who="(LRScheduleMixin.scheduled|ScheduledLR)", optimizer=OPTIMIZER,
        **SCHEDULED,
    ),
    # parameter groups, pictures, arithmetic
    "param_groups": Row(
        module=a("must be a torch.nn.Module", torch.nn.Sequential(torch.nn.Linear(2, 2))), lr=number(">= 0"),
        weight_decay=optional(number(">= 0")), layer_decay=DECAY,
        no_weight_decay=a(
            "(must be True, False or patterns|matches no parameter)", True, [True, [], {}],
            [([1], "a pattern of no_weight_decay must be a str, got 1")],
        ),
        layers=a(
            "(must be a pattern that captures a number|matches no parameter)", r"(\d+)", [None],
            [({"0"}, "must be a pattern"), ([5], "a pattern of layers must be a str"), ("0", "captures no number")],
        ),
        lr_factors=a(
            "must map patterns to factors", {"0": 0.5}, [None, {}],
            [({"0": x}, r"lr_factors\['0'\] must be a number > 0") for x in (0, -1, NAN, True, "1", None)],
        ),
    ),
    "scale_lr": Row(lr=number("> 0"), batch_size=whole(1), base_batch_size=whole(1), rule=one_of("linear", "sqrt")),
    "plot": Row(
        schedule=a("must be a schedule, or several", Cosine(), more=[(x, "must be a sch") for x in ([5], {"a": 1})]),
        total_steps=whole(1), steps_per_epoch=EPOCHS, lr=number(">= 0"), ax=AXES,
        label=optional(a("must be a text", "a", ["", "§"], [(3, "must be a text")])),
    ),
    "plot_events": Row(
        source=a("must be a schedule or a ScheduledLR", Linear(), more=[([Linear()], "must be a schedule or a Sch")]),
        events=optional(EVENTS), total_steps=optional(whole(1, good=9)), steps_per_epoch=EPOCHS,
        lr=optional(number(">= 0")), ax=AXES,
    ),
    "plot_lr_vs_loss": Row(
        lrs=MEASURED._replace(good=[0.1, 0.2], more=(*MEASURED.more, ([0.1, -0.1], r"lrs must be >= 0, got -0.1"))),
        losses=MEASURED, smooth=number("[0, 1)"), steps=optional(STEPS), ax=AXES,
    ),
    **{
        name: Row(
            schedule=CYCLES, steps=STEPS._replace(more=(*STEPS.more, ([2, 1], r"steps must increase.*got \[2, 1\]"))),
            losses=MEASURED, total_steps=optional(whole(1, good=9)), steps_per_epoch=EPOCHS, **more,
        )
        for name, more in (("cycle_end_losses", {}), ("plot_cycle_ends", {"ax": AXES}))
    },
}  # fmt: skip
EXEMPT = {
    "recipe": "takes what its recipes take: see below",
    "Recipe": "made by recipe()",
    "Recipe.__getitem__": "what ** asks of it",
    "main": "the command: its arguments are in COMMAND_LINE below",
    "Program": "made by Schedule.resolve",
    "Program.at": "asked by the writer; Program.__call__ is the same for people",
    "Program.take": "asked by the writer; Program.curve is the same for people",
    "Program.continued_by": "asked when a run goes on, of two programs",
    "Preview": "made by preview()",
    "Schedule.__rshift__": "an operator: see below",
    "Detector.__or__": "an operator: see below",
    "Detector.__and__": "an operator: see below",
    "Detector.after_action": "given the state that update() has returned",
    "Detector.because": "given the state that update() has returned",
    "Detector.best": "given the state that update() has returned",
    "Phase.bind": "called by Schedule.resolve, which makes the Span",
    "Action.act": "called by ScheduledLR, which makes the Situation",
    "Action.check": "called by ScheduledLR with its own Horizon",
    "Action.idle": "called by ScheduledLR with its own Program",
    "Track.names": "asked about every group that there is",
    "LRCallback.concerns": "asked about every optimizer that there is",
    "ScheduledLR.configured_as": "called by LRFinder",
    "ScheduledLR.deferred": "called by the mixin and the conductor, which have checked the settings",
    "LRArgumentParser": "its arguments are those of LightningArgumentParser",
    "LRArgumentParser.error": "called by argparse",
    "LRArgumentParser.instantiate_classes": "called by LightningCLI",
}
"""Public callables without a row, and why."""
NO_SUGGESTION = {
    "Schedule.beside": "any key is one",
    "Program.__call__": "it runs at every update: suggesting costs a call",
    "Detector.update": "it runs at every evaluation",
    "ScheduledLR.step": "Lightning calls it at every update",
    "Preview.__getitem__": "an operator",
    "ScheduledLR.start": "called by Lightning's hooks",
    "ScheduledLR.load_state_dict": "called by what restores checkpoints",
}
"""Rows whose misspelt keywords are refused in Python's own words, and why."""
for name, row in ROWS.items():
    row.settle(name)
NAMELESS = {
    "ScheduledLR.step": "its epoch is a name of torch's, for what nobody gives",
    "ScheduledLR.load_state_dict": "the state is what it is about",
    "Preview.__getitem__": "an operator",
}
"""Rows whose messages need not name the parameter, and why."""


class Small(L.LightningModule):
    """A module that can be previewed."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        return self.layer(batch).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def quiet_trainer():
    return L.Trainer(
        max_steps=3, accelerator="cpu", callbacks=[LRWarmup(2)], logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip


# ---- What no table of parameters can say

MISSPELT = [
    (lambda: Warmup(4, zzz=1), "Warmup has no parameter 'zzz'; it takes duration, start_factor, shape"),
    (lambda: Cosine(4, eta_min=0), "Cosine has no parameter 'eta_min'; it takes duration, end_factor"),
    (lambda: Window(size=4), "Window has no parameter 'size'; it takes window, threshold"),
    (lambda: Stop(now=True), "Stop has no parameter 'now'; it takes none"),
    (lambda: LRLogger(optimizer=3), "LRLogger has no parameter 'optimizer'; it takes every_n_steps"),
    (lambda: wsd(zzz=4), "wsd has no parameter 'zzz'; it takes warmup, cooldown, shape, end_factor"),
    (
        lambda: LRScheduleMixin().scheduled(sgd(), Cosine(), zzz=3),
        r"^LRScheduleMixin.scheduled has no .*'zzz'; it takes op",
    ),
    (lambda: LRWarmup(4, 0.1), "by position and all else by name, got"),
    (lambda: LRPlateauReduction("loss", "min"), "by position and all else by name, got"),
    (lambda: Rule(Patience(3), Reduce(), "loss", "min"), "by position and all else by name, got"),
    (lambda: ScheduledLR(sgd(), Cosine(), 9), "by position and all else by name, got"),
    (
        lambda: Cosine().resolve(Horizon(9), "cut"),
        "^Schedule.resolve takes horizon by position and all else by name, got 2",
    ),
    (lambda: wsd(1, 2, "linear", 0.0, 5), "^wsd takes warmup, cooldown, shape, end_factor by position and all else"),
    (
        lambda: Control(1.0, 0, 0, 0, 0, 1, 1, 1),
        "^Control takes scale, rewarm, .*den by position and all else by name, got 8",
    ),
    (lambda: Freeze(), "missing 1 required positional argument: 'duration'"),
    (lambda: Rule(Patience(3), Reduce()), "missing 1 required positional argument: 'monitor'"),
    (lambda: LRPlateauReduction(), "missing 1 required positional argument: 'monitor'"),
    (lambda: LRFreeze("loss"), "missing 1 required keyword-only argument: 'duration'"),
    (lambda: Warmup(), "missing 1 required positional argument: 'duration'"),
    (lambda: Cosine() >> Cosine, "unsupported operand"),
    (lambda: Cosine() >> 5, "unsupported operand"),
    (lambda: Cosine() >> [Linear(3)], "unsupported operand"),
]

RUN = Horizon(10)


def nan(_):
    return NAN


OTHERS = [
    ("Warmup without a duration", lambda: Warmup(None), "Warmup: duration must be given, got None: write 500"),
    (
        "exponential warmup from 0",
        lambda: Warmup(4, shape="exponential"),
        "'exponential' needs start_factor > 0, got 0",
    ),
    ("staircase: a word", lambda: Exponential(0.5, staircase="yes"), "staircase must be True or False, got 'yes'"),
    ("staircase: a number", lambda: InverseTime(1, staircase=1), "InverseTime: staircase must be True or False, got 1"),
    ("timescale None", lambda: InverseSqrt(None), "InverseSqrt: timescale must be a duration, got None"),
    # milestones
    ("no milestones", lambda: MultiStep([]), r"MultiStep: milestones must not be empty, got \[\]"),
    ("milestones: a number", lambda: MultiStep(5), "MultiStep: milestones must be a list of durations, got 5"),
    ("milestones: a text", lambda: MultiStep("5"), r"milestones must be a list of durations, got '5' \(a str\)"),
    ("unsorted", lambda: MultiStep([5, 3]), r"MultiStep: milestones must increase, got \[5, 3\]: sort them"),
    ("duplicate", lambda: MultiStep([3, 3]), r"MultiStep: milestones must increase, got \[3, 3\]"),
    ("unsorted shares", lambda: MultiStep(["75%", "50%"]), r"milestones must increase, got \['75%', '50%'\]: sort"),
    ("unsorted epochs", lambda: MultiStep(["2ep", "1ep"]), r"milestones must increase, got \['2 epochs', '1 epoch'\]"),
    (
        "unsorted behind another unit",
        lambda: MultiStep([5, "90%", 3]),
        r"milestones must increase, got \[5, '90%', 3\]",
    ),
    (
        "unsorted in this run",
        lambda: MultiStep([8, "50%"]).resolve(RUN),
        r"MultiStep\(\(8, '50%'\)\): milestones must increase, got \[8, '50%'\] = \[8.0, 5.0\] updates",
    ),
    # chains
    ("empty chain", lambda: Chain([]), r"Chain: phases must not be empty, got \[\]: give at least one phase"),
    ("chain of a schedule", lambda: Chain(Cosine()), r"Chain: phases must be a list of phases, got Cosine\(\)"),
    ("chain of a text", lambda: Chain("Cosine"), r"Chain: phases must be a list of phases, got 'Cosine' \(a str\)"),
    ("chain of None", lambda: Chain(None), r"Chain: phases must be a list of phases, got None \(a NoneType\)"),
    ("chain of a mapping", lambda: Chain({"class_path": "Cosine"}), "Chain: phases must be a list of phases"),
    ("a phase that is None", lambda: Chain([Cosine(), None]), r"phases\[1\] must be a schedule or a list.*got None"),
    ("a class for a phase", lambda: Chain([Cosine]), r"phases\[0\] must be .*write Cosine\(…\), not the class itself"),
    ("an empty list inside", lambda: Chain([Cosine(), []]), r"Chain: phases\[1\] must not be empty"),
    (
        "two phases take the rest",
        lambda: Cosine() >> Warmup(3) >> Linear(),
        r"at most one phase may leave its duration out .* got 2: Cosine\(\), Linear\(\); give all but one of them",
    ),
    (
        "start_factor on a later warmup",
        lambda: Chain([Linear(3), Warmup(3, start_factor=0.1)]),
        r"Warmup\(3, start_factor=0.1\) is not the first phase.*leave start_factor out",
    ),
    # horizons
    ("Horizon: 0", lambda: Horizon(0), "Horizon: total_steps must be a whole number >= 1, got 0"),
    ("Horizon: negative", lambda: Horizon(-1), "Horizon: total_steps must be a whole number >= 1, got -1"),
    ("Horizon: bool", lambda: Horizon(True), r"Horizon: total_steps must be .*, got True \(a bool\)"),
    ("Horizon: float", lambda: Horizon(10.0), "Horizon: total_steps must be a whole number >= 1, got 10.0"),
    ("Horizon: NaN", lambda: Horizon(NAN), "Horizon: total_steps must be a whole number >= 1, got nan"),
    ("Horizon: text", lambda: Horizon("10"), r"Horizon: total_steps must be .*, got '10' \(a str\)"),
    ("Horizon: epoch 0", lambda: Horizon(9, 0), "Horizon: steps_per_epoch must be a whole number >= 1, got 0"),
    ("Horizon: epoch float", lambda: Horizon(9, 2.5), "Horizon: steps_per_epoch must be a whole number >= 1, got 2.5"),
    ("Horizon: epoch text", lambda: Horizon(9, "23"), r"steps_per_epoch must be a whole number >= 1, got '23' \(a str"),
    ("Horizon: no epochs", lambda: Horizon(9, []), r"Horizon: steps_per_epoch must not be empty, got \[\]"),
    ("Horizon: an epoch of 0", lambda: Horizon(9, [3, 0]), "steps_per_epoch must be a whole number >= 1, got 0"),
    # resolving
    ("resolve: a number", lambda: Cosine().resolve(10), r"resolve: horizon must be a Horizon\(total_steps, .* got 10"),
    ("curve: 0", lambda: Cosine().curve(0), "curve: total_steps must be a whole number >= 1, got 0"),
    ("curve: float", lambda: Cosine().curve(1e3), "curve: total_steps must be a whole number >= 1, got 1000.0"),
    (
        "longer than the run",
        lambda: (Warmup(4) >> Cosine(8)).resolve(RUN),
        r"Warmup\(4\) >> Cosine\(8\) is 12 updates long, but the run has 10: leave the duration out: `Cosine\(\)` "
        r"takes the rest \(`Warmup\(4\) >> Cosine\(\)`\), or shorten it, or ask for on_overrun=\"cut\"",
    ),
    (
        "longer than the run, and its last phase keeps its other numbers in the correction",
        lambda: Linear(20, end_factor=0.5).resolve(RUN),
        r"Linear\(20, end_factor=0.5\) is 20 updates long.*`Linear\(end_factor=0.5\)` takes the rest",
    ),
    (
        "longer than the run, with a required first argument in the correction",
        lambda: StepDecay(2, duration=20).resolve(RUN),
        r"leave the duration out: `StepDecay\(2\)` takes the rest",
    ),
    (
        "a warmup longer than the run",
        lambda: Warmup(20).resolve(RUN),
        r"Warmup\(20\) is 20 updates long, but the run has 10: shorten it, or ask for on_overrun=\"cut\"",
    ),
    (
        "overlapping shares",
        lambda: wsd("60%", "60%", shape="linear").resolve(RUN),
        r"is 12 updates long, but the run has 10: shorten the phases that have a duration",
    ),
    (
        "a phase from the end that begins before the run, in epochs of unequal lengths",
        lambda: (Constant() >> Cosine("10 epochs")).resolve(Horizon(5, [2, 3])),
        r"but the run has 5: shorten the phases that have a duration",
    ),
    (
        "epochs of unknown length",
        lambda: Cosine("2 epochs").resolve(RUN),
        r"Cosine\('2 epochs'\): '2 epochs' counts epochs, whose length is unknown: give steps_per_epoch=",
    ),
    (
        "a parameter in epochs of unknown length",
        lambda: StepDecay("2 epochs").resolve(RUN),
        r"StepDecay\('2 epochs'\): '2 epochs' counts epochs, whose length is unknown: give steps_per_epoch=",
    ),
    (
        "a custom function of epochs of unknown length",
        lambda: Custom(math.cos, of="epoch").resolve(RUN),
        r"Custom\('math:cos', of='epoch'\): .* counts epochs, whose length is unknown: give steps_per_epoch=",
    ),
    (
        "a share of unknown length",
        lambda: Cosine("20%").resolve(Horizon(None)),
        r"Cosine\('20%'\): '20%' is a share of a run whose length is unknown: give total_steps=",
    ),
    (
        "a milestone that is a share of unknown length",
        lambda: MultiStep(["20%"]).resolve(Horizon(None)),
        r"MultiStep\(\('20%',\)\): '20%' is a share of a run whose length is unknown: give total_steps=",
    ),
    (
        "the rest of a run of unknown length",
        lambda: (Warmup(3) >> Rex()).resolve(Horizon(None)),
        r"Rex\(\) takes the rest of a run whose length is unknown: give total_steps=, or give it a duration",
    ),
    # programs
    ("a negative update", lambda: Cosine().resolve(RUN)(-1), "a program starts at update 0, got -1"),
    ("a negative position", lambda: Cosine().resolve(RUN).at(-1, 3), "a program starts at update 0, got -1/3"),
    (
        "a negative start",
        lambda: Cosine().resolve(RUN).curve(5, -2),
        "^Program.curve: start must be a whole number >= 0, got -2",
    ),
    ("a NaN update", lambda: Cosine().resolve(RUN)(NAN), "Program: step must be a whole number of updates, got nan"),
    ("a float update", lambda: Cosine().resolve(RUN)(2.5), "Program: step must be a whole number of updates, got 2.5"),
    ("a bool update", lambda: Cosine().resolve(RUN)(True), r"Program: step must be .*, got True \(a bool\)"),
    # custom functions
    (
        "no function",
        lambda: Custom(None),
        r"Custom: fn must be a function of one number or 'module:function', got None",
    ),
    ("a name that is nowhere", lambda: Custom("math:cosinus"), "fn names 'math:cosinus', which cannot be imported"),
    ("a module that is nowhere", lambda: Custom("nowhere:f"), "fn names 'nowhere:f', which cannot be imported: write"),
    ("a name that is no function", lambda: Custom("math:pi"), "Custom: fn names 'math:pi', which cannot be imported"),
    ("no name at all", lambda: Custom(""), "Custom: fn names '', which cannot be imported: write 'module:function'"),
    ("a mode that is nowhere", lambda: Cyclic(3, mode="math:x"), "Cyclic: mode names 'math:x', which cannot be import"),
    ("returns NaN", lambda: Custom(nan).curve(9), r"Custom: fn must return a finite number >= 0, got nan from nan\("),
    (
        "returns inf",
        lambda: Custom(lambda u: INF).curve(9),
        "Custom: fn must return a finite number >= 0, got inf from",
    ),
    (
        "returns a negative",
        lambda: Custom(lambda u: -u).curve(9),
        r"a finite number >= 0, got -1.0 from .*<lambda>\(1.0\)",
    ),
    ("returns nothing", lambda: Custom(lambda u: None).curve(9), r"a finite number >= 0, got None \(a NoneType\) from"),
    ("returns a bool", lambda: Custom(lambda u: u < 1).curve(9), r"a finite number >= 0, got False \(a bool\) from"),
    ("returns a text", lambda: Custom(lambda u: "1").curve(9), r"a finite number >= 0, got '1' \(a str\) from"),
    (
        "returns NaN within a phase",
        lambda: Custom(lambda k: NAN if k == 3 else 1.0, of="step").resolve(RUN)(3),
        r"a finite number >= 0, got nan from .*<lambda>\(3\)",
    ),
    (
        "a cycle's scale is NaN",
        lambda: Cyclic(2, mode=nan).curve(9),
        r"Cyclic: mode must return a finite number >= 0, got nan from nan\(\d\)",
    ),
    # detectors, actions, rules
    ("a detector that is none", lambda: rule(5), r"^Rule: when must be a detector such as Patience\(10\), got 5"),
    ("a detector's class itself", lambda: rule(Patience), r"^Rule: when must be a detector .*, got <class .*Patience"),
    ("half a pair", lambda: Patience(3) | 5, r"^Either: b must be a detector such as Patience\(10\), got 5"),
    ("an action that is none", lambda: Rule(Patience(), "reduce", "a"), r"^Rule: do must be an action such as Reduce"),
    (
        "two the wrong way round",
        lambda: Rule(Reduce(), Patience(), "a"),
        r"^Rule: when must be a detector .*got Reduce",
    ),
    ("no monitor", lambda: Rule(Patience(), Reduce(), ""), r"^Rule: monitor must be a metric's name, got '' \(a str"),
    (
        "a monitor that is no name",
        lambda: Rule(Patience(), Reduce(), 3),
        r"^Rule: monitor must be a metric's name, got 3",
    ),
    ("an Adapt that changes nothing", lambda: Adapt(), r"^Adapt: up and down are both 1, which changes nothing: give"),
    (
        "an unknown detector in a file",
        lambda: LRController(rules=[in_file(when={"class_path": "Patence"})]),
        r"^LRController: rules\[0\]: Rule: when names the unknown detector 'Patence'; did you mean 'Patience'\?; known",
    ),
    (
        "an unknown action in a file",
        lambda: scheduled(rules=[in_file(do={"class_path": "lightning_lr.Reset"})]),
        r"^ScheduledLR: rules\[0\]: Rule: do names the unknown action 'lightning_lr.Reset'; did you mean 'Restart'",
    ),
    (
        "a rule of another class in a file",
        lambda: LRController(rules=[{"class_path": "Reduce"}]),
        r"^LRController: rules\[0\] names the unknown rule 'Reduce'.*known: Rule",
    ),
    (
        "a bad value deep in a file",
        lambda: LRController(rules=[in_file(when={"class_path": "Patience", "patience": -1})]),
        r"^LRController: rules\[0\]: Rule: when: Patience: patience must be a whole number >= 0, got -1",
    ),
    (
        "two rules with one key",
        lambda: LRController(rules=[rule(Patience(1)), rule(Window(3), Reduce(0.5))]),
        r"^LRController: rules has two reduce rules on 'loss': join their detectors with \| or &, or let them watch",
    ),
    (
        "two rules with one key on a ScheduledLR",
        lambda: scheduled(rules=[rule(do=Freeze(3)), rule(do=Freeze(5))]),
        "^ScheduledLR: rules has two freeze rules on 'loss': join their detectors",
    ),
    ("one rule, no list", lambda: scheduled(rules=rule()), r"^ScheduledLR: rules must be a list of rules, got Rule\("),
    ("rules: a number", lambda: LRController(rules=5), "^LRController: rules must be a list of rules, got 5"),
    (
        "rules: a text",
        lambda: LRController(rules="Reduce"),
        r"^LRController: rules must be a list of rules, got 'Reduce",
    ),
    (
        "rules: a mapping",
        lambda: LRController(rules=in_file()),
        r"^LRController: rules must be a list of rules, got \{",
    ),
    (
        "a rule that is none",
        lambda: LRController(rules=[rule(), Patience(3)]),
        r"^LRController: rules\[1\] must be a Rule\(when, do, monitor\), got Patience\(3\)",
    ),
    ("on_resume: no action", lambda: LRController(on_resume=rule()), "^LRController: on_resume must be an action such"),
    # callbacks
    ("LRWarmup without a duration", lambda: LRWarmup(None), "^LRWarmup: duration must be given, got None: write 500"),
    ("LRWarmup, exponential from 0", lambda: LRWarmup(4, shape="exponential"), "^LRWarmup: .*needs start_factor > 0"),
    ("LRMultiPhaseDecay: none", lambda: LRMultiPhaseDecay([]), "^LRMultiPhaseDecay: phases must not be empty"),
    ("LRMultiPhaseDecay: a number", lambda: LRMultiPhaseDecay(5), "^LRMultiPhaseDecay: phases must be a schedule or a"),
    ("LRMultiPhaseDecay: a text", lambda: LRMultiPhaseDecay("Cosine"), "^LRMultiPhaseDecay: phases must be a schedule"),
    (
        "LRMultiPhaseDecay: an item",
        lambda: LRMultiPhaseDecay([Cosine(3), 5]),
        r"^LRMultiPhaseDecay: phases\[1\] must be",
    ),
    ("LRMultiPhaseDecay: None", lambda: LRMultiPhaseDecay(None), "^LRMultiPhaseDecay: phases must be a schedule or a"),
    (
        "LRController: a number",
        lambda: LRController(5),
        "^LRController: schedule must be a schedule or a list of phases",
    ),
    *(
        (f"{name}: {what}", lambda make=make, args=args: make(**args), f"^{name}: {words}")
        for name, make in [
            ("LRPlateauReduction", lambda monitor="loss", **more: LRPlateauReduction(monitor, **more)),
            ("LRStagnationRestart", lambda monitor="loss", **more: LRStagnationRestart(monitor, **more)),
            ("LRFreeze", lambda monitor="loss", **more: LRFreeze(monitor, duration=3, **more)),
        ]
        for what, args, words in [
            ("no monitor", {"monitor": ""}, r"monitor must be a metric's name, got '' \(a str\)"),
            ("monitor None", {"monitor": None}, r"monitor must be a metric's name, got None"),
            (
                "a detector and patience",
                {"detector": Trend(), "patience": 3},
                r"detector: Trend\(\) excludes patience, threshold",
            ),
            (
                "a detector and threshold",
                {"detector": Window(4), "threshold": 0.1},
                r"detector: Window\(4\) excludes patience, thre",
            ),
            (
                "a detector and its mode",
                {"detector": Window(4), "threshold_mode": "abs"},
                r"detector: Window\(4\) excludes patience",
            ),
            ("no detector", {"detector": 5}, r"detector must be a detector such as Patience\(10\), got 5"),
            (
                "an unknown detector",
                {"detector": {"class_path": "Trent"}},
                ".*unknown detector 'Trent'; did you mean 'Trend'",
            ),
            (
                "a bad detector",
                {"detector": {"class_path": "Window", "window": 1}},
                ".*window must be a whole number >= 2",
            ),
            ("optimizer: negative", {"optimizer": -1}, r"optimizer \(an index, .* must be a whole number >= 0, got -1"),
            ("optimizer: bool", {"optimizer": True}, r"optimizer \(an index, .* must be .*, got True \(a bool\)"),
            (
                "optimizer: nothing",
                {"optimizer": ""},
                "optimizer must be an index, a class name, or None for all, got ''",
            ),
        ]
    ),
    (
        "LRLogger: a text for names",
        lambda: LRLogger(metrics="loss"),
        "^LRLogger: metrics must be a list of names, got 'l",
    ),
    ("LRLogger: a number for names", lambda: LRLogger(metrics=5), "^LRLogger: metrics must be a list of names, got 5"),
    (
        "LRLogger: a number among names",
        lambda: LRLogger(metrics=["a", 5]),
        r"^LRLogger: metrics must be .*got \['a', 5\]",
    ),
    # ScheduledLR
    (
        "no optimizer",
        lambda: ScheduledLR(5, Cosine()),
        "^ScheduledLR: optimizer must be a torch.optim.Optimizer, got 5",
    ),
    ("an optimizer's class", lambda: ScheduledLR(torch.optim.SGD, Cosine()), "^ScheduledLR: optimizer must be a torch"),
    (
        "no schedule",
        lambda: scheduled(schedule=5),
        "^ScheduledLR: schedule must be a schedule or a list of phases, got 5",
    ),
    (
        "two owners",
        lambda: [ScheduledLR(o, Constant(3)) for o in [sgd()] * 2],
        r"^ScheduledLR: this SGD already has the ScheduledLR of Constant\(3\)",
    ),
    (
        "the rest of a run of unknown length on a ScheduledLR",
        lambda: ScheduledLR(sgd(), Cosine()),
        r"Cosine\(\) takes the rest of a run whose length is unknown: give total_steps=",
    ),
    (
        "a restart in a run of unknown length",
        lambda: ScheduledLR(sgd(), Linear(9), rules=[rule(do=Restart())]),
        "Restart: fit='remaining' needs to know the run's length, which is unknown: give total_steps=",
    ),
    (
        "a share of a run of unknown length in a rule",
        lambda: ScheduledLR(sgd(), Linear(9), rules=[rule(until="80%")]),
        "'80%' is a share of a run whose length is unknown: give total_steps=",
    ),
    (
        "a metric that nobody watches",
        lambda: scheduled(rules=[rule()]).evaluate({"los": 1.0}),
        r"^evaluate: no validation rule watches 'los'; did you mean 'loss'\?; watched: loss",
    ),
    (
        "NaN where it is refused",
        lambda: scheduled(rules=[rule(nan_policy="raise")]).evaluate({"loss": NAN}),
        "'loss' is nan at update 0, and the reduce rule has nan_policy='raise'",
    ),
    (
        "apply: no action",
        lambda: scheduled().apply(5),
        r"^apply: action must be an action such as Reduce\(0.1\), got 5",
    ),
    (
        "apply: nothing to reduce",
        lambda: scheduled().apply(Reduce(min_lr=0.1)),
        r"^apply: Reduce\(min_lr=0.1\) cannot act at update 0",
    ),
    (
        "step with a metric",
        lambda: scheduled().step(0.3),
        r"^ScheduledLR: step\(\) takes no metric, got 0.3: hand it to",
    ),
    # configuration files
    (
        "an unknown class",
        lambda: Chain([{"class_path": "Cosin"}]),
        r"phases\[0\] names the unknown schedule 'Cosin'; did you mean 'Cosine'\?; known: Beside, Chain, Constant,",
    ),
    (
        "a class of another package",
        lambda: Chain([Warmup(3), {"_target_": "elsewhere.Cosine"}]),
        r"phases\[1\] names the unknown schedule 'elsewhere.Cosine'",
    ),
    (
        "a mapping without a class",
        lambda: Chain([{"duration": 4}]),
        r"phases\[0\] must name its class under 'class_path' or '_target_', got \{'duration': 4\}",
    ),
    ("an empty mapping", lambda: as_schedule({}, "here"), "here must name its class under 'class_path' or '_target_'"),
    ("a class that is a number", lambda: as_schedule({"_target_": 5}, "here"), "here must name its class under"),
    (
        "init_args that is a list",
        lambda: Chain([{"class_path": "Cosine", "init_args": [4]}]),
        r"phases\[0\]: init_args must be a mapping of parameters, got \[4\] \(a list\)",
    ),
    (
        "a bad value within a mapping",
        lambda: Chain([Warmup(3), {"class_path": "Cosine", "init_args": {"duration": 0.5}}]),
        r"Chain: phases\[1\]: Cosine: duration is a bare float, 0.5",
    ),
    (
        "a bad value within lists in a mapping",
        lambda: as_schedule({"_target_": "Chain", "phases": [{"_target_": "Linear", "end_factor": 2}]}, "here"),
        r"here: Chain: phases\[0\]: Linear: end_factor must be a number in \[0, 1\], got 2",
    ),
    ("a number for a schedule", lambda: as_schedule(5, "here"), "here must be a schedule or a list of phases, got 5"),
    ("a text for a schedule", lambda: as_schedule("Cosine", "here"), "here must be a schedule or a list of phases"),
    # within what a file says, the place is named
    *(
        (f"{what} in a file", call, f"^{words}")
        for what, call, words in [
            (
                "a phase's duration",
                lambda: LRMultiPhaseDecay([{"class_path": "Cosine", "duration": 0.5}]),
                r"LRMultiPhaseDecay: phases\[0\]: Cosine: duration is a bare float, 0.5",
            ),
            (
                "a rule's duration",
                lambda: LRController(rules=[rule(), in_file(until="5 batches")]),
                r"LRController: rules\[1\]: Rule: until has the unknown unit 'batches'",
            ),
            (
                "an action's duration",
                lambda: scheduled(rules=[in_file(do={"_target_": "Freeze", "duration": 0})]),
                r"ScheduledLR: rules\[0\]: Rule: do: Freeze: duration must be positive, got 0",
            ),
            (
                "a duration of what is done on resume",
                lambda: LRController(on_resume={"class_path": "Cooldown", "duration": True}),
                r"LRController: on_resume: Cooldown: duration must be a duration, got True",
            ),
            (
                "a rule's cooldown",
                lambda: LRController(rules=[in_file(cooldown=2.5)]),
                r"LRController: rules\[0\]: Rule: cooldown must be a whole number >= 0, got 2.5",
            ),
            (
                "a rule's mode",
                lambda: scheduled(rules=[in_file(mode="minn")]),
                r"ScheduledLR: rules\[0\]: Rule: mode must be one of 'min', 'max', got 'minn' .*did you mean 'min'",
            ),
            (
                "a preset's parameter",
                lambda: Chain([{"class_path": "wsd", "init_args": {"warmup": 0.1}}]),
                r"Chain: phases\[0\]: wsd: warmup is a bare float, 0.1",
            ),
        ]
    ),
    (
        "final temperature of an exponential cooling",
        lambda: Temperature(2, 0, "exponential"),
        r"^Temperature: final_temperature \(which must not lie above the initial one\) must be a number in \(0, 2\]",
    ),
    # recipes
    ("an unknown recipe", lambda: recipe("finetune"), "^recipe: name must be one of .*did you mean 'fine-tune'"),
    ("a recipe that is no text", lambda: recipe(3), r"^recipe: name must be one of .*got 3$"),
    (
        "a recipe's variant",
        lambda: recipe("rl", control="rewards"),
        r"^recipe\('rl'\): control must be one of .*'reward'.* got 'rewards' .*did you mean 'reward'",
    ),
    (
        "a recipe's duration",
        lambda: recipe("lm-pretrain", warmup=0.1),
        r"^recipe\('lm-pretrain'\): cosine_with_warmup: warmup is a bare float, 0.1",
    ),
    (
        "a recipe's factor",
        lambda: recipe("rl", control="reward", factor=1.5),
        r"^recipe\('rl'\): Reduce: factor must be a number in \(0, 1\), got 1.5",
    ),
    (
        "a recipe's target",
        lambda: recipe("rl", control="kl", target_kl=0),
        r"^recipe\('rl'\): target_kl must be a number > 0 \(finite\), got 0",
    ),
    (
        "a recipe's mode",
        lambda: recipe("unsupervised", mode="triangle"),
        r"^recipe\('unsupervised'\): Cyclic: mode .*got 'triangle' .*did you mean 'triangular'",
    ),
    # what is beside
    (
        "Beside: none",
        lambda: Beside(Cosine(), {}),
        "^beside: name the other keys, such as momentum= or weight_decay=, got",
    ),
    (
        "Beside: a number for a key",
        lambda: Beside(Cosine(), {5: Linear()}),
        "^beside: a key must be a key of the param.* 5",
    ),
    (
        "beside: params",
        lambda: Cosine().beside(params=Linear()),
        "^beside: a key must be a key of the .*, got 'params'",
    ),
    # measurements
    ("no measurements", lambda: plot_lr_vs_loss([], []), "^plot_lr_vs_loss: none of the losses and lrs are finite"),
    (
        "unequal",
        lambda: plot_lr_vs_loss([1.0], []),
        "^plot_lr_vs_loss: lrs and losses must be equally many, got 1 and 0",
    ),
    ("all NaN", lambda: plot_lr_vs_loss([0.1], [NAN]), "^plot_lr_vs_loss: none of the losses and lrs are finite"),
    ("no steps", lambda: cycle_end_losses(Cyclic(2), [], []), r"^cycle_end_losses: steps must increase, .* got \[\]"),
    (
        "no cycles in a picture",
        lambda: plot_cycle_ends(Cosine(), [1], [1.0], 10),
        r"^plot_cycle_ends: no cycle ends within 10 updates of Cosine\(\)",
    ),
    (
        "events of two schedules",
        lambda: plot_events(Linear(), [EVENT, EVENT._replace(track=1)], 9),
        r"^plot_events: these are the events of several schedules, of the tracks \[0, 1\]",
    ),
    ("plot: a label for several", lambda: plot([Cosine()], label="x"), "^plot: label='x' names one schedule"),
    (
        "replay: a schedule's own number of updates",
        lambda: replay(Cosine(), [], 9),
        r"^replay: program must be a Program, such as schedule.resolve\(Horizon\(total_steps\)\), got Cosine\(\)",
    ),
    (
        "a decay without layers",
        lambda: param_groups(torch.nn.Linear(2, 2), 0.1, layer_decay=0.5),
        "^param_groups: layer_decay=0.5 needs layers=",
    ),
    # several optimizers
    (
        "a list with something else",
        lambda: LRScheduleMixin().scheduled([sgd(), 5], Cosine(), total_steps=9),
        "^LRScheduleMixin.scheduled: optimizer must be a torch.optim.Optimizer or a list of them, got 5",
    ),
    (
        "more optimizers than schedules",
        lambda: LRScheduleMixin().scheduled([sgd(), sgd()], [Cosine()], total_steps=9),
        "^LRScheduleMixin.scheduled: 2 optimizers need as many schedules, .* got 1, 2 and 2",
    ),
    # a detector by hand
    (
        "a state of another",
        lambda: Window(3).update(5, 1.0),
        r"^Window.update: state must be what init\(\) or update\(\)",
    ),
    (
        "a pair's state",
        lambda: (Patience() | Trend()).update((), 1.0),
        r"^Either.update: state must be what init\(\) or",
    ),
    (
        "a pair's value",
        lambda: (p := Patience() & Trend()).update(p.init(), "1"),
        "^Patience.update: .*value must be a numb",
    ),
    ("no curve", lambda: parse(""), "^a schedule expression is empty: write one such as"),
    ("an unknown sign", lambda: parse("Cosine() §"), "^column 10: "),
]

MISSPELT_IN_FILES = [
    (
        lambda: Chain([{"class_path": "Cosine", "init_args": {"duraton": 4}}]),
        r"Chain: phases\[0\]: Cosine has no parameter 'duraton'; did you mean 'duration'\?",
    ),
    (lambda: Chain([{"_target_": "Warmup"}]), r"Chain: phases\[0\]: .*missing 1 required positional argument"),
    (
        lambda: LRController(rules=[in_file(when={"class_path": "Patience", "patiance": 3})]),
        r"^LRController: rules\[0\]: Rule: when: Patience has no parameter 'patiance'; did you mean 'patience'\?",
    ),
    (
        lambda: scheduled(rules=[in_file(monitr="loss")]),
        r"^ScheduledLR: rules\[0\]: Rule has no parameter 'monitr'; did you mean 'monitor'\?",
    ),
    (
        lambda: LRController(rules=[{"when": {"class_path": "Patience"}, "do": {"class_path": "Stop"}}]),
        r"^LRController: rules\[0\]: .*missing 1 required positional argument: 'monitor'",
    ),
    (
        lambda: LRController(rules=[in_file(do={"class_path": "Freeze"})]),
        r"^LRController: rules\[0\]: Rule: do: .*missing 1 required positional argument: 'duration'",
    ),
    (
        lambda: LRMultiPhaseDecay([{"class_path": "Cosine", "init_args": {"duraton": 4}}]),
        r"^LRMultiPhaseDecay: phases\[0\]: Cosine has no parameter 'duraton'; did you mean 'duration'\?",
    ),
]


BAD = [
    *((words, call, TypeError, words) for call, words in [*MISSPELT, *MISSPELT_IN_FILES]),
    *((what, call, ValueError, words) for what, call, words in OTHERS),
]


@pytest.mark.parametrize(("label", "call", "kind", "words"), BAD, ids=[label for label, *_ in BAD])
def test_bad_input_is_refused_in_words_that_say_what_and_what_was_given(label, call, kind, words):
    with pytest.raises(kind, match=words) as caught:
        call()
    assert type(caught.value) is kind


# ---- Every row


@pytest.mark.parametrize("name", ROWS)
def test_what_is_good_is_accepted(name, capsys):
    ROWS[name].call()


CASES = [(name, key) for name, row in ROWS.items() for key in row.kinds]


@pytest.mark.parametrize(("name", "parameter"), CASES)
def test_every_parameter_refuses_what_it_does_not_take_and_says_what_it_was_given(name, parameter):
    row, wrong = ROWS[name], []
    for value, words in row.kinds[parameter].refused():
        try:
            row.call(**{parameter: value})
        except Exception as error:
            said = str(error.args[0])
            named = name in NAMELESS or re.search(rf"\b{parameter}\b", said)
            given = repr(value)[:7] in said or not any(value is junk for junk in JUNK)  # else it shows a part of it
            if not (
                type(error) is row.error and re.match(row.who, said) and named and re.search(words, said) and given
            ):
                wrong.append(f"{value!r:.60}: {type(error).__name__}: {error}, and not {row.who}: {parameter} {words}")
        else:
            wrong.append(f"{value!r:.60}: accepted")
    assert not wrong, "\n".join([f"{name}({parameter}=…)", *wrong])


@pytest.mark.parametrize(
    ("name", "parameter"),
    [case for case in CASES if case[0] not in NO_SUGGESTION],
)
def test_a_misspelt_keyword_is_refused_with_the_nearest_one(name, parameter):
    row = ROWS[name]
    values, wrong = row.good(), misspelt(parameter)
    values[wrong] = values.pop(parameter)
    with pytest.raises(
        TypeError, match=rf"^{re.escape(row.called)} has no parameter '{wrong}'; did you mean '{parameter}'\?"
    ):
        row.fn()(**values)


# ---- The command line

AMOUNTS = ("0", "-1", "nan", "True", "x", "")
COMMAND_LINE = [
    *(
        (["preview", "Cosine()", f"{option}={value}", *more], f"{option} must be a whole number >= 1", value)
        for option, more in (("--total-steps", ()), ("--steps-per-epoch", ("--total-steps", "9")))
        for value in (*AMOUNTS, "1.5", "inf")
    ),
    *(
        (["preview", "Cosine()", "--total-steps", "9", f"--lr={value}"], "--lr must be a number > 0", value)
        for value in (*AMOUNTS, "inf")
    ),
    *(
        (
            [command, what, misspelt(option) + "=1"],
            f"unrecognized arguments: {misspelt(option)}",
            f"did you mean '{option}'",
        )
        for command, what, options in (
            ("preview", "Cosine()", ("--steps-per-epoch", "--lr", "--png", "--csv")),
            ("report", "runs", ("--out",)),
            ("events", "runs", ("--json",)),
        )
        for option in options
    ),
    *(
        ([misspelt(name)], "invalid choice", f"did you mean '{name}'")
        for name in ("preview", "report", "events", "schedules")
    ),
    (["schedules", "Cosin"], "there is no schedule 'Cosin'", "did you mean 'Cosine'"),
    (
        ["preview", "Cosine(end_facter=1)", "--total-steps", "9"],
        "column 8: Cosine has no parameter 'end_facter'",
        "'end_factor'?",
    ),
    (["preview", " ", "--total-steps", "9"], "WHAT is empty", "or an expression such as"),
    *((argv, "main: argv must be a list of texts, such as", repr(argv)) for argv in (5, "preview", True, {}, ALIEN)),
    *(([argv], "main: argv must be a list of texts, such as", repr(argv)) for argv in (5, None, NAN, [])),
]


@pytest.mark.parametrize(("argv", "words", "more"), COMMAND_LINE, ids=[str(argv) for argv, *_ in COMMAND_LINE])
def test_the_command_refuses_in_one_line_with_exit_code_2(argv, words, more, capsys):
    try:
        code = main(argv)
    except SystemExit as stop:  # of argparse
        code = stop.code
    said = capsys.readouterr()
    assert (code, said.out, said.err.count("\n")) == (2, "", 1)
    assert said.err.startswith("lightning-lr: error: ")
    assert words in said.err
    assert more in said.err


# ---- Nothing is left out


def public(names):
    """What takes something: callables by their names, and methods by the first class of ours that has them."""
    out = {}
    for name, thing in names.items():
        if callable(thing):
            out[name] = thing
        for method in dir(thing) if isinstance(thing, type) else ():
            whose = [cls for cls in thing.__mro__ if method in vars(cls)]
            ours = [cls for cls in whose if cls.__module__.startswith("lightning_lr")]
            operator = method in ("__call__", "__getitem__", "__rshift__", "__or__", "__and__")
            called_by_lightning = any(cls.__module__.startswith("lightning.") for cls in whose)
            if ours and not called_by_lightning and (operator or not method.startswith("_")):
                out[f"{ours[-1].__name__}.{method}"] = getattr(thing, method)
    return {name: thing for name, thing in out.items() if callable(thing) and set(parameters(thing)) - {"self"}}


PUBLIC = {**{name: getattr(lightning_lr, name) for name in lightning_lr.__all__}, "parse": parse, "main": main}


def test_every_public_callable_has_a_row_or_a_reason():
    found = set(public(PUBLIC))
    assert found - set(ROWS) - set(EXEMPT) == set(), "give each a row in ROWS, or a reason in EXEMPT"
    assert (set(ROWS) | set(EXEMPT)) - found == set(), "there is no such callable any more"
    assert set(ROWS) & set(EXEMPT) == set()


def test_every_parameter_has_a_kind():
    for name, thing in public(PUBLIC).items():
        if name in ROWS:
            assert set(ROWS[name].kinds) == set(parameters(thing)) - {"self"}, name
            assert set(ROWS[name].given) <= set(ROWS[name].kinds), name


def test_a_new_callable_without_a_row_is_found():
    class Slope(Detector):
        def __init__(self, least=0.1): ...

        def steeper(self, than): ...

        def angle(self): ...

    Slope.__module__ = "lightning_lr.core.detectors"
    found = public({**PUBLIC, "Slope": Slope, "halved": lambda lr: lr / 2, "NAME": "a"})
    assert set(found) - set(public(PUBLIC)) == {"Slope", "Slope.steeper", "halved"}


def test_every_kind_refuses_what_is_of_no_type_empty_containers_and_no_numbers():
    kinds = {(name, key): kind for name, row in ROWS.items() for key, kind in row.kinds.items()}
    for case, kind in kinds.items():
        if not isinstance(kind, Theirs):
            tried, good = [repr(value) for value, _ in kind.refused()], made(kind.good)
            assert repr(ALIEN) in tried, case
            assert {"[]", "{}"} <= set(tried) or isinstance(good, (list, dict, bool)) or None in kind.allows, case
            if type(good) in (int, float) and "number" in kind.words and case[0] not in ("Detector.update", "Event"):
                assert {"True", "nan", "inf"} <= set(tried), case


# ---- What is accepted, whatever container it comes in


class Listy(Sequence):
    """A list of somebody else's, as configuration libraries have."""

    def __init__(self, *items):
        self.items = items

    def __getitem__(self, i):
        return self.items[i]

    def __len__(self):
        return len(self.items)


EXPECTED = Warmup(4) >> Cosine("50%", end_factor=0.1)
ITEMS = [
    {"class_path": "lightning_lr.Warmup", "init_args": {"duration": 4}},
    {"_target_": "lightning_lr.core.schedules.Cosine", "duration": "50%", "end_factor": 0.1},
]


@pytest.mark.parametrize(
    "phases",
    [
        [Warmup(4), Cosine("50%", end_factor=0.1)],
        (Warmup(4), Cosine("50%", end_factor=0.1)),
        Listy(Warmup(4), Cosine("50%", end_factor=0.1)),
        UserList(ITEMS),
        Listy(*ITEMS),
        iter(ITEMS),
        [UserDict(ITEMS[0]), UserDict(ITEMS[1])],
        [{"class_path": "Warmup", "duration": 4}, ITEMS[1]],
        [{"class_path": "Warmup", "init_args": UserDict(duration=4)}, ITEMS[1]],
        [[ITEMS[0]], (ITEMS[1],)],
        [{"class_path": "Chain", "init_args": {"phases": ITEMS}}],
        [{"_target_": "Chain", "phases": Listy(*ITEMS)}],
    ],
    ids=lambda phases: type(phases).__name__,
)
def test_phases_may_come_in_any_container_of_a_configuration_file(phases):
    assert Chain(phases) == EXPECTED


@pytest.mark.parametrize(
    "milestones",
    [[2, "50%"], (2, "50%"), Listy(2, "50%"), iter([2, "50%"])],
    ids=lambda milestones: type(milestones).__name__,
)
def test_milestones_may_come_in_any_container(milestones):
    assert MultiStep(milestones) == MultiStep([2, "50%"])


def test_a_mapping_without_arguments_takes_the_defaults():
    assert as_schedule({"class_path": "Cosine"}, "x") == Cosine()
    assert as_schedule({"class_path": "Cosine", "init_args": None}, "x") == Cosine()
    assert as_schedule([{"_target_": "Cosine"}], "x") == Cosine()
    assert as_schedule(EXPECTED, "x") is EXPECTED


def test_numbers_of_numpy_are_numbers():
    assert Warmup(np.int64(4), start_factor=np.float32(0.5)) == Warmup(4, start_factor=0.5)
    assert as_duration(np.int32(4), "x") == 4
    assert Horizon(np.int64(9), np.int32(3)) == Horizon(9, 3)
    assert Linear(4).resolve(Horizon(4))(np.int64(2)) == 0.5
    assert repr(Warmup(np.int64(4), start_factor=np.float64(0.5))) == "Warmup(4, start_factor=0.5)"


def test_whole_numbers_are_factors_too():
    assert Linear(4, end_factor=0) == Linear(4, end_factor=0.0)
    assert Constant(4, factor=2).curve(4).tolist() == [2.0] * 4
