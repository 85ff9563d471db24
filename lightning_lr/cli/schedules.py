"""``lightning-lr schedules``: every schedule and preset, or one explained."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lightning_lr.cli import terminal
from lightning_lr.core import sparkline
from lightning_lr.core.checks import did_you_mean
from lightning_lr.core.expression import parse
from lightning_lr.core.schedules.coerce import makers

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

CHART_ROWS = 5

EXAMPLES = {
    "Beside": 'Beside(Cosine(), {"momentum": Linear(end_factor=0.9)})',
    "Chain": 'Chain([Warmup("20%"), Constant("30%"), Cosine()])',
    "CosineRestarts": "CosineRestarts(25, peak_gamma=0.7)",
    "Custom": 'Custom("math:exp", duration="40%") >> Linear()',
    "Cyclic": "Cyclic(10)",
    "Exponential": "Exponential(0.96)",
    "InverseSqrt": "InverseSqrt(5)",
    "InverseTime": "InverseTime(0.1)",
    "MultiStep": "MultiStep([40, 75], gamma=0.4)",
    "StepDecay": "StepDecay(20, gamma=0.6)",
    "Warmup": 'Warmup("60%")',
}
"""What is drawn of a schedule whose parameters have no defaults, in a run of so many updates:"""
EXAMPLE_STEPS = 100

HELP = "all schedules and presets, or one explained"
DESCRIPTION = "List every schedule and preset with its parameters, curve and formula; or explain one."


def arguments(parser: ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("name", type=str, nargs="?", metavar="NAME", help="the one to explain")


def run(options: Namespace) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    known = makers()
    console = terminal.console()
    ramp = sparkline.ramp_for(console.encoding)
    if options.name is not None:
        if options.name not in known:
            listed = ", ".join(known)
            raise ValueError(f"there is no schedule {options.name!r}{did_you_mean(options.name, known)}; {listed}")
        print(f"{_call(options.name, known)}\n\n{_unmarked(known[options.name].__doc__)}")
        print(f"\n{_example(options.name)} in a run of {EXAMPLE_STEPS} updates:\n")
        for row in _drawn(options.name, min(EXAMPLE_STEPS, console.width), CHART_ROWS, ramp):
            console.print(Text(row, style="cyan", no_wrap=True, overflow="crop"))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False, show_lines=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name in known:
        [row] = _drawn(name, 20, 1, ramp)
        formula = " ".join(_unmarked(known[name].__doc__).partition("\n\n")[0].split())
        table.add_row(Text(row, style="cyan"), Text.assemble((_call(name, known), "bold"), "\n", formula))
    console.print(table)
    print(f"Drawn for {EXAMPLE_STEPS} updates; `{terminal.NAME} schedules NAME` explains one.")


def _call(name: str, known: Mapping[str, Callable[..., Any]]) -> str:
    """Its name, and its parameters with their defaults."""
    parameters = inspect.signature(known[name]).parameters.values()
    told = [p.name if p.default is p.empty else f"{p.name}={_default(p.default)}" for p in parameters]
    return f"{name}({', '.join(told)})"


def _default(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) and len(repr(value)) > 8 else repr(value)


def _unmarked(docstring: str | None) -> str:
    """A docstring without the marks that only a documentation tool reads."""
    return re.sub(r":\w+:`[~.]*([^`]+)`", r"\1", inspect.cleandoc(docstring or "")).replace("``", "")


def _example(name: str) -> str:
    return EXAMPLES.get(name, f"{name}()")


def _drawn(name: str, width: int, height: int, ramp: str) -> list[str]:
    return sparkline.sparkline(parse(_example(name)).curve(EXAMPLE_STEPS).tolist(), width, height, ramp)
