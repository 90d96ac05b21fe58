"""What the framework does for all tenants: in the shared store, and in each that is a tenant's own.

A store of a tenant's own that fails, as where its account has taken the role back, keeps nobody
else waiting: a log line says so, and this process leaves it out for a minute and a half. What
fails in the shared store is the caller's to deal with.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from heapq import merge
from itertools import groupby, islice
from typing import TypeVar

from streamer_core.errors import StoreError
from streamer_core.log import get_logger
from streamer_core.model.connection import Connection
from streamer_core.model.ids import tenant_of
from streamer_core.model.message import Priority
from streamer_core.model.request import Request
from streamer_core.ports import Change, Feed, Page, Query, Store, Value
from streamer_plugin_tenancy.feeds import MergedFeed
from streamer_plugin_tenancy.homes import Homes

T = TypeVar("T")

_CURSOR = re.compile(r"([0-9]{1,15})/([0-9a-f]{32})")


class TenantStores(Homes):
    """The whole port on many stores.

    Args:
        shared: of all tenants that have no store of their own.
        own: by tenant.
    """

    def __init__(self, shared: Store, own: Mapping[str, Store]) -> None:
        super().__init__(shared, own)
        self._turns = itertools.count()

    # -- asking all

    def asked(self, tenant: str, ask: Callable[[Store], T]) -> T | None:
        """Ask a tenant's own store; None where it fails, or has failed a short while ago."""
        store = self.own[tenant]
        if self.is_left_out(store):
            return None
        try:
            return ask(store)
        except StoreError:
            self.failed(store)
            get_logger().exception("a tenant's own tables failed", tenant=tenant)
            return None

    def left_out(self) -> list[str]:
        """Give the tenants whose own stores have failed a short while ago."""
        return [tenant for tenant, store in self.own.items() if self.is_left_out(store)]

    def _all(self, ask: Callable[[Store], Sequence[T]]) -> list[T]:
        found = list(ask(self.inner))
        for tenant in self.own:
            found += self.asked(tenant, ask) or ()
        return found

    # -- workers

    def claim_next(
        self, lanes: Sequence[Priority], *, worker: str, lease_until: int, at_most: int = 1
    ) -> Sequence[Request]:
        """Take the next due requests of one store: the stores have turns, and those in it as ever.

        Where nothing is due all of them are asked.
        """

        def ask(store: Store) -> Sequence[Request]:
            return store.claim_next(lanes, worker=worker, lease_until=lease_until, at_most=at_most)

        stores = [None, *self.own]
        first = next(self._turns) % len(stores)
        for tenant in stores[first:] + stores[:first]:
            found = ask(self.inner) if tenant is None else self.asked(tenant, ask)
            if found:
                return found
        return ()

    def open_feed(self) -> Feed:
        """Read the changes of all from now on."""
        own = [self.asked(tenant, lambda store: store.open_feed()) for tenant in self.own]
        return MergedFeed([self.inner.open_feed(), *filter(None, own)])

    # -- the sweeper, each store up to its limit

    def due(self, before: int, limit: int = 100) -> Sequence[Change]:
        """Give waiting requests due before the time."""
        return self._all(lambda store: store.due(before, limit))

    def lapsed(self, limit: int = 100) -> Sequence[Request]:
        """Give requests whose lease is over."""
        return self._all(lambda store: store.lapsed(limit))

    def cancelling(self, before: int, limit: int = 100) -> Sequence[Request]:
        """Give requests asked to stop before the time."""
        return self._all(lambda store: store.cancelling(before, limit))

    def unsent(self, before: int, limit: int = 100) -> Sequence[Request]:
        """Give requests with updates that nobody has sent."""
        return self._all(lambda store: store.unsent(before, limit))

    def expired_connections(self, limit: int = 100) -> Sequence[str]:
        """Give ids of connections whose time is over, each once: its stub has the same."""

        def ask(store: Store) -> Sequence[str]:
            found = store.expired_connections(limit)
            if store is self.inner:
                return found
            # Whose connection it is the shared store says, as long as it is open.
            over = [one for one in found if self.inner.get_connection(one) is None]
            self.note_expired(store, over)
            return over

        return list(dict.fromkeys(self._all(ask)))

    def purge(self, limit: int = 1000) -> int:
        """Delete expired items of each store."""
        return sum(self._all(lambda store: [store.purge(limit)]))

    # -- lists

    def connections(
        self, *, tenant: str | None = None, user: str | None = None, limit: int = 1000
    ) -> Sequence[Connection]:
        """List open connections, oldest first; stubs are none."""
        if tenant is not None or user is not None:
            store = self.inner if tenant is None else self.of_tenant(tenant)
            return store.connections(tenant=tenant, user=user, limit=limit)
        found = self._all(
            lambda store: [
                one
                for one in store.connections(limit=limit)
                if self.of_tenant(one.principal.tenant) is store
            ]
        )
        return sorted(found, key=lambda one: one.connected_at)[:limit]

    def query(self, query: Query, *, limit: int = 50, cursor: str | None = None) -> Page:
        """List requests, newest first; of all tenants the cursor is where the page ends."""
        if query.tenant is not None:
            return self.of_tenant(query.tenant).query(query, limit=limit, cursor=cursor)
        end = _end_of(cursor)
        if end is not None:
            query = replace(query, until=min(end[0] + 1, query.until or end[0] + 1))
        found = self._merged(query, limit)
        wanted = (one for one in found if end is None or _place(one) < end)
        items = list(islice(wanted, limit + 1))
        last = items[limit - 1] if len(items) > limit else None
        return Page(
            items=tuple(items[:limit]),
            cursor=None if last is None else f"{last.created_at}/{last.ref}",
        )

    def _merged(self, query: Query, limit: int) -> Iterator[Request]:
        walks = [_newest_first(self.inner, query, limit)]
        walks += [self._own_newest_first(tenant, query, limit) for tenant in self.own]
        return merge(*walks, key=_place, reverse=True)

    def _own_newest_first(self, tenant: str, query: Query, limit: int) -> Iterator[Request]:
        walk = _newest_first(self.own[tenant], query, limit)
        while (one := self.asked(tenant, lambda _: next(walk, None))) is not None:
            yield one

    def values(
        self, prefix: str, limit: int = 1000, *, after: str | None = None
    ) -> Mapping[str, Value]:
        """List the small values whose key begins with the prefix, in the order of their keys."""
        if tenant_of(prefix) is not None:
            return self.of_key(prefix).values(prefix, limit, after=after)
        found = self._all(lambda store: [*store.values(prefix, limit, after=after).items()])
        return dict(sorted(found, key=lambda one: one[0])[:limit])


def _place(request: Request) -> tuple[int, str]:
    return request.created_at, request.ref


def _newest_first(store: Store, query: Query, limit: int) -> Iterator[Request]:
    """Give a store's requests page by page; those of one millisecond in one order everywhere."""
    for _, those in groupby(_walk(store, query, limit), key=lambda one: one.created_at):
        yield from sorted(those, key=_place, reverse=True)


def _walk(store: Store, query: Query, limit: int) -> Iterator[Request]:
    cursor: str | None = None
    while True:
        page = store.query(query, limit=limit, cursor=cursor)
        yield from page.items
        if (cursor := page.cursor) is None:
            return


def _end_of(cursor: str | None) -> tuple[int, str] | None:
    if cursor is None:
        return None
    read = _CURSOR.fullmatch(cursor)
    if read is None:
        raise ValueError("no cursor of a list of all tenants' requests")
    return int(read[1]), read[2]
