"""The queue of a sweep: every point once, whoever takes it, whoever dies.

A study of Optuna holds a trial for each point, put there before anything runs; workers take those that wait. Three
things that Optuna leaves open are settled here:

- SQLite: Optuna reads a trial's state and writes it in a transaction that begins with the writing, so two processes may
  take one trial. Here that transaction begins with the lock.
- Two processes that begin a study together both fill its queue. Of two trials of one point that of the lower number
  counts, which is the same one for whoever looks; the other is given back as failed.
- A worker that was killed leaves its trial running. Each worker signs what it takes, and shows signs of life; whoever
  finds nothing left to take looks for the dead.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

BEAT = 15.0
"""Seconds between two signs of life."""
GRACE = 120.0
"""Seconds without one after which a worker counts as dead, by the clock of who watches."""
MAKING_TABLES = 20  # attempts at opening a database that others may be making
DEATHS = 3
"""A point that has killed so many workers, while who had started them lived on, is a result."""
ENDED = (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP) if os.name == "posix" else ()
"""Exit codes of a worker that somebody has ended: the point is not to blame."""


def opened(storage: str | BaseStorage | None) -> BaseStorage:
    """The storage that a text names: ``sqlite:///file.db`` (or another database's URL) or ``journal:path``.

    Raises:
        ValueError: a text that is neither; a folder that does not exist; a file or a database that cannot be opened.

    >>> type(opened(None)).__name__
    'InMemoryStorage'
    >>> opened("results.db")
    Traceback (most recent call last):
    ValueError: sweep: storage must be 'sqlite:///file.db' (or another database's URL) or 'journal:path', \
got 'results.db': write 'sqlite:///results.db'
    """
    from optuna import storages
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    if storage is None:
        return storages.InMemoryStorage()
    if not isinstance(storage, str):
        return storage
    kind, _, rest = storage.partition(":")
    path = Path(rest if kind == "journal" else rest.removeprefix("///"))
    if not rest or (kind != "journal" and not rest.startswith("//")):
        raise ValueError(
            "sweep: storage must be 'sqlite:///file.db' (or another database's URL) or 'journal:path', "
            f"got {storage!r}: write 'sqlite:///{storage}'"
        )
    is_sqlite = kind.partition("+")[0] == "sqlite"
    if is_sqlite and rest.removeprefix("//").removeprefix("/") in ("", ":memory:"):
        raise ValueError(f"sweep: storage={storage!r} is memory, which nobody can share: leave storage out")
    if (is_sqlite or kind == "journal") and not path.parent.is_dir():
        raise ValueError(f"sweep: storage={storage!r}: there is no directory {str(path.parent)!r}")
    from sqlalchemy.exc import SQLAlchemyError

    try:
        if kind == "journal":  # the usual lock is a link: where it leads nowhere, that of a dead process holds for ever
            return storages.JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))
        return _sqlite(storage) if is_sqlite else storages.RDBStorage(storage)
    except (SQLAlchemyError, ValueError) as error:
        why = str(error).partition("\n")[0]
        raise ValueError(f"sweep: storage={storage!r} cannot be opened: {why}") from error


def _sqlite(url: str) -> BaseStorage:
    """SQLite, where a change of a trial's state begins with the lock: what it reads then still holds when it writes."""
    from optuna.storages import RDBStorage
    from sqlalchemy import event
    from sqlalchemy.exc import DBAPIError

    class Locking(RDBStorage):
        def set_trial_state_values(self, *args: Any, **values: Any) -> bool:
            changing.state = True
            try:
                return super().set_trial_state_values(*args, **values)
            finally:
                changing.state = False

    changing = threading.local()
    for left in reversed(range(MAKING_TABLES)):
        try:
            storage = Locking(url, engine_kwargs={"connect_args": {"timeout": 60}})
            break
        except DBAPIError:  # two that begin together make the same tables: for one of them they are there already
            if not left:
                raise
            time.sleep(0.1)

    @event.listens_for(storage.engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        with contextlib.suppress(sqlite3.OperationalError):  # locked by who is doing the same
            connection.execute("PRAGMA journal_mode=WAL")  # readers do not wait, and a commit not for the disk
            connection.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(storage.engine, "begin")
    def _(connection: Any) -> None:
        if getattr(changing, "state", False):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    storage.engine.dispose()  # the connections from before
    return storage


_KILLED = "a worker died of "


def slot_of(trial: FrozenTrial) -> int:
    """The place of a trial's point in the queue."""
    return int(trial.user_attrs["slot"])


def is_live(trial: FrozenTrial) -> bool:
    """Whether it waits, runs or is a result; what failed here never happened."""
    return trial.state.name != "FAIL"


class Queue:
    """A study's trials as a queue of ``size`` points.

    Args:
        study: the study, on ``storage``.
        storage: where the trials are; states are changed there, since only there it shows who was first.
        size: how many points there are.
        marks: what a waiting trial of a slot carries for the sampler.
    """

    def __init__(self, study: Study, storage: BaseStorage, size: int, marks: Mapping[int, Mapping[str, Any]]) -> None:
        self.study = study
        self.storage = storage
        self.size = size
        self.marks = marks
        self._seen: dict[int, tuple[int, float]] = {}

    def fill(self) -> bool:
        """Put in what is neither waiting nor running nor done; whether there was any."""
        from optuna.trial import TrialState, create_trial

        trials = self.study.get_trials(deepcopy=False)
        live = {slot_of(trial) for trial in trials if is_live(trial)}
        missing = [slot for slot in range(self.size) if slot not in live]
        for slot in missing:
            before = [trial for trial in trials if slot_of(trial) == slot]
            done = {k: v for trial in before for k, v in trial.user_attrs.items() if k.startswith("run")}
            marks = dict(self.marks.get(slot, {}))
            known = {name: value for trial in before for name, value in trial.params.items()}
            if known and not marks:  # what was run of a point belongs to its values: TPE is not to choose new ones
                marks = {"fixed_params": known}
            attrs = {"slot": slot, **done}
            self.study.add_trial(create_trial(state=TrialState.WAITING, system_attrs=marks, user_attrs=attrs))
        return bool(missing)

    def take(self) -> Trial | None:
        """A trial that waited, now this worker's; ``None`` when none waits."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import Trial, TrialState

        for waiting in self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            if slot_of(waiting) >= self.size:
                continue
            try:
                if not self.storage.set_trial_state_values(waiting._trial_id, TrialState.RUNNING):
                    continue
            except UpdateFinishedTrialError:
                continue
            others = self.study.get_trials(deepcopy=False)
            if any(slot_of(o) == slot_of(waiting) and o.number < waiting.number and is_live(o) for o in others):
                self.give_back(waiting, "its point is in the queue twice")
                continue
            trial = Trial(self.study, waiting._trial_id)
            trial.set_user_attr("worker", [_machine(), os.getpid()])
            return trial
        return None

    def give_back(self, trial: FrozenTrial | Trial, why: str) -> None:
        """As if it had not been taken; the point will be put in again, unless it is there."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        try:
            self.storage.set_trial_user_attr(trial._trial_id, "given back", why)
            self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        except UpdateFinishedTrialError:
            return  # another one was faster

    def bury(self) -> bool:
        """Give back what dead workers had taken; whether there was any."""
        from optuna.trial import TrialState

        dead = [t for t in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)) if self._is_dead(t)]
        for trial in dead:
            self.give_back(trial, "its worker died")
        return bool(dead)

    def accuse(self, pid: int, exitcode: int) -> None:
        """Note that a worker which this process has started died of the point that it was at, if so.

        Where a job is killed as a whole nobody is left to note it: no point is blamed for that.
        """
        mine = [t for t in self.study.get_trials(deepcopy=False) if t.user_attrs.get("worker") == [_machine(), pid]]
        if mine and exitcode not in (0, *ENDED) and mine[-1].state.name in ("RUNNING", "FAIL"):
            self.study.set_user_attr(f"{_KILLED}{slot_of(mine[-1])} {_machine()} {pid}", exitcode)

    def deaths(self, slot: int) -> int:
        """How many workers have died of a point."""
        return sum(key.startswith(f"{_KILLED}{slot} ") for key in self.study.user_attrs)

    def _is_dead(self, trial: FrozenTrial) -> bool:
        machine, pid = trial.user_attrs.get("worker", ("", 0))
        if machine == _machine() and os.name == "posix" and not _alive(pid):
            return True
        beat, now = trial.user_attrs.get("beat", 0), time.monotonic()
        known, since = self._seen.get(trial._trial_id, (None, now))
        self._seen[trial._trial_id] = (beat, since if known == beat else now)
        return known == beat and now - since > GRACE

    def is_first_result(self, trial: Trial) -> bool:
        """Whether every point before it in the queue has been run, and failed: the same one whoever looks, and when."""
        slot = slot_of(trial)  # type: ignore[arg-type]
        before = [t for t in self.study.get_trials(deepcopy=False) if is_live(t) and slot_of(t) < slot]
        return all(t.user_attrs.get("run0", {"failed": None})["failed"] is not None for t in before)

    def left(self) -> int:
        """How many points are no result yet."""
        done = {slot_of(t) for t in self.study.get_trials(deepcopy=False) if is_live(t) and t.state.is_finished()}
        return self.size - sum(slot < self.size for slot in done)

    @contextlib.contextmanager
    def beating(self, trial: Trial) -> Iterator[None]:
        """Signs of life while a trial runs."""
        from optuna.storages import InMemoryStorage

        if isinstance(self.storage, InMemoryStorage):
            yield
            return
        over = threading.Event()
        thread = threading.Thread(target=self._beat, args=(trial._trial_id, over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _beat(self, trial_id: int, over: threading.Event) -> None:
        from optuna.exceptions import UpdateFinishedTrialError

        count = 0
        while not over.wait(BEAT):
            count += 1
            try:
                self.storage.set_trial_user_attr(trial_id, "beat", count)
            except UpdateFinishedTrialError:
                return


def _machine() -> str:
    """Where a process number means something: the host, since it was started, and its namespace of processes."""
    parts = [socket.gethostname()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:
        pass  # another system: the host alone
    return " ".join(parts)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
