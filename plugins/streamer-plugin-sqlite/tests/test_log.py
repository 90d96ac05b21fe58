"""A commit is durable before it is answered, and nobody else waits for the disk meanwhile."""

import errno
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from streamer_plugin_sqlite import SqliteStore, log

from streamer_core.errors import StoreError
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import PATIENCE_S, a_request, eventually


class Disk:
    """Syncs as the system does, unless it is told to hang or to fail."""

    def __init__(self) -> None:
        self.syncs = 0
        self.failing = False
        self.free = threading.Event()
        self.free.set()

    def sync(self, fd: int) -> None:
        self.syncs += 1
        assert self.free.wait(PATIENCE_S)
        if self.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fsync(fd)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(log, "_sync", disk.sync)
    return disk


@pytest.fixture
def other(path: Path, clock: ManualClock, store: SqliteStore) -> Iterator[SqliteStore]:
    """Give a second handle, as another process has one."""
    other = SqliteStore(path, clock)
    yield other
    other.close()


def database_alone(path: Path, tmp_path: Path) -> set[str]:
    """Give the ids that lie in the database, whatever becomes of its log."""
    copy = Path(shutil.copy(path, tmp_path / "copy.db"))
    with sqlite3.connect(f"file:{copy}?immutable=1", uri=True) as db:
        return {row[0] for row in db.execute("SELECT ref FROM requests")}


def test_each_answered_commit_is_synced(disk: Disk, store: SqliteStore, clock: ManualClock) -> None:
    for number in range(3):
        before = disk.syncs
        store.enqueue(a_request(clock, f"r-{number}"))
        assert disk.syncs == before + 1


def test_without_full_nothing_is_synced(disk: Disk, path: Path, clock: ManualClock) -> None:
    store = SqliteStore(path, clock, synchronous="NORMAL")
    store.enqueue(a_request(clock))
    store.close()
    assert disk.syncs == 0


def test_others_write_while_one_waits_for_the_disk(
    disk: Disk, store: SqliteStore, other: SqliteStore, clock: ManualClock
) -> None:
    with ThreadPoolExecutor(2) as pool:
        disk.free.clear()
        first = pool.submit(store.enqueue, a_request(clock, "first"))
        assert eventually(lambda: disk.syncs == 1)
        second = pool.submit(other.enqueue, a_request(clock, "second"))
        assert eventually(lambda: disk.syncs == 2)
        assert not first.done()
        assert not second.done()
        disk.free.set()
        assert first.result(PATIENCE_S).created
        assert second.result(PATIENCE_S).created


def test_one_sync_does_for_all_that_came_before_it(
    disk: Disk, store: SqliteStore, other: SqliteStore, clock: ManualClock
) -> None:
    ours, theirs = store._log, other._log
    assert ours
    assert theirs
    first, second = ours.committed(), theirs.committed()
    theirs.sync(second)
    before = disk.syncs
    ours.sync(first)
    assert disk.syncs == before


def test_what_is_read_is_durable(
    disk: Disk, store: SqliteStore, other: SqliteStore, clock: ManualClock
) -> None:
    request = a_request(clock)
    with ThreadPoolExecutor(2) as pool:
        disk.free.clear()
        writing = pool.submit(store.enqueue, request)
        assert eventually(lambda: disk.syncs == 1)
        reading = pool.submit(other.get, request.ref)
        assert eventually(lambda: disk.syncs == 2)
        assert not reading.done()
        disk.free.set()
        assert reading.result(PATIENCE_S) is not None
        writing.result(PATIENCE_S)
    other.get(request.ref)
    assert disk.syncs == 2, "all of it was durable already"


def test_a_failed_sync_acknowledges_nothing_and_costs_no_later_commit(
    disk: Disk, store: SqliteStore, path: Path, tmp_path: Path, clock: ManualClock
) -> None:
    store._writer._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    disk.failing = True
    with pytest.raises(StoreError, match="the disk failed"):
        store.enqueue(a_request(clock, "in doubt"))
    disk.failing = False
    in_doubt = a_request(clock, "in doubt").ref
    assert in_doubt not in database_alone(path, tmp_path)
    answered = store.enqueue(a_request(clock, "after")).request.ref
    assert in_doubt in database_alone(path, tmp_path), "SQLite has synced it there"
    for ref in (in_doubt, answered):
        assert store.get(ref) is not None


def test_what_cannot_be_read_for_certain_is_an_error(
    disk: Disk, store: SqliteStore, other: SqliteStore, clock: ManualClock
) -> None:
    disk.failing = True
    with pytest.raises(StoreError):
        store.enqueue(a_request(clock))
    with pytest.raises(StoreError, match="the disk failed"):
        other.get(a_request(clock).ref)


def test_a_commit_counts_on_from_whatever_a_power_cut_left(
    disk: Disk, store: SqliteStore, path: Path, clock: ManualClock
) -> None:
    ours = store._log
    assert ours
    ours._counts[log._SYNCED] = 1_000
    before = disk.syncs
    store.enqueue(a_request(clock))
    assert disk.syncs == before + 1


def test_what_was_answered_outlives_a_power_cut(
    monkeypatch: pytest.MonkeyPatch,
    store: SqliteStore,
    other: SqliteStore,
    path: Path,
    tmp_path: Path,
) -> None:
    """A power cut leaves of the log what it held when a sync began that has returned."""
    durable: list[bytes] = []

    def sync(fd: int) -> None:
        held = path.with_name(f"{path.name}-wal").read_bytes()
        os.fsync(fd)
        durable.append(held)

    def answered(number: int) -> None:
        handle = store if number % 2 else other
        ref = handle.enqueue(a_request(handle.clock, f"r-{number}")).request.ref
        left = Path(shutil.copy(path, tmp_path / f"left-{number}.db"))
        left.with_name(f"{left.name}-wal").write_bytes(max(durable, key=len))
        with sqlite3.connect(left) as db:
            found = db.execute("SELECT 1 FROM requests WHERE ref = ?", (ref,)).fetchone()
        assert found, f"request {number} was answered"

    monkeypatch.setattr(log, "_sync", sync)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(answered, range(40)))
