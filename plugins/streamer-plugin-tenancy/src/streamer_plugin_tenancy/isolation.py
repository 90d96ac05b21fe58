"""A store that lets whoever works for a tenant touch that tenant's keys alone.

For whom a thread works the engine says (`streamer_core.scope`). Where it works for nobody in
particular, as the sweeper, a claim or an operator's command does, every key may be touched.

- **Requests**: a ref is a hash, so whose it is must be known: from the write that took the request
  in, its claim or an earlier read in this process, else from a read.
- **Topics, counters, small values**: `tenant_key` says whose they are. What names no tenant (a
  circuit, the address of a gateway) is everybody's.
- **Connections**: the record says whose.

What is another's is absent to a read that a client's words may lead to; all else raises `Isolated`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NoReturn

from streamer_core.errors import LostLease, NotFound, StoreError
from streamer_core.log import get_logger
from streamer_core.model.connection import Connection
from streamer_core.model.counter import Count
from streamer_core.model.ids import ref_of, request_subject, tenant_of
from streamer_core.model.message import Priority
from streamer_core.model.request import Request
from streamer_core.model.update import Update
from streamer_core.ports import (
    Change,
    Counted,
    Ending,
    Enqueued,
    Enqueuing,
    Feed,
    Held,
    Page,
    Query,
    Store,
    Value,
    WrappedStore,
)
from streamer_core.scope import current_tenant

_REQUEST = request_subject("")
_MOST_OWNERS = 10_000


def _ref_of(request: Request) -> str:
    """Give the ref that a request has, if it is whose it says."""
    return ref_of(request.tenant, request.user, request.id)


class Isolated(NotFound):
    """The key is another tenant's; a client reads that there is none."""


class IsolatedStore(WrappedStore):
    """Refuses other tenants' keys; see the module."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self._owners: dict[str, str] = {}

    def check(self) -> None:
        """Make a small round trip."""
        self.inner.check()

    def close(self) -> None:
        """Close the store."""
        self.inner.close()

    # -- whose it is

    def _refuse(self, what: str) -> NoReturn:
        get_logger().error("another tenant's key was refused", what=what)
        raise Isolated("There is no such thing in this tenant")

    def _check(self, what: str, *tenants: str | None) -> None:
        """Refuse what is another tenant's; None is nobody's."""
        mine = current_tenant()
        if mine is not None and any(one not in {None, mine} for one in tenants):
            self._refuse(what)

    def _check_keys(self, what: str, keys: Iterable[str]) -> None:
        if current_tenant() is not None:
            self._check(what, *map(tenant_of, keys))

    def _check_counts(self, what: str, tenant: str, counts: Iterable[Count]) -> None:
        """Refuse what would be counted for another than whose it is, whoever works for whom."""
        if any(tenant_of(one.key) not in {None, tenant} for one in counts):
            self._refuse(what)

    def _check_refs(self, what: str, refs: Iterable[str]) -> None:
        if current_tenant() is not None:
            self._check(what, *map(self._owner, refs))

    def _check_subject(self, what: str, subject: str) -> None:
        if subject.startswith(_REQUEST):
            self._check_refs(what, [subject.removeprefix(_REQUEST)])
        else:
            self._check_keys(what, [subject])

    def _check_connection(self, what: str, connection_id: str) -> None:
        if current_tenant() is not None and (found := self.inner.get_connection(connection_id)):
            self._check(what, found.principal.tenant)

    def _only_the_framework(self, what: str) -> None:
        if current_tenant() is not None:
            self._refuse(what)

    def _owner(self, ref: str) -> str | None:
        owner = self._owners.get(ref)
        if owner is None and (found := self.inner.get(ref)) is not None:
            owner = self._noted(found).tenant
        return owner

    def _noted(self, request: Request) -> Request:
        if len(self._owners) >= _MOST_OWNERS:
            self._owners.clear()  # they are found again where they are needed
        self._owners[request.ref] = request.tenant
        return request

    # -- connections

    def put_connection(self, connection: Connection, *, counts: Sequence[Count] = ()) -> None:
        """Store or renew a connection of the tenant, with counts of the tenant."""
        tenant = connection.principal.tenant
        self._check("put_connection", tenant)
        self._check_counts("put_connection", tenant, (*counts, *connection.settle))
        self.inner.put_connection(connection, counts=counts)

    def get_connection(self, connection_id: str) -> Connection | None:
        """Give a connection of the tenant, or None."""
        found = self.inner.get_connection(connection_id)
        if found is not None and current_tenant() not in {None, found.principal.tenant}:
            return None
        return found

    def delete_connection(self, connection_id: str) -> Connection | None:
        """Forget a connection of the tenant."""
        self._check_connection("delete_connection", connection_id)
        return self.inner.delete_connection(connection_id)

    def connections(
        self, *, tenant: str | None = None, user: str | None = None, limit: int = 1000
    ) -> Sequence[Connection]:
        """List the tenant's open connections."""
        self._check("connections", tenant)
        mine = tenant or current_tenant()
        return self.inner.connections(tenant=mine, user=user, limit=limit)

    def count_connections(self) -> int:
        """Only the framework counts everybody's."""
        self._only_the_framework("count_connections")
        return self.inner.count_connections()

    def expired_connections(self, limit: int = 100) -> Sequence[str]:
        """Only the framework looks for them."""
        self._only_the_framework("expired_connections")
        return self.inner.expired_connections(limit)

    # -- requests

    def enqueue(
        self,
        request: Request,
        *,
        counts: Sequence[Count] = (),
        worker: str | None = None,
        lease_until: int | None = None,
    ) -> Enqueued:
        """Store a request of the tenant, with counts of the tenant."""
        self._check_new(request, counts)
        return self.inner.enqueue(request, counts=counts, worker=worker, lease_until=lease_until)

    def enqueue_all(self, those: Sequence[Enqueuing]) -> Sequence[Enqueued | StoreError]:
        """Store requests of the tenant, with counts of the tenant."""
        for one in those:
            self._check_new(one.request, one.counts)
        return self.inner.enqueue_all(those)

    def _check_new(self, request: Request, counts: Sequence[Count]) -> None:
        self._check("enqueue", request.tenant)
        self._check_counts("enqueue", request.tenant, (*counts, *request.settle))
        if request.connection_id is not None:
            self._check_connection("enqueue", request.connection_id)
        if request.ref != _ref_of(request):
            self._refuse("enqueue")  # what lies there may be anybody's
        self._noted(request)

    def get(self, ref: str) -> Request | None:
        """Give a request of the tenant, or None."""
        found = self.inner.get(ref)
        if found is None or current_tenant() in {None, found.tenant}:
            return found
        get_logger().warning("another tenant's request was asked for", ref=ref)
        return None

    def query(self, query: Query, *, limit: int = 50, cursor: str | None = None) -> Page:
        """List the tenant's requests."""
        self._check("query", query.tenant)
        mine = replace(query, tenant=query.tenant or current_tenant())
        return self.inner.query(mine, limit=limit, cursor=cursor)

    def claim(self, ref: str, *, worker: str, lease_until: int) -> Request | None:
        """Take a request of the tenant."""
        self._check_refs("claim", [ref])
        found = self.inner.claim(ref, worker=worker, lease_until=lease_until)
        return found and self._noted(found)

    def claim_next(
        self, lanes: Sequence[Priority], *, worker: str, lease_until: int, at_most: int = 1
    ) -> Sequence[Request]:
        """Only the framework takes what is next, whoever's it is."""
        self._only_the_framework("claim_next")
        found = self.inner.claim_next(
            lanes, worker=worker, lease_until=lease_until, at_most=at_most
        )
        return [self._noted(one) for one in found]

    def heartbeat(self, ref: str, **given: Any) -> Held:
        """Extend the lease of a request of the tenant."""
        self._check_refs("heartbeat", [ref])
        return self.inner.heartbeat(ref, **given)

    def append(self, ref: str, *given: Any, **named: Any) -> Held:
        """Keep updates of a request of the tenant."""
        self._check_refs("append", [ref])
        return self.inner.append(ref, *given, **named)

    def finish(self, ref: str, *given: Any, **named: Any) -> Held:
        """End a request of the tenant."""
        self._check_refs("finish", [ref])
        return self.inner.finish(ref, *given, **named)

    def finish_all(self, endings: Sequence[Ending]) -> Sequence[Held | StoreError]:
        """End requests of the tenant, or of many; who takes one for another's has lost it."""
        self._check_refs("finish", (one.ref for one in endings))
        confused = {one.ref for one in endings if one.known and one.ref != _ref_of(one.known)}
        if not confused:
            return self.inner.finish_all(endings)
        get_logger().error("another tenant's key was refused", what="finish", refs=sorted(confused))
        answers = iter(self.inner.finish_all([one for one in endings if one.ref not in confused]))
        return [
            LostLease(f"request {one.ref} is another's") if one.ref in confused else next(answers)
            for one in endings
        ]

    def requeue(self, ref: str, **given: Any) -> Held:
        """Give a request of the tenant back."""
        self._check_refs("requeue", [ref])
        return self.inner.requeue(ref, **given)

    def cancel(self, ref: str, *given: Any, **named: Any) -> Request | None:
        """Cancel a request of the tenant."""
        self._check_refs("cancel", [ref])
        return self.inner.cancel(ref, *given, **named)

    def updates(self, ref: str, *, after: int = 0, limit: int = 200) -> Sequence[Update]:
        """Give the updates of a request of the tenant."""
        self._check_refs("updates", [ref])
        return self.inner.updates(ref, after=after, limit=limit)

    def mark_sent(self, ref: str, seq: int) -> None:
        """Note what was sent of a request of the tenant."""
        self._check_refs("mark_sent", [ref])
        self.inner.mark_sent(ref, seq)

    def due(self, before: int, limit: int = 100) -> Sequence[Change]:
        """Only the framework looks for them."""
        self._only_the_framework("due")
        return self.inner.due(before, limit)

    def lapsed(self, limit: int = 100) -> Sequence[Request]:
        """Only the framework looks for them."""
        self._only_the_framework("lapsed")
        return self.inner.lapsed(limit)

    def cancelling(self, before: int, limit: int = 100) -> Sequence[Request]:
        """Only the framework looks for them."""
        self._only_the_framework("cancelling")
        return self.inner.cancelling(before, limit)

    def unsent(self, before: int, limit: int = 100) -> Sequence[Request]:
        """Only the framework looks for them."""
        self._only_the_framework("unsent")
        return self.inner.unsent(before, limit)

    def purge(self, limit: int = 1000) -> int:
        """Only the framework forgets what has expired."""
        self._only_the_framework("purge")
        return self.inner.purge(limit)

    def open_feed(self) -> Feed:
        """Only the framework hears of every tenant's changes."""
        self._only_the_framework("open_feed")
        return self.inner.open_feed()

    # -- subscriptions

    def subscribe(self, subject: str, connection_id: str, *, expires_at: int) -> None:
        """Subscribe a connection of the tenant to a subject of the tenant."""
        self._check_subject("subscribe", subject)
        self._check_connection("subscribe", connection_id)
        self.inner.subscribe(subject, connection_id, expires_at=expires_at)

    def unsubscribe(self, subject: str, connection_id: str) -> None:
        """End a subscription of the tenant."""
        self._check_subject("unsubscribe", subject)
        self._check_connection("unsubscribe", connection_id)
        self.inner.unsubscribe(subject, connection_id)

    def subscribers(self, subject: str) -> Sequence[str]:
        """Give who is subscribed to a subject of the tenant."""
        self._check_subject("subscribers", subject)
        return self.inner.subscribers(subject)

    # -- counters and small values

    def count(self, counts: Sequence[Count]) -> Counted:
        """Apply counts of the tenant."""
        self._check_keys("count", (one.key for one in counts))
        return self.inner.count(counts)

    def get_value(self, key: str) -> Value | None:
        """Give a small value of the tenant."""
        self._check_keys("get_value", [key])
        return self.inner.get_value(key)

    def put_value(self, key: str, data: Any, **given: Any) -> int:
        """Write a small value of the tenant."""
        self._check_keys("put_value", [key])
        return self.inner.put_value(key, data, **given)

    def delete_value(self, key: str) -> None:
        """Forget a small value of the tenant."""
        self._check_keys("delete_value", [key])
        self.inner.delete_value(key)

    def values(
        self, prefix: str, limit: int = 1000, *, after: str | None = None
    ) -> Mapping[str, Value]:
        """List small values; those of other tenants are left out."""
        self._check_keys("values", [prefix])
        mine = current_tenant()
        if mine is None:
            return self.inner.values(prefix, limit, after=after)
        found: dict[str, Value] = {}
        page: Mapping[str, Value] = {}
        while len(found) < limit and (not page or len(page) == limit):
            page = self.inner.values(prefix, limit, after=after)
            if not page:
                break
            after = next(reversed(list(page)))
            found |= {key: one for key, one in page.items() if tenant_of(key) in {None, mine}}
        return dict(islice(found.items(), limit))
