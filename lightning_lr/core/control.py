"""The law: how a program and a handful of numbers give the factor of every update, and how events change the numbers.

::

    j         = max(t, hold_until) − origin
    factor(t) = scale · min(1, (j + 1) / R) · program(position)      (the middle term is 1 when R = 0)
    position  = (offset + max(0, j − R) · num) / den                 (an exact rational: staircases stay exact)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from lightning_lr.core.checks import (
    choice,
    fields_checked,
    instance,
    items,
    number,
    real,
    shown,
    suggesting,
    text,
    whole,
)
from lightning_lr.core.durations import Horizon
from lightning_lr.core.program import EXACT, SCALAR, Program
from lightning_lr.core.schedules import Cosine, Linear, OneMinusSqrt
from lightning_lr.core.schedules.base import Schedule

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

AHEAD = 512
"""Updates whose factors are computed at once."""


class Control(NamedTuple):
    """What events have changed so far; ``Control()`` is "nothing": the program as it was previewed."""

    scale: float = 1.0
    rewarm: int = 0
    origin: int = 0
    hold_until: int = 0
    offset: int = 0
    num: int = 1
    den: int = 1

    def state(self) -> list[float]:
        """Plain data for a checkpoint; ``Control(*state)`` is the way back."""
        return list(self)


CONTROL_CHECKS: dict[str, Callable[[Any, str], object]] = {
    **dict.fromkeys(Control._fields, whole),
    "scale": partial(number, low=0),
    "den": partial(whole, low=1),
}
"""What each field may be, given or read from a saved state."""
fields_checked(Control, **CONTROL_CHECKS)
UNTOUCHED = Control()


class Finish(NamedTuple):
    """A cooldown that has replaced the program: a decay to zero of so many updates."""

    shape: str
    length: int

    def program(self) -> Program:
        """The decay, from 1 at its first update."""
        schedule: Schedule = _FINISHES[self.shape](self.length)
        return schedule.resolve(Horizon(self.length))


_FINISHES: dict[str, Callable[[int], Schedule]] = {"linear": Linear, "cosine": Cosine, "one_minus_sqrt": OneMinusSqrt}
FINISHES = tuple(_FINISHES)
fields_checked(Finish, shape=lambda value, where: choice(value, FINISHES, where), length=partial(whole, low=1))


class Event(NamedTuple):
    """One decision: when, why, what it made of the control. Prose is made of it where it is shown.

    ``step`` is the first update it acts on; ``before`` and ``after`` are that update's factors without and with it.
    """

    step: int
    kind: str
    before: float
    after: float
    control: Control
    detail: str = ""
    track: int = 0
    rule: str = ""
    monitor: str = ""
    value: float | None = None
    best: float | None = None
    epoch: int | None = None
    finish: Finish | None = None

    def state(self) -> dict[str, Any]:
        """Plain data for a checkpoint, without what is at its default; :meth:`of` is the way back."""
        fields = {
            k: v for k, v in self._asdict().items() if k not in self._field_defaults or v != self._field_defaults[k]
        }
        if self.finish is not None:
            fields["finish"] = list(self.finish)
        return {**fields, "control": self.control.state()}

    @classmethod
    @suggesting
    def of(cls, state: Mapping[str, Any]) -> Event:
        """The event of a saved state. Errors: ``ValueError`` where that is none, or a field of it cannot be."""
        lacking = [name for name in cls._fields[:5] if not isinstance(state, Mapping) or name not in state]
        if lacking:
            raise ValueError(
                f"Event.of: state must be what Event.state() returns, with {lacking[0]!r}, got {shown(state)}"
            )
        fields = {k: v for k, v in state.items() if k in cls._fields}
        control = items(state["control"], "Event.of: state['control']", "a list of its numbers")
        finish = state.get("finish")
        try:
            fields |= {"control": Control(*control), "finish": None if finish is None else Finish(*finish)}
            return cls(**fields)
        except (TypeError, ValueError) as error:
            raise ValueError(f"Event.of: state: {error}") from None


def _or_none(check: Callable[[object, str], object], value: object, where: str) -> object:
    return None if value is None else check(value, where)


EVENT_CHECKS: dict[str, Callable[[Any, str], object]] = {
    "step": whole,
    "kind": text,
    "before": partial(number, low=0),
    "after": partial(number, low=0),
    "control": lambda value, where: instance(value, Control, where, "a Control"),
    "detail": partial(text, empty=True),
    "track": partial(whole, low=-1),
    "rule": partial(text, empty=True),
    "monitor": partial(text, empty=True),
    "value": partial(_or_none, real),
    "best": partial(_or_none, real),
    "epoch": partial(_or_none, whole),
    "finish": partial(_or_none, lambda value, where: instance(value, Finish, where, "a Finish")),
}
"""The same of an event; in a saved state ``control`` and ``finish`` are lists."""
fields_checked(Event, **EVENT_CHECKS)


def events_of(values: object, where: str) -> list[Event]:
    """The events of one schedule, in the order of their updates, or ``ValueError``."""
    listed = items(values, where, "a list of events, such as scheduler.events")
    events = [instance(event, Event, f"{where}[{i}]", "an Event") for i, event in enumerate(listed)]
    return sorted(events, key=lambda event: event.step)


@suggesting
def replay(program: Program, events: Iterable[Event], stop: int, start: Control = UNTOUCHED) -> list[float]:
    """The factors of updates 0 to ``stop`` that a schedule's program and its events make: the whole curve again.

    A changed schedule (an event of kind ``"schedule"``) is another program: replay from there with that one.

    Args:
        program: ``schedule.resolve(Horizon(…))``.
        events: those of this schedule, as ``scheduler.events`` has them.
        stop: how many updates.
        start: what held before the first event.

    Raises:
        ValueError: one of them is something else.

    >>> from lightning_lr import Linear
    >>> replay(Linear().resolve(Horizon(4)), [Event(2, "reduce", 0.5, 0.25, Control(scale=0.5))], 5)
    [1.0, 0.75, 0.25, 0.125, 0.0]
    """
    instance(program, Program, "replay: program", "a Program, such as schedule.resolve(Horizon(total_steps))")
    instance(start, Control, "replay: start", "a Control")
    return replay_at(program, events_of(events, "replay: events"), range(whole(stop, "replay: stop")), start)


def replay_at(
    program: Program, events: Iterable[Event], steps: Iterable[int], start: Control = UNTOUCHED
) -> list[float]:
    """As :func:`replay`, at increasing updates only."""
    import numpy as np

    listed = list(steps)
    wanted = np.array(listed, dtype=np.int64 if not listed or listed[-1] < EXACT else object)
    out: list[float] = []
    control = start
    for event in events:
        until = int(np.searchsorted(wanted, event.step))
        out.extend(factors(program, control, wanted[len(out) : until]).tolist())
        control = event.control
        program = program if event.finish is None else event.finish.program()
    out.extend(factors(program, control, wanted[len(out) :]).tolist())
    return out


def factor(program: Program, control: Control, t: int) -> float:
    """The factor of update ``t``.

    >>> from lightning_lr import Horizon, Linear
    >>> program = Linear().resolve(Horizon(8))
    >>> [factor(program, Control(), t) for t in (0, 4, 8)]
    [1.0, 0.5, 0.0]
    >>> reduced = Control(scale=0.5)
    >>> [factor(program, reduced, t) for t in (0, 4, 8)]
    [0.5, 0.25, 0.0]
    >>> restarted = Control(rewarm=2, origin=4)
    >>> [factor(program, restarted, t) for t in (4, 5, 6, 10)]
    [0.5, 1.0, 1.0, 0.5]
    """
    if control is UNTOUCHED or control == UNTOUCHED:
        return program.at(t)
    return float(_law(SCALAR, program.at, control, t))


def factors(program: Program, control: Control, steps: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The factors of increasing updates: float64, of the same shape, each to the last bit what :func:`factor` says."""
    import numpy as np

    if (control == UNTOUCHED and steps.dtype != object) or not len(steps):
        return program.take(steps)
    furthest = control.offset + (int(steps[-1]) + control.hold_until + control.origin + 1) * max(1, control.num)
    if furthest < EXACT and steps.dtype != object:
        with np.errstate(all="ignore"):
            return np.asarray(_law(np, program.take, control, steps))
    return np.array([factor(program, control, int(t)) for t in steps.tolist()])  # an object may be an int64


def _law(m: Any, look_up: Callable[[Any, int], Any], control: Control, t: Any) -> Any:
    scale, rewarm, origin, hold_until, offset, num, den = control
    j = m.maximum(t, hold_until) - origin
    value = scale * look_up(offset + m.maximum(0, j - rewarm) * num, den)
    return value * m.minimum(1.0, (j + 1) / rewarm) if rewarm else value


def ahead(program: Program, control: Control, t: int) -> list[float]:
    """The factors of update ``t`` and of those after it that are worth computing along with it."""
    import numpy as np

    if program.calls_out or t >= EXACT:
        return [factor(program, control, t)]
    values: list[float] = factors(program, control, np.arange(t, t + AHEAD)).tolist()
    return values


def position(control: Control, t: int) -> Fraction:
    """Where in the program update ``t`` is."""
    j = max(t, control.hold_until) - control.origin
    return Fraction(control.offset + max(0, j - control.rewarm) * control.num, control.den)


def beside(control: Control) -> Control:
    """The control of what keeps this one's clock, but not its scale: a re-warmup is a hold to it.

    >>> restarted = Control(scale=0.5, rewarm=2, origin=4, offset=3)
    >>> [str(position(c, t)) for c in (restarted, beside(restarted)) for t in (4, 6, 7)]
    ['3', '3', '4', '3', '3', '4']
    """
    moving = control.origin + control.rewarm
    held = max(control.hold_until, moving) if control.rewarm else control.hold_until
    return control._replace(scale=1.0, rewarm=0, origin=moving, hold_until=held)


def halted(control: Control, t: int) -> Control:
    """The control that stays where it is at update ``t`` for ever."""
    here = position(control, t)
    return control._replace(rewarm=0, origin=t, hold_until=0, offset=here.numerator, num=0, den=here.denominator)


def followed(events: Iterable[Event], start: Control = UNTOUCHED, finishing: bool = False) -> list[Event]:
    """The events of a track as one sees them that keeps its clock: see :func:`beside` and :func:`halted`.

    ``finishing``: whether a cooldown is going on at the start.
    """
    out, control = [], start
    for event in events:
        if event.finish is not None:
            control, finishing = halted(control, event.step), True
        elif event.kind == "schedule" or not finishing:
            control, finishing = beside(event.control), False
        out.append(event._replace(control=control, finish=None))
    return out


def update_at(control: Control, place: int) -> int | None:
    """The first update that is at or past a place in the program: the inverse of :func:`position`; ``None``: never.

    >>> update_at(Control(origin=4, num=1, den=3), 2), update_at(Control(origin=4, num=0), 2)
    (10, None)
    """
    ahead = max(0, place * control.den - control.offset)
    if ahead == 0:
        return control.origin
    return None if control.num == 0 else control.origin + control.rewarm - (-ahead // control.num)


def stretched(control: Control, end: int, t: int, run_end: int) -> Control:
    """The control under which what is left of a program, up to ``end``, takes what is left of the run.

    It is continuous: update ``t`` keeps its factor. A hold or a re-warmup that is going on is finished first.

    >>> control = stretched(Control(), end=8, t=4, run_end=16)
    >>> [str(position(control, t)) for t in (4, 5, 16)]
    ['4', '13/3', '8']
    """
    now = max(t, control.hold_until)
    rewarming = now - control.origin < control.rewarm
    moving = control.origin + control.rewarm if rewarming else now
    here = position(control, t)
    if run_end <= moving or here >= end:
        return control
    rate = (end - here) / (run_end - moving)
    den = math.lcm(here.denominator, rate.denominator)
    origin, rewarm = (control.origin, control.rewarm) if rewarming else (now, 0)
    return control._replace(origin=origin, rewarm=rewarm, offset=int(here * den), num=int(rate * den), den=den)
