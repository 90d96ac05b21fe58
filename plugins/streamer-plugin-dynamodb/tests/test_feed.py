"""A reader of the stream, and what a stream and the way to it may do."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from streamer_plugin_dynamodb.feed import StreamFeed

from streamer_core.errors import StoreError


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "any")


AWAY = EndpointConnectionError(endpoint_url="https://streams")


def a_record(ref: str, **image: Any) -> dict[str, Any]:
    due = {"change": {"S": "due"}, "queue": {"S": "normal/acme/="}, "due_at": {"N": "1"}}
    return {"eventName": "INSERT", "dynamodb": {"NewImage": {"ref": {"S": ref}, **due, **image}}}


class Stream:
    """A stream whose shards hold what a test puts there: pages of records, or errors."""

    def __init__(self, *shards: str) -> None:
        self.shards: dict[str, list[Any]] = {shard: [] for shard in shards}
        self.failing: dict[str, list[Exception]] = {}

    def _fail(self, operation: str) -> None:
        if failing := self.failing.get(operation):
            raise failing.pop(0)

    def describe_stream(self, **_: Any) -> Any:
        self._fail("describe_stream")
        return {"StreamDescription": {"Shards": [{"ShardId": one} for one in self.shards]}}

    def get_shard_iterator(self, *, ShardId: str, **_: Any) -> Any:  # noqa: N803 - boto's
        self._fail("get_shard_iterator")
        return {"ShardIterator": ShardId}

    def get_records(self, *, ShardIterator: str) -> Any:  # noqa: N803
        pages = self.shards[ShardIterator]
        page = pages.pop(0) if pages else []
        if isinstance(page, Exception):
            raise page
        return {"Records": page, "NextShardIterator": ShardIterator}


def opened(stream: Stream) -> StreamFeed:
    return StreamFeed(stream, "arn", lambda _: None)


def read(feed: StreamFeed) -> list[str]:
    return [change.ref for change in feed.get(0)]


@pytest.mark.parametrize("error", [refused("LimitExceededException"), AWAY], ids=repr)
def test_a_shard_that_cannot_be_read_now_is_read_again(error: Exception) -> None:
    stream = Stream("a", "b", "c")
    feed = opened(stream)
    stream.shards.update(a=[[a_record("1")]], b=[error, [a_record("2")]], c=[[a_record("3")]])
    assert read(feed) == ["1", "3"]
    assert read(feed) == ["2"]


def test_an_error_that_will_not_pass_comes_after_what_was_read() -> None:
    stream = Stream("a", "b")
    feed = opened(stream)
    denied = refused("AccessDeniedException")
    stream.shards.update(a=[[a_record("1")]], b=[denied, denied])
    assert read(feed) == ["1"]
    with pytest.raises(StoreError, match="AccessDenied"):
        read(feed)


def test_a_record_that_cannot_be_read_costs_no_other() -> None:
    stream = Stream("a")
    feed = opened(stream)
    stream.shards["a"] = [[a_record("1"), a_record("2", queue={"S": "nonsense"}), a_record("3")]]
    assert read(feed) == ["1", "3"]


@pytest.mark.parametrize("operation", ["describe_stream", "get_shard_iterator"])
def test_a_new_shard_that_cannot_be_begun_now_is_begun_later(operation: str) -> None:
    stream = Stream("a")
    feed = opened(stream)
    stream.shards["a"] = [refused("ExpiredIteratorException"), [a_record("1")]]
    stream.failing[operation] = [AWAY]
    assert [read(feed) for _ in range(3)] == [[], [], ["1"]]
