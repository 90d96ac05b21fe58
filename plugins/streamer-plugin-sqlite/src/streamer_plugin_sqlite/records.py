"""Requests to rows and back.

What changes often and what is asked for has columns; what never changes lies in `body`, in the row
where it is short and in `bodies` where it is long, so that a heartbeat does not write a payload
again. The outcome is the terminal update's body and is stored once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from streamer_core.model.codec import dumps, fields_of, loads, request_values
from streamer_core.model.message import Priority
from streamer_core.model.policy import Slot
from streamer_core.model.request import ORIGIN_ALONE, Failure, Request, Status
from streamer_plugin_sqlite.database import Database
from streamer_plugin_sqlite.text import stored, told

_NAMES = (
    *("ref", "tenant", "user", "action", "status", "created_at", "due_at"),
    *("attempt", "spent", "fence", "lease_until", "worker"),
    *("last_seq", "sent_seq", "out_bytes", "subscribers_version", "checkpoint_seq"),
    *("cancel_requested_at", "started_at", "claimed_at", "ran_ms", "finished_at", "expires_at"),
)
_JSON_NAMES = ("progress", "slots", "settle")
_FIRST_NAME = 6  # after n, queue, lane and the JSON columns
TENANT, DUE_AT = (_FIRST_NAME + _NAMES.index(name) for name in ("tenant", "due_at"))
_BODY_NAMES = {f.name for f in fields(Request)} - {
    *(*_NAMES, "priority", *_JSON_NAMES),
    *("outcome", "checkpoint", "failures", "extra"),
}
_IMMUTABLE = {"ref", "tenant", "user", "action", "created_at", "sent_seq"}
_MUTABLE = tuple(name for name in _NAMES if name not in _IMMUTABLE)
_INLINE_BODY = 1500  # characters: a few rows still share a page of 4096 bytes

HOT = ", ".join(f"r.{name}" for name in ("n", "queue", "lane", *_JSON_NAMES, *_NAMES))
FULL = f"""{HOT},
    coalesce(r.body, (SELECT b.body FROM bodies b WHERE b.n = r.n)),
    (SELECT s.checkpoint FROM states s WHERE s.n = r.n),
    (SELECT s.failures FROM states s WHERE s.n = r.n),
    CASE WHEN r.finished_at IS NOT NULL
        THEN (SELECT u.body FROM updates u WHERE u.n = r.n AND u.seq = r.last_seq) END
"""  # noqa: S608

Row = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Record:
    """A request as it is stored.

    Args:
        n: the row's number.
        queue: where it waits, or None.
        request: whole where it was read from a row of `FULL`; of `HOT`, only what changes often is
            filled in: no id, payload, failures, checkpoint and the like.
    """

    n: int
    queue: int | None
    request: Request

    def moved(self, request: Request) -> "Record":
        """Give the record with the request's next state."""
        return Record(self.n, self.queue, request)


def record(row: Row) -> Record:
    """Read a row of the columns `HOT` or `FULL`."""
    n, queue, lane, progress, slots, settle, *rest = row
    values: dict[str, Any] = dict(zip(_NAMES, rest, strict=False))
    values["tenant"], values["user"] = told(values["tenant"]), told(values["user"])
    values["status"], values["priority"] = _STATUSES[values["status"]], _LANES[lane]
    values["id"] = ""
    plain = _loaded(progress=progress, slots=slots, settle=settle)
    if cold := rest[len(_NAMES) :]:
        body, checkpoint, failures, outcome = cold
        plain |= _loaded(checkpoint=checkpoint, failures=failures, outcome=outcome)
        plain |= loads(body)
    if plain:
        values |= request_values(plain)
    return Record(n, queue, Request.made_of(values))


_STATUSES = {status.value: status for status in Status}
_LANES = {lane.value: lane for lane in Priority}


def _loaded(**texts: str | None) -> dict[str, Any]:
    return {name: loads(text) for name, text in texts.items() if text is not None}


def slots_of(text: str | None) -> Sequence[Slot]:
    """Read the column `slots`."""
    if text is None:
        return ()
    slots: Sequence[Slot] = request_values({"slots": loads(text)})["slots"]
    return slots


def find(db: Database, ref: str, *, full: bool = False) -> Record | None:
    """Read the record of a ref, expired or not."""
    sql = f"SELECT {FULL if full else HOT} FROM requests r WHERE r.ref = ?"  # noqa: S608
    row = db.execute(sql, (ref,)).fetchone()
    return record(row) if row else None


_INSERTED = ("lane", "queue", "body", "origin", *_NAMES, *_JSON_NAMES)
_INSERT = (
    f"INSERT INTO requests ({', '.join(_INSERTED)}) "  # noqa: S608
    f"VALUES ({', '.join('?' * len(_INSERTED))})"
)


def body_of(request: Request) -> str:
    """Give what never changes of a new request as JSON."""
    plain = {name: value for name in _BODY_NAMES if (value := getattr(request, name)) is not None}
    plain["scopes"] = sorted(request.scopes)
    plain["policy"] = fields_of(request.policy)
    return dumps({**request.extra, **plain})


def insert(db: Database, request: Request, body: str, queue: int | None) -> int:
    """Store a new request; gives the row's number."""
    values = {name: getattr(request, name) for name in _NAMES}
    values["tenant"], values["user"] = stored(request.tenant), stored(request.user)
    values["status"] = request.status.value
    inline = len(body) <= _INLINE_BODY
    n = db.execute(
        _INSERT,
        (
            request.priority.value,
            queue,
            body if inline else None,
            request.connection_id if request.subscribers_version == ORIGIN_ALONE else None,
            *values.values(),
            _snapshot(request),
            _list(request.slots),
            _list(request.settle),
        ),
    ).lastrowid
    assert n is not None
    if not inline:
        db.execute("INSERT INTO bodies (n, body) VALUES (?, ?)", (n, body))
    if request.checkpoint is not None:
        put_checkpoint(db, n, request.checkpoint)
    if request.failures:
        put_failures(db, n, request.failures)
    return n


def save(db: Database, before: Record, after: Request, **columns: Any) -> None:
    """Write the columns that differ between two states of a request, and `columns`."""
    columns = differing(before.request, after) | columns
    if columns:
        sql = f"UPDATE requests SET {_assigned(columns)} WHERE n = ?"  # noqa: S608
        db.execute(sql, (*columns.values(), before.n))


# `transitions._ran_ms`, in SQL: the lease is another than its holder knows after a heartbeat.
_RAN_MS = "ran_ms = ran_ms + coalesce(max(0, min(?, lease_until) - claimed_at), 0)"


def save_unread(
    db: Database, known: Request, columns: Mapping[str, Any], now: int
) -> tuple[int, int, int | None] | None:
    """Write columns of a held request where it is as its holder knows it, without reading it first.

    What it ran is added up, until now.

    Returns:
        The row's number, `subscribers_version` and `cancel_requested_at`, which others may have
        changed; None where the record is another by now, and nothing was written.
    """
    sql = (
        f"UPDATE requests SET {_assigned(columns)}, {_RAN_MS} "  # noqa: S608
        "WHERE ref = ? AND status = 'PROCESSING' AND fence = ? AND last_seq = ? "
        "RETURNING n, subscribers_version, cancel_requested_at"
    )
    values = (*columns.values(), now, known.ref, known.fence, known.last_seq)
    found: tuple[int, int, int | None] | None = db.execute(sql, values).fetchone()
    return found


def differing(before: Request, after: Request) -> dict[str, Any]:
    """Give the columns that differ between two states of a request."""
    was, now = vars(before), vars(after)
    columns = {name: now[name] for name in _MUTABLE if now[name] != was[name]}
    if "status" in columns:
        columns["status"] = after.status.value
    if after.progress != before.progress and after.progress is not None:
        columns["progress"] = _snapshot(after)
    return columns


def _assigned(columns: Iterable[str]) -> str:
    return ", ".join([f"{name} = ?" for name in columns])


def failures_of(db: Database, n: int) -> tuple[Failure, ...]:
    """Read the failures kept of a request."""
    row = db.execute("SELECT failures FROM states WHERE n = ?", (n,)).fetchone()
    if row is None or row[0] is None:
        return ()
    failures: tuple[Failure, ...] = request_values({"failures": loads(row[0])})["failures"]
    return failures


def put_checkpoint(db: Database, n: int, checkpoint: Any) -> None:
    """Keep a checkpoint in place of the last one."""
    db.execute(
        "INSERT INTO states (n, checkpoint) VALUES (?, ?) "
        "ON CONFLICT (n) DO UPDATE SET checkpoint = excluded.checkpoint",
        (n, dumps(checkpoint)),
    )


def put_failures(db: Database, n: int, failures: Sequence[Failure]) -> None:
    """Keep failures in place of the last ones."""
    db.execute(
        "INSERT INTO states (n, failures) VALUES (?, ?) "
        "ON CONFLICT (n) DO UPDATE SET failures = excluded.failures",
        (n, _list(failures)),
    )


def forget(db: Database, n: int, subject: str) -> None:
    """Delete a request with all that belongs to it."""
    for table in ("updates", "bodies", "states", "requests"):
        db.execute(f"DELETE FROM {table} WHERE n = ?", (n,))  # noqa: S608
    db.execute("DELETE FROM subscriptions WHERE subject = ?", (subject,))


def _list(items: Sequence[Any]) -> str | None:
    return dumps([fields_of(item) for item in items]) if items else None


def _snapshot(request: Request) -> str | None:
    return dumps(fields_of(request.progress)) if request.progress else None
