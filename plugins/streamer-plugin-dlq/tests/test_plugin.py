"""What the plugin does in a process: what it is told of, and what it finds."""

import sys
import threading
from typing import Any

import pytest
from streamer_plugin_dlq import DlqPlugin, keeper, rounds
from streamer_plugin_dlq.entry import REQUEST, STREAM, UNREADABLE
from streamer_plugin_dlq.settings import DlqSettings
from streamer_plugin_dlq.wanted import Wanted

from streamer_core import Context, Reject, Settings, Streamer, handler
from streamer_core.errors import ConfigurationError, ItemTooLarge, StoreError
from streamer_core.hooks import collect
from streamer_core.markers import hookimpl
from streamer_core.model.request import Request, Status
from streamer_core.settings import validate_section
from streamer_core.testing import MemoryStore, MemoryTransport
from streamer_core.testing.contracts.build import an_error
from tests.conftest import Lines
from tests.samples import aws_events
from tests.unit.harness import Rig

BOUND_S = 20.0


@handler("pay", mode="async", retry={"max_attempts": 2, "backoff": 0})
def pay(payload: dict[str, Any], ctx: Context) -> None:
    if "reject" in payload:
        raise Reject("pay.refused", "The bank refuses", details={"card": "4111"})
    raise RuntimeError(f"attempt {ctx.attempt} saw the bank refuse")


def told(plugin: DlqPlugin) -> list[Any]:
    """Give what is listed once the thread has kept what it was given."""
    assert plugin._keeper.flush(BOUND_S)
    return list(plugin.letters.all(Wanted(handled=True)))


def counted(rig: Rig) -> list[dict[str, str]]:
    metrics = [what["metric"] for what in rig.seen.of("metric")]
    return [dict(one.tags) for one in metrics if one.name == "dlq.kept"]


def missed(rig: Rig, request: Request) -> str:
    """Put a failed request into the store of which nobody was told."""
    pending = request.changed(status=Status.PENDING, failures=(), finished_at=None)
    rig.store.enqueue(pending)
    held = rig.claim(pending.ref)
    rig.store.finish(
        held.ref,
        Status.FAILED,
        [an_error(rig.clock)],
        fence=held.fence,
        expires_at=rig.clock.now() + rig.app.settings.core.keep,
        failure=request.failures[-1],
    )
    return request.ref


def test_a_failed_request_is_kept_with_all_its_failures(plugged: Any) -> None:
    rig = Rig(pay)
    plugin = plugged(rig)
    client = rig.client()
    client.ask("pay", {"sum": 7}, id="r", metadata={"trace": "t-1"})
    rig.work()
    (entry,) = told(plugin)
    stored = rig.stored(client.ref("r"))
    assert (entry.source, entry.ref, entry.action) == (REQUEST, stored.ref, "pay")
    assert (entry.tenant, entry.user, entry.attempts) == ("acme", "ann", 2)
    assert (entry.code, entry.kind, entry.redacted) == ("PROCESSING_FAILED", "RuntimeError", False)
    assert entry.at == stored.failures[-1].at
    kept = plugin.letters.find(stored.ref)
    assert kept is not None
    details = plugin.letters.details(kept)
    assert (details["payload"], details["metadata"]) == ({"sum": 7}, {"trace": "t-1"})
    traces = [failure["trace"] for failure in details["failures"]]
    assert [f"attempt {n} saw" in trace for n, trace in enumerate(traces, 1)] == [True, True]
    assert counted(rig) == [{"action": "pay", "code": "PROCESSING_FAILED"}]


def test_what_a_handler_rejects_is_kept_too(plugged: Any) -> None:
    rig = Rig(pay)
    plugin = plugged(rig, redact=("card",))
    rig.client().ask("pay", {"reject": 1}, id="r")
    rig.work()
    (entry,) = told(plugin)
    assert (entry.code, entry.message, entry.attempts) == ("pay.refused", "The bank refuses", 1)
    kept = plugin.letters.find(entry.id)
    assert kept is not None
    assert plugin.letters.details(kept)["failures"][0]["details"] == {"card": "[redacted]"}


def test_it_outlives_its_request_until_it_expires(plugged: Any) -> None:
    rig = Rig(pay)
    plugin = plugged(rig, keep=20 * 86_400_000)
    client = rig.client()
    client.ask("pay", id="r")
    rig.work()
    (entry,) = told(plugin)
    rig.clock.advance(rig.app.settings.core.keep)
    assert rig.store.get(entry.ref) is None
    assert told(plugin) == [entry]
    rig.clock.advance(20 * 86_400_000)
    assert told(plugin) == []


def test_where_the_store_fails_it_is_left_to_the_sweeper(plugged: Any, logs: Lines) -> None:
    rig = Rig(pay)
    plugin = plugged(rig)
    rig.client().ask("pay", id="r")
    rig.store.faults.fail_next("put_value", StoreError("no disk"))
    rig.work()
    assert told(plugin) == []
    rig.app.sweep()
    assert told(plugin) == [], "whoever was told of it may still be at it"
    rig.clock.advance(60_000)
    rig.app.sweep()
    assert [entry.action for entry in told(plugin)] == ["pay"]
    events = [line["event"] for line in logs]
    assert "dead letter left to the sweeper" in events
    assert "dead letters were missed, and are kept now" in events


def test_one_that_cannot_be_kept_holds_up_none(plugged: Any, logs: Lines) -> None:
    rig = Rig(pay)
    plugin = plugged(rig)
    rig.client().ask("pay", id="first")
    rig.client().ask("pay", id="second")
    rig.store.faults.fail_next("get_value", ValueError("a bug"))
    rig.work()
    assert len(told(plugin)) == 1
    assert "dead letter could not be kept" in [line["event"] for line in logs]


def test_what_nobody_was_told_of_is_found_and_counted(plugged: Any, failed: Any) -> None:
    rig = Rig()
    plugin = plugged(rig)
    ref = missed(rig, failed(rig.clock))
    rig.clock.advance(60_000)
    rig.app.sweep()
    assert [entry.ref for entry in told(plugin)] == [ref]
    rig.app.sweep()
    assert counted(rig) == [{"action": "report", "code": "GONE"}]


def test_what_has_just_failed_is_left_to_whoever_was_told(plugged: Any, failed: Any) -> None:
    """However long ago it was accepted."""
    rig = Rig()
    plugin = plugged(rig)
    long_ago = rig.clock.now() - 3_600_000
    missed(rig, failed(rig.clock, created_at=long_ago, due_at=long_ago))
    rig.app.sweep()
    assert told(plugin) == []
    rig.clock.advance(60_000)
    rig.app.sweep()
    assert len(told(plugin)) == 1


def test_many_that_have_just_failed_hide_none(
    plugged: Any, failed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "PAGE", 2)
    rig = Rig()
    plugin = plugged(rig)
    ref = missed(rig, failed(rig.clock, "old"))
    rig.clock.advance(60_000)
    for n in range(9):
        missed(rig, failed(rig.clock, f"new-{n}"))
    rig.app.sweep()
    assert [one.ref for one in told(plugin)] == [ref]


def test_what_was_discarded_is_not_found_again(plugged: Any) -> None:
    rig = Rig(pay)
    plugin = plugged(rig)
    rig.client().ask("pay", id="r")
    rig.work()
    (entry,) = told(plugin)
    assert plugin.letters.discard(entry.id)
    rig.clock.advance(60_000)
    rig.app.sweep()
    assert told(plugin) == []


def test_a_round_goes_past_what_cannot_be_kept(
    plugged: Any, failed: Any, logs: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig()
    plugin = plugged(rig)
    for name in ("one", "two", "three"):
        missed(rig, failed(rig.clock, name))
    rig.clock.advance(60_000)
    rig.store.faults.fail_next("put_value", ItemTooLarge("64 KB"))
    rig.app.sweep()
    assert len(told(plugin)) == 2
    rig.store.faults.fail_next("put_value", StoreError("no disk"))
    rig.app.sweep()
    assert len(told(plugin)) == 2
    rig.app.sweep()
    assert len(told(plugin)) == 3
    events = [line["event"] for line in logs]
    assert events.count("dead letter could not be kept") == 1
    assert events.count("observer failed") == 1


def test_a_walk_comes_by_all_in_the_end(
    plugged: Any, failed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old ones that failed late lie among many that are known."""
    monkeypatch.setattr(rounds, "PAGE", 3)
    rig = Rig()
    plugin = plugged(rig)
    refs = []
    for n in range(10):
        refs.append(missed(rig, failed(rig.clock, f"r-{n}")))
        rig.clock.advance(1)
    rig.clock.advance(60_000)
    for ref in refs[2:]:
        plugin._keep(rig.stored(ref))
    rig.app.sweep()
    assert len(told(plugin)) == 8
    rig.app.sweep()
    assert {entry.ref for entry in told(plugin)} == set(refs)
    late = missed(rig, failed(rig.clock, "late"))
    rig.clock.advance(60_000)
    rig.app.sweep()
    assert late in {entry.ref for entry in told(plugin)}


def test_a_round_goes_on_while_it_finds_any(
    plugged: Any, failed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "PAGE", 3)
    rig = Rig()
    plugin = plugged(rig)
    for n in range(10):
        missed(rig, failed(rig.clock, f"r-{n}"))
    rig.clock.advance(60_000)
    rig.app.sweep()
    assert len(told(plugin)) == 10


def test_a_round_ends_in_time(plugged: Any, failed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "PAGE", 1)
    monkeypatch.setattr(rounds, "MOST_S", 0.0)
    rig = Rig()
    plugin = plugged(rig)
    for n in range(4):
        missed(rig, failed(rig.clock, f"r-{n}"))
    rig.clock.advance(60_000)
    for kept in (2, 3, 4):
        rig.app.sweep()
        assert len(told(plugin)) == kept, "a page of the newest, and one of the others"


def test_a_place_in_another_stores_list_is_forgotten(plugged: Any, failed: Any) -> None:
    rig = Rig()
    plugin = plugged(rig)
    rig.store.put_value("dlq/round", "of another store")
    missed(rig, failed(rig.clock))
    rig.clock.advance(60_000)
    rig.app.sweep()
    assert len(told(plugin)) == 1
    place = rig.store.get_value("dlq/round")
    assert place is not None
    assert place.data is None


def test_too_many_at_once_are_left_to_the_sweeper(
    plugged: Any, failed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "MOST_WAITING", 1)
    rig = Rig()
    plugin = plugged(rig)
    begun, go_on = threading.Event(), threading.Event()
    keep = plugin.letters.keep

    def slow(letter: Any) -> None:
        begun.set()
        assert go_on.wait(BOUND_S)
        keep(letter)

    monkeypatch.setattr(plugin.letters, "keep", slow)
    for n in range(3):
        request = failed(rig.clock, f"r-{n}")
        rig.app.runtime.tell(
            "streamer_on_dead_letter", request=request, failure=request.failures[-1]
        )
        assert begun.wait(BOUND_S)
    health = plugin.streamer_health()
    assert (health.status, health.detail) == ("degraded", "2 wait to be kept")
    go_on.set()
    assert len(told(plugin)) == 2
    assert plugin.streamer_health().status == "ok"
    assert len(counted(rig)) == 2, "the third is counted when it is found"


def test_a_process_ends_when_all_is_kept(plugged: Any) -> None:
    rig = Rig(pay)
    plugin = plugged(rig)
    rig.app.close()
    plugin.streamer_shutdown()
    rig = Rig(pay)
    plugin = plugged(rig)
    rig.client().ask("pay", id="r")
    rig.work()
    rig.app.close()
    assert len([key for key in rig.store.data.values if key.startswith("dlq/entry/")]) == 1
    assert plugin._keeper._thread is not None
    assert not plugin._keeper._thread.is_alive()


# -- records that nobody can read


class Queue:
    """Keeps records elsewhere."""

    def __init__(self) -> None:
        self.parked: list[Any] = []

    @hookimpl
    def streamer_park(self, record: Any) -> bool:
        self.parked.append(record)
        return True


def test_a_record_is_kept_once(plugged: Any) -> None:
    rig, queue = Rig(), Queue()
    plugin = plugged(rig)
    rig.plug(queue)
    record = aws_events.inserted(7, due_at={"N": "no number"})
    for _ in range(2):
        assert rig.app.park(record, "KeyError: 'queue'") is True
        rig.clock.advance(1000)
    (entry,) = told(plugin)
    assert (entry.source, entry.ref, entry.code) == (STREAM, f"{7:032x}", UNREADABLE)
    assert entry.message == "KeyError: 'queue'"
    kept = plugin.letters.find(entry.id)
    assert kept is not None
    assert plugin.letters.details(kept) == record
    assert counted(rig) == [{"action": "none", "code": UNREADABLE}]
    assert queue.parked == []


def test_where_the_store_fails_the_next_may_keep_it(plugged: Any, logs: Lines) -> None:
    rig, queue = Rig(), Queue()
    plugged(rig)
    rig.store.faults.fail_next("put_value", StoreError("no disk"), times=2)
    assert rig.app.park({"eventID": "1"}, "no") is False
    rig.plug(queue)
    assert rig.app.park({"eventID": "1"}, "no") is True
    assert queue.parked == [{"eventID": "1"}]


# -- the rest


def test_the_console_shows_the_newest(plugged: Any) -> None:
    rig = Rig(pay)
    plugin = plugged(rig)
    client = rig.client()
    client.ask("pay", id="r")
    rig.work()
    told(plugin)
    ((_, (panel,)),) = collect(rig.app.hooks, "streamer_register_panels")
    (row,) = panel.rows()
    assert (row["action"], row["code"]) == ("pay", "PROCESSING_FAILED")
    assert row["id"].startswith(client.ref("r"))
    assert row["failed"].startswith("2027-01-15 08:00:00")


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"keep": 0}, "keep: must be more than nothing"),
        ({"redact": ["card."]}, "redact: 'card.' is no name"),
        (
            {"redact": ["card.*"]},
            r"redact: 'card\.\*' is no name.* a name blanks all that lies in it",
        ),
        ({"redact": "card"}, 'redact: write a list, as in redact = \\["…"\\]'),
        *(
            ({"queues": [queue]}, f"queues: '{queue}' is no name of a queue, as in shop-parking")
            for queue in ("", "a b", "https://", "https://sqs.aws", "https:///x", "https://a/b c")
        ),
        *(({"region": one}, f"region: '{one}' is none") for one in ("", " ", "eu central 1")),
        ({"redacted": ["card"]}, "did you mean 'redact'?"),
    ],
)
def test_a_bad_setting_stops_the_start(section: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        validate_section(DlqSettings, section, "[plugins.dlq]")


def started(**section: Any) -> Streamer:
    given = {"store": MemoryStore(Rig().clock), "transport": MemoryTransport()}
    settings = Settings.of({"plugins": ["dlq"]}, {"dlq": section})
    return Streamer.start(settings, **given, load_handlers=False)


def test_queues_without_botocore_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore", None)
    with pytest.raises(ConfigurationError, match=r'try: pip install "streamer-plugin-dlq\[sqs\]"'):
        started(queues=["shop-parking"])
    with started() as app:
        assert app.plugins == ["dlq"]


def test_without_settings_it_keeps_all_for_a_month() -> None:
    with started() as app:
        plugin = app.hooks.get_plugin("dlq")
        assert isinstance(plugin, DlqPlugin)
        assert plugin.settings == DlqSettings(keep=30 * 86_400_000, payload=True)
