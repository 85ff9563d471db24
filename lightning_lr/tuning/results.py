"""What a sweep has found: a row for each point, the best, a table, a heat map, a file."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lightning_lr.core.checks import did_you_mean
from lightning_lr.tuning.point import Run, spelt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table


ACROSS = 36
"""Characters of tick labels that fit below a heat map side by side."""


class Row(NamedTuple):
    """A point: mean and standard deviation (n − 1) of its ``n`` runs that are results, and how many failed.

    ``gap`` is the mean of what validation is worse than training: above 0 where a model over-fits. ``sd`` is ``None``
    for one run; a pruned point has no runs.
    """

    params: Mapping[str, Any]
    mean: float | None
    sd: float | None
    n: int
    gap: float | None
    gap_sd: float | None
    failed: int
    why: str | None = None

    @property
    def is_result(self) -> bool:
        """Whether every run of it is one: what fails for one seed is not to be recommended."""
        return self.n > 0 and self.failed == 0


class Sweep:
    """The results of :func:`~lightning_lr.tuning.sweep`.

    Args:
        metric: what was compared.
        mode: ``"min"`` or ``"max"``.
        gap: the metric of the training data, or ``None``.
        names: the parameters, in the user's order.
        runs: all runs.
        pruned: the points that were pruned.
        total: how many points there are to be.

    >>> runs = [Run({"lr": 0.1}, seed, None, 0.5 + 0.1 * seed, 0.05, None) for seed in (0, 1)]
    >>> found = Sweep("val_loss", "min", "train_loss", ["lr"], [*runs, Run({"lr": 1.0}, 0, None, None, None, "NaN")])
    >>> found.best.params, round(found.best.mean, 3), round(found.best.sd, 3), found.best.n
    ({'lr': 0.1}, 0.55, 0.071, 2)
    >>> [row.failed for row in found.rows]
    [0, 1]
    """

    def __init__(
        self,
        metric: str,
        mode: str,
        gap: str | None,
        names: Sequence[str],
        runs: Iterable[Run],
        pruned: Iterable[Mapping[str, Any]] = (),
        total: int | None = None,
    ) -> None:
        self.metric = metric
        self.mode = mode
        self.gap = gap
        self.names = list(names)
        self.runs = list(runs)
        grouped: dict[Hashable, list[Run]] = {}
        for run in self.runs:
            grouped.setdefault(self._key(run.params), []).append(run)
        rows = [_row(mine) for mine in grouped.values()]
        rows += [Row(params, None, None, 0, None, None, 0, "pruned") for params in pruned]
        self.rows = sorted(rows, key=lambda row: [_order(row.params[name]) for name in self.names])
        self.total = len(self.rows) if total is None else total

    def _key(self, params: Mapping[str, Any]) -> Hashable:
        return tuple(params[name] for name in self.names)

    def rank(self, row: Row) -> tuple[int, float]:
        """What sorts rows, the best first and the failed last."""
        if row.mean is None:
            return (2, 0.0)
        return (0 if row.is_result else 1, row.mean if self.mode == "min" else -row.mean)

    @property
    def best_or_none(self) -> Row | None:
        """The best row, if there is one."""
        results = [row for row in self.rows if row.is_result]
        return min(results, key=self.rank) if results else None

    @property
    def best(self) -> Row:
        """The row with the best mean among those none of whose runs failed.

        Raises:
            ValueError: there is none.
        """
        best = self.best_or_none
        if best is None:
            raise ValueError(f"sweep: none of {len(self.rows)} points has a result: {self._why_not()}")
        return best

    def _why_not(self) -> str:
        said = [row.why for row in self.rows if row.why]
        return f"the first one says {said[0]!r}" if said else "nothing was run"

    def __repr__(self) -> str:
        best = self.best_or_none
        said = "no result" if best is None else f"best {spelt(best.params)} with {self.metric} {best.mean:.4g}"
        return f"<Sweep of {len(self.rows)} points, {said}>"

    # ---- as text

    def cells(self) -> list[list[str]]:
        """The table: a head, and a row for each point, the best first."""
        head = [*self.names, self.metric, *(["gap"] if self.gap is not None else []), "failed"]
        out = [head]
        for row in sorted(self.rows, key=self.rank):
            values = [shown_value(row.params[name]) for name in self.names]
            gap = [plus_minus(row.gap, row.gap_sd)] if self.gap is not None else []
            failed = (
                row.why if row.n + row.failed == 0 else f"{row.failed} of {row.n + row.failed}" if row.failed else ""
            )
            out.append([*values, plus_minus(row.mean, row.sd), *gap, failed or ""])
        return out if any(line[-1] for line in out[1:]) else [line[:-1] for line in out]

    def table(self) -> str:
        """Every point with its score and gap, mean ± sd, the best first; as plain text."""
        return aligned(self.cells())

    def __rich__(self) -> Table:
        return rich_table(self.cells())

    def to_csv(self, path: str | Path) -> None:
        """A line for each point: its parameters, mean, sd, n, gap, gap_sd, failed, why; in the order of the grid."""
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow([*self.names, *Row._fields[1:]])
            for row in self.rows:
                rows.writerow([*(row.params[name] for name in self.names), *row[1:]])

    # ---- as a picture

    def plot(self, x: str | None = None, y: str | None = None, *, ax: Axes | None = None) -> Figure:
        """A heat map of the score over two parameters, or a curve over the only one there is.

        Failed points are crossed, the best one has a star. Where more parameters vary, a cell shows the best of them.
        Points that are no grid, such as TPE's, stand at their values.

        Args:
            x: the parameter to the right, by default the first that varies.
            y: the one upwards, by default the second.
            ax: draw there, instead of in a figure of its own.

        Raises:
            ValueError: a name that is no parameter, or one that is given twice.
            ImportError: matplotlib is not installed (the extra ``plot``).
        """
        from lightning_lr.reporting.canvas import figure

        names = self._axes(x, y)
        if ax is None:
            ax = figure(3.4).add_subplot()
        (_heat if len(names) == 2 else _line)(self, ax, *names)
        return ax.figure  # type: ignore[return-value]

    def _axes(self, x: str | None, y: str | None) -> list[str]:
        for name in (x, y):
            if name is not None and name not in self.names:
                raise ValueError(
                    f"plot: {name!r} is no parameter of this sweep{did_you_mean(name, self.names)}; "
                    f"there is {', '.join(self.names)}"
                )
        if x is not None and x == y:
            raise ValueError(f"plot: x and y are both {x!r}: give two parameters, or one for a curve")
        varying = [name for name in self.names if len({row.params[name] for row in self.rows}) > 1] or self.names
        free = [name for name in varying if name not in (x, y)]
        if x is None and free:
            x = free.pop(0)
        if y is None and free:
            y = free.pop(0)
        return [name for name in (x, y) if name is not None]


def _row(runs: Sequence[Run]) -> Row:
    mean, sd = mean_sd([run.score for run in runs if run.score is not None])
    gap, gap_sd = mean_sd([run.gap for run in runs if run.gap is not None])
    failed = [run for run in runs if run.failed is not None]
    why = failed[0].failed if failed else None
    return Row(runs[0].params, mean, sd, len(runs) - len(failed), gap, gap_sd, len(failed), why)


def mean_sd(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and standard deviation (n − 1), ``None`` where there are too few.

    >>> mean_sd([1.0, 3.0]), mean_sd([1.0]), mean_sd([])
    ((2.0, 1.4142135623730951), (1.0, None), (None, None))
    """
    if not values:
        return None, None
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def _order(value: Any) -> tuple[int, Any]:
    """Numbers by size, everything else by its text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (0, value)
    return (1, str(value))


def plus_minus(mean: float | None, sd: float | None) -> str:
    """A mean with its spread.

    >>> plus_minus(0.123456, 0.0123), plus_minus(2.0, None), plus_minus(None, None)
    ('0.1235 ± 0.012', '2', '–')
    """
    if mean is None:
        return "–"
    return f"{mean:.4g}" if sd is None else f"{mean:.4g} ± {sd:.2g}"


def shown_value(value: Any) -> str:
    """A parameter's value in a table."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def aligned(cells: Sequence[Sequence[str]]) -> str:
    """Rows as plain text, in columns."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def rich_table(cells: Sequence[Sequence[str]]) -> Table:
    """Rows as a table of rich's."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in cells[0]:
        table.add_column(Text(name), overflow="fold")
    for row in cells[1:]:
        table.add_row(*map(Text, row))
    return table


def _values(sweep: Sweep, name: str) -> list[Any]:
    return sorted({row.params[name] for row in sweep.rows}, key=_order)


def _heat(sweep: Sweep, ax: Axes, x: str, y: str) -> None:
    """Cells of a grid; points at their values where most cells would be empty, as those of TPE are."""
    xs, ys = _values(sweep, x), _values(sweep, y)
    cells: dict[tuple[int, int], Row] = {}
    for row in sorted(sweep.rows, key=sweep.rank, reverse=True):
        cells[ys.index(row.params[y]), xs.index(row.params[x])] = row  # the best one last
    colours = "viridis_r" if sweep.mode == "min" else "viridis"
    scattered = 2 * len(cells) < len(xs) * len(ys) and _numeric(xs) and _numeric(ys)
    place: Callable[[Row], tuple[Any, Any]]
    if scattered:
        place = lambda row: (row.params[x], row.params[y])
        results = [row for row in sweep.rows if row.is_result]
        at = [place(row) for row in results]
        image: Any = ax.scatter([a for a, _ in at], [b for _, b in at], c=list(map(_shade, results)), cmap=colours)
        _scale(ax, x=xs, y=ys)
    else:
        place = lambda row: (xs.index(row.params[x]), ys.index(row.params[y]))
        grid = [[_shade(cells.get((i, j))) for j in range(len(xs))] for i in range(len(ys))]
        image = ax.imshow(grid, origin="lower", aspect="auto", cmap=colours)
        for axis, values in ((ax.xaxis, xs), (ax.yaxis, ys)):
            axis.set_ticks(range(len(values)), list(map(_tick, values)))
        if sum(map(len, map(_tick, xs))) > ACROSS:
            ax.tick_params("x", labelrotation=90)
    for row in cells.values():
        if not row.is_result:
            ax.plot(*place(row), "x", color="tab:red" if row.failed else "0.6", markersize=10, markeredgewidth=2)
    best = sweep.best_or_none
    if best is not None:
        ax.plot(*place(best), "*", color="white", markeredgecolor="black", markersize=14, label="best")
    assert ax.figure is not None
    ax.figure.colorbar(image, ax=ax, label=sweep.metric)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    others = [name for name in sweep.names if name not in (x, y) and len(_values(sweep, name)) > 1]
    if others and not scattered:
        ax.set_title(f"the best of {', '.join(others)}", fontsize=10)


def _numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def _scale(ax: Axes, **values: Sequence[Any]) -> None:
    """Logarithmic where values span more than a decade or so."""
    for name, mine in values.items():
        if min(mine) > 0 and max(mine) / min(mine) > 20:
            ax.set(**{f"{name}scale": "log"})


def _shade(row: Row | None) -> float:
    return math.nan if row is None or not row.is_result or row.mean is None else row.mean


def _tick(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _line(sweep: Sweep, ax: Axes, x: str) -> None:
    values = _values(sweep, x)
    place: Callable[[Any], Any] = values.index
    numeric = _numeric(values)
    if numeric:
        place = float
    rows = [row for row in sweep.rows if row.is_result]
    means = [row.mean or 0.0 for row in rows]
    ax.errorbar([place(row.params[x]) for row in rows], means, [row.sd or 0.0 for row in rows], fmt="o-")
    for row in sweep.rows:
        if not row.is_result:
            ax.plot(place(row.params[x]), 0.03, "x", color="tab:red", transform=ax.get_xaxis_transform())
    best = sweep.best_or_none
    if best is not None:
        ax.plot(place(best.params[x]), best.mean or 0.0, "*", color="black", markersize=12, label="best")
    if numeric:
        _scale(ax, x=values)
    else:
        ax.set_xticks(range(len(values)), [_tick(value) for value in values])
    ax.set_xlabel(x)
    ax.set_ylabel(sweep.metric)
