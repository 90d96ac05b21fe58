import pytest

from streamer_core.cli.text import clean, compact, json_line, pretty, when


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("é 世界 🎉", "é 世界 🎉"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("bell\x07 csi\x9b2J", "bell\\x07 csi\\x9b2J"),
        ("a\tb\r\nc", "a\\tb\\r\\nc"),
        ("turn\u202ened", "turn\\u202ened"),
        ("half\ud800", "half\\ud800"),
        ("line\u2028break", "line\\u2028break"),
    ],
)
def test_that_nothing_sent_by_others_drives_the_terminal(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_that_lines_may_be_kept() -> None:
    assert clean("a\nb\x1b", keep="\n") == "a\nb\\x1b"


def test_json_for_people_and_for_scripts() -> None:
    assert compact({"a": "é"}) == '{"a": "é"}'
    assert pretty({"a": "\x9b"}) == '{\n  "a": "\\x9b"\n}'
    assert json_line({"a": "é\ud800"}) == '{"a":"\\u00e9\\ud800"}'


def test_times() -> None:
    assert when(None) == ""
    assert when(1_800_000_000_999) == "2027-01-15 08:00:00Z"
