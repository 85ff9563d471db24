"""``sweep``: every point of a grid, or as many as TPE is given, by one process or by many on one storage."""

from __future__ import annotations

import dataclasses
import itertools
import multiprocessing
import pickle
import re
import string
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from lightning_lr.core.checks import choice, flag, shown, whole
from lightning_lr.core.expression import parse
from lightning_lr.core.schedules import Constant
from lightning_lr.core.schedules.base import Schedule
from lightning_lr.tuning.point import Params, Point, Run, diverged, failure, measured, spelt
from lightning_lr.tuning.queue import DEATHS, Queue, is_live, opened, slot_of
from lightning_lr.tuning.results import Sweep
from lightning_lr.tuning.space import Space, as_space, refuse_unknown

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

WAIT = 0.2
"""Seconds between two looks at what others are doing."""
SHOWN = 100
"""Characters of a setting in a message."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything a worker must know; it is handed to new processes as it is."""

    train: Callable[[Point], Any]
    space: Space
    schedule: str | Callable[[Mapping[str, Any]], Schedule] | None
    metric: str
    mode: str
    gap: str | None
    sampler: str
    trials: int
    seeds: tuple[int, ...]
    folds: int | None
    name: str
    prune: bool
    asked: set[str] = dataclasses.field(default_factory=set, compare=False)
    """The parameters that train has asked for, here, at any point."""

    def settings(self) -> dict[str, Any]:
        """What must be the same for all who share a study; more trials may be asked for later."""
        schedule = self.schedule if isinstance(self.schedule, str) else _identity(self.schedule)
        return {
            "space": {axis.name: axis.described() for axis in self.space},
            "schedule": schedule,
            "train": _identity(self.train),
            "metric": self.metric,
            "mode": self.mode,
            "gap": self.gap,
            "sampler": self.sampler,
            "seeds": list(self.seeds),
            "folds": self.folds,
            "prune": self.prune,
        }

    def schedule_of(self, params: Mapping[str, Any]) -> Schedule | None:
        """The schedule of a point, or what it refuses, said of the point."""
        if self.schedule is None:
            return None
        try:
            if isinstance(self.schedule, str):
                return parse(self.schedule.format_map({name: _literal(value) for name, value in params.items()}))
            made = self.schedule(Params(params))
        except (TypeError, ValueError) as error:
            raise ValueError(f"sweep: at {spelt(params)}: {error}") from None
        if not isinstance(made, Schedule):
            raise ValueError(f"sweep: at {spelt(params)}: schedule must make a schedule, got {shown(made)}")
        return made

    def check(self) -> None:
        """Build what every point of the grid needs (of ranges: their ends), before anything is trained."""
        check = getattr(self.train, "check", None)
        seen: Params | None = None
        for params in self.space.checked():
            seen = Params(params, self.used_by_schedule())
            point = Point(seen, self.seeds[0], 0 if self.folds else None, self.folds, self.schedule_of(params))
            if check is None:
                continue
            try:
                check(point)
            except (TypeError, ValueError) as error:
                raise ValueError(f"sweep: at {spelt(params)}: {error}") from None
            self.asked.update(seen.used)
        if check is not None and seen is not None:
            self.refuse_unread(seen)

    def used_by_schedule(self) -> set[str]:
        """The parameters that the schedule's expression names."""
        return set(template_names(self.schedule)) if isinstance(self.schedule, str) else set()

    def refuse_unread(self, params: Params) -> None:
        """A parameter that nothing has asked for is misspelt; which of them a function asks for cannot be seen."""
        self.asked.update(params.used)
        unread = [] if callable(self.schedule) else [name for name in params.plain if name not in self.asked]
        if unread:
            raise ValueError(
                f"sweep: space varies {unread[0]!r}, which train has not asked for: is it misspelt? (What only some "
                f"points need is asked for at all: point.params[{unread[0]!r}].)"
            )

    def refuse_unused_schedule(self, point: Point) -> None:
        """A schedule that train has left alone changes nothing, whatever its parameters."""
        if self.schedule is not None and not point.asked_for_schedule and point.schedule != Constant():
            raise ValueError(
                "sweep: schedule= is given, but train has not asked for point.schedule: nothing follows it"
            )


def sweep(
    train: Callable[[Point], Any],
    space: Mapping[str, Any],
    *,
    schedule: str | Callable[[Mapping[str, Any]], Schedule] | None = None,
    metric: str = "val_loss",
    mode: str | None = None,
    gap: str | None = "auto",
    sampler: str = "grid",
    trials: int | None = None,
    seeds: int | Sequence[int] = 1,
    folds: int | None = None,
    storage: str | BaseStorage | None = None,
    name: str = "sweep",
    workers: int = 1,
    prune: bool = False,
    progress: bool = True,
) -> Sweep:
    """Train at every point of a grid, on Optuna; score, over-fitting and their spread at each.

    Every point is run exactly once, by however many processes and machines share the storage; killed and started
    again, a sweep does what is left, and a run that had been finished is not repeated. A run whose metric or weights
    end as NaN or inf, or that ends in a floating-point error or one that speaks of NaN, is a failed run and no crash;
    any other error ends the sweep, naming the point.

    Args:
        train: is called with a :class:`~lightning_lr.tuning.Point` and trains once, with ``point.params``,
            ``point.schedule``, ``point.seed`` (seed with it: nothing else does), ``point.fold`` and
            ``point.callbacks``. Returns the Trainer or a mapping of metrics; or nothing, where its Trainer had
            ``point.callbacks``. If it has a method ``check(point)``, that is called for each point of a grid, and the
            ends of ranges, before anything is trained, and says with a ``ValueError`` what is wrong.
        space: for each parameter a list of values, ``("log", low, high, n)`` or ``("linear", low, high, n)``; with
            ``sampler="tpe"`` also a range without ``n``, or a distribution of Optuna's.
        schedule: an expression with the names of parameters in braces, ``'Exponential({gamma}, decay_steps="1
            epoch")'``, or a function of the parameters. Those of all points are built before anything is trained.
        metric: what is compared, in the trainer's ``callback_metrics`` when training has ended.
        mode: ``"min"`` or ``"max"``: which values of it are good; to be said, unless the metric is called a loss or
            an error.
        gap: the same of the training data, or ``None``; by default (``"auto"``) what is called ``train`` where the
            metric is called ``val``. How much worse validation is than training is the gap: an average over an epoch
            that still learns, as ``self.log`` makes it of a training loss, makes it too small.
        sampler: ``"grid"`` (Optuna's GridSampler) or ``"tpe"`` (its TPESampler).
        trials: how many points TPE tries. More of them may be asked for later, on the same storage.
        seeds: repetitions of each point, or a list of their seeds.
        folds: parts of the data, each of which validates once (``point.fold``), for each seed.
        storage: ``"sqlite:///file.db"``, another database's URL, ``"journal:path"`` (a file, which several machines
            may share), a storage of Optuna's, or ``None`` for memory.
        name: of the study in the storage.
        workers: processes to run; ``train`` must then be importable, as for any new process.
        prune: whether Optuna's MedianPruner may end a point during its first run, by way of ``point.callbacks``.
        progress: whether to show a bar, where there is a terminal to show it on, and rich (the extra ``cli``).

    Raises:
        ValueError: a space, template or option that cannot be right, before anything is trained; a metric that is not
            logged, after the first run; a study of that name that is another one.
        RuntimeError: ``train`` failed with an error that is no result.
        ImportError: optuna is not installed (the extra ``tune``).

    >>> def train(point):  # stands for a training
    ...     loss = (point.params.lr - 0.1) ** 2 + (point.params.gamma - 0.9) ** 2
    ...     return {"val_loss": loss if point.params.lr < 1 else float("nan"), "train_loss": loss / 2}
    >>> found = sweep(train, {"lr": [0.01, 0.1, 1.0], "gamma": [0.9, 0.99]})
    >>> found.best.params, found.best.mean
    ({'lr': 0.1, 'gamma': 0.9}, 0.0)
    >>> print(found.table())
    lr    gamma  val_loss  gap      failed
    0.1   0.9    0         0
    0.1   0.99   0.0081    0.00405
    0.01  0.9    0.0081    0.00405
    0.01  0.99   0.0162    0.0081
    1     0.9    –         –        1 of 1
    1     0.99   –         –        1 of 1
    >>> sweep(train, {"lr": [0.1], "gamma": [0.9, 1.5]}, schedule="Exponential({gamma})")
    Traceback (most recent call last):
    ValueError: sweep: at lr=0.1, gamma=1.5: column 1: Exponential: gamma must be a number in (0, 1], got 1.5. \
In: Exponential(1.5)
    """
    plan = _plan(train, space, schedule, metric, mode, gap, sampler, trials, seeds, folds, name, prune)
    plan.check()
    whole(workers, "sweep: workers", low=1)
    flag(progress, "sweep: progress")
    if workers == 1:
        return _alone(plan, opened(storage), progress)
    _refuse_what_cannot_travel(plan)
    if storage is None:
        with tempfile.TemporaryDirectory() as folder:
            return _together(plan, f"journal:{folder}/sweep.log", workers, progress)
    if not isinstance(storage, str):
        raise ValueError(f"sweep: workers={workers} need a storage that each can open: give its text, got {storage!r}")
    return _together(plan, storage, workers, progress)


def _plan(
    train: Callable[[Point], Any],
    space: Mapping[str, Any],
    schedule: object,
    metric: str,
    mode: str | None,
    gap: str | None,
    sampler: str,
    trials: int | None,
    seeds: object,
    folds: int | None,
    name: str,
    prune: bool,
) -> Plan:
    """The arguments, checked."""
    if not callable(train):
        raise ValueError(f"sweep: train must be a function of a point, got {shown(train)}")
    choice(sampler, ["grid", "tpe"], "sweep: sampler")
    axes = as_space(space, sampler)
    if sampler == "grid" and trials is not None:
        raise ValueError(
            f"sweep: trials={trials} is for sampler='tpe'; a grid has as many as it has points, {axes.size}"
        )
    if sampler == "tpe" and trials is None:
        raise ValueError("sweep: sampler='tpe' needs trials=, the number of points to try")
    if not (schedule is None or isinstance(schedule, str) or callable(schedule)):
        raise ValueError(
            f"sweep: schedule must be an expression or a function of the parameters, got {shown(schedule)}"
        )
    if isinstance(schedule, str):
        refuse_unknown(template_names(schedule), axes, f"sweep: schedule={schedule!r}")
    for text, option in ((metric, "metric"), (name, "name"), *([(gap, "gap")] if gap is not None else [])):
        if not isinstance(text, str) or not text:
            raise ValueError(f"sweep: {option} must be a name, got {shown(text)}")
    count = axes.size if trials is None else whole(trials, "sweep: trials", low=1)
    return Plan(
        train=train,
        space=axes,
        schedule=schedule,
        metric=metric,
        mode=_mode(metric) if mode is None else choice(mode, ["min", "max"], "sweep: mode"),
        gap=_gap(metric) if gap == "auto" else gap,
        sampler=sampler,
        trials=count,
        seeds=_seeds(seeds),
        folds=None if folds is None else whole(folds, "sweep: folds", low=2),
        name=name,
        prune=flag(prune, "sweep: prune"),
    )


def _mode(metric: str) -> str:
    """Which values are good, where the name of the metric leaves no doubt.

    >>> _mode("val_loss")
    'min'
    >>> _mode("val_acc")
    Traceback (most recent call last):
    ValueError: sweep: metric='val_acc' says nothing of which values are good: say mode='max' or mode='min'
    """
    if re.search("loss|error|err(?![a-z])", metric, re.IGNORECASE):  # terrain is none
        return "min"
    raise ValueError(f"sweep: metric={metric!r} says nothing of which values are good: say mode='max' or mode='min'")


def _gap(metric: str) -> str:
    """What a metric is called for the training data.

    >>> _gap("val_acc"), _gap("eval/loss")
    ('train_acc', 'train/loss')
    """
    name, found = re.subn(r"(?<![^\W_])(validation|valid|val|evaluation|eval)(?![^\W_])", "train", metric, count=1)
    if not found:
        raise ValueError(
            f"sweep: metric={metric!r} does not say what the same of the training data is called: say gap=, or gap=None"
        )
    return name


def _seeds(seeds: object) -> tuple[int, ...]:
    if isinstance(seeds, Sequence) and not isinstance(seeds, str) and seeds:
        listed = tuple(whole(seed, "sweep: seeds") for seed in seeds)
        if len(set(listed)) < len(listed):
            raise ValueError(f"sweep: seeds must differ, got {list(listed)}")
        return listed
    return tuple(range(whole(seeds, "sweep: seeds", low=1)))


def template_names(template: str) -> list[str]:
    """The names in braces.

    >>> template_names('Warmup("5%") >> Exponential({gamma}, decay_steps={steps})')
    ['gamma', 'steps']
    """
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise ValueError(f"sweep: schedule={template!r}: {error}: write the names of parameters in braces") from None
    for name in names:
        if not name.isidentifier():
            raise ValueError(f"sweep: schedule={template!r}: {{{name}}} is no name of a parameter")
    return names


def _literal(value: Any) -> str:
    """A value inside an expression; a string stands as it is, and the template says what is quoted."""
    return value if isinstance(value, str) else repr(value)


def _identity(thing: object) -> str | None:
    """What tells whether a study is continued with the same function."""
    if thing is None:
        return None
    if isinstance(thing, partial):
        return f"{_identity(thing.func)}{thing.args or ''}{thing.keywords or ''}"
    name = getattr(thing, "__qualname__", None)
    text = f"{thing.__module__}.{name}" if name else repr(thing)
    text = text.replace("__mp_main__", "__main__")  # what new processes call the script that started them
    return re.sub(r" at 0x[0-9a-f]+", "", text)


# ---- one process


def _alone(plan: Plan, storage: BaseStorage, progress: bool) -> Sweep:
    from lightning_lr.tuning.progress import bar

    queue = _queue(plan, storage)
    with bar(plan, progress) as show:
        work(plan, queue, lambda: show(lambda: _collected(plan, queue.study)))
    return _collected(plan, queue.study)


def _queue(plan: Plan, storage: BaseStorage) -> Queue:
    """The study, new or continued, as a queue; a study of another plan is refused."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=storage,
        sampler=_sampler(plan),
        pruner=optuna.pruners.MedianPruner() if plan.prune else optuna.pruners.NopPruner(),
        study_name=plan.name,
        direction="minimize" if plan.mode == "min" else "maximize",
        load_if_exists=True,
    )
    settings = plan.settings()
    known: dict[str, Any] | None = study.user_attrs.get("sweep")
    if known is None and study.get_trials(deepcopy=False):
        known = study.user_attrs.get("sweep")  # another process may have begun it between these two looks
    if known is None and study.get_trials(deepcopy=False):
        raise ValueError(f"sweep: the study {plan.name!r} in this storage is none of sweep's: give another name=")
    begun = settings if known is None else known
    for key in settings:
        if begun.get(key) != settings[key]:
            raise ValueError(
                f"sweep: the study {plan.name!r} in this storage was begun with "
                f"{key}={_apart(begun.get(key), settings[key])}: give another name=, or another storage="
            )
    if known is None:
        study.set_user_attr("sweep", settings)
    marks: dict[int, dict[str, Any]] = {}
    if plan.sampler == "grid":
        grid = {axis.name: list(axis.values) for axis in plan.space}
        marks = {slot: {"grid_id": slot, "search_space": grid} for slot in range(plan.trials)}
    return Queue(study, storage, plan.trials, marks)


def _apart(begun: object, given: object) -> str:
    """Two settings that differ; of long ones the place where they do.

    >>> _apart([0], [0, 1])
    '[0], and this is [0, 1]'
    >>> _apart("Task(" + 90 * "x" + ", epochs=10, lr=0.1)", "Task(" + 90 * "x" + ", epochs=3, lr=0.1)")
    "'…xxxxxxxxxxxxxxxx, epochs=10, lr=0.1)', and this is '…xxxxxxxxxxxxxxxx, epochs=3, lr=0.1)'"
    """
    texts = [one if isinstance(one, str) else repr(one) for one in (begun, given)]
    if max(map(len, texts)) <= SHOWN:
        return f"{begun!r}, and this is {given!r}"
    same = next((i for i, pair in enumerate(zip(*texts, strict=False)) if len(set(pair)) > 1), min(map(len, texts)))
    start = max(0, same - SHOWN // 4)
    parts = [
        ("…" if start else "") + text[start : start + SHOWN] + ("…" if len(text) > start + SHOWN else "")
        for text in texts
    ]
    return f"{parts[0]!r}, and this is {parts[1]!r}"


def _sampler(plan: Plan, seed: int = 0) -> BaseSampler:
    """Optuna's; what TPE draws for a point depends on the seed and on the results so far."""
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import GridSampler, TPESampler

    class Grid(GridSampler):
        """The queue says when it is over; by itself it stops a study, which only ``Study.optimize`` may."""

        def after_trial(self, *_: Any) -> None:
            return None

    if plan.sampler == "grid":
        return Grid({axis.name: list(axis.values) for axis in plan.space}, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # that option is one, in older versions
        return TPESampler(constant_liar=True, seed=seed)  # others are running beside this one


def work(plan: Plan, queue: Queue, after: Callable[[], None] = lambda: None) -> None:
    """Take points until all are done, by whomever; what the dead have left is taken up too."""
    pause = threading.Event()
    while True:
        trial = queue.take()
        if trial is None:
            if queue.fill():
                continue
            if queue.left() == 0:
                return
            if not queue.bury():
                pause.wait(WAIT)
                after()
            continue
        _run(plan, queue, trial)
        after()


def _run(plan: Plan, queue: Queue, trial: Trial) -> None:
    """All repetitions of one point; its mean is what Optuna is told."""
    from optuna.exceptions import TrialPruned, UpdateFinishedTrialError
    from optuna.trial import TrialState

    try:
        with queue.beating(trial):
            queue.study.sampler = _sampler(plan, slot_of(trial))  # type: ignore[arg-type]
            params = {axis.name: axis.suggest(trial) for axis in plan.space}
            runs = list(_runs(plan, queue, trial, params))
    except TrialPruned:
        queue.study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
    except UpdateFinishedTrialError:
        return  # the others thought this worker dead, and have taken the point up
    except BaseException:
        queue.give_back(trial, "its run was ended")
        raise
    else:
        scores = [run.score for run in runs if run.score is not None]
        if len(scores) == len(runs):
            queue.study.tell(trial, sum(scores) / len(scores), skip_if_finished=True)
        else:  # not FAIL: TPE is to learn that it is bad here
            queue.study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)


def _runs(plan: Plan, queue: Queue, trial: Trial, params: Mapping[str, Any]) -> list[Run]:
    schedule = plan.schedule_of(params)
    known = trial.user_attrs
    fatal = queue.deaths(slot_of(trial)) >= DEATHS  # type: ignore[arg-type]
    is_new = not any(key.startswith("run") for key in known)
    out = []
    repeats = itertools.product(plan.seeds, range(plan.folds) if plan.folds else [None])
    for i, (seed, fold) in enumerate(repeats):
        key = f"run{i}"
        if key not in known:
            pruning = partial(_pruning, trial, plan.metric) if plan.prune and i == 0 else None
            seen = Params(params, plan.used_by_schedule())
            point = Point(seen, seed, fold, plan.folds, schedule, plan.metric, pruning)
            run = failure(point, f"{DEATHS} workers died of it") if fatal else _one(plan, point)
            if is_new and i == 0 and run.failed is None:
                if queue.is_first_result(trial):  # for all workers, and when gone on from, the same one
                    plan.refuse_unread(seen)
                plan.refuse_unused_schedule(point)
            trial.set_user_attr(key, _kept(run))
            out.append(run)
        else:
            out.append(_restored(params, known[key]))
    return out


def _one(plan: Plan, point: Point) -> Run:
    from optuna.exceptions import TrialPruned

    sign = 1.0 if plan.mode == "min" else -1.0
    try:
        result = plan.train(point)
    except TrialPruned:
        raise
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # what a Trainer makes of it
            raise KeyboardInterrupt from error
        raise
    except Exception as error:
        why = diverged(error)
        if why is None:
            raise RuntimeError(f"sweep: train failed at {point!r}: {type(error).__name__}: {error}") from error
        return failure(point, why)
    return measured(point, result, plan.metric, plan.gap, sign)


def _pruning(trial: Trial, metric: str) -> Any:
    from optuna_integration import PyTorchLightningPruningCallback

    return PyTorchLightningPruningCallback(trial, metric)


def _kept(run: Run) -> dict[str, Any]:
    return {key: value for key, value in run._asdict().items() if key != "params"}


def _restored(params: Mapping[str, Any], kept: Mapping[str, Any]) -> Run:
    curve = [(int(step), float(value)) for step, value in kept["curve"]]
    return Run(**{**kept, "params": dict(params), "curve": curve})


def _collected(plan: Plan, study: Study) -> Sweep:
    """What is there so far, whoever measured it."""
    chosen: dict[int, FrozenTrial] = {}
    points = set()
    for trial in study.get_trials(deepcopy=False):
        if is_live(trial) and trial.state.is_finished() and slot_of(trial) < plan.trials:
            point = tuple(trial.params[axis.name] for axis in plan.space)
            if slot_of(trial) not in chosen and point not in points:  # TPE may choose a point again: the same runs
                chosen[slot_of(trial)] = trial
                points.add(point)
    runs, pruned = [], []
    for _, trial in sorted(chosen.items()):
        mine = {key: value for key, value in trial.user_attrs.items() if re.fullmatch(r"run\d+", key)}
        runs += [_restored(trial.params, mine[key]) for key in sorted(mine, key=lambda key: int(key[3:]))]
        if not mine:
            pruned.append(dict(trial.params))
    return Sweep(plan.metric, plan.mode, plan.gap, [axis.name for axis in plan.space], runs, pruned, plan.trials)


# ---- several processes


def _refuse_what_cannot_travel(plan: Plan) -> None:
    """New processes import ``train`` by its name."""
    main = sys.modules["__main__"]
    try:
        pickle.dumps(plan)
        local = plan.train.__module__ == "__main__" and not hasattr(main, "__file__")
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        local, why = True, f" ({error})"
    else:
        why = ""
    if local:
        raise ValueError(
            f"sweep: workers= starts new processes, which must import train, and {_identity(plan.train)} cannot be "
            f"imported{why}: define it, and a schedule= that is a function, at the top level of a module, or leave "
            "workers at 1"
        )


def _together(plan: Plan, storage: str, workers: int, progress: bool) -> Sweep:
    from lightning_lr.tuning.progress import bar

    queue = _queue(plan, opened(storage))
    queue.fill()
    context = multiprocessing.get_context("spawn")
    failures = context.SimpleQueue()
    processes = [context.Process(target=_worker, args=(plan, storage, failures)) for _ in range(workers)]
    pause = threading.Event()
    accused: set[int] = set()
    try:
        for process in processes:
            process.start()
        with bar(plan, progress) as show:
            while _alive(processes, queue, accused) and failures.empty():
                show(lambda: _collected(plan, queue.study))
                pause.wait(WAIT)
            show(lambda: _collected(plan, queue.study))
        if not failures.empty():
            kind, message, told = failures.get()
            raised: dict[str, type[Exception]] = {"ValueError": ValueError, "TypeError": TypeError}
            raise raised.get(kind, RuntimeError)(message) from WorkerError(told)
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
        for process in processes:
            if process.pid is not None:
                process.join()
    if queue.left():
        codes = ", ".join(str(process.exitcode) for process in processes)
        raise RuntimeError(
            f"sweep: {queue.left()} of {plan.trials} points are left, and all workers have ended (exit codes {codes}): "
            "a worker may have run out of memory, or not have come to work (exit code 1): a script calls sweep under "
            "`if __name__ == '__main__':`, since each worker imports it; on a storage= a new sweep finishes the rest"
        )
    return _collected(plan, queue.study)


class WorkerError(Exception):
    """What a worker's error looked like there: its traceback, as text."""


def _alive(processes: Sequence[Any], queue: Queue, accused: set[int]) -> int:
    """How many are; all are asked, as the system remembers a dead one until then. What a dead one died of is noted."""
    dead = [process for process in processes if not process.is_alive() and process.pid not in accused]
    for process in dead:
        accused.add(process.pid)
        queue.accuse(process.pid, process.exitcode)
    return len(processes) - len(accused)


def _worker(plan: Plan, storage: str, failures: Any) -> None:
    """What a new process does."""
    try:
        work(plan, _queue(plan, opened(storage)))
    except KeyboardInterrupt:
        return
    except Exception as error:
        failures.put((type(error).__name__, str(error), f"in a worker:\n\n{traceback.format_exc()}"))
