"""The requests of a client: what each message does to them, and how they are resumed."""

import logging
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from streamer_client.connection import Connection, framework_message
from streamer_client.errors import (
    Cancelled,
    ConnectionLost,
    InvalidRequest,
    RequestError,
    StreamerError,
    request_error,
)
from streamer_client.messages import Acknowledgment, Complete, parse_update
from streamer_client.redrives import Redrives
from streamer_client.request import Request, Stage
from streamer_client.settings import Settings
from streamer_client.tasks import Tasks
from streamer_client.timing import Backoff, Timing

logger = logging.getLogger("streamer_client")
RESUME_LIMIT = 50  # requests in one message: PROTOCOL.md, streamer.resume
_LONGEST_PAUSE = 30.0


class Office(Protocol):
    """What the requests need of the session around them."""

    current: Connection | None

    def send(self, message: Request) -> None:
        """Queue for sending."""

    def send_again(self, message: Request) -> None:
        """Queue what was sent before."""

    def withdraw(self, message: Request) -> bool:
        """Unqueue."""

    def answered(self, message_id: str) -> None:
        """Note that an answer came."""

    async def call(
        self, action: str, payload: Mapping[str, Any] | None, *, limit: float | None
    ) -> Any:
        """Ask the framework."""


class Requests:
    """Every request that is not done, by its id."""

    def __init__(self, office: Office, settings: Settings, timing: Timing, tasks: Tasks) -> None:
        self._office = office
        self._settings = settings
        self._timing = timing
        self._tasks = tasks
        self._open: dict[str, Request] = {}
        self._mending: set[Request] = set()
        self._redrives = Redrives()

    def submit(self, request: Request) -> None:
        """Take a new request and queue it."""
        self._check_free(request.id)
        self._office.send(request)
        self._open[request.id] = request

    def follow(self, request: Request) -> None:
        """Take a request that the server has already."""
        self._check_free(request.id)
        self._open[request.id] = request
        self.catch_up(request)

    def sent(self, request: Request, connection: Connection) -> None:
        """Learn that the request goes out on this connection."""
        request.stage = Stage.SENT
        request.watched_on = connection

    def cut(self, unanswered: Collection[str]) -> None:
        """Learn that these will get no answer on the connection that owed it."""
        for name in unanswered:
            request = self._open.get(name)
            if request is not None and request.stage is Stage.SENT:
                request.stage = Stage.UNCERTAIN

    def fail(self, failure: StreamerError) -> None:
        """End all."""
        for request in list(self._open.values()):
            self._finish(request, failure)
        self._redrives.refused(failure, lambda _: True)

    def fail_one(self, name: str, error: StreamerError) -> None:
        """End one."""
        if request := self._open.get(name):
            self._finish(request, error)

    # Resuming: every stored or uncertain request is watched on the current connection.

    def first_resume(self, connection: Connection) -> dict[str, int]:
        """Choose what ``hello`` resumes; ``watch`` sees to the rest."""
        return self._mark(list(self._unwatched(connection))[:RESUME_LIMIT], connection)

    def watch(self, connection: Connection) -> None:
        """Resume whatever is not told to this connection yet."""
        self._resume(list(self._unwatched(connection)), connection)

    def _unwatched(self, connection: Connection) -> Iterable[Request]:
        for request in self._open.values():
            known = request.stage in {Stage.ACTIVE, Stage.UNCERTAIN}
            if known and request.watched_on is not connection:
                yield request
        yield from (one for one in self._redrives.failed if one.watched_on is not connection)

    def _mark(self, requests: list[Request], connection: Connection) -> dict[str, int]:
        for request in requests:
            request.watched_on = connection
            request.resuming = True
            request.asked_from = request.last_seq
        return {request.id: request.last_seq for request in requests}

    def _resume(self, requests: list[Request], connection: Connection) -> None:
        for start in range(0, len(requests), RESUME_LIMIT):
            wanted = self._mark(requests[start : start + RESUME_LIMIT], connection)
            _, data = framework_message("streamer.resume", {"requests": wanted})
            self._tasks.spawn(self._post(data, connection))

    async def _post(self, data: bytes, connection: Connection) -> None:
        with suppress(ConnectionLost):  # the next connection resumes by itself
            await connection.send(data)

    async def _mend(self, request: Request) -> None:
        """Ask again for what is missing, ever more rarely, until it has come."""
        pause = self._settings.gap_timeout
        try:
            await self._timing.sleep(pause)
            while request.stream.gap and not request.held_back and not request.done:
                self.catch_up(request)
                pause = min(pause * 2, _LONGEST_PAUSE)
                await self._timing.sleep(pause)
        finally:
            self._mending.discard(request)

    def _check_gap(self, request: Request) -> None:
        missing = request.stream.gap and not request.held_back
        if missing and request not in self._mending:
            self._mending.add(request)
            self._tasks.spawn(self._mend(request))

    # What a handle asks for.

    def catch_up(self, request: Request) -> None:
        """Ask for everything after the last update applied."""
        if self._office.current is not None and request.id in self._open:
            self._resume([request], self._office.current)

    def forget(self, request: Request) -> None:
        """Stop following."""
        self._office.withdraw(request)
        self._finish(request, ConnectionLost(f"request {request.id} is no longer followed"))

    async def cancel(self, request: Request) -> Any:
        """Cancel here what is still unsent, else at the server once it has the request."""
        if request.stage is Stage.QUEUED and self._office.withdraw(request):
            error = Cancelled("CANCELLED", "before it was sent", request_id=request.id)
            self._finish(request, error)
            return None
        await request.acknowledged()
        return None if request.done else await self._ask("streamer.cancel", request)

    async def status(self, request: Request) -> dict[str, Any]:
        """Fetch the record, once the server has the request."""
        await request.acknowledged()
        record: dict[str, Any] = await self._ask("streamer.status", request)
        return record

    async def redriven(self, request: Request) -> Request:
        """Have the server tell of the new request, now or whenever there is one."""
        if request.ref is None:
            request.ref = str((await self._ask("streamer.status", request))["ref"])
        if self._office.current is not None:
            self._resume([request], self._office.current)
        return await self._redrives.wait(request)

    async def _ask(self, action: str, request: Request) -> Any:
        payload = {"request_id": request.id}
        return await self._office.call(action, payload, limit=self._settings.reply_timeout)

    def open_request(self, name: str) -> Request | None:
        """Find the handle of a request under way."""
        return self._open.get(name)

    # What the server says.

    def receive(self, connection: Connection, name: str, raw: Mapping[str, Any]) -> None:
        """Take a message about a request."""
        if raw.get("type") == "acknowledgment" and "redriven_from" in raw:
            self._redrives.begun(raw["redriven_from"], lambda: self._redriven(name))
        request = self._open.get(name)
        if request is None:
            if raw.get("type") == "error":
                self._stray(connection, name, raw)
            return
        try:
            self._take(request, connection, raw)
        except (KeyError, TypeError, ValueError) as error:
            logger.warning("ignored a malformed %s: %r", raw.get("type"), error)
        if request.done:
            self._end(request)
        else:
            self._check_gap(request)

    def _take(self, request: Request, connection: Connection, raw: Mapping[str, Any]) -> None:
        match raw.get("type"):
            case "acknowledgment":
                self._acknowledged(request, connection, raw)
            case "response":
                request.answer(Complete(result=raw.get("data")))
            case "resumed":
                self._resumed(request, connection, raw)
            case "error" if not raw.get("terminal"):
                self._refused(request, connection, request_error(raw))
            case _:
                update = parse_update(raw)
                if update is None:
                    return
                request.apply(update)

    def _stored(self, request: Request, said: Acknowledgment | None = None) -> None:
        """Learn that the server has the request, and see that it tells us about it."""
        self._office.answered(request.id)
        if said is None and request.stage is Stage.ACTIVE:
            return
        if request.stage is Stage.QUEUED:
            self._office.withdraw(request)
        request.acknowledge(said)
        current = self._office.current
        if current is not None and request.watched_on is not current:
            self._resume([request], current)

    def _acknowledged(
        self, request: Request, connection: Connection, raw: Mapping[str, Any]
    ) -> None:
        said = Acknowledgment(
            ref=raw.get("ref"),
            status=str(raw.get("status", "queued")),
            message=str(raw.get("message") or ""),
        )
        self._stored(request, said)
        # A repeat is told where the request stands; what it sends goes to whoever sent it first.
        if (request.repeats or said.status != "queued") and not request.resuming:
            self._resume([request], connection)

    def _redriven(self, name: str) -> Request:
        request = self._open.get(name)
        if request is None:
            limit = self._settings.buffer_limit
            request = Request(self, id=name, stage=Stage.ACTIVE, buffer_limit=limit)
            self.follow(request)
        return request

    def _resumed(self, request: Request, connection: Connection, raw: Mapping[str, Any]) -> None:
        last_seq, more = int(raw["last_seq"]), bool(raw.get("more"))
        request.resuming = False
        self._stored(request)
        request.stream.note(last_seq + more)
        if not raw.get("recovered", True):
            request.skip(last_seq)
        if request.done or request.held_back:
            return
        if more and request.last_seq > request.asked_from:
            self._resume([request], connection)
        elif not more and request.unproven and request.last_seq == request.asked_from:
            request.unproven = False
            self._tasks.spawn(self._read_record(request))

    async def _read_record(self, request: Request) -> None:
        """See whether a request that sends nothing more has ended.

        Its terminal message may have been seen by another process, or have expired.
        """
        with suppress(StreamerError):
            record = await self._ask("streamer.status", request)
            if record.get("status") == "completed":
                self._finish(request, Complete(result=record.get("result")))
            elif record.get("status") in {"failed", "cancelled"}:
                end = {"error": record.get("error"), "terminal": True, "request_id": request.id}
                self._finish(request, request_error(end))

    def _refused(self, request: Request, connection: Connection, error: RequestError) -> None:
        if request.resuming and request.watched_on is connection:
            request.resuming = False
            self._resume_refused(request, error)
        elif request.stage is Stage.SENT:
            self._office.answered(request.id)
            if error.retryable and request.retries > 0:
                request.retries -= 1
                request.stage = Stage.QUEUED
                self._tasks.spawn(self._retry(request, error))
            else:
                request.finish(error)

    def _resume_refused(self, request: Request, error: RequestError) -> None:
        if error.retryable:
            request.resuming = True
            self._tasks.spawn(self._resume_later(request, error))
        elif request.stage is Stage.SENT:
            # It is answered at once and nothing of it is kept: what is missing will not come.
            request.skip(request.stream.known)
        elif request.stage is not Stage.UNCERTAIN or error.code != "NOT_FOUND":
            request.finish(error)
        elif request.resends:
            request.begin_again()
            self._office.send_again(request)
        else:
            text = f"the link was cut before {request.id} was answered; it may have run"
            request.finish(ConnectionLost(text))

    async def _retry(self, request: Request, error: RequestError) -> None:
        await self._timing.sleep(self._pause(error))
        if not request.done:
            self._office.send_again(request)

    async def _resume_later(self, request: Request, error: RequestError) -> None:
        await self._timing.sleep(self._pause(error))
        if request.resuming:
            self.catch_up(request)

    def _pause(self, error: RequestError) -> float:
        if error.retry_after_ms is not None:
            return error.retry_after_ms / 1000
        return Backoff(base=1.0).delay(1, self._timing.random())

    def _stray(self, connection: Connection, name: str, raw: Mapping[str, Any]) -> None:
        if raw.get("terminal"):
            return  # it has come before: the server sends again what it does not know to be sent
        error = request_error(raw)
        whole = name.startswith("resume-")
        if raw.get("refused"):
            self._redrives.refused(
                error, lambda old: old.watched_on is connection and (whole or old.id == name)
            )
        logger.warning("the server reports %s for nothing under way", error.code)
        if not whole:
            return
        for request in list(self._open.values()):
            if request.resuming and request.watched_on is connection:
                self._refused(request, connection, error)
                if request.done:
                    self._end(request)

    def _check_free(self, name: str) -> None:
        if name in self._open:
            raise InvalidRequest(f"request {name} is under way in this client already")

    def _finish(self, request: Request, outcome: Complete | StreamerError) -> None:
        request.finish(outcome)
        self._end(request)

    def _end(self, request: Request) -> None:
        self._open.pop(request.id, None)
        self._office.answered(request.id)
