"""The tables in an account: made, compared with what they should be, deleted; and their template.

All of it is made from the models in `streamer_plugin_dynamodb.tables`.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pynamodb.models import Model

from streamer_core.errors import StoreError
from streamer_plugin_dynamodb.database import Database
from streamer_plugin_dynamodb.tables import TABLES, TTL, definition

AWS_MANAGED = "aws/dynamodb"
"""The KMS key that AWS manages for DynamoDB in each account."""

_ON = {"ENABLED", "ENABLING"}
_PATIENCE_S = 120.0
_POLL_S = 0.2


def create(db: Database, *, key: str | None = None) -> list[str]:
    """Make the tables that are not there, wait for them, and give their names.

    Each is billed by request, can be restored to any second of the last 35 days, and deletes what
    has expired.

    Args:
        db: where.
        key: what they are encrypted with: a KMS key's ARN or `aws/dynamodb`, which KMS charges for;
            None is DynamoDB's default, a key that AWS owns, for nothing.

    Raises:
        StoreError: DynamoDB refuses, or takes longer than two minutes.
    """
    made = [model for model in TABLES if described(db, model) is None]
    for model in made:
        db.call("create_table", {**definition(model, db.name(model)), **_encryption(key)})
    for model in made:
        _wait(db, model)
        _finish(db, db.name(model))
    return [db.name(model) for model in made]


def delete(db: Database) -> list[str]:
    """Delete the tables that are there, with all that is in them; gives their names."""
    there = [model for model in TABLES if described(db, model) is not None]
    for model in there:
        db.call("delete_table", {"TableName": db.name(model)})
    return [db.name(model) for model in there]


def check(db: Database, *, key: str | None = None) -> list[str]:
    """Say, a sentence each, in what the tables differ from those that `create` makes."""
    return [sentence for model in TABLES for sentence in _differences(db, model, key)]


def template() -> dict[str, Any]:
    """Give the tables as resources of CloudFormation; their names begin with `${Prefix}`."""
    return {f"{model.__name__}Table": _resource(model) for model in TABLES}


def described(db: Database, model: type[Model]) -> dict[str, Any] | None:
    """Give a table as DynamoDB describes it, or None where there is none."""
    try:
        table = db.call("describe_table", {"TableName": db.name(model)})["Table"]
    except StoreError as error:
        if "ResourceNotFoundException" in str(error):
            return None
        raise
    return None if table["TableStatus"] == "DELETING" else dict(table)


def _encryption(key: str | None) -> dict[str, Any]:
    if key is None:
        return {}
    # DynamoDB's reference: the key is named only where it is another than `aws/dynamodb`.
    named = {} if key == AWS_MANAGED else {"KMSMasterKeyId": key}
    return {"SSESpecification": {"Enabled": True, "SSEType": "KMS", **named}}


def _finish(db: Database, name: str) -> None:
    db.call(
        "update_time_to_live",
        {
            "TableName": name,
            "TimeToLiveSpecification": {"Enabled": True, "AttributeName": TTL},
        },
    )
    _have_restorable(db, name)


def _have_restorable(db: Database, name: str) -> None:
    recovery = {"PointInTimeRecoveryEnabled": True}
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            db.call(
                "update_continuous_backups",
                {"TableName": name, "PointInTimeRecoverySpecification": recovery},
            )
        except StoreError as error:
            # "Backups are being enabled for the table": of one that was made just now.
            passes = "ContinuousBackupsUnavailableException" in str(error)
            if not passes or time.monotonic() >= end:
                raise
            time.sleep(_POLL_S)
        else:
            return


def _wait(db: Database, model: type[Model]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while (described(db, model) or {}).get("TableStatus") != "ACTIVE":
        if time.monotonic() >= end:
            raise StoreError(f"table {db.name(model)} is not active after {_PATIENCE_S:.0f} s")
        time.sleep(_POLL_S)


def _differences(db: Database, model: type[Model], key: str | None) -> Iterator[str]:
    name = db.name(model)
    found = described(db, model)
    if found is None:
        yield f"{name}: there is no such table"
        return
    wanted = definition(model, name)
    if _keys(found) != _keys(wanted):
        yield f"{name}: its key is {_told(_keys(found))}, not {_told(_keys(wanted))}"
    for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
        yield from _index_differences(name, found.get(kind) or (), wanted.get(kind) or ())
    view = wanted.get("StreamSpecification", {}).get("StreamViewType")
    there = (found.get("StreamSpecification") or {}).get("StreamViewType")
    if view is not None and there != view:
        yield f"{name}: its stream should show {view}, and shows {there or 'nothing: it has none'}"
    live = db.call("describe_time_to_live", {"TableName": name})["TimeToLiveDescription"]
    if live["TimeToLiveStatus"] not in _ON or live.get("AttributeName") != TTL:
        yield f"{name}: its time to live is not set to the attribute {TTL}"
    # DynamoDB tells the mode of a table only where it is, or was, billed by request.
    billed = (found.get("BillingModeSummary") or {}).get("BillingMode", "PROVISIONED")
    if billed != wanted["BillingMode"]:
        yield f"{name}: it is billed as {billed}, not as {wanted['BillingMode']}"
    backups = db.call("describe_continuous_backups", {"TableName": name})
    recovery = backups["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
        yield f"{name}: it cannot be restored to a point in time"
    if not _is_under(key, found.get("SSEDescription") or {}):
        yield f"{name}: it is not encrypted with {key or 'the key that AWS owns'}"


def _is_under(key: str | None, encryption: Mapping[str, Any]) -> bool:
    """Tell whether a table is encrypted with a key; which of KMS's is AWS's, only KMS could say."""
    if encryption.get("Status", "DISABLED") == "DISABLED":
        return key is None
    return key in {AWS_MANAGED, encryption.get("KMSMasterKeyArn")}


def _index_differences(
    name: str, found: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    there = {index["IndexName"]: index for index in found}
    for index in wanted:
        other = there.pop(index["IndexName"], None)
        if other is None:
            yield f"{name}: index {index['IndexName']} is missing"
        elif _shape(other) != _shape(index):
            yield f"{name}: index {index['IndexName']} is not as it should be"
    for left in sorted(there):
        yield f"{name}: index {left} is not used"


def _shape(index: Mapping[str, Any]) -> Any:
    projection = index["Projection"]
    return (
        _keys(index),
        projection["ProjectionType"],
        frozenset(projection.get("NonKeyAttributes") or ()),
    )


def _keys(found: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((key["KeyType"], key["AttributeName"]) for key in found["KeySchema"])


def _told(keys: Sequence[tuple[str, str]]) -> str:
    return " and ".join(name for _, name in keys)


def _resource(model: type[Model]) -> dict[str, Any]:
    properties = definition(model, "")
    name = model.Meta.table_name
    properties["TableName"] = {"Fn::Sub": f"${{Prefix}}{name}"}
    if "StreamSpecification" in properties:
        view = properties["StreamSpecification"]["StreamViewType"]
        properties["StreamSpecification"] = {"StreamViewType": view}
    properties |= {
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "TimeToLiveSpecification": {"Enabled": True, "AttributeName": TTL},
    }
    return {
        "Type": "AWS::DynamoDB::Table",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": properties,
    }
