"""``compare``: optimizers and schedules under an equal budget, each at the best of equally many lrs."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from lightning_lr.core.checks import number, shown
from lightning_lr.core.expression import parse
from lightning_lr.core.schedules.base import Schedule
from lightning_lr.tuning.claims import RULE, Verdict, judged
from lightning_lr.tuning.point import Params, Point, Run
from lightning_lr.tuning.results import Row, Sweep, aligned, plus_minus, rich_table
from lightning_lr.tuning.search import sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna.storages import BaseStorage
    from rich.table import Table

OPTIMIZERS = ("SGD", "Adam", "RMSprop", "Adagrad")
SCHEDULES = {
    "constant": "Constant()",
    "exponential": 'Exponential(0.01, decay_steps="100%")',
    "1/t": 'InverseTime(9, decay_steps="100%")',
    "cosine": "Cosine()",
}
LRS = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
NEAR = 0.05
"""How much worse than the best still counts as good, as a share of it."""


class Arm(NamedTuple):
    """An optimizer with a schedule, at the best of its lrs.

    ``decades`` is how wide the lrs around the best are whose mean is within 5 % of it, in powers of ten; ``failed`` the
    share of all its runs, at all lrs, that failed. ``row`` is ``None`` where no lr has a result.
    """

    optimizer: str
    schedule: str
    lr: float | None
    row: Row | None
    decades: float | None
    failed: float


@dataclass(frozen=True)
class Schedules:
    """The schedule that a point names."""

    named: Mapping[str, Schedule]

    def __call__(self, params: Mapping[str, Any]) -> Schedule:
        return self.named[params["schedule"]]


@dataclass(frozen=True)
class Tuned:
    """Calls the user's function with the lr that a point's number stands for."""

    train: Callable[[Point], Any]
    lrs: Mapping[str, Sequence[float]]

    def _point(self, point: Point) -> Point:
        values = point.params.plain
        values["lr"] = self.lrs[values["optimizer"]][values.pop("lr number")]
        point.params = Params(values)
        return point

    def check(self, point: Point) -> None:
        """As the function itself has it checked."""
        check = getattr(self.train, "check", None)
        if check is None:
            return
        point = self._point(point)
        lr = point.params.plain["lr"]
        try:
            check(point)
        except (TypeError, ValueError) as error:
            raise ValueError(f"lr={lr:g}: {error}") from None

    def __call__(self, point: Point) -> Any:
        result = self.train(self._point(point))
        for name in ("optimizer", "lr"):
            if name not in point.params.used:
                raise ValueError(f"compare: train has not asked for point.params.{name}, which is what is compared")
        return result


def compare(
    train: Callable[[Point], Any],
    optimizers: Sequence[str] = OPTIMIZERS,
    schedules: Mapping[str, Schedule | str] | None = None,
    lrs: Sequence[float] | Mapping[str, Sequence[float]] = LRS,
    *,
    seeds: int | Sequence[int] = 5,
    metric: str = "val_loss",
    mode: str | None = None,
    gap: str | None = "auto",
    folds: int | None = None,
    storage: str | BaseStorage | None = None,
    name: str = "compare",
    workers: int = 1,
    progress: bool = True,
) -> Comparison:
    """Optimizers and schedules on one task: every pair equally long, at equally many lrs, with the same seeds.

    Each pair is reported at its best lr, chosen on validation among equally many. (The score of a chosen point is a
    little too good: the more so, the more the seeds scatter and the more lrs come near the best.) What is within 5 % is
    found no finer than the grid is; and 5 % of an accuracy are more than 5 % of a small loss, by which often only one
    lr is good. Verdicts are over the seeds: the folds of a seed share their data, and count as one.

    Args:
        train: as for :func:`~lightning_lr.tuning.sweep`; trains with ``point.params.optimizer``, a name in
            ``torch.optim``, with ``point.params.lr`` and with ``point.schedule``.
        optimizers: names in ``torch.optim``.
        schedules: by name, as schedules or expressions; by default constant, exponential (to 1 %), 1/t (to 10 %) and
            cosine. One that is ``Constant()`` is what decay is held against.
        lrs: the grid of all, or for each optimizer its own, all of one length.
        seeds: repetitions, or a list of seeds; a verdict needs at least 3, and 5 are few.
        metric: see :func:`~lightning_lr.tuning.sweep`, as for all that follow.
        mode: ``"min"`` or ``"max"``; to be said, unless the metric is called a loss or an error.
        gap: the same metric of the training data, or ``None``.
        folds: parts of the data, each of which validates once.
        storage: where results are kept, to go on from there.
        name: of the study in the storage.
        workers: processes.
        progress: whether to show a bar, where there is a terminal to show it on.

    Raises:
        ValueError: grids of different lengths, an lr that is none, a schedule that is none; what ``sweep`` refuses.

    >>> def train(point):  # stands for a training: SGD has one good lr, Adam several
    ...     lr, widths = point.params.lr, {"SGD": 1.0, "Adam": 0.01}
    ...     loss = 1 + widths[point.params.optimizer] * math.log10(lr / 0.1) ** 2 + 0.001 * point.seed
    ...     return {"val_loss": loss, "train_loss": 0.9}
    >>> found = compare(train, ["SGD", "Adam"], {"constant": "Constant()"}, [0.01, 0.1, 1.0], seeds=3)
    >>> print(found.table())
    optimizer  schedule  best lr  val_loss       gap            lrs within 5 %  failed
    SGD        constant  0.1      1.001 ± 0.001  0.101 ± 0.001  0 decades       0 %
    Adam       constant  0.1      1.001 ± 0.001  0.101 ± 0.001  2 decades       0 %
    >>> [said.found for said in found.verdicts][:2]
    ['confirmed', 'confirmed']
    """
    import scipy.stats  # noqa: F401  the verdicts need it: better missed now than after the training

    grids = _grids(optimizers, lrs)
    named = _schedules(SCHEDULES if schedules is None else schedules)
    found = sweep(
        Tuned(train, grids),
        {"optimizer": list(grids), "schedule": list(named), "lr number": list(range(len(next(iter(grids.values())))))},
        schedule=Schedules(named),
        metric=metric,
        mode=mode,
        gap=gap,
        seeds=seeds,
        folds=folds,
        storage=storage,
        name=name,
        workers=workers,
        progress=progress,
    )
    return Comparison(found, grids, named)


def _grids(optimizers: object, lrs: object) -> dict[str, list[float]]:
    if isinstance(optimizers, str) or not isinstance(optimizers, Sequence) or not optimizers:
        raise ValueError(f"compare: optimizers must be a list of names in torch.optim, got {shown(optimizers)}")
    if isinstance(lrs, Mapping):
        unlike = set(lrs) ^ set(optimizers)
        if unlike:
            raise ValueError(f"compare: lrs must have a list for each optimizer and no other, not so: {sorted(unlike)}")
        grids = {name: list(lrs[name]) for name in optimizers}
    else:
        grids = {name: list(lrs) for name in optimizers}  # type: ignore[call-overload]
    for name, grid in grids.items():
        for lr in grid:
            number(lr, f"compare: lrs of {name}", low=0, low_open=True)
        if sorted(set(grid)) != sorted(grid):
            raise ValueError(f"compare: lrs of {name} has a value twice: {grid}")
        grids[name] = sorted(map(float, grid))
    sizes = {name: len(grid) for name, grid in grids.items()}
    if len(set(sizes.values())) > 1 or 0 in sizes.values():
        raise ValueError(f"compare: equal tuning takes equally many lrs for each optimizer, got {sizes}")
    return grids


def _schedules(given: Mapping[str, Schedule | str]) -> dict[str, Schedule]:
    if not isinstance(given, Mapping) or not given:
        raise ValueError(f"compare: schedules must be a mapping such as {{'cosine': 'Cosine()'}}, got {shown(given)}")
    out = {}
    for name, one in given.items():
        try:
            out[name] = parse(one) if isinstance(one, str) else one
        except ValueError as error:
            raise ValueError(f"compare: schedules[{name!r}]: {error}") from None
        if not isinstance(out[name], Schedule):
            raise ValueError(f"compare: schedules[{name!r}] must be a schedule or an expression, got {shown(one)}")
    return out


class Comparison:
    """The results of :func:`~lightning_lr.tuning.compare`: ``arms``, ``verdicts``, a table, a figure, a file.

    Args:
        sweep: all runs.
        lrs: the grid of each optimizer.
        schedules: by name.
    """

    def __init__(self, sweep: Sweep, lrs: Mapping[str, Sequence[float]], schedules: Mapping[str, Schedule]) -> None:
        self.lrs = {name: list(grid) for name, grid in lrs.items()}
        self.schedules = dict(schedules)
        runs = [run._replace(params=self._named(run.params)) for run in sweep.runs]
        self.sweep = Sweep(sweep.metric, sweep.mode, sweep.gap, ["optimizer", "schedule", "lr"], runs)
        self.arms = [self._arm(*pair) for pair in itertools.product(self.lrs, self.schedules)]

    def _named(self, params: Mapping[str, Any]) -> dict[str, Any]:
        lr = self.lrs[params["optimizer"]][params["lr number"]]
        return {"optimizer": params["optimizer"], "schedule": params["schedule"], "lr": lr}

    def rows_of(self, optimizer: str, schedule: str) -> list[Row]:
        """Its row at each lr, from the least to the largest."""
        mine = {"optimizer": optimizer, "schedule": schedule}
        return [row for row in self.sweep.rows if {**row.params, **mine} == row.params]

    def _arm(self, optimizer: str, schedule: str) -> Arm:
        rows = self.rows_of(optimizer, schedule)
        runs = sum(row.n + row.failed for row in rows)
        failed = sum(row.failed for row in rows) / runs if runs else math.nan
        results = [row for row in rows if row.is_result]
        if not results:
            return Arm(optimizer, schedule, None, None, None, failed)
        best = min(results, key=self.sweep.rank)
        good = [row.is_result and self._near(row.mean, best.mean) for row in rows]
        low = high = rows.index(best)
        while low > 0 and good[low - 1]:
            low -= 1
        while high < len(rows) - 1 and good[high + 1]:
            high += 1
        decades = math.log10(rows[high].params["lr"] / rows[low].params["lr"])
        return Arm(optimizer, schedule, best.params["lr"], best, decades, failed)

    def _near(self, value: float | None, best: float | None) -> bool:
        assert value is not None
        assert best is not None
        worse = value - best if self.sweep.mode == "min" else best - value
        return worse <= NEAR * abs(best)

    # ---- the claims

    @property
    def verdicts(self) -> list[Verdict]:
        """What the source article says of each optimizer, and what of it holds here."""
        others = [name for name in self.lrs if name != "SGD"]
        lr_good = {name: self._good_lrs(name) for name in self.lrs}
        all_good = {name: self._good_points(name) for name in self.lrs}
        speed = self._speed()
        return [
            judged(
                "SGD depends most on a good lr and decay: of its points (lr and schedule) the smallest share is within "
                "5 % of its best",
                {f"{name} − SGD": _minus(all_good[name], all_good["SGD"]) for name in others if "SGD" in self.lrs},
                self._lacks("SGD") or ("" if others else "it needs another optimizer"),
            ),
            judged(
                "Adam depends least on the initial lr: of its lrs the largest share is within 5 % of the best",
                self._against("Adam", lr_good),
                self._lacks("Adam") or ("" if len(self.lrs) > 1 else "it needs another optimizer"),
            ),
            judged(
                "Adam converges fastest: after the smallest share of the run it is as good as the worst optimizer in "
                "the end",
                {name.replace("Adam − ", "share saved against "): [-v for v in values] for name, values in
                 self._against("Adam", speed).items()},
                self._lacks("Adam") or ("" if len(speed) > 1 else "it needs the curves of two optimizers"),
            ),
            judged(
                "RMSprop lies between SGD and Adam in how little it depends on the initial lr",
                {
                    f"{a} − {b}": _minus(lr_good[a], lr_good[b])
                    for a, b in (("RMSprop", "SGD"), ("Adam", "RMSprop"))
                    if {a, b} <= set(self.lrs)
                },
                self._lacks("SGD", "RMSprop", "Adam"),
            ),
            judged("RMSprop suits problems that change while they are learnt", {}, "this task does not change"),
            self._decay(),
        ]  # fmt: skip

    def _lacks(self, *names: str) -> str:
        missing = [name for name in names if name not in self.lrs]
        return f"it needs {', '.join(missing)}" if missing else ""

    def _against(self, name: str, values: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
        if name not in values:
            return {}
        return {f"{name} − {other}": _minus(values[name], values[other]) for other in values if other != name}

    def _per_seed(self, values: Sequence[float]) -> list[float]:
        """The means of what each repetition has, over the folds of a seed: they share their data, seeds do not."""
        out: dict[int, list[float]] = {}
        for (seed, _), value in zip(self._by_seed(), values, strict=True):
            out.setdefault(seed, []).append(value)
        return [statistics.fmean(mine) for mine in out.values()]

    def _by_seed(self) -> list[tuple[int, int | None]]:
        """Every seed, or seed and fold: what is paired."""
        return list(dict.fromkeys((run.seed, run.fold) for run in self.sweep.runs))

    def _scores(self, optimizer: str, repeat: tuple[int, int | None]) -> dict[tuple[str, float], float | None]:
        return {
            (run.params["schedule"], run.params["lr"]): run.score
            for run in self.sweep.runs
            if run.params["optimizer"] == optimizer and (run.seed, run.fold) == repeat
        }

    def _share(self, scores: Sequence[float | None]) -> float:
        """The share of scores that are near the best of them; what failed is not."""
        found = [score for score in scores if score is not None]
        if not found:
            return 0.0
        best = min(found) if self.sweep.mode == "min" else max(found)
        return sum(self._near(score, best) for score in found) / len(scores)

    def _good_points(self, optimizer: str) -> list[float]:
        return self._per_seed(
            [self._share(list(self._scores(optimizer, repeat).values())) for repeat in self._by_seed()]
        )

    def _good_lrs(self, optimizer: str) -> list[float]:
        out = []
        for repeat in self._by_seed():
            scores = self._scores(optimizer, repeat)
            by_schedule = [[scores.get((name, lr)) for lr in self.lrs[optimizer]] for name in self.schedules]
            out.append(statistics.fmean(map(self._share, by_schedule)))
        return self._per_seed(out)

    def _best_runs(self, optimizer: str, schedule: str | None = None) -> list[Run]:
        """The runs of the best arm of an optimizer, in the order of the repetitions."""
        arms = [arm for arm in self.arms if arm.optimizer == optimizer and schedule in (None, arm.schedule)]
        rows = [arm.row for arm in arms if arm.row is not None]
        if not rows:
            return []
        best = min(rows, key=self.sweep.rank)
        runs = {(run.seed, run.fold): run for run in self.sweep.runs if run.params == best.params}
        return [runs[repeat] for repeat in self._by_seed()]

    def _speed(self) -> dict[str, list[float]]:
        """After which share of the run each optimizer, at its best, is as good as the worst of them in the end."""
        runs = {name: self._best_runs(name) for name in self.lrs}
        if not all(runs.values()) or not all(run.curve for mine in runs.values() for run in mine):
            return {}
        ends = [statistics.fmean(run.score for run in mine if run.score is not None) for mine in runs.values()]
        sign = 1 if self.sweep.mode == "min" else -1
        target = max(sign * end for end in ends)
        last = max(run.curve[-1][0] for mine in runs.values() for run in mine)  # of the budget: a run may stop early
        return {
            name: self._per_seed(
                [next((step for step, value in run.curve if sign * value <= target), last) / last for run in mine]
            )
            for name, mine in runs.items()
        }

    def _decay(self) -> Verdict:
        claim = "decay reduces over-fitting, with every optimizer: the gap is smaller than at a constant rate"
        constant = next((name for name, one in self.schedules.items() if repr(one) == "Constant()"), None)
        decays = [name for name in self.schedules if name != constant]
        if constant is None or not decays or self.sweep.gap is None:
            return judged(claim, {}, "it needs a gap, the schedule Constant() and another one")
        differences = {}
        for optimizer in self.lrs:
            flat = self._best_runs(optimizer, constant)
            falling = [runs for name in decays if (runs := self._best_runs(optimizer, name))]
            if not flat or not falling:
                return judged(claim, {}, f"{optimizer} has no result")
            repeats = zip(*falling, strict=True)
            mean = [statistics.fmean(run.gap for run in runs if run.gap is not None) for runs in repeats]
            differences[f"{optimizer}: constant − decay"] = self._per_seed(
                _minus([run.gap for run in flat if run.gap is not None], mean)
            )
        return judged(claim, differences)

    # ---- shown

    def cells(self) -> list[list[str]]:
        """The table: a head, and a row for each pair."""
        head = ["optimizer", "schedule", "best lr", self.sweep.metric, "gap", "lrs within 5 %", "failed"]
        out = [head]
        for arm in self.arms:
            row = arm.row
            measured = (
                ["–"] * 4
                if row is None
                else [
                    f"{arm.lr:g}",
                    plus_minus(row.mean, row.sd),
                    plus_minus(row.gap, row.gap_sd),
                    f"{arm.decades:.2g} decades",
                ]
            )
            out.append([arm.optimizer, arm.schedule, *measured, f"{100 * arm.failed:.0f} %"])
        return out

    def table(self) -> str:
        """The measured columns as plain text."""
        return aligned(self.cells())

    def __rich__(self) -> Table:
        return rich_table(self.cells())

    def claims(self) -> str:
        """The source article's claims with their verdicts, and the rule, as plain text."""
        lines = [f"{said.found}: {said.claim} ({said.why})" for said in self.verdicts]
        return "\n".join(["Claims of the source article:", *(f"- {line}" for line in lines), RULE])

    def plot(self) -> Figure:
        """One figure: for each optimizer the curves of its schedules at their best lrs, mean and spread over the seeds;
        below, the score over the lr."""
        from lightning_lr.tuning.pictures import comparison

        return comparison(self)

    def to_csv(self, path: Any) -> None:
        """A line for each optimizer, schedule and lr; see :meth:`Sweep.to_csv`."""
        self.sweep.to_csv(path)

    def curves(self, arm: Arm) -> list[Run]:
        """The runs of a pair at its best lr."""
        return [] if arm.row is None else [run for run in self.sweep.runs if run.params == arm.row.params]


def _minus(a: Sequence[float], b: Sequence[float]) -> list[float]:
    return [x - y for x, y in zip(a, b, strict=True)]
