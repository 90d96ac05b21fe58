"""A real gateway for tests: `streamer dev` in a process of its own."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from streamer_core.errors import ConfigurationError

_PLUGINS = ("apigateway", "local", "sqlite")
_START_S = 60.0
_STOP_S = 30.0
BOUND_S = 20.0
"""How long a test waits for what must come."""


@dataclass(frozen=True, kw_only=True)
class RunningGateway:
    """A gateway that serves.

    Args:
        url: where clients connect.
        console: the console's address, with the secret.
        secret: opens the management API.
        port: where it listens on 127.0.0.1.
        pid, workers: process ids at the start.
        process: the gateway's process.
        stderr: the file that its standard error goes to.
    """

    url: str
    console: str
    secret: str
    port: int
    pid: int
    workers: list[int]
    development: bool
    process: "subprocess.Popen[bytes]" = field(repr=False)
    stderr: Path

    @property
    def http(self) -> str:
        """Where health, console and the management API are."""
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        """Give what it and its workers have written to standard error."""
        return self.stderr.read_text("utf-8", errors="replace")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Tell it to stop, wait until it has, give its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(_STOP_S)


@contextmanager
def running_gateway(
    project: Path, *options: str, env: dict[str, str] | None = None
) -> Iterator[RunningGateway]:
    """Run `streamer dev` on a free port for a project; stop it by SIGTERM at the end.

    Args:
        project: the folder with `streamer.toml`; the gateway runs in it.
        options: more command-line options.
        env: more environment variables.

    Raises:
        ConfigurationError: it did not start; the text is what it said.
    """
    read, write = os.pipe()
    stderr = project / "gateway.stderr"
    with stderr.open("ab") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [
                *(sys.executable, "-m", "streamer_plugin_local", "--port", "0"),
                *("--config", str(project), "--ready-fd", str(write), *options),
            ],
            cwd=project,
            pass_fds=[write],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, **(env or {})},
        )
    os.close(write)
    try:
        ready = _ready(read)
        if ready is None:
            process.wait(_STOP_S)
            raise ConfigurationError(stderr.read_text("utf-8", errors="replace"))
        running = RunningGateway(**ready, process=process, stderr=stderr)
        yield running
        running.stop()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _ready(fd: int) -> dict[str, Any] | None:
    """Wait for the ready line; None where the process ended without one."""
    with os.fdopen(fd, "rb") as stream:
        if not select.select([stream], [], [], _START_S)[0]:
            return None
        line = stream.readline()
    return json.loads(line) if line else None


def write_project(folder: Path, handlers: str, **local: Any) -> Path:
    """Write a project: `streamer.toml` with these settings of the plugin, and its handlers.

    Args:
        folder: where; made where it is not there.
        handlers: Python source.
        local: the `[plugins.local]` section; `core` is the `[streamer]` section, `plugins` those of
            other plugins, by name. Unless `core` says which plugins to load, it is those that a
            gateway needs, with a store and the Lambda entries.
    """
    folder.mkdir(parents=True, exist_ok=True)
    core = {"handlers": ["app_handlers"], "plugins": list(_PLUGINS), **local.pop("core", {})}
    others = {f"plugins.{name}": section for name, section in local.pop("plugins", {}).items()}
    sections = {"streamer": core, "plugins.local": {"reload": False, **local}, **others}
    text = "".join(_section(name, values) for name, values in sections.items())
    (folder / "streamer.toml").write_text(text, "utf-8")
    (folder / "app_handlers.py").write_text(handlers, "utf-8")
    return folder


def _section(name: str, values: dict[str, Any]) -> str:
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    # JSON's numbers, strings, booleans and lists are TOML's too.
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items() if key not in tables]
    inner = "".join(_section(f"{name}.{key}", table) for key, table in tables.items())
    return "\n".join([f"[{name}]", *lines, "", inner])


class Talk:
    """A client that asks and waits; use as a context.

    Args:
        url: where to connect.
        options: for `websockets.sync.client.connect`.
    """

    def __init__(self, url: str, **options: Any) -> None:
        self._opened = ExitStack()
        self.ws = self._opened.enter_context(connect(url, **options))
        self._kept: deque[dict[str, Any]] = deque()

    def __enter__(self) -> "Talk":
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def send(self, action: str, payload: Any = None, **fields: Any) -> None:
        """Send a message; `fields` are its other top-level fields."""
        self.ws.send(json.dumps({"action": action, "payload": payload or {}, **fields}))

    def get(self) -> dict[str, Any]:
        """Wait for the next message."""
        if self._kept:
            return self._kept.popleft()
        message: dict[str, Any] = json.loads(self.ws.recv(BOUND_S))
        return message

    def ask(self, action: str, payload: Any = None, **fields: Any) -> dict[str, Any]:
        """Send a message and wait for the next one."""
        self.send(action, payload, **fields)
        return self.get()

    def until(self, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Wait for a message of which `wanted` is true."""
        while not wanted(message := self.get()):
            pass
        return message

    def until_acknowledged(self, action: str, payload: Any = None, **fields: Any) -> str:
        """Send a request that is queued and give its `ref`.

        What its worker says may overtake the acknowledgment: that comes next then.
        """
        self.send(action, payload, **fields)
        overtook = []
        while (message := self.get())["type"] != "acknowledgment":
            overtook.append(message)
        self._kept.extend(overtook)
        ref: str = message["ref"]
        return ref


def eventually(check: Callable[[], Any], what: str = "it") -> Any:
    """Look until something holds, with a bound."""
    deadline = time.monotonic() + BOUND_S
    while not (found := check()):
        assert time.monotonic() < deadline, f"{what} did not come about"
        time.sleep(0.02)
    return found
