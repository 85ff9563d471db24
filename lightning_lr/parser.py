"""For LightningCLI: what is wrong with the configuration of our callbacks, in a line.

jsonargparse tries every type that a parameter may have and prints what each of them has to say, with the whole value at
every level. ``Trainer.callbacks`` may have three types, phases two, a duration three: one misspelt field is seventy
lines. Its message ends with the value, so the callbacks can be built from that once more, without the types: what their
constructors say then names the callback, the phase, the field, what was given and what is allowed.
"""

from __future__ import annotations

import argparse
import ast
import re
from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser

import lightning_lr.callbacks as ours
from lightning_lr.core.coerce import build

_GIVEN = "Given value: "
_NOISE = (
    "Does not validate against any of the Union subtypes",
    "Subtypes: ",
    "Errors:",
    "- Not a valid subclass of ",
    "Subclass types expect one of:",
    "- a class path (str)",
    "- a dict w",
    "- Expected a <class 'NoneType'>",
    "Given value",
)
_BASE = re.compile(r"- Problem with given class_path '[\w.]*\.(Callback|Schedule|Detector|Action)':\n.*\n")
"""On the command line an option is tried on the base class too."""


class LRArgumentParser(LightningArgumentParser):
    """``LightningCLI(Net, parser_class=LRArgumentParser)``: short errors, and short class names such as ``LRWarmup``.

    Without it the same configurations work, with full class names (``lightning_lr.LRWarmup``), and the same mistakes
    are found, but jsonargparse reports them at length. Errors that are not about these callbacks stay as they are.
    """

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        self._report(message, explained(message), ex)

    def _report(self, message: str, short: str | None, ex: Exception | None) -> NoReturn:
        if short is not None and self.exit_on_error:
            self.exit(2, f"error: {short}\n")
        super().error(short or message, ex)

    def instantiate_classes(self, cfg: Any, *args: Any, **kwargs: Any) -> Any:
        """The same; a value that a constructor of ours refuses is a user's error, and no traceback."""
        try:
            return super().instantiate_classes(cfg, *args, **kwargs)
        except (TypeError, ValueError) as error:
            short = refused(next((value for key, value in cfg.items() if key.endswith("trainer.callbacks")), None))
            if short is None:
                raise
            self._report(str(error), short, error)


def explained(message: str) -> str | None:
    """What our constructors say of the callbacks whose values jsonargparse's message shows, or its own reasons.

    ``None`` where the message is not about our callbacks.

    >>> print(explained('''Parser key "trainer.callbacks":
    ...   Does not validate against any of the Union subtypes
    ...   Given value: [{'class_path': 'lightning_lr.LRWarmup', 'init_args': {'duration': 0.05}}]'''))
    trainer.callbacks[0]: LRWarmup: duration is a bare float, 0.05, which has no unit: write '5%' for a share of the \
run, or 500 or '500 steps' (optimizer updates), '3 epochs' or '20%' (of the whole run)
    """
    if "trainer.callbacks" not in message or not any(name in message for name in ("lightning_lr", *ours.__all__)):
        return None
    given = message.rpartition(_GIVEN)[2].strip()
    try:
        short = refused(_plain(ast.parse(given, mode="eval").body))
    except (SyntaxError, ValueError):  # no value there that could be built again
        short = None
    kept = reasons(_BASE.sub("", message))
    return short or (None if not kept or kept[-1].endswith(":") else "\n".join(kept))


def reasons(message: str) -> list[str]:
    """The lines of jsonargparse's message that say what is wrong, without those that show the value and its types.

    >>> reasons("Errors:" + chr(10) + "  Given value: 3" + chr(10) + "  must be a name")
    ['  must be a name']
    """
    return [line for line in message.splitlines() if line.strip() and not line.strip().startswith(_NOISE)]


def refused(callbacks: object) -> str | None:
    """What is said of the first of these callbacks that cannot be built."""
    known = {name: getattr(ours, name) for name in ours.__all__ if name != "LRCallback"}
    for i, entry in enumerate(callbacks if isinstance(callbacks, list) else [callbacks]):
        fields = _mappings(entry)
        target = str(fields.get("class_path")) if isinstance(fields, dict) else ""
        if (target in known or target.startswith("lightning_lr.")) and _is_ours(fields):
            try:
                build(fields, known, "callback", f"trainer.callbacks[{i}]")
            except (TypeError, ValueError) as error:
                return str(error)
    return None


def _is_ours(value: Any) -> bool:
    """Whether a description names no class from elsewhere, which only jsonargparse can find."""
    if isinstance(value, list):
        return all(map(_is_ours, value))
    if not isinstance(value, dict):
        return True
    target = str(value.get("class_path", ""))
    return ("." not in target or target.startswith("lightning_lr.")) and all(map(_is_ours, value.values()))


def _mappings(value: Any) -> Any:
    """Namespaces as mappings, all the way down."""
    if isinstance(value, list):
        return list(map(_mappings, value))
    fields = vars(value) if isinstance(value, argparse.Namespace) else value
    return {key: _mappings(item) for key, item in fields.items()} if isinstance(fields, dict) else fields


def _plain(node: ast.expr) -> Any:
    """The value of an expression made of literals and ``Namespace(key=value)``, which becomes a mapping."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Namespace":
        return {keyword.arg: _plain(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.List):
        return list(map(_plain, node.elts))
    if isinstance(node, ast.Dict):
        items = zip(node.keys, node.values, strict=True)
        return {ast.literal_eval(key): _plain(value) for key, value in items if key is not None}
    return ast.literal_eval(node)
