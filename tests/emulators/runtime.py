"""Lambda's Runtime API, and functions under the runtime client that Lambda runs, `awslambdaric`.

What it asks, and how it is answered, is in Lambda's developer guide, "Using the Lambda runtime API
for custom runtimes", and in awslambdaric itself for what is there of SnapStart.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BOUND_S = 60.0
_VERSION = "/2018-06-01/runtime"
_FUNCTION = {
    "AWS_LAMBDA_FUNCTION_VERSION": "1",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
    "AWS_LAMBDA_LOG_GROUP_NAME": "x",
    "AWS_LAMBDA_LOG_STREAM_NAME": "x",
}


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a function told: `response` or `error` of an invocation, `init/error`, `restore/error`.

    Args:
        kind: which of them.
        body: what it gave, or the error's type, message and stack.
        error_type: the header of that name.
    """

    kind: str
    body: Any
    error_type: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Invocation:
    id: str
    headers: Mapping[str, str]
    event: bytes


class RuntimeApi(ThreadingHTTPServer):
    """Gives events to whoever asks for the next, and takes what became of them.

    Attributes:
        waiting: how many processes wait for an event.
        restored: how many have been put into a snapshot, and restored at once.
        failed: what a process tells that could not begin to take events.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.waiting = 0
        self.restored = 0
        self.failed: Future[Told] = Future()
        self.told: dict[str, Future[Told]] = {}
        self.due: queue.SimpleQueue[_Invocation | None] = queue.SimpleQueue()

    def invoke(
        self, event: Any, *, left_ms: int = 29_000, trace: str | None = None
    ) -> Future[Told]:
        """Have an event taken by a function; gives what it will tell."""
        name = str(len(self.told) + 1)
        headers = {
            "Lambda-Runtime-Aws-Request-Id": name,
            "Lambda-Runtime-Deadline-Ms": str(time.time_ns() // 1_000_000 + left_ms),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:1:function:x",
            "Content-Type": "application/json",
        }
        if trace is not None:
            headers["Lambda-Runtime-Trace-Id"] = trace
        self.told[name] = Future()
        self.due.put(_Invocation(id=name, headers=headers, event=json.dumps(event).encode()))
        return self.told[name]

    def answer(self, event: Any, **how: Any) -> Any:
        """Have an event taken, and give the answer, which must not be an error."""
        told = self.invoke(event, **how).result(BOUND_S)
        assert told.kind == "response", told
        return told.body

    def handle_error(self, *_: object) -> None:
        """Say nothing of a function that was killed while it waited for its next event."""


class _Asked(BaseHTTPRequestHandler):
    server: RuntimeApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Give the next event, when there is one; or let a restored function go on."""
        if self.path == f"{_VERSION}/restore/next":
            self.server.restored += 1
            self._answer(200, {}, b"")
            return
        self.server.waiting += 1
        invocation = self.server.due.get()
        self.server.waiting -= 1
        if invocation is None:  # all is over, for the others too
            self.server.due.put(None)
            return
        self._answer(200, invocation.headers, invocation.event)

    def do_POST(self) -> None:
        """Take an answer, or an error."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"null")
        path = self.path.removeprefix(f"{_VERSION}/")
        error_type = self.headers["Lambda-Runtime-Function-Error-Type"]
        if path.startswith("invocation/"):
            _, name, kind = path.split("/")
            told = self.server.told[name]
        else:
            kind, told = path, self.server.failed
        told.set_result(Told(kind=kind, body=body, error_type=error_type))
        self._answer(202, {}, b"")

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def runtime_api() -> Iterator[RuntimeApi]:
    """Serve the Runtime API."""
    with RuntimeApi() as api:
        thread = threading.Thread(target=api.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield api
        finally:
            api.due.put(None)
            api.shutdown()


@contextlib.contextmanager
def function(
    place: Path,
    api: RuntimeApi,
    environment: Mapping[str, str],
    command: Sequence[str] = ("-m", "awslambdaric"),
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a function's folder, whose handler is `handler.handler`; kill it at the end.

    Args:
        place: the folder.
        api: whom it asks.
        environment: what it finds, besides what Lambda tells every function.
        command: how this interpreter runs the runtime client.
    """
    process = subprocess.Popen(
        [sys.executable, *command, "handler.handler"],
        cwd=place,
        env={
            **_FUNCTION,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(place),
            "LAMBDA_TASK_ROOT": str(place),
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": place.name,
            **environment,
        },
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
