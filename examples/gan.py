"""Two optimizers, each with a schedule of its own: a small GAN that learns to draw handwritten digits.

    pip install -e ".[examples]"
    python examples/gan.py
    tensorboard --logdir runs --samples_per_plugin scalars=100000

Lightning leaves the loop to the module here (manual optimization): the discriminator makes an update for every batch,
the generator for every second one. Each schedule counts the updates of its own optimizer, so "5%" is 5% of what that
one will make. Lightning cannot know how many that are: ``total_steps=`` says it.

Any other number of an optimizer can follow a schedule as well: the generator's beta1 falls beside its lr, on the same
clock, from 0.5 to 0.25. The result is the Fréchet distance between generated and real digits that were kept aside, in
the space of a linear classifier's ten scores; 0 would be no difference in mean and covariance.
"""

from __future__ import annotations

import argparse
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils.data import DataLoader, TensorDataset

from lightning_lr import Constant, Linear, LRLogger, LRScheduleMixin, Warmup

NOISE = 16
GENERATOR_EVERY = 2  # batches


class Gan(LRScheduleMixin, L.LightningModule):
    """Generator and discriminator: three layers each, non-saturating loss."""

    def __init__(self, epochs: int, batches: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.totals = [epochs * batches, epochs * (batches // GENERATOR_EVERY)]
        self.generator = nn.Sequential(
            nn.Linear(NOISE, 128), nn.BatchNorm1d(128), nn.ReLU(),
            nn.Linear(128, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 64), nn.Sigmoid(),
        )  # fmt: skip
        self.discriminator = nn.Sequential(
            nn.Linear(64, 128), nn.LeakyReLU(0.2), nn.Dropout(0.2), nn.Linear(128, 64), nn.LeakyReLU(0.2),
            nn.Linear(64, 1),
        )  # fmt: skip
        self.updates = {"discriminator": 0, "generator": 0}

    def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
        (real,) = batch
        d_opt, g_opt = self.optimizers()
        fake = self.generator(torch.randn(len(real), NOISE, device=self.device))
        d_loss = softplus(-self.discriminator(real)).mean() + softplus(self.discriminator(fake.detach())).mean()
        self._update(d_opt, d_loss, "discriminator")
        if batch_idx % GENERATOR_EVERY == GENERATOR_EVERY - 1:
            g_loss = softplus(-self.discriminator(fake)).mean()
            self.toggle_optimizer(g_opt)
            self._update(g_opt, g_loss, "generator")
            self.untoggle_optimizer(g_opt)
            self.log("g_loss", g_loss)
        self.log("d_loss", d_loss)

    def _update(self, optimizer: Any, loss: Tensor, who: str) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()  # moves this optimizer's schedule
        self.updates[who] += 1

    def configure_optimizers(self) -> Any:
        optimizers = [
            torch.optim.Adam(self.discriminator.parameters(), lr=1e-3, betas=(0.5, 0.99)),
            torch.optim.Adam(self.generator.parameters(), lr=2e-3, betas=(0.5, 0.99)),
        ]
        discriminator = Constant("50%") >> Linear()
        generator = (Warmup("5%") >> Constant() >> Linear("50%")).beside(beta1=Linear(end_factor=0.5))
        return self.scheduled(optimizers, [discriminator, generator], total_steps=self.totals)

    @torch.no_grad()
    def draw(self, count: int) -> np.ndarray:
        """So many digits, as rows of 64 pixels in [0, 1]."""
        self.eval()
        noise = torch.randn(count, NOISE, generator=torch.Generator().manual_seed(1))
        return self.generator(noise).numpy()


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """The Fréchet distance between two samples, each taken as normally distributed."""
    cov = np.cov(a.T), np.cov(b.T)
    roots = np.linalg.eigvals(cov[0] @ cov[1]).real.clip(min=0) ** 0.5
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov[0]) + np.trace(cov[1]) - 2 * roots.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--logdir", default="runs")
    args = parser.parse_args()

    L.seed_everything(args.seed)
    torch.set_num_threads(1)  # layers this small gain nothing from more
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    seen, kept = images[:1400], images[1400:]
    classifier = LogisticRegression(max_iter=1000).fit(seen, labels[:1400])
    kept_scores = classifier.decision_function(kept)

    loader = DataLoader(TensorDataset(torch.from_numpy(seen)), batch_size=64, shuffle=True, drop_last=True)
    model = Gan(args.epochs, len(loader))
    before = frechet(classifier.decision_function(model.draw(1000)), kept_scores)
    model.train()
    trainer = L.Trainer(
        max_epochs=args.epochs,
        accelerator="cpu",
        logger=TensorBoardLogger(args.logdir, name="gan"),
        callbacks=[LRLogger(every_n_steps=20)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, loader)

    after = frechet(classifier.decision_function(model.draw(1000)), kept_scores)
    for name, config in zip(model.updates, trainer.lr_scheduler_configs, strict=True):
        group = config.scheduler.optimizer.param_groups[0]
        print(
            f"{name}: {model.updates[name]} updates, its schedule counted {config.scheduler.updates}; "
            f"lr {group['initial_lr']:g} → {group['lr']:g}, beta1 {group['betas'][0]:g}"
        )
    print(f"Fréchet distance of the generated digits: {before:.1f} untrained, {after:.1f} trained")


if __name__ == "__main__":
    main()
