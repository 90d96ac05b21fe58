"""Imports run one way: a file imports only from floors below its own (docs/architecture.md)."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import streamer_core

ROOT = Path(streamer_core.__file__).parent
FLOORS = [
    ["streamer_core.errors", "streamer_core.markers", "streamer_core.log"],
    ["streamer_core.model"],
    ["streamer_core.ports"],
    ["streamer_core.hookspecs"],
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
    ["streamer_core.handlers"],
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


def test_asyncio_is_not_loaded_by_a_start_that_runs_no_coroutine() -> None:
    """On a Lambda's path it would cost without being used."""
    import subprocess

    code = (
        "import sys, streamer_core;"
        "bad = [m for m in ('asyncio', 'click', 'rich', 'pytest') if m in sys.modules];"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_public_is_listed() -> None:
    public = {name for name in vars(streamer_core) if not name.startswith("_")}
    submodules = {name.split(".")[1] for name in MODULES if "." in name}
    assert set(streamer_core.__all__) == public - (submodules - set(streamer_core.__all__))
