"""A client that asks for work, leaves, and comes back when it is done: what is it told?"""

import json
import time
from contextlib import suppress
from typing import Any

from websockets.sync.client import ClientConnection, connect

COUNT = 20
AWAY_S, PATIENCE_S = 3.0, 2.0


def told(port: int, *, socketio: bool) -> int:
    """Give how many of the results reach it after all."""
    names = [f"away-{port}-{number}" for number in range(COUNT)]
    with _connected(port, socketio) as first:
        for name in names:
            message = {"id": name, "action": "report", "payload": {"text": ""}}
            _send(first, socketio, "report", message)
        _heard(first, "acknowledgment", set(names))
    time.sleep(AWAY_S)
    with _connected(port, socketio) as second:
        if not socketio:  # Socket.IO has nothing to ask with
            action = "streamer.resume"
            payload = {"requests": dict.fromkeys(names, 0)}
            _send(second, socketio, action, {"action": action, "payload": payload})
        return len(_heard(second, "complete", set(names)))


def _connected(port: int, socketio: bool) -> ClientConnection:
    path = "/socket.io/?EIO=4&transport=websocket" if socketio else "/"
    client = connect(f"ws://127.0.0.1:{port}{path}", compression=None)
    if socketio:
        client.recv(PATIENCE_S)  # 0{…}: open
        client.send("40")
        client.recv(PATIENCE_S)  # 40{…}: joined
    return client


def _send(client: ClientConnection, socketio: bool, event: str, message: dict[str, Any]) -> None:
    client.send("421" + json.dumps([event, message]) if socketio else json.dumps(message))


def _heard(client: ClientConnection, kind: str, names: set[str]) -> set[str]:
    """Give those of which such a message comes, until all have or for as long as is bearable."""
    heard: set[str] = set()
    deadline = time.monotonic() + PATIENCE_S
    with suppress(TimeoutError):
        while heard < names:
            text = client.recv(max(0.0, deadline - time.monotonic()))
            for message in _messages(str(text)):
                if message.get("type") == kind:
                    heard.add(message.get("request_id", ""))
    return heard & names


def _messages(text: str) -> list[dict[str, Any]]:
    """Read a frame of either kind: `{…}`, or Socket.IO's `42["message",{…}]` and `431[{…}]`."""
    start = text.find("[") if text[:1].isdigit() else 0
    said = json.loads(text[start:]) if start >= 0 else []
    return [one for one in (said if isinstance(said, list) else [said]) if isinstance(one, dict)]
