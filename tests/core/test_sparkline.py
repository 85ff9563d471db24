"""A curve in characters: as wide as asked for, the largest value full, nothing lost at the edges."""

from __future__ import annotations

import pytest

from lightning_lr import Cosine, Warmup
from lightning_lr.core.sparkline import ASCII, BLOCKS, ramp_for, ruler, sparkline


@pytest.mark.parametrize(("count", "width", "height"), [(1, 1, 1), (3, 10, 2), (10, 3, 3), (1000, 79, 5), (79, 79, 1)])
def test_the_chart_has_the_size_that_was_asked_for(count: int, width: int, height: int) -> None:
    rows = sparkline([float(i) for i in range(count)], width, height)
    assert [len(row) for row in rows] == [width] * height


@pytest.mark.parametrize("ramp", [BLOCKS, ASCII])
def test_a_column_is_filled_in_proportion_from_the_bottom(ramp: str) -> None:
    rows = sparkline([0.0, 0.25, 0.5, 1.0], 4, height=2, ramp=ramp)
    filled = [sum(len(ramp) if row[i] == ramp[-1] else ramp.find(row[i]) + 1 for row in rows) for i in range(4)]
    assert filled == [1, 5, 9, 16]
    assert [row[3] for row in rows] == [ramp[-1]] * 2
    assert rows[0][0] == " "


def test_a_curve_that_rises_and_falls_does_so_in_characters() -> None:
    [row] = sparkline((Warmup("50%") >> Cosine()).curve(1000).tolist(), 20)
    levels = [BLOCKS.index(sign) for sign in row]
    assert levels[:10] == sorted(levels[:10])
    assert levels[10:] == sorted(levels[10:], reverse=True)
    assert (levels[0], max(levels), levels[-1]) == (0, 7, 0)


def test_a_column_is_the_mean_of_its_values() -> None:
    assert sparkline([0.0, 1.0] * 50 + [1.0] * 100, 2) == ["▅█"]


def test_zero_everywhere_is_the_lowest_line() -> None:
    assert sparkline([0.0, 0.0], 2, height=2) == ["  ", "▁▁"]


def test_the_ramp_is_what_the_encoding_can_show() -> None:
    assert [ramp_for(name) for name in ("utf-8", "latin-1", "ascii", "nonsense", None)] == [BLOCKS, *[ASCII] * 4]


def test_names_that_would_not_fit_are_cut_and_never_longer_than_the_line() -> None:
    assert ruler([(0.0, "Warmup"), (0.5, "Constant"), (0.5, "Cosine"), (0.99, "Linear")], 10) == "|Warm|Cos|"
