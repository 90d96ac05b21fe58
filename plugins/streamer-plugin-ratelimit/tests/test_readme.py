"""The README is true."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from streamer_plugin_ratelimit.limit import Limit
from streamer_plugin_ratelimit.settings import LimitSettings, RateLimitSettings, TierSettings

from streamer_core import Settings, Streamer
from streamer_core.errors import RateLimited
from streamer_core.model.connection import Connection
from streamer_core.model.message import Message
from streamer_core.model.principal import Principal
from streamer_core.testing import ManualClock, MemoryStore, MemoryTransport

TEXT = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def passed(app: Streamer, principal: Principal, action: str | None, times: int) -> int:
    connection = Connection(id="c-1", principal=principal, address="192.0.2.1")
    request = None if action is None else Message(id="r-1", action=action)
    limit: Any = app.runtime.hook.streamer_limit
    for n in range(times):
        try:
            limit(principal=principal, connection=connection, request=request)
        except RateLimited:
            return n
    return times


def test_the_example_runs_as_it_stands(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    assert "plugins = " not in example
    path = tmp_path / "streamer.toml"
    path.write_text(example.replace("[streamer]", '[streamer]\nplugins = ["ratelimit"]'))
    clock = ManualClock()
    parts: dict[str, Any] = {"store": MemoryStore(clock), "transport": MemoryTransport()}
    with Streamer.start(Settings.load(path), clock=clock, load_handlers=False, **parts) as app:
        assert passed(app, Principal(user="ann"), "report.make", 300) == 5
        assert passed(app, Principal(user="bob", kept={"plan": "pro"}), "report.make", 300) == 60
        assert passed(app, Principal(user="joe", kept={"plan": "new"}), "report.make", 300) == 5
        assert passed(app, Principal(user="eve", tenant="acme"), "report.make", 300) == 200
        assert passed(app, Principal(user="ann"), None, 300) == 30


def test_all_settings_are_told() -> None:
    for kind in (LimitSettings, TierSettings, RateLimitSettings):
        plain = {one.name for one in fields(kind)} - {"limits", "tiers"}
        told = set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE))
        assert plain <= told


def test_slices_are_what_it_says() -> None:
    rows = re.findall(r'^\| `"(\S+)"` \| (\d+) \| (\d+)', TEXT, re.MULTILINE)
    assert len(rows) == 4
    for rate, burst, slice_ in rows:
        limit = Limit(LimitSettings(name="x", rate=rate, burst=int(burst)))
        assert limit.slice == int(slice_)
