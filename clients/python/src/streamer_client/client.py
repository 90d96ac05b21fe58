"""The asynchronous client."""

import inspect
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Unpack

from streamer_client.builder import RequestBuilder
from streamer_client.errors import ClientClosed, InvalidRequest
from streamer_client.handshake import Handshake, Token
from streamer_client.link import Link
from streamer_client.messages import Chunk, Progress, Restart, Update
from streamer_client.request import Request, Stage
from streamer_client.session import Session
from streamer_client.settings import Settings
from streamer_client.spec import FRAMEWORK, RequestOptions, RequestSpec, check_id
from streamer_client.timing import Timing
from streamer_client.topics import Subscription
from streamer_client.waiting import within

OnProgress = Callable[[Progress], Awaitable[None] | None]
OnChunk = Callable[[Chunk], Awaitable[None] | None]
OnRestart = Callable[[Restart], Awaitable[None] | None]
Listeners = dict[type[Update], Callable[[Any], Awaitable[None] | None] | None]
_PAGE = 100  # records asked for at once, where the caller wants more


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some of the requests asked for, and the cursor to the next ones (None: no more)."""

    requests: tuple[dict[str, Any], ...]
    cursor: str | None


class Client:
    """One WebSocket to a Streamer server, kept open over cuts, drains and the 2 h limit.

    ``async with Client("wss://host/stage", token=...) as client:`` connects, or raises. The
    token is a string, or a function (sync or async) asked at every connect. ``timing`` is
    for tests. A client is entered once.
    """

    def __init__(
        self,
        url: str,
        token: Token = None,
        *,
        settings: Settings | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._settings = settings or Settings()
        self._timing = timing or Timing()
        self._handshake = Handshake(url, token, self._settings, self._timing)
        self._running: tuple[Session, Link] | None = None

    def __repr__(self) -> str:
        return f"<Client {self._handshake.where}>"

    async def __aenter__(self) -> "Client":
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def connect(self) -> None:
        """Open the first connection, or raise; see ``Settings.start_offline``."""
        if self._running is not None:
            raise ClientClosed("a client is entered once")
        session = Session(self._settings, self._timing)
        link = Link(self._handshake, session, self._settings, self._timing)
        session.start()
        try:
            await link.start()
        except BaseException:
            await session.close()
            raise
        self._running = (session, link)

    async def close(self) -> None:
        """Close the socket and end all waiting; work at the server goes on.

        What is still in the outbox is not sent.
        """
        if self._running is not None:
            session, link = self._running
            await session.close()
            await link.close()

    @property
    def connected(self) -> bool:
        """Whether there is a connection just now."""
        return self._running is not None and self._running[0].current is not None

    @property
    def _session(self) -> Session:
        if self._running is None:
            raise ClientClosed("the client has not been entered")
        self._running[0].check()
        return self._running[0]

    async def request(
        self,
        action: str,
        payload: Mapping[str, Any] | None = None,
        *,
        on_progress: OnProgress | None = None,
        on_chunk: OnChunk | None = None,
        on_restart: OnRestart | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # the name callers look for
        **options: Unpack[RequestOptions],
    ) -> Any:
        """Send a request and wait for its result, however the server answers.

        The callbacks (sync or async) are called in order, one at a time; what they raise ends
        the waiting. A handler that is tried again may repeat chunks: ``on_restart`` says from
        where. After ``timeout`` seconds WaitTimeout is raised: what was sent goes on at
        the server. RequestSpec explains the options.
        """
        spec = RequestSpec(action=action, payload=payload, **options)
        told: Listeners = {Progress: on_progress, Chunk: on_chunk, Restart: on_restart}
        watched = any(told.values())
        handle = self._submit(spec, self._settings.buffer_limit if watched else 0)
        try:
            work = _tell(handle, told) if watched else handle.result()
            what = f"result of {handle.id}"
            return await within(timeout, work, what=what, request_id=handle.id)
        finally:
            handle.detach()

    def submit(
        self,
        action: str,
        payload: Mapping[str, Any] | None = None,
        **options: Unpack[RequestOptions],
    ) -> Request:
        """Send a request; await the handle, or iterate over it. RequestSpec: the options."""
        return self.submit_spec(RequestSpec(action=action, payload=payload, **options))

    def submit_spec(self, spec: RequestSpec) -> Request:
        """Send what a RequestSpec says."""
        return self._submit(spec, self._settings.buffer_limit)

    def build(self, action: str) -> RequestBuilder:
        """Begin a request that is said step by step."""
        return RequestBuilder(self, RequestSpec(action=action))

    def follow(self, request_id: str, *, last_seq: int = 0) -> Request:
        """Attach to a request of the same user, sent by whichever client and process.

        Everything after ``last_seq`` comes. Refused with NOT_FOUND where it is not kept.
        """
        check_id(request_id)
        if last_seq < 0:
            raise InvalidRequest("last_seq begins at 0")
        session = self._session
        handle = Request(
            session.requests,
            id=request_id,
            stage=Stage.ACTIVE,
            last_seq=last_seq,
            buffer_limit=self._settings.buffer_limit,
        )
        session.requests.follow(handle)
        return handle

    def subscribe(self, topic: str) -> Subscription:
        """Iterate over a topic's events; await or enter it to know that it is granted."""
        return self._session.topics.subscribe(topic, self._settings.buffer_limit)

    async def cancel(self, request_id: str | None = None, *, ref: str | None = None) -> Any:
        """Ask that a request be stopped; its outcome is told to whoever follows it."""
        handle = self._session.requests.open_request(request_id) if request_id else None
        if handle is not None:
            return await handle.cancel()
        return await self.call("streamer.cancel", _which(request_id, ref))

    async def status(
        self, request_id: str | None = None, *, ref: str | None = None
    ) -> dict[str, Any]:
        """Fetch the server's record of a request."""
        record: dict[str, Any] = await self.call("streamer.status", _which(request_id, ref))
        return record

    async def list_page(
        self,
        *,
        status: str | None = None,
        action: str | None = None,
        since: datetime | int | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """Fetch a page of the user's requests, newest first. ``since``: a time, or Unix ms."""
        wanted = {
            "status": status,
            "action": action,
            "since": int(since.timestamp() * 1000) if isinstance(since, datetime) else since,
            "limit": limit,
            "cursor": cursor,
        }
        given = {key: value for key, value in wanted.items() if value is not None}
        answer = await self.call("streamer.list", given)
        return Page(requests=tuple(answer.get("requests", ())), cursor=answer.get("cursor"))

    async def list(
        self,
        *,
        status: str | None = None,
        action: str | None = None,
        since: datetime | int | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """Iterate over the user's requests, newest first, over all pages, ``limit`` at most."""
        cursor, left = None, limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            page = await self.list_page(
                status=status, action=action, since=since, limit=size, cursor=cursor
            )
            for record in page.requests[:left]:
                yield record
            left = None if left is None else left - len(page.requests)
            cursor = page.cursor
            if cursor is None:
                return

    async def actions(self, action: str | None = None) -> tuple[dict[str, Any], ...]:
        """Fetch the actions this user may call, or this one, with JSON Schema of their payloads.

        Where the schemas of all do not fit in a message, they are None: ask for one action.
        """
        answer = await self.call("streamer.actions", {"action": action} if action else None)
        return tuple(answer["actions"])

    async def ping(self) -> float:
        """Go to the server and back; return the seconds it took."""
        begun = self._timing.now()
        await self.call("streamer.ping")
        return self._timing.now() - begun

    async def call(self, action: str, payload: Mapping[str, Any] | None = None) -> Any:
        """Call an action of the framework; return the answer's data."""
        if not action.startswith(FRAMEWORK):
            raise InvalidRequest("call() is for actions of the framework; use request()")
        return await self._session.call(action, payload, limit=self._settings.reply_timeout)

    def _submit(self, spec: RequestSpec, buffer_limit: int) -> Request:
        session = self._session
        request_id = spec.id or uuid.uuid4().hex
        handle = Request(
            session.requests,
            id=request_id,
            data=spec.encode(request_id),
            buffer_limit=buffer_limit,
            repeats=spec.id is not None,
            resends=spec.resends,
            retries=spec.retries,
        )
        session.requests.submit(handle)
        return handle


async def _tell(handle: Request, told: Listeners) -> Any:
    async for update in handle:
        listener = told.get(type(update))
        answer = listener(update) if listener is not None else None
        if inspect.isawaitable(answer):
            await answer
    return await handle.result()


def _which(request_id: str | None, ref: str | None) -> dict[str, str]:
    if (request_id is None) == (ref is None):
        raise InvalidRequest("name the request by its id or by its ref")
    return {"request_id": request_id} if request_id is not None else {"ref": str(ref)}
