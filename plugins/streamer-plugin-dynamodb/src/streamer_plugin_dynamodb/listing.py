"""Listing requests."""

import re
from collections.abc import Iterator
from heapq import merge
from itertools import islice

from pynamodb.expressions.condition import Condition

from streamer_core.model.request import Request, Status
from streamer_core.ports import Page, Query
from streamer_plugin_dynamodb.base import Base
from streamer_plugin_dynamodb.database import attribute, value
from streamer_plugin_dynamodb.items import Plain, key
from streamer_plugin_dynamodb.records import phase_of, shards
from streamer_plugin_dynamodb.tables import Requests

_CURSOR = re.compile(r"[0-9]{15}/[0-9a-f]{32}")
_LAST = "~"  # sorts after every digit
_PAGE = 100


class ListingVerbs(Base):
    """The store's verb that lists requests."""

    def query(self, query: Query, *, limit: int = 50, cursor: str | None = None) -> Page:
        """List requests, newest first. A cursor that is not the store's own raises ValueError.

        Indexes follow the table within moments: what was enqueued just now may be missing yet.
        """
        if cursor is not None and not _CURSOR.fullmatch(cursor):
            raise ValueError("the cursor is not one of this store's")
        if query.statuses is not None and not query.statuses:
            return Page(items=())
        found = list(islice(self._matching(query, cursor), limit + 1))
        shown = found[:limit]
        more = len(found) > limit and shown
        return Page(items=tuple(shown), cursor=_place(shown[-1]) if more else None)

    def _matching(self, query: Query, cursor: str | None) -> Iterator[Request]:
        listed = merge(
            *(self._listed(query, *source, cursor) for source in _sources(query)),
            key=lambda item: str(item["listed"]),
            reverse=True,
        )
        return (request for request in self._found(listed) if _fits(query, request))

    def _listed(
        self, query: Query, index: str, name: str, shard: str, cursor: str | None
    ) -> Iterator[Plain]:
        first = f"{query.since or 0:015d}/"
        last = _LAST if query.until is None else f"{query.until:015d}/"
        if cursor is not None:
            last = min(last, cursor)
        if last <= first:
            return
        items = self._db.walk(
            Requests,
            (attribute(name) == value(shard))
            & attribute("listed").between(value(first), value(last)),
            index=index,
            filtered=_narrowed(query),
            forward=False,
            limit=_PAGE,
        )
        yield from (item for item in items if item["listed"] != cursor)


def _sources(query: Query) -> list[tuple[str, str, str]]:
    """Give index, attribute and value of each list to look through: those with the least in it.

    Most requests have completed. Where those are not asked for, the lists of the others are short.
    """
    phases = {phase_of(status) for status in query.statuses or Status}
    if phase_of(Status.COMPLETED) in phases:
        if query.tenant is not None and query.user is not None:
            return [("by_user", "of_user", key(query.tenant, query.user))]
        if query.tenant is not None:
            return _sharded("by_tenant", "of_tenant", key(query.tenant))
        if query.action is not None:
            return _sharded("by_action", "of_action", key(query.action))
    return [one for phase in sorted(phases) for one in _sharded("by_phase", "phase", phase)]


def _sharded(index: str, name: str, value: str) -> list[tuple[str, str, str]]:
    return [(index, name, f"{value}/{shard}") for shard in shards()]


def _narrowed(query: Query) -> Condition | None:
    """Give what an index can tell of an item, so that fewer records are read."""
    conditions: list[Condition] = []
    if query.tenant is not None and query.user is not None:
        conditions.append(attribute("of_user") == value(key(query.tenant, query.user)))
    elif query.tenant is not None:
        conditions.append(attribute("of_tenant").startswith(f"{key(query.tenant)}/"))
    if query.action is not None:
        conditions.append(attribute("of_action").startswith(f"{key(query.action)}/"))
    both: Condition | None = None
    for condition in conditions:
        both = condition if both is None else both & condition
    return both


def _fits(query: Query, request: Request) -> bool:
    asked = ((query.tenant, request.tenant), (query.user, request.user))
    return all(
        one is None or one == other for one, other in (*asked, (query.action, request.action))
    ) and (query.statuses is None or request.status in query.statuses)


def _place(request: Request) -> str:
    return f"{request.created_at:015d}/{request.ref}"
