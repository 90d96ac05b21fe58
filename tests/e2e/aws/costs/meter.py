"""Counts what a store asks of DynamoDB, in calls and in the units that DynamoDB counts.

By the rules of its developer guide ("Read and write operations", "Write capacity unit consumption
for global secondary indexes"): a read unit is 4 KB read consistently, and half of one otherwise; a
write unit is 1 KB of the item before or after the write, whichever is larger, and twice that in a
transaction; an index counts its own entries that are added, changed or removed.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from streamer_plugin_dynamodb.database import Database
from streamer_plugin_dynamodb.tables import TABLES, definition

Item = Mapping[str, Mapping[str, Any]]

_KB = 1024


class MeteredDatabase(Database):
    """A database that counts.

    Attributes:
        calls: by operation.
        units: `read unit` and `write unit`.
    """

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self.calls: Counter[str] = Counter()
        self.units = {"read unit": 0.0, "write unit": 0.0}
        self._tables = {self.name(model): definition(model, self.name(model)) for model in TABLES}

    def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Make a call, and count it and what it reads and writes."""
        written = list(_written(operation, arguments))
        before = [self._raw(table, key) for table, key, _ in written]
        answer = super().call(operation, arguments)
        self.calls[operation] += 1
        for (table, key, times), old in zip(written, before, strict=True):
            new = self._raw(table, key)
            self.units["write unit"] += times * max(1, _kb(old), _kb(new))
            self.units["write unit"] += self._index_units(table, old, new)
        self.units["read unit"] += _read_units(operation, arguments, answer)
        return answer

    def _raw(self, table: str, key: Item) -> Item:
        names = [one["AttributeName"] for one in self._tables[table]["KeySchema"]]
        own = {name: key[name] for name in names}
        found: Item = self._client.get_item(TableName=table, Key=own, ConsistentRead=True).get(
            "Item", {}
        )
        return found

    def _index_units(self, table: str, before: Item, after: Item) -> int:
        units = 0
        shape = self._tables[table]
        names = [one["AttributeName"] for one in shape["KeySchema"]]
        for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
            for index in shape.get(kind, ()):
                old, new = (_entry(index, names, item) for item in (before, after))
                units += _entry_units(index, old, new)
        return units


def _written(operation: str, arguments: Mapping[str, Any]) -> Iterator[tuple[str, Item, int]]:
    """Give table, key and weight of each item that a call writes or checks."""
    if operation in {"put_item", "update_item", "delete_item"}:
        yield arguments["TableName"], arguments.get("Key") or arguments["Item"], 1
    elif operation == "transact_write_items":
        for one in arguments["TransactItems"]:
            for given in one.values():
                yield given["TableName"], given.get("Key") or given["Item"], 2
    elif operation == "batch_write_item":
        for table, requests in arguments["RequestItems"].items():
            for request in requests:
                for given in request.values():
                    yield table, given.get("Key") or given["Item"], 1


def _read_units(operation: str, arguments: Mapping[str, Any], answer: Mapping[str, Any]) -> float:
    if operation == "get_item":
        items = [answer.get("Item") or {}]
        return sum(_read(_size(item), arguments["ConsistentRead"]) for item in items)
    if operation == "batch_get_item":
        found = [item for items in answer["Responses"].values() for item in items]
        return sum(_read(_size(item), consistent=True) for item in found)
    if operation == "query":
        return _read(sum(map(_size, answer["Items"])), arguments["ConsistentRead"])
    return 0


def _read(size: int, consistent: bool) -> float:
    pieces = max(1, -(-size // (4 * _KB)))
    return pieces if consistent else pieces / 2


def _entry(index: Mapping[str, Any], names: list[str], item: Item) -> Item:
    """Give an item's entry in an index; empty where it has none."""
    keys = [one["AttributeName"] for one in index["KeySchema"]]
    if not all(key in item for key in keys):
        return {}
    projection = index["Projection"]
    if projection["ProjectionType"] == "ALL":
        return item
    kept = {*keys, *names, *projection.get("NonKeyAttributes", ())}
    return {name: value for name, value in item.items() if name in kept}


def _entry_units(index: Mapping[str, Any], old: Item, new: Item) -> int:
    if old == new:
        return 0
    keys = [one["AttributeName"] for one in index["KeySchema"]]
    moved = bool(old) and bool(new) and any(old[key] != new[key] for key in keys)
    if moved:
        return max(1, _kb(old)) + max(1, _kb(new))
    return max(1, _kb(old), _kb(new))


def _kb(item: Item) -> int:
    return -(-_size(item) // _KB)


def _size(item: Item) -> int:
    return sum(len(name) + _value_size(value) for name, value in item.items())


def _value_size(typed: Mapping[str, Any]) -> int:
    ((kind, value),) = typed.items()
    if kind == "N":
        return len(str(value)) // 2 + 2  # two digits a byte, and one or two more
    if kind == "SS":
        return sum(len(one.encode()) for one in value)
    return len(str(value).encode())
