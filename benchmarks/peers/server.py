# mypy: ignore-errors
"""python-socketio on uvicorn with its Redis manager: `PEER` names the queue behind it.

Socket.IO's acknowledgment carries the immediate answer; what a worker has to say goes through
Redis to the process that holds the connection, as python-socketio documents it.
"""

import asyncio
import os
from typing import Any

import socketio
from pydantic import BaseModel

URL = os.environ["REDIS_URL"]
PEER = os.environ["PEER"]


class Text(BaseModel):
    text: str


if PEER == "celery":
    from celery_tasks import noop, report

    def put(task: Any, *arguments: str) -> None:
        task.delay(*arguments)
else:
    from dramatiq_tasks import noop, report

    def put(task: Any, *arguments: str) -> None:
        task.send(*arguments)


sio = socketio.AsyncServer(
    async_mode="asgi", client_manager=socketio.AsyncRedisManager(URL), transports=["websocket"]
)
app = socketio.ASGIApp(sio)


@sio.on("echo")
async def on_echo(_sid: str, data: dict[str, Any]) -> dict[str, Any]:
    text = Text.model_validate(data["payload"])
    return {
        "type": "response",
        "request_id": data["id"],
        "success": True,
        "data": {"text": text.text},
    }


async def _queued(task: Any, sid: str, data: dict[str, Any]) -> dict[str, Any]:
    # Both clients block for a round trip to Redis, so they go to a thread.
    await asyncio.to_thread(put, task, sid, data["id"])
    return {"type": "acknowledgment", "request_id": data["id"]}


@sio.on("noop")
async def on_noop(sid: str, data: dict[str, Any]) -> dict[str, Any]:
    return await _queued(noop, sid, data)


@sio.on("report")
async def on_report(sid: str, data: dict[str, Any]) -> dict[str, Any]:
    return await _queued(report, sid, data)
