"""Suggestions of a range test: on curves of a known shape, under noise, cut off, flat, and against Lightning's own."""

from __future__ import annotations

import contextlib
import math
import re
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from lightning.pytorch.tuner.lr_finder import _LRCallback, _LRFinder

from lightning_lr import Suggestions
from lightning_lr.core.range_test import minimum, slide, smoothed, steepest, still_falling, suggest, valley


class Shape(NamedTuple):
    """A loss over x = log10 lr: ``top``, then a logistic fall around ``centre``, then an exponential blow-up."""

    centre: float = -2.5
    width: float = 0.25
    blow_up: float = -0.7
    sharpness: float = 0.15
    points: int = 100

    def curve(self, noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """The lrs from 1e-7 to 10, and the losses; the noise is a share of the fall, which is 1.8 of 2.3."""
        x = np.linspace(-7, 1, self.points)
        fall = 1 / (1 + np.exp(-(x - self.centre) / self.width))
        rise = 0.05 * np.exp((x - self.blow_up) / self.sharpness)
        white = np.random.default_rng(seed).normal(0.0, noise, self.points)
        return 10.0**x, 2.3 + 1.8 * (rise - fall + white)


SHAPES = {
    "usual": Shape(),
    "gentle": Shape(width=0.5),
    "abrupt": Shape(width=0.12),
    "early": Shape(centre=-4.0, blow_up=-2.2),
    "cliff": Shape(sharpness=0.05),
    "narrow": Shape(blow_up=-1.5),
    "long": Shape(points=300),
}
SEEDS = range(10)


def as_lightning_tests(lrs: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray, float | None]:
    """What Lightning's range test would have seen of a curve: until it stops, and what it suggests."""
    recorder = _LRCallback(len(lrs))
    trainer = SimpleNamespace(
        fit_loop=SimpleNamespace(batch_idx=0), accumulate_grad_batches=1, global_step=0, should_stop=False,
        strategy=SimpleNamespace(broadcast=lambda value: value),
    )  # fmt: skip
    seen: Any = trainer
    for loss in losses:
        trainer.global_step += 1
        recorder.on_train_batch_end(seen, seen, {"loss": torch.tensor(loss)}, None, 0)
        if trainer.should_stop:
            break
    end = trainer.global_step
    theirs = _LRFinder("exponential", float(lrs[0]), float(lrs[-1]), len(lrs))
    theirs.results = {"lr": lrs[:end].tolist(), "loss": recorder.losses}
    return lrs[:end], losses[:end], theirs.suggestion()


def decades_off(lr: float, shape: Shape) -> float:
    return abs(math.log10(lr) - shape.centre)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_suggestion_lies_within_10x_of_the_middle_of_the_fall(shape: Shape, noise: float) -> None:
    for seed in SEEDS:
        found = suggest(*as_lightning_tests(*shape.curve(noise, seed))[:2])
        off = {name: decades_off(lr, shape) for name, lr in found._asdict().items()}
        assert max(off.values()) < 1.0, (seed, off)
        assert off["median"] < 0.7, (seed, off)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_median_holds_where_the_noise_is_40_percent_of_the_fall(shape: Shape) -> None:
    off = []
    for seed in SEEDS:
        with contextlib.suppress(ValueError):  # too much noise to be sure of, or the test was stopped at once
            off.append(decades_off(suggest(*as_lightning_tests(*shape.curve(0.4, seed))[:2]).median, shape))
    assert len(off) >= 8
    assert max(off) < 1.0


@pytest.mark.parametrize("noise", [0.05, 0.1, 0.2])
def test_lightnings_own_suggestion_does_not(noise: float) -> None:
    """The reason for this module: in linear lr the smallest lrs win."""
    off = []
    for seed in SEEDS:
        theirs = as_lightning_tests(*Shape().curve(noise, seed))[2]
        assert theirs is not None
        off.append(math.log10(theirs) - Shape().centre)
    assert sum(abs(decades) > 1.0 for decades in off) >= 8
    assert min(off) < -3.0


def test_suggestions_by_hand() -> None:
    """Points a tenth of a decade apart; falls from 1e-4 to 1e-2, by 1 a decade, from 3 to 1; jumps at 1."""
    x = np.arange(-60, 11) / 10
    losses = np.clip(-1 - x, 1.0, 3.0)
    losses[x >= 0] = 50.0
    width = 10.0 ** (0.1 * 71 / 20)  # the smoothing's standard deviation
    lrs = 10.0**x
    assert 1e-4 * width < steepest(lrs, losses) < 1e-2 / width  # in the straight part
    assert valley(lrs, losses) == pytest.approx(10 ** (-3.5 + 1.5 * 2 / 3), rel=0.5)  # from three quarters, 10^-3.5
    assert 1e-2 / 10 < minimum(lrs, losses) < 1 / 10
    assert 1e-2 < slide(lrs, losses) < 1e-1
    found = suggest(lrs, losses)
    four = sorted(found[:4])
    assert found.median == pytest.approx(math.sqrt(four[1] * four[2]))
    assert found.spread == max(found) / min(found)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_units_of_loss_and_of_lr_do_not_matter(shape: Shape) -> None:
    lrs, losses = shape.curve(0.1)
    once = suggest(lrs, losses)
    assert suggest(lrs, 1e3 * losses - 7e3) == pytest.approx(once, rel=1e-6)
    assert suggest(100 * lrs, losses) == pytest.approx([100 * lr for lr in once], rel=1e-9)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_first_loss_that_is_not_finite_ends_the_curve(bad: float) -> None:
    lrs, losses = Shape().curve(0.1)
    cut = losses.copy()
    cut[85] = bad
    cut[90:] = -100.0  # what comes after it counts for nothing
    assert suggest(lrs, cut) == suggest(lrs[:85], losses[:85])
    assert smoothed(lrs, cut)[0].tolist() == lrs[:85].tolist()


@pytest.mark.parametrize("end", [70, 80, 90, 100])
def test_where_the_test_was_stopped_hardly_matters(end: int) -> None:
    lrs, losses = Shape().curve(0.1)
    assert decades_off(suggest(lrs[:end], losses[:end]).median, Shape()) < 0.7


def test_a_blow_up_of_any_height_pulls_nothing_to_the_left() -> None:
    lrs, losses = Shape().curve(0.05)
    higher = np.where(lrs > 1.0, 1e30, losses)
    assert suggest(lrs, higher) == pytest.approx(suggest(lrs, losses), rel=0.5)


def test_a_collapse_onto_a_plateau_is_a_blow_up_too() -> None:
    """Adam at a large lr does not explode: the loss returns to that of guessing, and stays."""
    lrs, losses = Shape().curve(0.05, seed=1)
    noise = np.random.default_rng(2).normal(0.0, 0.05, len(lrs))
    collapsed = np.where(lrs > 0.3, 2.3 + noise, losses)
    assert decades_off(slide(lrs, collapsed), Shape()) < 1.0


def test_points_evenly_spaced_in_lr_are_taken_as_well() -> None:
    lrs = np.linspace(1e-3, 1.0, 200)
    losses = 2.0 - 1.5 / (1 + np.exp(-(np.log10(lrs) + 0.7) / 0.1)) + 0.05 * np.exp((lrs - 0.8) * 30)
    assert abs(math.log10(suggest(lrs, losses).median) + 0.7) < 0.5


def test_still_falling_says_that_the_range_was_too_short() -> None:
    lrs, losses = Shape().curve(0.02)
    assert not still_falling(lrs, losses)
    assert still_falling(lrs[lrs < 3e-3], losses[lrs < 3e-3])
    assert not still_falling(lrs, np.where(lrs < 3e-3, losses, math.nan))


def test_smoothing_keeps_a_straight_line_and_a_constant() -> None:
    lrs = np.geomspace(1e-6, 1, 101)
    line = np.linspace(5.0, 3.0, 101)
    assert smoothed(lrs, line)[1][20:80] == pytest.approx(line[20:80], rel=1e-9)
    assert smoothed(lrs, np.full(101, 4.0))[1] == pytest.approx(np.full(101, 4.0))


# ---- what is refused


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_alone_is_refused(seed: int) -> None:
    losses = 2.3 + np.random.default_rng(seed).normal(0.0, 0.2, 100)
    with pytest.raises(
        ValueError, match=r"does not fall between lr 1e-07 and 10 .*: widen the range .*num_training_steps"
    ):
        suggest(np.geomspace(1e-7, 10, 100), losses)


def test_a_constant_loss_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"does not fall between lr 1e-07 and 10 by more than its noise .*widen the range"
    ):
        suggest(np.geomspace(1e-7, 10, 100), np.full(100, 0.7))


def test_a_loss_that_only_rises_is_refused() -> None:
    lrs = np.geomspace(1e-2, 10, 100)
    with pytest.raises(
        ValueError,
        match=r"does not fall between lr 0.01 and 10 .*it is least at the beginning, at 0.01.*a smaller min_lr",
    ):
        suggest(lrs, 1.0 + lrs)


@pytest.mark.parametrize("losses", [[2.0, 1.9, 1.5, 1.0], [2.0] * 19 + [math.nan] * 30])
def test_too_few_points_are_refused(losses: list[float]) -> None:
    with pytest.raises(ValueError, match=r"20 finite losses are needed, got \d.*num_training_steps.*early_stop_thr"):
        suggest(np.geomspace(1e-4, 1, len(losses)), losses)


@pytest.mark.parametrize(
    ("lrs", "message"),
    [
        ([1e-3, 1e-2, 1e-2], "lrs must be finite, positive and increasing, got lrs[2] = 0.01 after 0.01"),
        ([1e-3, 1e-2, 1e-4], "lrs must be finite, positive and increasing, got lrs[2] = 0.0001 after 0.01"),
        ([0.0, 1e-2, 1e-1], "lrs must be finite, positive and increasing, got lrs[0] = 0"),
        ([1e-3, math.nan, 1e-1], "lrs must be finite, positive and increasing, got lrs[1] = nan after 0.001"),
        ([1e-3, 1e-2], "lrs and losses must have the same length, got 2 and 3"),
        ([[1e-3], [1e-2]], "lrs must be a sequence of numbers, got an array of shape (2, 1)"),
        ("abc", "lrs must be a sequence of numbers, got 'abc'"),
    ],
)
def test_bad_lrs_are_refused(lrs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape('range test: ' + message)}"):
        suggest(lrs, [3.0, 2.0, 1.0])


def test_suggestions_are_a_value() -> None:
    found = suggest(*Shape().curve())
    assert isinstance(found, Suggestions)
    assert Suggestions(**found._asdict()) == found
    assert {*map(type, found)} == {float}
