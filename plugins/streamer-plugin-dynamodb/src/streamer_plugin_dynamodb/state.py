"""Changes of the items in the state table."""

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from streamer_plugin_dynamodb.database import Write
from streamer_plugin_dynamodb.items import Plain
from streamer_plugin_dynamodb.tables import State


def change(key: Plain, *actions: Action, when: Condition | None = None) -> Write:
    """Give the write that changes an item, or makes it."""
    return Write(kind="Update", table=State, key=key, actions=actions, condition=when)
