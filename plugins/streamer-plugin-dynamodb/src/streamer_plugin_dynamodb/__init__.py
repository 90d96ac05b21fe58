"""Streamer's store on Amazon DynamoDB.

Nothing of boto3 or PynamoDB is imported before the store is opened: a project that has this plugin
installed and uses another store pays nothing for it.
"""

import re
from typing import Any

from streamer_core.markers import hookimpl
from streamer_core.model.manifest import Manifest
from streamer_core.ports import Clock, Store
from streamer_core.records import record
from streamer_core.sections import Ms

__all__ = ["DynamoPlugin"]

_PREFIX = re.compile(r"[A-Za-z0-9_.-]{0,200}")
_MOST_CONNECTIONS = 500


class DynamoPlugin:
    """Opens the store named `dynamodb`, and brings `streamer tables`."""

    @record
    class Settings:
        """`[plugins.dynamodb]`.

        Args:
            prefix: what the names of the five tables begin with.
            region: where they are; left out: what the AWS environment says.
            endpoint: of a DynamoDB that is not AWS's, such as an emulator; left out: what the AWS
                environment says.
            patience: how long a call is tried again that DynamoDB throttles, or that others were
                faster than.
            connections: how many calls may be under way at once.
        """

        prefix: str = "streamer-"
        region: str | None = None
        endpoint: str | None = None
        patience: Ms = 10_000
        connections: int = 16

        def __post_init__(self) -> None:
            if not _PREFIX.fullmatch(self.prefix):
                raise ValueError("prefix: may have 200 characters of A-Z a-z 0-9 _ . -")
            if not 1 <= self.connections <= _MOST_CONNECTIONS:
                raise ValueError(f"connections: must be from 1 to {_MOST_CONNECTIONS}")

    manifest = Manifest()

    def __init__(self, settings: Settings, app: Any) -> None:  # noqa: ARG002 - the shape of all
        self.settings = settings

    @hookimpl
    def streamer_open_store(self, name: str, clock: Clock) -> Store | None:
        """Open the tables, where the store asked for is this one."""
        if name != "dynamodb":
            return None
        from streamer_plugin_dynamodb.opening import open_store  # noqa: PLC0415

        return open_store(self.settings, clock)

    @hookimpl
    def streamer_register_commands(self, cli: Any) -> None:
        """Add `streamer tables`."""
        from streamer_plugin_dynamodb.command import tables  # noqa: PLC0415 - click is an extra

        cli.add_command(tables(self.settings))
