"""What every schedule is: an immutable value that chains with ``>>`` and resolves to a program."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from lightning_lr.core.checks import as_key, choice, instance, shown, suggesting
from lightning_lr.core.durations import Duration, Horizon, as_duration, boundary, horizon_of
from lightning_lr.core.program import SCALAR, Formula, Program, Segment, Shape
from lightning_lr.core.values import Value, call

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    import numpy.typing as npt


class Span(NamedTuple):
    """Where a phase lies: its first update, its length in updates (None: for ever), the factor it starts from."""

    begin: int
    length: int | None
    start: float
    horizon: Horizon

    def measure(self, spec: Duration) -> Fraction:
        """The exact number of updates in a duration that counts from the phase's start."""
        return self.horizon.after(self.begin, spec) - self.begin

    def left_limit(self, formula: Formula, args: tuple[Any, ...], *, stairs: bool = False) -> float:
        """A formula's value just before the phase's end: at the end itself, unless a stair may begin there."""
        if self.length is None:
            return 0.0  # never reached
        end: float = formula(SCALAR, max(0, self.length - 1) if stairs else self.length, 1, *args)
        return end

    def required(self) -> int:
        """The length, for a phase whose formula cannot do without one."""
        assert self.length is not None, "Chain.resolve refuses such a phase before"
        return self.length


class Schedule(Value):
    """A learning rate over time, as the user wrote it, in units: ``Warmup("5%") >> Cosine()``.

    A schedule is a value: immutable, picklable, comparable, hashable, with a repr that can be pasted back. Its factors
    multiply the lr that each parameter group was given, which is therefore the *peak*.
    """

    __slots__ = ()

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases in order; a single phase is a chain of one."""
        raise NotImplementedError

    @property
    def others(self) -> Mapping[str, Schedule]:
        """The schedules that run beside it, by the key of the parameter groups that each is about."""
        return {}

    def __rshift__(self, other: Schedule) -> Schedule:
        if not isinstance(other, Schedule):
            return NotImplemented
        return joined((self, other))

    def beside(self, **others: Schedule) -> Beside:
        """This schedule of the lr, and beside it those of other keys of the parameter groups, on the same clock.

        Args:
            **others: ``momentum`` (beta1 where there are betas), ``beta1``, ``beta2``, ``weight_decay``, or any other
                numeric key, each with a schedule whose factors multiply the group's own value.

        >>> from lightning_lr import Cosine, Linear
        >>> Cosine().beside(weight_decay=Linear(end_factor=0.5))
        Cosine().beside(weight_decay=Linear(end_factor=0.5))
        """
        return Beside(self, others)

    @suggesting
    def resolve(self, horizon: Horizon, *, on_overrun: str = "error") -> Program:
        """Turn units into updates, once, for a run of this length.

        Args:
            horizon: the run's updates and updates per epoch.
            on_overrun: ``"error"`` refuses a schedule that is longer than the run; ``"cut"`` lets the run's end cut it.

        Raises:
            ValueError: longer than the run, or a unit that needs a length which the horizon does not know.
        """
        instance(horizon, Horizon, "resolve: horizon", "a Horizon(total_steps, steps_per_epoch)")
        return _resolve(self.phases, horizon, on_overrun)

    @suggesting
    def curve(self, total_steps: int, steps_per_epoch: int | None = None) -> npt.NDArray[np.float64]:
        """The factors of a whole run: float64, shape ``(total_steps,)``; multiply by a group's lr to preview it.

        >>> from lightning_lr import Cosine, Warmup
        >>> (Warmup("25%") >> Cosine()).curve(8).round(3).tolist()
        [0.5, 1.0, 1.0, 0.933, 0.75, 0.5, 0.25, 0.067]
        """
        return self.resolve(horizon_of("curve", total_steps, steps_per_epoch)).curve(int(total_steps))

    def _repr_svg_(self) -> str | None:
        """Its picture, for notebooks; ``None`` where it cannot be drawn without knowing the run."""
        from lightning_lr.core.picture import shown as drawn

        return drawn(self)

    def _repr_html_(self) -> str | None:
        """Its picture, and below it the text to paste back."""
        picture = self._repr_svg_()
        return None if picture is None else f"{picture}<pre>{escape(repr(self))}</pre>"


class Phase(Schedule):
    """A schedule of one piece; subclasses say what shape it has."""

    __slots__ = ()
    duration: Duration | None

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (self,)

    @property
    def needs_length(self) -> bool:
        """Whether the formula cannot be evaluated without the phase's length."""
        return True

    def bind(self, span: Span) -> Shape:
        """The formula and its numbers for this place on the time axis."""
        raise NotImplementedError

    def _length(self, value: object) -> Duration | None:
        return None if value is None else as_duration(value, f"{type(self).__name__}: duration")


class Chain(Schedule):
    """Phases one after the other: what ``a >> b >> c`` builds. Nested chains are flattened.

    Each phase starts at the factor where the one before it ended. At most one of them may leave its duration out; it
    takes the rest of the run.

    Args:
        phases: schedules, or what YAML spells out: mappings such as ``{"class_path": "Cosine", "init_args": {…}}``.

    Raises:
        ValueError: no phases, two phases without a duration, a ``start_factor`` on a warmup that is not the first.

    >>> from lightning_lr import Chain, Cosine, Warmup
    >>> Chain([Warmup(2), Cosine(2)]) == Warmup(2) >> Cosine(2)
    True
    >>> Chain([Warmup(2), Cosine(2)]).curve(6).round(3).tolist()
    [0.5, 1.0, 1.0, 0.5, 0.0, 0.0]
    """

    __slots__ = ()

    def __init__(self, phases: Iterable[Schedule]) -> None:
        from lightning_lr.core.schedules.coerce import as_schedules

        items = as_schedules(phases, "Chain: phases")
        if any(isinstance(item, Beside) for item in items):
            raise ValueError(
                "Chain: phases: join schedules that have others beside them with >>, which joins those too"
            )
        flat = tuple(phase for item in items for phase in item.phases)
        rest = [repr(phase) for phase in flat if phase.duration is None]
        if len(rest) > 1:
            raise ValueError(
                f"Chain: at most one phase may leave its duration out (it takes the rest of the run), got "
                f"{len(rest)}: {', '.join(rest)}; give all but one of them a duration"
            )
        for phase in flat[1:]:
            if getattr(phase, "start_factor", 0.0) != 0.0:
                raise ValueError(
                    f"Chain: {phase!r} is not the first phase, so it starts where the phase before it ended: "
                    f"leave start_factor out"
                )
        self._set(_phases=flat)

    @property
    def phases(self) -> tuple[Phase, ...]:
        flat: tuple[Phase, ...] = self.__dict__["_phases"]
        return flat

    @property
    def others(self) -> Mapping[str, Schedule]:
        return _joined_others(self.phases)

    def _values(self) -> tuple[object, ...]:
        return (self.phases,)

    def __repr__(self) -> str:
        if len(self.phases) == 1:
            return f"Chain([{self.phases[0]!r}])"
        return " >> ".join(map(repr, self.phases))


class Beside(Schedule):
    """What :meth:`Schedule.beside` makes: a schedule of the lr, and those of other keys on the same clock.

    Args:
        schedule: the lr's.
        others: key → schedule.

    Raises:
        ValueError: no others, or one of them is ``"lr"``.
    """

    __slots__ = ()
    schedule: Schedule

    def __init__(self, schedule: Schedule, others: Mapping[str, Schedule]) -> None:
        from lightning_lr.core.schedules.coerce import as_schedule

        main = as_schedule(schedule, "Beside: schedule")
        if not isinstance(others, Mapping):
            raise ValueError(f"Beside: others must be a mapping, such as {{'momentum': Linear()}}, got {shown(others)}")
        added = {as_key(key, "beside: a key"): as_schedule(value, f"beside: {key}") for key, value in others.items()}
        if not added or "lr" in added:
            raise ValueError(
                f"beside: name the other keys, such as momentum= or weight_decay=, got {', '.join(added) or 'none'}"
            )
        inner = main.schedule if isinstance(main, Beside) else main
        self._set(schedule=inner, _others=tuple(sorted({**main.others, **added}.items())))

    @property
    def phases(self) -> tuple[Phase, ...]:
        return self.schedule.phases

    @property
    def others(self) -> Mapping[str, Schedule]:
        return dict(self.__dict__["_others"])

    def _values(self) -> tuple[object, ...]:
        return (self.schedule, self.others)

    def __hash__(self) -> int:
        return hash((self.schedule, self.__dict__["_others"]))

    def __repr__(self) -> str:
        main = repr(self.schedule)
        told = ", ".join(f"{key}={value!r}" for key, value in self.others.items())
        return f"{f'({main})' if ' >> ' in main else main}.beside({told})"


def joined(schedules: Sequence[Schedule]) -> Schedule:
    """One after the other, and so are those beside them: where one has nothing beside it, the others hold."""
    phases = tuple(phase for schedule in schedules for phase in schedule.phases)
    chain = Chain(phases)
    if any(isinstance(schedule, Beside) for schedule in schedules):
        return Beside(chain, _joined_others(schedules))
    return chain


def _length(schedule: Schedule) -> dict[str, Fraction]:
    """How much of each unit the phases take together; ``rest``: one of them takes what is left."""
    out: dict[str, Fraction] = {}
    for phase in schedule.phases:
        amount, unit = ("1", "rest") if phase.duration is None else _amount(phase.duration)
        out[unit] = out.get(unit, Fraction(0)) + Fraction(amount)
    return out


def _amount(duration: Duration) -> tuple[str, str]:
    text = str(duration)
    if text.endswith("%"):
        return text[:-1], "%"
    amount, _, unit = text.partition(" ")
    return amount, unit.rstrip("s")


def _joined_others(schedules: Sequence[Schedule]) -> dict[str, Schedule]:
    from lightning_lr.core.schedules.decays import Constant

    out: dict[str, Schedule] = {}
    for schedule in schedules[:-1]:
        for key, other in schedule.others.items():
            if _length(other) != _length(schedule):
                raise ValueError(
                    f"{key}: {other!r} is not as long as {schedule!r}, beside which it runs, and something follows: "
                    "give both the same length, in the same units"
                )
    for key in dict.fromkeys(key for schedule in schedules for key in schedule.others):
        parts: list[Schedule] = []
        for schedule in schedules:
            held = (Constant(phase.duration) for phase in schedule.phases)
            parts.extend([schedule.others[key]] if key in schedule.others else held)
        out[key] = Chain(parts)
    return out


def _resolve(phases: tuple[Phase, ...], horizon: Horizon, on_overrun: str) -> Program:
    choice(on_overrun, ("error", "cut"), "resolve: on_overrun")
    segments: list[Segment] = []
    notes: list[str] = []
    factor, warmup_end = 1.0, 0
    for phase, begin, end in _boundaries(phases, horizon, on_overrun):
        open_end = phase.duration is None and phase is phases[-1] and not phase.needs_length
        if begin == end and not open_end:
            notes.append(f"{phase!r} rounds to 0 updates in this run and is skipped")
            continue
        try:
            shape = phase.bind(Span(begin, None if end is None else end - begin, factor, horizon))
        except ValueError as error:
            raise ValueError(f"{phase!r}: {error}") from None
        last = factor if begin == end else shape.end  # nothing of it is seen in this run, but in a longer one
        segments.append(Segment(begin, end, shape.formula, shape.args, last, repr(phase), open_end))
        notes.extend(f"{phase!r}: {note}" for note in shape.notes)
        factor = shape.end
        if begin == 0 and end is not None and hasattr(phase, "start_factor"):
            warmup_end = end
    return Program(tuple(segments), horizon, warmup_end, tuple(notes))


def _boundaries(phases: tuple[Phase, ...], horizon: Horizon, on_overrun: str) -> list[tuple[Phase, int, int | None]]:
    """Each phase with its whole first update and the one after its last: exact positions, rounded only here."""
    rest = next((i for i, phase in enumerate(phases) if phase.duration is None), len(phases))
    positions = [Fraction(0)]
    for phase in phases[:rest]:
        positions.append(_after(horizon, positions[-1], phase))
    if rest < len(phases):
        positions.append(_end_of_rest(phases, rest, positions[-1], horizon))
        for phase in phases[rest + 1 :]:
            positions.append(_after(horizon, positions[-1], phase))
    edges: list[int | None] = [boundary(position) for position in positions]
    total = horizon.total_steps
    if total is None and rest < len(phases):
        edges[-1] = None
    last = boundary(positions[-1])
    if total is not None and last > total and on_overrun == "error":
        raise ValueError(_overrun_message(phases, rest, boundary(positions[-2]), last, total))
    return [(phase, edges[i] or 0, edges[i + 1]) for i, phase in enumerate(phases)]


def _after(horizon: Horizon, position: Fraction, phase: Phase) -> Fraction:
    assert phase.duration is not None
    try:
        return horizon.after(position, phase.duration)
    except ValueError as error:
        raise ValueError(f"{phase!r}: {error}") from None


def _end_of_rest(phases: tuple[Phase, ...], rest: int, begin: Fraction, horizon: Horizon) -> Fraction:
    """Where the phase without a duration ends: the run's end, less what the phases after it take."""
    phase, later = phases[rest], phases[rest + 1 :]
    if horizon.total_steps is None:
        if not later and not phase.needs_length:
            return begin
        raise ValueError(
            f"{phase!r} takes the rest of a run whose length is unknown: give total_steps=, or give it a duration"
        )
    end = Fraction(horizon.total_steps)
    for other in reversed(later):
        assert other.duration is not None
        end = horizon.before(end, other.duration)
    return max(begin, end)


def _overrun_message(phases: tuple[Phase, ...], rest: int, before: int, last: int, total: int) -> str:
    written = " >> ".join(map(repr, phases))
    message = f"{written} is {last} updates long, but the run has {total}: "
    if rest < len(phases):
        return message + "shorten the phases that have a duration"
    if before <= total and not hasattr(phases[-1], "start_factor"):  # a warmup cannot take the rest of the run
        open_end = call(phases[-1], {"duration": None})
        corrected = " >> ".join([*map(repr, phases[:-1]), open_end])
        message += f"leave the duration out: `{open_end}` takes the rest (`{corrected}`), or "
    return message + 'shorten it, or ask for on_overrun="cut"'
