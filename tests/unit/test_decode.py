"""A frame becomes a message, or the error that PROTOCOL.md names for it."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamer_core.errors import Invalid, InvalidMessage, Refused, TooLarge
from streamer_core.model.decode import decode, request_id_of
from streamer_core.model.message import Message, Mode, Options, Priority

LIMIT = 128 * 1024
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=20,
)


def read(data: bytes | str, max_bytes: int = LIMIT) -> Message:
    raw = data.encode() if isinstance(data, str) else data
    return decode(raw, max_bytes=max_bytes, max_delay_ms=10_000, new_id=lambda: "made")


def of(**fields: Any) -> Message:
    return read(json.dumps({"action": "a", **fields}))


def refusal(data: bytes | str) -> Refused:
    with pytest.raises(Refused) as caught:
        read(data)
    return caught.value


def test_a_whole_message() -> None:
    data = json.dumps(
        {
            "id": "r-1",
            "action": "generate_report",
            "payload": {"month": "2026-10"},
            "metadata": {"client_version": "1.2"},
            "options": {"priority": "low", "delay_ms": 5, "mode": "async"},
            "new_in_version_9": True,
        }
    ).encode()
    assert read(data) == Message(
        id="r-1",
        action="generate_report",
        payload={"month": "2026-10"},
        metadata={"client_version": "1.2"},
        options=Options(priority=Priority.LOW, delay_ms=5, mode=Mode.ASYNC),
        size=len(data),
    )


def test_only_the_action_is_required() -> None:
    message = read('{"action": "a"}')
    assert (message.id, message.named) == ("made", False)
    assert (message.payload, message.metadata, message.options) == ({}, {}, Options())


@pytest.mark.parametrize("name", ["payload", "metadata", "options", "id"])
def test_null_is_left_out(name: str) -> None:
    assert of(**{name: None}).id == "made"


def test_request_id_is_an_alias() -> None:
    assert of(request_id="r").id == "r"
    assert of(id="i", request_id="r").id == "i"
    assert of(id=None, request_id="r").id == "r"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"hello",
        b"\xff\xfe",
        b'{"action": "\xff"}',
        b'\xef\xbb\xbf{"action": "a"}',
        b'{"action": "a", "payload": {"n": NaN}}',
        b'{"action": "a", "payload": {"n": Infinity}}',
        b'{"action": "a", "payload": {"n": -Infinity}}',
        b'{"action": "a", "payload": {"n": 1e999}}',
        b'{"action": "a", "payload": {"n": -1e999}}',
        b'{"action": "a", "payload": {"n": ' + b"1" * 5000 + b"}}",
        b"[" * 100_000,
        b'{"a":' * 20_000,
        b'{"action": "a", "payload": {"n": ' + b"[" * 5000 + b"]" * 5000 + b"}}",
        b'{"action": "a", "payload": {"n": ' + b"[" * 500 + b"]" * 500 + b"}}",
        b"[]",
        b'"text"',
        b"3",
        b"null",
        b"{}",
        b'{"action": null}',
        b'{"id": "x"}',
    ],
)
def test_what_is_no_message(data: bytes) -> None:
    assert isinstance(refusal(data), InvalidMessage)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("action", {"action": ""}),
        ("action", {"action": 3}),
        ("action", {"action": ["a"]}),
        ("action", {"action": "a b"}),
        ("action", {"action": "ä"}),
        ("action", {"action": "a\n"}),
        ("action", {"action": "a" * 129}),
        ("id", {"id": ""}),
        ("id", {"id": 7}),
        ("id", {"id": {}}),
        ("id", {"id": "with space"}),
        ("id", {"id": "tab\t"}),
        ("id", {"id": "newline\n"}),
        ("id", {"id": "é"}),
        ("id", {"id": "x" * 129}),
        ("id", {"request_id": False}),
        ("payload", {"payload": []}),
        ("payload", {"payload": "text"}),
        ("payload", {"payload": 0}),
        ("metadata", {"metadata": ["a"]}),
        ("metadata.n", {"metadata": {"n": 1}}),
        ("metadata.n", {"metadata": {"n": None}}),
        ("options", {"options": "fast"}),
        ("options.priority", {"options": {"priority": "urgent"}}),
        ("options.priority", {"options": {"priority": None}}),
        ("options.priority", {"options": {"priority": ["high"]}}),
        ("options.mode", {"options": {"mode": 1}}),
        ("options.delay_ms", {"options": {"delay_ms": -1}}),
        ("options.delay_ms", {"options": {"delay_ms": 10_001}}),
        ("options.delay_ms", {"options": {"delay_ms": 10**400}}),
        ("options.delay_ms", {"options": {"delay_ms": 1.5}}),
        ("options.delay_ms", {"options": {"delay_ms": True}}),
        ("options.delay_ms", {"options": {"delay_ms": "5"}}),
        ("options.delay_ms", {"options": {"delay_ms": None}}),
    ],
)
def test_a_field_of_the_wrong_shape(path: str, fields: dict[str, Any]) -> None:
    error = refusal(json.dumps({"action": "a", **fields}))
    assert isinstance(error, Invalid)
    (detail,) = error.details
    assert detail["path"] == path
    assert error.message == f"{path}: {detail['message']}"


def test_the_longest_names_are_taken() -> None:
    assert of(id="!" + "~" * 127, action="A.z_0:-" + "x" * 121).named


def test_unknown_options_are_ignored() -> None:
    assert of(options={"colour": "red"}).options == Options()


def test_the_longest_delay_is_taken() -> None:
    assert of(options={"delay_ms": 10_000}).options.delay_ms == 10_000


def test_one_byte_too_many() -> None:
    data = b'{"action": "a"}'
    assert read(data, max_bytes=len(data)).action == "a"
    with pytest.raises(TooLarge):
        read(data, max_bytes=len(data) - 1)


def test_lone_surrogates_are_data() -> None:
    assert of(payload={"text": "\ud800"}).payload == {"text": "\ud800"}


def test_many_containers_are_not_a_deep_one() -> None:
    rows = [{"n": [i]} for i in range(1000)]
    assert of(payload={"rows": rows}).payload == {"rows": rows}


def test_brackets_in_text_are_not_nesting() -> None:
    assert of(payload={"text": "[{" * 5000}).payload == {"text": "[{" * 5000}


@given(st.integers(1, 300))
def test_a_message_taken_is_not_nested_deeper_than_the_limit(depth: int) -> None:
    data = '{"action":"a","payload":' + '{"n":' * depth + "1" + "}" * depth + "}"
    if depth < 64:
        assert read(data).action == "a"
    else:
        assert isinstance(refusal(data), InvalidMessage)


def test_a_long_name_is_cut_in_the_error() -> None:
    error = refusal(json.dumps({"action": "a", "metadata": {"é" * 60_000: 1}}, ensure_ascii=False))
    assert len(error.message) < 1000
    assert len(error.details[0]["path"]) < 1000


@given(st.binary(max_size=300))
@example(b"\xed\xa0\x80")
def test_any_bytes_become_a_message_or_a_refusal(data: bytes) -> None:
    with suppress(Refused):
        read(data)
    request_id_of(data)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "action": st.text(max_size=5) | st.just("a") | anything,
            "id": st.text(max_size=5) | anything,
            "request_id": anything,
            "payload": anything,
            "metadata": anything,
            "options": st.dictionaries(
                st.sampled_from(["priority", "mode", "delay_ms"]),
                anything | st.sampled_from(["high", "low", "sync", "auto"]),
            ),
        },
    )
)
def test_any_json_becomes_a_message_or_a_refusal(body: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    try:
        message = read(data)
    except (Invalid, InvalidMessage):
        return
    assert message.size == len(data)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b'{"id": "r-1", "action": 3}', "r-1"),
        (b'{"request_id": "r-1"}', "r-1"),
        (b'{"id": "with space"}', None),
        (b'{"id": 3}', None),
        (b'["id"]', None),
        (b"nothing", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
        (b'{"id": ' + b"1" * 5000 + b"}", None),
    ],
)
def test_the_id_of_a_refused_message(data: bytes, found: str | None) -> None:
    assert request_id_of(data) == found
