"""Whose turn it is: the tenant whose last claim is longest ago.

A tenant has a row for each lane in which it ever had work. Awake: something may be due. Asleep:
nothing is due before `due`. Idle (`due` is NULL): no queue of it is open. `claim_next` looks only
at those awake, and a sleeper is woken once, when its time has come, so that neither idle tenants
nor those whose work is not due yet cost anything.
"""

from collections.abc import Sequence

from streamer_plugin_sqlite.database import Database

_EXPECT = """
INSERT INTO turns (lane, tenant, served, awake, due)
VALUES (:lane, :tenant, (SELECT coalesce(max(served), 0) FROM turns WHERE tenant = :tenant),
    :due <= :now, :due)
ON CONFLICT (tenant, lane) DO UPDATE SET
    awake = max(awake, excluded.awake), due = min(coalesce(due, excluded.due), excluded.due)
"""

_FIRST = """
SELECT * FROM (SELECT lane, tenant FROM turns WHERE lane = ? AND awake = 1
    ORDER BY served, due, id LIMIT 1)
"""


def expect(db: Database, lane: str, tenant: str | bytes, due: int, now: int) -> None:
    """Note that an open queue of the tenant has something due at a time."""
    db.execute(_EXPECT, {"lane": lane, "tenant": tenant, "due": due, "now": now})


def promising(db: Database, lanes: Sequence[str], now: int) -> bool:
    """Tell whether any tenant may have something due."""
    marks = ", ".join("?" * len(lanes))
    sql = (
        f"SELECT EXISTS (SELECT 1 FROM turns WHERE awake = 1 AND lane IN ({marks})) "  # noqa: S608
        "OR EXISTS (SELECT 1 FROM turns "
        f"WHERE awake = 0 AND due IS NOT NULL AND due <= ? AND lane IN ({marks}))"
    )
    return bool(db.execute(sql, (*lanes, now, *lanes)).fetchone()[0])


def wake(db: Database, now: int) -> None:
    """Wake the sleepers whose time has come."""
    db.execute(
        "UPDATE turns SET awake = 1 WHERE awake = 0 AND due IS NOT NULL AND due <= ?", (now,)
    )


def first(db: Database, lanes: Sequence[str]) -> tuple[str, str | bytes] | None:
    """Give the first lane where a tenant is awake, and the one that has waited longest there."""
    if not lanes:
        return None
    found: tuple[str, str | bytes] | None = db.execute(
        " UNION ALL ".join([_FIRST] * len(lanes)) + " LIMIT 1", lanes
    ).fetchone()
    return found


def alone(db: Database, lane: str) -> bool:
    """Tell whether no more than one tenant is awake in a lane."""
    others = db.execute("SELECT 1 FROM turns WHERE lane = ? AND awake = 1 LIMIT 1, 1", (lane,))
    return others.fetchone() is None


def sleep(db: Database, lane: str, tenant: str | bytes, due: int | None) -> None:
    """Let a tenant sleep until something is due, or idle."""
    db.execute(
        "UPDATE turns SET awake = 0, due = ? WHERE tenant = ? AND lane = ?", (due, tenant, lane)
    )


def served(db: Database, tenant: str | bytes) -> None:
    """Put a tenant last, in all lanes."""
    db.execute(
        "UPDATE turns SET served = (SELECT max(served) + 1 FROM turns) WHERE tenant = ?", (tenant,)
    )


def last_served(db: Database, lane: str, tenant: str | bytes) -> int:
    """Give the count at a tenant's last claim."""
    row = db.execute(
        "SELECT served FROM turns WHERE tenant = ? AND lane = ?", (tenant, lane)
    ).fetchone()
    return row[0] if row else 0
