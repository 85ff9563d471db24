"""TensorBoard's own pages: the plan as a sub-run, the arrangement of the charts, plan against actual as a picture."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_lr.reporting.loggers import Board, TensorBoard
from lightning_lr.reporting.pictures import draw_events, stories
from lightning_lr.reporting.recorder import Source

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lightning_lr.track import LiveTrack

PLAN_POINTS = 500
MAX_FIGURES = 10
LOSSES = ["(.*/)?(train|val|valid|validation)?[_/]?loss.*"]


def arrange(boards: Sequence[Board], sources: Sequence[Source]) -> None:
    """The Custom Scalars page: lr (plan and actual), losses, decisions; always written whole, the last one wins."""
    tags: dict[str, list[str]] = {}
    for curve in (curve for source in sources for curve in source.curves()):
        tags.setdefault(curve.tag.partition("/")[0], []).append(f"^{re.escape(curve.tag)}$")
    page = {
        "lr": ["Multiline", tags.pop("lr", [])],
        "loss": ["Multiline", LOSSES],
        **{key: ["Multiline", found] for key, found in tags.items()},
        "phase": ["Multiline", ["schedule/phase.*"]],
        "decisions so far": ["Multiline", ["schedule/num_.*"]],
        "scale": ["Multiline", ["schedule/scale.*"]],
    }
    for board in boards:
        if isinstance(board, TensorBoard):
            board.logger.experiment.add_custom_scalars({"Learning rate": page})


def steps_of(total: int, corners: Sequence[int] = ()) -> list[int]:
    """Increasing updates that draw a curve of so many: evenly spread, and both sides of every corner."""
    spread = {total * i // PLAN_POINTS for i in range(PLAN_POINTS)}
    edges = {step for corner in corners for step in (corner - 1, corner)}
    return sorted(step for step in spread | edges | {total - 1} if 0 <= step < total)


def write_plan(boards: Sequence[Board], sources: Sequence[Source]) -> None:
    """The plan as a sub-run under the same tags: TensorBoard colours by run, so plan and actual overlay."""
    for board in boards:
        folder = getattr(board.logger, "log_dir", None) if isinstance(board, TensorBoard) else None
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
            for i, track in enumerate(source.live):
                mine = [curve for curve in source.curves() if curve.place == i]
                steps = steps_of(total, _corners(track)) if mine else []
                for step, factor in zip(steps, source.scheduler.planned_at(steps, i), strict=True):
                    points = [Summary.Value(tag=curve.tag, simple_value=curve.base * factor) for curve in mine]
                    writer.add_event(Event(step=step, wall_time=time.time(), summary=Summary(value=points)))
        writer.close()


def _total(source: Source) -> int | None:
    """How many updates there are to draw, where a scheduler knows."""
    run = None if source.scheduler is None else source.scheduler.run_horizon
    return None if run is None else run.total_steps


def _corners(track: LiveTrack) -> list[int]:
    return [] if track.program is None else [segment.begin for segment in track.program.segments]


def figure(source: Source) -> Figure | None:
    """Plan and actual of every schedule of one optimizer's lr, decisions marked; ``None`` without a length."""
    scheduler = source.scheduler
    if scheduler is None or _total(source) is None or scheduler.run_horizon is None:
        return None
    try:
        told = stories(scheduler, source.names(), scheduler.run_horizon)
        return draw_events(told, scheduler.run_horizon) if told else None
    except ImportError:  # no matplotlib
        return None


def write_figures(boards: Sequence[Board], sources: Sequence[Source], step: int, folder: Path | None) -> None:
    """The picture of every optimizer, under a tag of its own, or its curve would vanish.

    Where no logger shows pictures they lie beside the run's files.
    """
    showing = [board for board in boards if board.shows]
    for source in sources if showing or folder is not None else ():
        picture = figure(source)
        if picture is None:
            continue
        for board in showing:
            board.picture(f"lr_figures/{source.name}", picture, step)
        if not showing and folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            picture.savefig(folder / f"lr_{source.name}.png")
