"""The pages in docs/ and the READMEs are true: what they show runs, what they list is all there is.

A ```python block is run, unless `<!-- not run: why -->` stands on the line before its fence; the
blocks of a page are one module, in order, and its `test_…` functions are called. A block after
`<!-- file: path -->` is a file of the page's example project instead.
"""

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import types
import zipfile
from dataclasses import fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from streamer_core import Settings, errors
from streamer_core.engine import framework
from streamer_core.model import encode
from streamer_core.model.request import Status
from streamer_core.sections import validate_section
from streamer_core.settings import CoreSettings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
READMES = sorted(
    path
    for pattern in ("*.md", "plugins/*/README.md", "clients/*/README.md", "examples/*/README.md")
    for path in ROOT.glob(pattern)
)
BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>file|not run): (?P<said>[^\n]*?) -->\n)?"
    r"^```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text_of(page: str) -> str:
    return (DOCS / page).read_text("utf-8")


def python_of(page: Path) -> list[str]:
    """Give the blocks to run, each at its line, so that an error points into the page."""
    text = page.read_text("utf-8")
    return [
        "\n" * text.count("\n", 0, block.start("code")) + block["code"]
        for block in BLOCK.finditer(text)
        if block["language"] == "python" and block["mark"] is None
    ]


def table(page: str, first_column: str) -> list[list[str]]:
    """Give the rows of the page's table whose first column has this head."""
    rows: list[list[str]] = []
    inside = False
    for line in text_of(page).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith(f"| {first_column} |"):
            inside = True
        elif inside and not line.startswith("|"):
            break
        elif inside and not line.startswith("|---"):
            rows.append([cell.strip() for cell in cells])
    assert rows, f"{page} has no table of {first_column}"
    return rows


def code(cell: str) -> str:
    return cell.strip("`")


# -- what is shown runs


@pytest.mark.parametrize("page", [p for p in PAGES if python_of(p)], ids=name_of)
def test_python_blocks_run(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType(f"page_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in python_of(page):
        exec(compile(block, str(page), "exec"), vars(module))
    for name, value in list(vars(module).items()):
        if name.startswith("test_") and inspect.isfunction(value):
            value()


def settings_of(page: Path) -> list[str]:
    """Give the blocks that are a `streamer.toml`, or a part of one."""
    blocks = (block["code"] for block in BLOCK.finditer(page.read_text("utf-8")))
    return [code for code in blocks if re.match(r"(#.*\n)?\[+(streamer|plugins\.)", code)]


@pytest.mark.parametrize("page", [p for p in READMES if settings_of(p)], ids=name_of)
def test_settings_are_taken(page: Path, tmp_path: Path) -> None:
    plugins = {point.name: point for point in entry_points(group="streamer.plugins")}
    for text in settings_of(page):
        (tmp_path / "streamer.toml").write_text(text, "utf-8")
        for name, section in Settings.load(tmp_path, environ={}).plugins.items():
            validate_section(plugins[name].load().Settings, section, f"[plugins.{name}]")


def test_a_block_that_is_not_run_says_why() -> None:
    for page in [*PAGES, *READMES]:
        for block in BLOCK.finditer(page.read_text("utf-8")):
            assert block["mark"] is None or block["said"].strip(), name_of(page)


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The module that docs/handlers.md is."""
    module = types.ModuleType("page_handlers")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in python_of(DOCS / "handlers.md"):
        exec(compile(block, "handlers.md", "exec"), vars(module))
    return module


class Client:
    """Sends messages to an application that works on what is queued at once."""

    def __init__(self, app: Any) -> None:
        from streamer_core.model.connection import Handshake

        self.app = app
        self.id = app.transport.connect()
        self.connection = app.connect(Handshake(connection_id=self.id))

    def ask(self, action: str, payload: dict[str, Any] | None = None, named: str = "r") -> Any:
        data = encode.encode({"id": named, "action": action, "payload": payload or {}})
        frames = self.app.receive(self.connection, data).frames
        (answer,) = [json.loads(frame) for frame in frames]
        if answer["type"] == "acknowledgment":
            for _ in range(20):
                self.app.work()
            return self.app.transport.inbox(self.id)[-1]
        return answer


def test_the_handlers_of_the_page_do_what_it_says(handlers: types.ModuleType) -> None:
    with handlers.start() as app:
        client = Client(app)
        assert client.ask("hello", {"name": "you"})["data"] == {"greeting": "Hello, you"}
        assert client.ask("hello", {})["error"]["details"][0]["path"] == "payload.name"
        assert client.ask("pay", {"card": "0000"})["error"] == {
            "code": "billing.card_declined",
            "message": "The card was declined",
            "details": {"last4": "0000"},
        }
        assert client.ask("send_letters", {"letters": 3}, "l")["result"] == 3
        assert handlers.SENT == [0, 1, 2]
        assert client.ask("import", {}, "i")["result"] == {"rows": 1000}
        chunks = [m["data"] for m in app.transport.inbox(client.id) if m.get("type") == "chunk"]
        assert [one["from_row"] for one in chunks] == list(range(0, 1000, 100))
        assert client.ask("sync_account", {}, "s")["type"] == "complete"
        first = client.ask("place_order", {}, "o")["data"]
        assert client.ask("place_order", {}, "o")["data"] == first == {"order": 17, "for": "ada"}
        assert client.ask("streamer.subscribe", {"topic": "room:a"})["type"] == "response"
        assert client.ask("streamer.subscribe", {"topic": "room:staff"})["error"]["code"] == (
            "FORBIDDEN"
        )
        client.ask("say", {"room": "a", "text": "hi"}, "t")
        event = app.transport.inbox(client.id).wait_for_type("event")
        assert (event["topic"], event["data"]) == ("room:a", {"text": "hi"})


def test_the_example_plugin_passes_its_own_tests(tmp_path: Path) -> None:
    """Build the project that docs/plugins.md shows, install it, and run its tests."""
    project, site = tmp_path / "project", tmp_path / "site"
    files = [b for b in BLOCK.finditer(text_of("plugins.md")) if b["mark"] == "file"]
    for block in files:
        path = project / block["said"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block["code"], "utf-8")
    (project / "src" / "streamer_plugin_apikey" / "py.typed").touch()
    build = "from hatchling.build import build_wheel; print(build_wheel('.'))"
    built = _python("-c", build, cwd=project).splitlines()[-1]
    with zipfile.ZipFile(project / built) as wheel:
        wheel.extractall(site)
    options = ("-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-W", "error")
    said = _python("-m", "pytest", *options, "tests", cwd=project, path=site)
    assert re.search(r"\b\d+ passed", said), said


def _python(*arguments: str, cwd: Path, path: Path | None = None) -> str:
    environ = {**os.environ, "PYTHONPATH": str(path) if path else ""}
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# -- what is listed is all there is


def test_every_setting_is_listed_with_its_default() -> None:
    shown = {code(row[0]): code(row[1]) for row in table("settings.md", "setting")}
    assert list(shown) == [one.name for one in fields(CoreSettings)]
    words: dict[str, Any] = {"all": None, "none": None, "false": False, "[]": ()}
    given = {
        name: json.loads(text) if text.startswith("[") else text.strip('"')
        for name, text in shown.items()
        if text not in words
    }
    settings = Settings.of(given).core
    for name, text in shown.items():
        default = getattr(CoreSettings(), name)
        assert getattr(settings, name) == default, name
        assert words.get(text, default) == default, name


def test_every_message_type_is_listed() -> None:
    listed = {code(row[0]) for row in table("protocol.md", "type")}
    source = inspect.getsource(encode)
    kinds = set(re.findall(r'_outgoing\("(\w+)"', source))
    kinds |= {"chunk", "restart", "complete", "error"}  # `Kind`, by `encode.update`
    assert listed == kinds


def test_every_framework_action_is_listed() -> None:
    assert [code(row[0]) for row in table("protocol.md", "action")] == list(framework.ACTIONS)


def test_every_error_code_is_listed_with_its_retry() -> None:
    shown = {code(row[0]): row[1] == "yes" for row in table("protocol.md", "code")}
    refused = {one.code: one.retryable for one in _family(errors.Refused)}
    outcomes = {code: code in encode.RETRYABLE for code in _outcomes()}
    assert shown == {**refused, **outcomes}


def _family(cls: type[errors.Refused]) -> set[type[errors.Refused]]:
    return {cls}.union(*map(_family, cls.__subclasses__()))


def _outcomes() -> set[str]:
    """Give the codes that the engine writes into a terminal message by name."""
    folder = ROOT / "streamer_core" / "engine"
    source = "".join(path.read_text() for path in folder.glob("*.py"))
    return set(re.findall(r'"([A-Z]+(?:_[A-Z]+)*)"', source)) & {
        "TIMEOUT",
        "PROCESSING_FAILED",
        "CANCELLED",
    }


def test_every_status_is_listed() -> None:
    (line,) = [
        line
        for line in text_of("protocol.md").splitlines()
        if line.startswith("A request's status")
    ]
    assert re.findall(r"`(\w+)`", line) == [
        "queued",
        *(status.wire for status in (Status.PROCESSING, Status.RETRYING)),
        *(status.wire for status in Status if status.terminal),
    ]


def _core_sources() -> str:
    paths = sorted((ROOT / "streamer_core").rglob("*.py"))
    return "".join(path.read_text("utf-8") for path in paths if path.parent.name != "hookspecs")


def test_every_metric_is_listed() -> None:
    """The core's; a plugin's own are in its README."""
    measured = re.findall(r'\.measure\(\s*"([\w.]+)"', _core_sources())
    assert sorted(code(row[0]) for row in table("operations.md", "metric")) == sorted(set(measured))


def test_every_log_line_is_listed() -> None:
    logged = re.findall(r'\.(?:error|exception|warning|info)\(\s*"([^"]+)"', _core_sources())
    first_cells = " ".join(row[0] for row in table("operations.md", "line"))
    assert set(re.findall(r"`([^`]+)`", first_cells)) == set(logged)


def test_every_handler_option_is_listed() -> None:
    from streamer_core import handler
    from streamer_core.handlers import _RETRY_KEYS

    options = [code(row[0]) for row in table("handlers.md", "option")]
    assert ["action", *options] == list(inspect.signature(handler).parameters)
    first_cells = " ".join(row[0] for row in table("handlers.md", "in `retry`"))
    assert set(re.findall(r"`(\w+)`", first_cells)) == _RETRY_KEYS


def test_everything_of_a_context_is_listed() -> None:
    from streamer_core import Context

    public = {name for name in vars(Context) if not name.startswith("_")}
    attributes = set(re.findall(r"^        (\w+): ", inspect.getdoc(Context) or "", re.MULTILINE))
    listed = set(re.findall(r"`ctx\.(\w+)", text_of("handlers.md")))
    assert public | attributes <= listed | {"saw_stop"}


def test_every_floor_is_there() -> None:
    for row in table("architecture.md", "floor"):
        for target in LINK.findall(row[0]):
            assert (DOCS / target).exists(), target


# -- links


@pytest.mark.parametrize("page", [*PAGES, *READMES], ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = BLOCK.sub("", page.read_text("utf-8"))
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{target} leads nowhere"
        assert not anchor or anchor in anchors(linked), f"{target}: no such heading"


def anchors(page: Path) -> set[str]:
    """Give the anchors that a forge makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


def test_every_page_is_reached() -> None:
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in [*PAGES, *READMES]
        for target in LINK.findall(page.read_text("utf-8"))
    }
    assert set(PAGES) <= linked


def test_imported_modules_exist() -> None:
    for page in PAGES:
        for module in re.findall(r"`(streamer_core(?:\.[a-z_]+)+)`", page.read_text("utf-8")):
            importlib.import_module(module)
