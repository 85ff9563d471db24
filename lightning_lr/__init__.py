"""lightning_lr: the lr you previewed is the lr every optimizer update used.

The law. For parameter group g and the optimizer's update number t, counted from 0::

    lr_g(t)   = initial_lr_g · factor(t)
    factor(t) = scale · min(1, (j + 1) / R) · program(position),   j = max(t, hold_until) − origin
    position  = (offset + max(0, j − R) · num) / den

A *program* is a schedule resolved for a run's length; the other names are the *control*, which events change. With no
event so far, ``factor(t) = program(t)``.

Any other number of a group that has no rules of its own keeps the lr's clock: it has the control of the lr's track with
``scale = 1``, a re-warmup is a hold to it, and once a cooldown has replaced the lr's program it stays where it is.

Where things are, from the bottom up; imports go downward only::

    core/         numbers in, numbers out: durations, schedules, programs, detectors, rules, the control, its history
    groups.py     param_groups: which parameters get which share of the lr
    track.py      one program and its control for some groups and one of their numbers, and how it resumes
    bases.py      which groups each track is about, and what each of them starts from
    scheduler.py  ScheduledLR: the one writer of the lr, clocked by the optimizer
    reporting/    what is written where: the plan, names of curves, points, pictures
    callbacks/    what is wanted; the conductor that gathers it, once per fit
    mixin.py      LRScheduleMixin
    parser.py     LRArgumentParser: short errors for LightningCLI
    tuning/       sweep and compare: which lr, which decay, which optimizer
    cli/          the command lightning-lr

Names are imported when they are first used, so that ``import lightning_lr`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_lr.callbacks import LRCallback as LRCallback
    from lightning_lr.callbacks import LRController as LRController
    from lightning_lr.callbacks import LRFinder as LRFinder
    from lightning_lr.callbacks import LRFreeze as LRFreeze
    from lightning_lr.callbacks import LRLogger as LRLogger
    from lightning_lr.callbacks import LRMultiPhaseDecay as LRMultiPhaseDecay
    from lightning_lr.callbacks import LRPlateauReduction as LRPlateauReduction
    from lightning_lr.callbacks import LRStagnationRestart as LRStagnationRestart
    from lightning_lr.callbacks import LRWarmup as LRWarmup
    from lightning_lr.callbacks.preview import Preview as Preview
    from lightning_lr.callbacks.preview import preview as preview
    from lightning_lr.core.actions import Adapt as Adapt
    from lightning_lr.core.actions import Cooldown as Cooldown
    from lightning_lr.core.actions import Freeze as Freeze
    from lightning_lr.core.actions import Reduce as Reduce
    from lightning_lr.core.actions import Restart as Restart
    from lightning_lr.core.actions import Stop as Stop
    from lightning_lr.core.band import Band as Band
    from lightning_lr.core.control import Control as Control
    from lightning_lr.core.control import Event as Event
    from lightning_lr.core.control import replay as replay
    from lightning_lr.core.detectors import Detector as Detector
    from lightning_lr.core.detectors import Patience as Patience
    from lightning_lr.core.detectors import Trend as Trend
    from lightning_lr.core.detectors import Window as Window
    from lightning_lr.core.durations import Duration as Duration
    from lightning_lr.core.durations import Horizon as Horizon
    from lightning_lr.core.presets import cosine_with_warmup as cosine_with_warmup
    from lightning_lr.core.presets import flat_cosine as flat_cosine
    from lightning_lr.core.presets import infinite as infinite
    from lightning_lr.core.presets import linear_with_warmup as linear_with_warmup
    from lightning_lr.core.presets import one_cycle as one_cycle
    from lightning_lr.core.presets import slanted_triangular as slanted_triangular
    from lightning_lr.core.presets import wsd as wsd
    from lightning_lr.core.program import Program as Program
    from lightning_lr.core.range_test import Suggestions as Suggestions
    from lightning_lr.core.recipes import Recipe as Recipe
    from lightning_lr.core.recipes import recipe as recipe
    from lightning_lr.core.rules import Rule as Rule
    from lightning_lr.core.scaling import scale_lr as scale_lr
    from lightning_lr.core.schedules import Beside as Beside
    from lightning_lr.core.schedules import Chain as Chain
    from lightning_lr.core.schedules import Constant as Constant
    from lightning_lr.core.schedules import Cosine as Cosine
    from lightning_lr.core.schedules import CosineRestarts as CosineRestarts
    from lightning_lr.core.schedules import Custom as Custom
    from lightning_lr.core.schedules import Cyclic as Cyclic
    from lightning_lr.core.schedules import Exponential as Exponential
    from lightning_lr.core.schedules import InverseSqrt as InverseSqrt
    from lightning_lr.core.schedules import InverseTime as InverseTime
    from lightning_lr.core.schedules import Linear as Linear
    from lightning_lr.core.schedules import MultiStep as MultiStep
    from lightning_lr.core.schedules import OneMinusSqrt as OneMinusSqrt
    from lightning_lr.core.schedules import Polynomial as Polynomial
    from lightning_lr.core.schedules import Rex as Rex
    from lightning_lr.core.schedules import StepDecay as StepDecay
    from lightning_lr.core.schedules import Temperature as Temperature
    from lightning_lr.core.schedules import Warmup as Warmup
    from lightning_lr.core.schedules.base import Schedule as Schedule
    from lightning_lr.core.schedules.periodic import cycle_ends as cycle_ends
    from lightning_lr.core.tracks import Track as Track
    from lightning_lr.groups import param_groups as param_groups
    from lightning_lr.mixin import LRScheduleMixin as LRScheduleMixin
    from lightning_lr.parser import LRArgumentParser as LRArgumentParser
    from lightning_lr.reporting.losses import cycle_end_losses as cycle_end_losses
    from lightning_lr.reporting.losses import plot_cycle_ends as plot_cycle_ends
    from lightning_lr.reporting.losses import plot_lr_vs_loss as plot_lr_vs_loss
    from lightning_lr.reporting.pictures import plot as plot
    from lightning_lr.reporting.pictures import plot_events as plot_events
    from lightning_lr.scheduler import ScheduledLR as ScheduledLR

__version__ = "0.1.0"

_HOMES = {
    "core.durations": "Duration Horizon",
    "core.program": "Program",
    "core.schedules.base": "Schedule",
    "core.schedules": (
        "Beside Chain Constant Cosine CosineRestarts Custom Cyclic Exponential InverseSqrt InverseTime Linear "
        "MultiStep OneMinusSqrt Polynomial Rex StepDecay Temperature Warmup"
    ),
    "core.schedules.periodic": "cycle_ends",
    "core.presets": ("cosine_with_warmup flat_cosine infinite linear_with_warmup one_cycle slanted_triangular wsd"),
    "core.actions": "Adapt Cooldown Freeze Reduce Restart Stop",
    "core.band": "Band",
    "core.control": "Control Event replay",
    "core.detectors": "Detector Patience Trend Window",
    "core.range_test": "Suggestions",
    "core.recipes": "Recipe recipe",
    "core.rules": "Rule",
    "core.tracks": "Track",
    "groups": "param_groups",
    "callbacks.preview": "Preview preview",
    "core.scaling": "scale_lr",
    "callbacks": (
        "LRCallback LRController LRFinder LRFreeze LRLogger LRMultiPhaseDecay LRPlateauReduction LRStagnationRestart "
        "LRWarmup"
    ),
    "mixin": "LRScheduleMixin",
    "parser": "LRArgumentParser",
    "reporting.losses": "cycle_end_losses plot_cycle_ends plot_lr_vs_loss",
    "reporting.pictures": "plot plot_events",
    "scheduler": "ScheduledLR",
}
_HOME_OF = {name: f"lightning_lr.{home}" for home, names in _HOMES.items() for name in names.split()}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'lightning_lr' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
