"""Warm restarts and restarts on stagnation: where they help (a planted double well, snapshots), and where they do not.

Asked: Loshchilov & Hutter 2016 (SGDR, arXiv 1608.03983) say that a cosine begun again and again is better *at any time*
and needs 2 to 4 times fewer epochs than the usual schedules, which were in steps (here its rival is one cosine); Huang
et al. 2017 (arXiv 1704.00109) that the networks at its cycles' ends make an ensemble which beats the single network of
the same number of updates; the source article that a rate put back up when the loss stagnates leaves poor minima. Five
arms, equal in updates and in tuning:

- "cosine": one fall over the run, ``Cosine()``;
- "decay": one that is over early, ``Exponential(0.1, decay_steps="20%")``, a tenth of it left after each fifth;
- "decay + Restart": the same with ``Rule(Patience(10), Restart(), "val_loss", until="80%")``, 40 or 50 looks per run;
- "4 cycles": ``CosineRestarts("25%")``;  "growing cycles": ``cycle_mult=2``, 1 + 2 + 4 + 8 fifteenths of the run.

(a) Double well: f(x) = 0.05 x² − 0.5 exp(−(x + 2)² / 2) − 2 exp(−((x − 2) / 0.5)² / 2), a wide well of depth 0.5 at −2
and a narrow one of depth 2 at +2. SGD, gradient noise N(0, 3²), from x = −2, 1500 updates; ``val_loss`` is f(x). A seed
is 20 runs; its figure is the share, in %, that ends outside the deep well (|x − 2| >= 1.5): with the lr that is best
of all ("any lr"), and of those at which the deep well's bottom is stable, lr < 2 / f''(2) = 0.25 ("stable lr"; in a
network more would diverge, here it only throws the dice again). In a first form (depths 1 and 2, width 0.4,
``Patience(5)``) no lr left the one well and stayed in the other, 35 to 55 % outside with every arm; it, and the stable
lr, were changed and added after one tuning seed, and nothing afterwards.
(b) Digits (``tasks.digits``): 64-64-10 network, SGD with momentum 0.9, batch 32, 40 epochs, 1320 updates. *single*:
error of the last network; *anytime*: mean over the epochs of the error of the network that validates best so far;
*ensemble*: error of the mean of the softmax outputs at cycle ends (without cycles: at each quarter; with ``Restart``:
where it acted, and at the end).
lr: six half-decades, 0.01 to 3 in (a), 0.003 to 1 in (b); for each arm *and figure* the least validation mean over
``TUNING``; then 10 fresh seeds (200 runs) in (a), 25 in (b), tested on data that took no part.

Verdicts, fixed before a fresh seed was run (better, worse: the 95 % interval of the paired difference excludes 0):
1. double well: "reproduced" if "decay + Restart" and "4 cycles" both end in the deep well more often than "decay" with
   any lr, "in part" if at least one does with any or a stable lr. (A first rule, before the pilot, asked that they beat
   "cosine" too; the verdict is the same.)
2. snapshots: "reproduced" if the ensemble of "4 cycles" is better than the single network of "cosine".
3. "growing cycles" against "cosine": "reproduced" if better at any time and no worse at the end, "in part" if better in
   one of the two. In all three "no difference" where nothing differs, else "not reproduced".

What came out. Double well: where the decay is over too early, at lr 0.1, 82 % of the runs end outside, 62 % with
restarts on stagnation, 15 % with 4 cycles. But its own best lr, 0.3, mends most of that (34 %), and there stagnation
restarts show no difference; and one cosine, 16 %, is as good as the cycles (with the tuning seeds also below 0.1;
above it, better). So restarts make up for a decay that is over too early, and do not beat one that is not. Digits: the
ensemble of 4 cycles, 3.08 %, is no better than one cosine's network, 2.97 %, nor than its own last network, 2.92 %. (A
guess: in so small a network all snapshots lie in one basin, so that the earlier ones are worse and not otherwise
wrong.) One network with growing cycles is worse at any time, 4.13 against 3.80 %, and no different at the end, 2.88
against 2.97 %; only the early decay is beaten there, as it is by the cosine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch
from matplotlib.figure import Figure
from tasks import Split, batches, digits, error, mlp
from torch.nn.functional import cross_entropy
from trials import Compared, Finding, arguments, at_edge, compare, fresh, measure, report, show

from lightning_lr import Cosine, CosineRestarts, Exponential, Patience, Restart, Rule, Schedule, ScheduledLR, cycle_ends

ARMS = ("cosine", "decay", "decay + Restart", "4 cycles", "growing cycles")
WELL_LRS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
DIGITS_LRS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
RUNS, NOISE = 20, 3.0
Errors = tuple[float, float]  # in %, on validation and on test data


def schedule(arm: str, total: int) -> Schedule:
    cycles = {"4 cycles": CosineRestarts("25%"), "growing cycles": CosineRestarts(total // 15, cycle_mult=2)}
    return Exponential(0.1, decay_steps="20%") if "decay" in arm else cycles.get(arm, Cosine())


def scheduled(optimizer: torch.optim.Optimizer, arm: str, total: int) -> ScheduledLR:
    rules = [Rule(Patience(10), Restart(), "val_loss", until="80%")] if "Restart" in arm else []
    return ScheduledLR(optimizer, schedule(arm, total), rules=rules, total_steps=total)


def f(x: float) -> float:
    return 0.05 * x**2 - 0.5 * math.exp(-((x + 2) ** 2) / 2) - 2 * math.exp(-(((x - 2) / 0.5) ** 2) / 2)


def slope(x: float) -> float:
    """df/dx."""
    narrow = (x - 2) / 0.5
    return 0.1 * x + 0.5 * (x + 2) * math.exp(-((x + 2) ** 2) / 2) + 2 * narrow / 0.5 * math.exp(-(narrow**2) / 2)


def double_well(arm: str, lr: float, seed: int, total: int) -> dict[str, Errors]:
    """The share of ``RUNS`` runs that do not end in the deep well, as both figures."""
    noise = NOISE * torch.randn(RUNS, total, generator=torch.Generator().manual_seed(seed))
    outside = 0
    for pushes in noise.tolist():
        x = torch.nn.Parameter(torch.tensor([-2.0]))
        x.grad = torch.zeros(1)
        optimizer = torch.optim.SGD([x], lr=lr)
        scheduler = scheduled(optimizer, arm, total)
        for k, push in enumerate(pushes, 1):
            x.grad.fill_(slope(x.item()) + push)
            optimizer.step()
            if "Restart" in arm and k % (total // 50) == 0:
                scheduler.evaluate({"val_loss": f(x.item())})
        outside += not abs(x.item() - 2) < 1.5
    share = (100 * outside / RUNS, 100 * outside / RUNS)
    return {"any lr": share, "stable lr": share}


def on_digits(arm: str, lr: float, seed: int, epochs: int) -> dict[str, Errors]:
    """The three figures of one run."""
    train, val, test = digits()
    torch.manual_seed(seed)
    net = mlp(64, 64, 10)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    per_epoch = len(train) // 32
    total = epochs * per_epoch
    scheduler = scheduled(optimizer, arm, total)
    ends = cycle_ends(schedule(arm, total), total) or [total]
    if arm in ("cosine", "decay"):
        ends = [total * quarter // 4 for quarter in (1, 2, 3, 4)]
    so_far: list[Errors] = []  # at the end of each epoch, of the network that validates best so far
    outputs: list[tuple[torch.Tensor, torch.Tensor]] = []  # of the snapshots
    for k, (x, y) in enumerate(batches(train, 32, epochs, seed), 1):
        optimizer.zero_grad()
        cross_entropy(net(x), y).backward()
        optimizer.step()
        acted: list[Any] = []
        with torch.no_grad():
            if k % per_epoch == 0:
                now = (error(net, val), error(net, test))
                so_far.append(min([now, *so_far[-1:]], key=lambda errors: errors[0]))
                if "Restart" in arm:
                    acted = scheduler.evaluate({"val_loss": cross_entropy(net(val.x), val.y)})
            if k in ends or acted:
                outputs.append((net(val.x).softmax(1), net(test.x).softmax(1)))
    mean_val, mean_test = (torch.stack(each).mean(0) for each in zip(*outputs, strict=True))
    same = torch.nn.Identity()
    return {
        "single": now,
        "anytime": (fmean(errors[0] for errors in so_far), fmean(errors[1] for errors in so_far)),
        "ensemble": (error(same, Split(mean_val, val.y)), error(same, Split(mean_test, test.y))),
    }


def verdict(reproduced: bool, words: Sequence[str]) -> str:
    """``words``: all that was compared, ``"less"`` (better), ``"more"`` or ``"no difference"``."""
    in_part = "in part" if "less" in words else "not reproduced" if "more" in words else "no difference"
    return "reproduced" if reproduced else in_part


def main(argv: Sequence[str] | None = None) -> None:
    options = arguments(__doc__, argv)
    quick, cut = options.quick, slice(2, 4) if options.quick else slice(None)
    lrs = {"any lr": WELL_LRS[cut], "stable lr": WELL_LRS[:3][cut]}
    grids = {(of, arm): lrs[of] for of in lrs for arm in ARMS}
    wells = measure(double_well, grids, fresh(2 if quick else 10), options, 150 if quick else 1500)
    grids_of_digits = {(of, arm): DIGITS_LRS[cut] for of in ("single", "anytime", "ensemble") for arm in ARMS}
    nets = measure(on_digits, grids_of_digits, fresh(2 if quick else 25), options, 5 if quick else 40)
    chosen, test, grids = wells.chosen | nets.chosen, wells.test | nets.test, grids | grids_of_digits

    def against(of: str, arm: str, other: str) -> Compared:
        return compare(test[of, arm], test["single" if of == "ensemble" else of, other])

    rows: list[Sequence[object]] = []
    for (of, arm), sample in test.items():
        lr = f"{chosen[of, arm]:g}{at_edge(chosen[of, arm], grids[of, arm])}"
        rows.append([of, arm, lr, sample, against(of, arm, "decay"), against(of, arm, "cosine")])
        rows += [[""] * 6] * (arm == ARMS[-1])
    text = (
        "any lr, stable lr: runs that end outside the deep well; the others: test error on digits, and of ensembles\n"
        "the difference from the single network of decay and cosine\n\n"
        f"{show(['', 'arm', 'lr', '%', 'minus decay [95 %]', 'minus cosine [95 %]'], rows)}\n* at the edge of its grid"
    )
    left = [against(of, arm, "decay").found for of in lrs for arm in ("decay + Restart", "4 cycles")]
    shares = [f"{of}: " + ", ".join(f"{arm} {test[of, arm]}" for arm in ARMS[:4]) for of in lrs]
    snapshots = against("ensemble", "4 cycles", "cosine")
    early, late = (against(of, "growing cycles", "cosine") for of in ("anytime", "single"))
    findings = [
        Finding(
            "restarts, on stagnation (source article) or warm (1608.03983), leave a poor minimum (planted double well)",
            "no figure",
            f"% of runs that end outside the deep well, {'; '.join(shares)}",
            verdict(left[:2] == ["less", "less"], left),
        ),
        Finding(
            "an ensemble of the cycles' ends beats one network trained as long (Huang et al. 2017, 1704.00109)",
            "DenseNet: error 3.4 % on CIFAR-10, 17.4 % on CIFAR-100",
            f"digits: {test['ensemble', '4 cycles']} % against {test['single', 'cosine']} %, difference {snapshots}",
            verdict(snapshots.found == "less", [snapshots.found]),
        ),
        Finding(
            "growing cosine cycles: one network, better at any time and no worse at the end (1608.03983)",
            "2 to 4 times fewer epochs than the usual schedules, in steps",
            f"digits, minus one cosine: at any time {early} % points, at the end {late}",
            verdict(early.found == "less" and late.found != "more", [early.found, late.found]),
        ),
    ]

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        for arm, marker in zip(ARMS, "os^vD", strict=True):
            seen = wells.seen["any lr", arm]
            left.semilogx(list(seen), [100 - fmean(values) for values in seen.values()], marker=marker, label=arm)
        left.set(title="Double well: ends in the deep one", xlabel="peak lr", ylabel="% of runs", ylim=(-4, 135))
        left.set_yticks(range(0, 101, 25))
        left.legend(fontsize=7, ncols=2, loc="upper center")
        for shift, of in ((-0.15, "single"), (0.15, "ensemble")):
            y, samples = [i + shift for i in range(len(ARMS))], [test[of, arm] for arm in ARMS]
            right.errorbar([s.mean for s in samples], y, xerr=[s.sd for s in samples], fmt="o", capsize=3, label=of)
        right.set_yticks(range(len(ARMS)), ARMS)
        right.invert_yaxis()
        right.set(title="Digits: a network, its snapshots", xlabel="test error, % (mean ± sd)")
        figure.legend(*right.get_legend_handles_labels(), fontsize=8, loc="outside lower right", ncols=2)

    report(__file__, options, text, findings, draw)


if __name__ == "__main__":
    main()
