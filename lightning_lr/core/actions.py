"""Actions: what a decision makes of the control. Pure: a situation in, what is to hold from now on out."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from lightning_lr.core.checks import choice, flag, number, shown, whole
from lightning_lr.core.coerce import build
from lightning_lr.core.control import FINISHES, Control, Finish, factor, position
from lightning_lr.core.durations import Duration, Horizon, as_duration, boundary
from lightning_lr.core.program import Program
from lightning_lr.core.values import Value


class Situation(NamedTuple):
    """Where a track is when a decision is to be made; ``t`` is the next update."""

    t: int
    program: Program
    control: Control
    run: Horizon
    restarts: int = 0
    """How often this track has been restarted."""
    largest: float = 1.0
    """The largest initial lr of the track's groups."""
    finishing: bool = False
    """Whether a cooldown has replaced the program."""

    def settled(self) -> bool:
        """Whether an evaluation may be bad news: not during the warmup, a re-warmup or a hold."""
        c = self.control
        if self.t < c.hold_until or self.t - c.origin < c.rewarm:
            return False
        return position(c, self.t) >= self.program.warmup_end

    def updates(self, spec: Duration) -> int:
        """A duration that begins now, in whole updates."""
        return boundary(self.run.after(self.t, spec) - self.t)


class Outcome(NamedTuple):
    """What holds from now on: the control, and the cooldown that replaces the program, if any."""

    control: Control
    finish: Finish | None = None


class Action(Value):
    """What to do when a detector fires. ``rank`` orders kinds when several rules fire at once: the lowest acts."""

    __slots__ = ()
    kind: str = ""
    rank: int = 0

    def act(self, now: Situation, acted: int = 0, improved: bool = False) -> Outcome | None:
        """What is to hold, or ``None`` where it cannot act.

        Args:
            now: the situation.
            acted: how often this rule has acted before.
            improved: whether it is an improvement, and not a detector, that asks.
        """
        raise NotImplementedError

    def check(self, run: Horizon) -> None:
        """Refuse at the start of training what could only fail later."""

    def idle(self, program: Program) -> bool:
        """Whether it could not change any lr of this program, ever."""
        return False

    def because(self) -> str:
        """Its effect in a few words."""
        return self.kind


class Reduce(Action):
    """Multiply the scale by ``factor``, but not below the one at which the largest lr would be ``min_lr``.

    Args:
        factor: in (0, 1).
        min_lr: >= 0; it bounds reductions, not the schedule: ratios between groups survive, no lr is ever raised.

    >>> from lightning_lr import Constant
    >>> now = Situation(10, Constant().resolve(Horizon(100)), Control(), Horizon(100), largest=0.1)
    >>> Reduce(0.5).act(now).control.scale, Reduce(0.1, min_lr=0.05).act(now).control.scale
    (0.5, 0.5)
    >>> Reduce(0.5, min_lr=0.1).act(now) is None
    True
    """

    __slots__ = ()
    kind, rank = "reduce", 3
    factor: float
    min_lr: float

    def __init__(self, factor: float = 0.1, min_lr: float = 0.0) -> None:
        self._set(
            factor=number(factor, "Reduce: factor", low=0, high=1, low_open=True, high_open=True),
            min_lr=number(min_lr, "Reduce: min_lr", low=0),
        )

    def act(self, now: Situation, acted: int = 0, improved: bool = False) -> Outcome | None:
        scale = now.control.scale
        lr = now.largest * factor(now.program, now.control, now.t)
        if lr <= self.min_lr * (1 + 1e-9):
            return None  # there already, but for rounding
        return Outcome(now.control._replace(scale=max(scale * self.factor, scale * (self.min_lr / lr))))


class Restart(Action):
    """Begin again after the warmup: at ``peak_decay ** n`` of the peak on the n-th restart; reductions are forgotten.

    Args:
        peak_decay: in (0, 1].
        max_restarts: how often; ``None`` for no limit.
        rewarm: a duration, or 0: a straight way up from 0 to the new peak.
        fit: ``"remaining"`` fits what the program does after its warmup to the rest of the run; ``"original"`` keeps
            its own length.
        reset_momentum: forget the optimizer's momentum too.

    >>> from lightning_lr import Linear
    >>> now = Situation(6, Linear().resolve(Horizon(8)), Control(scale=0.1), Horizon(8))
    >>> Restart(peak_decay=0.5).act(now).control
    Control(scale=0.5, rewarm=0, origin=6, hold_until=0, offset=0, num=4, den=1)
    """

    __slots__ = ()
    kind, rank = "restart", 0
    peak_decay: float
    max_restarts: int | None
    rewarm: Duration
    fit: str
    reset_momentum: bool

    def __init__(
        self,
        peak_decay: float = 1.0,
        max_restarts: int | None = 3,
        rewarm: Duration = 0,
        fit: str = "remaining",
        reset_momentum: bool = False,
    ) -> None:
        self._set(
            peak_decay=number(peak_decay, "Restart: peak_decay", low=0, high=1, low_open=True),
            max_restarts=None if max_restarts is None else whole(max_restarts, "Restart: max_restarts", low=1),
            rewarm=as_duration(rewarm, "Restart: rewarm", zero=True),
            fit=choice(fit, ("remaining", "original"), "Restart: fit"),
            reset_momentum=flag(reset_momentum, "Restart: reset_momentum"),
        )

    def act(self, now: Situation, acted: int = 0, improved: bool = False) -> Outcome | None:
        if now.finishing or (self.max_restarts is not None and acted >= self.max_restarts):
            return None
        rewarm = now.updates(self.rewarm)
        start, end, rate = now.program.warmup_end, now.program.end, Fraction(1)
        if self.fit == "remaining":
            total = now.run.total_steps
            left = 0 if total is None else total - now.t - rewarm
            if left <= 0 or end is None:
                return None  # nothing is left of the run that it could be fitted to
            rate = Fraction(end - start, left)
        scale = self.peak_decay ** (now.restarts + 1)
        return Outcome(Control(scale, rewarm, now.t, 0, start * rate.denominator, rate.numerator, rate.denominator))

    def check(self, run: Horizon) -> None:
        run.after(0, self.rewarm)
        if self.fit == "remaining" and run.total_steps is None:
            raise ValueError(
                "Restart: fit='remaining' needs to know the run's length, which is unknown: give total_steps=, or "
                "fit='original'"
            )

    def idle(self, program: Program) -> bool:
        return self.peak_decay == 1.0 and self.rewarm == 0 and program.is_constant()


class Freeze(Action):
    """Hold the rate as it is; the rest of the program is put off by as long.

    Args:
        duration: how long.
        max_freezes: how often; ``None`` for no limit.

    >>> from lightning_lr import Linear
    >>> now = Situation(2, Linear().resolve(Horizon(8)), Control(), Horizon(8))
    >>> held = Freeze(3).act(now).control
    >>> [factor(now.program, held, t) for t in (2, 4, 5, 6)]
    [0.75, 0.75, 0.75, 0.625]
    """

    __slots__ = ()
    kind, rank = "freeze", 1
    duration: Duration
    max_freezes: int | None

    def __init__(self, duration: Duration, max_freezes: int | None = None) -> None:
        self._set(
            duration=as_duration(duration, "Freeze: duration"),
            max_freezes=None if max_freezes is None else whole(max_freezes, "Freeze: max_freezes", low=1),
        )

    def act(self, now: Situation, acted: int = 0, improved: bool = False) -> Outcome | None:
        if self.max_freezes is not None and acted >= self.max_freezes:
            return None
        j = max(now.t, now.control.hold_until) - now.control.origin
        until = max(now.control.hold_until, now.t + now.updates(self.duration))
        return Outcome(now.control._replace(hold_until=until, origin=until - j))

    def check(self, run: Horizon) -> None:
        run.after(0, self.duration)

    def idle(self, program: Program) -> bool:
        return program.is_constant()


class Adapt(Action):
    """Multiply the scale by ``down`` when the detector fires and by ``up`` when the metric improves, within bounds.

    Args:
        up: >= 1.
        down: in (0, 1].
        min_scale: the lowest scale, > 0.
        max_scale: the highest scale; 1 lets ``up`` take back what ``down`` took, and no more.
    """

    __slots__ = ()
    kind, rank = "adapt", 4
    up: float
    down: float
    min_scale: float
    max_scale: float

    def __init__(self, up: float = 1.0, down: float = 1.0, min_scale: float = 0.01, max_scale: float = 1.0) -> None:
        low = number(min_scale, "Adapt: min_scale", low=0, low_open=True)
        self._set(
            up=number(up, "Adapt: up", low=1),
            down=number(down, "Adapt: down", low=0, high=1, low_open=True),
            min_scale=low,
            max_scale=number(max_scale, "Adapt: max_scale (not below min_scale)", low=low),
        )
        if self.up == 1.0 and self.down == 1.0:
            raise ValueError("Adapt: up and down are both 1, which changes nothing: give at least one of them")

    def act(self, now: Situation, acted: int = 0, improved: bool = False) -> Outcome | None:
        scale = now.control.scale
        wanted = min(scale * self.up, self.max_scale) if improved else max(scale * self.down, self.min_scale)
        if (wanted <= scale) if improved else (wanted >= scale):
            return None
        return Outcome(now.control._replace(scale=wanted))


class Cooldown(Action):
    """From here to zero: what is left of the program is replaced by a decay of the rate as it is now.

    Args:
        duration: how long, or ``None`` for the rest of the run.
        shape: ``"linear"``, ``"cosine"`` or ``"one_minus_sqrt"``.
    """

    __slots__ = ()
    kind, rank = "cooldown", 2
    duration: Duration | None
    shape: str

    def __init__(self, duration: Duration | None = None, shape: str = "linear") -> None:
        self._set(
            duration=None if duration is None else as_duration(duration, "Cooldown: duration"),
            shape=choice(shape, FINISHES, "Cooldown: shape"),
        )

    def act(self, now: Situation, acted: int = 0, improved: bool = False) -> Outcome | None:
        total = now.run.total_steps
        length = now.updates(self.duration) if self.duration is not None else (total or 0) - now.t
        if now.finishing or length <= 0:
            return None
        return Outcome(Control(scale=factor(now.program, now.control, now.t), origin=now.t), Finish(self.shape, length))

    def check(self, run: Horizon) -> None:
        if self.duration is not None:
            run.after(0, self.duration)
        elif run.total_steps is None:
            raise ValueError("Cooldown: the rest of a run whose length is unknown: give total_steps=, or a duration")


class Stop(Action):
    """End the training, on all ranks."""

    __slots__ = ()
    kind, rank = "stop", 5

    def __init__(self) -> None:
        pass

    def act(self, now: Situation, acted: int = 0, improved: bool = False) -> Outcome | None:
        return Outcome(now.control)


ACTIONS: dict[str, type[Action]] = {a.__name__: a for a in (Reduce, Restart, Freeze, Adapt, Cooldown, Stop)}


def as_action(value: object, where: str) -> Action:
    """``value`` as an action: one already, or a mapping that names one."""
    if isinstance(value, Action):
        return value
    if isinstance(value, Mapping):
        return build(value, ACTIONS, "action", where)
    raise ValueError(f"{where} must be an action such as Reduce(0.1), got {shown(value)}")
