"""The one writer of this process: group commit, led by whoever comes first.

The thread that finds nobody writing leads: it runs its own write at once, without a change of
thread, then those that came meanwhile, and commits. Writes that come during the commit wait for the
next group, led by the first of them; one fsync makes a group durable.

```
thread A  ─BEGIN a COMMIT─sync─> answer
thread B     waits ........... ─BEGIN b c COMMIT─sync─> answer
thread C        waits ................... ────────────> answer
```
Among processes only the transaction is exclusive, not the sync: see `log.py`.

A write may be run twice before it is committed once: it must have no effect but on the database.
Measured against a writer thread of its own on two cores: 1.5 times as many writes a second, since
two changes of thread for each write fall away.
"""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from streamer_core.errors import StoreError
from streamer_plugin_sqlite.database import Database
from streamer_plugin_sqlite.faults import translated
from streamer_plugin_sqlite.log import Log
from streamer_plugin_sqlite.turnstile import Turnstile

T = TypeVar("T")
Write = Callable[[Database], T]

_LARGEST_GROUP = 128


class _SpoiltError(Exception):
    """A write of the group failed halfway: undo the group, and run each with a savepoint."""


class _Job:
    """A write under way: waits on `turn` until it is done or has to lead."""

    __slots__ = ("done", "error", "leads", "result", "turn", "write")

    def __init__(self, write: Write[Any]) -> None:
        self.write = write
        self.turn: threading.Lock | None = None
        self.leads = False
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None

    def answer(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.result


class Writer:
    """Runs writes one after the other and answers only once they are committed.

    Args:
        db: the connection to write on; closed with the writer.
        turnstile: held during each transaction; closed with the writer.
        log: synced after each transaction; None where SQLite does it.
        extra: asked at each transaction for a write that comes along, which nobody waits for.
        fed: called after a commit that fed changes.
    """

    def __init__(
        self,
        db: Database,
        turnstile: Turnstile,
        log: Log | None,
        *,
        extra: Callable[[], Write[None] | None],
        fed: Callable[[], None],
    ) -> None:
        self._db = db
        self._turnstile = turnstile
        self._log = log
        self._extra = extra
        self._fed = fed
        self._mutex = threading.Lock()
        self._idle = threading.Condition(self._mutex)
        self._waiting: deque[_Job] = deque()
        self._led = False
        self._closed = False
        self.commits = 0

    @property
    def waiting(self) -> int:
        """How many writes wait for the next group."""
        return len(self._waiting)

    def submit(self, write: Write[T]) -> T:
        """Run a write in a transaction; return when it is durable.

        Raises:
            StoreError: it did not happen; or whatever `write` raised, and it did not happen.
        """
        job = _Job(write)
        try:
            self._arrive(job)
            if job.turn is not None:
                job.turn.acquire()
            if not job.done:
                self._lead(job)
        except BaseException:
            self._leave(job)
            raise
        result: T = job.answer()
        return result

    def close(self) -> None:
        """Finish what was submitted, refuse what comes later, let go of the file."""
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            self._idle.wait_for(lambda: not self._led)
        self._db.close()
        self._turnstile.close()

    def _arrive(self, job: _Job) -> None:
        with self._mutex:
            if self._closed:
                raise StoreError("the store is closed")
            if self._led:
                job.turn = threading.Lock()
                job.turn.acquire()
                self._waiting.append(job)
            else:
                self._led = job.leads = True

    def _leave(self, job: _Job) -> None:
        """Take back the write of a caller who was interrupted, unless it has begun."""
        with self._mutex:
            if job in self._waiting:
                self._waiting.remove(job)
            self._pass_on(job)

    def _lead(self, own: _Job) -> None:
        group = [own]  # from the beginning: what keeps the group from beginning is its error
        fed = False
        try:
            with self._mutex:
                if own.turn is not None:
                    self._waiting.popleft()
            fed = self._make_durable(group)
        except (sqlite3.Error, OSError) as error:
            _fail(group, error)
        except BaseException:
            _fail(group, None)
            raise
        finally:
            self._dismiss(group, own)
        if fed:
            self._fed()

    def _make_durable(self, group: list[_Job]) -> bool:
        """Commit the group; tells whether it fed changes."""
        with self._turnstile:
            if self._log is None:
                self._commit(group)
                return self._db.fed
            self._log.mend(self._db)
            self._commit(group)
            number = self._log.committed()
        self._log.sync(number)
        return self._db.fed

    def _commit(self, group: list[_Job]) -> None:
        """Run the leader's write, and all that wait or come meanwhile, in one transaction."""
        try:
            self._begin()
            try:
                self._run_all(group)
            except _SpoiltError:
                self._db.execute("ROLLBACK")
                self._begin()
                for job in group:
                    _run_carefully(self._db, job)
            self._db.execute("COMMIT")
            self.commits += 1
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _begin(self) -> None:
        self._db.fed = False
        self._db.execute("BEGIN IMMEDIATE")

    def _run_all(self, group: list[_Job]) -> None:
        _run(self._db, group[0])
        if (extra := self._extra()) is not None:
            group.append(_Job(extra))
            _run(self._db, group[-1])
        while self._join_next(group):
            _run(self._db, group[-1])

    def _join_next(self, group: list[_Job]) -> bool:
        with self._mutex:
            if not self._waiting or len(group) >= _LARGEST_GROUP:
                return False
            group.append(self._waiting.popleft())
            return True

    def _dismiss(self, group: Sequence[_Job], own: _Job) -> None:
        for job in group:
            job.done = True
        with self._mutex:
            self._pass_on(own)
        for job in group:
            if job.turn is not None and job is not own:
                job.turn.release()

    def _pass_on(self, leader: _Job) -> None:
        """Let the first that waits lead; the mutex is held."""
        if not leader.leads:
            return
        leader.leads = False
        if not self._waiting:
            self._led = False
            self._idle.notify_all()
            return
        heir = self._waiting[0]
        heir.leads = True
        if heir.turn is not None:
            heir.turn.release()


def _run(db: Database, job: _Job) -> None:
    """Run one write of a group; nearly all that fail do so before they have written anything.

    Raises:
        _SpoiltError: it wrote something and failed.
    """
    written = db.total_changes
    try:
        job.result = job.write(db)
    except Exception as error:
        job.error = _of_its_own(error)
        if not db.in_transaction:  # SQLite undid the whole group: disk full, I/O error
            raise
        if db.total_changes != written:
            raise _SpoiltError from error


def _run_carefully(db: Database, job: _Job) -> None:
    """Run one write of a group; its failure undoes it and nothing else."""
    job.result = job.error = None
    db.execute("SAVEPOINT one")
    try:
        job.result = job.write(db)
    except Exception as error:
        job.error = _of_its_own(error)
        if not db.in_transaction:
            raise
        db.execute("ROLLBACK TO one")
    db.execute("RELEASE one")


def _fail(group: Sequence[_Job], error: sqlite3.Error | OSError | None) -> None:
    """Let none of a group be acknowledged, whatever its writes made of what was then undone."""
    for job in group:
        job.error = _of_its_own(error) if error else StoreError("the commit was interrupted")


def _of_its_own(error: Exception) -> Exception:
    if not isinstance(error, sqlite3.Error | OSError):
        return error
    own = translated(error)
    own.__cause__ = error
    return own
