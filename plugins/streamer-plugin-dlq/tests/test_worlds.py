"""From a failure to its end, over a real socket: in both worlds, and steered from the command."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from streamer_client import BlockingClient, Chunk, Failed
from streamer_plugin_local.testing import Talk, eventually, running_gateway, write_project

BOUND_S = 30
HANDLERS = """
from pathlib import Path

from streamer_core import Context, handler


@handler("pay", mode="async", retry={"max_attempts": 2, "backoff": "1ms"})
def pay(payload: dict, ctx: Context) -> dict:
    if not Path("mended").exists():
        raise RuntimeError(f"the bank refuses, attempt {ctx.attempt}")
    ctx.emit("paid")
    return payload
"""


def test_a_dead_letter_is_redriven_and_its_follower_told(
    tmp_path: Path, world: dict[str, Any], lines: Callable[..., list[dict[str, Any]]]
) -> None:
    project = write_project(
        tmp_path,
        HANDLERS,
        sync_workers=1,
        async_workers=1,
        core={"handlers": ["app_handlers"], "plugins": ["local", "apigateway", "sqlite", "dlq"]},
        plugins={"dlq": {"redact": ["card.number"]}},
        **world,
    )
    payload = {"card": {"number": "4111"}, "sum": 7}
    with (
        running_gateway(project) as running,
        Talk(running.url) as talk,
        BlockingClient(running.url) as client,
        ThreadPoolExecutor() as pool,
    ):
        old = talk.until_acknowledged("pay", payload, id="p-1")
        end = talk.until(lambda message: message["type"] == "error")
        assert "bank" not in json.dumps(end)

        (entry,) = eventually(lambda: lines(project, "list"), "the dead letter")
        assert (entry["ref"], entry["code"], entry["kind"]) == (
            old,
            "PROCESSING_FAILED",
            "RuntimeError",
        )
        assert (entry["attempts"], entry["redacted"]) == (2, True)
        (shown,) = lines(project, "show", old)
        assert shown["details"]["payload"] == {"card": {"number": "[redacted]"}, "sum": 7}
        assert [
            "attempt 1" in failure["trace"] or "attempt 2" in failure["trace"]
            for failure in shown["details"]["failures"]
        ] == [True, True]

        followed = client.follow("p-1")
        with pytest.raises(Failed):
            followed.result(BOUND_S)
        waiting = pool.submit(followed.redriven, BOUND_S)

        (project / "mended").touch()
        (redriven,) = lines(project, "redrive", old)
        told = talk.until(lambda message: message.get("redriven_from") == old)
        assert (told["type"], told["ref"]) == ("acknowledgment", redriven["redriven_as"])
        done = talk.until(lambda message: message["type"] == "complete")
        assert (done["request_id"], done["result"]) == (told["request_id"], payload)
        new = waiting.result()
        assert new.id == told["request_id"]
        assert [one.data for one in new if isinstance(one, Chunk)] == ["paid"]
        late = client.follow("p-1").redriven(BOUND_S)
        assert (late.id, late.result(BOUND_S)) == (new.id, payload)
        assert lines(project, "list") == []
        assert [one["done"] for one in lines(project, "list", "--handled")] == ["redriven"]
