"""One store made of the shared one and of those of tenants that have their own.

What is whose says where it lies: a request by what its ref begins with, a key by the tenant it
names, a topic likewise. What names no tenant (a circuit, a rate limit, who is an operator) is in
the shared store, and so is an operator's record of a tenant.

A connection is known by its id alone before it is known whose it is: the shared store has a stub of
it that says so and nothing else, written first and deleted first. The connection itself, with all
that is subscribed and counted for it, is in its tenant's store.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from streamer_core.errors import LimitReached, StoreError
from streamer_core.model.connection import Connection
from streamer_core.model.counter import Count
from streamer_core.model.ids import request_subject, tenant_of, tenant_part
from streamer_core.model.principal import Principal
from streamer_core.model.request import Request
from streamer_core.ports import Counted, Ending, Enqueued, Enqueuing, Held, Store, WrappedStore
from streamer_core.scope import current_tenant
from streamer_plugin_tenancy.tenants import KIND

T = TypeVar("T")

_REQUEST = request_subject("")
_PART = len(tenant_part(""))
_MOST_EXPIRED = 10_000
LEFT_OUT_S = 90.0  # longer than from one round of the sweeper to the next


def _handed_on(verb: str, store_of: Callable[["Homes", str], Store]) -> Callable[..., Any]:
    def hand_on(self: "Homes", place: str, *args: Any, **kwargs: Any) -> Any:
        with self.noting(store_of(self, place)) as store:
            return getattr(store, verb)(place, *args, **kwargs)

    hand_on.__name__ = verb
    return hand_on


def _by_ref(verb: str) -> Callable[..., Any]:
    return _handed_on(verb, lambda homes, ref: homes.of_ref(ref))


def _by_key(verb: str) -> Callable[..., Any]:
    return _handed_on(verb, lambda homes, key: homes.of_key(key))


class Homes(WrappedStore):
    """Sends each verb to the store where what it is about lies; see the module.

    Args:
        shared: of all that have no store of their own.
        own: by tenant.
    """

    def __init__(self, shared: Store, own: Mapping[str, Store]) -> None:
        super().__init__(shared)
        self.own = dict(own)
        self._by_part = {tenant_part(tenant): store for tenant, store in own.items()}
        self._expired: dict[str, Store] = {}
        self._out_until = dict.fromkeys(self.own.values(), 0.0)

    def close(self) -> None:
        """Close all of them."""
        for store in (*self.own.values(), self.inner):
            store.close()

    # -- where it lies

    def of_tenant(self, tenant: str) -> Store:
        """Give the store of a tenant."""
        return self.own.get(tenant, self.inner)

    def of_ref(self, ref: str) -> Store:
        """Give the store of a request."""
        return self._by_part.get(ref[:_PART], self.inner)

    def of_key(self, key: str) -> Store:
        """Give the store of a counter, a small value or a subject."""
        if key.startswith(_REQUEST):
            return self.of_ref(key.removeprefix(_REQUEST))
        tenant = None if key.startswith(f"{KIND}/") else tenant_of(key)
        return self.inner if tenant is None else self.of_tenant(tenant)

    def _of_new(self, request: Request) -> Store:
        store = self.of_ref(request.ref)
        if store is not self.of_tenant(request.tenant):
            # Of two tenants by chance: once in four thousand million pairs.
            raise StoreError(
                f"requests of tenant {request.tenant!r:.100} cannot be told from those of a tenant "
                f"with tables of its own: give one of them another name"
            )
        return store

    # -- one that fails

    def failed(self, store: Store) -> None:
        """Note that a tenant's own store has failed: for a while it is not looked into for work."""
        if store in self._out_until:
            self._out_until[store] = self.clock.monotonic() + LEFT_OUT_S

    def is_left_out(self, store: Store) -> bool:
        """Tell whether it has failed a short while ago."""
        return self.clock.monotonic() < self._out_until[store]

    @contextmanager
    def noting(self, store: Store) -> Iterator[Store]:
        """Note it where the store fails within a `with`; that a write was refused is no failure."""
        try:
            yield store
        except StoreError as error:
            if type(error) is StoreError:
                self.failed(store)
            raise

    # -- connections

    def put_connection(self, connection: Connection, *, counts: Sequence[Count] = ()) -> None:
        """Store or renew a connection, in its tenant's store with a stub in the shared one."""
        store = self.of_tenant(connection.principal.tenant)
        if store is not self.inner:
            self.inner.put_connection(_stub_of(connection))
        try:
            store.put_connection(connection, counts=counts)
        except LimitReached:
            if store is not self.inner:
                self.inner.delete_connection(connection.id)
            raise

    def get_connection(self, connection_id: str) -> Connection | None:
        """Give a connection, or None: at one read more where it has a stub."""
        found = self.inner.get_connection(connection_id)
        store = self.own.get(found.principal.tenant) if found else None
        return store.get_connection(connection_id) if store else found

    def delete_connection(self, connection_id: str) -> Connection | None:
        """Forget a connection.

        One whose stub alone was deleted, before a crash, is found by whoever works for its tenant,
        or by the sweeper once it has expired (`expired_connections`), and forgotten by the same
        process.
        """
        store = self._expired.pop(connection_id, None)
        found = self.inner.delete_connection(connection_id)
        if found is not None:
            store = self.own.get(found.principal.tenant)
        elif store is None:
            store = self.own.get(current_tenant() or "")
        if store is None:
            return found
        with self.noting(store):
            return store.delete_connection(connection_id)

    def note_expired(self, store: Store, connection_ids: Iterable[str]) -> None:
        """Remember where connections are that have expired, their stubs perhaps gone."""
        if len(self._expired) >= _MOST_EXPIRED:
            self._expired.clear()
        self._expired |= dict.fromkeys(connection_ids, store)

    # -- requests

    def enqueue(self, request: Request, **given: Any) -> Enqueued:
        """Store a request with its tenant."""
        return self._of_new(request).enqueue(request, **given)

    def enqueue_all(self, those: Sequence[Enqueuing]) -> Sequence[Enqueued | StoreError]:
        """Store requests, each with its tenant; those of one store in one write."""
        return _each(
            those,
            lambda one: self._of_new(one.request),
            lambda store, some: store.enqueue_all(some),
        )

    def finish_all(self, endings: Sequence[Ending]) -> Sequence[Held | StoreError]:
        """End requests; those of one store in one write."""
        return _each(
            endings,
            lambda ending: self.of_ref(ending.ref),
            lambda store, some: store.finish_all(some),
        )

    # -- counters

    def count(self, counts: Sequence[Count]) -> Counted:
        """Apply counts in one step, in the store of the tenant whose they are.

        Those of nobody in particular are taken where the others are. Counts of several stores are
        applied store by store, where none has a limit.

        Raises:
            StoreError: some have, so that it could not be all or none.
        """
        named = [self.of_key(one.key) if tenant_of(one.key) else None for one in counts]
        stores = {id(one): one for one in named if one is not None}
        if len(stores) < 2:
            return next(iter(stores.values()), self.inner).count(counts)
        if any(one.limit is not None for one in counts):
            raise StoreError("counts with limits cannot be taken from several stores in one step")
        levels = _each(
            counts,
            lambda one: self.of_key(one.key),
            lambda store, some: store.count(some).levels,
        )
        for error in levels:
            if isinstance(error, StoreError):
                raise error
        return Counted(accepted=True, levels=tuple(levels))

    # -- verbs that go, as they are, to where their first argument lies

    get = _by_ref("get")
    claim = _by_ref("claim")
    heartbeat = _by_ref("heartbeat")
    append = _by_ref("append")
    finish = _by_ref("finish")
    requeue = _by_ref("requeue")
    cancel = _by_ref("cancel")
    updates = _by_ref("updates")
    mark_sent = _by_ref("mark_sent")
    subscribe = _by_key("subscribe")
    unsubscribe = _by_key("unsubscribe")
    subscribers = _by_key("subscribers")
    get_value = _by_key("get_value")
    put_value = _by_key("put_value")
    delete_value = _by_key("delete_value")


def _each(
    those: Sequence[T],
    store_of: Callable[[T], Store],
    ask: Callable[[Store, Sequence[T]], Sequence[Any]],
) -> list[Any]:
    """Ask each store about its own; where one fails, its own have the error for an answer."""
    answers: dict[int, Any] = {}
    places: defaultdict[Store, list[int]] = defaultdict(list)
    for place, one in enumerate(those):
        try:
            places[store_of(one)].append(place)
        except StoreError as error:
            answers[place] = error
    for store, some in places.items():
        try:
            found = ask(store, [those[place] for place in some])
        except StoreError as error:
            found = [error] * len(some)
        answers |= zip(some, found, strict=True)
    return [answers[place] for place in range(len(those))]


def _stub_of(connection: Connection) -> Connection:
    return Connection(
        id=connection.id,
        principal=Principal(user="", tenant=connection.principal.tenant),
        connected_at=connection.connected_at,
        expires_at=connection.expires_at,
    )
