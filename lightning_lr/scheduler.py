"""``ScheduledLR``: the one writer of the learning rate, clocked by the optimizer itself.

The optimizer's own post hook counts its updates and writes the next lr; nothing else does either. So accumulation,
updates that a ``GradScaler`` skipped, several optimizers, manual optimization, and ``step()`` called twice or never
cannot move the clock wrongly.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import compiler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lightning_lr.bases import Bases
from lightning_lr.core.actions import Action, as_action
from lightning_lr.core.checks import (
    as_key,
    choice,
    did_you_mean,
    items,
    number,
    real,
    shown,
    suggesting,
    text,
    whole,
)
from lightning_lr.core.control import Control, Event, factor
from lightning_lr.core.durations import Horizon
from lightning_lr.core.history import History
from lightning_lr.core.native import name_of
from lightning_lr.core.program import Program
from lightning_lr.core.rules import CHECKS, Rule, as_rules
from lightning_lr.core.schedules.base import Schedule
from lightning_lr.core.schedules.coerce import as_schedule
from lightning_lr.core.state import FORMAT, StateError, checked, is_ours, sums
from lightning_lr.core.tracks import Track, as_groups, as_tracks, settled
from lightning_lr.track import LiveTrack, held, live_tracks, read, store

HORIZON_CHANGES = ("keep", "stretch", "error")
LR_CHANGES = ("keep", "use_new", "error")

_MEANING_OF_LR = {
    "ASGD": "ASGD divides it further by (1 + lambd · lr · t)^alpha",
    "Rprop": "Rprop uses it for its first step only, and adapts each parameter's step size from there",
    "Adafactor": "Adafactor takes it as an upper bound for a relative step size of its own",
}


class ScheduledLR(LRScheduler):
    """A learning-rate schedule for one optimizer, moved by the optimizer's own updates.

    Update t (0 for the first) of parameter group g uses ``initial_lr_g · factor(t)``; the group's lr at construction
    is its ``initial_lr``, the peak. In a plain loop just construct it; ``step()`` may be called or not.

    Args:
        optimizer: any ``torch.optim.Optimizer``; its groups need a numeric ``"lr"``.
        schedule: a schedule, or a list of phases; ``None`` leaves alone what no track is about.
        tracks: schedules and rules for some of the groups, or for other keys than the lr: :class:`~lightning_lr.Track`.
        total_steps: optimizer updates of the whole run, needed by shares (``"5%"``) and by a phase that takes the rest.
        rules: what metrics may change; :meth:`evaluate` hands their values over.
        steps_per_epoch: updates per epoch, needed by durations in epochs.
        on_horizon_change: what a resumed run of another length does: ``"keep"`` (the schedule ends where it was to
            end), ``"stretch"`` (what is left of it takes what is left of the run) or ``"error"``.
        on_lr_change: what a resumed run with another lr in its code does: ``"keep"`` the saved one, with a warning,
            ``"use_new"`` or ``"error"``.
        on_overrun: ``"error"`` refuses a schedule longer than the run, ``"cut"`` lets the run's end cut it.
        start_step: how many updates the optimizer has made before, when no saved state says so.

    Raises:
        ValueError: the optimizer already has a scheduler; a group without an lr; a unit of unknown length.

    >>> import torch
    >>> from lightning_lr import Linear, Warmup
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    >>> scheduler = ScheduledLR(optimizer, Warmup(2) >> Linear(), total_steps=4)
    >>> lrs = []
    >>> for _ in range(6):
    ...     lrs.append(optimizer.param_groups[0]["lr"])
    ...     optimizer.step()
    >>> lrs
    [0.05, 0.1, 0.1, 0.05, 0.0, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: Schedule | Sequence[Schedule] | None,
        *,
        rules: Iterable[object] = (),
        tracks: Iterable[object] = (),
        total_steps: int | None = None,
        steps_per_epoch: int | None = None,
        on_horizon_change: str = "keep",
        on_lr_change: str = "keep",
        on_overrun: str = "error",
        start_step: int | None = None,
    ) -> None:
        # LRScheduler.__init__ is not called: it patches optimizer.step and writes the lr.
        self._configure(
            optimizer, schedule, rules, tracks, total_steps, steps_per_epoch, on_horizon_change, on_lr_change,
            on_overrun, start_step,
        )  # fmt: skip
        if hasattr(optimizer.step, "_wrapped_by_lr_sched"):
            raise ValueError(
                f"ScheduledLR: a torch LR scheduler was already built on this {type(optimizer).__name__}; two owners "
                "would overwrite each other's lr: remove that scheduler and build the optimizer anew"
            )
        self._deferred = False
        for note in self.start(Horizon(total_steps, steps_per_epoch)):
            warnings.warn(f"ScheduledLR: {note}", stacklevel=2)

    @classmethod
    def deferred(cls, optimizer: Optimizer, schedule: Any = None, **settings: Any) -> ScheduledLR:
        """A scheduler that waits for :meth:`start`: it counts nothing, writes nothing and sets no ``initial_lr``.

        Within Lightning the run's length is known, and finders are done, only when training starts.
        """
        self = cls.__new__(cls)
        self._configure(optimizer, schedule, **settings)
        return self

    def _configure(
        self,
        optimizer: Optimizer,
        schedule: Any,
        rules: Iterable[object] = (),
        tracks: Iterable[object] = (),
        total_steps: int | None = None,
        steps_per_epoch: int | None = None,
        on_horizon_change: str = "keep",
        on_lr_change: str = "keep",
        on_overrun: str = "error",
        start_step: int | None = None,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise ValueError(f"ScheduledLR: optimizer must be a torch.optim.Optimizer, got {shown(optimizer)}")
        for i, group in enumerate(optimizer.param_groups):
            if not isinstance(group.get("lr"), (int, float, torch.Tensor)):
                name = type(optimizer).__name__
                raise ValueError(f"ScheduledLR: group {i} of {name} has no numeric 'lr', got {group.get('lr')!r}")
            number(float(group["lr"]), f"ScheduledLR: the lr of group {i} of {type(optimizer).__name__}", low=0)
        try:
            Horizon(total_steps, steps_per_epoch)
        except ValueError as error:
            raise ValueError(str(error).replace("Horizon:", "ScheduledLR:")) from None
        self.optimizer = optimizer
        self.optimizer_index = 0
        self.total_steps = total_steps
        self.steps_per_epoch = steps_per_epoch
        self.on_horizon_change = choice(on_horizon_change, HORIZON_CHANGES, "ScheduledLR: on_horizon_change")
        self.on_lr_change = choice(on_lr_change, LR_CHANGES, "ScheduledLR: on_lr_change")
        self.on_overrun = choice(on_overrun, ("error", "cut"), "ScheduledLR: on_overrun")
        self.start_step = None if start_step is None else whole(start_step, "ScheduledLR: start_step")
        self.updates = 0
        self.started = False
        self.resumed = False
        self._deferred = True
        self.foreign_state: dict[str, Any] | None = None
        """The state of a scheduler that is not ours, which a checkpoint held in its place."""
        self.misdelivered: dict[str, Any] | None = None
        self._history = History()
        self.run_horizon: Horizon | None = None
        self.should_stop = False
        self._evaluated = False
        self._recorded = False  # the optimizer's step, into a CUDA graph
        self._stepped_at = 0  # how many updates there were when step() was last called
        self._on_cuda = False
        self.checked_at = -1
        self.listener: Callable[[Event], None] | None = None
        self._bases = Bases(optimizer)
        self.groups_may_come = False
        """Whether a track may name groups that are not there yet."""
        general = as_rules(rules, "ScheduledLR: rules")
        wanted = list(as_tracks(tracks, "ScheduledLR: tracks"))
        if schedule is not None or general or not wanted:
            body = None if schedule is None else as_schedule(schedule, "ScheduledLR: schedule")
            wanted.insert(0, Track(body, rules=general))
        self.tracks = wanted
        self._saved: dict[str, Any] | None = None
        self._handles: list[Any] = []
        self._count = -1  # of the groups that are written, with the first and the last of them
        self._first: dict[str, Any] = {}
        self._last: dict[str, Any] = {}
        self._key = "lr"
        self._write = self._write_all
        self._doubtful = True  # whether each call of the optimizer's step is an update
        self.bindings = 0
        """How often the groups were found again: what is derived from them is new then."""

    # ---- what it is -------------------------------------------------------------------------------------------------

    @property
    def tracks(self) -> tuple[Track, ...]:
        """What the user wrote: which groups and keys follow which schedule, by which rules."""
        return self._wanted

    @tracks.setter
    def tracks(self, tracks: Iterable[Track]) -> None:
        if self.started:
            raise ValueError("ScheduledLR: schedules and rules cannot change after training has started")
        self._wanted = tuple(tracks)
        settled_tracks = settled(self._wanted)
        self._tracks = live_tracks(settled_tracks)
        self._bases.deal(self._tracks, settled_tracks)

    def configured_as(self, lrs: Sequence[float]) -> None:
        """What the code would say of every group's lr, had it known what a finder has found."""
        self._bases.configured.update({("lr", i): float(lr) for i, lr in enumerate(lrs)})

    @property
    def _name(self) -> str:
        return type(self.optimizer).__name__

    @property
    def live(self) -> Sequence[LiveTrack]:
        """The tracks as they run, those of the lr first."""
        return self._tracks

    @property
    def schedule(self) -> Schedule:
        """The first track's schedule."""
        return self._tracks[0].schedule

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What metrics may change: the rules of all tracks, each once."""
        return tuple(dict.fromkeys(rule for track in self._tracks for rule in track.rules))

    @property
    def program(self) -> Program:
        """The resolved schedule. Errors: ``RuntimeError`` before it has started."""
        program = self._tracks[0].program
        if program is None:
            raise RuntimeError("ScheduledLR: not started yet; the run's length is known when training starts")
        return program

    @suggesting
    def planned_at(self, steps: Iterable[int], track: int = 0) -> list[float]:
        """The factors of some updates as a track's schedule alone has them, without any event."""
        wanted = _updates(steps, "planned_at: steps")
        return list(map(self._tracks[self._place(track, "planned_at: track")].planned(), wanted))

    def _place(self, track: object, where: str) -> int:
        if (place := whole(track, where)) < len(self._tracks):
            return place
        raise ValueError(f"{where} must be one of the places 0 to {len(self._tracks) - 1}, got {place}")

    @suggesting
    def replayed_at(self, steps: Sequence[int], track: int = 0) -> list[float]:
        """The factors of increasing updates, past and future, as a track's schedule and events make them.

        Before a change of the schedule they are NaN, because that schedule is known by its repr only; and so they are
        before the last event that was folded.
        """
        steps, track = _updates(steps, "replayed_at: steps"), self._place(track, "replayed_at: track")
        live = self._tracks[track]
        planned = live.planned()
        if live.leader is None:
            return self._history.replayed(planned, steps, track)
        return self._history.replayed(planned, steps, track, self._tracks.index(live.leader), live.leader.aside)

    @property
    def events(self) -> list[Event]:
        """What was decided so far, the last :data:`~lightning_lr.core.history.MAX_EVENTS`."""
        return self._history.events

    @property
    def program_horizon(self) -> Horizon:
        """The run's length that the program was made for; :attr:`run_horizon` is that of this run."""
        return self._tracks[0].horizon

    @property
    def control(self) -> Control:
        """What events have changed so far."""
        return self._tracks[0].control

    @property
    def factor(self) -> float:
        """What the groups hold now, as a multiple of their initial lr."""
        return self._tracks[0].factor

    @property
    def factors(self) -> list[float]:
        """The factor of every track."""
        return [track.factor for track in self._tracks]

    @suggesting
    def factor_at(self, t: int) -> float:
        """The factor of update ``t``, if no further event happens."""
        return factor(self.program, self.control, whole(t, "factor_at: t"))

    @suggesting
    def per_group(self, key: str = "lr") -> list[tuple[LiveTrack | None, float]]:
        """For every group the track of this key that it follows, and the value it starts from.

        A group that follows none has the value that it holds.
        """
        as_key(key, "per_group: key")
        owner = {i: (track, base) for track in self._tracks if track.key == key for i, base in track.started_from()}
        groups = enumerate(self.optimizer.param_groups)
        return [owner[i] if i in owner else (None, read(group, key)) for i, group in groups]

    @property
    def base_lrs(self) -> list[float | torch.Tensor]:  # type: ignore[override]
        """The groups' initial lrs, their peaks."""
        return [base for _, base in self.per_group()]

    @property
    def last_epoch(self) -> int:  # type: ignore[override]
        """torch's name for the number of completed updates."""
        return self.updates

    def get_last_lr(self) -> list[float | torch.Tensor]:
        """The lr that each group holds now, as plain floats: what its next update will use."""
        if not self.started:
            return [float(group["lr"]) for group in self.optimizer.param_groups]
        return [base if track is None else base * track.factor for track, base in self.per_group()]

    @property
    def _last_lr(self) -> list[float | torch.Tensor]:  # type: ignore[override]
        return self.get_last_lr()

    def get_lr(self) -> list[float | torch.Tensor]:
        """As :meth:`get_last_lr`: there is no other lr."""
        return self.get_last_lr()

    # ---- its life ---------------------------------------------------------------------------------------------------

    def start(self, horizon: Horizon) -> list[str]:
        """Resolve for a run of this length, take the groups over, write the first lr; returns what to warn about.

        A state that was loaded before decides where to go on.
        """
        owner = getattr(self.optimizer, "_lightning_lr_owner", None)
        if owner is not None and owner is not self:
            raise ValueError(
                f"ScheduledLR: this {type(self.optimizer).__name__} already has the ScheduledLR of {owner.schedule!r}; "
                "two owners would overwrite each other's lr: call its detach() first"
            )
        self.refuse_unknown_groups()
        notes = self._resolve_all(horizon)
        self.run_horizon = horizon
        notes += self._settle_bases()
        notes += [note for track in self._tracks for note in track.check(horizon, self.on_overrun)]
        self.started = True
        self.rewrite()
        self._attach()
        return notes + _meaning_of_lr(self.optimizer)

    def _attach(self) -> None:
        self.optimizer._lightning_lr_owner = self  # type: ignore[attr-defined]
        self._handles = [
            self.optimizer.register_step_post_hook(self._after_update),
            self.optimizer.register_load_state_dict_post_hook(self._after_load),
        ]

    def detach(self) -> None:
        """Let go of the optimizer: its updates are counted no more, and its present lr is a next scheduler's peak.

        Other keys have the values again that they started from.
        """
        self.release()
        for track in self._tracks:
            for group in (self.optimizer.param_groups[i] for i in track.members):
                base = group.pop(track.initial, None)
                if base is not None and track.key != "lr":
                    store(group, track.key, base)

    def __getstate__(self) -> dict[str, Any]:
        """A copy, together with its optimizer, runs on its own: hooks are made anew, nobody listens."""
        return {**self.__dict__, "_handles": bool(self._handles), "listener": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        attached, self._handles = self._handles, []
        if attached:
            self._rebind()
            self._attach()

    def release(self) -> None:
        """Let go of the optimizer, but leave it as a checkpoint needs it. The state is kept."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if getattr(self.optimizer, "_lightning_lr_owner", None) is self:
            del self.optimizer._lightning_lr_owner

    def _resolve_all(self, horizon: Horizon) -> list[str]:
        """Give every track its program and its control: new ones, or those of the loaded state."""
        if self._saved is None:
            if not self.started:
                self.updates = self.start_step or 0
            return list(dict.fromkeys(n for track in self._tracks for n in track.begin(horizon, self.on_overrun)))
        notes: list[str] = []
        for i, track in enumerate(self._tracks):
            event: Event | None
            if track.program is None:  # the saved schedule is not this one, or it is new
                told, event = track.change_schedule(horizon, self.on_overrun, self.updates)
            else:
                told, event = track.change_horizon(horizon, self.on_horizon_change, self.updates)
            if event is not None:
                self._record(event._replace(track=i))
            notes += told
        for track in self._tracks:  # those of other groups, or under another name
            if track.id not in self._saved["tracks"] and track.leader is None and self._saved["events"]:
                notes.append(f"{track.title} is new since the checkpoint: what metrics have changed is not in it")
        gone = ", ".join(id for id in self._saved["tracks"] if id not in {track.id for track in self._tracks})
        if gone:
            notes.append(f"the checkpoint has a schedule of {gone}, and the code has none: it stays as it was restored")
        return notes

    def end_of(self) -> int | None:
        """The update at which the program ends as things are, or ``None`` if it never does."""
        return self._tracks[0].end()

    def _record(self, event: Event) -> None:
        self._history.add(event)
        if self.listener is not None:
            self.listener(event)

    # ---- decisions --------------------------------------------------------------------------------------------------

    @suggesting
    def evaluate(
        self, metrics: Mapping[str, float], *, check: str = "validation", epoch: int | None = None
    ) -> list[Event]:
        """Hand over what was measured; rules that watch it may act, and what they did is returned.

        Args:
            metrics: the values by name; rules whose metric is not among them see nothing.
            check: ``"validation"`` or ``"train_epoch"``: the rules of that kind look.
            epoch: for the record.

        Raises:
            ValueError: no rule watches any of these metrics; a value is NaN where a rule says ``nan_policy="raise"``.
        """
        choice(check, CHECKS, "evaluate: check")
        epoch = None if epoch is None else whole(epoch, "evaluate: epoch")
        if not isinstance(metrics, Mapping):
            raise ValueError(f"evaluate: metrics must be a mapping such as {{'val_loss': 0.3}}, got {shown(metrics)}")
        self._evaluated = True
        watched = {rule.monitor for track in self._tracks for rule in track.rules if rule.check == check}
        if not watched & set(metrics):
            given = ", ".join(map(repr, metrics)) or "nothing"
            hint = did_you_mean(next(iter(metrics), ""), watched)
            raise ValueError(
                f"evaluate: no {check} rule watches {given}{hint}; watched: {', '.join(watched) or 'none'}"
            )
        values = {
            name: real(value.squeeze() if isinstance(value, torch.Tensor) else value, f"evaluate: metrics[{name!r}]")
            for name, value in metrics.items()
            if name in watched
        }
        acted = []
        for i, track in enumerate(self._tracks):
            event = track.evaluate(values, check, self.updates, self._run()) if track.rules else None
            if event is not None:
                action = next(rule.do for rule in track.rules if rule.key == event.rule)
                acted.append(self._carry_out(action, event._replace(track=i, epoch=epoch)))
        return acted

    @suggesting
    def apply(
        self,
        action: Action,
        *,
        groups: int | str | Sequence[int | str] | None = None,
        key: str = "lr",
        epoch: int | None = None,
        rule: str = "by hand",
    ) -> Event:
        """Act by hand, now: ``scheduler.apply(Reduce(0.5))``. Recorded, logged and resumed like any other event.

        Args:
            action: what to do.
            groups: of the schedules that named these groups; ``None``: of all.
            key: of this key of the groups.
            epoch, rule: for the record.

        Returns:
            The event; the first, where several schedules of this key changed.

        Raises:
            ValueError: it cannot act: nothing is left to reduce, no run is left, or a cooldown is going on.
        """
        action = as_action(action, "apply: action")
        run, chosen, key = self._run(), as_groups(groups, "apply: groups"), as_key(key, "apply: key")
        epoch, rule = None if epoch is None else whole(epoch, "apply: epoch"), text(rule, "apply: rule")
        action.check(run)
        named = [
            (i, track)
            for i, track in enumerate(self._tracks)
            if track.key == key and (chosen is None or track.wanted.groups == chosen)
        ]
        if not named:
            ids = [track.id for track in self._tracks]
            asked = Track(groups=chosen, key=key).id
            raise ValueError(
                f"apply: no schedule is about {asked}{did_you_mean(asked, ids)}; there are {', '.join(ids)}"
            )
        acted: list[Event] = []
        for i, track in named:
            if track.leader is not None:
                raise ValueError(
                    f"apply: {track.id} keeps the clock of {track.leader.id}: act on that, or give it rules of its own"
                )
            outcome = action.act(track.situation(self.updates, run))
            if outcome is not None:
                event = track.adopt(action, outcome, self.updates, run, True)
                acted.append(self._carry_out(action, event._replace(track=i, rule=rule, epoch=epoch)))
        if not acted:
            scales = ", ".join(f"scale {track.control.scale:g} of {track.id}" for track in self._tracks)
            raise ValueError(f"apply: {action!r} cannot act at update {self.updates} ({scales})")
        return acted[0]

    def _carry_out(self, action: Action, event: Event) -> Event:
        if action.kind == "stop":
            self.should_stop = True
        acted = self._tracks[event.track]
        for track in self._tracks:
            track.keep_time()
        if getattr(action, "reset_momentum", False):
            groups = [self.optimizer.param_groups[i] for i in acted.members]
            for state in (self.optimizer.state.get(p, {}) for group in groups for p in group["params"]):
                for name in ("momentum_buffer", "exp_avg"):
                    if isinstance(state.get(name), torch.Tensor):
                        state[name].zero_()
        for track in self._tracks:
            track.write(self.updates)
        self._record(event)
        return event

    def _run(self) -> Horizon:
        if self.run_horizon is None or not self.started:
            raise RuntimeError("ScheduledLR: not started yet; decisions are made while training runs")
        return self.run_horizon

    def _settle_bases(self) -> list[str]:
        """Every group's ``initial_…``: its value as it stands, or, where something was loaded, what that has left."""
        notes: list[str] = []
        left = None if self.resumed else self.foreign_state
        fresh = self._deferred and not (self.resumed or self.foreign_state or self.start_step is not None)
        if left is None and not fresh and self._saved is None and (left := self._bases.one_cycle()) is not None:
            notes = [f"the optimizer's groups are those of {name_of(left)}: their max_lr is the peak"]
        if left is not None:
            told, events = self._bases.take_over(left, self.updates, not (self._deferred or self.started))
            notes += told
            for event in events:
                self._record(event)
        if fresh:
            self._bases.read()
            return notes
        return notes + self._bases.settle(self.on_lr_change)

    def refuse_unknown_groups(self) -> None:
        """``ValueError`` for a track that names groups which are not there, unless some may come."""
        self._bases.refuse_unknown_groups(self.groups_may_come)

    # ---- its clock --------------------------------------------------------------------------------------------------

    def _after_update(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """What the optimizer calls after each update. The last branch is nearly always taken: it must be short."""
        if compiler.is_dynamo_compiling():
            self._advance_untraced(optimizer)
        elif (
            self._doubtful or (groups := optimizer.param_groups)[-1] is not self._last
            or len(groups) != self._count
            or (first := groups[0]) is not self._first or first[self._key] == 0.0
        ):  # fmt: skip
            self._advance_with_care(optimizer)
        else:
            t = self.updates = self.updates + 1
            self._write(t)

    def _advance_with_care(self, optimizer: Optimizer) -> None:
        """As above, where it is not clear that the call was an update, or what the groups are."""
        if self._on_cuda and torch.cuda.is_current_stream_capturing():
            self._recorded, self._stepped_at = True, self.updates  # into a CUDA graph, whose replays have no hook
        else:
            self._advance(optimizer)

    def _advance(self, optimizer: Optimizer) -> None:
        found_inf = getattr(optimizer, "found_inf", None)
        if found_inf is not None and found_inf.item():
            return  # a fused optimizer was called, and did nothing: its gradients were not finite
        if self.groups_changed():
            self._rebind()
        if not self._fills_state():
            self.updates += 1
        self._write(self.updates)

    def _write_all(self, t: int) -> None:
        for track in self._tracks:
            track.write(t)

    def _fills_state(self) -> bool:
        """Whether this step was torch's own and updated nothing: its distributed checkpoints make one.

        To learn the shape of an empty optimizer state, torch.distributed.checkpoint.state_dict calls the step with
        gradients of 0, and in every group an lr of 0 in the place of ours. Where ours is 0 too, nobody can tell.
        """
        track = self._tracks[0]
        if track.floats:
            group, base = track.floats[0]
            return bool(group[track.key] == 0.0 != base * track.factor)
        if not track.tensors:
            return False
        found = held(self.optimizer.param_groups[track.members[0]], track.key)
        return found is not track.tensors[0][0] and float(found) == 0.0 != track.bases[0] * track.factor

    def groups_changed(self) -> bool:
        """Whether the optimizer has other groups than those that are written."""
        groups = self.optimizer.param_groups
        return len(groups) != self._count or groups[0] is not self._first or groups[-1] is not self._last

    def overwritten(self) -> bool:
        """Whether somebody else has written to a schedule's first group; no device is asked."""
        for track in self._tracks:
            if track.floats:
                group, base = track.floats[0]
                if group[track.key] != base * track.factor:
                    return True
        return False

    # a compiled optimizer.step traces its hooks: not this one
    _advance_untraced = torch.compiler.disable(_advance)  # type: ignore[no-untyped-call]

    def _after_load(self, optimizer: Optimizer) -> None:
        """``optimizer.load_state_dict`` made new group dictionaries: find them, and what they were to hold."""
        self._bases.keep()
        self.resumed = True
        for note in self._settle_bases():
            warnings.warn(f"ScheduledLR: {note}", stacklevel=2)
        self.rewrite()

    def _rebind(self) -> None:
        groups = self.optimizer.param_groups
        if self._count != len(groups):
            self._bases.partition()
        seen: set[int] = set()
        for track in self._tracks:
            track.bind(groups, seen)
        self._write = self._tracks[0].write if len(self._tracks) == 1 else self._write_all
        self._count, self._first, self._last = len(groups), groups[0], groups[-1]
        self._on_cuda = any(parameter.is_cuda for group in groups for parameter in group["params"][:1])
        lead = self._tracks[0]
        leads = bool(lead.floats) and lead.floats[0][0] is self._first
        self._key = lead.key
        fused = getattr(self.optimizer, "_step_supports_amp_scaling", False)
        self._doubtful = fused or self._on_cuda or not leads
        self.bindings += 1

    def rewrite(self) -> None:
        """Take in groups that are new, and write the current lr again, whoever wrote another since."""
        self._rebind()
        self._write(self.updates)

    def step(self, epoch: Any = None) -> None:
        """Do nothing: the optimizer's updates move the clock. Loops that call it keep working.

        Only where the optimizer's step was recorded into a CUDA graph, whose replays nobody else hears of, it counts
        the update that was just made: call it once after each replay.
        """
        if epoch is not None and (isinstance(epoch, bool) or not isinstance(epoch, int)):
            raise ValueError(
                f"ScheduledLR: step() takes no metric, got {shown(epoch)}: hand it to evaluate({{'val_loss': …}})"
            )
        if self._recorded and self.updates == self._stepped_at:
            self._advance(self.optimizer)
        self._stepped_at = self.updates
        over = self.run_horizon is not None and self.updates == self.run_horizon.total_steps
        if over and self.rules and self.listener is None and not self._evaluated:
            warnings.warn(
                "ScheduledLR: the run is over and its rules have never seen a metric: call evaluate() in a plain loop; "
                "within Lightning put an LRController() on the trainer, or use LRScheduleMixin",
                stacklevel=2,
            )

    # ---- its state --------------------------------------------------------------------------------------------------

    who: str = ""
    """Whose wish it is: within Lightning these callbacks start it, and say then what was wrong with a state."""
    unreadable: str = ""
    """What is wrong with the state that was loaded, until :meth:`without_state` has settled it."""
    _refused: Any = None

    def state_dict(self) -> dict[str, Any]:
        """Plain data only, loadable with ``torch.load(weights_only=True)``; never the configuration."""
        state: dict[str, Any] = {"lightning_lr": FORMAT, "optimizer": self.optimizer_index, "started": self.started}
        if not self.started:  # a crash before training starts loses nothing
            return self._saved or self.misdelivered or self._refused or state
        assert self.run_horizon is not None
        state |= {
            "updates": self.updates,
            "tracks": {track.id: track.state() for track in self._tracks},
            "run_horizon": self.run_horizon.state(),
            "checked_at": self.checked_at,
            "groups": self._bases.own,
            **self._history.state(),
        }
        return {**state, "sums": sums(state)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where the state was saved; the lr is written at once.

        A state that never started is ignored: the finders restore such a one. So are fields that this version does not
        know, within a format that it knows.

        Raises:
            ValueError: the state is broken, of a newer format or, in a plain loop, not a ``ScheduledLR``'s, and no
                ``start_step=`` says how to go on without it. The scheduler is then as it was before.
        """
        try:
            self._receive(state_dict)
            return
        except StateError as error:
            self.unreadable = str(error)
        if self.who and not self.started:
            self._refused = state_dict  # who starts it hears of it then, on every rank at once
        elif note := self.without_state():
            warnings.warn(note, stacklevel=2)

    def without_state(self) -> str:
        """What to say of a state that was unreadable and is dropped; nothing if there was none.

        Raises:
            ValueError: no ``start_step=`` says how to go on without it.
        """
        found, self.unreadable = self.unreadable, ""
        if not found:
            return ""
        message = f"{self.who or 'ScheduledLR'}: the saved state of the schedule cannot be used: {found}."
        if self.start_step is None:
            raise ValueError(
                f"{message} The weights and the optimizer's state that were saved with it are untouched: to go on from "
                "them without it say how many updates were made with start_step=, as in LRController(start_step=1200)"
            )
        return (
            f"{message} It is dropped: the schedule goes on at update {self.start_step} (start_step), and what metrics "
            "had changed is lost"
        )

    def _receive(self, state_dict: Mapping[str, Any]) -> None:
        if isinstance(state_dict, Mapping) and not is_ours(state_dict) and not self.started:
            self.foreign_state = dict(state_dict)
            return
        state = checked(state_dict)
        if not state["started"]:
            return
        if self.who and state["optimizer"] != self.optimizer_index:  # a plain loop hands it to whom it is about
            self.misdelivered = dict(state_dict)
            return
        before = [(one, dict(vars(one))) for one in (self, self._bases, self._history, *self._tracks)]
        try:
            self._load(state)
        except Exception as error:
            for one, values in before:
                vars(one).clear()
                vars(one).update(values)
            if isinstance(error, ArithmeticError):
                raise StateError(f"updates, or a control in tracks, is beyond any schedule: {error}") from None
            raise

    def _load(self, state: dict[str, Any]) -> None:
        horizon = self.run_horizon
        self._saved, self.resumed = state, True
        self._stepped_at = state["updates"]
        self.updates, self.checked_at, self._bases.own = state["updates"], state["checked_at"], state["groups"]
        place = {track.id: i for i, track in enumerate(self._tracks)}
        moved = [place.get(id, -1) for id in state["tracks"]]  # the events of a track that is gone are nobody's
        self._history.load(state, moved)
        self.run_horizon = Horizon(*state["run_horizon"])
        for track in self._tracks:
            if track.id in state["tracks"]:
                track.load(state["tracks"][track.id], f"tracks[{track.id!r}]")
            else:
                track.program = None  # new since the checkpoint
        if self.started:  # a plain loop: the run's length is known already
            assert horizon is not None
            for note in self._resolve_all(horizon):
                warnings.warn(f"ScheduledLR: {note}", stacklevel=3)
            self.run_horizon = horizon
            self.rewrite()
        else:
            self._write_early()

    def _write_early(self) -> None:
        """Within Lightning the state arrives before training starts; what runs in between sees the right lr."""
        self._bases.partition()
        for track in self._tracks:
            track.keep_time()
            if track.program is None:
                continue
            now = track.factor = factor(track.program, track.control, self.updates)
            for group in (self.optimizer.param_groups[i] for i in track.members):
                if track.initial in group and not isinstance(held(group, track.key), torch.Tensor):
                    store(group, track.key, float(group[track.initial]) * now)


def _updates(steps: object, where: str) -> list[int]:
    return [whole(step, f"{where}[{i}]") for i, step in enumerate(items(steps, where, "a list of updates"))]


ScheduledLR.__init__ = suggesting(ScheduledLR.__init__)  # type: ignore[method-assign]


def _meaning_of_lr(optimizer: Optimizer) -> list[str]:
    name = type(optimizer).__name__
    if name == "Adagrad" and any(group.get("lr_decay", 0) > 0 for group in optimizer.param_groups):
        return ["Adagrad divides the scheduled lr further by 1 + lr_decay · t: set lr_decay=0 to use the lr as planned"]
    return [f"the lr is not the step size here: {_MEANING_OF_LR[name]}"] if name in _MEANING_OF_LR else []
