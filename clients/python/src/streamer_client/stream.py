"""The order of one request's messages: promises 2 and 3 of the protocol, without sockets."""

from streamer_client.messages import (
    Chunk,
    Complete,
    Failure,
    Gap,
    Numbered,
    Progress,
    Restart,
    Terminal,
    Wire,
)

Applied = Progress | Chunk | Restart | Complete | Failure | Gap


class RequestStream:
    """Takes messages as the wire brings them; gives them back as they are to be applied.

    Numbered messages are applied strictly by ``seq``: what comes early is held (at most
    ``held_limit`` of them; over that the farthest are let go, a resume brings them again),
    what is there already is dropped. A snapshot is dropped if it is older than the newest
    by (attempt, n). After the terminal message nothing changes any more.
    """

    def __init__(self, last_seq: int = 0, *, held_limit: int = 1000) -> None:
        self.last_seq = last_seq
        self.progress: Progress | None = None
        self.terminal: Terminal | None = None
        self._held: dict[int, Numbered] = {}
        self._held_limit = held_limit
        self.known = last_seq

    @property
    def gap(self) -> bool:
        """Whether updates are known to exist that have not been applied."""
        return self.terminal is None and self.known > self.last_seq

    def apply(self, message: Wire) -> list[Applied]:
        """Take one message; return what is applied now, in order: often one, or nothing."""
        if self.terminal is not None:
            return []
        if isinstance(message, Progress):
            return self._snapshot(message)
        if message.seq is None:
            return [self._accept(message)]
        self.note(message.seq)
        if message.seq <= self.last_seq:
            return self._late(message)
        self._hold(message.seq, message)
        return self._drain()

    def note(self, seq: int) -> None:
        """Remember that the update ``seq`` exists, without having it."""
        self.known = max(self.known, seq)

    def skip(self, through: int) -> list[Applied]:
        """Give up what is missing up to ``through``: the server no longer has it."""
        applied: list[Applied] = []
        while self.gap and self._held and min(self._held) <= through:
            applied += self._jump(min(self._held) - 1)
            applied += self._drain()
        if self.terminal is None:
            applied += self._jump(through)
            applied += self._drain()
        return applied

    def _snapshot(self, progress: Progress) -> list[Applied]:
        # A snapshot taken after an update we lack shows that one is on its way, or lost.
        self.note(progress.after)
        newest = self.progress
        if newest and (progress.attempt, progress.n) <= (newest.attempt, newest.n):
            return []
        self.progress = progress
        return [progress]

    def _late(self, message: Numbered) -> list[Applied]:
        # Only after a skip can the terminal message come late; it must not be lost with it.
        return [self._accept(message)] if isinstance(message, Complete | Failure) else []

    def _hold(self, seq: int, message: Numbered) -> None:
        self._held[seq] = message
        if len(self._held) > self._held_limit and seq != self.last_seq + 1:
            del self._held[max(self._held)]

    def _drain(self) -> list[Applied]:
        applied: list[Applied] = []
        while self.terminal is None and self.last_seq + 1 in self._held:
            self.last_seq += 1
            applied.append(self._accept(self._held.pop(self.last_seq)))
        return applied

    def _accept(self, message: Numbered) -> Numbered:
        if isinstance(message, Complete | Failure):
            self.terminal = message
            self._held.clear()
        return message

    def _jump(self, to: int) -> list[Applied]:
        if to <= self.last_seq:
            return []
        gap = Gap(missing_from=self.last_seq + 1, missing_through=to, reason="expired")
        self.last_seq = to
        self.note(to)
        return [gap]
