"""From settings to an open database."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError
from pynamodb.connection import Connection

from streamer_core.errors import ConfigurationError
from streamer_core.model.tables import Credentials, OwnTables
from streamer_plugin_dynamodb.database import Database, connect

if TYPE_CHECKING:
    from streamer_plugin_dynamodb import DynamoPlugin


def open_database(settings: "DynamoPlugin.Settings") -> Database:
    """Open the database that the settings name; no call is made yet.

    Raises:
        ConfigurationError: region, endpoint or credentials cannot be used.
    """
    return _database(settings, _connected(settings))


def open_tenant_database(
    settings: "DynamoPlugin.Settings",
    shared: Database,
    tables: OwnTables,
    others: Mapping[str, Database],
) -> Database:
    """Open the database of a tenant's own, with the same client if it may; no call is made yet.

    Args:
        settings, shared: of the tables that all share.
        tables: where its own are.
        others: those of other tenants that nobody else's word opens.

    Raises:
        ConfigurationError: its tables would be those that all share, or cannot be named so.
    """
    prefix = settings.prefix if tables.prefix is None else tables.prefix
    try:
        own = replace(settings, prefix=prefix, region=tables.region or shared.region)
    except ValueError as error:
        raise ConfigurationError(f"the tables of tenant {tables.tenant!r}: {error}") from None
    if tables.credentials is not None:
        return _database(own, _connected(own, tables.credentials))
    for tenant, other in others.items():
        if (prefix, own.region) == (other.prefix, other.region):
            raise ConfigurationError(
                f"the tables of tenant {tables.tenant!r} would be those of {tenant!r}; give each "
                f"a prefix of its own"
            )
    if own.region != shared.region:
        return _database(own, _connected(own))
    if prefix == shared.prefix:
        raise ConfigurationError(
            f"the tables of tenant {tables.tenant!r} would be those that all share; give it a "
            f"prefix other than {prefix!r}"
        )
    return _database(own, shared.connection)


def _connected(
    settings: "DynamoPlugin.Settings", credentials: Callable[[], Credentials] | None = None
) -> Connection:
    try:
        return connect(
            region=settings.region,
            endpoint=settings.endpoint,
            connections=settings.connections,
            credentials=credentials,
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(
            f"[plugins.dynamodb]: {error}; set region and endpoint there, or AWS_REGION"
        ) from error


def _database(settings: "DynamoPlugin.Settings", connection: Connection) -> Database:
    return Database(settings.prefix, connection, patience_s=settings.patience / 1000)
