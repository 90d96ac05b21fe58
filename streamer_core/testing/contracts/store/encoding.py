"""What goes in comes out, and nothing of it is shared."""

import contextlib
from dataclasses import replace
from typing import Any

import pytest

from streamer_core.errors import ItemTooLarge
from streamer_core.model.counter import Count
from streamer_core.model.message import Priority
from streamer_core.model.policy import Policy, Slot
from streamer_core.model.request import Failure, Request, Snapshot
from streamer_core.ports import Query, Store
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import DAY_MS, a_chunk, a_request, an_end
from streamer_core.testing.contracts.store.base import (
    StoreRules,
    claimed,
    completed,
    running,
    stored,
)


def _deep(levels: int) -> Any:
    value: Any = "bottom"
    for level in range(levels):
        value = {"down": value} if level % 2 else [value]
    return value


JSON: dict[str, Any] = {
    "text": "ä\u0308🦆\u2028\u0000\x1b'\"\\ end",
    "lone surrogates": ["\ud83e", "\udd86", "a\udfffb"],
    "large integers": [2**53 + 1, 2**63, -(2**70), 10**40],
    "floats": [0.1, -0.0, 1e308, 5e-324, 1.0],
    "empty": [{}, [], "", None, False, 0],
    "deep": _deep(100),
    "keys": {"": 1, " ": 2, "ä": 3, "\ud800": 4, "$": 5, "a.b": 6},
    "like a number": ["1", "1.0", "true", "null"],
}


class EncodingRules(StoreRules):
    """Rules about the round trip of data."""

    @pytest.mark.parametrize("name", JSON)
    def test_any_json_comes_back(self, store: Store, clock: ManualClock, name: str) -> None:
        """As payload, update, checkpoint, progress, outcome, failure's details and value."""
        data = JSON[name]
        held = running(store, payload={"data": data})
        snapshot = Snapshot(percentage=0.5, metadata={"data": data})
        chunks = [a_chunk(clock, data)]
        store.append(held.ref, chunks, fence=held.fence, checkpoint=data, progress=snapshot)
        failure = Failure(attempt=1, code="a.b", message="x", details=data)
        store.requeue(held.ref, fence=held.fence, due_at=clock.now(), spend=True, failure=failure)
        again = claimed(store, held.ref)
        store.put_value("key", data)
        kept = stored(store, held.ref)
        (update,) = store.updates(held.ref)
        value = store.get_value("key")
        assert value is not None
        assert kept.progress is not None
        assert kept.progress.metadata is not None
        seen = [again.payload["data"], kept.payload["data"], update.body["data"], kept.checkpoint]
        seen += [kept.progress.metadata["data"], kept.failures[0].details, value.data]
        assert [repr(one) for one in seen] == [repr(data)] * 7, "types count, 1 is not 1.0"
        store.finish(
            held.ref,
            kept.status.COMPLETED,
            [an_end(clock, data)],
            fence=again.fence,
            expires_at=clock.now() + DAY_MS,
        )
        outcome = stored(store, held.ref).outcome
        assert outcome is not None
        assert repr(outcome["result"]) == repr(data)

    def test_every_field_comes_back(self, store: Store, clock: ManualClock) -> None:
        """From enqueue, get, query and claim alike, unknown fields of newer code included."""
        request = _full(clock)
        assert store.enqueue(request).request == request
        assert stored(store, request.ref) == request
        assert store.query(Query(tenant=request.tenant)).items == (request,)
        again = claimed(store, request.ref)
        assert again.extra == request.extra
        assert again.policy == request.policy
        completed(store, again)
        assert stored(store, request.ref).extra == request.extra

    @pytest.mark.parametrize("text", ["ä🦆", "O'Brien; --", "a/b#c|d", "%_*", "A" * 200])
    def test_names_are_any_text(self, store: Store, clock: ManualClock, text: str) -> None:
        """Tenant, user, action, worker and slot keys."""
        slots = (Slot(key=text, at_most=1),)
        given = a_request(clock, tenant=text, user=text, action=text, slots=slots)
        store.enqueue(given)
        lease_until = clock.now() + DAY_MS
        (request,) = store.claim_next([Priority.NORMAL], worker=text, lease_until=lease_until)
        assert (request.tenant, request.user, request.worker) == (text, text, text)
        page = store.query(Query(tenant=text, user=text, action=text))
        assert [r.ref for r in page.items] == [given.ref]

    def test_names_are_compared_letter_by_letter(self, store: Store, clock: ManualClock) -> None:
        """Case and trailing spaces tell tenants apart."""
        for tenant in ("acme", "Acme", "acme "):
            store.enqueue(a_request(clock, tenant=tenant))
        assert len(store.query(Query(tenant="acme")).items) == 1

    def test_nothing_given_is_shared(self, store: Store, clock: ManualClock) -> None:
        """A caller that changes what it passed changes nothing stored."""
        payload, data = {"list": [1]}, {"list": [1]}
        held = running(store, payload=payload)
        store.append(held.ref, [a_chunk(clock, data)], fence=held.fence, checkpoint=data)
        store.put_value("key", data)
        payload["list"].append(2)
        data["list"].append(2)
        kept, value = stored(store, held.ref), store.get_value("key")
        assert value is not None
        assert [kept.payload, kept.checkpoint, value.data] == [{"list": [1]}] * 3
        assert store.updates(held.ref)[0].body["data"] == {"list": [1]}

    def test_nothing_returned_is_shared(self, store: Store, clock: ManualClock) -> None:
        """A caller that changes what it got changes nothing stored."""
        held = running(store, payload={"list": [1]})
        store.append(held.ref, [a_chunk(clock, [1])], fence=held.fence, checkpoint=[1])
        store.put_value("key", [1])
        for _ in range(2):
            kept, value = stored(store, held.ref), store.get_value("key")
            update = store.updates(held.ref)[0]
            assert value is not None
            lists = [kept.payload["list"], kept.checkpoint, update.body["data"], value.data]
            assert lists == [[1]] * 4
            for one in lists:
                one.append(2)

    def test_what_json_cannot_hold_is_refused_whole(self, store: Store, clock: ManualClock) -> None:
        """TypeError or ValueError, and nothing is written."""
        held = running(store)
        for wrong in (object(), float("nan"), {1, 2}):
            with pytest.raises((TypeError, ValueError)):
                store.append(held.ref, [a_chunk(clock), a_chunk(clock, wrong)], fence=held.fence)
            with pytest.raises((TypeError, ValueError)):
                store.append(held.ref, [a_chunk(clock)], fence=held.fence, checkpoint=wrong)
            with pytest.raises((TypeError, ValueError)):
                store.enqueue(a_request(clock, "wrong", payload={"data": wrong}))
            with pytest.raises((TypeError, ValueError)):
                store.put_value("key", wrong)
        assert stored(store, held.ref) == held
        assert list(store.updates(held.ref)) == []
        assert store.get(a_request(clock, "wrong").ref) is None
        assert store.get_value("key") is None


class SizeRules(StoreRules):
    """Rules about items that are too large, for stores that declare `max_item_bytes`."""

    @pytest.fixture
    def too_long(self) -> str:
        """Give a text that the store cannot hold."""
        if self.max_item_bytes is None:
            pytest.skip("the store declares no max_item_bytes")
        return "x" * (self.max_item_bytes + 1)

    def test_a_record_too_large_is_refused(
        self, store: Store, clock: ManualClock, too_long: str
    ) -> None:
        """Neither it nor its counts are stored."""
        request = a_request(clock, payload={"text": too_long})
        with pytest.raises(ItemTooLarge):
            store.enqueue(request, counts=[Count(key="n")])
        assert store.get(request.ref) is None
        assert store.count([Count(key="n", amount=0)]).levels == (0,)

    def test_an_update_too_large_is_refused_with_all_others(
        self, store: Store, clock: ManualClock, too_long: str
    ) -> None:
        """All at once or not at all, and the holder goes on."""
        held = running(store)
        with pytest.raises(ItemTooLarge):
            store.append(
                held.ref, [a_chunk(clock), a_chunk(clock, too_long)], fence=held.fence, checkpoint=1
            )
        assert stored(store, held.ref) == held
        assert list(store.updates(held.ref)) == []
        completed(store, held)

    def test_a_checkpoint_too_large_is_refused(
        self, store: Store, clock: ManualClock, too_long: str
    ) -> None:
        """The updates before it are not stored either."""
        held = running(store)
        with pytest.raises(ItemTooLarge):
            store.append(held.ref, [a_chunk(clock)], fence=held.fence, checkpoint=too_long)
        assert stored(store, held.ref) == held

    def test_an_end_too_large_leaves_the_request_running(
        self, store: Store, clock: ManualClock, too_long: str
    ) -> None:
        """Its holder may end it with an error instead."""
        held = running(store)
        with contextlib.suppress(ItemTooLarge):
            store.finish(
                held.ref,
                held.status.COMPLETED,
                [an_end(clock, too_long)],
                fence=held.fence,
                expires_at=clock.now() + DAY_MS,
            )
            pytest.fail("it was taken")
        assert stored(store, held.ref) == held
        completed(store, held)


def _full(clock: ManualClock) -> Request:
    return replace(
        a_request(clock, "full"),
        scopes=frozenset({"a", "b:c"}),
        metadata={"version": "1.2", "ä": "🦆"},
        priority=Priority.HIGH,
        connection_id="c-9",
        policy=Policy(timeout_ms=1, max_attempts=2, max_age_ms=3, backoff_ms=4, backoff_cap_ms=5),
        slots=(Slot(key="x", at_most=2), Slot(key="y", at_most=3)),
        settle=(Count(key="s", amount=-1.5, limit=2, refill_per_s=0.25, expires_at=10**13),),
        redriven_from="0" * 32,
        version=7,
        extra={"newer": {"nested": [1, 2]}},
    )
