"""An autoencoder under cyclic rates: does going up and down find a better code than staying where one is?

A small autoencoder squeezes the 8x8 digits through eight numbers, without seeing a label; ``recipe("unsupervised")``
says how its rate goes: five triangles. Beside it stand a constant rate and a linear decay to zero, with the same
updates, the same weights to begin with, and each with the best of the same four peaks (on the validation images and a
seed of its own). What is measured on test images: the reconstruction error, and how well ten clusters of the code agree
with the ten digits (k-means; the adjusted Rand index is 1 for the same partition and 0 for chance).

A cyclic rate is to be judged where its cycles end: ``cycle_end_losses`` has those losses.

What came out (1000 updates, 5 seeds): the reconstruction error is 0.0136 ± 0.0002 under the cyclic rate, 0.0146 ±
0.0005 under the constant one (p = 0.001) and 0.0141 ± 0.0005 under the decay (p = 0.04). The clusters gain nothing that
five seeds could show: 0.60 ± 0.01, 0.59 ± 0.03, 0.58 ± 0.03. With a fifth of the updates (``--epochs 10``) the cyclic
rate does not help: 0.0190 ± 0.0003 against 0.0184 ± 0.0007 under the constant one (p = 0.05), and worse clusters.

    pip install -e ".[examples]"
    python examples/autoencoder_cyclic.py            # 1000 updates, 5 seeds
    python examples/autoencoder_cyclic.py --quick    # 200 updates, 2 seeds, one peak: shows that it runs
    tensorboard --logdir runs --samples_per_plugin scalars=100000
"""

from __future__ import annotations

import argparse
import logging
import statistics
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from scipy.stats import ttest_rel
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from lightning_lr import Constant, Linear, LRController, LRLogger, Schedule, cycle_end_losses, recipe

PLAN = recipe("unsupervised")
ARMS: dict[str, Schedule] = {"constant": Constant(), "cyclic": PLAN.schedule, "linear to zero": Linear()}
PEAKS = (1e-3, 3e-3, 1e-2, 3e-2)
UPDATES_PER_EPOCH = 20
TUNING_SEED = 100


class Autoencoder(L.LightningModule):
    """Two layers down to the code, two layers up again."""

    def __init__(self, peak: float) -> None:
        super().__init__()
        self.peak = peak
        self.encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 8))
        self.decoder = nn.Sequential(nn.Linear(8, 128), nn.ReLU(), nn.Linear(128, 64))
        self.history: list[tuple[int, float]] = []  # updates made, and the validation error

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        (images,) = batch
        loss = mse_loss(self.decoder(self.encoder(images)), images)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        (images,) = batch
        loss = mse_loss(self.decoder(self.encoder(images)), images)
        self.log("val_loss", loss)
        self.history.append((self.global_step, loss.item()))

    def configure_optimizers(self) -> Any:
        optimizer = getattr(torch.optim, PLAN.optimizer)
        return optimizer(self.parameters(), **{**PLAN.settings, "lr": self.peak})


class Result(NamedTuple):
    """A finished run: test error and adjusted Rand index at its end, and the validation errors on the way."""

    error: float
    rand: float
    history: list[tuple[int, float]]


def data() -> tuple[Tensor, Tensor, Tensor, list[int]]:
    """1000 images to train, 200 to validate, 597 to test, and the digits on those."""
    images, digits = load_digits(return_X_y=True)
    rest, test = train_test_split(range(len(digits)), train_size=1200, stratify=digits, random_state=0)
    train, val = train_test_split(rest, train_size=1000, stratify=digits[rest], random_state=0)
    pixels = torch.tensor(images / 16, dtype=torch.float32)
    return pixels[train], pixels[val], pixels[test], digits[test].tolist()


def fit(schedule: Schedule, peak: float, seed: int, epochs: int, logger: Any) -> Result:
    L.seed_everything(seed, verbose=False)  # every arm: the same network, the same batches
    train, val, test, digits = data()
    model = Autoencoder(peak)
    batches = BatchSampler(RandomSampler(train), len(train) // UPDATES_PER_EPOCH, drop_last=True)
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[LRController(schedule), LRLogger(plan=False, figures=False, metrics=["val_loss"])],
        logger=logger,
        log_every_n_steps=5,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(
        model,
        DataLoader(TensorDataset(train), sampler=batches, batch_size=None),
        DataLoader(TensorDataset(val), batch_size=len(val)),
    )
    with torch.no_grad():
        code = model.encoder(test)
        error = mse_loss(model.decoder(code), test).item()
    clusters = KMeans(10, n_init=10, random_state=seed).fit_predict(code.numpy())
    return Result(error, float(adjusted_rand_score(digits, clusters)), model.history)


def best(schedule: Schedule, peaks: Sequence[float], epochs: int) -> float:
    """The peak with the least validation error on the seed for tuning."""
    if len(peaks) == 1:
        return peaks[0]
    return min(peaks, key=lambda peak: fit(schedule, peak, TUNING_SEED, epochs, False).history[-1][1])


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over the seeds."""
    return f"{statistics.mean(values):.5f} ± {statistics.stdev(values):.5f}"


def verdict(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """The mean difference and Student's paired test of it."""
    p = ttest_rel(ours, theirs).pvalue
    gap = statistics.mean(ours) - statistics.mean(theirs)
    return f"{gap:+.5f} (p = {p:.2g}{'' if p < 0.05 else ', no difference'})"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10 epochs, 2 seeds, one peak")
    parser.add_argument("--epochs", type=int, default=50, help="20 updates each")
    parser.add_argument("--seeds", type=int, default=5, help="at least 2")
    parser.add_argument("--logdir", default="runs", help="where the curves go (default: runs)")
    args = parser.parse_args(argv)
    epochs, seeds, peaks = (10, 2, PEAKS[1:2]) if args.quick else (args.epochs, args.seeds, PEAKS)

    warnings.filterwarnings("ignore", ".*does not have many workers.*")  # the data lie in memory
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # the table says it all
    torch.set_num_threads(1)  # layers this small gain nothing from more

    print(f"{epochs * UPDATES_PER_EPOCH} updates, {seeds} seeds, peaks {', '.join(f'{p:g}' for p in peaks)}\n")
    print(f"{'rate':16s}{'peak':>7s}   {'reconstruction error':22s}{'adjusted Rand index':22s}")
    results: dict[str, list[Result]] = {}
    for name, schedule in ARMS.items():
        peak = best(schedule, peaks, epochs)
        folder = name.replace(" ", "_")
        results[name] = [
            fit(schedule, peak, seed, epochs, TensorBoardLogger(args.logdir, "autoencoder", f"{folder}_{seed}"))
            for seed in range(seeds)
        ]
        errors, rands = [r.error for r in results[name]], [r.rand for r in results[name]]
        print(f"{name:16s}{peak:7g}   {spread(errors):22s}{spread(rands):22s}", flush=True)

    print()
    for other in ("constant", "linear to zero"):
        gap = verdict([r.error for r in results["cyclic"]], [r.error for r in results[other]])
        rand = verdict([r.rand for r in results["cyclic"]], [r.rand for r in results[other]])
        print(f"cyclic against {other}: error {gap}; adjusted Rand index {rand}")

    print("\nvalidation error at the end of each cycle, and of the constant rate there")
    ends = []
    for result in results["cyclic"]:
        steps, losses = zip(*result.history, strict=True)
        ends.append(cycle_end_losses(PLAN.schedule, steps, losses, total_steps=epochs * UPDATES_PER_EPOCH))
    for each in zip(*ends, strict=True):
        there = [dict(r.history)[each[0].step] for r in results["constant"]]
        print(f"cycle {each[0].cycle}, update {each[0].end:4d}: {spread([e.loss for e in each])}   {spread(there)}")


if __name__ == "__main__":
    main()
