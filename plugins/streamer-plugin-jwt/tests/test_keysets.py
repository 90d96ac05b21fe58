"""Keys that are fetched: rotated, away, slow, huge, garbage; and what it costs whom."""

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from streamer_plugin_jwt.keys import Key
from streamer_plugin_jwt.keyset import Fetched
from streamer_plugin_jwt.sources import Unreadable
from streamer_plugin_jwt.testing import LoopbackIssuer, TestKey, key_of

from streamer_core.errors import Unavailable
from streamer_core.testing import ManualClock
from tests.conftest import Lines

OpenDoor = Callable[..., Any]
BOUND_S = 20.0


@pytest.fixture
def first(issuer: LoopbackIssuer) -> TestKey:
    """Give the only key of the issuer."""
    issuer.keys[:] = [key_of("ES256", "k-1")]
    return issuer.keys[0]


@pytest.fixture
def fed(door: OpenDoor, issuer: LoopbackIssuer, first: TestKey) -> Any:
    """Give a door that fetches its keys from the issuer."""
    return door(issuer=issuer.url, audience=["app"], timeout="10s")


def token_of(opened: Any, key: TestKey, **claims: Any) -> str:
    given = {"iss": opened.section["issuer"], "aud": "app", **claims}
    return key.sign(opened.claims(**given))


def health_of(opened: Any) -> Any:
    (found,) = [one for one in opened.app.health() if one.name == "jwt"]
    return found


def test_keys_are_found_by_discovery(fed: Any, issuer: LoopbackIssuer, first: TestKey) -> None:
    assert issuer.asked == [], "nothing before the first token"
    assert all(fed.lets_in(token_of(fed, first)) for _ in range(3))
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]


def test_keys_are_found_by_their_address(
    door: OpenDoor, issuer: LoopbackIssuer, first: TestKey
) -> None:
    opened = door(issuer="me", jwks=issuer.jwks, audience=["app"])
    assert opened.lets_in(token_of(opened, first))
    assert issuer.asked == ["/keys"]


def test_a_token_of_nobody_fetches_nothing(
    fed: Any, issuer: LoopbackIssuer, first: TestKey
) -> None:
    assert not fed.lets_in(token_of(fed, first, iss="https://else"))
    assert issuer.asked == []


def test_a_set_is_fetched_again_when_it_is_old(
    fed: Any, issuer: LoopbackIssuer, first: TestKey
) -> None:
    assert fed.lets_in(token_of(fed, first))
    fed.clock.advance_s(3599)
    assert fed.lets_in(token_of(fed, first))
    assert issuer.fetches() == 1
    fed.clock.advance_s(1)
    assert fed.lets_in(token_of(fed, first))
    assert issuer.fetches() == 2


def test_rotation(fed: Any, issuer: LoopbackIssuer, first: TestKey) -> None:
    new = key_of("RS256", "k-2")
    assert fed.lets_in(token_of(fed, first))
    fed.clock.advance_s(60)
    issuer.keys.append(new)
    assert fed.lets_in(token_of(fed, new)), "an unknown kid is looked for at once"
    assert issuer.fetches() == 2
    issuer.keys.remove(first)
    assert fed.lets_in(token_of(fed, first)), "not known yet to be gone"
    fed.clock.advance_s(3600)
    assert not fed.lets_in(token_of(fed, first))
    assert fed.lets_in(token_of(fed, new))


def test_unknown_kids_fetch_once_a_minute(fed: Any, issuer: LoopbackIssuer, first: TestKey) -> None:
    assert fed.lets_in(token_of(fed, first))
    stranger = key_of("ES256", "stranger")
    for second in range(180):
        for n in range(3):
            kid = f"{second}-{n}"
            assert not fed.lets_in(stranger.sign(_claims(fed), kid=kid))
        fed.clock.advance_s(1)
    assert issuer.fetches() == 3, "one at the beginning, one a minute"
    assert fed.lets_in(token_of(fed, first))


def _claims(opened: Any) -> dict[str, Any]:
    claims: dict[str, Any] = opened.claims(iss=opened.section["issuer"], aud="app")
    return claims


# -- an issuer that is not well

GARBAGE = {
    "an error": (503, b"{}"),
    "no JSON": (200, b"<html>"),
    "nothing": (200, b""),
    "no object": (200, b"[1]"),
    "no keys": (200, b"{}"),
    "keys that are none": (200, b'{"keys": 3}'),
    "no key left": (200, b'{"keys": []}'),
    "keys of no use": (200, b'{"keys": [1, {"kty": "RSA"}, {"kty": "EC", "crv": "P-256"}]}'),
    "binary": (200, bytes(range(256))),
    "deep": (200, b"[" * 100_000),
    "huge": (200, json.dumps({"keys": [key_of("ES256", "k-1").jwk()]}).encode() + b" " * 600_000),
    "many": (200, json.dumps({"keys": [{}] * 101}).encode()),
    "a redirect": (302, b""),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_the_last_good_set_serves(
    fed: Any, issuer: LoopbackIssuer, first: TestKey, logs: Lines, what: str
) -> None:
    assert fed.lets_in(token_of(fed, first))
    assert health_of(fed).ok
    issuer.answer = GARBAGE[what]
    issuer.headers = {"Location": f"{issuer.url}/elsewhere"} if what == "a redirect" else {}
    fed.clock.advance_s(3600)
    assert fed.lets_in(token_of(fed, first))
    assert "/elsewhere" not in issuer.asked
    found = health_of(fed)
    assert (found.ok, found.degraded) == (True, True)
    assert "fetched 3600 s ago; " in found.detail
    assert [line["event"] for line in logs] == ["keys cannot be fetched"]
    issuer.answer, issuer.headers = None, {}
    fed.clock.advance_s(60)
    assert fed.lets_in(token_of(fed, first))
    found = health_of(fed)
    assert (found.ok, found.degraded, found.detail) == (True, False, "jwt: 1 fetched 0 s ago")


def test_without_any_set_nobody_is_let_in(fed: Any, issuer: LoopbackIssuer, first: TestKey) -> None:
    issuer.answer = (500, b"")
    for _ in range(5):
        refusal = fed.refusal(token_of(fed, first))
        assert isinstance(refusal, Unavailable)
        assert refusal.retry_after_ms == 20_000
    assert issuer.fetches() == 1, "not once for each who knocks"
    assert not health_of(fed).ok
    issuer.answer = None
    fed.clock.advance_s(20)
    assert fed.lets_in(token_of(fed, first))


def test_an_outage_may_be_too_long(fed: Any, issuer: LoopbackIssuer, first: TestKey) -> None:
    assert fed.lets_in(token_of(fed, first))
    issuer.answer = (500, b"")
    fed.clock.advance_s(86_399)
    assert fed.lets_in(token_of(fed, first))
    fed.clock.advance_s(61)
    assert isinstance(fed.refusal(token_of(fed, first)), Unavailable)
    found = health_of(fed)
    assert (found.ok, found.degraded) == (False, False)


def test_a_clock_that_is_set_back_makes_no_set_young(
    fed: Any, issuer: LoopbackIssuer, first: TestKey
) -> None:
    assert fed.lets_in(token_of(fed, first))
    fed.clock.set_now(fed.clock.now() - 10 * 86_400_000)
    issuer.keys[:] = [key_of("ES256", "k-2")]
    assert not fed.lets_in(token_of(fed, first))
    assert fed.lets_in(token_of(fed, issuer.keys[0]))


def test_a_clock_that_is_set_back_takes_no_good_set_away(
    fed: Any, issuer: LoopbackIssuer, first: TestKey
) -> None:
    assert fed.lets_in(token_of(fed, first))
    issuer.answer = (500, b"")
    fed.clock.set_now(fed.clock.now() - 3_600_000)
    assert fed.lets_in(token_of(fed, first)), "it was fetched a moment ago"
    fed.clock.advance_s(3600)
    fed.clock.set_now(fed.clock.now() - 10 * 86_400_000)
    assert fed.lets_in(token_of(fed, first))
    fed.clock.advance_s(23 * 3600)
    assert isinstance(fed.refusal(token_of(fed, first)), Unavailable), "it is a day old"


def test_one_fetches_while_others_use_the_old_set(
    fed: Any, issuer: LoopbackIssuer, first: TestKey
) -> None:
    token = token_of(fed, first, exp=fed.clock.now() // 1000 + 7200)
    assert fed.lets_in(token)
    fed.clock.advance_s(3600)
    issuer.released.clear()
    with ThreadPoolExecutor(8) as pool:
        one = pool.submit(fed.lets_in, token)
        _until(lambda: issuer.fetches() == 2)
        others = [pool.submit(fed.lets_in, token) for _ in range(20)]
        assert all(other.result(BOUND_S) for other in others)
        assert not one.done(), "it waits for the fetch, and they do not"
        issuer.released.set()
        assert one.result(BOUND_S)
    assert issuer.fetches() == 2


def test_all_wait_for_the_first_set(fed: Any, issuer: LoopbackIssuer, first: TestKey) -> None:
    issuer.released.clear()
    token = token_of(fed, first)
    with ThreadPoolExecutor(8) as pool:
        those = [pool.submit(fed.lets_in, token) for _ in range(8)]
        _until(lambda: issuer.fetches() == 1)
        issuer.released.set()
        assert all(one.result(BOUND_S) for one in those)
    assert issuer.fetches() == 1


def test_nobody_waits_longer_than_the_timeout() -> None:
    """Nor once more for the kid, where no set came."""
    released = threading.Event()

    def load() -> Sequence[Key]:
        released.wait(BOUND_S)
        raise Unreadable("too late")

    keys = Fetched("me", load, ManualClock(), refresh_ms=60_000, stale_ms=60_000, timeout_s=2)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        keys.keys("k-1")
    assert 2 <= time.monotonic() - began < 3.9
    assert keys.state(0).said == "me: not fetched yet; the fetch takes too long"
    released.set()


class Held:
    """Fetches that end when they are told to, each with a set of its own."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.gates: list[threading.Event] = []
        times: dict[str, Any] = {"refresh_ms": 60_000, "stale_ms": 600_000, "timeout_s": 0.01}
        self.keys = Fetched("me", self._load, self.clock, **times)

    def _load(self) -> Sequence[Key]:
        gate, kid = threading.Event(), f"k-{len(self.gates)}"
        self.gates.append(gate)
        gate.wait(BOUND_S)
        return (Key(kid=kid, algorithms=("HS256",), public=b""),)

    def ask(self) -> None:
        """Ask a minute later; nobody is let in."""
        self.clock.advance_s(60)
        with pytest.raises(Unavailable):
            self.keys.keys(None)


def test_a_fetch_that_was_overtaken_changes_nothing() -> None:
    held = Held()
    for n in (1, 2):
        held.ask()
        _until(lambda n=n: len(held.gates) == n)  # type: ignore[misc]
    held.gates[1].set()
    _until(lambda: "1 fetched" in held.keys.state(0).said)
    held.gates[0].set()
    _until(lambda: "streamer-jwt-keys" not in _threads())
    assert [key.kid for key in held.keys.keys(None)] == ["k-1"]


def test_no_more_than_a_few_fetches_hang() -> None:
    held = Held()
    for _ in range(6):
        held.ask()
    assert [thread.name for thread in threading.enumerate()].count("streamer-jwt-keys") == 3
    _until(lambda: len(held.gates) == 3)
    for gate in held.gates:
        gate.set()
    _until(lambda: "streamer-jwt-keys" not in _threads())


def test_a_server_that_drips_is_not_waited_for(
    door: OpenDoor, issuer: LoopbackIssuer, first: TestKey
) -> None:
    opened = door(issuer="https://me", jwks=issuer.jwks, audience=["app"], timeout="300ms")
    issuer.drip_s = 0.05
    assert isinstance(opened.refusal(token_of(opened, first)), Unavailable)
    _until(lambda: "streamer-jwt-keys" not in _threads())
    assert "too long" in health_of(opened).detail


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def _until(check: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(int(BOUND_S / 0.01)):
        if check():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not come about")


# -- what a set may hold


def test_only_keys_for_signatures_are_taken(
    door: OpenDoor, issuer: LoopbackIssuer, first: TestKey
) -> None:
    good = key_of("EdDSA", "good")
    shown = [
        first.jwk(use="enc"),
        key_of("ES256", "k-2").jwk(key_ops=["encrypt"]),
        key_of("ES256", "k-3").jwk(alg="RS256"),
        {"kty": "oct", "k": "c2VjcmV0" * 10, "kid": "k-4"},
        key_of("ES256", "k-5").jwk(alg=["ES256"]),
        key_of("ES256", "k-6").jwk(kid=6),
        good.jwk(use="sig", alg="EdDSA", key_ops=["verify"]),
    ]
    issuer.answer = (200, json.dumps({"keys": shown}).encode())
    opened = door(issuer="https://me", jwks=issuer.jwks, audience=["app"])
    assert opened.lets_in(token_of(opened, good))
    for kid in ("k-1", "k-2", "k-3", "k-5", "k-6"):
        assert not opened.lets_in(token_of(opened, key_of("ES256", kid)))
    secret = b"secret" * 10
    claims = opened.claims(iss="https://me", aud="app")
    assert not opened.lets_in(opened.sign_text(json.dumps(claims), secret, kid="k-4"))


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://another"},
        {"issuer": None},
        {"jwks_uri": "http://keys.example/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
    ],
)
def test_a_discovery_that_leads_astray(
    fed: Any, issuer: LoopbackIssuer, first: TestKey, document: dict[str, Any]
) -> None:
    issuer.document = document
    assert isinstance(fed.refusal(token_of(fed, first)), Unavailable)
    assert issuer.fetches() == 0


def test_health_begins_to_fetch_where_nobody_came_yet(
    fed: Any, issuer: LoopbackIssuer, first: TestKey
) -> None:
    """The gateway's own process lets nobody in, and is asked how it is."""
    _until(lambda: health_of(fed).detail == "jwt: 1 fetched 0 s ago")
    assert issuer.fetches() == 1


def test_health_waits_a_moment_for_all_issuers_together(
    door: OpenDoor, issuer: LoopbackIssuer, first: TestKey
) -> None:
    """Or it would be shown as dead, while all their last good sets serve."""
    names = ("a", "b", "c")
    issuers = {n: {"issuer": n, "jwks": issuer.jwks, "audience": ["app"]} for n in names}
    opened = door(issuers=issuers, timeout="10s")
    _until(lambda: health_of(opened).detail.count("1 fetched") == 3)
    opened.clock.advance_s(3600)
    issuer.released.clear()
    found = health_of(opened)
    assert (found.ok, found.detail.count("1 fetched 3600 s ago")) == (True, 3)
    opened.clock.advance_s(10)
    found = health_of(opened)
    assert (found.ok, found.degraded) == (True, True)
    assert found.detail.count("the fetch takes too long") == 3


def test_health_calls_no_fetch_late_that_has_only_begun(
    door: OpenDoor, issuer: LoopbackIssuer, first: TestKey
) -> None:
    issuer.released.clear()
    opened = door(issuer="https://me", jwks=issuer.jwks, audience=["app"], timeout="10s")
    assert (health_of(opened).ok, health_of(opened).detail) == (True, "jwt: not fetched yet")
    opened.clock.advance_s(10)
    assert (health_of(opened).ok, "takes too long" in health_of(opened).detail) == (False, True)


class SlowImport:
    """Finds no module; keeps whoever looks for one that is named waiting."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.released = threading.Event()

    def find_spec(self, name: str, _path: Any, _target: Any = None) -> None:
        if name == self.name:
            self.released.wait(BOUND_S)


def test_health_does_not_wait_for_imports(door: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine takes seconds for cryptography, and is not dead."""
    slow = SlowImport("streamer_plugin_jwt.keyset")
    monkeypatch.delitem(sys.modules, slow.name)
    monkeypatch.setattr(sys, "meta_path", [slow, *sys.meta_path])
    opened = door()
    assert (health_of(opened).ok, health_of(opened).detail) == (True, "the keys are not read yet")
    slow.released.set()
    _until(lambda: opened.clock.advance_s(1) or health_of(opened).detail == "jwt: 1 fixed")
