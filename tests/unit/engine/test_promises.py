"""PROTOCOL.md's six promises, held against faults, by two workers on one store.

A machine of steps: clients send, come, go and resume; workers run, one in the middle of the other's
work too, crash and are outlived by their leases; the store fails before or after its writes;
clients are busy, gone or take nothing large, and the transport breaks; the sweeper makes its
rounds. After every step the promises are looked at; at the end all trouble stops, and every request
must come to its end, at every client that asks for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, NoReturn

import pytest
import structlog
from hypothesis import note, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)

from streamer_core import Context, Reject, handler
from streamer_core.engine import finish
from streamer_core.errors import CircuitOpen, ItemTooLarge, StorageFailed, StoreError, Throttled
from streamer_core.model.request import Request
from streamer_core.testing import MemoryStore
from tests.e2e.kit.seed import SEED, rounds
from tests.unit.harness import Client, Mirror, Rig, code_of
from tests.unit.promises.ledger import Ledger
from tests.unit.promises.script import DOINGS, FAILING, IN_WORK, STEPS, TAKE_ITEMS, VERBS
from tests.unit.promises.watcher import Watcher
from tests.unit.promises.witness import Witness, ref

# What a worker has still to do after it died; as many calls fail.
_REST_OF_A_LIFE = 10_000
_SMALL_MESSAGE_BYTES = 150
_MOST_AT_ONCE = 12  # there are six requests
_MOST_ROUNDS = 40
_MOST_RUNS = 6
"""After so many runs a script does only what cannot fail, so that every request ends."""


pytestmark = pytest.mark.timeout(rounds(600, 1800))  # a failure is made smaller for minutes


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    """Write no log, and wait for no busy client: it is busy until somebody sends to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finish, "_BUSY_WAIT_S", 0.002)
        patch.setattr(finish, "_BUSY_STEP_S", 0.001)
        structlog.configure(processors=[_drop], cache_logger_on_first_use=False)
        yield
        structlog.reset_defaults()


def _drop(*_: Any) -> NoReturn:
    raise structlog.DropEvent


@seed(f"{SEED}/promises")
class Promises(RuleBasedStateMachine):
    requests = Bundle("requests")

    @initialize(target=requests, scripts=st.lists(STEPS, min_size=2, max_size=4))
    def begin(self, scripts: list[list[str]]) -> MultipleResults[str]:
        note(f"STREAMER_SEED={SEED}")
        self.runs: dict[str, int] = {}
        self.scripts: dict[str, list[str]] = {}
        self.watchers: list[Watcher] = []
        self.working: list[Rig] = []
        self.dead: set[int] = set()

        @handler("a", mode="async", timeout="10m", retry={"max_attempts": 3, "backoff": "1s"})
        def scripted(payload: dict[str, Any], ctx: Context) -> list[Any]:
            return self.play(ctx)

        @handler("a", mode="async", timeout="10m", retry={"max_attempts": 3, "backoff": "1s"})
        async def async_scripted(payload: dict[str, Any], ctx: Context) -> list[Any]:
            return self.play(ctx)

        self.transport = Witness()
        self.rig = Rig(scripted, transport=self.transport, chunk_buffer=2)
        self.other = Rig(async_scripted, beside=self.rig, chunk_buffer=2)
        self.both = (self.rig, self.other)
        self.truth = self.transport.truth = MemoryStore(self.rig.clock, self.rig.store.data)
        self.ledger = Ledger(self.truth, self.transport)
        return multiple(*(self.send_one(n, script) for n, script in enumerate(scripts)))

    # -- what a handler does

    def play(self, ctx: Context) -> list[Any]:
        """Play the script; gives all output that must stand, over all runs."""
        run = self.runs[ctx.request_id] = self.runs.get(ctx.request_id, 0) + 1
        output: list[Any] = list(ctx.restored or [])
        for number, step in enumerate(self.scripts[ctx.request_id]):
            if step in {"emit", "insist"}:
                # One who insists goes on: the piece is in the buffer, and tried again.
                with suppress(StoreError) if step == "insist" else nullcontext():
                    ctx.emit([run, number])
                output.append([run, number])
            elif step in DOINGS:
                self.do(step, ctx, output, number)
            elif step == "reject":
                raise Reject("shop.empty", "Nothing left")
            elif run < _MOST_RUNS:
                self.trouble(step, ctx, output)
        return output

    def do(self, step: str, ctx: Context, output: list[Any], number: int) -> None:
        match step:
            case "checkpoint":
                ctx.checkpoint(output)
            case "progress":
                self.report(ctx, number * 37 % 100, str(number))
            case "guest":
                self.guest(ctx.request_id)
            case "linger":
                self.rig.clock.advance(2_000)
            case _:
                self.beat({"beat": 250, "blink": 0}[step])

    def report(self, ctx: Context, percentage: float, message: str) -> None:
        ctx.progress(percentage, message)
        told, place = self.ledger.reported, (ctx.request_id, ctx.attempt)
        told[place] = max(percentage, told.get(place, 0))

    def guest(self, request_id: str) -> None:
        """Let somebody come in the middle of a run, and stay."""
        if client := self.connected():
            self.watchers.append(Watcher(client, request_id, follows=False))
            self.watchers[-1].resume(self.truth)

    def beat(self, ms: int) -> None:
        for rig in self.both:
            with suppress(StoreError):  # the pulse logs it, and goes on
                rig.pulse.beat(ms)

    def trouble(self, step: str, ctx: Context, output: list[Any]) -> None:
        match step:
            case "fail":
                raise OSError
            case "later":
                ctx.continue_later(output)
            case "circuit":
                raise CircuitOpen("Down")
            case "cancel":
                self.cancel(ctx.request_id)
            case "drain":
                self.drain(ctx)
            case _:
                happen = {"outlive": self.outlive, "hang": self.hang, "die": self.die}
                happen.get(step, self.work_in_between)()

    def drain(self, ctx: Context) -> None:
        for running in [*self.rig.pulse.running, *self.other.pulse.running]:
            running.stop("drain")
        ctx.raise_if_cancelled()

    def outlive(self) -> None:
        self.rig.clock.advance(30_000)
        self.sweep()

    def hang(self) -> None:
        self.beat(600_000)

    def work_in_between(self) -> None:
        """Let the other worker work, in the middle of this one's."""
        if len(self.working) == 1:
            self.work_of(self.both[self.working[0] is self.rig])

    def die(self) -> None:
        """Let nothing that this worker still does come to anything, as if it were killed here."""
        rig = self.working[-1]
        self.dead.add(id(rig))
        for verb in VERBS:
            rig.store.faults.fail_next(verb, StoreError("dead"), times=_REST_OF_A_LIFE)

    # -- what happens

    @rule(target=requests, script=STEPS, number=st.integers(0, 5))
    def send(self, script: list[str], number: int) -> str:
        return self.send_one(number, script)

    def send_one(self, number: int, script: list[str]) -> str:
        request_id = f"r-{number}"
        self.scripts.setdefault(request_id, script)
        self.ledger.known.add(request_id)
        if client := self.connected():
            new = self.truth.get(ref(request_id)) is None
            answers = client.send("a", {"n": number}, id=request_id)
            acknowledged = answers[0]["type"] == "acknowledgment"
            if acknowledged:
                self.ledger.accepted.add(request_id)
                assert answers[0]["ref"] == ref(request_id)
                assert self.truth.get(ref(request_id))
            else:
                assert code_of(answers[0]) in {"STORAGE_ERROR", "PAYLOAD_TOO_LARGE"}
            watcher = Watcher(client, request_id, follows=new and acknowledged)
            watcher.take([answer for answer in answers if answer["type"] != "acknowledgment"])
            self.watchers.append(watcher)
        return request_id

    @rule(
        which=st.integers(0, 1),
        at_most=st.integers(1, 3),
        give_back=st.booleans(),
        ms=st.sampled_from([0, 1000, 31_000]),
    )
    def work(self, which: int, at_most: int, give_back: bool, ms: int) -> None:
        self.rig.clock.advance(ms)
        self.work_of(self.both[which], at_most, give_back=give_back)

    @rule(which=st.integers(0, 1), number=st.integers(0, 20), times=st.integers(1, 3))
    def work_for_the_busy(self, which: int, number: int, times: int) -> None:
        self.busy(number, times)
        self.work_of(self.both[which])

    @rule(verb=st.sampled_from(IN_WORK), after=st.booleans(), which=st.integers(0, 1))
    def work_on_a_bad_disk(self, verb: str, after: bool, which: int) -> None:
        rig = self.both[which]
        rig.store.faults.fail_next(verb, StoreError("as told"), after=after)
        self.work_of(rig)

    @rule(which=st.integers(0, 1))
    def work_for_clients_that_take_nothing_large(self, which: int) -> None:
        """What is too large for a connection never arrives on it; who asks again gets it there."""
        with self.small_messages():
            self.work_of(self.both[which])
        for watcher in self.watchers:
            watcher.follows = False

    @rule(ms=st.sampled_from([100, 1000, 5000, 31_000]))
    def wait(self, ms: int) -> None:
        self.rig.clock.advance(ms)

    @rule()
    def sweep(self) -> None:
        with suppress(StoreError):
            self.other.app.sweep()

    @rule(request_id=requests)
    def crash(self, request_id: str) -> None:
        """A worker takes it and is not heard of again."""
        until = self.rig.clock.now() + 30_000
        self.truth.claim(ref(request_id), worker="crashed", lease_until=until)

    @rule(request_id=requests)
    def cancel(self, request_id: str) -> None:
        self.ledger.cancelled.add(request_id)
        if client := self.connected():
            client.send("streamer.cancel", {"request_id": request_id})

    @rule(
        verb=FAILING,
        error=st.sampled_from([Throttled, StoreError, ItemTooLarge]),
        after=st.booleans(),
        which=st.integers(0, 1),
        times=st.integers(1, 3),
    )
    def fault(
        self, verb: str, error: type[StoreError], after: bool, which: int, times: int
    ) -> None:
        if error is ItemTooLarge and (after or verb not in TAKE_ITEMS):
            error = StoreError
        faults = self.both[which].store.faults
        faults.fail_next(verb, error("as told"), after=after, times=times)

    @rule(number=st.integers(0, 20), times=st.integers(1, 4))
    def busy(self, number: int, times: int) -> None:
        if client := self.one_of(number):
            self.transport.busy_next(client.id, times)

    @rule(number=st.integers(0, 20), after=st.booleans())
    def break_transport(self, number: int, after: bool) -> None:
        if client := self.one_of(number):
            self.transport.fail_next(client.id, after=after)

    @rule(number=st.integers(0, 20), polite=st.booleans())
    def leave(self, number: int, polite: bool) -> None:
        if client := self.one_of(number):
            client.go()
            if polite:
                self.rig.app.disconnect(client.id)

    @rule(number=st.integers(0, 20))
    def come_back(self, number: int) -> None:
        if self.watchers and (client := self.connected()):
            watcher = self.watchers[number % len(self.watchers)]
            watcher.reconnect(client)
            watcher.resume(self.truth)

    # -- doing it

    def work_of(self, rig: Rig, at_most: int = 1, *, give_back: bool = False) -> None:
        """Let a worker work; one that died in it begins a new life."""
        self.working.append(rig)
        with suppress(StoreError):
            self.batch(rig, list(rig.app.claim(at_most)), give_back=give_back)
        self.working.pop()
        if id(rig) in self.dead:
            self.dead.discard(id(rig))
            rig.store.faults.clear()
            rig.pulse.forget()

    def batch(self, rig: Rig, taken: list[Request], *, give_back: bool) -> None:
        """Run what was claimed, but perhaps the last; then settle all together."""
        left = [taken.pop()] if give_back and taken else []
        ran = []
        for request in taken:
            ran.append(rig.app.execute(request))
            if id(rig) in self.dead:
                return
        rig.app.give_back(left)
        rig.app.settle(ran)

    def connected(self) -> Client | None:
        """Connect, unless the store fails."""
        try:
            return self.rig.client()
        except StorageFailed:
            return None

    def one_of(self, number: int) -> Client | None:
        """Choose a client."""
        return self.watchers[number % len(self.watchers)].client if self.watchers else None

    @contextmanager
    def small_messages(self) -> Iterator[None]:
        usual = self.transport.max_message_bytes
        self.transport.max_message_bytes = _SMALL_MESSAGE_BYTES
        yield
        self.transport.max_message_bytes = usual

    # -- what must hold after every step, and at the end

    @invariant()
    def promises_hold(self) -> None:
        self.ledger.check(self.watchers)

    def teardown(self) -> None:
        if not hasattr(self, "ledger"):
            return
        for rig in self.both:
            rig.store.faults.clear()
        for watcher in self.watchers:
            self.transport.busy_next(watcher.client.id, 0)
        for _ in range(_MOST_ROUNDS):
            self.rig.clock.advance(31_000)
            self.rig.app.sweep()
            if self.all_is_done():
                break
            for number in range(_MOST_AT_ONCE):
                self.work_of(self.both[number % 2])
        self.promises_hold()
        for watcher in self.watchers:
            self.check_end(watcher)

    def all_is_done(self) -> bool:
        kept = filter(None, (self.truth.get(ref(request_id)) for request_id in self.scripts))
        return all(one.status.terminal and one.sent_seq == one.last_seq for one in kept)

    def check_end(self, watcher: Watcher) -> None:
        if watcher.request_id not in self.ledger.accepted:
            return
        request = self.rig.stored(ref(watcher.request_id))
        assert request.status.terminal, request
        assert request.sent_seq == request.last_seq
        # Promise 1: who stayed needs nobody's help.
        if watcher.follows and self.is_there(watcher):
            assert watcher.mirror.terminal is not None, (watcher.mirror, request)
        # Promises 2 and 5: who left comes back to the same end and the same output.
        back = Watcher(self.rig.client(), watcher.request_id, follows=False)
        back.resume(self.truth)
        watcher.reconnect(self.rig.client())
        watcher.resume(self.truth)
        assert back.mirror.terminal is not None
        assert watcher.mirror.terminal == back.mirror.terminal
        assert watcher.mirror.output == back.mirror.output
        self.check_output(back.mirror)

    def is_there(self, watcher: Watcher) -> bool:
        stored = self.truth.get_connection(watcher.client.id)
        return stored is not None and self.transport.is_open(watcher.client.id)

    def check_output(self, seen: Mirror) -> None:
        """No piece twice, none lost: the client shows what the handler knows to stand."""
        assert len({tuple(piece) for piece in seen.output}) == len(seen.output)
        assert sorted(seen.output) == seen.output
        if seen.terminal and seen.terminal["type"] == "complete":
            assert seen.output == seen.terminal["result"]


TestPromises = pytest.mark.uncovered(Promises.TestCase)
TestPromises.settings = settings(
    max_examples=rounds(150, 2_000), stateful_step_count=rounds(30, 50), deadline=None
)
