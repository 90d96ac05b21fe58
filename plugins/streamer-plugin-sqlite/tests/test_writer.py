"""Group commit: many writes, few commits, and nobody pays for another's error."""

import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from streamer_plugin_sqlite import SqliteStore
from streamer_plugin_sqlite.database import Database
from streamer_plugin_sqlite.turnstile import Turnstile
from streamer_plugin_sqlite.writer import Writer

from streamer_core.errors import ItemTooLarge, LimitReached, StoreError, Throttled
from streamer_core.model.counter import Count
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import PATIENCE_S, a_request, eventually
from streamer_core.testing.contracts.store.base import completed, running

Write = Callable[[Database], Any]


@pytest.fixture
def writer(store: SqliteStore) -> Writer:
    return store._writer


class LateLeaver:
    """A turnstile at which a transaction that has committed waits before it leaves."""

    def __init__(self, turnstile: Turnstile, hold: Callable[[], None]) -> None:
        self.turnstile = turnstile
        self.hold = hold

    def __enter__(self) -> None:
        self.turnstile.__enter__()

    def __exit__(self, *error: object) -> None:
        self.hold()
        self.turnstile.__exit__(*error)


@contextmanager
def held(writer: Writer, *, at_commit: bool = False) -> Iterator[None]:
    """Keep the writer busy, in a write or past its commit, so that what is submitted waits."""
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        assert leave.wait(PATIENCE_S)

    turnstile = writer._turnstile
    if at_commit:
        writer._turnstile = LateLeaver(turnstile, hold)  # type: ignore[assignment]
    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(writer.submit, lambda _: None if at_commit else hold())
        assert entered.wait(PATIENCE_S)
        writer._turnstile = turnstile
        try:
            yield
        finally:
            leave.set()
            leader.result(PATIENCE_S)


def submitted(pool: ThreadPoolExecutor, writer: Writer, writes: list[Write]) -> list[Future[Any]]:
    """Submit writes from threads of their own, in order, and see that they wait."""
    futures = []
    for number, write in enumerate(writes, 1):
        futures.append(pool.submit(writer.submit, write))
        assert eventually(lambda number=number: writer.waiting == number)  # type: ignore[misc]
    return futures


def put(key: str) -> Write:
    def write(db: Database) -> str:
        db.execute("INSERT INTO small_values (key, version, body) VALUES (?, 1, 'null')", (key,))
        return key

    return write


def kept(store: SqliteStore) -> set[str]:
    return set(store.values(""))


@pytest.mark.parametrize("at_commit", [False, True])
def test_many_writes_share_a_commit(store: SqliteStore, writer: Writer, at_commit: bool) -> None:
    before = writer.commits
    keys = [f"k{number:02}" for number in range(20)]
    with ThreadPoolExecutor(20) as pool:
        with held(writer, at_commit=at_commit):
            futures = submitted(pool, writer, [put(key) for key in keys])
        assert [future.result(PATIENCE_S) for future in futures] == keys
    assert kept(store) == set(keys)
    assert writer.commits - before == (2 if at_commit else 1)


def test_a_bad_write_does_not_spoil_its_neighbours(store: SqliteStore, writer: Writer) -> None:
    def bad(db: Database) -> None:
        put("half")(db)
        raise ValueError("changed my mind")

    with ThreadPoolExecutor(3) as pool:
        with held(writer):
            first, second, third = submitted(pool, writer, [put("a"), bad, put("c")])
        assert (first.result(PATIENCE_S), third.result(PATIENCE_S)) == ("a", "c")
        with pytest.raises(ValueError, match="changed my mind"):
            second.result(PATIENCE_S)
    assert kept(store) == {"a", "c"}


def test_sqlites_errors_are_the_stores(store: SqliteStore, writer: Writer) -> None:
    writer.submit(put("a"))
    with pytest.raises(StoreError, match="UNIQUE"):
        writer.submit(put("a"))
    with pytest.raises(StoreError, match="no such table"):
        store._read(lambda db: db.execute("SELECT 1 FROM nowhere"))


def test_a_refusal_leaves_nothing_of_its_own(store: SqliteStore, clock: ManualClock) -> None:
    request = a_request(clock)
    with pytest.raises(LimitReached):
        store.enqueue(request, counts=[Count(key="a"), Count(key="b", limit=0)])
    assert store.get(request.ref) is None
    assert store.count([Count(key="a", amount=0)]).levels == (0,)


def test_a_commit_that_fails_acknowledges_nobody(store: SqliteStore, writer: Writer) -> None:
    """A deferred foreign key lets each write pass and the commit fail."""

    def orphan(db: Database) -> None:
        db.execute("INSERT INTO child VALUES (1)")

    with writer._mutex:
        writer._db.execute("PRAGMA foreign_keys = ON")
        writer._db.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
        writer._db.execute(
            "CREATE TABLE child (p REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)"
        )
    with ThreadPoolExecutor(3) as pool:
        with pytest.raises(StoreError, match="FOREIGN KEY"), held(writer):
            futures = submitted(pool, writer, [put("a"), orphan, put("c")])
        for future in futures:
            with pytest.raises(StoreError, match="FOREIGN KEY"):
                future.result(PATIENCE_S)
    assert kept(store) == set()
    assert writer.submit(put("later")) == "later"


def test_a_full_database_acknowledges_nobody(store: SqliteStore, writer: Writer) -> None:
    pages = writer._db.execute("PRAGMA page_count").fetchone()[0]
    writer._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreError, match="the disk is full"):
        store.put_value("large", "x" * 60_000)
    assert store.get_value("large") is None
    writer._db.execute("PRAGMA max_page_count = 1000000")
    store.put_value("large", "x" * 60_000)


def test_what_sqlite_cannot_hold_is_too_large(store: SqliteStore, writer: Writer) -> None:
    writer._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000)
    with pytest.raises(ItemTooLarge, match="SQLite cannot hold"):
        store.put_value("large", "x" * 20_000)
    with pytest.raises(ItemTooLarge, match="more than 65536"):
        store.put_value("larger", "x" * 70_000)


def test_a_busy_database_asks_to_try_again(path: Path, clock: ManualClock) -> None:
    store = SqliteStore(path, clock, busy_timeout_ms=0)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for verb in (store.check, lambda: store.enqueue(a_request(clock))):
        with pytest.raises(Throttled, match="another process holds the database"):
            verb()
    other.execute("ROLLBACK")
    store.check()
    other.close()
    store.close()


def test_an_interrupted_leader_fails_its_group_and_hands_on(
    store: SqliteStore, writer: Writer
) -> None:
    def interrupted(_: Database) -> None:
        raise KeyboardInterrupt

    with ThreadPoolExecutor(2) as pool:
        with held(writer, at_commit=True):
            first, second = submitted(pool, writer, [interrupted, put("b")])
        with pytest.raises(KeyboardInterrupt):
            first.result(PATIENCE_S)
        try:
            second.result(PATIENCE_S)
        except StoreError as error:
            assert "interrupted" in str(error)  # noqa: PT017 - either it was in the group or not
    assert writer.submit(put("later")) == "later"


def test_an_interrupted_waiter_takes_its_write_back(store: SqliteStore, writer: Writer) -> None:
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        assert eventually(lambda: writer.waiting == 1)
        signal.pthread_kill(main, signal.SIGINT)

    with ThreadPoolExecutor(1) as pool, held(writer):
        interrupting = pool.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            writer.submit(put("never"))
        interrupting.result(PATIENCE_S)
        assert writer.waiting == 0
    assert kept(store) == set()


def test_closing_finishes_what_waits(path: Path, store: SqliteStore, writer: Writer) -> None:
    with ThreadPoolExecutor(4) as pool:
        with held(writer, at_commit=True):
            futures = submitted(pool, writer, [put("a"), put("b")])
            closing = pool.submit(writer.close)
            assert eventually(lambda: writer._closed)
            with pytest.raises(StoreError, match="closed"):
                writer.submit(put("late"))
        assert [future.result(PATIENCE_S) for future in futures] == ["a", "b"]
        closing.result(PATIENCE_S)
    assert kept(store) == {"a", "b"}


def test_notes_are_written_by_themselves(store: SqliteStore, clock: ManualClock) -> None:
    held_request = running(store)
    completed(store, held_request)
    store.mark_sent(held_request.ref, 1)

    def sent() -> int:
        row = store._readers.run(lambda db: db.execute("SELECT sent_seq FROM requests").fetchone())
        return int(row[0])

    assert eventually(lambda: sent() == 1)


def test_notes_are_written_at_the_closing(path: Path, clock: ManualClock) -> None:
    store = SqliteStore(path, clock)
    held_request = running(store)
    completed(store, held_request)
    store.mark_sent(held_request.ref, 1)
    store.close()
    again = SqliteStore(path, clock)
    request = again.get(held_request.ref)
    again.close()
    assert request is not None
    assert request.sent_seq == 1
