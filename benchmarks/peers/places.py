"""What serves the loads: Streamer's gateway, or a peer with its Redis, workers and server."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gateway import gateway
from benchmarks.peers import processes
from benchmarks.peers.setups import OWN, PROCESSES, STREAMER, Durability, Setup

NOTHING_MORE: Mapping[str, float | str] = {}
SOCKETIO: Mapping[str, float | str] = {
    "path": "/socket.io/?EIO=4&transport=websocket",
    "socketio": 1,
}
UVICORN = ("-m", "uvicorn", "server:app", "--workers", str(PROCESSES), "--backlog", "1024")
UVICORN_QUIET = ("--log-level", "error", "--no-access-log")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Something that serves the loads.

    Args:
        name: with its durability.
        durability: in words.
        port: where it listens.
        more: what the load generator must know of it.
        server: the process that holds the connections, or is the parent of those that do.
        all: the parents of all its processes.
        logs: where they write what went wrong.
    """

    name: str
    durability: Durability
    port: int
    more: Mapping[str, float | str]
    server: int
    all: list[int]
    logs: Path

    @property
    def memory(self) -> int:
        """Bytes (PSS) of all its processes."""
        return processes.memory_of_all(self.all)

    def said(self) -> str:
        """Give the last that its processes wrote."""
        texts = {log.name: log.read_text(errors="replace") for log in self.logs.glob("*.log")}
        return "\n".join(f"{name}: {text[-1000:]}" for name, text in texts.items() if text)


@contextmanager
def own(*, quick: bool) -> Iterator[Place]:
    """Run Streamer."""
    with gateway(quick=quick) as server:
        yield Place(
            name=STREAMER,
            durability=OWN,
            port=server.port,
            more=NOTHING_MORE,
            server=server.pid,
            all=[server.pid],
            logs=server.folder,
        )


@contextmanager
def peer(setup: Setup) -> Iterator[Place]:
    """Run Redis, the queue's workers and the server."""
    program, port = str(processes.python()), processes.free_port()
    with ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streamer-benchmark-")))
        url, redis_pid = stack.enter_context(processes.redis(setup.fsync, logs))
        environment = {
            "REDIS_URL": url,
            "PEER": setup.queue,
            "ACKS_LATE": str(int(setup.acks_late)),
            "PYTHONPATH": str(processes.HERE),
        }

        def run(name: str, *arguments: str) -> int:
            command = [program, *arguments]
            return stack.enter_context(
                processes.process(command, environment, logs / f"{name}.log")
            )

        workers = [run(f"worker{n}", *command) for n, command in enumerate(setup.workers)]
        server = run("server", *UVICORN, "--port", str(port), *UVICORN_QUIET)
        processes.wait_for(port)
        yield Place(
            name=setup.name,
            durability=setup.durability,
            port=port,
            more=SOCKETIO,
            server=server,
            all=[redis_pid, *workers, server],
            logs=logs,
        )
