"""Two processes on every engine that a CPU can run: the lrs of one process, on all ranks, and after a resume too."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from crash_matrix import RANK_VARIABLES
from engines_run import SAVED_AT, Measured, plan, wishes
from lightning.pytorch.strategies import SingleDeviceStrategy
from runs import Mixed, Net, Used, trainer, used
from test_pains import SaveEveryStep, two_groups
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

from lightning_lr import Cosine, Linear, LRMultiPhaseDecay, LRWarmup, ScheduledLR

SCRIPT = Path(__file__).with_name("engines_run.py")
HANGS_AFTER = 300.0  # on a busy machine; the process group's own timeout is half an hour
STARTS_PROCESSES_FOR_EACH_FIT = ("ddp_spawn", "ddp_fork")


def slow(engine: str) -> Any:
    return pytest.param(engine, marks=pytest.mark.slow)


FAST = ["ddp_fork"]
PLAIN = [*FAST, slow("ddp_spawn"), slow("ddp"), slow("ddp, zero redundancy"), slow("sharded, one file")]
SHARDED = ["sharded", slow("sharded, stateless")]


def start(out: Path, engine: str, *cases: str) -> None:
    """Run the script; a hang ends with every process of its session killed, and the test failed."""
    clean = {name: value for name, value in os.environ.items() if name not in RANK_VARIABLES}
    command = [sys.executable, str(SCRIPT), str(out), engine, *cases]
    with (out / "log").open("a") as log:
        process = subprocess.Popen(
            command, env=clean | {"OMP_NUM_THREADS": "1"}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            code = process.wait(HANGS_AFTER)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
    assert code == 0, f"{engine} {cases} ended with {code}\n{(out / 'log').read_text()[-6000:]}"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, list[Any]]]:
    """What the ranks of an engine wrote, per case; it runs when it is first asked for."""

    @functools.cache
    def ran(engine: str) -> dict[str, list[Any]]:
        out = tmp_path_factory.mktemp("engine")
        if engine in STARTS_PROCESSES_FOR_EACH_FIT:
            start(out, engine, "whole", "resumed")
        else:
            start(out, engine, "whole")
            start(out, engine, "resumed")
        cases = ("whole", "resumed")
        return {case: [json.loads((out / f"{case}.rank{rank}.json").read_text()) for rank in (0, 1)] for case in cases}

    return ran


@pytest.mark.parametrize("engine", [*PLAIN, *SHARDED])
def test_every_rank_uses_the_lrs_of_one_process(engine: str, ran: Any, tmp_path: Path) -> None:
    alone = used(
        tmp_path, wishes(), Measured(lambda net: torch.optim.SGD(net.parameters(), lr=1.0)), max_epochs=5,
        limit_val_batches=1,
    )  # fmt: skip
    assert alone == pytest.approx(plan(), rel=1e-12)
    first, second = ran(engine)["whole"]
    assert first["lrs"] == second["lrs"] == alone
    assert first["weights"] == second["weights"]
    assert first["state"] == second["state"]
    assert [(event["kind"], event["step"], event["value"]) for event in first["state"]["events"]] == [
        ("reduce", 12, 3.0)
    ]


def resumes(found: dict[str, list[Any]]) -> None:
    for whole, resumed in zip(found["whole"], found["resumed"], strict=True):
        assert resumed["lrs"] == whole["lrs"][SAVED_AT:]
        assert resumed["weights"] == whole["weights"]
        assert resumed["state"] == whole["state"]


@pytest.mark.parametrize("engine", PLAIN)
def test_new_processes_go_on_bit_for_bit(engine: str, ran: Any) -> None:
    resumes(ran(engine))


@pytest.mark.parametrize("engine", SHARDED)
def test_new_processes_go_on_bit_for_bit_from_a_checkpoint_in_pieces(engine: str, ran: Any) -> None:
    resumes(ran(engine))


@pytest.mark.parametrize("tensor", [False, True])
def test_groups_that_come_back_without_their_peaks_find_them(tmp_path: Path, tensor: bool) -> None:
    """The same in one process, from every update."""

    def fit(callbacks: list[Any], ckpt: Path | None = None) -> list[list[float]]:
        watch = Used()
        wanted = [LRWarmup(3), LRMultiPhaseDecay(Cosine()), watch, *callbacks]
        trainer(tmp_path, wanted).fit(Net(optimizer=tensors if tensor else two_groups), ckpt_path=ckpt)
        return watch.groups

    whole = fit([SaveEveryStep()])
    for k in range(1, 8):
        ckpt = tmp_path / f"step{k}.ckpt"
        saved = torch.load(ckpt, weights_only=True)
        for group in saved["optimizer_states"][0]["param_groups"]:
            del group["initial_lr"]
        torch.save(saved, ckpt)
        assert fit([], ckpt) == whole[k:], k


def tensors(net: Any) -> Any:
    groups = [{"params": [net.layer.weight]}, {"params": [net.layer.bias], "lr": torch.tensor(0.1)}]
    return torch.optim.SGD(groups, lr=torch.tensor(1.0), foreach=False)


# ---- steps that are none


@pytest.mark.parametrize("lr", [1.0, torch.tensor(1.0)], ids=["float", "tensor"])
def test_a_step_that_only_fills_the_optimizers_state_is_no_update(lr: Any) -> None:
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    scheduler = ScheduledLR(optimizer, Linear(4))
    lrs = []
    for _ in range(4):
        get_optimizer_state_dict(model, optimizer)  # as a distributed checkpoint does
        lrs.append(float(optimizer.param_groups[0]["lr"]))
        model(torch.ones(1)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert lrs == [1.0, 0.75, 0.5, 0.25]
    assert scheduler.updates == 4


# ---- engines that hide the optimizer


class Wrapped:
    """What DeepSpeed puts in the optimizer's place: it has groups, but is no optimizer, and has no hooks."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer

    @property
    def param_groups(self) -> Any:
        return self.optimizer.param_groups

    @property
    def state(self) -> Any:
        return self.optimizer.state

    def step(self, closure: Any = None) -> None:
        """Call the optimizer once for each group, as DeepSpeed's do: its hooks count groups, not updates."""
        if closure is not None:
            closure()
        groups = self.optimizer.param_groups
        for group in groups:
            self.optimizer.param_groups = [group]
            self.optimizer.step()
        self.optimizer.param_groups = groups

    def zero_grad(self) -> None:
        self.optimizer.zero_grad()


class Wrapping(SingleDeviceStrategy):
    def setup(self, trainer: Any) -> None:
        super().setup(trainer)
        self.optimizers = [Wrapped(optimizer) for optimizer in self.optimizers]  # type: ignore[misc]


def test_a_wrapped_optimizer_is_refused_at_fit_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"LRWarmup: (?=.*Wrapped).*torch\.optim\.Optimizer"):
        used(tmp_path, [LRWarmup(4)], strategy=Wrapping(torch.device("cpu")))


def test_a_wrapped_optimizer_is_refused_with_the_mixin_too(tmp_path: Path) -> None:
    watch = Used()
    with pytest.raises(ValueError, match=r"LRScheduleMixin: (?=.*Wrapped).*torch\.optim\.Optimizer"):
        trainer(tmp_path, [watch], strategy=Wrapping(torch.device("cpu"))).fit(Mixed(Linear()))


def test_a_wrapped_optimizer_trains_as_ever_without_us(tmp_path: Path) -> None:
    assert used(tmp_path, [], Net(), strategy=Wrapping(torch.device("cpu"))) == [1.0] * 8
