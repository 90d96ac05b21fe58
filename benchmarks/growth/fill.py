"""Filling a database with finished requests faster than they can be lived through.

The first are the store's own, written by its verbs. SQL then copies those rows, all that belongs to
them included, under new numbers and refs: a million that way takes a minute, by the verbs several.
What it needs to know of the file is that `requests` and what belongs to a request share the number
`n`, that `ref` is a request's name, and that a time's column ends in `_at`. Whether the store takes
the copies for finished requests is asked of the store itself, by `check`.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.growth.series import MB
from streamer_core.model.request import Status
from streamer_core.ports import Store


def copy(path: Path, *, originals: int, up_to: int) -> None:
    """Copy the first rows until there are so many; nobody else has the file open.

    Args:
        originals: how many of the first to copy, and how many ms are between a request's copies,
            so that copies lie in time as their numbers do.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA cache_size = -262144")  # 256 MB: new refs fall anywhere in their index
        (present,) = db.execute("SELECT count(*) FROM requests").fetchone()
        (first, last) = db.execute("SELECT min(n), max(n) FROM requests").fetchone()
        statements = [_copying(db, table) for table in _tables(db)]
        while present < up_to:
            many = min(originals, up_to - present)
            shift = last + 1 - first
            place = {"shift": shift, "first": first, "end": first + many}
            db.execute("BEGIN IMMEDIATE")
            for statement in statements:
                db.execute(statement, place)
            db.execute("COMMIT")
            present, last = present + many, last + many


def refs(path: Path, many: int) -> Sequence[str]:
    """Give some refs from all over the file, in no order."""
    with closing(sqlite3.connect(path)) as db:
        (last,) = db.execute("SELECT max(n) FROM requests").fetchone()
        step = max(1, last // many)
        rows = db.execute(
            "SELECT ref FROM requests WHERE n % ? = 0 ORDER BY ref LIMIT ?", (step, many)
        )
        return [ref for (ref,) in rows]


def check(store: Store, refs: Sequence[str]) -> None:
    """See that the store has these requests, finished.

    Raises:
        RuntimeError: it has not: its file is kept otherwise than this module believes.
    """
    for ref in refs:
        found = store.get(ref)
        if found is None or found.status is not Status.COMPLETED or found.outcome is None:
            raise RuntimeError(f"the store does not take a copied row for what it is: {found}")


def megabytes(path: Path) -> float:
    """Give the size of the database; what lies in the log alone yet is counted too."""
    with closing(sqlite3.connect(path)) as db:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
        return float(pages * size / MB)


def _tables(db: sqlite3.Connection) -> list[str]:
    names = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    return [name for (name,) in names if "n" in _columns(db, name)]


def _columns(db: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in db.execute(f"PRAGMA table_info({table})")]


def _copying(db: sqlite3.Connection, table: str) -> str:
    columns = _columns(db, table)
    values = [_value(column) for column in columns]
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) "
        f"SELECT {', '.join(values)} FROM {table} WHERE n >= :first AND n < :end"
    )


def _value(column: str) -> str:
    if column == "n":
        return "n + :shift"
    if column == "ref":
        return "lower(hex(randomblob(16)))"
    return f"{column} + :shift" if column.endswith("_at") else column
