from pathlib import Path

import click
import pytest

from streamer_core.cli.options import duration, json_object, pair


def test_durations() -> None:
    assert duration("1.5s") == 1500
    with pytest.raises(click.BadParameter, match="write '200ms'"):
        duration("soon")


def test_json_from_text_and_file(tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_text('{"a": "é"}', "utf-8")
    assert json_object('{"a": 1}') == {"a": 1}
    assert json_object(f"@{file}") == {"a": "é"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{name: you}", "not JSON: .*single quotes"),
        ("[1]", "is a JSON object"),
        ("@/nowhere/at/all", "/nowhere/at/all: No such file"),
    ],
)
def test_json_that_is_none(text: str, sentence: str) -> None:
    with pytest.raises(click.BadParameter, match=sentence):
        json_object(text)


def test_pairs() -> None:
    assert pair("a=b=c") == ("a", "b=c")
    for wrong in ("a", "=b"):
        with pytest.raises(click.BadParameter, match="is not key=value"):
            pair(wrong)
