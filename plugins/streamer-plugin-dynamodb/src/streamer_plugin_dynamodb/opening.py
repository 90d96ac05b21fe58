"""From settings to an open database."""

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError

from streamer_core.errors import ConfigurationError
from streamer_core.ports.clock import Clock
from streamer_plugin_dynamodb.database import Database, connect
from streamer_plugin_dynamodb.store import DynamoStore

if TYPE_CHECKING:
    from streamer_plugin_dynamodb import DynamoPlugin


def open_database(settings: "DynamoPlugin.Settings") -> Database:
    """Open the database that the settings name; no call is made yet.

    Raises:
        ConfigurationError: region, endpoint or credentials cannot be used.
    """
    try:
        connection = connect(
            region=settings.region,
            endpoint=settings.endpoint,
            connections=settings.connections,
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(
            f"[plugins.dynamodb]: {error}; set region and endpoint there, or AWS_REGION"
        ) from error
    return Database(settings.prefix, connection, patience_s=settings.patience / 1000)


def open_store(settings: "DynamoPlugin.Settings", clock: Clock) -> DynamoStore:
    """Open the store that the settings name.

    Raises:
        ConfigurationError: region, endpoint or credentials cannot be used.
    """
    return DynamoStore(open_database(settings), clock)
