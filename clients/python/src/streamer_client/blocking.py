"""The client for code without asyncio: the asynchronous one on a thread of its own."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar, Unpack

from streamer_client.client import Client, Page
from streamer_client.errors import ClientClosed
from streamer_client.handshake import Token
from streamer_client.messages import Acknowledgment, Chunk, Event, Progress, Restart, Update
from streamer_client.request import Request
from streamer_client.settings import Settings
from streamer_client.spec import RequestOptions
from streamer_client.topics import Subscription
from streamer_client.waiting import within

Answer = TypeVar("Answer")


class Runner:
    """An event loop on a thread, and the way to have it do something."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._work, name="streamer-client", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        self._loop.run_forever()
        self._loop.close()

    @property
    def alive(self) -> bool:
        """Whether it takes work."""
        return self._thread.is_alive()

    def __call__(
        self, work: Callable[..., Coroutine[Any, Any, Answer]], *args: Any, **options: Any
    ) -> Answer:
        """Run it there; wait for it here."""
        if not self.alive:
            raise ClientClosed("the client is closed")
        future = asyncio.run_coroutine_threadsafe(work(*args, **options), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C here must end the work there too
            raise

    def stop(self) -> None:
        """End the loop and the thread."""
        if self.alive:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()


class BlockingRequest(Iterator[Update]):
    """A request under way: iterate for its updates, ask ``result()`` for its result."""

    def __init__(self, run: Runner, handle: Request) -> None:
        self._run = run
        self._handle = handle
        self.id = handle.id

    def __repr__(self) -> str:
        return repr(self._handle)

    def __next__(self) -> Update:
        update = self.next()
        if update is None:
            raise StopIteration
        return update

    def next(self, timeout: float | None = None) -> Update | None:
        """Wait for the next update, None at the end; WaitTimeout after ``timeout`` seconds."""
        return self._wait(timeout, lambda: _next(self._handle))

    @property
    def ref(self) -> str | None:
        """The server's key of the request, once acknowledged."""
        return self._handle.ref

    @property
    def done(self) -> bool:
        """Whether the outcome is known."""
        return self._handle.done

    @property
    def last_seq(self) -> int:
        """The last update applied; what ``follow`` goes on from."""
        return self._handle.last_seq

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the result, or raise the request's error, or WaitTimeout."""
        return self._wait(timeout, self._handle.result)

    def _wait(self, seconds: float | None, work: Callable[[], Awaitable[Answer]]) -> Answer:
        async def wait() -> Answer:
            what = f"answer about {self.id}"
            return await within(seconds, work(), what=what, request_id=self.id)

        return self._run(wait)

    def acknowledged(self) -> Acknowledgment | None:
        """Wait until the server has the request."""
        return self._run(self._handle.acknowledged)

    def cancel(self) -> Any:
        """Ask that the work be stopped."""
        return self._run(self._handle.cancel)

    def status(self) -> dict[str, Any]:
        """Fetch the server's record."""
        return self._run(self._handle.status)

    def redriven(self, timeout: float | None = None) -> "BlockingRequest":
        """Wait until this request has failed and was started again; see ``Request.redriven``."""
        return BlockingRequest(self._run, self._wait(timeout, self._handle.redriven))

    def detach(self) -> None:
        """Stop following; the work goes on."""

        async def detach() -> None:
            self._handle.detach()

        self._run(detach)


class BlockingSubscription(Iterator[Event]):
    """The events of a topic. Leaving its ``with`` block, or ``unsubscribe()``, ends it."""

    def __init__(self, run: Runner, subscription: Subscription) -> None:
        self._run = run
        self._subscription = subscription

    def __enter__(self) -> "BlockingSubscription":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.unsubscribe()

    def __next__(self) -> Event:
        event: Event | None = self._run(_next, self._subscription)
        if event is None:
            raise StopIteration
        return event

    def unsubscribe(self) -> None:
        """End the iteration, in whichever thread it is."""
        self._run(self._subscription.unsubscribe)


class BlockingClient:
    """What Client does, for threads: every method waits. It may be shared by threads.

    Callbacks are called in the thread that called ``request``.
    """

    def __init__(self, url: str, token: Token = None, *, settings: Settings | None = None) -> None:
        self._client = Client(url, token, settings=settings)
        self._run: Runner | None = None

    def __repr__(self) -> str:
        return f"<Blocking{repr(self._client)[1:]}"

    def __enter__(self) -> "BlockingClient":
        self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def connect(self) -> None:
        """Start the thread and open the first connection, or raise."""
        if self._run is not None:
            raise ClientClosed("a client is entered once")
        self._run = Runner()
        try:
            self._run(self._client.connect)
        except BaseException:
            self._run.stop()
            raise

    def close(self) -> None:
        """Close the socket, end all waiting and the thread."""
        if self._run is not None and self._run.alive:
            self._run(self._client.close)
            self._run.stop()

    def request(
        self,
        action: str,
        payload: Mapping[str, Any] | None = None,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        on_chunk: Callable[[Chunk], None] | None = None,
        on_restart: Callable[[Restart], None] | None = None,
        timeout: float | None = None,
        **options: Unpack[RequestOptions],
    ) -> Any:
        """Send a request and wait for its result; see ``Client.request``."""
        told: dict[type[Update], Callable[[Any], None] | None] = {
            Progress: on_progress,
            Chunk: on_chunk,
            Restart: on_restart,
        }
        if not any(told.values()):
            return self._runner(self._client.request, action, payload, timeout=timeout, **options)
        ends = None if timeout is None else time.monotonic() + timeout
        handle = self.stream(action, payload, **options)
        try:
            while (update := handle.next(_left(ends))) is not None:
                listener = told.get(type(update))
                if listener is not None:
                    listener(update)
            return handle.result()
        finally:
            handle.detach()

    def stream(
        self,
        action: str,
        payload: Mapping[str, Any] | None = None,
        **options: Unpack[RequestOptions],
    ) -> BlockingRequest:
        """Send a request; iterate over its updates, and ask it for its result."""
        return self._handle(self._client.submit, action, payload, **options)

    def follow(self, request_id: str, *, last_seq: int = 0) -> BlockingRequest:
        """Attach to a request that was sent before; see ``Client.follow``."""
        return self._handle(self._client.follow, request_id, last_seq=last_seq)

    def subscribe(self, topic: str) -> BlockingSubscription:
        """Subscribe to a topic, and iterate over its events; a refusal is raised here."""

        async def subscribe() -> Subscription:
            return await self._client.subscribe(topic)

        return BlockingSubscription(self._runner, self._runner(subscribe))

    def cancel(self, request_id: str | None = None, *, ref: str | None = None) -> Any:
        """Ask that a request be stopped."""
        return self._runner(self._client.cancel, request_id, ref=ref)

    def status(self, request_id: str | None = None, *, ref: str | None = None) -> dict[str, Any]:
        """Fetch the server's record of a request."""
        return self._runner(self._client.status, request_id, ref=ref)

    def list(
        self,
        *,
        status: str | None = None,
        action: str | None = None,
        since: datetime | int | None = None,
        limit: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Iterate over the user's requests; see ``Client.list``."""
        records = self._client.list(status=status, action=action, since=since, limit=limit)
        run = self._runner
        return iter(lambda: run(_next, records), None)

    def list_page(self, **filters: Any) -> Page:
        """Fetch a page of the user's requests; see ``Client.list_page``."""
        return self._runner(self._client.list_page, **filters)

    def actions(self, action: str | None = None) -> tuple[dict[str, Any], ...]:
        """Fetch the actions this user may call; see ``Client.actions``."""
        return self._runner(self._client.actions, action)

    def ping(self) -> float:
        """Go to the server and back; return the seconds it took."""
        return self._runner(self._client.ping)

    def call(self, action: str, payload: Mapping[str, Any] | None = None) -> Any:
        """Call an action of the framework; return the answer's data."""
        return self._runner(self._client.call, action, payload)

    @property
    def _runner(self) -> Runner:
        if self._run is None:
            raise ClientClosed("the client has not been entered")
        return self._run

    def _handle(self, make: Callable[..., Request], *args: Any, **options: Any) -> BlockingRequest:
        async def begin() -> Request:
            return make(*args, **options)

        return BlockingRequest(self._runner, self._runner(begin))


async def _next(iterator: AsyncIterator[Answer]) -> Answer | None:
    return await anext(iterator, None)


def _left(ends: float | None) -> float | None:
    return None if ends is None else max(ends - time.monotonic(), 0.0)
