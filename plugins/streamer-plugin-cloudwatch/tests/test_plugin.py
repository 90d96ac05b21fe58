"""When it is on, where it writes and when; and what stops a start."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamer_plugin_local.testing import Talk, eventually, running_gateway, write_project
from structlog.testing import capture_logs

from streamer_core import Settings, Streamer
from streamer_core.errors import ConfigurationError
from streamer_core.model.call import Metric
from streamer_core.testing import ManualClock, MemoryStore, MemoryTransport

ON_LAMBDA = "AWS_LAMBDA_FUNCTION_NAME"
Reader = Callable[[str], Any]


def start(**section: Any) -> Streamer:
    clock = ManualClock()
    return Streamer.start(
        Settings.of({"plugins": ["cloudwatch"]}, {"cloudwatch": section}),
        store=MemoryStore(clock),
        transport=MemoryTransport(),
        clock=clock,
        load_handlers=False,
    )


def test_installed_and_no_more_it_is_off(capsys: pytest.CaptureFixture[str]) -> None:
    with start() as app:
        assert not app.runtime.measuring, "no measurement is even made"
        app.runtime.measure("some.count")
        app.runtime.tell("streamer_on_circuit_change", name="c", before="closed", after="open")
        app.flush()
    assert capsys.readouterr().out == ""


def test_on_lambda_it_writes_to_standard_output_when_an_event_is_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], read: Reader
) -> None:
    monkeypatch.setenv(ON_LAMBDA, "router")
    with start(interval="1h") as app:
        app.runtime.measure("some.count")
        assert capsys.readouterr().out == ""
        app.flush()
        assert read(capsys.readouterr().out).total("some.count") == 1
        app.runtime.measure("some.count")
    assert read(capsys.readouterr().out).total("some.count") == 1


def test_a_flush_waits_for_lines_that_are_being_written(make: Any) -> None:
    """Lambda freezes the process after it, and may never thaw it."""
    made = make(interval=1)
    writer = made.plugin._writer
    write, writing, may_end = writer._output, threading.Event(), threading.Event()

    def slow(lines: Any) -> None:
        writing.set()
        assert may_end.wait(20)
        write(lines)

    writer._output = slow
    made.plugin.streamer_on_metric(Metric(name="some.count"))
    writer._thread.start()
    assert writing.wait(20)
    threading.Timer(0.2, may_end.set).start()
    assert made.read().total("some.count") == 1
    writer.close()


def test_the_namespace_is_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "metrics.log"
    with start(to=str(path), namespace="Shop/Streamer") as app:
        app.runtime.measure("some.count")
    (directive,) = json.loads(path.read_text())["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Shop/Streamer"


def test_it_writes_each_interval_also_to_a_file_that_is_renamed(
    tmp_path: Path, read: Reader
) -> None:
    path = tmp_path / "metrics.log"
    with start(to=str(path), interval="20ms") as app:
        for n in range(1, 3):
            app.runtime.measure("some.count")
            eventually(lambda: read(path.read_text()).total("some.count"), "a line")
            path.rename(tmp_path / f"metrics.{n}")
            path.touch()


def test_what_is_measured_while_others_end_is_written(tmp_path: Path, read: Reader) -> None:
    path = tmp_path / "metrics.log"
    app = start(to=str(path))
    app.flush()
    app.runtime.measure("some.count")
    app.hooks.hook.streamer_shutdown(app=app)
    assert read(path.read_text()).total("some.count") == 1
    app.close()


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"to": "no/such/folder/metrics.log"}, "to = .* cannot be written: .*; name a file"),
        ({"to": "/"}, "cannot be written"),
        ({"to": ""}, "to: must be stdout or a file"),
        ({"to": "a\0b"}, "to: must be stdout or a file"),
        ({"to": "stdout", "interval": 0}, "interval: must be more than nothing"),
        ({"to": "stdout", "namespace": "AWS/Mine"}, "namespace: must have"),
        ({"to": "stdout", "namespace": ""}, "namespace: must have"),
        ({"to": "stdout", "most_values": 0}, "most_values: must be from 1 to 1000"),
        ({"dimensions": ["tenants"]}, "dimensions: 'tenants' is none of .*, tenant, "),
        ({"properties": ["plan"]}, "properties: 'plan' is none of .*, tenant, "),
        ({"file": "x"}, "there is no such setting"),
    ],
)
def test_a_wrong_setting_stops_the_start(section: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        start(**section)


def test_a_disk_that_fails_harms_nobody(tmp_path: Path, read: Reader) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "metrics.log"
    with capture_logs() as logs, start(to=str(path), interval="20ms") as app:
        shutil.rmtree(folder)
        app.runtime.measure("some.count")
        eventually(lambda: [one for one in logs if one["event"] == "metrics could not be written"])
        assert [one.status for one in app.hooks.hook.streamer_health()] == ["degraded"]
        folder.mkdir()
        app.runtime.measure("some.count")
        eventually(lambda: path.exists() and path.read_text())
        assert read(path.read_text()).total("some.count") == 1
        eventually(lambda: [one.status for one in app.hooks.hook.streamer_health()] == ["ok"])


WRITER = """
import sys
from types import SimpleNamespace
from pathlib import Path
from streamer_core.model.call import Metric
from streamer_core.ports import SystemClock
from streamer_plugin_cloudwatch import CloudWatchPlugin
app = SimpleNamespace(clock=SystemClock(), settings=SimpleNamespace(root=Path(sys.argv[1])))
plugin = CloudWatchPlugin(CloudWatchPlugin.Settings(to="metrics.log"), app)
for _ in range(20):
    plugin.streamer_on_metric(Metric(name="some.count"))
    for n in range(3_000):
        plugin.streamer_on_metric(Metric(name=f"time.{n % 30}", value=n / 7, unit="ms"))
    plugin.streamer_on_flush()
"""


def test_processes_share_a_file_line_by_line(tmp_path: Path, read: Reader) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    running = [subprocess.Popen(command) for _ in range(3)]
    assert [one.wait(60) for one in running] == [0, 0, 0]
    found = read((tmp_path / "metrics.log").read_text())
    assert found.total("some.count") == 60
    assert len(found.of("time.7")) == 60 * 100


HANDLERS = """
from streamer_core import Context, handler

@handler("echo")
def echo(payload: dict) -> dict:
    return payload

@handler("long", estimated="1m")
def long(ctx: Context) -> str:
    ctx.emit("piece")
    return "done"
"""


def test_a_gateway_and_its_workers_write_what_they_measure(
    tmp_path: Path, world: dict[str, Any], read: Reader
) -> None:
    project = write_project(
        tmp_path / "project",
        HANDLERS,
        core={"plugins": ["local", "sqlite", "apigateway", "cloudwatch"]},
        plugins={"cloudwatch": {"to": "metrics.log", "interval": "50ms"}},
        **world,
    )
    path = project / "metrics.log"
    with running_gateway(project) as gateway:
        with Talk(gateway.url) as talk:
            assert talk.ask("echo", {"x": 1}, id="r-1")["type"] == "response"
            talk.until_acknowledged("long", id="r-2")
            talk.until(lambda message: message["type"] == "complete")

            def all_there() -> bool:
                found = read(path.read_text().rpartition("\n")[0])  # without half a line
                return bool(found.total("request.ended") and found.total("message.received") >= 2)

            eventually(all_there, "what was measured")
        gateway.process.kill()  # it loses what was measured since the last interval, and no more
        gateway.process.wait()
        found = read(path.read_text())
        assert found.total("connection.opened") == 1
        assert found.of("connection.open")
        assert found.total("request.accepted", action="long") == 1
        assert found.total("request.ended", action="long", outcome="completed") == 1
        assert len(found.of("request.answered", action="echo", outcome="completed")) == 1
        assert found.total("message.sent", type="complete") == 1
        assert len(found.of("message.latency", type="complete")) == 1


def test_a_start_imports_nothing_costly() -> None:
    code = (
        "import sys; import streamer_core.plugin; before = set(sys.modules);"
        "from streamer_plugin_cloudwatch import CloudWatchPlugin;"
        "new = set(sys.modules) - before;"
        "assert not {'pydantic', 'structlog', 'click', 'boto3', 'logging'} & new, new"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})
