"""The change feed: a reader of the requests table's stream.

On AWS the processor Lambda reads the stream; this is for workers that run elsewhere. DynamoDB's
streams can only be polled, by two readers a shard at most: DynamoDB says so, and throttles more.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from streamer_core.errors import StoreError
from streamer_core.ports import Change, Feed
from streamer_plugin_dynamodb.database import passes
from streamer_plugin_dynamodb.stream import changes_of

_POLL_S = 0.2  # a shard may be read five times a second
_RENEW_S = 30.0  # shards split now and then
_LOST = {"ExpiredIteratorException", "TrimmedDataAccessException", "ResourceNotFoundException"}
_TOO_MANY = "LimitExceededException"  # more than two readers


class _Unread(StoreError):
    """The stream could not be read; `passes` where it may be the next time."""

    def __init__(self, code: str, *, passes: bool) -> None:
        super().__init__(f"the stream could not be read: {code}")
        self.code = code
        self.passes = passes


class StreamFeed(Feed):
    """Reads all shards of a stream from now on.

    Args:
        client: boto's of DynamoDB Streams.
        arn: the stream's.
        forget: called once it is closed.
    """

    def __init__(self, client: Any, arn: str, forget: Callable[["StreamFeed"], None]) -> None:
        self._client = client
        self._arn = arn
        self._forget = forget
        self._closed = threading.Event()
        self._iterators: dict[str, str] = {}
        self._known: set[str] = set()
        self._looked_at = 0.0
        self._look(kind="LATEST")

    def get(self, timeout_s: float) -> Sequence[Change]:
        """Wait for changes; empty after `timeout_s`, or once closed."""
        deadline = time.monotonic() + timeout_s
        while not self._closed.is_set():
            if changes := self._read():
                return changes
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._closed.wait(min(_POLL_S, left))
        return []

    def close(self) -> None:
        """End it; a waiting `get` returns at once."""
        if not self._closed.is_set():
            self._closed.set()
            self._forget(self)

    def _read(self) -> list[Change]:
        """Read each shard once. An error waits for the next time where others had something."""
        records: list[Any] = []
        failed: _Unread | None = None
        try:
            if time.monotonic() - self._looked_at > _RENEW_S:
                self._look(kind="TRIM_HORIZON")
        except _Unread as error:
            failed = None if error.passes else error
        for shard, iterator in list(self._iterators.items()):
            try:
                answer = self._ask("get_records", ShardIterator=iterator)
            except _Unread as error:
                if error.code in _LOST:
                    self._lose(shard)
                elif not error.passes:
                    failed = error
                continue
            records += answer["Records"]
            if following := answer.get("NextShardIterator"):
                self._iterators[shard] = following
            else:
                del self._iterators[shard]  # it was closed, and has children
                self._looked_at = 0.0
        changes = changes_of(records)
        if failed is not None and not changes:
            raise failed
        return changes

    def _lose(self, shard: str) -> None:
        self._iterators.pop(shard, None)
        self._known.discard(shard)
        self._looked_at = 0.0

    def _ask(self, operation: str, **given: Any) -> Any:
        try:
            return getattr(self._client, operation)(**given)
        except ClientError as error:
            code = str(error.response["Error"].get("Code"))
            raise _Unread(code, passes=code == _TOO_MANY or passes(error)) from error
        except BotoCoreError as error:
            raise _Unread(type(error).__name__, passes=True) from error

    def _look(self, kind: str) -> None:
        """Find the shards there are, and begin where `kind` says with those that are new."""
        asked: dict[str, Any] = {"StreamArn": self._arn}
        while True:
            stream = self._ask("describe_stream", **asked)["StreamDescription"]
            for shard in stream["Shards"]:
                self._begin(shard["ShardId"], kind)
            if not (last := stream.get("LastEvaluatedShardId")):
                break
            asked["ExclusiveStartShardId"] = last
        self._looked_at = time.monotonic()

    def _begin(self, shard: str, kind: str) -> None:
        if shard in self._known:
            return
        asked = {"StreamArn": self._arn, "ShardId": shard, "ShardIteratorType": kind}
        self._iterators[shard] = self._ask("get_shard_iterator", **asked)["ShardIterator"]
        self._known.add(shard)
