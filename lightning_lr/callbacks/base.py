"""What the callbacks of this package share: they declare what is wanted, and one of them conducts the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback

from lightning_lr.core.actions import Action
from lightning_lr.core.checks import as_key, choice, flag, suggesting, whole
from lightning_lr.core.rules import Rule
from lightning_lr.core.schedules.base import Schedule
from lightning_lr.core.tracks import as_groups
from lightning_lr.scheduler import HORIZON_CHANGES, LR_CHANGES

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

    from lightning_lr.callbacks.conductor import Conductor

OPTIONS = ("total_steps", "on_horizon_change", "on_lr_change", "on_overrun", "start_step")


class LRCallback(Callback):
    """A wish about the learning rate. The first one in the trainer's list conducts for all of them.

    Args:
        optimizer: which optimizer it is about: ``None`` for all, an index, or a class name such as ``"Adam"``.
        total_steps: the run's optimizer updates, where Lightning cannot know them.
        on_horizon_change: what a resumed run of another length does: ``"keep"``, ``"stretch"`` or ``"error"``.
        on_lr_change: what a resumed run with another lr in its code does: ``"keep"``, ``"use_new"`` or ``"error"``.
        on_overrun: ``"error"`` refuses a schedule that is longer than the run, ``"cut"`` lets the run's end cut it.
        start_step: updates made before, for a checkpoint that does not know.
        log: whether to log lr and decisions to the trainer's loggers.
        groups: which parameter groups it is about: a name, a regular expression that matches the whole name, an index,
            or a list of these. ``None``: all that no other callback names; what is said of all groups, a warmup or a
            rule, holds for named groups too, unless another callback says otherwise for those.
        key: which of their numbers: ``"lr"``, ``"momentum"`` (beta1 where there are betas), ``"beta2"``,
            ``"weight_decay"`` or any other; see :class:`~lightning_lr.Track`.
    """

    role: str = "rules"
    """What it contributes: the ``"warmup"``, the ``"schedule"``, ``"rules"``, or only the ``"log"``."""
    schedule: Schedule | None = None
    rules: tuple[Rule, ...] = ()
    on_resume: Action | None = None
    from_mixin: bool = False
    """Put in front by the mixin for the length of a fit, so that somebody conducts; it wishes for nothing itself."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        init = cls.__dict__.get("__init__")
        if init is not None:
            cls.__init__ = suggesting(init)  # type: ignore[method-assign]

    def __init__(
        self,
        *,
        optimizer: int | str | None = None,
        total_steps: int | None = None,
        on_horizon_change: str | None = None,
        on_lr_change: str | None = None,
        on_overrun: str | None = None,
        start_step: int | None = None,
        log: bool = True,
        groups: int | str | Sequence[int | str] | None = None,
        key: str = "lr",
    ) -> None:
        name = type(self).__name__
        if optimizer == "":
            raise ValueError(f"{name}: optimizer must be an index, a class name, or None for all, got ''")
        if optimizer is not None and not isinstance(optimizer, str):
            optimizer = whole(optimizer, f"{name}: optimizer (an index, a class name, or None for all)")
        self.optimizer = optimizer
        self.total_steps = None if total_steps is None else whole(total_steps, f"{name}: total_steps", low=1)
        self.on_horizon_change = _one_of(on_horizon_change, HORIZON_CHANGES, f"{name}: on_horizon_change")
        self.on_lr_change = _one_of(on_lr_change, LR_CHANGES, f"{name}: on_lr_change")
        self.on_overrun = _one_of(on_overrun, ("error", "cut"), f"{name}: on_overrun")
        self.start_step = None if start_step is None else whole(start_step, f"{name}: start_step")
        self.logs = flag(log, f"{name}: log")  # not self.log: Lightning puts the module's log() there
        self.groups = as_groups(groups, f"{name}: groups")
        self.key = as_key(key, f"{name}: key")
        self._conductor: Conductor | None = None  # for the length of a fit, in the callback that conducts it

    @property
    def says_something(self) -> bool:
        """Whether there is a schedule or a rule in it, or something to do to named groups, and not only settings."""
        named = self.on_resume is not None and (self.groups is not None or self.key != "lr")
        return self.schedule is not None or bool(self.rules) or named

    def concerns(self, index: int, class_name: str) -> bool:
        """Whether this wish is about the optimizer with this index and class name."""
        return self.optimizer is None or self.optimizer in (index, class_name)

    # ---- Lightning's hooks: whoever conducts passes them on ---------------------------------------------------------

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        from lightning_lr.callbacks.conductor import Conductor

        first = next(c for c in trainer.callbacks if isinstance(c, LRCallback))  # type: ignore[attr-defined]
        self._conductor = Conductor(trainer, pl_module) if first is self else None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._conductor is not None:
            self._conductor.start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._conductor is not None:
            self._conductor.epoch_starts(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self._conductor is not None and self._conductor.groups_may_have_changed:
            self._conductor.first_batch(trainer)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        if self._conductor is not None:
            self._conductor.before_update(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._conductor is not None:
            self._conductor.validation_starts(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._conductor is not None:
            self._conductor.validation_ends(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._conductor is not None:
            self._conductor.epoch_ends(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._conductor is not None:
            self._conductor.end(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if self._conductor is not None:  # Lightning calls no teardown then
            self._conductor.close(trainer, pl_module)
            self._conductor = None

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self._conductor is not None:
            self._conductor.close(trainer, pl_module)
            self._conductor = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_conductor": None}  # copies and spawned processes conduct a run of their own

    def __repr__(self) -> str:
        parts = [*([repr(self.schedule)] if self.schedule is not None else []), *map(repr, self.rules)]
        parts += [f"groups={self.groups!r}"] if self.groups is not None else []
        parts += [f"key={self.key!r}"] if self.key != "lr" else []
        return f"{type(self).__name__}({', '.join(parts)})"


LRCallback.__init__ = suggesting(LRCallback.__init__)  # type: ignore[method-assign]


def _one_of(value: object, allowed: tuple[str, ...], where: str) -> str | None:
    return None if value is None else choice(value, allowed, where)
