"""Waiting for what must come about, with a bound."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
BOUND_S = 30.0
_LOOK_S = 0.01


def eventually(look: Callable[[], T | None], what: str, bound_s: float = BOUND_S) -> T:
    """Look until it is true."""
    deadline = time.monotonic() + bound_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"within {bound_s:.0f} s: {what}"
        time.sleep(_LOOK_S)
    return found


async def soon(look: Callable[[], T | None], what: str, bound_s: float = BOUND_S) -> T:
    """Look until it is true, and let others run meanwhile."""
    deadline = time.monotonic() + bound_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"within {bound_s:.0f} s: {what}"
        await asyncio.sleep(_LOOK_S)
    return found
