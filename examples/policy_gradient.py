"""A policy-gradient agent whose rate follows what it is for: the reward, or how far the policy moves.

Thirty-two poles are balanced on thirty-two carts at once (Barto, Sutton & Anderson 1983), in plain torch; a small
actor-critic learns by PPO. An epoch gathers 1024 steps and makes 16 updates with them, and logs two numbers that
``check="train_epoch"`` lets rules watch:

- ``return``: how long the poles stood whose episode ended in this epoch (at most 500 steps). It is noisy, and more is
  better: ``recipe("rl", control="reward")`` halves the rate when ``Trend`` finds that it has stopped rising.
- ``kl``: how far the policy is from the one that gathered the data. ``recipe("rl", control="kl")`` divides the rate by
  1.5 where that is above 0.02 and multiplies it by 1.5 where it is below 0.005.

Beside these two stand a fixed rate and ``recipe("rl")``, linear to zero. Nothing here assigns a rate: the optimizer is
given the one to start from, and each recipe is handed over as ``LRController(**recipe(...))``.

What came out (120 epochs, 5 seeds; the final return, at most 500, for starts of 3e-4, 3e-3 and 3e-2): by the KL 498 ±
4, 500 ± 0 and 500 ± 0, whatever the start; fixed 372 ± 148, 483 ± 38 and 411 ± 107; linear to zero 367 ± 151, 500 ± 0
and 497 ± 6, so it saves the start that is too high and not the one that is too low. By the reward 267 ± 140, 432 ± 152
and 415 ± 136: no better than fixed. A return stands still for a while before it rises again, and a rate once halved
stays so.

    pip install -e ".[examples]"
    python examples/policy_gradient.py            # 120 epochs, three rates to start from, 5 seeds; 13 minutes
    python examples/policy_gradient.py --quick    # 16 epochs, one rate, 2 seeds: shows that it runs
    tensorboard --logdir runs --samples_per_plugin scalars=100000
"""

from __future__ import annotations

import argparse
import logging
import math
import statistics
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.nn.functional import mse_loss

from lightning_lr import LRController, LRLogger, recipe

ARMS: dict[str, Callable[[float], LRController]] = {
    "fixed": lambda lr: LRController(),
    "linear": lambda lr: LRController(**recipe("rl")),
    "reward": lambda lr: LRController(**recipe("rl", control="reward")),
    # never above 1e-2, where the rule's source stops, too
    "kl": lambda lr: LRController(**recipe("rl", control="kl", max_scale=1e-2 / lr)),
}
RATES = (3e-4, 3e-3, 3e-2)
CARTS, STEPS, PASSES, MINIBATCH = 32, 32, 4, 256
DISCOUNT, TRACE, CLIP = 0.99, 0.95, 0.2
LONGEST = 500


class CartPoles:
    """Carts with a pole each, pushed left (0) or right (1) fifty times a second; one that falls starts anew."""

    GRAVITY, CART, POLE, HALF, FORCE, SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
    EDGE, TILT = 2.4, 12 * math.pi / 180

    def __init__(self, count: int, seed: int) -> None:
        self.random = torch.Generator().manual_seed(seed)
        self.state = self._fresh(count)  # position, velocity, angle, angular velocity
        self.age = torch.zeros(count)

    def _fresh(self, count: int) -> Tensor:
        return torch.rand(count, 4, generator=self.random) * 0.1 - 0.05

    def push(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One step: the states before any starts anew, which poles fell, and which stood to the end."""
        x, v, angle, spin = self.state.unbind(1)
        total, sin, cos = self.CART + self.POLE, angle.sin(), angle.cos()
        push = (self.FORCE * (2 * actions - 1) + self.POLE * self.HALF * spin**2 * sin) / total
        turn = (self.GRAVITY * sin - cos * push) / (self.HALF * (4 / 3 - self.POLE * cos**2 / total))
        speed_up = push - self.POLE * self.HALF * turn * cos / total
        dt = self.SECONDS
        self.state = torch.stack([x + dt * v, v + dt * speed_up, angle + dt * spin, spin + dt * turn], dim=1)
        self.age = self.age + 1
        reached = self.state
        fell = (reached[:, 0].abs() > self.EDGE) | (reached[:, 2].abs() > self.TILT)
        stood = (self.age >= LONGEST) & ~fell
        return reached, fell, stood

    def renew(self, ended: Tensor) -> None:
        """Start these anew."""
        self.state = torch.where(ended[:, None], self._fresh(len(ended)), self.state)
        self.age = torch.where(ended, torch.zeros_like(self.age), self.age)


class Rollout(NamedTuple):
    """What was gathered, flat: one row for each step of each cart."""

    states: Tensor
    actions: Tensor
    logits: Tensor
    advantages: Tensor
    returns: Tensor


class Minibatches:
    """The indices of a rollout in random order, several times over: what stands where a data loader does."""

    def __len__(self) -> int:
        return PASSES * CARTS * STEPS // MINIBATCH

    def __iter__(self) -> Iterator[Tensor]:
        for _ in range(PASSES):
            yield from torch.randperm(CARTS * STEPS).split(MINIBATCH)


class Agent(L.LightningModule):
    """Actor and critic; an epoch of Lightning is one rollout and the updates made with it."""

    def __init__(self, lr: float, seed: int) -> None:
        super().__init__()
        self.lr = lr
        self.actor = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
        self.critic = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
        self.world = CartPoles(CARTS, seed)
        self.returns: list[float] = []

    @torch.no_grad()
    def on_train_epoch_start(self) -> None:
        states, actions, rewards, ends, lengths = [], [], [], [], []
        for _ in range(STEPS):
            states.append(self.world.state)
            actions.append(Categorical(logits=self.actor(self.world.state)).sample())
            reached, fell, stood = self.world.push(actions[-1])
            value = self.critic(reached).squeeze(1)
            rewards.append(1.0 + DISCOUNT * value * stood)  # it would have gone on
            ends.append(fell | stood)
            lengths.extend(self.world.age[ends[-1]].tolist())
            self.world.renew(ends[-1])
        values = self.critic(torch.stack([*states, self.world.state])).squeeze(2)
        advantage, advantages = torch.zeros(CARTS), []
        for t in reversed(range(STEPS)):
            goes_on = 1.0 - ends[t].float()
            delta = rewards[t] + DISCOUNT * values[t + 1] * goes_on - values[t]
            advantage = delta + DISCOUNT * TRACE * goes_on * advantage
            advantages.insert(0, advantage)
        flat = torch.stack(states).flatten(0, 1)
        gained = torch.stack(advantages).flatten()
        self.rollout = Rollout(
            flat,
            torch.stack(actions).flatten(),
            self.actor(flat).log_softmax(1),
            gained,
            gained + values[:-1].flatten(),
        )
        if lengths:  # an epoch in which no episode ends is no evaluation
            self.returns.append(statistics.mean(lengths))
            self.log("return", self.returns[-1])

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        data = Rollout(*(column[batch] for column in self.rollout))
        new = self.actor(data.states).log_softmax(1)
        ratio = (new - data.logits).gather(1, data.actions[:, None]).squeeze(1).exp()
        gain = (data.advantages - data.advantages.mean()) / (data.advantages.std() + 1e-8)
        policy = -torch.min(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain).mean()
        value = mse_loss(self.critic(data.states).squeeze(1), data.returns)
        self.log("kl", (data.logits.exp() * (data.logits - new)).sum(1).mean().detach(), on_step=False, on_epoch=True)
        return policy + 0.5 * value

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=self.lr)

    @torch.no_grad()
    def final_return(self) -> float:
        """How long 64 new poles stand."""
        world, lengths = CartPoles(64, seed=1), torch.zeros(64)
        up = torch.ones(64, dtype=torch.bool)
        for _ in range(LONGEST):
            _, fell, _ = world.push(self.actor(world.state).argmax(1))
            lengths += up
            up &= ~fell
        return lengths.mean().item()


class Result(NamedTuple):
    """A finished run: its final return and the mean one on the way, the last rate over the first, the decisions."""

    reward: float
    on_the_way: float
    factor: float
    decisions: int


def fit(arm: str, lr: float, seed: int, epochs: int, logdir: str) -> Result:
    L.seed_everything(seed, verbose=False)
    agent = Agent(lr, seed)
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[ARMS[arm](lr), LRLogger(plan=False, figures=False)],
        logger=TensorBoardLogger(logdir, "policy_gradient", f"{arm}_{lr:g}_{seed}"),
        log_every_n_steps=8,
        gradient_clip_val=0.5,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(agent, Minibatches())
    [group] = trainer.optimizers[0].param_groups
    events = [event for config in trainer.lr_scheduler_configs for event in config.scheduler.events]
    return Result(agent.final_return(), statistics.mean(agent.returns), group["lr"] / lr, len(events))


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over the seeds."""
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="16 epochs, one rate, 2 seeds")
    parser.add_argument("--epochs", type=int, default=120, help="1024 steps and 16 updates each")
    parser.add_argument("--seeds", type=int, default=5, help="at least 2")
    parser.add_argument("--logdir", default="runs", help="where the curves go (default: runs)")
    args = parser.parse_args(argv)
    epochs, seeds, rates = (16, 2, RATES[1:2]) if args.quick else (args.epochs, args.seeds, RATES)

    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # the table says it all
    torch.set_num_threads(1)  # layers this small gain nothing from more

    print(f"{epochs} epochs of 16 updates, {seeds} seeds; the longest return is {LONGEST}\n")
    print(
        f"{'lr':>8s}  {'control':10s}{'final return':>18s}{'on the way':>18s}{'last lr / first':>17s}{'decisions':>11s}"
    )
    for lr in rates:
        for arm in ARMS:
            results = [fit(arm, lr, seed, epochs, args.logdir) for seed in range(seeds)]
            final, way = spread([r.reward for r in results]), spread([r.on_the_way for r in results])
            factor = statistics.mean(result.factor for result in results)
            decisions = statistics.mean(result.decisions for result in results)
            print(f"{lr:8g}  {arm:10s}{final:>18s}{way:>18s}{factor:17.3f}{decisions:11.1f}", flush=True)


if __name__ == "__main__":
    main()
