"""Records to JSON and back, the same for every store.

A record written by a newer version may have fields this one does not know: they are kept in
`extra` and written back, so that old and new code can run side by side during a deploy.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any, TypeVar

from streamer_core.model.compact import encoder
from streamer_core.model.connection import Connection
from streamer_core.model.counter import Count
from streamer_core.model.message import Priority
from streamer_core.model.policy import Policy, Slot
from streamer_core.model.principal import Principal
from streamer_core.model.request import Failure, Request, Snapshot, Status

_encode = encoder()
_encode_canonical = encoder(sort_keys=True)


def dumps(value: Any) -> str:
    """Encode as compact ASCII JSON; ASCII also holds lone surrogates, which UTF-8 cannot.

    Raises:
        TypeError, ValueError: JSON cannot hold the value (NaN and infinities included).
    """
    return _encode(value)


def canonical(value: Any) -> str:
    """Encode so that equal values give equal text: keys sorted."""
    return _encode_canonical(value)


def loads(text: str | bytes) -> Any:
    """Decode what `dumps` wrote."""
    return json.loads(text)


T = TypeVar("T")

_REQUEST_FIELDS = {f.name for f in fields(Request)} - {"extra"}


def request_to_plain(request: Request) -> dict[str, Any]:
    """Give a request as JSON-ready values, unknown fields included."""
    plain = {name: getattr(request, name) for name in _REQUEST_FIELDS}
    plain["scopes"] = sorted(request.scopes)
    plain["policy"] = fields_of(request.policy)
    plain["slots"] = [fields_of(slot) for slot in request.slots]
    plain["settle"] = [fields_of(count) for count in request.settle]
    plain["progress"] = fields_of(request.progress) if request.progress else None
    plain["failures"] = [fields_of(failure) for failure in request.failures]
    return {**request.extra, **plain}


def request_from_plain(plain: Mapping[str, Any]) -> Request:
    """Make a request from what `request_to_plain` gave, of this version or another."""
    return Request.made_of(request_values(plain))


def request_values(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields that `plain` holds, as a request has them; the unknown ones in `extra`."""
    values: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in plain.items():
        if name not in _REQUEST_FIELDS:
            extra[name] = value
        elif (made := _MAKERS.get(name)) is None:
            values[name] = value
        elif value is not None:
            values[name] = made(value)
    values["extra"] = extra
    return values


def connection_to_plain(connection: Connection) -> dict[str, Any]:
    """Give a connection as JSON-ready values; of the principal's claims those that are kept."""
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
        "token_id": principal.token_id,
        "token_issued_at": principal.issued_at,
        "kept": dict(principal.kept),
        "settle": [fields_of(count) for count in connection.settle],
    }


def connection_from_plain(plain: Mapping[str, Any]) -> Connection:
    """Make a connection from what `connection_to_plain` gave."""
    return Connection(
        id=plain["id"],
        address=plain.get("address"),
        connected_at=plain.get("connected_at", 0),
        expires_at=plain.get("expires_at", 0),
        settle=tuple(_known(Count, one) for one in plain.get("settle") or ()),
        principal=Principal(
            user=plain["user"],
            tenant=plain["tenant"],
            scopes=frozenset(plain.get("scopes") or ()),
            expires_at=plain.get("token_expires_at"),
            token_id=plain.get("token_id"),
            issued_at=plain.get("token_issued_at"),
            kept=plain.get("kept") or {},
        ),
    )


def fields_of(value: Any) -> dict[str, Any]:
    """Give the fields of a part of a request; `asdict` would copy what lies in them, too."""
    return {name: getattr(value, name) for name in _FIELDS[type(value)]}


_FIELDS: Mapping[Any, Sequence[str]] = {
    cls: tuple(f.name for f in fields(cls)) for cls in (Policy, Slot, Count, Snapshot, Failure)
}


def _known(cls: type[T], plain: Mapping[str, Any]) -> T:
    names = _FIELDS[cls]
    return cls(**{name: value for name, value in plain.items() if name in names})


def _policy(plain: Mapping[str, Any]) -> Policy:
    return _policy_of(*((name, plain[name]) for name in _FIELDS[Policy] if name in plain))


@lru_cache  # there are as many as handlers, and one is read with each request
def _policy_of(*known: tuple[str, int]) -> Policy:
    return Policy(**dict(known))


_MAKERS: Mapping[str, Callable[[Any], Any]] = {
    "scopes": frozenset,
    "priority": Priority,
    "status": Status,
    "policy": _policy,
    "slots": lambda those: tuple(_known(Slot, one) for one in those),
    "settle": lambda those: tuple(_known(Count, one) for one in those),
    "progress": lambda one: _known(Snapshot, one),
    "failures": lambda those: tuple(_known(Failure, one) for one in those),
}
