"""The small parts by themselves: framing, wheel, bucket, crew, guard, tokens, stamps."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamer_plugin_local import channel, feed, records, reload, transport
from streamer_plugin_local.async_worker import AsyncWorker
from streamer_plugin_local.bucket import Bucket
from streamer_plugin_local.channel import Questions, WorkerChannel
from streamer_plugin_local.client import Client, text_frame
from streamer_plugin_local.crew import Crew
from streamer_plugin_local.feed import disturbed
from streamer_plugin_local.handshake import refusal
from streamer_plugin_local.hub import Hub
from streamer_plugin_local.jobs import Job, Jobs
from streamer_plugin_local.origin import Guard, is_loopback
from streamer_plugin_local.process import WorkerProcess
from streamer_plugin_local.records import Kind, Record, Splitter
from streamer_plugin_local.reload import stamps
from streamer_plugin_local.secret import Secret
from streamer_plugin_local.settings import Faults, LocalSettings
from streamer_plugin_local.sync_worker import THREADS, SyncWorker
from streamer_plugin_local.testing import eventually
from streamer_plugin_local.wheel import Wheel
from websockets.frames import Frame, Opcode

from streamer_core.errors import StoreError, TransportError
from streamer_core.ports import Change, ChangeKind, Delivery, Feed

Ends = tuple[socket.socket, WorkerChannel]
RECORD = st.tuples(st.sampled_from(Kind), st.integers(0, 2**32 - 1), st.binary(max_size=300))


@given(st.lists(RECORD, max_size=20), st.integers(1, 50))
def test_records_come_whole_however_they_are_cut(
    given_records: list[tuple[Kind, int, bytes]], size: int
) -> None:
    data = b"".join(records.encode(kind, number, body) for kind, number, body in given_records)
    splitter = Splitter()

    got = [
        record for at in range(0, len(data), size) for record in splitter.feed(data[at : at + size])
    ]

    assert got == given_records


@given(st.binary(max_size=500), st.lists(st.binary(max_size=100), max_size=5))
def test_parts_are_found_again(first: bytes, rest: list[bytes]) -> None:
    body = records.short(first) + b"".join(map(records.long, rest))

    found, others = records.split_short(body)
    assert (found, records.split_long(others)) == (first, rest)


class Item:
    def __init__(self, *deadlines: float | None) -> None:
        self.slot: int | None = None
        self.next = list(deadlines)
        self.asked: list[float] = []

    def due(self, now: float) -> float | None:
        self.asked.append(now)
        return self.next.pop(0) if self.next else None


def test_the_wheel_asks_at_the_deadline_and_at_the_next() -> None:
    wheel, item = Wheel(1.0), Item(20.0)
    wheel.turn(0)
    wheel.put(item, 10.0)

    for now in range(1, 30):
        wheel.turn(now)

    assert item.asked == [11, 21]
    assert item.slot is None


def test_the_wheel_forgets_what_is_dropped_and_moves_what_is_put_again() -> None:
    wheel, dropped, moved = Wheel(1.0), Item(), Item()
    for item in (dropped, moved):
        wheel.put(item, 5)
    wheel.drop(dropped)
    wheel.drop(dropped)
    wheel.put(moved, 50)

    wheel.turn(49)
    assert (dropped.asked, moved.asked) == ([], [])
    wheel.turn(99)
    assert moved.asked == [99]


def test_a_bucket_lets_through_its_rate() -> None:
    bucket = Bucket(2, now=0)

    assert [bucket.take(0), bucket.take(0)] == [None, None]
    assert bucket.take(0) == 500
    assert bucket.take(0.6) is None
    assert [bucket.take(100), bucket.take(100), bucket.take(100)] == [None, None, 500]


class Holder:
    """A worker that only keeps what it is given."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.given: list[Kind] = []

    def give(self, job: Job) -> None:
        self.jobs.append(job)
        self.given.append(job.kind)


def test_a_handshake_takes_turns_with_the_messages_that_wait() -> None:
    jobs, holder = Jobs(window=1), Holder()
    jobs.workers = cast("list[WorkerProcess]", [holder])

    def wait(kind: Kind) -> None:
        jobs.put(Job(kind, (b"12345",), lambda _kind, _body: None))

    for kind in [Kind.MESSAGE] * 5 + [Kind.CONNECT] * 3:
        wait(kind)
    assert (len(jobs), jobs.waiting_bytes) == (7, 4 * 5)
    while holder.jobs:
        holder.jobs.clear()
        jobs.feed()

    message, connect = Kind.MESSAGE, Kind.CONNECT
    assert holder.given == [message, *[connect, message] * 3, message]
    assert (len(jobs), jobs.waiting_bytes) == (0, 0)


class Guest:
    """A client that only notes what it is told."""

    slot: int | None = None

    def __init__(self, connection_id: str) -> None:
        self.id = connection_id
        self.told: list[tuple[str, int]] = []

    def due(self, now: float) -> float:
        return now + 60

    def say_goodbye(self, reason: str, reconnect_after_ms: int) -> None:
        self.told.append((reason, reconnect_after_ms))


def test_who_comes_in_after_the_goodbye_to_all_is_told_too() -> None:
    async def drain() -> None:
        hub = Hub(LocalSettings(), Jobs(1))
        guests = [Guest("early"), Guest("late")]
        early, late = cast("list[Client]", guests)
        hub.join(early)
        hub.dismiss_all(7)
        hub.join(late)
        assert [guest.told for guest in guests] == [[("drain", 7)]] * 2

    asyncio.run(drain())


def test_a_crew_works_in_one_thread_while_work_is_quick() -> None:
    names: set[str] = set()
    left = [30]
    done = threading.Event()

    def turn() -> None:
        if not left[0]:
            done.wait()
            return
        crew.begin()
        names.add(threading.current_thread().name)
        left[0] -= 1
        crew.end()

    crew = Crew(turn, size=4, slow_s=60)
    crew.start()
    while left[0]:
        time.sleep(0.001)
    crew.stop()
    done.set()
    assert len(names) == 1


def test_a_crew_passes_the_baton_from_slow_work_until_nobody_is_free() -> None:
    changes: list[bool] = []
    full, let_go = threading.Event(), threading.Event()

    def changed(is_full: bool) -> None:
        changes.append(is_full)
        full.set()

    def turn() -> None:
        crew.begin()
        let_go.wait()
        crew.end()
        time.sleep(0.001)

    crew = Crew(turn, size=3, changed=changed, slow_s=0.005)
    crew.start()
    assert full.wait(5)
    assert crew.busy == 3
    crew.pass_on()  # this thread has no baton: nothing happens
    crew.stop()
    let_go.set()
    while crew.busy:
        time.sleep(0.001)
    assert changes[0] is True


def test_of_two_who_tell_of_a_crew_the_last_says_what_is() -> None:
    told: list[bool] = []
    told_free, let_go = threading.Event(), threading.Event()

    def changed(is_full: bool) -> None:
        let_go.set()  # so that the thread at work parks, and tells of it, while this one is told
        if is_full:
            told_free.wait(0.2)
        told.append(is_full)
        if not is_full:
            told_free.set()

    def turn() -> None:
        crew.begin()
        let_go.wait()
        if crew.end():
            with crew.waiting():
                done.wait()

    done = threading.Event()
    crew = Crew(turn, size=1, changed=changed, slow_s=0.005)
    crew.start()
    assert told_free.wait(5)
    eventually(lambda: not crew.busy)
    assert told[-1] is False
    crew.stop()
    done.set()


def test_a_crew_is_busy_from_its_waiting_to_its_waiting() -> None:
    steps, seen = threading.Semaphore(0), threading.Semaphore(0)
    busy: list[int] = []

    def look() -> None:
        busy.append(crew.busy)

    def turn() -> None:
        with crew.waiting():
            seen.release()
            assert steps.acquire(timeout=5)
        look()
        crew.begin()
        look()
        crew.end()
        look()

    crew = Crew(turn, size=2, slow_s=60)
    crew.start()
    assert seen.acquire(timeout=5)
    assert crew.busy == 0
    steps.release()
    assert seen.acquire(timeout=5)
    assert (busy, crew.busy) == ([1, 1, 1], 0)
    crew.stop()
    steps.release()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_crew_knows_when_a_thread_of_it_has_died() -> None:
    done = threading.Event()

    def turn() -> None:
        crew.begin()
        done.wait()
        raise MemoryError  # of which a thread may die without a word

    crew = Crew(turn, size=2, slow_s=60)
    crew.start()
    assert not crew.broken
    done.set()
    eventually(lambda: crew.broken)
    crew.stop()  # or the monitor gives the baton of the dead to another, who dies too


def test_a_crew_that_was_told_to_stop_is_not_broken() -> None:
    turns = threading.Semaphore(0)
    crew = Crew(turns.release, size=2)
    crew.start()
    assert turns.acquire(timeout=5)
    crew.stop()
    eventually(lambda: not crew.busy)
    assert not crew.broken


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("a.localhost", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("localhost.evil.com", False),
    ],
)
def test_loopback_is_this_machine(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_a_guard_lets_in_what_the_settings_name() -> None:
    local = LocalSettings(
        host="0.0.0.0",
        allowed_hosts=("gateway",),
        allowed_origins=("https://app.example.com",),
    )
    guard = Guard(local)

    assert guard.host_problem("gateway:80") is None
    assert guard.host_problem("192.168.0.7") is None  # an address is never rebound
    assert guard.host_problem("evil.com") is not None
    assert guard.origin_problem("https://app.example.com", "gateway") is None
    assert guard.origin_problem("https://gateway", "gateway:80") is None
    assert guard.origin_problem("http://localhost:3000", "gateway") is not None
    assert guard.console_origin_problem("http://gateway:80", "gateway:80") is None
    assert guard.console_origin_problem("http://gateway:81", "gateway:80") is not None


def test_a_refusal_rounds_the_wait_up() -> None:
    assert b"\r\nRetry-After: 2\r\n" in refusal(429, "X", "y", retry_after_ms=1001)


def test_a_secret_is_an_access_key_id() -> None:
    secret = Secret("abc-_1")

    assert secret.signed("AWS4-HMAC-SHA256 Credential=abc-_1/20260101/eu/execute-api/aws4_request")
    assert not secret.signed("AWS4-HMAC-SHA256 Credential=abc/20260101/eu")
    assert not secret.signed("Basic abc-_1")
    assert not secret.signed(None)
    assert Secret().text != Secret().text


def test_faults_of_the_feed() -> None:
    changes = [Change(kind=ChangeKind.DUE, ref=str(n)) for n in range(9)]

    assert disturbed(changes, Faults()) == changes
    twice = disturbed(changes, Faults(feed_duplicate=True, feed_reorder=True))
    assert len(twice) == 18
    assert set(twice) == set(changes)
    assert disturbed([], Faults(feed_delay=3_600_000)) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_feed_that_cannot_be_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_LOOK_S", 0.01)
    change = Change(kind=ChangeKind.DUE, ref="r")
    came = threading.Event()

    class Once(Feed):
        asked = 0

        def get(self, timeout_s: float) -> Sequence[Change]:
            self.asked += 1
            if self.asked == 1:
                raise StoreError("the disk failed")
            return [change] if self.asked == 2 else []

        def close(self) -> None: ...

    store = cast("Any", SimpleNamespace(open_feed=Once))
    reader = feed.FeedReader(store, lambda one: came.set() if one == change else None, Faults())
    reader.start()
    assert came.wait(5)
    reader.stop()


def test_process_isolation_has_one_slot() -> None:
    assert LocalSettings(isolation="process").slots == 1
    assert LocalSettings(async_concurrency=50, async_workers=3).slots == 17


def test_stamps_cover_the_neighbours_and_the_gone(tmp_path: Path) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    for path in (one, two):
        path.write_text("")

    found = stamps([str(one), str(tmp_path / "gone" / "x.py")])

    assert set(found) == {str(one), str(two), str(tmp_path / "gone" / "x.py")}
    assert found[str(tmp_path / "gone" / "x.py")] == 0


def test_a_file_that_is_watched_no_more_has_changed_only_if_it_has(tmp_path: Path) -> None:
    there, gone = tmp_path / "there.py", tmp_path / "gone.py"
    there.touch()
    seen = {**stamps([str(there)]), str(gone): 1}

    assert reload.changed(seen, {}) == [str(gone)]
    assert reload.changed({str(gone): 0}, {}) == []
    assert reload.changed(seen, {**seen, str(tmp_path / "new.py"): 2}) == []
    assert reload.changed(seen, {**seen, str(there): 2}) == [str(there)]


def test_a_change_while_the_last_one_is_taken_up_is_taken_up_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "LOOK_S", 0.001)
    source = tmp_path / "source.py"
    source.touch()
    seen: list[str] = []

    async def taken_up(names: list[str]) -> None:
        seen.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    async def change_twice() -> None:
        watching = asyncio.ensure_future(reload.Watcher(lambda: [str(source)], taken_up).run())
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            for n in (1, 2):
                os.utime(source, ns=(n, n))
                while seen.count("begun") < n:  # noqa: ASYNC110 - bounded
                    await asyncio.sleep(0.001)
        watching.cancel()
        await asyncio.wait([watching])

    asyncio.run(change_twice())
    assert seen == ["begun", "cancelled"] * 2


# -- the channel


class Lost(Exception):
    pass


def lose() -> None:
    raise Lost


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, WorkerChannel(theirs, lose)


def test_writers_share_system_calls_and_lose_nothing(ends: Ends) -> None:
    ours, worker = ends

    def write(number: int) -> None:
        for _ in range(200):
            worker.write(records.encode(Kind.SEND, number))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    splitter = Splitter()
    got: list[Record] = []
    while len(got) < 1600:
        got.extend(splitter.feed(ours.recv(65_536)))
    for thread in threads:
        thread.join()
    assert sorted(number for _, number, _ in got) == sorted(list(range(8)) * 200)


def test_a_channel_notices_that_the_gateway_is_gone(ends: Ends) -> None:
    ours, worker = ends
    assert not worker.gateway_gone()
    ours.close()
    assert worker.gateway_gone()
    with pytest.raises(Lost):
        worker.read()
    with pytest.raises(Lost):
        worker.write(records.encode(Kind.STATE, 0))


def test_a_process_that_cannot_write_any_more_ends() -> None:
    pid = os.fork()
    if pid == 0:
        unwritable: Any = 7  # as where there is no memory to join what waits
        WorkerChannel(socket.socketpair()[0], lose).write(unwritable)
        channel.leave(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == channel.EX_SOFTWARE


def test_an_answer_that_does_not_come_is_a_transport_error(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, worker = ends
    monkeypatch.setattr(channel, "_ANSWER_S", 0.01)
    questions = Questions(worker)

    with pytest.raises(TransportError):
        questions.ask(Kind.IS_OPEN)
    questions.answered(1, b"late")


def test_the_transport_of_a_worker(ends: Ends) -> None:
    ours, worker = ends
    questions = Questions(worker)
    sending = transport.ChannelTransport(questions, worker, 10)
    asked: list[tuple[int, bytes]] = []

    def gateway() -> None:
        splitter = Splitter()
        answers = {
            Kind.SEND: b"\x02",
            Kind.SEND_MANY: b'{"b": 1}',
            Kind.IS_OPEN: b"\x01",
        }
        while data := ours.recv(65_536):
            for kind, number, body in splitter.feed(data):
                asked.append((kind, body))
                if answer := answers.get(Kind(kind)):
                    questions.answered(number, answer)

    thread = threading.Thread(target=gateway)
    thread.start()
    assert sending.send("a", b"x") is Delivery.BUSY
    assert sending.send("a", b"x" * 11) is Delivery.TOO_LARGE
    assert sending.send_many(["a"], b"x") == {"a": Delivery.BUSY}
    assert sending.send_many(["a", "b"], b"x") == {"a": Delivery.DELIVERED, "b": Delivery.GONE}
    assert set(sending.send_many(["a", "b"], b"x" * 11).values()) == {Delivery.TOO_LARGE}
    assert sending.is_open("a")
    sending.close_connection("a", 1001, "bye")
    ours.shutdown(socket.SHUT_RDWR)
    thread.join()
    assert asked[-1][0] == Kind.CLOSE


def test_sweeps_do_not_pile_up_behind_a_slow_one(ends: Ends) -> None:
    ours, worker = ends
    sweeps: list[threading.Event] = []
    begun = threading.Semaphore(0)

    class App:
        def sweep(self) -> None:
            sweeps.append(threading.Event())
            begun.release()
            assert sweeps[-1].wait(5)

    sweeper = AsyncWorker(App(), worker, Questions(worker), slots=1)
    told = (Kind.SWEEP, 0, b"")
    for _ in range(10):
        sweeper._take(told)
    assert begun.acquire(timeout=5)
    sweeps[0].set()
    assert Splitter().feed(ours.recv(100)) == [(Kind.SWEPT, 0, b"null")]
    eventually(lambda: not sweeper.running())
    sweeper._take(told)
    assert begun.acquire(timeout=5)
    sweeps[1].set()
    ours.recv(100)
    assert len(sweeps) == 2


def test_answers_are_read_while_every_message_waits_for_one(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, worker = ends
    monkeypatch.setattr(channel, "_ANSWER_S", 5)
    questions = Questions(worker)
    all_there = threading.Barrier(THREADS)
    answers: list[bytes] = []

    class App:
        def disconnect(self, connection_id: str) -> None:
            all_there.wait()
            with suppress(TransportError):
                answers.append(questions.ask(Kind.IS_OPEN, connection_id.encode()))

    sync_worker = SyncWorker(App(), worker, questions)
    questions.before_waiting = sync_worker.about_to_block
    sync_worker.crew.start()
    leaving = b'{"connection_id": "a"}'
    ours.sendall(b"".join(records.encode(Kind.DISCONNECT, n, leaving) for n in range(THREADS)))
    splitter, answered = Splitter(), set[int]()
    while len(answered) < THREADS:
        for kind, number, _ in splitter.feed(ours.recv(65_536)):
            if kind == Kind.DONE:
                answered.add(number)
            else:
                ours.sendall(records.encode(Kind.RESULT, number, b"\x01"))
    assert answers == [b"\x01"] * THREADS
    _end_reading(sync_worker, ours)


def _end_reading(worker: SyncWorker, ours: socket.socket) -> None:
    """Have its reader end: one that finds its socket closed ends the process, which is this one."""
    worker.crew.stop()
    ours.sendall(records.encode(Kind.RESULT, 0))
    eventually(lambda: worker.crew._holder is None)


def test_a_worker_lives_while_it_gives_back_what_it_claimed(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, channel = ends
    steps: list[str] = []
    giving, may_give = threading.Event(), threading.Event()

    class App:
        def claim(self, at_most: int) -> list[object]:
            return [SimpleNamespace(action="quick")] * (at_most + 1)

        def execute(self, request: object) -> object:
            worker.control((Kind.RETIRE, 0, b"5"))
            return request

        def give_back(self, requests: list[object]) -> None:
            if requests:
                giving.set()
                assert may_give.wait(5)
                steps.append("gave back")

        def settle(self, those: list[object]) -> None: ...

        def zombies(self) -> int:
            return 0

        def drain(self, timeout_s: float) -> None: ...

        def close(self) -> None:
            steps.append("closed")

    worker = AsyncWorker(App(), channel, Questions(channel), slots=1)
    worker._usual.learn("quick", 0.0)
    monkeypatch.setattr(worker, "broken", lambda: False)  # though nobody reads
    worker.crew.start()
    worker._take((Kind.WAKE, 0, b""))
    assert giving.wait(5)
    ending = threading.Thread(target=worker._finish)
    ending.start()
    ending.join(0.1)
    assert steps == []
    may_give.set()
    ending.join(5)
    assert steps == ["gave back", "closed"]


class Ending:
    """An app of which only the end is of interest."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.stuck = 0

    def sweep(self) -> None: ...

    def give_back(self, requests: list[object]) -> None: ...

    def settle(self, those: list[object]) -> None: ...

    def zombies(self) -> int:
        return self.stuck

    def drain(self, timeout_s: float) -> None:
        self.steps.append("drained")

    def close(self) -> None:
        self.steps.append("closed")


def test_what_a_sync_worker_has_read_is_answered_before_it_drains(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, worker = ends
    let_go = threading.Event()

    class App(Ending):
        def disconnect(self, reason: str) -> None:
            assert let_go.wait(5)
            self.steps.append(reason)

    app = App()
    sync_worker = SyncWorker(app, worker, Questions(worker))
    monkeypatch.setattr(sync_worker, "broken", lambda: False)
    ours.sendall(
        records.encode(Kind.DISCONNECT, 1, b'{"reason": "left"}')
        + records.encode_json(Kind.RETIRE, 0, 5)
    )
    sync_worker.crew.start()
    eventually(lambda: sync_worker.retiring)
    ending = threading.Thread(target=sync_worker._finish)
    ending.start()
    ending.join(0.1)
    let_go.set()
    ending.join(5)
    _end_reading(sync_worker, ours)
    assert app.steps == ["left", "drained", "closed"]


def test_a_worker_that_is_replaced_may_be_told_to_drain(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, worker = ends
    running = [1]

    class App(Ending):
        def drain(self, timeout_s: float) -> None:
            super().drain(timeout_s)
            running[0] = 0

    app = App()
    async_worker = AsyncWorker(app, worker, Questions(worker), slots=1)
    monkeypatch.setattr(async_worker, "broken", lambda: False)
    monkeypatch.setattr(async_worker, "running", lambda: running[0])
    async_worker.control((Kind.RETIRE, 0, b"null"))
    ending = threading.Thread(target=async_worker._finish, daemon=True)
    ending.start()
    ending.join(0.05)
    assert app.steps == []
    async_worker.control((Kind.RETIRE, 0, b"5"))
    ending.join(5)
    assert app.steps == ["drained", "closed"]


def test_a_zombie_that_ends_while_it_is_counted_hides_no_work(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, worker = ends
    threads = ["zombie", "at work"]

    class App(Ending):
        def zombies(self) -> int:
            found = threads.count("zombie")
            threads.remove("zombie")
            return found

    async_worker = AsyncWorker(App(), worker, Questions(worker), slots=2)
    monkeypatch.setattr(async_worker, "running", lambda: len(threads))
    assert async_worker._live() == 1


def test_a_worker_that_swept_ends_after_it_has_said_so(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, worker = ends
    running: list[int] = []
    sweeper = AsyncWorker(Ending(), worker, Questions(worker), slots=1)
    monkeypatch.setattr(worker, "write", lambda _: running.append(sweeper.running()))
    sweeper._take((Kind.SWEEP, 0, b""))
    eventually(lambda: running)
    assert running == [1]


def test_what_is_left_to_another_thread_is_sent_before_the_end(ends: Ends) -> None:
    ours, worker = ends
    worker._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    long = records.encode(Kind.STATE, 1, b"x" * 1_000_000)
    sending = threading.Thread(target=worker.write, args=(long,))
    sending.start()
    eventually(lambda: worker._writing)
    worker.write(records.encode(Kind.STATE, 2))
    finishing = threading.Thread(target=worker.finish)
    finishing.start()
    assert finishing.is_alive()
    splitter, got = Splitter(), list[Record]()
    while len(got) < 2:
        got += splitter.feed(ours.recv(65_536))
    finishing.join(5)
    sending.join(5)
    assert [number for _, number, _ in got] == [1, 2]


def test_a_process_may_end_itself() -> None:
    pid = os.fork()
    if pid == 0:
        channel.leave(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_a_text_frame_is_what_the_library_makes_of_it(size: int) -> None:
    data = b"x" * size
    assert text_frame(data) == Frame(Opcode.TEXT, data).serialize(mask=False)
