"""``lightning-lr``: look at schedules before a run, and at runs after it.

::

    lightning-lr preview 'Warmup("5%") >> Cosine()' --total-steps 1000
    lightning-lr report runs --out report.html
    lightning-lr events runs
    lightning-lr schedules one_cycle

Results go to stdout, or to the files that were asked for. Bad input is one line on stderr and the exit code 2.
"""

from __future__ import annotations

import codecs
import csv
import inspect
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from lightning_lr.core import sparkline
from lightning_lr.core.checks import did_you_mean, items, number, text
from lightning_lr.core.coerce import HYDRA, build
from lightning_lr.core.control import UNTOUCHED
from lightning_lr.core.durations import Horizon
from lightning_lr.core.expression import parse
from lightning_lr.core.program import Program
from lightning_lr.core.schedules.coerce import as_schedule, makers
from lightning_lr.core.tracks import Track, settled
from lightning_lr.reporting import plan

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace
    from rich.console import Console

    from lightning_lr.callbacks import LRCallback
    from lightning_lr.reporting.reading import Points, Run

NAME = "lightning-lr"
CHART_ROWS = 5
CHART_POINTS = 200_000
CSV_ROWS = 100_000
PNG_POINTS = 2000

EXAMPLES = {
    "Beside": 'Beside(Cosine(), {"momentum": Linear(end_factor=0.9)})',
    "Chain": 'Chain([Warmup("20%"), Constant("30%"), Cosine()])',
    "CosineRestarts": "CosineRestarts(25, peak_gamma=0.7)",
    "Custom": 'Custom("math:exp", duration="40%") >> Linear()',
    "Cyclic": "Cyclic(10)",
    "Exponential": "Exponential(0.96)",
    "InverseSqrt": "InverseSqrt(5)",
    "InverseTime": "InverseTime(0.1)",
    "MultiStep": "MultiStep([40, 75], gamma=0.4)",
    "StepDecay": "StepDecay(20, gamma=0.6)",
    "Warmup": 'Warmup("60%")',
}
"""What is drawn of a schedule whose parameters have no defaults, in a run of so many updates:"""
EXAMPLE_STEPS = 100

_SIGNS = {"→": "->", "–": "-", "−": "-", "…": "...", "·": "*", "×": "x", "√": "sqrt", "π": "pi", "≥": ">=", "²": "^2"}


# ---- the command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, by default those of the process; the exit code is returned."""
    codecs.register_error("lightning_lr", _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="lightning_lr")
    try:
        parser = _parser()
    except ImportError as error:
        return _refuse(f"{error.name or error} is not installed: python -m pip install 'lightning_lr[cli]'")
    try:
        chosen = parser.parse_args(None if argv is None else _words(argv))
        _COMMANDS[chosen.subcommand](chosen[chosen.subcommand])
        sys.stdout.flush()
    except BrokenPipeError:  # | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ImportError as error:
        drawing = (error.name or "").partition(".")[0] == "matplotlib"
        fix = "matplotlib is not installed: python -m pip install 'lightning_lr[plot]'"
        return _refuse(fix if drawing else str(error))
    except OSError as error:
        told = error.strerror and error.filename is not None
        return _refuse(f"{error.filename}: {error.strerror}" if told else str(error))
    except ValueError as error:
        return _refuse(str(error))
    return 0


def _words(argv: object) -> list[str]:
    what = "a list of texts, such as ['schedules', 'Cosine']"
    return [text(word, "main: argv", what, empty=True) for word in items(argv, "main: argv", what)]


def _refuse(message: str) -> int:
    print(f"{NAME}: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """What a terminal shows in place of signs that its encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_SIGNS.get(sign, "?") for sign in lacking), error.end


def _parser() -> ArgumentParser:
    import rich  # noqa: F401 the commands need it: better missed now than in the middle
    from jsonargparse import ArgumentParser
    from jsonargparse.typing import PositiveFloat, PositiveInt

    class Parser(ArgumentParser):  # type: ignore[misc, unused-ignore]
        """Its errors are one line."""

        def error(self, message: str, ex: Exception | None = None) -> NoReturn:
            said = re.sub(
                r'Parser key "(\w+)":\s+Not of type (\w+): ',
                lambda m: f"{_option(m[1])} must be {_MUST_BE.get(m[2], m[2])}: ",
                message,
            )
            wrong = re.match(r"(?:unrecognized arguments: |argument COMMAND: invalid choice: )'?([\w-]+)", said)
            if wrong is not None:
                said += did_you_mean(wrong[1], _OPTIONS if wrong[1].startswith("-") else _COMMANDS)
            said = re.sub(r"\b(?:preview|report|events|schedules)\.(\w+)", lambda m: _option(m[1]), said)
            self.exit(_refuse(f"{said.rstrip('.')}; {NAME} --help says more"))

    parser = Parser(
        prog=NAME,
        description="Look at learning-rate schedules before a run, and at runs after it. "
        f"`{NAME} COMMAND --help` explains a command.",
    )
    commands = parser.add_subcommands(required=True, metavar="COMMAND", title="commands", description=None)

    preview = Parser(
        description="Print what a schedule will do in a run of so many updates: its phases as a table, its curve as a "
        "chart.",
    )
    preview.add_argument(
        "what",
        type=str,
        metavar="WHAT",
        help="a schedule expression such as 'Warmup(\"5%\") >> Cosine(end_factor=0.1)' or 'one_cycle()', or a YAML "
        "file: a configuration of LightningCLI (its trainer.callbacks), a list of phases or callbacks, or one schedule "
        "with class_path",
    )
    preview.add_argument(
        "--total-steps", type=PositiveInt, required=True, metavar="N", help="optimizer updates of the run"
    )
    preview.add_argument(
        "--steps-per-epoch", type=PositiveInt, metavar="M", help="updates of an epoch, for durations such as '3 epochs'"
    )
    preview.add_argument("--lr", type=PositiveFloat, default=1e-3, metavar="LR", help="the optimizer's lr, the peak")
    preview.add_argument("--png", type=str, metavar="F", help="also draw it into this file (.png, .svg or .pdf)")
    preview.add_argument("--csv", type=str, metavar="F", help="also write step, epoch, factor and lr of every update")
    commands.add_subcommand("preview", preview, help="what a schedule will do in a run of N updates")

    report = Parser(
        description="Read runs back and make one picture or page of them: lr (planned and used) and losses on one "
        "time axis, and every decision with its reason.",
    )
    _add_folders(report)
    report.add_argument(
        "--out", type=str, default="report.html", metavar="F", help="the file: .html (a page), .png, .svg or .pdf"
    )
    commands.add_subcommand("report", report, help="lr, losses and decisions of runs as a picture or a page")

    events = Parser(description="Print what was decided in runs: when, what, old and new lr, why.")
    _add_folders(events)
    events.add_argument("--json", action="store_true", help="a JSON object per line instead of a table")
    commands.add_subcommand("events", events, help="what was decided in runs, and why")

    schedules = Parser(
        description="List every schedule and preset with its parameters, curve and formula; or explain one."
    )
    schedules.add_argument("name", type=str, nargs="?", metavar="NAME", help="the one to explain")
    commands.add_subcommand("schedules", schedules, help="all schedules and presets, or one explained")
    return parser


def _add_folders(parser: ArgumentParser) -> None:
    parser.add_argument(
        "logdir",
        type=str,
        nargs="+",
        metavar="LOGDIR",
        help="directories of runs, or above them: TensorBoard's event files and lr_events.jsonl are read",
    )


def _option(key: str) -> str:
    return key.upper() if key in ("what", "logdir", "name") else f"--{key.replace('_', '-')}"


_OPTIONS = ("--total-steps", "--steps-per-epoch", "--lr", "--png", "--csv", "--out", "--json", "--help")
_MUST_BE = {"PositiveInt": "a whole number >= 1", "PositiveFloat": "a number > 0"}


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


# ---- preview


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


def _preview(options: Namespace) -> None:
    from rich.text import Text

    if options.png is not None:
        from lightning_lr.reporting import report

        suffix = report.checked_suffix(Path(options.png), report.PICTURES)
    lr = number(options.lr, "--lr", low=0, low_open=True)
    run = Horizon(options.total_steps, options.steps_per_epoch)
    planned = [item for wanted in _wanted(options) for item in _resolved(wanted, run, lr)]
    if options.csv is not None:
        _write_csv(Path(options.csv), planned, run)
    if options.png is not None:
        phases = [(row.begin, row.phase.partition("(")[0]) for row in plan.rows(planned[0].program, UNTOUCHED, run)]
        curves = {item.name: _points(item, options.total_steps) for item in planned}
        figure = report.plan_picture(repr(planned[0].track.schedule), curves, phases)
        Path(options.png).write_bytes(report.rendered(figure, suffix))
    console = _console()
    for item in planned:
        print(plan.table(item.title, plan.rows(item.program, UNTOUCHED, run), run, [(item.label, item.base)]))
        for rule in item.track.rules:
            print(f"  may be changed by {rule!r}")
        head, *rows = _chart(item, options.total_steps, console.width, sparkline.ramp_for(console.encoding))
        print(f"\n{head}")
        for row in rows:
            console.print(Text(row, style="cyan", no_wrap=True, overflow="crop"))
        print()
    for note in dict.fromkeys(note for item in planned for note in item.program.notes):
        print(f"{NAME}: note: {note}", file=sys.stderr)


def _wanted(options: Namespace) -> list[_Wanted]:
    """What the expression or the file says."""
    what = options.what
    if not what.strip():
        raise ValueError("WHAT is empty: give a YAML file, or an expression such as 'Warmup(\"5%\") >> Cosine()'")
    path = Path(what)
    is_file = "(" not in what and (path.suffix in (".yaml", ".yml", ".json") or os.sep in what)
    if not is_file and not (len(what) < 200 and path.exists()):
        return [_Wanted("", settled([Track(parse(what))]))]
    from jsonargparse import get_loader

    try:
        content = get_loader("yaml")(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise ValueError(f"{what} is no text in UTF-8") from None
    except Exception as error:
        if isinstance(error, OSError):
            raise
        raise ValueError(f"{what} is no YAML: {error}") from None
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
            print(f"{NAME}: not shown: {target}, which only the run itself can build", file=sys.stderr)
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
    points = [(total * i // count, item.base * item.program(total * i // count)) for i in range(count)]
    highest, peak = max(points, key=lambda point: point[1])
    head = (
        f"{item.label}: {points[0][1]:.4g} at first, {peak:.4g} at most (update {highest}), "
        f"{item.base * item.program(total - 1):.4g} at last; a column is {total / width:.3g} updates"
    )
    begins = [(s.begin / total, s.label.partition("(")[0]) for s in item.program.segments if s.begin < total]
    height = CHART_ROWS if item.label == "lr" else 2
    return [
        head,
        *sparkline.sparkline([value for _, value in points], width, height, ramp),
        sparkline.ruler(begins, width),
    ]


def _points(item: _Planned, total: int) -> Points:
    """The curve in a bounded number of points, with both sides of every phase's begin."""
    spread = {total * i // PNG_POINTS for i in range(PNG_POINTS)} | {total - 1}
    edges = {step for segment in item.program.segments for step in (segment.begin - 1, segment.begin)}
    return [(step, item.base * item.program(step)) for step in sorted(spread | edges) if 0 <= step < total]


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


# ---- report, events


def _report(options: Namespace) -> None:
    from lightning_lr.reporting import report

    out = Path(options.out)
    report.checked_suffix(out, report.SUFFIXES)
    import matplotlib  # noqa: F401 better missed before the reading than after it

    report.write(_runs(options), out)
    print(f"{NAME}: {out} written", file=sys.stderr)


def _runs(options: Namespace, curves: bool = True) -> list[Run]:
    from lightning_lr.reporting.reading import runs

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it says much about old files
    return runs(map(Path, options.logdir), curves)


def _events(options: Namespace) -> None:
    from lightning_lr.reporting.reading import one_line

    runs = _runs(options, curves=False)
    if options.json:
        for run in runs:
            for entry in run.decisions:
                print(json.dumps({"run": run.name, **entry}, ensure_ascii=False))
    for run in () if options.json else runs:
        if run.decisions:
            _print_decisions(run)
    for run in runs:
        if not run.decisions:
            print(f"{NAME}: {one_line(run.name)}: no decisions", file=sys.stderr)


def _print_decisions(run: Run) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from lightning_lr.reporting.reading import cells, one_line

    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title=Text(one_line(run.name)), title_justify="left", title_style="bold"
    )
    for column in ("update", "epoch", "what", "old → new", "why"):
        table.add_column(column, justify="right" if column in ("update", "epoch") else "left", overflow="fold")
    for entry in run.decisions:
        table.add_row(*map(Text, cells(entry)))
    _console().print(table)


# ---- schedules


def _schedules(options: Namespace) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    known = makers()
    console = _console()
    ramp = sparkline.ramp_for(console.encoding)
    if options.name is not None:
        if options.name not in known:
            listed = ", ".join(known)
            raise ValueError(f"there is no schedule {options.name!r}{did_you_mean(options.name, known)}; {listed}")
        print(f"{_call(options.name, known)}\n\n{_unmarked(known[options.name].__doc__)}")
        print(f"\n{_example(options.name)} in a run of {EXAMPLE_STEPS} updates:\n")
        for row in _drawn(options.name, min(EXAMPLE_STEPS, console.width), CHART_ROWS, ramp):
            console.print(Text(row, style="cyan", no_wrap=True, overflow="crop"))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False, show_lines=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name in known:
        [row] = _drawn(name, 20, 1, ramp)
        formula = " ".join(_unmarked(known[name].__doc__).partition("\n\n")[0].split())
        table.add_row(Text(row, style="cyan"), Text.assemble((_call(name, known), "bold"), "\n", formula))
    console.print(table)
    print(f"Drawn for {EXAMPLE_STEPS} updates; `{NAME} schedules NAME` explains one.")


def _call(name: str, known: Mapping[str, Callable[..., Any]]) -> str:
    """Its name, and its parameters with their defaults."""
    parameters = inspect.signature(known[name]).parameters.values()
    told = [p.name if p.default is p.empty else f"{p.name}={_default(p.default)}" for p in parameters]
    return f"{name}({', '.join(told)})"


def _default(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) and len(repr(value)) > 8 else repr(value)


def _unmarked(docstring: str | None) -> str:
    """A docstring without the marks that only a documentation tool reads."""
    return re.sub(r":\w+:`[~.]*([^`]+)`", r"\1", inspect.cleandoc(docstring or "")).replace("``", "")


def _example(name: str) -> str:
    return EXAMPLES.get(name, f"{name}()")


def _drawn(name: str, width: int, height: int, ramp: str) -> list[str]:
    return sparkline.sparkline(parse(_example(name)).curve(EXAMPLE_STEPS).tolist(), width, height, ramp)


_COMMANDS = {"preview": _preview, "report": _report, "events": _events, "schedules": _schedules}
