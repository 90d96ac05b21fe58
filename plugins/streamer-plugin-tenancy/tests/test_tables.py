"""A tenant with tables of its own: all of it is there, and nothing of it anywhere else."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from click.testing import CliRunner
from streamer_plugin_dynamodb import deployment
from streamer_plugin_dynamodb.database import Database, connect
from streamer_plugin_dynamodb.store import DynamoStore
from streamer_plugin_dynamodb.tables import TABLES, Connections, Subscriptions
from streamer_plugin_local.testing import Talk, running_gateway, write_project
from streamer_plugin_sqlite import SqliteStore

from streamer_core import Context, Settings, Streamer, topic
from streamer_core.cli.root import make_cli
from streamer_core.model.ids import tenant_part
from streamer_core.model.request import Status
from streamer_core.plugins import Found
from streamer_core.ports import Query
from streamer_core.testing import MemoryTransport
from streamer_core.testing.contracts.build import a_request
from tests.emulators import EMULATORS, REGION
from tests.emulators.dynamodb import make_tables
from tests.unit.harness import Client, Rig, Wire, code_of, handler, mirror

FOUND = (
    Found(name="dynamodb", value="streamer_plugin_dynamodb:DynamoPlugin"),
    Found(name="tenancy", value="streamer_plugin_tenancy:TenancyPlugin"),
)
QUOTAS = {"connections": 9, "requests_in_flight": 9, "requests_a_day": 99, "stored_bytes": 9_999}
ROLE = "arn:aws:iam::210987654321:role/streamer"


@handler("work", mode="async", retry={"max_attempts": 3, "backoff": 1})
def work(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    ctx.emit({"piece of": payload})
    ctx.checkpoint(payload)
    ctx.publish("news", payload)
    return {"result of": payload}


@topic("news")
def news(principal: Any) -> bool:
    return True


@dataclass
class Place:
    """Two sets of tables: those that all share, and those of `acme`."""

    endpoint: str
    shared: Database
    own: Database

    def rig(self, **given: Any) -> Rig:
        """Make an app on them; made again, it is another process."""
        tenancy = {**QUOTAS, "tables": {"acme": {"prefix": self.own.prefix}}}
        dynamodb = {"prefix": self.shared.prefix, "region": REGION, "endpoint": self.endpoint}
        return Rig(
            work,
            news,
            found=FOUND,
            stored_by="dynamodb",
            open_store=lambda clock: DynamoStore(self.shared, clock),
            sections={"tenancy": tenancy, "dynamodb": dynamodb},
            **given,
        )


def text_of(database: Database, *tables: Any) -> str:
    """Give all that is in a set of tables, or in these of it."""
    names = [database.name(one) for one in tables or TABLES]
    found = [database.call("scan", {"TableName": name})["Items"] for name in names]
    return json.dumps(found, default=repr)


@pytest.fixture(params=EMULATORS)
def place(request: pytest.FixtureRequest, aws: Callable[[str], str]) -> Iterator[Place]:
    endpoint = aws(request.param)
    connection = connect(region=REGION, endpoint=endpoint)
    made = Place(endpoint, make_tables(connection), make_tables(connection))
    yield made
    for database in (made.shared, made.own):
        deployment.delete(database)


def begin(rig: Rig) -> tuple[Client, Client]:
    """Have a request of each of two tenants stored; gives the one with its own tables first."""
    both = rig.client("annabel", tenant="acme"), rig.client("evelyn", tenant="evil")
    for client, word in zip(both, ("sapphire", "ruby"), strict=True):
        client.ask("streamer.subscribe", {"topic": "news"})
        client.ask("work", {"word": word}, id="r")
    return both


def test_from_end_to_end(place: Place) -> None:
    rig = place.rig()
    theirs, others = begin(rig)
    for client in (theirs, others):
        assert rig.app.run(client.ref("r"))  # as a worker that was woken for it
    for client, word in ((theirs, "sapphire"), (others, "ruby")):
        assert client.of("complete")[0]["result"] == {"result of": {"word": word}}
        assert len(client.of("event")) == 1
        listed = client.ask("streamer.list", {})["data"]["requests"]
        assert [one["request_id"] for one in listed] == ["r"]

    back = rig.client("annabel", tenant="acme")
    answers = back.send("streamer.resume", {"requests": {"r": 0}})
    assert mirror(answers[:-1]).terminal is not None
    assert code_of(back.ask("streamer.cancel", {"request_id": "none"})) == "NOT_FOUND"

    back.ask("work", {"word": "opal"}, id="r-2", options={"delay_ms": 60_000})
    cancelled, *_ = back.send("streamer.cancel", {"request_id": "r-2"})
    assert cancelled["data"]["status"] == "cancelled"

    shared, own = text_of(place.shared), text_of(place.own)
    assert "acme" in shared, "whose connection it is"
    for word in ("annabel", "sapphire", "opal", theirs.ref("r"), "connections/4/acme"):
        assert word in own
        assert word not in shared
    for word in ("evelyn", "ruby", others.ref("r"), others.id):
        assert word not in own
        assert word in shared
    for client in (theirs, back, others):
        rig.app.disconnect(client.id)
    assert rig.app.store.connections() == []
    assert text_of(place.shared, Connections, Subscriptions) == "[[], []]"
    assert text_of(place.own, Connections, Subscriptions) == "[[], []]"


@pytest.mark.parametrize("place", ["ministack"], indirect=True)
def test_workers_and_sweeper_find_it(place: Place) -> None:
    rig = place.rig()
    theirs, others = begin(rig)
    rig.claim(theirs.ref("r"), lease_ms=1)
    theirs.go()
    rig.clock.advance(5)
    swept = rig.app.sweep()
    assert (swept.lapsed, swept.woken) == (1, 2)
    refs = {theirs.ref("r"), others.ref("r")}
    assert {change.ref for change in (*rig.waker.dispatched, *rig.waker.scheduled)} == refs
    rig.clock.advance(60_000)
    assert rig.work() == 2, "whoever's turn it is"
    assert {rig.stored(ref).status for ref in refs} == {Status.COMPLETED}
    page = rig.app.store.query(Query(), limit=1)
    more = rig.app.store.query(Query(), limit=1, cursor=page.cursor)
    assert {one.ref for one in (*page.items, *more.items)} == refs
    assert more.cursor is None
    rig.clock.advance(7_200_000)
    assert rig.app.sweep().connections == 1
    assert rig.app.store.connections() == []


def test_on_a_laptop(tmp_path: Path) -> None:
    tables = {"acme": {"role": ROLE, "external_id": "streamer"}}
    core = {"plugins": ["local", "sqlite", "tenancy"]}
    folder = write_project(tmp_path, "", core=core, plugins={"tenancy": {"tables": tables}})
    with Streamer(Settings.load(folder), transport=MemoryTransport(), load_handlers=False) as app:
        for tenant, file in (("evil", "streamer"), ("acme", f"streamer-{tenant_part('acme')}")):
            request = a_request(app.clock, tenant=tenant)
            app.store.enqueue(request)
            own = SqliteStore(tmp_path / ".streamer" / f"{file}.db", app.clock)
            assert [one.ref for one in own.query(Query()).items] == [request.ref]
            own.close()


# -- in another account


def tables(folder: Path, *words: str, exit_code: int = 0) -> str:
    """Run `streamer tables …`."""
    command = ["--config", str(folder), "tables", *words]
    result = CliRunner().invoke(make_cli(), command, catch_exceptions=False)
    assert result.exit_code == exit_code, result.output
    return result.output


def test_another_account(
    aws: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, prefix = aws("moto"), f"streamer-test-{uuid4().hex[:12]}-"
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    folder = write_project(
        tmp_path,
        "",
        core={"plugins": ["local", "dynamodb", "tenancy"], "store": "dynamodb"},
        plugins={
            "dynamodb": {"prefix": prefix, "region": REGION},
            "tenancy": {"tables": {"acme": {"role": ROLE, "external_id": "streamer"}}},
        },
    )
    both: Sequence[Sequence[str]] = ([], ["--tenant", "acme"])
    for words in both:
        assert f"{prefix}requests: made" in tables(folder, *words, "create")
    assert "has no tables of its own" in tables(folder, "--tenant", "bob", "check", exit_code=2)

    settings = Settings.load(folder)
    with Streamer(settings, transport=MemoryTransport(), load_handlers=False) as app:
        requests = {tenant: a_request(app.clock, tenant=tenant) for tenant in ("acme", "evil")}
        for request in requests.values():
            app.store.enqueue(request)
    for tenant, role in (("evil", None), ("acme", ROLE)):
        (item,) = items_in(endpoint, f"{prefix}requests", role)
        assert item["ref"]["S"] == requests[tenant].ref
    for words in both:
        assert "all tables are as they should be" in tables(folder, *words, "check")
        assert f"{prefix}state: deleted" in tables(folder, *words, "delete", "--yes")


def items_in(endpoint: str, table: str, role: str | None) -> list[Any]:
    """Give a table's items, as whoever has assumed a role sees them."""
    given: Any = {"endpoint_url": endpoint, "region_name": REGION}
    session = boto3.Session()
    if role is not None:
        asked = session.client("sts", **given).assume_role(RoleArn=role, RoleSessionName="test")
        word = asked["Credentials"]
        session = boto3.Session(
            aws_access_key_id=word["AccessKeyId"],
            aws_secret_access_key=word["SecretAccessKey"],
            aws_session_token=word["SessionToken"],
        )
    return list(session.client("dynamodb", **given).scan(TableName=table)["Items"])


# -- real gateways

HANDLERS = """
from streamer_core import Context, handler

@handler("whose")
def whose(ctx: Context) -> str:
    return ctx.principal.tenant

@handler("queued", mode="async")
def queued(payload: dict, ctx: Context) -> dict:
    ctx.emit("piece")
    return payload
"""


@pytest.mark.parametrize("place", ["ministack"], indirect=True)
def test_behind_a_gateway(place: Place, tmp_path: Path, world: dict[str, Any]) -> None:
    dynamodb = {"prefix": place.shared.prefix, "region": REGION, "endpoint": place.endpoint}
    folder = write_project(
        tmp_path,
        HANDLERS,
        principal={"tenant": "acme", "user": "annabel"},
        core={"plugins": ["local", "dynamodb", "apigateway", "tenancy"], "store": "dynamodb"},
        plugins={
            "dynamodb": dynamodb,
            "tenancy": {**QUOTAS, "tables": {"acme": {"prefix": place.own.prefix}}},
        },
        sync_workers=1,
        async_workers=1,
        **world,
    )
    with running_gateway(folder) as running:
        with Talk(running.url) as talk:
            assert talk.ask("whose")["data"] == "acme"
            talk.until_acknowledged("queued", {"word": "sapphire"}, id="r")
            assert talk.until(is_end)["result"] == {"word": "sapphire"}
            talk.until_acknowledged("queued", {}, id="later", options={"delay_ms": 600_000})
        with Talk(running.url) as back:
            back.send("streamer.resume", {"requests": {"r": 0}})
            assert back.until(is_end)["result"] == {"word": "sapphire"}
            back.until(lambda message: message["type"] == "resumed")
            back.send("streamer.cancel", {"request_id": "later"})
            cancelled = back.until(lambda message: message["type"] == "response")
            assert cancelled["data"]["status"] == "cancelled"
    shown = CliRunner().invoke(
        make_cli(), ["--config", str(folder), "tenants", "show", "acme", "--json"]
    )
    quotas = json.loads(shown.output)["quotas"]
    assert [quotas[name]["used"] for name in ("requests_in_flight", "requests_a_day")] == [0, 3]
    shared, own = text_of(place.shared), text_of(place.own)
    assert "sapphire" in own
    assert not any(word in shared for word in ("sapphire", "annabel", "requests_a_day"))


def is_end(message: Wire) -> bool:
    return str(message["type"]) == "complete"
