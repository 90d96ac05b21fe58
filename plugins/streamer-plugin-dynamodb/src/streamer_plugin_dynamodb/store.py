"""The store: five tables of DynamoDB, shared by whoever may write them."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from streamer_core.errors import StoreError
from streamer_core.ports import Change, Feed
from streamer_core.ports.clock import Clock
from streamer_plugin_dynamodb.claims import ClaimVerbs
from streamer_plugin_dynamodb.connections import ConnectionVerbs
from streamer_plugin_dynamodb.database import Database, Write
from streamer_plugin_dynamodb.feed import StreamFeed
from streamer_plugin_dynamodb.holding import HoldingVerbs
from streamer_plugin_dynamodb.listing import ListingVerbs
from streamer_plugin_dynamodb.requests import RequestVerbs
from streamer_plugin_dynamodb.small import SmallVerbs
from streamer_plugin_dynamodb.stream import change_of
from streamer_plugin_dynamodb.sweeping import SweepingVerbs
from streamer_plugin_dynamodb.tables import Requests, State

_PROBE = {"of": "probe", "id": "probe"}


class DynamoStore(
    ConnectionVerbs,
    RequestVerbs,
    ClaimVerbs,
    HoldingVerbs,
    SweepingVerbs,
    ListingVerbs,
    SmallVerbs,
):
    """The whole port on DynamoDB.

    ```python
    database = Database("streamer-", connect(region="eu-central-1"))
    store = DynamoStore(database, SystemClock())
    ```
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, clock)
        self._feeds: list[StreamFeed] = []

    def check(self) -> None:
        """Write an item and read it again; raises StoreError where that fails."""
        now = self.clock.now()
        self._db.write(Write(kind="Put", table=State, key={**_PROBE, "at": now}))
        if self._db.get(State, _PROBE) is None:
            raise StoreError("what was written could not be read")

    def open_feed(self) -> Feed:
        """Read the changes from now on."""
        client, arn = self._db.stream(Requests)
        feed = StreamFeed(client, arn, self._forget_feed)
        self._feeds.append(feed)
        return feed

    def change_of(self, record: Mapping[str, Any]) -> Change | None:
        """Read a record of the requests table's stream; ValueError where it is none."""
        try:
            return change_of(record)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no record of the requests' stream: {error!r:.100}") from error

    def close(self) -> None:
        """End the feeds; the client is whoever's that made it."""
        for feed in tuple(self._feeds):
            feed.close()

    def _forget_feed(self, feed: StreamFeed) -> None:
        with suppress(ValueError):
            self._feeds.remove(feed)
