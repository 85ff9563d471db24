"""``lightning-lr recipes``: what suits which task, and when not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_lr.cli import terminal
from lightning_lr.core.checks import did_you_mean
from lightning_lr.core.recipes import listing

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

HELP = "schedules for kinds of tasks, with their sources"
DESCRIPTION = "List the recipes: schedule, what each is for, when not to use it, and who published it."


def arguments(parser: ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("name", type=str, nargs="?", metavar="NAME", help="only this one, with its variants")


def run(options: Namespace) -> None:
    from rich.text import Text

    names = list(dict.fromkeys(row.call.split("'")[1] for row in listing()))
    if options.name is not None and options.name not in names:
        listed = ", ".join(names)
        raise ValueError(f"there is no recipe {options.name!r}{did_you_mean(options.name, names)}; {listed}")
    console = terminal.console()
    for row in listing():
        if options.name in (None, row.call.split("'")[1]):
            console.print(Text.assemble((row.call, "bold"), f"  {row.schedule}", no_wrap=False))
            for what, said in (("for", row.when), ("not for", row.avoid), ("source", row.source)):
                console.print(Text(f"    {what}: {said}"))
