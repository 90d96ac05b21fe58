"""The promises of PROTOCOL.md, checked on what was recorded."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamer_client import Chunk, Gap, Restart, Update

from streamer_core.model.update import Kind
from streamer_core.ports import Query, Store
from tests.e2e.project.jobs import piece


@dataclass
class Kept:
    """What a client has of a request, once restarts are applied."""

    chunks: dict[int, Any] = field(default_factory=dict)
    last: int = 0
    restarts: int = 0

    def take(self, update: Update) -> None:
        """Apply an update as the SDKs' users do."""
        assert not isinstance(update, Gap), f"nothing has expired here: {update}"
        if isinstance(update, Chunk | Restart):
            assert update.seq == self.last + 1, f"{update.seq} after {self.last}"
            self.last = update.seq
        if isinstance(update, Chunk):
            self.chunks[update.seq] = update.data
        elif isinstance(update, Restart):
            self.restarts += 1
            through = update.keep_through_seq
            self.chunks = {seq: data for seq, data in self.chunks.items() if seq <= through}

    def check(self, name: str, steps: int) -> None:
        """See that every piece is there once, in order."""
        assert list(self.chunks.values()) == [piece(name, step) for step in range(steps)], name


def check_numbers(recordings: Iterable[Sequence[dict[str, Any]]]) -> None:
    """Check numbered messages over all connections: one number is one message, and one is the end.

    Args:
        recordings: each connection's messages.
    """
    said: dict[tuple[str, int], dict[str, Any]] = {}
    ends: dict[str, int] = {}
    for message in (message for recording in recordings for message in recording):
        if "seq" not in message:
            continue
        name, seq = message["request_id"], message["seq"]
        told = {key: value for key, value in message.items() if key != "timestamp"}
        assert said.setdefault((name, seq), told) == told, f"two messages are {name} {seq}"
        if message.get("terminal"):
            assert ends.setdefault(name, seq) == seq, f"{name} ended twice"
    late = [(name, seq) for name, seq in said if seq > ends.get(name, seq)]
    assert not late, f"after the end: {late}"


def check_store(store: Store, acknowledged: Iterable[str]) -> None:
    """Check that all are ended, each once, and that nothing is held."""
    records = store.query(Query(), limit=1_000_000).items
    missing = set(acknowledged) - {record.id for record in records}
    assert not missing, f"acknowledged and not stored: {missing}"
    for record in records:
        assert record.status.terminal, f"{record.id} is {record.status}"
        updates = store.updates(record.ref, limit=1_000_000)
        numbers = [update.seq for update in updates]
        assert numbers == list(range(1, record.last_seq + 1)), f"{record.id}: {numbers}"
        ends = [update.seq for update in updates if update.kind.terminal]
        assert ends == [record.last_seq], f"{record.id} ends at {ends}"
        restarts = [update for update in updates if update.kind is Kind.RESTART]
        assert all(update.body["keep_through_seq"] < update.seq for update in restarts)
    assert not store.lapsed(), "a lease is held by nobody"


def check_effects(log: Path, *, resumed: bool = False) -> Counter[str]:
    """Check the side effects: no two runs at once, no step twice in an attempt.

    Args:
        log: what `record.note` wrote.
        resumed: an attempt may begin twice: its worker was told to go, and gave it back.

    Returns:
        How often each request was begun.
    """
    begun: dict[str, list[int]] = defaultdict(list)
    steps: Counter[tuple[str, ...]] = Counter()
    for line in log.read_text().splitlines():
        word, name, attempt, pid, *more = line.split()
        assert word != "overlap", f"{name} ran twice at once: attempt {attempt} in {pid}"
        if word == "begin":
            begun[name].append(int(attempt))
        elif word == "step":
            steps[name, attempt, more[0]] += 1
    for name, attempts in begun.items():
        once = sorted(attempts if resumed else set(attempts))
        assert attempts == once, f"{name} was begun as attempts {attempts}"
    if not resumed:
        assert max(steps.values(), default=1) == 1, steps.most_common(3)
    return Counter({name: len(attempts) for name, attempts in begun.items()})
