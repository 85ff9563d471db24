"""One picture or page of what happened: lr and losses on one time axis, runs compared, decisions explained."""

from __future__ import annotations

import base64
import html
import io
import math
import re
import textwrap
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lightning_lr.reporting.reading import Points, Run, cells, one_line, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURES = (".png", ".svg", ".pdf")
SUFFIXES = (*PICTURES, ".html")

DRAWN_POINTS = 4000
DRAWN_TAGS = 4
DRAWN_ROWS = 24
CHANGE_WIDTH, WHY_WIDTH = 40, 82
MARKS = {"reduce": "v", "restart": "^", "freeze": "s", "adapt": "D", "stop": "X", "cooldown": "P"}
STYLES = ("-", ":", "-.", (0, (8, 2)))
HEADER = ("#", "update", "epoch", "what", "old → new", "why")


class Panel(NamedTuple):
    """What shares one vertical axis."""

    label: str
    tags: Sequence[str]


def checked_suffix(path: Path, allowed: Sequence[str]) -> str:
    """The kind of file that a name asks for, or ``ValueError`` with those there are.

    >>> checked_suffix(Path("lr.PNG"), PICTURES)
    '.png'
    """
    suffix = path.suffix.lower()
    if suffix in allowed:
        return suffix
    raise ValueError(f"{path}: the name must end with one of {', '.join(allowed)}, got {suffix or 'no suffix'!r}")


def write(runs: Sequence[Run], path: Path) -> None:
    """The report, as the kind of file that the name asks for; see :data:`SUFFIXES`.

    Raises:
        ValueError: another suffix; nothing in any of the runs that could be shown.
    """
    suffix = checked_suffix(path, SUFFIXES)
    shown = [run for run in runs if run.scalars or run.decisions]
    if not shown:
        names = ", ".join(str(run.folder) for run in runs)
        raise ValueError(f"{names}: the event files hold no scalars, and there are no decisions: nothing to report")
    if suffix == ".html":
        path.write_text(page(shown), encoding="utf-8")
    else:
        path.write_bytes(rendered(picture(shown), suffix))


def rendered(figure: Figure, suffix: str) -> bytes:
    """A picture as a file's content; signs that its font lacks are boxes, which is no reason to warn."""
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(out, format=suffix[1:])
    return out.getvalue()


# ---- the picture


def picture(runs: Sequence[Run], table: bool = True) -> Figure:
    """Panels below each other, a colour for each run; below them, with ``table``, what was decided and why."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    panels = panels_of(runs)
    rows = _text_rows(runs) if table else []
    heights = [3.0 if panel.label == "lr" else 2.4 for panel in panels] or [1.0]
    heights += [0.155 * len(rows) + 0.1] if rows else []
    figure = Figure(figsize=(11, sum(heights) + 0.9), dpi=110, layout="constrained")
    axes = figure.subplots(len(heights), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    shades = colours(len(runs))
    for axis, panel in zip(axes, panels, strict=False):
        _draw(axis, panel, runs, shades)
    for axis in axes[1 : len(panels)]:
        axis.sharex(axes[0])
    for axis in axes[: len(panels) - 1]:
        axis.tick_params(labelbottom=False)
    if panels:
        axes[len(panels) - 1].set_xlabel("update")
        _mark(list(axes[: len(panels)]), panels, runs, shades)
    else:
        axes[0].set_axis_off()
        axes[0].text(0.5, 0.5, "no curves were logged", ha="center")
    if rows:
        axes[-1].set_axis_off()
        text = axes[-1].text(0, 1, "\n".join(rows), family="monospace", fontsize=7.5, va="top", linespacing=1.3)
        text.set_in_layout(False)  # wide lines would make the panels narrow
    legend: list[Any] = []
    if len(runs) > 1:
        legend = [Line2D([], [], color=shade, label=plain(run.name)) for run, shade in zip(runs, shades, strict=True)]
    if any(run.plan for run in runs):
        legend.append(Line2D([], [], color="gray", linestyle="--", alpha=0.6, label="planned"))
    kinds = dict.fromkeys(str(entry["kind"]) for run in runs if run.lrs for entry in run.decisions)
    for kind in kinds:
        mark = MARKS.get(kind, "o")
        legend.append(Line2D([], [], color="gray", marker=mark, linestyle="", label=plain(kind)))
    if len(runs) == 1:
        figure.suptitle(plain(_heading(runs[0])), fontsize=10, x=0.01, ha="left")
    figure.legend(
        handles=legend,
        loc="outside upper right" if len(runs) == 1 else "outside upper left",
        ncols=min(6, len(legend)),
        fontsize=8,
        frameon=False,
    )
    return figure


def panels_of(runs: Sequence[Run]) -> list[Panel]:
    """The lr, the losses, and whatever else the decisions watched."""
    tags = list(dict.fromkeys(tag for run in runs for tag in run.scalars))
    lrs = list(dict.fromkeys(tag for run in runs for tag in run.lrs))
    monitored = [tag for tag in tags if re.match(r"(.*-)?monitor/", tag) and _metric(tag) not in tags]
    losses = [tag for tag in tags if "loss" in tag.lower() and "monitor/" not in tag]
    losses += [tag for tag in monitored if "loss" in tag.lower()]
    watched = {str(entry.get("monitor") or "") for run in runs for entry in run.decisions}
    others = [tag for tag in tags if _metric(tag) in watched - {""} and tag not in losses]
    others = [tag for tag in others if "monitor/" not in tag or tag in monitored]
    first = [Panel("lr", lrs), Panel("loss", sorted(losses, key=lambda tag: "val" not in tag))]
    return [panel for panel in (*first, *(Panel(_metric(tag), [tag]) for tag in others)) if panel.tags]


def _metric(tag: str) -> str:
    return re.sub(r"^(.*-)?monitor/", "", tag)


def colours(count: int) -> list[Any]:
    """So many colours that can be told apart, as far as there are."""
    import matplotlib

    palette = matplotlib.colormaps["tab10" if count <= 10 else "turbo"]
    return [palette(i if count <= 10 else (i + 0.5) / count) for i in range(count)]


def _draw(axis: Axes, panel: Panel, runs: Sequence[Run], shades: Sequence[Any]) -> None:
    """Every run's lines: the colour is the run's, the stroke the tag's; what is measured in every batch is thin.

    A run that is alone has a colour for each tag instead.
    """
    from matplotlib.lines import Line2D

    tags = panel.tags[:DRAWN_TAGS]
    is_lr = panel.label == "lr"
    calm = tags if is_lr else [tag for tag in tags if "val" in tag] or tags
    noisy = [tag for tag in tags if tag not in calm]
    looks: dict[str, dict[str, Any]] = {}
    for some, look in ((calm, {"linewidth": 1.5}), (noisy, {"linewidth": 0.9, "alpha": 0.5})):
        looks.update({tag: {**look, "linestyle": stroke} for tag, stroke in zip(some, cycle(STYLES), strict=False)})
    alone = len(runs) == 1
    own = {tag: shade if alone else "gray" for tag, shade in zip(tags, colours(len(tags)), strict=True)}
    if alone:
        looks = {tag: {**look, "linestyle": "-"} for tag, look in looks.items()}
    for run, its in zip(runs, shades, strict=True):
        for tag in tags:
            shade = own[tag] if alone else its
            points = finite(run.scalars.get(tag, ()))
            if is_lr and (plan := finite(run.plan.get(tag, ()))):
                axis.plot(*zip(*plan, strict=True), color=shade, linestyle="--", linewidth=1.0, alpha=0.6, zorder=1)
            if points:
                mark = "." if len(points) < 60 and tag in calm and not is_lr else None
                axis.plot(*zip(*points, strict=True), color=shade, marker=mark, markersize=4, **looks[tag])
    more = len(panel.tags) - len(tags)
    axis.set_ylabel(plain(panel.label, 40) + (f"\n(and {more} more)" if more else ""))
    axis.grid(alpha=0.25)
    axis.margins(x=0.01)
    if is_lr:
        axis.set_ylim(bottom=0)
        axis.ticklabel_format(axis="y", style="sci", scilimits=(-2, 4))
    if len(tags) > 1 or plain(tags[0]) != plain(panel.label):
        lines = [Line2D([], [], color=own[tag], label=plain(tag), **looks[tag]) for tag in tags]
        axis.legend(handles=lines, fontsize=8, loc="upper right", framealpha=0.7)


def _mark(axes: Sequence[Axes], panels: Sequence[Panel], runs: Sequence[Run], shades: Sequence[Any]) -> None:
    """Decisions as numbered marks on the lr's curve, and as lines through all panels."""
    crowded = sum(len(run.decisions) for run in runs) > 40
    drawn = panels[0].tags[:DRAWN_TAGS] if panels[0].label == "lr" else ()
    for run, its in zip(runs, shades, strict=True):
        shade = "0.25" if len(runs) == 1 else its
        curves = [run.scalars[tag] for tag in drawn if tag in run.scalars][:1]
        for number, entry in enumerate(run.decisions, 1):
            step = entry["step"]
            within = [curve for curve in curves if curve[0][0] <= step <= curve[-1][0] + 1]
            if curves and not within:
                continue  # of a run that went on elsewhere
            for axis in axes:
                axis.axvline(step, color=shade, linewidth=0.8, alpha=0.35, linestyle=":", zorder=0)
            if not within or crowded:
                continue
            place = (step, value_at(within[0], step))
            axes[0].plot(*place, marker=MARKS.get(entry["kind"], "o"), color=shade, markersize=6, zorder=3)
            axes[0].annotate(
                str(number), place, (3, 5), textcoords="offset points", fontsize=8, color=shade, fontweight="bold"
            )


def value_at(points: Points, step: int) -> float:
    """What a curve has at a step: on the straight line between its points."""
    i = bisect_right(points, step, key=lambda point: point[0])
    if i in (0, len(points)):
        return points[min(i, len(points) - 1)][1]
    (a, x), (b, y) = points[i - 1], points[i]
    return x + (y - x) * (step - a) / (b - a)


def finite(points: Iterable[tuple[int, float]]) -> Points:
    """What can be drawn, in a bounded number of points: of many, the lowest and the highest of each stretch."""
    kept = [point for point in points if math.isfinite(point[1])]
    if len(kept) <= DRAWN_POINTS:
        return kept
    length = math.ceil(2 * len(kept) / DRAWN_POINTS)
    out: Points = []
    for begin in range(0, len(kept), length):
        part = kept[begin : begin + length]
        ends = {min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])}
        out.extend(sorted(ends))
    return out if out[-1] == kept[-1] else [*out, kept[-1]]


def plain(text: str, length: int = 60) -> str:
    """A name as matplotlib is to show it: no formula, not hidden, not longer than there is room."""
    text = one_line(text)
    if len(text) > length:
        text = f"{text[: length // 2]}…{text[-(length // 2 - 1) :]}"
    return (" " + text if text.startswith("_") else text).replace("$", r"\$")


def _heading(run: Run) -> str:
    """Its name, and where it goes on if it began elsewhere: what was decided before is among its decisions."""
    begin = min((points[0][0] for tag in run.lrs for points in (run.scalars[tag],)), default=0)
    return f"{run.name} (goes on at update {begin})" if begin else run.name


def _text_rows(runs: Sequence[Run]) -> list[str]:
    """The decisions as lines of one width; a picture has room for some."""
    rows: list[str] = []
    total = sum(len(run.decisions) for run in runs)
    shown = 0
    for run in runs:
        if not run.decisions or len(rows) >= DRAWN_ROWS:
            continue
        rows.append(plain(_heading(run), 120))
        for number, entry in enumerate(run.decisions, 1):
            if len(rows) >= DRAWN_ROWS:
                break
            step, epoch, what, change, why = cells(entry)
            when = f"update {step}" + (f", epoch {epoch}" if epoch else "")
            left = f"{number:>4}  {when:<22} {what:<9} "
            changes = textwrap.wrap(change, CHANGE_WIDTH) or [""]
            for i, (old, reason) in enumerate(zip_longest(changes, textwrap.wrap(why, WHY_WIDTH), fillvalue="")):
                row = f"{'' if i else left:<{len(left)}}{old:<{CHANGE_WIDTH}} {reason}"
                rows.append(row.rstrip().replace("$", r"\$"))
            shown += 1
    return [*rows, f"… and {total - shown} more"] if shown < total else rows


# ---- the page

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 1150px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin: 2em 0 .4em; overflow-wrap: anywhere }
img { width: 100% } pre { background: #f5f5f5; padding: .7em 1em; overflow-x: auto; font-size: .85em }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; vertical-align: top; padding: .25em .9em .25em 0; border-bottom: 1px solid #ddd;
         overflow-wrap: break-word } th { color: #666; font-weight: 600 } th, .n { white-space: nowrap }
.c { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .45em }
"""


def page(runs: Sequence[Run]) -> str:
    """The same as one HTML file that needs no other: every name in it is escaped."""
    from matplotlib.colors import to_hex

    image = base64.b64encode(rendered(picture(runs, table=False), ".svg")).decode()
    swatches = [f'<span class="c" style="background:{to_hex(shade)}"></span>' for shade in colours(len(runs))]
    body = [
        "<h1>Learning rates: what was planned, what was used, and why</h1>",
        _overview(runs, swatches),
        f'<img alt="lr and losses over the updates" src="data:image/svg+xml;base64,{image}">',
    ]
    for run, swatch in zip(runs, swatches, strict=True):
        body.append(f"<h2>{swatch}{_escaped(_heading(run))}</h2>")
        rows = [(str(i), *cells(entry)) for i, entry in enumerate(run.decisions, 1)]
        body.append(_table(HEADER, rows, tight=4) if rows else "<p>No decisions.</p>")
        if run.plan_text:
            lines = "\n".join(html.escape(visible(line)) for line in run.plan_text.splitlines())
            body.append(f"<pre>{lines}</pre>")
    title = "Learning rates of " + ", ".join(_escaped(run.name) for run in runs[:3])
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _overview(runs: Sequence[Run], swatches: Sequence[str]) -> str:
    """A line for each run: how long it was, the lrs between which it moved, how the losses ended."""
    losses = next((panel.tags for panel in panels_of(runs) if panel.label == "loss"), ())[:DRAWN_TAGS]
    header = ("run", "updates", "lr lowest – highest", "decisions", *(f"{tag}: best, last" for tag in losses))
    rows = []
    for run in runs:
        lrs = [finite(run.scalars[tag]) for tag in run.lrs]
        values = [value for points in lrs for _, value in points]
        last = max((points[-1][0] for points in lrs if points), default=None)
        ends = [_best_and_last(finite(run.scalars.get(tag, ()))) for tag in losses]
        between = f"{min(values):.4g} – {max(values):.4g}" if values else ""
        begin = min((points[0][0] for points in lrs if points), default=0)
        rows.append((run.name, "" if last is None else f"{begin}–{last}", between, str(len(run.decisions)), *ends))
    return _table(header, rows, swatches)


def _best_and_last(points: Points) -> str:
    return f"{min(value for _, value in points):.4g}, {points[-1][1]:.4g}" if points else ""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], marks: Sequence[str] = (), tight: int = 0) -> str:
    """Rows of text, each after its mark; the first ``tight`` columns are never broken."""
    head = "".join(f"<th>{_escaped(cell)}</th>" for cell in header)
    lines = []
    for row, mark in zip(rows, marks or cycle([""]), strict=False):
        told = [f"<td{' class=n' if i < tight else ''}>{_escaped(cell)}</td>" for i, cell in enumerate(row)]
        lines.append(f"<tr>{''.join(told).replace('<td>', f'<td>{mark}', 1)}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n" + "\n".join(lines) + "\n</tbody></table>"


def _escaped(text: str) -> str:
    return html.escape(one_line(text))


# ---- the plan, before there is a run


def plan_picture(title: str, curves: Mapping[str, Points], phases: Sequence[tuple[int, str]]) -> Figure:
    """A schedule's curves over the updates, each in a panel of its own, with the phases of the first one marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.2 + 1.6 * len(curves)), dpi=110, layout="constrained")
    axes = figure.subplots(len(curves), 1, squeeze=False, sharex=True)[:, 0]
    for axis, (label, points), shade in zip(axes, curves.items(), cycle(colours(10)), strict=False):
        axis.plot(*zip(*points, strict=True), color=shade)
        axis.set_ylabel(plain(label, 40))
        axis.set_ylim(0, 1.05 * max(value for _, value in points) or 1.0)
        axis.margins(x=0.01)
        axis.grid(alpha=0.25)
        for begin, _ in phases:
            axis.axvline(begin, color="gray", linewidth=0.8, linestyle=":")
    for begin, name in phases:
        axes[0].annotate(
            plain(name), (begin, 1.0), (2, 3), xycoords=("data", "axes fraction"), textcoords="offset points",
            fontsize=8, rotation=40,
        )  # fmt: skip
    axes[-1].set_xlabel("update")
    figure.suptitle(plain(title, 110), fontsize=10)
    return figure
