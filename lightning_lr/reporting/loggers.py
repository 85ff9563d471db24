"""Where points, texts and pictures go: one small board for each of the trainer's loggers, with what that one can do."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_lr.core.checks import is_a

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Writer = Callable[[Mapping[str, float], int], None]


class Board:
    """A logger as this package sees it; what it cannot do, it leaves out without a word.

    Attributes:
        shows: whether texts and pictures have a place there.
    """

    shows = False

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Several values under one step."""
        self.logger.log_metrics(dict(values), step=step)

    def text(self, tag: str, text: str, step: int) -> None:
        """A text in markdown."""

    def picture(self, tag: str, figure: Figure, step: int) -> None:
        """A picture."""

    def forget_from(self, step: int) -> None:
        """What was written for this step and later ones is about to be written again."""


class TensorBoard(Board):
    """TensorBoard's event files: one summary with all values, a tenth of the cost of one call each."""

    shows = True

    def __init__(self, logger: Any, file_writer: Callable[[], Any]) -> None:
        super().__init__(logger)
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._summary, self._file_writer = Summary, file_writer
        self._prefix = f"{logger._prefix}-" if getattr(logger, "_prefix", "") else ""  # as its own log_metrics does

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        points = [self._summary.Value(tag=self._prefix + tag, simple_value=value) for tag, value in values.items()]
        self._file_writer().add_summary(self._summary(value=points), step, time.time())

    def text(self, tag: str, text: str, step: int) -> None:
        self.logger.experiment.add_text(tag, text, step)

    def picture(self, tag: str, figure: Figure, step: int) -> None:
        self.logger.experiment.add_image(tag, pixels(figure), step, dataformats="HWC")

    def forget_from(self, step: int) -> None:
        """A session starts here: TensorBoard then drops what an interrupted one had written from this step on."""
        folder = Path(str(getattr(self.logger, "log_dir", "")))
        if len(list(folder.glob("events.out.tfevents.*"))) < 2:
            return  # a directory of its own: there is nothing to drop
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        event = Event(session_log=SessionLog(status=SessionLog.START))
        self._file_writer().add_event(event, step, time.time())


class MLflow(Board):
    """MLflow: texts and pictures are artifacts of the run."""

    shows = True

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        super().scalars({re.sub(r"[^/\w.\- :]", "_", tag): value for tag, value in values.items()}, step)

    def text(self, tag: str, text: str, step: int) -> None:
        self.logger.experiment.log_text(self.logger.run_id, text, f"{tag}.md")

    def picture(self, tag: str, figure: Figure, step: int) -> None:
        self.logger.experiment.log_figure(self.logger.run_id, figure, f"{tag}.png")


class WandB(Board):
    """Weights & Biases: texts are tables, pictures are images."""

    shows = True

    def text(self, tag: str, text: str, step: int) -> None:
        self.logger.log_text(key=tag, columns=["text"], data=[[text]], step=step)

    def picture(self, tag: str, figure: Figure, step: int) -> None:
        self.logger.log_image(key=tag, images=[pixels(figure)], step=step)


def boards(loggers: Sequence[Any]) -> list[Board]:
    """A board for every logger."""
    return [_board(logger) for logger in loggers]


def _board(logger: Any) -> Board:
    if is_a(logger, "TensorBoardLogger"):
        file_writer = getattr(logger.experiment, "_get_file_writer", None)
        if file_writer is not None:  # else it is tensorboardX, or a dummy
            return TensorBoard(logger, file_writer)
    if hasattr(logger, "log_image") and hasattr(logger, "log_text"):
        return WandB(logger)
    if hasattr(logger, "run_id") and hasattr(logger.experiment, "log_figure"):
        return MLflow(logger)
    return Board(logger)


def pixels(figure: Figure) -> Any:
    """Height × width × RGB, drawn without pyplot and its global state."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]
