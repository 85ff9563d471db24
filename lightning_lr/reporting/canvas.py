"""How pictures are drawn: figures of their own, curves that hold, scales with units. matplotlib is an extra."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

from lightning_lr.core.checks import shown
from lightning_lr.core.durations import Horizon
from lightning_lr.core.picture import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 1000
FONT = 10
ROW = 0.085
"""Of the axes' height: a row of labels above the curve."""
LONGEST = 48
"""Characters of a legend's line."""


def figure(height: float = 3.0) -> Figure:
    """A figure that nothing else knows of; 500 pixels wide, and legible where it is shown at 340."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            f'pictures need matplotlib, which cannot be imported ({error}): pip install "lightning_lr[plot]"'
        ) from error
    made = Figure(figsize=(5, height), dpi=100, layout="constrained")
    made._repr_png_ = partial(_png, made)  # type: ignore[attr-defined]  # notebooks know those of pyplot only
    return made


def axes_of(ax: object, who: str) -> Axes:
    """The user's axes to draw on, or those of a figure of our own where there are none."""
    if ax is None:
        return figure().add_subplot()
    from matplotlib.axes import Axes

    if isinstance(ax, Axes):
        return ax
    raise ValueError(f"{who}: ax must be a matplotlib Axes, or None for a figure of its own, got {shown(ax)}")


def _png(picture: Figure) -> bytes:
    out = io.BytesIO()
    picture.savefig(out, format="png")
    return out.getvalue()


def stairs(ax: Axes, values: Any, stop: int, steps: Sequence[int] | None = None, **style: Any) -> Any:
    """Draw what each update uses, held until the next one; no more points than can be seen."""
    import numpy as np

    curve = np.asarray(values, dtype=np.float64)
    places = visible(curve, COLUMNS)
    at = places if steps is None else np.asarray(steps)[places]
    (line,) = ax.plot([*at.tolist(), stop], [*curve[places], curve[-1]], drawstyle="steps-post", **style)
    return line


def width_of(ax: Axes, text: str) -> float:
    """How wide a text is, as a share of the axes' width."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    points, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=FONT), False)
    return float(points / (72 * ax.get_position().width * ax.figure.get_figwidth()))  # type: ignore[union-attr]


def scales(ax: Axes, horizon: Horizon, top: float, rows: int, name: str) -> None:
    """Updates below, epochs above where they are known, the lr from 0 up; room for rows of labels over the curve."""
    from matplotlib.ticker import MaxNLocator

    total = horizon.total_steps or 1
    ax.set_xlim(0, total)
    ax.set_ylim(0, 1.04 * (top or 1.0) / (1 - rows * ROW))
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    unit, letter = (1_000_000, "M") if total >= 1_000_000 else (1000, "k") if total >= 50_000 else (1, "")
    ax.xaxis.set_major_formatter(partial(_count, unit, letter))  # a figure that can be pickled has no lambda
    ax.yaxis.set_major_formatter(short)
    ax.set_xlabel("update", fontsize=FONT)
    ax.set_ylabel(name, fontsize=FONT)
    ax.tick_params(labelsize=FONT)
    if horizon.steps_per_epoch is not None:
        epochs = float(horizon.epochs(total))
        ticks = [t for t in MaxNLocator(6, integer=epochs >= 2).tick_values(0, epochs) if 0 <= t <= epochs]
        above = ax.secondary_xaxis("top")
        places = [float(horizon.at_epoch(Fraction(t))) for t in ticks]
        above.set_xticks(places, [f"{t:g}" for t in ticks], fontsize=FONT)
        above.set_xlabel("epoch", fontsize=FONT)


def _count(unit: int, letter: str, value: float, _: object = None) -> str:
    return f"{value / unit:g}{letter if value else ''}"


def short(value: float, _: object = None) -> str:
    """A tick's label, without an exponent that stands apart."""
    return f"{value:.4g}"


def legend(ax: Axes, lines: Sequence[Any], *, outside: bool) -> None:
    """Above the axes of a figure of ours; within those of the user's."""
    names = [line.get_label() for line in lines]
    names = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in names]
    if not outside:
        ax.legend(lines, names, fontsize=FONT)
        return
    columns = max(1, min(4, 56 // (max(map(len, names)) + 5)))
    ax.figure.legend(lines, names, fontsize=FONT, loc="outside upper center", ncols=columns, frameon=False)
