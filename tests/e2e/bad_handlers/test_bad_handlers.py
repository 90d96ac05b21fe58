"""Whatever a handler does, its own request fails or is tried again, and all others go on."""

import asyncio
from typing import Any

import pytest

from tests.e2e.bad_handlers.others import lost, others_go_on
from tests.e2e.kit.bounds import soon
from tests.e2e.kit.seed import LONG
from tests.e2e.kit.stand import Stand
from tests.e2e.kit.wire import wired

# What ends a request whose handler does this, and after how many of its policy's two attempts.
MILD = {
    "raise": ("PROCESSING_FAILED", 2),
    "raise_base": ("PROCESSING_FAILED", 2),
    "sys_exit": ("PROCESSING_FAILED", 2),
    "unserializable": ("PROCESSING_FAILED", 1),
    "nan": ("PROCESSING_FAILED", 1),
    "circle": ("PROCESSING_FAILED", 1),
    "large": ("PAYLOAD_TOO_LARGE", 1),
    "hang": ("TIMEOUT", 2),
    "spin": ("TIMEOUT", 2),
}
DEADLY = ("exit", "kill", "crash", "stop")
# A process that is stopped is noticed after 3 s, at each attempt.
QUEUED_AND_DEADLY = DEADLY if LONG else DEADLY[:-1]
HUNGRY = ("hog", "brim")
_WORKERS, _MANY = 4, 100


def test_queued_and_mild(bad_stand: Stand) -> None:
    """Failures that leave the process alive cost exactly the attempts that the policy says."""

    async def main() -> None:
        async with wired(bad_stand.gateway.url) as wire, others_go_on(bad_stand):
            for way in MILD:
                await wire.send(_action(way), {"way": way}, id=way)
            for way, (code, _) in MILD.items():
                _check(way, await wire.end(way), code)

    asyncio.run(main())
    assert _begun(bad_stand, MILD) == {way: attempts for way, (_, attempts) in MILD.items()}


def test_queued_and_deadly(bad_stand: Stand) -> None:
    """A process that dies costs each request in it one attempt; those who killed it run out."""

    async def main() -> None:
        async with wired(bad_stand.gateway.url) as wire, others_go_on(bad_stand):
            for way in QUEUED_AND_DEADLY:
                await wire.send("trouble", {"way": way}, id=way)
            for way in QUEUED_AND_DEADLY:
                _check(way, await wire.end(way, 60), "PROCESSING_FAILED")
        await soon(lambda: len(bad_stand.workers()) == _WORKERS, "the workers are replaced")

    asyncio.run(main())
    assert max(_begun(bad_stand, QUEUED_AND_DEADLY).values()) <= 2


def test_queued_and_hungry(bad_stand: Stand) -> None:
    """Memory runs out in a worker: others in it may lose an attempt, and are done all the same."""

    async def main() -> None:
        until = bad_stand.folder / "until"
        async with wired(bad_stand.gateway.url) as wire, others_go_on(bad_stand):
            lasting = [await wire.send("lasting", {"until": str(until)}) for _ in range(4)]
            hogs = [await wire.send("trouble", {"way": way}) for way in HUNGRY]
            for name in hogs:
                _check(name, await wire.end(name, 60), "PROCESSING_FAILED")
            until.touch()
            for name in lasting:
                assert (await wire.end(name))["type"] == "complete"

    asyncio.run(main())


@pytest.mark.parametrize("way", [*MILD, *DEADLY])
def test_at_once(bad_stand: Stand, way: str) -> None:
    async def main() -> None:
        async with others_go_on(bad_stand), wired(bad_stand.gateway.url) as wire:
            answer = await wire.ask(f"{_action(way)}_now", {"way": way})
        code = "SERVICE_UNAVAILABLE" if way in DEADLY else MILD[way][0]
        _check(way, answer, code)

    asyncio.run(main())
    assert bad_stand.up


@pytest.mark.parametrize("way", HUNGRY)
def test_at_once_and_hungry(bad_stand: Stand, way: str) -> None:
    """A worker without memory for its next message may die of it; it never falls silent."""

    async def main() -> None:
        async with wired(bad_stand.gateway.url) as wire:
            hog = await wire.send("trouble_now", {"way": way})
            while not wire.answered(hog):
                # So many that each worker is given some.
                asked = [await wire.send("echo", {"n": n}) for n in range(_MANY)]
                answers = [await wire.answer(name) for name in asked]
            assert all("data" in one or lost(one) for one in answers)
            codes = {"PROCESSING_FAILED", "SERVICE_UNAVAILABLE"}
            assert (await wire.answer(hog))["error"]["code"] in codes
            asked = [await wire.send("echo", {"n": n}) for n in range(_MANY)]
            answers = [await wire.answer(name) for name in asked]
            assert all("data" in one for one in answers)

    asyncio.run(main())


def _action(way: str) -> str:
    return "endless" if way in {"hang", "spin"} else "trouble"


def _check(way: str, end: dict[str, Any], code: str) -> None:
    assert end["type"] == "error", f"{way}: {end}"
    assert end["error"]["code"] == code, f"{way}: {end}"
    assert "hush" not in str(end), "a client never reads an exception's text"


def _begun(stand: Stand, ways: Any) -> dict[str, int]:
    lines = (stand.folder / "effects.log").read_text().splitlines()
    return {way: sum(line.startswith(f"begin {way} ") for line in lines) for way in ways}
