"""One circuit, by a clock held by hand: closed, open, half-open, and what counts."""

import json
import threading
from typing import Any

import pytest

from streamer_core import Reject
from streamer_core.context import ContinueLater, Stopped
from streamer_core.errors import CircuitOpen, Invalid, LostLease, StoreError, Unavailable
from streamer_core.model.ids import tenant_of
from streamer_core.testing import MemoryStore


def refused(process: Any) -> CircuitOpen:
    with pytest.raises(CircuitOpen) as caught, process.guard():
        pytest.fail("it let a call through")
    return caught.value


# -- closed


def test_it_opens_at_the_rate_and_not_before(processes: Any) -> None:
    process = processes.start(minimum_calls=10, failure_rate=0.3)
    assert process.uses(7) == 7
    assert process.uses(2, fails=True) == 2
    assert process.uses(1) == 1
    assert process.use(), "2 of 10 are too few"
    processes.clock.advance(1000)
    assert process.uses(3, fails=True) == 2, "4 of 13 are more than 30 %"
    assert process.seen.changes == [("ledger", "closed", "open")]
    measured = [one for one in process.seen.metrics if one[0] == "circuitbreaker.changed"]
    assert measured == [("circuitbreaker.changed", {"circuit": "ledger", "state": "open"})]


def test_exactly_the_rate_opens(processes: Any) -> None:
    process = processes.start(minimum_calls=30, failure_rate=0.1)
    assert process.uses(27) == 27
    assert process.uses(3, fails=True) == 3
    assert not process.use()


def test_with_fewer_calls_than_the_minimum_it_stays_closed(processes: Any) -> None:
    process = processes.start(minimum_calls=10)
    assert process.uses(9, fails=True) == 9
    assert process.use()
    processes.clock.advance(30_000)
    assert process.uses(9, fails=True) == 9, "those before have left the window"
    assert process.phase == "closed"


def test_slow_calls_open_it_too(processes: Any) -> None:
    process = processes.start(minimum_calls=4, slow_after="2s", slow_rate=0.5)
    for took_ms in (2000, 2000, 2001):
        with process.guard():
            processes.clock.advance(took_ms)
    assert process.use(), "1 of 3 was slow: one that takes just as long is not"
    for _ in range(2):
        with process.guard():
            processes.clock.advance(3000)
    assert not process.use(), "3 of 6 were slow"
    assert process.row()["why"] == "slow"


def test_a_call_that_hangs_is_slow_before_it_ends(processes: Any) -> None:
    process = processes.start(minimum_calls=3, slow_after="2s", slow_rate=1.0)
    hanging = [process.guard() for _ in range(3)]
    for guard in hanging:
        guard.__enter__()
    processes.clock.advance(2001)
    assert not process.use()
    for guard in hanging:
        guard.__exit__(None, None, None)
    assert process.row()["calls"] == "3", "each is counted once"


def test_a_call_that_outlives_its_request_has_failed(processes: Any) -> None:
    process = processes.start(minimum_calls=2)
    for _ in range(2):
        guard = process.circuit().guard(processes.clock.now() + 1000)
        guard.__enter__()
        processes.clock.advance(1000)
        guard.__exit__(None, None, None)
    assert not process.use()
    assert process.row()["failed"] == "100 %"


def test_a_failure_is_counted_once_however_it_is_found_out(processes: Any) -> None:
    process = processes.start(minimum_calls=10, slow_after="1s")
    guard = process.guard()
    guard.__enter__()
    processes.clock.advance(1500)
    assert process.use()  # which finds the other slow
    guard.__exit__(OSError, OSError(), None)
    processes.clock.advance(1000)
    assert process.use()
    row = process.row()
    assert (row["calls"], row["failed"], row["slow"]) == ("2", "50 %", "50 %")


# -- what counts


class DiskFull(OSError):
    """An error of an application."""


ENDS = [
    (OSError(), {}, True),
    (DiskFull(), {}, True),
    (DiskFull(), {"errors": ["OSError"]}, True),
    (DiskFull(), {"errors": ["builtins.OSError"]}, True),
    (json.JSONDecodeError("", "", 0), {"errors": ["json.decoder.JSONDecodeError"]}, True),
    (OSError(), {"errors": ["DiskFull"]}, False),
    (DiskFull(), {"ignored_errors": ["DiskFull"]}, False),
    (OSError(), {"ignored_errors": ["DiskFull"]}, True),
    (TimeoutError(), {"errors": ["DiskFull"]}, True),
    (TimeoutError(), {"ignored_errors": ["TimeoutError"]}, False),
    (Reject("a.b", "no"), {}, False),
    (Reject("a.b", "no"), {"errors": ["Reject"]}, False),
    (Invalid("no"), {}, False),
    (Unavailable("no"), {}, False),
    (CircuitOpen("another"), {}, False),
    (LostLease("elsewhere"), {}, False),
    (Stopped("cancel"), {}, False),
    (ContinueLater(None, 0), {}, False),
    (KeyboardInterrupt(), {}, False),
]


@pytest.mark.parametrize(("error", "section", "counts"), ENDS, ids=repr)
def test_which_ends_are_failures(
    processes: Any, error: BaseException, section: dict[str, Any], counts: bool
) -> None:
    process = processes.start(minimum_calls=1, failure_rate=1.0, **section)
    with pytest.raises(type(error)), process.guard():
        raise error
    assert process.use() != counts
    if not counts:
        processes.clock.advance(3000)
        process.use()
        assert process.row()["calls"] == "1", "an end that does not count is no call"


# -- its gauge


def test_its_state_is_measured_once_an_interval_and_when_it_changes(processes: Any) -> None:
    process = processes.start(minimum_calls=1, failure_rate=0.001, open_for="40s", probes=2)
    states = process.seen.states
    process.uses(50)
    processes.clock.advance(999)
    process.uses(50)
    assert states == [("ledger", 0)]
    processes.clock.advance(1)
    process.uses(50)
    assert states == [("ledger", 0)] * 2
    process.use(fails=True)
    assert process.uses(50) == 0
    assert states[2:] == [("ledger", 2)]
    processes.clock.advance(1000)
    assert process.uses(50) == 0
    assert states[3:] == [("ledger", 2)], "as long as somebody asks"
    processes.clock.advance(40_000)
    process.uses(2)
    assert states[4:] == [("ledger", 1), ("ledger", 0)]


def test_each_process_measures_what_it_reads(processes: Any) -> None:
    one, other = processes.start(minimum_calls=1), processes.start(minimum_calls=1)
    other.use()
    one.use(fails=True)
    other.use()
    assert other.seen.states == [("ledger", 0)]
    processes.clock.advance(1000)
    other.use()
    assert other.seen.states == [("ledger", 0), ("ledger", 2)]


# -- open


def test_an_open_one_says_when_to_come_back(processes: Any) -> None:
    process = processes.start(minimum_calls=1, open_for="40s")
    process.use(fails=True)
    waits = [refused(process).retry_after_ms or 0 for _ in range(50)]
    assert min(waits) >= 40_000
    assert max(waits) <= 44_000, "a tenth more, so that not all come at once"
    assert len(set(waits)) > 10
    assert process.seen.metrics[-1] == ("circuitbreaker.refused", {"circuit": "ledger"})
    processes.clock.advance(39_999)
    assert 1 <= (refused(process).retry_after_ms or 0) <= 4001


def test_what_began_before_it_opened_counts_no_more(processes: Any) -> None:
    process = processes.start(minimum_calls=2, probes=1)
    late = [process.guard() for _ in range(5)]
    for guard in late:
        guard.__enter__()
    process.uses(2, fails=True)
    assert not process.use()
    processes.clock.advance(30_000)
    assert process.use(), "it is closed by its one probe"
    for guard in late:
        guard.__exit__(OSError, OSError(), None)
    assert process.uses(3) == 3
    assert process.phase == "closed"


# -- half-open


def opened(processes: Any, **section: Any) -> Any:
    process = processes.start(**{"minimum_calls": 1, **section})
    process.use(fails=True)
    processes.clock.advance(30_000)
    return process


def test_so_many_probes_at_once(processes: Any) -> None:
    process = opened(processes, probes=2)
    other = processes.start(minimum_calls=1, probes=2)
    first, second = process.guard(), other.guard()
    first.__enter__()
    second.__enter__()
    for one in (process, other):
        assert 1000 <= (refused(one).retry_after_ms or 0) <= 4000
    first.__exit__(None, None, None)
    assert process.phase == "half_open"
    assert not process.circuit()._gathered._running, "probes are not among them"
    second.__exit__(None, None, None)
    assert process.phase == "closed"
    assert process.use()
    assert process.row()["calls"] in {"", "0"}, "it counts anew"


def test_a_probe_that_fails_opens_it_again(processes: Any) -> None:
    process = opened(processes, probes=2)
    with process.guard():
        assert process.use(fails=True), "the second probe"
    assert process.row()["why"] == "probe"
    assert not process.use()
    assert process.seen.changes == [
        ("ledger", "closed", "open"),
        ("ledger", "open", "half_open"),
        ("ledger", "half_open", "open"),
    ]


def test_a_slow_probe_has_failed(processes: Any) -> None:
    process = opened(processes, slow_after="1s")
    with process.guard():
        processes.clock.advance(1001)
    assert process.phase == "open"


def test_a_probe_that_says_nothing_makes_room_for_another(processes: Any) -> None:
    process = opened(processes, probes=1)
    with pytest.raises(Reject), process.guard():
        raise Reject("a.b", "no")
    assert process.phase == "half_open"
    assert process.use()
    assert process.phase == "closed"


def test_a_probe_nobody_hears_of_again_lapses(processes: Any) -> None:
    process = opened(processes, probes=1, probe_lapse="60s")
    process.guard().__enter__()  # and its process is gone
    other = processes.start(minimum_calls=1, probes=1)
    processes.clock.advance(59_999)
    refused(other)
    processes.clock.advance(1)
    assert other.use()
    assert other.phase == "closed"


def test_a_lapsed_probe_may_still_say_how_it_went(processes: Any) -> None:
    process = opened(processes, probes=1)
    late = process.guard()
    late.__enter__()
    processes.clock.advance(60_000)
    second = process.guard()
    second.__enter__()
    late.__exit__(OSError, OSError(), None)
    assert process.phase == "open"
    processes.clock.advance(30_000)
    third = process.guard()
    third.__enter__()
    second.__exit__(None, None, None)
    assert process.phase == "half_open", "a probe of an earlier round changes nothing"
    third.__exit__(None, None, None)
    assert process.phase == "closed"


# -- clocks


def test_of_clocks_that_agree_within_a_tenth_of_the_window_it_is_open_for_all(
    processes: Any,
) -> None:
    process = processes.start(minimum_calls=1)
    process.use(fails=True)
    processes.clock.set_now(processes.clock.now() - 3000)
    assert 30_000 <= (refused(processes.start()).retry_after_ms or 0) <= 33_000


def test_a_clock_that_was_set_back_keeps_it_open_for_no_longer(processes: Any) -> None:
    process = processes.start(minimum_calls=1)
    process.use(fails=True)
    processes.clock.set_now(processes.clock.now() - 7_200_000)
    for one in (process, processes.start(probes=1)):
        assert one.use()
    assert process.phase == "closed"


def test_a_clock_that_was_set_back_lets_a_lost_probe_lapse(processes: Any) -> None:
    opened(processes, probes=1).guard().__enter__()
    processes.clock.set_now(processes.clock.now() - 7_200_000)
    other = processes.start(probes=1)
    assert other.use()
    assert other.phase == "closed"


# -- by hand


def test_by_hand_it_stays_open(processes: Any) -> None:
    process = processes.start()
    circuits = process.plugin.circuits
    circuits.switch("ledger", lambda state, now: state.opened_by_hand(now))
    assert (refused(process).retry_after_ms or 0) >= 30_000
    for _ in range(5):
        processes.clock.advance(86_400_000)
        refused(process)
    circuits.switch("ledger", lambda state, now: state.closed(now))
    refused(process)  # it looks each interval
    processes.clock.advance(1000)
    assert process.use()


# -- the store


class CountingStore(MemoryStore):
    """Counts what is asked of it."""

    reads = writes = 0

    def get_value(self, key: str) -> Any:
        self.reads += 1
        return super().get_value(key)

    def put_value(self, *given: Any, **more: Any) -> int:
        self.writes += 1
        return super().put_value(*given, **more)


def test_a_closed_circuit_asks_the_store_once_each_interval(processes: Any) -> None:
    process = processes.start()
    process.app.store = store = CountingStore(processes.clock, processes.store.data)
    for _ in range(600):  # one minute
        process.uses(5)
        processes.clock.advance(100)
    assert (store.reads, store.writes) == (60, 20), "what went well is written each 3 s"


def test_of_many_failures_one_is_written_each_interval(processes: Any) -> None:
    process = processes.start(failure_rate=0.5)
    process.app.store = store = CountingStore(processes.clock, processes.store.data)
    for _ in range(100):  # ten seconds
        process.uses(6)
        process.uses(4, fails=True)
        processes.clock.advance(100)
    assert store.reads <= 22
    assert store.writes <= 21


def test_many_processes_that_see_little_open_it_together(processes: Any) -> None:
    """Fifty workers, a call every ten seconds each, and four of five fail."""
    workers = [processes.start() for _ in range(50)]
    for worker in workers[:25]:
        processes.clock.advance(200)
        worker.use(fails=bool(workers.index(worker) % 5))
    processes.clock.advance(1000)
    assert not any(worker.use() for worker in workers)
    told = [change for worker in workers for change in worker.seen.changes]
    assert told == [("ledger", "closed", "open")]


def test_one_process_in_trouble_does_not_open_it_for_all(processes: Any) -> None:
    sound, sick = processes.start(), processes.start()
    for _ in range(5):
        processes.clock.advance(1000)
        assert sound.uses(20) == 20
    for _ in range(3):
        assert sick.uses(10, fails=True) == 10, "30 of 130"
        assert sound.use()
        processes.clock.advance(1000)


def test_in_trouble_what_went_well_is_written_sooner(processes: Any) -> None:
    sound, sick = processes.start(), processes.start()
    assert sound.uses(20) == 20
    processes.clock.advance(1000)
    assert sound.uses(100) == 100, "which it would write in 3 s"
    processes.clock.advance(500)
    assert sick.uses(15, fails=True) == 15
    processes.clock.advance(500)
    assert sound.use()
    processes.clock.advance(500)
    assert sick.uses(15, fails=True) == 15, "30 of 150"


def test_a_store_that_fails_lets_calls_pass(processes: Any) -> None:
    process = processes.start(minimum_calls=60)
    faults = process.store.faults
    faults.fail_next("get_value", StoreError("gone"), times=1000)
    assert process.uses(59, fails=True) == 59
    processes.clock.advance(1000)
    assert process.uses(1, fails=True) == 1
    faults.clear()
    processes.clock.advance(1000)
    assert process.uses(50, fails=True) == 0, "what was seen meanwhile is not forgotten"


def test_a_store_that_fails_is_asked_once_each_interval(processes: Any) -> None:
    process = processes.start(minimum_calls=5)
    process.app.store = store = CountingStore(processes.clock, processes.store.data)
    store.faults.fail_next("get_value", StoreError("gone"), times=1000)
    for _ in range(100):
        process.use(fails=True)
        processes.clock.advance(100)
    assert store.reads <= 11


def test_the_ends_of_events_do_not_ask_a_store_that_fails_more_often(processes: Any) -> None:
    """On Lambda each is flushed, and each would wait until the store has given up."""
    process = processes.start()
    process.app.store = store = CountingStore(processes.clock, processes.store.data)
    store.faults.fail_next("get_value", StoreError("gone"), times=1000)
    for _ in range(10):
        process.use(fails=True)
        process.plugin.streamer_on_flush()
    assert store.reads == 1
    store.faults.clear()
    processes.clock.advance(1000)
    process.plugin.streamer_on_flush()
    assert process.row()["calls"] == "10", "what was seen meanwhile is not forgotten"


def test_what_was_known_stands_while_the_store_fails(processes: Any) -> None:
    process = processes.start(minimum_calls=1)
    process.use(fails=True)
    process.store.faults.fail_next("get_value", StoreError("gone"), times=1000)
    processes.clock.advance(29_999)
    refused(process)
    processes.clock.advance(1000)
    process.app.store = store = CountingStore(processes.clock, processes.store.data)
    store.faults.fail_next("get_value", StoreError("gone"), times=1000)
    assert process.uses(10) == 10, "nobody knows: let them pass"
    assert store.reads == 1, "it is asked each interval"
    processes.clock.advance(1000)
    store.faults.clear()
    assert process.uses(3) == 3
    assert process.phase == "closed"


def test_a_write_whose_answer_was_lost_is_told_of_once(processes: Any) -> None:
    process = processes.start(minimum_calls=1)
    process.store.faults.fail_next("put_value", StoreError("lost"), after=True)
    process.use(fails=True)
    assert process.seen.changes == []
    processes.clock.advance(1000)
    refused(process)
    assert process.seen.changes == [("ledger", "closed", "open")]


def test_a_write_that_did_not_take_place_is_not_told_of(processes: Any) -> None:
    process = processes.start(minimum_calls=1)
    process.store.faults.fail_next("put_value", StoreError("lost"))
    process.use(fails=True)
    processes.clock.advance(60_000)
    assert process.use()
    assert process.seen.changes == []


def test_a_clock_set_back_does_not_blind_it(processes: Any) -> None:
    process = processes.start(minimum_calls=1)
    process.use()
    other = processes.start(minimum_calls=1)
    processes.clock.set_now(processes.clock.now() - 3_600_000)
    other.use(fails=True)
    assert not process.use(), "it looked again"


def test_a_flush_writes_what_a_frozen_process_would_keep(processes: Any) -> None:
    process = processes.start()
    process.use(fails=True)
    process.uses(3, fails=True)  # within the interval: gathered
    assert process.row()["calls"] == "1"
    process.app.flush()
    assert process.row()["calls"] == "4"
    process.app.store = store = CountingStore(processes.clock, processes.store.data)
    process.uses(3)
    process.app.flush()
    assert (store.reads, store.writes) == (0, 0), "what went well can wait"
    processes.clock.advance(3000)
    process.app.flush()
    assert process.row()["calls"] == "7"


# -- threads


def test_threads_of_one_process_probe_no_more_than_they_may(processes: Any) -> None:
    process = opened(processes, probes=2)
    barrier, done = threading.Barrier(8), threading.Event()
    outcomes: list[bool] = []

    def probe() -> None:
        guard = process.guard()
        barrier.wait(10)
        try:
            guard.__enter__()
        except CircuitOpen:
            outcomes.append(False)
            return
        outcomes.append(True)
        done.wait(10)
        guard.__exit__(None, None, None)

    threads = [threading.Thread(target=probe) for _ in range(8)]
    for thread in threads:
        thread.start()
    while len(outcomes) < 8:
        threading.Event().wait(0.001)
    done.set()
    for thread in threads:
        thread.join(10)
    assert 1 <= sum(outcomes) <= 2


def test_threads_count_every_call(processes: Any) -> None:
    process = processes.start(minimum_calls=10_000)
    threads = [threading.Thread(target=process.uses, args=[500]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    processes.clock.advance(3000)
    process.app.flush()
    assert process.row()["calls"] == "2000"


def test_an_open_circuit_is_not_forgotten_and_a_closed_one_is(processes: Any) -> None:
    process = processes.start(minimum_calls=1, probes=1)
    process.use(fails=True)
    processes.clock.advance(30 * 86_400_000)
    assert process.phase == "open"
    assert process.use()
    assert process.phase == "closed"
    processes.clock.advance(86_400_000)
    assert process.plugin.circuits.rows() == []
    assert process.use(fails=True), "and it begins anew"
    assert process.seen.changes[-1] == ("ledger", "closed", "open")


def test_all_circuits_are_listed(processes: Any) -> None:
    """Also where there are more than the store lists at once."""
    process = processes.start()
    process.use()
    process.app.flush()
    kept = process.store.get_value("circuit/of/ledger")
    for n in range(1_001):
        process.store.put_value(f"circuit/of/host-{n}", kept.data)
    assert len(process.plugin.circuits.rows()) == 1_002


@pytest.mark.parametrize("name", ["0", "4/acme", "4/acme/x"])
def test_no_circuit_is_taken_for_a_tenants(processes: Any, name: str) -> None:
    process = processes.start()
    process.use(fails=True, name=name)
    (key,) = process.store.values("")
    assert tenant_of(key) is None
    assert process.row(name)["calls"] == "1"


def test_health_names_those_that_are_not_closed(processes: Any) -> None:
    process = processes.start(minimum_calls=1, probes=1)

    def told() -> tuple[str, str]:
        (store, circuits) = process.app.health()
        assert (store.status, circuits.name) == ("ok", "circuits")
        processes.clock.advance(1000)  # an answer is good for a second
        return circuits.status, circuits.detail

    assert told() == ("ok", "0 closed")
    process.use(fails=True)
    process.use(name="mail")
    process.app.flush()
    assert told() == ("degraded", "ledger open")
    processes.clock.advance(30_000)
    probing = process.guard()
    probing.__enter__()
    assert told() == ("degraded", "ledger half_open")
    probing.__exit__(None, None, None)
    assert told() == ("ok", "2 closed")


def test_health_is_no_worse_than_degraded_where_the_store_fails(processes: Any) -> None:
    process = processes.start()
    process.app.store = UnlistedStore(processes.clock)
    (_, circuits) = process.app.health()
    assert (circuits.status, circuits.detail) == ("degraded", "the circuits cannot be read")


class UnlistedStore(MemoryStore):
    def values(self, prefix: str, limit: int = 1000, *, after: str | None = None) -> Any:
        raise StoreError("a secret of the house")


def test_of_threads_that_fail_together_one_writes_for_all(processes: Any) -> None:
    process = processes.start(minimum_calls=1000)
    store = SlowStore(processes.clock, processes.store.data)
    process.app.store = store
    threads = [threading.Thread(target=process.use, kwargs={"fails": True}) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert store.writes <= 2
    assert store.reads <= 2
    process.app.flush()
    assert process.row()["calls"] == "8"


class SlowStore(CountingStore):
    """Lets other threads come first."""

    def get_value(self, key: str) -> Any:
        threading.Event().wait(0.05)
        return super().get_value(key)
