"""Which groups each track is about, and what each of them starts from: the code's value, the checkpoint's, or what
another scheduler has left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch.optim import Optimizer

from lightning_lr.core.control import UNTOUCHED, Control, Event, factor
from lightning_lr.core.native import hides_reductions, name_of, one_cycle_of, peak_of, scale_of
from lightning_lr.core.tracks import Track, label, partition, refuse_unknown
from lightning_lr.track import LiveTrack, read, slot, store


class Bases:
    """The groups of an optimizer, dealt out to tracks.

    Args:
        optimizer: whose groups.

    Attributes:
        tracks: who follows a schedule.
        own: how many groups the code makes; callbacks may add more, and put them back.
        configured: the value that the code gives a key of a group, by ``(key, place)``.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.tracks: Sequence[LiveTrack] = ()
        self.own = len(optimizer.param_groups)
        self.configured: dict[tuple[str, int], float] = {}
        self._names = [group.get("name") for group in optimizer.param_groups]

    @property
    def _name(self) -> str:
        return type(self.optimizer).__name__

    # ---- who owns what

    def deal(self, tracks: Sequence[LiveTrack], wanted: Sequence[Track]) -> None:
        """These tracks from now on; ``wanted`` is what they were made of.

        Raises:
            ValueError: two are about one number, a group has no such number, or it is 0 where a schedule multiplies it.
        """
        self.tracks = tracks
        self.partition()
        self.configured = {}
        for track in tracks:
            for i in track.members:
                group = self.optimizer.param_groups[i]
                try:
                    self.configured[track.key, i] = float(group.get(track.initial, read(group, track.key)))
                except ValueError as error:
                    raise ValueError(f"ScheduledLR: {track.id} of group {i} of {self._name}: {error}") from None
        for one in wanted:
            values = [self.configured[t.key, i] for t in tracks if t.wanted is one for i in t.members]
            if one.key != "lr" and values and not any(values):
                raise ValueError(
                    f"ScheduledLR: {one.key} is 0 in every group of {self._name} that {one!r} is about, and a "
                    "schedule multiplies it: give the optimizer the value that the schedule is to start from"
                )

    def partition(self) -> list[str]:
        """Which groups each track is about, now; returns their names.

        A group that the code makes has the name that the code gives it.
        """
        for group, own in zip(self.optimizer.param_groups, self._names, strict=False):
            if group.get("name") != own:
                group.pop("name", None) if own is None else group.update(name=own)
        names = [label(i, group) for i, group in enumerate(self.optimizer.param_groups)]
        wanted = list({id(track.wanted): track.wanted for track in self.tracks}.values())
        owned = dict(zip(map(id, wanted), partition(wanted, names), strict=True))
        led: set[tuple[str, int]] = set()
        for track in self.tracks:  # those of the lr come first
            mine = owned[id(track.wanted)]
            if track.leader is not None:
                mine = tuple(i for i in mine if i in track.leader.members)
                led |= {(track.key, i) for i in mine}
            elif track.key != "lr":
                mine = tuple(i for i in mine if (track.key, i) not in led)
            track.members = mine
        self._refuse_two_owners(names)
        return names

    def _refuse_two_owners(self, names: Sequence[str]) -> None:
        """``momentum`` and ``beta1`` may be the same number."""
        owner: dict[tuple[int, Any], LiveTrack] = {}
        for track in self.tracks:
            for i in track.members:
                try:
                    place = (i, slot(self.optimizer.param_groups[i], track.key))
                except ValueError:
                    continue  # told where its value is first read
                other = owner.setdefault(place, track)
                if other is not track:
                    raise ValueError(
                        f"{other.id} and {track.id} are the same number of the group {names[i]!r}: keep one"
                    )

    def refuse_unknown_groups(self, some_may_come: bool) -> None:
        """``ValueError`` for a track that names groups which are not there, unless some may come."""
        names = self.partition()
        if not some_may_come:
            refuse_unknown([track.wanted for track in self.tracks], names, self._name)

    def keep(self) -> None:
        """Give groups that were made anew what they had started from."""
        for track in self.tracks:
            for i, base in track.started_from():
                if i < len(self.optimizer.param_groups):
                    self.optimizer.param_groups[i].setdefault(track.initial, base)
        self.partition()

    # ---- what it starts from

    def read(self) -> None:
        """Every group's ``initial_…`` is its value as it stands: a finder may have set another since."""
        for track in self.tracks:
            for i in track.members:
                group = self.optimizer.param_groups[i]
                group[track.initial] = read(group, track.key)

    def settle(self, on_lr_change: str) -> list[str]:
        """Every group's ``initial_…``: the saved one, or the code's where that is asked for; returns what to say."""
        groups = self.optimizer.param_groups
        notes = []
        for track in self.tracks:
            key = track.key
            for i in track.members:
                group = groups[i]
                new = self.configured.get((key, i)) if i < self.own else None
                if track.initial not in group:
                    group[track.initial] = track.base_of(group, new)
                old = float(group[track.initial])
                if new is None or old == new:
                    continue
                change = f"the {key} of group {i} is {new:g} in the code and {old:g} in the checkpoint"
                if on_lr_change == "error":
                    raise ValueError(f'ScheduledLR: {change}: restore it, or ask for on_lr_change="keep" or "use_new"')
                if on_lr_change == "use_new":
                    group[track.initial] = new
                    notes.append(f"{change}; the code's is used from here on")
                else:
                    notes.append(f"{change}; the checkpoint's is kept: on_lr_change=\"use_new\" would use the code's")
        return notes

    def one_cycle(self) -> dict[str, Any] | None:
        """The state of a ``OneCycleLR``, where its traces are all that a checkpoint has left of it."""
        return one_cycle_of(self.optimizer.param_groups)

    def take_over(self, state: Mapping[str, Any], t: int, built_on_it: bool) -> tuple[list[str], list[Event]]:
        """Go on from what a scheduler of torch's own has left: its peaks, and the reductions that a plateau made.

        Args:
            state: that scheduler's.
            t: the next update.
            built_on_it: whether the code's own values were overwritten before this was built.

        Returns:
            What to say, and the reductions as events.
        """
        notes = []
        if hides_reductions(state):
            notes.append(
                f"the checkpoint is one of {name_of(state)}, and what the plateau has reduced cannot be told from the "
                'rest: the peak is the full one; give the optimizer a lower lr with on_lr_change="use_new" to keep it'
            )
        events = []
        for i, track in enumerate(self.tracks):
            if track.key in ("momentum", "beta1"):
                self._take_momentum(track, built_on_it)
            if track.key == "lr":
                scale = self._take_peaks(track, state, built_on_it)
                if scale != 1.0 and track.control == UNTOUCHED:
                    before = factor(track.running, track.control, t)
                    track.control = Control(scale=scale)
                    detail = f"{name_of(state)}, which wrote the checkpoint, had reduced it to {scale:g} of the code's"
                    events.append(track.event("reduce", before, t, detail)._replace(track=i))
        return list(dict.fromkeys(notes + self._tidy(state))), events

    def _take_momentum(self, track: LiveTrack, built_on_it: bool) -> None:
        for place in track.members:
            group = self.optimizer.param_groups[place]
            if "max_momentum" in group:
                group[track.initial] = peak = float(group["max_momentum"])
                if built_on_it:
                    self.configured[track.key, place] = peak

    def _take_peaks(self, track: LiveTrack, state: Mapping[str, Any], built_on_it: bool) -> float:
        """What the groups start from; returns what they were reduced to, as a share of it."""
        scales = set()
        for place in track.members:
            group = self.optimizer.param_groups[place]
            code = self.configured.get(("lr", place), read(group, "lr"))
            group["initial_lr"] = peak = peak_of(group, place, state, code)
            if built_on_it:
                self.configured["lr", place] = peak
            scales.add(scale_of(group, state, peak))
        scale = max(scales, default=1.0)
        if any(abs(other - scale) > 1e-9 * scale for other in scales):
            raise ValueError(
                f"ScheduledLR: {name_of(state)} has left the groups at different shares of their lrs in the code, "
                f"{', '.join(f'{s:g}' for s in sorted(scales))}, and one schedule keeps their ratios: give the "
                "groups the lrs of the checkpoint, or tracks of their own"
            )
        return scale

    def _tidy(self, state: Mapping[str, Any]) -> list[str]:
        """Undo what else that scheduler has left in the groups; returns what to say of it."""
        notes = []
        scheduled = {place for track in self.tracks if track.key == "lr" for place in track.members}
        for place, group in enumerate(self.optimizer.param_groups):
            if place not in scheduled:
                lr = float(group["lr"])
                notes.append(f"no schedule is about the lr of group {place}: {name_of(state)} has left it at {lr:g}")
            if "max_lr" not in self.optimizer.defaults:
                group.pop("max_lr", None)  # it is the base now: what is saved from here on is ours
            if "max_momentum" in group and read(group, "momentum") != group["max_momentum"]:
                left = read(group, "momentum")
                store(group, "momentum", group["max_momentum"])
                notes.append(f"{name_of(state)} had left momentum at {left:g}; it is {group['max_momentum']:g} again")
        return notes
