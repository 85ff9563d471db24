"""The callbacks a user puts into ``Trainer(callbacks=[...])``: each a declaration of what is wanted, nothing more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypedDict, TypeVar

from typing_extensions import Unpack

from lightning_lr.callbacks.base import LRCallback
from lightning_lr.core.actions import Action, Freeze, Reduce, Restart, as_action
from lightning_lr.core.checks import flag, shown, whole
from lightning_lr.core.detectors import Detector, Patience, as_detector
from lightning_lr.core.durations import Duration
from lightning_lr.core.rules import Rule, as_rules
from lightning_lr.core.schedules import Warmup
from lightning_lr.core.schedules.base import Schedule
from lightning_lr.core.schedules.coerce import as_schedule

S = TypeVar("S", bound=Schedule)


class LROptions(TypedDict, total=False):
    """What every LR callback also takes; see :class:`~lightning_lr.callbacks.base.LRCallback`."""

    optimizer: int | str | None
    total_steps: int | None
    on_horizon_change: str | None
    on_lr_change: str | None
    on_overrun: str | None
    start_step: int | None
    log: bool
    groups: int | str | Sequence[int | str] | None
    key: str


LROptions.__doc__ = LRCallback.__doc__  # where jsonargparse looks for the help texts of ``**options``


class LRWarmup(LRCallback):
    """Rise to the configured lr, which the warmup's last update reaches; goes in front of any other schedule.

    Args:
        duration: updates (``500``), ``"3 epochs"`` or a share of the run (``"5%"``).
        start_factor: the factor one update before the first, in [0, 1].
        shape: ``"linear"``, ``"cosine"`` or ``"exponential"``.
        **options: see :class:`~lightning_lr.callbacks.base.LRCallback`.

    >>> LRWarmup("5%").schedule.curve(100)[[0, 4, 5]].tolist()
    [0.2, 1.0, 1.0]
    """

    role = "warmup"

    def __init__(
        self, duration: Duration, *, start_factor: float = 0.0, shape: str = "linear", **options: Unpack[LROptions]
    ) -> None:
        super().__init__(**options)
        with _named(self):
            self.schedule = Warmup(duration, start_factor=start_factor, shape=shape)


class LRMultiPhaseDecay(LRCallback):
    """Run through phases, one after the other.

    Args:
        phases: a list of phases, or one schedule such as ``Linear("50%") >> Cosine()``. Lists and mappings that YAML
            or Hydra produced are taken as well.
        **options: see :class:`~lightning_lr.callbacks.base.LRCallback`.

    >>> from lightning_lr import Constant, Linear
    >>> LRMultiPhaseDecay([Constant(2), Linear()]).schedule.curve(6).tolist()
    [1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
    """

    role = "schedule"

    def __init__(self, phases: Schedule | Sequence[Schedule], **options: Unpack[LROptions]) -> None:
        super().__init__(**options)
        with _named(self):
            self.schedule = as_schedule(phases, "LRMultiPhaseDecay: phases")


class LRController(LRCallback):
    """The general form: a schedule, and rules that change it.

    Args:
        schedule: a schedule or a list of phases; ``None`` leaves it to the other callbacks, or keeps the lr constant.
        rules: a list of :class:`~lightning_lr.Rule`, or of mappings that describe them.
        on_resume: an action to take once when a run goes on from a checkpoint, such as ``Cooldown("20%")`` to branch
            a cooldown off a constant trunk.
        **options: see :class:`~lightning_lr.callbacks.base.LRCallback`.
    """

    role = "rules"

    def __init__(
        self,
        schedule: Schedule | Sequence[Schedule] | None = None,
        *,
        rules: Iterable[Rule] = (),
        on_resume: Action | None = None,
        **options: Unpack[LROptions],
    ) -> None:
        super().__init__(**options)
        self.rules = as_rules(rules, "LRController: rules")
        self.on_resume = None if on_resume is None else as_action(on_resume, "LRController: on_resume")
        if schedule is not None:
            self.role = "schedule"
            with _named(self):
                self.schedule = as_schedule(schedule, "LRController: schedule")


class LRPlateauReduction(LRCallback):
    """Multiply the lr by ``factor`` when a metric has stopped getting better; on top of any schedule.

    Args:
        monitor: the metric's name.
        mode: ``"min"`` or ``"max"``: which values are good.
        factor: in (0, 1).
        patience: bad evaluations in a row that are borne.
        threshold: what an improvement must exceed.
        threshold_mode: ``"rel"`` (times \\|best\\|) or ``"abs"``.
        cooldown: evaluations after a reduction that are not bad.
        min_lr: the largest lr is not reduced below it; it bounds reductions, not the schedule.
        check: ``"validation"`` or ``"train_epoch"``.
        nan_policy: ``"count"`` NaN as bad, ``"ignore"`` or ``"raise"``.
        detector: another one instead of patience and threshold, such as ``Trend()``.
        active_from: a duration from the run's start, before which evaluations are not bad.
        until: a duration from the run's start, from which on evaluations are not bad.
        **options: see :class:`~lightning_lr.callbacks.base.LRCallback`.

    >>> LRPlateauReduction("val_loss", patience=3, factor=0.5).rules
    (Rule(Patience(3), do=Reduce(0.5), monitor='val_loss'),)
    """

    def __init__(
        self,
        monitor: str,
        *,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        check: str = "validation",
        nan_policy: str = "count",
        detector: Detector | None = None,
        active_from: Duration | None = None,
        until: Duration | None = None,
        **options: Unpack[LROptions],
    ) -> None:
        super().__init__(**options)
        with _named(self):
            when = _detector(detector, 10, patience, threshold, threshold_mode)
            do = Reduce(factor, min_lr)
            self.rules = (
                Rule(
                    when,
                    do,
                    monitor,
                    mode=mode,
                    check=check,
                    cooldown=cooldown,
                    nan_policy=nan_policy,
                    active_from=active_from,
                    until=until,
                ),
            )


class LRStagnationRestart(LRCallback):
    """Begin the schedule again, after its warmup, when a metric has stopped getting better for long.

    Args:
        monitor: the metric's name.
        mode: ``"min"`` or ``"max"``: which values are good.
        patience: bad evaluations in a row that are borne; larger than a plateau reduction's on the same metric.
        threshold: what an improvement must exceed.
        threshold_mode: ``"rel"`` (times \\|best\\|) or ``"abs"``.
        max_restarts: how often; ``None`` for no limit.
        peak_decay: the n-th restart's peak is ``peak_decay ** n`` of the first, in (0, 1].
        rewarm: a duration, or 0: a straight way up from 0 to the new peak.
        fit: ``"remaining"`` fits the schedule after its warmup to the rest of the run, ``"original"`` keeps its length.
        check: ``"validation"`` or ``"train_epoch"``.
        nan_policy: ``"count"`` NaN as bad, ``"ignore"`` or ``"raise"``.
        detector: another one instead of patience and threshold.
        active_from: a duration from the run's start, before which evaluations are not bad.
        until: a duration from the run's start, from which on evaluations are not bad: with ``"80%"`` nothing
            interrupts the last fifth of the run.
        **options: see :class:`~lightning_lr.callbacks.base.LRCallback`.
    """

    def __init__(
        self,
        monitor: str,
        *,
        mode: str = "min",
        patience: int = 20,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        max_restarts: int | None = 3,
        peak_decay: float = 1.0,
        rewarm: Duration = 0,
        fit: str = "remaining",
        check: str = "validation",
        nan_policy: str = "count",
        detector: Detector | None = None,
        active_from: Duration | None = None,
        until: Duration | None = None,
        **options: Unpack[LROptions],
    ) -> None:
        super().__init__(**options)
        with _named(self):
            when = _detector(detector, 20, patience, threshold, threshold_mode)
            do = Restart(peak_decay, max_restarts, rewarm, fit)
            self.rules = (
                Rule(
                    when,
                    do,
                    monitor,
                    mode=mode,
                    check=check,
                    nan_policy=nan_policy,
                    active_from=active_from,
                    until=until,
                ),
            )


class LRFreeze(LRCallback):
    """Hold the lr for a while when a metric has stopped getting better; the rest of the schedule is put off.

    Args:
        monitor: the metric's name.
        duration: how long the lr is held.
        mode: ``"min"`` or ``"max"``: which values are good.
        patience: bad evaluations in a row that are borne.
        threshold: what an improvement must exceed.
        threshold_mode: ``"rel"`` (times \\|best\\|) or ``"abs"``.
        check: ``"validation"`` or ``"train_epoch"``.
        nan_policy: ``"count"`` NaN as bad, ``"ignore"`` or ``"raise"``.
        detector: another one instead of patience and threshold.
        active_from: a duration from the run's start, before which evaluations are not bad.
        until: a duration from the run's start, from which on evaluations are not bad: with ``"80%"`` nothing
            interrupts the last fifth of the run.
        **options: see :class:`~lightning_lr.callbacks.base.LRCallback`.
    """

    def __init__(
        self,
        monitor: str,
        *,
        duration: Duration,
        mode: str = "min",
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        check: str = "validation",
        nan_policy: str = "count",
        detector: Detector | None = None,
        active_from: Duration | None = None,
        until: Duration | None = None,
        **options: Unpack[LROptions],
    ) -> None:
        super().__init__(**options)
        with _named(self):
            when = _detector(detector, 10, patience, threshold, threshold_mode)
            do = Freeze(duration)
            self.rules = (
                Rule(
                    when,
                    do,
                    monitor,
                    mode=mode,
                    check=check,
                    nan_policy=nan_policy,
                    active_from=active_from,
                    until=until,
                ),
            )


@contextmanager
def _named(callback: LRCallback) -> Iterator[None]:
    """Errors of the parts a callback is made of name the callback, whose parameters they are."""
    try:
        yield
    except (TypeError, ValueError) as error:
        part, colon, text = str(error).partition(": ")
        said = text if colon and part.isidentifier() and part != "detector" else str(error)
        raise type(error)(f"{type(callback).__name__}: {said}") from None


def _detector(detector: Detector | None, usual: int, patience: int, threshold: float, threshold_mode: str) -> Detector:
    if detector is None:
        return Patience(patience, threshold, threshold_mode)
    if (patience, threshold, threshold_mode) != (usual, 1e-4, "rel"):
        raise ValueError(
            f"detector: {detector!r} excludes patience, threshold and threshold_mode: give them to the detector"
        )
    return as_detector(detector, "detector")


class LRLogger(LRCallback):
    """Configure what is logged. Without it every LR callback logs the lr of every group by itself.

    Alone in the list it logs the lr of any training, scheduled or not.

    Args:
        every_n_steps: how often, ``None`` for the trainer's ``log_every_n_steps``. Discontinuities, the first and the
            last update are always logged.
        metrics: names in ``trainer.callback_metrics`` to write beside the lr, as ``monitor/<name>``, whenever they
            have a new value.
        layout: whether to arrange TensorBoard's Custom Scalars page: lr, losses, decisions. The last layout of a run
            wins: ``False`` leaves your own alone.
        plan: whether the plan is printed when training starts, and written for TensorBoard as text and as a sub-run
            ``plan`` under the same tags, so that plan and actual lie over each other.
        figures: whether plan and actual are drawn, for the first ten decisions and at the end; needs matplotlib.
        log_momentum: also log momentum (or beta1) of every group.
        log_weight_decay: also log the weight decay of every group.
        progress_bar: whether the progress bar shows the largest lr and the phase.
    """

    role = "log"

    def __init__(
        self,
        *,
        every_n_steps: int | None = None,
        metrics: Iterable[str] = (),
        layout: bool = True,
        plan: bool = True,
        figures: bool = True,
        log_momentum: bool = False,
        log_weight_decay: bool = False,
        progress_bar: bool = True,
    ) -> None:
        super().__init__()
        listed = isinstance(metrics, Iterable) and not isinstance(metrics, str)
        names = tuple(metrics) if listed else ()
        if not listed or not all(isinstance(name, str) for name in names):
            raise ValueError(f"LRLogger: metrics must be a list of names, got {shown(metrics)}")
        self.every_n_steps = None if every_n_steps is None else whole(every_n_steps, "LRLogger: every_n_steps", low=1)
        self.metrics = names
        self.layout = flag(layout, "LRLogger: layout")
        self.plan = flag(plan, "LRLogger: plan")
        self.figures = flag(figures, "LRLogger: figures")
        self.log_momentum = flag(log_momentum, "LRLogger: log_momentum")
        self.progress_bar = flag(progress_bar, "LRLogger: progress_bar")
        self.log_weight_decay = flag(log_weight_decay, "LRLogger: log_weight_decay")
