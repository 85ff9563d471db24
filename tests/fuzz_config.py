"""What the fuzzer draws: calls and configurations, as data that can be printed and pasted back."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

import lightning_lr
import lightning_lr.scheduler

NAMES = {name: getattr(lightning_lr, name) for name in lightning_lr.__all__}


class Piece(NamedTuple):
    """A call such as ``Cosine(duration=4)``, as data: what the package builds, and what the reference reads."""

    name: str
    args: dict[str, Any]

    def __repr__(self) -> str:
        return f"P({', '.join([repr(self.name), *(f'{key}={value!r}' for key, value in self.args.items())])})"


def P(name: str, /, **args: Any) -> Piece:  # noqa: N802, it stands for Piece in what is printed
    """A piece, in few letters."""
    return Piece(name, args)


def code(value: Any) -> str:
    """The Python that builds it."""
    if isinstance(value, (list, tuple)) and not isinstance(value, Piece):
        return f"[{', '.join(map(code, value))}]"
    if not isinstance(value, Piece):
        return repr(value)
    if value.name in (">>", "|", "&"):
        return f"({f' {value.name} '.join(map(code, value.args['of']))})"
    if value.name == "beside":
        others = ", ".join(f"{key}={code(other)}" for key, other in value.args["others"].items())
        return f"({code(value.args['of'])}).beside({others})"
    return f"{value.name}({', '.join(f'{key}={code(arg)}' for key, arg in value.args.items())})"


def built(piece: Piece | None) -> Any:
    """What the package makes of it."""
    return None if piece is None else eval(code(piece), dict(NAMES))


def pieces(value: Any) -> Iterator[Piece]:
    """All pieces in a configuration, or a part of one."""
    if isinstance(value, Piece):
        yield value
        yield from pieces(value.args)
    elif isinstance(value, dict):
        yield from itertools.chain.from_iterable(map(pieces, value.values()))
    elif isinstance(value, (list, tuple)):
        yield from itertools.chain.from_iterable(map(pieces, value))
    elif dataclasses.is_dataclass(value):
        yield from pieces([getattr(value, f.name) for f in dataclasses.fields(value)])


@dataclass(frozen=True)
class Part:
    """What some groups follow, or all others, in one of their numbers: a ``Track``."""

    schedule: Piece | None
    groups: Any = None
    key: str = "lr"
    rules: tuple[Piece, ...] = ()

    @property
    def id(self) -> str:
        listed = self.groups if isinstance(self.groups, (list, tuple)) else [self.groups]
        return self.key if self.groups is None else f"{self.key}[{'|'.join(map(str, listed))}]"

    @property
    def body(self) -> Piece:
        """The lr's schedule, without those beside it."""
        found = self.schedule or P("Constant")
        return found.args["of"] if found.name == "beside" else found


@dataclass(frozen=True)
class Loop:
    """A run in a plain loop."""

    seed: int
    total: int | None
    per_epoch: int | tuple[int, ...] | None
    parts: tuple[Part, ...]
    optimizer: str
    lrs: tuple[float, ...]
    updates: int
    ops: tuple[tuple[int, str, Any], ...] = ()
    """(update before which it happens, what, with what)"""
    overrun: str = "error"
    start: int = 0
    tensor: str | None = None
    gradients: bool = False
    kept: int = 1000
    """Events that the scheduler keeps; older ones are folded."""


@dataclass(frozen=True)
class Fit:
    """A run of ``Trainer.fit``."""

    seed: int
    batches: int
    epochs: int
    accumulate: int
    parts: tuple[Part, ...]
    optimizer: str
    lrs: tuple[float, ...]
    form: str
    metrics: tuple[float, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    overrun: str = "error"


GROUPS = ("body", "head", "head.1", None, "tail")
OPTIMIZERS: dict[str, Any] = {
    "SGD": functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.01),
    "AdamW": functools.partial(torch.optim.AdamW, lr=0.1, weight_decay=0.01),
    "RMSprop": functools.partial(torch.optim.RMSprop, lr=0.1, momentum=0.5, weight_decay=0.1),
}


def number_of(group: dict[str, Any], key: str) -> float:
    """What a group holds: momentum is beta1 where there are betas."""
    return float(group["betas"][0] if key == "momentum" and "betas" in group else group[key])
