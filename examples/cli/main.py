"""Train on handwritten digits with everything about the learning rate in a YAML file, through LightningCLI.

    pip install -e ".[cli,examples]"
    python examples/cli/main.py fit --config examples/cli/config.yaml
    tensorboard --logdir runs --samples_per_plugin scalars=100000

Network, data and schedule are those of ``examples/digits.py``, and so is every lr; there is not a word about it here.
Options behind ``--config`` win over the file:

    ... --trainer.max_epochs=5 --trainer.logger.save_dir=elsewhere   # any setting by its name
    ... --trainer.callbacks.peak_decay=0.7                           # an option of the last callback in the list
    ... --trainer.callbacks+=LRFreeze --trainer.callbacks.monitor=val_loss --trainer.callbacks.duration=10%
    ... --print_config                                               # the whole configuration, defaults included

    python examples/cli/main.py fit --trainer.callbacks.help LRPlateauReduction

The configuration is saved beside the curves, as ``config.yaml``; a run with it is the same run.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.cli import LightningCLI

from lightning_lr import LRArgumentParser

sys.path.insert(0, str(Path(__file__).parents[1]))  # the examples are no package

from digits import Digits, loaders


class DigitsData(L.LightningDataModule):
    """The digits that come with scikit-learn.

    Args:
        seed: orders the batches.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.train, self.val, self.test = loaders(seed)

    def train_dataloader(self) -> Any:
        return self.train

    def val_dataloader(self) -> Any:
        return self.val

    def test_dataloader(self) -> Any:
        return self.test


class CLI(LightningCLI):
    """LightningCLI, with a result at the end."""

    def after_fit(self) -> None:
        [result] = self.trainer.test(self.model, datamodule=self.datamodule, verbose=False)
        if self.trainer.is_global_zero:
            print(f"test accuracy: {result['test_acc']:.2%}")


if __name__ == "__main__":
    warnings.filterwarnings("ignore", ".*does not have many workers.*")  # the data lie in memory
    CLI(Digits, DigitsData, parser_class=LRArgumentParser)  # the class makes errors in the callbacks short
