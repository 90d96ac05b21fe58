"""How each peer is set up, and what it keeps: as its documentation advises for speed.

- Celery ("Optimizing", "Concurrency"): results ignored, a prefetch of 64 for short tasks, the
  `prefork` pool, which it recommends, and the `threads` pool, which suits tasks that wait. Without
  remote control's gossip. Pools have room for the load: 200 a second of 50 ms each are ten at once.
- Dramatiq: a process a core, its own acknowledgment after the work, its middleware as it comes.
- python-socketio ("Using a Message Queue", "Deployment"): on uvicorn[standard], which brings uvloop
  and httptools, a process a core, WebSocket only, so that processes need no sticky sessions.
- Redis: with hiredis in its clients, once as it comes and once with `appendfsync always`.
"""

from dataclasses import dataclass

PROCESSES = 2
"""As many as Streamer's gateway has for queued work, and as `uvicorn --workers`: one a core."""
THREADS, PREFORKED = 32, 16
CELERY = ("-m", "celery", "-A", "celery_tasks", "worker", "--loglevel", "error")
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")
DRAMATIQ = ("-m", "dramatiq", "dramatiq_tasks")

SNAPSHOTS = "in Redis's memory; on disk with its next snapshot, a minute to an hour later"
EACH_WRITE = "on disk (Redis, `appendfsync always`)"
LOST = "tasks that had begun are lost: they were acknowledged before they ran"
AFTER_AN_HOUR = "its tasks run again after the visibility timeout, an hour as it comes"
AFTER_A_MINUTE = "its tasks run again, a minute after its last heartbeat at the earliest"
NOTHING = "nothing: what is emitted meanwhile is not kept"


@dataclass(frozen=True, kw_only=True)
class Durability:
    """What is kept, as documented.

    Args:
        acknowledged: where a request is when its client is told that it was taken.
        killed: what becomes of the work of a worker that is killed.
        away: what a client finds that was away while its request ended.
    """

    acknowledged: str
    killed: str
    away: str


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A peer, ready to be run.

    Args:
        name: with its durability in brackets.
        queue: `celery` or `dramatiq`.
        workers: arguments to Python, a process group each.
        fsync: Redis's `appendfsync`; `no` is without an append-only file.
        acks_late: Celery's `task_acks_late` and, without which a child of `prefork` that dies takes
            its task with it, `task_reject_on_worker_lost`. Dramatiq has no other way.
    """

    name: str
    queue: str
    workers: list[tuple[str, ...]]
    fsync: str
    acks_late: bool
    durability: Durability


STREAMER = "streamer (SQLite, synchronous FULL)"
OWN = Durability(
    acknowledged="on disk (SQLite in WAL, `synchronous=FULL`)",
    killed="its requests run again from their last checkpoint, once their lease (30 s) has lapsed "
    "and the sweeper (each minute) has come by",
    away="all of it: the client asks for what is after the last it has",
)


def setups(*, quick: bool) -> list[Setup]:
    """List the peers; in a quick run each pool once."""
    durable = [_celery("prefork", durable=True)]
    fast = [_celery("threads", durable=False), _dramatiq(durable=False)]
    if quick:
        return [*durable, *fast]
    return [
        _celery("prefork", durable=False),
        _celery("prefork", durable=True),
        _celery("threads", durable=False),
        _celery("threads", durable=True),
        _dramatiq(durable=False),
        _dramatiq(durable=True),
    ]


def _celery(pool: str, *, durable: bool) -> Setup:
    """Make `prefork` one worker with many processes; `threads` a worker a core, for Python's lock.

    Args:
        pool: `prefork` or `threads`.
        durable: on disk before it is acknowledged; tasks acknowledged when they are done.
    """
    one = {"prefork": PREFORKED, "threads": THREADS}[pool]
    command = (*CELERY, *QUIET, "--pool", pool, "--concurrency", str(one))
    nodes = {"prefork": 1, "threads": PROCESSES}[pool]
    return Setup(
        name=f"celery {pool} ({'fsync always, acks late' if durable else 'snapshots, acks early'})",
        queue="celery",
        workers=[(*command, "--hostname", f"w{number}@%h") for number in range(nodes)],
        fsync="always" if durable else "no",
        acks_late=durable,
        durability=Durability(
            acknowledged=EACH_WRITE if durable else SNAPSHOTS,
            killed=AFTER_AN_HOUR if durable else LOST,
            away=NOTHING,
        ),
    )


def _dramatiq(*, durable: bool) -> Setup:
    command = (*DRAMATIQ, "--processes", str(PROCESSES), "--threads", str(THREADS))
    return Setup(
        name=f"dramatiq ({'fsync always' if durable else 'snapshots'}, acks late)",
        queue="dramatiq",
        workers=[command],
        fsync="always" if durable else "no",
        acks_late=True,
        durability=Durability(
            acknowledged=EACH_WRITE if durable else SNAPSHOTS, killed=AFTER_A_MINUTE, away=NOTHING
        ),
    )
