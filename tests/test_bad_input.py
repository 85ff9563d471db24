"""Everything that is refused, and the words it is refused with; and what configuration files may hand over."""

import math
from collections import UserDict, UserList
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest

from lightning_lr import (
    Chain,
    Constant,
    Cosine,
    CosineRestarts,
    Custom,
    Cyclic,
    Exponential,
    Horizon,
    InverseSqrt,
    InverseTime,
    Linear,
    MultiStep,
    OneMinusSqrt,
    Polynomial,
    Rex,
    StepDecay,
    Temperature,
    Warmup,
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
]

IN_0_1, ABOVE_0_TO_1 = r"must be a number in \[0, 1\]", r"must be a number in \(0, 1\]"
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
    # configuration files
    (
        "an unknown class",
        lambda: Chain([{"class_path": "Cosin"}]),
        r"phases\[0\] names the unknown schedule 'Cosin'; did you mean 'Cosine'\?; known: Chain, Constant, Cosine",
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


@pytest.mark.parametrize("milestones", [[2, "50%"], (2, "50%"), Listy(2, "50%"), iter([2, "50%"])], ids=repr)
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
