"""The user's own module, from the YAML of a LightningCLI, trained once for each point.

A parameter is a dotted key into the configuration, as long as it must be to be the only one that ends so: ``lr`` where
one thing in the file is called so, ``model.init_args.lr`` or ``trainer.callbacks.LRMultiPhaseDecay.phases.gamma``
otherwise. In lists an entry is named by its number or by its class; ``init_args`` may be left out.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_lr.core.checks import did_you_mean, number
from lightning_lr.core.coerce import read_yaml
from lightning_lr.tuning.point import Point

if TYPE_CHECKING:
    from lightning.pytorch import Trainer
    from lightning.pytorch.cli import LightningCLI

SECTIONS = ("seed_everything", "trainer", "model", "data", "optimizer", "lr_scheduler")
Key = tuple[str | int, ...]


def read(path: str | Path) -> dict[str, Any]:
    """The configuration in a file, without the subcommand around it.

    Raises:
        ValueError: no YAML in UTF-8, or no configuration of a LightningCLI.
        OSError: it cannot be read.
    """
    content = read_yaml(path)
    if isinstance(content, Mapping) and isinstance(content.get("fit"), Mapping):
        content = content["fit"]
    if not isinstance(content, Mapping) or not {"trainer", "model"} & set(content):
        raise ValueError(f"{path} is no configuration of a LightningCLI: it has neither 'trainer' nor 'model'")
    return {str(key): value for key, value in content.items() if key in SECTIONS}


def places(config: Any, at: Key = ()) -> Iterator[Key]:
    """Every key of a configuration, with all that leads to it."""
    items: Any = config.items() if isinstance(config, Mapping) else enumerate(config) if _is_list(config) else ()
    for key, value in items:
        yield (*at, key)
        yield from places(value, (*at, key))


def place(config: Mapping[str, Any], name: str) -> Key:
    """Where a parameter's value stands, or is to stand.

    >>> config = {"model": {"class_path": "Net", "init_args": {"lr": 0.1}}, "trainer": {"max_epochs": 3}}
    >>> place(config, "lr"), place(config, "model.lr"), place(config, "trainer.min_epochs")
    (('model', 'init_args', 'lr'), ('model', 'init_args', 'lr'), ('trainer', 'min_epochs'))
    >>> place(config, "max_epoch")
    Traceback (most recent call last):
    ValueError: the configuration has no 'max_epoch'; did you mean 'max_epochs'? What it leaves to a default is \
varied by its whole key, such as model.max_epoch
    """
    wanted = name.split(".")
    found = [key for key in places(config) if _ends(config, key, wanted)]
    if len(found) > 1:
        listed = ", ".join(".".join(map(str, key)) for key in found)
        raise ValueError(f"the configuration has {name!r} in {len(found)} places: say which of {listed}")
    if found:
        return found[0]
    parents = [key for key in places(config) if _ends(config, key, wanted[:-1])] if len(wanted) > 1 else []
    if len(parents) == 1 or (wanted[0] in SECTIONS and len(wanted) > 1):
        parent = parents[0] if parents else tuple(wanted[:-1])
        inner = _get(config, parent) if parents else None
        described = isinstance(inner, str) or (  # a class by its name alone
            isinstance(inner, Mapping) and "class_path" in inner and wanted[-1] not in ("class_path", "init_args")
        )
        return (*parent, *(("init_args",) if described else ()), wanted[-1])
    leaves = {str(key[-1]) for key in places(config)}
    raise ValueError(
        f"the configuration has no {name!r}{did_you_mean(wanted[-1], leaves) or '.'} What it leaves to a default is "
        f"varied by its whole key, such as model.{name}"
    )


def _ends(config: Any, key: Key, wanted: Sequence[str]) -> bool:
    """Whether a key ends with the wanted parts, ``init_args`` left out of both."""
    parts = [(i, part) for i, part in enumerate(key) if part != "init_args"]
    asked = [part for part in wanted if part != "init_args"]
    if not asked or len(asked) > len(parts) or key[-1] == "init_args":
        return False
    tail = parts[-len(asked) :]
    return all(_is_named(config, key[: i + 1], part) for (i, _), part in zip(tail, asked, strict=True))


def _is_named(config: Any, key: Key, name: str) -> bool:
    if not isinstance(key[-1], int):
        return key[-1] == name
    entry = _get(config, key)
    target = entry.get("class_path", "") if isinstance(entry, Mapping) else entry
    return name in (str(key[-1]), str(target).rpartition(".")[2])


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _get(config: Any, key: Key) -> Any:
    for part in key:
        config = config[part]
    return config


def changed(config: Mapping[str, Any], key: Key, value: Any) -> dict[str, Any]:
    """A copy of the configuration with another value there."""
    out = copy.deepcopy(dict(config))
    inner: Any = out
    for part in key[:-1]:
        below = inner.get(part) if isinstance(inner, dict) else inner[part]
        if below is None or isinstance(below, str):
            inner[part] = {} if below is None else {"class_path": below}
        inner = inner[part]
    inner[key[-1]] = value
    return out


@dataclass(frozen=True)
class Configured:
    """Trains what a configuration describes; what :func:`~lightning_lr.tuning.sweep` calls at each point.

    Args:
        config: its sections, as :func:`read` gives them.
        model: ``"module.Class"`` of the LightningModule, where the configuration does not name it with class_path.
        data: the same of the LightningDataModule.
        epochs: in place of ``trainer.max_epochs``.
        optimizer: whether a point's ``optimizer`` and ``lr`` replace what the module configures, and its schedule all
            callbacks about the lr: so :func:`~lightning_lr.tuning.compare` wants it.
        folder: where modules are imported from.
    """

    config: Mapping[str, Any]
    model: str | None = None
    data: str | None = None
    epochs: int | None = None
    optimizer: bool = False
    folder: str = field(default_factory=os.getcwd, repr=False)

    def at(self, point: Point) -> dict[str, Any]:
        """The configuration of a point: quiet, without files, with its values, seed and fold."""
        config: dict[str, Any] = copy.deepcopy(dict(self.config))
        for name in () if self.optimizer else point.params:
            config = changed(config, place(self.config, name), point.params[name])
        base = config.get("seed_everything")
        config["seed_everything"] = point.seed + (base if type(base) is int else 0)
        trainer = config["trainer"] = dict(config.get("trainer") or {})
        listed = trainer.get("callbacks") or []
        trainer["callbacks"] = [entry for entry in (listed if _is_list(listed) else [listed]) if self._stays(entry)]
        trainer["logger"] = {"class_path": "lightning.pytorch.loggers.logger.DummyLogger"}
        trainer |= {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
        if self.epochs is not None:
            trainer["max_epochs"] = self.epochs
        if point.fold is not None:
            where = config.setdefault("data", {})
            where = where.setdefault("init_args", {}) if "class_path" in where else where
            where |= {"fold": point.fold, "folds": point.folds}
        return config

    def _stays(self, entry: Any) -> bool:
        target = str(entry.get("class_path", "") if isinstance(entry, Mapping) else entry)
        module, _, name = target.rpartition(".")
        about_lr = name.startswith("LR") and module.partition(".")[0] in ("", "lightning_lr")
        return name != "ModelCheckpoint" and not (self.optimizer and about_lr)

    def check(self, point: Point) -> None:
        """Whether the configuration of a point can be parsed, and our callbacks in it be built."""
        from lightning_lr.parser import refused

        if not self.optimizer and point.schedule is not None:
            raise ValueError("schedule= has no place in a YAML file, whose schedule is its own: vary its keys")
        config = self.at(point)
        short = refused(config["trainer"]["callbacks"])
        if short is not None:
            raise ValueError(short)
        if self.optimizer:
            from lightning_lr.tuning.digits import optimizer_class

            optimizer_class(point.params["optimizer"])
            number(point.params["lr"], "lr", low=0, low_open=True)
        self._cli(config, [], parse_only=True)

    def _cli(self, config: Mapping[str, Any], callbacks: Sequence[Any], parse_only: bool = False) -> LightningCLI:
        from lightning.pytorch.cli import LightningCLI

        from lightning_lr.parser import LRArgumentParser, reasons
        from lightning_lr.tuning.watch import quietly

        class Quiet(LightningCLI):
            def instantiate_classes(self) -> None:
                if not parse_only:
                    super().instantiate_classes()

        if self.folder not in sys.path:
            sys.path.insert(0, self.folder)
        model, data = _class(self.model), _class(self.data)
        _refuse_nameless(config, model, data)
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said), quietly():
                return Quiet(
                    model,
                    data,
                    run=False,
                    args=dict(config),
                    subclass_mode_model=model is None,
                    subclass_mode_data=data is None,
                    save_config_callback=None,
                    trainer_defaults={"callbacks": list(callbacks)},
                    parser_class=LRArgumentParser,
                )
        except SystemExit:
            told = said.getvalue()
            kept = reasons(told[told.rfind("error: ") :])
            raise ValueError(" ".join(line.strip().removeprefix("error: ") for line in kept)) from None

    def __call__(self, point: Point) -> Trainer:
        from lightning_lr.tuning.watch import quietly, scheduled

        with quietly(), tempfile.TemporaryDirectory() as folder:
            config = self.at(point)
            config["trainer"]["default_root_dir"] = folder
            callbacks = list(point.callbacks)
            if self.optimizer and point.schedule is not None:
                callbacks += scheduled(point.schedule)
            cli = self._cli(config, callbacks)
            if self.optimizer:
                _give_optimizer(cli.model, point.params["optimizer"], point.params["lr"])
            cli.trainer.fit(cli.model, datamodule=cli.datamodule)
            return cli.trainer


def _class(path: str | None) -> Any:
    """The class that ``module.Class`` names."""
    if path is None:
        return None
    module, _, name = path.replace(":", ".").rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, ValueError, AttributeError) as error:
        raise ValueError(f"{path!r} cannot be imported as module.Class: {error}") from None


def _refuse_nameless(config: Mapping[str, Any], model: Any, data: Any) -> None:
    for section, given in (("model", model), ("data", data)):
        described = config.get(section)
        named = (isinstance(described, Mapping) and "class_path" in described) or isinstance(described, str)
        if given is None and not named and (section == "model" or described is not None):
            raise ValueError(
                f"the configuration does not name the class of its {section}: write {section}: {{class_path: ...}} "
                f"there, or say it with --{section} module.Class"
            )


def _give_optimizer(module: Any, name: str, lr: float) -> None:
    """This optimizer for all parameters, in place of what the module configures."""
    from lightning_lr.tuning.digits import optimizer_class

    make = optimizer_class(name)
    module.configure_optimizers = lambda: make(module.parameters(), lr=lr)
