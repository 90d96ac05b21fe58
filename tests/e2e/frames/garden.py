"""Grows messages and frames: good ones, nearly good ones, and nonsense."""

import json
import random
import string
from typing import Any

from websockets.frames import Frame, Opcode

LIMIT = 128 * 1024
"""The longest message."""
_FRAME = 32 * 1024  # the longest frame
ACTIONS = (
    "echo",
    "work",
    "pour",
    "whoami",
    "streamer.hello",
    "streamer.ping",
    "streamer.authenticate",
    "streamer.status",
    "streamer.list",
    "streamer.cancel",
    "streamer.resume",
    "streamer.subscribe",
    "streamer.unsubscribe",
    "streamer.actions",
    "streamer.nothing",
    "",
    "no such action",
    "x" * 129,
)
_KEYS = (
    *("id", "request_id", "action", "payload", "metadata", "options", "priority", "delay_ms"),
    *("mode", "version", "resume", "requests", "token", "topic", "ref", "status", "since", "limit"),
    *("cursor", "steps", "pause_ms", "keep", "fill", "", "__class__", "\x00", "\ud800"),
)
_WORDS = (
    *("high", "sync", "async", "auto", "completed", "room:a", "r-1", "-1", "null", "NaN", "\x00"),
    *(
        "\ud800",
        "\U0001d54f",
        "a b",
        "'; DROP TABLE requests; --",
        "../../etc/passwd",
        "{}",
        "%s%n",
        "x" * 300,
    ),
)
# Beginning, what is repeated, end: as much as fits.
_BULKS = (
    ('{"action":"echo","payload":{"text":"', "x", '"}}'),
    ('{"action":"echo","payload":{"text":"', "\\u00e4", '"}}'),
    ('{"action":"echo","payload":{"text":"', "\\ud800", '"}}'),
    ('{"action":"echo","payload":{"n":', "9", "}}"),
    ('{"action":"echo","payload":{"n":0.', "1", "}}"),
    ('{"action":"echo","payload":{"n":1e', "9", "}}"),
    ('{"action":"echo","payload":{"rows":[', "[],", "0]}}"),
    ('{"action":"echo","payload":{"rows":[', "{},", "0]}}"),
    ('{"action":"echo","payload":{"rows":[', '{"a":{"b":1.5}},', "0]}}"),
    ('{"action":"echo","payload":{', '"same":1,', '"last":0}}'),
    ('{"action":"echo","metadata":{"', "long", '":1}}'),
    ('{"action":"', "long", '"}'),
    ('{"id":"', "long", '","action":"echo"}'),
    ("", " ", '{"action":"echo"}'),
    ("", '{"a":', ""),
    ("", "[", ""),
    ("[", "[],", "0]"),
    ('"', "x", '"'),
    ("", "9", ""),
)
_NUMBERS = (0, 1, -1, 2**31, 2**53, 2**63, -(2**63) - 1, 2**200, 0.5, 1e308, -0.0, 10**30)


BULK_KINDS = range(len(_BULKS))


class Garden:
    """Grows from one source of chance."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def value(self, depth: int = 0) -> Any:
        """Grow any JSON value."""
        kinds = ("word", "number", "constant", "list", "object")
        kind = self._chance.choice(kinds[: 3 if depth > 3 else 5])
        if kind == "word":
            return self._chance.choice((*_WORDS, *ACTIONS))
        if kind == "number":
            return self._chance.choice(_NUMBERS)
        if kind == "constant":
            return self._chance.choice((None, True, False))
        size = self._chance.choice((0, 1, 2, 5))
        if kind == "list":
            return [self.value(depth + 1) for _ in range(size)]
        return {self._chance.choice(_KEYS): self.value(depth + 1) for _ in range(size)}

    def message(self, name: str) -> dict[str, Any]:
        """Grow a message that is nearly right; it bears its name where it bears any."""
        message: dict[str, Any] = {"id": name, "action": self._chance.choice(ACTIONS)}
        for key in ("payload", "metadata", "options"):
            if self._chance.random() < 0.7:
                message[key] = self.value(1) if self._chance.random() < 0.5 else self._part(key)
        if self._chance.random() < 0.1:
            message[self._chance.choice(_KEYS)] = self.value(2)
        return message

    def _part(self, key: str) -> Any:
        parts: dict[str, tuple[Any, ...]] = {
            "payload": (
                {"steps": self._chance.choice((0, 1, 3, -1, 1.5))},
                {"version": self._chance.choice((1, 2, "1"))},
                {
                    "requests": {
                        f"f-{n}": self.value(4) for n in range(self._chance.choice((1, 60)))
                    }
                },
                {"request_id": self._chance.choice(_WORDS)},
                {"ref": self._chance.choice(_WORDS)},
                {"topic": self._chance.choice(_WORDS)},
                {"limit": self.value(4), "cursor": self.value(4), "since": self.value(4)},
            ),
            "metadata": ({"a": "b"}, {"a": 1}, {"x" * 1000: "y"}),
            "options": (
                {"mode": self._chance.choice(("sync", "async", "auto", "never"))},
                {"priority": self._chance.choice(("high", "low", "none"))},
                {"delay_ms": self._chance.choice((0, 10, -1, 2**40))},
            ),
        }
        return self._chance.choice(parts[key])

    def text(self, name: str) -> bytes:
        """Grow what a text frame carries."""
        chance = self._chance
        whole = json.dumps(self.message(name)).encode()
        kind = chance.random()
        if kind < 0.7:
            return whole
        if kind < 0.8:
            return whole[: chance.randrange(len(whole))]
        if kind < 0.9:
            at = chance.randrange(len(whole))
            return whole[:at] + chance.randbytes(chance.randint(1, 4)) + whole[at + 1 :]
        return chance.choice(
            (
                b"",
                b"null",
                b"[]",
                b"[" * chance.choice((100, 20_000)),
                b'{"a":' * 3000,
                b"9" * 20_000,
                "".join(chance.choices(string.printable, k=200)).encode(),
                chance.randbytes(100),
                json.dumps(self.value()).encode(),
            )
        )

    def bulk(self, kind: int | None = None) -> bytes:
        """Grow a message as long as may be, or one byte longer: much of the same."""
        begin, again, end = self._chance.choice(_BULKS) if kind is None else _BULKS[kind]
        size = LIMIT + self._chance.choice((-1000, 0, 1))
        room = size - len(begin) - len(end)
        text = begin + again * (room // len(again)) + end
        return text.encode() + b" " * (size - len(text))

    def lawful(self, text: bytes) -> bytes:
        """Put a message into frames: one, or more with others in between."""
        chance = self._chance
        cuts = list(range(0, len(text), _FRAME))[1:]
        if chance.random() < 0.2:
            cuts = sorted({*cuts, chance.randrange(len(text) + 1)})
        starts, ends = [0, *cuts], [*cuts, len(text)]
        frames = b""
        for number, (a, b) in enumerate(zip(starts, ends, strict=True)):
            if chance.random() < 0.1:
                control = chance.choice((Opcode.PING, Opcode.PONG))
                frames += _frame(control, chance.randbytes(20))
            opcode = Opcode.CONT if number else Opcode.TEXT
            frames += _frame(opcode, text[a:b], fin=b == len(text) and number == len(cuts))
        return frames

    def unlawful(self, text: bytes) -> tuple[bytes, tuple[int, ...]]:
        """Grow what ends a connection, and the close codes it may get; none where it may hang.

        1003 and 1009 are PROTOCOL.md's, 1002 is that of RFC 6455 (7.4.1) for all other breaches.
        """
        chance = self._chance
        return chance.choice(
            (
                (_frame(Opcode.BINARY, text), (1003,)),
                (_frame(Opcode.TEXT, b"x" * 40_000), (1009,)),
                (b"\x81\xff" + b"\xff" * 8 + b"mask", (1009, 1002)),
                (_frame(Opcode.CONT, text), (1002,)),
                (b"\x89\xfe\x00\x7emask" + b"x" * 126, (1002,)),
                (Frame(Opcode.TEXT, text).serialize(mask=False), (1002,)),
                (b"\xf1\x80mask", (1002,)),
                (b"\x83\x80mask", (1002,)),
                (_frame(Opcode.CLOSE, chance.randbytes(chance.choice((0, 1, 2, 10)))), ()),
                (chance.randbytes(chance.randint(2, 300)), ()),
            )
        )


def _frame(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin=fin).serialize(mask=True)
