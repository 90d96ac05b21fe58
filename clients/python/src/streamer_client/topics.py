"""Subscriptions to topics: one a topic on the wire, any number of readers here."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

from streamer_client.errors import ConnectionLost, StreamerError, WaitTimeout
from streamer_client.inbox import Inbox
from streamer_client.messages import Event

_MATCH_WITHIN = 5.0  # seconds between the two copies of an event that came on both connections


class Subscription:
    """The events of a topic, as an async iterator.

    Await or enter it to know that the server granted it; a refusal is raised there and by
    the iteration. It is renewed after every reconnect, but events are not stored: those
    published while the link was down are not seen. Over ``buffer_limit`` unread events the
    oldest are dropped, and counted in ``dropped``.
    """

    def __init__(self, topic: "Topic", limit: int, leave: Callable[[], Awaitable[None]]) -> None:
        self.topic = topic.name
        self.dropped = 0
        self._topic = topic
        self._limit = limit
        self._leave = leave
        self._inbox: Inbox[Event] = Inbox()

    def __repr__(self) -> str:
        return f"<Subscription {self.topic!r}>"

    def __await__(self) -> Generator[Any, None, "Subscription"]:
        return self._granted().__await__()

    async def __aenter__(self) -> "Subscription":
        return await self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.unsubscribe()

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Event:
        return await self._inbox.get()

    async def unsubscribe(self) -> None:
        """End the iteration, and tell the server if no one else here reads the topic."""
        self._inbox.close()
        await self._leave()

    async def _granted(self) -> "Subscription":
        await self._topic.answered.wait()
        if self._topic.error is not None:
            raise self._topic.error
        return self

    def offer(self, event: Event) -> None:
        """Take an event; the oldest unread gives way."""
        if len(self._inbox) >= self._limit:
            self._inbox.items.popleft()
            self.dropped += 1
        self._inbox.put(event)

    def close(self, error: StreamerError | None) -> None:
        """End, or fail, the iteration."""
        self._inbox.close(error)


class Topic:
    """What is known of one topic."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.readers: list[Subscription] = []
        self.answered = asyncio.Event()
        self.error: StreamerError | None = None
        self.asking: asyncio.Task[None] | None = None
        self._unmatched: dict[str, list[tuple[object, float]]] = {}

    def doubled(self, event: Event, source: object, now: float, *, overlap: bool) -> bool:
        """Tell whether this is the second copy of an event that came on two connections.

        Events have no number. While two connections overlap, the first copy of an event is
        noted, and one equal to it from the other connection is taken for its twin.
        """
        key = json.dumps(event.data, sort_keys=True)
        notes = [note for note in self._unmatched.pop(key, []) if now - note[1] < _MATCH_WITHIN]
        twin = next((note for note in notes if note[0] is not source), None)
        if twin is not None:
            notes.remove(twin)
        elif overlap:
            notes.append((source, now))
        if notes:
            self._unmatched[key] = notes
        return twin is not None

    def settle(self) -> None:
        """Forget the notes of an overlap that is long over."""
        self._unmatched.clear()

    def close(self, error: StreamerError | None) -> None:
        """End every reader."""
        self.error = error
        self.answered.set()
        for reader in self.readers:
            reader.close(error)


class Topics:
    """All topics of a client. ``ask`` sends a framework action, ``spawn`` runs a task."""

    def __init__(
        self,
        ask: Callable[[str, Mapping[str, Any]], Awaitable[Any]],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._ask = ask
        self._spawn = spawn
        self._topics: dict[str, Topic] = {}

    def subscribe(self, name: str, limit: int) -> Subscription:
        """Add a reader; ask the server if it is the topic's first."""
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = Topic(name)
            topic.asking = self._spawn(self._subscribe(topic))

        async def leave() -> None:
            await self._leave(topic, subscription)

        subscription = Subscription(topic, limit, leave)
        topic.readers.append(subscription)
        return subscription

    def renew(self) -> None:
        """Subscribe everything again, on a new connection."""
        for topic in self._topics.values():
            if topic.asking is not None:
                topic.asking.cancel()
            topic.settle()
            topic.asking = self._spawn(self._subscribe(topic))

    async def renewed(self) -> None:
        """Wait until the server has answered for every topic."""
        asking = [topic.asking for topic in self._topics.values() if topic.asking is not None]
        await asyncio.gather(*asking, return_exceptions=True)

    def receive(self, raw: Mapping[str, Any], source: object, now: float, overlap: bool) -> None:
        """Hand an event to the readers of its topic."""
        topic = self._topics.get(str(raw.get("topic")))
        if topic is None:
            return
        event = Event(topic=topic.name, data=raw.get("data"), timestamp=raw.get("timestamp"))
        if not topic.doubled(event, source, now, overlap=overlap):
            for reader in topic.readers:
                reader.offer(event)

    def close(self, error: StreamerError | None) -> None:
        """End all."""
        for topic in self._topics.values():
            topic.close(error)
        self._topics.clear()

    async def _subscribe(self, topic: Topic) -> None:
        try:
            await self._ask("streamer.subscribe", {"topic": topic.name})
        except StreamerError as error:
            if self._topics.get(topic.name) is topic:
                del self._topics[topic.name]
            topic.close(error)
        else:
            topic.answered.set()

    async def _leave(self, topic: Topic, subscription: Subscription) -> None:
        if subscription not in topic.readers:
            return
        topic.readers.remove(subscription)
        if topic.readers or self._topics.get(topic.name) is not topic:
            return
        del self._topics[topic.name]
        if topic.asking is not None:
            topic.asking.cancel()
        with suppress(ConnectionLost, WaitTimeout):
            await self._ask("streamer.unsubscribe", {"topic": topic.name})
