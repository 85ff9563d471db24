"""Stable names for curves: a group keeps its name, whatever groups or optimizers come later."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_UNSAFE = re.compile(r"[^\w.+\- ]+")


def optimizer_names(class_names: Sequence[str]) -> list[str]:
    """One name per optimizer: its class, and a number where a class appears again.

    >>> optimizer_names(["Adam", "SGD", "Adam"])
    ['Adam', 'SGD', 'Adam-1']
    """
    return _unique(class_names)


def group_names(optimizer: str, groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """One name per parameter group: ``optimizer[/group]``.

    A group's name depends on itself and the groups before it only, so adding a group renames none. The first group of
    an optimizer, when it has no name, is the optimizer.

    >>> group_names("SGD", [{}])
    ['SGD']
    >>> group_names("SGD", [{}, {}, {"name": "head"}, {"name": "head"}])
    ['SGD', 'SGD/pg2', 'SGD/head', 'SGD/head-1']
    """
    own = [clean(str(group["name"])) if group.get("name") else "" for group in groups]
    parts = _unique([name or (f"pg{i + 1}" if i else "") for i, name in enumerate(own)])
    return [f"{optimizer}/{part}" if part else optimizer for part in parts]


def clean(name: str) -> str:
    """A name that cannot break a path, a tag or a page."""
    return _UNSAFE.sub("_", name).strip() or "_"


def _unique(names: Sequence[str]) -> list[str]:
    taken: set[str] = set()
    out = []
    for name in names:
        free, n = name, 0
        while free in taken:
            n += 1
            free = f"{name}-{n}"
        taken.add(free)
        out.append(free)
    return out
