"""What a larger batch does to the learning rate."""

from __future__ import annotations

import math

from lightning_lr.core.checks import choice, number, suggesting, whole

RULES = ("linear", "sqrt")


@suggesting
def scale_lr(lr: float, batch_size: int, base_batch_size: int = 256, rule: str = "linear") -> float:
    """The lr for another batch size than the one that ``lr`` was tuned with.

    With ``k = batch_size / base_batch_size``::

        lr · k     "linear": SGD, with or without momentum, up to some batch size; give the run a warmup
        lr · √k    "sqrt": Adam and its kin. Malladi et al. also scale 1 − β₁ and 1 − β₂ by k, and ε by 1/√k

    Args:
        lr: the lr at ``base_batch_size``, > 0.
        batch_size: examples in one optimizer update, of all devices and accumulated batches together, >= 1.
        base_batch_size: the same, where ``lr`` was tuned, >= 1.
        rule: ``"linear"`` or ``"sqrt"``.

    Raises:
        ValueError: one of them is out of its range, or the rule is not known.

    Source: Goyal et al. 2017, arXiv 1706.02677 (linear); Krizhevsky 2014, arXiv 1404.5997 (square root, which keeps
    the variance of an update); Malladi et al. 2022, arXiv 2205.10287 (square root, for Adam).

    >>> scale_lr(0.1, 8192), scale_lr(0.1, 256), scale_lr(0.1, 64)
    (3.2, 0.1, 0.025)
    >>> scale_lr(1e-3, 1024, rule="sqrt"), scale_lr(1e-3, 32, base_batch_size=128, rule="sqrt")
    (0.002, 0.0005)
    """
    lr = number(lr, "scale_lr: lr", low=0, low_open=True)
    k = whole(batch_size, "scale_lr: batch_size", low=1) / whole(base_batch_size, "scale_lr: base_batch_size", low=1)
    return lr * (k if choice(rule, RULES, "scale_lr: rule") == "linear" else math.sqrt(k))
