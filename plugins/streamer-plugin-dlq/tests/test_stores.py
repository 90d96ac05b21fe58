"""From a failure to its redrive, in every store."""

from collections.abc import Callable
from typing import Any

from streamer_plugin_dlq.handling import redrive
from streamer_plugin_dlq.wanted import Wanted

from streamer_core import Context, handler
from streamer_core.model.request import Status
from streamer_core.ports import Clock, Store
from tests.unit.harness import Rig

BOUND_S = 20.0


@handler("pay", mode="async", retry={"max_attempts": 1})
def pay(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    if ".redrive-" not in ctx.request_id:
        raise RuntimeError("the bank refuses")
    return payload


def test_it_is_kept_found_and_redriven(
    open_store: Callable[[Clock], Store], plugged: Callable[..., Any]
) -> None:
    first = Rig()
    store: Any = open_store(first.clock)
    rig = Rig(pay, beside=first, store=store)
    # One request fails where nobody is told of it, another where the plugin is.
    client, other = rig.client(), rig.client()
    client.ask("pay", {"n": 1}, id="missed")
    assert rig.work() == 1
    rig.clock.advance(60_000)
    plugin = plugged(rig)
    client.ask("pay", {"n": 2}, id="told")
    assert rig.work() == 1
    assert plugin._keeper.flush(BOUND_S)
    assert [one.ref for one in plugin.letters.all(Wanted())] == [client.ref("told")]
    rig.app.sweep()
    listed = [one.ref for one in plugin.letters.all(Wanted())]
    assert listed == [client.ref("told"), client.ref("missed")]

    other.send("streamer.subscribe", {"request_id": "told"})
    client.inbox.clear()
    other.inbox.clear()
    kept = plugin.letters.find(client.ref("told"))
    new = redrive(rig.app, plugin.letters, kept)
    assert rig.work() == 1
    assert rig.stored(new.ref).status is Status.COMPLETED
    for one in (client, other):
        assert one.kinds == ["acknowledgment", "complete"]
        assert one.inbox[0]["redriven_from"] == client.ref("told")
        assert one.inbox[1]["result"] == {"n": 2}
    store.close()
