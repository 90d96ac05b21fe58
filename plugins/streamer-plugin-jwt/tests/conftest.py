"""An application that lets in by tokens, in memory and on a clock that is moved by hand."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from streamer_plugin_jwt.testing import LoopbackIssuer

from streamer_core import Settings, Streamer, handler
from streamer_core.errors import Unauthorized
from streamer_core.handlers import declared
from streamer_core.model.connection import Connection, Handshake
from streamer_core.model.principal import Principal
from streamer_core.testing import ManualClock, MemoryStore, MemoryTransport

SECRET = "a-secret-of-the-tests-that-is-quite-long-enough-for-all-of-hmac-512"


@handler("read", scopes=["reports:read"])
def read(principal: Principal) -> dict[str, str]:
    return {"user": principal.user}


@handler("open")
def unguarded() -> str:
    return "open"


class Door:
    """An application with `[plugins.jwt]` as given."""

    def __init__(self, beside: "Door | None" = None, /, **section: Any) -> None:
        self.section = section
        self.clock = beside.clock if beside else ManualClock()
        self.store = MemoryStore(self.clock, beside.store.data if beside else None)
        self.transport = beside.transport if beside else MemoryTransport()
        self.app = Streamer.start(
            Settings.of({"plugins": ["jwt"]}, {"jwt": section}),
            store=self.store,
            transport=self.transport,
            clock=self.clock,
        )
        for function in (read, unguarded):
            for spec in declared(function):
                self.app.registry.add(spec)

    @property
    def plugin(self) -> Any:
        return self.app.hooks.get_plugin("jwt")

    def claims(self, **other: Any) -> dict[str, Any]:
        """Give claims that are good now; None leaves one out."""
        now = self.clock.now() // 1000
        claims = {"sub": "ada", "iat": now, "exp": now + 3600, "jti": "t-1", **other}
        return {name: value for name, value in claims.items() if value is not None}

    def sign(
        self,
        key: Any = SECRET,
        algorithm: str = "HS256",
        headers: dict[str, Any] | None = None,
        **other: Any,
    ) -> str:
        return jwt.encode(self.claims(**other), key, algorithm=algorithm, headers=headers)

    def connect(self, token: str | None) -> Connection:
        connection_id = self.transport.connect()
        return self.app.connect(Handshake(connection_id=connection_id, token=token))

    def let_in(self, token: str | None) -> Principal:
        return self.connect(token).principal

    def lets_in(self, token: str | None) -> bool:
        try:
            self.let_in(token)
        except Unauthorized:
            return False
        return True

    def ask(self, connection: Connection, action: str, payload: Any = None) -> list[Any]:
        data = json.dumps({"id": "r", "action": action, "payload": payload or {}}).encode()
        return [json.loads(frame) for frame in self.app.receive(connection, data).frames]


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Door]]:
    """Give a function that opens a door; without settings, one with the secret of the tests."""
    monkeypatch.setenv("JWT_SECRET", SECRET)
    opened: list[Door] = []

    def open_door(beside: Door | None = None, /, **section: Any) -> Door:
        opened.append(Door(beside, **(section or {"keys": ["env:JWT_SECRET"]})))
        return opened[-1]

    yield open_door
    for one in opened:
        one.app.close()


@pytest.fixture
def issuer() -> Iterator[LoopbackIssuer]:
    """Give an issuer that serves on loopback."""
    with LoopbackIssuer() as serving:
        yield serving
