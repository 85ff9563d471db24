"""Every schedule against numbers computed by hand, and DESIGN's "Edges, decided once", sentence by sentence."""

import math
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
)

R = math.sqrt
HALF_COSINE = [1.0, (1 + R(0.5)) / 2, 0.5, (1 - R(0.5)) / 2, 0.0]

TABLE = [
    # (schedule, the factors of updates 0, 1, 2, ... in a run of that many updates)
    (Warmup(4), [0.25, 0.5, 0.75, 1, 1, 1]),
    (Warmup(4, start_factor=0.5), [0.625, 0.75, 0.875, 1, 1]),
    (Warmup(1), [1, 1]),
    (Warmup(4, shape="cosine"), [*HALF_COSINE[3::-1], 1]),
    (Warmup(2, start_factor=0.2, shape="cosine"), [0.6, 1, 1]),
    (Warmup(2, start_factor=0.25, shape="exponential"), [0.5, 1, 1]),
    (Warmup(4, start_factor=0.0625, shape="exponential"), [0.125, 0.25, 0.5, 1, 1]),
    (Constant(), [1, 1, 1]),
    (Constant(2), [1, 1, 1]),
    (Constant(2, factor=0.5), [0.5, 0.5, 0.5]),
    (Linear(4), [1, 0.75, 0.5, 0.25, 0, 0]),
    (Linear(4, end_factor=0.5), [1, 0.875, 0.75, 0.625, 0.5, 0.5]),
    (Linear(), [1, 0.8, 0.6, 0.4, 0.2]),
    (Cosine(4), [*HALF_COSINE, 0, 0]),
    (Cosine(2, end_factor=0.1), [1, 0.55, 0.1, 0.1]),
    (OneMinusSqrt(4), [1, 0.5, 1 - R(0.5), 1 - R(0.75), 0, 0]),
    (OneMinusSqrt(4, end_factor=0.5), [1, 0.75, 1 - R(0.5) / 2, 1 - R(0.75) / 2, 0.5, 0.5]),
    (Rex(4), [1, 6 / 7, 2 / 3, 2 / 5, 0, 0]),
    (Rex(2, end_factor=0.25), [1, 0.75, 0.25, 0.25]),
    (Polynomial(4), [1, 0.75, 0.5, 0.25, 0, 0]),
    (Polynomial(4, power=2), [1, 9 / 16, 4 / 16, 1 / 16, 0, 0]),
    (Polynomial(4, end_factor=0.2, power=0.5), [1, 0.2 + 0.8 * R(0.75), 0.2 + 0.8 * R(0.5), 0.6, 0.2]),
    (Exponential(0.5), [1, 0.5, 0.25, 0.125]),
    (Exponential(0.25, decay_steps=2), [1, 0.5, 0.25, 0.125]),
    (Exponential(0.25, decay_steps=2, staircase=True), [1, 1, 0.25, 0.25, 0.0625]),
    (Exponential(0.5, duration=2), [1, 0.5, 0.25, 0.25]),
    (Exponential(0.5, 2, True, 4), [1, 1, 0.5, 0.5, 0.5, 0.5]),
    (Exponential(0.5, min_factor=0.3), [1, 0.5, 0.3, 0.3]),
    (Exponential(0.25, decay_steps="1 epoch"), [1, 0.5, 0.25, 0.125]),  # in epochs of 2
    (InverseTime(1.0), [1, 1 / 2, 1 / 3, 1 / 4]),
    (InverseTime(3.0, decay_steps=2), [1, 1 / 2.5, 1 / 4, 1 / 5.5]),
    (InverseTime(3.0, decay_steps=2, staircase=True), [1, 1, 1 / 4, 1 / 4, 1 / 7]),
    (InverseTime(1.0, duration=2), [1, 1 / 2, 1 / 3, 1 / 3]),
    (InverseSqrt(1), [1, R(1 / 2), R(1 / 3), 1 / 2]),
    (InverseSqrt(3, duration=2), [1, R(3 / 4), R(3 / 5), R(3 / 5)]),
    (StepDecay(2), [1, 1, 0.1, 0.1, 0.01, 0.01]),
    (StepDecay(2, gamma=0.5, duration=4), [1, 1, 0.5, 0.5, 0.5, 0.5]),
    (StepDecay("50%", gamma=0.5), [1, 1, 1, 0.5, 0.5]),  # 2.5 updates: the stair begins at the nearest update
    (MultiStep([2, 3]), [1, 1, 0.1, 0.01, 0.01]),
    (MultiStep(["1 epoch", "50%", 5], gamma=0.5), [1, 1, 0.5, 0.5, 0.25, 0.125, 0.125, 0.125]),  # in epochs of 2
    (Cyclic(2, base_factor=0.5), [0.5, 0.75, 1, 0.75, 0.5, 0.75]),
    (Cyclic(1, 3, base_factor=0.4), [0.4, 1, 0.8, 0.6, 0.4, 1]),
    (Cyclic(2, base_factor=0.0, mode="triangular2"), [0, 0.5, 1, 0.5, 0, 0.25, 0.5, 0.25, 0, 0.125]),
    (Cyclic(1, base_factor=0.5, mode="exp_range", gamma=0.5), [0.5, 0.75, 0.5, 0.5625, 0.5]),
    (Cyclic(1, base_factor=0.0, mode=lambda c: 1 / c), [0, 1, 0, 1 / 2, 0, 1 / 3]),
    (Cyclic(2, base_factor=0.0, shape="cosine"), [0, 0.5, 1, 0.5, 0, 0.5]),
    (Cyclic(2, base_factor=0.5, duration=4), [0.5, 0.75, 1, 0.75, 0.5, 0.5]),
    (Cyclic(2, base_factor=0.5, duration=2), [0.5, 0.75, 1, 1]),
    (Cyclic(2, base_factor=1.0, peak_factor=0.8), [1, 0.9, 0.8, 0.9, 1, 0.9]),
    (Cyclic(1, base_factor=0.0, peak_factor=0.8, mode="triangular2"), [0, 0.8, 0, 0.4, 0, 0.2]),
    (Linear(4).beside(momentum=Constant()), [1, 0.75, 0.5, 0.25, 0, 0]),
    (CosineRestarts(4), [*HALF_COSINE[:4], *HALF_COSINE[:3]]),
    (CosineRestarts(2, end_factor=0.1), [1, 0.55, 1, 0.55]),
    (CosineRestarts(1, cycle_mult=2), [1, 1, 0.5, *HALF_COSINE[:4], 1]),
    (CosineRestarts(2, peak_gamma=0.5), [1, 0.5, 0.5, 0.25, 0.25, 0.125]),
    (CosineRestarts(2, peak_gamma=0.5, end_factor=0.5), [1, 0.75, 0.5, 0.5, 0.25, 0.25]),  # a peak below the trough
    (CosineRestarts(4, duration=2), [1, HALF_COSINE[1], 0.5, 0.5]),
    (Temperature(1.0, 0.2, duration=4), [1, 0.8, 0.6, 0.4, 0.2, 0.2]),
    (Temperature(4.0, 1.0, duration=2), [1, 0.625, 0.25, 0.25]),
    (Temperature(2.0, 0.5, "exponential", duration=2), [1, 0.5, 0.25, 0.25]),
    (
        Temperature(3.0, 1.2, "logarithmic", duration=3),
        [1, 1 / math.log(1 + math.e), 1 / math.log(2 + math.e), 1 / math.log(3 + math.e), 1 / math.log(3 + math.e)],
    ),
    (Temperature(1.0, 0.9, "logarithmic"), [1, 0.9, 0.9]),
    (Temperature(1.0, 0.0, "relaxation", duration=2), [1, 0.5, 0.25, 0.25]),
    (Temperature(1.0, 0.2, "relaxation", duration=4), [1, 0.8, 0.65, 0.5375, 0.453125, 0.453125]),
    (Custom(lambda u: 1 - u**2, duration=4), [1, 15 / 16, 3 / 4, 7 / 16, 0, 0]),
    (Custom(lambda k: 2.0**k, of="step"), [1, 2, 4, 8]),
    (Custom(lambda k: 2.0**k, of="step", duration=3), [1, 2, 4, 4, 4]),
    (Custom(lambda e: 10.0**e, of="epoch", duration=5), [1, 1, 10, 10, 100, 100, 100]),  # in epochs of 2
    (Custom("math:sqrt", of="step"), [0, 1, R(2), R(3)]),
    (Chain([Warmup(2), Linear(2)]), [0.5, 1, 1, 0.5, 0, 0]),
]


@pytest.mark.parametrize(("schedule", "expected"), TABLE, ids=[repr(schedule) for schedule, _ in TABLE])
def test_a_schedule_has_the_factors_computed_by_hand(schedule, expected):
    curve = schedule.curve(len(expected), steps_per_epoch=2)
    assert curve.shape == (len(expected),)
    assert curve.dtype == np.float64
    assert curve.tolist() == pytest.approx(expected, rel=1e-14, abs=1e-15)


@pytest.mark.parametrize(("schedule", "expected"), TABLE, ids=[repr(schedule) for schedule, _ in TABLE])
def test_a_program_gives_the_same_factors_one_update_at_a_time(schedule, expected):
    program = schedule.resolve(Horizon(len(expected), 2))
    assert [program(t) for t in range(len(expected))] == pytest.approx(expected, rel=1e-14, abs=1e-15)
    assert all(type(program(t)) is float for t in range(len(expected)))


def test_every_schedule_has_a_row_in_the_table():
    import lightning_lr.core.schedules as known

    assert {type(schedule).__name__ for schedule, _ in TABLE} == set(known.__all__)


# ---- Edges, decided once


def test_a_phase_owns_the_half_open_interval_from_its_first_update():
    program = (Constant(3, factor=0.3) >> Constant(2, factor=0.2) >> Constant(1, factor=0.1)).resolve(Horizon(8))
    assert [program(t) for t in range(8)] == [0.3, 0.3, 0.3, 0.2, 0.2, 0.1, 0.1, 0.1]
    assert [program.phase(t) for t in range(8)] == [0, 0, 0, 1, 1, 2, 3, 3]
    assert [(s.begin, s.end) for s in program.segments] == [(0, 3), (3, 5), (5, 6)]


def test_a_phase_that_rounds_to_0_updates_is_skipped_and_said_to_be():
    program = (Warmup("5%") >> Linear()).resolve(Horizon(4))  # 0.2 updates of warmup
    assert [program(t) for t in range(5)] == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert program.warmup_end == 0
    assert program.notes == ("Warmup('5%') rounds to 0 updates in this run and is skipped",)


def test_a_warmup_after_a_skipped_phase_is_the_first():
    assert (Constant("1%") >> Warmup(4)).curve(5).tolist() == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_a_schedule_of_nothing_but_skipped_phases_is_the_constant_peak():
    program = Chain([Warmup("1%")]).resolve(Horizon(10))
    assert [program(t) for t in (0, 9, 100)] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("schedule", "end"),
    [
        (Warmup(4), 1.0),
        (Constant(4, factor=0.5), 0.5),
        (Linear(4), 0.0),
        (Cosine(4, end_factor=0.1), 0.1),
        (OneMinusSqrt(4), 0.0),
        (Rex(4), 0.0),
        (Polynomial(4, power=3), 0.0),
        (Exponential(0.5, duration=4), 0.0625),
        (InverseTime(1, duration=4), 0.2),
        (InverseSqrt(12, duration=4), R(0.75)),
        (StepDecay(2, gamma=0.5, duration=4), 0.5),
        (MultiStep([2], gamma=0.5, duration=4), 0.5),
        (Cyclic(2, duration=4), 0.1),
        (CosineRestarts(2, duration=4), 0.0),
        (Temperature(1, 0.25, duration=4), 0.25),
        (Custom(lambda u: 1 + u, duration=4), 2.0),
    ],
    ids=repr,
)
def test_past_the_end_the_end_value_holds_for_ever(schedule, end):
    program = schedule.resolve(Horizon(9))
    assert program.end == 4
    assert [program(t) for t in (4, 5, 8, 9, 10**12)] == [pytest.approx(end, rel=1e-15)] * 5
    assert program.curve(9)[4:].tolist() == [program.end_value] * 5


@pytest.mark.parametrize(
    ("schedule", "end"),
    [
        (StepDecay(2, gamma=0.5, duration=4), 0.5),
        (MultiStep([2, 4], gamma=0.5, duration=4), 0.5),
        (Exponential(0.5, decay_steps=2, staircase=True, duration=4), 0.5),
        (InverseTime(1.0, decay_steps=2, staircase=True, duration=4), 0.5),
        (Custom(lambda k: 4.0 - k, of="step", duration=4), 1.0),
        (Cyclic(2, base_factor=0.5, mode="triangular2", duration=4), 0.5),
    ],
    ids=repr,
)
def test_the_end_value_is_the_left_limit_where_a_stair_would_begin_at_the_end(schedule, end):
    assert schedule.resolve(Horizon(9)).end_value == end
    assert (schedule >> Constant(2)).curve(9)[4] == end


@pytest.mark.parametrize(
    ("schedule", "trough"),
    [
        (CosineRestarts(2, duration=4), 0.0),
        (CosineRestarts(2, duration=4, end_factor=0.25), 0.25),
        (CosineRestarts(2, cycle_mult=2, duration=6, end_factor=0.25), 0.25),
        (CosineRestarts(2, cycle_mult=3, peak_gamma=0.5, duration=8), 0.0),
        (CosineRestarts(2, peak_gamma=0.1, duration=6, end_factor=0.25), 0.01),  # the last peak lies below the trough
        (CosineRestarts("25%", duration="50%"), 0.0),
    ],
    ids=repr,
)
def test_cosine_restarts_that_end_with_a_cycle_hold_the_trough_not_a_new_peak(schedule, trough):
    program = schedule.resolve(Horizon(16))
    assert program.end_value == pytest.approx(trough, rel=1e-15)
    assert program(program.end) == program.end_value


def test_cosine_restarts_that_end_within_a_cycle_hold_the_value_there():
    assert CosineRestarts(4, duration=6).curve(8)[[5, 6, 7]] == pytest.approx([HALF_COSINE[1], 0.5, 0.5])


def test_warmup_reaches_the_peak_on_its_last_update():
    assert Warmup(4).curve(4).tolist() == [0.25, 0.5, 0.75, 1.0]
    for shape in ("linear", "cosine", "exponential"):
        assert Warmup(7, start_factor=0.01, shape=shape).curve(7)[6] == 1.0


def test_a_warmup_that_is_not_the_first_phase_starts_where_the_phase_before_it_ended():
    schedule = Linear(2, end_factor=0.2) >> Warmup(4)
    assert schedule.curve(8).tolist() == pytest.approx([1.0, 0.6, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0])
    assert schedule.resolve(Horizon(8)).warmup_end == 0


def test_a_warmup_that_is_not_the_first_phase_may_not_give_a_start_factor():
    with pytest.raises(ValueError, match=r"Warmup\(4, start_factor=0.5\) is not the first phase.*leave start_factor"):
        Linear(2) >> Warmup(4, start_factor=0.5)


def test_a_decay_starts_at_the_peak_after_warmup_and_its_end_value_comes_one_update_after_its_last():
    u = (Warmup(4) >> Cosine(8, end_factor=0.125)).curve(14).tolist()
    assert u[3] == u[4] == 1.0
    assert (np.diff(u[4:13]) < 0).all()
    assert u[12] == u[13] == 0.125


def test_warmup_end_is_the_first_update_after_the_leading_warmup():
    assert (Warmup("25%") >> Cosine()).resolve(Horizon(40)).warmup_end == 10
    assert Cosine().resolve(Horizon(40)).warmup_end == 0


def test_end_factor_is_always_a_fraction_of_the_peak():
    schedule = Linear(4, end_factor=0.5) >> Linear(4, end_factor=0.25)
    assert schedule.curve(10).tolist() == [1, 0.875, 0.75, 0.625, 0.5, 0.4375, 0.375, 0.3125, 0.25, 0.25]


def test_min_factor_is_a_fraction_of_the_peak_and_never_raises_the_factor():
    assert (Constant(1, factor=0.5) >> Exponential(0.5, min_factor=0.2)).curve(4).tolist() == [0.5, 0.5, 0.25, 0.2]
    assert (Constant(1, factor=0.1) >> Exponential(0.5, min_factor=0.2)).curve(3).tolist() == [0.1, 0.1, 0.1]


def test_constant_with_a_factor_jumps_to_its_level():
    assert (Linear(2, end_factor=0.5) >> Constant(2, factor=0.75)).curve(5).tolist() == [1, 0.75, 0.75, 0.75, 0.75]


def test_constant_without_a_factor_stays_where_the_phase_before_ended():
    assert (Linear(2, end_factor=0.5) >> Constant(2)).curve(5).tolist() == [1, 0.75, 0.5, 0.5, 0.5]


def test_cyclic_starts_at_its_base_times_the_incoming_factor():
    schedule = Constant(1, factor=0.5) >> Cyclic(2, base_factor=0.2)
    assert schedule.curve(5).tolist() == pytest.approx([0.5, 0.1, 0.3, 0.5, 0.3])


def test_cosine_restarts_start_at_the_incoming_factor_and_rise_to_it_again():
    schedule = Constant(1, factor=0.5) >> CosineRestarts(2, peak_gamma=0.5)
    assert schedule.curve(6).tolist() == pytest.approx([0.5, 0.5, 0.25, 0.25, 0.125, 0.125])


@pytest.mark.parametrize(
    "phase",
    [
        Linear(4, end_factor=0.1),
        Cosine(4, end_factor=0.1),
        OneMinusSqrt(4),
        Rex(4),
        Polynomial(4, power=2),
        Exponential(0.5, duration=4),
        InverseTime(1, duration=4),
        InverseSqrt(4, duration=4),
        StepDecay(2, duration=4),
        MultiStep([2], duration=4),
        Temperature(duration=4),
        Temperature(cooling="exponential", duration=4),
        Temperature(cooling="logarithmic", duration=4),
        Temperature(cooling="relaxation", duration=4),
        Custom(lambda u: 1 - u, duration=4),
    ],
    ids=repr,
)
def test_a_phase_starts_at_the_factor_where_the_one_before_it_ended(phase):
    assert (Constant(3, factor=0.5) >> phase).curve(8)[3] == 0.5


def test_custom_multiplies_the_factor_it_starts_from_and_may_grow():
    assert (Constant(1, factor=0.5) >> Custom(lambda u: 1 + u, duration=2)).curve(4).tolist() == [0.5, 0.5, 0.75, 1.0]


def test_custom_counts_updates_and_epochs_from_the_phases_own_start():
    seen = []

    def note(k):
        seen.append((k, type(k)))
        return 1.0

    program = (Constant(3) >> Custom(note, of="epoch")).resolve(Horizon(9, 2))
    seen.clear()
    for t in range(3, 9):
        program(t)
    assert seen == [(0, int), (0, int), (1, int), (1, int), (2, int), (2, int)]


def test_shares_of_a_run_round_boundaries_not_lengths():
    thirds = Constant("33%", factor=0.5) >> Constant("33%", factor=0.25) >> Constant("34%", factor=0.125)
    ends = {total: [s.end for s in thirds.resolve(Horizon(total)).segments] for total in (1, 5, 10, 11)}
    assert ends == {1: [1], 5: [2, 3, 5], 10: [3, 7, 10], 11: [4, 7, 11]}


def test_ten_tenths_cover_any_run_exactly():
    schedule = Chain([Constant("10%")] * 10)
    assert [schedule.resolve(Horizon(total)).end for total in range(1, 60)] == list(range(1, 60))


def test_one_phase_may_leave_its_duration_out_and_takes_the_rest():
    program = (Warmup(10) >> Constant() >> Linear("20%")).resolve(Horizon(100))
    assert [(s.begin, s.end) for s in program.segments] == [(0, 10), (10, 80), (80, 100)]


def test_two_phases_without_a_duration_are_refused():
    with pytest.raises(ValueError, match=r"at most one phase may leave its duration out.*got 2: Constant\(\), Cosine"):
        Constant() >> Cosine()


def test_a_phase_that_takes_the_rest_of_a_run_with_no_rest_is_skipped():
    program = (Constant(10, factor=0.5) >> Linear()).resolve(Horizon(10))
    assert program(10) == 0.5
    assert program.notes == ("Linear() rounds to 0 updates in this run and is skipped",)


def test_a_schedule_longer_than_the_run_is_refused_with_the_corrected_call():
    schedule = Warmup(4) >> Cosine("4 epochs")
    with pytest.raises(ValueError, match="the run has 40") as error:
        schedule.resolve(Horizon(40, 10))
    assert str(error.value) == (
        "Warmup(4) >> Cosine('4 epochs') is 44 updates long, but the run has 40: leave the duration out: `Cosine()` "
        'takes the rest (`Warmup(4) >> Cosine()`), or shorten it, or ask for on_overrun="cut"'
    )
    assert (Warmup(4) >> Cosine()).resolve(Horizon(40, 10)).end == 40


def test_a_schedule_longer_than_the_run_is_cut_where_that_is_asked_for():
    program = (Warmup(4) >> Linear(8)).resolve(Horizon(6), on_overrun="cut")
    assert program.curve(6).tolist() == [0.25, 0.5, 0.75, 1.0, 1.0, 0.875]


def test_a_schedule_exactly_as_long_as_the_run_is_accepted():
    assert (Warmup(4) >> Cosine("4 epochs")).resolve(Horizon(44, 10)).end == 44


@pytest.mark.parametrize(
    ("schedule", "at_1000"),
    [
        (Constant(), 1.0),
        (Exponential(0.5, decay_steps=100), 2.0**-10),
        (InverseTime(1.0, decay_steps=500), 1 / 3),
        (InverseSqrt(1000), R(0.5)),
        (StepDecay(500, gamma=0.5), 0.25),
        (MultiStep([10, 100], gamma=0.5), 0.25),
        (Cyclic(100, base_factor=0.5), 0.5),
        (CosineRestarts(400), 0.5),
        (Temperature(1.0, 0.0, "logarithmic"), 1 / math.log(1000 + math.e)),
        (Custom(lambda k: k / 1000, of="step"), 1.0),
        (Warmup(4) >> StepDecay(996, gamma=0.5), 0.5),
    ],
    ids=repr,
)
def test_a_schedule_whose_shape_needs_no_length_runs_on_in_a_run_of_unknown_length(schedule, at_1000):
    program = schedule.resolve(Horizon(None))
    assert program.end is None
    assert program(1000) == pytest.approx(at_1000, rel=1e-14, abs=1e-15)
    assert program.curve(1001)[1000] == pytest.approx(at_1000, rel=1e-14, abs=1e-15)


@pytest.mark.parametrize("schedule", [Warmup(4) >> Cosine(8), Linear("2 epochs")], ids=repr)
def test_a_schedule_of_known_lengths_needs_no_total(schedule):
    assert schedule.resolve(Horizon(None, 6)).end == 12


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (Cosine(), r"Cosine\(\) takes the rest of a run whose length is unknown: give total_steps="),
        (Constant() >> Linear(5), r"Constant\(\) takes the rest of a run whose length is unknown: give total_steps="),
        (Warmup("5%"), r"Warmup\('5%'\): '5%' is a share of a run whose length is unknown: give total_steps="),
        (StepDecay("5%"), r"StepDecay\('5%'\): '5%' is a share of a run whose length is unknown: give total_steps="),
        (Custom(math.cos), r"Custom\('math:cos'\) takes the rest of a run whose length is unknown: give total_steps="),
    ],
    ids=repr,
)
def test_a_share_or_the_rest_of_a_run_of_unknown_length_is_refused_naming_total_steps(schedule, words):
    with pytest.raises(ValueError, match=words):
        schedule.resolve(Horizon(None))


@pytest.mark.parametrize("cooling", ["linear", "exponential", "logarithmic", "relaxation"])
def test_the_factor_falls_with_the_temperature(cooling):
    curve = Temperature(5.0, 0.5, cooling, duration=50).curve(60)
    assert curve[0] == 1.0
    assert (np.diff(curve) <= 0).all()
    assert curve[1] < curve[0]
    assert curve[-1] >= 0.5 / 5.0


@pytest.mark.parametrize("cooling", ["linear", "exponential"])
def test_a_temperature_ends_at_the_final_one(cooling):
    assert Temperature(5.0, 0.5, cooling, duration=50).curve(60)[50] == pytest.approx(0.1, rel=1e-15)


def test_a_milestone_past_the_end_of_its_phase_is_said_to_never_happen():
    program = MultiStep([2, 6], duration=5).resolve(Horizon(10))
    assert program.notes == (
        "MultiStep((2, 6), duration=5): the milestones [6] lie past the phase's end and never happen",
    )


# ---- Rational positions: what a stretched program is asked for


@pytest.mark.parametrize(
    ("schedule", "stairs"),
    [
        (StepDecay(3, gamma=0.5), [1, 1, 1, 0.5, 0.5, 0.5, 0.25]),
        (MultiStep([1, 4], gamma=0.5), [1, 0.5, 0.5, 0.5, 0.25]),
        (Exponential(0.5, 2, staircase=True), [1, 1, 0.5, 0.5, 0.25]),
        (InverseTime(1.0, 2, staircase=True), [1, 1, 0.5, 0.5, 1 / 3]),
        (StepDecay("50%", gamma=0.5), [1, 1, 1, 0.5, 0.5]),  # stairs of 2.5 updates begin at updates 3 and 5
    ],
    ids=repr,
)
@pytest.mark.parametrize("den", [1, 2, 3, 7, 10, 10**6])
def test_a_stretched_staircase_changes_at_whole_updates_exactly(schedule, stairs, den):
    program = schedule.resolve(Horizon(len(stairs)))
    for step, value in enumerate(stairs):
        for n in {0, 1, den // 2, den - 1}:
            assert program.at(step * den + n % den, den) == value


@pytest.mark.parametrize("shape", ["linear", "cosine", "exponential"])
def test_a_stretched_warmup_never_overshoots_and_never_falls(shape):
    program = (Warmup(4, start_factor=0.1, shape=shape) >> Linear(8)).resolve(Horizon(12))
    values = [program.at(n, 7) for n in range(4 * 7)]
    assert max(values) == 1.0
    assert values == sorted(values)
    assert values[3 * 7 :] == [1.0] * 7
    assert values[::7] == [program(t) for t in range(4)]


def test_between_updates_a_program_follows_its_formula():
    program = Linear(4).resolve(Horizon(4))
    assert program.at(1, 2) == 0.875
    assert program.at(31, 8) == pytest.approx(1 - 31 / 32)
    assert program(Fraction(1, 2)) == program.at(1, 2)
    assert program.at(32, 8) == 0.0


def test_a_position_may_be_written_with_any_denominator():
    program = (Warmup(3) >> Cosine(10) >> StepDecay(2)).resolve(Horizon(30))
    assert [program.at(6 * t, 6) for t in range(30)] == [program(t) for t in range(30)]


# ---- Curves


def test_a_share_with_many_digits_is_exact_in_a_vectorised_curve_too():
    third = f"{100 / 3}%"  # '33.333333333333336%' of 777 updates is a fraction whose terms overflow int64
    for schedule in (
        StepDecay(third, gamma=0.5),
        Cyclic(third),
        CosineRestarts(third),
        Exponential(0.5, third),
        InverseSqrt(third),
    ):
        program = schedule.resolve(Horizon(777))
        assert program.curve(777).tolist() == pytest.approx([program(t) for t in range(777)], rel=1e-14)


def test_a_part_of_a_curve_is_that_part_of_the_whole():
    program = (Warmup(3) >> CosineRestarts(4, cycle_mult=2, duration=20) >> Constant(2)).resolve(Horizon(30))
    whole = program.curve(30)
    for start, stop in [(0, 30), (2, 5), (7, 7), (10, 29), (26, 40)]:
        part = program.curve(stop, start)
        assert part.shape == (stop - start,)
        assert part.tolist() == [program(t) for t in range(start, stop)]
        assert part[: 30 - start].tolist() == whole[start:stop].tolist()


# ---- an open last phase takes the rest of the run, and its end value holds; a longer run continues it


def test_an_open_last_phase_ends_with_the_run_and_holds():
    program = CosineRestarts(4).resolve(Horizon(8))
    assert [round(program(t), 3) for t in (0, 4, 7, 8, 100)] == [1.0, 1.0, 0.146, 0.0, 0.0]
    assert Exponential(0.5).resolve(Horizon(3))(10) == 0.125
    assert Exponential(0.5).resolve(Horizon(None))(10) == 0.5**10


def test_a_longer_run_continues_an_open_last_phase_and_nothing_else():
    def continued(schedule, short, long):
        return schedule.resolve(Horizon(short)).continued_by(schedule.resolve(Horizon(long)))

    assert continued(Warmup(4) >> Exponential(0.5), 4, 8)
    assert continued(Warmup(4) >> CosineRestarts(4), 6, 80)
    assert continued(Linear(4), 6, 80)
    assert not continued(Warmup("10%") >> Exponential(0.5), 10, 80)
    assert not continued(Warmup(4) >> Linear(), 10, 80)
    assert not continued(StepDecay("10%"), 10, 80)


def test_an_open_phase_that_lies_beyond_the_run_asks_its_function_for_no_negative_step():
    program = (Warmup(1) >> Custom("math:sqrt", of="step")).resolve(Horizon(1))
    assert [program(t) for t in (0, 1, 5)] == [1.0, 1.0, 1.0]
