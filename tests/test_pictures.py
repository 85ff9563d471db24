"""Pictures: what is drawn is what every update uses; jumps are upright; nothing global changes; the gallery is true."""

from __future__ import annotations

import copy
import itertools
import json
import os
import pickle
import re
import runpy
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import lightning_lr
from lightning_lr import (
    Adapt,
    Constant,
    Control,
    Cooldown,
    Cosine,
    CosineRestarts,
    Custom,
    Cyclic,
    Event,
    Exponential,
    Freeze,
    Horizon,
    Linear,
    MultiStep,
    Reduce,
    Restart,
    Schedule,
    ScheduledLR,
    StepDecay,
    Track,
    Warmup,
    cycle_end_losses,
    cycle_ends,
    one_cycle,
    plot,
    plot_cycle_ends,
    plot_events,
    plot_lr_vs_loss,
    replay,
    wsd,
)
from lightning_lr.core import picture, presets, schedules
from lightning_lr.reporting.pictures import draw_events, stories

ROOT = Path(__file__).resolve().parents[1]
GALLERY = runpy.run_path(str(ROOT / "examples" / "gallery.py"))


def named(ax: Any) -> dict[str, Any]:
    """The lines of an axes that have a name of ours or of the user's."""
    return {line.get_label(): line for line in ax.get_lines() if not line.get_label().startswith("_")}


def held(line: Any, total: int) -> np.ndarray:
    """What a line of stairs shows at every update."""
    assert line.get_drawstyle() == "steps-post", "anything else would slant a jump"
    x, y = line.get_xdata(), line.get_ydata()
    assert x[-1] == total, "the last update is seen, too"
    return np.asarray(y)[np.searchsorted(x, np.arange(total), side="right") - 1]


def png(figure: Any) -> bytes:
    """Really drawn: warnings are errors here."""
    data: bytes = figure._repr_png_()
    assert data.startswith(b"\x89PNG")
    return data


def texts(figure: Any) -> list[str]:
    return [text.get_text() for ax in figure.axes for text in ax.texts]


# ---- what is visible


def test_visible_keeps_both_sides_of_jumps_and_the_extremes() -> None:
    curve = np.ones(1_000_000)
    curve[123_457:] = 0.5
    curve[700_001] = 0.9  # one update only
    places = picture.visible(curve, 500)
    assert {123_456, 123_457, 700_000, 700_001, 999_999} <= set(places.tolist())
    assert len(places) <= 6 * 500
    assert (np.diff(places) > 0).all()


@given(st.integers(1, 400), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_visible_loses_no_column_s_lowest_and_highest(count: int, columns: int, seed: int) -> None:
    curve = np.random.default_rng(seed).random(count)
    places = picture.visible(curve, columns)
    assert places[0] == 0
    assert places[-1] == count - 1
    width = -(-count // columns)
    for begin in range(0, count, width):
        seen = curve[places[(places >= begin) & (places < begin + width)]]
        assert (seen.min(), seen.max()) == (curve[begin : begin + width].min(), curve[begin : begin + width].max())


# ---- a schedule as SVG


def polylines(svg: str) -> list[list[tuple[float, float]]]:
    root = ElementTree.fromstring(svg)
    found = [node.attrib["points"] for node in root.iter("{http://www.w3.org/2000/svg}polyline")]
    return [[(float(x), float(y)) for x, y in (pair.split(",") for pair in points.split())] for points in found]


def label_of(svg: str) -> str:
    return re.findall(r'text-anchor="end">(\d+)</text>', svg)[-1]


def test_svg_of_a_short_run_is_exact_and_holds_every_update() -> None:
    [line] = polylines(picture.svg(Warmup(2) >> Linear(2), 4))
    assert line == [(40, 86), (112, 86), (112, 24), (256, 24), (256, 86), (328, 86)]


def test_svg_of_a_decay_jumps_upright_and_is_small() -> None:
    svg = picture.svg(StepDecay(250, gamma=0.5), 1000)
    [line] = polylines(svg)
    jumps = [(a, b) for a, b in itertools.pairwise(line) if a[1] != b[1]]
    assert [a[0] for a, _ in jumps] == [112, 184, 256]
    assert all(a[0] == b[0] for a, b in jumps)
    assert len(svg) < 1500


@pytest.mark.parametrize("total", [7, 300, 1000, 1729, 100_003])
@pytest.mark.parametrize("schedule", [wsd(), Cosine(), CosineRestarts("15%", peak_gamma=0.7), Cyclic("10%")])
def test_svg_is_nowhere_further_from_the_curve_than_a_fraction_of_a_pixel(schedule: Schedule, total: int) -> None:
    [line] = polylines(picture.svg(schedule, total))
    x, y = np.array(line).T
    assert (np.diff(x) >= 0).all()
    curve = schedule.curve(total)
    for step in range(0, total, max(1, total // 500)):
        at = picture.LEFT + (picture.RIGHT - picture.LEFT) * (step + 0.5) / total
        want = picture.BOTTOM - (picture.BOTTOM - picture.TOP) * float(curve[step] / curve.max())
        near = (x[:-1] <= at + 1) & (x[1:] >= at - 1)
        low, high = np.minimum(y[:-1], y[1:])[near].min(), np.maximum(y[:-1], y[1:])[near].max()
        assert low - 0.6 <= want <= high + 0.6


@pytest.mark.parametrize(
    ("schedule", "run"),
    [
        (Cosine(), 1000),
        (Warmup(4) >> Linear(4), 9),  # it has an end of its own, and holds after it
        (Warmup(1000) >> Cosine(), 2000),  # 1000 would leave nothing for the cosine
        (MultiStep([500, 1500]), 2000),  # ... and never reach the second milestone
        (Warmup(300_000) >> Cosine(), 500_000),
        (Constant(), 1000),
    ],
)
def test_a_notebook_shows_a_run_with_room_for_the_schedule(schedule: Schedule, run: int) -> None:
    svg = schedule._repr_svg_()
    assert svg is not None
    assert label_of(svg) == str(run)
    html = schedule._repr_html_()
    assert html is not None
    assert html.startswith(svg)
    text = re.search("<pre>(.*)</pre>$", html)
    assert text
    assert text[1].replace("&gt;", ">").replace("&#x27;", "'") == repr(schedule), "to be pasted back"


def test_a_notebook_shows_what_is_beside_the_lr() -> None:
    svg = one_cycle(momentum_factor=0.9)._repr_svg_()
    assert svg is not None
    assert len(polylines(svg)) == 2
    assert ">momentum</text>" in svg


def _raises(u: float) -> float:
    raise RuntimeError("not now")


@pytest.mark.parametrize("schedule", [Warmup("2 epochs") >> Cosine(), Custom(_raises), Warmup(10**12)])
def test_what_cannot_be_drawn_falls_back_to_its_repr(schedule: Schedule) -> None:
    assert schedule._repr_svg_() is None
    assert schedule._repr_html_() is None


def test_a_schedule_that_is_always_zero_has_a_picture() -> None:
    assert polylines(picture.svg(Constant(factor=0.0), 10)) == [[(40, 148), (328, 148)]]


def test_the_notebook_s_picture_needs_no_matplotlib_and_no_torch() -> None:
    code = (
        "import sys; from lightning_lr import Cosine; assert Cosine()._repr_html_();"
        "print(sorted({'matplotlib', 'torch', 'lightning'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


# ---- plot


SHAPES = [
    wsd(),
    Warmup("5%") >> StepDecay("10%", gamma=0.5),
    Cosine("50%") >> Constant(factor=0.7),
    CosineRestarts("15%", peak_gamma=0.7),
    Warmup(4) >> Linear(4),
]


@pytest.mark.parametrize("schedule", SHAPES)
@pytest.mark.parametrize("total", [10, 1000, 5999])
def test_plot_shows_the_lr_of_every_update(schedule: Schedule, total: int) -> None:
    figure = plot(schedule, total, lr=0.02, label="it")
    np.testing.assert_array_equal(held(named(figure.axes[0])["it"], total), 0.02 * schedule.curve(total))
    png(figure)


def test_plot_of_a_long_run_is_thinned_and_its_jumps_are_exact() -> None:
    total, schedule = 2_000_003, Warmup(17_001) >> StepDecay(123_457, gamma=0.5)
    figure = plot(schedule, total, label="it")
    line = named(figure.axes[0])["it"]
    assert len(line.get_xdata()) <= 6001
    x = set(line.get_xdata())
    for jump in range(17_001 + 123_457, total, 123_457):
        assert {jump - 1, jump} <= x
    curve = schedule.curve(total)
    np.testing.assert_allclose(held(line, total), curve, atol=2000 / 17_001)
    assert (held(line, total)[17_001:] == curve[17_001:]).all()
    png(figure)


def test_plot_names_phases_where_there_is_room_and_marks_where_they_begin() -> None:
    figure = plot(wsd(), 1000)
    ax = figure.axes[0]
    assert texts(figure) == ["Warmup", "Constant", "OneMinusSqrt"]
    [dots] = [line for line in ax.get_lines() if line.get_marker() == "o"]
    assert list(dots.get_xdata()) == [50, 800]
    assert ax.get_ylim()[1] > 1.05, "names stand above the curve"
    many = plot(Chain_of(40), 1000)
    png(many)
    assert 2 <= len(texts(many)) < 40


def Chain_of(count: int) -> Schedule:  # noqa: N802
    return lightning_lr.Chain([Constant(25, factor=1 / (i + 1)) for i in range(count)])


def drawn_texts(figure: Any) -> list[Any]:
    """Where everything that is written inside the axes lies, in pixels."""
    png(figure)
    renderer = figure.canvas.get_renderer()
    return [text.get_window_extent(renderer) for ax in figure.axes for text in ax.texts]


@pytest.mark.parametrize("schedule", [wsd(), lightning_lr.infinite(), Chain_of(6), Chain_of(40)])
def test_the_names_of_phases_do_not_overlap_and_stay_inside(schedule: Schedule) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = plot(schedule, 1000, 100)
    FigureCanvasAgg(figure)
    boxes = drawn_texts(figure)
    frame = figure.axes[0].get_window_extent()
    assert boxes
    for i, box in enumerate(boxes):
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


def test_plot_compares_several_by_name_or_by_repr() -> None:
    figure = plot({"a": Cosine(), "b": Linear()}, 100)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    assert list(named(figure.axes[0])) == ["a", "b"]
    png(figure)
    listed = plot([Cosine(), Warmup("5%") >> Constant("25%") >> Cosine("50%", end_factor=0.1) >> Linear()], 100)
    names = [text.get_text() for text in listed.legends[0].get_texts()]
    assert names[0] == "Cosine()"
    assert names[1].endswith("…")
    png(listed)


def test_plot_has_epochs_above_where_they_are_known() -> None:
    figure = plot(Warmup("1 epoch") >> Cosine(), 340, 34)
    [above] = figure.axes[0].child_axes
    assert above.get_xlabel() == "epoch"
    assert [label.get_text() for label in above.get_xticklabels()] == ["0", "2", "4", "6", "8", "10"]
    assert above.get_xticks().tolist() == [0, 68, 136, 204, 272, 340]
    assert not plot(Cosine(), 340).axes[0].child_axes
    png(figure)


def test_plot_draws_what_is_beside_the_lr_below_it() -> None:
    schedule = Cosine().beside(momentum=Linear(end_factor=0.9), weight_decay=Linear())
    figure = plot(schedule, 100, lr=0.1)
    upper, lower = figure.axes
    assert list(named(lower)) == ["momentum", "weight_decay"]
    np.testing.assert_array_equal(held(named(lower)["momentum"], 100), Linear(end_factor=0.9).curve(100))
    np.testing.assert_array_equal(held(named(upper)[repr(schedule)], 100), 0.1 * Cosine().curve(100))
    png(figure)


def test_plot_draws_into_the_user_s_axes() -> None:
    from matplotlib.figure import Figure

    own = Figure()
    left, right = own.subplots(1, 2)
    assert plot(one_cycle(momentum_factor=0.9), 100, ax=left, label="mine") is own
    assert plot([Cosine(), Linear()], 100, ax=right) is own
    assert list(named(left)) == ["mine"]
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["Cosine()", "Linear()"]
    assert len(own.axes) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot("Cosine"), r"plot: schedule must be a schedule, or several as \{name: schedule\} or a list, got"),
        (lambda: plot([]), "plot: schedule must be a schedule"),
        (lambda: plot({"a": 1}), "plot: schedule must be a schedule"),
        (lambda: plot([Cosine()], label="x"), "plot: label='x' names one schedule"),
        (lambda: plot(Cosine(), 0), "plot: total_steps must be a whole number >= 1, got 0"),
        (lambda: plot(Cosine(), lr=-1), "plot: lr must be a number >= 0"),
        (lambda: plot(Warmup(2000) >> Cosine()), "plot: in a run of total_steps=1000: .* is 2000 updates long"),
        (lambda: plot(Warmup("1 epoch")), "total_steps=1000: .*counts epochs, whose length is unknown"),
        (lambda: plot_events("Cosine"), "plot_events: source must be a schedule or a ScheduledLR, got 'Cosine'"),
        (lambda: plot_events(Cosine(), []), "plot_events: beside a schedule give events= and total_steps="),
        (lambda: plot_lr_vs_loss([1.0], [1.0, 2.0]), "lrs and losses must be equally many, got 1 and 2"),
        (lambda: plot_lr_vs_loss([1.0], [1.0], steps=[1, 2]), "steps and losses must be equally many, got 2 and 1"),
        (lambda: plot_lr_vs_loss([1.0], [float("nan")]), "none of the losses and lrs are finite"),
        (lambda: plot_lr_vs_loss([1.0], [1.0], smooth=1.0), r"smooth must be a number in \[0, 1\), got 1.0"),
        (lambda: plot_cycle_ends(Cosine(), [1], [1.0], 10), "no cycle ends within 10 updates of Cosine"),
        (lambda: cycle_end_losses(Cyclic(5), [2, 1], [1.0, 1.0]), "steps must increase, from 0 or later, got"),
        (lambda: cycle_end_losses(Cyclic("5%"), [9], [1.0]), "share of a run whose length is unknown: give total_ste"),
        (lambda: cycle_end_losses("x", [9], [1.0]), "schedule must be a schedule or a program, got 'x'"),  # type: ignore[arg-type]
        (lambda: cycle_ends(5, 10), r"cycle_ends: schedule must be a schedule or a program, got 5"),  # type: ignore[arg-type]
        (lambda: cycle_ends(Cyclic(5), 0), "cycle_ends: total_steps must be a whole number >= 1, got 0"),
    ],
)
def test_bad_input_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# ---- nothing global


def test_pictures_touch_neither_pyplot_nor_the_settings() -> None:
    code = """
import sys, json, matplotlib
before = dict(matplotlib.rcParams)
from lightning_lr import Control, Cyclic, Event, Linear, one_cycle, wsd
from lightning_lr import plot, plot_cycle_ends, plot_events, plot_lr_vs_loss
plot(wsd(), 100, 10)._repr_png_()
plot({"a": one_cycle(momentum_factor=0.9), "b": Linear()}, 100)._repr_png_()
plot_events(Linear(), [Event(5, "reduce", 0.5, 0.25, Control(scale=0.5))], 10)._repr_png_()
plot_lr_vs_loss([0.1, 0.2], [1, 2], smooth=0.5)._repr_png_()
plot_cycle_ends(Cyclic(2), [2, 4], [1, 2])._repr_png_()
print(json.dumps([matplotlib.rcParams == before, "matplotlib.pyplot" in sys.modules, "torch" in sys.modules]))
"""
    env = {**os.environ, "MPLBACKEND": "agg"}  # a backend that is still to be found is looked for with pyplot
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [True, False, False]


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "lightning_lr\[plot\]"'):
        plot(Cosine())
    assert Cosine()._repr_svg_()


def test_a_figure_can_be_pickled_and_copied() -> None:
    figure = plot(Cosine(), 10)
    for other in (pickle.loads(pickle.dumps(figure)), copy.deepcopy(figure)):
        assert other._repr_png_.args[0] is other
        png(other)


# ---- plan against actual


def scheduler(total: int = 600, **options: Any) -> ScheduledLR:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    return ScheduledLR(optimizer, Warmup("5%") >> Cosine(), total_steps=total, steps_per_epoch=60, **options)


def used(scheduled: ScheduledLR, actions: dict[int, Any], total: int) -> list[float]:
    """Train so long, with the actions at their updates; the lrs that were used."""
    lrs = []
    for update in range(total):
        if update in actions:
            scheduled.apply(actions[update])
        lrs.append(float(scheduled.optimizer.param_groups[0]["lr"]))
        scheduled.optimizer.step()
    return lrs


EVERYTHING = {
    100: Reduce(0.5),
    200: Restart(peak_decay=0.8, rewarm=10),
    300: Freeze(30),
    350: Adapt(down=0.9),
    400: Reduce(0.5),
    500: Cooldown(50),
}


def test_plot_events_of_a_scheduler_shows_what_was_planned_and_what_was_used() -> None:
    mine = scheduler()
    lrs = used(mine, EVERYTHING, 600)
    figure = plot_events(mine)
    ax = figure.axes[0]
    lines = named(ax)
    np.testing.assert_allclose(held(lines["plan"], 600), 0.1 * mine.schedule.curve(600), rtol=1e-12)
    np.testing.assert_array_equal(held(lines["actual"], 600), lrs)
    assert sorted(set(lines) - {"plan", "actual"}) == ["adapt", "cooldown", "freeze", "reduce × 2", "restart"]
    assert list(lines["reduce × 2"].get_xdata()) == [100, 400]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(lines)
    assert [label.get_text() for label in ax.child_axes[0].get_xticklabels()] == ["0", "2", "4", "6", "8", "10"]
    png(figure)


def test_plot_events_of_a_schedule_and_its_events_is_the_same_picture() -> None:
    mine = scheduler()
    used(mine, EVERYTHING, 600)
    assert png(plot_events(mine.schedule, mine.events, 600, 60, lr=0.1)) == png(plot_events(mine))
    assert png(plot_events(mine.schedule, reversed(mine.events), 600, 60, lr=0.1)) == png(plot_events(mine))


def test_plot_events_of_a_long_run_finds_every_jump_exactly() -> None:
    total, schedule = 1_000_000, Warmup(5000) >> StepDecay(100_000, gamma=0.7)
    restarted = Control(origin=500_123, offset=5000 * 7, num=9, den=7, rewarm=1000)
    events = [
        Event(300_001, "reduce", 1.0, 0.5, Control(scale=0.5)),
        Event(500_123, "restart", 0.5, 1.0, restarted),
    ]
    line = named(plot_events(schedule, events, total).axes[0])["actual"]
    actual = np.array(replay(schedule.resolve(Horizon(total)), events, total))
    assert len(line.get_xdata()) <= 6001
    jumps = [step for step in np.flatnonzero(np.abs(np.diff(actual)) > 0.01).tolist() if step > 5000]
    assert len(jumps) >= 10
    assert {x for jump in jumps for x in (jump, jump + 1)} <= set(line.get_xdata())


def test_plot_events_is_readable_with_sixty_events() -> None:
    mine = scheduler()
    kinds = [Reduce(0.9), Restart(max_restarts=100), Freeze(3)]
    used(mine, {10 * i: kinds[i % 3] for i in range(60)}, 600)
    figure = plot_events(mine)
    png(figure)
    assert figure.get_size_inches().tolist() == [5.0, 3.0]
    assert not texts(figure), "sixty words would lie over each other"
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["plan", "actual", "freeze × 20", "reduce × 20", "restart × 20"]
    assert min(text.get_fontsize() for text in figure.legends[0].get_texts()) >= 10


def two_groups() -> ScheduledLR:
    body, head = (torch.nn.Parameter(torch.ones(1)) for _ in range(2))
    groups = [{"params": [body], "lr": 1e-3, "name": "body"}, {"params": [head], "lr": 5e-3, "name": "head"}]
    tracks = [Track(Linear(), groups="head"), Track(Linear(), key="momentum")]
    return ScheduledLR(torch.optim.SGD(groups, momentum=0.9), Cosine(), tracks=tracks, total_steps=300)


def test_plot_events_shows_every_schedule_of_the_lr_and_their_own_events() -> None:
    mine = two_groups()
    used(mine, {100: Reduce(0.5)}, 300)
    ax = plot_events(mine).axes[0]
    lines = named(ax)
    assert list(lines) == ["SGD/body", "SGD/head", "reduce"]
    for i, (name, base, schedule) in enumerate([("SGD/body", 1e-3, Cosine()), ("SGD/head", 5e-3, Linear())]):
        want = base * schedule.curve(300)
        want[100:] /= 2
        np.testing.assert_allclose(held(lines[name], 300), want, rtol=1e-12)
        assert mine.live[i].key == "lr"
    assert "dashed" in ax.get_ylabel()
    assert png(draw_events(stories(mine, ["SGD/body", "SGD/head"], Horizon(300)), Horizon(300)))
    with pytest.raises(ValueError, match=r"events of several schedules, of the tracks \[0, 1\]: give those of one"):
        plot_events(Cosine(), mine.events, 300)


def test_plot_events_leaves_out_what_an_earlier_schedule_made() -> None:
    events = [
        Event(2, "reduce", 1.0, 0.5, Control(scale=0.5)),
        Event(5, "schedule", 0.5, 0.3, Control(scale=0.5)),
    ]
    line = named(plot_events(Linear(), events, 10).axes[0])["actual"]
    np.testing.assert_array_equal(held(line, 10), [float("nan")] * 5 + [0.25, 0.2, 0.15, 0.1, 0.05])


def test_plot_events_before_the_start_and_with_events_of_another_is_refused() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    with pytest.raises(RuntimeError, match="plot_events: this ScheduledLR has not started yet"):
        plot_events(ScheduledLR.deferred(optimizer, Cosine()))
    with pytest.raises(ValueError, match="a ScheduledLR has its own events: leave events= out"):
        plot_events(scheduler(), [])


# ---- loss and lr


def test_plot_lr_vs_loss_has_a_log_scale_where_the_lr_spans_a_decade() -> None:
    wide = plot_lr_vs_loss(torch.logspace(-5, 0, 50), torch.linspace(2, 1, 50), smooth=0.8, steps=range(0, 500, 10))
    assert wide.axes[0].get_xscale() == "log"
    assert wide.axes[1].get_ylabel() == "update"
    assert [len(line.get_xdata()) for line in wide.axes[0].get_lines()] == [50]
    narrow = plot_lr_vs_loss([0.1, 0.5, 0.2], [3.0, 2.0, 1.0])
    assert narrow.axes[0].get_xscale() == "linear"
    assert not narrow.axes[0].get_lines()
    [dots] = narrow.axes[0].collections
    assert dots.get_offsets().tolist() == [[0.1, 3.0], [0.5, 2.0], [0.2, 1.0]]
    assert dots.get_array().tolist() == [0, 1, 2]
    for figure in (wide, narrow):
        png(figure)


def test_plot_lr_vs_loss_leaves_out_what_has_no_place_and_says_so() -> None:
    figure = plot_lr_vs_loss([0.0, 1e-3, 1e-1, 1.0], [3.0, 2.0, 1.0, float("inf")], smooth=0.5)
    assert figure.axes[0].get_xlabel() == "lr (1 at 0 left out)"
    assert figure.axes[0].collections[0].get_offsets().tolist() == [[1e-3, 2.0], [1e-1, 1.0]]
    png(figure)
    png(plot_lr_vs_loss([0.0, 0.0], [1.0, 2.0]))


# ---- the ends of cycles


CYCLIC = [
    Cyclic(7),
    Cyclic(3, 8),
    Warmup(11) >> Cyclic("3%", "4%"),
    CosineRestarts("7.6%"),
    Constant(5) >> CosineRestarts(6, cycle_mult=1.5),
    CosineRestarts(10, cycle_mult=2, duration="50%") >> Constant("10%") >> Cyclic(4),
]


@pytest.mark.parametrize("total", [40, 333, 1000])
@pytest.mark.parametrize("schedule", CYCLIC)
def test_a_cycle_ends_where_the_formula_begins_the_next_one(schedule: Schedule, total: int) -> None:
    program = schedule.resolve(Horizon(total))
    want = []
    for segment in program.segments:
        for step in range(segment.begin + 1, min(total, segment.end or total) + 1):
            before, after = (number_of(segment, Fraction(s - segment.begin)) for s in (step - 1, step))
            if after > before:
                want.append(step)
    assert cycle_ends(schedule, total) == cycle_ends(program, total) == want
    assert want


def number_of(segment: Any, k: Fraction) -> int:
    """How many cycles have passed, from the phase's numbers as they were resolved, exactly."""
    name = segment.formula.__name__
    if name == "_cyclic":
        return int(k // Fraction(*segment.args[:2]))
    if name == "_restarts":
        length, mult = segment.args[0], Fraction(segment.args[1])
        count, end = 0, length
        while end <= k:
            count, length = count + 1, length * mult
            end += length
        return count
    return 0


@pytest.mark.parametrize("mult", [1.0, 1.3, 2.0])
def test_after_a_cycle_of_restarts_the_peak_comes_back(mult: float) -> None:
    schedule = CosineRestarts("3%", cycle_mult=mult)
    curve = schedule.curve(1000)
    rises = (np.flatnonzero(np.diff(curve) > 0) + 1).tolist()
    assert [end for end in cycle_ends(schedule, 1000) if end < 1000] == rises


def test_a_cycle_cut_by_its_phase_or_by_the_run_has_no_end() -> None:
    assert cycle_ends(Cyclic(10), 39) == [20]
    assert cycle_ends(Cyclic(10), 40) == [20, 40]
    assert cycle_ends(Cyclic(10, duration=30) >> Linear(), 100) == [20]
    assert cycle_ends(Cosine(), 100) == []


def test_a_phase_whose_end_is_rounded_still_ends_its_last_cycle() -> None:
    assert cycle_ends(Cyclic("15%", duration="30%") >> Constant(), 11) == [3]  # 3.3 updates, rounded to 3
    assert cycle_ends(CosineRestarts("7.7%"), 333)[-1] == 333  # the 13th would end after 333.3 updates
    assert cycle_ends(Cyclic("1 epoch"), 35, 5) == [10, 20, 30]
    assert cycle_ends(Cyclic("5%"), 5) == [1, 2, 3, 4, 5], "cycles shorter than an update share one"


def test_cycle_end_losses_are_the_last_ones_measured_within_each_cycle() -> None:
    steps = [4, 12, 19, 25, 70, 80]
    ends = cycle_end_losses(Warmup(5) >> Cyclic(10), steps, [float(step) for step in steps])
    assert [tuple(end) for end in ends] == [(1, 25, 25, 25.0)], "nothing is measured in 2 and 3; the 4th is cut"
    validated = cycle_end_losses(Cyclic(10), [19, 39], [1.0, 2.0])  # as Lightning writes their steps
    assert [(end.end, end.step) for end in validated] == [(20, 19), (40, 39)]
    program = Cyclic("25%").resolve(Horizon(40))
    assert cycle_end_losses(program, [19, 39], [1.0, 2.0]) == validated


def test_plot_cycle_ends_marks_them() -> None:
    steps = list(range(10, 401, 10))
    schedule = Cyclic(50, mode="triangular2")
    figure = plot_cycle_ends(schedule, steps, [1 / step for step in steps])
    ax = next(ax for ax in figure.axes if ax.get_ylabel() == "loss")
    line = named(ax)["end of a cycle"]
    assert list(line.get_xdata()) == [100, 200, 300, 400] == cycle_ends(schedule, 400)
    assert list(line.get_ydata()) == [1 / 100, 1 / 200, 1 / 300, 1 / 400]
    assert texts(figure) == ["0.01", "0.005", "0.00333", "0.0025"]
    png(figure)
    png(plot_cycle_ends(Cyclic(5), steps, [1 / step for step in steps]))


# ---- the gallery

README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = README[README.index("\n## Gallery\n") :].split("\n## ")[1]
FOLDER = ROOT / "examples" / "gallery"
NAMES = [*schedules.__all__, *presets.__all__]


def test_the_gallery_has_every_schedule_and_preset_and_nothing_else() -> None:
    assert sorted(GALLERY["CODE"]) == sorted(NAMES)
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(f"{name}.svg" for name in NAMES)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 200_000


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_of_the_gallery_is_what_its_line_of_code_draws(name: str) -> None:
    found = re.findall(rf"^\| !\[{name}\]\((\S+)\) \| `{name}` \| `([^`|]+)` \|$", SECTION, flags=re.MULTILINE)
    assert len(found) == 1, f"the README's gallery has {len(found)} rows of {name}"
    path, code = found[0]
    assert re.search(rf"\b{name}\(", code, re.IGNORECASE), "the line shows the thing itself"
    made = eval(code, {public: getattr(lightning_lr, public) for public in lightning_lr.__all__})
    drawn = picture.svg(made, GALLERY["TOTAL_STEPS"])
    assert drawn == (ROOT / path).read_text(encoding="utf-8"), "run python examples/gallery.py again"


def test_the_gallery_draws_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    GALLERY["main"].__globals__["FOLDER"] = tmp_path / "gallery"
    GALLERY["main"]()
    assert capsys.readouterr().out in README
    for path in FOLDER.iterdir():
        assert (tmp_path / "gallery" / path.name).read_bytes() == path.read_bytes()


def test_the_calls_of_the_gallery_s_second_table_draw() -> None:
    calls = re.findall(r"^\| `(plot[^`]+)` \|", SECTION, flags=re.MULTILINE)
    calls += re.findall(r"also `(plot[^`]+)`", SECTION) + re.findall(r"`(cycle_end[^`]+)`", SECTION)
    assert len(calls) == 8
    mine = scheduler()
    names = {name: getattr(lightning_lr, name) for name in lightning_lr.__all__}
    names |= {"scheduler": mine, "events": mine.events, "schedule": Cyclic(100), "lrs": [0.1, 0.2]}
    for call in calls:
        given = {"steps": [100, 200], "losses": [2.0, 1.0]}
        assert eval(call, {**names, **given}), call


@pytest.mark.parametrize("schedule", [Exponential(0.5, 7), Cosine() >> Constant(3)])
def test_the_bytes_do_not_depend_on_the_last_digits_of_the_factors(
    schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = picture.svg(schedule, 100)
    exact = lightning_lr.Program.curve
    noise = 1 + 4e-16 * np.random.default_rng(0).choice([-1, 0, 1], 100)
    monkeypatch.setattr(lightning_lr.Program, "curve", lambda self, stop: exact(self, stop) * noise)
    assert picture.svg(schedule, 100) == want
