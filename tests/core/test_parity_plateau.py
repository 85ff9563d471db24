"""The same lrs as torch's ReduceLROnPlateau (eps=0) after every evaluation; every intended difference by name."""

import itertools
import math
import random

import pytest
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lightning_lr import Constant, Patience, Reduce, Rule, ScheduledLR

SEQUENCES = 90  # of each of the 36 combinations


def optimizer(*lrs):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in lrs]
    return torch.optim.SGD(groups)


def lrs_of(o):
    return [float(group["lr"]) for group in o.param_groups]


def torchs(metrics, lrs=(0.1,), **settings):
    """The lr of every group after each evaluation."""
    o = optimizer(*lrs)
    scheduler = ReduceLROnPlateau(o, **{"eps": 0.0, **settings})
    return [scheduler.step(metric) or lrs_of(o) for metric in metrics]


def ours(metrics, lrs=(0.1,), *, mode="min", cooldown=0, patience=10, threshold=1e-4, threshold_mode="rel", **reduce):
    """Likewise; and each event is a change."""
    o = optimizer(*lrs)
    rule = Rule(Patience(patience, threshold, threshold_mode), Reduce(**reduce), "loss", mode=mode, cooldown=cooldown)
    scheduler = ScheduledLR(o, Constant(), rules=[rule], total_steps=10)
    out = []
    for metric in metrics:
        before = lrs_of(o)
        events = scheduler.evaluate({"loss": metric})
        out.append(lrs_of(o))
        assert len(events) == (out[-1] != before)
        assert all(new <= old for new, old in zip(out[-1], before, strict=True))
    return out


def assert_parity(metrics, **settings):
    mine, theirs = ours(metrics, **settings), torchs(metrics, **settings)
    assert [x for (x,) in mine] == pytest.approx([x for (x,) in theirs], rel=1e-12, abs=0), settings
    return len({x for (x,) in mine})


def positive(r, length, mode):
    """A metric that gets better, stalls, jumps, repeats itself and is now and then no number at all."""
    kind, level, out = r.choice(["noisy", "steps", "few"]), r.uniform(0.5, 5), []
    for _ in range(length):
        if kind == "steps":
            level *= 1.0 if r.random() < 0.7 else r.uniform(0.7, 1.1)
            value = level
        elif kind == "few":
            value = r.choice([1.0, 0.9, 0.81, 0.8, 0.75, 0.5]) * (1 if r.random() < 0.8 else level)
        else:
            level *= r.uniform(0.9, 1.03)
            value = level * r.uniform(0.9, 1.1)
        out.append(value if mode == "min" else 1 / value)
    worst = math.inf if mode == "min" else -math.inf
    return [r.choice([math.nan, worst]) if r.random() < 0.02 else value for value in out]


@pytest.mark.parametrize(
    ("mode", "threshold_mode", "cooldown", "floor"),
    list(itertools.product(["min", "max"], ["rel", "abs"], [0, 1, 4], [0.0, 0.004, 0.1])),
)
def test_parity_with_torch(mode, threshold_mode, cooldown, floor):
    """Together 3240 random sequences."""
    different = 0
    for seed in range(SEQUENCES):
        r = random.Random(f"{mode} {threshold_mode} {cooldown} {floor} {seed}")
        different += assert_parity(
            positive(r, r.randint(10, 45), mode),
            mode=mode,
            threshold_mode=threshold_mode,
            cooldown=cooldown,
            min_lr=floor,
            patience=r.choice([0, 0, 1, 2, 3, 5, 8]),
            threshold=r.choice([0.0, 1e-4, 0.01, 0.1, 0.3]),
            factor=r.choice([0.1, 0.5, 0.7, 0.97]),
        )
    assert different == SEQUENCES if floor == 0.1 else different > 2.5 * SEQUENCES  # they do reduce


def test_parity_with_absolute_thresholds_on_metrics_of_any_sign():
    for seed in range(300):
        r = random.Random(seed)
        metrics = [r.choice([r.uniform(-2, 2), -1.0, 0.0, 1.0, 0.5]) for _ in range(30)]
        assert_parity(
            metrics, mode=r.choice(["min", "max"]), threshold_mode="abs", threshold=r.choice([0.0, 0.25, 0.5]),
            patience=r.randint(0, 4), cooldown=r.randint(0, 3), factor=0.5, min_lr=0.0,
        )  # fmt: skip


def test_parity_with_its_defaults():
    metrics = [1 / (1 + 0.02 * t) if t < 40 else 0.55 for t in range(90)]
    assert assert_parity(metrics, factor=0.1, min_lr=0.0) == 5
    assert ours(metrics) == ours(metrics, factor=0.1, min_lr=0.0)


@pytest.mark.parametrize(
    ("cooldown", "lrs"),
    [(0, [0.1] * 3 + [0.01] * 3 + [0.001] * 3 + [0.0001]), (1, [0.1] * 3 + [0.01] * 4 + [0.001] * 4 + [0.0001])],
)
def test_facts_24_patience_2_on_a_constant_metric(cooldown, lrs):
    settings = {"patience": 2, "cooldown": cooldown, "factor": 0.1, "min_lr": 0.0}
    assert [x for (x,) in ours([1.0] * len(lrs), **settings)] == pytest.approx(lrs, rel=1e-12)
    assert_parity([1.0] * len(lrs), **settings)


# ---- The intended differences


def test_difference_a_worse_negative_metric_is_worse():
    """FACTS 25: with a relative threshold torch takes −0.95 after −1.0 for an improvement."""
    settings = {"patience": 0, "threshold": 0.1, "factor": 0.5}
    assert torchs([-1.0, -0.95, -0.95], **settings) == [[0.1]] * 3
    assert ours([-1.0, -0.95, -0.95], **settings) == [[0.1], [0.05], [0.025]]
    assert ours([-1.0, -1.05, -1.2], **settings) == [[0.1], [0.05], [0.05]]
    metrics = [-1.0, -1.05, -1.05]  # and for the maximum, of negative values
    assert torchs(metrics, mode="max", **settings) == [[0.1], [0.1], [0.1]]
    assert ours(metrics, mode="max", **settings) == [[0.1], [0.05], [0.025]]


def test_difference_min_lr_keeps_the_groups_ratios():
    """torch bounds each group for itself, until all are equal; here the largest lr stops all."""
    settings = {"patience": 0, "factor": 0.5, "min_lr": 0.3}
    assert torchs([1.0] * 5, (1.0, 0.5), **settings) == [[1.0, 0.5], [0.5, 0.3], [0.3, 0.3], [0.3, 0.3], [0.3, 0.3]]
    mine = ours([1.0] * 5, (1.0, 0.5), **settings)
    assert mine == [[1.0, 0.5], [0.5, 0.25], [0.3, 0.15], [0.3, 0.15], [0.3, 0.15]]
    # an lr that is below the floor already is not raised, nor reduced; a larger one of another group is
    assert ours([1.0] * 3, (0.2, 0.1), **settings) == [[0.2, 0.1]] * 3


def test_difference_no_eps_keeps_a_small_lr_from_being_reduced():
    """FACTS 42: torch's default eps=1e-8 leaves an lr of 1e-8 alone for ever."""
    settings = {"patience": 0, "factor": 0.5}
    assert torchs([1.0] * 3, (1e-8,), eps=1e-8, **settings) == [[1e-8]] * 3
    assert ours([1.0] * 3, (1e-8,), **settings) == [[1e-8], [5e-9], [2.5e-9]]
    assert torchs([1.0] * 3, (1e-8,), **settings) == [[1e-8], [5e-9], [2.5e-9]]


def test_difference_the_good_infinity_is_no_improvement():
    """torch takes −inf for the best loss there will ever be."""
    settings = {"patience": 0, "factor": 0.5}
    assert torchs([1.0, -math.inf, 0.5], **settings) == [[0.1], [0.1], [0.05]]
    assert ours([1.0, -math.inf, 0.5], **settings) == [[0.1], [0.05], [0.05]]
