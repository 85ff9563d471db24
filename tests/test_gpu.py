"""What needs an accelerator: CUDA graphs, a real loss scaler, NCCL, FSDP.

Run with ``CUDA_VISIBLE_DEVICES=0 python -m pytest -m gpu tests/test_gpu.py``: the other tests hide the devices.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from engines_run import SAVED_AT, plan
from lightning.pytorch.plugins import MixedPrecision
from runs import Net, Used, trainer
from test_engines import start
from test_pains import SaveEveryStep

from lightning_lr import Cosine, Linear, LRMultiPhaseDecay, LRWarmup, ScheduledLR, Warmup

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is visible: set CUDA_VISIBLE_DEVICES"),
]

UPDATES = 20
WARM = 3  # eager updates before the recording, which torch asks for
GRADIENT = (0.5, -0.25, 1.0)


def capturable() -> tuple[torch.nn.Parameter, torch.optim.Optimizer, ScheduledLR]:
    weight = torch.nn.Parameter(torch.linspace(-1.0, 1.0, 3, device="cuda"))
    weight.grad = torch.tensor(GRADIENT, device="cuda")
    optimizer = torch.optim.Adam([weight], lr=torch.tensor(0.1, device="cuda"), capturable=True)
    scheduler = ScheduledLR(optimizer, Warmup(5) >> Cosine(end_factor=0.01), total_steps=UPDATES)
    return weight, optimizer, scheduler


def lr_of(optimizer: torch.optim.Optimizer) -> float:
    return float(optimizer.param_groups[0]["lr"])


def eagerly() -> tuple[list[float], list[torch.Tensor]]:
    """The lr of every update and the weights after it, without a graph."""
    weight, optimizer, _ = capturable()
    lrs, after = [], []
    for _ in range(UPDATES):
        lrs.append(lr_of(optimizer))
        optimizer.step()
        after.append(weight.detach().cpu().clone())
    return lrs, after


def test_a_capturable_optimizer_keeps_its_lr_on_the_device() -> None:
    _, optimizer, scheduler = capturable()
    held = optimizer.param_groups[0]["lr"]
    for _ in range(UPDATES):
        optimizer.step()
    assert optimizer.param_groups[0]["lr"] is held
    assert held.is_cuda
    assert scheduler.updates == UPDATES
    lrs, _ = eagerly()
    factors = (Warmup(5) >> Cosine(end_factor=0.01)).curve(UPDATES)
    assert lrs == pytest.approx([0.1 * factor for factor in factors], rel=1e-6)


def test_the_replays_of_a_cuda_graph_use_new_lrs() -> None:
    weight, optimizer, scheduler = capturable()
    lrs, after = [], []
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM):
            lrs.append(lr_of(optimizer))
            optimizer.step()
            after.append(weight.detach().cpu().clone())
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        optimizer.step()
    assert scheduler.updates == WARM
    for _ in range(WARM, UPDATES):
        lrs.append(lr_of(optimizer))
        graph.replay()
        scheduler.step()  # a replay calls no hook
        after.append(weight.detach().cpu().clone())
    expected_lrs, expected = eagerly()
    assert lrs == expected_lrs
    torch.testing.assert_close(after, expected, rtol=0.0, atol=1e-6)
    assert scheduler.updates == UPDATES


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_a_step_that_is_compiled_into_cuda_graphs_uses_new_lrs() -> None:
    """With ``mode="reduce-overhead"`` the compiler records the graphs; the hook is not in them."""
    weight, optimizer, scheduler = capturable()
    step = torch.compile(optimizer.step, mode="reduce-overhead")
    lrs, after = [], []
    for _ in range(UPDATES):
        lrs.append(lr_of(optimizer))
        step()
        after.append(weight.detach().cpu().clone())
    expected_lrs, expected = eagerly()
    assert lrs == expected_lrs
    torch.testing.assert_close(after, expected, rtol=0.0, atol=2e-4)  # another kernel, other roundings
    assert scheduler.updates == UPDATES


class Scaled(Used):
    """The lr of every attempt, and whether the scaler skipped it: then it has lowered its scale."""

    def __init__(self, scaler: Any) -> None:
        super().__init__()
        self.scaler = scaler
        self.skipped: list[bool] = []
        self._before = 0.0

    def on_train_batch_start(self, *_: Any) -> None:
        self._before = self.scaler.get_scale()

    def on_train_batch_end(self, *_: Any) -> None:
        self.skipped.append(self.scaler.get_scale() < self._before)


def _adamw(fused: bool) -> Callable[[Any], Any]:
    return lambda net: torch.optim.AdamW(net.parameters(), lr=1e-3, fused=fused)


@pytest.mark.parametrize("fused", [False, True])
def test_updates_that_the_scaler_skipped_do_not_move_the_schedule(tmp_path: Path, fused: bool) -> None:
    def fit(callbacks: list[Any], ckpt: Path | None = None) -> Scaled:
        torch.manual_seed(0)
        scaler = torch.amp.GradScaler("cuda", init_scale=2.0**40)
        watch = Scaled(scaler)
        runner = trainer(
            tmp_path, [LRWarmup(4), LRMultiPhaseDecay(Linear(end_factor=0.5)), watch, *callbacks], max_epochs=12,
            accelerator="gpu", devices=1, plugins=[MixedPrecision("16-mixed", "cuda", scaler)],
        )  # fmt: skip
        runner.fit(Net(optimizer=_adamw(fused)), ckpt_path=ckpt)
        return watch

    watch = fit([SaveEveryStep()])
    assert watch.skipped[:2] == [True, True]
    assert not any(watch.skipped[-8:])
    made = [k - sum(watch.skipped[:k]) for k in range(48)]
    planned = [(k + 1) / 4 if k < 4 else 1 - 0.5 * (k - 4) / 44 for k in made]
    assert watch.lrs == pytest.approx([1e-3 * factor for factor in planned], rel=1e-12)
    for k in (1, 20, 41):
        again = fit([], tmp_path / f"step{k}.ckpt")
        assert again.lrs == watch.lrs[k:], k


@pytest.mark.parametrize("engine", ["gpu, ddp", "gpu, fsdp", "gpu, fsdp in pieces"])
def test_one_rank_of_nccl_uses_the_plan_and_resumes(tmp_path: Path, engine: str) -> None:
    start(tmp_path, engine, "whole")
    start(tmp_path, engine, "resumed")
    whole, resumed = (json.loads((tmp_path / f"{case}.rank0.json").read_text()) for case in ("whole", "resumed"))
    assert whole["lrs"] == pytest.approx(plan(), rel=1e-12)
    assert resumed["lrs"] == whole["lrs"][SAVED_AT:]
    assert resumed["state"] == whole["state"]


def test_deepspeed_is_refused_at_fit_start(tmp_path: Path) -> None:
    """It puts an object of its own in the optimizer's place, and calls the optimizer once for each group."""
    pytest.importorskip("deepspeed")
    with pytest.raises(ValueError, match=r"LRWarmup: .*torch\.optim\.Optimizer"):
        trainer(tmp_path, [LRWarmup(4)], accelerator="gpu", devices=1, strategy="deepspeed_stage_2").fit(Net())
