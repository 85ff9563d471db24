"""Recipes: for a kind of task a schedule, rules, and the optimizer's settings, with their source, and when not to.

A number stands here because a source gives it, and the source is named; where none does, it says "a starting point".
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lightning_lr.core.actions import Adapt, Reduce
from lightning_lr.core.band import Band
from lightning_lr.core.checks import choice, did_you_mean, number
from lightning_lr.core.detectors import Trend
from lightning_lr.core.durations import Duration
from lightning_lr.core.presets import cosine_with_warmup, linear_with_warmup, slanted_triangular, wsd
from lightning_lr.core.rules import Rule
from lightning_lr.core.schedules import Constant, Cyclic, Exponential, InverseTime, Linear, MultiStep, Warmup
from lightning_lr.core.schedules.base import Schedule


@dataclass(frozen=True, repr=False)
class Recipe:
    """What :func:`recipe` returns: a value, immutable, comparable, hashable, picklable; its repr can be pasted back.

    ``**recipe`` is its schedule and its rules, under the names that everything takes them by:
    ``LRController(**recipe)``, ``ScheduledLR(optimizer, **recipe)``, ``self.scheduled(optimizer, **recipe)``.

    Args:
        name: the recipe's.
        overrides: what was asked for instead of its defaults.
        schedule: of the lr; its factors multiply the optimizer's lr, the peak.
        rules: what metrics may change.
        optimizer: a class of ``torch.optim``.
        options: that class's arguments, as pairs; :attr:`settings` has them as a dict.
        batch_size: examples in an update, where the source says it; what :func:`~lightning_lr.scale_lr` starts from.
        when: what it is for.
        avoid: when not to use it.
        why: what it rests on, and what else belongs to it.
        source: who published it.
    """

    name: str
    overrides: tuple[tuple[str, Any], ...]
    schedule: Schedule = field(compare=False)
    rules: tuple[Rule, ...] = field(compare=False)
    optimizer: str = field(compare=False)
    options: tuple[tuple[str, Any], ...] = field(compare=False)
    batch_size: int | None = field(compare=False)
    when: str = field(compare=False)
    avoid: str = field(compare=False)
    why: str = field(compare=False)
    source: str = field(compare=False)

    @property
    def settings(self) -> dict[str, Any]:
        """The optimizer's arguments: ``torch.optim.AdamW(net.parameters(), **recipe.settings)``."""
        return dict(self.options)

    def keys(self) -> tuple[str, ...]:
        """What ``**recipe`` hands over."""
        return ("schedule", "rules")

    def __getitem__(self, key: str) -> Any:
        if key not in self.keys():
            raise KeyError(f"a recipe hands over 'schedule' and 'rules' only, got {key!r}")
        return getattr(self, key)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.name, self.overrides)

    def __repr__(self) -> str:
        return f"recipe({', '.join([repr(self.name), *(f'{key}={value!r}' for key, value in self.overrides)])})"


def recipe(name: str, **overrides: Any) -> Recipe:
    """A schedule, rules and optimizer settings for a kind of task, from published sources.

    Args:
        name: one of the names below.
        **overrides: that recipe's parameters; a misspelt one, or one of another variant, is refused.

    ========================  =============================================  ==========================================
    name                      parameters                                     is
    ========================  =============================================  ==========================================
    "vision-scratch"          ``network="convolutional"``: warmup, gamma     warmup, then three steps
    ..                        ``network="transformer"``: warmup, end_factor  warmup, cosine
    "fine-tune"               ``method="linear"``: warmup                    warmup, linear to zero
    ..                        ``method="slanted"``: cut, ratio               slanted triangular
    "supervised"              ``decay="exponential"``: gamma, decay_steps    exponential, in stairs
    ..                        ``decay="1/t"``: decay_rate, decay_steps       inverse time
    "lm-pretrain"             warmup, end_factor                             warmup, cosine to a tenth
    "lm-pretrain-open-ended"  warmup, cooldown, shape                        warmup, constant, and a cooldown if asked
    "gan"                     ``network="both"``, ``"discriminator"`` or     flat, then linear to zero
                              ``"generator"``: flat
    "unsupervised"            step_size, base_factor, mode                   triangular cycles
    "rl"                      ``control="linear"``: end_factor               linear to zero
    ..                        ``control="reward"``: monitor, factor, check   halved when the reward stops rising
    ..                        ``control="kl"``: monitor, target_kl,          up and down with the policy's change
                          min_scale, max_scale, check
    ========================  =============================================  ==========================================

    Returns:
        A :class:`Recipe`. Its schedule stays within [0, 1] times the optimizer's lr; only ``control="kl"`` has a rule
        that may raise the lr above it, up to ``max_scale`` times.

    Raises:
        ValueError: no such recipe or variant, or a value that the schedule or a rule refuses.
        TypeError: no such parameter.

    >>> plan = recipe("lm-pretrain", warmup="10%")
    >>> plan.schedule, plan.rules
    (Warmup('10%') >> Cosine(end_factor=0.1), ())
    >>> plan.schedule.curve(10).round(3).tolist()
    [1.0, 1.0, 0.973, 0.895, 0.775, 0.628, 0.472, 0.325, 0.205, 0.127]
    >>> plan.optimizer, plan.settings
    ('AdamW', {'lr': 0.0003, 'betas': (0.9, 0.95), 'weight_decay': 0.1})
    >>> plan
    recipe('lm-pretrain', warmup='10%')
    >>> recipe("rl", control="reward").rules
    (Rule(Trend(), do=Reduce(0.5), monitor='return', mode='max', check='train_epoch'),)
    >>> recipe("gann")
    Traceback (most recent call last):
    ValueError: recipe: name must be one of 'vision-scratch', 'fine-tune', 'supervised', 'lm-pretrain', \
'lm-pretrain-open-ended', 'gan', 'unsupervised', 'rl', got 'gann' (a str); did you mean 'gan'?
    """
    kind = _KINDS[choice(name, _KINDS, "recipe: name")]
    said = f"recipe({name!r})"
    chosen = next(iter(kind.makers))
    if kind.selector and kind.selector in overrides:
        chosen = choice(overrides.pop(kind.selector), kind.makers, f"{said}: {kind.selector}")
    maker = kind.makers[chosen]
    takes = inspect.signature(maker).parameters
    for key in overrides:
        if key not in takes:
            raise TypeError(_unknown(name, kind, chosen, key))
    try:
        made = maker(**overrides)
    except ValueError as error:
        raise ValueError(f"{said}: {error}") from None
    told = [(kind.selector, chosen)] if chosen != next(iter(kind.makers)) else []
    told += [(key, overrides[key]) for key in takes if key in overrides and overrides[key] != takes[key].default]
    return Recipe(name, tuple(told), **made._asdict())


class Row(NamedTuple):
    """A line of :func:`listing`: how to call it, its schedule and rules, when, when not, and its source."""

    call: str
    schedule: str
    when: str
    avoid: str
    source: str


def listing() -> list[Row]:
    """Every recipe in each of its variants.

    >>> for row in listing()[-3:]:
    ...     print(row.call, "|", row.schedule)
    recipe('rl') | Linear()
    recipe('rl', control='reward') | Constant(), Rule(Trend(), do=Reduce(0.5), monitor='return', mode='max', \
check='train_epoch')
    recipe('rl', control='kl') | Constant(), Rule(Band(0.005, high=0.02), do=Adapt(1.5, \
down=0.6666666666666666, max_scale=10.0), monitor='kl', check='train_epoch')
    """
    variants = [(name, kind.selector, variant) for name, kind in _KINDS.items() for variant in kind.makers]
    recipes = [recipe(name, **({selector: variant} if selector else {})) for name, selector, variant in variants]
    return [
        Row(repr(one), ", ".join(map(repr, (one.schedule, *one.rules))), one.when, one.avoid, one.source)
        for one in recipes
    ]


# ---- what they are made of ------------------------------------------------------------------------------------------


class _Made(NamedTuple):
    """A recipe's fields but for its name."""

    schedule: Schedule
    rules: tuple[Rule, ...]
    optimizer: str
    options: tuple[tuple[str, Any], ...]
    batch_size: int | None
    when: str
    avoid: str
    why: str
    source: str


def _made(
    schedule: Schedule,
    optimizer: str,
    settings: dict[str, Any],
    *,
    rules: tuple[Rule, ...] = (),
    batch_size: int | None = None,
    when: str,
    avoid: str,
    why: str,
    source: str,
) -> _Made:
    return _Made(schedule, rules, optimizer, tuple(settings.items()), batch_size, when, avoid, why, source)


def _convolutional(warmup: Duration = "5.6%", gamma: float = 0.1) -> _Made:
    return _made(
        Warmup(warmup) >> MultiStep(["27.7%", "61.1%", "83.3%"], gamma=gamma),
        "SGD",
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4},
        batch_size=256,
        when="a convolutional network for images, from random weights",
        avoid="pre-trained weights (the peak wipes out what they know); few epochs, where a smooth decay to zero wins",
        why="5 epochs of warmup and a tenth after 30, 60 and 80 of 90 epochs, as shares of the run; milestones count "
        "from the end of the warmup. Another batch size: scale_lr(0.1, batch_size)",
        source="He et al. 2015, arXiv 1512.03385; Goyal et al. 2017, arXiv 1706.02677",
    )


def _vision_transformer(warmup: Duration = "1.7%", end_factor: float = 0.0) -> _Made:
    return _made(
        cosine_with_warmup(warmup, end_factor),
        "AdamW",
        {"lr": 1e-3, "weight_decay": 0.05},
        batch_size=1024,
        when="a vision transformer, from random weights",
        avoid="without strong augmentation, which the source finds indispensable; short runs: 1.7% is 5 of 300 epochs",
        why="the source's lr is 5e-4 · batch size / 512; scale_lr gives it for other batch sizes",
        source="Touvron et al. 2021 (DeiT), arXiv 2012.12877",
    )


def _fine_tune(warmup: Duration = "10%") -> _Made:
    return _made(
        linear_with_warmup(warmup),
        "AdamW",
        {"lr": 2e-5, "eps": 1e-6, "weight_decay": 0.01},
        batch_size=16,
        when="all weights of a pre-trained transformer, on little data",
        avoid="training from scratch (the lr is far too low); a frozen body with a new head, which bears a higher lr",
        why="a small lr, warmup and many epochs (20 in the source) keep runs from failing; gradient norm clipped at 1",
        source="Mosbach et al. 2021, arXiv 2006.04884",
    )


def _slanted(cut: Duration = "10%", ratio: float = 32.0) -> _Made:
    return _made(
        slanted_triangular(cut, ratio),
        "Adam",
        {"lr": 0.01, "betas": (0.7, 0.99)},
        batch_size=64,
        when="a pre-trained recurrent language model turned into a classifier",
        avoid="transformers, for which this lr is much too high",
        why="up fast to a suitable region, down slowly to refine. The source also gives each layer 1 / 2.6 of the lr "
        "of the one above it, as param_groups(layer_decay=1 / 2.6) does, and unfreezes from the top; its lr for the "
        "language model itself is 0.004",
        source="Howard & Ruder 2018 (ULMFiT), arXiv 1801.06146",
    )


def _exponential(gamma: float = 0.94, decay_steps: Duration = "2 epochs") -> _Made:
    return _made(
        Exponential(gamma, decay_steps, staircase=True),
        "RMSprop",
        {"lr": 0.045, "alpha": 0.9, "eps": 1.0},
        batch_size=32,
        when="supervised training of unknown length, 100 epochs or so",
        avoid="a run of known length, where a decay to zero does better (recipe 'lm-pretrain' has one); short runs: "
        "10 epochs end at 0.78 of the peak",
        why="each epoch costs the same share of the lr. The settings are of an Inception network on 50 replicas; with "
        "another optimizer its own lr",
        source="Szegedy et al. 2016, arXiv 1512.00567",
    )


def _inverse_time(decay_rate: float = 1.0, decay_steps: Duration = "10%") -> _Made:
    return _made(
        InverseTime(decay_rate, decay_steps),
        "SGD",
        {"lr": 0.1},
        when="convex models, plain SGD: the classic condition for convergence",
        avoid="deep networks: the lr falls fast at first and hardly at all later",
        why="the sum of all lrs is infinite, that of their squares finite. Bottou: decay_rate = lr · weight decay with "
        "decay_steps=1, and an lr found on a small sample; the defaults here, lr included, are a starting point",
        source="Robbins & Monro 1951; Bottou 2012, Stochastic Gradient Descent Tricks",
    )


def _lm(warmup: Duration = "1%", end_factor: float = 0.1) -> _Made:
    return _made(
        cosine_with_warmup(warmup, end_factor),
        "AdamW",
        {"lr": 3e-4, "betas": (0.9, 0.95), "weight_decay": 0.1},
        when="a language model from scratch, over a number of tokens that is fixed beforehand",
        avoid="a run that may go on longer: the cosine must be as long as the run (recipe 'lm-pretrain-open-ended')",
        why="a cosine longer than the run by a quarter or more costs loss (Hoffmann). 2,000 of LLaMA's 250,000 updates "
        "are 0.8%; a short run wants a longer warmup. lr of the 7B and 13B models, batches of 4M tokens, gradient norm "
        "clipped at 1",
        source="Hoffmann et al. 2022, arXiv 2203.15556; Touvron et al. 2023 (LLaMA), arXiv 2302.13971",
    )


def _open_ended(warmup: Duration = 300, cooldown: Duration | None = None, shape: str = "one_minus_sqrt") -> _Made:
    cooled = wsd(warmup, "20%" if cooldown is None else cooldown, shape=shape)
    if cooldown is None and shape != "one_minus_sqrt":
        raise ValueError(f"shape={shape!r} is the cooldown's, and there is none: say cooldown='20%' too")
    return _made(
        Warmup(warmup) >> Constant() if cooldown is None else cooled,
        "AdamW",
        {"lr": 1e-3, "betas": (0.9, 0.95), "weight_decay": 0.1},
        batch_size=200,
        when="a language model whose number of tokens is not known yet, or several lengths from one trunk",
        avoid="as a finished model without a cooldown, which is where most of the loss falls",
        why="the trunk is constant; branch off any checkpoint with LRController(on_resume=Cooldown('20%', "
        "'one_minus_sqrt')), or say cooldown='20%' once the length is known (10 to 20% in the sources). Warmup in "
        "updates, lr and batch (of 512 tokens each) of the authors' code for 0.2B parameters",
        source="Hu et al. 2024 (MiniCPM), arXiv 2404.06395; Hägele et al. 2024, arXiv 2405.18392",
    )


def _gan(lr: float, betas: tuple[float, float], batch_size: int, why: str, source: str) -> Callable[..., _Made]:
    def make(flat: Duration = "50%") -> _Made:
        return _made(
            Constant(flat) >> Linear(),
            "Adam",
            {"lr": lr, "betas": betas},
            batch_size=batch_size,
            when="generator and discriminator, one optimizer each",
            avoid="rules that watch either loss: they measure the other network, not progress",
            why=f"{why}; flat over the first half and linear to zero over the second as in CycleGAN",
            source=f"{source}; Zhu et al. 2017 (CycleGAN), arXiv 1703.10593",
        )

    return make


_DCGAN = "Radford et al. 2016 (DCGAN), arXiv 1511.06434"
_TTUR = "Zhang et al. 2019 (SAGAN), arXiv 1805.08318, after Heusel et al. 2017 (TTUR), arXiv 1706.08500"
_TWO_RATES = "the discriminator learns four times faster, so one update of it for each of the generator will do"


def _cyclic(step_size: Duration = "10%", base_factor: float = 0.25, mode: str = "triangular") -> _Made:
    return _made(
        Cyclic(step_size, base_factor=base_factor, mode=mode),
        "Adam",
        {"lr": 1e-3},
        when="autoencoders, embeddings, clustering: to explore, and to look at the result at each cycle's end",
        avoid="runs too short for several cycles, where it does not help; results from between two cycle ends",
        why="the rate rises to leave a poor minimum and falls to settle; stop where a cycle ends (cycle_ends). The "
        "triangle, 2 to 10 epochs a half and a base of 1/3 to 1/4, is published for classifiers; for unsupervised "
        "tasks, with Adam at its default lr and in five cycles, it is a starting point: LRFinder finds the peak",
        source="Smith 2017, arXiv 1506.01186",
    )


def _annealed(end_factor: float = 0.0) -> _Made:
    return _made(
        Linear(end_factor=end_factor),
        "Adam",
        {"lr": 2.5e-4},
        batch_size=256,
        when="policy gradients over a number of updates that is fixed beforehand",
        avoid="a run that may go on, or a task that changes: at the end nothing is learnt any more",
        why="PPO's own choice on Atari. Engstrom et al. find that annealing matters much, Andrychowicz et al. (3e-4) "
        "a little",
        source="Schulman et al. 2017 (PPO), arXiv 1707.06347; Engstrom et al. 2020, arXiv 2005.12729; Andrychowicz et "
        "al. 2021, arXiv 2006.05990",
    )


def _by_reward(monitor: str = "return", factor: float = 0.5, check: str = "train_epoch") -> _Made:
    return _made(
        Constant(),
        "Adam",
        {"lr": 3e-4},
        rules=(Rule(Trend(), Reduce(factor), monitor, mode="max", check=check),),
        when="policy gradients of unknown length, with a return logged every epoch",
        avoid="sparse rewards: a return that has not begun to rise looks like one that has stopped; where a KL is to "
        "be had, control='kl' did better",
        why="a starting point: no source is known to us, and on the cart-pole of examples/policy_gradient.py it was no "
        "better than a fixed lr. Trend tells a plateau from noise, where a patience would count unlucky evaluations; "
        "lr of Andrychowicz et al. 2021",
        source="none for the rule; Andrychowicz et al. 2021, arXiv 2006.05990 (lr)",
    )


def _by_kl(
    monitor: str = "kl",
    target_kl: float = 0.01,
    min_scale: float = 0.01,
    max_scale: float = 10.0,
    check: str = "train_epoch",
) -> _Made:
    target = number(target_kl, "target_kl", low=0, low_open=True)
    adapt = Adapt(up=1.5, down=1 / 1.5, min_scale=min_scale, max_scale=max_scale)
    return _made(
        Constant(),
        "Adam",
        {"lr": 1e-3},
        rules=(Rule(Band(target / 2, 2 * target), adapt, monitor, check=check),),
        batch_size=24576,
        when="PPO and its kin: log the mean KL divergence of the new policy from the one that gathered the data",
        avoid="one update per batch of data, or a policy that is almost certain of its actions: the KL is then nearly "
        "0 whatever the lr, which rises to its bound; give another lr another max_scale",
        why="lr / 1.5 above twice the target, · 1.5 below half of it, between 1e-5 and 1e-2 for this lr, as in rsl_rl, "
        "which looks at every minibatch, here at every epoch; rl_games: target 0.008 and down to 1e-6",
        source="Rudin et al. 2022 (rsl_rl), arXiv 2109.11978; Makoviichuk & Makoviychuk 2021 (rl_games)",
    )


class _Kind(NamedTuple):
    """A recipe's variants, by the value of the parameter that selects one of them; the first is the default."""

    selector: str
    makers: dict[str, Callable[..., _Made]]


_KINDS = {
    "vision-scratch": _Kind("network", {"convolutional": _convolutional, "transformer": _vision_transformer}),
    "fine-tune": _Kind("method", {"linear": _fine_tune, "slanted": _slanted}),
    "supervised": _Kind("decay", {"exponential": _exponential, "1/t": _inverse_time}),
    "lm-pretrain": _Kind("", {"": _lm}),
    "lm-pretrain-open-ended": _Kind("", {"": _open_ended}),
    "gan": _Kind(
        "network",
        {
            "both": _gan(2e-4, (0.5, 0.999), 128, "a low rate and beta1 keep the two in balance", _DCGAN),
            "discriminator": _gan(4e-4, (0.0, 0.9), 256, _TWO_RATES, _TTUR),
            "generator": _gan(1e-4, (0.0, 0.9), 256, _TWO_RATES, _TTUR),
        },
    ),
    "unsupervised": _Kind("", {"": _cyclic}),
    "rl": _Kind("control", {"linear": _annealed, "reward": _by_reward, "kl": _by_kl}),
}


def _again(name: str, overrides: tuple[tuple[str, Any], ...]) -> Recipe:
    return recipe(name, **dict(overrides))


def _unknown(name: str, kind: _Kind, chosen: str, key: str) -> str:
    """The message for a parameter that the chosen variant does not have."""
    variant = f", {kind.selector}={chosen!r}" if kind.selector else ""
    takes = [*([kind.selector] if kind.selector else []), *inspect.signature(kind.makers[chosen]).parameters]
    elsewhere = [one for one, maker in kind.makers.items() if key in inspect.signature(maker).parameters]
    hint = did_you_mean(key, takes) or f"; it takes {', '.join(takes)}"
    if elsewhere:
        hint = f": it is a parameter of {kind.selector}={elsewhere[0]!r}"
    return f"recipe({name!r}{variant}) has no parameter {key!r}{hint}"
