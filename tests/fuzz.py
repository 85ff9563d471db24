"""Random configurations, every lr by several independent routes: all of them must agree.

    python tests/fuzz.py --configs 10000 --fits 300 --seed 0
    python tests/fuzz.py --only 1234            # draw one configuration again, and run it

Each configuration is drawn from one integer: schedules, durations in every unit, detectors, actions by rule and by
hand, groups, tracks, optimizers, checkpoints that change the run's length, the lr or the schedule, copies. Of each:

=========== ========================================================================================= ==============
route       what the used lrs are compared with                                                       must agree to
=========== ========================================================================================= ==============
loop        a torch optimizer, ``ScheduledLR`` and ``optimizer.step()``: the lrs that are used
replay      ``ScheduledLR.replayed_at`` and ``lightning_lr.replay``, of the recorded events           every bit
law         the model: this file's own clock, which goes from update to update and knows of events   every bit
            only what kind they were, no control is taken over; with the package's program, one
            update at a time
curve       ``Program.curve``, at the places of the program that the model names, where these are     every bit
            whole
reference   the model with this file's own formulas, on exact fractions: they round otherwise         10⁻¹²
fit         ``Trainer.fit``: replay and reference as above; the loop, given the same metrics at the   every bit
            same updates; ``preview`` up to the first decision
=========== ========================================================================================= ==============

A lr in a float32 tensor has 24 bits: what is compared with it is rounded as it was. Where a factor is a small
difference of larger ones, an ulp is one of the phase's peak; and 8 of those are no difference from the reference.

What the package refuses must be a ``ValueError`` with a message. A failure prints the configuration, which can be
pasted into ``fuzz.check(…)``, and where each route first differs. The exit status is 1 if anything was found.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import re
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf as inf
from math import nan as nan
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from fuzz_config import OPTIMIZERS, Fit, Loop, P, code, pieces
from fuzz_config import Part as Part  # these three stand in what is printed
from fuzz_drawing import PHASES, PRESETS, drawn_loop
from fuzz_fit import check_fit, drawn_fit
from fuzz_loop import _CURVES, Mismatch, Seen, check_loop
from fuzz_reference import MEASURED, flat

FITS_FROM = 500_000
"""The numbers of fits, above each seed's million."""


def drawn(number: int) -> Loop | Fit:
    """The configuration of a number."""
    return drawn_fit(number) if number % 10**6 >= FITS_FROM else drawn_loop(number)


def check(config: Loop | Fit) -> Seen:
    """Run a configuration; ``Mismatch`` where routes disagree, any other exception is the package's fault too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _CURVES.clear()
        return check_fit(config) if isinstance(config, Fit) else check_loop(config)


POLICIES = {
    "mode": ("min", "max"),
    "check": ("validation", "train_epoch"),
    "nan_policy": ("count", "ignore", "raise"),
    "sync": ("mean", "min", "max", "rank0"),
    "threshold_mode": ("rel", "abs"),
    "fit": ("remaining", "original"),
    "horizon_change": ("keep", "stretch", "error"),
    "lr_change": ("keep", "use_new", "error"),
    "overrun": ("error", "cut"),
}
WANTED = {
    "schedules": [*PHASES, "Chain", "Beside", *PRESETS],
    "detectors": ["Patience", "Window", "Trend", "Either", "Both"],
    "actions": ["Reduce", "Restart", "Freeze", "Adapt", "Cooldown", "Stop"],
    "policies": [f"{field}={value}" for field, values in POLICIES.items() for value in values],
    "durations": ["updates", "steps", "epochs", "%"],
    "ops": ["evaluate", "apply", "step", "copy", "add_group", "resume"],
    "optimizers": list(OPTIMIZERS),
    "forms": ["callbacks", "controller", "mixin"],
    "other": ["tensor float32", "tensor float64", "groups", "another key", "no total", "1-update run", "long horizon"],
}
"""What must be among thousands of configurations."""

CALLED = {"beside": "Beside", ">>": "Chain", "|": "Either", "&": "Both"}


def drawn_kinds(config: Loop | Fit) -> Iterator[str]:
    """What of the above is in a configuration."""
    yield from (config.optimizer, f"overrun={config.overrun}")
    for piece in pieces(config):
        yield CALLED.get(piece.name, piece.name)
        for name, value in piece.args.items():
            if name in ("duration", *MEASURED) and value is not None:
                unit = re.sub(r"[\d. ]", "", str(value))
                yield "%" if unit == "%" else "updates" if not unit else "steps" if "step" in unit else "epochs"
            if name in POLICIES:
                yield f"{name}={value}"
        if piece.name == "Rule":
            yield from (f"{name}={POLICIES[name][0]}" for name in POLICIES if name in ("mode", "check", "sync"))
    if isinstance(config, Fit):
        yield config.form
        return
    for _, name, given in config.ops:
        yield name
        if name == "resume":
            yield from (f"{field}={given[field]}" for field in ("horizon_change", "lr_change") if field in given)
    yield from (f"tensor {config.tensor}" for _ in range(config.tensor is not None))
    yield from ("groups" for part in config.parts if part.groups is not None)
    yield from ("another key" for part in config.parts if part.key != "lr")
    total = config.total
    yield "no total" if total is None else "1-update run" if total == 1 else "long horizon" if total > 4000 else "run"


def smaller(config: Loop | Fit) -> Iterator[Loop | Fit]:
    """The same with something left out."""
    parts = config.parts
    if isinstance(config, Loop):
        size = len(config.ops)
        while size:  # many at once first
            for i in range(0, len(config.ops), size):
                yield dataclasses.replace(config, ops=config.ops[:i] + config.ops[i + size :])
            size //= 2
        if config.updates > 1:
            yield dataclasses.replace(config, updates=config.updates // 2)
    for i in range(1, len(parts)):
        yield dataclasses.replace(config, parts=parts[:i] + parts[i + 1 :])
    for i, part in enumerate(parts):
        fewer = [dataclasses.replace(part, rules=part.rules[:j] + part.rules[j + 1 :]) for j in range(len(part.rules))]
        phases = [] if part.schedule is None else flat(part.schedule)
        for j in range(len(phases) if len(phases) > 1 else 0):
            kept = phases[:j] + phases[j + 1 :]
            fewer.append(dataclasses.replace(part, schedule=P(">>", of=kept) if len(kept) > 1 else kept[0]))
        yield from (dataclasses.replace(config, parts=(*parts[:i], one, *parts[i + 1 :])) for one in fewer)
    if len(config.lrs) > 1:
        yield dataclasses.replace(config, lrs=config.lrs[:1])


def failure(config: Loop | Fit) -> BaseException | None:
    """What is wrong with it, if anything."""
    try:
        check(config)
    except Exception as error:
        return error
    return None


def shrunk(config: Loop | Fit, seconds: float) -> Loop | Fit:
    """A smaller configuration that fails in the same way."""
    kind, until = type(failure(config)), time.monotonic() + seconds
    again = True
    while again:
        again = False
        for candidate in smaller(config):
            if time.monotonic() > until:
                return config
            if type(failure(candidate)) is kind:
                config, again = candidate, True
                break
    return config


def told(number: int, error: BaseException, config: Loop | Fit, seconds: float) -> str:
    """A finding, to be read and pasted; what it may cost to make it smaller."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = "" if isinstance(error, Mismatch) else f" ({Path(frame.filename).name}:{frame.lineno})"
    small = shrunk(config, seconds)
    lines = [f"--- {number}: {type(error).__name__}{where}", str(error)]
    lines += [f"{'drawn' if small == config else 'smaller, which fails in the same way'}: {small!r}"]
    if small != config:
        lines += [str(failure(small))]
    lines += [f"{part.id}: {code(part.schedule)} {code(part.rules)}" for part in small.parts]
    return "\n".join(lines)


@dataclass
class Summary:
    """Of many configurations."""

    configs: int = 0
    fits: int = 0
    findings: list[int] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    lrs: int = 0
    idle: int = 0
    relative: float = 0.0

    def take(self, config: Loop | Fit, seen: Seen) -> None:
        self.lrs, self.idle, self.events = self.lrs + seen.lrs, self.idle + seen.idle, self.events + seen.events
        self.relative = max(self.relative, seen.relative)
        if seen.refused:
            self.refusals[re.sub(r"\d[\d.]*", "N", seen.refused)[-60:]] += 1

    def __str__(self) -> str:
        lines = []
        for title, names in WANTED.items():
            lines.append(f"{title}: " + ", ".join(f"{name} {self.kinds[name]}" for name in names))
        lines.append("events: " + ", ".join(f"{kind} {count}" for kind, count in self.events.most_common()))
        refused = sum(self.refusals.values())
        lines += [f"refused {count}: …{said}" for said, count in self.refusals.most_common(8)]
        lines.append(
            f"{self.configs} configurations, {self.fits} fits, {self.lrs} lrs, refused {refused}; against "
            f"the reference at most {self.relative:.1e}; findings "
            f"{len(self.findings)} {self.findings[:20]}"
        )
        return "\n".join(lines)


def fuzz(numbers: Iterable[int], say: Callable[[str], None] = print) -> Summary:
    """Check the configurations of these numbers."""
    out = Summary()
    for number in numbers:
        config = drawn(number)
        out.kinds.update(drawn_kinds(config))
        out.fits += isinstance(config, Fit)
        out.configs += isinstance(config, Loop)
        try:
            out.take(config, check(config))
        except Exception as error:
            out.findings.append(number)
            say(told(number, error, config, seconds=20.0 if len(out.findings) <= 5 else 0.0))
    return out


def numbers_of(seed: int, configs: int, fits: int) -> list[int]:
    """The numbers of a seed's configurations."""
    return [seed * 10**6 + i for i in range(configs)] + [seed * 10**6 + FITS_FROM + i for i in range(fits)]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", type=int, default=10_000)
    parser.add_argument("--fits", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="one configuration's number")
    args = parser.parse_args(argv)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    if args.only is not None:
        print(repr(drawn(args.only)))
    began = time.perf_counter()
    numbers = [args.only] if args.only is not None else numbers_of(args.seed, args.configs, args.fits)
    summary = fuzz(numbers, lambda text: print(text, flush=True))
    print(summary)
    print(f"{time.perf_counter() - began:.0f} s")
    return 1 if summary.findings else 0


if __name__ == "__main__":
    sys.exit(main())
