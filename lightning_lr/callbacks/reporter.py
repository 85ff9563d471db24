"""The reporter: what a run tells of its learning rates, and where. It decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch.optim import Optimizer

from lightning_lr.callbacks import quirks
from lightning_lr.callbacks.base import LRCallback
from lightning_lr.callbacks.wishes import LRLogger
from lightning_lr.core.checks import did_you_mean
from lightning_lr.core.control import Event
from lightning_lr.core.history import MAX_EVENTS
from lightning_lr.reporting import plan, views
from lightning_lr.reporting.events import Journal, record, sentence, table
from lightning_lr.reporting.loggers import Board, boards
from lightning_lr.reporting.names import optimizer_names
from lightning_lr.reporting.recorder import Recorder, Source, phase_name

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

    from lightning_lr.callbacks.compose import Ownership


class Reporter:
    """The plan at the start, a point for each lr that is used, a line for each decision.

    Args:
        callbacks: the run's LR callbacks; an ``LRLogger`` among them says how, the others whether.
    """

    def __init__(self, callbacks: Sequence[LRCallback]) -> None:
        self.settings = next((c for c in callbacks if isinstance(c, LRLogger)), None) or LRLogger()
        said = [callback.logs for callback in callbacks if not callback.from_mixin]
        self.wanted = any(said) if said else True
        self.sources: list[Source] = []
        self.recorder: Recorder | None = None
        self.journal: Journal | None = None
        self.decisions: list[dict[str, Any]] = []
        self.boards: list[Board] = []
        self.folder: Path | None = None
        self._watched: list[str] = []
        self._drawn = 0
        self._plan = ""
        self._introduced = self._resumed = False
        self._undo: Callable[[], None] = lambda: None
        self._logged: dict[str, Any] = {}
        self._before: dict[str, Any] = {}

    def begin(self, trainer: Trainer, owners: Sequence[Ownership], optimizers: Sequence[Optimizer]) -> None:
        """Training starts: print the plan, find the loggers, listen to the schedulers."""
        names = optimizer_names([type(optimizer).__name__ for optimizer in optimizers])
        scheduler_of = {owner.optimizer_index: owner.scheduler for owner in owners}
        self.sources = sources = [
            Source(name, optimizer, scheduler_of.get(i))
            for i, (name, optimizer) in enumerate(zip(names, optimizers, strict=True))
        ]
        text = "\n".join(plan_of(source) for source in sources if source.scheduler is not None)
        if self.settings.plan and text:
            rank_zero_info(text)
        self._watched = [rule.monitor for owner in owners for rule in owner.scheduler.rules]
        self._resumed = any(owner.scheduler.resumed for owner in owners)
        self._listen(trainer, sources)
        if trainer.is_global_zero and self.wanted:
            self._open(trainer, sources, text)

    def _listen(self, trainer: Trainer, sources: Sequence[Source]) -> None:
        """Every event from now on is told; those of the saved state are known already."""
        for source in sources:
            if source.scheduler is not None:
                self.decisions += [_record(event, source) for event in source.scheduler.events]
                source.scheduler.listener = partial(self._tell, trainer, source)

    def _open(self, trainer: Trainer, sources: Sequence[Source], text: str) -> None:
        settings = self.settings
        self.boards = boards(trainer.loggers)
        self.folder = quirks.run_directory(trainer)
        extra = [key for key in ("momentum", "weight_decay") if getattr(settings, f"log_{key}")]
        every = settings.every_n_steps or trainer.log_every_n_steps  # type: ignore[attr-defined]
        possible = [rule.do.kind for source in sources if source.scheduler for rule in source.scheduler.rules]
        made = [entry["kind"] for entry in self.decisions]
        counts = {kind: made.count(kind) for kind in dict.fromkeys([*possible, *made])}
        self.recorder = Recorder(sources, [board.scalars for board in self.boards], every, extra, counts)
        self._plan = text
        if self.folder is not None:
            self.journal = Journal(self.folder / "lr_events.jsonl", self.decisions if self._resumed else None)
        if settings.progress_bar:
            self._undo = quirks.add_to_progress_bar(trainer, partial(_in_progress, sources))

    def _introduce(self, step: int) -> None:
        """Before the first point: plan and layout. Lightning knows the step number of a run that goes on only now."""
        assert self.recorder is not None
        self._introduced = True
        if self._resumed:
            for board in self.boards:
                board.forget_from(step)
        if self.settings.plan and self._plan:
            self._write_text("lr/plan", plan.markdown(self._plan), step)
            views.write_plan(self.boards, self.recorder.sources)
        if self.settings.layout:
            views.arrange(self.boards, self.recorder.sources)
        if self.decisions:
            self._write_text("lr/decisions", table(self.decisions), step)

    def _write_text(self, tag: str, text: str, step: int) -> None:
        for board in self.boards:
            board.text(tag, text, step)

    def _tell(self, trainer: Trainer, source: Source, event: Event) -> None:
        """One line for people, one for the file, the table and the counters for TensorBoard."""
        if event.kind == "stop":
            trainer.should_stop = True  # on every rank: all of them listen
        rank_zero_info(sentence(event, source.peaks(event.track), source.key(event.track)))
        self.decisions.append(_record(event, source))
        del self.decisions[:-MAX_EVENTS]
        if self.journal is not None:
            self.journal.append(self.decisions[-1])
        if self.recorder is not None:
            self.recorder.decided(event.kind)
            self._write_text("lr/decisions", table(self.decisions), quirks.step_number(trainer))
            if self._drawn < views.MAX_FIGURES:
                self._draw(trainer)

    def _draw(self, trainer: Trainer) -> None:
        if self.recorder is not None and self.settings.figures:
            self._drawn += 1
            views.write_figures(self.boards, self.recorder.sources, quirks.step_number(trainer), self.folder)

    def before_update(self, trainer: Trainer) -> None:
        """Log the lr that the coming update uses, under the step number of Lightning's own points."""
        if self.recorder is not None:
            step = quirks.step_number(trainer)
            if not self._introduced:
                self._introduce(step)
            self.recorder.before_update(step)

    def validation_starts(self, trainer: Trainer) -> None:
        """What lies there now is no result of this validation."""
        self._before = self._metrics(trainer)

    def _metrics(self, trainer: Trainer) -> dict[str, Any]:
        wanted = dict.fromkeys([*self.settings.metrics, *self._watched])
        metrics = trainer.callback_metrics if wanted else {}  # on every rank: computing it may be a collective
        return {name: metrics[name] for name in wanted if name in metrics}

    def log_metrics(self, trainer: Trainer, epoch_end: bool = False) -> None:
        """Write the metrics that rules watch and an LRLogger names, each new value once.

        At an epoch's end the last batch is over already, and the step number is the next one's.
        """
        now = self._metrics(trainer)
        known = self._logged if epoch_end else self._before
        fresh = {name: value for name, value in now.items() if value is not known.get(name)}
        self._logged.update(fresh)
        if self.recorder is not None and fresh:
            values = {f"monitor/{name}": float(value) for name, value in fresh.items()}
            self.recorder.write(values, quirks.step_number(trainer) - epoch_end)

    def close(self) -> None:
        """Leave the trainer as it was found."""
        self._undo()

    def end(self, trainer: Trainer) -> None:
        """The curve ends with the last lr that was used."""
        if self.recorder is not None:
            self.recorder.end()
            self._draw(trainer)
        for name in self.settings.metrics:
            if name not in self._logged:
                available = ", ".join(trainer.callback_metrics) or "none"
                hint = did_you_mean(name, trainer.callback_metrics)
                rank_zero_warn(f"LRLogger: the metric {name!r} was never logged{hint}; available: {available}")


def _in_progress(sources: Sequence[Source]) -> dict[str, str]:
    """The lr and the phase as the progress bar shows them: strings, since it cuts numbers at three decimals."""
    out = {}
    several = len(sources) > 1
    for source in sources:
        lrs = [curve.base * source.moment()[curve.place] for curve in source.curves() if curve.tag.startswith("lr/")]
        if lrs:
            out[f"lr-{source.name}" if several else "lr"] = f"{max(lrs):.2g}"
        for track in source.rates()[:1]:
            if source.scheduler is not None and track.program is not None:
                out[f"phase-{source.name}" if several else "phase"] = phase_name(track, source.scheduler.updates)
    return out


def _record(event: Event, source: Source) -> dict[str, Any]:
    return record(event, source.name, source.peaks(event.track), source.key(event.track))


def plan_of(source: Source) -> str:
    """A table for every schedule that the optimizer's groups follow."""
    scheduler = source.scheduler
    assert scheduler is not None
    run = scheduler.run_horizon
    assert run is not None
    length = "" if run.total_steps is None else f", {run.total_steps} updates"
    begin = f", from update {scheduler.updates}" if scheduler.updates else ""
    tables = []
    for i, track in enumerate(source.live):
        groups = source.peaks(i)
        if groups and track.program is not None:
            what = "Learning-rate plan" if track.key == "lr" else f"Plan of {track.key}"
            rows = plan.rows(track.program, track.control, run, scheduler.updates)
            tables.append(plan.table(f"{what} for {source.name}{length}{begin}", rows, run, groups))
    return "\n".join(tables)
