"""A small project, and a gateway that serves it, shared by the tests that do not disturb it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamer_plugin_local.testing import RunningGateway, Talk, running_gateway, write_project

HANDLERS = """
import os, time
from streamer_core import Context, Principal, handler, topic

@handler("echo")
def echo(payload: dict) -> dict:
    return payload

@handler("whoami", scopes=["app:read"])
def whoami(principal: Principal) -> dict:
    return {"user": principal.user, "tenant": principal.tenant, "pid": os.getpid()}

@handler("block", timeout="20s")
def block(payload: dict) -> dict:
    time.sleep(payload["s"])
    return {"pid": os.getpid()}

@handler("hang", timeout="300ms")
def hang(payload: dict) -> dict:
    time.sleep(payload["s"])
    return {}

@handler("burn")
def burn(payload: dict) -> dict:
    end = time.monotonic() + payload["s"]
    while time.monotonic() < end:
        pass
    return {}

@handler("die")
def die(payload: dict) -> dict:
    os._exit(3)

@handler("hog")
def hog(payload: dict) -> dict:
    return {"length": len(bytearray(payload["bytes"]))}

@handler("big")
def big(payload: dict) -> dict:
    return {"text": "x" * payload["bytes"]}

@handler("talk")
def talk(payload: dict, ctx: Context) -> dict:
    for n in range(payload["n"]):
        ctx.emit({"n": n})
    return {}

@handler("publish")
def publish(payload: dict, ctx: Context) -> dict:
    ctx.publish(payload["topic"], payload["data"])
    return {}

@handler("wait", estimated="1m")
def wait(payload: dict, ctx: Context) -> dict:
    ctx.progress(1, str(os.getpid()))
    end = time.monotonic() + payload["s"]
    while time.monotonic() < end and not ctx.cancelled:
        time.sleep(0.01)
    if ctx.cancelled:
        return {"stopped": True}
    return {"pid": os.getpid()}

@handler("queued_die", estimated="1m", retry={"max_attempts": 1})
def queued_die(payload: dict) -> dict:
    os._exit(4)

@topic("room:{name}")
def may_join(principal: Principal, name: str) -> bool:
    return True
"""

Project = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return lambda **local: write_project(tmp_path / "project", HANDLERS, **local)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = write_project(tmp_path_factory.mktemp("shared"), HANDLERS, async_workers=1)
    with running_gateway(folder) as running:
        yield running


@pytest.fixture
def talk(gateway: RunningGateway) -> Iterator[Talk]:
    with Talk(gateway.url) as open_one:
        yield open_one
