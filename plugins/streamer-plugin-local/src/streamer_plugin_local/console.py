"""A page for the developer: what is connected, what runs, what failed.

It is made on the server and has no script, so there is nothing in it for a handler's data to
inject into: all of it is escaped, and the page's policy lets no script run.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from aiohttp import web

from streamer_core.app import Streamer
from streamer_core.hooks import collect
from streamer_core.model.call import Panel
from streamer_core.model.request import Request
from streamer_core.ports import Query
from streamer_plugin_local.hub import Hub
from streamer_plugin_local.origin import Guard
from streamer_plugin_local.secret import COOKIE, Secret
from streamer_plugin_local.supervisor import Supervisor

_SHOWN = 100
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Streamer</title>
<meta http-equiv="refresh" content="2"><style>
body{{font:14px system-ui;margin:2em;color-scheme:light dark}}
table{{border-collapse:collapse;margin:0 0 2em}}td,th{{padding:.2em .8em;text-align:left}}
tr:nth-child(even){{background:#8881}}form{{margin:0}}
</style><h1>Streamer</h1>{body}</html>"""


@dataclass(frozen=True)
class _Cancel:
    """A button."""

    ref: str


Cell = str | int | _Cancel
Rows = Sequence[Sequence[Cell]]


class Console:
    """`/console`, behind the secret.

    Args:
        app: for requests and the plugins' panels.
        hub, supervisor: for connections and workers.
        guard: checks the origin of what changes something.
        secret: `?secret=` once, then a cookie that no script and no other site can use.
    """

    def __init__(
        self, app: Streamer, hub: Hub, supervisor: Supervisor, guard: Guard, secret: Secret
    ) -> None:
        self._app = app
        self._hub = hub
        self._supervisor = supervisor
        self._guard = guard
        self._secret = secret

    def routes(self) -> list[web.RouteDef]:
        """Give the routes."""
        return [
            web.get("/console", self._show),
            web.post("/console/cancel", self._cancel),
        ]

    async def _show(self, request: web.Request) -> web.Response:
        if self._secret.is_(request.query.get("secret")):
            seen = web.HTTPSeeOther("/console", headers=_HEADERS)
            seen.set_cookie(
                COOKIE, self._secret.text, httponly=True, samesite="Strict", path="/console"
            )
            raise seen
        self._check(request)
        workers, connections = self._workers(), self._connections()
        body = await asyncio.to_thread(self._body, workers, connections)
        return web.Response(
            text=_PAGE.format(body=body), content_type="text/html", headers=_HEADERS
        )

    async def _cancel(self, request: web.Request) -> web.Response:
        self._check(request)
        problem = self._guard.console_origin_problem(
            request.headers.get("Origin"), request.headers.get("Host")
        )
        if problem:
            raise web.HTTPForbidden(text=problem)
        ref = str((await request.post()).get("ref", ""))
        await asyncio.to_thread(self._app.cancel, ref)
        raise web.HTTPSeeOther("/console", headers=_HEADERS)

    def _check(self, request: web.Request) -> None:
        if not self._secret.is_(request.cookies.get(COOKIE)):
            raise web.HTTPForbidden(text="Open the console by the address printed at the start")

    # -- the page; made in a thread, since it asks the store

    def _body(self, workers: Rows, connections: Rows) -> str:
        requests = self._app.store.query(Query(), limit=_SHOWN).items
        tables = [
            _table("Workers", ("kind", "pid", "state", "jobs", "busy"), workers),
            _table("Requests", _REQUEST_COLUMNS, map(_request_row, requests)),
            _table("Last errors", ("what",), [[one] for one in self._errors(requests)]),
            _table("Connections", ("id", "tenant", "user", "address"), connections),
        ]
        brought = collect(self._app.hooks, "streamer_register_panels", on_error=_no_panels)
        tables.extend(_panels(name, panels) for name, panels in brought)
        return "".join(tables)

    def _workers(self) -> list[list[Cell]]:
        return [
            [w.kind, w.pid, _state(w.ready, retiring=w.retiring), len(w.jobs), w.busy]
            for w in self._supervisor.workers
        ]

    def _connections(self) -> list[list[Cell]]:
        records = self._hub.describe()
        rows: list[list[Cell]] = [
            [one["id"], one["tenant"], one["user"], one["address"]] for one in records[:_SHOWN]
        ]
        return [*rows, [f"{len(records)} in all"]]

    def _errors(self, requests: Sequence[Request]) -> list[str]:
        failed = [
            f"{one.action} {one.id}: {one.failures[-1].kind}: {one.failures[-1].message}"
            for one in requests
            if one.failures
        ]
        return [*reversed(self._supervisor.deaths), *failed]


_REQUEST_COLUMNS = ("id", "action", "tenant", "user", "status", "attempt", "progress", "age", "")


def _request_row(one: Request) -> list[Cell]:
    progress = one.progress
    done = f"{progress.percentage:g} % {progress.message}" if progress else ""
    age = f"{max(0, round(time.time() - one.created_at / 1000))} s"
    row: list[Cell] = [one.id, one.action, one.tenant, one.user, one.status.value, one.attempt]
    return [*row, done, age, "" if one.status.terminal else _Cancel(one.ref)]


def _state(ready: bool, *, retiring: bool) -> str:
    return "retiring" if retiring else "ready" if ready else "starting"


def _no_panels(_plugin: str, error: Exception) -> Exception:
    return error


def _panels(plugin: str, panels: Iterable[Panel] | Exception) -> str:
    try:
        found = [] if isinstance(panels, Exception) else list(panels)
    except Exception as error:  # noqa: BLE001 - what a plugin yields may fail in any way
        found, panels = [], error
    failed = _failed(plugin, panels) if isinstance(panels, Exception) else ""
    return failed + "".join(_panel(plugin, panel) for panel in found)


def _panel(plugin: str, panel: Panel) -> str:
    try:
        rows = list(panel.rows())
    except Exception as error:  # noqa: BLE001 - a plugin's panel may fail in any way
        return _failed(plugin, error)
    columns = tuple(rows[0]) if rows else ()
    return _table(
        panel.title, columns, [[str(row.get(column, "")) for column in columns] for row in rows]
    )


def _failed(plugin: str, error: Exception) -> str:
    return _table(plugin, ("error",), [[type(error).__name__]])


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    head = "".join(f"<th>{escape(column)}" for column in columns)
    body = "".join("<tr>" + "".join(map(_cell, row)) for row in rows)
    return f"<h2>{escape(title)}</h2><table><tr>{head}{body}</table>"


def _cell(cell: Cell) -> str:
    if isinstance(cell, _Cancel):
        return (
            '<td><form method="post" action="/console/cancel">'
            f'<input type="hidden" name="ref" value="{escape(cell.ref)}"><button>cancel</button>'
            "</form>"
        )
    return f"<td>{escape(str(cell))}"
