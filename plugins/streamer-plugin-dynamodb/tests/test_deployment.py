"""The tables in an account, and in the template."""

import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner
from pynamodb.connection import Connection
from streamer_plugin_dynamodb import DynamoPlugin, command, deployment
from streamer_plugin_dynamodb.database import Database
from streamer_plugin_dynamodb.opening import open_database
from streamer_plugin_dynamodb.tables import TABLES, definition

from streamer_core.errors import StoreError
from streamer_core.ports.clock import SystemClock
from tests.emulators import REGION

ELSEWHERE = os.environ.get("STREAMER_TEST_AWS_ENDPOINT")
README = Path(__file__).parents[1] / "README.md"
KEY = f"arn:aws:kms:{REGION}:123456789012:key/11111111-2222-3333-4444-555555555555"


@pytest.fixture
def client(endpoint: str) -> Any:
    return boto3.client("dynamodb", endpoint_url=endpoint, region_name=REGION)


@pytest.fixture
def settings(endpoint: str) -> Iterator[DynamoPlugin.Settings]:
    """Give the settings of tables that were made as an operator makes them."""
    prefix = f"streamer-test-{uuid.uuid4().hex[:12]}-"
    settings = DynamoPlugin.Settings(
        prefix=prefix, region=REGION, endpoint=endpoint, patience=2_000
    )
    database = open_database(settings)
    deployment.create(database)
    yield settings
    deployment.delete(database)


def run(settings: DynamoPlugin.Settings, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(command.tables(settings), words, catch_exceptions=False)
    return result.exit_code, result.output


def test_tables_that_were_made_are_as_they_should_be(settings: DynamoPlugin.Settings) -> None:
    assert run(settings, "check") == (0, "all tables are as they should be\n")
    assert run(settings, "create") == (0, "all tables are there\n")


class NotYet(Database):
    """Refuses what a table is too young for, once a table."""

    refused: set[str]

    def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        name = arguments["TableName"]
        if operation == "update_continuous_backups" and name not in self.refused:
            self.refused.add(name)
            raise StoreError(f"{operation} was answered with ContinuousBackupsUnavailableException")
        return super().call(operation, arguments)


def test_a_table_too_young_to_be_restored_is_waited_for(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "_POLL_S", 0.0)
    database = NotYet(f"streamer-test-{uuid.uuid4().hex[:12]}-", connection)
    database.refused = set()
    assert set(deployment.create(database)) == database.refused
    assert deployment.check(database) == []
    deployment.delete(database)


def test_tables_are_protected(settings: DynamoPlugin.Settings, client: Any) -> None:
    name = f"{settings.prefix}requests"
    table = client.describe_table(TableName=name)["Table"]
    backups = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    # DynamoDB encrypts it all the same, with a key that AWS owns.
    assert "SSEDescription" not in table
    recovery = backups["PointInTimeRecoveryDescription"]
    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(KEY, marks=pytest.mark.skipif(bool(ELSEWHERE), reason="AWS has no such key")),
        "aws/dynamodb",
    ],
)
def test_tables_are_encrypted_with_the_key_that_is_named(
    settings: DynamoPlugin.Settings, client: Any, key: str
) -> None:
    name = f"{settings.prefix}updates"
    client.delete_table(TableName=name)
    assert run(settings, "create", "--key", key) == (0, f"{name}: made\n")
    encrypted = client.describe_table(TableName=name)["Table"]["SSEDescription"]
    assert (encrypted["Status"], encrypted["SSEType"]) == ("ENABLED", "KMS")
    assert (encrypted["KMSMasterKeyArn"] == KEY) == (key == KEY)
    told = f"{name}: it is not encrypted with the key that AWS owns\n"
    assert run(settings, "check") == (1, told)
    assert (f"{name}: it is not" in run(settings, "check", "--key", KEY)[1]) == (key != KEY)
    differ = run(settings, "check", "--key", key)[1].splitlines()
    others = [one for one in TABLES if one.Meta.table_name != "updates"]
    assert differ == [
        f"{settings.prefix}{one.Meta.table_name}: it is not encrypted with {key}" for one in others
    ]


def test_what_is_missing_is_named_and_made(settings: DynamoPlugin.Settings, client: Any) -> None:
    client.delete_table(TableName=f"{settings.prefix}updates")
    assert run(settings, "check") == (1, f"{settings.prefix}updates: there is no such table\n")
    assert run(settings, "create") == (0, f"{settings.prefix}updates: made\n")


def test_what_differs_is_named(settings: DynamoPlugin.Settings, client: Any) -> None:
    name = f"{settings.prefix}connections"
    client.delete_table(TableName=name)
    throughput = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}
    client.create_table(
        TableName=name,
        ProvisionedThroughput=throughput,
        AttributeDefinitions=[
            {"AttributeName": one, "AttributeType": "S"} for one in ("name", "shard", "opened")
        ],
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": index,
                "KeySchema": [
                    {"AttributeName": "shard", "KeyType": "HASH"},
                    {"AttributeName": "opened", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
                "ProvisionedThroughput": throughput,
            }
            for index in ("by_age", "by_moon")
        ],
    )
    code, output = run(settings, "check")
    assert code == 1
    assert output.splitlines() == [
        f"{name}: its key is name, not id",
        f"{name}: index by_user is missing",
        f"{name}: index by_tenant is missing",
        f"{name}: index by_age is not as it should be",
        f"{name}: index expiring is missing",
        f"{name}: index by_moon is not used",
        f"{name}: its time to live is not set to the attribute ttl",
        f"{name}: it is billed as PROVISIONED, not as PAY_PER_REQUEST",
        f"{name}: it cannot be restored to a point in time",
    ]


@pytest.mark.skipif(bool(ELSEWHERE), reason="AWS has the time to live changed once an hour")
def test_protection_that_was_taken_away_is_named(
    settings: DynamoPlugin.Settings, client: Any
) -> None:
    name = f"{settings.prefix}state"
    client.update_time_to_live(
        TableName=name, TimeToLiveSpecification={"Enabled": False, "AttributeName": "ttl"}
    )
    client.update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
    )
    assert run(settings, "check")[1].splitlines() == [
        f"{name}: its time to live is not set to the attribute ttl",
        f"{name}: it cannot be restored to a point in time",
    ]


def test_delete_asks_first(settings: DynamoPlugin.Settings) -> None:
    code, output = run(settings, "delete")
    assert code == 1
    assert "Delete all tables that begin with" in output
    assert run(settings, "check")[0] == 0
    code, output = run(settings, "delete", "--yes")
    assert (code, len(output.splitlines())) == (0, len(TABLES))
    assert "there is no such table" in run(settings, "check")[1]


def test_the_template_has_what_is_created() -> None:
    """Key for key, but for the names that CloudFormation has for the same."""
    resources = json.loads(run(DynamoPlugin.Settings(), "template")[1])
    assert resources == deployment.template()
    for model in TABLES:
        properties = resources[f"{model.__name__}Table"]["Properties"]
        wanted = definition(model, "")
        same = wanted.keys() - {"TableName", "StreamSpecification"}
        assert {name: properties[name] for name in same} == {name: wanted[name] for name in same}
        stream = wanted.get("StreamSpecification", {}).get("StreamViewType")
        assert properties.get("StreamSpecification", {}).get("StreamViewType") == stream
        assert properties["TimeToLiveSpecification"]["AttributeName"] == "ttl"


def test_the_readme_is_true(
    settings: DynamoPlugin.Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its example runs, and its tables are those that are declared."""
    text = README.read_text("utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert settings.endpoint
    monkeypatch.setenv("AWS_ENDPOINT_URL", settings.endpoint)
    example = example.replace('"shop-"', repr(settings.prefix)).replace("eu-central-1", REGION)
    exec(compile(example, README, "exec"), {})
    assert "hello" in capsys.readouterr().out
    for model in TABLES:
        wanted = definition(model, model.Meta.table_name)
        indexes = [
            f"`{index['IndexName']}`"
            for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
            for index in wanted.get(kind, ())
        ]
        keys = ", ".join(f"`{one['AttributeName']}`" for one in wanted["KeySchema"])
        row = f"| `{wanted['TableName']}` | {keys} | {', '.join(indexes)}"
        assert row in text.replace(" (local)", "")


def test_a_store_without_its_tables_says_so(connection: Connection) -> None:
    from streamer_plugin_dynamodb.store import DynamoStore

    from streamer_core.errors import StoreError

    store = DynamoStore(Database("nowhere-", connection), SystemClock())
    with pytest.raises(StoreError, match="ResourceNotFoundException"):
        store.check()
    store.close()
