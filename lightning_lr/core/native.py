"""Checkpoints written with one of torch's own schedulers: what it was, and what its lr was a multiple of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_TELLTALE = {  # in this order: a key may be in the state of several
    "num_bad_epochs": "ReduceLROnPlateau",
    "_schedule_phases": "OneCycleLR",
    "step_ratio": "CyclicLR",
    "lr_lambdas": "LambdaLR or MultiplicativeLR",  # their states have the same keys
    "_milestones": "SequentialLR",
    "_schedulers": "ChainedScheduler",
    "T_max": "CosineAnnealingLR",
    "T_0": "CosineAnnealingWarmRestarts",
    "step_size": "StepLR",
    "milestones": "MultiStepLR",
    "start_factor": "LinearLR",
    "power": "PolynomialLR",
    "factor": "ConstantLR",
    "anneal_epochs": "SWALR",
    "gamma": "ExponentialLR",
}
_BESIDE = "lightning_lr_beside"


def together(states: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """One state for all the schedulers that one optimizer had; ``None`` if it had none.

    >>> name_of(together([{"T_max": 9}, {"num_bad_epochs": 3}]))
    'CosineAnnealingLR beside ReduceLROnPlateau'
    """
    return {_BESIDE: list(states)} if len(states) > 1 else dict(states[0]) if states else None


def name_of(state: Mapping[str, Any]) -> str:
    """The class that wrote a scheduler's state, as far as the state tells.

    >>> name_of({"num_bad_epochs": 3, "factor": 0.1}), name_of({"step_ratio": 0.5, "gamma": 1.0})
    ('ReduceLROnPlateau', 'CyclicLR')
    >>> name_of({"last_epoch": 7})
    'a native scheduler'
    """
    if _BESIDE in state:
        return " beside ".join(map(name_of, state[_BESIDE]))
    return next((name for key, name in _TELLTALE.items() if key in state), "a native scheduler")


def one_cycle_of(groups: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What stands for the state of a OneCycleLR that only the groups of a loaded optimizer tell of.

    >>> one_cycle_of([{"lr": 0.3, "initial_lr": 0.04, "max_lr": 1.0, "min_lr": 4e-6}])
    {'_schedule_phases': []}
    """
    told = any({"initial_lr", "max_lr", "min_lr"} <= group.keys() for group in groups)
    return {"_schedule_phases": []} if told else None


def peak_of(group: Mapping[str, Any], place: int, state: Mapping[str, Any], configured: float) -> float:
    """The lr of the restored group at this place that a schedule's factors are to multiply.

    OneCycleLR keeps the peak in the group and CyclicLR in its state, both beside a lower ``initial_lr``, and both maybe
    within a SequentialLR. ReduceLROnPlateau keeps only the reduced lr, so the code's is the peak, unless it is lower
    still.

    >>> peak_of({"lr": 0.3, "initial_lr": 0.1}, 0, {"step_ratio": 0.5, "max_lrs": [1.0]}, 2.0)
    1.0
    """
    lr = float(group["lr"])
    if "max_lr" in group:
        return float(group["max_lr"])
    peaks = [float(part["max_lrs"][place]) for part in _parts(state) if place < len(part.get("max_lrs", ()))]
    if peaks:
        return max(peaks)
    if _is_plateau(state):
        return max(configured, lr)
    return float(group.get("initial_lr", lr))


def scale_of(group: Mapping[str, Any], state: Mapping[str, Any], peak: float) -> float:
    """What reductions have left of the peak: only a plateau's are a matter of metrics, and not of the schedule."""
    return float(group["lr"]) / peak if _is_plateau(state) and peak > 0 else 1.0


def hides_reductions(state: Mapping[str, Any]) -> bool:
    """Whether a plateau's reductions lie in one lr with another scheduler's decay: nobody can tell them apart."""
    return any("num_bad_epochs" in part for part in _parts(state)) and not _is_plateau(state)


def _parts(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    inner = state.get(_BESIDE) or state.get("_schedulers") or ()
    return [part for one in inner for part in _parts(one)] if inner else [state]


def _is_plateau(state: Mapping[str, Any]) -> bool:
    return all("num_bad_epochs" in part for part in _parts(state))
