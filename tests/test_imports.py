"""Imports go downward only, and `import lightning_lr` costs nothing."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import lightning_lr

PACKAGE = Path(lightning_lr.__file__).parent
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
# from the bottom up
LAYERS = ["core", "groups", "track", "bases", "scheduler", "reporting", "callbacks", "mixin", "parser", "tuning", "cli"]


def imported_names(source, package="lightning_lr"):
    """Every module that a source imports, lazily or not, except what only the type checker sees."""
    found = []

    def visit(node):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for other in node.orelse:
                visit(other)
            return
        if isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            found.extend(f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            found.extend(arg.value for arg in node.args if isinstance(arg, ast.Constant))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(source))
    return found


def layer(module):
    """The layer of `lightning_lr.<layer>...`, or None for a module outside the package."""
    parts = module.split(".")
    return parts[1] if parts[0] == "lightning_lr" and len(parts) > 1 else None


def violations(file, source):
    own = file.removesuffix(".py").split("/")[0]
    package = ".".join(["lightning_lr", *Path(file).parent.parts])
    for name in imported_names(source, package):
        root, theirs = name.split(".")[0], layer(name)
        if own == "core" and root in ("torch", "lightning", "torchmetrics", "tensorboard"):
            yield f"{file} imports {name}: the core knows numbers only"
        if root == "lightning_lr" and own in LAYERS:
            if theirs in LAYERS and LAYERS.index(theirs) > LAYERS.index(own):
                yield f"{file} imports {name}, which lies above it"
            elif theirs is None or (theirs not in LAYERS and theirs in lightning_lr._HOME_OF):
                home = layer(lightning_lr._HOME_OF.get(theirs or "", "lightning_lr.cli"))
                if LAYERS.index(home) > LAYERS.index(own):
                    yield f"{file} imports {name}, which comes from above it"


@pytest.mark.parametrize("file", FILES)
def test_imports_go_downward_only(file):
    assert list(violations(file, (PACKAGE / file).read_text(encoding="utf-8"))) == []


def test_every_file_belongs_to_a_layer():
    strangers = {file.removesuffix(".py").split("/")[0] for file in FILES} - {"__init__", "__main__", *LAYERS}
    assert strangers == set()


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("core/program.py", "import torch"),
        ("core/program.py", "def f():\n    from lightning.pytorch import Trainer"),
        ("core/program.py", "from lightning_lr.scheduler import ScheduledLR"),
        ("core/schedules/base.py", "from ...scheduler import ScheduledLR"),
        ("scheduler.py", "def f():\n    from lightning_lr.callbacks import conductor"),
        ("scheduler.py", "import lightning_lr.reporting.plan"),
        ("reporting/plan.py", "import importlib\nimportlib.import_module('lightning_lr.callbacks')"),
        ("callbacks/conductor.py", "from lightning_lr import mixin"),
    ],
)
def test_the_test_itself_sees_an_upward_import(file, source):
    assert len(list(violations(file, source))) == 1


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("core/program.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
        ("scheduler.py", "import torch\nfrom lightning_lr.core.program import Program"),
        ("scheduler.py", "from lightning_lr import Horizon"),
        ("callbacks/conductor.py", "from ..reporting import plan"),
    ],
)
def test_the_test_itself_lets_a_downward_import_pass(file, source):
    assert list(violations(file, source)) == []


def test_importing_the_package_imports_neither_torch_nor_lightning_nor_numpy():
    code = (
        "import sys, lightning_lr\n"
        "assert lightning_lr.Horizon(3).total_steps == 3\n"
        "print(sorted({'torch', 'lightning', 'numpy', 'pytorch_lightning'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent, timeout=60
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", sorted(lightning_lr._HOME_OF))
def test_every_public_name_can_be_imported(name):
    home = importlib.import_module(lightning_lr._HOME_OF[name])
    assert getattr(lightning_lr, name) is getattr(home, name)
    assert name in dir(lightning_lr)


def test_the_type_checker_sees_the_same_public_names_from_the_same_homes():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    seen = {alias.asname: node.module for node in block.body for alias in node.names}
    assert seen == lightning_lr._HOME_OF


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'lightning_lr' has no attribute 'Cosin'"):
        lightning_lr.Cosin  # noqa: B018
