"""``lightning-lr preview``: what a schedule will do in a run of so many updates."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lightning_lr.cli import terminal
from lightning_lr.core import sparkline
from lightning_lr.core.checks import number
from lightning_lr.core.coerce import HYDRA, build, read_yaml
from lightning_lr.core.control import UNTOUCHED, replay_at
from lightning_lr.core.durations import Horizon
from lightning_lr.core.expression import parse
from lightning_lr.core.program import Program
from lightning_lr.core.schedules.coerce import as_schedule
from lightning_lr.core.tracks import Track, settled
from lightning_lr.reporting import plan

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from lightning_lr.callbacks import LRCallback
    from lightning_lr.reporting.reading import Points

CHART_ROWS = 5
CHART_POINTS = 200_000
CSV_ROWS = 100_000
PNG_POINTS = 2000

HELP = "what a schedule will do in a run of N updates"
DESCRIPTION = "Print what a schedule will do in a run of so many updates: its phases as a table, its curve as a chart."


def arguments(parser: ArgumentParser) -> None:
    """What it takes."""
    from jsonargparse.typing import PositiveFloat, PositiveInt

    parser.add_argument(
        "what",
        type=str,
        metavar="WHAT",
        help="a schedule expression such as 'Warmup(\"5%\") >> Cosine(end_factor=0.1)' or 'one_cycle()', or a YAML "
        "file: a configuration of LightningCLI (its trainer.callbacks), a list of phases or callbacks, or one schedule "
        "with class_path",
    )
    parser.add_argument(
        "--total-steps", type=PositiveInt, required=True, metavar="N", help="optimizer updates of the run"
    )
    parser.add_argument(
        "--steps-per-epoch", type=PositiveInt, metavar="M", help="updates of an epoch, for durations such as '3 epochs'"
    )
    parser.add_argument("--lr", type=PositiveFloat, default=1e-3, metavar="LR", help="the optimizer's lr, the peak")
    parser.add_argument("--png", type=str, metavar="F", help="also draw it into this file (.png, .svg or .pdf)")
    parser.add_argument("--csv", type=str, metavar="F", help="also write step, epoch, factor and lr of every update")


class _Wanted(NamedTuple):
    """What is to be previewed: settled tracks, and what is said beside them."""

    optimizer: str
    tracks: Sequence[Track]
    on_overrun: str = "error"


class _Planned(NamedTuple):
    """A track for this run's length; ``base`` multiplies its factors: the lr, or 1 (``label`` says which)."""

    name: str
    label: str
    title: str
    track: Track
    program: Program
    base: float

    def values(self, steps: Sequence[int]) -> list[float]:
        """The values at increasing updates."""
        return [self.base * factor for factor in replay_at(self.program, (), steps)]


def run(options: Namespace) -> None:
    from rich.text import Text

    if options.png is not None:
        from lightning_lr.reporting import report

        suffix = report.checked_suffix(Path(options.png), report.PICTURES)
    lr = number(options.lr, "--lr", low=0, low_open=True)
    length = Horizon(options.total_steps, options.steps_per_epoch)
    planned = [item for wanted in _wanted(options) for item in _resolved(wanted, length, lr)]
    if options.csv is not None:
        _write_csv(Path(options.csv), planned, length)
    if options.png is not None:
        phases = [(row.begin, row.phase.partition("(")[0]) for row in plan.rows(planned[0].program, UNTOUCHED, length)]
        curves = {item.name: _points(item, options.total_steps) for item in planned}
        figure = report.plan_picture(repr(planned[0].track.schedule), curves, phases)
        Path(options.png).write_bytes(report.rendered(figure, suffix))
    console = terminal.console()
    for item in planned:
        print(plan.table(item.title, plan.rows(item.program, UNTOUCHED, length), length, [(item.label, item.base)]))
        for rule in item.track.rules:
            print(f"  may be changed by {rule!r}")
        head, *rows = _chart(item, options.total_steps, console.width, sparkline.ramp_for(console.encoding))
        print(f"\n{head}")
        for row in rows:
            console.print(Text(row, style="cyan", no_wrap=True, overflow="crop"))
        print()
    for note in dict.fromkeys(note for item in planned for note in item.program.notes):
        print(f"{terminal.NAME}: note: {note}", file=sys.stderr)


def _wanted(options: Namespace) -> list[_Wanted]:
    """What the expression or the file says."""
    what = options.what
    if not what.strip():
        raise ValueError("WHAT is empty: give a YAML file, or an expression such as 'Warmup(\"5%\") >> Cosine()'")
    if not terminal.is_file(what):
        return [_Wanted("", settled([Track(parse(what))]))]
    content = read_yaml(what)
    try:
        return _from_yaml(content, options.total_steps)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what}: {error}") from None
    except RecursionError:
        raise ValueError(f"{what} holds a list that holds itself") from None


def _from_yaml(content: Any, total_steps: int) -> list[_Wanted]:
    """A LightningCLI's configuration, a list of callbacks or of phases, or one of them."""
    import lightning_lr.callbacks as ours

    names = {name for name in ours.__all__ if issubclass(getattr(ours, name), ours.LRCallback)} - {"LRCallback"}
    if isinstance(content, Mapping) and not {"class_path", "_target_"} & set(content):
        config = next((c for c in (content, content.get("fit")) if isinstance(c, Mapping) and "trainer" in c), {})
        trainer = config.get("trainer") or {}
        if not isinstance(trainer, Mapping):
            raise ValueError(f"trainer must be a mapping of its settings, got {trainer!r}")
        callbacks = trainer.get("callbacks")
        where = "trainer.callbacks"
        if callbacks is None:
            found = ", ".join(map(str, content)) or "nothing"
            raise ValueError(
                f"neither {where} nor a schedule with class_path nor a list of phases is in it; there is {found}"
            )
    else:
        callbacks, where = content, "callbacks"
        entries = content if isinstance(content, list) else [content]
        if not any(_named(entry) in names for entry in entries):
            return [_Wanted("", settled([Track(as_schedule(content, "phases"))]))]
    known = {name: getattr(ours, name) for name in names}
    entries = callbacks if isinstance(callbacks, list) else [callbacks]
    wishes: list[LRCallback] = []
    for i, entry in enumerate(entries):
        if _named(entry) in names:
            described = {"class_path": entry} if isinstance(entry, str) else entry
            wishes.append(build(described, known, "callback", f"{where}[{i}]"))
        elif "LR" in (target := str(entry.get("class_path", "") if isinstance(entry, Mapping) else entry)):
            print(f"{terminal.NAME}: not shown: {target}, which only the run itself can build", file=sys.stderr)
    wishes = [wish for wish in wishes if wish.role != "log"]
    if not wishes:
        raise ValueError(f"{where} holds none of {', '.join(sorted(names - {'LRLogger'}))}")
    return _from_callbacks(wishes, total_steps)


def _named(entry: Any) -> str:
    """The name of the class that an entry of a list describes, if it can be one of ours."""
    fields = {key: value for key, value in entry.items() if key not in HYDRA} if isinstance(entry, Mapping) else {}
    target = entry if isinstance(entry, str) else fields.get("class_path") or fields.get("_target_") or ""
    module, _, name = str(target).rpartition(".")
    return name if module.partition(".")[0] in ("", "lightning_lr") else ""


def _from_callbacks(wishes: Sequence[LRCallback], total_steps: int) -> list[_Wanted]:
    """What the callbacks make of each optimizer that they name, joined as a run joins them."""
    from lightning_lr.callbacks.compose import options_of, tracks_of

    out = []
    for optimizer in dict.fromkeys(wish.optimizer for wish in wishes if wish.optimizer is not None) or [None]:
        mine = [wish for wish in wishes if wish.optimizer in (None, optimizer)]
        said = options_of(mine)
        if said.get("total_steps", total_steps) != total_steps:
            raise ValueError(
                f"a callback says total_steps={said['total_steps']}, which the run would follow: give that as "
                f"--total-steps, got {total_steps}"
            )
        tracks = settled(tracks_of([wish for wish in mine if wish.says_something], ()) or [Track()])
        name = "" if optimizer is None else f" of optimizer {optimizer}"
        out.append(_Wanted(name, tracks, said.get("on_overrun", "error")))
    return out


def _resolved(wanted: _Wanted, run: Horizon, lr: float) -> Iterator[_Planned]:
    for track in wanted.tracks:
        assert track.schedule is not None, "settled"
        try:
            program = track.schedule.resolve(run, on_overrun=wanted.on_overrun)
        except ValueError as error:
            raise ValueError(
                str(error).replace("give steps_per_epoch= (in a plain loop) or", "give --steps-per-epoch, or")
            ) from None
        is_lr = track.key == "lr"
        where = wanted.optimizer if track.groups is None else f"{track.id.removeprefix(track.key)}{wanted.optimizer}"
        title = f"{'Learning-rate plan' if is_lr else f'Plan of {track.key}'}{where}, {run.total_steps} updates"
        yield _Planned(f"{track.key}{where}", "lr" if is_lr else "factor", title, track, program, lr if is_lr else 1.0)


def _chart(item: _Planned, total: int, width: int, ramp: str) -> list[str]:
    """A line of numbers, the curve, and the names of its phases."""
    count = min(total, CHART_POINTS)
    steps = [total * i // count for i in range(count)]
    *values, last = item.values([*steps, total - 1])
    highest, peak = max(zip(steps, values, strict=True), key=lambda point: point[1])
    head = (
        f"{item.label}: {values[0]:.4g} at first, {peak:.4g} at most (update {highest}), "
        f"{last:.4g} at last; a column is {total / width:.3g} updates"
    )
    begins = [(s.begin / total, s.label.partition("(")[0]) for s in item.program.segments if s.begin < total]
    height = CHART_ROWS if item.label == "lr" else 2
    return [
        head,
        *sparkline.sparkline(values, width, height, ramp),
        sparkline.ruler(begins, width),
    ]


def _points(item: _Planned, total: int) -> Points:
    """The curve in a bounded number of points, with both sides of every phase's begin."""
    spread = {total * i // PNG_POINTS for i in range(PNG_POINTS)} | {total - 1}
    edges = {step for segment in item.program.segments for step in (segment.begin - 1, segment.begin)}
    steps = [step for step in sorted(spread | edges) if 0 <= step < total]
    return list(zip(steps, item.values(steps), strict=True))


def _write_csv(path: Path, planned: Sequence[_Planned], run: Horizon) -> None:
    """A row for each update: step, epoch where it is known, factor and lr; the factor of whatever else is scheduled."""
    assert run.total_steps is not None
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        header = ["step"] if run.steps_per_epoch is None else ["step", "epoch"]
        for i, item in enumerate(planned):
            name = f" {item.name}" if i else ""
            header += [f"factor{name}", *([f"lr{name}"] if item.label == "lr" else [])]
        rows.writerow(header)
        for begin in range(0, run.total_steps, CSV_ROWS):
            end = min(run.total_steps, begin + CSV_ROWS)
            curves = [item.program.curve(end, begin).tolist() for item in planned]
            for i, step in enumerate(range(begin, end)):
                row: list[Any] = [step] if run.steps_per_epoch is None else [step, float(run.epochs(step))]
                for item, curve in zip(planned, curves, strict=True):
                    row += [curve[i], *([item.base * curve[i]] if item.label == "lr" else [])]
                rows.writerow(row)
