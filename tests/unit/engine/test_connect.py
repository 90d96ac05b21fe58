"""Letting connections in, renewing them, seeing them off."""

import json
from dataclasses import replace
from typing import Any

import pytest

from streamer_core import Principal, handler
from streamer_core.errors import (
    Forbidden,
    RateLimited,
    Refused,
    StoreError,
    Throttled,
    Unauthorized,
)
from streamer_core.markers import hookimpl
from streamer_core.model.connection import Handshake
from tests.conftest import Lines
from tests.unit.harness import Client, Rig, code_of

SECRET = "bearer-of-the-whole-truth"


def knock(rig: Rig, token: str | None = "acme/ann/") -> Any:
    return rig.app.connect(Handshake(connection_id="c-9", token=token, address="::1"))


def refused(rig: Rig, token: str | None = "acme/ann/") -> Refused:
    with pytest.raises(Refused) as caught:
        knock(rig, token)
    assert rig.store.get_connection("c-9") is None
    assert rig.seen.of("connect") == []
    return caught.value


def test_a_connection() -> None:
    rig = Rig()
    connection = knock(rig)
    assert (connection.id, connection.address) == ("c-9", "::1")
    assert connection.principal.user == "ann"
    assert connection.connected_at == rig.clock.now()
    assert connection.expires_at == rig.clock.now() + 7_200_000
    stored = rig.store.get_connection("c-9")
    assert stored is not None
    assert stored.principal.claims == {}
    assert [told["connection"] for told in rig.seen.of("connect")] == [connection]


@pytest.mark.parametrize("token", [None, "", "nonsense"])
def test_no_good_token(token: str | None) -> None:
    error = refused(Rig(), token)
    assert (error.code, error.http_status) == ("UNAUTHORIZED", 401)


def test_a_token_that_is_over() -> None:
    rig = Rig()
    assert refused(rig, f"acme/ann//{rig.clock.now()}").http_status == 401
    connection = knock(rig, f"acme/ann//{rig.clock.now() + 5000}")
    assert connection.expires_at == rig.clock.now() + 5000


class Steps:
    """Keeps the order of the steps; one of them refuses."""

    def __init__(self, name: str = "", error: Exception | None = None) -> None:
        self.name, self.error = name, error
        self.taken: list[str] = []

    def _step(self, name: str) -> None:
        self.taken.append(name)
        if name == self.name and self.error:
            raise self.error

    @hookimpl
    def streamer_authenticate(self, handshake: Handshake) -> Principal | None:
        self._step("authenticate")
        return None

    @hookimpl
    def streamer_limit(self, principal: Principal, connection: Any, request: Any) -> None:
        assert (principal.user, connection.id, request) == ("ann", "c-9", None)
        self._step("limit")

    @hookimpl
    def streamer_admit(self, principal: Principal, connection: Any, request: Any) -> None:
        self._step("admit")

    @hookimpl
    def streamer_on_connect(self) -> None:
        self._step("on_connect")


ORDER = ["authenticate", "limit", "admit", "on_connect"]


def test_the_order() -> None:
    steps = Steps()
    knock(Rig(plugins=[steps]))
    assert steps.taken == ORDER


@pytest.mark.parametrize(
    ("name", "error", "status"),
    [
        ("authenticate", Unauthorized("No"), 401),
        ("authenticate", Forbidden("No"), 403),
        ("limit", RateLimited("Too many", retry_after_ms=500), 429),
        ("admit", Forbidden("No"), 403),
        ("authenticate", RuntimeError(SECRET), 503),
        ("limit", RuntimeError(SECRET), 503),
    ],
)
def test_each_may_refuse(name: str, error: Exception, status: int) -> None:
    steps = Steps(name, error)
    caught = refused(Rig(plugins=[steps]))
    assert caught.http_status == status
    assert steps.taken == ORDER[: ORDER.index(name) + 1]
    assert SECRET not in caught.message
    if status == 429:
        assert caught.retry_after_ms == 500


def test_an_observer_that_breaks_closes_no_door(logs: Lines) -> None:
    knock(Rig(plugins=[Steps("on_connect", RuntimeError(SECRET))]))
    assert SECRET in str(logs)


@pytest.mark.parametrize("error", [StoreError(SECRET), Throttled(SECRET), OSError(SECRET)])
def test_a_store_that_fails(error: Exception) -> None:
    rig = Rig()
    rig.store.faults.fail_next("put_connection", error)
    caught = refused(rig)
    assert caught.http_status == 503
    assert SECRET not in caught.message


def test_a_draining_server() -> None:
    rig = Rig()
    rig.app.runtime.draining.set()
    assert refused(rig).http_status == 503


def test_goodbye() -> None:
    rig = Rig()
    client = rig.client()
    for _ in range(2):
        rig.app.disconnect(client.id, "closed")
    (told,) = rig.seen.of("disconnect")
    assert (told["connection"].id, told["reason"]) == (client.id, "closed")
    rig.app.disconnect("nobody")


def test_a_connection_that_is_dismissed() -> None:
    rig = Rig()
    client = rig.client()
    for _ in range(2):
        rig.app.dismiss(client.id, "revoked")
    assert [message["reason"] for message in client.of("goodbye")] == ["revoked"]
    assert rig.transport.closed == {client.id: (1001, "revoked")}
    assert [told["reason"] for told in rig.seen.of("disconnect")] == ["revoked"]


def test_claims_that_are_kept() -> None:
    rig = Rig(keep_claims=["raw", "none"])
    connection = knock(rig)
    assert connection.principal.kept == {"raw": "acme/ann/"}
    assert rig.store.get_connection("c-9") == replace(
        connection, principal=replace(connection.principal, claims={})
    )
    client = rig.client()
    renew(client, "acme/ann/more")
    stored = rig.store.get_connection(client.id)
    assert stored is not None
    assert stored.principal.kept == {"raw": "acme/ann/more"}


# -- renewing


def renew(client: Client, token: Any) -> dict[str, Any]:
    return client.ask("streamer.authenticate", {"token": token})


def test_a_new_token() -> None:
    rig = Rig()
    client = rig.client(expires=rig.clock.now() + 1000)
    rig.clock.advance(500)
    end = rig.clock.now() + 60_000
    answer = renew(client, f"acme/ann/more/{end}")
    assert answer["data"] == {"expires_at": end}
    assert client.connection.expires_at == end
    assert client.connection.principal.may("more")
    stored = rig.store.get_connection(client.id)
    assert stored is not None
    assert stored.expires_at == end
    rig.clock.advance(1000)
    assert client.ask("streamer.ping")["type"] == "pong"


def test_a_connections_life_is_not_prolonged() -> None:
    rig = Rig()
    client = rig.client(expires=rig.clock.now() + 1000)
    opened = rig.clock.now()
    rig.clock.advance(500)
    assert renew(client, "acme/ann/")["data"] == {"expires_at": opened + 7_200_000}


def test_what_it_follows_is_renewed_with_it() -> None:
    """A token of five minutes must not end the updates of a request of an hour."""

    @handler("a", mode="async")
    def function() -> str:
        return "done"

    rig = Rig(function)
    client = rig.client(expires=rig.clock.now() + 1000)
    client.ask("a", id="r")
    renew(client, f"acme/ann//{rig.clock.now() + 60_000}")
    rig.clock.advance(5000)
    rig.work()
    assert client.kinds == ["complete"]


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("acme/bob/", "FORBIDDEN"),
        ("other/ann/", "FORBIDDEN"),
        ("acme/ann//1", "UNAUTHORIZED"),
        ("nonsense", "UNAUTHORIZED"),
        ("", "VALIDATION_ERROR"),
        (None, "VALIDATION_ERROR"),
        (3, "VALIDATION_ERROR"),
    ],
)
def test_tokens_that_do_not_renew(token: Any, code: str) -> None:
    rig = Rig()
    client = rig.client(scopes="old")
    before = client.connection
    assert code_of(renew(client, token)) == code
    assert client.connection == before
    stored = rig.store.get_connection(client.id)
    assert stored is not None
    assert stored.expires_at == before.expires_at


def test_the_authenticator_knows_that_it_renews() -> None:
    seen: list[Handshake] = []

    class Watch:
        @hookimpl
        def streamer_authenticate(self, handshake: Handshake) -> None:
            seen.append(handshake)

    rig = Rig(plugins=[Watch()])
    client = rig.client()
    renew(client, "acme/ann/")
    assert seen[0].renewing is None
    assert seen[1].renewing == client.principal
    assert seen[1].connection_id == client.id


# -- secrets


def test_tokens_and_claims_are_in_no_repr_and_no_log(logs: Lines) -> None:
    class Broken:
        @hookimpl
        def streamer_limit(self, request: Any, connection: Any) -> None:
            if request is None or request.action == "streamer.authenticate":
                raise RuntimeError(f"while asked for {connection!r} and {request!r}")

    handshake = Handshake(
        connection_id="c",
        token=f"acme/ann//{10**13}/{SECRET}",
        headers={"authorization": SECRET},
        query={"token": SECRET},
    )
    principal = Principal(user="u", claims={"raw": SECRET})
    assert SECRET not in repr(handshake) + repr(principal)

    rig = Rig()
    rig.store.faults.fail_next("put_connection", StoreError("down"))
    with pytest.raises(Refused):
        rig.app.connect(handshake)
    rig.plug(Broken())
    with pytest.raises(Refused) as caught:
        rig.app.connect(handshake)
    assert caught.value.__cause__ is None
    assert len(logs) == 2
    assert SECRET not in json.dumps(logs, default=repr)


def test_a_token_shown_in_band_is_in_no_log(logs: Lines) -> None:
    class Broken:
        @hookimpl
        def streamer_limit(self, request: Any, connection: Any) -> None:
            if request is not None:
                raise RuntimeError(f"while asked for {connection!r} and {request!r}")

    rig = Rig(plugins=[Broken()])
    answer = renew(rig.client(), f"acme/ann//{10**13}/{SECRET}")
    assert code_of(answer) == "INTERNAL_ERROR"
    assert len(logs) == 1
    assert SECRET not in json.dumps([*logs, answer], default=repr)


def test_a_token_that_an_authenticator_stumbles_over_is_in_no_log(logs: Lines) -> None:
    """`users[handshake.token]` names the token in its KeyError."""

    class Careless:
        @hookimpl(tryfirst=True)
        def streamer_authenticate(self, handshake: Handshake) -> Principal | None:
            users: dict[str | None, Principal] = {}
            return users[handshake.token] if SECRET in (handshake.token or "") else None

    rig = Rig(plugins=[Careless()])
    assert refused(rig, SECRET).code == "SERVICE_UNAVAILABLE"
    answer = rig.client().ask("streamer.authenticate", {"token": SECRET})
    assert code_of(answer) == "INTERNAL_ERROR"

    assert [line["event"] for line in logs] == ["connection failed", "message failed"]
    assert all("KeyError: '[redacted]'" in line["exception"] for line in logs)
    assert SECRET not in str(logs)
