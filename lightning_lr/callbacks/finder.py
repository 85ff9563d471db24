"""``LRFinder``: Lightning's own range test, read in log lr, sets the peak of the schedule before training begins."""

from __future__ import annotations

import contextlib
import numbers
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from lightning.pytorch.callbacks import Callback, LearningRateFinder
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch.utilities.parsing import lightning_getattr, lightning_hasattr, lightning_setattr
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lightning_lr.callbacks import quirks
from lightning_lr.core.checks import choice, flag, number, shown, suggesting, whole
from lightning_lr.core.range_test import FEWEST, Suggestions, smoothed, still_falling, suggest
from lightning_lr.scheduler import ScheduledLR

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from matplotlib.figure import Figure
    from torch.optim import Optimizer

ATTRIBUTES = ("lr", "learning_rate")
"""Where Lightning looks for the module's own lr."""
DOUBTFUL = 10.0
"""Suggestions that differ by more than this are warned about."""


class RangeTest(NamedTuple):
    """What a range test measured: the loss of each update at its lr, and what follows from it.

    ``suggestions`` is ``None`` where the curve says nothing; the error told why.
    """

    lrs: list[float]
    losses: list[float]
    suggestions: Suggestions | None


class LRFinder(LearningRateFinder):
    """Find the schedule's peak lr by a range test, before the first update.

    The test is Lightning's: updates at an lr that grows from ``min_lr`` to ``max_lr``, after which weights, optimizer
    and counters are put back. From the loss of each update five suggestions are made; their formulas are in
    :mod:`lightning_lr.core.range_test`. One of them becomes the largest lr among the optimizer's groups; the other lrs
    keep their ratios to it, in the test too. The module's own ``lr`` or ``learning_rate`` is scaled alike. Warmup and
    schedule then have this peak, whatever the order of the callbacks.

    A run that goes on, from a checkpoint or after an earlier fit of the trainer, is not tested again; its lr stays.
    (Strategies that load the checkpoint after ``on_fit_start``, such as FSDP's, make the test in vain.) Under
    ``fast_dev_run`` there is none.

    Args:
        min_lr: where the range begins, > 0.
        max_lr: where it ends.
        num_training_steps: updates of the test, >= 20, however short the run is.
        mode: ``"exponential"``, evenly spaced in log lr, or ``"linear"``.
        early_stop_threshold: stop when the running mean of the loss exceeds the best by this factor, > 1; ``None`` for
            never. A loss that may be negative needs ``None``.
        update_attr: whether to set the module's attribute, where it has one.
        attr_name: its name; ``""`` for ``lr`` or ``learning_rate``.
        suggestion: which one is used: ``"median"`` (of the logarithms of the others), ``"valley"``, ``"steepest"``,
            ``"slide"`` or ``"minimum"``.

    Raises:
        ValueError: at fit start: several optimizers, manual optimization, a scheduler that has taken its own lr
            already, an ``attr_name`` that is not there; after the test: too few points, or a loss that does not fall.

    Attributes:
        results: a :class:`RangeTest`, on every rank the same: ``lrs``, ``losses`` (the ranks' mean) and
            ``suggestions``; ``None`` before the test.

    >>> LRFinder(min_lr=1e-5, suggestion="vally")
    Traceback (most recent call last):
    ValueError: LRFinder: suggestion must be one of 'valley', 'steepest', 'slide', 'minimum', 'median', got 'vally' (a \
str); did you mean 'valley'?
    """

    def __init__(
        self,
        *,
        min_lr: float = 1e-7,
        max_lr: float = 10.0,
        num_training_steps: int = 100,
        mode: str = "exponential",
        early_stop_threshold: float | None = 4.0,
        update_attr: bool = True,
        attr_name: str = "",
        suggestion: str = "median",
    ) -> None:
        min_lr = number(min_lr, "LRFinder: min_lr", low=0, low_open=True)
        if early_stop_threshold is not None:
            early_stop_threshold = number(
                early_stop_threshold, "LRFinder: early_stop_threshold (or None)", low=1, low_open=True
            )
        super().__init__(
            min_lr=min_lr,
            max_lr=number(max_lr, "LRFinder: max_lr", low=min_lr, low_open=True),
            num_training_steps=whole(num_training_steps, "LRFinder: num_training_steps", low=FEWEST),
            mode=choice(mode, self.SUPPORTED_MODES, "LRFinder: mode"),
            early_stop_threshold=early_stop_threshold,
            update_attr=False,  # Lightning would set its own suggestion, and all groups to the same
        )
        if not isinstance(attr_name, str):
            raise ValueError(f"LRFinder: attr_name must be a name, or '', got {shown(attr_name)}")
        self.update_attr = flag(update_attr, "LRFinder: update_attr")
        self.attr_name = attr_name
        self.suggestion = choice(suggestion, Suggestions._fields, "LRFinder: suggestion")
        self.results: RangeTest | None = None
        self._peaks: list[float] = []
        self._attribute: tuple[str, float] | None = None  # its name and what it was set to
        self._goes_on = False

    # ---- the test ---------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        self._goes_on = trainer.global_step > 0
        if not self._goes_on:  # the same callback in a new trainer starts fresh
            self.results, self._peaks, self._attribute = None, [], None

    def lr_find(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Run the test and set the peak; called at fit start."""
        optimizer = _only_optimizer(trainer, pl_module)
        attribute = self._own_lr(pl_module)
        if self._goes_on:
            if len(self._peaks) == len(optimizer.param_groups):  # as the code would have it, had it known
                _assign(optimizer, self._peaks)
                for _, scheduler in quirks.owned(trainer):
                    if isinstance(scheduler, ScheduledLR):
                        scheduler.configured_as(self._peaks)
            rank_zero_info("LRFinder: the run goes on; it is not tested again, and its lr stays")
            return
        before = [float(group["lr"]) for group in optimizer.param_groups]
        top = max(before)
        ratios = [lr / top if top > 0 else 1.0 for lr in before]
        with _whole_range(trainer), _Recorder(trainer, optimizer, ratios) as recorder:
            super().lr_find(trainer, pl_module)
        if self.optimal_lr is None:
            return  # fast_dev_run; Lightning has said so
        trainer.ckpt_path = None  # it still names the test's own checkpoint, which is gone
        self.results = RangeTest(*recorder.joined(trainer), None)
        try:
            found = suggest(self.results.lrs, self.results.losses)
        except ValueError as error:
            raise ValueError(f"LRFinder: {error}") from None
        self.results = self.results._replace(suggestions=found)
        peak: float = getattr(found, self.suggestion)
        self._peaks = [peak * ratio for ratio in ratios]
        _assign(optimizer, self._peaks)
        if attribute is not None:
            mine = lightning_getattr(pl_module, attribute)
            self._attribute = attribute, peak * (mine / top) if mine and top > 0 else peak
            lightning_setattr(pl_module, *self._attribute)
        self._tell(self.results, found, peak)

    def _own_lr(self, pl_module: LightningModule) -> str | None:
        """The name of the module's own lr, where there is one to be set."""
        if not self.update_attr:
            return None
        if self.attr_name and not lightning_hasattr(pl_module, self.attr_name):
            raise ValueError(
                f"LRFinder: attr_name={self.attr_name!r} is neither in {type(pl_module).__name__} nor in its hparams "
                "or datamodule: name what configure_optimizers reads, or leave it out"
            )
        for name in (self.attr_name,) if self.attr_name else ATTRIBUTES:
            if lightning_hasattr(pl_module, name):
                value = lightning_getattr(pl_module, name)
                if value is None or (isinstance(value, numbers.Real) and not isinstance(value, bool)):
                    return name
                if self.attr_name:
                    raise ValueError(f"LRFinder: {name} must hold a number, or None, got {shown(value)}")
        return None

    def _tell(self, results: RangeTest, found: Suggestions, peak: float) -> None:
        listed = ", ".join(f"{name} {value:.3g}" for name, value in found._asdict().items())
        rank_zero_info(
            f"LRFinder: the peak lr is {peak:.3g} ({self.suggestion}), after {len(results.lrs)} updates from "
            f"{results.lrs[0]:.3g} to {results.lrs[-1]:.3g}; suggestions: {listed}"
        )
        if found.spread > DOUBTFUL:
            rank_zero_warn(
                f"LRFinder: the suggestions differ by a factor of {found.spread:.3g} ({listed}): look at "
                "finder.plot(), and name the one that you trust with suggestion=, or take more num_training_steps"
            )
        if results.lrs[-1] > 0.5 * self._max_lr and still_falling(results.lrs, results.losses):
            rank_zero_warn(
                f"LRFinder: the loss was still falling at max_lr={self._max_lr:g}: the best lr may be larger, give a "
                "larger max_lr"
            )

    # ---- resuming ---------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """What was measured and what was set: plain data."""
        if self.results is None or self.results.suggestions is None:
            return {}
        return {
            "lrs": self.results.lrs,
            "losses": self.results.losses,
            "suggestions": list(self.results.suggestions),
            "peaks": self._peaks,
            "attribute": self._attribute,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if not state_dict:
            return
        try:
            found = Suggestions(*map(float, state_dict["suggestions"]))
            results = RangeTest([*map(float, state_dict["lrs"])], [*map(float, state_dict["losses"])], found)
            peaks, attribute = state_dict["peaks"], state_dict["attribute"]
        except (LookupError, TypeError, ValueError) as error:
            raise ValueError(
                f"LRFinder: its own state in the checkpoint is broken ({error!r}): to go on without it, remove the "
                f"{self.state_key!r} of the checkpoint's callbacks"
            ) from None
        self.results, self._peaks, self._attribute = results, peaks, attribute

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Whether the run goes on; and the module's lr, before ``configure_optimizers`` reads it.

        Lightning's finders load a checkpoint of their own here: at update 0, and, before a test, without our state.
        """
        state = checkpoint.get("callbacks", {}).get(self.state_key, {})
        self._goes_on = self._goes_on or bool(state) or checkpoint.get("global_step", 0) > 0
        attribute = state.get("attribute")
        if self.update_attr and attribute is not None and lightning_hasattr(pl_module, attribute[0]):
            lightning_setattr(pl_module, *attribute)

    # ---- the picture ------------------------------------------------------------------------------------------------

    def plot(self) -> Figure:
        """Loss and smoothed loss over log lr, with the five suggestions: a ``matplotlib.figure.Figure``, no pyplot.

        Raises:
            RuntimeError: there was no test yet.
            ImportError: matplotlib is missing; it comes with the extra ``plot``.
        """
        if self.results is None:
            raise RuntimeError("LRFinder: nothing to plot: the test is made when trainer.fit() begins")
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError('LRFinder: plot() needs matplotlib: pip install "lightning_lr[plot]"') from error
        lrs, losses, suggestions = self.results
        picture = Figure(figsize=(7, 4.5), dpi=100, layout="constrained")
        axes = picture.add_subplot(xscale="log", xlabel="learning rate", ylabel="loss")
        axes.plot(lrs, losses, color="tab:gray", alpha=0.5, linewidth=1, label="loss")
        with contextlib.suppress(ValueError):  # too few points for a curve; the loss is shown
            x, y = smoothed(lrs, losses)
            axes.plot(x, y, color="tab:blue", linewidth=2, label="smoothed")
            low, high = float(y.min()), float(y[: y.argmin() + 1].max())
            margin = (high - low) or abs(high) or 1.0
            axes.set_ylim(
                min(low - 0.25 * margin, *losses[: len(x)]), high + 0.5 * margin
            )  # a blow-up would hide everything else
        marked = sorted(suggestions._asdict().items() if suggestions else (), key=lambda pair: pair[1])
        for i, (name, value) in enumerate(marked, 1):
            used = name == self.suggestion
            axes.axvline(value, color=f"C{i}", linewidth=2.5 if used else 1.2, linestyle="-" if used else "--")
            axes.annotate(
                f"{name} {value:.2g}{' (used)' if used else ''}",
                (value, 1.04 - 0.07 * i),  # below each other: good suggestions lie close together
                xycoords=("data", "axes fraction"), xytext=(-6, 0), textcoords="offset points", ha="right", va="top",
                color=f"C{i}", weight="bold" if used else "normal",
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
            )  # fmt: skip
        axes.legend(loc="lower left")
        return picture


LRFinder.__init__ = suggesting(LRFinder.__init__)  # type: ignore[method-assign]


class _Recorder(Callback):
    """Stands beside Lightning's own recorder, which keeps a running mean of 50 updates only and sets all groups alike.

    Lightning puts all callbacks but its own aside for the test; this one comes back by a hook of the optimizer, which
    also holds the groups at their ratios.
    """

    def __init__(self, trainer: Trainer, optimizer: Optimizer, ratios: Sequence[float]) -> None:
        self.trainer, self.optimizer, self.ratios = trainer, optimizer, ratios
        self.lrs: list[float] = []
        self.losses: list[float] = []
        self._window: list[float] = []  # since the last update: several losses where batches are accumulated
        self._lr: float | None = None

    def __enter__(self) -> _Recorder:
        self._handle = self.optimizer.register_step_pre_hook(self._before_update)
        return self

    def __exit__(self, *error: object) -> None:
        self._handle.remove()

    def _before_update(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        callbacks: list[Callback] = self.trainer.callbacks  # type: ignore[attr-defined]
        if self not in callbacks:
            callbacks.append(self)
        groups = optimizer.param_groups
        self._lr = float(groups[self.ratios.index(max(self.ratios))]["lr"])
        for group, ratio in zip(groups, self.ratios, strict=True):
            group["lr"] = self._lr * ratio

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if outputs:  # empty where training_step returned None
            self._window.append(float(outputs["loss"]) * trainer.accumulate_grad_batches)
        if self._lr is not None and self._window:
            self.lrs.append(self._lr)
            self.losses.append(sum(self._window) / len(self._window))
            self._window = []
        self._lr = None

    def joined(self, trainer: Trainer) -> tuple[list[float], list[float]]:
        """The curve, the same on every rank: the mean of their losses, as rank 0 has it."""
        losses = torch.tensor(self.losses, device=trainer.strategy.root_device)
        losses = trainer.strategy.reduce(losses, reduce_op="mean")
        curve: tuple[list[float], list[float]] = trainer.strategy.broadcast((self.lrs, losses.tolist()))
        return curve


@contextlib.contextmanager
def _whole_range(trainer: Trainer) -> Iterator[None]:
    """Let the test run to its own end: a run of few epochs would cut it short, and validation has no part in it."""
    loop, every = trainer.fit_loop, trainer.check_val_every_n_epoch
    epochs, loop.max_epochs = loop.max_epochs, -1
    if every is not None:  # None: validation is counted in batches, and Lightning checks its interval against it
        trainer.check_val_every_n_epoch = sys.maxsize
    try:
        yield
    finally:
        loop.max_epochs, trainer.check_val_every_n_epoch = epochs, every


def _only_optimizer(trainer: Trainer, pl_module: LightningModule) -> Optimizer:
    """The optimizer that the test is about, or why there can be no test."""
    name = type(pl_module).__name__
    optimizers = [optimizer for optimizer in trainer.optimizers if optimizer.param_groups]  # not Lightning's mock
    if len(optimizers) != 1:
        raise ValueError(
            f"LRFinder: a range test is about one optimizer, and {name} has {len(optimizers)}: remove the callback, or "
            "make the test with a module that has one"
        )
    if not pl_module.automatic_optimization:
        raise ValueError(
            f"LRFinder: {name} optimizes manually, and a range test needs Lightning to make the updates: remove the "
            "callback, or make the test with a module of automatic optimization"
        )
    for _, scheduler in quirks.owned(trainer):
        if isinstance(scheduler, ScheduledLR) and scheduler.started:
            raise ValueError(
                "LRFinder: the ScheduledLR of configure_optimizers runs already and would overwrite the lr of the "
                "test: return self.scheduled(optimizer, schedule) from LRScheduleMixin, or use callbacks"
            )
        if not isinstance(scheduler, (ScheduledLR, ReduceLROnPlateau)):
            kind = type(scheduler).__name__
            raise ValueError(
                f"LRFinder: {kind} (from configure_optimizers) took its base lr when it was built and would not know "
                "of the suggestion: return the optimizer alone, and give the schedule as LRMultiPhaseDecay(…) or with "
                "LRScheduleMixin"
            )
    return optimizers[0]


def _assign(optimizer: Optimizer, lrs: Sequence[float]) -> None:
    """Before training the schedule has no say yet; it takes what it finds as its peak."""
    for group, lr in zip(optimizer.param_groups, lrs, strict=True):
        if isinstance(group["lr"], torch.Tensor):
            group["lr"] = torch.full_like(group["lr"], lr)  # torch lets groups share the default's tensor
        else:
            group["lr"] = lr
