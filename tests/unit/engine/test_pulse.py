"""The thread beside the running calls."""

import threading

import pytest

from streamer_core.engine.pulse import Pulse, Running
from streamer_core.testing import ManualClock
from tests.conftest import Lines


class Call(Running):
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.ticked = threading.Semaphore(0)
        self.times: list[float] = []

    is_zombie = False

    def tick(self, now: float) -> None:
        self.times.append(now)
        self.ticked.release()
        if self.error:
            raise self.error

    def stop(self, reason: str) -> None: ...

    def release(self) -> None: ...


def wait_for_ticks(call: Call, count: int) -> None:
    for _ in range(count):
        assert call.ticked.acquire(timeout=5)


def test_it_looks_at_every_call_until_it_is_removed() -> None:
    clock = ManualClock()
    pulse = Pulse(clock)
    first, second = Call(), Call()
    pulse.add(first)
    pulse.add(second)
    clock.advance(1000)
    wait_for_ticks(first, 3)
    wait_for_ticks(second, 3)
    assert first.times[-1] == 1.0
    pulse.remove(first)
    pulse.remove(first)
    assert pulse.running == [second]
    pulse.close()


def test_soon_is_at_once() -> None:
    pulse = Pulse(ManualClock())
    call = Call()
    pulse.add(call)
    for _ in range(20):
        pulse.soon()
        wait_for_ticks(call, 1)
    pulse.close()


def test_one_calls_trouble_is_its_own(logs: Lines) -> None:
    pulse = Pulse(ManualClock())
    broken, sound = Call(RuntimeError("the whole truth")), Call()
    pulse.add(broken)
    pulse.add(sound)
    wait_for_ticks(broken, 2)
    wait_for_ticks(sound, 2)
    pulse.close()
    assert "the whole truth" in str(logs)


def test_it_sleeps_without_calls_and_wakes_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamer_core.engine.pulse.QUIET_TICKS", 0, raising=False)
    pulse = Pulse(ManualClock())
    for _ in range(5):
        call = Call()
        pulse.add(call)
        wait_for_ticks(call, 1)
        pulse.remove(call)
    pulse.close()


def test_closing_is_final() -> None:
    pulse = Pulse(ManualClock())
    pulse.close()
    call = Call()
    pulse.add(call)
    assert not call.ticked.acquire(timeout=0.1)
    pulse.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_it_knows_when_its_thread_has_died() -> None:
    class Deadly(Call):
        def tick(self, now: float) -> None:
            raise MemoryError  # of which a thread may die without a word

    pulse = Pulse(ManualClock())
    pulse.add(Call())
    assert not pulse.broken
    pulse.add(Deadly())
    pulse.close()  # waits for it
    assert pulse.broken
