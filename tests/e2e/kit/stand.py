"""A project in a folder of its own, and the gateway that serves it, started again and again."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from streamer_plugin_local.testing import RunningGateway, running_gateway
from streamer_plugin_sqlite import SqliteStore

from streamer_core.ports import SystemClock
from tests.e2e.kit.bounds import eventually
from tests.e2e.kit.processes import children, kill, lives

ROOT = Path(__file__).parents[3]
_FAST: dict[str, dict[str, Any]] = {
    "streamer": {
        "handlers": ["tests.e2e.project.jobs"],
        "plugins": ["local", "sqlite"],
        "lease": "2s",
        "heartbeat": "300ms",
        "unsent_after": "1s",
    },
    "plugins.local": {
        "sync_workers": 1,
        "async_workers": 2,
        "async_concurrency": 16,
        "sweep_interval": "1s",
        "drain_timeout": "5s",
        "reload": False,
    },
    "plugins.sqlite": {"path": "streamer.db"},
}


class Stand:
    """One gateway at a time on one folder.

    Args:
        folder: what it writes goes there.
        core, local: settings that differ from those for all tests.
        env: more environment variables.
    """

    def __init__(
        self,
        folder: Path,
        *,
        core: dict[str, Any] | None = None,
        local: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.pids: set[int] = set()
        self._env = {"PYTHONPATH": f"{folder}:{ROOT}", **(env or {})}
        self._runs = ExitStack()
        self._gateway: RunningGateway | None = None
        folder.mkdir(parents=True, exist_ok=True)
        more = {"streamer": core or {}, "plugins.local": local or {}}
        (folder / "streamer.toml").write_text(
            "".join(_section(name, {**_FAST[name], **more.get(name, {})}) for name in _FAST)
        )

    @property
    def gateway(self) -> RunningGateway:
        """The one that runs, or ran last."""
        assert self._gateway is not None, "not started"
        return self._gateway

    @property
    def up(self) -> bool:
        """Whether its process lives."""
        return self._gateway is not None and self._gateway.process.poll() is None

    def start(self, **env: str) -> RunningGateway:
        """Start a gateway; returns when it serves."""
        self._gateway = self._runs.enter_context(
            running_gateway(self.folder, "--no-reload", env={**self._env, **env})
        )
        self.pids.update((self._gateway.pid, *self._gateway.workers))
        return self._gateway

    def workers(self) -> list[int]:
        """Give the worker processes it has just now."""
        found = children(self.gateway.pid)
        self.pids.update(found)
        return found

    def kill(self) -> None:
        """Kill the gateway, and nothing but it; its workers have to see to themselves."""
        self.workers()
        kill(self.gateway.pid)
        self.gateway.process.wait()

    def all_gone(self) -> None:
        """Wait until no process of any gateway lives: nobody may work on without one."""
        eventually(lambda: not any(map(lives, self.pids)), "every worker leaves with its gateway")

    def stop(self) -> None:
        """End it as an operator does, and see that it went well."""
        self.workers()
        assert self.gateway.stop() == 0
        self.all_gone()

    def close(self) -> None:
        """End whatever is left."""
        self._runs.close()
        for pid in self.pids:
            if lives(pid):
                kill(pid)

    def store(self) -> SqliteStore:
        """Open the store, as another process would."""
        return SqliteStore(self.folder / "streamer.db", SystemClock())

    def log(self) -> str:
        """Give all that was written to standard error."""
        return self.gateway.log()


NewStand = Callable[..., Stand]
"""Makes one in a folder of its own; it is ended with the test."""


def _section(name: str, values: dict[str, Any]) -> str:
    # JSON's numbers, strings, booleans and lists are TOML's too.
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join([f"[{name}]", *lines, "", ""])
