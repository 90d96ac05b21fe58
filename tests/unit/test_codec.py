"""Records survive the way to JSON and back, and a version of the code that knows more."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer_core.model import codec
from streamer_core.model.connection import Connection
from streamer_core.model.counter import Count
from streamer_core.model.message import Priority
from streamer_core.model.policy import Policy, Slot
from streamer_core.model.principal import Principal
from streamer_core.model.request import Failure, Request, Snapshot, Status

REQUEST = Request(
    ref="f",
    id="r",
    action="a",
    tenant="t",
    user="u",
    scopes=frozenset({"b", "a"}),
    payload={"text": "\ud800"},
    priority=Priority.LOW,
    policy=Policy(max_attempts=9),
    slots=(Slot(key="k", at_most=2),),
    settle=(Count(key="c", amount=-1),),
    status=Status.RETRYING,
    progress=Snapshot(percentage=4, metadata={"m": [1]}),
    failures=(Failure(attempt=1, code="X", message="m", trace="t"),),
    outcome={"result": None},
)


def test_a_record_comes_back() -> None:
    text = codec.dumps(codec.request_to_plain(REQUEST))
    assert codec.request_from_plain(codec.loads(text)) == REQUEST


def test_what_a_newer_version_wrote_is_kept() -> None:
    plain: dict[str, Any] = codec.request_to_plain(REQUEST) | {"colour": "red"}
    plain["policy"]["patience"] = 3
    read = codec.request_from_plain(plain)
    assert read == replace(REQUEST, extra={"colour": "red"})
    assert codec.request_to_plain(read)["colour"] == "red"


def test_what_an_older_version_wrote_has_defaults() -> None:
    read = codec.request_from_plain(
        {"ref": "f", "id": "r", "action": "a", "tenant": "t", "user": "u"}
    )
    assert read == Request(ref="f", id="r", action="a", tenant="t", user="u")


def test_a_connections_claims_stay_behind() -> None:
    principal = Principal(
        user="u",
        tenant="t",
        scopes=frozenset({"s"}),
        expires_at=9,
        token_id="j",
        issued_at=3,
        claims={"secret": "x", "plan": "pro"},
        kept={"plan": "pro"},
    )
    connection = Connection(id="c", principal=principal, address="::1", expires_at=9)
    plain = codec.connection_to_plain(connection)
    assert "secret" not in json.dumps(plain)
    assert codec.connection_from_plain(plain) == replace(
        connection, principal=replace(principal, claims={})
    )


def test_nan_is_no_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        codec.dumps(float("nan"))


@given(st.dictionaries(st.text(max_size=3), st.integers()))
def test_equal_values_have_one_text(value: dict[str, int]) -> None:
    turned = dict(reversed(value.items()))
    assert codec.canonical(turned) == codec.canonical(value)
