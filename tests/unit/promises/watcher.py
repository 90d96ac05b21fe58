"""One client's view of one request, over all its connections."""

from dataclasses import dataclass, field

from streamer_core.ports import Store
from tests.unit.harness import Client, Mirror, Wire, code_of
from tests.unit.promises.witness import ref


@dataclass
class Watcher:
    """A client that keeps its side of the promises.

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
        """Take in messages, however they came."""
        for message in messages:
            if message.get("request_id") == self.request_id and not message.get("refused"):
                self.mirror.take(message)
                self.shown.append(message)

    def reconnect(self, client: Client) -> None:
        """Go on over another connection."""
        self.catch_up()
        self.client, self.taken, self.follows = client, 0, False

    def resume(self, truth: Store) -> None:
        """Ask for what was missed, page by page; what was pushed meanwhile is looked at later."""
        more = True
        while more:
            asked = self.mirror.last_seq
            answers = self.client.send("streamer.resume", {"requests": {self.request_id: asked}})
            if answers[-1]["type"] == "error":
                stored = truth.get(ref(self.request_id))
                expected = {"STORAGE_ERROR"} | ({"NOT_FOUND"} if stored is None else set())
                assert code_of(answers[-1]) in expected
                return
            self.take(answers[:-1])
            self._check_honest(asked, answers, truth)
            more = answers[-1]["more"]
        self.follows = True

    def _check_honest(self, asked: int, answers: list[Wire], truth: Store) -> None:
        """Promise 5: all after `last_seq` follows, and the newest progress. Nothing expires."""
        *replay, closing = answers
        stored = truth.get(ref(self.request_id))
        assert stored is not None
        numbers = [one["seq"] for one in replay if "seq" in one]
        assert numbers == list(range(asked + 1, closing["last_seq"] + 1))
        assert closing["recovered"] is True
        assert closing["more"] == (closing["last_seq"] < stored.last_seq)
        if closing["more"] or stored.status.terminal or stored.progress is None:
            return
        newest = next(one for one in replay if one["type"] == "progress")
        assert (newest["attempt"], newest["n"]) == (stored.progress.attempt, stored.progress.n)
