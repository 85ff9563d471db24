"""The lr for another batch size."""

from __future__ import annotations

import re
from typing import Any

import pytest

from lightning_lr import scale_lr


@pytest.mark.parametrize(
    ("arguments", "options", "expected"),
    [
        ((0.1, 256), {}, 0.1),
        ((0.1, 8192), {}, 3.2),  # Goyal et al.
        ((0.1, 64), {}, 0.025),
        ((0.1, 512), {"base_batch_size": 128}, 0.4),
        ((1e-3, 1024), {"rule": "sqrt"}, 2e-3),
        ((1e-3, 64), {"rule": "sqrt"}, 5e-4),
        ((1e-3, 1), {"base_batch_size": 1, "rule": "sqrt"}, 1e-3),
    ],
)
def test_scaled_lr(arguments: tuple[float, int], options: dict[str, Any], expected: float) -> None:
    assert scale_lr(*arguments, **options) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rule", ["linear", "sqrt"])
def test_there_and_back_is_the_same_lr(rule: str) -> None:
    there = scale_lr(0.3, 1536, base_batch_size=96, rule=rule)
    assert scale_lr(there, 96, base_batch_size=1536, rule=rule) == pytest.approx(0.3, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": 0.0}, "scale_lr: lr must be a number > 0 (finite), got 0.0"),
        ({"lr": True}, "scale_lr: lr must be a number > 0 (finite), got True (a bool)"),
        ({"batch_size": 0}, "scale_lr: batch_size must be a whole number >= 1, got 0"),
        ({"batch_size": 32.0}, "scale_lr: batch_size must be a whole number >= 1, got 32.0"),
        ({"base_batch_size": -1}, "scale_lr: base_batch_size must be a whole number >= 1, got -1"),
        ({"rule": "squared"}, "scale_lr: rule must be one of 'linear', 'sqrt', got 'squared' (a str)"),
    ],
)
def test_bad_input_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        scale_lr(**{"lr": 0.1, "batch_size": 32, **arguments})
