"""Handlers that do what no handler should."""

import ctypes
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from streamer_core import Context, handler
from tests.e2e.project.record import note

_TWICE = {"max_attempts": 2, "backoff": "10ms"}
_HOG = 32 * 1024 * 1024
_PAGE, _KEPT_S = 4096, 2


class Trouble(BaseException):
    """What `except Exception` does not catch."""


def _raise() -> Any:
    raise ValueError("hush: the cause")


def _raise_base() -> Any:
    raise Trouble("hush: the cause")


def _sys_exit() -> Any:
    sys.exit(7)


def _hang() -> Any:
    threading.Event().wait(60)


def _spin() -> Any:
    while True:
        pass


def _unserializable() -> Any:
    return {"what": object()}


def _nan() -> Any:
    return {"n": float("nan")}


def _circle() -> Any:
    one: dict[str, Any] = {}
    one["one"] = one
    return one


def _large() -> Any:
    return {"text": "x" * 10_000_000}


def _exit() -> Any:
    os._exit(9)


def _kill() -> Any:
    os.kill(os.getpid(), signal.SIGKILL)
    _hang()  # this thread may be the last to hear of it


def _crash() -> Any:
    ctypes.string_at(0)


def _stop() -> Any:
    os.kill(os.getpid(), signal.SIGSTOP)
    _hang()


def _hog() -> Any:
    held = []
    while True:
        held.append(bytearray(_HOG))


def _brim() -> Any:
    """Take all the memory there is, to the last page, and keep it for a while."""
    held, size = [], _HOG
    while size > _PAGE:
        try:
            held.append(bytearray(size))
        except MemoryError:
            size //= 2
    threading.Event().wait(_KEPT_S)
    held.clear()
    raise MemoryError


WAYS = {
    "raise": _raise,
    "raise_base": _raise_base,
    "sys_exit": _sys_exit,
    "hang": _hang,
    "spin": _spin,
    "unserializable": _unserializable,
    "nan": _nan,
    "circle": _circle,
    "large": _large,
    "exit": _exit,
    "kill": _kill,
    "crash": _crash,
    "stop": _stop,
    "hog": _hog,
    "brim": _brim,
}


@handler("trouble", estimated="1m", timeout="30s", retry=_TWICE)
def trouble(payload: dict, ctx: Context) -> Any:  # type: ignore[type-arg]  # bound by the bare name
    """Misbehave in a queued request."""
    note("begin", ctx)
    return WAYS[payload["way"]]()


@handler("endless", estimated="1m", timeout="1s", retry=_TWICE)
def endless(payload: dict, ctx: Context) -> Any:  # type: ignore[type-arg]  # bound by the bare name
    """Never end, in a queued request."""
    note("begin", ctx)
    return WAYS[payload["way"]]()


@handler("lasting", estimated="1m", timeout="1m", retry={"max_attempts": 10, "backoff": "10ms"})
def lasting(payload: dict, ctx: Context) -> Any:  # type: ignore[type-arg]  # bound by the bare name
    """Run until the file named `until` is there."""
    pause = threading.Event()
    while not Path(payload["until"]).exists() and not ctx.cancelled:
        ctx.progress(1)
        pause.wait(0.05)
    return {"attempt": ctx.attempt}


@handler("trouble_now", timeout="25s")
def trouble_now(payload: dict) -> Any:  # type: ignore[type-arg]  # bound by the bare name
    """Misbehave in a request that is answered at once."""
    return WAYS[payload["way"]]()


@handler("endless_now", timeout="1s")
def endless_now(payload: dict) -> Any:  # type: ignore[type-arg]  # bound by the bare name
    """Never end, in a request that is answered at once."""
    return WAYS[payload["way"]]()
