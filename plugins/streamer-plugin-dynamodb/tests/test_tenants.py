"""Tables of a tenant's own: where they are, and whose word opens them."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from streamer_plugin_dynamodb import DynamoPlugin
from streamer_plugin_dynamodb.database import Database, connect

from streamer_core.errors import ConfigurationError, StoreError
from streamer_core.model.tables import Credentials, OwnTables
from streamer_core.ports import SystemClock
from tests.emulators import REGION

HOUR_MS = 3_600_000


@pytest.fixture
def plugin() -> DynamoPlugin:
    settings = DynamoPlugin.Settings(prefix="shared-", region=REGION)
    return DynamoPlugin(settings, None)


def opened(plugin: DynamoPlugin, **given: Any) -> Database:
    tables = OwnTables(tenant="acme", **given)
    store = plugin.streamer_open_tenant_store("dynamodb", SystemClock(), tables)
    assert store is not None
    return plugin.of_tenants["acme"]


def test_another_store_is_not_answered_for(plugin: DynamoPlugin) -> None:
    tables = OwnTables(tenant="acme", prefix="acme-")
    assert plugin.streamer_open_tenant_store("sqlite", SystemClock(), tables) is None


def test_tables_beside_the_shared_ones_share_the_client(plugin: DynamoPlugin) -> None:
    own = opened(plugin, prefix="acme-", region=REGION)
    assert own.prefix == "acme-"
    assert own.connection is plugin.database.connection


def test_tables_elsewhere_have_a_client_of_their_own(plugin: DynamoPlugin) -> None:
    own = opened(plugin, region="eu-central-1")
    assert (own.prefix, own.region) == ("shared-", "eu-central-1")
    assert own.connection is not plugin.database.connection


def test_who_names_no_region_means_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    plugin = DynamoPlugin(DynamoPlugin.Settings(prefix="shared-"), None)
    abroad = opened(plugin, credentials=Giver(HOUR_MS))
    assert {plugin.database.region, abroad.region} == {"eu-central-1"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "would be those that all share"),
        ({"prefix": "shared-", "region": REGION}, "would be those that all share"),
        ({"prefix": "of acme"}, "'acme': prefix: may have 200 characters"),
    ],
)
def test_what_cannot_be_its_own_is_refused(
    plugin: DynamoPlugin, given: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        opened(plugin, **given)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"prefix": "a-"}, {"prefix": "a-", "region": REGION}),
        ({"region": "eu-central-1"}, {"prefix": "shared-", "region": "eu-central-1"}),
    ],
)
def test_two_tenants_cannot_have_the_same(
    plugin: DynamoPlugin, first: dict[str, Any], second: dict[str, Any]
) -> None:
    plugin.streamer_open_tenant_store("dynamodb", SystemClock(), OwnTables(tenant="blue", **first))
    with pytest.raises(ConfigurationError, match="of tenant 'acme' would be those of 'blue'"):
        opened(plugin, **second)


class Giver:
    """Gives credentials that are good for so long, and counts how often."""

    def __init__(self, lasts_ms: int, error: Exception | None = None) -> None:
        self.lasts_ms, self.error, self.asked = lasts_ms, error, 0

    def __call__(self) -> Credentials:
        self.asked += 1
        if self.error:
            raise self.error
        return Credentials(
            key_id="key", secret="secret", token="token",
            expires_at=SystemClock().now() + self.lasts_ms,
        )  # fmt: skip


@pytest.mark.parametrize(("lasts_ms", "once"), [(HOUR_MS, True), (60_000, False)])
def test_credentials_are_kept_until_they_are_nearly_over(
    endpoint: str, lasts_ms: int, *, once: bool
) -> None:
    give = Giver(lasts_ms)
    database = Database("acme-", connect(region=REGION, endpoint=endpoint, credentials=give))
    assert give.asked == 0, "nothing is called where it is opened"
    for _ in range(3):
        database.call("list_tables", {})
    assert (give.asked == 1) == once


def test_what_is_refused_is_not_asked_for_in_another_name(endpoint: str) -> None:
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AssumeRole")
    give = Giver(HOUR_MS, denied)
    database = Database("acme-", connect(region=REGION, endpoint=endpoint, credentials=give))
    with pytest.raises(StoreError, match="AccessDenied"):
        database.call("list_tables", {})
    with pytest.raises(StoreError, match="AccessDenied"):
        database.call("list_tables", {})
    assert give.asked == 2


def test_every_thread_signs_with_them(endpoint: str) -> None:
    give = Giver(HOUR_MS)
    database = Database("acme-", connect(region=REGION, endpoint=endpoint, credentials=give))
    with ThreadPoolExecutor(1) as pool:
        session = pool.submit(lambda: database.connection.session).result()
    assert session.get_credentials().access_key == "key"


def test_no_secret_is_shown() -> None:
    assert "secret" not in repr(Giver(HOUR_MS)())
    assert "token" not in repr(Giver(HOUR_MS)())
