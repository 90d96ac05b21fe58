"""The tables, and how an older file becomes one of this version.

`PRAGMA user_version` holds the version. `MIGRATIONS[v]` lifts a file from version v to v + 1; a new
file climbs them all. Times are Unix milliseconds. A JSON column is compact ASCII.

```
requests ──n──┬── bodies     what never changes, where it is too long to lie in the row
              ├── states     checkpoint and failures, written now and then
              ├── updates    the numbered history; the terminal one is the outcome
              └── aside      waits for a slot that was found full
turns ── queues ──queue── requests that wait          changes    the feed, trimmed
```
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from streamer_core.errors import ConfigurationError

_FIRST = """
CREATE TABLE requests (
    n INTEGER PRIMARY KEY,
    ref TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    user TEXT NOT NULL,
    action TEXT NOT NULL,
    lane TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    lease_until INTEGER,
    worker TEXT,
    last_seq INTEGER NOT NULL,
    sent_seq INTEGER NOT NULL,
    subscribers_version INTEGER NOT NULL,
    checkpoint_seq INTEGER NOT NULL,
    cancel_requested_at INTEGER,
    started_at INTEGER,
    finished_at INTEGER,
    expires_at INTEGER,
    progress TEXT,
    slots TEXT,
    settle TEXT,
    stored_at INTEGER NOT NULL DEFAULT 0,  -- when its last update was stored
    queue INTEGER,                         -- where it waits; NULL where it does not
    body TEXT                              -- NULL: in `bodies`
);
CREATE INDEX requests_by_user ON requests (tenant, user, created_at);
CREATE INDEX requests_by_tenant ON requests (tenant, created_at);
CREATE INDEX requests_by_age ON requests (created_at);
CREATE INDEX requests_failed ON requests (created_at) WHERE status = 'FAILED';
CREATE INDEX requests_waiting ON requests (queue, due_at) WHERE queue IS NOT NULL;
CREATE INDEX requests_leased ON requests (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX requests_unsent ON requests (stored_at) WHERE sent_seq < last_seq;
CREATE INDEX requests_cancelling ON requests (cancel_requested_at)
    WHERE cancel_requested_at IS NOT NULL AND status = 'PROCESSING';
CREATE INDEX requests_expiring ON requests (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE bodies (n INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE states (n INTEGER PRIMARY KEY, checkpoint TEXT, failures TEXT);
CREATE TABLE updates (
    n INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (n, seq)
) WITHOUT ROWID;

-- Waiting requests of one lane and tenant that need the same slots.
CREATE TABLE queues (
    id INTEGER PRIMARY KEY,
    lane TEXT NOT NULL,
    tenant TEXT NOT NULL,
    slots TEXT NOT NULL,
    head INTEGER NOT NULL,               -- none of it is due before
    blocked INTEGER NOT NULL DEFAULT 0,  -- a slot of it was found full
    UNIQUE (lane, tenant, slots)
);
CREATE INDEX queues_open ON queues (lane, tenant, head) WHERE blocked = 0;
CREATE INDEX queues_by_head ON queues (head) WHERE blocked = 0;

-- The tenants' turns in each lane.
CREATE TABLE turns (
    id INTEGER PRIMARY KEY,
    lane TEXT NOT NULL,
    tenant TEXT NOT NULL,
    served INTEGER NOT NULL,  -- the tenant's last claim in any lane, counted over all claims
    awake INTEGER NOT NULL,   -- something may be due now
    due INTEGER,              -- nothing of its open queues is due before; NULL: none is open
    UNIQUE (tenant, lane)
);
CREATE INDEX turns_awake ON turns (lane, served, due) WHERE awake = 1;
CREATE INDEX turns_asleep ON turns (due) WHERE awake = 0 AND due IS NOT NULL;
CREATE INDEX turns_served ON turns (served);

CREATE TABLE slots (key TEXT PRIMARY KEY, running INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE aside (
    n INTEGER PRIMARY KEY,
    slot TEXT NOT NULL,
    room INTEGER NOT NULL,
    lane TEXT NOT NULL,
    turn INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    queue INTEGER NOT NULL
);
CREATE INDEX aside_by_slot ON aside (slot, lane, turn, due_at);

CREATE TABLE connections (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    user TEXT NOT NULL,
    connected_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX connections_by_age ON connections (connected_at);
CREATE INDEX connections_by_user ON connections (tenant, user, connected_at);
CREATE INDEX connections_expiring ON connections (expires_at);
CREATE TABLE subscriptions (
    subject TEXT NOT NULL,
    connection_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (subject, connection_id)
) WITHOUT ROWID;
CREATE INDEX subscriptions_by_connection ON subscriptions (connection_id);
CREATE INDEX subscriptions_expiring ON subscriptions (expires_at);

CREATE TABLE counters (
    key TEXT PRIMARY KEY,
    level REAL NOT NULL,
    at INTEGER NOT NULL,
    expires_at INTEGER
) WITHOUT ROWID;
CREATE INDEX counters_expiring ON counters (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE small_values (
    key TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    expires_at INTEGER,
    body TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX small_values_expiring ON small_values (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE changes (
    n INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    ref TEXT NOT NULL,
    lane TEXT NOT NULL,
    due_at INTEGER NOT NULL
);
CREATE TABLE probe (id INTEGER PRIMARY KEY, at INTEGER NOT NULL);
"""

# The connection that a request came from follows it by this column. A row in `subscriptions` would
# cost each request three pages more: subjects are hashes, and lie all over the file.
_ORIGIN = """
ALTER TABLE requests ADD COLUMN origin TEXT;
"""

# Few requests end so: to list a user's must not take a look at all that went well.
_RARE_ENDS = """
CREATE INDEX requests_failed_by_user ON requests (tenant, user, created_at)
    WHERE status = 'FAILED';
CREATE INDEX requests_cancelled_by_user ON requests (tenant, user, created_at)
    WHERE status = 'CANCELLED';
"""

_RAN = """
ALTER TABLE requests ADD COLUMN claimed_at INTEGER;
ALTER TABLE requests ADD COLUMN ran_ms INTEGER NOT NULL DEFAULT 0;
"""

_OUT = """
ALTER TABLE requests ADD COLUMN out_bytes INTEGER NOT NULL DEFAULT 0;
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _ORIGIN, _RARE_ENDS, _RAN, _OUT)


def migrate(db: sqlite3.Connection, path: Path, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring a file to this version, in one transaction; a file of this version is left alone.

    Raises:
        ConfigurationError: a newer version of the plugin wrote it.
    """
    if _version(db, path, migrations) == len(migrations):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done it while this one waited for its turn.
        for number in range(_version(db, path, migrations), len(migrations)):
            for statement in _statements(migrations[number]):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(migrations)}")
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _version(db: sqlite3.Connection, path: Path, migrations: Sequence[str]) -> int:
    found: int = db.execute("PRAGMA user_version").fetchone()[0]
    if found > len(migrations):
        raise ConfigurationError(
            f"[plugins.sqlite] path: {path} is of schema version {found}, and this "
            f"streamer-plugin-sqlite knows versions up to {len(migrations)}: upgrade the plugin, "
            f"or name another file"
        )
    return found


def _statements(script: str) -> list[str]:
    """Split a script; `executescript` would commit on its own."""
    statements: list[str] = []
    begun = ""
    for piece in script.split(";"):
        begun += piece + ";"
        if sqlite3.complete_statement(begun):
            statements.append(begun)
            begun = ""
    return statements
