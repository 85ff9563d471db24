"""Every row of the README's migration tables is run: the call there and the line for it here use the same numbers.

torch's schedulers and Lightning's dictionaries run as they are. The other libraries are no dependencies: their
formulas are written out below. Each was once compared with the library itself, at every update of every row (and after
every evaluation of 200 sequences): equal to 3e-16 of the peak, fastai's to 2e-7, since it computes in float32.

- transformers 4.57 and 5.23, ``optimization.py`` and ``training_args.py``
  (huggingface.co/docs/transformers/main_classes/optimizer_schedules)
- timm 1.0.31, ``timm/scheduler`` (huggingface.co/docs/timm/reference/schedulers)
- Keras 3.15, ``optimizers/schedules`` and ``callbacks/reduce_lr_on_plateau.py``
  (keras.io/api/optimizers/learning_rate_schedules, keras.io/api/callbacks/reduce_lr_on_plateau)
- fastai 2.8.12, ``callback/schedule.py`` (docs.fast.ai/callback.schedule.html)
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.tuner import Tuner
from runs import Mixed, Net, Used, trainer, used
from test_readme import names_at, section
from torch.optim import lr_scheduler

from lightning_lr import (
    Chain,
    Constant,
    Custom,
    Horizon,
    LRMultiPhaseDecay,
    LRWarmup,
    Schedule,
    ScheduledLR,
    Warmup,
    cosine_with_warmup,
)
from lightning_lr.callbacks import LRCallback

NAMES = names_at(0)
TOTAL, LR = NAMES["total"], NAMES["lr0"]
EPOCH = 100
MOMENTUM = 0.9
TOLERANCE = 1e-12  # as a share of the peak

CALLS = {
    "torch": (
        "ConstantLR LinearLR ExponentialLR StepLR MultiStepLR PolynomialLR CosineAnnealingLR "
        "CosineAnnealingWarmRestarts CyclicLR OneCycleLR LambdaLR MultiplicativeLR SequentialLR ReduceLROnPlateau"
    ),
    "Lightning's dictionary": "interval frequency monitor",
    "transformers": (
        "get_constant_schedule_with_warmup get_linear_schedule_with_warmup get_cosine_schedule_with_warmup "
        "get_cosine_with_hard_restarts_schedule_with_warmup get_cosine_with_min_lr_schedule_with_warmup "
        "get_polynomial_decay_schedule_with_warmup get_inverse_sqrt_schedule get_wsd_schedule TrainingArguments"
    ),
    "timm": "CosineLRScheduler StepLRScheduler PlateauLRScheduler create_scheduler_v2",
    "Keras": (
        "ExponentialDecay PiecewiseConstantDecay PolynomialDecay InverseTimeDecay CosineDecay CosineDecayRestarts "
        "ReduceLROnPlateau"
    ),
    "fastai": "fit_one_cycle fit_flat_cos lr_find",
}
"""What each table must know."""


class Curve(NamedTuple):
    """The lr of update k, and the momentum."""

    lr: Callable[[int], float]
    momentum: Callable[[int], float] = lambda k: MOMENTUM


Plateau = Callable[[Iterable[float]], list[float]]
"""From metrics to the lr after each."""


def cosine(u: float) -> float:
    return (1 + math.cos(math.pi * u)) / 2


# ---- transformers: a factor; t / W before update W, and then a function of the updates since


def hf(optimizer: Any, warmup: int, after: Callable[[int], float]) -> Curve:
    peak = optimizer.defaults["lr"]
    return Curve(lambda t: peak * (t / warmup if t < warmup else after(t - warmup)))


def get_constant_schedule_with_warmup(optimizer: Any, num_warmup_steps: int) -> Curve:
    return hf(optimizer, num_warmup_steps, lambda t: 1.0)


def get_linear_schedule_with_warmup(optimizer: Any, num_warmup_steps: int, num_training_steps: int) -> Curve:
    rest = num_training_steps - num_warmup_steps
    return hf(optimizer, num_warmup_steps, lambda t: 1 - t / rest)


def get_cosine_schedule_with_warmup(
    optimizer: Any, num_warmup_steps: int, num_training_steps: int, num_cycles: float = 0.5
) -> Curve:
    rest = num_training_steps - num_warmup_steps
    return hf(optimizer, num_warmup_steps, lambda t: cosine(2 * num_cycles * t / rest))


def get_cosine_with_hard_restarts_schedule_with_warmup(
    optimizer: Any, num_warmup_steps: int, num_training_steps: int, num_cycles: int = 1
) -> Curve:
    rest = num_training_steps - num_warmup_steps
    return hf(optimizer, num_warmup_steps, lambda t: cosine(num_cycles * t / rest % 1))


def get_cosine_with_min_lr_schedule_with_warmup(
    optimizer: Any, num_warmup_steps: int, num_training_steps: int, min_lr: float
) -> Curve:
    rest, low = num_training_steps - num_warmup_steps, min_lr / optimizer.defaults["lr"]
    return hf(optimizer, num_warmup_steps, lambda t: low + (1 - low) * cosine(t / rest))


def get_polynomial_decay_schedule_with_warmup(
    optimizer: Any, num_warmup_steps: int, num_training_steps: int, lr_end: float = 1e-7, power: float = 1.0
) -> Curve:
    rest, low = num_training_steps - num_warmup_steps, lr_end / optimizer.defaults["lr"]
    return hf(optimizer, num_warmup_steps, lambda t: low + (1 - low) * (1 - t / rest) ** power)


def get_inverse_sqrt_schedule(optimizer: Any, num_warmup_steps: int, timescale: int | None = None) -> Curve:
    scale = timescale or num_warmup_steps
    return hf(optimizer, num_warmup_steps, lambda t: math.sqrt(scale / (t + scale)))


def get_wsd_schedule(
    optimizer: Any, num_warmup_steps: int, num_decay_steps: int, num_training_steps: int, decay_type: str = "cosine"
) -> Curve:
    stable = num_training_steps - num_warmup_steps - num_decay_steps
    down = {"cosine": cosine, "linear": lambda u: 1 - u, "1-sqrt": lambda u: 1 - math.sqrt(u)}[decay_type]
    return hf(optimizer, num_warmup_steps, lambda t: down(max(0, t - stable) / num_decay_steps))


def TrainingArguments(lr_scheduler_type: str, warmup_ratio: float, total: int = TOTAL) -> Curve:  # noqa: N802
    """What its trainer makes of these for a run of ``total`` updates; the warmup's updates are rounded up."""
    build = {"linear": get_linear_schedule_with_warmup, "cosine": get_cosine_schedule_with_warmup}
    return build[lr_scheduler_type](sgd(), math.ceil(total * warmup_ratio), total)


# ---- timm: from warmup_lr_init to the lr in warmup_t, then the decay; from the warmup's end, or from update 0


def timm(
    warmup_t: float,
    warmup_lr_init: float,
    warmup_prefix: bool,
    t_in_epochs: bool,
    after: Callable[[float], float],
) -> Curve:
    def lr(k: int) -> float:
        t = k // EPOCH if t_in_epochs else k
        if t < warmup_t:
            return warmup_lr_init + (LR - warmup_lr_init) * t / warmup_t
        return after(t - warmup_t if warmup_prefix else t)

    return Curve(lr)


def CosineLRScheduler(  # noqa: N802
    optimizer: Any,
    t_initial: float,
    lr_min: float = 0.0,
    cycle_mul: float = 1.0,
    cycle_decay: float = 1.0,
    cycle_limit: int = 1,
    warmup_t: float = 0,
    warmup_lr_init: float = 0.0,
    warmup_prefix: bool = False,
    t_in_epochs: bool = True,
) -> Curve:
    def after(t: float) -> float:
        cycle, length = 0, t_initial
        while t >= length:
            t, length, cycle = t - length, length * cycle_mul, cycle + 1
        peak = LR * cycle_decay**cycle
        return lr_min + (peak - lr_min) * cosine(t / length) if cycle < cycle_limit else lr_min

    return timm(warmup_t, warmup_lr_init, warmup_prefix, t_in_epochs, after)


def StepLRScheduler(  # noqa: N802
    optimizer: Any,
    decay_t: float,
    decay_rate: float = 1.0,
    warmup_t: float = 0,
    warmup_lr_init: float = 0.0,
    warmup_prefix: bool = True,
    t_in_epochs: bool = True,
) -> Curve:
    return timm(warmup_t, warmup_lr_init, warmup_prefix, t_in_epochs, lambda t: LR * decay_rate ** (t // decay_t))


def PlateauLRScheduler(  # noqa: N802
    optimizer: Any, decay_rate: float = 0.1, patience_t: int = 10, threshold: float = 1e-4, mode: str = "max"
) -> Plateau:
    """Reduces at bad evaluation patience + 1."""
    assert mode == "min"

    def run(metrics: Iterable[float]) -> list[float]:
        lr, best, bad, lrs = LR, math.inf, 0, []
        for metric in metrics:
            if metric < best * (1 - threshold):
                best, bad = metric, 0
            else:
                bad += 1
            if bad > patience_t:
                lr, bad = lr * decay_rate, 0
            lrs.append(lr)
        return lrs

    return run


def create_scheduler_v2(
    optimizer: Any,
    sched: str = "cosine",
    num_epochs: int = 300,
    min_lr: float = 0.0,
    warmup_lr: float = 1e-5,
    warmup_epochs: int = 0,
    warmup_prefix: bool = False,
    step_on_epochs: bool = True,
    updates_per_epoch: int = 0,
) -> Curve:
    assert sched == "cosine"
    unit = 1 if step_on_epochs else updates_per_epoch
    return CosineLRScheduler(
        optimizer,
        num_epochs * unit,
        min_lr,
        warmup_t=warmup_epochs * unit,
        warmup_lr_init=warmup_lr,
        warmup_prefix=warmup_prefix,
        t_in_epochs=step_on_epochs,
    )


# ---- Keras: the lr of optimizer step k


def ExponentialDecay(  # noqa: N802
    initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False
) -> Curve:
    return Curve(lambda k: initial_learning_rate * decay_rate ** (k // decay_steps if staircase else k / decay_steps))


def PiecewiseConstantDecay(boundaries: list[int], values: list[float]) -> Curve:  # noqa: N802
    return Curve(lambda k: values[sum(k > boundary for boundary in boundaries)])


def PolynomialDecay(  # noqa: N802
    initial_learning_rate: float, decay_steps: int, end_learning_rate: float = 1e-4, power: float = 1.0
) -> Curve:
    drop = initial_learning_rate - end_learning_rate
    return Curve(lambda k: end_learning_rate + drop * (1 - min(k, decay_steps) / decay_steps) ** power)


def InverseTimeDecay(initial_learning_rate: float, decay_steps: int, decay_rate: float) -> Curve:  # noqa: N802
    return Curve(lambda k: initial_learning_rate / (1 + decay_rate * k / decay_steps))


def CosineDecay(  # noqa: N802
    initial_learning_rate: float, decay_steps: int, alpha: float, warmup_target: float, warmup_steps: int
) -> Curve:
    def lr(k: int) -> float:
        if k < warmup_steps:
            return initial_learning_rate + (warmup_target - initial_learning_rate) * k / warmup_steps
        return warmup_target * (alpha + (1 - alpha) * cosine(min(1, (k - warmup_steps) / decay_steps)))

    return Curve(lr)


def CosineDecayRestarts(  # noqa: N802
    initial_learning_rate: float, first_decay_steps: int, t_mul: float = 2.0, m_mul: float = 1.0, alpha: float = 0.0
) -> Curve:
    def lr(k: int) -> float:
        t: float = k
        peak, length = 1.0, float(first_decay_steps)
        while t >= length:
            t, length, peak = t - length, length * t_mul, peak * m_mul
        return initial_learning_rate * (alpha + (1 - alpha) * peak * cosine(t / length))

    return Curve(lr)


def ReduceLROnPlateau(  # noqa: N802
    monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, min_delta: float = 1e-4, cooldown: int = 0
) -> Plateau:
    """Reduces at bad evaluation number ``patience``; the last evaluation of a cooldown may be bad already."""

    def run(metrics: Iterable[float]) -> list[float]:
        lr, best, wait, cooling, lrs = LR, math.inf, 0, 0, []
        for metric in metrics:
            cooling = max(0, cooling - 1)
            if metric < best - min_delta:
                best, wait = metric, 0
            elif not cooling:
                wait += 1
                if wait >= patience:
                    lr, wait, cooling = lr * factor, 0, cooldown
            lrs.append(lr)
        return lrs

    return run


# ---- fastai: functions of the share of the run before a batch


def between(start: float, end: float, u: float) -> float:
    return end + (start - end) * cosine(u)


def two(cut: float, start: float, middle: float, end: float) -> Callable[[int], float]:
    def at(k: int) -> float:
        u = k / TOTAL
        return between(start, middle, u / cut) if u < cut else between(middle, end, (u - cut) / (1 - cut))

    return at


def fit_one_cycle(
    n_epoch: int, lr_max: float, div: float = 25.0, div_final: float = 1e5, pct_start: float = 0.25
) -> Curve:
    momentum = two(pct_start, 0.95, 0.85, 0.95)
    return Curve(two(pct_start, lr_max / div, lr_max, lr_max / div_final), momentum)


def fit_flat_cos(n_epoch: int, lr: float, div_final: float = 1e5, pct_start: float = 0.75) -> Curve:
    return Curve(two(pct_start, lr, lr, lr / div_final))


def lr_find(start_lr: float = 1e-7, end_lr: float = 10, num_it: int = 100) -> Curve:
    return Curve(lambda k: start_lr * (end_lr / start_lr) ** (k / num_it))


THERE: dict[str, dict[str, Any]] = {
    "torch": {"lr_scheduler": lr_scheduler},
    "Lightning's dictionary": {"lr_scheduler": lr_scheduler},
    "fastai": {"learn": SimpleNamespace(fit_one_cycle=fit_one_cycle, fit_flat_cos=fit_flat_cos, lr_find=lr_find)},
    **{
        library: {name: globals()[name] for name in CALLS[library].split()}
        for library in ("transformers", "timm", "Keras")
    },
}


# ---- reading the tables


class Row(NamedTuple):
    library: str
    there: str
    here: str
    note: str


def row_of(library: str, line: str) -> Row:
    """A line of a table; both of its expressions compile."""
    found = re.fullmatch(r"\| `([^|`]+)` \| `([^|`]+)` \| (?:([^|]+) )?\|", line)
    if not found:
        raise ValueError(f"not a row of | `expression` | `expression` | note |: {line}")
    there, here, note = found.groups()
    for expression in (there, here):
        compile(expression, line, "eval")
    return Row(library, there, here, note or "")


def rows_of(text: str) -> list[Row]:
    """All rows of all tables of a section; the header of each names the library."""
    rows: list[Row] = []
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        header, rule, *lines = block.splitlines()
        found = re.fullmatch(r"\| ([^|`]+) \| here \| note \|", header)
        assert found, f"not the header of a migration table: {header}"
        assert rule == "|---|---|---|"
        rows += [row_of(found[1], line) for line in lines]
    return rows


TEXT = section("Coming from torch, transformers, timm, Keras or fastai")
ROWS = rows_of(TEXT)
FINDER = "learn.lr_find()"


def test_no_row_is_left_out_and_none_is_missing() -> None:
    lines = [line for line in TEXT.splitlines() if line.startswith("|")]
    assert len(ROWS) == len(lines) - 2 * len(CALLS) == len(set(ROWS)) == 46
    assert list(dict.fromkeys(row.library for row in ROWS)) == list(CALLS)
    for library, calls in CALLS.items():
        column = [row.there for row in ROWS if row.library == library]
        missing = [call for call in calls.split() if not any(re.search(rf"\b{call}\b", there) for there in column)]
        assert missing == [], library


# ---- running them


class Run(NamedTuple):
    """What every update used: or, where metrics decide, what each evaluation left."""

    lrs: Any
    momenta: Any
    warmup: int = 0


def sgd(momentum: float = MOMENTUM) -> torch.optim.SGD:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR, momentum=momentum)


def walk(optimizer: Any, scheduler: Any) -> Run:
    held = []
    for _ in range(TOTAL):
        group = optimizer.param_groups[0]
        held.append((float(group["lr"]), float(group["momentum"])))
        optimizer.step()
        scheduler.step()
    return Run(*np.array(held).T)


def metrics(seed: int = 0) -> list[float]:
    """A loss that falls, stalls, comes back, and falls by less than any threshold."""
    r, level, out = random.Random(seed), 3.0, []
    for _ in range(80):
        level -= r.choice([0.0, 0.0, 0.0, 1e-5, 0.005, 0.05, -0.02])
        out.append(level)
    return out


def decided(lrs: list[float]) -> Run:
    return Run(np.array(lrs), np.zeros(len(lrs)))


def theirs(row: Row) -> Run:
    optimizer = sgd()
    made = eval(row.there, {**NAMES, **THERE[row.library], "optimizer": optimizer})
    if isinstance(made, Curve):
        return Run(*(np.array([f(k) for k in range(TOTAL)]) for f in made))
    if isinstance(made, lr_scheduler.ReduceLROnPlateau):
        return decided([made.step(metric) or optimizer.param_groups[0]["lr"] for metric in metrics()])
    return walk(optimizer, made) if isinstance(made, lr_scheduler.LRScheduler) else decided(made(metrics()))


def ours(row: Row, momentum: float = MOMENTUM) -> Run:
    made = eval(row.here, dict(NAMES))
    horizon: dict[str, int] = {"total_steps": TOTAL, "steps_per_epoch": EPOCH}
    optimizer = sgd(momentum)
    if isinstance(made, Schedule):
        run = walk(optimizer, ScheduledLR(optimizer, made, **horizon))
        return run._replace(warmup=made.resolve(Horizon(TOTAL, EPOCH)).warmup_end)
    assert isinstance(made, LRCallback), f"{row.here} is neither a schedule nor a callback"
    scheduler = ScheduledLR(optimizer, Constant(), rules=made.rules, **horizon)
    lrs = []
    for metric in metrics():
        scheduler.evaluate({"val_loss": metric})
        lrs.append(float(optimizer.param_groups[0]["lr"]))
    return decided(lrs)


def agree(note: str, there: Run, here: Run) -> None:
    """``AssertionError`` unless they are as equal as the note says, and no more equal than that."""
    expected = there.lrs.copy()
    peak = expected.max()
    if "warmup earlier" in note:
        expected[: here.warmup] = there.lrs[1 : here.warmup + 1]
        assert here.warmup > 0
        assert (here.lrs[: here.warmup] > there.lrs[: here.warmup]).all(), "the warmup is not earlier"
    off = np.abs(here.lrs - expected) / peak
    moved = np.abs(here.momenta - there.momenta).max()
    if until := re.match(r"until update (\d+)", note):
        last = int(until[1])
        assert off[: last + 1].max() < TOLERANCE
        assert off[last + 1] > TOLERANCE, f"also equal in update {last + 1}"
    elif within := re.match(r"within ([\d.]+)%", note):
        bound = float(within[1]) / 100
        assert max(off.max(), moved) <= bound
        assert off.max() > bound / 2, f"it is within {off.max():.2%}"
        return
    else:
        assert off.max() < TOLERANCE, f"{off.max():.2g} of the peak off in update {off.argmax()}"
    assert moved < TOLERANCE, f"momentum is {moved:.2g} off"
    told, moves = "momentum too" in note, bool(np.ptp(there.momenta) > 0)
    assert told == moves, f"momentum moves: {moves}, and the note says {told}"


def show(row: Row) -> str:
    return f"{row.library}: {row.there}"


ELSEWHERE = ("Lightning's dictionary", "fastai: learn.lr_find()")


@pytest.mark.filterwarnings("ignore:The epoch parameter in")  # SequentialLR's own
@pytest.mark.parametrize("row", [row for row in ROWS if not show(row).startswith(ELSEWHERE)], ids=show)
def test_both_columns_use_the_same_lr_and_momentum(row: Row) -> None:
    there = theirs(row)
    highest = there.momenta.max() if np.ptp(there.momenta) else MOMENTUM
    agree(row.note, there, ours(row, float(highest)))


def test_metrics_make_a_plateau_row_reduce_more_than_once() -> None:
    for row in ROWS:
        if "LRPlateauReduction" in row.here and row.library != "Lightning's dictionary":
            assert len(set(theirs(row).lrs)) > 3, row


DICTIONARIES = [row for row in ROWS if row.library == "Lightning's dictionary"]


def native(row: Row) -> Net:
    """A module that returns the row's dictionary from ``configure_optimizers``."""

    def configure(net: Net) -> Any:
        optimizer = torch.optim.SGD(net.parameters(), lr=LR)
        there = eval(row.there, {**NAMES, **THERE[row.library], "optimizer": optimizer})
        return {"optimizer": optimizer, "lr_scheduler": there}

    return Net(EPOCH, configure, metrics().__getitem__)


def scheduled_by(row: Row) -> LRCallback:
    made = eval(row.here, dict(NAMES))
    return LRMultiPhaseDecay(made) if isinstance(made, Schedule) else made


def plain() -> Net:
    return Net(EPOCH, lambda net: torch.optim.SGD(net.parameters(), lr=LR), metrics().__getitem__)


RUN: dict[str, Any] = {"max_epochs": 10, "limit_val_batches": 1}


@pytest.mark.parametrize("row", DICTIONARIES, ids=show)
def test_lightnings_dictionary_and_the_callback_use_the_same_lr(tmp_path: Path, row: Row) -> None:
    there, here = used(tmp_path, [], native(row), **RUN), used(tmp_path, [scheduled_by(row)], plain(), **RUN)
    assert len(there) == TOTAL
    assert len(set(there)) > 2
    agree(row.note, decided(there), decided(here))


@pytest.mark.parametrize("row", [row for row in DICTIONARIES if "monitor" not in row.there], ids=show)
def test_a_run_begun_with_lightnings_dictionary_goes_on_with_the_callback(tmp_path: Path, row: Row) -> None:
    whole = native(row), Used(), ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1)
    trainer(tmp_path, whole[1:], enable_checkpointing=True, **RUN).fit(whole[0])
    ckpt = tmp_path / "epoch=4.ckpt"
    with pytest.warns(UserWarning, match="whose peak is taken over|starts at update 500"):
        rest = used(tmp_path, [scheduled_by(row)], plain(), ckpt_path=ckpt, **RUN)
    assert rest == pytest.approx(whole[1].lrs[500:], rel=1e-12)


def test_the_mixin_does_what_the_callback_does(tmp_path: Path) -> None:
    schedule = cosine_with_warmup("25%")
    by_callback = used(tmp_path, [LRMultiPhaseDecay(schedule)])
    assert used(tmp_path, [], Mixed(schedule)) == by_callback == schedule.curve(8).tolist()


def test_fastais_lr_finder_and_lightnings_try_the_same_lrs_and_ours_take_the_suggestion(tmp_path: Path) -> None:
    [row] = [row for row in ROWS if row.there == FINDER]

    class Tuned(Net):
        lr = 1.0

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=self.lr)

    watch, net = Used(), Tuned(EPOCH)
    runner = trainer(tmp_path, [LRWarmup(4), watch], max_epochs=1)
    found = eval(row.here, {"Tuner": Tuner, "trainer": runner, "net": net})
    tried = theirs(row).lrs[:101]
    assert found.results["lr"][0] == pytest.approx(tried[0], rel=1e-12)
    assert found.results["lr"][1:] == pytest.approx(tried[2:], rel=1e-12)  # Lightning leaves out the second
    assert watch.lrs == []  # our callbacks waited
    runner.fit(net)
    assert net.lr == found.suggestion() != 1.0
    assert watch.lrs[:5] == pytest.approx([net.lr * f for f in (0.25, 0.5, 0.75, 1.0, 1.0)])


# ---- what the text says beside the tables


EARLIER = [row for row in ROWS if "warmup earlier" in row.note]


def from_the_start(warmup: Warmup) -> Custom:
    """The warmup of the other libraries: at its start in its first update, at the peak in the one after its last."""
    start = warmup.start_factor
    up: dict[str, Callable[[float], float]] = {"linear": lambda u: u, "cosine": lambda u: 1 - cosine(u)}
    shape = up[warmup.shape]
    return Custom(lambda u: start + (1 - start) * shape(u), duration=warmup.duration)


@pytest.mark.filterwarnings("ignore:The epoch parameter in")
@pytest.mark.parametrize("row", EARLIER, ids=show)
def test_with_a_function_for_the_warmup_they_are_equal_from_the_first_update(row: Row) -> None:
    schedule = eval(row.here, dict(NAMES))
    first, *rest = schedule.phases
    exact = Chain([from_the_start(first), *rest])
    off = LR * exact.curve(TOTAL, EPOCH) - theirs(row).lrs
    assert np.abs(off).max() / LR < TOLERANCE


def test_the_function_that_the_text_gives_for_the_warmup_is_that_one_and_no_warmup_to_rules() -> None:
    [given] = re.findall(r"`(Custom\([^`]+\))` for `Warmup\(50\)`", " ".join(TEXT.split()))
    written = eval(given, dict(NAMES))
    assert written.curve(60).tolist() == from_the_start(Warmup(50)).curve(60).tolist()
    assert written.curve(60)[[0, 25, 50]].tolist() == [0.0, 0.5, 1.0]
    assert written.resolve(Horizon(TOTAL)).warmup_end == 0


def test_a_warmup_ratio_is_rounded_up_there_and_to_the_nearest_update_here() -> None:
    """3% of 340 updates are 10.2."""
    there = TrainingArguments("linear", 0.03, total=340)
    peak = [k for k in range(340) if there.lr(k) == LR]
    assert peak == [11]
    assert cosine_with_warmup("3%").resolve(Horizon(340)).warmup_end == 10


def test_a_product_of_schedulers_is_a_function_here() -> None:
    row = Row(
        "torch",
        "lr_scheduler.ChainedScheduler([lr_scheduler.ConstantLR(optimizer, 0.5, total_iters=100), "
        "lr_scheduler.ExponentialLR(optimizer, gamma=0.999)])",
        'Custom(lambda k: (0.5 if k < 100 else 1.0) * 0.999**k, of="step")',
        "",
    )
    agree(row.note, theirs(row), ours(row))


def test_a_plateau_of_keras_that_is_copied_without_a_change_reduces_later() -> None:
    [row] = [row for row in ROWS if row.library == "Keras" and "ReduceLROnPlateau" in row.there]
    copied = row._replace(here=row.here.replace("patience=2", "patience=3"))
    assert not np.array_equal(ours(copied).lrs, theirs(row).lrs)
    copied = row._replace(here=row.here.replace("cooldown=1", "cooldown=2"))
    assert not np.array_equal(ours(copied).lrs, theirs(row).lrs)


# ---- the test itself


@pytest.mark.parametrize(
    "line",
    [
        "| `lr_scheduler.StepLR(optimizer, 3)` | StepDecay(3) | |",
        "| `lr_scheduler.StepLR(optimizer, 3` | `StepDecay(3)` | |",
        "| `lr_scheduler.StepLR(optimizer, 3)` | `StepDecay(3` | |",
        "| `lr_scheduler.StepLR(optimizer, 3)` | `StepDecay(3)` |",
        "| `lr_scheduler.StepLR(optimizer, 3)` | `StepDecay(3)`, or so | |",
    ],
)
def test_it_refuses_a_row_that_it_cannot_read(line: str) -> None:
    with pytest.raises((ValueError, SyntaxError)):
        row_of("torch", line)


@pytest.mark.parametrize(
    ("there", "here", "note", "words"),
    [
        ("StepLR(optimizer, 300)", "StepDecay(301)", "", "off in update 300"),
        ("StepLR(optimizer, 300)", "0.1", "", "neither a schedule nor a callback"),
        ("LinearLR(optimizer, total_iters=50)", "Warmup(50, start_factor=1 / 3)", "", "off in update"),
        ("LinearLR(optimizer, total_iters=50)", "Warmup(50)", "warmup earlier", "not earlier|off in update"),
        ("StepLR(optimizer, 300)", "StepDecay(300)", "warmup earlier", "assert 0 > 0"),
        ("StepLR(optimizer, 300)", "StepDecay(300)", "until update 500", "also equal in update 501"),
        ("StepLR(optimizer, 300)", "StepDecay(300)", "within 1%", "it is within 0.00%"),
        ("StepLR(optimizer, 300)", "StepDecay(300)", "momentum too", "moves: False, and the note says True"),
        ("CyclicLR(optimizer, lr0 / 10, lr0, 100)", "Cyclic(100)", "momentum too", "momentum is 0.1 off"),
    ],
)
def test_it_sees_a_wrong_row(there: str, here: str, note: str, words: str) -> None:
    row = Row("torch", f"lr_scheduler.{there}", here, note)
    with pytest.raises(AssertionError, match=words):
        agree(row.note, theirs(row), ours(row))
