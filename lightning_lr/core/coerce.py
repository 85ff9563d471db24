"""The boundary to configuration files: a mapping that names a class becomes an object, or an error that names it.

YAML and Hydra hand over mappings and list containers of their own. A mapping names a class under ``class_path`` (with
``init_args`` beside it, as LightningCLI writes it) or ``_target_`` (with the arguments beside it, as Hydra does).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from lightning_lr.core.checks import did_you_mean, shown

T = TypeVar("T")
HYDRA = ("_convert_", "_recursive_")
"""How Hydra is to hand over what lies below; whatever it hands over is taken here."""


def build(value: Mapping[Any, Any], known: Mapping[str, Callable[..., T]], what: str, where: str) -> T:
    """The object that a mapping describes; ``known`` are the classes it may name, ``what`` is their common noun."""
    fields = {str(key): item for key, item in value.items() if key not in HYDRA}
    target = fields.pop("class_path", None) or fields.pop("_target_", None)
    if not isinstance(target, str):
        raise ValueError(f"{where} must name its class under 'class_path' or '_target_', got {dict(value)!r}")
    module, _, name = target.rpartition(".")
    if name not in known or module.partition(".")[0] not in ("", "lightning_lr"):
        listed = ", ".join(known)
        raise ValueError(f"{where} names the unknown {what} {target!r}{did_you_mean(name, known)}; known: {listed}")
    arguments = fields.pop("init_args", None) or {}
    if not isinstance(arguments, Mapping):
        raise ValueError(f"{where}: init_args must be a mapping of parameters, got {shown(arguments)}")
    values = fields.pop("_args_", ())
    arguments = {**fields, **{str(key): item for key, item in arguments.items()}}
    try:
        return known[name](*values, **arguments)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{where}: {error}") from None


def read_yaml(path: str | Path) -> Any:
    """What a YAML file holds, read as jsonargparse reads it (the extra ``cli``): ``1e-3`` is a number.

    Raises:
        ValueError: no text in UTF-8, or no YAML; the file is named.
        OSError: it cannot be read.
    """
    from jsonargparse import get_loader

    try:
        return get_loader("yaml")(Path(path).read_text(encoding="utf-8"))
    except OSError:
        raise
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8") from None
    except Exception as error:
        raise ValueError(f"{path} is no YAML: {error}") from None
