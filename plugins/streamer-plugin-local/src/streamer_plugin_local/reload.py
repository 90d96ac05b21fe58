"""Notices that a source file has changed.

Looking at a few dozen files each half second costs less than a millisecond, works on every file
system, and needs no library; a watcher of whole folders would have to be told of every virtual
environment in them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

LOOK_S = 0.5


def stamps(files: Iterable[str]) -> dict[str, int]:
    """Give when each file, and each Python file beside it, was last changed."""
    found: dict[str, int] = {}
    for folder in {Path(name).parent for name in files}:
        found.update(_stamp(path) for path in folder.glob("*.py"))
    found.update(_stamp(Path(name)) for name in files)
    return found


def _stamp(path: Path) -> tuple[str, int]:
    try:
        return str(path), path.stat().st_mtime_ns
    except OSError:
        return str(path), 0


class Watcher:
    """Calls `changed` after a change has come to rest.

    Args:
        files: gives the files to watch now.
        changed: is given the names that changed; cancelled where more change while it runs.
    """

    def __init__(
        self,
        files: Callable[[], Iterable[str]],
        changed: Callable[[list[str]], Awaitable[None]],
    ) -> None:
        self._files = files
        self._changed = changed

    async def run(self) -> None:
        """Look until cancelled."""
        seen, running = stamps(self._files()), None
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                now = stamps(self._files())
                names = changed(seen, now)
                seen = now
                if names:
                    await _cancelled(running)
                    running = asyncio.ensure_future(self._changed(names))
        finally:
            await _cancelled(running)


def changed(seen: dict[str, int], now: dict[str, int]) -> list[str]:
    """Give the files that have changed; to be watched from now on, or no more, is no change."""
    names = [name for name, at in now.items() if seen.get(name, at) != at]
    names += [name for name, at in seen.items() if name not in now and _stamp(Path(name))[1] != at]
    return sorted(names)


async def _cancelled(running: asyncio.Future[None] | None) -> None:
    if running is not None:
        running.cancel()
        await asyncio.wait([running])
