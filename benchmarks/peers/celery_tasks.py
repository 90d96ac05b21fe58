# mypy: ignore-errors
"""Celery on Redis: results ignored, prefetch for short tasks (docs: "Optimizing")."""

import os
import time

from celery import Celery
from telling import tell

app = Celery("peer", broker=os.environ["REDIS_URL"])
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=64)


@app.task(name="noop")
def noop(sid: str, request_id: str) -> None:
    tell(sid, "complete", request_id)


@app.task(name="report")
def report(sid: str, request_id: str) -> None:
    tell(sid, "progress", request_id)
    time.sleep(0.05)
    tell(sid, "complete", request_id)
