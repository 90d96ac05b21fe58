# mypy: ignore-errors
"""Dramatiq on Redis, as its documentation sets it up."""

import os
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from telling import tell

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))


@dramatiq.actor
def noop(sid: str, request_id: str) -> None:
    tell(sid, "complete", request_id)


@dramatiq.actor
def report(sid: str, request_id: str) -> None:
    tell(sid, "progress", request_id)
    time.sleep(0.05)
    tell(sid, "complete", request_id)
