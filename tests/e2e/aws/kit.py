"""Short words that the scenarios share."""

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import wraps
from typing import Any

from streamer_plugin_dlq.entry import Entry

from tests.e2e.aws.cloud import Cloud
from tests.e2e.kit.wire import Wire, wired


def scenario(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*args: Any, **given: Any) -> None:
        asyncio.run(test(*args, **given))

    return run


def joined(cloud: Cloud, token: str = "acme.ann") -> AbstractAsyncContextManager[Wire]:
    return wired(cloud.url, additional_headers={"Authorization": f"Bearer {token}"})


def new_id() -> str:
    return uuid.uuid4().hex


def chunks(wire: Wire, name: str) -> list[Any]:
    return [one["data"]["step"] for one in wire.by_request[name] if one["type"] == "chunk"]


def details(cloud: Cloud, entry: Entry) -> Any:
    kept = cloud.letters.find(entry.id)
    assert kept is not None
    return cloud.letters.details(kept)
