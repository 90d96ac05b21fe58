"""Slots: how many requests of a kind run, and which queues wait for one of them to end.

An item for each slot: `running` counts its holders, and `aside` names the queues that were set
aside because it was full. A claim takes all its slots in the write that claims, or none.
"""

from collections.abc import Mapping

from pynamodb.expressions.condition import Condition

from streamer_core.model.policy import Slot
from streamer_core.model.request import Request
from streamer_plugin_dynamodb.database import Write, absent, add, attribute, value
from streamer_plugin_dynamodb.items import Plain, key
from streamer_plugin_dynamodb.state import change


def slot_key(name: str) -> Plain:
    """Give a slot's key."""
    return {"of": key("slot", name), "id": "slot"}


def slots_of(request: Request) -> list[Slot]:
    """Give what a request needs, each slot once."""
    least: Mapping[str, Slot] = {
        slot.key: slot for slot in sorted(request.slots, key=lambda slot: -slot.at_most)
    }
    return list(least.values())


def taken(request: Request, *, limited: bool) -> list[Write]:
    """Give the writes that take a request's slots, in the order of `slots_of`."""
    return [
        change(slot_key(slot.key), add("running", 1), when=has_room(slot) if limited else None)
        for slot in slots_of(request)
    ]


def has_room(slot: Slot) -> Condition:
    """Give the condition that a slot has room."""
    unused = absent("running")
    room: Condition = unused | (attribute("running") < value(slot.at_most))
    return room


def let_go(request: Request) -> list[Write]:
    """Give the writes that let a request's slots go."""
    return [change(slot_key(slot.key), add("running", -1)) for slot in slots_of(request)]
