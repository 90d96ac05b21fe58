"""Records to JSON and back, the same for every store.

A record written by a newer version may have fields this one does not know: they are kept in
`extra` and written back, so that old and new code can run side by side during a deploy.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from streamer_core.model.connection import Connection
from streamer_core.model.counter import Count
from streamer_core.model.message import Priority
from streamer_core.model.policy import Policy, Slot
from streamer_core.model.principal import Principal
from streamer_core.model.request import Failure, Request, Snapshot, Status


def dumps(value: Any) -> str:
    """Encode as compact ASCII JSON; ASCII also holds lone surrogates, which UTF-8 cannot.

    Raises:
        TypeError, ValueError: JSON cannot hold the value (NaN and infinities included).
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def canonical(value: Any) -> str:
    """Encode so that equal values give equal text: keys sorted."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False, sort_keys=True)


def loads(text: str | bytes) -> Any:
    """Decode what `dumps` wrote."""
    return json.loads(text)


T = TypeVar("T")

_REQUEST_FIELDS = {f.name for f in fields(Request)} - {"extra"}


def request_to_plain(request: Request) -> dict[str, Any]:
    """Give a request as JSON-ready values, unknown fields included."""
    plain = {name: getattr(request, name) for name in _REQUEST_FIELDS}
    plain["scopes"] = sorted(request.scopes)
    plain["policy"] = asdict(request.policy)
    plain["slots"] = [asdict(slot) for slot in request.slots]
    plain["settle"] = [asdict(count) for count in request.settle]
    plain["progress"] = asdict(request.progress) if request.progress else None
    plain["failures"] = [asdict(failure) for failure in request.failures]
    return {**request.extra, **plain}


def request_from_plain(plain: Mapping[str, Any]) -> Request:
    """Make a request from what `request_to_plain` gave, of this version or another."""
    known = {name: value for name, value in plain.items() if name in _REQUEST_FIELDS}
    known["scopes"] = frozenset(known.get("scopes") or ())
    known["priority"] = Priority(known.get("priority", Priority.NORMAL))
    known["status"] = Status(known.get("status", Status.PENDING))
    known["policy"] = _known(Policy, known.get("policy") or {})
    known["slots"] = tuple(_known(Slot, slot) for slot in known.get("slots") or ())
    known["settle"] = tuple(_known(Count, count) for count in known.get("settle") or ())
    progress = known.get("progress")
    known["progress"] = _known(Snapshot, progress) if progress else None
    known["failures"] = tuple(_known(Failure, failure) for failure in known.get("failures") or ())
    extra = {name: value for name, value in plain.items() if name not in _REQUEST_FIELDS}
    return Request(**known, extra=extra)


def connection_to_plain(connection: Connection) -> dict[str, Any]:
    """Give a connection as JSON-ready values; the principal's claims stay behind."""
    principal = connection.principal
    return {
        "id": connection.id,
        "address": connection.address,
        "connected_at": connection.connected_at,
        "expires_at": connection.expires_at,
        "user": principal.user,
        "tenant": principal.tenant,
        "scopes": sorted(principal.scopes),
        "token_expires_at": principal.expires_at,
    }


def connection_from_plain(plain: Mapping[str, Any]) -> Connection:
    """Make a connection from what `connection_to_plain` gave."""
    return Connection(
        id=plain["id"],
        address=plain.get("address"),
        connected_at=plain.get("connected_at", 0),
        expires_at=plain.get("expires_at", 0),
        principal=Principal(
            user=plain["user"],
            tenant=plain["tenant"],
            scopes=frozenset(plain.get("scopes") or ()),
            expires_at=plain.get("token_expires_at"),
        ),
    )


def _known(cls: type[T], plain: Mapping[str, Any]) -> T:
    names = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    return cls(**{name: value for name, value in plain.items() if name in names})
