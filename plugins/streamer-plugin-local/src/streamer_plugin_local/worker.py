"""`python -m streamer_plugin_local.worker <fd>`: one worker process.

The gateway starts it with one end of a socket pair and tells it what it is.
"""

import atexit
import ctypes
import dataclasses
import json
import resource
import socket
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from streamer_core.app import Streamer
from streamer_core.errors import ConfigurationError
from streamer_core.log import get_logger
from streamer_core.sections import validate_section
from streamer_core.settings import Settings
from streamer_plugin_local.async_worker import AsyncWorker
from streamer_plugin_local.channel import EX_SOFTWARE, Questions, WorkerChannel, leave
from streamer_plugin_local.garbage import settle_down
from streamer_plugin_local.identity import check_identity
from streamer_plugin_local.link import Link, attach
from streamer_plugin_local.records import Kind, Record, encode_json
from streamer_plugin_local.settings import LocalSettings
from streamer_plugin_local.sync_worker import SyncWorker
from streamer_plugin_local.transport import ChannelTransport
from streamer_plugin_local.worker_base import BaseWorker

_STACK_BYTES = 1024 * 1024
_M_ARENA_MAX = -8


def main(argv: list[str]) -> int:
    """Run until the gateway says otherwise, or is gone."""
    threading.excepthook = _end_with_thread
    channel = WorkerChannel(socket.socket(fileno=int(argv[0])), leave)
    given = _first(channel)
    try:
        worker = _start(given, channel)
    except ConfigurationError as error:
        return _failed(channel, given, str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, the gateway must hear of it
        traceback.print_exc(file=sys.stderr)
        return _failed(channel, given, f"the worker cannot start: {type(error).__name__}: {error}")
    channel.write(encode_json(Kind.READY, 0, {"files": _files(given["root"])}))
    threading.Thread(target=_warm_up, name="warm-up", daemon=True).start()
    worker.run()
    return 0


def _warm_up() -> None:
    """Do beside the first messages what later ones would wait for."""
    get_logger()  # up to 0.3 s of imports, for the first request that logs a line
    settle_down()


def _end_with_thread(args: threading.ExceptHookArgs) -> None:
    """End the process with any thread of its own: without its reader, say, it would go on deaf."""
    ours = args.thread is not None and args.thread.name.startswith("streamer-")
    try:
        traceback.print_exception(args.exc_value)
    finally:
        if ours:
            leave(EX_SOFTWARE)


def _first(channel: WorkerChannel) -> dict[str, Any]:
    records: list[Record] = []
    while not records:
        records = channel.read()
    given: dict[str, Any] = json.loads(records[0][2])
    return given


def _start(given: dict[str, Any], channel: WorkerChannel) -> BaseWorker:
    settings = _settings(given)
    local = validate_section(LocalSettings, settings.plugins.get("local", {}), "[plugins.local]")
    settings = _within(settings, local)
    if local.worker_memory_mb is not None:
        _limit_memory(local.worker_memory_mb)
    # A transaction gives the interpreter away with each statement, and keeps all other processes
    # waiting until it has it back.
    sys.setswitchinterval(0.0002)
    questions = Questions(channel)
    transport = ChannelTransport(questions, channel, settings.core.max_message_bytes)
    app = Streamer.start(settings, transport=transport)
    check_identity(app, local)
    worker = _worker(given["kind"], local, app, channel, questions)
    questions.before_waiting = worker.about_to_block
    attach(app, Link(wake=worker.report_due, about_to_run=worker.about_to_run, worker=True))
    return worker


def _worker(
    kind: str, local: LocalSettings, app: Streamer, channel: WorkerChannel, questions: Questions
) -> BaseWorker:
    if kind != "sync":
        return AsyncWorker(app, channel, questions, slots=local.slots)
    if not local.as_lambda:
        return SyncWorker(app, channel, questions)
    from streamer_plugin_local.lambda_worker import LambdaWorker  # noqa: PLC0415

    return LambdaWorker(app, channel, questions, stage=local.stage)


def _settings(given: dict[str, Any]) -> Settings:
    settings = Settings.load(given["config"])
    local = {**settings.plugins.get("local", {}), **given["overrides"]}
    return dataclasses.replace(settings, plugins={**settings.plugins, "local": local})


def _within(settings: Settings, local: LocalSettings) -> Settings:
    """Let handlers give no longer messages than the gateway carries."""
    longest = min(settings.core.max_message_bytes, local.max_message_bytes)
    core = dataclasses.replace(settings.core, max_message_bytes=longest)
    return dataclasses.replace(settings, core=core)


def _limit_memory(megabytes: int) -> None:
    # Each thread's stack counts as address space, used or not, and so do the 64 MB that glibc
    # reserves for each thread's heap (mallopt(3), M_ARENA_MAX): they share one.
    threading.stack_size(_STACK_BYTES)
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    limit = megabytes * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _files(root: str) -> list[str]:
    """Give the source files of this project that are loaded, for the gateway to watch."""
    files = set()
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if name and Path(name).is_relative_to(root) and "site-packages" not in name:
            files.add(name)
    return sorted(files)


def _failed(channel: WorkerChannel, given: dict[str, Any], sentence: str) -> int:
    channel.write(encode_json(Kind.FAILED, 0, {"error": sentence, "files": _files(given["root"])}))
    return 2


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # Threads that still run may hold up the interpreter's own end for good.
    atexit._run_exitfuncs()  # noqa: SLF001 - what comes before that end
    sys.stdout.flush()
    leave(code)
