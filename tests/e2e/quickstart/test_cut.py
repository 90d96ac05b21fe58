"""The quickstart's long request, cut off: by the network, and by its client's death."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamer_client import Backoff, Chunk, Client, Settings
from streamer_plugin_local.testing import RunningGateway, running_gateway

from tests.e2e.kit.bounds import soon
from tests.e2e.kit.processes import kill
from tests.e2e.kit.promises import Kept
from tests.e2e.kit.proxy import proxied
from tests.e2e.quickstart.sales import copied, totals, write

ROWS = 300_000
_QUICK = Settings(backoff=Backoff(base=0.01, cap=0.1))
_LEAVER = """
import asyncio, sys
from streamer_client import Chunk, Client

async def main(url, name, file):
    async with Client(url) as client:
        async for update in client.submit("sales_report", {"file": file}, id=name):
            if isinstance(update, Chunk):
                print(update.seq, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""
_FOLLOWER = """
import asyncio, json, sys
from streamer_client import Chunk, Client

async def main(url, name, seen):
    async with Client(url) as client:
        request = client.follow(name, last_seq=int(seen))
        chunks = [[u.seq, u.data] async for u in request if isinstance(u, Chunk)]
        print(json.dumps({"chunks": chunks, "result": await request.result()}))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = copied(tmp_path_factory.mktemp("cut"))
    write(copy / "sales.csv", ROWS)
    return copy


@pytest.fixture(scope="module")
def gateway(folder: Path) -> Iterator[RunningGateway]:
    with running_gateway(folder, "--no-reload") as running:
        yield running


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, Any]:
    return {"rows": ROWS, "totals": totals(folder / "sales.csv")}


def test_a_client_that_is_cut_off_receives_the_rest(
    folder: Path, gateway: RunningGateway, expected: dict[str, Any]
) -> None:
    async def main() -> None:
        async with proxied(gateway.port) as proxy, Client(proxy.url, settings=_QUICK) as client:
            request = client.submit("sales_report", {"file": str(folder / "sales.csv")})
            kept, cuts = Kept(), 0
            async for update in request:
                kept.take(update)
                if isinstance(update, Chunk) and len(kept.chunks) in {2, 4}:
                    assert not request.done
                    cuts += proxy.cut()
                    await soon(lambda: not client.connected or request.done, "the cut is noticed")
            assert cuts == 2
            assert await request.result() == expected
            check_pieces(list(kept.chunks.values()), folder / "sales.csv")

    asyncio.run(main())


def test_another_process_follows_when_the_client_was_killed(
    folder: Path, gateway: RunningGateway, expected: dict[str, Any]
) -> None:
    sales = folder / "sales.csv"
    leaver = subprocess.Popen(
        [sys.executable, "-c", _LEAVER, gateway.url, "left-alone", str(sales)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert leaver.stdout is not None
    seen = [int(leaver.stdout.readline()) for _ in range(2)]
    kill(leaver.pid)
    leaver.wait()
    leaver.stdout.close()
    assert seen == [1, 2]
    came = _followed(gateway.url, "left-alone", 2)
    assert came["result"] == expected
    from_the_start = _followed(gateway.url, "left-alone", 0)
    check_pieces([data for _, data in from_the_start["chunks"]], sales)
    assert came["chunks"] == from_the_start["chunks"][2:]


def _followed(url: str, name: str, seen: int) -> dict[str, Any]:
    told = subprocess.run(
        [sys.executable, "-c", _FOLLOWER, url, name, str(seen)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    came: dict[str, Any] = json.loads(told.stdout)
    return came


def check_pieces(pieces: list[dict[str, int]], sales: Path) -> None:
    """See that the pieces of output go through the whole file, each one once."""
    rows, ends = [one["rows"] for one in pieces], [one["through_byte"] for one in pieces]
    assert len(pieces) > 6
    assert rows == sorted(set(rows))
    assert ends == sorted(set(ends))
    assert (rows[-1], ends[-1]) == (ROWS, sales.stat().st_size)
    steps = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    assert all(1_000_000 <= step < 1_000_100 for step in steps[:-1])
