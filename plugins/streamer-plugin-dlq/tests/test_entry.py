"""What is kept of a request, a record and a message, and what is left out."""

import json
from typing import Any

import pytest
from streamer_plugin_dlq import entry
from streamer_plugin_dlq.settings import DlqSettings

from streamer_core.model.request import Snapshot
from streamer_core.testing import ManualClock
from tests.samples import aws_events

REF = "0" * 31 + "7"
ALL = DlqSettings()


@pytest.mark.parametrize(
    ("redact", "kept"),
    [
        ((), {"card": {"number": "4111", "name": "A"}, "number": 7, "list": [{"pin": 1}]}),
        (
            ("number",),
            {
                "card": {"number": "[redacted]", "name": "A"},
                "number": "[redacted]",
                "list": [{"pin": 1}],
            },
        ),
        (
            ("card.number", "list.pin"),
            {
                "card": {"number": "[redacted]", "name": "A"},
                "number": 7,
                "list": [{"pin": "[redacted]"}],
            },
        ),
        (("card",), {"card": "[redacted]", "number": 7, "list": [{"pin": 1}]}),
        (("number.card", "x"), None),
    ],
)
def test_fields_are_blanked_by_name(failed: Any, redact: tuple[str, ...], kept: Any) -> None:
    payload = {"card": {"number": "4111", "name": "A"}, "number": 7, "list": [{"pin": 1}]}
    request = failed(ManualClock(), payload=payload)
    letter = entry.of_request(request, DlqSettings(redact=redact))
    assert letter.details["payload"] == (kept or payload)
    assert letter.entry.redacted == (letter.details["payload"] != payload)
    assert request.payload == payload


def test_a_name_may_have_dots(failed: Any) -> None:
    request = failed(ManualClock(), metadata={"auth.token": "s", "x.auth.token": "s", "token": "t"})
    letter = entry.of_request(request, DlqSettings(redact=("auth.token",)))
    assert letter.details["metadata"] == {
        "auth.token": "[redacted]",
        "x.auth.token": "[redacted]",
        "token": "t",
    }


def test_a_payload_may_be_left_out(failed: Any) -> None:
    request = failed(ManualClock(), payload={"a": 1}, metadata={"b": "2"})
    letter = entry.of_request(request, DlqSettings(payload=False))
    assert (letter.details["payload"], letter.details["metadata"]) == ({}, {})
    assert letter.entry.redacted
    empty = failed(ManualClock(), payload={})
    assert not entry.of_request(empty, DlqSettings(payload=False)).entry.redacted


def test_how_far_it_had_come_is_left_out(failed: Any) -> None:
    """It may quote the payload, and nothing would be found in it by its name."""
    far = {
        "checkpoint": {"c": 98765},
        "progress": Snapshot(percentage=5, message="98765"),
        "outcome": {"error": 98765},
        "extra": {"x": 98765},
    }
    letter = entry.of_request(failed(ManualClock(), **far), ALL)
    assert "98765" not in json.dumps(letter.details)


def test_metadata_is_blanked_too(failed: Any) -> None:
    request = failed(ManualClock(), metadata={"token": "s", "trace": "t"})
    letter = entry.of_request(request, DlqSettings(redact=("token",)))
    assert letter.details["metadata"] == {"token": "[redacted]", "trace": "t"}
    assert letter.entry.redacted


@pytest.mark.parametrize("settings", [DlqSettings(redact=("pin",)), DlqSettings(payload=False)])
def test_of_a_record_only_what_names_it_is_left(settings: DlqSettings) -> None:
    """Nothing can be found by its name in what cannot be read."""
    record = aws_events.inserted(7, body={"S": '{"payload":{"pin":98765'}, n={"N": "98765"})
    letter = entry.of_record(record, "98765 is no status", 5, settings)
    assert "98765" not in json.dumps([letter.details, entry.to_plain(letter.entry)])
    assert letter.details["eventID"] == record["eventID"]
    assert letter.details["dynamodb"]["Keys"] == {"ref": {"S": REF}}
    assert letter.entry.redacted
    assert letter.entry.id == entry.of_record(record, "no", 5, ALL).entry.id


def message(body: str) -> dict[str, Any]:
    return {"MessageId": "m-1", "Body": body, "Attributes": {"SentTimestamp": "1545082649183"}}


@pytest.mark.parametrize(
    ("body", "ref", "details"),
    [
        (json.dumps({"ref": REF, "lane": "low"}), REF, {"ref": REF, "lane": "low"}),
        (json.dumps([{"Keys": {"ref": {"S": REF}}}]), REF, [{"Keys": {"ref": {"S": REF}}}]),
        ('{"ref": "of another kind"}', "", {"ref": "of another kind"}),
        ('{"ref": {"N": "7"}}', "", {"ref": {"N": "7"}}),
        ("no JSON", "", "no JSON"),
        ("NaN", "", "NaN"),
        ("[" * 100 + "]" * 100, "", "[" * 100 + "]" * 100),
        ("[" * 100_000, "", "[" * 100_000),
    ],
)
def test_any_message_is_kept(body: str, ref: str, details: Any) -> None:
    letter = entry.of_message(message(body), "https://sqs/1/shop-parking", ALL)
    assert (letter.entry.ref, letter.details) == (ref, details)
    assert (letter.entry.id, letter.entry.at) == ("m-1", 1545082649183)
    assert (letter.entry.source, letter.entry.kind) == ("queue", "shop-parking")
    assert letter.entry.code == entry.GIVEN_UP
    hidden = entry.of_message(message(body), "https://sqs/1/q", DlqSettings(payload=False))
    assert hidden.entry.ref == ref


def test_an_entry_of_a_newer_version_can_be_read() -> None:
    plain = {"id": "i", "at": 1, "source": "request", "colour": "red"}
    assert entry.from_plain(plain) == entry.Entry(id="i", at=1, source="request")
