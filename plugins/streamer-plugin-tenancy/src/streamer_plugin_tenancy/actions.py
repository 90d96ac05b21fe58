"""The operator's actions, each for whoever holds the scope `streamer:tenants`."""

from collections.abc import Callable, Mapping
from typing import Any

from streamer_core import Context, Reject, handler
from streamer_core.app import Streamer
from streamer_core.engine.visible import summary, whole
from streamer_core.errors import Conflict, Invalid
from streamer_core.model.encode import encode
from streamer_core.ports import Page
from streamer_plugin_tenancy.admin import Admin
from streamer_plugin_tenancy.tenants import CLOSE, NOBODY, TENANTS_SCOPE

_DAY_MS = 86_400_000
_PAGE = 500
_USUALLY_EXPORTED, _MOST_EXPORTED = 20, 100
_ENVELOPE_BYTES = 1024  # what the answer adds: names, times, and ids of 128 characters at most

Payload = dict[str, Any]


def handlers(admin: Callable[[], Admin], app: Streamer) -> list[Any]:
    """Make the handlers: of `admin`, which is there once the store is open."""
    return [*_steering(admin), *_showing(admin, app), _closing(admin, app)]


def _steering(admin: Callable[[], Admin]) -> list[Any]:
    @handler("tenancy.create", scopes=[TENANTS_SCOPE])
    def create(payload: Payload) -> Payload:
        """Make a tenant: `tenant`, and `quotas` of its own."""
        try:
            return admin().create(_tenant(payload), _quotas(payload))
        except Conflict:
            raise Reject("tenancy.exists", "There is such a tenant already") from None
        except ValueError as error:
            raise Invalid.field("payload.quotas", str(error)) from None

    @handler("tenancy.suspend", scopes=[TENANTS_SCOPE])
    def suspend(payload: Payload) -> Payload:
        """Let a `tenant` work no more, and close its connections."""
        return admin().suspend(_tenant(payload))

    @handler("tenancy.resume", scopes=[TENANTS_SCOPE])
    def resume(payload: Payload) -> Payload:
        """Let a `tenant` work again."""
        return admin().resume(_tenant(payload))

    @handler("tenancy.quota", scopes=[TENANTS_SCOPE])
    def quota(payload: Payload) -> Payload:
        """Change the `quotas` of a `tenant`: a number, "none" or "default" for each."""
        try:
            return admin().quota(_tenant(payload), _quotas(payload))
        except ValueError as error:
            raise Invalid.field("payload.quotas", str(error)) from None

    return [create, suspend, resume, quota]


def _showing(admin: Callable[[], Admin], app: Streamer) -> list[Any]:
    @handler("tenancy.show", scopes=[TENANTS_SCOPE])
    def show(payload: Payload) -> Payload:
        """Show a `tenant` with its quotas; without one, those that have a record."""
        if payload.get("tenant") is None:
            return {"tenants": admin().all()}
        return admin().show(_tenant(payload))

    @handler("tenancy.usage", scopes=[TENANTS_SCOPE])
    def usage(payload: Payload) -> Payload:
        """Give what a `tenant` used in the hours from `since` to `until`; the last day's."""
        now = app.clock.now()
        since = _time(payload, "since", now - _DAY_MS)
        return {"usage": admin().used(_tenant(payload), since, _time(payload, "until", now))}

    @handler("tenancy.export", scopes=[TENANTS_SCOPE])
    def export(payload: Payload) -> Payload:
        """Give a page of a `tenant`'s stored requests, newest first, and the next one's `cursor`.

        `limit` are wanted, 20 or up to 100; there are fewer where no more fit in a message. One
        that does not fit by itself comes without what fills it, marked `too_large`.
        """
        most = app.settings.core.max_message_bytes - _ENVELOPE_BYTES
        limit = _limit(payload)
        while True:
            page = _page(admin(), payload, limit)
            shown = {"requests": [whole(one) for one in page.items], "cursor": page.cursor}
            if len(encode(shown)) <= most:
                return shown
            if limit == 1:
                parts = [summary(one) | {"too_large": True} for one in page.items]
                return {"requests": parts, "cursor": page.cursor}
            limit //= 2

    return [show, usage, export]


def _closing(admin: Callable[[], Admin], app: Streamer) -> Any:
    @handler(CLOSE, mode="async", scopes=[TENANTS_SCOPE])
    def close(ctx: Context) -> int:
        """Close the connections of the request's own tenant, where it is suspended."""
        tenant, _ = admin().tenants.read(ctx.principal.tenant)
        return 0 if tenant.suspended_at is None else _close_all(app, ctx)

    return close


def _close_all(app: Streamer, ctx: Context) -> int:
    closed = 0
    while found := app.store.connections(tenant=ctx.principal.tenant, limit=_PAGE):
        for one in found:
            ctx.raise_if_cancelled()
            app.dismiss(one.id, "suspended")
            closed += 1
        if len(found) < _PAGE:
            break
    return closed


def _page(admin: Admin, payload: Mapping[str, Any], limit: int) -> Page:
    cursor = payload.get("cursor")
    try:
        if cursor is None or isinstance(cursor, str):
            return admin.page(_tenant(payload), limit, cursor)
    except ValueError:
        pass
    raise Invalid.field("payload.cursor", "is not a cursor of this list")


def _limit(payload: Mapping[str, Any]) -> int:
    limit = payload.get("limit", _USUALLY_EXPORTED)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _MOST_EXPORTED:
        raise Invalid.field("payload.limit", f"must be a whole number from 1 to {_MOST_EXPORTED}")
    return limit


def _tenant(payload: Mapping[str, Any]) -> str:
    name = payload.get("tenant")
    if not isinstance(name, str) or name in NOBODY:
        raise Invalid.field("payload.tenant", "must be a tenant's name")
    return name


def _quotas(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    quotas = payload.get("quotas") or {}
    if not isinstance(quotas, dict):
        raise Invalid.field("payload.quotas", "must be an object of quota to limit")
    return quotas


def _time(payload: Mapping[str, Any], name: str, default: int) -> int:
    value = payload.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Invalid.field(f"payload.{name}", "must be a time in Unix milliseconds")
    return value
