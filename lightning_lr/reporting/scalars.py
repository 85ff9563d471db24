"""Points: several values under one step, written to any logger in one go."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Writer = Callable[[Mapping[str, float], int], None]


def writers(loggers: Sequence[Any]) -> list[Writer]:
    """One writer per logger. TensorBoard gets one summary with all values, a tenth of the cost of one call each."""
    return [_tensorboard(logger) or _any_logger(logger) for logger in loggers]


def _any_logger(logger: Any) -> Writer:
    return lambda values, step: logger.log_metrics(dict(values), step=step)


def is_tensorboard(logger: Any) -> bool:
    """Whether it is a TensorBoardLogger, of whichever of Lightning's two packages."""
    return any(cls.__name__ == "TensorBoardLogger" for cls in type(logger).__mro__)


def _tensorboard(logger: Any) -> Writer | None:
    if not is_tensorboard(logger):
        return None
    file_writer_of = getattr(logger.experiment, "_get_file_writer", None)
    if file_writer_of is None:  # tensorboardX, or a dummy
        return None
    from tensorboard.compat.proto.summary_pb2 import Summary

    prefix = f"{logger._prefix}-" if getattr(logger, "_prefix", "") else ""  # as its own log_metrics does

    def write(values: Mapping[str, float], step: int) -> None:
        points = [Summary.Value(tag=prefix + tag, simple_value=value) for tag, value in values.items()]
        file_writer_of().add_summary(Summary(value=points), step, time.time())

    return write


def write_text(loggers: Sequence[Any], tag: str, text: str, step: int) -> None:
    """A text for the loggers that show some."""
    for logger in loggers:
        add_text = getattr(logger.experiment, "add_text", None) if is_tensorboard(logger) else None
        if add_text is not None:
            add_text(tag, text, step)
