"""The decision: from what the process has at hand, else by one conditional write of the store."""

import threading
from collections.abc import Sequence
from typing import Any

from streamer_core.errors import RateLimited, StorageFailed, StoreError
from streamer_core.log import get_logger
from streamer_core.model.call import Health
from streamer_core.model.connection import Connection
from streamer_core.model.principal import Principal
from streamer_core.ports import Counted
from streamer_plugin_ratelimit.abuse import Abuse
from streamer_plugin_ratelimit.allowance import Allowance
from streamer_plugin_ratelimit.lack import Lack
from streamer_plugin_ratelimit.limit import Limit, values_of
from streamer_plugin_ratelimit.settings import RateLimitSettings

_PAUSE_S = 1.0
"""How long a store that failed is not asked again: each call may wait for it a while."""

Taken = list[tuple[Allowance, int]]
"""Of which allowances one was taken, and of which slice."""


class Limiter:
    """Counts what comes, and refuses what is over a limit.

    Args:
        settings: what to do where the store fails, and when to close a connection.
        app: its store is used only once something has come.
    """

    def __init__(self, settings: RateLimitSettings, app: Any) -> None:
        self._app = app
        self._clock = app.clock
        self._lock = threading.Lock()
        self._abuse = Abuse(settings, app)
        self._allows_uncounted = settings.on_store_failure == "allow"
        self._paused_until = float("-inf")

    def health(self) -> Health:
        """Tell whether the store counted when it was last asked."""
        failing = self._clock.monotonic() < self._paused_until
        detail = "the store did not count" if failing else "counted"
        return Health(name="limits", ok=True, degraded=failing, detail=detail)

    def check(
        self,
        limits: Sequence[Limit],
        principal: Principal,
        connection: Connection,
        action: str | None,
    ) -> None:
        """Take one from each of the limits, or none.

        Raises:
            RateLimited: one of them is full.
            StorageFailed: the store failed, and the settings say to refuse then.
        """
        now = self._clock.monotonic()
        values = values_of(principal, connection, action)
        taken: Taken = []
        lacks: list[Lack] = []
        with self._lock:
            for limit in limits:
                who = limit.who(values)
                allowance = limit.allowances[who]
                if allowance.take(now):
                    taken.append((allowance, allowance.number))
                else:
                    lacks.append(Lack(limit, who, allowance))
        if not lacks:
            return
        try:
            full = self._full(lacks, now, taken)
            if full is not None:
                self._refuse(full, now, None if action is None else connection)
        except Exception:
            with self._lock:
                for allowance, number in taken:
                    allowance.give_back(number)
            raise

    def _full(self, lacks: Sequence[Lack], now: float, taken: Taken) -> Lack | None:
        """Take what is lacking from the store, all of it or nothing; gives what has no room.

        What other threads have leased meanwhile is `taken`: a second slice beside it would be lost.
        """
        for lack in lacks:
            if now < lack.allowance.full_until:
                return lack
        if now < self._paused_until:
            self._uncounted(lacks)
            return None
        with self._lock:
            lacks = [lack for lack in lacks if not _is_served(lack, now, taken)]
            for lack in lacks:
                lack.begin(now)
        if not lacks:
            return None
        try:
            counted = self._counted(lacks)
        except StoreError as error:
            # From now: the call may have waited for the store longer than the pause lasts.
            self._paused_until = self._clock.monotonic() + _PAUSE_S
            get_logger().error("limits could not be counted", exc_info=error)
            self._uncounted(lacks)
            return None
        else:
            with self._lock:
                return _settled(lacks, counted, now)
        finally:
            with self._lock:
                for lack in lacks:
                    lack.end()

    def _counted(self, lacks: Sequence[Lack]) -> Counted:
        """Count; where there is less than a slice, as much as there is, at last what is needed.

        Others may be faster, so that there is less still. A count that is refused writes nothing.
        """
        now = self._clock.now()
        counted: Counted = self._app.store.count([lack.count(now) for lack in lacks])
        for is_last in (False, True):
            if counted.accepted or all(lack.amount == 1 for lack in lacks):
                break
            for lack, level in zip(lacks, counted.levels, strict=True):
                lack.fit(lack.limit.burst if is_last else level)
            counted = self._app.store.count([lack.count(now) for lack in lacks])
        return counted

    def _uncounted(self, lacks: Sequence[Lack]) -> None:
        self._app.runtime.measure("ratelimit.uncounted", tags={"limit": lacks[0].limit.name})
        if not self._allows_uncounted:
            raise StorageFailed("It could not be counted; try again")

    def _refuse(self, full: Lack, now: float, connection: Connection | None) -> None:
        limit = full.limit
        self._app.runtime.measure("ratelimit.refused", tags={"limit": limit.name})
        raise RateLimited(
            f"Too many {'connections' if connection is None else 'messages'}",
            details={"limit": limit.name},
            retry_after_ms=full.allowance.wait_ms(now),
            close=None if connection is None else self._abuse.noted(connection),
        )


def _is_served(lack: Lack, now: float, taken: Taken) -> bool:
    if not lack.allowance.take(now):
        return False
    taken.append((lack.allowance, lack.allowance.number))
    return True


def _settled(lacks: Sequence[Lack], counted: Counted, now: float) -> Lack | None:
    refused = counted.refused
    if refused is None:
        for lack in lacks:
            lack.lease(now)
        return None
    pairs = zip(lacks, counted.levels, strict=True)
    full, level = next(pair for pair in pairs if pair[0].key == refused.key)
    full.fill(level, now)
    return full
