"""What the production plugins add to one sync message in process, each alone and all together.

All applications are measured by turns, a batch each, so that what else the machine does falls on
all of them alike; it is the thread's CPU time, since nothing of it waits. A batch is long enough to
hold what is done for many messages at once: measurements are added up each 67 messages. As in
`routing`, a figure is that of the best batch: what a plugin's took more than the bare
application's. The median is of what the batches took more than those of the bare application in the
same turn.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.options import Options
from benchmarks.report import Report
from streamer_core import Settings, Streamer, handler
from streamer_core.handlers import declared
from streamer_core.model.connection import Connection
from streamer_core.model.principal import Principal
from streamer_core.testing import MemoryTransport

BOUND_US, AIM_US = 60, 25
DAY_MS = 86_400_000
ALL, BARE = "all eight", "bare"
SAMPLED = 0.01
"""The share of traces that is kept: at many messages a second nobody looks at all of them."""

_ASKED = {"id": "r-1", "action": "echo", "payload": {"text": "x" * 120}}
_MESSAGE = json.dumps(_ASKED).encode()
_TRACED = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
_KEPT = json.dumps({**_ASKED, "metadata": _TRACED}).encode()
"""A message whose client has decided that its trace is kept."""
_COLLECTOR = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_): ...

server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
print(server.server_port, flush=True)
server.serve_forever()
"""


@handler("echo")
def echo(payload: dict[str, Any]) -> dict[str, Any]:
    """Give back what came."""
    return payload


def run(report: Report, options: Options) -> None:
    """Measure by turns."""
    turns, times = options.size((400, 70), (10, 20))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        sections = stack.enter_context(_sections(Path(folder)))
        choices: dict[str, tuple[str, ...]] = {
            BARE: (),
            **{name: (name,) for name in sections},
            ALL: tuple(sections),
        }
        apps = {
            name: stack.enter_context(_app(chosen, sections, Path(folder, str(number))))
            for number, (name, chosen) in enumerate(choices.items())
        }
        costs = _costs(apps, _MESSAGE, turns, times)
        traced = {name: apps[name] for name in (BARE, "otel", "xray", ALL)}
        kept = _costs(traced, _KEPT, turns // 4, times)
    report.add("a message without them", min(costs[BARE]), "µs")
    report.add("a message without them, median", statistics.median(costs[BARE]), "µs")
    for name in sections:
        report.add(f"  {name}", _more(costs, name), "µs")
    limits = {"bound": BOUND_US, "aim": AIM_US}
    report.add(ALL, _more(costs, ALL), "µs", **limits)
    more = [cost - bare for cost, bare in zip(costs[ALL], costs[BARE], strict=True)]
    report.add(f"{ALL}, median", statistics.median(more), "µs", **limits)
    for name in ("otel", "xray", ALL):
        report.add(f"{name}, of a message whose trace is kept", _more(kept, name), "µs")
    report.note(
        f"SQLite as the store; otel and xray keep one trace in {1 / SAMPLED:.0f}; ratelimit with a "
        f"limit for each user and one for each tenant, circuitbreaker with a circuit of the action"
    )


def _more(costs: Mapping[str, list[float]], name: str) -> float:
    return min(costs[name]) - min(costs[BARE])


def _costs(
    apps: Mapping[str, Streamer], message: bytes, turns: int, times: int
) -> dict[str, list[float]]:
    """Receive a batch in each application, by turns; give what a message cost in each, in µs."""
    connections = {name: _connection(app) for name, app in apps.items()}
    costs: dict[str, list[float]] = {name: [] for name in apps}
    for turn in range(turns + 1):
        for name, app in apps.items():
            connection = connections[name]
            began = time.thread_time_ns()
            for _ in range(times):
                received = app.receive(connection, message)
            if turn:  # the first one warms up
                costs[name].append((time.thread_time_ns() - began) / times / 1000)
            assert b'"success":true' in received.frames[0], (name, received.frames)
    return costs


@contextmanager
def _app(
    chosen: tuple[str, ...], sections: Mapping[str, Mapping[str, Any]], folder: Path
) -> Iterator[Streamer]:
    with Streamer.start(
        Settings.of(
            {"plugins": ["sqlite", *chosen], "store": "sqlite", "transport": "memory"},
            {
                "sqlite": {"path": str(folder / "streamer.db")},
                **{name: sections[name] for name in chosen},
            },
        ),
        transport=MemoryTransport(),
        load_handlers=False,
    ) as app:
        for spec in declared(echo):
            app.registry.add(spec)
        yield app


def _connection(app: Streamer) -> Connection:
    now = app.clock.now()
    connection = Connection(
        id="c-1",
        principal=Principal(user="ann", tenant="acme", token_id="t-1", issued_at=now),
        connected_at=now,
        expires_at=now + DAY_MS,
    )
    app.store.put_connection(connection)
    return connection


@contextmanager
def _sections(folder: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """Give each plugin settings as a deployment has them."""
    os.environ["BENCHMARK_SECRET"] = "s" * 64
    with ExitStack() as stack:
        collector = stack.enter_context(
            subprocess.Popen([sys.executable, "-c", _COLLECTOR], stdout=subprocess.PIPE, text=True)
        )
        stack.callback(collector.terminate)
        assert collector.stdout is not None
        port = collector.stdout.readline().strip()
        daemon = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        daemon.bind(("127.0.0.1", 0))  # what nobody reads is dropped, as UDP is
        limits = [
            {"name": "user", "by": ["user"], "rate": "1000000/s"},
            {"name": "tenant", "by": ["tenant"], "rate": "1000000/s"},
        ]
        yield {
            "jwt": {"keys": ["env:BENCHMARK_SECRET"], "algorithms": ["HS512"]},
            "tenancy": {"connections": 1000, "requests_in_flight": 1000},
            "ratelimit": {"limits": limits},
            "circuitbreaker": {"actions": {"echo": {"failure_rate": 0.5}}},
            "dlq": {},
            "cloudwatch": {"to": str(folder / "metrics.jsonl")},
            "otel": {"endpoint": f"http://127.0.0.1:{port}", "ratio": SAMPLED},
            "xray": {"daemon": f"127.0.0.1:{daemon.getsockname()[1]}", "ratio": SAMPLED},
        }
