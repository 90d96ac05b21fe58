"""A tenant's own tables in somebody else's account: who rules it may have written what is read.

What says that it is another tenant's is not there, and the scopes that reach beyond the tenant are
taken off. Within the tenant the account is believed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from streamer_core.log import get_logger
from streamer_core.model.connection import Connection
from streamer_core.model.principal import OPERATOR_SCOPE
from streamer_core.model.request import Request
from streamer_core.ports import Page, Store, WrappedStore
from streamer_plugin_tenancy.tenants import TENANTS_SCOPE

BEYOND = frozenset({OPERATOR_SCOPE, TENANTS_SCOPE})


class ForeignStore(WrappedStore):
    """Gives what is the tenant's, and no more rights than a tenant has.

    Args:
        inner: the store in the other account.
        tenant: whose it is.
    """

    def __init__(self, inner: Store, tenant: str) -> None:
        super().__init__(inner)
        self._tenant = tenant

    def get(self, ref: str) -> Request | None:
        """Give a request, or None."""
        return self._request(self.inner.get(ref))

    def claim(self, ref: str, **given: Any) -> Request | None:
        """Take one due request."""
        return self._request(self.inner.claim(ref, **given))

    def claim_next(self, *given: Any, **named: Any) -> Sequence[Request]:
        """Take the next due requests."""
        return self._requests(self.inner.claim_next(*given, **named))

    def query(self, *given: Any, **named: Any) -> Page:
        """List requests, newest first."""
        page = self.inner.query(*given, **named)
        return replace(page, items=tuple(self._requests(page.items)))

    def lapsed(self, limit: int = 100) -> Sequence[Request]:
        """Give requests whose lease is over."""
        return self._requests(self.inner.lapsed(limit))

    def cancelling(self, before: int, limit: int = 100) -> Sequence[Request]:
        """Give requests asked to stop before the time."""
        return self._requests(self.inner.cancelling(before, limit))

    def unsent(self, before: int, limit: int = 100) -> Sequence[Request]:
        """Give requests with updates that nobody has sent."""
        return self._requests(self.inner.unsent(before, limit))

    def cancel(self, ref: str, *given: Any, **named: Any) -> Request | None:
        """Cancel a request."""
        return self._request(self.inner.cancel(ref, *given, **named))

    def get_connection(self, connection_id: str) -> Connection | None:
        """Give a connection, or None."""
        return self._connection(self.inner.get_connection(connection_id))

    def delete_connection(self, connection_id: str) -> Connection | None:
        """Forget a connection."""
        return self._connection(self.inner.delete_connection(connection_id))

    def connections(self, **given: Any) -> Sequence[Connection]:
        """List open connections."""
        return [*filter(None, map(self._connection, self.inner.connections(**given)))]

    def _requests(self, found: Iterable[Request]) -> list[Request]:
        return [*filter(None, map(self._request, found))]

    def _request(self, found: Request | None) -> Request | None:
        if found is None or not self._is_ours(found.tenant):
            return None
        return found.changed(scopes=found.scopes - BEYOND) if found.scopes & BEYOND else found

    def _connection(self, found: Connection | None) -> Connection | None:
        if found is None or not self._is_ours(found.principal.tenant):
            return None
        scopes = found.principal.scopes - BEYOND
        return replace(found, principal=replace(found.principal, scopes=scopes))

    def _is_ours(self, tenant: str) -> bool:
        if tenant != self._tenant:
            get_logger().error("a foreign account names another tenant", tenant=self._tenant)
        return tenant == self._tenant
