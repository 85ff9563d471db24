"""A curve drawn with characters, for terminals."""

from __future__ import annotations

from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-=+*%#"


def ramp_for(encoding: str | None) -> str:
    """The characters that a terminal of this encoding can show, from the lowest to a full one.

    >>> ramp_for("utf-8"), ramp_for("ascii"), ramp_for(None)
    ('▁▂▃▄▅▆▇█', '_.-=+*%#', '_.-=+*%#')
    """
    try:
        BLOCKS.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BLOCKS


def sparkline(values: Sequence[float], width: int, height: int = 1, ramp: str = BLOCKS) -> list[str]:
    """The values as rows of characters, the highest row first: 0 is the lowest character, the largest value a full one.

    A column is the mean of the values that fall to it; with fewer values than columns each is repeated.

    Args:
        values: numbers >= 0, at least one.
        width: columns.
        height: rows; each is as fine as the ramp is long.
        ramp: see :func:`ramp_for`.

    >>> sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8)
    ['▁▂▃▄▅▆▇█']
    >>> for row in sparkline([0, 0.5, 1, 0.5, 0, 0], 6, height=2):
    ...     print(row + "|")
     ▁█▁  |
    ▁███▁▁|
    >>> sparkline([1, 3, 0, 0], 2, ramp=ASCII), sparkline([0.0], 3)
    (['#_'], ['▁▁▁'])
    """
    columns = [_mean(values, i, width) for i in range(width)]
    top = max(columns) or 1.0
    levels = height * len(ramp)
    filled = [1 + round(value / top * (levels - 1)) for value in columns]
    return ["".join(_cell(n - row * len(ramp), ramp) for n in filled) for row in reversed(range(height))]


def _mean(values: Sequence[float], column: int, width: int) -> float:
    begin = len(values) * column // width
    end = max(begin + 1, len(values) * (column + 1) // width)
    return float(sum(values[begin:end])) / (end - begin)


def _cell(level: int, ramp: str) -> str:
    return " " if level <= 0 else ramp[min(level, len(ramp)) - 1]


def ruler(begins: Sequence[tuple[float, str]], width: int) -> str:
    """Names for the parts of the line above, each from its share of the width on, cut where the next one begins.

    >>> ruler([(0.0, "Warmup"), (0.25, "Constant"), (0.6, "Cosine")], 24)
    '|Warmu|Constan|Cosine'
    """
    line = [" "] * width
    for share, name in begins:
        begin = min(width - 1, int(share * width))
        line[begin:] = f"|{name}"[: width - begin].ljust(width - begin)
    return "".join(line).rstrip()
