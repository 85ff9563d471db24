"""Each preset against its published formula, computed by hand here."""

import math

import pytest

from lightning_lr import (
    Chain,
    Constant,
    Cosine,
    Horizon,
    Linear,
    OneMinusSqrt,
    Warmup,
    cosine_with_warmup,
    flat_cosine,
    infinite,
    linear_with_warmup,
    one_cycle,
    slanted_triangular,
    wsd,
)

N = 200


def ramp(t, length, start=0.0):
    return start + (1 - start) * (t + 1) / length


def falling_cosine(u, end=0.0):
    return end + (1 - end) * (1 + math.cos(math.pi * u)) / 2


def assert_curve(schedule, formula, end):
    assert schedule.curve(N).tolist() == pytest.approx([formula(t) for t in range(N)], rel=1e-12, abs=1e-15)
    assert schedule.resolve(Horizon(N)).end_value == pytest.approx(end, rel=1e-12)


@pytest.mark.parametrize(
    ("shape", "decay"),
    [
        ("one_minus_sqrt", lambda u: 1 - math.sqrt(u)),
        ("linear", lambda u: 1 - u),
        ("cosine", falling_cosine),
    ],
)
def test_wsd_is_warmup_then_flat_then_a_cooldown_over_the_last_share(shape, decay):
    def formula(t):
        return ramp(t, 20) if t < 20 else 1.0 if t < 140 else 0.1 + 0.9 * decay((t - 140) / 60)

    assert_curve(wsd("10%", "30%", shape=shape, end_factor=0.1), formula, 0.1)


def test_wsd_by_default_warms_up_for_5_percent_and_cools_down_over_20():
    assert wsd() == Warmup("5%") >> Constant() >> OneMinusSqrt("20%")


def test_one_cycle_rises_and_falls_along_cosines():
    def formula(t):
        if t < 60:
            return 1 / 25 + (1 - 1 / 25) * (1 - math.cos(math.pi * (t + 1) / 60)) / 2
        return falling_cosine((t - 60) / 140, 1 / 250000)

    assert_curve(one_cycle(), formula, 1 / 250000)


def test_cosine_with_warmup():
    def formula(t):
        return ramp(t, 10) if t < 10 else falling_cosine((t - 10) / 190, 0.25)

    assert_curve(cosine_with_warmup(end_factor=0.25), formula, 0.25)


def test_linear_with_warmup():
    def formula(t):
        return ramp(t, 10) if t < 10 else 1 - 0.75 * (t - 10) / 190

    assert_curve(linear_with_warmup(end_factor=0.25), formula, 0.25)


def test_slanted_triangular_is_ulmfits_triangle():
    cut, ratio = 0.1 * N, 32

    def formula(t):
        p = (t + 1) / cut if t < cut else 1 - (t - cut) / (N - cut)
        return (1 + p * (ratio - 1)) / ratio

    assert_curve(slanted_triangular(), formula, 1 / 32)


def test_flat_cosine_is_flat_and_then_a_cosine():
    def formula(t):
        return 1.0 if t < 150 else falling_cosine((t - 150) / 50, 0.5)

    assert_curve(flat_cosine(end_factor=0.5), formula, 0.5)


def test_infinite_is_warmup_cosine_constant_and_an_exponential_annealing():
    def formula(t):
        if t < 10:
            return ramp(t, 10)
        if t < 50:
            return falling_cosine((t - 10) / 40, 0.3)
        return 0.3 if t < 180 else 0.3 * (0.01 / 0.3) ** ((t - 180) / 20)

    assert_curve(infinite(), formula, 0.01)


@pytest.mark.parametrize("total", [7, 15, 23, 101])
def test_infinite_ends_at_its_end_factor_even_where_a_share_is_no_whole_number_of_updates(total):
    assert infinite().resolve(Horizon(total)).end_value == pytest.approx(0.01, rel=1e-12)


@pytest.mark.parametrize(
    "preset", [wsd, one_cycle, cosine_with_warmup, linear_with_warmup, slanted_triangular, flat_cosine, infinite]
)
def test_a_preset_is_a_chain_of_ordinary_phases_that_fits_any_run(preset):
    schedule = preset()
    assert isinstance(schedule, Chain)
    for total in (1, 2, 3, 10, 99, 1000):
        program = schedule.resolve(Horizon(total))
        assert program.end == total
        assert 0 < max(program(t) for t in range(total)) <= 1


def test_a_preset_takes_any_unit():
    schedule = linear_with_warmup("1 epoch")
    assert schedule == Warmup("1 epoch") >> Linear()
    assert schedule.curve(8, steps_per_epoch=4).tolist() == [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25]
    assert flat_cosine(3, end_factor=0.5) == Constant(3) >> Cosine(end_factor=0.5)
