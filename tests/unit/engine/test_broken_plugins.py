"""A plugin that breaks costs its own answer, never the request or the sweeper."""

from typing import Any

import pytest

from streamer_core import Streamer, handler
from streamer_core.engine import deliver
from streamer_core.errors import ConfigurationError
from streamer_core.markers import hookimpl
from streamer_core.model import encode
from streamer_core.model.request import Status
from streamer_core.plugins import register, start_all
from streamer_core.ports import Delivery
from tests.conftest import Lines
from tests.unit.harness import Rig


class Broken:
    @hookimpl
    def streamer_retry(self) -> Any:
        raise RuntimeError("retry broke")

    @hookimpl
    def streamer_dispatch(self) -> Any:
        raise RuntimeError("dispatch broke")

    @hookimpl
    def streamer_schedule(self) -> Any:
        raise RuntimeError("schedule broke")

    @hookimpl
    def streamer_park(self) -> Any:
        raise RuntimeError("park broke")

    @hookimpl
    def streamer_on_sweep(self) -> Any:
        raise RuntimeError("the plugin's round broke")

    @hookimpl
    def streamer_health(self) -> Any:
        raise RuntimeError("health broke")


@handler("fails", mode="async", retry={"max_attempts": 2, "backoff": 0})
def fails() -> None:
    raise ValueError


def test_the_cores_own_policy_stands_in_for_a_retry_that_breaks(logs: Lines) -> None:
    rig = Rig(fails, plugins=[Broken()])
    client = rig.client()
    client.send("fails", id="f")
    rig.work()
    request = rig.stored(client.ref("f"))
    assert (request.status, request.attempt) == (Status.FAILED, 2)
    assert [line["event"] for line in logs].count("streamer_retry failed") == 2


def test_the_sweeper_does_all_its_duties_beside_broken_plugins() -> None:
    rig = Rig(fails, plugins=[Broken()])
    client = rig.client()
    client.send("fails", id="lost")
    client.send("fails", id="due")
    client.send("fails", id="later", options={"delay_ms": 30_000})
    rig.claim(client.ref("lost"), lease_ms=1)
    rig.store.put_connection(client.connection)
    rig.clock.advance(10)
    swept = rig.app.sweep()
    assert swept.lapsed == 1
    assert swept.woken == 3
    assert rig.stored(client.ref("lost")).status is Status.RETRYING


def test_a_record_is_only_kept_where_somebody_kept_it(logs: Lines) -> None:
    assert Rig().app.park({}, "no record") is False
    assert Rig(plugins=[Broken()]).app.park({}, "no record") is False
    assert [line["event"] for line in logs] == ["a record cannot be parked"]


def test_a_health_check_that_breaks_is_ill_and_hides_no_other() -> None:
    rig = Rig(plugins=[Broken()])
    store, broken = rig.app.health()
    assert store.ok
    assert not broken.ok
    assert "broke" not in broken.detail


@pytest.mark.parametrize("given", [None, [], {}, [Delivery.DELIVERED]])
def test_a_delivery_without_verdicts_counts_as_busy(given: Any, logs: Lines) -> None:
    class Silent:
        @hookimpl(wrapper=True)
        def streamer_deliver(self) -> Any:
            yield
            return given

    rig = Rig(plugins=[Silent()])
    client = rig.client()
    message = encode.event(1, "t", "x")
    assert deliver.send(rig.app.runtime, message, [client.id]) == [client.id]
    assert logs[0]["event"] == "streamer_deliver gave no verdicts"


@pytest.mark.parametrize(
    "hook", ["streamer_on_metric", "streamer_health", "streamer_open_store", "streamer_startup"]
)
def test_a_wrapper_that_nobody_would_run_is_refused(hook: str) -> None:
    def wrapper(self: object) -> Any:
        yield

    plugin = type("Wrapping", (), {hook: hookimpl(wrapper=True)(wrapper)})()
    with pytest.raises(ConfigurationError, match="cannot be surrounded"):
        register(Rig().app.hooks, "wrapping", plugin, "streamer-plugin-wrapping")


def test_a_start_that_breaks_names_the_plugin() -> None:
    class Late:
        @hookimpl
        def streamer_startup(self, app: Streamer) -> None:
            raise RuntimeError("no network")

    rig = Rig()
    register(rig.app.hooks, "late", Late(), "streamer-plugin-late")
    with pytest.raises(ConfigurationError, match="'late' cannot start: RuntimeError: no network"):
        start_all(rig.app.hooks, rig.app)


def test_a_misspelt_hook_names_the_plugin() -> None:
    class Misspelt:
        @hookimpl
        def streamer_helth(self) -> None: ...

    from streamer_core.implementations import check_pending

    rig = Rig()
    register(rig.app.hooks, "misspelt", Misspelt(), "streamer-plugin-misspelt")
    with pytest.raises(
        ConfigurationError, match=r"plugin 'misspelt'.*did you mean 'streamer_health'"
    ):
        check_pending(rig.app.hooks)


def test_idempotent_work_moves_once_to_processing() -> None:
    @handler("once", idempotent=True)
    def once() -> int:
        return 1

    rig = Rig(once)
    rig.client().ask("once", id="o")
    assert rig.seen.moves == [
        (None, Status.PROCESSING),
        (Status.PROCESSING, Status.COMPLETED),
    ]
