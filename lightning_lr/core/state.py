"""A saved state: what it consists of, what earlier formats become, and the one check before any of it is used.

A field that no table below knows is one of a later version that writes the same format: it is ignored. Every field that
is known is in ``sums`` too, as a sum over its text, so that another number in the place of the one that was written is
noticed, wherever it is. A state without ``sums`` is one of a version that wrote none, or was edited by hand.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from lightning_lr.core.checks import choice, flag, number, shown, whole
from lightning_lr.core.control import CONTROL_CHECKS, EVENT_CHECKS, FINISHES, Event
from lightning_lr.core.detectors import Detector, tuples
from lightning_lr.core.durations import Horizon
from lightning_lr.core.rules import Rule

FORMAT = 2

Check = Callable[[Any, str], object]
"""``check(value, where)``: ``ValueError``, naming ``where``, unless the value may stand there."""


class StateError(ValueError):
    """A saved state that cannot be used; the message names the field."""


# ---- what a value may be --------------------------------------------------------------------------------------------


def _a(kind: type | tuple[type, ...], name: str) -> Check:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"{where} must be {name}, got {shown(value)}")

    return check


def _maybe(check: Check) -> Check:
    return lambda value, where: value is None or check(value, where)


def _each(check: Check) -> Check:
    def each(value: Any, where: str) -> None:
        _LIST(value, where)
        for i, item in enumerate(value):
            check(item, f"{where}[{i}]")

    return each


def _by_name(check: Check) -> Check:
    def by_name(value: Any, where: str) -> None:
        _DICT(value, where)
        for name, item in value.items():
            _TEXT(name, f"a key of {where}")
            check(item, f"{where}[{name!r}]")

    return by_name


def _row(optional: int = 0, /, **checks: Check) -> Check:
    """A list of exactly these, in this order; so many at its end may be left out."""

    def row(value: Any, where: str) -> None:
        _LIST(value, where)
        if not len(checks) - optional <= len(value) <= len(checks):
            raise ValueError(f"{where} must be a list of {len(checks)} ({', '.join(checks)}), got {shown(value)}")
        for (name, check), item in zip(checks.items(), value, strict=False):
            check(item, f"{where}.{name}")

    return row


def _fields(*optional: str, **checks: Check) -> Check:
    """A dict with these fields, and maybe more; the optional ones may be left out."""

    def fields(value: Any, where: str) -> None:
        _DICT(value, where)
        for name, check in checks.items():
            if name in value:
                check(value[name], f"{where}.{name}" if where else name)
            elif name not in optional:
                raise ValueError(f"{where}.{name} is missing" if where else f"{name} is missing")

    return fields


def _horizon(value: Any, where: str) -> None:
    _row(total_steps=_ANY, steps_per_epoch=_ANY)(value, where)
    try:
        Horizon(*value)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _shape(value: Any, where: str) -> None:
    choice(value, FINISHES, where)


_ANY: Check = lambda value, where: None
_TEXT = _a(str, "a text")
_LIST, _DICT = _a((list, tuple), "a list"), _a(Mapping, "a dict")
_COUNT: Check = whole
_POSITIVE: Check = partial(whole, low=1)
_FACTOR: Check = partial(number, low=0)

# ---- format 2 -------------------------------------------------------------------------------------------------------

_CONTROL = _row(**CONTROL_CHECKS)
_FINISH = _row(shape=_shape, length=_POSITIVE)
_EVENT = _fields(*Event._field_defaults, **{**EVENT_CHECKS, "control": _CONTROL, "finish": _maybe(_FINISH)})
_RULE = _row(kind=_TEXT, detector=_LIST, cooldown=_COUNT, acted=_COUNT, waiting=_COUNT)
_TRACK = _row(
    fingerprint=_TEXT,
    control=_maybe(_CONTROL),
    factor=_FACTOR,
    rules=_by_name(_RULE),
    restarts=_COUNT,
    finish=_maybe(_row(1, shape=_shape, length=_POSITIVE, aside=_CONTROL)),  # the last came later
    fitted=_maybe(_horizon),
    horizon=_horizon,
)
_HEAD: dict[str, Check] = {"lightning_lr": _POSITIVE, "optimizer": _COUNT, "started": flag}
_BODY: dict[str, Check] = {
    "updates": _COUNT,
    "tracks": _by_name(_TRACK),
    "run_horizon": _horizon,
    "checked_at": partial(whole, low=-1),
    "groups": _COUNT,
    "events": _each(_EVENT),
    "folded": _each(_EVENT),
}
_SUMMED = (*_HEAD, *_BODY)
_STATE = _fields("folded", "sums", **_BODY, sums=_by_name(_COUNT))

# ---- earlier formats ------------------------------------------------------------------------------------------------

_OLD_TRACK = ["fingerprint", "control", "factor", "rules", "restarts", "finish", "fitted"]
_FORMAT_1 = _fields(tracks=_row(lr=_row(1, **dict.fromkeys(_OLD_TRACK, _ANY))), program_horizon=_ANY)


def _from_1(state: Mapping[str, Any]) -> dict[str, Any]:
    """One track, of the lr, whose horizon stood beside it; one event at most was folded."""
    _FORMAT_1(state, "")
    track = [*state["tracks"][0], None][: len(_OLD_TRACK)]
    folded = [state["folded"]] if "folded" in state else []
    return {**state, "lightning_lr": 2, "tracks": {"lr": [*track, state["program_horizon"]]}, "folded": folded}


_NEXT: dict[int, Callable[[Mapping[str, Any]], dict[str, Any]]] = {1: _from_1}


# ---- what is asked of it --------------------------------------------------------------------------------------------


def is_ours(state: object) -> bool:
    """Whether a ``ScheduledLR`` wrote it, as far as its fields tell.

    >>> is_ours({"lightning_lr": 2}), is_ours({"last_epoch": 3}), is_ours(None)
    (True, False, False)
    """
    return isinstance(state, Mapping) and ("lightning_lr" in state or {"tracks", "run_horizon"} <= set(state))


def checked(state: object) -> dict[str, Any]:
    """A saved state in today's format, every field of which is what it must be.

    Raises:
        StateError: it is not, it is another scheduler's, or of a newer format.

    >>> checked({"lightning_lr": 2, "optimizer": 0, "started": "yes"})
    Traceback (most recent call last):
    lightning_lr.core.state.StateError: started must be True or False, got 'yes' (a str)
    """
    try:
        return _checked(state)
    except ValueError as error:
        raise StateError(str(error)) from None


def _checked(state: Any) -> dict[str, Any]:
    _DICT(state, "the state")
    if not is_ours(state):
        keys = ", ".join(map(str, state))
        raise ValueError(f"this is not a state of ScheduledLR (its keys: {keys or 'none'})")
    _fields(**_HEAD)(state, "")
    if state["lightning_lr"] > FORMAT:
        raise ValueError(
            f"the state has format {state['lightning_lr']}, this version reads up to {FORMAT}: install the newer "
            "lightning_lr that wrote it"
        )
    if not state["started"]:
        if "updates" in state or "tracks" in state:
            raise ValueError("started is False, but the rest of a state that has started is there")
        return dict(state)
    for version in range(state["lightning_lr"], FORMAT):
        state = _NEXT[version](state)
    _STATE(state, "")
    written, found = state.get("sums", {}), sums(state)
    for field in _SUMMED:
        if written.get(field, found[field]) != found[field]:
            raise ValueError(
                f"{field} is not what was written: its sum is {found[field]}, and sums says {written[field]} (if you "
                "have edited it, remove sums)"
            )
    return dict(state)


def sums(state: Mapping[str, Any]) -> dict[str, int]:
    """A sum over the text of each field of a state, there or not."""
    texts = {field: json.dumps(state.get(field), default=_text, skipkeys=True) for field in _SUMMED}
    return {field: zlib.crc32(text.encode()) & 0x7FFFFFFF for field, text in texts.items()}


def _text(value: Any) -> Any:
    """What a detector of the user's own remembers besides plain data, as a text that another process gives it too."""
    if isinstance(value, (set, frozenset)):
        return sorted(map(repr, value))
    return value.tolist() if hasattr(value, "tolist") else type(value).__name__


def remembered(rule: Rule, rules: Mapping[str, Sequence[Any]], where: str) -> Sequence[Any] | None:
    """What ``RuleState.of`` is to make a rule's state of: its own saved one, if its detector can go on from that.

    Raises:
        StateError: it is of this kind of detector, but not of its shape.
    """
    saved = rules.get(rule.key)
    if saved is not None and saved[0] == rule.kind_of_state and not _fits(tuples(saved[1]), rule.when):
        raise StateError(
            f"{where}.rules[{rule.key!r}].detector must be a state of {rule.when!r}, such as its first one, "
            f"{rule.when.init()!r}; got {shown(saved[1])}"
        )
    return saved


def _fits(state: Any, detector: Detector) -> bool:
    """Whether a detector can go on from a state: it looks like the first one, and the detector can use it."""
    own = type(detector).__module__.startswith("lightning_lr.")  # what another's state looks like only it can tell
    if own and not _like(state, detector.init()):
        return False
    try:
        best = detector.best(state)
        after, _ = detector.update(state, 0.0, True)
        detector.after_action(after)
    except Exception:  # a detector of the user's own may raise anything
        return False
    return best is None or best == best


def _like(value: Any, first: Any) -> bool:
    """``None`` stands for what is not known yet, and the empty tuple for any number of values of one kind."""
    if isinstance(first, tuple):
        if not isinstance(value, tuple) or (first and len(value) != len(first)):
            return False
        return all(map(_like, value, first)) if first else len({_kind(item) for item in value}) <= 1
    return first is None or _kind(value) is _kind(first)


def _kind(value: Any) -> type:
    return float if type(value) is int else type(value)
