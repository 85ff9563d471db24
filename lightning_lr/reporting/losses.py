"""Pictures of the loss: over the lr it was measured at, and where the cycles of a cyclic rate end."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from lightning_lr.core.checks import measured, number, shown, suggesting
from lightning_lr.core.durations import Horizon, horizon_of
from lightning_lr.core.picture import visible
from lightning_lr.core.program import Program
from lightning_lr.core.schedules.base import Schedule
from lightning_lr.core.schedules.periodic import cycles
from lightning_lr.reporting.canvas import COLUMNS, FONT, axes_of, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS = 10_000
"""More are thinned evenly: a picture has no room for them."""


class CycleEnd(NamedTuple):
    """The loss at a cycle's end: its number from 1, the updates until its end, and when and what was measured."""

    cycle: int
    end: int
    step: int
    loss: float


@suggesting
def plot_lr_vs_loss(
    lrs: Sequence[float],
    losses: Sequence[float],
    *,
    smooth: float = 0.0,
    steps: Sequence[int] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """The loss over the lr it was measured at, coloured by time; the lr on a log scale where it spans a decade.

    Args:
        lrs: the lr of each measurement.
        losses: as many; what is not finite (a run that diverged) is left out.
        smooth: in [0, 1): also a line, the mean of the losses with weights ``smooth ** age``, as TensorBoard's slider.
        steps: when each was measured; counted from 0 if left out.
        ax: draw there, instead of in a figure of its own.

    Raises:
        ValueError: not as many losses as lrs, what is no number or a negative lr, or nothing finite among them.
        ImportError: matplotlib is not installed.

    >>> figure = plot_lr_vs_loss([1e-4, 1e-3, 1e-2, 1e-1], [2.3, 2.0, 1.4, 7.9], smooth=0.5)
    >>> figure.axes[0].get_xscale(), figure.axes[0].get_lines()[0].get_ydata().round(3).tolist()
    ('log', [2.3, 2.1, 1.7, 5.007])
    """
    import numpy as np

    weight = number(smooth, "plot_lr_vs_loss: smooth", low=0, high=1, high_open=True)
    x, y = _pair("plot_lr_vs_loss", "lrs", lrs, losses)
    if (x < 0).any():
        raise ValueError(f"plot_lr_vs_loss: lrs must be >= 0, got {x[x < 0][0]:g}")
    when = np.arange(len(x))
    if steps is not None:
        when = np.array(_updates("plot_lr_vs_loss", _pair("plot_lr_vs_loss", "steps", steps, losses)[0]))
    kept = np.isfinite(x) & np.isfinite(y)
    if not kept.any():
        raise ValueError("plot_lr_vs_loss: none of the losses and lrs are finite: nothing to draw")
    log = bool(x[kept].max() >= 10 * x[kept & (x > 0)].min(initial=math.inf))
    zeros = int((kept & (x <= 0)).sum()) if log else 0  # they have no place on a log scale
    kept &= (x > 0) | (not log)
    x, y, when = x[kept], y[kept], when[kept]
    axes = axes_of(ax, "plot_lr_vs_loss")
    some = np.unique(np.linspace(0, len(x) - 1, DOTS).astype(int))
    dots = axes.scatter(x[some], y[some], c=when[some], s=14, cmap="viridis", alpha=0.8, linewidths=0)
    if weight:
        axes.plot(x, _smoothed(y.tolist(), weight), color="0.2", linewidth=1.2)
    if log:
        axes.set_xscale("log")
    else:
        axes.xaxis.set_major_formatter(short)
    axes.set_xlabel(f"lr ({zeros} at 0 left out)" if zeros else "lr", fontsize=FONT)
    axes.set_ylabel("loss", fontsize=FONT)
    axes.tick_params(labelsize=FONT)
    bar = axes.figure.colorbar(dots, ax=axes)
    bar.set_label("update" if steps is not None else "measurement", fontsize=FONT)
    bar.ax.tick_params(labelsize=FONT)
    return cast("Figure", axes.figure)


@suggesting
def cycle_end_losses(
    schedule: Schedule | Program,
    steps: Sequence[int],
    losses: Sequence[float],
    total_steps: int | None = None,
    steps_per_epoch: int | None = None,
) -> list[CycleEnd]:
    """The loss at the end of each cycle of a cyclic rate: the last one measured in it.

    Args:
        schedule: with :class:`~lightning_lr.Cyclic` or :class:`~lightning_lr.CosineRestarts`; or its program.
        steps: increasing: how many updates had been made when each loss was measured. Lightning writes the points of a
            validation one step lower, which is the same cycle.
        losses: as many.
        total_steps: updates of the run; if left out, until just after the last of ``steps``.
        steps_per_epoch: updates per epoch, for durations in epochs.

    Returns:
        An entry for each complete cycle in which something was measured.

    Raises:
        ValueError: no cycle ends in this run; steps that do not increase, or are not as many as the losses.

    >>> from lightning_lr import Cyclic
    >>> for end in cycle_end_losses(Cyclic(10), [10, 20, 30, 40, 50], [1.9, 1.2, 1.7, 0.9, 1.6]):
    ...     print(end)
    CycleEnd(cycle=1, end=20, step=20, loss=1.2)
    CycleEnd(cycle=2, end=40, step=40, loss=0.9)
    """
    return _ends("cycle_end_losses", schedule, steps, losses, total_steps, steps_per_epoch).ends


class _Ends(NamedTuple):
    """The run, what was measured in it, and the ends of its cycles."""

    program: Program
    stop: int
    steps: list[int]
    losses: list[float]
    ends: list[CycleEnd]


def _ends(
    who: str, schedule: object, steps: object, losses: object, total_steps: object, steps_per_epoch: object
) -> _Ends:
    when, values = _measured(who, steps, losses)
    program, stop = _program(who, schedule, when, total_steps, steps_per_epoch)
    whole_cycles = cycles(program, stop)
    if not whole_cycles:
        raise ValueError(
            f"{who}: no cycle ends within {stop} updates of {shown(schedule)}: "
            "it takes a Cyclic or CosineRestarts phase, and a run as long as one cycle"
        )
    out = []
    for cycle, (begin, end) in enumerate(whole_cycles, start=1):
        last = bisect_right(when, end) - 1
        if last >= 0 and when[last] > begin:
            out.append(CycleEnd(cycle, end, when[last], values[last]))
    return _Ends(program, stop, when, values, out)


@suggesting
def plot_cycle_ends(
    schedule: Schedule | Program,
    steps: Sequence[int],
    losses: Sequence[float],
    total_steps: int | None = None,
    steps_per_epoch: int | None = None,
    *,
    ax: Axes | None = None,
) -> Figure:
    """The loss of a run with a cyclic rate, marked where a cycle ends: there it is to be judged; the lr behind it.

    Within a cycle the lr is high and the loss with it; only the ends of cycles can be compared (Smith 2017, arXiv
    1506.01186). :func:`cycle_end_losses` has their numbers, and describes the arguments and errors.
    """
    program, stop, when, values, ends = _ends("plot_cycle_ends", schedule, steps, losses, total_steps, steps_per_epoch)
    axes = axes_of(ax, "plot_cycle_ends")
    behind = axes.twinx()
    behind.set_zorder(axes.get_zorder() - 1)
    axes.patch.set_visible(False)
    curve = program.curve(stop)
    places = visible(curve, COLUMNS)
    behind.fill_between([*places.tolist(), stop], [*curve[places], curve[-1]], step="post", color="0.9", linewidth=0)
    behind.set_ylim(0, 2 * float(curve.max()) or 1.0)
    behind.set_yticks([])
    behind.set_ylabel("grey: lr", fontsize=FONT, color="0.5")
    axes.plot(when, values, color="tab:blue", linewidth=1, alpha=0.7)
    at = [end.step for end in ends], [end.loss for end in ends]
    axes.plot(*at, "o", color="tab:red", label="end of a cycle", clip_on=False)
    for end in ends if len(ends) <= 8 else ():
        axes.annotate(
            f"{end.loss:.3g}", (end.step, end.loss), (0, -6), textcoords="offset points", va="top", fontsize=FONT,
            ha="center" if end.step < 0.95 * stop else "right", color="tab:red",
        )  # fmt: skip
    axes.margins(y=0.15)
    axes.set_xlim(0, stop)
    axes.set_xlabel("update", fontsize=FONT)
    axes.set_ylabel("loss", fontsize=FONT)
    axes.tick_params(labelsize=FONT)
    axes.legend(fontsize=FONT)
    return cast("Figure", axes.figure)


def _program(
    who: str, schedule: object, when: Sequence[int], total_steps: object, steps_per_epoch: object
) -> tuple[Program, int]:
    """The program, and the run's updates: as given, as resolved, or as many as the last measurement tells of."""
    horizon = horizon_of(who, when[-1] + 1 if total_steps is None else total_steps, steps_per_epoch)
    if not isinstance(schedule, (Schedule, Program)):
        raise ValueError(f"{who}: schedule must be a schedule or a program, got {shown(schedule)}")
    run = Horizon(None, horizon.steps_per_epoch) if total_steps is None else horizon
    program = schedule.resolve(run) if isinstance(schedule, Schedule) else schedule
    known = program.horizon.total_steps if total_steps is None else None
    return program, known or horizon.total_steps or 1


def _measured(who: str, steps: object, losses: object) -> tuple[list[int], list[float]]:
    x, y = _pair(who, "steps", steps, losses)
    when = _updates(who, x)
    if not when or any(b <= a for a, b in itertools.pairwise(when)):
        raise ValueError(f"{who}: steps must increase, from 0 or later, got {shown(steps)}")
    return when, y.tolist()


def _updates(who: str, steps: Any) -> list[int]:
    for i, step in enumerate(steps.tolist()):
        if not (step >= 0 and step.is_integer()):
            raise ValueError(f"{who}: steps[{i}] must be a whole number >= 0, got {step:g}")
    return [int(step) for step in steps]


def _pair(who: str, name: str, xs: object, losses: object) -> tuple[Any, Any]:
    import numpy as np

    x = np.array(measured(xs, f"{who}: {name}"), dtype=np.float64)
    y = np.array(measured(losses, f"{who}: losses"), dtype=np.float64)
    if len(x) != len(y):
        raise ValueError(f"{who}: {name} and losses must be equally many, got {len(x)} and {len(y)}")
    return x, y


def _smoothed(values: Sequence[float], weight: float) -> list[float]:
    """The mean of the values so far, each weighted by ``weight ** age``."""
    out, total, weights = [], 0.0, 0.0
    for value in values:
        total, weights = weight * total + value, weight * weights + 1.0
        out.append(total / weights)
    return out
