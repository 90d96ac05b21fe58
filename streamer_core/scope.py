"""What this thread works at, and for which tenant.

The engine says so while it handles a message, runs a request, looks at a running one or sweeps one
up; log lines tell it, and plugins ask for the tenant. It is a context variable: tasks of an event
loop and `asyncio.to_thread` inherit it, a thread that a handler starts does not.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from typing import Any

Fields = Mapping[str, str | None]
Tell = Callable[..., Fields]

_NOTHING: tuple[None, None] = (None, None)
_WORK: ContextVar[Any] = ContextVar("streamer_work", default=_NOTHING)
"""The tenant; what gives the fields of log lines, and its arguments: they are made if a line is."""


def current_tenant() -> str | None:
    """Give the tenant that this thread works for; None: for none in particular."""
    tenant: str | None = _WORK.get()[0]
    return tenant


def fields() -> Fields:
    """Give what log lines say of the work."""
    tenant, tell, *given = _WORK.get()
    return {"tenant": tenant, **(tell(*given) if tell else {})}


class Work:
    """Work at something within a `with`. Enter it once.

    Args:
        tenant: for whom; None: for none in particular.
        tell: gives what log lines say of it.
        given: what `tell` is given.
    """

    __slots__ = ("_at", "_token")

    def __init__(self, tenant: str | None, tell: Tell | None, *given: Any) -> None:
        self._at = [tenant, tell, *given]

    def know(self, last: Any) -> None:
        """Say what was not known at first: the last of what `tell` is given."""
        self._at[-1] = last

    def __enter__(self) -> "Work":
        self._token: Token[Any] = _WORK.set(self._at)
        return self

    def __exit__(self, *_: object) -> None:
        _WORK.reset(self._token)


class TenantScope(Work):
    """Work for another tenant within a `with`, at the same; None: for none in particular."""

    __slots__ = ()

    def __init__(self, tenant: str | None) -> None:
        super().__init__(tenant, *_WORK.get()[1:])
