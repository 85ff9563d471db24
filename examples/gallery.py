"""Draw every schedule and preset, each from one line of code: the pictures of the README's gallery.

    python examples/gallery.py

writes ``examples/gallery/<name>.svg`` anew and prints the README's table. No matplotlib is needed; the same picture is
what a notebook shows for a schedule.
"""

from __future__ import annotations

from pathlib import Path

import lightning_lr
from lightning_lr import Schedule
from lightning_lr.core.picture import svg

FOLDER = Path(__file__).parent / "gallery"
TOTAL_STEPS = 1000

CODE = {
    "Warmup": 'Warmup("20%")',
    "Constant": 'Constant("40%") >> Constant("30%", factor=0.5) >> Constant(factor=0.1)',
    "Linear": "Linear()",
    "Cosine": "Cosine(end_factor=0.1)",
    "Polynomial": "Polynomial(power=2)",
    "OneMinusSqrt": "OneMinusSqrt()",
    "Rex": "Rex()",
    "Exponential": 'Exponential(0.5, decay_steps="20%")',
    "InverseTime": 'InverseTime(1.0, decay_steps="10%", staircase=True)',
    "InverseSqrt": "Warmup(100) >> InverseSqrt(100)",
    "StepDecay": 'StepDecay("25%", gamma=0.5)',
    "MultiStep": 'MultiStep(["50%", "75%"], gamma=0.3)',
    "Cyclic": 'Cyclic("10%", mode="triangular2")',
    "CosineRestarts": "CosineRestarts(143, cycle_mult=2, peak_gamma=0.8)",
    "Temperature": 'Temperature(1.0, 0.1, "logarithmic")',
    "Custom": "Custom(lambda u: (1 - u) * (1 + 4 * u))",
    "Chain": 'Chain([Warmup("10%"), Constant("40%"), Linear("30%", end_factor=0.2), Constant()])',
    "Beside": "Cosine().beside(weight_decay=Linear(end_factor=0.5))",
    "wsd": "wsd()",
    "one_cycle": "one_cycle(momentum_factor=0.85 / 0.95)",
    "cosine_with_warmup": 'cosine_with_warmup("10%")',
    "linear_with_warmup": 'linear_with_warmup("10%")',
    "slanted_triangular": "slanted_triangular()",
    "flat_cosine": "flat_cosine()",
    "infinite": "infinite()",
}


def schedule(code: str) -> Schedule:
    """What a line of code makes, with the package's public names in reach."""
    made = eval(code, {name: getattr(lightning_lr, name) for name in lightning_lr.__all__})
    assert isinstance(made, Schedule), f"{code} is no schedule"
    return made


def picture(code: str) -> str:
    """Its SVG document."""
    return svg(schedule(code), TOTAL_STEPS)


def row(name: str) -> str:
    """Its line of the README's table."""
    return f"| ![{name}](examples/gallery/{name}.svg) | `{name}` | `{CODE[name]}` |"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, code in CODE.items():
        (FOLDER / f"{name}.svg").write_text(picture(code), encoding="utf-8", newline="\n")
        print(row(name))


if __name__ == "__main__":
    main()
