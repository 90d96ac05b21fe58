"""What was acknowledged is there, whatever became of the process."""

import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from streamer_plugin_sqlite import SqliteStore

from streamer_core.ports import Query
from streamer_core.ports.clock import SystemClock

Start = Callable[..., "subprocess.Popen[str]"]

ENDLESS = """
store = SqliteStore(sys.argv[1], clock)
def work(thread):
    number = 0
    while True:
        request = store.enqueue(a_request(clock, f"r-{thread}-{number}", user=f"u{thread}")).request
        say("enqueued", request.ref)
        held = claim_next(store)
        store.finish(held.ref, Status.COMPLETED, [an_end(clock)], fence=held.fence,
                     expires_at=clock.now() + 60_000)
        say("finished", held.ref)
        number += 1
for thread in range(3):
    threading.Thread(target=work, args=(thread,)).start()
"""

WORKER = """
store = SqliteStore(sys.argv[1], clock)
name, each, all_of_them = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
def work(thread):
    for number in range(each):
        store.enqueue(a_request(clock, f"{name}-{thread}-{number}", tenant=name))
        if held := claim_next(store):
            say(held.id)
threads = [threading.Thread(target=work, args=(thread,)) for thread in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
while held := claim_next(store):
    say(held.id)
store.close()
"""

UNTIL_FULL = """
import resource
store = SqliteStore(sys.argv[1], clock)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
for number in range(10_000):
    try:
        say(store.enqueue(a_request(clock, f"r-{number}", payload={"x": "x" * 500})).request.ref)
    except StoreError as error:
        say("error", type(error).__name__, error)
        break
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
say(store.enqueue(a_request(clock, "after")).request.ref)
store.close()
"""


@pytest.mark.parametrize("rounds", range(3))
def test_what_was_acknowledged_outlives_a_kill(path: Path, start: Start, rounds: int) -> None:
    """Killed amid commits: each acknowledged write is there, none is there by half."""
    process = start(ENDLESS, path)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(120)]
    process.kill()
    lines += process.stdout.read().splitlines(keepends=True)
    told = [line.split() for line in lines if line.endswith("\n")]
    assert_sound(path)
    store = SqliteStore(path, SystemClock())
    for verb, ref in told:
        request = store.get(ref)
        assert request is not None, f"{ref} was acknowledged"
        updates = store.updates(ref)
        assert len(updates) == request.last_seq
        assert request.status.terminal == bool(updates)
        assert verb == "enqueued" or request.status.terminal
    store.close()


def test_two_processes_claim_each_request_once(path: Path, start: Start) -> None:
    each = 60
    workers = [start(WORKER, path, name, each, 4 * each) for name in ("a", "b")]
    claimed = [name for worker in workers for name in worker.communicate(timeout=60)[0].split()]
    assert [worker.returncode for worker in workers] == [0, 0]
    expected = {f"{w}-{thread}-{n}" for w in "ab" for thread in range(2) for n in range(each)}
    assert sorted(claimed) == sorted(expected)
    assert_sound(path)


def test_a_full_disk_is_no_acknowledgement(path: Path, start: Start) -> None:
    """And once there is room again, the same store goes on."""
    pytest.importorskip("resource")
    *refs, error, after = start(UNTIL_FULL, path).communicate(timeout=60)[0].splitlines()
    assert error.startswith("error StoreError the disk")
    store = SqliteStore(path, SystemClock())
    kept = {request.ref for request in store.query(Query(), limit=10_000).items}
    store.check()
    store.close()
    assert kept == {*refs, after}
    assert_sound(path)


def assert_sound(path: Path) -> None:
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()
