"""Streamer's store on Amazon DynamoDB.

Nothing of boto3 or PynamoDB is imported before the store is opened: a project that has this plugin
installed and uses another store pays nothing for it.
"""

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

from streamer_core.markers import hookimpl
from streamer_core.model.manifest import Manifest
from streamer_core.model.tables import OwnTables
from streamer_core.ports import Clock, Store
from streamer_core.records import record
from streamer_core.sections import Ms

if TYPE_CHECKING:
    from streamer_plugin_dynamodb.database import Database

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
            patience: how long a call is tried again that DynamoDB throttles or does not answer, or
                that others were faster than.
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
        self.of_tenants: dict[str, Database] = {}
        self._in_our_name: dict[str, Database] = {}

    @cached_property
    def database(self) -> "Database":
        """The tables that all share; made at first use."""
        from streamer_plugin_dynamodb.opening import open_database  # noqa: PLC0415

        return open_database(self.settings)

    @hookimpl
    def streamer_open_store(self, name: str, clock: Clock) -> Store | None:
        """Open the tables, where the store asked for is this one."""
        if name != "dynamodb":
            return None
        from streamer_plugin_dynamodb.store import DynamoStore  # noqa: PLC0415

        return DynamoStore(self.database, clock)

    @hookimpl
    def streamer_open_tenant_store(
        self, name: str, clock: Clock, tables: OwnTables
    ) -> Store | None:
        """Open a tenant's own tables, where the store asked for is this one."""
        if name != "dynamodb":
            return None
        from streamer_plugin_dynamodb.opening import open_tenant_database  # noqa: PLC0415
        from streamer_plugin_dynamodb.store import DynamoStore  # noqa: PLC0415

        database = open_tenant_database(self.settings, self.database, tables, self._in_our_name)
        self.of_tenants[tables.tenant] = database
        if tables.credentials is None:
            self._in_our_name[tables.tenant] = database
        return DynamoStore(database, clock)

    @hookimpl
    def streamer_register_commands(self, cli: Any) -> None:
        """Add `streamer tables`."""
        from streamer_plugin_dynamodb.command import tables  # noqa: PLC0415 - click is an extra

        cli.add_command(tables(self.settings))
