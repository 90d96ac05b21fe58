"""The opening handshake: the token goes in, typed errors come out, neither shows the token."""

import json
import logging
import re
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from streamer_client.errors import (
    ConnectionLost,
    HandshakeRefused,
    InvalidRequest,
    Unauthorized,
)
from streamer_client.settings import Settings
from streamer_client.timing import Timing

Token = str | Callable[[], str | Awaitable[str]] | None
"""A token, or a function (sync or async) asked for one at each connect."""

_REASON_CHARS = 200
_LONGEST_WAIT = 3600.0  # no Retry-After keeps a client away for longer


class Handshake:
    """Opens sockets to one address with one way to come by a token."""

    def __init__(self, url: str, token: Token, settings: Settings, timing: Timing) -> None:
        self._url = url
        self._token = token
        self._settings = settings
        self._timing = timing
        self.where = _where(url)
        if settings.ssl_context is not None and not self.where.startswith("wss:"):
            raise InvalidRequest("an ssl_context needs a wss:// address")

    def __repr__(self) -> str:
        return f"<Handshake {self.where}>"

    async def open(self) -> ClientConnection:
        """Open a socket; where a fresh token may help, ask for one and try once more."""
        try:
            return await self._attempt()
        except Unauthorized:
            if not callable(self._token):
                raise
        return await self._attempt()

    async def _attempt(self) -> ClientConnection:
        token = await self._ask_token()
        try:
            return await self._opener(token)
        except (OSError, EOFError, InvalidHandshake) as error:
            failure = self._translate(error, token)
        # Raised out here so that websockets' exception, which may quote the handshake,
        # is not its context.
        raise failure

    async def _ask_token(self) -> str | None:
        token = await self._call(self._token) if callable(self._token) else self._token
        if token is not None and not (isinstance(token, str) and re.fullmatch(r"[!-~]+", token)):
            raise InvalidRequest("the token is not made of printable ASCII characters")
        return token

    async def _call(self, ask: Callable[[], str | Awaitable[str]]) -> str:
        try:
            answer = ask()
            return await answer if isinstance(answer, Awaitable) else answer
        except Exception as error:  # noqa: BLE001  # its text may quote a token; its type does not
            kind = type(error).__name__
        raise ConnectionLost(f"the function asked for a token raised {kind}")

    def _opener(self, token: str | None) -> connect:
        headers: dict[str, str] = {}
        subprotocols: list[Subprotocol] | None = None
        if token is not None and not self._settings.token_as_subprotocol:
            headers["Authorization"] = f"Bearer {token}"
        elif token is not None:
            subprotocols = [Subprotocol("streamer.v1"), Subprotocol(f"bearer.{token}")]
        more: dict[str, Any] = {}
        if self._settings.ssl_context is not None:
            more["ssl"] = self._settings.ssl_context
        return _Connect(
            self._url,
            additional_headers=headers,
            subprotocols=subprotocols,
            compression=None,
            open_timeout=self._settings.open_timeout,
            close_timeout=2,
            logger=_Quiet(logging.getLogger("streamer_client.websocket")),
            **more,
        )

    def _translate(self, error: Exception, token: str | None) -> ConnectionLost:
        if isinstance(error, InvalidStatus):
            return self._refused(error, token)
        if isinstance(error, InvalidHandshake):
            return ConnectionLost(f"no handshake with {self.where}: {type(error).__name__}")
        return ConnectionLost(f"cannot reach {self.where}: {type(error).__name__}: {error}")

    def _refused(self, error: InvalidStatus, token: str | None) -> HandshakeRefused:
        status = error.response.status_code
        wait = retry_after(error.response.headers.get("Retry-After"), now=self._timing.wall())
        kind = Unauthorized if status in {401, 403} else HandshakeRefused
        text = f"{self.where} refused the connection: HTTP {status}"
        if said := self._reason(error, token):
            text = f"{text}: {said}"
        return kind(text, status=status, retry_after=wait)

    def _reason(self, error: InvalidStatus, token: str | None) -> str:
        """Give the server's own sentence, unless it repeats what may be a secret."""
        try:
            said = json.loads(error.response.body or b"")["message"]
        except (ValueError, TypeError, KeyError):
            return ""
        url = urlsplit(self._url)
        secrets = [token, url.password, *(value for _, value in parse_qsl(url.query))]
        if not isinstance(said, str) or any(one and one in said for one in secrets):
            return ""
        return said[:_REASON_CHARS]


def retry_after(value: str | None, *, now: float) -> float | None:
    """Read a Retry-After header: seconds, or a date; at most an hour."""
    if value is None:
        return None
    try:
        wait = float(value) if value.strip().isdigit() else _until(value, now)
    except ValueError:
        return None
    return min(max(wait, 0.0), _LONGEST_WAIT)


def _until(date: str, now: float) -> float:
    return parsedate_to_datetime(date).timestamp() - now


def _where(url: str) -> str:
    """Name the server without what may be secret: user, password, query."""
    parts = urlsplit(url)
    if parts.scheme not in {"ws", "wss"} or not parts.hostname:
        raise InvalidRequest("the address begins with ws:// or wss:// and names a host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path}"


class _Connect(connect):
    """Follows no redirect: it would carry the token's subprotocol to another host."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """Never at DEBUG: there websockets writes the handshake's headers and every frame."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  # logging's name
        return level > logging.DEBUG and super().isEnabledFor(level)
