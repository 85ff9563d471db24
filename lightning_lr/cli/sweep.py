"""``lightning-lr sweep``: which lr, which decay, for the user's own module or for the digits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_lr.cli import terminal

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace
    from matplotlib.figure import Figure

    from lightning_lr.tuning import Comparison, Sweep
    from lightning_lr.tuning.configured import Configured
    from lightning_lr.tuning.digits import Task

EPOCHS = 10

HELP = "which lr and which decay: train at every point of a grid"
DESCRIPTION = (
    "Train at every point of a grid (or at as many as TPE is given) and print score and train-validation gap of each, "
    "the best first. WHAT is the YAML of a LightningCLI, whose module is trained; or an expression with the varied "
    "names in braces, such as 'Exponential({gamma}, decay_steps=\"1 epoch\")', which is the schedule of a small "
    "network on scikit-learn's digits; without WHAT its rate is constant."
)


def arguments(parser: ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument(
        "what", type=str, nargs="?", metavar="WHAT", help="a YAML file, or a schedule with varied names in braces"
    )
    parser.add_argument(
        "--vary",
        action="append",
        type=str,
        metavar="NAME=VALUES",
        help="lr=1e-3,1e-2,1e-1, or lr=log:1e-4:1:5 (5 values of equal ratios; 'linear' of equal differences); again "
        "for each parameter. In a YAML file NAME is a key, with dots, of which the last parts will do: gamma, "
        "model.lr, callbacks.LRWarmup.duration",
    )
    parser.add_argument("--sampler", type=str, default="grid", metavar="S", help="grid (the default) or tpe")
    from jsonargparse.typing import PositiveInt

    parser.add_argument("--trials", type=PositiveInt, metavar="N", help="how many points tpe tries")
    parser.add_argument("--seeds", type=PositiveInt, default=1, metavar="N", help="repetitions of each point")
    parser.add_argument("--prune", action="store_true", help="let Optuna end points that do badly")
    run_arguments(parser, "sweep")


def run_arguments(parser: ArgumentParser, name: str) -> None:
    """What ``sweep`` and ``compare`` both take."""
    from jsonargparse.typing import PositiveInt

    parser.add_argument("--epochs", type=PositiveInt, metavar="N", help="of each run; 10 on the digits")
    parser.add_argument("--folds", type=PositiveInt, metavar="K", help="parts of the data, each validates once")
    parser.add_argument("--metric", type=str, default="val_loss", metavar="M", help="what is compared")
    parser.add_argument(
        "--mode", type=str, metavar="M", help="min or max: which values are good; of a loss or an error, min"
    )
    parser.add_argument(
        "--gap",
        type=str,
        default="auto",
        metavar="M",
        help="the same of the training data, or none; train_... of val_...",
    )
    parser.add_argument(
        "--storage",
        type=str,
        metavar="S",
        help="sqlite:///file.db or journal:file: results are kept there, several machines may share it, and what was "
        "killed goes on from there",
    )
    parser.add_argument("--name", type=str, default=name, metavar="N", help="of the study in the storage")
    parser.add_argument("--workers", type=PositiveInt, default=1, metavar="N", help="processes")
    parser.add_argument("--model", type=str, metavar="C", help="module.Class, where the YAML does not name it")
    parser.add_argument("--data", type=str, metavar="C", help="the same of the LightningDataModule")
    parser.add_argument("--png", type=str, metavar="F", help="also draw it into this file (.png, .svg or .pdf)")
    parser.add_argument("--csv", type=str, metavar="F", help="also write every point into this file")


def run(options: Namespace) -> None:
    """Sweep, print, draw."""
    from lightning_lr.tuning import sweep

    suffix = checked_files(options)
    space = _space(options.vary, options.sampler)
    train, schedule = _trained(options)
    found = sweep(
        train,
        space,
        schedule=schedule,
        sampler=options.sampler,
        trials=options.trials,
        seeds=options.seeds,
        prune=options.prune,
        **shared(options),
    )
    show(found, found.plot if options.png else None, options, suffix)
    best = found.best_or_none
    if best is None:
        terminal.note(f"no point has a result; the first says: {found.rows[0].why}")


def shared(options: Namespace) -> dict[str, Any]:
    """The arguments of ``sweep`` and ``compare`` that both commands take as they are."""
    names = ("metric", "mode", "folds", "storage", "name", "workers")
    return {name: options[name] for name in names} | {"gap": terminal.scalar(options.gap)}


def checked_files(options: Namespace) -> str:
    """Whether what is asked for can be drawn and written: better known before the training than after it."""
    for path in filter(None, (options.png, options.csv)):
        folder = Path(path).absolute().parent
        if not folder.is_dir():
            raise ValueError(f"{path}: there is no directory {str(Path(path).parent)!r}")
        if Path(path).is_dir():
            raise ValueError(f"{path}: is a directory")
        if not os.access(path if Path(path).exists() else folder, os.W_OK):
            raise ValueError(f"{path}: cannot be written")
    if options.png is None:
        return ""
    import matplotlib  # noqa: F401

    from lightning_lr.reporting import report

    return report.checked_suffix(Path(options.png), report.PICTURES)


def show(found: Sweep | Comparison, plot: Any, options: Namespace, suffix: str) -> None:
    """The table on stdout, the files that were asked for."""
    console = terminal.console()
    if console.is_terminal:
        console.print(found)
    else:
        print(found.table())  # a file is as wide as it must be
    if plot is not None:
        from lightning_lr.reporting import report

        figure: Figure = plot()
        Path(options.png).write_bytes(report.rendered(figure, suffix))
    if options.csv is not None:
        found.to_csv(options.csv)


def _trained(options: Namespace) -> tuple[Configured | Task, str | None]:
    """What is trained, and the schedule that it does not know of itself."""
    if options.what is not None and terminal.is_file(options.what):
        return configured(options), None
    refuse_yaml_options(options)
    from lightning_lr.tuning.digits import Task

    return Task(epochs=options.epochs or EPOCHS), options.what


def configured(options: Namespace, optimizer: bool = False) -> Configured:
    """The user's module, from the YAML."""
    from lightning_lr.tuning.configured import Configured, read

    return Configured(read(options.what), options.model, options.data, options.epochs, optimizer)


def refuse_yaml_options(options: Namespace) -> None:
    """On the digits there is nothing to name."""
    for name in ("model", "data"):
        if options[name] is not None:
            raise ValueError(f"--{name} names a class for a YAML file: give the file as WHAT")


def _space(given: Sequence[str] | None, sampler: str) -> dict[str, Any]:
    space: dict[str, Any] = {}
    for text in given or ():
        name, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not name or not values:
            raise ValueError(f"--vary must be NAME=VALUES, such as lr=1e-3,1e-2, got {text!r}")
        if name in space:
            raise ValueError(f"--vary {name} is given twice: put all its values into one")
        space[name] = _values(values)
    if not space:
        raise ValueError("nothing is varied: say --vary lr=1e-3,1e-2,1e-1, once for each parameter")
    return space


def _values(text: str) -> Any:
    kind, *rest = text.split(":")
    if kind in ("log", "linear") and rest:
        return (kind, *map(terminal.scalar, rest))
    values = terminal.listed(text)
    if "" in values:
        raise ValueError(f"--vary: {text!r} has an empty value between its commas")
    return [terminal.scalar(value) for value in values]
