"""Tracks: which parameter groups follow which schedule, for which of their numbers; and what follows from it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lightning_lr.core.checks import as_key, did_you_mean, shown
from lightning_lr.core.coerce import build
from lightning_lr.core.rules import Rule, as_rules
from lightning_lr.core.schedules import Beside, Constant
from lightning_lr.core.schedules.base import Schedule
from lightning_lr.core.schedules.coerce import as_schedule
from lightning_lr.core.values import Value


class Track(Value):
    """A schedule, and rules that change it, for some parameter groups of an optimizer and one of their numbers.

    Args:
        schedule: ``None``: the schedule of the groups that no track names.
        groups: a group's name, a regular expression that matches the whole name, an index, or a list of these; ``None``
            for the groups that no other track of this key names. A group without a name is ``pg1``, ``pg2``, … .
        key: ``"lr"``; or ``"momentum"`` (beta1 where there are betas), ``"beta1"``, ``"beta2"``, ``"weight_decay"``, or
            any other numeric key of the groups. Without rules of its own it keeps the clock of the lr: a restart, a
            hold or a stretch of the lr's schedule is one of its schedule too; reductions are the lr's alone.
        rules: what metrics may change; rules that name no groups hold here too.

    >>> from lightning_lr import Cosine
    >>> Track(Cosine(), groups="head")
    Track(Cosine(), groups='head')
    """

    __slots__ = ()
    schedule: Schedule | None
    groups: int | str | tuple[int | str, ...] | None
    key: str
    rules: tuple[Rule, ...]
    beside: str | None
    """The id of the lr's track that it came with: it is about that one's groups only."""

    def __init__(
        self,
        schedule: Schedule | Sequence[Schedule] | None = None,
        *,
        groups: int | str | Sequence[int | str] | None = None,
        key: str = "lr",
        rules: Sequence[Rule] = (),
    ) -> None:
        self._set(
            schedule=None if schedule is None else as_schedule(schedule, "Track: schedule"),
            groups=as_groups(groups, "Track: groups"),
            key=as_key(key, "Track: key"),
            rules=as_rules(rules, "Track: rules"),
            beside=None,
        )

    @property
    def id(self) -> str:
        """What its state is kept under: ``lr``, ``lr[head]``, ``momentum``."""
        return self.key if self.groups is None else f"{self.key}[{'|'.join(map(str, _listed(self.groups)))}]"

    def names(self, index: int, name: str) -> bool:
        """Whether it names this group."""
        return self.groups is not None and any(
            index == one if isinstance(one, int) else name == one or re.fullmatch(one, name) is not None
            for one in _listed(self.groups)
        )


def as_groups(value: object, where: str) -> int | str | tuple[int | str, ...] | None:
    """``value`` as what names parameter groups, or ``ValueError``."""
    if value is None:
        return None
    single = isinstance(value, (int, str)) and not isinstance(value, bool)
    if not single and (isinstance(value, (bool, Mapping)) or not hasattr(value, "__iter__")):
        raise ValueError(
            f"{where} must be a name, a regular expression, an index or a list of these, got {shown(value)}"
        )
    items: list[Any] = [value] if single else list(value)  # type: ignore[call-overload]
    for one in items:
        if isinstance(one, bool) or not isinstance(one, (int, str)) or one == "" or (isinstance(one, int) and one < 0):
            raise ValueError(
                f"{where}: a group is named by its name, a regular expression or an index, got {shown(one)}"
            )
        if isinstance(one, str):
            try:
                re.compile(one)
            except re.error as error:
                raise ValueError(f"{where}: {one!r} is not a regular expression: {error}; see re.escape") from None
    if not items:
        raise ValueError(f"{where} must name at least one group, got {value!r}; None is for all")
    return items[0] if len(items) == 1 else tuple(items)


def as_tracks(values: object, where: str) -> tuple[Track, ...]:
    """Tracks, or mappings that describe them, as a tuple."""
    if isinstance(values, (Track, Mapping, str)) or not hasattr(values, "__iter__"):
        raise ValueError(f"{where} must be a list of tracks, got {shown(values)}")
    return tuple(_as_track(value, f"{where}[{i}]") for i, value in enumerate(values))


def _as_track(value: object, where: str) -> Track:
    if isinstance(value, Track):
        return value
    if isinstance(value, Mapping):
        named = value if {"class_path", "_target_"} & set(value) else {**value, "class_path": "Track"}
        return build(named, {"Track": Track}, "track", where)
    raise ValueError(f"{where} must be a Track(schedule, groups=…), got {shown(value)}")


def settled(tracks: Sequence[Track]) -> tuple[Track, ...]:
    """The tracks with nothing left unsaid: schedules beside a schedule are tracks, and what names no groups is general.

    A general track's schedule and rules hold for the groups that others of its key name, unless those say otherwise.

    Raises:
        ValueError: two tracks for the same groups and key.

    >>> from lightning_lr import Cosine, Linear
    >>> for track in settled([Track(Cosine().beside(momentum=Linear())), Track(Linear(), groups="head")]):
    ...     print(track)
    Track(Cosine())
    Track(Linear(), groups='head')
    Track(Linear(), key='momentum')
    """
    spread = sorted(tracks, key=lambda track: (track.key != "lr", track.key, track.groups is not None, track.id))
    for track in tuple(spread):
        for key, schedule in () if track.schedule is None else track.schedule.others.items():
            spread.append(_with(Track(schedule, groups=track.groups, key=key), beside=track.id))
    for i, track in enumerate(spread):
        if track.id in {other.id for other in spread[:i]}:
            raise ValueError(
                f"two tracks are about {track.id!r}: each key of each group has one owner; join them with >>"
            )
    general = {track.key: track for track in spread if track.groups is None}
    return tuple(_inherits(track, general.get(track.key)) for track in spread)


def _inherits(track: Track, general: Track | None) -> Track:
    schedule, rules = track.schedule, track.rules
    if track.groups is not None and general is not None:
        own = {rule.key for rule in rules}
        rules = (*rules, *(rule for rule in general.rules if rule.key not in own))
        schedule = general.schedule if schedule is None else schedule
    main = schedule.schedule if isinstance(schedule, Beside) else Constant() if schedule is None else schedule
    ordered = tuple(sorted(rules, key=lambda rule: rule.key))
    return _with(Track(main, groups=track.groups, key=track.key, rules=ordered), beside=track.beside)


def _with(track: Track, beside: str | None) -> Track:
    track._set(beside=beside)
    return track


def label(index: int, group: Mapping[str, Any]) -> str:
    """The name by which a track knows a group: its own, else its place.

    >>> label(0, {"name": "head"}), label(1, {})
    ('head', 'pg2')
    """
    return str(group.get("name") or f"pg{index + 1}")


def partition(tracks: Sequence[Track], names: Sequence[str]) -> list[tuple[int, ...]]:
    """For each track the groups that follow it; a group that none of a key's tracks is about follows none.

    Raises:
        ValueError: two tracks of one key name the same group.

    >>> partition([Track(), Track(groups="h.*"), Track(groups=2, key="momentum")], ["body", "head", "pg3"])
    [(0, 2), (1,), (2,)]
    """
    members: list[list[int]] = [[] for _ in tracks]
    for key in dict.fromkeys(track.key for track in tracks):
        mine = [i for i, track in enumerate(tracks) if track.key == key]
        general = next((i for i in mine if tracks[i].groups is None), None)
        for index, name in enumerate(names):
            named = [i for i in mine if tracks[i].names(index, name)]
            if len(named) > 1:
                both = " and ".join(f"groups={tracks[i].groups!r}" for i in named)
                raise ValueError(f"{both} both name the group {name!r}, whose {key} can follow one schedule only")
            owner = named[0] if named else general
            if owner is not None:
                members[owner].append(index)
    return [tuple(found) for found in members]


def refuse_unknown(tracks: Sequence[Track], names: Sequence[str], optimizer: str) -> None:
    """``ValueError`` for a track that names no group that is there."""
    for track in tracks:
        for one in () if track.groups is None else _listed(track.groups):
            if not any(Track(groups=one).names(i, name) for i, name in enumerate(names)):
                listed = ", ".join(map(repr, names))
                raise ValueError(
                    f"groups={one!r} names no group of {optimizer}; its groups are {listed}{did_you_mean(one, names)}"
                )


def _listed(groups: int | str | tuple[int | str, ...]) -> tuple[int | str, ...]:
    return groups if isinstance(groups, tuple) else (groups,)
