"""Checkpoints written with one of torch's own schedulers: what it was, and what its lr was a multiple of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TELLTALE = {
    "num_bad_epochs": "ReduceLROnPlateau",
    "_schedule_phases": "OneCycleLR",
    "lr_lambdas": "LambdaLR",
    "_milestones": "SequentialLR",
    "T_max": "CosineAnnealingLR",
    "T_0": "CosineAnnealingWarmRestarts",
    "step_size": "StepLR",
    "milestones": "MultiStepLR",
    "start_factor": "LinearLR",
    "gamma": "ExponentialLR",
}


def name_of(state: Mapping[str, Any]) -> str:
    """The class that wrote a scheduler's state, as far as the state tells.

    >>> name_of({"num_bad_epochs": 3, "best": 0.5}), name_of({"last_epoch": 7})
    ('ReduceLROnPlateau', 'a scheduler of another library')
    """
    return next((name for key, name in _TELLTALE.items() if key in state), "a scheduler of another library")


def peak_of(group: Mapping[str, Any], state: Mapping[str, Any], configured: float) -> float:
    """The lr of a restored group that a schedule's factors are to multiply.

    OneCycleLR keeps the peak beside its lower ``initial_lr``; ReduceLROnPlateau keeps only the reduced lr, so the
    code's is the peak, unless it is lower still.
    """
    lr = float(group["lr"])
    if "_schedule_phases" in state and "max_lr" in group:
        return float(group["max_lr"])
    if "num_bad_epochs" in state:
        return max(configured, lr)
    return float(group.get("initial_lr", lr))


def scale_of(group: Mapping[str, Any], state: Mapping[str, Any], peak: float) -> float:
    """What reductions have left of the peak: only a plateau's are a matter of metrics, and not of the schedule."""
    return float(group["lr"]) / peak if "num_bad_epochs" in state and peak > 0 else 1.0
