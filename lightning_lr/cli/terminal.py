"""What the commands say, and where: results on stdout, everything else on stderr."""

from __future__ import annotations

import codecs
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

NAME = "lightning-lr"

_SIGNS = {
    "→": "->",
    "–": "-",
    "−": "-",
    "…": "...",
    "·": "*",
    "×": "x",
    "√": "sqrt",
    "π": "pi",
    "≥": ">=",
    "±": "+-",
    "²": "^2",
}


def speak_ascii_where_needed() -> None:
    """Signs that the terminal's encoding lacks are written in ASCII."""
    codecs.register_error("lightning_lr", _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="lightning_lr")


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """What a terminal shows in place of signs that its encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_SIGNS.get(sign, "?") for sign in lacking), error.end


def refuse(message: str) -> int:
    """One line on stderr; the exit code of bad input."""
    print(f"{NAME}: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def note(message: str) -> None:
    """A line on stderr beside the result."""
    print(f"{NAME}: {message}", file=sys.stderr)


def console() -> Console:
    """Where tables are printed, without marking anything up."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def is_file(what: str) -> bool:
    """Whether WHAT names a file, rather than being an expression."""
    path = Path(what)
    if "(" not in what and (path.suffix in (".yaml", ".yml", ".json") or os.sep in what):
        return True
    return len(what) < 200 and path.exists()


def listed(text: str) -> list[str]:
    """What stands between commas."""
    return [part.strip() for part in text.split(",")]


def scalar(text: str) -> Any:
    """A value as YAML has it, numbers such as 1e-3 included.

    >>> [scalar(text) for text in ("3", "1e-3", "true", "none", "5 epochs")]
    [3, 0.001, True, None, '5 epochs']
    """
    named = {"true": True, "false": False, "null": None, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
