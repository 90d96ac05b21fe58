"""Records of the requests table's stream to changes: what is due, and what somebody ended.

A record may come twice, late, or after others of the same request that were written later. All
that is read of it is a hint: a claim decides who runs a request.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from streamer_core.log import get_logger
from streamer_core.model.message import Priority
from streamer_core.ports import Change, ChangeKind
from streamer_plugin_dynamodb.items import from_item
from streamer_plugin_dynamodb.queues import Queue

EVENTS = ("INSERT", "MODIFY")
KINDS = tuple(kind.value for kind in ChangeKind)

FILTER: Mapping[str, Any] = {
    "eventName": list(EVENTS),
    "dynamodb": {"NewImage": {"change": {"S": list(KINDS)}}},
}
"""The pattern by which an event source mapping leaves out all other records, before they cost."""


def change_of(stream_record: Mapping[str, Any]) -> Change | None:
    """Read one record, as a stream or Lambda gives it; None where it tells of nothing to do.

    Attributes that this version does not know are passed over, and so is a kind of change that a
    newer version has added.

    Raises:
        KeyError, TypeError, ValueError: it is not a record of this table.
    """
    if stream_record["eventName"] not in EVENTS:
        return None
    image = from_item(stream_record["dynamodb"]["NewImage"])
    kind = image.get("change")
    if kind not in KINDS:
        return None
    if kind == ChangeKind.ENDED:
        return Change(kind=ChangeKind.ENDED, ref=image["ref"])
    queue = Queue.named(image["queue"])
    return Change(
        kind=ChangeKind.DUE, ref=image["ref"], lane=Priority(queue.lane), due_at=image["due_at"]
    )


def changes_of(records: Iterable[Mapping[str, Any]]) -> list[Change]:
    """Read a batch of records; what is told twice in it is given once, in order.

    One that cannot be read is left out: the sweeper finds what it may have told.
    """
    return list(dict.fromkeys(filter(None, map(_change_of, records))))


def _change_of(stream_record: Mapping[str, Any]) -> Change | None:
    try:
        return change_of(stream_record)
    except (KeyError, TypeError, ValueError, AttributeError):
        get_logger().exception("a stream record cannot be read")
        return None
