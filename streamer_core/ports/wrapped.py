"""A store around a store."""

from abc import update_abstractmethods
from collections.abc import Callable
from typing import Any

from streamer_core.ports.store import Store


class WrappedStore(Store):
    """Hands every verb on to the store inside; a subclass writes those that shall do more.

    mypy cannot see verbs that are made below: `Mine(store)  # type: ignore[abstract]`.

    Args:
        inner: the store inside.
    """

    def __init__(self, inner: Store) -> None:
        super().__init__(inner.clock)
        self.inner = inner


def _handed_on(verb: str) -> Callable[..., Any]:
    def hand_on(self: WrappedStore, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.inner, verb)(*args, **kwargs)

    hand_on.__name__ = verb
    return hand_on


# What a store makes many writes durable with is handed on whole, too.
for _verb in (*Store.__abstractmethods__, "enqueue_all", "finish_all", "change_of"):
    setattr(WrappedStore, _verb, _handed_on(_verb))
update_abstractmethods(WrappedStore)  # type: ignore[type-abstract]
