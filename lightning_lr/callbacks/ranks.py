"""What all ranks must have in common: compared once, when training starts, so that none goes a way of its own."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from lightning_lr.reporting.names import optimizer_names

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

    from lightning_lr.callbacks.compose import Ownership

_ITS_OWN = re.compile(r" at 0x[0-9a-fA-F]+|(?<=')[\w.]+:(?=[\w.<>]+')")
"""What a repr says of the process, not of the configuration: an address, and where a script's functions are."""


def agree(trainer: Trainer, who: str, plan: Callable[[], Mapping[str, str]], refused: ValueError | None) -> None:
    """Raise what this rank has refused, and on all ranks what one has refused or is about to do otherwise.

    One collective, of a sum; only ranks that differ say then what they have. With one process there is none.

    Args:
        trainer: the trainer.
        who: the callbacks to name in errors.
        plan: what this rank is about to do, if it has refused nothing: texts by what they are about.
        refused: what was wrong with it.

    Raises:
        ValueError: on every rank the same one: a rank has refused something, or has another plan than rank 0.
    """
    if trainer.world_size > 1:
        mine = (
            {"": _ITS_OWN.sub("", str(refused))}
            if refused is not None
            else {k: _ITS_OWN.sub("", v) for k, v in plan().items()}
        )
        digest = hashlib.sha256(json.dumps(mine).encode()).digest()
        numbers = [int.from_bytes(digest[i : i + 4], "big", signed=True) for i in range(0, len(digest), 4)]
        every = gather(trainer, who, torch.tensor(numbers, dtype=torch.int32))
        other = next((rank for rank, one in enumerate(every) if one != every[0]), None)
        if other is not None:
            (theirs, first), (_, its) = (trainer.strategy.broadcast((who, mine), src=rank) for rank in (0, other))
            raise ValueError(_difference(theirs, first, its, other))
    if refused is not None:
        raise refused


def _difference(who: str, first: Mapping[str, str], its: Mapping[str, str], rank: int) -> str:
    for one, plan in ((0, first), (rank, its)):
        if "" in plan:
            return f"on rank {one}, and not on all: {plan['']}"
    name = next(name for name in {**its, **first} if first.get(name) != its.get(name))
    has, zero = (plan.get(name, "nothing of the kind") for plan in (its, first))
    return (
        f"{who}: {name}: rank {rank} has {has}, rank 0 has {zero}: build the optimizer and the callbacks from the same "
        "configuration on every rank, and resume all of them from the same checkpoint"
    )


def plan_of(owners: Sequence[Ownership], on_resume: Sequence[object]) -> dict[str, str]:
    """What each optimizer's lr depends on from here on, as texts that are the same on ranks that agree.

    The run's length is rank 0's on all of them; what a rank has been told besides is in what it is planned for.
    """
    names = optimizer_names([type(owner.scheduler.optimizer).__name__ for owner in owners])
    out = {"the optimizers": ", ".join(names) or "none"}
    for name, (index, scheduler, *_) in zip(names, owners, strict=True):
        out[f"the place of {name}"] = str(index)
        out[f"what {name} has schedules of"] = ", ".join(track.id for track in scheduler.live)
        for track in scheduler.live:
            starts = [f"{base!r} in group {i}" for i, base in track.started_from()]
            out[f"the schedule of {name}'s {track.id}"] = repr(track.schedule)
            out[f"the rules of {name}'s {track.id}"] = ", ".join(map(repr, track.rules)) or "none"
            out[f"what {name}'s {track.id} starts from"] = ", ".join(starts) or "no group"
            out[f"the run that {name}'s {track.id} is planned for"] = repr(track.horizon)
        state = scheduler.state_dict()
        out[f"the run of {name}"] = repr(scheduler.run_horizon)
        out[f"the updates that {name} has made"] = str(scheduler.updates)
        out[f"what {name} remembers"] = "a state with the sums {tracks} and {events}".format(**state["sums"])
    return {**out, "on_resume": ", ".join(sorted(map(repr, on_resume))) or "none"}


def gather(trainer: Trainer, who: str, mine: torch.Tensor) -> list[Any]:
    """The numbers of every rank, in the order of the ranks: one collective.

    Raises:
        RuntimeError: a rank has died, or has not come within the process group's timeout.
    """
    mine = mine.to(trainer.strategy.root_device)
    with waiting(who):
        if torch.distributed.is_initialized():  # Lightning's own gather is made for gradients, and costs as much again
            every = [torch.empty_like(mine) for _ in range(trainer.world_size)]
            torch.distributed.all_gather(every, mine)
        else:
            every = list(trainer.strategy.all_gather(mine))
    return [one.tolist() for one in every]


@contextmanager
def waiting(who: str) -> Iterator[None]:
    """Say of a collective that failed what it was about, beside what torch says of it."""
    try:
        yield
    except RuntimeError as error:
        raise RuntimeError(
            f"{who}: the ranks could not compare their learning rates and metrics: one of them has died, came later "
            f"than the process group's timeout (as in DDPStrategy(timeout=…)), or has none of these callbacks; torch "
            f"says: {error}"
        ) from error
