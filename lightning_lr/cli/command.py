"""The command: its subcommands, and what becomes of errors."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from lightning_lr.cli import compare, preview, recipes, runs, schedules, sweep
from lightning_lr.cli.terminal import NAME, note, refuse, speak_ascii_where_needed
from lightning_lr.core.checks import did_you_mean, items, text

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

_EXTRAS = {"matplotlib": "plot", "optuna": "tune", "optuna_integration": "tune", "sklearn": "tune", "scipy": "tune"}
"""Which extra has what a command turns out to need."""
_MUST_BE = {"PositiveInt": "a whole number >= 1", "PositiveFloat": "a number > 0"}


class Command(NamedTuple):
    """A subcommand: what its help says, what it takes, what it does."""

    help: str
    description: str
    arguments: Callable[[Any], None]
    run: Callable[[Any], None]


COMMANDS = {
    "preview": Command(preview.HELP, preview.DESCRIPTION, preview.arguments, preview.run),
    "report": Command(runs.REPORT_HELP, runs.REPORT_DESCRIPTION, runs.report_arguments, runs.report),
    "events": Command(runs.EVENTS_HELP, runs.EVENTS_DESCRIPTION, runs.events_arguments, runs.events),
    "schedules": Command(schedules.HELP, schedules.DESCRIPTION, schedules.arguments, schedules.run),
    "recipes": Command(recipes.HELP, recipes.DESCRIPTION, recipes.arguments, recipes.run),
    "sweep": Command(sweep.HELP, sweep.DESCRIPTION, sweep.arguments, sweep.run),
    "compare": Command(compare.HELP, compare.DESCRIPTION, compare.arguments, compare.run),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, by default those of the process; the exit code is returned."""
    speak_ascii_where_needed()
    try:
        parser = _parser()
    except ImportError as error:
        return refuse(f"{error.name or error} is not installed: python -m pip install 'lightning_lr[cli]'")
    try:
        chosen = parser.parse_args(None if argv is None else _words(argv))
        COMMANDS[chosen.subcommand].run(chosen[chosen.subcommand])
        sys.stdout.flush()
    except KeyboardInterrupt:
        note("interrupted")
        return 130
    except BrokenPipeError:  # | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        extra = _EXTRAS.get(missing)
        fix = f"{missing} is not installed: python -m pip install 'lightning_lr[{extra}]'"
        return refuse(fix if extra else str(error))
    except OSError as error:
        told = error.strerror and error.filename is not None
        return refuse(f"{error.filename}: {error.strerror}" if told else str(error))
    except ValueError as error:
        return refuse(str(error))
    return 0


def _words(argv: object) -> list[str]:
    what = "a list of texts, such as ['schedules', 'Cosine']"
    return [text(word, "main: argv", what, empty=True) for word in items(argv, "main: argv", what)]


def _parser() -> ArgumentParser:
    import rich  # noqa: F401 the commands need it: better missed now than in the middle
    from jsonargparse import ArgumentParser

    options: set[str] = set()

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
                said += did_you_mean(wrong[1], sorted(options) if wrong[1].startswith("-") else COMMANDS)
            said = re.sub(rf"\b(?:{'|'.join(COMMANDS)})\.(\w+)", lambda m: _option(m[1]), said)
            said = re.sub(r"one of \{preview,[^}]*\}", f"one of {{{','.join(COMMANDS)}}}", said)  # it names five
            self.exit(refuse(f"{said.rstrip('.')}; {NAME} --help says more"))

    parser = Parser(
        prog=NAME,
        description="Look at learning-rate schedules before a run, find the ones that suit a model, and look at runs "
        f"after them. `{NAME} COMMAND --help` explains a command.",
    )
    commands = parser.add_subcommands(required=True, metavar="COMMAND", title="commands", description=None)
    for name, command in COMMANDS.items():
        sub = Parser(description=command.description)
        command.arguments(sub)
        options.update(option for action in sub._actions for option in action.option_strings)
        commands.add_subcommand(name, sub, help=command.help)
    return parser


def _option(key: str) -> str:
    return key.upper() if key in ("what", "logdir", "name") else f"--{key.replace('_', '-')}"
