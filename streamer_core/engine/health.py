"""Asking the store and every plugin how they are."""

import threading
from collections.abc import Callable
from dataclasses import replace

from streamer_core.engine.runtime import Runtime
from streamer_core.errors import StoreError
from streamer_core.log import get_logger
from streamer_core.model.call import Health
from streamer_core.ports import Clock

_BOUND_S = 1.0
"""How long a check is waited for, and how long its answer is good."""
_DETAIL_CHARS = 500

_beginning = threading.Lock()


def ask(rt: Runtime) -> list[Health]:
    """Give the store's answer, then those of the plugins that have one, after a second at most.

    They are asked side by side. A check that takes longer is shown as such, and none like it begins
    before it has ended. Who asks within a second of another gets the same answers: a crowd of
    askers costs the store no more than one.
    """
    under_way = [
        _under_way(rt, "store", "store", lambda: _of_store(rt)),
        *(
            _under_way(rt, f"plugin {one.plugin_name}", one.plugin_name, one.function)
            for one in rt.hooks.implementations("streamer_health")
        ),
    ]
    answers = [check.answer() for check in under_way]
    return [answer for answer in answers if answer is not None]


def _under_way(rt: Runtime, key: str, name: str, look: Callable[[], object]) -> "_Check":
    with _beginning:
        known: _Check | None = rt.checks.get(key)
        if known is None or known.is_over:
            known = rt.checks[key] = _Check(name, look, rt.clock)
        return known


def _of_store(rt: Runtime) -> Health:
    try:
        rt.store.check()
    except StoreError as error:
        return Health(name="store", ok=False, detail=type(error).__name__)
    return Health(name="store", ok=True)


class _Check:
    """One look at one of them, in a thread of its own, which may hang.

    Args:
        name: what is looked at.
        look: gives its `Health`; None: it has none.
        clock: tells what it took.
    """

    def __init__(self, name: str, look: Callable[[], object], clock: Clock) -> None:
        self._name = name
        self._look = look
        self._clock = clock
        self._began = clock.monotonic()
        self._done = threading.Event()
        self._answer: Health | None = None
        threading.Thread(target=self._run, name=f"streamer-health-{name}", daemon=True).start()

    @property
    def is_over(self) -> bool:
        """Whether it has ended and is too old to answer for the present."""
        return self._done.is_set() and self._age_s >= _BOUND_S

    def answer(self) -> Health | None:
        """Wait for the answer until the check is a second old."""
        if self._done.wait(max(0.0, _BOUND_S - self._age_s)):
            return self._answer
        return Health(
            name=self._name,
            ok=False,
            detail=f"The check has not ended after {_BOUND_S:g} s",
            latency_ms=self._age_s * 1000,
        )

    @property
    def _age_s(self) -> float:
        return self._clock.monotonic() - self._began

    def _run(self) -> None:
        try:
            self._answer = self._measured(self._look())
        except BaseException as error:  # noqa: BLE001 - nobody is above a thread to hear of it
            self._answer = self._failed()
            get_logger().error("health check failed", check=self._name, exc_info=error)
        finally:
            self._done.set()

    def _measured(self, answer: object) -> Health | None:
        if answer is None:
            return None
        if not isinstance(answer, Health):
            raise TypeError(f"{answer!r:.80} is no streamer_core.plugin.Health")
        took_ms = self._age_s * 1000 if answer.latency_ms is None else answer.latency_ms
        return replace(answer, detail=answer.detail[:_DETAIL_CHARS], latency_ms=took_ms)

    def _failed(self) -> Health:
        sentence = "The check failed; the log says why"
        return Health(name=self._name, ok=False, detail=sentence, latency_ms=self._age_s * 1000)
