"""Data and models that several experiments share: handwritten digits, and the standard library's own text."""

from __future__ import annotations

import functools
import itertools
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Split(NamedTuple):
    """Inputs and labels."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.x)


class Digits(NamedTuple):
    """The 1797 digits that come with scikit-learn: 8 × 8 pixels in [0, 1], ten classes."""

    train: Split
    val: Split
    test: Split


@functools.cache
def digits() -> Digits:
    """1077 images that train, 360 that lrs are chosen with, 360 that results are measured on; always the same ones.

    >>> [len(part) for part in digits()]
    [1077, 360, 360]
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    rest_x, test_x, rest_y, test_y = train_test_split(x, y, test_size=360, stratify=y, random_state=0)
    train_x, val_x, train_y, val_y = train_test_split(rest_x, rest_y, test_size=360, stratify=rest_y, random_state=0)
    pairs = ((train_x, train_y), (val_x, val_y), (test_x, test_y))
    return Digits(*(Split(torch.tensor(x / 16.0, dtype=torch.float32), torch.tensor(y)) for x, y in pairs))


def mlp(*widths: int) -> nn.Sequential:
    """Linear layers with ReLU between them.

    >>> [tuple(p.shape) for p in mlp(64, 32, 10).parameters()]
    [(32, 64), (32,), (10, 32), (10,)]
    """
    layers: list[nn.Module] = []
    for i, o in itertools.pairwise(widths):
        layers += [nn.Linear(i, o), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def batches(split: Split, size: int, epochs: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled anew in every epoch; what does not fill a batch is left out, so that every update sees as many."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for places in torch.randperm(len(split), generator=generator).split(size):
            if len(places) == size:
                yield split.x[places], split.y[places]


@torch.no_grad()
def error(net: nn.Module, split: Split) -> float:
    """Wrong answers, in percent; inf if the net's weights are no longer numbers."""
    scores = net(split.x)
    if not torch.isfinite(scores).all():
        return float("inf")
    return 100.0 * int((scores.argmax(1) != split.y).sum()) / len(split)


class Text(NamedTuple):
    """Characters as numbers."""

    train: Tensor
    val: Tensor
    test: Tensor
    symbols: int


MODULES = "argparse ast asyncio/tasks bdb calendar codecs csv datetime decimal dis doctest enum functools inspect"


@functools.cache
def text() -> Text:
    """The source of some modules of the standard library, one after the other; the last 5 % test, 5 % before validate.

    What is text here differs a little from one Python version to the next; all characters beyond ASCII are one symbol.

    >>> lm = text()
    >>> len(lm.train) > 10 * len(lm.val), lm.symbols < 128
    (True, True)
    """
    folder = Path(sysconfig.get_paths()["stdlib"])
    joined = "\n".join((folder / f"{name}.py").read_text(encoding="utf-8") for name in MODULES.split())
    plain = "".join(char if char.isascii() else "?" for char in joined)
    alphabet = {char: i for i, char in enumerate(sorted(set(plain)))}
    data = torch.tensor([alphabet[char] for char in plain])
    ends = [int(0.9 * len(data)), int(0.95 * len(data))]
    return Text(data[: ends[0]], data[ends[0] : ends[1]], data[ends[1] :], len(alphabet))
