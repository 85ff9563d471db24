"""``lightning-lr compare``: optimizers and schedules with equal effort, and the source article's claims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_lr.cli import sweep, terminal

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

ACCURACY = {"metric": "val_acc", "mode": "max"}
LOSS = {"metric": "val_loss", "mode": "min"}
"""What is compared unless told: on the digits an accuracy, since 5 % of a small loss are next to nothing."""

HELP = "optimizers and schedules side by side, equally tuned"
DESCRIPTION = (
    "Train every optimizer with every schedule at every lr, with the same seeds and equally long; print score, "
    "train-validation gap, how wide the good lrs are, and how many runs failed, each at its best lr; and what of the "
    "source article's claims about optimizers holds here. WHAT is the YAML of a LightningCLI, whose module and data "
    "are used; without it, scikit-learn's digits, and the accuracy on them."
)


def arguments(parser: ArgumentParser) -> None:
    """What it takes."""
    from jsonargparse.typing import PositiveInt

    parser.add_argument("what", type=str, nargs="?", metavar="WHAT", help="a YAML file; without it the digits")
    parser.add_argument(
        "--optimizers", type=str, metavar="A,B", help="names in torch.optim; SGD,Adam,RMSprop,Adagrad unless given"
    )
    parser.add_argument(
        "--schedule",
        action="append",
        type=str,
        metavar="NAME=EXPRESSION",
        help="again for each; constant, exponential, 1/t and cosine unless given",
    )
    parser.add_argument("--lrs", type=str, metavar="LRS", help="the lrs of all, 1e-3,3e-3,1e-2,... 1 unless given")
    parser.add_argument("--seeds", type=PositiveInt, default=5, metavar="N", help="repetitions")
    sweep.run_arguments(parser, "compare")
    parser.set_defaults(metric=None)


def run(options: Namespace) -> None:
    """Compare, print, draw."""
    from lightning_lr.tuning import comparison

    suffix = sweep.checked_files(options)
    if options.metric is None:
        for name, value in (ACCURACY if options.what is None else LOSS).items():
            options[name] = value if options[name] is None else options[name]
    optimizers = terminal.listed(options.optimizers) if options.optimizers else comparison.OPTIMIZERS
    schedules = _schedules(options.schedule) if options.schedule else comparison.SCHEDULES
    lrs = [terminal.scalar(lr) for lr in terminal.listed(options.lrs)] if options.lrs else comparison.LRS
    if options.what is not None and not terminal.is_file(options.what):
        raise ValueError(f"WHAT must be a YAML file, got {options.what!r}: schedules are given as --schedule NAME=...")
    if options.what is None:
        sweep.refuse_yaml_options(options)
        from lightning_lr.tuning.digits import Task

        train: object = Task(epochs=options.epochs or sweep.EPOCHS)
    else:
        train = sweep.configured(options, optimizer=True)
    runs = len(optimizers) * len(schedules) * len(lrs) * options.seeds * (options.folds or 1)
    terminal.note(f"{runs} runs: {len(optimizers)} optimizers, {len(schedules)} schedules, {len(lrs)} lrs")
    found = comparison.compare(
        train,  # type: ignore[arg-type]
        optimizers,
        schedules,
        lrs,
        seeds=options.seeds,
        **sweep.shared(options),
    )
    sweep.show(found, found.plot if options.png else None, options, suffix)
    print(found.claims())


def _schedules(given: Sequence[str]) -> dict[str, str]:
    out: dict[str, str] = {}
    for text in given:
        name, equals, expression = text.partition("=")
        if not equals or not name.isprintable() or "(" in name:
            raise ValueError(f"--schedule must be NAME=EXPRESSION, such as cosine='Cosine()', got {text!r}")
        if name in out:
            raise ValueError(f"--schedule {name} is given twice")
        out[name] = expression
    return out
