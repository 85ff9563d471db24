"""What a step of a real ``Trainer.fit`` costs more with us, against what it costs more with a native scheduler.

The differences are a few microseconds of a step that takes hundreds. So four fits run at a time, each in a thread of
its own, of which one at a time may move: a fit's loader stops it after every stretch of steps until its next turn. On a
busy machine that is still a lot of noise; so what Lightning calls in a step on behalf of callbacks and schedulers is
timed alone as well, on the trainers of fits that stand still: the same difference without the step around it.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import torch
from harness import Arm, Rounds, Row, interleave, spread
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.call import _call_callback_hooks
from runs import Net, trainer

from lightning_lr import Cosine, LRMultiPhaseDecay, LRPlateauReduction, LRStagnationRestart, LRWarmup


class Fit:
    """A fit that goes on by one stretch of steps at a time, as the loader of its own batches.

    Args:
        callbacks: of its trainer.
        native: whether a ``LambdaLR`` steps with every batch.
        count: steps of a stretch.
        stretches: how many there will be; validation follows the last.
    """

    def __init__(self, callbacks: Sequence[Callback], native: bool, count: int, stretches: int) -> None:
        self.callbacks, self.native, self.count, self.stretches = callbacks, native, count, stretches
        self.runner: Any = None
        self.error: BaseException | None = None
        self._turn, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._fit, daemon=True)

    def __len__(self) -> int:
        return self.count * self.stretches + 1

    def __iter__(self) -> Iterator[list[torch.Tensor]]:
        for _ in range(self.stretches):
            self._wait()
            yield from repeat([torch.ones(1, 1)], self.count)
        self._wait()
        yield [torch.ones(1, 1)]  # with it Lightning goes on to the validation, and asks for no more

    def _wait(self) -> None:
        self._done.release()
        self._turn.acquire()

    def _optimizer(self, net: Net) -> Any:
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        if not self.native:
            return optimizer
        warm, total = len(self) // 10, len(self)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: min((t + 1) / warm, 1 - t / total))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _fit(self) -> None:
        try:
            with tempfile.TemporaryDirectory() as folder:
                self.runner = trainer(Path(folder), self.callbacks, max_epochs=1, limit_val_batches=1)
                self.runner.fit(Net(optimizer=self._optimizer, metric=float), self)
        except BaseException as error:
            self.error = error
        finally:
            self._done.release()

    def advance(self) -> None:
        """Let it go on until it stops again."""
        self._turn.release()
        self._done.acquire()
        if self.error is not None:
            raise self.error

    def begin(self) -> Arm:
        """Start it, up to its first step."""
        self._thread.start()
        self._done.acquire()
        if self.error is not None:
            raise self.error
        return Arm(self.advance, self.count)

    def calls(self, count: int) -> Arm:
        """What Lightning calls in each step because of callbacks and schedulers, made here while the fit stands."""
        runner, loop = self.runner, self.runner.fit_loop.epoch_loop
        (optimizer,) = runner.optimizers
        post_hooks = list(optimizer._optimizer_step_post_hooks.values())
        hooks: list[tuple[str, tuple[Any, ...]]] = [
            ("on_train_batch_start", (None, 5)),
            ("on_before_zero_grad", (optimizer,)),
            ("on_before_backward", (None,)),
            ("on_after_backward", ()),
            ("on_before_optimizer_step", (optimizer,)),
            ("on_train_batch_end", (None, None, 5)),
        ]

        def run() -> None:
            for _ in repeat(None, count):
                for name, args in hooks:
                    _call_callback_hooks(runner, name, *args)
                for hook in post_hooks:
                    hook(optimizer, (), {})
                loop.update_lr_schedulers("step", update_plateau_schedulers=False)
                loop.update_lr_schedulers("epoch", update_plateau_schedulers=False)
                loop._batches_that_stepped += 1

        return Arm(run, count)

    def end(self, early: bool = False) -> None:
        """Let it end: after its last batch and its validation, or where it stands."""
        self.runner.should_stop = early
        self.advance()
        self._thread.join()
        made = self.runner.global_step
        assert early or made == len(self), f"{made} updates of {len(self)}"


def wishes() -> list[Callback]:
    """Warmup, decay, plateau and restart."""
    return [
        LRWarmup("10%"),
        LRMultiPhaseDecay([Cosine()]),
        LRPlateauReduction("val_loss"),
        LRStagnationRestart("val_loss"),
    ]


def nothing(count: int) -> list[Callback]:
    """As many callbacks that do nothing: of classes of their own, since a trainer takes one of each."""
    return [type(f"Nothing{i}", (Callback,), {})() for i in range(count)]


def compared(found: Rounds, what: str, target: float | None) -> Iterator[Row]:
    """(Ours − as many empty callbacks) / (a native scheduler − none), and the parts."""
    ratio = spread((ours - empty) / (native - bare) for ours, empty, native, bare in found)
    mine, their = (spread((of - to) * 1e6 for of, to in zip(*columns, strict=True)) for columns in _pairs(found))
    yield Row("in Trainer.fit: 4 of ours − 4 empty / LambdaLR − none", what, f"{mine.median:.3g} µs", ratio, target)
    yield Row("(4 of ours − 4 empty)", f"{what}, in µs", "", mine)
    yield Row("(LambdaLR − none)", f"{what}, in µs", "", their)


def _pairs(found: Rounds) -> Iterator[list[tuple[float, ...]]]:
    columns = list(zip(*found, strict=True))
    yield columns[:2]
    yield columns[2:]


def fits_of(count: int, stretches: int) -> list[Fit]:
    """The four that are compared."""
    arms: list[tuple[list[Callback], bool]] = [(wishes(), False), (nothing(4), False), ([], True), ([], False)]
    return [Fit(callbacks, native, count, stretches) for callbacks, native in arms]


def rows(quick: bool) -> Iterator[Row]:
    """Steps of a tiny model without a logger or a bar: the calls in them alone, and whole."""
    rounds, count = (3, 5) if quick else (101, 100)
    fits = fits_of(10, 2 * rounds * count)  # so long that the calls do not reach the schedule's end
    for fit in fits:
        fit.begin()
        fit.advance()
    found = interleave([fit.calls(count) for fit in fits], rounds)
    for fit in fits:
        fit.end(early=True)
    yield from compared(found, "a step's calls", 0.5)
    rounds, count, block = (6, 5, 2) if quick else (1500, 20, 75)
    fits = fits_of(count, rounds + 1)
    found = interleave([fit.begin() for fit in fits], rounds).merged(block)
    for fit in fits:
        fit.end()
    yield from compared(found, "whole steps", 0.5)
    yield Row("(none)", "whole steps, in µs", "", spread(bare for *_, bare in found).scaled(1e6))
