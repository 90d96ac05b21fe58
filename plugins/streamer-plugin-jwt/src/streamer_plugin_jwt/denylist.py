"""What was revoked: small values in the store, one for each token or user, that expire.

```
jwt/revoked/<hash>   a token, or all of a user's issued before a time    read at each connect
jwt/lately/<hash>    the same, for ten minutes                           read by each sweep
jwt/last             when something was revoked last                     read now and then
```

A message costs no read. `jwt/last` is read once in `revocation_cache` in each process; only for a
connection that was opened before that time the first kind is looked at, once for each `jwt/last`.
A connection that was let in while its token was being revoked is found by a later sweep.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any

from streamer_core.errors import Conflict, StoreError
from streamer_core.log import get_logger
from streamer_core.model.connection import Connection
from streamer_core.model.principal import Principal
from streamer_core.ports import Clock, Store
from streamer_plugin_jwt.settings import JwtSettings

_REVOKED, _LATELY, _LAST = "jwt/revoked/", "jwt/lately/", "jwt/last"
_LATELY_MS = 600_000
_CLOCKS_MS = 60_000
"""By how much the clocks of those who revoke and those who let in may differ."""

_MOST_CONNECTIONS = 1_000
_TRIES = 10
_SWEEP_S = 5.0


class Denylist:
    """What was revoked.

    Args:
        store: keeps it.
        clock: tells the time.
        settings: `longest_life`, for so long a revocation is kept; `revocation_cache`.
    """

    def __init__(self, store: Store, clock: Clock, settings: JwtSettings) -> None:
        self._store, self._clock, self._settings = store, clock, settings
        self._reading = threading.Lock()
        self._read_at: int | None = None
        self._last = (0, 0)
        self._seen = lru_cache(16_384)(self._look)

    # -- revoking

    def revoke_token(self, tenant: str, user: str, token_id: str) -> None:
        """Let nobody in by this token any more."""
        key = _hash(tenant, user, token_id)
        self._put(key, {"tenant": tenant, "user": user, "token_id": token_id}, version=None)

    def revoke_user(self, tenant: str, user: str) -> None:
        """Let nobody in by a token of this user that was issued before now.

        Raises:
            Conflict: others revoke the same at the same time, again and again.
        """
        key = _hash(tenant, user)
        for left in reversed(range(_TRIES)):
            kept = self._store.get_value(_REVOKED + key)
            before = max(self._clock.now(), kept.data["before"] if kept else 0)
            entry = {"tenant": tenant, "user": user, "before": before}
            try:
                self._put(key, entry, version=kept.version if kept else 0)
            except Conflict:
                if not left:
                    raise
            else:
                return

    def _put(self, key: str, entry: Mapping[str, Any], *, version: int | None) -> None:
        now = self._clock.now()
        until = now + self._settings.longest_life + self._settings.leeway
        # In this order: who sees the last has a reason to look for those before it.
        entry = {**entry, "at": now, "until": until}
        self._store.put_value(_REVOKED + key, entry, expires_at=until, version=version)
        self._store.put_value(_LATELY + key, entry, expires_at=now + _LATELY_MS)
        self._store.put_value(_LAST, now)

    def entries(self) -> Iterator[Mapping[str, Any]]:
        """List what was revoked, in no order."""
        return (value.data for _, value in self._store.all_values(_REVOKED))

    # -- asking

    def is_revoked(self, principal: Principal) -> bool:
        """Look whether it is; one or two reads."""
        tenant, user, token_id = principal.tenant, principal.user, principal.token_id
        keys = [_hash(tenant, user)] + ([_hash(tenant, user, token_id)] if token_id else [])
        found = (self._store.get_value(_REVOKED + key) for key in keys)
        return any(value is not None and _covers(value.data, principal) for value in found)

    def was_revoked(self, principal: Principal, since: int) -> bool:
        """Tell whether it was revoked since it was let in; without a read, as a rule."""
        if principal.issued_at is None:
            return False  # no token of ours
        version, at = self._newest()
        if at < since - _CLOCKS_MS:
            return False
        return self._seen(
            version, principal.tenant, principal.user, principal.token_id, principal.issued_at
        )

    def _look(
        self, _version: int, tenant: str, user: str, token_id: str | None, issued_at: int
    ) -> bool:
        return self.is_revoked(
            Principal(tenant=tenant, user=user, token_id=token_id, issued_at=issued_at)
        )

    def _newest(self) -> tuple[int, int]:
        """Give version and time of the last revocation, as read a moment ago.

        One reads, while all others go on with what is known; the first time they wait for it.
        """
        if not self._is_fresh() and self._reading.acquire(blocking=self._read_at is None):
            try:
                if not self._is_fresh():
                    self._read()
            finally:
                self._reading.release()
        return self._last

    def _is_fresh(self) -> bool:
        if self._read_at is None:
            return False
        return self._read_at <= self._clock.now() < self._read_at + self._settings.revocation_cache

    def _read(self) -> None:
        now = self._clock.now()
        try:
            value = self._store.get_value(_LAST)
        except StoreError:
            if self._read_at is None:
                raise
            get_logger().warning("revocations cannot be read", exc_info=True)
        else:
            self._last = (value.version, value.data) if value else (0, 0)
        self._read_at = now

    # -- sweeping

    def end_connections(self, dismiss: Callable[[str, str], None]) -> None:
        """Have the connections closed whose tokens were revoked lately, as many as time allows."""
        last = self._store.get_value(_LAST)
        if last is None or last.data < self._clock.now() - _LATELY_MS:
            return
        end = self._clock.monotonic() + _SWEEP_S
        for connection in self._revoked_connections():
            if self._clock.monotonic() > end:
                return
            dismiss(connection.id, "revoked")

    def _revoked_connections(self) -> Iterator[Connection]:
        for _, value in self._store.all_values(_LATELY):
            entry, tenant, user = value.data, value.data["tenant"], value.data["user"]
            open_ones = self._store.connections(tenant=tenant, user=user, limit=_MOST_CONNECTIONS)
            yield from (one for one in open_ones if _covers(entry, one.principal))


def _covers(entry: Mapping[str, Any], principal: Principal) -> bool:
    """Tell whether an entry of the principal's own user is about its token."""
    if principal.issued_at is None:
        return False
    if "token_id" in entry:
        return bool(entry["token_id"] == principal.token_id)
    return bool(principal.issued_at < entry["before"])


def _hash(*parts: str) -> str:
    """Give a short key of parts that may be long, and that nobody can make run together."""
    return sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()
