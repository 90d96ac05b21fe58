"""A client that asks for work, leaves, and comes back when it is done: what is it told?"""

import json
import time
from contextlib import suppress
from typing import Any

from websockets.sync.client import ClientConnection, connect

COUNT = 20
AWAY_S, PATIENCE_S, BUSY_S = 1.0, 5.0, 60.0


def told(port: int, *, socketio: bool) -> int:
    """Give how many of the results reach it after all."""
    names = [f"away-{port}-{number}" for number in range(COUNT)]
    with _connected(port, socketio) as first:
        _ask(first, socketio, names, "acknowledgment")
    with _connected(port, socketio) as other:  # what was asked for later ends later
        _ask(other, socketio, [f"last-{port}"], "complete")
    time.sleep(AWAY_S)
    with _connected(port, socketio) as second:
        if not socketio:  # Socket.IO has nothing to ask with
            action, missed = "streamer.resume", {"requests": dict.fromkeys(names, 0)}
            _send(second, socketio, action, {"action": action, "payload": missed})
        return len(_heard(second, "complete", names, PATIENCE_S))


def _connected(port: int, socketio: bool) -> ClientConnection:
    path = "/socket.io/?EIO=4&transport=websocket" if socketio else "/"
    client = connect(f"ws://127.0.0.1:{port}{path}", compression=None, open_timeout=BUSY_S)
    if socketio:
        client.recv(BUSY_S)  # 0{…}: open
        client.send("40")
        client.recv(BUSY_S)  # 40{…}: joined
    return client


def _ask(client: ClientConnection, socketio: bool, names: list[str], until: str) -> None:
    """Ask for 50 ms of work each, and wait for such messages of all."""
    for name in names:
        message = {"id": name, "action": "report", "payload": {"text": ""}}
        _send(client, socketio, "report", message)
    heard = _heard(client, until, names, BUSY_S)
    if len(heard) < len(names):
        raise RuntimeError(f"{len(heard)} of {len(names)} had a message of type {until}")


def _send(client: ClientConnection, socketio: bool, event: str, message: dict[str, Any]) -> None:
    client.send("421" + json.dumps([event, message]) if socketio else json.dumps(message))


def _heard(client: ClientConnection, kind: str, names: list[str], patience_s: float) -> set[str]:
    """Give those of which such a message comes, until all have or patience is over."""
    heard: set[str] = set()
    deadline = time.monotonic() + patience_s
    with suppress(TimeoutError):
        while len(heard) < len(names):
            text = client.recv(max(0.0, deadline - time.monotonic()))
            said = {str(m.get("request_id")) for m in _messages(str(text)) if m.get("type") == kind}
            heard |= said & set(names)
    return heard


def _messages(text: str) -> list[dict[str, Any]]:
    """Read a frame of either kind: `{…}`, or Socket.IO's `42["message",{…}]` and `431[{…}]`."""
    start = text.find("[") if text[:1].isdigit() else 0
    said = json.loads(text[start:]) if start >= 0 else []
    return [one for one in (said if isinstance(said, list) else [said]) if isinstance(one, dict)]
