"""Six small tasks for a Trainer, on data that come with scikit-learn or Python: what a range test is tried on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import lightning as L
import sklearn.datasets
import torch
from sklearn.model_selection import train_test_split
from tasks import Split, digits, mlp, text
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss


class CharGRU(nn.Module):
    """Scores for the next character, at each."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.gru, self.head = nn.Embedding(128, 64), nn.GRU(64, 64, batch_first=True), nn.Linear(64, 128)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(self.embed(x))[0]).transpose(1, 2)  # classes second, as cross_entropy has it


def convnet() -> nn.Module:
    first, second = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
    body = nn.Sequential(nn.Unflatten(1, (1, 8, 8)), first, nn.ReLU(), nn.MaxPool2d(2), second, nn.ReLU())
    return nn.Sequential(body, nn.Flatten(), nn.Linear(512, 10))


def labels() -> tuple[Split, Split]:
    return digits().train, digits().val


def images() -> tuple[Split, Split]:
    return Split(digits().train.x, digits().train.x), Split(digits().val.x, digits().val.x)


def lines() -> tuple[Split, Split]:
    """Pieces of 16 characters, and for each character the one that follows."""
    cut = [part[: (len(part) - 1) // 16 * 16 + 1] for part in (text().train, text().val[:16001])]
    train, val = (Split(part[:-1].view(-1, 16), part[1:].view(-1, 16)) for part in cut)
    return train, val


def table(load: Callable[..., Any]) -> tuple[Split, Split]:
    """Columns of mean 0 and variance 1 on the training part, and so is a target that is not a class."""
    x, y = load(return_X_y=True)
    train_x, val_x, train_y, val_y = (torch.tensor(part) for part in train_test_split(x, y, random_state=0))
    if y.dtype.kind == "f":
        train_y, val_y = ((part[:, None] - train_y.mean()) / train_y.std() for part in (train_y, val_y))
        train_y, val_y = train_y.float(), val_y.float()
    train_x, val_x = (((part - train_x.mean(0)) / train_x.std(0)).float() for part in (train_x, val_x))
    return Split(train_x, train_y), Split(val_x, val_y)


class Task(NamedTuple):
    """A network, what it is to make small, what makes it so, and the data to train and to validate with."""

    net: Callable[[], nn.Module]
    loss: Callable[[Tensor, Tensor], Tensor]
    optimizer: type[torch.optim.Optimizer]
    data: Callable[[], tuple[Split, Split]]
    settings: Mapping[str, float] = {}


TASKS = {
    "digits MLP, SGD": Task(lambda: mlp(64, 64, 10), cross_entropy, torch.optim.SGD, labels),
    "digits convnet, SGD + momentum": Task(convnet, cross_entropy, torch.optim.SGD, labels, {"momentum": 0.9}),
    "digits autoencoder, Adam": Task(lambda: mlp(64, 32, 8, 32, 64), mse_loss, torch.optim.Adam, images),
    "char-LM GRU, AdamW": Task(CharGRU, cross_entropy, torch.optim.AdamW, lines),
    "diabetes MLP, SGD": Task(
        lambda: mlp(10, 32, 1), mse_loss, torch.optim.SGD, lambda: table(sklearn.datasets.load_diabetes)
    ),
    "breast cancer MLP, RMSprop": Task(
        lambda: mlp(30, 32, 2), cross_entropy, torch.optim.RMSprop, lambda: table(sklearn.datasets.load_breast_cancer)
    ),
}


class Module(L.LightningModule):
    """A task as Lightning has it."""

    def __init__(self, task: Task, lr: float = 1e-3) -> None:
        super().__init__()
        self.task, self.lr, self.net = task, lr, task.net()

    def training_step(self, batch: Sequence[Tensor], index: int) -> Tensor:
        return self.task.loss(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.task.optimizer(self.parameters(), lr=self.lr, **self.task.settings)
