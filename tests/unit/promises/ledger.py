"""What PROTOCOL.md promises, looked at after each step against all that was seen before."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from streamer_core.model.request import Status
from streamer_core.model.update import Update
from streamer_core.ports import Store
from tests.unit.harness import Wire
from tests.unit.promises.watcher import Watcher
from tests.unit.promises.witness import Witness, ref

Shown = tuple[float, str]


class Ledger:
    """Keeps what must not change any more.

    Args:
        truth: the store, by a way that no fault strikes.
        witness: the transport.

    Attributes:
        known: ids of all requests that were ever sent.
        accepted: those of which a client was told that they are stored.
        cancelled: those that somebody asked to cancel.
        reported: the highest percentage that a handler has told, by request and attempt.
    """

    def __init__(self, truth: Store, witness: Witness) -> None:
        self.known: set[str] = set()
        self.accepted: set[str] = set()
        self.cancelled: set[str] = set()
        self.reported: dict[tuple[str, int], float] = {}
        self._truth = truth
        self._witness = witness
        self._history: dict[str, Sequence[Update]] = {}
        self._snapshots: defaultdict[tuple[str, int], dict[int, Shown]] = defaultdict(dict)

    def check(self, watchers: Iterable[Watcher]) -> None:
        """Look at everything."""
        assert not self._witness.broken, "sent before it was stored"
        for request_id in self.known:
            self._stored_stays_as_it_was(request_id)
            self._kept_and_not_cancelled(request_id)
        for watcher in watchers:
            self._shown_is_stored(watcher)

    def _stored_stays_as_it_was(self, request_id: str) -> None:
        """Promises 1 and 4: numbered without a gap, never changed, one terminal message at last."""
        updates = list(self._truth.updates(ref(request_id), limit=10_000))
        known = self._history.get(request_id, [])
        assert updates[: len(known)] == known
        assert [update.seq for update in updates] == list(range(1, len(updates) + 1))
        assert [one.kind.terminal for one in updates[:-1]] == [False] * (len(updates) - 1)
        self._history[request_id] = updates

    def _kept_and_not_cancelled(self, request_id: str) -> None:
        """Promises 1, 3 and 6: kept until it has ended, its newest progress too, whoever leaves."""
        request = self._truth.get(ref(request_id))
        if request is None:
            assert request_id not in self.accepted
            return
        assert request.status.terminal or request.expires_at is None
        assert request.sent_seq <= request.last_seq
        asked_to_stop = request.cancel_requested_at or request.status is Status.CANCELLED
        assert request_id in self.cancelled or not asked_to_stop
        told = self.reported.get((request_id, request.attempt))
        if request.status is Status.COMPLETED and told is not None:
            assert request.progress is not None
            kept = (request.progress.attempt, request.progress.percentage)
            assert kept == (request.attempt, told)

    def _shown_is_stored(self, watcher: Watcher) -> None:
        """Promises 1 to 3: nothing is sent that is not stored; progress does not lie."""
        watcher.catch_up()
        stored = {one.seq: one for one in self._history[watcher.request_id]}
        for message in watcher.shown:
            if "seq" in message:
                update = stored[message["seq"]]
                assert (message["type"], message["attempt"]) == (update.kind, update.attempt)
                assert {**message, **update.body} == message
            else:
                self._check_progress(message)
        watcher.shown.clear()

    def _check_progress(self, message: Wire) -> None:
        """Check a snapshot against all others of its attempt, at whichever client they arrived."""
        assert message["type"] == "progress"
        assert 0 <= message["percentage"] <= 100
        if (message.get("metadata") or {}).get("retrying"):
            return  # the sweeper makes it from what was kept, which may be older than what was sent
        known = self._snapshots[message["request_id"], message["attempt"]]
        shown = (message["percentage"], message["message"])
        assert known.setdefault(message["n"], shown) == shown
        in_order = [percentage for _, (percentage, _) in sorted(known.items())]
        assert in_order == sorted(in_order)
