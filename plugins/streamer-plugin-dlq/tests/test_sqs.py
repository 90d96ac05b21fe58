"""Emptying queues into the dead letters, on emulators of SQS: each minute, and at once."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from streamer_plugin_dlq import collecting, sqs
from streamer_plugin_dlq.collecting import Collector
from streamer_plugin_dlq.wanted import Wanted
from streamer_plugin_local.testing import write_project

from streamer_core.errors import StoreError
from streamer_core.markers import hookimpl
from streamer_core.model.call import Metric
from tests.conftest import Lines
from tests.emulators import EMULATORS, REGION
from tests.unit.harness import Rig

REF = "7" * 32
CENTURY_MS = 100 * 365 * 86_400_000
"""The emulators' time is today's, and the rig's is not."""


@pytest.fixture(params=EMULATORS)
def client(
    request: pytest.FixtureRequest, aws: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> Any:
    address = aws(request.param)
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    return boto3.client("sqs", region_name=REGION)


@pytest.fixture
def make_queue(client: Any) -> Iterator[Callable[[], str]]:
    """Give a function that makes a queue, and gives its address."""
    made: list[str] = []

    def make() -> str:
        attributes = {"VisibilityTimeout": "0"}
        answer = client.create_queue(QueueName=f"q-{uuid4().hex[:8]}", Attributes=attributes)
        made.append(answer["QueueUrl"])
        return made[-1]

    yield make
    for queue in made:
        client.delete_queue(QueueUrl=queue)


@pytest.fixture
def queue(make_queue: Callable[[], str]) -> str:
    return make_queue()


def put(client: Any, queue: str, count: int) -> None:
    for n in range(count):
        client.send_message(QueueUrl=queue, MessageBody=json.dumps({"ref": REF, "n": n}))


def name_of(queue: str) -> str:
    return queue.rpartition("/")[2]


def given(*queues: str) -> dict[str, Any]:
    return {"queues": queues, "region": REGION, "keep": CENTURY_MS}


def numbers(plugin: Any) -> list[int]:
    """Give what the dead letters from queues hold."""
    found = [plugin.letters.find(one.id) for one in plugin.letters.all(Wanted(source="queue"))]
    assert all(kept.entry.ref == REF for kept in found)
    return sorted(plugin.letters.details(kept)["n"] for kept in found)


def counted(rig: Rig) -> float:
    told: list[Metric] = [what["metric"] for what in rig.seen.of("metric")]
    kept = [one for one in told if one.name == "dlq.kept"]
    assert all(one.tags == {"action": "none", "code": "GIVEN_UP"} for one in kept)
    return sum(one.value for one in kept)


def told_of(logs: Lines) -> list[str]:
    assert "observer failed" not in [line["event"] for line in logs]
    return [line["reason"] for line in logs if line["event"] == "a queue was not collected"]


# -- each minute


def test_messages_land_by_a_sweep_alone(
    client: Any, make_queue: Callable[[], str], plugged: Any, logs: Lines
) -> None:
    named, addressed = make_queue(), make_queue()
    rig = Rig()
    plugin = plugged(rig, **given(name_of(named), addressed))
    put(client, named, 2)
    put(client, addressed, 1)
    rig.app.sweep()
    assert numbers(plugin) == [0, 0, 1]
    kinds = {one.kind for one in plugin.letters.all(Wanted())}
    assert kinds == {name_of(named), name_of(addressed)}
    assert counted(rig) == 3
    put(client, named, 1)
    rig.app.sweep()
    assert len(numbers(plugin)) == counted(rig) == 4
    assert told_of(logs) == []


def test_a_round_takes_so_many_and_the_next_goes_on(
    client: Any, make_queue: Callable[[], str], plugged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "MOST_BATCHES", 1)
    full, other = make_queue(), make_queue()
    rig = Rig()
    plugin = plugged(rig, **given(full, other))
    put(client, full, 12)
    put(client, other, 1)
    rig.app.sweep()
    assert len(numbers(plugin)) == 11
    rig.app.sweep()
    assert len(numbers(plugin)) == 13


def test_a_slow_queue_leaves_the_next_its_share_of_the_time(
    client: Any, make_queue: Callable[[], str], plugged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, other = make_queue(), make_queue()
    rig = Rig()
    plugin = plugged(rig, **given(slow, other))
    put(client, slow, 21)
    put(client, other, 1)
    receive = sqs.Queues.receive

    def slowly(queues: sqs.Queues, queue: str, *, wait_s: int) -> Any:
        assert wait_s == 0, "a round waits for none"
        if queue == slow:
            rig.clock.advance(1_500)
        return receive(queues, queue, wait_s=wait_s)

    monkeypatch.setattr(sqs.Queues, "receive", slowly)
    rig.app.sweep()
    assert len(numbers(plugin)) == 21, "two batches within two seconds, and the other's one"


def test_a_queue_that_is_not_there_hurts_no_other(
    client: Any, queue: str, plugged: Any, logs: Lines
) -> None:
    rig = Rig()
    plugin = plugged(rig, **given("not-there", f"{queue}-neither", queue))
    put(client, queue, 1)
    rig.app.sweep()
    assert numbers(plugin) == [0]
    missing = ("NonExistentQueue", "QueueDoesNotExist")
    for queue_, reason in zip(("not-there", f"{queue}-neither"), told_of(logs), strict=True):
        assert reason.startswith(f"{queue_} cannot be emptied: ")
        assert reason.endswith(missing)
    rig.app.sweep()
    assert len(told_of(logs)) == 4, "once a round"
    # It is found as soon as somebody has made it.
    made = client.create_queue(QueueName="not-there")["QueueUrl"]
    put(client, made, 1)
    rig.app.sweep()
    client.delete_queue(QueueUrl=made)
    assert numbers(plugin) == [0, 0]
    assert len(told_of(logs)) == 5


def test_a_crash_between_keeping_and_deleting_keeps_one_only(
    client: Any, queue: str, plugged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqs, "_HELD_S", 0)
    put(client, queue, 1)
    first = Rig()
    crashing = plugged(first, **given(queue))
    keep = crashing.letters.keep

    def crash(letter: Any) -> bool:
        keep(letter)
        raise KeyboardInterrupt

    monkeypatch.setattr(crashing.letters, "keep", crash)
    with pytest.raises(KeyboardInterrupt):
        first.app.sweep()
    second = Rig(beside=first)
    plugin = plugged(second, **given(queue))
    second.app.sweep()
    assert numbers(plugin) == [0]
    assert "Messages" not in client.receive_message(QueueUrl=queue)


def test_where_the_store_fails_messages_stay(
    client: Any, queue: str, plugged: Any, logs: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqs, "_HELD_S", 0)
    rig = Rig()
    plugin = plugged(rig, **given(queue))
    put(client, queue, 3)
    rig.store.faults.fail_next("put_value", StoreError("no disk"))
    rig.app.sweep()
    assert numbers(plugin) == []
    assert [line["event"] for line in logs if line["level"] == "error"] == ["observer failed"]
    rig.app.sweep()
    assert numbers(plugin) == [0, 1, 2]


# -- at once


def test_all_of_a_queue_is_moved(
    client: Any, queue: str, plugged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "MOST_BATCHES", 1)
    rig = Rig()
    plugin = plugged(rig, **given(queue))
    put(client, queue, 12)
    collector = Collector(plugin.letters, plugin.settings, rig.app)
    assert sum(collector.batches(queue)) == 12
    assert sum(collector.batches(queue)) == 0
    assert numbers(plugin) == list(range(12))
    assert counted(rig) == 12


def test_the_command_goes_on_past_a_queue_that_fails(
    client: Any, make_queue: Callable[[], str], run: Any, lines: Any, tmp_path: Path
) -> None:
    first, last = make_queue(), make_queue()
    put(client, first, 1)
    put(client, last, 2)
    core = {"handlers": [], "plugins": ["sqlite", "local", "dlq"]}
    section = {**given(first, "not-there", last), "keep": "1d"}
    project = write_project(tmp_path, "", core=core, plugins={"dlq": section})
    done = run(project, "collect", code=1)
    assert done.stdout.splitlines() == [
        f"{first}: 1 collected",
        "not-there: 0 collected",
        f"{last}: 2 collected",
    ]
    failed, whole = done.stderr.splitlines()
    assert failed.startswith("Error: not-there cannot be emptied: ")
    assert whole == "Error: 1 of 3 queues were not emptied"
    assert len(lines(project, "list", "--source", "queue")) == 3


# -- without SQS


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing in the environment but credentials."""
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


class Sweeps:
    """Has rounds of its own."""

    rounds = 0

    @hookimpl
    def streamer_on_sweep(self) -> None:
        self.rounds += 1


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(
    ("region", "endpoint", "reason"),
    [
        (REGION, "http://127.0.0.1:1", "q cannot be emptied: EndpointConnectionError"),
        (REGION, "no address", "[plugins.dlq] queues: Invalid endpoint: no address"),
        (None, "http://127.0.0.1:1", "[plugins.dlq] queues: You must specify a region."),
    ],
)
def test_what_cannot_be_reached_is_told_of_and_hurts_no_other_round(
    plugged: Any,
    logs: Lines,
    monkeypatch: pytest.MonkeyPatch,
    *,
    region: str | None,
    endpoint: str,
    reason: str,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    rig, seen = Rig(), Sweeps()
    plugged(rig, queues=("q",), region=region)
    rig.plug(seen)
    rig.app.sweep()
    assert told_of(logs) == [reason]
    rig.app.sweep()
    assert told_of(logs) == [reason] * 2, "once a round"
    assert seen.rounds == 2


_SWEEP = """
import sys
from streamer_core import Settings, Streamer
from streamer_core.testing import ManualClock, MemoryStore, MemoryTransport

given = {"store": MemoryStore(ManualClock()), "transport": MemoryTransport()}
with Streamer.start(Settings.of({"plugins": ["dlq"]}), **given, load_handlers=False) as app:
    app.sweep()
costly = {"botocore", "streamer_plugin_dlq.collecting", "streamer_plugin_dlq.sqs"}
assert "streamer_plugin_dlq.rounds" in sys.modules
sys.exit(" ".join(costly & set(sys.modules)) or None)
"""


def test_without_queues_nothing_of_it_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", _SWEEP], stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr
