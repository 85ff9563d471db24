"""A schedule written as an expression, ``Warmup("5%") >> Cosine()``, read without being executed.

The text is parsed, never evaluated: it may hold the names of schedules and presets, ``>>``, ``.beside(...)``, lists and
literals, and nothing else.
"""

from __future__ import annotations

import ast
import inspect
import operator
import re
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from lightning_lr.core.checks import did_you_mean, shown, suggesting
from lightning_lr.core.schedules.base import Schedule
from lightning_lr.core.schedules.coerce import makers

T = TypeVar("T")
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_UNQUOTED = re.compile(r"""(?<![\w"'.])\d[\d.]*\s*(%|epochs?\b|ep\b|steps?\b)""")


@suggesting
def parse(text: str) -> Schedule:
    """The schedule that an expression describes.

    Args:
        text: names of schedules and presets that are called, ``>>``, ``.beside(key=...)``, lists, strings, numbers and
            ``+ - * /`` between numbers.

    Raises:
        ValueError: anything else; a name or parameter that does not exist; what a schedule itself refuses. The message
            begins with the column, counted from 1.

    >>> parse('Warmup("5%") >> Cosine(end_factor=1 / 10)')
    Warmup('5%') >> Cosine(end_factor=0.1)
    >>> parse("wsd().beside(momentum=Linear())").others
    {'momentum': Linear()}
    >>> parse("Warmup(4) >> Cosin()")
    Traceback (most recent call last):
    ValueError: column 14: there is no schedule 'Cosin'; did you mean 'Cosine'? In: Warmup(4) >> Cosin()
    """
    if not isinstance(text, str):
        raise ValueError(f"parse: text must be an expression such as 'Warmup(\"5%\") >> Cosine()', got {shown(text)}")
    line = " ".join(text.splitlines()).strip()
    if not line:
        raise ValueError('a schedule expression is empty: write one such as Warmup("5%") >> Cosine()')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about how it is written: "\d", 1if
            tree = ast.parse(line, mode="eval")
        return _Reader(line).schedule(tree.body)
    except SyntaxError as error:
        hint = "; a length with a unit is a string, '5%', and a shell wants the whole in quotes of the other kind"
        column = min(max(1, error.offset or 1), len(line) + 1)
        said = f"column {column}: {error.msg}{hint if _UNQUOTED.search(line) else ''}"
        raise ValueError(f"{said}. In: {line}") from None
    except (RecursionError, MemoryError):
        raise ValueError(f"a schedule expression of {len(line)} characters is nested too deeply") from None


class _Reader:
    """The values of an expression's parts; ``line`` is its text."""

    def __init__(self, line: str) -> None:
        self.line = line
        self.makers = makers()

    def schedule(self, node: ast.expr) -> Schedule:
        """A part that must be a schedule."""
        value = self.value(node)
        if isinstance(value, Schedule):
            return value
        raise self.refused(node, f"a schedule is expected here, got {value!r}")

    def value(self, node: ast.expr) -> Any:
        """Any part."""
        if isinstance(node, ast.Call):
            return self.call(node)
        if isinstance(node, ast.BinOp):
            return self.joined(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, int, float, type(None))):
            return node.value
        if isinstance(node, (ast.List, ast.Tuple)):
            return [self.value(item) for item in node.elts]
        if isinstance(node, ast.Dict):
            if None in node.keys:
                raise self.refused(node, "** is not allowed here")
            keys = (self.value(key) for key in node.keys if key is not None)
            return dict(zip(keys, map(self.value, node.values), strict=True))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            number = self.number(node.operand)
            return -number if isinstance(node.op, ast.USub) else number
        if isinstance(node, ast.Name):
            known = f": write {node.id}(…)" if node.id in self.makers else did_you_mean(node.id, self.makers)
            what = "a schedule is called" if node.id in self.makers else f"there is no schedule {node.id!r}"
            raise self.refused(node, what + known)
        hint = ": Custom takes a function that can be imported, 'module:name'" if isinstance(node, ast.Lambda) else ""
        text = ast.get_source_segment(self.line, node) or type(node).__name__
        raise self.refused(node, f"{text!r} is no schedule, list or literal{hint}")

    def joined(self, node: ast.BinOp) -> Any:
        """``a >> b``, or arithmetic between numbers."""
        if isinstance(node.op, ast.RShift):
            first, then = self.schedule(node.left), self.schedule(node.right)
            return self.made(node.right, lambda: first >> then)
        combine = _ARITHMETIC.get(type(node.op))
        if combine is None:
            raise self.refused(node, "schedules are joined with >>, and numbers take + - * / only")
        left, right = self.number(node.left), self.number(node.right)
        return self.made(node, lambda: combine(left, right))

    def number(self, node: ast.expr) -> float:
        """A part that must be a number."""
        value = self.value(node)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return value
        raise self.refused(node, f"a number is expected here, got {value!r}")

    def call(self, node: ast.Call) -> Schedule:
        """A schedule or preset with its parameters, or ``schedule.beside(key=schedule)``."""
        if isinstance(node.func, ast.Attribute):
            main = self.schedule(node.func.value)
            if node.func.attr != "beside":
                raise self.refused(node, f"a schedule has .beside(…) only, not .{node.func.attr}")
            if node.args:
                raise self.refused(node.args[0], "beside takes its schedules by name, such as momentum=Linear()")
            others = {key: self.schedule(value) for key, value in self.keywords(node).items()}
            return self.made(node, lambda: main.beside(**others))
        name = ast.get_source_segment(self.line, node.func) or ""
        maker = self.makers.get(name)
        if maker is None:
            raise self.refused(node, f"there is no schedule {name!r}{did_you_mean(name, self.makers)}")
        signature = inspect.signature(maker)
        for keyword in node.keywords:
            if keyword.arg is not None and keyword.arg not in signature.parameters:
                near = did_you_mean(keyword.arg, signature.parameters)
                takes = near or f"; it takes {', '.join(signature.parameters)}"
                raise self.refused(keyword, f"{name} has no parameter {keyword.arg!r}{takes}")
        args = [self.value(argument) for argument in node.args]
        options = {key: self.value(value) for key, value in self.keywords(node).items()}
        try:
            signature.bind(*args, **options)
        except TypeError as error:
            raise self.refused(node, f"{name}: {error}; it takes {', '.join(signature.parameters)}") from None
        return self.made(node, lambda: maker(*args, **options))

    def keywords(self, node: ast.Call) -> dict[str, ast.expr]:
        """The parts given by name, each once."""
        out: dict[str, ast.expr] = {}
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg in out:
                said = "** is not allowed here" if keyword.arg is None else f"{keyword.arg} is given twice"
                raise self.refused(keyword, said)
            out[keyword.arg] = keyword.value
        return out

    def made(self, node: ast.expr, make: Callable[[], T]) -> T:
        """What ``make`` returns; what it refuses is said of this place."""
        try:
            return make()
        except (TypeError, ValueError, ArithmeticError) as error:
            raise self.refused(node, str(error)) from None

    def refused(self, node: ast.expr | ast.keyword, message: str) -> ValueError:
        """The error for this place: ``col_offset`` counts bytes, people count characters."""
        column = len(self.line.encode()[: node.col_offset].decode()) + 1
        end = "" if message.endswith(("?", ".")) else "."
        return ValueError(f"column {column}: {message}{end} In: {self.line}")
