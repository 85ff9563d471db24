"""Does a cut wait until the loss has stopped falling, and is the end better for it? Detectors on real noisy curves.

Asked of this project's own table (the first one in its notes on algorithms): on 12 simulated families of falling curves
torch's rule, patience 10, fires before the curve is flat in 50.8 % of trials on average (patience 20: 7.6 %), the slope
test that became ``Trend`` in 0 %; its constants were chosen on these families. ``detectors.py`` found 57, 29 and 8 %
on five families held back from its design.
Here the curves are those of real training runs, with the cuts carried out. No paper claims a better end of it.

- Data: digits, 64-64-10 network, SGD with momentum 0.9, batches of 32, 1200 updates (36 epochs), a check after every
  5th: 240 checks. "wrong labels": one training label in five is wrong, others with each seed. "noisy images": normal
  noise, σ = 0.5, drawn anew, on the training images. All 360 validation and 360 test images are clean.
- What a detector sees: the loss on 16 or 64 validation images drawn anew at each check, or on all 360. It never sees
  the *clean* loss, that on all 360, unless it is told to look at all. Draws and batches are the same for all arms.
- Arms: five detectors, each with ``Reduce(0.2, min_lr=lr / 100)``, that is at most three cuts; a constant lr and a
  planned cosine, which look at nothing. Each arm at each noise has its own lr of (0.01, 0.03, 0.1, 0.3): least clean
  validation loss at the end, 3 tuning seeds. 10 fresh seeds; final figures on the test images.
- "Still falling": at each cut the run is forked (weights and momentum copied) and two copies go on *without* the cut,
  with other batches, for 40 checks. A line is fitted to the mean of their clean losses; if it falls by 4 % or more over
  these 40 checks, 0.1 % a check as in ``detectors.py``, the cut came while the loss was still falling. What the rule
  says by chance is told by the constant arm, judged in the same way at its end (and, added when the results were there,
  by a constant run at Trend's lr, where the loss jumps more).
- Verdicts, per seed and task over the three noises together, ``Trend('progress')`` against ``Patience(10)``, 95 %
  intervals. Of the share of cuts too early: "reproduced" if less with both tasks and below 10 % with both; "in part" if
  less with one and more with none; "not reproduced" if more with one; else "no difference". Of the final test loss:
  "reproduced" if less with both, the rest alike.

What came out: ``Trend`` is the more patient, though far from never wrong, and its runs end lower.

- Too early were 12 % of Trend's cuts against 30 % of Patience(10)'s with wrong labels, 51 % against 81 % with noisy
  images. The tuned lr was 0.1 for both, so that the first cut lies on the same curve: Trend made it too early in 37 and
  47 % of runs, Patience(10) in 73 and 73 %. So there is a difference as simulated, but nothing like 0 %. Without a cut
  the loss would have fallen further by 0.5 against 3.3 %, and by 5.2 against 8.8 %, on average.
- With noisy images a single judgement is worth little: a constant run at this lr, judged at its end, is told to be
  falling in 30 % of runs, though the mean rises. Trend's later cuts there are early even more often than its first
  ones: at a fifth of the lr the loss falls slowly and for long.
- The final loss is 0.400 against 0.415 with wrong labels, and 0.243 against 0.288 with noisy images, where Patience(10)
  ends worse than a constant lr of 0.03. Noise costs Patience(10) more (0.278 to 0.298) than Trend (0.239 to 0.247).
  Why, as a guess: its three cuts are soon spent, and a hundredth of the lr is too little for the rest.
- ``Patience(20)`` is near Trend, except for the end with noisy images (0.261); ``Window(10)`` is like Patience(10), but
  ends worse with wrong labels (0.429). The cosine, which looks at nothing, is no different from Trend with wrong labels
  and better with noisy images (0.231).
- ``plateau_and_restart.py`` found the contrary: with wrong labels hasty cuts end lower. There one lr is given to all,
  cuts halve it, and the run is longer. A guess: under an lr that is too high for the task, any early cut is a gain.
- One lr lies at its grid's upper edge, that of ``Window(10)`` with 16 images and wrong labels. In the pilot the next
  one, 1.0, did not train; the grid was left as it is.

    python examples/experiments/noisy_validation.py --workers 2
    python examples/experiments/noisy_validation.py --quick
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from tasks import Split, batches, digits, mlp
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from trials import TUNING, Compared, Finding, Sample, arguments, at_edge, chosen, compare, fresh, report, run_all, show

from lightning_lr import Constant, Cosine, Detector, Patience, Reduce, Rule, ScheduledLR, Trend, Window

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELS, IMAGES = TASKS = ("wrong labels", "noisy images")
DETECTORS: dict[str, Detector] = {
    "Trend('progress')": Trend("progress"),
    "Trend('relative')": Trend("relative"),
    "Patience(10)": Patience(10),
    "Patience(20)": Patience(20),
    "Window(10)": Window(10),
}
ARMS = (*DETECTORS, "constant", "cosine")
OURS, THEIRS = "Trend('progress')", "Patience(10)"
SIZES, LRS, SEEDS = (16, 64, 360), (0.01, 0.03, 0.1, 0.3), 10
BATCH, EVERY, CHECKS = 32, 5, 240
AHEAD, GAIN, FORKS = 40, 4.0, 2
Batches = Iterator[tuple[Tensor, Tensor]]


class Case(NamedTuple):
    """A task, a detector or a schedule, and how many images validate; 0 where nothing looks."""

    task: str
    arm: str
    size: int


class Run(NamedTuple):
    """The clean loss at the end; the check of each cut, and by how many % the loss would have fallen without it."""

    val: float
    test: float
    cuts: tuple[int, ...]
    falls: tuple[float, ...]
    seen: tuple[float, ...]
    clean: tuple[float, ...]


def stream(task: str, seed: int, order: int) -> Batches:
    """What trains: ``seed`` says which labels are wrong, ``order`` how the batches are drawn."""
    x, y = digits().train
    generator = torch.Generator().manual_seed(seed)
    if task == LABELS:
        wrong = torch.rand(len(y), generator=generator) < 0.2
        y = (y + wrong * torch.randint(1, 10, (len(y),), generator=generator)) % 10
    generator.manual_seed(order)
    for images, labels in batches(Split(x, y), BATCH, 1000, order):
        noise = 0.5 * torch.randn(images.shape, generator=generator) if task == IMAGES else 0.0
        yield images + noise, labels


def update(net: nn.Module, optimizer: torch.optim.Optimizer, data: Batches) -> None:
    for images, labels in itertools.islice(data, EVERY):
        optimizer.zero_grad()
        cross_entropy(net(images), labels).backward()
        optimizer.step()


@torch.no_grad()
def loss(net: nn.Module, split: Split) -> float:
    return float(cross_entropy(net(split.x), split.y))


def uncut(task: str, net: nn.Module, optimizer: torch.optim.Optimizer, lr: float, seed: int) -> float:
    """By how many % the clean loss falls over the next AHEAD checks if the lr stays at ``lr``."""
    curves = np.empty((FORKS, AHEAD))
    for fork in range(FORKS):
        twin = copy.deepcopy(net)
        other = torch.optim.SGD(twin.parameters(), lr=lr, momentum=0.9)
        momenta = copy.deepcopy(optimizer.state_dict()["state"])  # load_state_dict would share them
        other.load_state_dict(other.state_dict() | {"state": momenta})
        data = stream(task, seed, 10_000 * (fork + 1) + seed)
        for check in range(AHEAD):
            update(twin, other, data)
            curves[fork, check] = loss(twin, digits().val)
    if not np.isfinite(curves).all():
        return math.nan
    slope, start = np.polyfit(np.arange(AHEAD), curves.mean(0), 1)
    return float(-100 * AHEAD * slope / start)


def train(case: Case, checks: int, lr: float, seed: int, watched: bool) -> Run:
    """One run; its cuts are judged where it is watched."""
    (task, arm, size), (_, val, test) = case, digits()
    torch.manual_seed(seed)
    net = mlp(64, 64, 10)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    rules = [Rule(DETECTORS[arm], Reduce(0.2, min_lr=lr / 100), "val_loss")] if size else []
    schedule = Cosine() if arm == "cosine" else Constant()
    scheduler = ScheduledLR(optimizer, schedule, total_steps=EVERY * checks, rules=rules)
    data, draw = stream(task, seed, seed), torch.Generator().manual_seed(seed)
    cuts, falls, seen, clean = [], [], [], []
    for check in range(checks):
        update(net, optimizer, data)
        if watched:
            clean.append(loss(net, val))
        if rules:
            places = torch.randperm(len(val), generator=draw)[:size]
            seen.append(loss(net, Split(val.x[places], val.y[places])))
            for event in scheduler.evaluate({"val_loss": seen[-1]}):
                cuts.append(check)
                falls += [uncut(task, net, optimizer, lr * event.before, seed)] if watched else []
    if watched and not size and arm != "cosine":
        falls.append(uncut(task, net, optimizer, lr, seed))
    return Run(loss(net, val), loss(net, test), tuple(cuts), tuple(falls), tuple(seen), tuple(clean))


def average(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known) if known else math.nan


def early(runs: Iterable[Run], among: int = CHECKS) -> float:
    """The share, in %, of cuts that came while the loss was still falling, among each run's first; NaN of none."""
    return average(100.0 * (fall >= GAIN) for run in runs for fall in run.falls[:among])


def verdict(found: Sequence[Compared], clearly: bool = True) -> str:
    """Of the two tasks' differences, by the rule above."""
    kinds = {each.found for each in found}
    if "more" in kinds or "less" not in kinds:
        return "not reproduced" if "more" in kinds else "no difference"
    return "reproduced" if kinds == {"less"} and clearly else "in part"


def main(argv: Sequence[str] | None = None) -> None:
    options = arguments(__doc__, argv)
    full = (CHECKS, SIZES, LRS, TUNING, fresh(SEEDS))
    checks, sizes, lrs, tuning, seeds = (24, SIZES[:1], LRS[1:3], TUNING[:1], fresh(2)) if options.quick else full

    def at_end(case: Case, lr: float, seed: int) -> float:
        return train(case, checks, lr, seed, False).val

    cases = [Case(t, arm, size) for t in TASKS for arm in ARMS for size in (sizes if arm in DETECTORS else (0,))]
    own = chosen(at_end, dict.fromkeys(cases, lrs), tuning, options.workers)
    points = [(case, checks, own[case], seed, True) for case in cases for seed in seeds]
    done = iter(run_all(train, points, options.workers))
    runs = {case: [next(done) for _ in seeds] for case in cases}
    for task in TASKS:  # what the rule says by chance where the loss jumps as much as under Trend
        case, lr = Case(task, "constant, Trend's lr", 0), own[Case(task, OURS, sizes[0])]
        own[case], runs[case] = lr, run_all(train, [(case, checks, lr, seed, True) for seed in seeds], options.workers)

    rows = []
    for case, same in runs.items():
        cuts = [average(len(run.cuts) for run in same), average(run.cuts[0] for run in same if run.cuts)]
        told = [early(same, 1), early(same), average(fall for run in same for fall in run.falls)]
        numbers = [f"{number:.{places}f}" for number, places in zip([*cuts, *told], (1, 0, 0, 0, 1), strict=True)]
        lr = f"{own[case]:g}{at_edge(own[case], lrs)}"
        rows.append([*case, lr, *numbers, Sample(tuple(run.test for run in same))])
    head = ["task", "arm", "images", "lr", "cuts", "first at", "first early %", "early %", "missed %", "test loss"]
    table = show(head, rows).replace("nan", "-  ")
    text = f"{len(seeds)} seeds, {checks} checks; missed: by how much the clean loss would have fallen further, mean\n"
    text += f"(of a constant lr: after its end); *: at the edge of the grid\n\n{table}"

    shares, losses = {}, {}  # of each seed, over the noises together
    for key in itertools.product(TASKS, ARMS):
        by_seed = list(zip(*(same for case, same in runs.items() if case[:2] == key), strict=True))
        shares[key] = Sample(tuple(early(same) for same in by_seed))
        losses[key] = Sample(tuple(average(run.test for run in same) for same in by_seed))
    rows = []
    for (task, arm), loss_at_end in losses.items():
        share, rival = shares[task, arm], (task, THEIRS)
        first = [share, compare(share, shares[rival])] if arm in DETECTORS else ["-", "-"]
        against = [compare(loss_at_end, losses[other]) for other in (rival, (task, "cosine"))]
        rows.append([task, arm, *first, loss_at_end, *against])
    head = ["task", "arm", "early %", f"- {THEIRS}'s", "test loss", f"- {THEIRS}'s", "- cosine's"]
    text += "\n\nThe noises together, and differences with 95 % intervals\n\n" + show(head, rows)

    def finding(claim: str, source: str, what: str, samples: dict[tuple[str, str], Sample], clearly: bool) -> Finding:
        pairs = [(samples[task, OURS], samples[task, THEIRS]) for task in TASKS]
        found = [compare(*pair) for pair in pairs]
        told = [f"{t}: {a} against {b} ({c})" for t, (a, b), c in zip(TASKS, pairs, found, strict=True)]
        return Finding(claim, source, f"{what}: {'; '.join(told)}", verdict(found, clearly))

    less = f"`Trend()` cuts less often than `{THEIRS}` while the loss still falls"
    lower = f"runs cut by `Trend()` end lower than those cut by `{THEIRS}`"
    rare = all(shares[task, OURS].mean < 10 for task in TASKS)
    findings = [
        finding(
            less, "simulated curves, held back: 8 % against 57 % (`detectors.py`)", "share of cuts, in %", shares, rare
        ),
        finding(lower, "no figure; our `plateau_and_restart.py` had 0.395 against 0.349", "test loss", losses, True),
    ]

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        for arm, colour in ((OURS, "C0"), (THEIRS, "C2")):
            run = runs[Case(IMAGES, arm, SIZES[0])][0]
            if arm == OURS:
                left.plot(run.seen, ".", color="0.75", markersize=3, label=f"seen ({SIZES[0]} images)")
            left.plot(run.clean, color=colour, label=f"clean, {arm}")
            for check, fall in zip(run.cuts, run.falls, strict=True):
                face = colour if fall >= GAIN else "white"
                left.plot(check, run.clean[check], "v", markersize=8, color=colour, markerfacecolor=face)
        left.set(yscale="log", xlabel=f"check (every {EVERY} updates)", ylabel="validation loss")
        left.set_title(f"{IMAGES}, one seed; filled: cut too early", fontsize=10)
        left.legend(fontsize=7)
        for (task, marker), (i, arm) in itertools.product(zip(TASKS, "os", strict=True), enumerate(DETECTORS)):
            cosine = losses[task, "cosine"]
            worse = np.array(compare(losses[task, arm], cosine)) * 100 / cosine.mean
            ends = [[worse[0] - worse[1]], [worse[2] - worse[0]]]
            label = arm if task == LABELS else None
            right.errorbar(shares[task, arm].mean, worse[0], ends, marker=marker, color=f"C{i}", label=label)
        right.set(xlabel="cuts made while the clean loss still fell, %", ylabel="test loss above cosine's, %")
        right.set_title(f"○ {LABELS}, □ {IMAGES}; bars: 95 %", fontsize=10)
        right.legend(fontsize=7)

    report(__file__, options, text, findings, draw)


if __name__ == "__main__":
    main()
