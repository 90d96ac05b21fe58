"""What it takes to count the open connections, as the sweeper does each minute."""

from collections.abc import Mapping
from typing import Any

from streamer_plugin_dynamodb.database import Database
from streamer_plugin_dynamodb.records import SHARDS
from streamer_plugin_dynamodb.store import DynamoStore

from streamer_core.testing import ManualClock
from streamer_core.testing.contracts.build import a_connection


class Queries(Database):
    """Counts its queries; their pages can be made as short as those of very many items are."""

    made = 0
    page: int | None = None

    def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if operation == "query":
            self.made += 1
            arguments = {**arguments, **({"Limit": self.page} if self.page else {})}
        return super().call(operation, arguments)


def test_a_query_a_shard_counts_them_and_another_for_each_page_more(database: Database) -> None:
    db, clock = Queries(database.prefix, database.connection), ManualClock()
    store = DynamoStore(db, clock)
    for number in range(12):
        store.put_connection(a_connection(clock, f"c-{number}"))
    db.made = 0
    assert (store.count_connections(), db.made) == (12, SHARDS)
    db.page, db.made = 1, 0
    assert store.count_connections() == 12
    assert db.made >= 12
