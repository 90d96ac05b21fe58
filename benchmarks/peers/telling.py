# mypy: ignore-errors
"""What a worker tells the client, through Redis."""

import os

import socketio

_out = socketio.RedisManager(os.environ["REDIS_URL"], write_only=True)


def tell(sid: str, kind: str, request_id: str) -> None:
    _out.emit("message", {"type": kind, "request_id": request_id}, to=sid)
