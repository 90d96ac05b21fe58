"""The handle of one request: its result, its updates, and what can be done to it."""

import asyncio
from collections import deque
from collections.abc import Generator
from contextlib import suppress
from enum import Enum
from typing import Any, Protocol

from streamer_client.connection import Connection
from streamer_client.errors import Cancelled, Failed, InvalidRequest
from streamer_client.inbox import Inbox
from streamer_client.messages import (
    Acknowledgment,
    Chunk,
    Complete,
    Failure,
    Gap,
    Progress,
    Restart,
    Update,
    Wire,
)
from streamer_client.stream import Applied, RequestStream


class Stage(Enum):
    """How much is known of a request's fate."""

    QUEUED = "queued"  # in the outbox; the server cannot know it
    SENT = "sent"  # on its way, unanswered
    UNCERTAIN = "uncertain"  # the link was cut before an answer
    ACTIVE = "active"  # stored by the server
    DONE = "done"


class Keeper(Protocol):
    """What a handle asks of the session that keeps it."""

    def catch_up(self, request: "Request") -> None:
        """Ask again for the updates that are missing."""

    def forget(self, request: "Request") -> None:
        """Stop following; an unsent request is never sent."""

    async def cancel(self, request: "Request") -> Any:
        """Cancel, once the server knows the request."""

    async def status(self, request: "Request") -> dict[str, Any]:
        """Fetch the server's record."""

    async def redriven(self, request: "Request") -> "Request":
        """Wait until the failed request was started again; give the new one."""


class Request:
    """A request under way. Await it for its result; iterate over it for its updates.

    Iterating yields Progress, Chunk, Restart, Gap and at last Complete; a failed request
    raises its error at the end. Updates wait to be read; of unread progress only the newest
    is kept. When ``buffer_limit`` of them are unread, the request stops taking chunks and
    has the server repeat them as they are read: nothing is lost to a slow reader. But once
    the result is awaited it is fetched past the unread: the oldest then become one Gap.
    """

    def __init__(
        self,
        keeper: Keeper,
        *,
        id: str,  # noqa: A002  # the wire's name
        data: bytes = b"",
        stage: Stage = Stage.QUEUED,
        last_seq: int = 0,
        buffer_limit: int = 1000,
        repeats: bool = False,
        resends: bool = False,
        retries: int = 0,
    ) -> None:
        self.id = id
        self.ref: str | None = None
        self.recovered = True
        """False once the server no longer had all updates that were missed."""
        self.data = data
        self.stage = stage
        self.stream = RequestStream(last_seq)
        self.repeats = repeats  # the server may have had it before
        self.resends = resends
        self.retries = retries
        self.watched_on: Connection | None = None
        self.resuming = False
        self.asked_from = last_seq
        self.unproven = last_seq > 0  # another process may have seen the terminal message
        self.held_back = False  # updates were left with the server: too many are unread here
        self._keeper = keeper
        self._buffer_limit = buffer_limit
        self._inbox: Inbox[Update] = Inbox()
        self._acknowledgment: Acknowledgment | None = None
        self._known = asyncio.Event()
        self._done = asyncio.Event()
        self._waiting = 0
        self._outcome: Complete | Exception | None = None
        self._redriven: Request | None = None

    def __repr__(self) -> str:
        return f"<Request {self.id} {self.stage.value}>"

    def __await__(self) -> Generator[Any, None, Any]:
        return self.result().__await__()

    def __aiter__(self) -> "Request":
        return self

    async def __anext__(self) -> Update:
        update = await self._inbox.get()
        if len(self._inbox) <= self._buffer_limit // 2:
            self._fetch_held_back()
        return update

    @property
    def done(self) -> bool:
        """Whether the outcome is known."""
        return self.stage is Stage.DONE

    @property
    def last_seq(self) -> int:
        """The last update applied; what ``client.follow`` goes on from."""
        return self.stream.last_seq

    @property
    def progress(self) -> Progress | None:
        """The newest snapshot."""
        return self.stream.progress

    async def result(self) -> Any:
        """Wait for the result, or raise the request's error."""
        self._waiting += 1
        try:
            self._fetch_held_back()
            await self._done.wait()
        finally:
            self._waiting -= 1
        if isinstance(self._outcome, Complete):
            return self._outcome.result
        assert self._outcome is not None
        raise self._outcome

    async def acknowledged(self) -> Acknowledgment | None:
        """Wait until the server has stored the request, or answered it.

        None where it was answered without an acknowledgment. A refusal is raised.
        """
        await self._known.wait()
        if isinstance(self._outcome, Exception) and self._acknowledgment is None:
            raise self._outcome
        return self._acknowledgment

    async def cancel(self) -> Any:
        """Ask that the work be stopped; the outcome is then Cancelled, or whatever came first.

        Returns the server's answer; None where there was nothing to ask it.
        """
        return await self._keeper.cancel(self)

    async def status(self) -> dict[str, Any]:
        """Fetch the server's record of this request."""
        return await self._keeper.status(self)

    async def redriven(self) -> "Request":
        """Wait until this request has failed, and was started again; give the new one.

        An operator does that, soon or never. Where it is done already the new one is given at
        once, as long as the server keeps this one; it is followed from its beginning. If this one
        ends in another way, that is raised; if it completes, InvalidRequest.
        """
        with suppress(Failed):
            await self.result()
            raise InvalidRequest(f"request {self.id} has completed; only a failed one is redriven")
        if isinstance(self._outcome, Cancelled):
            raise self._outcome
        if self._redriven is None:
            self._redriven = await self._keeper.redriven(self)
        return self._redriven

    def detach(self) -> None:
        """Stop following. The work goes on; a request still unsent is never sent."""
        self._keeper.forget(self)

    # What follows is for the session.

    def acknowledge(self, acknowledgment: Acknowledgment | None) -> None:
        """Learn that the server has the request."""
        if self.done:
            return
        self.stage = Stage.ACTIVE
        if acknowledgment is not None:
            self._acknowledgment = acknowledgment
            self.ref = acknowledgment.ref or self.ref
        self._known.set()

    def apply(self, message: Wire) -> None:
        """Take a message, unless the reader is so far behind that it must come again."""
        if not isinstance(message, Progress) and message.seq is not None and self._crowded():
            self.held_back = True
            self.stream.note(message.seq)
            return
        self._deliver(self.stream.apply(message))

    def answer(self, outcome: Complete) -> None:
        """Take the answer of a request that is not stored: nothing more can come before it."""
        self.held_back = False
        self._deliver(self.stream.skip(self.stream.known))
        self.finish(outcome)

    def begin_again(self) -> None:
        """Go back to unsent; what a run has sent that the server knows nothing of is void."""
        self.stage, self.repeats = Stage.QUEUED, True
        if self.last_seq:
            self._keep(Restart(seq=0, keep_through_seq=0))
        self.stream = RequestStream()

    def skip(self, through: int) -> None:
        """Learn that the server no longer has all that is missing up to ``through``."""
        self.recovered, self.unproven = False, True
        if not self.held_back:  # else what it still has would be skipped too; it comes again
            self._deliver(self.stream.skip(through))

    def finish(self, outcome: Complete | Exception) -> None:
        """Set the outcome; only the first counts."""
        if self.done:
            return
        self.stage, self._outcome = Stage.DONE, outcome
        if isinstance(outcome, Complete):
            self._keep(outcome)
        self._inbox.close(outcome if isinstance(outcome, Exception) else None)
        self._known.set()
        self._done.set()

    def _fetch_held_back(self) -> None:
        if self.held_back:
            self.held_back = False
            self._keeper.catch_up(self)

    def _crowded(self) -> bool:
        # Only what is stored can come again; an answer at once is bounded by its 29 s.
        stored = self.stage is Stage.ACTIVE
        return stored and len(self._inbox) >= self._buffer_limit > 0 and not self._waiting

    def _deliver(self, applied: list[Applied]) -> None:
        for message in applied:
            if isinstance(message, Failure):
                self.finish(message.error)
            elif isinstance(message, Complete):
                self.finish(message)
            else:
                self._keep(message)

    def _keep(self, update: Update) -> None:
        unread = self._inbox.items
        if self._buffer_limit == 0:
            return
        if isinstance(update, Progress) and unread and isinstance(unread[-1], Progress):
            unread.pop()
        elif len(unread) >= self._buffer_limit and self._waiting:
            fold(unread)
        self._inbox.put(update)


def fold(unread: deque[Update]) -> None:
    """Make room: turn the older half of what is unread into one Gap."""
    numbers: list[int] = []
    for _ in range(len(unread) // 2 + 1):
        update = unread.popleft()
        if isinstance(update, Chunk | Restart):
            numbers.append(update.seq)
        elif isinstance(update, Gap):
            numbers += [update.missing_from, update.missing_through]
    if numbers:
        lost = Gap(missing_from=min(numbers), missing_through=max(numbers), reason="unread")
        unread.appendleft(lost)
