"""No room on the disk: a clear error, and nothing acknowledged that is not stored."""

import asyncio
import resource
from collections.abc import Iterable

from streamer_client import Client

from tests.e2e.disk.starting import start
from tests.e2e.kit.promises import Kept, check_effects, check_store
from tests.e2e.kit.stand import NewStand, Stand
from tests.e2e.kit.wire import Wire, wired
from tests.e2e.project.jobs import total

# A limit on the size of a file does to a write what a full disk does, needs no root, and can be
# lifted. Logs are far below it.
_ROOM = 3_000_000
_BALLAST = "." * 100_000
_STEPS = 40
_PACE = {"pause_ms": 100, "keep": 5}


def test_a_disk_that_fills_up_under_load(new_stand: NewStand) -> None:
    stand = new_stand()
    stand.start()
    acknowledged = asyncio.run(_fill(stand))
    stand.stop()
    store = stand.store()
    check_store(store, acknowledged)
    store.close()
    check_effects(stand.folder / "effects.log")
    assert "the disk" in stand.log()


async def _fill(stand: Stand) -> list[str]:
    processes = [stand.gateway.pid, *stand.workers()]
    async with wired(stand.gateway.url) as wire:
        # One that reports all the while, and lives through it.
        lasting = await wire.send("work", {"steps": _STEPS, **_PACE}, id="lasting")
        assert (await wire.answer(lasting))["type"] == "acknowledgment"
        limit(processes, _ROOM)
        stored, refused = await _until_full(wire)
        assert stored, "there was room at first"
        error = (await wire.answer(refused))["error"]
        assert error["code"] == "STORAGE_ERROR"
        assert error["retry"]["retryable"]
        # It still answers what needs no disk.
        assert (await wire.ask("echo", {"n": 1}))["data"] == {"n": 1}
        assert set(stand.workers()) == set(processes[1:]), "a full disk kills nobody"
        limit(processes, resource.RLIM_INFINITY)
        for name in stored:
            assert (await wire.end(name, 60))["result"] == total(name, 0)
    await _all_of(stand, lasting, _STEPS)
    await _all_of(stand, refused, 1)
    return [lasting, *stored]


async def _until_full(wire: Wire) -> tuple[list[str], str]:
    stored: list[str] = []
    for number in range(200):
        name = f"fill-{number}"
        answer = await wire.ask("work", {"steps": 0, "ballast": _BALLAST}, id=name)
        if answer["type"] != "acknowledgment":
            return stored, name
        stored.append(name)
    raise AssertionError("the disk was never full")


async def _all_of(stand: Stand, name: str, steps: int) -> None:
    """See that whoever asks for it, for the first time or again, gets each piece of output once."""
    async with Client(stand.gateway.url) as client, asyncio.timeout(60):
        kept, handle = Kept(), client.submit("work", {"steps": steps, **_PACE}, id=name)
        async for update in handle:
            kept.take(update)
        assert await handle == total(name, steps)
        kept.check(name, steps)


def limit(pids: Iterable[int], size: int) -> None:
    """Let no file of these processes grow beyond a size."""
    for pid in pids:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


def test_a_start_on_a_full_disk_is_refused(new_stand: NewStand) -> None:
    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    folder = new_stand().folder
    ended = start(folder, no_room)
    assert ended.returncode == 2
    assert f"[plugins.sqlite] path: {folder / 'streamer.db'} cannot be used" in ended.stderr
    assert "Traceback" not in ended.stderr
