"""A schedule as a small SVG, with nothing but the standard library and numpy: what a notebook and the gallery show."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from lightning_lr.core.durations import Horizon

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from lightning_lr.core.program import Program
    from lightning_lr.core.schedules.base import Schedule

PER_COLUMN = 6
WIDTH, HEIGHT = 340, 180
LEFT, RIGHT, TOP, BOTTOM = 40, 328, 24, 148
TOLERANCE = 3
"""How far, in tenths of a pixel, the drawn line may be from the true one."""
COLORS = ("#1f77b4", "#d95f02", "#2ca02c", "#9467bd")
LENGTHS = [digit * 10**zeros for zeros in (3, 4, 5) for digit in (1, 2, 5)]


def visible(values: npt.NDArray[Any], columns: int) -> npt.NDArray[np.int64]:
    """The updates that draw a curve in so many columns as all of its updates would: increasing places in ``values``.

    Of each column its first and last, its lowest and highest, and both sides of its largest jump.

    >>> import numpy as np
    >>> visible(np.where(np.arange(100_000) < 12_345, 1.0, 0.1), 4).tolist()
    [0, 12344, 12345, 24999, 25000, 25001, 49999, 50000, 50001, 74999, 75000, 75001, 99999]
    """
    import numpy as np

    count = len(values)
    if count <= PER_COLUMN * columns:
        return np.arange(count)
    width = -(-count // columns)
    begins = np.arange(0, count, width)
    table = np.pad(np.nan_to_num(values), (0, len(begins) * width - count), mode="edge").reshape(-1, width)
    jump = np.abs(np.diff(table, axis=1)).argmax(axis=1)
    inside = np.stack([0 * jump, table.argmin(axis=1), table.argmax(axis=1), jump, jump + 1, 0 * jump + width - 1])
    return np.unique(np.minimum(begins + inside, count - 1))


def svg(schedule: Schedule, total_steps: int, steps_per_epoch: int | None = None) -> str:
    """The factors of a run as an SVG document, phases shaded in turn; dashed what is beside the lr's.

    The bytes do not depend on the machine: coordinates are whole tenths of a pixel before a line is simplified.
    """
    return _svg(schedule, Horizon(total_steps, steps_per_epoch))


def shown(schedule: Schedule) -> str | None:
    """The picture for a notebook, in a run that has room for all of it; ``None`` where it cannot be drawn."""
    try:
        return _svg(schedule, _run_for(schedule))
    except Exception:  # it needs epochs, or a function of the user's raises: a notebook then shows the repr
        return None


def _run_for(schedule: Schedule) -> Horizon:
    """A run a little longer than a schedule with an end of its own; else the first round one that skips nothing."""
    try:
        end = schedule.resolve(Horizon(None)).end
        if end and end <= LENGTHS[-1]:
            return Horizon(end + max(1, end // 8))
    except ValueError:
        pass  # it depends on the run
    fitting: list[tuple[int, Horizon]] = []
    for horizon in map(Horizon, LENGTHS):
        try:
            programs = [one.resolve(horizon) for one in (schedule, *schedule.others.values())]
        except ValueError:
            continue
        fitting.append((sum(len(program.notes) for program in programs), horizon))
    return min(fitting, key=lambda fit: fit[0])[1]


def _svg(schedule: Schedule, horizon: Horizon) -> str:
    total = horizon.total_steps
    assert total is not None
    programs = {"lr": schedule.resolve(horizon)}
    programs |= {key: other.resolve(horizon) for key, other in schedule.others.items()}
    curves = {key: program.curve(total) for key, program in programs.items()}
    top = max(float(curve.max()) for curve in curves.values()) or 1.0
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="13" fill="#333">',
        f"<title>{escape(repr(schedule))}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="4" fill="#fff"/>',
        *_bands(programs["lr"], total),
        f'<path d="M{LEFT},{TOP}H{RIGHT}M{LEFT},{(TOP + BOTTOM) // 2}H{RIGHT}" stroke="#ddd"/>',
        f'<path d="M{LEFT},{TOP}V{BOTTOM}H{RIGHT}" stroke="#888" fill="none"/>',
    ]
    for i, (key, curve) in reversed(list(enumerate(curves.items()))):
        color, dashes = COLORS[i % len(COLORS)], ' stroke-dasharray="5 3"' if i else ""
        line = " ".join(f"{x / 10:g},{y / 10:g}" for x, y in _line(curve, top))
        out.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"{dashes}/>')
        if len(curves) > 1:
            out.append(_text(RIGHT - min(90, 240 // len(curves)) * (len(curves) - 1 - i), 15, key, "end", color))
    labels = [(TOP + 4, f"{top:.3g}"), ((TOP + BOTTOM) // 2 + 4, f"{top / 2:.3g}"), (BOTTOM + 4, "0")]
    out += [_text(LEFT - 5, y, text, "end") for y, text in labels]
    below = [(LEFT, "0", "middle"), ((LEFT + RIGHT) // 2, "update", "middle"), (RIGHT, str(total), "end")]
    out += [_text(x, BOTTOM + 18, text, anchor) for x, text, anchor in below]
    return "\n".join([*out, _text(4, 15, "factor", "start"), "</svg>", ""])


def _text(x: int, y: int, text: str, anchor: str, color: str = "") -> str:
    fill = f' fill="{color}"' if color else ""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{fill}>{escape(text)}</text>'


def _bands(program: Program, total: int) -> list[str]:
    """Every second phase shaded."""
    out = []
    for segment in program.segments[1::2]:
        begin, end = (_place(min(total, t), total) / 10 for t in (segment.begin, segment.end or total))
        if begin < end:
            out.append(
                f'<rect x="{begin:g}" y="{TOP}" width="{end - begin:.1f}" height="{BOTTOM - TOP}" fill="#f0f0f0"/>'
            )
    return out


def _place(step: int, total: int) -> int:
    """The tenth of a pixel where an update begins."""
    return 10 * LEFT + (20 * (RIGHT - LEFT) * step + total) // (2 * total)


def _line(curve: npt.NDArray[np.float64], top: float) -> list[tuple[int, int]]:
    """The line through a curve, in tenths of a pixel: every update holds its value until the next one."""
    import numpy as np

    total = len(curve)
    # the millionth decides for all machines alike, where sin's last digit would tip a half this way or that
    heights = 10 * BOTTOM - np.floor(curve * (10 * (BOTTOM - TOP) / top) + 0.500001).astype(np.int64)
    points: list[tuple[int, int]] = []
    before = 0
    for step, y in ((step, int(heights[step])) for step in visible(heights, RIGHT - LEFT).tolist()):
        x = _place(step, total)
        if step == before + 1:
            points.append((x, points[-1][1]))
        points.append((x, y))
        before = step
    points.append((10 * RIGHT, points[-1][1]))
    return _simplified(points)


def _simplified(points: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Some of the points, whose line is nowhere further than the tolerance from theirs (Douglas & Peucker 1973)."""
    keep, todo = {0, len(points) - 1}, [(0, len(points) - 1)]
    while todo:
        a, b = todo.pop()
        far, at = max(((_distance(points[i], points[a], points[b]), -i) for i in range(a + 1, b)), default=(0.0, 0))
        if far > TOLERANCE**2:
            keep.add(-at)
            todo += [(a, -at), (-at, b)]
    return [points[i] for i in sorted(keep)]


def _distance(point: tuple[int, int], a: tuple[int, int], b: tuple[int, int]) -> float:
    """The square of a point's distance from the stretch between two others."""
    (x, y), (dx, dy) = (point[0] - a[0], point[1] - a[1]), (b[0] - a[0], b[1] - a[1])
    along, length = x * dx + y * dy, dx * dx + dy * dy
    if along <= 0:
        return float(x * x + y * y)
    if along >= length:
        return float((x - dx) ** 2 + (y - dy) ** 2)
    return (x * dy - y * dx) ** 2 / length
