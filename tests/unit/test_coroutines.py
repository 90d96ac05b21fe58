"""An `async def` runs to its end on a loop of its own, and can be interrupted from elsewhere."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from streamer_core import coroutines


def test_it_runs_to_its_end() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert coroutines.run(work(), lambda _: None) == 7


def test_it_is_cancelled_from_another_thread() -> None:
    stopping: list[Callable[[], None] | None] = []
    begun = threading.Event()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    def stop() -> None:
        begun.wait(5)
        assert stopping[0] is not None
        stopping[0]()

    threading.Thread(target=stop).start()
    with pytest.raises(asyncio.CancelledError):
        coroutines.run(work(), stopping.append)
    assert stopping[-1] is None


def test_an_interrupt_that_comes_too_late_does_nothing() -> None:
    stopping: list[Callable[[], None] | None] = []

    async def work() -> None: ...

    coroutines.run(work(), stopping.append)
    assert stopping[0] is not None
    stopping[0]()
