"""Streamer in half a minute: a short request, a long one, a client that goes away and comes back.

Starts the local gateway in this folder, sends requests over real WebSockets, and ends by itself.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sales import write_sales
from streamer_client import Chunk, Client, Complete, Progress

HERE = Path(__file__).parent
SALES = HERE / ".streamer" / "sales.csv"
ROWS = 1_000_000
START_S = 30
END_S = 20


def main() -> None:
    say("1. A file of a million sales, to have something to do")
    if not SALES.exists():
        write_sales(SALES, ROWS)
    tell(f"{SALES}: {SALES.stat().st_size // 1_000_000} MB")
    say("2. The gateway: streamer dev")
    with gateway() as ready:
        tell(f"clients connect to {ready['url']}")
        asyncio.run(show(ready["url"]))
    say("That was all of it. To go on:")
    tell(".venv/bin/streamer dev --config examples/quickstart      the gateway, for you")
    tell('.venv/bin/streamer send hello \'{"name": "you"}\'          from another terminal')
    tell("examples/quickstart/reports.py                the two handlers: change one, it reloads")
    tell("examples/quickstart/.streamer/streamer.db     where requests and results are kept")


@contextmanager
def gateway() -> Iterator[dict[str, Any]]:
    """Run `streamer dev` on a free port."""
    read, write = os.pipe()
    command = [sys.executable, "-m", "streamer_plugin_local", "--port", "0", "--no-reload"]
    process = subprocess.Popen(
        [*command, "--ready-fd", str(write)],
        cwd=HERE,
        pass_fds=[write],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(write)
    try:
        with os.fdopen(read) as told:
            line = told.readline()
        if not line:
            sys.exit(f"the gateway did not start: exit code {process.wait(START_S)}")
        yield json.loads(line)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(END_S)


async def show(url: str) -> None:
    say("3. A short request is answered at once")
    async with Client(url) as client:
        began = time.perf_counter()
        answer = await client.request("hello", {"name": "world"})
        tell(f"{answer}  in {(time.perf_counter() - began) * 1000:.1f} ms")

        say("4. A long one is stored, runs in a worker, and reports")
        request = client.submit("sales_report", {"file": str(SALES)})
        seen = await watch(request, stop_at=50)
    tell(f"-- the client has gone away, with {seen} pieces of output; the work goes on")

    await asyncio.sleep(0.5)  # long enough for the work to have gone on
    say("5. Another client comes back for it: it receives the rest and the result")
    async with Client(url) as client:
        rest = client.follow(request.id, last_seq=seen)
        await watch(rest)
        result = await rest.result()
        tell(f"{result['rows']:,} rows")
        for region, total in result["totals"].items():
            tell(f"{region:>6} {total:>18}")


async def watch(request: Any, stop_at: float = 101) -> int:
    """Show a request's progress; give the number of the last piece of output."""
    seen = 0
    async for update in request:
        if isinstance(update, Chunk):
            seen = update.seq
        elif isinstance(update, Progress):
            bar(update.percentage, update.message)
            if update.percentage >= stop_at:
                break
        elif isinstance(update, Complete):
            bar(100, "done")
    print()
    return seen


def bar(percentage: float, message: str) -> None:
    filled = round(percentage / 4)
    start = "\r" if sys.stdout.isatty() else "\n"
    text = f"   [{'#' * filled}{'.' * (25 - filled)}] {percentage:3.0f} %  {message:<16}"
    print(f"{start}{text}", end="", flush=True)


def say(text: str) -> None:
    print(f"\n{text}", flush=True)


def tell(text: str) -> None:
    print(f"   {text}", flush=True)


if __name__ == "__main__":
    main()
