"""For which tenant this thread works.

The engine binds it while it handles a message, runs a request, looks at a running one or sweeps one
up; log lines have it, and plugins ask for it. It is a context variable: tasks of an event loop and
`asyncio.to_thread` inherit it, a thread that a handler starts does not.
"""

from contextvars import ContextVar, Token

_TENANT: ContextVar[str | None] = ContextVar("streamer_tenant", default=None)


def current_tenant() -> str | None:
    """Give the tenant that this thread works for; None: for none in particular."""
    return _TENANT.get()


class TenantScope:
    """Work for a tenant within a `with`; for None, for none in particular. Enter it once."""

    __slots__ = ("_tenant", "_token")

    def __init__(self, tenant: str | None) -> None:
        self._tenant = tenant

    def __enter__(self) -> None:
        self._token: Token[str | None] = _TENANT.set(self._tenant)

    def __exit__(self, *_: object) -> None:
        _TENANT.reset(self._token)
