"""Requests as their operator sees and steers them, in a real store."""

from pathlib import Path

import pytest

from streamer_core import Principal
from streamer_core.model.connection import Connection
from streamer_core.model.ids import request_subject
from streamer_core.model.request import Status
from tests.unit.cli.tools import Lines, Run, Seeded


def test_a_list_of_nothing(run: Run, project: Path) -> None:
    result = run("requests", "list")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no requests\n")


def test_a_list_in_a_pipe(run: Run, seeded: Seeded) -> None:
    ref = seeded.put("fail", "r-1")
    seeded.app.work()
    head, line = run("requests", "list").stdout.splitlines()
    assert head.split() == [
        "REF",
        "ID",
        "ACTION",
        "STATUS",
        "PROGRESS",
        "TENANT",
        "USER",
        "CREATED",
        "ERROR",
    ]
    assert line.split()[:4] == [ref, "r-1", "fail", "failed"]
    assert line.split()[-1] == "PROCESSING_FAILED"
    assert "\t" not in line


def test_filters(seeded: Seeded, lines: Lines) -> None:
    now = seeded.app.clock.now()
    seeded.put("steps", "old", created_at=now - 7_200_000, due_at=now + 3_600_000)
    seeded.put("steps", "new", due_at=now + 3_600_000)
    seeded.put("fail", "bad")
    seeded.app.work()

    def ids(*filters: str) -> list[str]:
        return [one["request_id"] for one in lines("requests", "list", *filters)]

    assert sorted(ids()) == ["bad", "new", "old"]
    assert ids("--status", "failed") == ["bad"]
    assert sorted(ids("--status", "queued", "--status", "failed")) == ["bad", "new", "old"]
    assert ids("--action", "fail") == ["bad"]
    assert "old" not in ids("--since", "1h")
    assert ids("--tenant", "acme", "--user", "bob") == []
    assert ids("--tenant", "other") == []
    first = lines("requests", "list", "--tenant", "acme", "--user", "ann")[0]
    assert (first["tenant"], first["user"]) == ("acme", "ann")


def test_pages(run: Run, seeded: Seeded, lines: Lines) -> None:
    for number in range(3):
        seeded.put("steps", f"r-{number}", created_at=1_000 + number)
    result = run("requests", "list", "--limit", "2")
    assert len(result.stdout.splitlines()) == 3
    cursor = result.stderr.split()[-1]
    assert [one["request_id"] for one in lines("requests", "list", "--cursor", cursor)] == ["r-0"]
    assert len(lines("requests", "list", "--all", "--limit", "1")) == 3


def test_a_cursor_of_another_list(run: Run, project: Path) -> None:
    result = run("requests", "list", "--cursor", "nonsense")
    assert result.exit_code == 2
    assert "Hint: list again without --cursor" in result.stderr


def test_show_tells_an_operator_everything(run: Run, seeded: Seeded, lines: Lines) -> None:
    ref = seeded.put(
        "fail", "r-1", payload={"a": "\x9b2J"}, metadata={"v": "1"}, scopes=frozenset({"s"})
    )
    seeded.app.work()
    result = run("requests", "show", ref)
    assert result.exit_code == 0
    for part in ("failed", "a secret of the house", "RuntimeError", "Traceback", "1 of 1", "acme"):
        assert part in result.stdout
    assert '"a": "\\x9b2J"' in result.stdout
    by_id = lines("requests", "show", "r-1", "--tenant", "acme", "--user", "ann")[0]
    assert by_id["ref"] == ref
    assert by_id["metadata"] == {"v": "1"}
    assert by_id["scopes"] == ["s"]
    assert by_id["failures"][0]["kind"].endswith("RuntimeError")
    assert "a secret of the house" in by_id["failures"][0]["trace"]
    assert by_id["error"]["code"] == "PROCESSING_FAILED"


def test_show_of_one_that_waits(run: Run, seeded: Seeded) -> None:
    ref = seeded.put("steps", "r-1")
    out = run("requests", "show", ref).stdout
    assert "queued" in out
    assert "attempt" not in out


@pytest.mark.parametrize("verb", ["show", "cancel", "redrive"])
def test_a_request_that_is_not_there(run: Run, project: Path, verb: str) -> None:
    result = run("requests", verb, "nowhere")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: there is no request nowhere\nHint: give its ref")


def test_half_an_address(run: Run, project: Path) -> None:
    assert run("requests", "show", "r-1", "--tenant", "acme").exit_code == 2


def test_cancel_of_one_that_waits(run: Run, seeded: Seeded) -> None:
    ref = seeded.put("steps", "r-1")
    result = run("requests", "cancel", ref)
    assert (result.exit_code, result.stdout) == (0, f"request {ref} is cancelled\n")
    assert run("requests", "cancel", ref).exit_code == 0


def test_that_what_a_cancel_could_not_send_is_left_to_the_gateway(run: Run, seeded: Seeded) -> None:
    store = seeded.app.store
    principal = Principal(user="ann", tenant="acme")
    store.put_connection(Connection(id="c-1", principal=principal, expires_at=2**53))
    ref = seeded.put("steps", "r-1", connection_id="c-1")
    assert run("requests", "cancel", ref).exit_code == 0
    request = store.get(ref)
    assert request is not None
    assert (request.last_seq, request.sent_seq) == (1, 0)
    assert store.subscribers(request_subject(ref)) == ["c-1"]
    assert store.get_connection("c-1") is not None


def test_cancel_of_one_that_runs(run: Run, seeded: Seeded, lines: Lines) -> None:
    ref = seeded.put("steps", "r-1")
    seeded.app.store.claim(ref, worker="w", lease_until=2**53)
    out = run("requests", "cancel", "r-1", "--tenant", "acme", "--user", "ann").stdout
    assert out == f"request {ref} is processing; it is asked to stop\n"
    assert "(asked to stop)" in run("requests", "show", ref).stdout
    assert lines("requests", "cancel", ref)[0]["cancel_requested"] is True


def test_cancel_comes_too_late(run: Run, seeded: Seeded) -> None:
    ref = seeded.put("fail", "r-1")
    seeded.app.work()
    result = run("requests", "cancel", ref)
    assert result.exit_code == 1
    assert result.stderr == f"Error: request {ref} is failed already\n"


def test_a_dead_letter_is_redriven_once(run: Run, seeded: Seeded, lines: Lines) -> None:
    ref = seeded.put("fail", "r-1")
    seeded.app.work()
    out = run("requests", "redrive", ref).stdout
    assert out.endswith(f"is queued; redriven from {ref}\n")
    again = lines("requests", "redrive", ref)[0]
    assert again["redriven_from"] == ref
    assert again["ref"] in out
    assert seeded.app.work()
    new = seeded.app.store.get(again["ref"])
    assert new is not None
    assert new.status is Status.FAILED


def test_that_only_what_failed_is_redriven(run: Run, seeded: Seeded) -> None:
    result = run("requests", "redrive", seeded.put("steps", "r-1"))
    assert result.exit_code == 1
    assert "is queued; only a failed one is redriven" in result.stderr
