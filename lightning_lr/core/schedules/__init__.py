"""The schedules: phases, periodic shapes, and the chain of them."""

from lightning_lr.core.schedules.base import Beside, Chain
from lightning_lr.core.schedules.custom import Custom
from lightning_lr.core.schedules.decays import (
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    InverseTime,
    Linear,
    OneMinusSqrt,
    Polynomial,
    Rex,
    Temperature,
)
from lightning_lr.core.schedules.periodic import CosineRestarts, Cyclic
from lightning_lr.core.schedules.stairs import MultiStep, StepDecay
from lightning_lr.core.schedules.warmup import Warmup

__all__ = [
    "Beside",
    "Chain",
    "Constant",
    "Cosine",
    "CosineRestarts",
    "Custom",
    "Cyclic",
    "Exponential",
    "InverseSqrt",
    "InverseTime",
    "Linear",
    "MultiStep",
    "OneMinusSqrt",
    "Polynomial",
    "Rex",
    "StepDecay",
    "Temperature",
    "Warmup",
]
