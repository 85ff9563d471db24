"""Pictures for people: a schedule, several compared, plan against actual.

All are ``matplotlib.figure.Figure``, drawn without pyplot: no window, no global state, no figure that stays open. Save
one with ``figure.savefig("plan.png")``; a notebook shows it. matplotlib is the extra ``plot``, imported when needed.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

from lightning_lr.core.checks import number, shown, suggesting, text
from lightning_lr.core.control import Event, events_of, replay_at
from lightning_lr.core.durations import Horizon, horizon_of
from lightning_lr.core.program import Program
from lightning_lr.core.schedules.base import Schedule
from lightning_lr.reporting.canvas import FONT, ROW, axes_of, figure, legend, scales, stairs, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lightning_lr.scheduler import ScheduledLR

SAMPLES = 10_000
"""Updates at which a curve with events is evaluated before its jumps are searched for."""
SEEN = 1 / 500
"""Of the picture's height: what happens between two samples is looked at when they differ by more."""
ROWS = 2
MARKS = {
    "reduce": ("v", "tab:red"),
    "restart": ("^", "tab:green"),
    "freeze": ("s", "tab:cyan"),
    "adapt": ("D", "tab:purple"),
    "cooldown": ("o", "tab:brown"),
    "stop": ("X", "black"),
}
OTHER_MARK = ("P", "tab:gray")


class Story(NamedTuple):
    """What one line of :func:`draw_events` tells: the lr at increasing updates, and the decisions that shaped it."""

    name: str
    steps: Sequence[int]
    planned: Sequence[float]
    actual: Sequence[float]
    events: Sequence[Event]


# ---- a schedule


@suggesting
def plot(
    schedule: Schedule | Mapping[str, Schedule] | Iterable[Schedule],
    total_steps: int = 1000,
    steps_per_epoch: int | None = None,
    *,
    lr: float = 1.0,
    ax: Axes | None = None,
    label: str | None = None,
) -> Figure:
    """The lr of every update, before anything is trained; several schedules are compared.

    One schedule has its phases shaded in turn and named, and a dot where a phase begins; several have a colour and a
    legend. Every update holds its lr until the next one, so a jump is upright and where it is. What is beside the lr
    (:meth:`Schedule.beside`) is drawn below, as a multiple of the group's own value.

    Args:
        schedule: one, or several as ``{name: schedule}`` or a list.
        total_steps: updates of the run.
        steps_per_epoch: updates per epoch, for durations in epochs and for a second scale in epochs.
        lr: the group's lr, the peak.
        ax: draw the lr there, instead of in a figure of its own.
        label: the title of one schedule, and its name in the legend of ``ax``.

    Raises:
        ValueError: no schedule; one that does not fit a run of this length.
        ImportError: matplotlib is not installed.

    >>> from lightning_lr import Cosine, Linear, Warmup
    >>> figure = plot({"cosine": Warmup("5%") >> Cosine(), "linear": Warmup("5%") >> Linear()}, 2000, lr=1e-3)
    >>> [line.get_label() for line in figure.axes[0].get_lines() if not line.get_label().startswith("_")]
    ['cosine', 'linear']
    """
    named = _named(schedule, None if label is None else text(label, "plot: label", empty=True))
    peak = number(lr, "plot: lr", low=0)
    horizon = horizon_of("plot", total_steps, steps_per_epoch)
    programs = [_resolved(one, horizon) for one in named.values()]
    others = [{key: _resolved(other, horizon) for key, other in one.others.items()} for one in named.values()]
    panels = [axes_of(ax, "plot")] if ax is not None else _panels(2 if any(others) else 1, len(named))
    top, lines = 0.0, []
    for name, program in zip(named, programs, strict=True):
        curve = peak * program.curve(total_steps)
        top = max(top, float(curve.max()))
        line = stairs(panels[0], curve, total_steps, label=name)
        lines.append(line)
        corners = [segment.begin for segment in program.segments[1:] if segment.begin < total_steps]
        panels[0].plot(corners, curve[corners], "o", color=line.get_color(), markersize=4)
    rows = _phases(panels[0], programs[0], total_steps) if len(named) == 1 else 0
    scales(panels[0], horizon, top, rows, "lr")
    if len(named) > 1:
        legend(panels[0], lines, outside=ax is None)
    elif label is not None and ax is None:
        panels[0].set_title(label, fontsize=FONT)
    for lower in panels[1:]:
        _beside(lower, others, total_steps)
        panels[0].set_xlabel("")
    return cast("Figure", panels[0].figure)


def _named(schedule: object, label: str | None) -> dict[str, Schedule]:
    if isinstance(schedule, Schedule):
        return {label or repr(schedule): schedule}
    if isinstance(schedule, Mapping):
        named = {str(name): one for name, one in schedule.items()}
    elif isinstance(schedule, Iterable) and not isinstance(schedule, (str, bytes)):
        named = {repr(one): one for one in schedule}
    else:
        named = {}
    if not named or not all(isinstance(one, Schedule) for one in named.values()):
        raise ValueError(
            f"plot: schedule must be a schedule, or several as {{name: schedule}} or a list, got {shown(schedule)}"
        )
    if label is not None:
        raise ValueError(f"plot: label={label!r} names one schedule: name several as {{name: schedule}}")
    return named


def _resolved(schedule: Schedule, horizon: Horizon) -> Program:
    try:
        return schedule.resolve(horizon)
    except ValueError as error:
        raise ValueError(f"plot: in a run of total_steps={horizon.total_steps}: {error}") from None


def _panels(count: int, curves: int) -> list[Axes]:
    """An axes for the lr, and a lower one for what is beside it; the legend of several adds to the height."""
    picture = figure(3.0 + 1.2 * (count - 1) + 0.2 * (curves if curves > 1 else 0))
    return list(picture.subplots(count, squeeze=False, sharex=True, height_ratios=[2, 1][:count])[:, 0])


def _phases(ax: Axes, program: Program, total: int) -> int:
    """Shade the phases in turn, name those that have room; returns the rows that the names take."""
    spans = [(s.begin, min(total, total if s.end is None else s.end), s.label) for s in program.segments]
    spans = [span for span in spans if span[0] < span[1]]
    for begin, end, _ in spans[1::2]:
        ax.axvspan(begin, end, color="0.93", zorder=0)
    ends: list[float] = []
    for begin, end, label in spans if len(spans) > 1 else ():
        name = label.partition("(")[0]
        width = width_of(ax, name)
        left = min(max(0.01, (begin + end) / total / 2 - width / 2), 0.99 - width)
        row = next((i for i, taken in enumerate(ends) if taken <= left), len(ends))
        if row < ROWS:
            ends[row : row + 1] = [left + width + 0.01]
            at = (left, 1 - ROW * (row + 0.5))
            ax.text(*at, name, transform=ax.transAxes, va="center", fontsize=FONT, color="0.3")
    return len(ends)


def _beside(ax: Axes, others: Sequence[Mapping[str, Program]], total: int) -> None:
    """What the schedules move besides the lr: one colour a schedule, as above; one kind of line a key."""
    keys = list(dict.fromkeys(key for mine in others for key in mine))
    for i, mine in enumerate(others):
        for key, program in mine.items():
            dashes = ("-", "--", ":", "-.")[keys.index(key) % 4]
            stairs(ax, program.curve(total), total, color=f"C{i}", linestyle=dashes, label=key)
    ax.set_ylabel(f"{keys[0]} ×" if len(keys) == 1 else "factor", fontsize=FONT)
    ax.set_xlabel("update", fontsize=FONT)
    ax.tick_params(labelsize=FONT)
    ax.margins(x=0, y=0.1)
    if len(keys) > 1:
        first = dict(reversed([(line.get_label(), line) for line in ax.get_lines()]))
        ax.legend(handles=[first[key] for key in keys], fontsize=FONT)


# ---- plan against actual


@suggesting
def plot_events(
    source: Schedule | ScheduledLR,
    events: Iterable[Event] | None = None,
    total_steps: int | None = None,
    steps_per_epoch: int | None = None,
    *,
    lr: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Plan against actual: the lr as the schedule alone has it, and as the events made it, each marked by its kind.

    Args:
        source: a schedule, together with its events and the run's length; or a started
            :class:`~lightning_lr.ScheduledLR`, which knows them all, and draws each of its schedules of the lr.
        events: what happened, as ``scheduler.events`` has it.
        total_steps: updates of the run.
        steps_per_epoch: updates per epoch, for durations in epochs and for a second scale in epochs.
        lr: the group's lr, the peak; 1.0 for a schedule, the first group's own lr for a scheduler.
        ax: draw there, instead of in a figure of its own.

    Raises:
        ValueError: a schedule without events and length, or with events of several schedules.
        RuntimeError: the scheduler has not started.
        ImportError: matplotlib is not installed.

    >>> from lightning_lr import Control, Event, Linear
    >>> halved = Event(50, "reduce", 0.5, 0.25, Control(scale=0.5))
    >>> figure = plot_events(Linear(), [halved], 100, lr=0.1)
    >>> [line.get_label() for line in figure.axes[0].get_lines()]
    ['plan', 'actual', 'reduce']
    """
    peak = None if lr is None else number(lr, "plot_events: lr", low=0)
    if isinstance(source, Schedule):
        if events is None or total_steps is None:
            raise ValueError("plot_events: beside a schedule give events= and total_steps=, or give the ScheduledLR")
        horizon = horizon_of("plot_events", total_steps, steps_per_epoch)
        told = _told(source, events_of(events, "plot_events: events"), horizon, 1.0 if peak is None else peak)
        return draw_events([told], horizon, None if ax is None else axes_of(ax, "plot_events"))
    from lightning_lr.reporting.names import group_names
    from lightning_lr.scheduler import ScheduledLR

    if not isinstance(source, ScheduledLR):
        raise ValueError(f"plot_events: source must be a schedule or a ScheduledLR, got {shown(source)}")
    if not source.started or source.run_horizon is None:
        raise RuntimeError("plot_events: this ScheduledLR has not started yet: draw it once training runs")
    if events is not None:
        raise ValueError("plot_events: a ScheduledLR has its own events: leave events= out, or give its schedule")
    run = source.run_horizon
    total = run.total_steps or max(1, source.updates) if total_steps is None else total_steps
    horizon = horizon_of("plot_events", total, run.steps_per_epoch if steps_per_epoch is None else steps_per_epoch)
    names = group_names(type(source.optimizer).__name__, source.optimizer.param_groups)
    lines = stories(source, names, horizon, peak)
    return draw_events(lines, horizon, None if ax is None else axes_of(ax, "plot_events"))


def stories(scheduler: ScheduledLR, names: Sequence[str], horizon: Horizon, lr: float | None = None) -> list[Story]:
    """One for every schedule of the lr that moves a group, called and scaled as the first of its groups.

    Args:
        scheduler: started.
        names: of all groups of its optimizer.
        horizon: the run to tell of; its length must be known.
        lr: instead of the group's own.
    """
    out = []
    for i, track in enumerate(scheduler.live):
        if track.key == "lr" and track.members:
            place, base = track.started_from()[0]
            mine = [event for event in scheduler.events if event.track == i]
            at = (partial(scheduler.planned_at, track=i), partial(scheduler.replayed_at, track=i))
            out.append(_story(names[place], *at, mine, horizon, base if lr is None else lr))
    return out


def _told(schedule: Schedule, events: Sequence[Event], horizon: Horizon, peak: float) -> Story:
    tracks = sorted({event.track for event in events})
    if len(tracks) > 1:
        raise ValueError(
            f"plot_events: these are the events of several schedules, of the tracks {tracks}: give those of one, "
            f"[event for event in events if event.track == {tracks[0]}], or the ScheduledLR itself"
        )
    program = schedule.resolve(horizon, on_overrun="cut")
    changed = [i for i, event in enumerate(events) if event.kind == "schedule"]
    later = events[changed[-1] :] if changed else events
    known = later[0].step if changed else 0  # what was before another schedule began, this one cannot tell

    def replayed(steps: Sequence[int]) -> list[float]:
        told = replay_at(program, later, [step for step in steps if step >= known])
        return [math.nan] * (len(steps) - len(told)) + told

    return _story("lr", lambda steps: list(map(program, steps)), replayed, events, horizon, peak)


def _story(
    name: str,
    planned_at: Callable[[Sequence[int]], list[float]],
    replayed_at: Callable[[Sequence[int]], list[float]],
    events: Sequence[Event],
    horizon: Horizon,
    peak: float,
) -> Story:
    """Evaluate both curves: everywhere in a short run; else evenly, and wherever samples tell that one jumps."""
    total = horizon.total_steps
    assert total is not None
    corners = {step for event in events for step in (event.step - 1, event.step) if 0 <= step < total}
    new = sorted({total * i // SAMPLES for i in range(SAMPLES)} | corners | {total - 1})
    points: dict[int, tuple[float, float]] = {}
    while new:
        points.update(zip(new, zip(planned_at(new), replayed_at(new), strict=True), strict=True))
        steps = sorted(points)
        least = SEEN * _highest(value for pair in points.values() for value in pair)
        new = [] if len(points) > 3 * SAMPLES else [
            (a + b) // 2
            for a, b in itertools.pairwise(steps)
            if b - a > 1 and any(abs(y - x) > least for x, y in zip(points[a], points[b], strict=True))
        ]  # fmt: skip
    planned, actual = ([peak * points[step][i] for step in steps] for i in (0, 1))
    return Story(name, steps, planned, actual, events)


def _highest(values: Iterable[float]) -> float:
    return max((value for value in values if value == value), default=0.0)  # NaN: not known


def draw_events(told: Sequence[Story], horizon: Horizon, ax: Axes | None = None) -> Figure:
    """The picture of :func:`plot_events` from curves that are there already; plans are dashed.

    Args:
        told: one or more; of several each has a colour of its own.
        horizon: the run's length, and its epochs.
        ax: draw there, instead of in a figure of its own.
    """
    axes = ax if ax is not None else figure().add_subplot()
    stop, several, top = horizon.total_steps or 1, len(told) > 1, 0.0
    lines = []
    for i, story in enumerate(told):
        plan, actual = (f"C{i}", f"C{i}") if several else ("tab:blue", "tab:orange")
        names = ("_", story.name) if several else ("plan", "actual")
        dashed = stairs(axes, story.planned, stop, story.steps, color=plan, label=names[0], linestyle="--")
        solid = stairs(axes, story.actual, stop, story.steps, color=actual, label=names[1])
        lines += [solid] if several else [dashed, solid]
        top = max(top, _highest(story.planned), _highest(story.actual))
    marks = {(event.step, event.kind) for story in told for event in story.events if event.step <= stop}
    counts = Counter(kind for _, kind in marks)
    for kind, count in sorted(counts.items()):
        shape, color = MARKS.get(kind, OTHER_MARK)
        steps = sorted(step for step, own in marks if own == kind)
        where = axes.get_xaxis_transform()
        alpha = 0.6 if len(marks) <= 20 else 0.25
        axes.vlines(steps, 0, 1 - ROW, color=color, alpha=alpha, linewidth=1, zorder=1, transform=where)
        at = [1 - ROW / 2] * count
        label = kind if count == 1 else f"{kind} × {count}"
        lines += axes.plot(steps, at, shape, color=color, markersize=6, transform=where, label=label, clip_on=False)
    scales(axes, horizon, top, 1 if marks else 0, "lr (plan: dashed)" if several else "lr")
    legend(axes, lines, outside=ax is None)
    return cast("Figure", axes.figure)
