"""Doorbells across processes, and what replaces them where there are none."""

import os
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from streamer_plugin_sqlite import SqliteStore, changes
from streamer_plugin_sqlite.doorbell import Doorbells

from streamer_core.ports import Feed
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import PATIENCE_S, a_request

Start = Callable[..., "subprocess.Popen[str]"]

ENQUEUE_ON_DEMAND = """
store = SqliteStore(sys.argv[1], clock)
say("ready")
for line in sys.stdin:
    store.enqueue(a_request(clock, line.strip()))
    say("done")
store.close()
"""
LISTEN = """
feed = SqliteStore(sys.argv[1], clock).open_feed()
say("listening")
feed.get(60)
"""


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def refs(feed: Feed, timeout_s: float = PATIENCE_S) -> set[str]:
    return {change.ref for change in feed.get(timeout_s)}


def test_another_process_rings_at_once(store: SqliteStore, path: Path, start: Start) -> None:
    """Far sooner than anything that looks twice a second would notice."""
    feed = store.open_feed()
    process = start(ENQUEUE_ON_DEMAND, path)
    assert line_of(process) == "ready"
    assert process.stdin is not None
    took = []
    for number in range(9):
        begun = time.monotonic()
        process.stdin.write(f"r-{number}\n")
        process.stdin.flush()
        assert refs(feed) == {a_request(store.clock, f"r-{number}").ref}
        took.append(time.monotonic() - begun)
        assert line_of(process) == "done"
    assert statistics.median(took) < 0.1


def test_the_bell_of_a_dead_process_is_removed(
    store: SqliteStore, path: Path, start: Start
) -> None:
    process = start(LISTEN, path)
    assert line_of(process) == "listening"
    bells = Path(f"{path}.feeds")
    (stale,) = bells.iterdir()
    process.kill()
    process.wait()
    store.enqueue(a_request(store.clock))
    assert not stale.exists()


def test_the_directory_of_bells_is_private(store: SqliteStore, path: Path) -> None:
    feed = store.open_feed()
    bells = Path(f"{path}.feeds")
    assert bells.stat().st_mode & 0o777 == 0o700
    feed.close()
    feed.close()
    assert list(bells.iterdir()) == []


def test_a_path_too_long_for_a_socket_has_bells_too(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("reached through Linux's /proc")
    path = tmp_path / ("d" * 100) / "streamer.db"
    clock = ManualClock()
    one, other = SqliteStore(path, clock), SqliteStore(path, clock)
    feed = one.open_feed()
    assert len(list(Path(f"{path}.feeds").iterdir())) == 1
    request = other.enqueue(a_request(clock)).request
    assert refs(feed) == {request.ref}
    one.close()
    other.close()


def test_a_bell_that_is_full_has_rung(store: SqliteStore) -> None:
    feed = store.open_feed()
    expected = {store.enqueue(a_request(store.clock, f"r-{n}")).request.ref for n in range(50)}
    assert refs(feed) == expected
    assert refs(feed, 0.01) == set()


def test_without_sockets_its_own_process_rings(
    path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")
    one, other = SqliteStore(path, clock), SqliteStore(path, clock)
    feed = one.open_feed()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(refs, feed, 60)
        mine = one.enqueue(a_request(clock, "mine")).request.ref
        assert waiting.result(PATIENCE_S) == {mine}
        theirs = other.enqueue(a_request(clock, "theirs")).request.ref
        assert refs(feed) == {theirs}, "it looks twice a second"
        closing = pool.submit(refs, feed, 60)
        one.close()
        assert closing.result(PATIENCE_S) == set()
    other.close()


def test_a_directory_that_cannot_be_made_is_done_without(path: Path, clock: ManualClock) -> None:
    Path(f"{path}.feeds").write_text("in the way")
    store = SqliteStore(path, clock)
    feed = store.open_feed()
    assert refs(feed, 0.01) == set()
    request = store.enqueue(a_request(clock)).request
    assert refs(feed) == {request.ref}
    store.close()


def test_two_that_wait_on_one_feed(store: SqliteStore) -> None:
    """One of them gets the change; the other gives up in its time."""
    feed = store.open_feed()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(refs, feed, 60)
        assert refs(feed, 0.05) == set()
        request = store.enqueue(a_request(store.clock)).request
        assert waiting.result(PATIENCE_S) == {request.ref}


def test_the_table_is_trimmed_and_goes_on(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "_KEPT", 20)
    monkeypatch.setattr(changes, "_TRIM_EVERY", 10)
    feed = store.open_feed()
    all_refs = [store.enqueue(a_request(store.clock, f"r-{n}")).request.ref for n in range(100)]
    kept = store._read(lambda db: db.execute("SELECT count(*) FROM changes").fetchone()[0])
    assert kept <= 30
    assert refs(feed) <= set(all_refs)
    assert refs(feed, 0.01) == set()


def test_a_bell_rung_while_closing_harms_nobody(tmp_path: Path) -> None:
    bells = Doorbells(tmp_path / "bells")
    bells.ring()
    bell = bells.open()

    def ring() -> None:
        for _ in range(200):
            bells.ring()

    ringing = threading.Thread(target=ring)
    ringing.start()
    bell.wait(PATIENCE_S)
    bell.close()
    ringing.join()
    bells.close()
    assert os.listdir(tmp_path / "bells") == []  # noqa: PTH208
