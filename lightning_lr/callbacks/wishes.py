"""The callbacks a user puts into ``Trainer(callbacks=[...])``: each a declaration of what is wanted, nothing more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict, TypeVar

from typing_extensions import Unpack

from lightning_lr.callbacks.base import LRCallback
from lightning_lr.core.checks import flag, shown, whole
from lightning_lr.core.durations import Duration
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
        try:
            self.schedule = Warmup(duration, start_factor=start_factor, shape=shape)
        except ValueError as error:
            raise ValueError(f"LR{error}") from None


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
        self.schedule = as_schedule(phases, "LRMultiPhaseDecay: phases")


class LRController(LRCallback):
    """The general form: a schedule, and rules that change it.

    Args:
        schedule: a schedule or a list of phases; ``None`` leaves it to the other callbacks, or keeps the lr constant.
        rules: none in this version.
        **options: see :class:`~lightning_lr.callbacks.base.LRCallback`.
    """

    role = "rules"

    def __init__(
        self,
        schedule: Schedule | Sequence[Schedule] | None = None,
        *,
        rules: Iterable[object] = (),
        **options: Unpack[LROptions],
    ) -> None:
        super().__init__(**options)
        if tuple(rules):
            raise ValueError(f"LRController: rules must be empty in this version, got {tuple(rules)!r}")
        if schedule is not None:
            self.role = "schedule"
            self.schedule = as_schedule(schedule, "LRController: schedule")


class LRLogger(LRCallback):
    """Configure what is logged. Without it every LR callback logs the lr of every group by itself.

    Alone in the list it logs the lr of any training, scheduled or not.

    Args:
        every_n_steps: how often, ``None`` for the trainer's ``log_every_n_steps``. Discontinuities, the first and the
            last update are always logged.
        metrics: names in ``trainer.callback_metrics`` to write beside the lr, as ``monitor/<name>``, whenever they
            have a new value.
        plan: whether the plan is printed when training starts, and written as text where the logger has it.
        log_momentum: also log momentum (or beta1) of every group.
        log_weight_decay: also log the weight decay of every group.
    """

    role = "log"

    def __init__(
        self,
        *,
        every_n_steps: int | None = None,
        metrics: Iterable[str] = (),
        plan: bool = True,
        log_momentum: bool = False,
        log_weight_decay: bool = False,
    ) -> None:
        super().__init__()
        names = (metrics,) if isinstance(metrics, str) else tuple(metrics)
        if isinstance(metrics, str) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"LRLogger: metrics must be a list of names, got {shown(metrics)}")
        self.every_n_steps = None if every_n_steps is None else whole(every_n_steps, "LRLogger: every_n_steps", low=1)
        self.metrics = names
        self.plan = flag(plan, "LRLogger: plan")
        self.log_momentum = flag(log_momentum, "LRLogger: log_momentum")
        self.log_weight_decay = flag(log_weight_decay, "LRLogger: log_weight_decay")
