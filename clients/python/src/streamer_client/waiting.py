"""Waiting with an end."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from streamer_client.errors import WaitTimeout

Answer = TypeVar("Answer")


async def within(
    seconds: float | None, work: Awaitable[Answer], *, what: str, request_id: str | None = None
) -> Answer:
    """Wait for ``work``; after ``seconds`` raise WaitTimeout, which says for what.

    A TimeoutError that the work itself raises stays what it is.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await work
    except TimeoutError:
        if not limit.expired():
            raise
        raise WaitTimeout(f"no {what} within {seconds} s", request_id=request_id) from None
