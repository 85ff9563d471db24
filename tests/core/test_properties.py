"""What holds for every schedule, length and nesting."""

import copy
import math
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lightning_lr
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
)
from lightning_lr.core.control import Control, ahead, factor, factors
from lightning_lr.core.program import SCALAR

NAMES = {name: getattr(lightning_lr, name) for name in lightning_lr._HOME_OF}
PROPERTY = settings(derandomize=True, deadline=None)
JUMPS = (Cyclic, CosineRestarts, Custom, StepDecay, MultiStep)  # and Constant with a factor, and staircases


def ulps(a, b, unit=0.0):
    """How many units in the last place lie between two factors: the last place of the larger, or of ``unit``.

    Zero and what lies near the smallest normal number count as equal: down there a digit of the result is no digit.
    """
    if a == b or max(abs(a), abs(b)) < 1e-300:
        return 0.0
    return abs(a - b) / math.ulp(max(abs(a), abs(b), unit))


def square(u):
    return 1 - u * u


def growing(k):
    return 1 + k / 7


def one_over(cycle):
    return 1 / cycle


# ---- Any schedule


def share(tenths):
    return f"{tenths // 10}.{tenths % 10}%"


UNIT = st.floats(0, 1, allow_subnormal=False)
GAMMA = st.floats(0.01, 1)
LENGTH = st.one_of(
    st.integers(1, 100),
    st.integers(1, 50).map(lambda n: f"{n} steps"),
    st.integers(1, 400).map(share),
    st.integers(1, 30).map(lambda n: f"{n / 8} epochs"),
)
WARMUPS = st.builds(
    Warmup, LENGTH, st.floats(0.01, 1), st.sampled_from(["linear", "cosine", "exponential"])
) | st.builds(Warmup, LENGTH, UNIT, st.sampled_from(["linear", "cosine"]))


def temperatures(length):
    return st.builds(
        lambda initial, ratio, cooling, duration: Temperature(initial, initial * ratio, cooling, duration),
        st.floats(0.1, 100),
        st.floats(0.001, 1),
        st.sampled_from(["linear", "exponential", "logarithmic", "relaxation"]),
        length,
    )


def milestones():
    numbers = st.lists(st.integers(1, 99), min_size=1, max_size=5, unique=True).map(sorted)
    return numbers | numbers.map(lambda values: [f"{v}%" for v in values])


def decays(length):
    """Every built-in that is not a warmup, with a length drawn from ``length``; none of them exceeds the peak."""
    return st.one_of(
        st.builds(Constant, length, st.none() | UNIT),
        *(st.builds(kind, length, UNIT) for kind in (Linear, Cosine, OneMinusSqrt, Rex)),
        st.builds(Polynomial, length, UNIT, st.floats(0.2, 5)),
        st.builds(Exponential, GAMMA, LENGTH, st.booleans(), length, UNIT),
        st.builds(InverseTime, st.floats(0, 10), LENGTH, st.booleans(), length),
        st.builds(InverseSqrt, LENGTH, length),
        st.builds(StepDecay, LENGTH, GAMMA, length),
        st.builds(MultiStep, milestones(), GAMMA, length),
        st.builds(
            Cyclic,
            LENGTH,
            st.none() | LENGTH,
            UNIT,
            st.sampled_from(["triangular", "triangular2", "exp_range", one_over]),
            st.floats(0.5, 1),
            st.sampled_from(["linear", "cosine"]),
            length,
        ),
        st.builds(CosineRestarts, LENGTH, st.sampled_from([1.0, 1.5, 2.0, 3.0]) | st.floats(1, 4), GAMMA, UNIT, length),
        temperatures(length),
    )


def customs(length):
    return st.builds(Custom, st.sampled_from([square, math.cos]), st.just("progress"), length) | st.builds(
        Custom, st.sampled_from([growing, "math:sqrt"]), st.sampled_from(["step", "epoch"]), length
    )


@st.composite
def schedules(draw, custom=True):
    """A chain of any phases in mixed units, nested anyhow, with at most one phase that takes the rest."""

    def phases(length):
        return decays(length) | customs(length) if custom else decays(length)

    later = phases(LENGTH) | LENGTH.map(Warmup)
    first = draw(WARMUPS | later)
    before, after = draw(st.lists(later, max_size=3)), draw(st.lists(later, max_size=2))
    rest = draw(st.lists(phases(st.none()), max_size=1))
    parts = [first, *before, *rest, *after]
    cut = draw(st.integers(1, len(parts)))
    if draw(st.booleans()) and cut < len(parts):
        return Chain([Chain(parts[:cut]), parts[cut:]])
    return Chain(parts) if len(parts) > 1 or draw(st.booleans()) else parts[0]


HORIZONS = st.builds(Horizon, st.integers(1, 400), st.integers(1, 60) | st.lists(st.integers(1, 40), min_size=1))


@PROPERTY
@given(schedules(), HORIZONS)
def test_one_update_at_a_time_and_vectorised_agree_to_the_last_bit(schedule, horizon):
    """So the lr that was previewed is the lr that is used; and numpy agrees with ``math`` to 4 ulp."""
    program = schedule.resolve(horizon, on_overrun="cut")
    stop = horizon.total_steps + 20
    curve = program.curve(stop)
    assert curve.shape == (stop,)
    assert curve.dtype == np.float64
    assert curve.tolist() == [program(t) for t in range(stop)]
    for t in range(stop):
        phase = program.phase(t)
        if phase < len(program.segments):
            segment = program.segments[phase]
            # one that rises from near 0 is a difference of numbers near its end: accurate to the last place of that
            scalar = segment.formula(SCALAR, t - segment.begin, 1, *segment.args)
            assert ulps(scalar, float(curve[t]), segment.end_value) <= 4, (t, scalar, curve[t])


CONTROLS = st.builds(
    Control,
    scale=st.floats(0.01, 1),
    rewarm=st.integers(0, 30),
    origin=st.integers(0, 200),
    hold_until=st.integers(0, 60),
    offset=st.integers(0, 10**6),
    num=st.integers(0, 10**6),
    den=st.integers(1, 10**6),
)


@PROPERTY
@given(schedules(), HORIZONS, CONTROLS, st.integers(0, 300), st.integers(1, 60))
def test_what_events_make_of_it_is_the_same_alone_and_in_a_row(schedule, horizon, control, start, count):
    program = schedule.resolve(horizon, on_overrun="cut")
    start += control.origin
    steps = np.arange(start, start + count)
    assert factors(program, control, steps).tolist() == [factor(program, control, t) for t in steps.tolist()]
    coming = ahead(program, control, start)
    assert coming[:count] == [factor(program, control, start + i) for i in range(min(count, len(coming)))]


def test_numbers_beyond_int64_are_exact_too():
    program = Exponential(0.5, decay_steps="33.333333333333336%", staircase=True).resolve(Horizon(777))
    assert program.curve(777).tolist() == [program(t) for t in range(777)]
    assert [program(t) for t in (258, 259, 517, 518, 10**30)] == [1.0, 0.5, 0.5, 0.25, 0.25]
    far = Control(origin=10**17, offset=10**17)
    endless = StepDecay(10**17, gamma=0.5).resolve(Horizon(None))
    steps = np.array([10**17, 2 * 10**17 - 1, 2 * 10**17])
    assert (
        factors(endless, far, steps).tolist() == [0.5, 0.5, 0.25] == [factor(endless, far, t) for t in steps.tolist()]
    )


@PROPERTY
@given(schedules(custom=False), HORIZONS)
def test_everything_built_in_stays_between_0_and_the_peak(schedule, horizon):
    program = schedule.resolve(horizon, on_overrun="cut")
    curve = program.curve(horizon.total_steps + 20)
    assert curve.min() >= 0.0
    assert curve.max() <= 1.0
    assert 0.0 <= program.end_value <= 1.0


@PROPERTY
@given(schedules(), HORIZONS)
def test_a_phase_starts_at_the_factor_where_the_one_before_it_ended(schedule, horizon):
    program = schedule.resolve(horizon, on_overrun="cut")
    ended = 1.0
    for segment in program.segments:
        phase = eval(segment.label, dict(NAMES))
        jumps = isinstance(phase, JUMPS) or getattr(phase, "staircase", False) or getattr(phase, "factor", None)
        if isinstance(phase, Warmup) and segment.begin > 0:  # it starts one update before its first
            assert segment.formula(SCALAR, -1, 1, *segment.args) == ended
        elif not (isinstance(phase, Warmup) or jumps or getattr(phase, "factor", None) == 0.0):
            assert program(segment.begin) == ended
        ended = segment.end_value


@PROPERTY
@given(schedules(), HORIZONS)
def test_phases_lie_side_by_side_and_none_is_empty(schedule, horizon):
    program = schedule.resolve(horizon, on_overrun="cut")
    position = 0
    for segment in program.segments:
        assert segment.begin == position
        assert segment.open_end or segment.end > segment.begin  # an open last phase may lie beyond the run
        position = segment.end
    assert position == program.end or not program.segments


@PROPERTY
@given(schedules(), HORIZONS)
def test_past_the_end_nothing_changes(schedule, horizon):
    program = schedule.resolve(horizon, on_overrun="cut")
    if program.end is not None:
        assert {program(program.end + k) for k in (0, 1, 17, 10**12)} == {program.end_value}


@PROPERTY
@given(schedules(), HORIZONS, st.integers(0, 400), st.integers(1, 50))
def test_a_whole_position_is_the_same_however_it_is_written(schedule, horizon, step, den):
    program = schedule.resolve(horizon, on_overrun="cut")
    assert ulps(program.at(step * den, den), program(step), 1.0) <= 4


@PROPERTY
@given(schedules())
def test_the_repr_can_be_pasted_back(schedule):
    again = eval(repr(schedule), dict(NAMES))
    assert again == schedule
    assert repr(again) == repr(schedule)


@PROPERTY
@given(schedules())
def test_a_pickled_schedule_is_equal_and_hashes_the_same(schedule):
    again = pickle.loads(pickle.dumps(schedule))
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert copy.deepcopy(schedule) == schedule


@given(schedules(), HORIZONS)
@settings(PROPERTY, max_examples=50)
def test_a_pickled_program_is_equal_and_gives_the_same_factors(schedule, horizon):
    program = schedule.resolve(horizon, on_overrun="cut")
    again = pickle.loads(pickle.dumps(program))
    assert again == program
    assert hash(again) == hash(program)
    assert (again.end, again.end_value, again.warmup_end, again.notes) == (
        program.end,
        program.end_value,
        program.warmup_end,
        program.notes,
    )
    assert again.horizon == program.horizon
    assert again.curve(horizon.total_steps).tolist() == program.curve(horizon.total_steps).tolist()


@given(schedules(), HORIZONS)
@settings(PROPERTY, max_examples=50)
def test_resolving_and_evaluating_change_nothing(schedule, horizon):
    before = (repr(schedule), hash(schedule), repr(horizon))
    program = schedule.resolve(horizon, on_overrun="cut")
    values = [program(t) for t in range(horizon.total_steps)]
    first = program.curve(horizon.total_steps)
    first[:] = -1.0  # an array that was handed out is the caller's own
    assert [program(t) for t in reversed(range(horizon.total_steps))] == values[::-1]
    assert program.curve(horizon.total_steps).min() >= 0.0
    assert schedule.resolve(horizon, on_overrun="cut") == program
    assert (repr(schedule), hash(schedule), repr(horizon)) == before


@given(st.lists(decays(LENGTH), min_size=3, max_size=6), st.data())
@settings(PROPERTY, max_examples=50)
def test_the_nesting_of_a_chain_does_not_matter(phases, data):
    cut = data.draw(st.integers(1, len(phases) - 1))
    left, right = Chain(phases[:cut]), Chain(phases[cut:])
    assert left >> right == Chain(phases) == Chain([left, right]) == Chain([phases[:cut], *phases[cut:]])
    assert hash(left >> right) == hash(Chain(phases))


@PROPERTY
@given(st.integers(1, 300), UNIT)
def test_a_reversed_linear_warmup_is_a_linear_decay(length, low):
    rise = Warmup(length, start_factor=low).curve(length)
    assert rise[::-1].tolist() == Linear(length, end_factor=low).curve(length).tolist()


@PROPERTY
@given(st.integers(1, 300), UNIT)
def test_a_reversed_cosine_warmup_is_a_cosine_decay(length, low):
    rise = Warmup(length, start_factor=low, shape="cosine").curve(length)
    assert rise[::-1].tolist() == Cosine(length, end_factor=low).curve(length).tolist()


@PROPERTY
@given(st.integers(1, 300), UNIT)
def test_a_polynomial_of_power_1_is_a_line(length, low):
    line = Linear(length, end_factor=low).curve(length + 3).tolist()
    assert Polynomial(length, end_factor=low, power=1.0).curve(length + 3).tolist() == line


@PROPERTY
@given(st.integers(1, 100), GAMMA, st.integers(1, 200))
def test_a_step_decay_is_an_exponential_in_stairs_and_a_multi_step_at_every_multiple(size, gamma, total):
    expected = StepDecay(size, gamma=gamma).curve(total).tolist()
    assert Exponential(gamma, size, staircase=True).curve(total).tolist() == expected
    every = MultiStep(range(size, max(total, size) + 1, size), gamma=gamma)
    assert every.curve(total).tolist() == expected


# ---- Sizes


def test_300_phases_are_as_good_as_two():
    phases = [Linear(1 + i % 3, end_factor=(i * 37 % 101) / 101) for i in range(300)]
    schedule = phases[0]
    for phase in phases[1:]:
        schedule = schedule >> phase
    assert schedule == Chain(phases)
    assert eval(repr(schedule), dict(NAMES)) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    program = schedule.resolve(Horizon(600))
    assert len(program.segments) == 300
    assert program.end == 600
    assert [program(t) for t in range(600)] == program.curve(600).tolist()
    for before, after in zip(program.segments, program.segments[1:], strict=False):
        assert program(after.begin) == before.end_value


FOREVER = [
    Cosine(),
    Warmup("5%") >> Linear(),
    Rex(),
    OneMinusSqrt(),
    Polynomial(power=2),
    Exponential(0.5, "1%"),
    Exponential(0.5, "1%", staircase=True),
    InverseTime(1.0, 1000),
    InverseSqrt(1000),
    StepDecay(10**9, gamma=0.9),
    MultiStep(["30%", "60%"]),
    Cyclic(10**6, 3),
    CosineRestarts(10, cycle_mult=1.5),
    CosineRestarts(7),
    Temperature(),
    Temperature(cooling="logarithmic"),
    Temperature(cooling="relaxation"),
    Chain([Constant("10%")] * 10),
]


@pytest.mark.parametrize("schedule", FOREVER, ids=repr)
def test_a_run_of_a_million_million_updates_needs_no_array(schedule):
    total = 10**12
    tracemalloc.start()
    try:
        program = schedule.resolve(Horizon(total))
        values = [program(t) for t in (0, total // 3, total // 2, total - 1, total)]
        part = program.curve(total, total - 5)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert all(0.0 <= value <= 1.0 for value in values)
    assert part.tolist() == pytest.approx([program(t) for t in range(total - 5, total)], rel=1e-9, abs=1e-12)
    assert peak < 2**22


def test_a_run_of_a_million_million_updates_calls_a_custom_function_once_per_question():
    calls = []

    def counted(k):
        calls.append(k)
        return 1.0

    program = Custom(counted, of="step", duration="100%").resolve(Horizon(10**12))
    resolved = len(calls)
    program(0), program(10**12 - 1), program(10**12)
    assert resolved <= 1
    assert calls[resolved:] == [0, 10**12 - 1]


# ---- Nothing of the caller's is kept or changed


def test_the_callers_own_lists_and_mappings_are_left_alone_and_not_kept():
    milestones = ["1 epoch", 7]
    phases = [{"class_path": "MultiStep", "init_args": {"milestones": milestones}}]
    kept = copy.deepcopy(phases)
    schedule = Chain([*phases, {"_target_": "Linear", "duration": 5}])
    assert phases == kept
    before = repr(schedule)
    milestones.append(99)
    phases.clear()
    assert repr(schedule) == before == "MultiStep(('1 epoch', 7)) >> Linear(5)"


@pytest.mark.parametrize("schedule", [Warmup(4), Chain([Cosine(4)])], ids=repr)
def test_a_schedule_cannot_be_changed(schedule):
    kind = type(schedule).__name__
    with pytest.raises(AttributeError, match=f"{kind} is immutable; make another instead of assigning duration"):
        schedule.duration = 5
    with pytest.raises(AttributeError, match=f"{kind} is immutable; duration cannot be deleted"):
        del schedule.duration


def test_schedules_of_different_kinds_or_numbers_differ():
    different = [Linear(4), Cosine(4), Rex(4), Linear(5), Linear("4 epochs"), Linear(4, end_factor=0.5), Linear()]
    assert len(set(different)) == len(different)
    assert Linear(4) != "Linear(4)"


def test_a_repr_says_only_what_differs_from_the_defaults():
    assert repr(Warmup("5.0%") >> Cosine(end_factor=0.1) >> Constant("3ep")) == (
        "Warmup('5%') >> Cosine(end_factor=0.1) >> Constant('3 epochs')"
    )
    assert repr(Polynomial(4)) == "Polynomial(4)"
    assert repr(Chain([Cosine()])) == "Chain([Cosine()])"
    assert repr(Exponential(0.5, 1, True)) == "Exponential(0.5, staircase=True)"


def test_a_function_that_can_be_imported_is_shown_by_its_name():
    assert repr(Custom(math.cos)) == "Custom('math:cos')"
    assert eval(repr(Cyclic(3, mode=one_over)), dict(NAMES)) == Cyclic(3, mode=one_over)


def test_a_function_that_cannot_be_imported_says_so_in_the_repr():
    schedule = Custom(lambda u: u)
    assert "<lambda>: cannot be imported by name, so this repr cannot be pasted back" in repr(schedule)
