import sys

import pytest

from streamer_core.cli import output


def test_a_table_in_a_pipe_has_columns_and_no_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("id", "note"), [("a", "x\ty"), ("longer", "")])
    assert capsys.readouterr().out == "ID      NOTE\na       x\\ty\nlonger\n"


def test_a_table_on_a_terminal_leaves_out_empty_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    output.table(("id", "status", "empty"), [("[bold]a", "failed", "")])
    out = capsys.readouterr().out
    assert "[bold]a" in out
    assert "empty" not in out


def test_a_narrow_terminal_cuts_the_first_column_last(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    ref, wide = "0123456789abcdef" * 2, "a" * 40
    output.table(("ref", "id", "status"), [(ref, wide, "failed"), (ref, wide, "failed")])
    rows = [line for line in capsys.readouterr().out.splitlines() if "failed" in line]
    assert len(rows) == 2
    assert all(row.strip().startswith(ref) and "…" in row for row in rows)


def test_facts_and_blocks(capsys: pytest.CaptureFixture[str]) -> None:
    output.facts([("ref", "1"), ("nothing", ""), ("status", "a\nb")])
    output.block("title", "one\ntwo")
    assert capsys.readouterr().out == "ref     1\nstatus  a\\nb\ntitle\n  one\n  two\n"
