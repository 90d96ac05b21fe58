"""Streamer's tables of a test, on an emulator of DynamoDB: there at once, and ended with it."""

from uuid import uuid4

from pynamodb.connection import Connection
from streamer_plugin_dynamodb.database import Database
from streamer_plugin_dynamodb.tables import TABLES, definition


def make_tables(connection: Connection) -> Database:
    """Make all of them, at each call others, as `streamer tables create` does but unprotected."""
    database = Database(f"streamer-test-{uuid4().hex[:12]}-", connection)
    for model in TABLES:
        database.call("create_table", definition(model, database.name(model)))
    return database
