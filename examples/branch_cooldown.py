"""One trunk, several finished models: cool down from any checkpoint of a run at a constant rate.

A schedule that falls to zero fixes the run's length before it begins. A trunk at a constant rate does not: train it for
as long as you like, keep checkpoints, and branch a short cooldown off each that you want a finished model of. That is
one line, ``LRController(on_resume=Cooldown(...))``, beside the trunk's own callbacks; ``ckpt_path`` says from where and
``max_steps`` how far. The updates of the trunk are paid for once, however many models come out of it.

    pip install -e ".[examples]"
    python examples/branch_cooldown.py            # cooldowns of 68 updates after 170 and 340 updates
    python examples/branch_cooldown.py --quick    # less than half of that
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from lightning_lr import Constant, Cooldown, LRController, LRLogger, LRMultiPhaseDecay, LRWarmup

EPOCH = 34  # updates

Data = tuple[Tensor, Tensor]


class Digits(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.history: dict[int, float] = {}  # validation loss by the number of updates
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def training_step(self, batch: Data, batch_idx: int) -> Tensor:
        images, labels = batch
        return cross_entropy(self.net(images), labels)

    def validation_step(self, batch: Data, batch_idx: int) -> None:
        images, labels = batch
        self.log("val_loss", cross_entropy(self.net(images), labels))

    def on_validation_epoch_end(self) -> None:
        self.history[self.global_step] = float(self.trainer.callback_metrics["val_loss"])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def loaders() -> tuple[DataLoader[Any], DataLoader[Any]]:
    """1077 digits to train and 720 to validate."""
    digits = load_digits()
    images, labels = torch.tensor(digits.images / 16.0, dtype=torch.float32), torch.tensor(digits.target)
    train, val = train_test_split(range(len(labels)), test_size=720, stratify=labels, random_state=0)
    return (
        DataLoader(TensorDataset(images[train], labels[train]), batch_size=32, shuffle=True),
        DataLoader(TensorDataset(images[val], labels[val]), batch_size=720),
    )


def fit(max_steps: int, callbacks: Sequence[Callback], logger: Any, ckpt: Path | None = None) -> dict[int, float]:
    """Train up to so many updates, from the start or from a checkpoint; the validation losses on the way."""
    L.seed_everything(0, verbose=False)
    model = Digits()
    L.Trainer(
        max_steps=max_steps,
        accelerator="cpu",
        callbacks=[LRWarmup("1 epoch"), LRMultiPhaseDecay(Constant()), LRLogger(plan=False), *callbacks],
        logger=logger,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(model, *loaders(), ckpt_path=ckpt)
    return model.history


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less than half of the updates")
    parser.add_argument("--logdir", type=Path, help="keep curves and checkpoints there (default: nowhere)")
    args = parser.parse_args(argv)
    every, cooldown = (2 * EPOCH, EPOCH) if args.quick else (5 * EPOCH, 2 * EPOCH)

    # The data lie in memory; a branch has no ModelCheckpoint, and need not.
    warnings.filterwarnings("ignore", ".*does not have many workers.*|.*callbacks used to create the checkpoint.*")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)

    with tempfile.TemporaryDirectory() as scratch:
        folder = args.logdir or Path(scratch)
        keep = ModelCheckpoint(folder / "trunk", "{step}", every_n_train_steps=every, save_top_k=-1)
        trunk = fit(2 * every, [keep], TensorBoardLogger(folder, "cooldowns", "trunk"))
        print(f"{'updates':>8s}{'trunk':>10s}{'cooled':>10s}   validation loss, and {cooldown} updates later")
        for step in (every, 2 * every):
            branch = LRController(on_resume=Cooldown(cooldown))
            logger = TensorBoardLogger(folder, "cooldowns", f"from_{step}")
            cooled = fit(step + cooldown, [branch], logger, ckpt=folder / "trunk" / f"step={step}.ckpt")
            print(f"{step:8d}{trunk[step]:10.4f}{cooled[step + cooldown]:10.4f}")

    spent, apart = 2 * every + 2 * cooldown, every + 2 * every + 2 * cooldown
    print(f"\nupdates spent: {spent}; two separate runs of the same lengths: {apart}")


if __name__ == "__main__":
    main()
