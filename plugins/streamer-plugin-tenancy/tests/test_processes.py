"""Quotas among real processes on one store, some of which are killed: exact all the same."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pynamodb.connection import Connection

from tests.emulators.dynamodb import make_tables

pytestmark = pytest.mark.uncovered


@pytest.fixture(params=["sqlite", "ministack"])
def place(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    aws: Callable[[str], str],
    connection_to: Callable[[str], Connection],
) -> list[str]:
    """Give a quota of the day, smaller where the store is slow, and where that store is."""
    if request.param == "sqlite":
        return ["60", str(tmp_path / "streamer.db")]
    return ["12", make_tables(connection_to(request.param)).prefix, aws(request.param)]


def test_processes_at_once_keep_to_the_quotas(place: list[str]) -> None:
    """Connections, requests in flight, requests a day and usage: not one over, and none left."""
    script = Path(__file__).with_name("workers.py")
    ran = subprocess.run(
        [sys.executable, str(script), *place],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    quotas, most = told["quotas"], told["most"]
    assert told["exits"] == [-signal.SIGKILL, 0]
    assert told["at_first"] == quotas["requests_in_flight"]
    assert most.pop("unfinished") <= quotas["requests_in_flight"]
    assert most.pop("stored_bytes") < quotas.pop("stored_bytes")
    assert most == quotas
    assert told["stored"] == quotas["requests_a_day"]
    for answers in told["told"]:
        assert answers.keys() == {"acknowledgment", "requests_in_flight", "requests_a_day"}
    (used,) = told["used"]
    assert (used["requests"], used["messages"]) == (told["stored"], told["updates"])
    nothing = dict.fromkeys(told["left"], 0)
    assert told["left"] == nothing | {"requests_a_day": quotas["requests_a_day"]}
