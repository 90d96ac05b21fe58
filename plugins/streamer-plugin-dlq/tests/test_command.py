"""`streamer dlq`, on a real store."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamer_plugin_dlq import entry
from streamer_plugin_dlq.handling import Pace
from streamer_plugin_dlq.letters import Letters
from streamer_plugin_dlq.settings import DlqSettings
from streamer_plugin_local.testing import write_project
from streamer_plugin_sqlite import SqliteStore

from streamer_core.model.request import Request, Status
from streamer_core.ports import SystemClock
from streamer_core.settings import validate_section
from streamer_core.testing.contracts.build import a_request, an_error

DAY_MS = 86_400_000
Dead = Callable[..., Request]
JsonLines = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def section() -> dict[str, Any]:
    """Settings of the plugin; a test gives others by parametrizing."""
    return {}


@pytest.fixture
def project(tmp_path: Path, section: dict[str, Any]) -> Path:
    core = {"handlers": [], "plugins": ["sqlite", "local", "dlq"]}
    return write_project(tmp_path, "", core=core, plugins={"dlq": section})


@pytest.fixture
def store(project: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(project / ".streamer" / "streamer.db", SystemClock())
    yield store
    store.close()


@pytest.fixture
def letters(store: SqliteStore) -> Letters:
    return Letters(store, store.clock, 30 * DAY_MS)


@pytest.fixture
def dead(store: SqliteStore, letters: Letters, failed: Any, section: dict[str, Any]) -> Dead:
    """Give a function that stores a request that failed, with its dead letter."""
    settings: DlqSettings = validate_section(DlqSettings, section, "[plugins.dlq]")

    def dead(name: str, *, forgotten: bool = False, **given: Any) -> Request:
        request: Request = failed(store.clock, name, **given)
        if not forgotten:
            store.enqueue(request.changed(status=Status.PENDING, failures=(), finished_at=None))
            end = store.clock.now() + 7 * DAY_MS
            held = store.claim(request.ref, worker="w", lease_until=end)
            assert held is not None
            store.finish(
                held.ref,
                Status.FAILED,
                [an_error(store.clock)],
                fence=held.fence,
                expires_at=end,
                failure=request.failures[-1],
            )
        letters.keep(entry.of_request(request, settings))
        return request

    return dead


def test_a_list_of_nothing(project: Path, run: Any) -> None:
    for arguments in (["list"], ["list", "--grouped"], ["redrive", "--all", "--dry-run"]):
        done = run(project, *arguments)
        assert (done.stdout, done.stderr) == ("", "no dead letters\n")


def test_the_list_and_its_pages(project: Path, run: Any, lines: JsonLines, dead: Dead) -> None:
    refs = [dead(f"r-{n}").ref for n in range(3)]
    head, *rows = run(project, "list").stdout.splitlines()
    assert head.split() == [
        "ID",
        "FAILED",
        "SOURCE",
        "ACTION",
        "CODE",
        "KIND",
        "TENANT",
        "USER",
        "DONE",
    ]
    assert all("GONE" in row and "OSError" in row for row in rows)
    assert {row.split("-")[0] for row in rows} == set(refs)
    first = run(project, "list", "--limit", "2")
    (cursor,) = re.findall(r"--cursor (\S+)", first.stderr)
    rest = lines(project, "list", "--cursor", cursor)
    assert len(first.stdout.splitlines()) == 3
    assert len(rest) == 1
    assert rest[0]["ref"] in refs


def test_a_cursor_of_another_list_is_refused(project: Path, run: Any) -> None:
    done = run(project, "list", "--cursor", "1795659443980.7", code=2)
    assert "the cursor is not one of this list" in done.stderr


def test_filters(project: Path, lines: JsonLines, dead: Dead) -> None:
    dead("a", tenant="t1", code="GONE")
    dead("b", tenant="t2", code="LOST")
    for filters, found in (
        (("--tenant", "t1"), ["GONE"]),
        (("--code", "LOST"), ["LOST"]),
        (("--kind", "OSError", "--tenant", "t2"), ["LOST"]),
        (("--source", "queue"), []),
        (("--action", "other"), []),
        (("--since", "1h", "--user", "ann"), ["GONE", "LOST"]),
        (("--until", "1h"), []),
    ):
        assert sorted(one["code"] for one in lines(project, "list", *filters)) == found


def test_causes(project: Path, run: Any, lines: JsonLines, dead: Dead) -> None:
    for name, code in (("a", "GONE"), ("b", "LOST"), ("c", "LOST")):
        dead(name, code=code)
    found = lines(project, "list", "--grouped")
    assert [(one["count"], one["code"], one["kind"]) for one in found] == [
        (2, "LOST", "OSError"),
        (1, "GONE", "OSError"),
    ]
    assert found[0]["first"] <= found[0]["last"]
    _, row, _ = run(project, "list", "--grouped").stdout.splitlines()
    assert row.split()[:5] == ["2", "request", "report", "LOST", "OSError"]


def test_all_of_one(project: Path, run: Any, lines: JsonLines, dead: Dead) -> None:
    request = dead("r", payload={"say": "\x1b[31mred"})
    for name in (request.ref, lines(project, "list")[0]["id"]):
        said = run(project, "show", name).stdout
        assert "stack 1" in said
        assert "stack 2" in said
        assert '"say"' in said
        assert "\x1b[31m" not in said
    (shown,) = lines(project, "show", request.ref)
    assert shown["details"]["failures"][1]["trace"] == "stack 2"
    done = run(project, "show", "nothing", code=1)
    assert "there is no dead letter nothing" in done.stderr


def test_one_is_redriven_once(
    project: Path, run: Any, lines: JsonLines, dead: Dead, store: SqliteStore
) -> None:
    old = dead("r", payload={"n": 1})
    (first,) = lines(project, "redrive", old.ref)
    (second,) = lines(project, "redrive", old.ref)
    assert first["redriven_as"] == second["redriven_as"]
    new = store.get(first["redriven_as"])
    assert new is not None
    assert (new.redriven_from, new.payload, new.status) == (old.ref, {"n": 1}, Status.PENDING)
    assert lines(project, "list") == []
    (handled,) = lines(project, "list", "--handled")
    assert (handled["done"], handled["redriven_as"]) == ("redriven", new.ref)
    assert f"is redriven as {new.ref}, due 20" in run(project, "redrive", old.ref).stdout


def test_many_are_redriven_at_a_rate(
    project: Path, run: Any, lines: JsonLines, dead: Dead, store: SqliteStore
) -> None:
    for n in range(3):
        dead(f"r-{n}")
    dead("other", action="other")
    would = lines(project, "redrive", "--action", "report", "--dry-run")
    assert len(would) == 3
    assert len(lines(project, "list")) == 4, "nothing has happened"
    began = store.clock.now()
    made = lines(project, "redrive", "--action", "report", "--rate", "0.1")
    due = [one["due_at"] - began for one in made]
    assert due == sorted(due)
    assert [round(one / 10_000) for one in due] in ([0, 1, 2], [1, 2, 3])
    assert [one["action"] for one in lines(project, "list")] == ["other"]
    run(project, "redrive", "--action", "report")
    assert [one["action"] for one in lines(project, "list")] == ["other"]


def test_the_rate_is_kept_however_long_each_takes() -> None:
    pace = Pace(rate=10)
    assert [pace.delay_ms(now) for now in (0, 30, 60)] == [0, 70, 140], "due at 0, 100, 200"
    assert [pace.delay_ms(now) for now in (900, 910, 920)] == [0, 90, 180], "nothing is made up for"


@pytest.mark.parametrize("rate", ["nan", "0", "-1", "1e-320", "0.0009", "fast"])
def test_a_rate_that_is_none(project: Path, run: Any, dead: Dead, rate: str) -> None:
    dead("r")
    done = run(project, "redrive", "--all", "--rate", rate, code=2)
    assert "write how many a second, 0.001 at least" in done.stderr


def test_one_that_is_discarded_while_it_is_shown(
    project: Path, run: Any, dead: Dead, store: SqliteStore, letters: Letters
) -> None:
    kept = letters.find(dead("r").ref)
    assert kept is not None
    store.delete_value(f"dlq/text/{kept.entry.id}/0000")
    for form in ([], ["--json"]):
        done = run(project, "show", kept.entry.id, *form, code=1)
        assert "was discarded just now" in done.stderr


def test_what_is_forgotten_is_redriven_from_what_was_kept(
    project: Path, lines: JsonLines, dead: Dead, store: SqliteStore
) -> None:
    old = dead("r", forgotten=True, payload={"n": 1})
    (made,) = lines(project, "redrive", old.ref)
    new = store.get(made["redriven_as"])
    assert new is not None
    assert (new.redriven_from, new.payload, new.digest) == (old.ref, {"n": 1}, old.digest)


def test_a_later_request_of_the_same_id_is_not_taken_for_it(
    project: Path, lines: JsonLines, dead: Dead, store: SqliteStore
) -> None:
    old = dead("r", forgotten=True, payload={"n": 1})
    store.enqueue(a_request(store.clock, "r", payload={"n": 2}, created_at=old.created_at + 1))
    (made,) = lines(project, "redrive", old.ref)
    new = store.get(made["redriven_as"])
    assert new is not None
    assert new.payload == {"n": 1}


@pytest.mark.parametrize("section", [{"redact": ["n"]}, {"payload": False}])
def test_what_was_redacted_needs_its_request(
    project: Path, run: Any, lines: JsonLines, dead: Dead, store: SqliteStore
) -> None:
    there, gone = dead("there", payload={"n": 1}), dead("gone", payload={"n": 2}, forgotten=True)
    done = run(project, "redrive", "--all", code=1)
    assert "its payload was redacted" in done.stderr
    assert "1 of 2 are as they were" in done.stderr
    (handled,) = [one for one in lines(project, "list", "--handled") if "done" in one]
    new = store.get(handled["redriven_as"])
    assert new is not None
    assert (new.redriven_from, new.payload) == (there.ref, {"n": 1})
    assert [one["ref"] for one in lines(project, "list")] == [gone.ref]
    assert "some of it was left out" in run(project, "show", gone.ref).stdout


def test_they_are_discarded(project: Path, run: Any, lines: JsonLines, dead: Dead) -> None:
    refs = [dead(f"r-{n}").ref for n in range(3)]
    run(project, "redrive", refs[0])
    assert "is discarded" in run(project, "discard", refs[1]).stdout
    assert refs[2] in run(project, "discard", "--all", "--dry-run").stdout
    assert "Aborted" in run(project, "discard", "--all", code=1).stderr
    assert len(lines(project, "list", "--handled")) == 2
    run(project, "discard", "--all", "--yes")
    assert [one["ref"] for one in lines(project, "list", "--handled")] == [refs[0]]
    run(project, "discard", "--all", "--handled", "--yes")
    assert lines(project, "list", "--handled") == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("redrive",),
        ("discard", "--yes"),
        ("redrive", "x", "--all"),
        ("redrive", "--all", "--action", "a"),
    ],
)
def test_it_must_be_said_which(project: Path, run: Any, arguments: tuple[str, ...]) -> None:
    done = run(project, *arguments, code=2)
    assert "name dead letters, or give filters, or --all: one of the three" in done.stderr


@pytest.fixture
def parked(letters: Letters, store: SqliteStore) -> Callable[[Any], str]:
    """Give a function that keeps a record, as a process that reads the stream does."""

    def parked(record: Any) -> str:
        letter = entry.of_record(record, "no", store.clock.now(), DlqSettings())
        letters.keep(letter)
        return letter.entry.id

    return parked


def test_a_record_is_shown_and_replayed(
    project: Path, run: Any, lines: JsonLines, store: SqliteStore, parked: Any
) -> None:
    request = a_request(store.clock)
    store.enqueue(request)
    name = parked({"Keys": {"ref": {"S": request.ref}}, "odd": "\x1b[31m"})
    said = run(project, "show", name).stdout
    assert "UNREADABLE" in said
    assert '"odd"' in said
    assert f"request {request.ref} is queued" in run(project, "replay", name).stdout
    assert [one["done"] for one in lines(project, "list", "--handled")] == ["replayed"]
    store.cancel(request.ref, an_error(store.clock), expires_at=store.clock.now() + DAY_MS)
    assert f"request {request.ref} is cancelled" in run(project, "replay", name).stdout


def test_what_cannot_be_replayed_or_redriven(
    project: Path, run: Any, parked: Any, dead: Dead
) -> None:
    nothing, gone = parked({"n": 1}), parked({"ref": "7" * 32})
    failed_one = dead("r").ref
    for arguments, sentence in (
        (("replay", nothing), "names no request: discard it"),
        (("replay", gone), "is forgotten: discard"),
        (("replay", failed_one), "is a request: redrive or discard it"),
        (("redrive", gone), "is no request: replay or discard it"),
    ):
        assert sentence in run(project, *arguments, code=1).stderr
    assert run(project, "redrive", "--all", "--dry-run").stdout.count("\n") == 2


def test_collecting_needs_queues(project: Path, run: Any) -> None:
    assert "[plugins.dlq] queues names none" in run(project, "collect", code=2).stderr


@pytest.mark.parametrize("section", [{"queues": ["http://127.0.0.1:1/q"]}])
def test_a_queue_that_cannot_be_reached_is_told_of(
    project: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    done = run(project, "collect", code=1)
    assert "http://127.0.0.1:1/q cannot be emptied: EndpointConnectionError" in done.stderr
