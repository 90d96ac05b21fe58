"""Records of the stream: what is read of them, and what is passed over."""

from typing import Any

import pytest
from streamer_plugin_dynamodb.stream import change_of, changes_of

from streamer_core.model.message import Priority
from streamer_core.ports import Change, ChangeKind

REF = "0" * 32


def a_record(event: str = "INSERT", **image: Any) -> dict[str, Any]:
    """Give a record in the shape that DynamoDB's documentation shows for a stream of new images."""
    return {
        "eventID": "c81e728d9d4c2f636f067f89cc14862c",
        "eventName": event,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1732531200,
            "Keys": {"ref": {"S": REF}},
            "NewImage": {"ref": {"S": REF}, **image},
            "SequenceNumber": "222",
            "SizeBytes": 59,
            "StreamViewType": "NEW_IMAGE",
        },
    }


def due(**more: Any) -> dict[str, Any]:
    return a_record(
        change={"S": "due"}, queue={"S": "high/acme/="}, due_at={"N": "1700000000123"}, **more
    )


EXPECTED = Change(kind=ChangeKind.DUE, ref=REF, lane=Priority.HIGH, due_at=1_700_000_000_123)


def test_what_waits_is_due() -> None:
    assert change_of(due()) == EXPECTED


def test_what_somebody_ended_has_ended() -> None:
    assert change_of(a_record("MODIFY", change={"S": "ended"})) == Change(
        kind=ChangeKind.ENDED, ref=REF
    )


def test_attributes_of_a_newer_version_are_passed_over() -> None:
    newer: Any = {"M": {"a": {"L": [{"B": "AA=="}, {"NULL": True}]}}}
    assert change_of(due(newer=newer)) == EXPECTED


@pytest.mark.parametrize(
    "record",
    [
        a_record(),
        a_record(change={"S": "of a newer kind"}),
        {"eventName": "REMOVE", "dynamodb": {"Keys": {"ref": {"S": REF}}}},
    ],
    ids=["no change", "unknown change", "removed"],
)
def test_what_tells_of_nothing_is_nothing(record: dict[str, Any]) -> None:
    assert change_of(record) is None


def test_a_batch_gives_each_change_once_in_order() -> None:
    ended = a_record("MODIFY", change={"S": "ended"})
    assert changes_of([due(), ended, due(), a_record()]) == [
        EXPECTED,
        Change(kind=ChangeKind.ENDED, ref=REF),
    ]


@pytest.mark.parametrize(
    "poison",
    [
        {},
        {"eventName": "INSERT"},
        a_record(change={"S": "due"}),
        a_record(change={"S": "due"}, queue={"S": "nonsense"}, due_at={"N": "1"}),
        a_record(change={"S": "due"}, queue={"S": "high/a/="}, due_at={"N": "x"}),
    ],
)
def test_what_is_no_record_is_refused(poison: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        change_of(poison)
