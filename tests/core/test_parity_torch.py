"""The same numbers as torch.optim.lr_scheduler to 1e-12, and every intended difference as a test of its own."""

import random
import warnings

import pytest
import torch
from torch.optim import lr_scheduler as torch_lr

from lightning_lr import (
    Cosine,
    CosineRestarts,
    Cyclic,
    Exponential,
    Horizon,
    Linear,
    MultiStep,
    Polynomial,
    StepDecay,
    Warmup,
)

SEEDS = range(25)


def torch_factors(make, updates):
    """The factor that each of torch's first ``updates`` optimizer updates uses (base lr 1)."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*epoch parameter in `scheduler.step")
        scheduler = make(optimizer)
        factors = []
        for _ in range(updates):
            factors.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            scheduler.step()
    return factors


def assert_parity(schedule, make, updates):
    ours = schedule.curve(updates).tolist()
    assert ours == pytest.approx(torch_factors(make, updates), rel=1e-12, abs=1e-12)
    program = schedule.resolve(Horizon(updates))
    assert [program(t) for t in range(updates)] == pytest.approx(ours, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_linear_is_linear_lr_falling_and_past_its_end(seed):
    r = random.Random(seed)
    total, end = r.randint(1, 60), r.random()
    assert_parity(
        Linear(total, end_factor=end),
        lambda o: torch_lr.LinearLR(o, start_factor=1.0, end_factor=end, total_iters=total),
        total + 20,
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_cosine_is_cosine_annealing_lr_up_to_t_max(seed):
    r = random.Random(seed)
    t_max, end = r.randint(1, 60), r.choice([0.0, r.random()])
    assert_parity(
        Cosine(t_max, end_factor=end), lambda o: torch_lr.CosineAnnealingLR(o, T_max=t_max, eta_min=end), t_max + 1
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_polynomial_is_polynomial_lr_and_past_its_end(seed):
    r = random.Random(seed)
    total, power = r.randint(1, 60), r.choice([0.5, 1.0, 2.0, r.uniform(0.2, 5)])
    assert_parity(
        Polynomial(total, power=power), lambda o: torch_lr.PolynomialLR(o, total_iters=total, power=power), total + 20
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_exponential_is_exponential_lr(seed):
    gamma = random.Random(seed).uniform(0.5, 1.0)
    assert_parity(Exponential(gamma), lambda o: torch_lr.ExponentialLR(o, gamma=gamma), 100)


@pytest.mark.parametrize("seed", SEEDS)
def test_step_decay_is_step_lr(seed):
    r = random.Random(seed)
    size, gamma = r.randint(1, 20), r.uniform(0.1, 1.0)
    assert_parity(StepDecay(size, gamma=gamma), lambda o: torch_lr.StepLR(o, step_size=size, gamma=gamma), 100)


@pytest.mark.parametrize("seed", SEEDS)
def test_multi_step_is_multi_step_lr(seed):
    r = random.Random(seed)
    milestones, gamma = sorted(r.sample(range(1, 99), r.randint(1, 6))), r.uniform(0.1, 1.0)
    assert_parity(
        MultiStep(milestones, gamma=gamma), lambda o: torch_lr.MultiStepLR(o, milestones=milestones, gamma=gamma), 100
    )


@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
@pytest.mark.parametrize("seed", SEEDS)
def test_cyclic_is_cyclic_lr_in_every_mode_and_with_unequal_sides(seed, mode):
    r = random.Random(seed)
    up, down, base = r.randint(1, 15), r.choice([None, r.randint(1, 15)]), r.random()
    gamma = r.uniform(0.9, 1.0)
    assert_parity(
        Cyclic(up, down, base_factor=base, mode=mode, gamma=gamma),
        lambda o: torch_lr.CyclicLR(
            o, base, 1.0, step_size_up=up, step_size_down=down, mode=mode, gamma=gamma, cycle_momentum=False
        ),
        100,
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_cyclic_with_a_callable_is_cyclic_lr_with_a_scale_fn_of_the_cycle(seed):
    r = random.Random(seed)
    up, base, power = r.randint(1, 15), r.random(), r.uniform(0, 2)

    def scale(cycle):
        return float(cycle) ** -power

    assert_parity(
        Cyclic(up, base_factor=base, mode=scale),
        lambda o: torch_lr.CyclicLR(o, base, 1.0, step_size_up=up, scale_fn=scale, cycle_momentum=False),
        100,
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_cosine_restarts_are_cosine_annealing_warm_restarts(seed):
    r = random.Random(seed)
    first, mult, end = r.randint(1, 20), r.randint(1, 4), r.choice([0.0, r.random()])
    assert_parity(
        CosineRestarts(first, cycle_mult=mult, end_factor=end),
        lambda o: torch_lr.CosineAnnealingWarmRestarts(o, T_0=first, T_mult=mult, eta_min=end),
        150,
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_chain_of_warmup_and_decay_is_sequential_lr_apart_from_the_warmups_one_update(seed):
    r = random.Random(seed)
    warm, rest, start = r.randint(2, 20), r.randint(1, 40), r.uniform(0.01, 0.9)

    def make(o):
        rise = torch_lr.LinearLR(o, start_factor=start + (1 - start) / warm, total_iters=warm - 1)
        fall = torch_lr.PolynomialLR(o, total_iters=rest)
        return torch_lr.SequentialLR(o, [rise, fall], milestones=[warm])

    assert_parity(Warmup(warm, start_factor=start) >> Linear(rest), make, warm + rest)


# ---- The intended differences


def test_difference_cosine_annealing_lr_climbs_again_after_t_max_and_ours_holds():
    theirs = torch_factors(lambda o: torch_lr.CosineAnnealingLR(o, T_max=10, eta_min=0.1), 21)
    ours = Cosine(10, end_factor=0.1).curve(21)
    assert theirs[20] == pytest.approx(1.0)
    assert ours[10:].tolist() == [0.1] * 11


def test_difference_a_linear_lr_warmup_reaches_the_peak_one_update_later_than_ours():
    theirs = torch_factors(lambda o: torch_lr.LinearLR(o, start_factor=0.2, total_iters=4), 6)
    assert theirs == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    ours = Warmup(4, start_factor=0.2).curve(6).tolist()
    assert ours == pytest.approx([*theirs[1:], 1.0])


def test_difference_linear_lr_cannot_start_at_0_and_our_warmup_by_default_does():
    with pytest.raises(ValueError, match=r"[Ss]tarting multiplicative factor"):
        torch_factors(lambda o: torch_lr.LinearLR(o, start_factor=0.0, total_iters=4), 1)
    assert Warmup(4).curve(4)[0] == 0.25


def test_difference_linear_lr_starts_at_a_third_by_default_and_our_linear_at_the_peak():
    assert torch_factors(lambda o: torch_lr.LinearLR(o, total_iters=4), 1) == pytest.approx([1 / 3])
    assert Linear(4).curve(4)[0] == 1.0


def test_difference_multi_step_lr_sorts_and_counts_duplicates_and_ours_refuses_them():
    assert torch_factors(lambda o: torch_lr.MultiStepLR(o, milestones=[2, 2], gamma=0.5), 4)[3] == 0.25
    with pytest.raises(ValueError, match=r"MultiStep: milestones must increase, got \[2, 2\]"):
        MultiStep([2, 2])


def test_difference_exponential_lr_lets_the_rate_grow_and_ours_refuses():
    assert torch_factors(lambda o: torch_lr.ExponentialLR(o, gamma=2.0), 3) == [1.0, 2.0, 4.0]
    with pytest.raises(ValueError, match=r"Exponential: gamma must be a number in \(0, 1\], got 2.0"):
        Exponential(2.0)


def test_difference_the_end_factor_of_ours_is_a_fraction_of_the_peak_and_eta_min_an_absolute_lr():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=10.0)
    scheduler = torch_lr.CosineAnnealingLR(optimizer, T_max=1, eta_min=0.1)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1)
    assert 10.0 * Cosine(1, end_factor=0.1).curve(2)[1] == pytest.approx(1.0)


def test_difference_cyclic_lr_also_cycles_momentum_and_ours_touches_nothing_but_the_factor():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.5)
    torch_lr.CyclicLR(optimizer, 0.1, 1.0)
    assert optimizer.param_groups[0]["momentum"] == 0.9
    assert isinstance(Cyclic(2).resolve(Horizon(4))(0), float)


def test_difference_cosine_annealing_warm_restarts_end_at_a_new_peak_and_ours_with_a_duration_at_the_trough():
    theirs = torch_factors(lambda o: torch_lr.CosineAnnealingWarmRestarts(o, T_0=5), 11)
    assert theirs[10] == 1.0
    assert CosineRestarts(5, duration=10).curve(11)[10] == 0.0


def test_difference_cosine_annealing_warm_restarts_take_whole_multipliers_only_and_ours_any_from_1():
    with pytest.raises(ValueError, match="integer T_mult >= 1"):
        torch_factors(lambda o: torch_lr.CosineAnnealingWarmRestarts(o, T_0=5, T_mult=1.5), 1)
    assert CosineRestarts(4, cycle_mult=1.5).curve(11)[[4, 10]].tolist() == [1.0, 1.0]


def test_difference_exp_range_of_cyclic_lr_lets_gamma_exceed_1_and_ours_refuses():
    grown = torch_factors(
        lambda o: torch_lr.CyclicLR(o, 0.1, 1.0, 1, mode="exp_range", gamma=1.5, cycle_momentum=False), 2
    )
    assert grown[1] > 1.0
    with pytest.raises(ValueError, match=r"Cyclic: gamma must be a number in \(0, 1\], got 1.5"):
        Cyclic(1, mode="exp_range", gamma=1.5)
