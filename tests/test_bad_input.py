"""Everything that is refused, and the words it is refused with; and what configuration files may hand over."""

import math
from collections import UserDict, UserList
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
import torch

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
    Horizon,
    InverseSqrt,
    InverseTime,
    Linear,
    LRController,
    LRFreeze,
    LRLogger,
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
    ScheduledLR,
    StepDecay,
    Stop,
    Temperature,
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
from lightning_lr.core.durations import as_duration
from lightning_lr.core.schedules.coerce import as_schedule

NAN, INF, HUGE = math.nan, math.inf, 10**400


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
DURATIONS = [
    ("Warmup: duration", lambda d: Warmup(d)),
    ("Constant: duration", lambda d: Constant(d)),
    ("Linear: duration", lambda d: Linear(d)),
    ("Cosine: duration", lambda d: Cosine(d)),
    ("OneMinusSqrt: duration", lambda d: OneMinusSqrt(d)),
    ("Rex: duration", lambda d: Rex(d)),
    ("Polynomial: duration", lambda d: Polynomial(d)),
    ("Exponential: duration", lambda d: Exponential(0.5, duration=d)),
    ("Exponential: decay_steps", lambda d: Exponential(0.5, decay_steps=d)),
    ("InverseTime: duration", lambda d: InverseTime(1, duration=d)),
    ("InverseTime: decay_steps", lambda d: InverseTime(1, decay_steps=d)),
    ("InverseSqrt: duration", lambda d: InverseSqrt(3, duration=d)),
    ("InverseSqrt: timescale", lambda d: InverseSqrt(d)),
    ("StepDecay: duration", lambda d: StepDecay(3, duration=d)),
    ("StepDecay: step_size", lambda d: StepDecay(d)),
    ("MultiStep: duration", lambda d: MultiStep([3], duration=d)),
    (r"MultiStep: milestones\[1\]", lambda d: MultiStep([3, d])),
    ("Cyclic: duration", lambda d: Cyclic(3, duration=d)),
    ("Cyclic: step_size_up", lambda d: Cyclic(d)),
    ("Cyclic: step_size_down", lambda d: Cyclic(3, d)),
    ("CosineRestarts: duration", lambda d: CosineRestarts(3, duration=d)),
    ("CosineRestarts: cycle", lambda d: CosineRestarts(d)),
    ("Temperature: duration", lambda d: Temperature(duration=d)),
    ("Custom: duration", lambda d: Custom(math.cos, duration=d)),
    ("wsd's Warmup: duration", lambda d: wsd(warmup=d)),
    ("wsd's OneMinusSqrt: duration", lambda d: wsd(cooldown=d)),
    ("one_cycle's Warmup: duration", lambda d: one_cycle(d)),
    ("cosine_with_warmup's Warmup: duration", lambda d: cosine_with_warmup(d)),
    ("linear_with_warmup's Warmup: duration", lambda d: linear_with_warmup(d)),
    ("slanted_triangular's Warmup: duration", lambda d: slanted_triangular(d)),
    ("flat_cosine's Constant: duration", lambda d: flat_cosine(d)),
    ("infinite's Warmup: duration", lambda d: infinite(warmup=d)),
    ("infinite's Cosine: duration", lambda d: infinite(decay=d)),
    ("infinite's Temperature: duration", lambda d: infinite(anneal=d)),
    ("Freeze: duration", lambda d: Freeze(d)),
    ("Rule: active_from", lambda d: rule(active_from=d)),
    ("Rule: until", lambda d: rule(until=d)),
    ("Cooldown: duration", lambda d: Cooldown(d)),
    ("LRWarmup: duration", lambda d: LRWarmup(d)),
    ("LRFreeze: duration", lambda d: LRFreeze("loss", duration=d)),
    (
        r"LRMultiPhaseDecay: phases\[0\]: Cosine: duration",
        lambda d: LRMultiPhaseDecay([{"class_path": "Cosine", "duration": d}]),
    ),
    (r"LRController: rules\[1\]: Rule: until", lambda d: LRController(rules=[rule(), in_file(until=d)])),
    (
        r"ScheduledLR: rules\[0\]: Rule: do: Freeze: duration",
        lambda d: scheduled(rules=[in_file(do={"_target_": "Freeze", "duration": d})]),
    ),
    (
        "LRController: on_resume: Cooldown: duration",
        lambda d: LRController(on_resume={"class_path": "Cooldown", "duration": d}),
    ),
]
DURATIONS_OR_0 = [
    ("Restart: rewarm", lambda d: Restart(rewarm=d)),
    ("LRStagnationRestart: rewarm", lambda d: LRStagnationRestart("loss", rewarm=d)),
]

IN_0_1, ABOVE_0_TO_1 = r"must be a number in \[0, 1\]", r"must be a number in \(0, 1\]"
BETWEEN_0_AND_1 = r"must be a number in \(0, 1\)"
AT_LEAST_0, AT_LEAST_1, ABOVE_0 = (
    r"must be a number >= 0 \(finite\)",
    r"must be a number >= 1 \(finite\)",
    r"must be a number > 0 \(finite\)",
)
NUMBERS = [
    # (parameter, the call, what is allowed, values outside of that)
    ("Warmup: start_factor", lambda x: Warmup(4, start_factor=x), IN_0_1, [-0.1, 1.5]),
    ("Constant: factor", lambda x: Constant(4, factor=x), AT_LEAST_0, [-0.1]),
    ("Linear: end_factor", lambda x: Linear(4, end_factor=x), IN_0_1, [-0.1, 1.5]),
    ("Cosine: end_factor", lambda x: Cosine(4, end_factor=x), IN_0_1, [-0.1, 1.5]),
    ("OneMinusSqrt: end_factor", lambda x: OneMinusSqrt(4, end_factor=x), IN_0_1, [-0.1, 1.5]),
    ("Rex: end_factor", lambda x: Rex(4, end_factor=x), IN_0_1, [-0.1, 1.5]),
    ("Polynomial: end_factor", lambda x: Polynomial(4, end_factor=x), IN_0_1, [-0.1, 1.5]),
    ("Polynomial: power", lambda x: Polynomial(4, power=x), ABOVE_0, [0, -1]),
    ("Exponential: gamma", lambda x: Exponential(x), ABOVE_0_TO_1, [0, -0.5, 1.1]),
    ("Exponential: min_factor", lambda x: Exponential(0.5, min_factor=x), IN_0_1, [-0.1, 1.5]),
    ("InverseTime: decay_rate", lambda x: InverseTime(x), AT_LEAST_0, [-1]),
    ("StepDecay: gamma", lambda x: StepDecay(4, gamma=x), ABOVE_0_TO_1, [0, -0.5, 1.1]),
    ("MultiStep: gamma", lambda x: MultiStep([4], gamma=x), ABOVE_0_TO_1, [0, -0.5, 1.1]),
    ("Cyclic: base_factor", lambda x: Cyclic(4, base_factor=x), IN_0_1, [-0.1, 1.5]),
    ("Cyclic: gamma", lambda x: Cyclic(4, gamma=x), ABOVE_0_TO_1, [0, -0.5, 1.1]),
    ("CosineRestarts: cycle_mult", lambda x: CosineRestarts(4, cycle_mult=x), AT_LEAST_1, [0, 0.5, -2]),
    ("CosineRestarts: peak_gamma", lambda x: CosineRestarts(4, peak_gamma=x), ABOVE_0_TO_1, [0, 1.1]),
    ("CosineRestarts: end_factor", lambda x: CosineRestarts(4, end_factor=x), IN_0_1, [-0.1, 1.5]),
    ("Temperature: initial_temperature", lambda x: Temperature(x), ABOVE_0, [0, -1]),
    (
        r"Temperature: final_temperature \(which must not lie above the initial one\)",
        lambda x: Temperature(2, x),
        r"must be a number in \[0, 2\]",
        [-1, 2.5],
    ),
    (
        "Temperature: final_temperature",
        lambda x: Temperature(2, x, "exponential"),
        r"must be a number in \(0, 2\]",
        [0, 3],
    ),
    ("wsd's OneMinusSqrt: end_factor", lambda x: wsd(end_factor=x), IN_0_1, [-0.1, 1.5]),
    ("one_cycle's Warmup: start_factor", lambda x: one_cycle(start_factor=x), IN_0_1, [-0.1, 1.5]),
    ("one_cycle's Cosine: end_factor", lambda x: one_cycle(end_factor=x), IN_0_1, [-0.1, 1.5]),
    ("cosine_with_warmup's Cosine: end_factor", lambda x: cosine_with_warmup(end_factor=x), IN_0_1, [-1]),
    ("linear_with_warmup's Linear: end_factor", lambda x: linear_with_warmup(end_factor=x), IN_0_1, [-1]),
    ("slanted_triangular: ratio", lambda x: slanted_triangular(ratio=x), AT_LEAST_1, [0, 0.5, -3]),
    ("flat_cosine's Cosine: end_factor", lambda x: flat_cosine(end_factor=x), IN_0_1, [-1]),
    ("infinite: constant_factor", lambda x: infinite(constant_factor=x), ABOVE_0_TO_1, [0, 1.5]),
    ("infinite: end_factor", lambda x: infinite(end_factor=x), r"must be a number in \(0, 0.3\]", [0, 0.4]),
    ("Patience: threshold", lambda x: Patience(3, x), AT_LEAST_0, [-1e-9]),
    ("Window: threshold", lambda x: Window(3, x), AT_LEAST_0, [-1]),
    ("Trend: c", lambda x: Trend(c=x), ABOVE_0, [0, -0.1]),
    ("Trend: z", lambda x: Trend(z=x), ABOVE_0, [0, -2]),
    ("Reduce: factor", lambda x: Reduce(x), BETWEEN_0_AND_1, [0, 1, 1.5, -0.5]),
    ("Reduce: min_lr", lambda x: Reduce(0.5, x), AT_LEAST_0, [-1e-9]),
    ("Restart: peak_decay", lambda x: Restart(x), ABOVE_0_TO_1, [0, 1.1, -1]),
    ("Adapt: up", lambda x: Adapt(x), AT_LEAST_1, [0.5, 0, -1]),
    ("Adapt: down", lambda x: Adapt(down=x), ABOVE_0_TO_1, [0, 1.1, -1]),
    ("Adapt: min_scale", lambda x: Adapt(2, min_scale=x), ABOVE_0, [0, -1]),
    (
        r"Adapt: max_scale \(not below min_scale\)",
        lambda x: Adapt(2, min_scale=0.5, max_scale=x),
        r"must be a number >= 0.5 \(finite\)",
        [0.4, 0, -1],
    ),
    ("LRWarmup: start_factor", lambda x: LRWarmup(4, start_factor=x), IN_0_1, [-0.1, 1.5]),
    ("LRPlateauReduction: factor", lambda x: LRPlateauReduction("loss", factor=x), BETWEEN_0_AND_1, [0, 1, -0.5]),
    ("LRPlateauReduction: min_lr", lambda x: LRPlateauReduction("loss", min_lr=x), AT_LEAST_0, [-1]),
    ("LRPlateauReduction: threshold", lambda x: LRPlateauReduction("loss", threshold=x), AT_LEAST_0, [-1]),
    ("LRStagnationRestart: threshold", lambda x: LRStagnationRestart("loss", threshold=x), AT_LEAST_0, [-1]),
    ("LRStagnationRestart: peak_decay", lambda x: LRStagnationRestart("loss", peak_decay=x), ABOVE_0_TO_1, [0, 2]),
    ("LRFreeze: threshold", lambda x: LRFreeze("loss", duration=3, threshold=x), AT_LEAST_0, [-1]),
]
WHOLE_NUMBERS = [
    # (parameter, the call, the least allowed, whether None is allowed)
    ("Patience: patience", lambda x: Patience(x), 0, False),
    ("Window: window", lambda x: Window(x), 2, False),
    ("Restart: max_restarts", lambda x: Restart(max_restarts=x), 1, True),
    ("Freeze: max_freezes", lambda x: Freeze(3, x), 1, True),
    ("Rule: cooldown", lambda x: rule(cooldown=x), 0, False),
    ("LRPlateauReduction: patience", lambda x: LRPlateauReduction("loss", patience=x), 0, False),
    ("LRPlateauReduction: cooldown", lambda x: LRPlateauReduction("loss", cooldown=x), 0, False),
    ("LRStagnationRestart: patience", lambda x: LRStagnationRestart("loss", patience=x), 0, False),
    ("LRStagnationRestart: max_restarts", lambda x: LRStagnationRestart("loss", max_restarts=x), 1, True),
    ("LRFreeze: patience", lambda x: LRFreeze("loss", duration=3, patience=x), 0, False),
    (r"LRController: rules\[0\]: Rule: cooldown", lambda x: LRController(rules=[in_file(cooldown=x)]), 0, False),
    ("LRLogger: every_n_steps", lambda x: LRLogger(every_n_steps=x), 1, True),
    ("LRWarmup: total_steps", lambda x: LRWarmup(3, total_steps=x), 1, True),
    ("LRMultiPhaseDecay: total_steps", lambda x: LRMultiPhaseDecay(Cosine(), total_steps=x), 1, True),
    ("LRController: start_step", lambda x: LRController(start_step=x), 0, True),
    ("ScheduledLR: start_step", lambda x: scheduled(start_step=x), 0, True),
    (".*total_steps", lambda x: ScheduledLR(sgd(), Constant(3), total_steps=x), 1, True),
    (".*steps_per_epoch", lambda x: scheduled(steps_per_epoch=x), 1, True),
]
NOT_WHOLE = [(True, r"True \(a bool\)"), (NAN, "nan"), (INF, "inf"), (2.0, "2.0"), (2.5, "2.5"), (-1, "-1")]
NOT_WHOLE += [("3", r"'3' \(a str\)"), (3j, r"3j \(a complex\)")]
FLAGS = [
    ("Restart: reset_momentum", lambda x: Restart(reset_momentum=x)),
    ("LRLogger: plan", lambda x: LRLogger(plan=x)),
    ("LRLogger: layout", lambda x: LRLogger(layout=x)),
    ("LRLogger: figures", lambda x: LRLogger(figures=x)),
    ("LRLogger: log_momentum", lambda x: LRLogger(log_momentum=x)),
    ("LRLogger: log_weight_decay", lambda x: LRLogger(log_weight_decay=x)),
    ("LRWarmup: log", lambda x: LRWarmup(3, log=x)),
    ("LRFreeze: log", lambda x: LRFreeze("loss", duration=3, log=x)),
]
NOT_NUMBERS = [
    (True, r"True \(a bool\)"),
    (NAN, "nan"),
    (INF, "inf"),
    (-INF, "-inf"),
    (HUGE, "1000000"),
    ("0.5", r"'0.5' \(a str\)"),
    ([0.5], r"\[0.5\] \(a list\)"),
    (0.5j, r"0.5j \(a complex\)"),
]

CHOICES = [
    ("Warmup: shape", lambda x: Warmup(4, shape=x), "cosin", "cosine"),
    ("Cyclic: shape", lambda x: Cyclic(4, shape=x), "liner", "linear"),
    ("Cyclic: mode", lambda x: Cyclic(4, mode=x), "triangular3", "triangular"),
    ("Temperature: cooling", lambda x: Temperature(cooling=x), "logaritmic", "logarithmic"),
    ("Custom: of", lambda x: Custom(math.cos, of=x), "epochs", "epoch"),
    ("wsd: shape", lambda x: wsd(shape=x), "one-minus-sqrt", "one_minus_sqrt"),
    ("resolve: on_overrun", lambda x: Cosine().resolve(Horizon(9), on_overrun=x), "cutt", "cut"),
    ("Patience: threshold_mode", lambda x: Patience(3, 0.1, x), "relative", "rel"),
    ("Trend: form", lambda x: Trend(x), "relativ", "relative"),
    ("Restart: fit", lambda x: Restart(fit=x), "remainig", "remaining"),
    ("Cooldown: shape", lambda x: Cooldown(shape=x), "one-minus-sqrt", "one_minus_sqrt"),
    ("Rule: mode", lambda x: rule(mode=x), "maximum", "max"),
    ("Rule: check", lambda x: rule(check=x), "validate", "validation"),
    ("Rule: nan_policy", lambda x: rule(nan_policy=x), "ignored", "ignore"),
    ("Rule: sync", lambda x: rule(sync=x), "rank_0", "rank0"),
    ("LRWarmup: shape", lambda x: LRWarmup(4, shape=x), "cosin", "cosine"),
    ("LRPlateauReduction: mode", lambda x: LRPlateauReduction("loss", mode=x), "minimum", "min"),
    ("LRPlateauReduction: threshold_mode", lambda x: LRPlateauReduction("loss", threshold_mode=x), "absolute", "abs"),
    ("LRPlateauReduction: check", lambda x: LRPlateauReduction("loss", check=x), "train_epochs", "train_epoch"),
    ("LRPlateauReduction: nan_policy", lambda x: LRPlateauReduction("loss", nan_policy=x), "raises", "raise"),
    ("LRStagnationRestart: fit", lambda x: LRStagnationRestart("loss", fit=x), "orginal", "original"),
    ("LRStagnationRestart: mode", lambda x: LRStagnationRestart("loss", mode=x), "maxx", "max"),
    ("LRFreeze: mode", lambda x: LRFreeze("loss", duration=3, mode=x), "maxx", "max"),
    ("ScheduledLR: on_horizon_change", lambda x: scheduled(on_horizon_change=x), "strech", "stretch"),
    ("ScheduledLR: on_lr_change", lambda x: scheduled(on_lr_change=x), "new", "use_new"),
    ("ScheduledLR: on_overrun", lambda x: scheduled(on_overrun=x), "errors", "error"),
    (r"ScheduledLR: rules\[0\]: Rule: mode", lambda x: scheduled(rules=[in_file(mode=x)]), "minn", "min"),
    ("evaluate: check", lambda x: scheduled(rules=[rule()]).evaluate({"loss": 1.0}, check=x), "valid", "validation"),
]
OPTIONAL_CHOICES = [
    ("LRWarmup: on_horizon_change", lambda x: LRWarmup(4, on_horizon_change=x), "keeep", "keep"),
    ("LRMultiPhaseDecay: on_overrun", lambda x: LRMultiPhaseDecay(Cosine(), on_overrun=x), "cutt", "cut"),
    ("LRController: on_lr_change", lambda x: LRController(on_lr_change=x), "new", "use_new"),
    (
        "LRPlateauReduction: on_horizon_change",
        lambda x: LRPlateauReduction("loss", on_horizon_change=x),
        "eror",
        "error",
    ),
]

MISSPELT = [
    (lambda: Warmup(4, start_facter=0.1), "Warmup has no parameter 'start_facter'; did you mean 'start_factor'"),
    (lambda: Warmup(4, zzz=1), "Warmup has no parameter 'zzz'; it takes duration, start_factor, shape"),
    (lambda: Constant(4, facter=1), "Constant has no parameter 'facter'; did you mean 'factor'"),
    (lambda: Linear(4, end_facter=0), "Linear has no parameter 'end_facter'; did you mean 'end_factor'"),
    (lambda: Cosine(4, eta_min=0), "Cosine has no parameter 'eta_min'; it takes duration, end_factor"),
    (lambda: OneMinusSqrt(duratoin=4), "OneMinusSqrt has no parameter 'duratoin'; did you mean 'duration'"),
    (lambda: Rex(duratoin=4), "Rex has no parameter 'duratoin'; did you mean 'duration'"),
    (lambda: Polynomial(4, pwoer=2), "Polynomial has no parameter 'pwoer'; did you mean 'power'"),
    (lambda: Exponential(0.5, decay_step=2), "Exponential has no parameter 'decay_step'; did you mean 'decay_steps'"),
    (lambda: InverseTime(1, decay_step=2), "InverseTime has no parameter 'decay_step'; did you mean 'decay_steps'"),
    (lambda: InverseSqrt(time_scale=2), "InverseSqrt has no parameter 'time_scale'; did you mean 'timescale'"),
    (lambda: StepDecay(stepsize=2), "StepDecay has no parameter 'stepsize'; did you mean 'step_size'"),
    (lambda: MultiStep(milestone=[2]), "MultiStep has no parameter 'milestone'; did you mean 'milestones'"),
    (lambda: Cyclic(4, base_facter=0), "Cyclic has no parameter 'base_facter'; did you mean 'base_factor'"),
    (lambda: CosineRestarts(4, cycle_mul=2), "CosineRestarts has no parameter 'cycle_mul'; did you mean 'cycle_mult'"),
    (lambda: Temperature(cooldown="linear"), "Temperature has no parameter 'cooldown'; did you mean 'cooling'"),
    (lambda: Custom(func=math.cos), "Custom has no parameter 'func'; did you mean 'fn'"),
    (lambda: Chain(phase=[Cosine()]), "Chain has no parameter 'phase'; did you mean 'phases'"),
    (lambda: Horizon(total_step=4), "unexpected keyword argument 'total_step'"),
    (lambda: Patience(patiance=4), "Patience has no parameter 'patiance'; did you mean 'patience'"),
    (lambda: Window(size=4), "Window has no parameter 'size'; it takes window, threshold"),
    (lambda: Trend(from_="relative"), "Trend has no parameter 'from_'; did you mean 'form'"),
    (lambda: Reduce(facter=0.5), "Reduce has no parameter 'facter'; did you mean 'factor'"),
    (lambda: Restart(rewarmup=3), "Restart has no parameter 'rewarmup'; did you mean 'rewarm'"),
    (lambda: Freeze(duratoin=3), "Freeze has no parameter 'duratoin'; did you mean 'duration'"),
    (lambda: Freeze(), "missing 1 required positional argument: 'duration'"),
    (lambda: Adapt(max_scal=3), "Adapt has no parameter 'max_scal'; did you mean 'max_scale'"),
    (lambda: Cooldown(form="linear"), "Cooldown has no parameter 'form'; it takes duration, shape"),
    (lambda: Stop(now=True), "Stop has no parameter 'now'; it takes none"),
    (lambda: rule(nan_polcy="count"), "Rule has no parameter 'nan_polcy'; did you mean 'nan_policy'"),
    (lambda: Rule(Patience(3), Reduce(), "loss", "min"), "by position and all else by name, got"),
    (lambda: Rule(Patience(3), Reduce()), "missing 1 required positional argument: 'monitor'"),
    (lambda: LRWarmup(4, start_facter=0.1), "LRWarmup has no parameter 'start_facter'; did you mean 'start_factor'"),
    (lambda: LRWarmup(4, 0.1), "by position and all else by name, got"),
    (lambda: LRWarmup(4, total_step=9), "LRWarmup has no parameter 'total_step'; did you mean 'total_steps'"),
    (lambda: LRMultiPhaseDecay(phase=[]), "LRMultiPhaseDecay has no parameter 'phase'; did you mean 'phases'"),
    (lambda: LRController(rule=[]), "LRController has no parameter 'rule'; did you mean 'rules'"),
    (
        lambda: LRPlateauReduction("loss", patiance=3),
        "LRPlateauReduction has no parameter 'patiance'; did you mean 'patience'",
    ),
    (lambda: LRPlateauReduction(), "missing 1 required positional argument: 'monitor'"),
    (lambda: LRPlateauReduction("loss", "min"), "by position and all else by name, got"),
    (
        lambda: LRStagnationRestart("loss", peak_gamma=1),
        "LRStagnationRestart has no parameter 'peak_gamma'; did you mean 'peak_decay'",
    ),
    (lambda: LRFreeze("loss", durration=3), "LRFreeze has no parameter 'durration'; did you mean 'duration'"),
    (lambda: LRFreeze("loss"), "missing 1 required keyword-only argument: 'duration'"),
    (lambda: LRLogger(every_n_step=3), "LRLogger has no parameter 'every_n_step'; did you mean 'every_n_steps'"),
    (lambda: LRLogger(optimizer=3), "LRLogger has no parameter 'optimizer'; it takes every_n_steps"),
    (lambda: scheduled(total_step=3), r"ScheduledLR.* 'total_step'"),
    (lambda: ScheduledLR(sgd(), Cosine(), 9), "by position and all else by name, got"),
    (lambda: wsd(warmpu=4), r"wsd\(\) got an unexpected keyword argument 'warmpu'"),
    (lambda: Warmup(), "missing 1 required positional argument: 'duration'"),
    (lambda: Cosine() >> Cosine, "unsupported operand"),
    (lambda: Cosine() >> 5, "unsupported operand"),
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
    ("curve: 0", lambda: Cosine().curve(0), "Horizon: total_steps must be a whole number >= 1, got 0"),
    ("curve: float", lambda: Cosine().curve(1e3), "Horizon: total_steps must be a whole number >= 1, got 1000.0"),
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
    ("a negative start", lambda: Cosine().resolve(RUN).curve(5, -2), "a program starts at update 0, got start=-2"),
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


def owner(name):
    """What the message names: the phase that a preset builds speaks for it."""
    return name.split("'s ")[-1]


BAD = [
    *(
        (
            f"{name}: {what}",
            lambda call=call, value=value: call(value),
            ValueError,
            f"^{owner(name)} {words}",
        )
        for name, call in DURATIONS
        for what, value, words in BAD_DURATIONS
    ),
    *(
        (
            f"{name} = {str(value)[:9]}",
            lambda call=call, value=value: call(value),
            ValueError,
            f"^{owner(name)}.* {allowed}, got {shown}",
        )
        for name, call, allowed, outside in NUMBERS
        for value, shown in [*NOT_NUMBERS, *((x, str(x)) for x in outside)]
    ),
    *(
        (
            f"{name} = {bad!r}",
            lambda call=call, bad=bad: call(bad),
            ValueError,
            f"^{name}.* must be one of .*, got '{bad}' \\(a str\\); did you mean '{near}'",
        )
        for name, call, bad, near in CHOICES
    ),
    *(
        (
            f"{name} = {bad!r}",
            lambda call=call, bad=bad: call(bad),
            ValueError,
            f"^{name}.* must be one of .*, got {bad!r}",
        )
        for name, call, _, _ in CHOICES
        for bad in (None, 3)
    ),
    *(
        (
            f"{name} = {bad!r}",
            lambda call=call, bad=bad: call(bad),
            ValueError,
            f"^{name} must be one of .*, got {words}",
        )
        for name, call, misspelt, near in OPTIONAL_CHOICES
        for bad, words in [(misspelt, f"'{misspelt}' \\(a str\\); did you mean '{near}'"), (3, "3"), (True, "True")]
    ),
    *(
        (f"{name}: {what}", lambda call=call, value=value: call(value), ValueError, f"^{name} {words}")
        for name, call in DURATIONS_OR_0
        for what, value, words in [
            *((what, value, words) for what, value, words in BAD_DURATIONS if "must be positive" not in words),
            ("negative", -3, "must be >= 0, got -3: write 500"),
            ("None", None, r"must be a duration, got None"),
        ]
    ),
    *(
        (
            f"{name} = {value!r}",
            lambda call=call, value=value: call(value),
            ValueError,
            f"^{name} must be a whole number >= {low}, got {shown}",
        )
        for name, call, low, optional in WHOLE_NUMBERS
        for value, shown in [*NOT_WHOLE, (low - 1, str(low - 1)), *([] if optional else [(None, "None")])]
    ),
    *(
        (
            f"{name} = {value!r}",
            lambda call=call, value=value: call(value),
            ValueError,
            f"^{name} must be True or False, got {value!r}",
        )
        for name, call in FLAGS
        for value in (0, 1, None, "yes", 0.5)
    ),
    *((words, call, TypeError, words) for call, words in [*MISSPELT, *MISSPELT_IN_FILES]),
    *((what, call, ValueError, words) for what, call, words in OTHERS),
]


@pytest.mark.parametrize(("label", "call", "kind", "words"), BAD, ids=[label for label, *_ in BAD])
def test_bad_input_is_refused_in_words_that_say_what_and_what_was_given(label, call, kind, words):
    with pytest.raises(kind, match=words) as caught:
        call()
    assert type(caught.value) is kind


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
