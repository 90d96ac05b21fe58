# mypy: ignore-errors
"""Celery on Redis: results ignored, prefetch for short tasks (docs: "Optimizing")."""

import os
import time

from celery import Celery
from telling import tell

late = os.environ["ACKS_LATE"] == "1"
app = Celery("peer", broker=os.environ["REDIS_URL"])
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=64,
    task_acks_late=late,
    task_reject_on_worker_lost=late,
)


@app.task(name="noop")
def noop(sid: str, request_id: str) -> None:
    tell(sid, "complete", request_id)


@app.task(name="report")
def report(sid: str, request_id: str) -> None:
    tell(sid, "progress", request_id)
    time.sleep(0.05)
    tell(sid, "complete", request_id)
