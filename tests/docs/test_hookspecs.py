"""Every hook says all there is to know of it, truly, with an example that runs."""

import ast
import importlib
import itertools
import queue
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any, TypeVar

import pytest

from streamer_core import Principal, Settings, Streamer, hookspecs
from streamer_core.errors import CircuitOpen, Forbidden, RateLimited, Unauthorized
from streamer_core.handlers import declared, handler
from streamer_core.hooks import AROUND
from streamer_core.markers import hookimpl
from streamer_core.model.call import Call, Metric, Outgoing, Push, Resource
from streamer_core.model.connection import Connection, Handshake
from streamer_core.model.counter import Count
from streamer_core.model.message import Message, Mode
from streamer_core.model.policy import Again, GiveUp
from streamer_core.model.request import Failure, Request, Status
from streamer_core.model.tables import OwnTables
from streamer_core.model.update import Kind, Update
from streamer_core.plugins import Found
from streamer_core.ports import Change, ChangeKind, Delivery
from streamer_core.testing import ManualClock, MemoryStore, MemoryTransport

Test = TypeVar("Test", bound=Callable[..., None])

ROOT = Path(__file__).parents[2]
SPECS = {
    node.name: node
    for path in sorted((ROOT / "streamer_core" / "hookspecs").glob("*.py"))
    for node in ast.parse(path.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("streamer_")
}
FAMILIES = {"provide", "gate", "decide", "surround", "observe"}
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text_of(hook: str) -> str:
    return ast.get_docstring(SPECS[hook]) or ""


def example_of(hook: str) -> str:
    section = text_of(hook).partition("\nExample:\n")[2].partition("\nAdded in ")[0]
    (code,) = FENCE.findall(dedent(section))
    return str(code)


def implementations(path: Path) -> set[str]:
    """Give the hooks that a Python file implements."""
    nodes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]
    return {
        node.name
        for node in nodes
        if any("hookimpl" in ast.unparse(decorator) for decorator in node.decorator_list)
    }


def test_every_specification_is_seen() -> None:
    assert set(SPECS) == {name for name in vars(hookspecs) if name.startswith("streamer_")}


# -- its parts


@pytest.mark.parametrize("hook", SPECS)
def test_it_begins_with_one_line(hook: str) -> None:
    first, _, rest = text_of(hook).partition("\n")
    assert re.fullmatch(r"[A-Z][a-z]+:? .{5,90}\.", first), "an imperative sentence"
    assert rest.startswith("\n"), "then an empty line"


@pytest.mark.parametrize("hook", SPECS)
def test_it_has_all_parts_in_order(hook: str) -> None:
    text = text_of(hook)
    node = SPECS[hook]
    parts = ["Called: ", "Answers ("]
    parts += ["Args:\n"] if node.args.args else []
    returns = ast.unparse(node.returns or ast.Constant(None))
    parts += ["Returns:\n"] if returns != "None" else []
    parts += ["Raises:", "Blocks: ", "Example:\n", "Added in 0.1. Implemented by: "]
    places = [text.find(f"\n{part}") for part in parts]
    assert -1 not in places, dict(zip(parts, places, strict=True))
    assert places == sorted(places)
    assert ("\nReturns:" in text) == (returns != "None")


@pytest.mark.parametrize("hook", SPECS)
def test_it_tells_of_every_parameter(hook: str) -> None:
    described = text_of(hook).partition("\nArgs:\n")[2].partition("\n\n")[0]
    names = re.findall(r"^    (\w[\w, ]*):", described, re.MULTILINE)
    told = [name.strip() for group in names for name in group.split(",")]
    assert told == [argument.arg for argument in SPECS[hook].args.args]


@pytest.mark.parametrize("hook", SPECS)
def test_its_family_is_told_by_how_it_is_declared(hook: str) -> None:
    (family,) = re.findall(r"^Answers \((\w+)\): ", text_of(hook), re.MULTILINE)
    assert family in FAMILIES
    first_result = "firstresult" in ast.unparse(SPECS[hook].decorator_list[0])
    takes_one = family == "decide" or (family == "surround" and not hook.startswith(AROUND))
    assert first_result == takes_one


@pytest.mark.parametrize("hook", SPECS)
def test_it_can_be_read(hook: str) -> None:
    assert len(text_of(hook).splitlines()) <= 50


def test_it_says_truly_who_implements_it() -> None:
    brought = {"core defaults": implementations(ROOT / "streamer_core" / "defaults.py")}
    for folder in (ROOT / "plugins").glob("streamer-plugin-*"):
        found = set().union(*map(implementations, (folder / "src").rglob("*.py")))
        brought[folder.name.removeprefix("streamer-plugin-")] = found
    for hook in SPECS:
        said = text_of(hook).rpartition("Implemented by: ")[2].partition("planned")[0]
        names = {name for name, hooks in brought.items() if hook in hooks}
        unwritten = {name for name, hooks in brought.items() if not hooks}
        missing = {name for name in names if name not in said}
        boasted = {name for name in brought if name in said} - names - unwritten
        assert not missing, f"{hook} is implemented by {missing}"
        assert not boasted, f"{hook} is not implemented by {boasted}"
        assert names or unwritten or "none yet" in said, hook


# -- its example


@handler("probe")
def probe(payload: dict[str, Any]) -> dict[str, Any]:
    """Give back what came."""
    return payload


class Probe:
    """Lets everybody in, and opens memory ports and guards nothing; asked after the example."""

    def __init__(self, _settings: object, app: Streamer) -> None:
        self.woken: queue.SimpleQueue[str] = queue.SimpleQueue()

    @hookimpl(trylast=True)
    def streamer_authenticate(self) -> Principal:
        return Principal(user="u")

    @hookimpl(trylast=True)
    def streamer_dispatch(self, change: Change) -> None:
        self.woken.put(change.ref)


NOW = ManualClock().now()
ADA = Principal(user="ada", scopes=frozenset({"reports"}))
SPEC: Any = declared(probe)[0]
CONNECTION = Connection(id="c-1", principal=ADA, connected_at=NOW, expires_at=NOW + 1000)
MESSAGE = Message(id="r-1", action="probe", size=40)
REQUEST = Request(
    ref="f00d", id="r-1", action="probe", tenant="default", user="ada", created_at=NOW
)
FAILURE = Failure(
    attempt=1,
    code="PROCESSING_FAILED",
    message="no",
    kind="OSError",
    trace="[ENOSPC]",
    at=NOW,
    worker="w",
)
CHANGE = Change(kind=ChangeKind.DUE, ref="f00d", due_at=NOW + 1)

GIVEN: Mapping[str, Any] = {
    "name": "scratch",
    "deadline": NOW + 1000,
    "tables": OwnTables(tenant="acme"),
    "handshake": Handshake(connection_id="c-1", token="key-of-ada"),
    "principal": ADA,
    "verb": "call",
    "resource": Resource(kind="action", name="probe", handler=SPEC),
    "connection": CONNECTION,
    "handler": SPEC,
    "change": CHANGE,
    "call": Call(
        handler=SPEC, principal=ADA, mode=Mode.SYNC, request_id="r-1", ref="f00d", payload={"x": 1}
    ),
    "failure": FAILURE,
    "event": Outgoing(type="event", data=b"{}"),
    "requests": [REQUEST],
    "take": lambda: "taken",
    "write": lambda: ["stored"],
    "pushes": [Push(message=Outgoing(type="event", data=b"{}"), connections=["c-1"])],
    "reason": "gone",
    "mode": Mode.SYNC,
    "updates": [Update(seq=1, kind=Kind.CHUNK, attempt=1)],
    "metric": Metric(name="probe.count"),
    "before": None,
    "after": Status.COMPLETED,
    "record": {"eventID": "e-1", "dynamodb": {}},
    "error": "a number is missing",
}
ABOUT_A_MESSAGE = {
    "streamer_around_message",
    "streamer_limit",
    "streamer_admit",
    "streamer_route",
    "streamer_on_request",
}
OF_HOOK: Mapping[str, Mapping[str, Any]] = {
    "streamer_fan_out": {"connections": [f"c-{number}" for number in range(101)]},
    "streamer_on_circuit_change": {"before": "closed", "after": "open"},
}


class Case:
    """An application that has loaded a hook's example."""

    def __init__(self, hook: str, module: types.ModuleType) -> None:
        self.hook = hook
        classes = [
            value
            for value in vars(module).values()
            if isinstance(value, type) and value.__module__ == module.__name__
        ]
        (plugin,) = [one for one in classes if hasattr(one, hook)]
        clock = ManualClock()
        own = {"store": MemoryStore(clock), "transport": MemoryTransport()}
        self.app = Streamer.start(
            Settings.of({"store": "scratch", "transport": "scratch"}),
            clock=clock,
            found=[
                Found(name="example", value=f"{module.__name__}:{plugin.__qualname__}"),
                Found(name="probe", value=f"{__name__}:Probe"),
            ],
            **{port: value for port, value in own.items() if hook != f"streamer_open_{port}"},
        )
        self.plugin: Any = self.app.hooks.get_plugin("example")
        self.probe: Any = self.app.hooks.get_plugin("probe")

    def call(self, **given: Any) -> Any:
        """Call the hook as the engine does, and let errors through."""
        names = [argument.arg for argument in SPECS[self.hook].args.args]
        usual = {
            **GIVEN,
            "app": self.app,
            "store": self.app.store,
            "clock": self.app.clock,
            "cli": Cli(),
        }
        usual["request"] = MESSAGE if self.hook in ABOUT_A_MESSAGE else REQUEST
        arguments = {**usual, **OF_HOOK.get(self.hook, {}), **given}
        return getattr(self.app.hooks.hook, self.hook)(**{name: arguments[name] for name in names})


class Cli:
    """What of a click group the examples use."""

    def __init__(self) -> None:
        import click

        self.group = click.Group("streamer")
        self.command = self.group.command


@pytest.fixture
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    hook: str = request.param
    module = types.ModuleType(f"example_of_{hook}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(example_of(hook), f"<example of {hook}>", "exec"), vars(module))
    case = Case(hook, module)
    yield case
    case.app.close()


def shows(hook: str) -> Callable[[Test], Test]:
    """Run the test on a hook's example."""
    return pytest.mark.parametrize("case", [hook], indirect=True)


@pytest.mark.parametrize("case", SPECS, indirect=True)
def test_its_example_loads_and_is_called(case: Case) -> None:
    case.call()


@shows("streamer_open_store")
def test_the_store_is_open(case: Case) -> None:
    assert isinstance(case.app.store, MemoryStore)
    assert case.call(name="other") == []


@shows("streamer_open_tenant_store")
def test_the_tenants_store_is_another(case: Case) -> None:
    assert case.app.open_tenant_store(OwnTables(tenant="acme")) is not case.app.store
    assert case.call(name="other") == []


@shows("streamer_wrap_store")
def test_the_reads_are_counted(case: Case) -> None:
    assert case.app.store.get("f00d") is None
    assert case.plugin.reads == {"get": 1}


@shows("streamer_open_transport")
def test_the_transport_is_open(case: Case) -> None:
    assert isinstance(case.app.transport, MemoryTransport)
    assert case.call(name="other") == []


@shows("streamer_register_handlers")
def test_the_handler_is_there(case: Case) -> None:
    assert case.app.registry.get("echo") is not None


@shows("streamer_register_commands")
def test_the_command_runs(case: Case) -> None:
    from click.testing import CliRunner

    cli = Cli()
    case.call(cli=cli)
    assert CliRunner().invoke(cli.group, ["time"]).output == f"{NOW}\n"


@shows("streamer_register_panels")
def test_the_panel_has_rows(case: Case) -> None:
    ((panel,),) = case.call()
    case.app.registry.add(SPEC)
    assert panel.rows() == [{"action": "probe"}]


@shows("streamer_lambda_entries")
def test_the_router_echoes(case: Case) -> None:
    (entries,) = case.call(app=case.app)
    assert sorted(entries) == ["connect", "disconnect", "router"]
    assert entries["router"]({"body": "x"}, None) == {"statusCode": 200, "body": "x"}


@shows("streamer_startup")
def test_the_start_is_refused(case: Case) -> None:
    from streamer_core.errors import ConfigurationError

    settings = Settings.of({"allow_query_token": True})
    own = {"store": MemoryStore(case.app.clock), "transport": MemoryTransport()}
    with pytest.raises(ConfigurationError, match="must be off here"):
        Streamer.start(settings, found=case.app._found, **own)


@shows("streamer_authenticate")
def test_one_key_is_known(case: Case) -> None:
    assert case.call() == ADA
    with pytest.raises(Unauthorized):
        case.call(handshake=Handshake(connection_id="c-2", token="key-of-eve"))
    assert case.call(handshake=Handshake(connection_id="c-3", token="ey…")).user == "u"


@shows("streamer_around_message")
def test_the_slowest_is_known(case: Case) -> None:
    (around,) = case.call()
    with around:
        case.app.clock.advance(30)  # type: ignore[attr-defined]
    assert case.plugin.slowest == {"probe": 0.03}


@shows("streamer_metadata")
def test_the_version_is_given(case: Case) -> None:
    assert case.call() == [{"taken_by": "v42"}]


@shows("streamer_enqueue")
def test_the_batches_are_counted(case: Case) -> None:
    assert case.call() == ["stored"]
    assert case.plugin.sizes == {1: 1}


@shows("streamer_authorize")
def test_cancelling_needs_a_scope(case: Case) -> None:
    with pytest.raises(Forbidden):
        case.call(verb="cancel")


@shows("streamer_limit")
def test_the_eleventh_is_refused(case: Case) -> None:
    for _ in range(10):
        case.call()
    with pytest.raises(RateLimited) as refused:
        case.call()
    assert 0 < refused.value.retry_after_ms <= 101  # type: ignore[operator]


@shows("streamer_admit")
def test_the_counts_are_settled(case: Case) -> None:
    assert case.call(request=None) == []
    ((taken, given),) = case.call()
    assert isinstance(taken, Count)
    assert (taken.amount, taken.limit, given.amount) == (1, 5, -1)


@shows("streamer_route")
def test_the_big_are_queued(case: Case) -> None:
    big = Message(id="r-2", action="probe", size=10_001)
    assert (case.call(), case.call(request=big)) == (Mode.SYNC, Mode.ASYNC)


@shows("streamer_dispatch")
def test_the_ref_is_put(case: Case) -> None:
    assert case.call() is True
    assert case.plugin.woken.get(timeout=5) == "f00d"


@shows("streamer_schedule")
def test_the_timer_wakes(case: Case) -> None:
    assert case.call() is True
    assert case.probe.woken.get(timeout=5) == "f00d"


@shows("streamer_park")
def test_the_record_is_stored(case: Case) -> None:
    assert case.call() is True
    kept = case.app.store.get_value("parked/e-1")
    assert kept is not None
    assert kept.data == {
        "error": "a number is missing",
        "record": '{"eventID": "e-1", "dynamodb": {}}',
    }


@shows("streamer_around_call")
def test_the_call_is_timed(case: Case) -> None:
    (around,) = case.call()
    with around:
        case.app.clock.advance(30)  # type: ignore[attr-defined]
    assert case.plugin.seconds == {"f00d": 0.03}


@shows("streamer_execute")
def test_the_value_is_put_into_an_envelope(case: Case) -> None:
    assert case.call() == {"value": {"x": 1}, "attempt": 1}


@shows("streamer_circuit")
def test_the_third_strike_opens(case: Case) -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), case.call(name="ledger"):
            raise ZeroDivisionError
    with pytest.raises(CircuitOpen), case.call(name="ledger"):
        pytest.fail("it should not be entered")
    with case.call(name="smtp"):
        pass


@shows("streamer_retry")
def test_a_full_disk_is_waited_for(case: Case) -> None:
    assert case.call() == Again(delay_ms=600_000)
    case.app.clock.advance(86_400_000)  # type: ignore[attr-defined]
    assert case.call() == GiveUp()


@shows("streamer_deliver")
def test_sends_are_counted(case: Case) -> None:
    assert case.call() == [{"c-1": Delivery.GONE}]
    assert case.plugin.sent == {("event", "gone"): 1}


@shows("streamer_fan_out")
def test_many_are_sent_to_beside(case: Case) -> None:
    assert case.call(connections=["c-1"]) is None
    connection_id = case.app.transport.connect()  # type: ignore[attr-defined]  # MemoryTransport's
    assert case.call(connections=[connection_id, *(f"c-{number}" for number in range(100))])
    inbox = case.app.transport.inbox(connection_id)  # type: ignore[attr-defined]
    assert inbox.wait_for(lambda _: True) == {}


@shows("streamer_on_sweep")
def test_a_round_is_noted(case: Case) -> None:
    case.app.sweep()
    noted = case.app.store.get_value("last-round")
    assert noted is not None
    assert noted.data == case.app.clock.now()


@shows("streamer_on_flush")
def test_lines_are_written(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    case.app.runtime.measure("probe.count", 2)
    case.call()
    assert capsys.readouterr().err == '{"name": "probe.count", "value": 2}\n'


@shows("streamer_health")
def test_the_disk_is_checked(case: Case) -> None:
    assert [one.name for one in case.app.health()] == ["store", "disk"]


# -- the map in docs/hooks.md

HOOKS_PAGE = ROOT / "docs" / "hooks.md"
ROW = re.compile(r"^\| `(streamer_\w+\(.*)` \| (.*) \| (.*) \|$", re.MULTILINE)


def signature_of(hook: str) -> str:
    node = SPECS[hook]
    returns = ast.unparse(node.returns) if node.returns else "None"
    return f"{hook}({ast.unparse(node.args)}) -> {returns}"


def rows() -> dict[str, list[str]]:
    found = ROW.findall(HOOKS_PAGE.read_text())
    cells = [[cell.replace("\\|", "|") for cell in row] for row in found]
    return {row[0].partition("(")[0]: row for row in cells}


def test_every_hook_is_on_the_page_once() -> None:
    listed = re.findall(r"^\| `(streamer_\w+)", HOOKS_PAGE.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(SPECS)
    assert f"these {len(SPECS)} hooks" in HOOKS_PAGE.read_text()


@pytest.mark.parametrize("hook", SPECS)
def test_the_page_has_its_real_signature_and_line(hook: str) -> None:
    signature, line, _ = rows()[hook]
    assert signature == signature_of(hook)
    assert line == text_of(hook).partition("\n")[0]


@pytest.mark.parametrize("hook", SPECS)
def test_the_page_says_truly_who_calls_it(hook: str) -> None:
    where = rows()[hook][2]
    callers = re.findall(r"\]\(\.\./(streamer_core/[\w/]+\.py)\)", where)
    for caller in callers:
        assert hook in (ROOT / caller).read_text(), f"{caller} does not call {hook}"
    assert callers or "plugin" in where or "console" in where or "command" in where


def test_the_page_has_each_hook_in_its_family() -> None:
    page = HOOKS_PAGE.read_text()
    sections = re.split(r"^## ", page, flags=re.MULTILINE)
    for section, hook in itertools.product(sections, SPECS):
        if f"| `{hook}(" in section:
            (family,) = re.findall(r"^Answers \((\w+)\): ", text_of(hook), re.MULTILINE)
            assert section.lower().startswith(family), hook


def test_the_names_the_page_imports_exist() -> None:
    for module, name in re.findall(r"`(streamer_core[\w.]*)\.([A-Z]\w+)`", HOOKS_PAGE.read_text()):
        assert hasattr(importlib.import_module(module), name), f"{module}.{name}"
