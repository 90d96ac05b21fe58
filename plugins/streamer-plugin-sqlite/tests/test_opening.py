"""Where a database may lie, and what becomes of older and newer files."""

import gc
import sqlite3
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from streamer_plugin_sqlite import SqliteStore, schema
from streamer_plugin_sqlite.database import connect

from streamer_core.errors import ConfigurationError, StoreError
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import a_request

OPEN_FILES = Path("/proc/self/fd")


def refused(path: str | Path, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        SqliteStore(path, ManualClock())


def version_of(path: Path) -> int:
    db = sqlite3.connect(path)
    found: int = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    return found


def test_directories_are_made_and_the_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "streamer.db"
    store = SqliteStore(path, ManualClock())
    store.check()
    modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    store.close()
    assert modes == {0o600}


@pytest.mark.parametrize("path", ["", ":memory:", "file:x.db?mode=memory"])
def test_what_does_not_outlive_the_process_is_refused(path: str) -> None:
    refused(path, "write a file name")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, r"\[plugins.sqlite\] path: .* cannot be used")


def test_a_file_below_a_file_is_refused(path: Path) -> None:
    path.touch()
    refused(path / "deeper.db", "cannot be used")


def test_a_file_that_may_not_be_written_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.touch()
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anything
    refused(path, "Permission denied")


def test_a_lock_that_cannot_be_made_is_refused(path: Path) -> None:
    Path(f"{path}.lock").mkdir()
    refused(path, "cannot be used")


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("No database, but long enough to look into. " * 100)
    refused(path, "file is not a database")


def test_a_directory_that_may_not_be_written_is_refused(
    tmp_path: Path, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    script = """
if os.geteuid() == 0:
    os.setuid(65534)  # root may write anywhere
try:
    SqliteStore(Path(sys.argv[1], "streamer.db"), clock)
except ConfigurationError as error:
    say(error)
"""
    out, _ = start(script, locked).communicate(timeout=30)
    assert "Permission denied" in out
    assert "[plugins.sqlite] path" in out


def test_an_older_file_is_migrated(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = store.enqueue(a_request(store.clock)).request
    store.close()
    newer = (*schema.MIGRATIONS, "CREATE TABLE later (id INTEGER); CREATE INDEX x ON later (id);")
    monkeypatch.setattr(schema.migrate, "__defaults__", (newer,))
    again = SqliteStore(path, store.clock)
    assert again.get(request.ref) == request
    again.close()
    assert version_of(path) == len(schema.MIGRATIONS) + 1


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = store.enqueue(a_request(store.clock)).request
    store.close()
    broken = (*schema.MIGRATIONS, "CREATE TABLE later (id INTEGER); CREATE TABLE requests (n);")
    with monkeypatch.context() as patch:
        patch.setattr(schema.migrate, "__defaults__", (broken,))
        refused(path, "requests already exists")
    again = SqliteStore(path, store.clock)
    assert again.get(request.ref) == request
    again.close()


def test_another_process_may_migrate_first(path: Path) -> None:
    db = connect(path, synchronous="FULL", busy_timeout_ms=0)
    schema.migrate(db, path)
    schema.migrate(db, path)
    db.close()
    assert version_of(path) == len(schema.MIGRATIONS)


def test_a_newer_file_is_refused(store: SqliteStore, path: Path) -> None:
    store.close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 999")
    db.close()
    refused(path, "schema version 999.*upgrade the plugin")


def test_a_store_does_not_cross_a_fork(
    path: Path, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    script = """
store = SqliteStore(sys.argv[1], clock)
if (child := os.fork()) == 0:
    for verb in (lambda: store.get("x"), store.check, store.open_feed):
        try:
            verb()
        except StoreError as error:
            say(error)
    store.close()
    os._exit(0)
os.waitpid(child, 0)
store.check()
store.close()
say("the parent goes on")
"""
    out, _ = start(script, path).communicate(timeout=30)
    assert out.count("opened before a fork") == 3
    assert "the parent goes on" in out


def test_a_closed_store_says_so(store: SqliteStore) -> None:
    store.close()
    store.close()
    for verb in (store.check, lambda: store.get("x"), store.open_feed):
        with pytest.raises(StoreError, match="closed"):
            verb()


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="counts open files by Linux's /proc")
def test_its_descriptors_are_closed(path: Path) -> None:
    gc.collect()  # what earlier tests have left behind is not closed meanwhile
    before = len(list(OPEN_FILES.iterdir()))
    for _ in range(3):
        store = SqliteStore(path, ManualClock())
        store.open_feed()
        store.enqueue(a_request(store.clock))
        store.get("x")
        store.close()
    assert len(list(OPEN_FILES.iterdir())) == before


def test_a_second_handle_does_not_disturb_the_first(store: SqliteStore, path: Path) -> None:
    """POSIX locks are a process's own: closing any descriptor of a file drops all of them."""
    request = store.enqueue(a_request(store.clock)).request
    for _ in range(2):
        SqliteStore(path, store.clock).close()
    assert Path(f"{path}-wal").exists()
    assert store.get(request.ref) == request
