"""Resuming anywhere equals not having stopped: from every kind of checkpoint, in a new process, on two ranks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, OnExceptionCheckpoint
from runs import Mixed, Net, Used, trainer, used
from test_pains import Gan, SaveEveryStep, with_native

from lightning_lr import Cosine, Exponential, Linear, LRMultiPhaseDecay, LRWarmup, Polynomial, Warmup

SCRIPT = Path(__file__).with_name("one_run.py")


def wishes() -> list[Callback]:
    return [LRWarmup("25%"), LRMultiPhaseDecay([Linear("50%", end_factor=0.5), Cosine()])]


def run_script(out: Path, *args: object) -> None:
    command = [sys.executable, str(SCRIPT), str(out), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def trace(out: Path, name: str, rank: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / f"{name}.rank{rank}.json").read_text())
    return found


# ---- kinds of checkpoints

KINDS: dict[str, dict[str, Any]] = {
    "every n steps": {"every_n_train_steps": 3},
    "validation end": {"monitor": "val_loss", "every_n_epochs": 1},
    "train epoch end": {"every_n_epochs": 1, "save_on_train_epoch_end": True},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_resuming_from_every_kind_of_checkpoint(tmp_path: Path, kind: str, accumulate: int) -> None:
    settings: dict[str, Any] = {"max_epochs": 4, "limit_val_batches": 1, "accumulate_grad_batches": accumulate}
    saver = ModelCheckpoint(tmp_path / "kept", filename="{step}", save_top_k=-1, **KINDS[kind])
    net = Net(batches=5, metric=lambda n: float(n))
    whole = used(tmp_path, [*wishes(), saver], net, enable_checkpointing=True, **settings)
    kept = sorted((tmp_path / "kept").glob("*.ckpt"))
    assert len(kept) >= 3
    for ckpt in kept:
        done = torch.load(ckpt, weights_only=True)["global_step"]
        lrs = used(tmp_path, wishes(), Net(batches=5), ckpt_path=ckpt, **settings)
        assert lrs == whole[done:], ckpt.name


@pytest.mark.filterwarnings("ignore:.*ckpt_path:UserWarning")  # with this callback Lightning looks for a last one
def test_resuming_from_an_exception(tmp_path: Path) -> None:
    class Failing(Net):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if self.trainer.global_step == 5:
                raise KeyError("the disk is on fire")
            return super().training_step(batch, batch_idx)

    whole = used(tmp_path, wishes(), max_epochs=3)
    saver = OnExceptionCheckpoint(tmp_path, filename="broken")
    with pytest.raises(KeyError, match="fire"):
        used(tmp_path, [*wishes(), saver], Failing(), max_epochs=3, enable_checkpointing=True)
    assert used(tmp_path, wishes(), max_epochs=3, ckpt_path=tmp_path / "broken.ckpt") == whole[5:]


def test_the_mixins_schedule_resumes(tmp_path: Path) -> None:
    def fit(ckpt: Path | None = None) -> list[float]:
        return used(tmp_path, [SaveEveryStep()] * (ckpt is None), Mixed(Warmup(3) >> Cosine()), ckpt_path=ckpt)

    whole = fit()
    assert [fit(tmp_path / f"step{k}.ckpt") for k in (1, 4, 6)] == [whole[k:] for k in (1, 4, 6)]


# ---- what has changed


def _saved(tmp_path: Path, callbacks: list[Callback], net: Net | None = None, **settings: Any) -> Path:
    used(tmp_path, [*callbacks, SaveEveryStep()], net, **settings)
    return tmp_path / "step4.ckpt"


def test_a_changed_schedule_wins_and_is_an_event(tmp_path: Path) -> None:
    ckpt = _saved(tmp_path, [LRMultiPhaseDecay(Linear())])
    with pytest.warns(UserWarning, match=r"LRMultiPhaseDecay: the schedule has changed .* Polynomial\(power=2"):
        lrs = used(tmp_path, [LRMultiPhaseDecay(Polynomial(power=2)), SaveEveryStep()], ckpt_path=ckpt)
    assert lrs == [0.25, 0.140625, 0.0625, 0.015625]
    [event] = torch.load(tmp_path / "step6.ckpt", weights_only=True)["lr_schedulers"][0]["events"]
    assert (event["step"], event["kind"], event["before"], event["after"]) == (4, "schedule", 0.5, 0.25)


def test_a_changed_schedule_uses_the_new_length(tmp_path: Path) -> None:
    ckpt = _saved(tmp_path, [LRMultiPhaseDecay(Linear())])
    with pytest.warns(UserWarning, match="the schedule has changed"):
        lrs = used(tmp_path, [LRMultiPhaseDecay(Polynomial(power=1, end_factor=0.5))], ckpt_path=ckpt, max_epochs=4)
    assert lrs == pytest.approx([1 - 0.5 * k / 16 for k in range(4, 16)])


def _sgd(lr: float) -> Any:
    return lambda module: torch.optim.SGD(module.parameters(), lr=lr)


@pytest.mark.parametrize(
    ("choice", "peak", "words"),
    [(None, 1.0, "the checkpoint's is kept"), ("use_new", 3.0, "the code's is used")],
)
def test_a_changed_lr(tmp_path: Path, choice: Any, peak: float, words: str) -> None:
    ckpt = _saved(tmp_path, [LRMultiPhaseDecay(Linear())])
    again = LRMultiPhaseDecay(Linear(), on_lr_change=choice)
    with pytest.warns(UserWarning, match=f"lr of group 0 is 3 in the code and 1 in the checkpoint; {words}"):
        lrs = used(tmp_path, [again], Net(optimizer=_sgd(3.0)), ckpt_path=ckpt)
    assert lrs == [peak * f for f in (0.5, 0.375, 0.25, 0.125)]


def test_a_changed_lr_refused(tmp_path: Path) -> None:
    ckpt = _saved(tmp_path, [LRMultiPhaseDecay(Linear())])
    with pytest.raises(ValueError, match=r"LRMultiPhaseDecay: .*lr of group 0 is 3 in the code.*restore it"):
        used(
            tmp_path,
            [LRMultiPhaseDecay(Linear(), on_lr_change="error")],
            Net(optimizer=_sgd(3.0)),
            ckpt_path=ckpt,
        )


@pytest.mark.parametrize("net", [Net(), Net(optimizer=with_native)], ids=["no scheduler", "LambdaLR"])
def test_a_checkpoint_without_our_state_starts_at_global_step_and_says_so(tmp_path: Path, net: Net) -> None:
    ckpt = _saved(tmp_path, [], net)
    with pytest.warns(UserWarning, match=r"holds no state of this schedule.*; it starts at update 4 \(global_step\)"):
        lrs = used(tmp_path, [LRMultiPhaseDecay(Linear())], ckpt_path=ckpt)
    assert lrs == [0.5, 0.375, 0.25, 0.125]
    assert used(tmp_path, [LRMultiPhaseDecay(Linear(), start_step=0)], ckpt_path=ckpt) == [1.0, 0.875, 0.75, 0.625]


def test_a_checkpoint_without_our_state_of_several_optimizers_is_refused_naming_start_step(tmp_path: Path) -> None:
    used_by = Gan()
    trainer(tmp_path, [SaveEveryStep()], max_epochs=1).fit(used_by)
    ckpt = tmp_path / "step12.ckpt"
    with pytest.raises(ValueError, match=r"holds no state of this schedule, and global_step .* with start_step="):
        trainer(tmp_path, [LRWarmup(4)], max_epochs=2).fit(Gan(), ckpt_path=ckpt)


def test_states_find_their_optimizer_when_the_schedulers_have_changed(tmp_path: Path) -> None:
    only_second = [LRMultiPhaseDecay(Exponential(0.5), optimizer=1)]
    trainer(tmp_path, [*only_second, SaveEveryStep()], max_epochs=1).fit(Gan())
    both = [LRMultiPhaseDecay(Exponential(0.5), optimizer=1), LRWarmup(16, optimizer=0, start_step=8)]
    gan = Gan()
    trainer(tmp_path, both, max_epochs=2).fit(gan, ckpt_path=tmp_path / "step12.ckpt")
    assert gan.seen["d"] == [0.5**k for k in range(4, 8)]
    assert gan.seen["g"] == [k / 16 for k in range(9, 17)]


# ---- a new process, two ranks


def test_a_new_process_goes_on_bit_for_bit(tmp_path: Path) -> None:
    run_script(tmp_path, "--save")
    whole = trace(tmp_path, "whole")
    assert len(whole["lrs"]) == 12
    ckpts = [tmp_path / f"step{k}.ckpt" for k in range(1, 12)]
    run_script(tmp_path, "--ckpt", *ckpts)
    for k in range(1, 12):
        resumed = trace(tmp_path, f"step{k}")
        assert resumed["lrs"] == whole["lrs"][k:], k
        assert resumed["weight"] == whole["weight"], k


@pytest.mark.parametrize("strategy", ["ddp", pytest.param("ddp_spawn", marks=pytest.mark.slow)])
def test_two_ranks_agree_and_resume(tmp_path: Path, strategy: str) -> None:
    args = ("--strategy", strategy, "--devices", 2)
    run_script(tmp_path, *args, "--save")
    whole = [trace(tmp_path, "whole", rank) for rank in (0, 1)]
    assert whole[0] == whole[1]
    assert len(whole[0]["lrs"]) == 12
    run_script(tmp_path, *args, "--ckpt", tmp_path / "step7.ckpt")
    for rank in (0, 1):
        resumed = trace(tmp_path, "step7", rank)
        assert resumed["lrs"] == whole[0]["lrs"][7:]
        assert resumed["weight"] == whole[0]["weight"]


def test_ranks_whose_loaders_differ_follow_the_lengths_of_rank_0(tmp_path: Path) -> None:
    run_script(tmp_path, "--strategy", "ddp", "--devices", 2, "--uneven")
    first, second = (trace(tmp_path, "whole", rank) for rank in (0, 1))
    assert first == second
    lrs = [lrs[0] for lrs in first["lrs"]]
    assert lrs == pytest.approx([0.5, 1.0, 1.0, 0.775, 0.55, 0.325, 0.1, 0.1])


def test_a_second_fit_goes_on_and_a_new_module_starts_again(tmp_path: Path) -> None:
    watch, net = Used(), Net()
    runner = trainer(tmp_path, [LRMultiPhaseDecay(Exponential(0.5)), watch], max_epochs=1)
    runner.fit(net)
    runner.fit_loop.max_epochs = 2
    runner.fit(net)
    assert watch.lrs == [0.5**k for k in range(8)]
