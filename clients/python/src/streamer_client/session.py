"""What a client has under way, whichever connection carries it."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from streamer_client.connection import Connection, framework_message
from streamer_client.errors import (
    ClientClosed,
    ConnectionLost,
    GatewayError,
    StreamerError,
    request_error,
)
from streamer_client.outbox import Outbox
from streamer_client.request import Request
from streamer_client.requests import Requests
from streamer_client.settings import Settings
from streamer_client.tasks import Tasks
from streamer_client.timing import Timing
from streamer_client.topics import Topics
from streamer_client.waiting import within
from streamer_client.wire import too_large


class Call:
    """A framework action and the answer it waits for; harmless to repeat."""

    def __init__(self, action: str, payload: Mapping[str, Any]) -> None:
        self.id, self.data = framework_message(action, payload)
        self.reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def settle(self, raw: Mapping[str, Any]) -> None:
        """Take the answer."""
        if self.reply.done():
            return
        if raw.get("type") == "error":
            self.reply.set_exception(request_error(raw))
        else:
            self.reply.set_result(raw.get("data"))


class Session:
    """Outlives connections: sends what waits, sorts what comes, mends what was cut."""

    def __init__(self, settings: Settings, timing: Timing) -> None:
        self._settings = settings
        self._timing = timing
        self._tasks = Tasks()
        self._calls: dict[str, Call] = {}
        self._outbox: Outbox[Request | Call] = Outbox(
            limit=settings.outbox_limit, limit_bytes=settings.outbox_bytes
        )
        self._live: set[Connection] = set()
        self._sending = asyncio.Event()
        self.current: Connection | None = None
        self.failure: StreamerError | None = None
        self.requests = Requests(self, settings, timing, self._tasks)
        self.topics = Topics(self._ask_about_topic, self._tasks.spawn)

    def start(self) -> None:
        """Begin to send whatever waits, whenever there is a connection."""
        self._tasks.spawn(self._pump())

    async def close(self) -> None:
        """End everything that waits."""
        self.fail(ClientClosed("the client is closed"))
        await self._tasks.close()

    def fail(self, failure: StreamerError) -> None:
        """Tell every waiter that there will be no more answers."""
        if self.failure is not None:
            return
        self.failure = failure
        self.requests.fail(failure)
        for call in self._calls.values():
            if not call.reply.done():
                call.reply.set_exception(failure)
        self.topics.close(None if isinstance(failure, ClientClosed) else failure)

    def check(self) -> None:
        """Raise what ended this session, if something did."""
        if self.failure is not None:
            raise self.failure

    def send(self, message: Request | Call) -> None:
        """Put a message into the outbox, or raise OutboxFull."""
        self.check()
        self._outbox.put(message)

    def send_again(self, message: Request | Call) -> None:
        """Put a message back that was taken from the outbox before."""
        self._outbox.put_back(message)

    def withdraw(self, message: Request | Call) -> bool:
        """Take a message out of the outbox, if it is still there."""
        return self._outbox.withdraw(message)

    async def call(
        self, action: str, payload: Mapping[str, Any] | None, *, limit: float | None
    ) -> Any:
        """Send a framework action and wait for its answer, over reconnects if need be."""
        call = Call(action, payload or {})
        self.send(call)
        self._calls[call.id] = call
        try:
            return await within(limit, call.reply, what=f"answer to {action}")
        finally:
            del self._calls[call.id]
            self.withdraw(call)
            self.answered(call.id)

    def adopt(self, connection: Connection) -> None:
        """Send on this connection from now on, and have everything told to it."""
        self.current = connection
        self._live.add(connection)
        self.requests.watch(connection)
        self.topics.renew()
        self._sending.set()

    def hold(self) -> None:
        """Send nothing new until the next connection is adopted."""
        self._sending.clear()

    def answered(self, message_id: str) -> None:
        """Note that an answer came, on whichever connection owed it."""
        for connection in self._live:
            connection.answered(message_id)

    async def settled(self, connection: Connection) -> None:
        """Wait until a connection that was replaced is needed no more."""
        await self.topics.renewed()
        await connection.quiet()

    # What a connection tells its owner.

    def receive(self, connection: Connection, raw: dict[str, Any]) -> None:
        """Sort a message to whom it is for; what nobody knows is ignored."""
        if raw.get("type") == "event":
            overlap = len(self._live) > 1
            self.topics.receive(raw, connection, self._timing.now(), overlap)
            return
        name = str(raw.get("request_id"))
        if call := self._calls.get(name):
            call.settle(raw)
        else:
            self.requests.receive(connection, name, raw)

    def gateway_error(self, connection: Connection, message_id: str, error: GatewayError) -> None:
        """Fail the one message that waited for an answer."""
        connection.answered(message_id)
        self._fail_one(message_id, error)

    def _fail_one(self, message_id: str, error: StreamerError) -> None:
        if call := self._calls.get(message_id):
            if not call.reply.done():
                call.reply.set_exception(error)
        else:
            self.requests.fail_one(message_id, error)

    def lost(self, connection: Connection) -> None:
        """Mend what the end of a connection left open."""
        self._live.discard(connection)
        if connection is self.current:
            self.current = None
            self._sending.clear()
        for message_id in connection.unanswered:
            if call := self._calls.get(message_id):
                self.send_again(call)
        self.requests.cut(connection.unanswered)
        if self.current is not None:
            self.requests.watch(self.current)

    async def _pump(self) -> None:
        while True:
            await self._outbox.wait()
            await self._sending.wait()
            connection = self.current
            if connection is None or not len(self._outbox):
                continue
            message = self._outbox.take()
            if len(message.data) > connection.message_limit:
                # The server would refuse it without its id, which it does not read so far for.
                self._fail_one(message.id, too_large(len(message.data), connection.message_limit))
                continue
            connection.expect(message.id)
            if isinstance(message, Request):
                self.requests.sent(message, connection)
            with suppress(ConnectionLost):  # lost() sees to what was cut
                await connection.send(message.data)

    async def _ask_about_topic(self, action: str, payload: Mapping[str, Any]) -> None:
        if action == "streamer.subscribe":
            await self.call(action, payload, limit=None)
        elif self.current is not None:  # the next connection has no subscription to end
            await self.call(action, payload, limit=self._settings.reply_timeout)
