"""What was decided in a run: the last events, and what all before them have left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightning_lr.core.control import UNTOUCHED, Control, Event, followed, replay_at
from lightning_lr.core.program import Program

MAX_EVENTS = 1000


class History:
    """The events of all tracks, in their order. It does not grow beyond ``MAX_EVENTS``.

    ``folded`` has for each track the last of its events that were dropped: its control, with any cooldown before it, is
    all that they have left.

    >>> history = History()
    >>> for step in range(MAX_EVENTS + 2):
    ...     history.add(Event(step, "reduce", 1.0, 0.5, Control(scale=0.5)))
    >>> len(history.events), history.events[0].step, history.folded[0].step
    (1000, 2, 1)
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.folded: dict[int, Event] = {}

    def add(self, event: Event) -> None:
        """Append it; the oldest is folded into what it left."""
        self.events.append(event)
        while len(self.events) > MAX_EVENTS:
            oldest = self.events.pop(0)
            earlier = self.folded.get(oldest.track)
            before = None if earlier is None or oldest.kind == "schedule" else earlier.finish
            self.folded[oldest.track] = oldest._replace(finish=oldest.finish or before)

    def replayed(
        self, planned: Program, steps: Sequence[int], track: int, lead: int | None = None, aside: Control = UNTOUCHED
    ) -> list[float]:
        """The factors of increasing updates, as a track's events make them; NaN before what is known of its schedule.

        Args:
            planned: its schedule alone.
            steps: the updates.
            track: its place.
            lead: the place of the track whose clock it keeps, if it has none of its own.
            aside: that track's control as a cooldown has left it.
        """
        whose = track if lead is None else lead
        events = [event for event in self.events if event.track in (whose, track)]
        if whose in self.folded:
            events.insert(0, self.folded[whose])
        if lead is not None:
            stopped = lead in self.folded and self.folded[lead].finish is not None
            aside = aside._replace(scale=1.0) if stopped else UNTOUCHED
            clocks = followed(events[stopped:], aside, finishing=stopped)
            events = [*([events[0]._replace(control=aside, finish=None)] if stopped else []), *clocks]
        changed = max((i for i, e in enumerate(events) if e.kind == "schedule" and e.track == track), default=-1)
        first = max(changed, 0)
        began = events[first].step if changed >= 0 or whose in self.folded else 0
        known = [step for step in steps if step >= began]
        values = replay_at(planned, events[first:], known)
        return [float("nan")] * (len(steps) - len(known)) + values

    def state(self) -> dict[str, Any]:
        """Plain data for a checkpoint; :meth:`load` is the way back."""
        state = {"events": [event.state() for event in self.events]}
        return state | ({"folded": [event.state() for event in self.folded.values()]} if self.folded else {})

    def load(self, state: Mapping[str, Any], places: Sequence[int]) -> None:
        """What was saved; ``places`` are where the saved tracks are now, -1 for one that is gone."""
        self.events = [_moved(Event.of(event), places) for event in state["events"]]
        folded = [_moved(Event.of(event), places) for event in state.get("folded", [])]
        self.folded = {event.track: event for event in folded}


def _moved(event: Event, places: Sequence[int]) -> Event:
    """The event at its track's present place; that of a track which is gone is nobody's."""
    return event._replace(track=places[event.track] if 0 <= event.track < len(places) else -1)
