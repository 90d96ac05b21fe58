"""Storing new requests: what plugins add to them, and through the hooks to the store."""

from collections.abc import Callable, Sequence

from streamer_core.engine.runtime import Runtime
from streamer_core.hooks import collect
from streamer_core.model.request import Request
from streamer_core.ports import Enqueued, Enqueuing

Answers = Sequence[Enqueued | Exception]


def with_metadata(rt: Runtime, request: Request) -> Request:
    """Add what plugins have stored with a request; of two for one name the first wins."""
    if not rt.implemented("streamer_metadata"):
        return request

    def without(plugin: str, error: Exception) -> None:
        rt.log.error("plugin failed", plugin=plugin, hook="streamer_metadata", exc_info=error)

    given = collect(rt.hooks, "streamer_metadata", request=request, on_error=without)
    added = {name: text for _, texts in reversed(given) for name, text in texts.items()}
    return request.changed(metadata={**request.metadata, **added})


def enqueue_all(rt: Runtime, those: Sequence[Enqueuing]) -> Answers:
    """Store requests, each by itself; one that could not be has an error for an answer."""
    requests = [one.request for one in those]
    try:
        return surrounded(rt, requests, lambda: rt.store.enqueue_all(those))
    except Exception as error:  # noqa: BLE001 - each kind has its answer
        return [error] * len(those)


def surrounded(rt: Runtime, requests: Sequence[Request], write: Callable[[], Answers]) -> Answers:
    """Store requests by a write; raises what the write, or a plugin around it, raises."""
    answers: Answers = rt.hook.streamer_enqueue(requests=requests, write=write)
    return answers
