"""Processes that connect, send and work at once, while some die; run by test_processes.py.

Prints what came of it, as JSON. Its arguments: the quota of the day, and a database of SQLite, or
the prefix of tables and the address of an emulator.
"""

import itertools
import json
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import islice
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from streamer_plugin_dynamodb.database import Database, connect
from streamer_plugin_dynamodb.store import DynamoStore
from streamer_plugin_sqlite import SqliteStore
from streamer_plugin_tenancy.usage import HOUR_MS

from streamer_core import Context, Settings, Streamer, handler
from streamer_core.errors import QuotaExceeded
from streamer_core.handlers import declared
from streamer_core.markers import hookimpl
from streamer_core.model.connection import Connection, Handshake
from streamer_core.model.principal import Principal
from streamer_core.plugins import register
from streamer_core.ports import Clock, Query, Store, SystemClock
from streamer_core.testing import MemoryTransport

A_DAY = int(sys.argv[1])
TRIES = A_DAY // 3
WORKERS = 4
LOOK_S = 0.01 if A_DAY > 50 else 0.2
TENANT = "acme"
QUOTAS = {"connections": 6, "requests_in_flight": 8, "requests_a_day": A_DAY, "stored_bytes": 9999}
SETTINGS = Settings.of(
    {"plugins": ["tenancy"], "lease": "1s", "heartbeat": "200ms"}, {"tenancy": QUOTAS}
)

OpenStore = Callable[[Clock], Store]

DAY_MS = 24 * HOUR_MS
UNTIL_NOON_MS = (DAY_MS // 2 - SystemClock().now()) % DAY_MS


class AfterNoon(SystemClock):
    """Goes as the machine's does, from the next noon on, in all processes: a quota of the day is of
    one day, and the store forgets nothing too soon."""

    def now(self) -> int:
        return super().now() + UNTIL_NOON_MS


class Anybody:
    """Lets everybody in."""

    @hookimpl
    def streamer_authenticate(self) -> Principal:
        return Principal(user="ann", tenant=TENANT)


@handler("step", mode="async", retry={"max_attempts": 9, "backoff": 0.001})
def step(payload: dict[str, Any], ctx: Context) -> None:
    """Say something; at the first attempt of a deadly one the process dies."""
    ctx.emit("piece")
    if payload and ctx.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def started(open_store: OpenStore) -> Streamer:
    """Start an application on the store."""
    clock = AfterNoon()
    store, transport = open_store(clock), MemoryTransport()
    app = Streamer(SETTINGS, store=store, transport=transport, clock=clock, load_handlers=False)
    register(app.hooks, "anybody", Anybody(), "a test")
    for spec in declared(step):
        app.registry.add(spec)
    return app


def connect_more(app: Streamer, name: str) -> None:
    """Connect, where there is room."""
    with suppress(QuotaExceeded):
        app.connect(Handshake(connection_id=name))


def sent(app: Streamer, connection: Connection, request_id: str, **payload: Any) -> str:
    """Send a request; give the type of the answer, or the quota that has no room."""
    message = {"id": request_id, "action": "step", "payload": payload}
    answer = json.loads(app.receive(connection, json.dumps(message).encode()).frames[0])
    return str(answer["error"]["details"]["quota"] if "error" in answer else answer["type"])


def work(number: int, open_store: OpenStore, gate: Any, told: Any) -> None:
    """Be one of the processes; there is another that sends the same requests."""
    with started(open_store) as app:
        first = app.connect(Handshake(connection_id=f"{number}"))
        if number == 0:
            sent(app, first, "deadly", die=True)
        gate.wait(60)
        for n in range(3):
            connect_more(app, f"{number}-{n}")
        ids = (f"r-{number // 2}-{n}" for n in itertools.count())
        answers = Counter(sent(app, first, one) for one in islice(ids, TRIES))
        gate.wait(60)  # whoever started this one looks at what is stored
        gate.wait(60)
        while answers["requests_a_day"] < TRIES:
            answers += Counter(sent(app, first, one) for one in islice(ids, 4))
            app.work()
        told.send(answers)


def stored(app: Streamer) -> list[Any]:
    """Give all requests."""
    return list(app.store.query(Query(tenant=TENANT), limit=1000).items)


def unfinished(app: Streamer) -> list[Any]:
    """Give those that have not ended: all at one moment, or fewer."""
    return [one for one in stored(app) if not one.status.terminal]


def levels(app: Streamer) -> dict[str, float]:
    """Give how far each quota is used up."""
    tenancy: Any = app.hooks.get_plugin("tenancy")
    shown = tenancy.admin.show(TENANT)["quotas"]
    return {name: shown[name]["used"] for name in QUOTAS}


def end(app: Streamer) -> None:
    """See to the end of what the dead have left."""
    until = time.monotonic() + 30
    while unfinished(app):
        assert time.monotonic() < until, "it does not end"
        app.sweep()
        app.work()
    for connection in app.store.connections(tenant=TENANT):
        app.disconnect(connection.id)


def main(open_store: OpenStore) -> dict[str, Any]:
    """Start them, let them go at once, look on, kill one; then see to the end of it all."""
    context = multiprocessing.get_context("fork")
    gate = context.Barrier(WORKERS + 1)
    pipes = [context.Pipe(duplex=False) for _ in range(WORKERS)]
    workers = [
        context.Process(target=work, args=(number, open_store, gate, pipes[number][1]))
        for number in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    with started(open_store) as app:
        gate.wait(60)
        gate.wait(60)
        at_first, most = len(stored(app)), Counter(levels(app))
        gate.wait(60)
        alive = [worker.sentinel for worker in workers]
        while alive:
            alive = [worker.sentinel for worker in workers if worker.is_alive()]
            most |= Counter(levels(app) | {"unfinished": len(unfinished(app))})
            if most["requests_a_day"] > A_DAY / 2:
                workers[1].kill()
            wait(alive, LOOK_S)
        told = [
            pipe.recv()
            for worker, (pipe, _) in zip(workers, pipes, strict=True)
            if worker.exitcode == 0
        ]
        end(app)
        tenancy: Any = app.hooks.get_plugin("tenancy")
        now = app.clock.now()
        return {
            "quotas": QUOTAS,
            "at_first": at_first,
            "most": most,
            "exits": sorted({worker.exitcode for worker in workers}),
            "told": told,
            "stored": len(stored(app)),
            "updates": sum(one.last_seq for one in stored(app)),
            "used": tenancy.admin.used(TENANT, now - 2 * HOUR_MS, now),
            "left": levels(app),
        }


def opening(place: str, endpoint: str = "") -> OpenStore:
    """Give what opens the store, in each process anew."""
    if endpoint:
        return lambda clock: DynamoStore(Database(place, connect(endpoint=endpoint)), clock)
    return partial(SqliteStore, Path(place))


if __name__ == "__main__":
    print(json.dumps(main(opening(*sys.argv[2:]))))  # noqa: T201
