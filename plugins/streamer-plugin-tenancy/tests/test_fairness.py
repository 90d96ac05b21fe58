"""One tenant's queue delays another's request by one request's time a worker, and no more."""

from collections.abc import Callable
from typing import Any

from streamer_core.model.request import Status
from streamer_core.ports import Enqueued, Enqueuing
from streamer_core.testing.contracts.build import a_request
from tests.e2e.kit.seed import LONG
from tests.unit.harness import Rig, handler

MakeRig = Callable[..., Rig]
WORKERS = 2


def test_a_single_request_is_not_behind_a_thousand(make_rig_on: MakeRig, request: Any) -> None:
    is_sqlite = "sqlite" in request.node.name
    many = (10_000 if LONG else 1_000) if is_sqlite else 30
    ran: list[str] = []

    @handler("step", mode="async")
    def step(payload: dict[str, Any]) -> None:
        ran.append(payload["name"])

    first = make_rig_on(step, sections={"tenancy": {"usage": False}})
    workers = [first] + [make_rig_on(step, beside=first) for _ in range(WORKERS - 1)]
    _enqueue(first, many)
    for worker in workers * 3:
        worker.app.work()
    assert len(ran) == 3 * WORKERS
    client = first.client(tenant="small")
    client.ask("step", {"name": "small"}, id="single")
    for worker in workers:
        worker.app.work()
    assert "small" in ran[-WORKERS:]
    assert first.stored(client.ref("single")).status is Status.COMPLETED
    for worker in workers:
        worker.app.work()
    assert "small" not in ran[-WORKERS:]


def _enqueue(rig: Rig, many: int) -> None:
    new = [
        a_request(rig.clock, f"r-{number}", tenant="big", action="step") for number in range(many)
    ]
    for place in range(0, many, 500):
        some = [Enqueuing(request=one) for one in new[place : place + 500]]
        for answer in rig.app.store.enqueue_all(some):
            assert isinstance(answer, Enqueued)
            assert answer.created
