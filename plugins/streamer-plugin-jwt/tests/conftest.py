"""An application that lets in by tokens, in memory and on a clock that is moved by hand."""

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from streamer_plugin_jwt.testing import LoopbackIssuer

from streamer_core import Settings, Streamer, handler
from streamer_core.errors import Refused
from streamer_core.handlers import declared
from streamer_core.model.connection import Connection, Handshake
from streamer_core.model.principal import Principal
from streamer_core.ports import Store
from streamer_core.testing import ManualClock, MemoryStore, MemoryTransport
from tests.conftest import logs

__all__ = ["logs"]

SECRET = "a-secret-of-the-tests-that-is-quite-long-enough-for-all-of-hmac-512"


@handler("read", scopes=["reports:read"])
def read(principal: Principal) -> dict[str, str]:
    return {"user": principal.user}


@handler("open")
def unguarded() -> str:
    return "open"


SYMMETRIC = {"keys": ["env:JWT_SECRET"]}


class Door:
    """An application with `[plugins.jwt]` as given."""

    def __init__(
        self, beside: "Door | None" = None, /, *, store: Store | None = None, **section: Any
    ) -> None:
        self.section = section
        self.clock: ManualClock = beside.clock if beside else ManualClock()
        self.store: Any = store or MemoryStore(self.clock, beside.store.data if beside else None)
        self.transport: MemoryTransport = beside.transport if beside else MemoryTransport()
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

    def sign_raw(self, claims: dict[str, Any], **headers: Any) -> str:
        """Sign claims that PyJWT would not."""
        return self.sign_text(json.dumps(claims), **headers)

    def sign_text(self, claims: str, key: bytes = SECRET.encode(), **headers: Any) -> str:
        """Sign any text as claims, with HS256 whatever the header says."""
        head = json.dumps({"alg": "HS256", "typ": "JWT", **headers})
        signed = f"{_base64(head.encode())}.{_base64(claims.encode())}"
        return f"{signed}.{_base64(hmac.digest(key, signed.encode(), 'sha256'))}"

    def connect(self, token: str | None) -> Connection:
        connection_id = self.transport.connect()
        return self.app.connect(Handshake(connection_id=connection_id, token=token))

    def let_in(self, token: str | None) -> Principal:
        return self.connect(token).principal

    def refusal(self, token: str | None) -> Refused | None:
        """Give the error that keeps the client out; None lets it in."""
        try:
            self.let_in(token)
        except Refused as error:
            return error
        return None

    def lets_in(self, token: str | None) -> bool:
        """Tell whether the client is let in; it is kept out by a 401 alone."""
        error = self.refusal(token)
        assert error is None or error.http_status == 401, error
        return error is None

    def ask(self, connection: Connection, action: str, payload: Any = None) -> list[Any]:
        data = json.dumps({"id": "r", "action": action, "payload": payload or {}}).encode()
        return [json.loads(frame) for frame in self.app.receive(connection, data).frames]


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Door]]:
    """Give a function that opens a door; without settings, one with the secret of the tests."""
    monkeypatch.setenv("JWT_SECRET", SECRET)
    opened: list[Door] = []

    def open_door(beside: Door | None = None, /, **section: Any) -> Door:
        has_keys = any(name in section for name in ("keys", "issuer", "issuers", "jwks"))
        opened.append(Door(beside, **section if has_keys else {**section, **SYMMETRIC}))
        return opened[-1]

    yield open_door
    for one in opened:
        one.app.close()


@pytest.fixture
def issuer() -> Iterator[LoopbackIssuer]:
    """Give an issuer that serves on loopback."""
    with LoopbackIssuer() as serving:
        yield serving
