"""Dead letters in every store."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from streamer_plugin_dlq import entry, handling, letters
from streamer_plugin_dlq.entry import REDRIVEN, Entry
from streamer_plugin_dlq.letters import Letters
from streamer_plugin_dlq.settings import DlqSettings
from streamer_plugin_dlq.wanted import Wanted

from streamer_core.errors import Conflict, StoreError
from streamer_core.model.codec import request_from_plain
from streamer_core.ports import Clock, Store
from streamer_core.testing import ManualClock, MemoryStore
from streamer_core.testing.contracts.build import race
from tests.unit.harness import Rig, interrupting

DAY_MS = 86_400_000
ANY = DlqSettings()
OpenStore = Callable[[Clock], Store]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def kept_in(store: Store) -> set[str]:
    """Give the kinds of values that are there."""
    return {key.split("/")[1] for key in store.values("dlq/")}


def test_a_large_one_is_kept_whole_and_forgotten_wholly(
    open_store: OpenStore, clock: ManualClock, failed: Any
) -> None:
    store = open_store(clock)
    its = Letters(store, clock, 30 * DAY_MS)
    text = 'ä🦆"\\' * 12_000
    request = failed(clock, payload={"text": text})
    letter = entry.of_request(request, ANY)
    assert its.keep(letter)
    assert not its.keep(letter)

    kept = its.find(request.ref)
    assert kept is not None
    assert kept == its.find(letter.entry.id)
    assert kept.entry == letter.entry
    again = request_from_plain(its.details(kept))
    assert (again.payload, again.failures) == (request.payload, request.failures)

    marked = its.mark(kept, REDRIVEN, redriven_as="f" * 32)
    assert list(its.all(Wanted())) == []
    assert list(its.all(Wanted(handled=True))) == [marked]
    with pytest.raises(Conflict):
        its.mark(kept, REDRIVEN)

    assert its.discard(request.ref)
    assert not its.discard(request.ref)
    assert not its.keep(letter), "it is not taken for one that was missed"
    assert kept_in(store) == {"entry"}
    assert "acme" not in str(store.values("dlq/"))
    clock.advance(30 * DAY_MS)
    assert kept_in(store) == set()
    store.close()


def test_the_list_has_pages(
    open_store: OpenStore, clock: ManualClock, failed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letters, "_PAGE", 2)
    store = open_store(clock)
    its = Letters(store, clock, 30 * DAY_MS)
    began = clock.now()
    for n in range(5):
        its.keep(entry.of_request(failed(clock, f"r-{n}", tenant=f"t{n % 2}"), ANY))
        clock.advance(1000)

    def ages(those: Iterable[Entry]) -> list[int]:
        return [(one.at - began) // 1000 for one in those]

    assert ages(its.all(Wanted())) == [4, 3, 2, 1, 0]
    within = Wanted(since=began + 1000, until=began + 3000)
    assert ages(its.all(within)) == [2, 1]
    first, cursor = its.page(Wanted(tenant="t0"), limit=2)
    rest, end = its.page(Wanted(tenant="t0"), limit=2, cursor=cursor)
    assert (ages(first), ages(rest), end) == ([4, 2], [0], None)
    store.close()


def test_whoever_keeps_it_at_once_keeps_it_once(
    open_store: OpenStore, clock: ManualClock, failed: Any
) -> None:
    stores = [open_store(clock) for _ in range(4)]
    letter = entry.of_request(failed(clock), ANY)
    those = [Letters(store, clock, DAY_MS) for store in stores]
    results = race(4, lambda n: those[n].keep(letter))
    assert sorted(map(bool, results)) == [False, False, False, True], results
    assert list(those[1].all(Wanted())) == [letter.entry]
    kept = those[2].find(letter.entry.id)
    assert kept is not None
    marked = race(4, lambda n: those[n].mark(kept, str(n)))
    (won,) = [one for one in marked if isinstance(one, entry.Entry)]
    assert list(those[3].all(Wanted(handled=True))) == [won]
    for store in stores:
        store.close()


@pytest.mark.parametrize("discarding", [True, False])
def test_somebody_else_deals_with_it_at_the_same_time(
    failed: Any, plugged: Any, discarding: bool
) -> None:
    """To discard wins over to redrive, whoever comes first; to redrive twice is to redrive once."""
    rig = Rig()
    its = plugged(rig).letters
    request = failed(rig.clock)
    its.keep(entry.of_request(request, ANY))
    rig.app.redrive_record(request)

    def other() -> None:
        kept = its.find(request.ref)
        assert handling.redrive(rig.app, its, kept).redriven_from == request.ref

    if discarding:
        with interrupting(rig.store, "put_value", other):
            assert its.discard(request.ref)
        assert list(its.all(Wanted(handled=True))) == []
    else:
        kept = its.find(request.ref)
        with interrupting(rig.store, "put_value", other):
            assert handling.redrive(rig.app, its, kept).redriven_from == request.ref
        (one,) = its.all(Wanted(handled=True))
        assert one.done == REDRIVEN


def test_filters(clock: ManualClock, failed: Any) -> None:
    its = Letters(MemoryStore(clock), clock, DAY_MS)
    for n in range(3):
        request = failed(clock, f"r-{n}", code=f"C{n % 2}", tenant=f"t{n % 2}", action=f"a{n % 2}")
        its.keep(entry.of_request(request, ANY))

    def count(**wanted: Any) -> int:
        return len(list(its.all(Wanted(**wanted))))

    assert count(tenant="t0") == count(action="a0") == count(code="C0") == 2
    assert count(kind="OSError", user="ann", source="request") == 3
    assert count(kind="KeyError") == count(user="bob") == count(source="queue") == 0
    assert count(since=clock.now()) == 3
    assert count(since=clock.now() + 1) == count(until=clock.now()) == 0
    assert its.page(Wanted(), limit=3)[1] is None


# -- in between two writes: on memory, where the moment can be chosen


@pytest.fixture
def store(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock)


@pytest.fixture
def its(store: MemoryStore, clock: ManualClock) -> Letters:
    return Letters(store, clock, DAY_MS)


@contextmanager
def dying(store: MemoryStore, verb: str, *, after: int) -> Iterator[None]:
    """Have a verb do so much, and then nothing more, as where its process ends."""
    original = getattr(store, verb)

    def some(*args: Any, **kwargs: Any) -> Any:
        nonlocal after
        if after == 0:
            raise StoreError("no disk")
        after -= 1
        return original(*args, **kwargs)

    setattr(store, verb, some)
    yield
    setattr(store, verb, original)


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_what_a_crash_leaves_is_written_over(
    its: Letters, store: MemoryStore, clock: ManualClock, failed: Any, writes: int
) -> None:
    letter = entry.of_request(failed(clock), ANY)
    with dying(store, "put_value", after=writes), pytest.raises(StoreError):
        its.keep(letter)
    assert its.find(letter.entry.id) is None
    assert its.keep(letter)
    assert list(its.all(Wanted())) == [letter.entry]


def test_one_that_was_discarded_meanwhile_stays_so(
    its: Letters, store: MemoryStore, clock: ManualClock, failed: Any
) -> None:
    letter = entry.of_request(failed(clock), ANY)
    other = Letters(MemoryStore(clock, store.data), clock, DAY_MS)

    def discarded() -> None:
        assert other.keep(letter)
        assert other.discard(letter.entry.id)

    with interrupting(store, "put_value", discarded):
        assert not its.keep(letter)
    assert list(its.all(Wanted(handled=True))) == []
    assert kept_in(store) == {"entry"}


def test_one_that_was_redriven_meanwhile_is_listed_so(
    its: Letters, store: MemoryStore, clock: ManualClock, failed: Any
) -> None:
    letter = entry.of_request(failed(clock), ANY)
    other = Letters(MemoryStore(clock, store.data), clock, DAY_MS)

    def redriven() -> None:
        assert other.keep(letter)
        kept = other.find(letter.entry.id)
        assert kept is not None
        other.mark(kept, REDRIVEN)

    with interrupting(store, "put_value", redriven):
        assert not its.keep(letter)
    assert list(its.all(Wanted())) == []
    assert [one.done for one in its.all(Wanted(handled=True))] == [REDRIVEN]


def test_one_that_is_discarded_while_it_is_marked_is_not_listed(
    its: Letters, store: MemoryStore, clock: ManualClock, failed: Any
) -> None:
    letter = entry.of_request(failed(clock), ANY)
    its.keep(letter)
    kept = its.find(letter.entry.id)
    assert kept is not None
    other = Letters(MemoryStore(clock, store.data), clock, DAY_MS)
    written = store.put_value

    def then_discard(*args: Any, **given: Any) -> int:
        version = written(*args, **given)
        store.put_value = written  # type: ignore[method-assign]
        assert other.discard(letter.entry.id)
        return version

    store.put_value = then_discard  # type: ignore[method-assign]
    its.mark(kept, REDRIVEN)
    assert list(its.all(Wanted(handled=True))) == []
    assert kept_in(store) == {"entry"}


def test_a_record_that_is_brought_twice_is_listed_once(
    its: Letters, store: MemoryStore, clock: ManualClock
) -> None:
    first = entry.of_record({"eventID": "e"}, "no", clock.now(), ANY)
    later = replace(first, entry=replace(first.entry, at=first.entry.at + 1))
    other = Letters(MemoryStore(clock, store.data), clock, DAY_MS)
    with interrupting(store, "put_value", lambda: other.keep(first)):
        assert not its.keep(later)
    assert list(its.all(Wanted())) == [first.entry]


@pytest.mark.parametrize("writes", [1, 2, 3])
def test_a_record_that_is_brought_again_after_a_crash_is_listed_once(
    its: Letters, store: MemoryStore, clock: ManualClock, writes: int
) -> None:
    record = {"eventID": "e"}
    with dying(store, "put_value", after=writes), pytest.raises(StoreError):
        its.keep(entry.of_record(record, "no", clock.now(), ANY))
    clock.advance(1000)
    assert its.keep(entry.of_record(record, "no", clock.now(), ANY))
    (listed,) = its.all(Wanted())
    kept = its.find(listed.id)
    assert kept is not None
    assert kept.entry == listed
    assert its.discard(listed.id)
    assert list(its.all(Wanted(handled=True))) == []
    assert kept_in(store) == {"entry"}


@pytest.mark.parametrize("deleted", [0, 1])
def test_one_whose_discarding_ended_in_between_can_be_discarded(
    its: Letters, store: MemoryStore, clock: ManualClock, failed: Any, deleted: int
) -> None:
    its.keep(entry.of_request(failed(clock), ANY))
    (listed,) = its.all(Wanted())
    with dying(store, "delete_value", after=deleted), pytest.raises(StoreError):
        its.discard(listed.id)
    its.discard(listed.id)
    assert list(its.all(Wanted(handled=True))) == []
    assert kept_in(store) == {"entry"}


def test_one_that_is_too_old_is_not_kept(its: Letters, clock: ManualClock, failed: Any) -> None:
    letter = entry.of_request(failed(clock), ANY)
    clock.advance(DAY_MS)
    assert not its.keep(letter)


def test_a_ref_names_its_newest_dead_letter(its: Letters, clock: ManualClock, failed: Any) -> None:
    made = []
    for _ in range(2):
        made.append(entry.of_request(failed(clock), ANY))
        its.keep(made[-1])
        clock.advance(1000)
    ref = made[0].entry.ref
    assert [kept.entry for kept in [its.find(ref)] if kept] == [made[1].entry]
    its.discard(ref)
    assert [kept.entry for kept in [its.find(ref)] if kept] == [made[0].entry]


def test_one_that_is_discarded_while_it_is_read(
    its: Letters, clock: ManualClock, failed: Any
) -> None:
    letter = entry.of_request(failed(clock), ANY)
    its.keep(letter)
    kept = its.find(letter.entry.id)
    assert kept is not None
    its.discard(letter.entry.id)
    assert its.details(kept) is None
