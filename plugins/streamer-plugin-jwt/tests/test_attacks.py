"""Forged tokens: recorded ones, and what chance makes of good ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer_core.errors import Unauthorized
from streamer_core.testing.clock import START_MS
from tests.conftest import Lines

OpenDoor = Callable[..., Any]
RECORDED = json.loads(Path(__file__).with_name("forged.json").read_text())
FORGED = {one["what"]: one for one in RECORDED["forged"]}
HEADERS = ["alg", "kid", "typ", "jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc", "cty"]
CLAIMS = ["sub", "exp", "iat", "nbf", "aud", "iss", "jti", "scope", "scp", "token_use"]


@pytest.fixture
def guarded(door: OpenDoor) -> Any:
    """Give a door with the keys that the recorded tokens are about; their time is the clock's."""
    assert RECORDED["at"] * 1000 == START_MS
    return door(keys=[f"r1={RECORDED['rsa']}", f"e1={RECORDED['ec']}"])


@pytest.fixture
def symmetric(door: OpenDoor) -> Any:
    """Give a door whose key the tests have, and so can sign anything."""
    return door()


def test_the_good_ones_are_let_in(guarded: Any) -> None:
    assert all(guarded.lets_in(token) for token in RECORDED["good"])


@pytest.mark.parametrize("what", FORGED)
def test_the_forged_ones_are_not(guarded: Any, logs: Lines, what: str) -> None:
    token = FORGED[what]["token"]
    with pytest.raises(Unauthorized, match=r"^The token is not good$"):
        guarded.let_in(token)
    (line,) = logs
    assert (line["event"], line["reason"]) == ("token refused", FORGED[what]["reason"])
    assert not any(part in str(logs) for part in token.split(".") if len(part) > 3)


def test_a_long_one_is_not_even_read(guarded: Any, logs: Lines) -> None:
    assert not guarded.lets_in("eyJ" + "a" * 20_000 + ".b.c")
    assert logs[-1]["reason"] == "too long"


texts = st.text(max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)


def is_refused_in_silence(door: Any, token: str, logs: Lines) -> bool:
    """Tell whether it is; any error but a 401 is raised, and the token must be in no log."""
    logs.clear()
    error = door.refusal(token)
    if error is None:
        return False
    assert isinstance(error, Unauthorized)
    assert len(token) < 8 or token not in f"{logs} {error!r} {error.__context__!r}"
    return True


@given(token=st.text(max_size=60) | st.from_regex(r"eyJ[\w-]*\.[\w=.-]*\.[\w-]*", fullmatch=True))
def test_any_text(guarded: Any, logs: Lines, token: str) -> None:
    assert is_refused_in_silence(guarded, token, logs)


@given(data=st.data())
def test_a_good_one_with_a_byte_changed(guarded: Any, logs: Lines, data: st.DataObject) -> None:
    good = data.draw(st.sampled_from(RECORDED["good"]))
    at = data.draw(st.integers(0, len(good) - 1))
    put = data.draw(st.characters(codec="utf-8"))
    token = good[:at] + put + good[at + 1 :]
    assert token == good or is_refused_in_silence(guarded, token, logs)


@given(header=st.dictionaries(st.sampled_from(HEADERS), values, max_size=4))
def test_any_header(guarded: Any, logs: Lines, header: dict[str, Any]) -> None:
    token = guarded.sign_raw(guarded.claims(), **header)
    assert is_refused_in_silence(guarded, token, logs)


@given(claims=st.dictionaries(st.sampled_from(CLAIMS) | texts, values, max_size=5))
def test_any_claims_under_a_good_signature(
    symmetric: Any, logs: Lines, claims: dict[str, Any]
) -> None:
    token = symmetric.sign_raw({**symmetric.claims(), **claims})
    if not is_refused_in_silence(symmetric, token, logs):
        allowed = {"sub", "exp", "iat", "nbf", "jti", "iss", "scope", "scp", "token_use"}
        assert {name for name in claims if name in CLAIMS} <= allowed | {"aud"}
        assert claims.get("aud") in (None, [])
        assert isinstance(claims.get("sub", "ada"), str)
