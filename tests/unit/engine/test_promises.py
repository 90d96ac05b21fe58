"""PROTOCOL.md's six promises, held against faults, by two workers on one store.

A machine of steps: clients send, come, go and resume; workers run, crash and are outlived by their
leases; the store fails before or after its writes; clients are busy or gone; the sweeper makes its
rounds. After every step the promises are looked at; at the end all trouble stops, and every request
must come to its end, at every client that asks for it.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from streamer_core import Context, Reject, handler
from streamer_core.errors import CircuitOpen, StoreError, Throttled
from streamer_core.model.update import Update
from tests.unit.harness import Client, Mirror, Rig, Wire, code_of

STEPS = st.lists(
    st.sampled_from(
        [
            "emit",
            "emit",
            "checkpoint",
            "progress",
            "beat",
            "fail",
            "reject",
            "later",
            "circuit",
            "outlive",
            "hang",
            "cancel",
            "drain",
        ]
    ),
    max_size=6,
)
FAILING = ("append", "finish", "requeue", "heartbeat", "subscribers", "mark_sent", "enqueue")
_MOST_RUNS = 6
"""After so many runs a script does only what cannot fail, so that every request ends."""


@dataclass
class Watcher:
    """One client's view of one request, over all its connections.

    `follows` from the beginning, or from where it resumed: nothing may be missing then. Who only
    repeats a request is told where it stands, and has to resume for what came before.
    """

    client: Client
    request_id: str
    follows: bool
    mirror: Mirror = field(default_factory=Mirror)
    taken: int = 0
    shown: list[Wire] = field(default_factory=list)

    def catch_up(self) -> None:
        """Take in what has been pushed since the last look."""
        pushed = list(self.client.inbox)
        self.take(pushed[self.taken :])
        self.taken = len(pushed)

    def take(self, messages: list[Wire]) -> None:
        for message in messages:
            if message.get("request_id") == self.request_id and not message.get("refused"):
                self.mirror.take(message)
                self.shown.append(message)

    def reconnect(self, client: Client) -> None:
        self.catch_up()
        self.client, self.taken, self.follows = client, 0, False

    def resume(self) -> None:
        """Ask for what was missed, page by page; what was pushed meanwhile is looked at later."""
        more = True
        while more:
            body = {"requests": {self.request_id: self.mirror.last_seq}}
            answers = self.client.send("streamer.resume", body)
            if answers[-1]["type"] == "error":
                return
            self.take(answers[:-1])
            more = answers[-1]["more"]
        self.follows = True


class Promises(RuleBasedStateMachine):
    requests = Bundle("requests")

    @initialize()
    def begin(self) -> None:
        self.runs: dict[str, int] = {}
        self.scripts: dict[str, list[str]] = {}
        self.watchers: list[Watcher] = []
        self.accepted: set[str] = set()
        self.ends: dict[str, Update] = {}
        self.history: dict[str, list[Update]] = {}

        @handler("a", mode="async", timeout="10m", retry={"max_attempts": 3, "backoff": "1s"})
        def scripted(payload: dict[str, Any], ctx: Context) -> list[Any]:
            return self.play(ctx)

        @handler("a", mode="async", timeout="10m", retry={"max_attempts": 3, "backoff": "1s"})
        async def async_scripted(payload: dict[str, Any], ctx: Context) -> list[Any]:
            return self.play(ctx)

        self.rig = Rig(scripted)
        self.other = Rig(async_scripted, beside=self.rig)
        self.both = (self.rig, self.other)

    # -- what a handler does

    def play(self, ctx: Context) -> list[Any]:
        """Play the script; gives all output that must stand, over all runs."""
        run = self.runs[ctx.request_id] = self.runs.get(ctx.request_id, 0) + 1
        output: list[Any] = list(ctx.restored or [])
        for number, step in enumerate(self.scripts[ctx.request_id]):
            match step:
                case "emit":
                    ctx.emit([run, number])
                    output.append([run, number])
                case "checkpoint":
                    ctx.checkpoint(output)
                case "progress":
                    ctx.progress(number * 10, str(run))
                case "beat":
                    self.beat(250)
                case "reject":
                    raise Reject("shop.empty", "Nothing left")
                case _ if run < _MOST_RUNS:
                    self.trouble(step, ctx, output)
        return output

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
            case "outlive":
                self.rig.clock.advance(30_000)
                self.sweep()
            case "hang":
                self.beat(600_000)
            case "cancel":
                self.cancel(ctx.request_id)
            case "drain":
                for running in [*self.rig.pulse.running, *self.other.pulse.running]:
                    running.stop("drain")
                ctx.raise_if_cancelled()

    # -- what happens

    @rule(target=requests, script=STEPS, number=st.integers(0, 5))
    def send(self, script: list[str], number: int) -> str:
        request_id = f"r-{number}"
        self.scripts.setdefault(request_id, script)
        new = self.rig.store.get(self.ref(request_id)) is None
        watcher = Watcher(self.rig.client(), request_id, follows=new)
        answers = watcher.client.send("a", {"n": number}, id=request_id)
        if answers[0]["type"] == "acknowledgment":
            self.accepted.add(request_id)
            assert answers[0]["ref"] == self.ref(request_id)
            assert self.rig.stored(self.ref(request_id))
        else:
            assert code_of(answers[0]) == "STORAGE_ERROR"
        watcher.take([answer for answer in answers if answer["type"] != "acknowledgment"])
        self.watchers.append(watcher)
        return request_id

    @rule(which=st.integers(0, 1), number=st.integers(0, 20), times=st.integers(0, 3))
    def work(self, which: int, number: int, times: int) -> None:
        self.busy(number, times)
        with suppress(StoreError):
            self.both[which].app.work()

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
        self.rig.store.claim(self.ref(request_id), worker="crashed", lease_until=until)

    @rule(request_id=requests)
    def cancel(self, request_id: str) -> None:
        self.rig.client().send("streamer.cancel", {"request_id": request_id})

    @rule(
        verb=st.sampled_from(FAILING),
        after=st.booleans(),
        which=st.integers(0, 1),
        times=st.integers(1, 3),
    )
    def fault(self, verb: str, after: bool, which: int, times: int) -> None:
        self.both[which].store.faults.fail_next(
            verb, Throttled("slow down"), after=after, times=times
        )

    @rule(number=st.integers(0, 20), times=st.integers(1, 4))
    def busy(self, number: int, times: int) -> None:
        if self.watchers:
            client = self.watchers[number % len(self.watchers)].client
            self.rig.transport.busy_next(client.id, times)

    @rule(number=st.integers(0, 20), polite=st.booleans())
    def leave(self, number: int, polite: bool) -> None:
        if self.watchers:
            client = self.watchers[number % len(self.watchers)].client
            client.go()
            if polite:
                self.rig.app.disconnect(client.id)

    @rule(number=st.integers(0, 20))
    def come_back(self, number: int) -> None:
        if self.watchers:
            watcher = self.watchers[number % len(self.watchers)]
            watcher.reconnect(self.rig.client())
            watcher.resume()

    # -- what must hold after every step

    def ref(self, request_id: str) -> str:
        return self.watchers[0].client.ref(request_id) if self.watchers else _ref(request_id)

    @invariant()
    def promises_hold(self) -> None:
        self.what_is_stored_stays_as_it_was()
        self.what_is_shown_is_what_is_stored()
        self.what_was_accepted_is_kept()

    def what_is_stored_stays_as_it_was(self) -> None:
        """Promises 1 and 4: numbered without a gap, never changed, one terminal message at last."""
        for request_id in self.scripts:
            updates = list(self.rig.store.updates(self.ref(request_id), limit=10_000))
            known = self.history.get(request_id, [])
            assert updates[: len(known)] == known
            assert [update.seq for update in updates] == list(range(1, len(updates) + 1))
            assert [one.kind.terminal for one in updates[:-1]] == [False] * (len(updates) - 1)
            self.history[request_id] = updates

    def what_is_shown_is_what_is_stored(self) -> None:
        """Promises 1 to 3: nothing is sent that is not stored; progress does not lie."""
        for watcher in self.watchers:
            watcher.catch_up()
            stored = {one.seq: one for one in self.history[watcher.request_id]}
            highest: dict[int, float] = {}
            for message in watcher.shown:
                if "seq" in message:
                    update = stored[message["seq"]]
                    assert (message["type"], message["attempt"]) == (update.kind, update.attempt)
                    assert {**message, **update.body} == message
                else:
                    self.check_progress(message, highest)
            watcher.shown.clear()

    def check_progress(self, message: Wire, highest: dict[int, float]) -> None:
        assert message["type"] == "progress"
        assert 0 <= message["percentage"] <= 100
        assert highest.get(message["attempt"], 0) <= message["percentage"]
        highest[message["attempt"]] = message["percentage"]

    def what_was_accepted_is_kept(self) -> None:
        """Promises 1 and 6: an acknowledged request is there until it has ended, whoever leaves."""
        for request_id in self.accepted:
            request = self.rig.stored(self.ref(request_id))
            assert request.status.terminal or request.expires_at is None
            assert request.sent_seq <= request.last_seq

    # -- at the end

    def teardown(self) -> None:
        if not hasattr(self, "rig"):
            return
        for rig in self.both:
            rig.store.faults.clear()
        for watcher in self.watchers:
            self.rig.transport.busy_next(watcher.client.id, 0)
        for _ in range(20):
            self.rig.clock.advance(31_000)
            self.rig.app.sweep()
            for rig in self.both:
                rig.work()
        self.promises_hold()
        for watcher in self.watchers:
            self.check_end(watcher)

    def check_end(self, watcher: Watcher) -> None:
        if watcher.request_id not in self.accepted:
            return
        request = self.rig.stored(self.ref(watcher.request_id))
        assert request.status.terminal, request
        assert request.sent_seq == request.last_seq
        # Promise 1: who stayed needs nobody's help.
        if watcher.follows and self.is_there(watcher):
            assert watcher.mirror.terminal is not None, (watcher.mirror, request)
        # Promises 2 and 5: who left comes back to the same end and the same output.
        back = Watcher(self.rig.client(), watcher.request_id, follows=False)
        back.resume()
        watcher.reconnect(self.rig.client())
        watcher.resume()
        assert back.mirror.terminal is not None
        assert watcher.mirror.terminal == back.mirror.terminal
        assert watcher.mirror.output == back.mirror.output
        self.check_output(back.mirror)

    def is_there(self, watcher: Watcher) -> bool:
        stored = self.rig.store.get_connection(watcher.client.id)
        return stored is not None and self.rig.transport.is_open(watcher.client.id)

    def check_output(self, seen: Mirror) -> None:
        """No piece twice, none lost: the client shows what the handler knows to stand."""
        assert len({tuple(piece) for piece in seen.output}) == len(seen.output)
        assert sorted(seen.output) == seen.output
        if seen.terminal and seen.terminal["type"] == "complete":
            assert seen.output == seen.terminal["result"]


def _ref(request_id: str) -> str:
    from streamer_core.model.ids import ref_of

    return ref_of("acme", "ann", request_id)


TestPromises = Promises.TestCase
TestPromises.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
