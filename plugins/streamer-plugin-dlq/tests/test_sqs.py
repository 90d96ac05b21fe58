"""Emptying queues, on emulators of SQS."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import boto3
import pytest
from streamer_plugin_dlq import sqs
from streamer_plugin_dlq.letters import Letters
from streamer_plugin_dlq.settings import DlqSettings
from streamer_plugin_dlq.wanted import Wanted

from streamer_core.errors import ConfigurationError, StoreError, StreamerError
from streamer_core.ports import SystemClock
from streamer_core.testing import MemoryStore
from tests.emulators import EMULATORS, REGION

REF = "7" * 32


@pytest.fixture(params=EMULATORS)
def client(
    request: pytest.FixtureRequest, aws: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> Any:
    address = aws(request.param)
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    return boto3.client("sqs", region_name=REGION)


@pytest.fixture
def queue(client: Any) -> Iterator[str]:
    attributes = {"VisibilityTimeout": "0"}
    url: str = client.create_queue(QueueName=f"q-{uuid4().hex[:8]}", Attributes=attributes)[
        "QueueUrl"
    ]
    yield url
    client.delete_queue(QueueUrl=url)


def test_a_queue_is_emptied_and_each_message_kept_once(
    client: Any, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(12):
        client.send_message(QueueUrl=queue, MessageBody=json.dumps({"ref": REF, "n": n}))
    clock = SystemClock()
    store = MemoryStore(clock)
    letters = Letters(store, clock, 86_400_000)
    settings = DlqSettings(queues=(queue,), region=REGION)
    # It ends after some are kept, before any is deleted: they come again.
    monkeypatch.setattr(sqs, "_HELD_S", 0)
    store.faults.fail_next("put_value", StoreError("no disk"), after=True, times=1)
    with pytest.raises(StoreError):
        sqs.collect(letters, settings, queue)
    assert sqs.collect(letters, settings, queue) == 12
    assert sqs.collect(letters, settings, queue) == 0
    found = [letters.find(one.id) for one in letters.all(Wanted(source="queue"))]
    numbers = [letters.details(kept)["n"] for kept in found if kept]
    assert sorted(numbers) == list(range(12))
    assert {one.entry.ref for one in found if one} == {REF}


def test_a_message_that_was_kept_and_not_deleted_is_not_kept_again(
    client: Any, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.send_message(QueueUrl=queue, MessageBody="{}")
    clock = SystemClock()
    letters = Letters(MemoryStore(clock), clock, 86_400_000)
    settings = DlqSettings(queues=(queue,), region=REGION)
    monkeypatch.setattr(sqs, "_HELD_S", 0)
    keep = letters.keep

    def crash(letter: Any) -> bool:
        keep(letter)
        raise KeyboardInterrupt

    monkeypatch.setattr(letters, "keep", crash)
    with pytest.raises(KeyboardInterrupt):
        sqs.collect(letters, settings, queue)
    monkeypatch.setattr(letters, "keep", keep)
    assert sqs.collect(letters, settings, queue) == 0
    assert len(list(letters.all(Wanted()))) == 1
    assert "Messages" not in client.receive_message(QueueUrl=queue)


def test_a_queue_that_is_not_there_is_told_of(client: Any, queue: str) -> None:
    clock = SystemClock()
    letters = Letters(MemoryStore(clock), clock, 1)
    with pytest.raises(StreamerError, match=f"{queue}-not: .*NonExistentQueue"):
        sqs.collect(letters, DlqSettings(region=REGION), f"{queue}-not")


def test_a_region_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    clock = SystemClock()
    letters = Letters(MemoryStore(clock), clock, 1)
    with pytest.raises(ConfigurationError, match=r"\[plugins.dlq\] queues: .*region"):
        sqs.collect(letters, DlqSettings(), "https://sqs/q")


def test_without_botocore_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "botocore.session", None)
    clock = SystemClock()
    with pytest.raises(ConfigurationError, match=r'pip install "streamer-plugin-dlq\[sqs\]"'):
        sqs.collect(Letters(MemoryStore(clock), clock, 1), DlqSettings(), "https://sqs/q")
