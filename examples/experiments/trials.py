"""How every experiment here is run: equal tuning, then seeds that tuning has not seen; a table, a figure, a verdict.

1. An *arm* is one way to train. Each has a grid of lrs, written in its script beforehand, as long as every other arm's.
2. Each arm is trained at every lr with the seeds ``TUNING``; the lr of the least mean *validation* figure is its own
   (:func:`best`). A run that diverges counts as worse than any number. The table says if it lay at the grid's edge.
3. Each arm is trained at its lr with fresh seeds (:func:`fresh`), and what is reported is measured on data that took no
   part in the choice, where there are such.
4. Two arms are compared seed by seed: the mean difference and its 95 % interval (Student's t). An interval with 0 in it
   is "no difference", whatever the paper says (:func:`compare`).

What a script prints it also writes, with its figure, to ``--out``; ``results/`` holds the full forms, and the README's
table is made of them by ``summary.py``. A run depends on its seed and nothing else: one thread, whatever the workers.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import math
import statistics
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TUNING = (1000, 1001, 1002)
"""The seeds that lrs are chosen with."""

T = TypeVar("T")


def arguments(doc: str | None, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """``--quick``, ``--workers`` and ``--out``, which every experiment has."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few short runs: shows that it runs, proves nothing")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1); the numbers are the same")
    parser.add_argument("--out", type=Path, default=Path("runs/experiments"), help="where table and figure are written")
    options = parser.parse_args(argv)
    for needed in ("joblib", "matplotlib", "rich", "scipy"):  # better known now than after the training
        if importlib.util.find_spec(needed) is None:
            parser.error(f'{needed} is missing: pip install -e ".[examples,plot,cli]"')
    return options


def fresh(count: int) -> range:
    """Seeds that no tuning has seen.

    >>> fresh(5)
    range(0, 5)
    """
    return range(count)


def run_all(job: Callable[..., T], points: Sequence[tuple[Any, ...]], workers: int = 1) -> list[T]:
    """``job(*point)`` for every point, in their order, with one thread each; a bar where stderr is a terminal."""
    from joblib import Parallel, delayed
    from rich.console import Console
    from rich.progress import track

    running = Parallel(n_jobs=workers, return_as="generator")(delayed(_alone)(job, *point) for point in points)
    console = Console(stderr=True)
    return list(track(running, job.__name__, len(points), console=console, disable=not console.is_terminal))


def _alone(job: Callable[..., T], *point: Any) -> T:
    import torch

    torch.set_num_threads(1)
    return job(*point)


class Sample(NamedTuple):
    """The same figure, measured once for each seed.

    >>> str(Sample((1.0, 2.0, 3.0))), str(Sample((0.1234, 0.1267)))
    ('2.0 ± 1.0', '0.1250 ± 0.0023')
    >>> str(Sample((1.0, math.inf)))
    '1 ± -, 1 of 2 failed'
    """

    values: tuple[float, ...]

    @property
    def good(self) -> list[float]:
        """Those that are numbers."""
        return [value for value in self.values if math.isfinite(value)]

    @property
    def failed(self) -> int:
        return len(self.values) - len(self.good)

    @property
    def mean(self) -> float:
        """The mean of the runs that did not fail; inf if all did."""
        return statistics.fmean(self.good) if self.good else math.inf

    @property
    def sd(self) -> float:
        """The standard deviation over the runs that did not fail; NaN for fewer than two."""
        return statistics.stdev(self.good) if len(self.good) > 1 else math.nan

    def __str__(self) -> str:
        told = f", {self.failed} of {len(self.values)} failed" if self.failed else ""
        if not math.isfinite(self.sd):
            return f"{self.mean:.4g} ± -{told}"
        if self.sd == 0:
            return f"{self.mean:.4g} ± 0{told}"
        digits = max(0, 1 - math.floor(math.log10(self.sd)))
        return f"{self.mean:.{digits}f} ± {self.sd:.{digits}f}{told}"


def best(scores: Mapping[T, Sequence[float]]) -> T:
    """The point of the least mean; one failed run puts a point behind all that have none, fewer before more.

    >>> best({0.1: [1.0, 1.2], 0.3: [0.9, 1.0], 1.0: [0.1, math.nan]})
    0.3
    """
    samples = {point: Sample(tuple(values)) for point, values in scores.items()}
    return min(samples, key=lambda point: (samples[point].failed, samples[point].mean))


def at_edge(point: float, grid: Sequence[float]) -> str:
    """A mark for the table: ``"*"`` where the best is the grid's first or last, so that a better may lie beyond."""
    return "*" if point in (min(grid), max(grid)) else ""


def chosen(
    job: Callable[..., float], grids: Mapping[str, Sequence[float]], seeds: Sequence[int], workers: int = 1
) -> dict[str, float]:
    """Each arm's best lr: ``job(arm, lr, seed)`` gives the validation figure, less is better."""
    points = [(arm, lr, seed) for arm, grid in grids.items() for lr in grid for seed in seeds]
    scores = dict(zip(points, run_all(job, points, workers), strict=True))
    return {arm: best({lr: [scores[arm, lr, seed] for seed in seeds] for lr in grid}) for arm, grid in grids.items()}


class Measured(NamedTuple):
    """Of each figure and arm, ``(figure, arm)``: validation at each point of its grid, the best point, test there."""

    seen: dict[tuple[str, str], dict[Any, list[float]]]
    chosen: dict[tuple[str, str], Any]
    test: dict[tuple[str, str], Sample]


def measure(
    job: Callable[..., Mapping[str, tuple[float, float]]],
    grids: Mapping[tuple[str, str], Sequence[Any]],
    seeds: Sequence[int],
    options: argparse.Namespace,
    *more: Any,
    tuning: Sequence[int] = TUNING,
) -> Measured:
    """Steps 2 and 3 for runs that measure several figures at once, each of which has its own best point.

    Args:
        job: ``job(arm, point, seed, *more)`` gives (validation, test) of every figure; less is better.
        grids: the points, lrs or tuples, of each figure and arm.
        seeds: the fresh ones.
        options: of :func:`arguments`; a quick form tunes with one seed.
        more: what else the job is told.
        tuning: the seeds that points are chosen with.

    >>> def job(arm, lr, seed):
    ...     return {"loss": (abs(lr - 1.0), lr + seed)}
    >>> options = argparse.Namespace(quick=False, workers=1)
    >>> found = measure(job, {("loss", "cosine"): [0.1, 1.0]}, fresh(3), options)
    >>> found.chosen["loss", "cosine"], str(found.test["loss", "cosine"])
    (1.0, '2.0 ± 1.0')
    """
    tuning = tuning[:1] if options.quick else tuning
    runs = [(arm, point, seed, *more) for (_, arm), grid in grids.items() for point in grid for seed in tuning]
    runs = list(dict.fromkeys(runs))  # a run serves all figures
    tried = dict(zip(runs, run_all(job, runs, options.workers), strict=True))
    seen = {
        (of, arm): {point: [tried[(arm, point, seed, *more)][of][0] for seed in tuning] for point in grid}
        for (of, arm), grid in grids.items()
    }
    chosen = {key: best(scores) for key, scores in seen.items()}
    runs = list(dict.fromkeys((arm, point, seed, *more) for (_, arm), point in chosen.items() for seed in seeds))
    done = dict(zip(runs, run_all(job, runs, options.workers), strict=True))
    test = {
        (of, arm): Sample(tuple(done[(arm, point, seed, *more)][of][1] for seed in seeds))
        for (of, arm), point in chosen.items()
    }
    return Measured(seen, chosen, test)


class Compared(NamedTuple):
    """The mean of ``a - b`` over the seeds, and its 95 % interval."""

    difference: float
    low: float
    high: float

    @property
    def found(self) -> str:
        """``"less"``, ``"more"`` or ``"no difference"``."""
        return "less" if self.high < 0 else "more" if self.low > 0 else "no difference"

    def __str__(self) -> str:
        return f"{self.difference:+.3g} [{self.low:+.3g}, {self.high:+.3g}]"


def compare(a: Sample, b: Sample) -> Compared:
    """``a`` against ``b``, seed by seed; only seeds with which neither failed.

    >>> compare(Sample((1.0, 2.0, 3.1)), Sample((2.0, 3.1, 4.0))).found
    'less'
    >>> compare(Sample((1.0, 2.0, 3.0)), Sample((2.0, 1.0, 3.0))).found
    'no difference'
    """
    from scipy.stats import t

    pairs = zip(a.values, b.values, strict=True)
    differences = Sample(tuple(x - y for x, y in pairs if math.isfinite(x) and math.isfinite(y)))
    n = len(differences.values)
    if n < 2:
        return Compared(differences.mean, -math.inf, math.inf)
    half = float(t.ppf(0.975, n - 1)) * differences.sd / math.sqrt(n)
    return Compared(differences.mean, differences.mean - half, differences.mean + half)


def exact(a: Sample, b: Sample) -> float:
    """The p-value of ``a`` against ``b`` by flipping the signs of their differences: no distribution is assumed.

    >>> exact(Sample((1.0, 2.0, 3.0, 4.0, 5.0, 6.0)), Sample((0.0, 0.0, 0.0, 0.0, 0.0, 0.0)))
    0.03125
    """
    from scipy.stats import permutation_test

    def mean(x: Any, y: Any, axis: int) -> Any:
        return (x - y).mean(axis=axis)

    found = permutation_test((a.values, b.values), mean, permutation_type="samples", n_resamples=math.inf)
    return float(found.pvalue)


class Finding(NamedTuple):
    """A row of the README's table.

    Args:
        claim: what a paper (or the source article) says, and which.
        paper: its figure, in its own setting.
        here: what was measured, formatted from the numbers.
        verdict: ``"reproduced"``, ``"in part"``, ``"no difference"`` or ``"not reproduced"``, by a rule in the script.
    """

    claim: str
    paper: str
    here: str
    verdict: str


def show(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table of text, its columns aligned.

    >>> print(show(["arm", "loss"], [["cosine", 1.5], ["step", "none"]]))
    arm     loss
    cosine  1.5
    step    none
    """
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def fingerprint(script: Path) -> str:
    """A sum over the code of a script and of the tasks and models it imports, words left out: what results depend on.

    This file is left out too: what it does is tested, and what it is given to choose from is in the scripts.
    """
    files, code = [script], ""
    for file in files:  # grows while it is gone through
        source = file.read_text(encoding="utf-8")
        tree = ast.parse(source)
        words = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and _is_text(node.value)]
        left_out = {line for node in words for line in range(node.lineno, (node.end_lineno or 0) + 1)}
        for number, line in enumerate(source.splitlines(), 1):
            if number not in left_out and line.strip() and not line.lstrip().startswith("#"):
                code += line.rstrip() + "\n"
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
        beside = (script.with_name(f"{name}.py") for name in sorted(filter(None, imported - {"trials"})))
        files += [path for path in beside if path.exists() and path not in files]
    return f"{zlib.crc32(code.encode()):08x}"


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def report(
    script: str, options: argparse.Namespace, text: str, findings: Sequence[Finding], draw: Callable[[Figure], None]
) -> None:
    """Print the text and the findings; write both and the figure to ``--out``.

    Args:
        script: its ``__file__``.
        options: of :func:`arguments`.
        text: the tables.
        findings: for the README.
        draw: draws on an empty figure.
    """
    from matplotlib.figure import Figure

    print(text)
    for finding in findings:
        print(f"\n{finding.verdict}: {finding.claim}\n    the source: {finding.paper}\n    here: {finding.here}")
    name = Path(script).stem
    options.out.mkdir(parents=True, exist_ok=True)
    saved = {
        "script": f"{name}.py",
        "code": fingerprint(Path(script)),
        "quick": options.quick,
        "findings": [f._asdict() for f in findings],
        "text": text,
    }
    (options.out / f"{name}.json").write_text(json.dumps(saved, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    figure = Figure(figsize=(8, 4), layout="constrained")
    draw(figure)
    figure.savefig(options.out / f"{name}.png", dpi=90)
    print(f"\nwritten: {options.out / name}.json, {options.out / name}.png")
