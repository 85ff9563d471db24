"""Recipes: what each is, that a run can follow it, and what is refused."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
import torch

import lightning_lr
from lightning_lr import (
    Adapt,
    Band,
    Chain,
    Constant,
    Cooldown,
    Cosine,
    Cyclic,
    Exponential,
    Horizon,
    InverseTime,
    Linear,
    LRController,
    LRScheduleMixin,
    MultiStep,
    OneMinusSqrt,
    Recipe,
    Reduce,
    Rule,
    ScheduledLR,
    Trend,
    Warmup,
    recipe,
    scale_lr,
    slanted_triangular,
)
from lightning_lr.core.recipes import listing

NAMES = ["vision-scratch", "fine-tune", "supervised", "lm-pretrain", "lm-pretrain-open-ended"]
NAMES += ["gan", "unsupervised", "rl"]
VARIANTS = [eval(row.call, {"recipe": recipe}) for row in listing()]
WRITTEN = {
    # what each is, by hand
    "recipe('vision-scratch')": Warmup("5.6%") >> MultiStep(["27.7%", "61.1%", "83.3%"]),
    "recipe('vision-scratch', network='transformer')": Warmup("1.7%") >> Cosine(),
    "recipe('fine-tune')": Warmup("10%") >> Linear(),
    "recipe('fine-tune', method='slanted')": slanted_triangular(),
    "recipe('supervised')": Exponential(0.94, "2 epochs", staircase=True),
    "recipe('supervised', decay='1/t')": InverseTime(1.0, "10%"),
    "recipe('lm-pretrain')": Warmup("1%") >> Cosine(end_factor=0.1),
    "recipe('lm-pretrain-open-ended')": Warmup(300) >> Constant(),
    "recipe('gan')": Constant("50%") >> Linear(),
    "recipe('gan', network='discriminator')": Constant("50%") >> Linear(),
    "recipe('gan', network='generator')": Constant("50%") >> Linear(),
    "recipe('unsupervised')": Cyclic("10%", base_factor=0.25),
    "recipe('rl')": Linear(),
    "recipe('rl', control='reward')": Constant(),
    "recipe('rl', control='kl')": Constant(),
}


def weight(lr: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def test_every_variant_is_the_schedule_written_here() -> None:
    assert {repr(one): one.schedule for one in VARIANTS} == WRITTEN
    assert list(dict.fromkeys(one.name for one in VARIANTS)) == NAMES


@pytest.mark.parametrize("one", VARIANTS, ids=repr)
def test_every_variant_fits_a_run_and_stays_within_zero_and_the_peak(one: Recipe) -> None:
    curve = one.schedule.curve(1000, steps_per_epoch=100)
    assert np.isfinite(curve).all()
    assert curve.min() >= 0.0
    assert 0.99 < curve.max() <= 1.0


@pytest.mark.parametrize("one", VARIANTS, ids=repr)
def test_every_variant_says_when_when_not_why_and_who(one: Recipe) -> None:
    for text in (one.when, one.avoid, one.why):
        assert len(text) > 30
        assert text == text.strip()
        assert "  " not in text, "two parts of a text that lack a space, or have two"
    assert re.search(r"(19|20)\d\d", one.source)
    for number in re.findall(r"arXiv (\S+?)(?:[,;)]|$)", one.source):
        assert re.fullmatch(r"\d{4}\.\d{4,5}", number), number


@pytest.mark.parametrize("one", VARIANTS, ids=repr)
def test_the_settings_build_the_optimizer(one: Recipe) -> None:
    optimizer = getattr(torch.optim, one.optimizer)([torch.nn.Parameter(torch.zeros(1))], **one.settings)
    for key, value in one.settings.items():
        assert optimizer.param_groups[0][key] == value
    one.settings["lr"] = -1.0
    assert one.settings["lr"] > 0, "a copy"


@pytest.mark.parametrize("one", VARIANTS, ids=repr)
def test_it_is_handed_over_in_one_line_to_a_callback_a_loop_and_the_mixin(one: Recipe) -> None:
    callback = LRController(**one)
    assert (callback.schedule, callback.rules) == (one.schedule, one.rules)
    loop = ScheduledLR(weight(), **one, total_steps=1000, steps_per_epoch=100)
    assert [loop.factor_at(t) for t in range(1000)] == one.schedule.curve(1000, 100).tolist()
    [track] = loop.tracks
    assert track.rules == one.rules
    mixed = LRScheduleMixin().scheduled(weight(), **one, total_steps=1000, steps_per_epoch=100)
    assert mixed["lr_scheduler"]["scheduler"].schedule == one.schedule


@pytest.mark.parametrize(
    "one",
    [
        *VARIANTS,
        recipe("vision-scratch", warmup="5 epochs", gamma=0.2),
        recipe("fine-tune", method="slanted", ratio=10, cut="20%"),
        recipe("supervised", gamma=0.9),
        recipe("lm-pretrain-open-ended", cooldown="20%", shape="linear"),
        recipe("rl", control="kl", target_kl=0.02, check="validation"),
    ],
    ids=repr,
)
def test_it_is_a_value(one: Recipe) -> None:
    names = {name: getattr(lightning_lr, name) for name in lightning_lr.__all__}
    for copy in (eval(repr(one), names), pickle.loads(pickle.dumps(one))):
        assert copy == one
        assert hash(copy) == hash(one)
        assert (copy.schedule, copy.rules, copy.settings) == (one.schedule, one.rules, one.settings)
    with pytest.raises(AttributeError, match="cannot assign to field 'name'"):
        one.name = "gan"  # type: ignore[misc]


def test_what_is_asked_for_and_is_the_default_makes_no_other_recipe() -> None:
    assert recipe("rl", control="linear", end_factor=0.0) == recipe("rl")
    assert recipe("rl", end_factor=0.1) != recipe("rl")
    assert repr(recipe("gan", flat="20%", network="generator")) == "recipe('gan', network='generator', flat='20%')"


def test_overrides_reach_the_schedule_and_the_rules() -> None:
    assert recipe("lm-pretrain", warmup=200, end_factor=0).schedule == Warmup(200) >> Cosine()
    cooled = recipe("lm-pretrain-open-ended", warmup=100, cooldown="10%", shape="linear").schedule
    assert cooled == Warmup(100) >> Constant() >> Linear("10%")
    assert recipe("supervised", decay="1/t", decay_rate=1e-5, decay_steps=1).schedule == InverseTime(1e-5)
    [rule] = recipe("rl", control="reward", monitor="score", factor=0.2, check="validation").rules
    assert rule == Rule(Trend(), Reduce(0.2), "score", mode="max")
    [rule] = recipe("rl", control="kl", target_kl=0.02).rules
    assert rule.when == Band(0.01, 0.04)


def test_the_published_steps_lie_at_30_60_and_80_of_90_epochs() -> None:
    curve = recipe("vision-scratch").schedule.curve(90 * 100, steps_per_epoch=100)
    drops = np.flatnonzero(np.diff(curve) < 0) + 1
    assert (drops / 100).round().tolist() == [30, 60, 80]
    assert curve[drops] == pytest.approx([0.1, 0.01, 0.001])
    assert np.argmax(curve == 1.0) == pytest.approx(5 * 100, abs=5)
    one = recipe("vision-scratch")
    assert scale_lr(one.settings["lr"], 8192, one.batch_size) == pytest.approx(3.2), "Goyal et al."


def test_the_trunk_is_the_one_that_a_cooldown_is_branched_off() -> None:
    trunk = ScheduledLR(weight(1.0), **recipe("lm-pretrain-open-ended", warmup=4), total_steps=20)
    used = []
    for t in range(20):
        if t == 16:
            trunk.apply(Cooldown("20%", "one_minus_sqrt"))
        used.append(trunk.get_last_lr()[0])
        trunk.optimizer.step()
    ended = recipe("lm-pretrain-open-ended", warmup=4, cooldown="20%").schedule
    assert ended == Warmup(4) >> Constant() >> OneMinusSqrt("20%")
    assert used == pytest.approx(ended.curve(20).tolist())


def test_a_reward_that_stops_rising_halves_the_rate_and_one_that_rises_does_not() -> None:
    noise = np.random.default_rng(0).normal(0, 5, 80)
    for rising, expected in ((np.arange(80.0) * 5, []), (np.minimum(np.arange(80.0), 20) * 5, [0.5])):
        scheduler = ScheduledLR(weight(1.0), **recipe("rl", control="reward"), total_steps=100)
        for value in rising + noise:
            scheduler.evaluate({"return": float(value)}, check="train_epoch")
        assert [event.after for event in scheduler.events][:1] == expected


def test_the_kl_rule_is_that_of_the_source() -> None:
    """lr / 1.5 above twice the target, times 1.5 below half of it, between a hundredth and ten times of its start."""
    scheduler = ScheduledLR(weight(1e-3), **recipe("rl", control="kl"), total_steps=100)
    lr, random = 1e-3, np.random.default_rng(1)
    for kl in [*random.uniform(0, 0.04, 40), *[0.001] * 20, *[1.0] * 40]:
        if kl > 2 * 0.01:
            lr = max(1e-5, lr / 1.5)
        elif kl < 0.01 / 2:
            lr = min(1e-2, lr * 1.5)
        scheduler.evaluate({"kl": float(kl)}, check="train_epoch")
        assert scheduler.get_last_lr()[0] == pytest.approx(lr)
    assert {round(event.after, 9) for event in scheduler.events} >= {0.01, 10.0}, "both bounds were met"


# ---- the band


def test_a_band_fires_above_asks_for_more_below_and_leaves_alone_what_lies_between() -> None:
    band = Band(1, 2)
    state = band.init()
    for value, fires, improves in [
        (0.5, False, True), (0.5, False, True), (1.0, False, False), (2.0, False, False), (2.1, True, False),
        (2.1, True, False), (-5.0, False, True), (float("nan"), True, False), (float("inf"), True, False),
        (float("-inf"), False, False),
    ]:  # fmt: skip
        after, fired = band.update(state, value)
        assert (fired, band.best(after) < band.best(state)) == (fires, improves), value
        state = band.after_action(after)
    assert f"{band.best(state):.6g}" == "1", "it reads as the edge"
    assert band.because(state) == "outside of 1 to 2"


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_a_band_does_nothing_where_evaluations_do_not_count(value: float) -> None:
    band = Band(1, 2)
    assert band.update(band.init(), value, counts=False) == (band.init(), False)


def test_a_band_goes_on_from_its_saved_state() -> None:
    def new() -> ScheduledLR:
        rule = Rule(Band(1, 2), Adapt(up=2, down=0.5, max_scale=64), "x")
        return ScheduledLR(weight(1.0), Constant(), rules=[rule], total_steps=9)

    one, other = new(), new()
    one.evaluate({"x": 0.5})
    other.load_state_dict(one.state_dict())
    for value, lr in ((0.5, 4.0), (1.5, 4.0), (3.0, 2.0), (0.9, 4.0)):
        one.evaluate({"x": value})
        other.evaluate({"x": value})
        assert one.get_last_lr() == other.get_last_lr() == [lr]


# ---- the list, and what is refused


def test_the_listing_has_a_row_for_each_with_what_it_is_and_when_not() -> None:
    for row, one in zip(listing(), VARIANTS, strict=True):
        assert row.call == repr(one)
        names = {name: getattr(lightning_lr, name) for name in lightning_lr.__all__}
        schedule, *rules = eval(f"[{row.schedule}]", names)
        assert (schedule, tuple(rules)) == (one.schedule, one.rules)
        assert (row.when, row.avoid, row.source) == (one.when, one.avoid, one.source)


def test_a_parameter_that_is_not_there_is_named_with_the_near_one_or_the_variant_that_has_it() -> None:
    for call, words in [
        (lambda: recipe("gan", netwrok="both"), r"recipe\('gan', network='both'\) has no parameter 'netwrok'; did you "
         "mean 'network'"),
        (lambda: recipe("lm-pretrain", zzz=1), r"recipe\('lm-pretrain'\) has no parameter 'zzz'; it takes warmup, "
         "end_factor$"),
        (lambda: recipe("rl", target_kl=1), r"recipe\('rl', control='linear'\) has no parameter 'target_kl': it is a "
         "parameter of control='kl'$"),
    ]:  # fmt: skip
        with pytest.raises(TypeError, match=words):
            call()


def test_only_what_it_hands_over_can_be_taken_from_it() -> None:
    one = recipe("gan")
    assert dict(**one) == {"schedule": one.schedule, "rules": ()}
    with pytest.raises(KeyError, match="hands over 'schedule' and 'rules' only, got 'settings'"):
        one["settings"]


def test_a_run_that_is_shorter_than_the_open_ended_warmup_says_so() -> None:
    with pytest.raises(ValueError, match=r"Warmup\(300\) >> Constant\(\) is 300 updates long, but the run has 200"):
        recipe("lm-pretrain-open-ended").schedule.resolve(Horizon(200))


def test_a_chain_takes_a_recipes_schedule() -> None:
    assert Chain([recipe("gan").schedule]) == Constant("50%") >> Linear()


def test_a_shape_without_a_cooldown_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"shape='linear' is the cooldown's, and there is none: say cooldown='20%' too"
    ):
        recipe("lm-pretrain-open-ended", shape="linear")
