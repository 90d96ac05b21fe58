"""Keeps one connection open: reconnects with full jitter, hands over before the end."""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from streamer_client.connection import Connection
from streamer_client.errors import (
    ConnectionLost,
    GatewayError,
    HandshakeRefused,
    RequestError,
    StreamerError,
    Unauthorized,
    WaitTimeout,
)
from streamer_client.handshake import Handshake
from streamer_client.session import Session
from streamer_client.settings import Settings
from streamer_client.tasks import Tasks
from streamer_client.timing import Timing

logger = logging.getLogger("streamer_client")
_STABLE = 10.0  # seconds after which a connection counts as good, and the backoff starts anew


class Link:
    """Gives a session one connection after the other.

    Planned hand-over::

        old   ──sends, hears──┬─────────still hears──────┐ closed: nothing owed on it any more
        new       connect, hello+resume ──┴──sends, hears, subscribes────────────>
    """

    def __init__(
        self, handshake: Handshake, session: Session, settings: Settings, timing: Timing
    ) -> None:
        self._handshake = handshake
        self._session = session
        self._settings = settings
        self._timing = timing
        self._tasks = Tasks()
        self._open: set[Connection] = set()
        self._failures = 0
        self._flaps = 0  # connections in a row that did not last
        self._not_before = 0.0

    async def start(self) -> None:
        """Connect, or raise what hinders it; then stay connected."""
        first = None if self._settings.start_offline else await self._connect()
        self._tasks.spawn(self._run(first))

    async def close(self) -> None:
        """Stop, and close what is open."""
        await self._tasks.close()
        await asyncio.gather(*(connection.close() for connection in self._open))

    async def _run(self, connection: Connection | None) -> None:
        try:
            while True:
                connection = await self._serve(connection or await self._reconnect())
        except StreamerError as error:
            logger.error("no more connections to %s: %s", self._handshake.where, error)  # noqa: TRY400
            self._session.fail(error)
        except Exception as error:
            self._session.fail(ConnectionLost(f"the link broke: {type(error).__name__}"))
            raise

    async def _connect(self) -> Connection:
        websocket = await self._handshake.open()
        connection = Connection(websocket, self._session, self._settings, self._timing)
        try:
            await connection.start(self._session.requests.first_resume(connection))
        except BaseException:
            await connection.close()
            raise
        self._open.add(connection)
        self._failures = 0
        return connection

    async def _reconnect(self) -> Connection:
        """Try until it works, the backoff is exhausted, or the server will not have us."""
        since = self._timing.now()
        while True:
            await self._timing.sleep(self._delay())
            try:
                return await self._connect()
            except Unauthorized:
                raise
            except (ConnectionLost, RequestError, WaitTimeout, GatewayError) as error:
                self._failed(error)
                offline = self._timing.now() - since
                backoff = self._settings.backoff
                if backoff.exhausted(attempts=self._failures, offline=offline):
                    raise ConnectionLost(f"gave up after {self._failures} attempts") from error

    def _delay(self) -> float:
        attempt = self._failures + self._flaps
        jitter = self._settings.backoff.delay(attempt, self._timing.random())
        return jitter + max(self._not_before - self._timing.now(), 0.0)

    def _failed(self, error: StreamerError) -> None:
        self._failures += 1
        logger.warning("attempt %d failed: %s", self._failures, error)
        wait: float | None = None
        if isinstance(error, HandshakeRefused):
            wait = error.retry_after
        elif isinstance(error, RequestError) and error.retry_after_ms is not None:
            wait = error.retry_after_ms / 1000
        self._not_before = self._timing.now() + (wait or 0.0)

    async def _serve(self, connection: Connection) -> Connection | None:
        """Use a connection until it ends; return the one that replaced it, if one did."""
        self._session.adopt(connection)
        lifetime = self._settings.handover_after * (1 - 0.1 * self._timing.random())
        await self._until_moved(connection, lifetime)
        successor = None if connection.ended.is_set() else await self._hand_over(connection)
        stable = successor is not None or self._timing.now() - connection.opened >= _STABLE
        self._flaps = 0 if stable else self._flaps + 1
        self._tasks.spawn(self._retire(connection))
        return successor

    async def _until_moved(self, connection: Connection, lifetime: float) -> None:
        """Wait for the connection's end, the server's goodbye, or its planned age."""
        watched = (connection.ended.wait(), connection.said_goodbye(), self._timing.sleep(lifetime))
        await _first(*watched)
        if connection.goodbye is not None:
            self._session.hold()
            self._not_before = self._timing.now() + connection.goodbye

    async def _hand_over(self, old: Connection) -> Connection | None:
        """Open the successor while the old connection lives; None where it dies first."""
        wait = max(self._not_before - self._timing.now(), 0.0)
        failures = 0
        while not old.ended.is_set():
            await _first(old.ended.wait(), self._timing.sleep(wait))
            if old.ended.is_set():
                break
            try:
                return await self._connect()
            except StreamerError as error:
                logger.info("hand-over has to wait: %s", type(error).__name__)
            failures += 1
            wait = self._settings.backoff.delay(failures, self._timing.random())
        return None

    async def _retire(self, connection: Connection) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.linger):
                await self._session.settled(connection)
        await connection.close()
        self._open.discard(connection)


async def _first(*works: Coroutine[Any, Any, Any]) -> None:
    """Wait until one of these is done, and drop the others."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
