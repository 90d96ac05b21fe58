"""Progress is coalesced and never lies; chunks are stored in order before they are sent."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest

from streamer_core import Context, handler
from streamer_core.errors import (
    CircuitOpen,
    ItemTooLarge,
    LostLease,
    StoreError,
    TooLarge,
    Unserializable,
)
from streamer_core.model.encode import encode
from streamer_core.model.request import Status
from streamer_core.model.update import Kind
from streamer_core.ports import Delivery, Ending
from streamer_core.testing import ManualClock, MemoryStore
from tests.unit.harness import Client, Rig, interrupting, mirror

Body = Callable[[Context, Rig, Client], Any]


def run(body: Body, **core: Any) -> tuple[Rig, Client]:
    """Run a body as a queued request `r`; it is given its rig and its client."""
    wrong: list[AssertionError] = []

    @handler("a", mode="async", timeout="1h", retry={"max_attempts": 1})
    def function(ctx: Context) -> Any:
        try:
            return body(ctx, rig, client)
        except AssertionError as error:  # else it were the handler's failure, and no test's
            wrong.append(error)
            raise

    rig = Rig(function, **core)
    client = rig.client()
    client.ask("a", id="r")
    assert rig.app.work()
    if wrong:
        raise wrong[0]
    return rig, client


def test_the_first_progress_is_sent_at_once_and_then_the_newest_of_each_interval() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        for number in range(10):
            ctx.progress(number * 10, str(number))
            rig.beat(50)

    _, client = run(body)
    progress = client.of("progress")
    assert [one["message"] for one in progress] == ["0", "4", "8", "9"]
    assert [one["n"] for one in progress] == [1, 5, 9, 10]
    assert client.kinds[-1] == "complete"


def test_the_interval_is_a_setting() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        for number in range(5):
            ctx.progress(number)
            rig.beat(50)

    _, client = run(body, progress_interval="0ms")
    assert len(client.of("progress")) == 5


def test_the_newest_is_sent_before_the_end_and_none_after_it() -> None:
    contexts: list[Context] = []

    def body(ctx: Context, rig: Rig, client: Client) -> None:
        contexts.append(ctx)
        ctx.progress(1)
        rig.beat()
        ctx.progress(99)

    rig, client = run(body)
    contexts[0].progress(100)
    contexts[0].emit("late")
    rig.beat(10_000)
    assert client.kinds == ["progress", "progress", "complete"]
    assert client.of("progress")[-1]["percentage"] == 99


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ([10, 5], [10, 10]),
        ([-5, 150], [0, 100]),
        ([float("inf"), 3], [100, 100]),
        ([33.3], [33.3]),
        ([10**400], [100]),
    ],
)
def test_percentage_stays_within_and_never_falls(given: list[float], shown: list[float]) -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        for percentage in given:
            ctx.progress(percentage)
            rig.beat(200)

    _, client = run(body)
    assert [one["percentage"] for one in client.of("progress")] == shown


@pytest.mark.parametrize("percentage", [float("nan"), "50", None, True])
def test_what_is_no_percentage(percentage: Any) -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        with pytest.raises(ValueError, match="a number from 0 to 100"):
            ctx.progress(percentage)

    assert run(body)[1].kinds == ["complete"]


def test_what_is_no_metadata() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        with pytest.raises(Unserializable):
            ctx.progress(1, metadata={"o": object()})
        with pytest.raises(TooLarge):
            ctx.progress(1, metadata={"x": "y" * 40_000})

    assert run(body)[1].kinds == ["complete"]


def test_a_long_message_is_cut() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        ctx.progress(1, "é" * 200_000)

    _, client = run(body)
    assert client.of("progress")[0]["message"] == "é" * 1000


def test_metadata_is_taken_as_it_was() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        metadata = {"list": [1]}
        ctx.progress(1, metadata=metadata)
        metadata["list"].append(2)

    _, client = run(body)
    assert client.of("progress")[0]["metadata"] == {"list": [1]}


def test_progress_is_kept_each_second() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        def kept() -> Any:
            progress = rig.stored(ctx.ref).progress
            return progress and progress.percentage

        ctx.progress(1)
        rig.beat(999)
        assert kept() is None
        rig.beat(1)
        assert kept() == 1
        ctx.progress(2)
        rig.beat(999)
        assert kept() == 1
        rig.beat(1)
        assert kept() == 2

    rig, client = run(body)
    progress = rig.stored(client.ref("r")).progress
    assert progress is not None
    assert progress.percentage == 2


def test_after_names_the_last_chunk_before_it() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        ctx.emit(1)
        ctx.progress(10)
        ctx.emit(2)
        ctx.checkpoint(None)
        ctx.progress(20)
        rig.beat()

    _, client = run(body)
    assert client.of("progress")[0]["after"] == 2


# -- chunks


def test_chunks_are_stored_in_order_before_they_are_sent() -> None:
    seen: list[int] = []

    def body(ctx: Context, rig: Rig, client: Client) -> None:
        original = rig.transport.send

        def send(connection_id: str, data: bytes) -> Delivery:
            seen.append(len(rig.store.updates(ctx.ref)))
            return original(connection_id, data)

        rig.transport.send = send  # type: ignore[method-assign]
        for number in range(5):
            ctx.emit(number)
            rig.beat(50)

    rig, client = run(body)
    assert [one["seq"] for one in client.inbox] == [1, 2, 3, 4, 5, 6]
    assert [one["data"] for one in client.of("chunk")] == [0, 1, 2, 3, 4]
    assert all(stored >= seq for seq, stored in enumerate(seen, 1))
    assert [update.kind for update in rig.store.updates(client.ref("r"))] == [
        *[Kind.CHUNK] * 5,
        Kind.COMPLETE,
    ]


def test_chunks_are_flushed_each_interval() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        ctx.emit(0)
        rig.beat()
        assert len(client.inbox) == 1
        ctx.emit(1)
        ctx.emit(2)
        rig.beat(49)
        assert len(client.inbox) == 1
        rig.beat(1)
        assert len(client.inbox) == 3

    run(body)


def test_a_full_buffer_is_flushed_by_who_fills_it() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        for number in range(3):
            ctx.emit(number)
        assert len(client.inbox) == 0
        ctx.emit(3)
        assert len(client.inbox) == 4

    run(body, chunk_buffer=4)


def test_a_buffer_of_a_megabyte_is_full() -> None:
    """However many chunks it may hold: no store writes any number of bytes at once."""

    def body(ctx: Context, rig: Rig, client: Client) -> None:
        for count in (11, 22):
            for _ in range(10):
                ctx.emit("x" * 100_000)
            assert client.kinds == ["chunk"] * (count - 11)
            ctx.emit("x" * 100_000)
            assert client.kinds == ["chunk"] * count

    run(body)


def test_a_full_buffer_waits_for_the_store() -> None:
    entered, go = threading.Event(), threading.Event()

    class Slow(MemoryStore):
        def append(self, *args: Any, **kwargs: Any) -> Any:
            entered.set()
            assert go.wait(5)
            return super().append(*args, **kwargs)

    emitted: list[int] = []

    @handler("a", mode="async")
    def function(ctx: Context) -> None:
        for number in range(5):
            ctx.emit(number)
            emitted.append(number)

    rig = Rig(function, store=Slow(ManualClock()), chunk_buffer=2)
    client = rig.client()
    client.ask("a", id="r")
    worker = threading.Thread(target=rig.app.work)
    worker.start()
    assert entered.wait(5)
    assert emitted == [0]
    go.set()
    worker.join(5)
    assert mirror(client.inbox).output == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("value", [object(), float("nan"), {(1,): 2}])
def test_chunks_that_json_cannot_hold(value: Any) -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        with pytest.raises(Unserializable):
            ctx.emit(value)
        with pytest.raises(Unserializable):
            ctx.checkpoint(value)
        ctx.emit("good")

    assert mirror(run(body)[1].inbox).output == ["good"]


def test_a_chunk_that_is_too_large() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        with pytest.raises(TooLarge):
            ctx.emit("x" * 131_000)
        ctx.emit("x" * 130_000)

    assert len(mirror(run(body)[1].inbox).output) == 1


def test_a_chunk_is_taken_as_it_was() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        data = [1]
        ctx.emit(data)
        data.append(2)

    assert mirror(run(body)[1].inbox).output == [[1]]


def test_a_checkpoint_stands_with_the_chunks_before_it_or_not_at_all() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        ctx.emit(1)
        rig.store.faults.fail_next("append", StoreError("no"))
        with pytest.raises(StoreError):
            ctx.checkpoint({"page": 1})
        assert rig.stored(ctx.ref).checkpoint is None
        assert rig.stored(ctx.ref).last_seq == 0
        ctx.checkpoint({"page": 2})
        stored = rig.stored(ctx.ref)
        assert (stored.checkpoint, stored.checkpoint_seq) == ({"page": 2}, 1)

    assert mirror(run(body)[1].inbox).output == [1]


def test_a_checkpoint_without_chunks() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        ctx.checkpoint([1])
        assert rig.stored(ctx.ref).checkpoint == [1]

    run(body)


def test_a_write_that_took_effect_and_failed_is_not_made_twice() -> None:
    """Promise 2 would not help: the copy would have numbers of its own."""

    def body(ctx: Context, rig: Rig, client: Client) -> None:
        ctx.emit(1)
        rig.store.faults.fail_next("append", StoreError("no"), after=True)
        with pytest.raises(StoreError):
            ctx.checkpoint("one")
        ctx.emit(2)
        ctx.checkpoint("two")

    assert mirror(run(body)[1].inbox).output == [1, 2]


class Witness(MemoryStore):
    """Looks whether who ends a request knows how much it has put out."""

    def finish_all(self, endings: Sequence[Ending]) -> Sequence[Any]:
        for ending in endings:
            kept = self.get(ending.ref)
            assert kept is not None
            assert ending.known is not None
            assert ending.known.out_bytes == kept.out_bytes
        return super().finish_all(endings)


@pytest.mark.parametrize("ends_as", [Status.COMPLETED, Status.FAILED])
def test_what_is_put_out_is_added_up_by_the_byte(ends_as: Status) -> None:
    """Each update as it is stored: those that are forgotten later, and a write in doubt, too."""

    @handler("a", mode="async", retry={"max_attempts": 2})
    def function(ctx: Context) -> Any:
        ctx.emit("né")
        if ctx.attempt == 1:
            ctx.checkpoint(None)
            ctx.emit({"at": Decimal("1.50")})
            rig.store.faults.fail_next("append", StoreError("no"), after=True)
            with pytest.raises(StoreError):
                ctx.checkpoint(1)
            ctx.emit("behind the checkpoint")
            rig.beat(60)
        if ctx.attempt == 1 or ends_as is Status.FAILED:
            raise ValueError("no")
        return {"n": [1, 2]}

    rig = Rig(function, open_store=Witness)
    client = rig.client()
    client.ask("a", id="r")
    rig.work()
    rig.clock.advance(600_000)
    rig.work()
    ended = rig.stored(client.ref("r"))
    updates = rig.store.updates(ended.ref)
    assert ended.status is ends_as
    assert {Kind.CHUNK, Kind.RESTART} < {update.kind for update in updates}
    assert ended.out_bytes == sum(len(encode(update.body)) for update in updates)


def test_a_heartbeat_does_not_hide_that_a_write_is_in_doubt() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        rig.clock.advance(1_990)
        ctx.emit(1)  # the next flush is due in 50 ms, the next heartbeat in 10
        rig.store.faults.fail_next("append", StoreError("no"), after=True)
        with pytest.raises(StoreError):
            ctx.emit(2)
        rig.beat(10)
        ctx.emit(3)

    assert mirror(run(body, chunk_buffer=1)[1].inbox).output == [1, 2, 3]


def test_a_checkpoint_larger_than_the_store_holds_is_the_handlers_to_know() -> None:
    caught = []

    @handler("a", mode="async")
    def function(ctx: Context) -> str:
        ctx.emit("kept")
        with pytest.raises(ItemTooLarge) as error:
            ctx.checkpoint("x" * 60_000)
        caught.append(error)
        return "done"

    rig = Rig(function, store=MemoryStore(ManualClock(), max_item_bytes=50_000))
    client = rig.client()
    client.ask("a", id="r")
    rig.work()
    assert len(caught) == 1
    assert mirror(client.inbox).output == ["kept"]


def test_what_an_earlier_run_stored_and_did_not_send_is_sent_by_the_next() -> None:
    """It would count as sent with whatever the next run sends."""

    @handler("a", mode="async")
    def function(ctx: Context) -> str:
        if ctx.restored is None:
            ctx.emit("before")
            rig.store.faults.fail_next("requeue", StoreError("no"), after=True)
            ctx.continue_later("here")
        ctx.emit("after")
        return "done"

    rig = Rig(function)
    client = rig.client()
    client.ask("a", id="r")
    assert rig.work() == 2
    assert mirror(client.inbox).output == ["before", "after"]
    assert client.inbox[-1]["terminal"]


def test_what_was_not_sent_is_not_forgotten_by_a_worker_that_gives_it_back() -> None:
    @handler("a", mode="async")
    def function(ctx: Context) -> str:
        if ctx.restored is None:
            ctx.emit("before")
            ctx.continue_later("here")
        return "done"

    rig = Rig(function)
    client = rig.client()
    client.ask("a", id="r")
    rig.transport.busy_next(client.id, 1)
    assert rig.app.work()
    rig.app.give_back(rig.app.claim(1))
    assert rig.work() == 1
    assert mirror(client.inbox).output == ["before"]
    assert client.inbox[-1]["terminal"]


def test_a_write_in_doubt_is_sent_by_a_worker_that_gives_the_request_back() -> None:
    """What it wrote is stored: to count it as sent would leave a gap for ever."""

    @handler("a", mode="async")
    def function(ctx: Context) -> str:
        if not tried:
            tried.append(True)
            ctx.emit("stored")
            rig.store.faults.fail_next("append", StoreError("no"), after=True)
            with pytest.raises(StoreError):
                rig.beat(60)
            ctx.emit("not stored")
            raise CircuitOpen("Down")
        return "done"

    tried: list[bool] = []
    rig = Rig(function)
    client = rig.client()
    client.ask("a", id="r")
    rig.work()
    rig.clock.advance(60_000)
    assert rig.work() == 1
    assert [m["seq"] for m in client.inbox if "seq" in m] == [1, 2, 3]
    assert mirror(client.inbox).terminal


def test_a_write_in_doubt_is_sent_where_a_cancel_came_before_the_retry() -> None:
    """The attempt fails by the write, and knows of the cancel only by the store's no."""

    @handler("a", mode="async", retry={"max_attempts": 3})
    def function(ctx: Context) -> None:
        ctx.emit(1)
        client.send("streamer.cancel", {"request_id": "r"})
        rig.store.faults.fail_next("append", StoreError("no"), after=True)
        ctx.emit(2)

    rig = Rig(function, chunk_buffer=2)
    client = rig.client()
    client.ask("a", id="r")
    rig.work()
    assert [m["seq"] for m in client.inbox if "seq" in m] == [1, 2, 3]
    assert mirror(client.inbox).terminal
    request = rig.stored(client.ref("r"))
    assert (request.status, request.sent_seq) == (Status.CANCELLED, 3)


def test_whoever_could_not_be_asked_for_in_time_is_sent_what_the_others_were() -> None:
    late: list[Client] = []

    def body(ctx: Context, rig: Rig, client: Client) -> None:
        ctx.emit(1)
        late.append(rig.client())
        late[0].send("streamer.resume", {"requests": {"r": 0}})
        rig.store.faults.fail_next("subscribers", StoreError("no"))
        ctx.checkpoint("here")
        ctx.emit(2)

    _, client = run(body)
    assert [mirror(one.inbox).output for one in (client, *late)] == [[1, 2]] * 2
    assert late[0].inbox[-1]["terminal"]


def test_whoever_came_before_a_write_in_doubt_is_sent_what_it_wrote() -> None:
    late: list[Client] = []

    def body(ctx: Context, rig: Rig, client: Client) -> None:
        ctx.emit(1)
        late.append(rig.client())
        late[0].send("streamer.resume", {"requests": {"r": 0}})
        rig.store.faults.fail_next("append", StoreError("no"), after=True)
        with pytest.raises(StoreError):
            ctx.checkpoint("here")

    _, client = run(body)
    assert [mirror(one.inbox).output for one in (client, *late)] == [[1]] * 2
    assert late[0].inbox[-1]["terminal"]


def test_a_handler_that_lives_on_without_its_lease_fills_no_memory() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        (running,) = rig.pulse.running
        running.release()
        for number in range(1000):
            ctx.emit(number)
        assert len(running._chunks) == 0  # type: ignore[attr-defined]

    run(body)


def test_a_lost_lease_ends_the_output() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        rig.clock.advance(30_000)
        rig.app.sweep()
        ctx.emit(1)
        with pytest.raises(LostLease):
            ctx.checkpoint(1)
        ctx.progress(50)
        rig.beat(5000)

    _, client = run(body)
    assert client.of("chunk") == []
    assert [message["type"] for message in client.inbox] == ["error"]


def test_a_worker_that_finds_its_lease_lost_in_the_pulse() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        rig.clock.advance(30_000)
        rig.app.sweep()
        rig.beat(2000)
        assert ctx.cancelled
        with pytest.raises(Exception, match="lost"):
            ctx.raise_if_cancelled()

    run(body)


# -- those who follow


def test_a_subscriber_who_joins_midway_learns_and_misses_nothing() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        ctx.emit(1)
        ctx.progress(10, "before")
        ctx.checkpoint(1)
        other.append(rig.client())
        answers = other[0].send("streamer.resume", {"requests": {"r": 0}})
        assert [answer["type"] for answer in answers] == ["chunk", "progress", "resumed"]
        replay.extend(answers)
        ctx.emit(2)
        ctx.progress(20, "after")
        rig.beat(2000)

    other: list[Client] = []
    replay: list[Any] = []
    _, client = run(body)
    assert mirror([*replay, *other[0].inbox]).output == mirror(client.inbox).output == [1, 2]
    assert other[0].of("progress")[-1]["message"] == "after"


def test_a_subscriber_between_the_read_and_the_append_misses_nothing() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        other.append(rig.client())

        def join() -> None:
            other[0].send("streamer.subscribe", {"request_id": "r"})

        with interrupting(rig.store, "append", join):
            ctx.emit(1)
            ctx.checkpoint(None)

    other: list[Client] = []
    run(body)
    assert mirror(other[0].inbox).output == [1]


def test_who_unsubscribes_hears_no_more() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        ctx.emit(1)
        ctx.checkpoint(None)
        client.ask("streamer.unsubscribe", {"request_id": "r"})
        ctx.emit(2)
        ctx.checkpoint(None)

    assert run(body)[1].kinds == ["chunk"]


def test_subscribers_that_cannot_be_read_are_sent_to_by_the_sweep() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        other.append(rig.client())
        other[0].ask("streamer.subscribe", {"request_id": "r"})
        rig.store.faults.fail_next("subscribers", StoreError("no"), times=10)
        ctx.emit(1)
        ctx.checkpoint(None)

    other: list[Client] = []
    rig, client = run(body)
    assert mirror(client.inbox).output == [1]
    assert not other[0].inbox
    rig.store.faults.clear()
    rig.clock.advance(60_000)
    assert rig.app.sweep().unsent == 1
    assert mirror(other[0].inbox).output == [1]
    assert mirror(other[0].inbox).terminal is not None


def test_a_subscriber_who_joins_before_the_newest_progress_is_kept_is_shown_it() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        ctx.progress(50, "half")
        rig.beat(50)
        other.append(rig.client())
        answers = other[0].send("streamer.resume", {"requests": {"r": 0}})
        assert [answer["type"] for answer in answers] == ["resumed"]
        rig.beat(1000)
        rig.beat(200)
        rig.beat(200)
        assert [one["message"] for one in other[0].inbox] == ["half"]
        assert client.kinds == ["progress"]

    other: list[Client] = []
    assert run(body)[1].kinds == ["progress", "complete"]


def test_who_was_busy_is_shown_the_newest_progress_and_who_went_is_not() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        rig.transport.busy_next(client.id, 3)
        ctx.progress(40, "given way")
        rig.beat()
        ctx.progress(50, "half")
        rig.beat(200)
        rig.beat(200)
        assert not client.inbox
        rig.beat(200)
        rig.beat(200)
        assert [one["message"] for one in client.inbox] == ["half"]
        rig.transport.busy_next(client.id, 1)
        ctx.progress(60, "too late")
        rig.beat(200)
        client.ask("streamer.unsubscribe", {"request_id": "r"})
        ctx.checkpoint(None)
        rig.beat(200)

    assert run(body)[1].kinds == ["progress"]


def test_a_busy_client_catches_up_in_order_and_progress_gives_way() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        ctx.emit(1)
        ctx.checkpoint(None)
        rig.transport.busy_next(client.id, 3)
        ctx.emit(2)
        ctx.emit(3)
        ctx.checkpoint(None)
        ctx.progress(50, "given way")
        rig.beat(200)
        assert client.kinds == ["chunk"]
        rig.beat(200)
        assert client.kinds == ["chunk"]
        rig.beat(200)
        assert [one["seq"] for one in client.of("chunk")] == [1, 2, 3]
        ctx.progress(60, "heard")
        rig.beat(200)

    _, client = run(body)
    assert [one["message"] for one in client.of("progress")] == ["heard"]
    assert [one["seq"] for one in client.inbox if "seq" in one] == [1, 2, 3, 4]


def test_who_is_gone_is_sent_nothing_more() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        other = rig.client()
        other.ask("streamer.subscribe", {"request_id": "r"})
        client.go()
        with (
            counted(rig.transport, "send") as sends,
            counted(rig.store, "delete_connection") as ends,
        ):
            for number in range(5):
                ctx.progress(number)
                ctx.emit(number)
                ctx.checkpoint(None)
                rig.beat(200)
        assert len(other.of("chunk")) == 5
        assert sends.count(client.id) == ends.count(client.id) == 1

    run(body)


def test_who_is_gone_is_not_caught_up() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        rig.transport.busy_next(client.id)
        for number in range(5):
            ctx.emit(number)
        ctx.checkpoint(None)
        client.go()
        with counted(rig.transport, "send") as sends:
            rig.beat(50)
        assert sends == [client.id]

    run(body)


@contextmanager
def counted(port: Any, verb: str) -> Iterator[list[str]]:
    """Note for which connection a verb of a port is called."""
    original, asked = getattr(port, verb), list[str]()

    def call(connection_id: str, *args: Any) -> Any:
        asked.append(connection_id)
        return original(connection_id, *args)

    setattr(port, verb, call)
    yield asked
    setattr(port, verb, original)


def test_a_busy_client_does_not_hold_up_another() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        rig.transport.busy_next(client.id, 100)
        other = rig.client()
        other.ask("streamer.subscribe", {"request_id": "r"})
        ctx.emit(1)
        ctx.checkpoint(None)
        assert other.kinds == ["chunk"]
        assert not client.inbox
        rig.transport.busy_next(client.id, 0)

    assert mirror(run(body)[1].inbox).output == [1]


def test_what_is_sent_is_noted_and_what_a_busy_client_lacks_is_not() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        ctx.emit(1)
        ctx.checkpoint(None)
        rig.transport.busy_next(client.id, 100)
        ctx.emit(2)
        ctx.checkpoint(None)
        rig.beat(2000)
        assert rig.stored(ctx.ref).sent_seq == 1
        rig.transport.busy_next(client.id, 0)
        rig.beat(50)
        rig.beat(2000)
        assert rig.stored(ctx.ref).sent_seq == 2

    rig, client = run(body)
    assert rig.stored(client.ref("r")).sent_seq == 3


def test_observers_are_told_of_stored_updates() -> None:
    def body(ctx: Context, rig: Rig, client: Client) -> None:
        ctx.emit(1)

    rig, _ = run(body)
    told = [[update.seq for update in one["updates"]] for one in rig.seen.of("update")]
    assert told == [[1, 2]]
