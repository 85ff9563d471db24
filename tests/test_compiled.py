"""Compiled, fused and capturable optimizers, tensor lrs and mixed precision: the same clock and the same lrs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins import MixedPrecision
from runs import Net, Used, trainer, used
from test_pains import SaveEveryStep
from torch._dynamo.testing import CompileCounter

from lightning_lr import Constant, Cosine, Linear, LRMultiPhaseDecay, LRWarmup, ScheduledLR, Track, Warmup

UPDATES = 50
PLAN = Cosine(end_factor=0.01).curve(UPDATES).tolist()  # 50 lrs, all different

Make = Callable[[Any], Any]


@pytest.fixture
def compiler() -> Iterator[CompileCounter]:
    """Counts the graphs that are compiled, and runs them as they are."""
    torch._dynamo.reset()
    yield CompileCounter()
    torch._dynamo.reset()


compiles = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it compiles


def weights(n: int = 2) -> list[Any]:
    """Parameters with gradients that stay as they are."""
    out = []
    for i in range(n):
        weight = torch.nn.Parameter(torch.linspace(-1.0, 1.0, 3) + i)
        weight.grad = torch.tensor([0.5, -0.25, 1.0])
        out.append(weight)
    return out


def by_hand(make: Make, plan: list[float]) -> list[Any]:
    """The parameters after each update of a plain, eager optimizer whose float lr somebody sets by hand."""
    mine = weights()
    optimizer = make(mine)
    tops = [float(group["lr"]) for group in optimizer.param_groups]
    out = []
    for factor in plan:
        for group, top in zip(optimizer.param_groups, tops, strict=True):
            group["lr"] = top * factor
        optimizer.step()
        out.append([weight.detach().clone() for weight in mine])
    return out


def lrs_of(optimizer: Any) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


# ---- torch.compile


def _in_step(optimizer: Any, scheduler: Any) -> Any:
    return optimizer.step


def _in_a_function(optimizer: Any, scheduler: Any) -> Any:
    def update() -> None:
        optimizer.step()
        scheduler.step()

    return update


def _two_groups(lr: Any) -> Make:
    return lambda p: torch.optim.AdamW([{"params": [p[0]]}, {"params": [p[1]]}], lr=lr(), foreach=False)


def _tensor() -> torch.Tensor:
    return torch.tensor(0.1)


COMPILED: dict[str, tuple[Make, Make]] = {  # what is compiled, and its eager counterpart
    "SGD": (lambda p: torch.optim.SGD(p, lr=_tensor()), lambda p: torch.optim.SGD(p, lr=0.1)),
    "AdamW": (lambda p: torch.optim.AdamW(p, lr=_tensor(), foreach=False), lambda p: torch.optim.AdamW(p, lr=0.1)),
    "AdamW, capturable": (  # eagerly torch refuses this on a CPU
        lambda p: torch.optim.AdamW(p, lr=_tensor(), capturable=True),
        lambda p: torch.optim.AdamW(p, lr=0.1),
    ),
    "AdamW, two groups": (_two_groups(_tensor), _two_groups(lambda: 0.1)),
}


@compiles
@pytest.mark.parametrize("compiled", [_in_step, _in_a_function])
@pytest.mark.parametrize("name", COMPILED)
def test_a_tensor_lr_is_compiled_once_for_fifty_lrs(compiler: CompileCounter, name: str, compiled: Any) -> None:
    make, eager = COMPILED[name]
    mine = weights()
    optimizer = make(mine)
    scheduler = ScheduledLR(optimizer, Cosine(end_factor=0.01), total_steps=UPDATES)
    tensors = [group["lr"] for group in optimizer.param_groups]
    update = torch.compile(compiled(optimizer, scheduler), backend=compiler)
    seen, after = [], []
    for _ in range(UPDATES):
        seen.append(lrs_of(optimizer))
        update()
        after.append([weight.detach().clone() for weight in mine])
    assert compiler.frame_count == 1
    assert len({lr for lr, *_ in seen}) == UPDATES
    for lrs, factor in zip(seen, PLAN, strict=True):
        assert lrs == pytest.approx([0.1 * factor] * len(lrs), rel=1e-6)  # float32
    # what the compiled graph used, not what it was shown; it corrects its bias in float32
    torch.testing.assert_close(after, by_hand(eager, PLAN), rtol=0.0, atol=2e-4)
    assert all(group["lr"] is tensor for group, tensor in zip(optimizer.param_groups, tensors, strict=True))
    assert len({id(tensor) for tensor in tensors}) == len(tensors)
    assert scheduler.updates == UPDATES


@compiles
def test_a_float_lr_is_compiled_again_when_it_changes_and_is_used_all_the_same(compiler: CompileCounter) -> None:
    make = COMPILED["SGD"][1]
    mine = weights()
    optimizer = make(mine)
    ScheduledLR(optimizer, Cosine(end_factor=0.01), total_steps=UPDATES)
    update = torch.compile(optimizer.step, backend=compiler)
    for _ in range(UPDATES):
        update()
    assert compiler.frame_count > 1
    torch.testing.assert_close([weight.detach() for weight in mine], by_hand(make, PLAN)[-1])


@compiles
@pytest.mark.parametrize("key", ["weight_decay", "beta1"])
def test_another_key_of_floats_is_compiled_again_at_most_once(compiler: CompileCounter, key: str) -> None:
    """The optimizer's first update, the first that finds another number, and no more."""
    optimizer = torch.optim.AdamW(weights(), lr=_tensor(), foreach=False, weight_decay=0.1)
    tracks = [Track(Linear(end_factor=0.5), key=key)]
    scheduler = ScheduledLR(optimizer, Cosine(), tracks=tracks, total_steps=UPDATES)
    update = torch.compile(optimizer.step, backend=compiler)
    compiled = []
    for _ in range(UPDATES):
        update()
        compiled.append(compiler.frame_count)
    assert compiled[2:] == [2] * (UPDATES - 2)
    assert scheduler.updates == UPDATES


@compiles
def test_a_shared_tensor_is_unshared_once_and_each_tracks_own_is_filled(compiler: CompileCounter) -> None:
    groups = [{"params": [w], "name": name} for w, name in zip(weights(), ("body", "head"), strict=True)]
    optimizer = torch.optim.SGD(groups, lr=torch.tensor(1.0), foreach=False)
    assert optimizer.param_groups[0]["lr"] is optimizer.param_groups[1]["lr"]  # torch shares its default
    ScheduledLR(optimizer, Linear(), tracks=[Track(Warmup(4) >> Constant(), groups="head")], total_steps=8)
    tensors = [group["lr"] for group in optimizer.param_groups]
    update = torch.compile(optimizer.step, backend=compiler)
    seen = []
    for _ in range(8):
        seen.append(lrs_of(optimizer))
        update()
    assert seen == [[1 - k / 8, min(1.0, (k + 1) / 4)] for k in range(8)]
    assert tensors[0] is not tensors[1]
    assert all(group["lr"] is tensor for group, tensor in zip(optimizer.param_groups, tensors, strict=True))
    assert compiler.frame_count == 1


# ---- fused


FUSED: dict[str, Callable[..., Any]] = {
    "SGD": lambda p, **how: torch.optim.SGD(p, momentum=0.9, **how),
    "AdamW": lambda p, **how: torch.optim.AdamW(p, weight_decay=0.1, **how),
}


@pytest.mark.parametrize("lr", [0.1, _tensor], ids=["float", "tensor"])
@pytest.mark.parametrize("name", FUSED)
def test_a_fused_optimizer_uses_the_planned_lrs(name: str, lr: Any) -> None:
    mine = weights()
    optimizer = FUSED[name](mine, fused=True, lr=lr() if callable(lr) else lr)
    held = optimizer.param_groups[0]["lr"]
    scheduler = ScheduledLR(optimizer, Cosine(end_factor=0.01), total_steps=UPDATES)
    after = []
    for k in range(UPDATES):
        assert lrs_of(optimizer) == pytest.approx([0.1 * PLAN[k]], rel=1e-6)
        optimizer.step()
        after.append([weight.detach().clone() for weight in mine])
    torch.testing.assert_close(after, by_hand(lambda p: FUSED[name](p, fused=False, lr=0.1), PLAN))
    assert (optimizer.param_groups[0]["lr"] is held) == callable(lr)
    assert scheduler.updates == UPDATES


@pytest.mark.parametrize("lr", [1.0, lambda: torch.tensor(1.0)], ids=["float", "tensor"])
@pytest.mark.parametrize("fused", [False, True])
def test_updates_that_amp_skipped_move_no_track(fused: bool, lr: Any) -> None:
    """Skipped at the start and in the middle: lr and weight decay wait, and so do the weights."""
    (weight,) = weights(1)
    lr = lr() if callable(lr) else lr
    optimizer = torch.optim.AdamW([weight], lr=lr, weight_decay=0.8, fused=fused, foreach=False)
    tracks = [Track(Linear(4, end_factor=0.5), key="weight_decay")]
    scheduler = ScheduledLR(optimizer, Warmup(4), tracks=tracks)
    scaler = torch.amp.GradScaler("cpu")
    seen, moved = [], []
    for attempt in range(7):
        optimizer.zero_grad()
        scaler.scale((weight * (float("inf") if attempt in (0, 1, 4) else 1.0)).sum()).backward()
        group, before = optimizer.param_groups[0], weight.detach().clone()
        seen.append((float(group["lr"]), group["weight_decay"]))
        scaler.step(optimizer)
        scaler.update()
        moved.append(not torch.equal(weight.detach(), before))
    assert moved == [False, False, True, True, False, True, True]
    assert [lr for lr, _ in seen] == [0.25, 0.25, 0.25, 0.5, 0.75, 0.75, 1.0]
    assert [decay for _, decay in seen] == pytest.approx([0.8, 0.8, 0.8, 0.7, 0.6, 0.6, 0.5])
    assert scheduler.updates == 4


# ---- mixed precision within Lightning


def wishes() -> list[Callback]:
    return [LRWarmup(4), LRMultiPhaseDecay([Linear(end_factor=0.5)])]


def planned(k: int, total: int = 12) -> float:
    return (k + 1) / 4 if k < 4 else 1 - 0.5 * (k - 4) / (total - 4)


def _adamw(fused: bool) -> Make:
    return lambda net: torch.optim.AdamW(net.parameters(), lr=1.0, fused=fused)


@pytest.mark.parametrize("fused", [False, True])
def test_bf16_uses_the_plan_and_resumes(tmp_path: Path, fused: bool) -> None:
    settings: dict[str, Any] = {"max_epochs": 3, "precision": "bf16-mixed"}
    whole = used(tmp_path, [*wishes(), SaveEveryStep()], Net(optimizer=_adamw(fused)), **settings)
    assert whole == pytest.approx([planned(k) for k in range(12)], rel=1e-12)
    for k in (3, 4, 7):
        ckpt = tmp_path / f"step{k}.ckpt"
        assert used(tmp_path, wishes(), Net(optimizer=_adamw(fused)), ckpt_path=ckpt, **settings) == whole[k:], k


class Scaled(Used):
    """The lr of every attempt, and whether the scaler skipped it: then it has lowered its scale."""

    def __init__(self, plugin: MixedPrecision) -> None:
        super().__init__()
        self.plugin = plugin
        self.skipped: list[bool] = []
        self._before = 0.0

    @property
    def scale(self) -> float:
        assert self.plugin.scaler is not None
        return float(self.plugin.scaler.get_scale())

    def on_train_batch_start(self, *_: Any) -> None:
        self._before = self.scale

    def on_train_batch_end(self, *_: Any) -> None:
        self.skipped.append(self.scale < self._before)


def scaled(root: Path, fused: bool, callbacks: list[Callback], ckpt: Path | None = None) -> tuple[Scaled, Any]:
    """A fit in float16, whose scale begins far too high: the first updates are skipped, one in four later on."""
    torch.manual_seed(0)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24, growth_interval=3)
    plugin = MixedPrecision("16-mixed", "cpu", scaler)
    watch, net = Scaled(plugin), Net(optimizer=_adamw(fused))
    trainer(root, [*wishes(), watch, *callbacks], max_epochs=6, plugins=[plugin]).fit(net, ckpt_path=ckpt)
    return watch, [parameter.tolist() for parameter in net.parameters()]


@pytest.mark.parametrize("fused", [False, True])
def test_float16_counts_the_updates_that_were_made_and_resumes(tmp_path: Path, fused: bool) -> None:
    watch, end = scaled(tmp_path, fused, [SaveEveryStep()])
    assert len(watch.lrs) == len(watch.skipped) == 24
    assert watch.skipped[0]
    assert any(watch.skipped[8:])
    assert not all(watch.skipped[-4:])
    made = [k - sum(watch.skipped[:k]) for k in range(24)]
    assert watch.lrs == pytest.approx([planned(k, total=24) for k in made], rel=1e-12)
    for k in (1, 5, 10, 17):
        again, same_end = scaled(tmp_path, fused, [], tmp_path / f"step{k}.ckpt")
        assert again.lrs == watch.lrs[k:], k
        assert again.skipped == watch.skipped[k:], k
        assert same_end == end, k


# ---- CUDA graphs


def test_a_recorded_step_is_no_update_and_its_replays_are_counted_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer = torch.optim.SGD(weights(), lr=torch.tensor(1.0))
    scheduler = ScheduledLR(optimizer, Linear(8))
    seen = []
    for _ in range(2):  # eager updates that warm up; step() may be called or not
        seen += lrs_of(optimizer)
        optimizer.step()
    with monkeypatch.context() as recording:
        recording.setattr(scheduler, "_on_cuda", True)  # what parameters on a GPU set
        recording.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
        optimizer.step()
    assert scheduler.updates == 2
    for _ in range(3):  # a replay calls nothing of ours
        seen += lrs_of(optimizer)
        scheduler.step()
    seen += lrs_of(optimizer)
    optimizer.step()  # eagerly again
    scheduler.step()
    assert seen + lrs_of(optimizer) == [1 - k / 8 for k in range(7)]
    assert scheduler.updates == 6
