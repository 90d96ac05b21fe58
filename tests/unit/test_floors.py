"""Imports run one way: a file imports only from floors below its own (docs/architecture.md)."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import streamer_core
from streamer_core.model.manifest import Manifest

ROOT = Path(streamer_core.__file__).parent
FLOORS = [
    ["streamer_core.scope"],
    [
        "streamer_core.errors",
        "streamer_core.installed",
        "streamer_core.markers",
        "streamer_core.log",
        "streamer_core.records",
    ],
    ["streamer_core.model"],
    ["streamer_core.ports"],
    ["streamer_core.hookspecs", "streamer_core.sections", "streamer_core.ways"],
    [
        "streamer_core.hooks",
        "streamer_core.settings",
        "streamer_core.coroutines",
        "streamer_core.typeddicts",
        "streamer_core.plugin",
    ],
    ["streamer_core.implementations"],
    ["streamer_core.defaults", "streamer_core.plugins"],
    ["streamer_core.freeze", "streamer_core.context"],
    ["streamer_core.handlers", "streamer_core.outcomes", "streamer_core.kept"],
    ["streamer_core.registry"],
    ["streamer_core.engine"],
    ["streamer_core.app"],
    ["streamer_core"],
    ["streamer_core.cli", "streamer_core.testing"],
]
ALLOWED = {"pluggy", "pydantic", "pydantic_core", "structlog", "streamer_core", "typing_extensions"}
EXTRAS = {
    "streamer_core.cli": {"click", "rich", "streamer_client"},
    "streamer_core.testing": {"pytest", "hypothesis"},
}


def modules() -> list[str]:
    names = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = [ROOT.name, *path.relative_to(ROOT).with_suffix("").parts]
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def floor(module: str) -> int:
    """The floor of the longest name on the list that the module lies under."""
    names = [(name, level) for level, names in enumerate(FLOORS) for name in names]
    fitting = [
        (len(name), level)
        for name, level in names
        if module == name or (module.startswith(f"{name}.") and name != "streamer_core")
    ]
    assert fitting, f"{module} stands on no floor: put it on one"
    return max(fitting)[1]


def imports(module: str) -> Iterator[str]:
    path = ROOT.joinpath(*module.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in MODULES else base


MODULES = set(modules())


def package(module: str) -> str:
    return ".".join(module.split(".")[:2])


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_only_from_floors_below(module: str) -> None:
    for imported in imports(module):
        if imported.split(".")[0] != "streamer_core" or package(imported) == package(module):
            continue
        assert floor(imported) < floor(module), f"{module} imports {imported}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_depends_on_few_others(module: str) -> None:
    extras = EXTRAS.get(package(module), set())
    for imported in imports(module):
        top = imported.split(".")[0]
        assert top in ALLOWED | extras or top in sys.stdlib_module_names, f"{module}: {top}"


COSTLY = ("asyncio", "importlib.metadata", "logging", "pydantic", "socket", "structlog")
IMPORT = "import streamer_core.plugin"
START = """
from streamer_core import Settings, Streamer, handler
from streamer_core.model.connection import Handshake
from streamer_core.plugin import Principal, Store, Transport, hookimpl
from streamer_core.plugins import Found

def stub(port):
    given = dict.fromkeys(port.__abstractmethods__, lambda *_, **__: None)
    return type("Stub", (port,), given | {"__init__": lambda self: None})()

class Plugin:
    def __init__(self, settings, app): ...

    @hookimpl
    def streamer_authenticate(self, handshake):
        return Principal(user="ann")

    @hookimpl
    def streamer_register_handlers(self):
        return [echo]

@handler("echo")
def echo(request: dict) -> dict:
    return request

app = Streamer.start(
    Settings.of({"lease": "1m"}),
    found=[Found(name="stub", value="__main__:Plugin")],
    store=stub(Store),
    transport=stub(Transport),
)
connection = app.connect(Handshake(connection_id="c"))
frame = app.receive(connection, b'{"action": "echo", "payload": {"text": "x"}}').frames[0]
assert b'"success":true' in frame, frame
"""


@pytest.mark.parametrize("code", [IMPORT, START], ids=["import", "first message"])
def test_what_is_costly_is_loaded_only_where_it_is_needed(code: str) -> None:
    """Neither by the import nor by a message that needs none of it: see benchmarks/start.py."""
    worker = {f"streamer_core.engine.{verb}" for verb in ("settle", "sweep", "work")}
    costly = {*COSTLY, *worker, "boto3", "click", "pytest", "rich"}
    before = "import sys\nbefore = set(sys.modules)\n"  # coverage may be among them
    after = f"\nloaded = {costly} & set(sys.modules) - before\nassert not loaded, loaded\n"
    subprocess.run([sys.executable, "-I", "-c", before + code + after], check=True)


def test_what_is_public_is_listed() -> None:
    public = {name for name in vars(streamer_core) if not name.startswith("_")}
    submodules = {name.split(".")[1] for name in MODULES if "." in name}
    assert set(streamer_core.__all__) == public - (submodules - set(streamer_core.__all__))


def test_no_plugin_knows_another() -> None:
    """Neither imports nor requires it, nor asks in its manifest for a place beside it."""
    named = re.compile(r"(?:(?:import|from) streamer_plugin_|\"streamer-plugin-)([a-z]+)")
    for folder in (ROOT.parent / "plugins").glob("streamer-plugin-*"):
        own = folder.name.removeprefix("streamer-plugin-")
        for path in [folder / "pyproject.toml", *folder.glob("src/**/*.py")]:
            assert set(named.findall(path.read_text("utf-8"))) <= {own}, path
    for point in entry_points(group="streamer.plugins"):
        manifest = getattr(point.load(), "manifest", Manifest())
        assert manifest == Manifest(), point.name
