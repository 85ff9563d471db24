"""The figure of a comparison."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from lightning_lr.reporting.canvas import FONT, figure
from lightning_lr.tuning.results import mean_sd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lightning_lr.tuning.comparison import Comparison


def comparison(found: Comparison) -> Figure:
    """A column for each optimizer: the curves above, the score over the lr below; a colour for each schedule."""
    picture = figure(5.0)
    picture.set_figwidth(max(5.0, 2.6 * len(found.lrs)))
    panels = picture.subplots(2, len(found.lrs), squeeze=False, sharey="row", sharex="row")
    for column, optimizer in enumerate(found.lrs):
        _curves(found, panels[0, column], optimizer)
        _over_lr(found, panels[1, column], optimizer)
        panels[0, column].set_title(optimizer, fontsize=FONT)
    for row in (0, 1):
        panels[row, 0].set_ylabel(found.sweep.metric, fontsize=FONT)
    handles, labels = panels[1, 0].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside upper center", ncols=min(4, len(labels)), frameon=False, fontsize=FONT)
    return picture


def _curves(found: Comparison, ax: Axes, optimizer: str) -> None:
    for i, schedule in enumerate(found.schedules):
        arm = next(arm for arm in found.arms if (arm.optimizer, arm.schedule) == (optimizer, schedule))
        runs = [run for run in found.curves(arm) if run.curve]
        length = min((len(run.curve) for run in runs), default=0)
        steps = [runs[0].curve[k][0] for k in range(length)]
        at = [mean_sd([run.curve[k][1] for run in runs]) for k in range(length)]
        means = [mean or 0.0 for mean, _ in at]
        spread = [sd or 0.0 for _, sd in at]
        ax.plot(steps, means, color=f"C{i}")
        low = [mean - sd for mean, sd in zip(means, spread, strict=True)]
        ax.fill_between(
            steps, low, [m + s for m, s in zip(means, spread, strict=True)], color=f"C{i}", alpha=0.2, linewidth=0
        )
    ax.set_xlabel("update", fontsize=FONT)
    _log_where_positive(ax)


def _over_lr(found: Comparison, ax: Axes, optimizer: str) -> None:
    for i, schedule in enumerate(found.schedules):
        rows = found.rows_of(optimizer, schedule)
        results = [row for row in rows if row.is_result]
        lrs = [row.params["lr"] for row in results]
        ax.plot(lrs, [row.mean or 0.0 for row in results], "o-", color=f"C{i}", markersize=3, label=schedule)
        failed = [row.params["lr"] for row in rows if row.failed]
        heights = [0.03 + 0.05 * i] * len(failed)
        ax.plot(failed, heights, "x", color=f"C{i}", transform=ax.get_xaxis_transform())
    ax.set_xscale("log")
    ax.set_xlabel("lr", fontsize=FONT)
    _log_where_positive(ax)


def _log_where_positive(ax: Axes) -> None:
    """A scale on which losses of several sizes are seen."""
    crosses = ax.get_xaxis_transform()
    drawn: list[Any] = [line.get_ydata() for line in ax.get_lines() if line.get_transform() != crosses]
    values = [float(y) for heights in drawn for y in heights]
    if values and min(values) > 0 and max(values) > 20 * statistics.median(values):
        ax.set_yscale("log")
