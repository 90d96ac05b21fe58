"""Real gateways: an operator's commands beside them, and who is not let in."""

import csv
import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from streamer_plugin_local.testing import Talk, eventually, running_gateway, write_project
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streamer_core.cli.root import make_cli

HANDLERS = """
from streamer_core import Context, handler
from streamer_core.plugin import current_tenant

@handler("whose")
def whose(payload: dict, ctx: Context) -> list:
    return [ctx.principal.tenant, current_tenant()]

@handler("queued", mode="async")
async def queued(payload: dict, ctx: Context) -> list:
    ctx.emit("piece")
    ctx.log.info("it runs")
    return [ctx.principal.tenant, current_tenant()]
"""
A_DAY = 30
CACHE_S = 1
PLUGINS = ["local", "sqlite", "apigateway", "tenancy"]


def project(folder: Path, tenant: str = "acme", **given: Any) -> Path:
    section = {
        "cache": f"{CACHE_S}s",
        "usage_flush": "200ms",
        "requests_in_flight": 50,
        "requests_a_day": A_DAY,
    }
    return write_project(
        folder,
        HANDLERS,
        principal={"tenant": tenant},
        core={"plugins": PLUGINS},
        plugins={"tenancy": section},
        sync_workers=2,
        async_workers=1,
        **given,
    )


def tenants(folder: Path, *words: str, exit_code: int = 0) -> str:
    """Run `streamer tenants …`."""
    result = CliRunner().invoke(
        make_cli(), ["--config", str(folder), "tenants", *words], catch_exceptions=False
    )
    assert result.exit_code == exit_code, result.output
    return result.output


def test_an_operator_beside_a_gateway(tmp_path: Path, world: dict[str, Any]) -> None:
    folder = project(tmp_path / "project", **world)
    with running_gateway(folder) as running:
        tenants(folder, "create", "acme", "connections=2")
        with Talk(running.url) as talk:
            assert talk.ask("whose")["data"] == ["acme", "acme"]
            ref = talk.until_acknowledged("queued", {}, id="r-1")
            end = talk.until(lambda message: message["type"] == "complete")
            assert end["result"] == ["acme", "acme"]

            shown = json.loads(tenants(folder, "show", "acme", "--json"))
            assert shown["quotas"]["connections"] == {"limit": 2, "used": 1}
            assert shown["quotas"]["requests_in_flight"] == {"limit": 50, "used": 0}
            assert "active" in tenants(folder, "show")

            def usage() -> Any:
                rows = map(json.loads, tenants(folder, "usage", "acme", "--json").splitlines())
                found = {row["action"]: row for row in rows}
                return found if {"whose", "queued"} <= found.keys() else None

            found = eventually(usage, "usage")
            assert (found["queued"]["requests"], found["queued"]["messages"]) == (1, 2)
            assert found["whose"]["requests_at_once"] == 1
            assert "whose" in tenants(folder, "usage", "acme", "--since", "5m")

            tenants(folder, "suspend", "acme")
            goodbye = talk.get()
            assert (goodbye["type"], goodbye["reason"]) == ("goodbye", "suspended")
            with pytest.raises(ConnectionClosed) as closed:
                talk.get()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "suspended")
        eventually(lambda: _let_in(running.url) == 403, "the refusal of a new connection")
        assert "suspended" in tenants(folder, "show")
        tenants(folder, "resume", "acme")
        time.sleep(CACHE_S)  # so late has each of the processes noticed
        assert _let_in(running.url) == 101
        _use_up(running.url, folder)
    runs = [line for line in running.log().splitlines() if "it runs" in line]
    assert [json.loads(line)["tenant"] for line in runs] == ["acme"]

    (stored,) = map(json.loads, _requests(folder, "queued"))
    assert (stored["ref"], stored["tenant"]) == (ref, "acme")
    rows = list(csv.DictReader(io.StringIO(tenants(folder, "export", "acme", "--usage", "csv"))))
    assert {row["action"] for row in rows} == {"whose", "queued"}
    assert all(row["hour"].endswith(":00Z") and row["tenant"] == "acme" for row in rows)
    assert tenants(folder, "export", "nobody") == ""
    assert "there already" in tenants(folder, "create", "acme", exit_code=1)
    for verb, *quota in (["create"], ["suspend"], ["resume"], ["quota", "connections=1"]):
        for nobody in ("default", ""):
            assert "no tenant can be named" in tenants(folder, verb, nobody, *quota, exit_code=2)
    assert "there is no quota" in tenants(folder, "quota", "acme", "conns=1", exit_code=2)
    assert "3" in tenants(folder, "quota", "acme", "connections=3", "stored_bytes=none")
    assert "no usage" in tenants(folder, "usage", "nobody")


def _use_up(url: str, folder: Path) -> None:
    """Send more than the day allows, from two connections to two processes at once."""

    def send(_: int) -> list[str]:
        with Talk(url) as talk:
            return [talk.ask("whose")["type"] for _ in range(A_DAY)]

    def used() -> float:
        shown = json.loads(tenants(folder, "show", "acme", "--json"))
        level: float = shown["quotas"]["requests_a_day"]["used"]
        return level

    left = A_DAY - used()
    with ThreadPoolExecutor(2) as pool:
        answers = [one for those in pool.map(send, range(2)) for one in those]
    assert answers.count("response") == left
    assert answers.count("error") == 2 * A_DAY - left
    assert used() == A_DAY


def _let_in(url: str) -> int:
    """Give the status of a new connection that may be used."""
    try:
        with Talk(url) as talk:
            return 101 if talk.ask("whose")["type"] == "response" else 403
    except InvalidStatus as refused:
        return refused.response.status_code


def _requests(folder: Path, action: str) -> list[str]:
    lines = tenants(folder, "export", "acme").splitlines()
    return [line for line in lines if json.loads(line)["action"] == action]


def test_the_development_identity_has_no_tenant_unless_it_is_given_one(tmp_path: Path) -> None:
    folder = project(tmp_path / "project", tenant="default")
    with running_gateway(folder) as running:
        with pytest.raises(InvalidStatus) as refused, Talk(running.url):
            pytest.fail("it should not be let in")
        assert refused.value.response.status_code == 403
        assert b"names no tenant" in (refused.value.response.body or b"")
