"""Running an `async def` handler to its end in a thread that has no event loop."""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any


def run(
    coroutine: Coroutine[Any, Any, Any], on_stop: Callable[[Callable[[], None] | None], None]
) -> Any:
    """Run a coroutine on an event loop of its own.

    `on_stop` is given what cancels it from another thread, and None once it has ended.
    """
    import asyncio  # noqa: PLC0415 - a start without such a handler need not load it

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(coroutine)

        def cancel() -> None:
            with suppress(RuntimeError):  # it has just ended, and its loop with it
                loop.call_soon_threadsafe(task.cancel)

        on_stop(cancel)
        try:
            return loop.run_until_complete(task)
        finally:
            on_stop(None)
