"""One trunk with branched cooldowns against a cosine for each horizon: as good a language model, for fewer updates?

Hägele et al. 2024, arXiv 2405.18392, after MiniCPM, Hu et al. 2024, arXiv 2404.06395: warmup, a constant rate, and a
decay over the last 20 % (WSD) end as low as a cosine to 10 % of its peak. A cosine has to be trained anew for every
length; the constant part has not: cooldowns branch off it wherever a finished model is wanted, "significantly reduced
compute". They prefer 1 − √u to a linear cooldown. There: web text, models a thousand times larger than ours.

Here: characters of the standard library's source (``tasks.text``: 697 thousand to train, 39 to validate, 39 to test), a
pre-LN transformer of 117,600 weights (``characters``: 4 layers, width 48, 32 characters of context), AdamW (betas 0.9,
0.95; decay 0.1), gradients clipped to norm 1, 16 windows an update; models are wanted after 400, 800, 1200 updates.

- cosine: ``Warmup(40) >> Cosine(end_factor=0.1)``, a run for each horizon; and ``Cosine()``, to 0, tuned by itself.
- WSD: ``Warmup(40) >> Constant()``. After 320, 640 and 960 updates net, optimizer and scheduler are saved, and from
  each a new run goes on: ``scheduler.load_state_dict(...)``, ``scheduler.apply(Cooldown("20%"))``, linear to 0. Beside
  it, from the same three states, ``Cooldown("20%", "one_minus_sqrt")``.
- lr: LRS for all, least mean validation loss over 3 tuning seeds. A cosine may have another lr at each horizon; the
  trunk has one for all three, by the mean over its linear cooldowns' ends. So the cosines are tuned more, not less.
- A seed is initial weights and the order of the data: update t sees the same windows in all arms. 5 fresh seeds.
  Losses, in nats per character, are over all of the validation or test text, in windows side by side.

Rule, for either cosine, by the fresh seeds' test losses: the difference in percent, seed by seed, with its 95 %
interval. "reproduced": its upper end is below +0.5 % at all three horizons; "in part": only the mean is; else not.
Updates are counted by the schedulers; the trunk's once, up to the last cooldown's start. "reproduced": 35 % fewer.

What came out: all arms are best at 0.004. WSD ends 3.1, 4.7 and 5.3 % below cosine to 10 % and 4.1, 6.3 and 7.0 % below
cosine to 0, from 40 % fewer updates; an earlier measurement of ours (4.6, 4.3, 3.1 %) had no growing gap. 1 - sqrt is
0.3 to 0.4 % worse than linear, against the paper's preference. A guess at why the cosines lose: in runs as short as
these the loss is still far from its floor, and time at a high rate is worth more than time at a falling one.

A first full form had one tuning seed in place of three. It chose 0.008 for cosine to 10 %, where seeds differ widely
(test loss after 1200 updates 1.60 to 1.87): WSD against it -3.2 % [-7.9, +1.5], -4.3 % [-10.5, +2.0], -4.9 % [-12.4,
+2.6], "in part". The protocol's three were taken thereafter; grid, rule and fresh seeds stayed.

    python examples/experiments/wsd_branches.py --workers 2
    python examples/experiments/wsd_branches.py --quick
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import trials
from characters import Run
from matplotlib.figure import Figure

from lightning_lr import Constant, Cooldown, Cosine, Warmup

LRS = (2e-3, 4e-3, 8e-3, 16e-3)
COSINES = {"cosine to 10%": 0.1, "cosine to 0": 0.0}
COOLDOWNS = {"WSD, linear": "linear", "WSD, 1 - sqrt": "one_minus_sqrt"}
TEN, ZERO, WSD, SQRT = *COSINES, *COOLDOWNS
COLOURS = {"trunk": "0.55", WSD: "tab:blue", TEN: "tab:orange", ZERO: "tab:red"}
MARGIN, FEWER = 0.5, 35.0  # percent
Made = tuple[str, int]  # by which arm, after how many updates


class Form(NamedTuple):
    """How much is run."""

    horizons: tuple[int, ...] = (400, 800, 1200)
    warmup: int = 40
    every: int = 40  # updates between two points of a curve
    windows: int = 10**6  # of a text; if there are fewer: all
    lrs: tuple[float, ...] = LRS
    tuning: tuple[int, ...] = trials.TUNING
    fresh: int = 5


QUICK = Form((5, 10, 15), warmup=2, every=5, windows=16, lrs=LRS[1:3], tuning=trials.TUNING[:1], fresh=2)


class Ended(NamedTuple):
    """A run's end: the loss, the updates that it made itself, the lr of every update, its curve."""

    loss: float
    updates: int
    lrs: list[float]
    curve: dict[int, float]  # validation loss (128 windows) by the number of updates


def ended(run: Run, form: Form, final: bool) -> Ended:
    loss = run.loss(run.text.test if final else run.text.val, form.windows)
    return Ended(loss, run.scheduler.updates - run.begin, run.lrs, run.curve)


def train(form: Form, arm: str, horizon: int, lr: float, seed: int, final: bool = False) -> dict[Made, Ended]:
    """What comes out of one cosine, or of one trunk; ``final``: measured on the test text, and watched on the way."""
    start, watch = (lr, seed, form.horizons[-1]), form.every if final and seed == 0 else None
    if arm in COSINES:
        run = Run(Warmup(form.warmup) >> Cosine(end_factor=COSINES[arm]), *start, horizon)
        run.train(horizon, watch)
        return {(arm, horizon): ended(run, form, final)}
    made, schedule = {}, Warmup(form.warmup) >> Constant()
    trunk = Run(schedule, *start)
    for length in form.horizons:
        trunk.train(length - length // 5, watch)
        saved = trunk.save()
        for name, shape in COOLDOWNS.items() if final else [(WSD, COOLDOWNS[WSD])]:
            branch = Run(schedule, *start, length)
            branch.load(saved)
            branch.scheduler.apply(Cooldown("20%", shape))
            branch.train(length, watch)
            made[name, length] = ended(branch, form, final)
    return made | ({("trunk", horizon): ended(trunk, form, final)} if final else {})


def percent(a: Sequence[Ended], b: Sequence[Ended]) -> trials.Compared:
    """How much larger ``a``'s loss is than ``b``'s, in percent of it, seed by seed."""
    ratios = trials.Sample(tuple(100 * x.loss / y.loss for x, y in zip(a, b, strict=True)))
    return trials.compare(ratios, trials.Sample((100.0,) * len(a)))


def finding(claim: str, paper: str, form: Form, found: Sequence[trials.Compared]) -> trials.Finding:
    each = [
        f"{d.difference:+.1f}% [{d.low:+.1f}, {d.high:+.1f}] at {h}" for h, d in zip(form.horizons, found, strict=True)
    ]
    verdict = "in part" if all(d.difference < MARGIN for d in found) else "not reproduced"
    verdict = "reproduced" if all(d.high < MARGIN for d in found) else verdict
    return trials.Finding(claim, paper, f"test loss {', '.join(each)} updates ({form.fresh} seeds)", verdict)


def draw(figure: Figure, made: dict[Made, list[Ended]], found: dict[str, list[trials.Compared]], form: Form) -> None:
    grid = figure.add_gridspec(2, 2, width_ratios=(2.3, 1), height_ratios=(2, 1))
    losses = figure.add_subplot(grid[0, 0], ylabel="validation loss (nats)", title="loss and lr, first seed")
    lrs = figure.add_subplot(grid[1, 0], sharex=losses, xlabel="updates", ylabel="lr")
    for (name, horizon), ends in made.items():
        if name not in (SQRT, ZERO):
            label, colour = name if horizon == form.horizons[-1] else None, COLOURS[name]
            steps, values = zip(*ends[0].curve.items(), strict=True)
            own = range(len(ends[0].lrs) - ends[0].updates, len(ends[0].lrs))
            losses.plot(steps, values, color=colour, label=label)
            losses.plot(steps[-1], values[-1], "." if name == "trunk" else "o", color=colour, zorder=3)
            lrs.plot(own, ends[0].lrs[own.start :], color=colour)
    lowest = min(min(ends[0].curve.values()) for ends in made.values())
    losses.set_ylim(lowest - 0.1, lowest + 1.2)
    losses.legend()
    right = figure.add_subplot(grid[:, 1], xlabel="updates", ylabel="%", title="WSD's test loss\nagainst a cosine's")
    for i, (arm, differences) in enumerate(found.items()):
        middle, half = [d.difference for d in differences], [d.high - d.difference for d in differences]
        places = [j + 0.2 * i for j in range(len(middle))]
        right.errorbar(places, middle, half, fmt="o", capsize=3, color=COLOURS[arm], label=arm)
    right.axhline(MARGIN, color="black", ls="--", lw=1)
    right.set_xticks([0.1, 1.1, 2.1], [str(horizon) for horizon in form.horizons])
    right.margins(y=0.3)
    right.legend(loc="upper center")


def main(argv: Sequence[str] | None = None) -> None:
    options = trials.arguments(__doc__, argv)
    form = QUICK if options.quick else Form()
    whole = ("WSD", form.horizons[-1])
    runs = [*((arm, horizon) for arm in COSINES for horizon in form.horizons), whole]

    points = [(form, *run, lr, seed) for run in runs for lr in form.lrs for seed in form.tuning]
    val: dict[Made, dict[float, list[float]]] = {run: {lr: [] for lr in form.lrs} for run in runs}
    for (_, *run, lr, _), outcome in zip(points, trials.run_all(train, points, options.workers), strict=True):
        val[tuple(run)][lr].append(statistics.fmean(end.loss for end in outcome.values()))
    lr_of = {run: trials.best(val[run]) for run in runs}

    made: dict[Made, list[Ended]] = {}
    points = [(form, *run, lr_of[run], seed, True) for run in runs for seed in trials.fresh(form.fresh)]
    for outcome in trials.run_all(train, points, options.workers):
        for key, end in outcome.items():
            made.setdefault(key, []).append(end)

    tuned = [
        [*run, *map(trials.Sample, map(tuple, val[run].values())), f"{lr:g}{trials.at_edge(lr, form.lrs)}"]
        for run, lr in lr_of.items()
    ]
    ends = [
        [h, name, trials.Sample(tuple(end.loss for end in made[name, h])), lr_of.get((name, h), lr_of[whole])]
        + [percent(made[name, h], made[arm, h]) if arm != name else "" for arm in (TEN, ZERO, WSD)]
        for h in form.horizons
        for name in (TEN, ZERO, WSD, SQRT)
    ]
    cosines, cooldowns = (sum(made[arm, h][0].updates for h in form.horizons) for arm in (TEN, WSD))
    trunk = made["trunk", form.horizons[-1]][0].updates
    fewer = 100 * (1 - (trunk + cooldowns) / cosines)
    text = (
        f"Validation loss by lr, {len(form.tuning)} tuning seeds "
        "(WSD: mean of the three linear ends); * at the grid's edge\n"
        + trials.show(["arm", "updates", *(f"lr {lr:g}" for lr in form.lrs), "chosen"], tuned)
        + f"\n\nTest loss, {form.fresh} fresh seeds; differences in percent, with their 95 % intervals\n"
        + trials.show(["updates", "arm", "loss", "lr", *(f"against {arm}" for arm in (TEN, ZERO, WSD))], ends)
        + f"\n\nUpdates: three cosines {cosines}; WSD {trunk} (trunk) + {cooldowns} (cooldowns): {fewer:.1f} % fewer"
    )
    found = {arm: [percent(made[WSD, h], made[arm, h]) for h in form.horizons] for arm in COSINES}
    claim = "WSD, 20% cooldowns branched off one trunk, ends at most 0.5% above cosine to 10% at three horizons"
    findings = [
        finding(claim, "as low or lower (Hägele et al. 2024, MiniCPM 2024)", form, found[TEN]),
        finding("the same against cosine to 0, tuned by itself", "no figure", form, found[ZERO]),
        trials.Finding(
            "one trunk and three cooldowns take at least 35% fewer updates than three cosines",
            '"significantly reduced compute" (Hägele et al. 2024)',
            f"{trunk + cooldowns} updates instead of {cosines}: {fewer:.1f}% fewer",
            "reproduced" if fewer >= FEWER else "not reproduced",
        ),
    ]
    trials.report(__file__, options, text, findings, lambda figure: draw(figure, made, found, form))


if __name__ == "__main__":
    main()
