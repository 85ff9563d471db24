"""The callbacks: wishes, and the conductor that turns them into one schedule per optimizer."""

from lightning_lr.callbacks.base import LRCallback
from lightning_lr.callbacks.finder import LRFinder, RangeTest
from lightning_lr.callbacks.wishes import (
    LRController,
    LRFreeze,
    LRLogger,
    LRMultiPhaseDecay,
    LRPlateauReduction,
    LRStagnationRestart,
    LRWarmup,
)

__all__ = [
    "LRCallback",
    "LRController",
    "LRFinder",
    "LRFreeze",
    "LRLogger",
    "LRMultiPhaseDecay",
    "LRPlateauReduction",
    "LRStagnationRestart",
    "LRWarmup",
    "RangeTest",
]
