"""TensorBoard's own pages: the plan as a sub-run, the arrangement of the charts, plan against actual as a picture."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_lr.reporting.recorder import Source
from lightning_lr.reporting.scalars import is_tensorboard

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lightning_lr.scheduler import ScheduledLR

PLAN_POINTS = 500
MAX_FIGURES = 10
LOSSES = ["(.*/)?(train|val|valid|validation)?[_/]?loss.*"]


def boards(loggers: Sequence[Any]) -> list[Any]:
    """The loggers that write for TensorBoard."""
    return [logger for logger in loggers if is_tensorboard(logger)]


def arrange(loggers: Sequence[Any], sources: Sequence[Source]) -> None:
    """The Custom Scalars page: lr (plan and actual), losses, decisions; always written whole, the last one wins."""
    names = [name for source in sources for name in source.names()]
    page = {
        "lr": ["Multiline", [f"^lr/{re.escape(name)}$" for name in names]],
        "loss": ["Multiline", LOSSES],
        "decisions so far": ["Multiline", ["schedule/num_.*"]],
    }
    for logger in boards(loggers):
        add_custom_scalars = getattr(logger.experiment, "add_custom_scalars", None)
        if add_custom_scalars is not None:
            add_custom_scalars({"Learning rate": page})


def steps_of(total: int, corners: Sequence[int] = ()) -> list[int]:
    """Increasing updates that draw a curve of so many: evenly spread, and both sides of every corner."""
    spread = {total * i // PLAN_POINTS for i in range(PLAN_POINTS)}
    edges = {step for corner in corners for step in (corner - 1, corner)}
    return sorted(step for step in spread | edges | {total - 1} if 0 <= step < total)


def write_plan(loggers: Sequence[Any], sources: Sequence[Source]) -> None:
    """The plan as a sub-run under the same tags: TensorBoard colours by run, so plan and actual overlay."""
    for logger in boards(loggers):
        folder = getattr(logger, "log_dir", None)
        curves = [(source, total) for source in sources if (total := _total(source)) is not None]
        if folder is None or not curves or "://" in str(folder):  # a bucket is no folder
            continue
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        path = Path(folder) / "plan"
        for old in path.glob("events.out.tfevents.*"):
            old.unlink()  # a run that goes on plans anew
        writer = EventFileWriter(str(path))
        for source, total in curves:
            assert source.scheduler is not None
            steps = steps_of(total, _phases(source.scheduler))
            for step, factor in zip(steps, source.scheduler.planned_at(steps), strict=True):
                points = [Summary.Value(tag=f"lr/{name}", simple_value=base * factor) for name, base in source.peaks()]
                writer.add_event(Event(step=step, wall_time=time.time(), summary=Summary(value=points)))
        writer.close()


def _total(source: Source) -> int | None:
    """How many updates there are to draw, where a scheduler knows."""
    run = None if source.scheduler is None else source.scheduler.run_horizon
    return None if run is None else run.total_steps


def _phases(scheduler: ScheduledLR) -> list[int]:
    return [segment.begin for segment in scheduler.program.segments]


def figure(source: Source) -> Figure | None:
    """Plan and actual of one optimizer's first group, decisions marked; ``None`` without matplotlib or a length."""
    total = _total(source)
    if total is None or source.scheduler is None:
        return None
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    events = source.scheduler.events
    name, base = source.peaks()[0]
    steps = steps_of(total, [*_phases(source.scheduler), *(event.step for event in events)])
    picture = Figure(figsize=(5, 3), dpi=100, layout="constrained")
    axes = picture.add_subplot()
    axes.plot(steps, [base * f for f in source.scheduler.planned_at(steps)], label="plan", color="tab:blue", alpha=0.6)
    axes.plot(steps, [base * f for f in source.scheduler.replayed_at(steps)], label="actual", color="tab:orange")
    for event in events:
        axes.axvline(event.step, color="tab:gray", linewidth=0.8, linestyle=":")
        axes.annotate(
            event.kind, (event.step, 1.0), xycoords=("data", "axes fraction"), fontsize=10, rotation=90, va="top"
        )
    axes.set_xlabel("update")
    axes.set_ylabel(f"lr/{name}")
    axes.legend(fontsize=10)
    return picture


def write_figures(loggers: Sequence[Any], sources: Sequence[Source], step: int) -> None:
    """The picture of every optimizer, for the loggers that show some; a tag of its own, or its curve would vanish."""
    for logger in boards(loggers):
        add_image = getattr(logger.experiment, "add_image", None)
        for source in sources if add_image is not None else ():
            picture = figure(source)
            if picture is not None and add_image is not None:
                add_image(f"lr_figures/{source.name}", _pixels(picture), step, dataformats="HWC")


def _pixels(picture: Figure) -> Any:
    """Height × width × RGB, drawn without pyplot and its global state."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(picture)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]
