"""The calls that the store makes: one client for all tables, errors translated, refusals heard.

PynamoDB's `Connection` makes the calls and its expressions say what changes; one connection serves
all tables, since each has a session, a client and a pool of its own.
"""

import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Literal, NamedTuple

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
)
from pynamodb.connection import Connection
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Path, Value
from pynamodb.expressions.update import Action, Update
from pynamodb.models import Model

from streamer_core.errors import ItemTooLarge, StoreError, Throttled
from streamer_core.model.tables import Credentials
from streamer_core.records import record
from streamer_plugin_dynamodb.connection import AssumedConnection, OwnConnection
from streamer_plugin_dynamodb.items import Plain, chunks, from_item, to_item, to_value

MOST_WRITES = 100
"""What one transaction may hold: DynamoDB's limit."""

_MOST_READ = 100  # keys of one BatchGetItem
_CONNECT_S, _READ_S = 2, 5  # DynamoDB answers within milliseconds
_MOST_BATCHED = 25  # writes of one BatchWriteItem
_random = random.SystemRandom()  # functions restored from one snapshot must not pause alike
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 1.0
_PASSING = {
    *("ProvisionedThroughputExceededException", "ProvisionedThroughputExceeded"),
    *("RequestLimitExceeded", "ThrottlingException", "ThrottlingError"),
    *("TransactionConflict", "TransactionConflictException", "TransactionInProgressException"),
    *("InternalServerError", "ServiceUnavailable"),
}
"""What passes: DynamoDB throttles, others write the same items now, or something broke there."""

_UNMET = "ConditionalCheckFailed"
_TOO_LARGE = ("Item size", "item size", "Item collection size")

Kind = Literal["Put", "Update", "Delete", "ConditionCheck"]


def attribute(name: str) -> Path:
    """Give an attribute to make a condition or a change of."""
    return Path([name])


def value(plain: Any) -> Value:
    """Give a plain value for an expression."""
    return Value(to_value(plain))


def put(name: str, plain: Any) -> Action:
    """Give the change that sets an attribute."""
    return attribute(name).set(value(plain))


def absent(name: str) -> Condition:
    """Give the condition that an attribute, or with a key's name the item, is not there."""
    return attribute(name).does_not_exist()


def present(name: str) -> Condition:
    """Give the condition that an attribute is there."""
    return attribute(name).exists()


def add(name: str, amount: int | frozenset[str]) -> Action:
    """Give the change that adds to a number, or to a set."""
    return attribute(name).add(value(amount))


@record
class Write:
    """One write. To make it twice does what making it once does.

    A conditional one is marked, so that it is known again when it is made a second time, because
    the answer to the first was lost; a transaction has a token for that.

    Args:
        table: the model.
        key: the item's key; of a Put the whole item.
        actions: of an Update.
        condition: what must hold.
    """

    kind: Kind
    table: type[Model]
    key: Plain
    actions: Sequence[Action] = ()
    condition: Condition | None = None


class Unmet(Exception):
    """Conditions did not hold, so nothing was written.

    Args:
        found: by the write's position, the item as it is, or None where there is none.
    """

    def __init__(self, found: Mapping[int, dict[str, Any] | None]) -> None:
        super().__init__(f"conditions of writes {sorted(found)} did not hold")
        self.found = found


class Found(NamedTuple):
    """What a query found, and where the next one goes on."""

    items: Sequence[dict[str, Any]]
    start: dict[str, Any] | None


class Pauses:
    """Pauses between tries: exponential with full jitter, until the patience is over."""

    def __init__(self, patience_s: float) -> None:
        self._end = time.monotonic() + patience_s
        self._longest_s = _FIRST_PAUSE_S

    def take(self, why: str) -> None:
        """Wait before the next try. Raises Throttled where there is no time for one."""
        pause = _random.uniform(0, self._longest_s)
        if time.monotonic() + pause >= self._end:
            raise Throttled(why)
        self._longest_s = min(2 * self._longest_s, _LONGEST_PAUSE_S)
        time.sleep(pause)


def connect(
    *,
    region: str | None = None,
    endpoint: str | None = None,
    connections: int = 16,
    credentials: Callable[[], Credentials] | None = None,
) -> Connection:
    """Make a client; no call is made yet.

    Args:
        region, endpoint: where the tables are; None: what the environment says.
        connections: how many calls may be under way at once.
        credentials: gives those that calls are signed with; None: the environment's.

    Raises:
        BotoCoreError, ValueError: botocore does not know where that is.
    """
    kind = OwnConnection if credentials is None else partial(AssumedConnection, credentials)
    connection = kind(
        region=region,
        host=endpoint,
        connect_timeout_seconds=_CONNECT_S,
        read_timeout_seconds=_READ_S,
        max_pool_connections=connections,
        # Tries are counted here, in `Database.call`: botocore's pauses are made for slower calls.
        retry_configuration={"mode": "standard", "total_max_attempts": 1},
    )
    _ = connection.client  # made now: two threads must not do it at once
    return connection


class Database:
    """The tables of one deployment.

    Args:
        prefix: of the tables' names.
        connection: as `connect` makes it; several may share one.
        patience_s: how long a call is tried again that is throttled or in others' way.
    """

    def __init__(self, prefix: str, connection: Connection, *, patience_s: float = 10) -> None:
        self.prefix = prefix
        self.patience_s = patience_s
        self.connection = connection
        self._client: Any = connection.client

    @property
    def region(self) -> str:
        """Where the tables are."""
        return str(self._client.meta.region_name)  # what the environment says is not in `region`

    def name(self, model: type[Model]) -> str:
        """Give a table's full name."""
        return self.prefix + str(model.Meta.table_name)

    def stream(self, model: type[Model]) -> tuple[Any, str]:
        """Give a client of DynamoDB Streams, and a table's stream."""
        table = self.call("describe_table", {"TableName": self.name(model)})["Table"]
        client = self.connection.session.create_client(
            "dynamodbstreams", self.region, endpoint_url=self.connection.host
        )
        return client, table["LatestStreamArn"]

    def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Make a call; again, where what is in its way passes.

        Raises:
            Unmet: conditions did not hold.
            ItemTooLarge: DynamoDB says so.
            Throttled: patience is over.
            StoreError: anything else.
        """
        method: Callable[..., dict[str, Any]] = getattr(self._client, operation)
        pauses = Pauses(self.patience_s)
        while True:
            try:
                return method(**arguments)
            except ClientError as error:
                code = _code(error)
                if not passes(error):
                    raise _translated(error, operation) from error
                pauses.take(f"{operation} was answered with {code} until patience was over")
            except (HTTPClientError, ConnectTimeoutError, EndpointConnectionError) as error:
                # Whether it was done is unknown. To do it again is harmless: see `Write`.
                pauses.take(f"{operation} had {type(error).__name__} until patience was over")
            except BotoCoreError as error:
                raise StoreError(f"{operation} failed: {type(error).__name__}") from error

    # -- reading

    def get(
        self, table: type[Model], key: Plain, *, consistent: bool = True
    ) -> dict[str, Any] | None:
        """Give an item, or None."""
        answer = self.call(
            "get_item",
            {"TableName": self.name(table), "Key": to_item(key), "ConsistentRead": consistent},
        )
        return from_item(answer["Item"]) if answer.get("Item") else None

    def get_all(
        self, table: type[Model], keys: Sequence[Plain], *, consistent: bool = True
    ) -> list[dict[str, Any]]:
        """Give the items that are there, in no order."""
        name = self.name(table)
        found: list[dict[str, Any]] = []
        for some in chunks(keys, _MOST_READ):
            asked: Any = {name: {"Keys": list(map(to_item, some)), "ConsistentRead": consistent}}
            pauses = Pauses(self.patience_s)
            while asked:
                answer = self.call("batch_get_item", {"RequestItems": asked})
                found += map(from_item, answer["Responses"].get(name, ()))
                if asked := answer.get("UnprocessedKeys"):
                    pauses.take("batch_get_item left keys unprocessed until patience was over")
        return found

    def query(
        self,
        table: type[Model],
        condition: Condition,
        *,
        index: str | None = None,
        filtered: Condition | None = None,
        limit: int | None = None,
        start: Plain | None = None,
        forward: bool = True,
        consistent: bool = False,
    ) -> Found:
        """Give one page of items; `limit` counts those looked at, before `filtered`."""
        names: dict[str, str] = {}
        values: dict[str, Any] = {}
        asked: dict[str, Any] = {
            "TableName": self.name(table),
            "KeyConditionExpression": condition.serialize(names, values),
            "ScanIndexForward": forward,
            "ConsistentRead": consistent,
        }
        if index:
            asked["IndexName"] = index
        if filtered is not None:
            asked["FilterExpression"] = filtered.serialize(names, values)
        if limit is not None:
            asked["Limit"] = limit
        if start is not None:
            asked["ExclusiveStartKey"] = to_item(start)
        answer = self.call("query", asked | _expressions(names, values))
        last = answer.get("LastEvaluatedKey")
        return Found(
            items=[from_item(item) for item in answer["Items"]],
            start=from_item(last) if last else None,
        )

    def walk(
        self, table: type[Model], condition: Condition, **given: Any
    ) -> Iterator[dict[str, Any]]:
        """Give the items of all pages, one page ahead of whoever asks."""
        start: Plain | None = None
        while True:
            page = self.query(table, condition, start=start, **given)
            yield from page.items
            if (start := page.start) is None:
                return

    def count(self, table: type[Model], condition: Condition, *, index: str) -> int:
        """Count an index's items; each megabyte of them that is looked at is a call."""
        names: dict[str, str] = {}
        values: dict[str, Any] = {}
        asked: dict[str, Any] = {
            "TableName": self.name(table),
            "IndexName": index,
            "KeyConditionExpression": condition.serialize(names, values),
            "ConsistentRead": False,
            "Select": "COUNT",
        }
        asked |= _expressions(names, values)
        count = 0
        while True:
            answer = self.call("query", asked)
            count += int(answer["Count"])
            if "LastEvaluatedKey" not in answer:
                return count
            asked["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    # -- writing

    def write(self, *writes: Write) -> None:
        """Make all writes or none: a single one by itself, several as a transaction.

        Raises:
            Unmet: a condition did not hold.
            ItemTooLarge, Throttled, StoreError: as `call` does.
        """
        mark = uuid.uuid4().hex
        if len(writes) == 1:
            self._write_one(writes[0], mark)
        else:
            items = [dict([self._asked(write, mark)]) for write in writes]
            self.call("transact_write_items", {"TransactItems": items, "ClientRequestToken": mark})

    def _write_one(self, write: Write, mark: str) -> None:
        kind, asked = self._asked(write, mark)
        try:
            self.call(f"{kind.lower()}_item", asked)
        except Unmet as unmet:
            # An answer was lost on its way, and the client has repeated what was done already.
            if (unmet.found[0] or {}).get("mark") != mark:
                raise

    def _asked(self, write: Write, mark: str) -> tuple[str, dict[str, Any]]:
        names: dict[str, str] = {}
        values: dict[str, Any] = {}
        marked = write.condition is not None
        asked: dict[str, Any] = {"TableName": self.name(write.table)}
        if write.kind == "Put":
            asked["Item"] = to_item({**write.key, "mark": mark} if marked else write.key)
        else:
            asked["Key"] = to_item(write.key)
        if write.kind == "Update":
            actions = [*write.actions, put("mark", mark)] if marked else write.actions
            asked["UpdateExpression"] = Update(*actions).serialize(names, values)
        if write.condition is not None:
            asked["ConditionExpression"] = write.condition.serialize(names, values)
            asked["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        return write.kind, asked | _expressions(names, values)

    def delete_all(self, table: type[Model], keys: Sequence[Plain]) -> None:
        """Delete items, each by itself."""
        name = self.name(table)
        for some in chunks(keys, _MOST_BATCHED):
            asked: Any = {name: [{"DeleteRequest": {"Key": to_item(key)}} for key in some]}
            pauses = Pauses(self.patience_s)
            while asked:
                asked = self.call("batch_write_item", {"RequestItems": asked}).get(
                    "UnprocessedItems"
                )
                if asked:
                    pauses.take("batch_write_item left items unprocessed until patience was over")


def _expressions(names: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if names:
        made["ExpressionAttributeNames"] = {short: name for name, short in names.items()}
    if values:
        made["ExpressionAttributeValues"] = dict(values)
    return made


def passes(error: ClientError) -> bool:
    """Tell whether the same call may be answered otherwise a moment later."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return _code(error) in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _code(error: ClientError) -> str:
    """Give the code that says what to do: of a cancelled transaction, the reason that counts."""
    reasons = [reason.get("Code", "") for reason in error.response.get("CancellationReasons", ())]
    if _UNMET in reasons:
        return _UNMET
    given = [code for code in reasons if code != "None"]
    return given[0] if given else str(error.response["Error"].get("Code"))


def _translated(error: ClientError, operation: str) -> Exception:
    response: Any = error.response
    message = str(response["Error"].get("Message", ""))
    reasons = response.get("CancellationReasons", ())
    sentences = [message, *(str(reason.get("Message", "")) for reason in reasons)]
    code = _code(error)
    if code.startswith(_UNMET):
        return Unmet(_found(response))
    if any(part in sentence for sentence in sentences for part in _TOO_LARGE):
        return ItemTooLarge("DynamoDB says that the item is larger than an item may be")
    return StoreError(f"{operation} was answered with {code}: {message}")


def _found(response: Mapping[str, Any]) -> dict[int, dict[str, Any] | None]:
    reasons = response.get("CancellationReasons") or [{"Code": _UNMET, **response}]
    return {
        place: from_item(reason["Item"]) if reason.get("Item") else None
        for place, reason in enumerate(reasons)
        if reason.get("Code") == _UNMET
    }
