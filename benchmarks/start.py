"""A start with ten plugins against `import boto3` and one client, in fresh processes by turns.

The plugins are really installed: a module and a dist-info each, found by their entry points among
all that this environment holds. Frozen: the same from the file that `streamer freeze` writes.

Both kinds of project that there are: one whose plugins' settings are records and whose handler
takes a dict, which needs no pydantic, and one of models. The plugins do the same.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.options import Options
from benchmarks.report import Report

PLUGINS = 10
BOUND, AIM = 0.75, 0.4

PLUGIN = '''
{imports}

from streamer_core.markers import hookimpl
from streamer_core.model.manifest import Manifest
from streamer_core.model.principal import Principal


class Plugin:
    """Does a little, as small plugins do."""

    {kind}:
        word: str = "x"
        number: int = {number}

    manifest = Manifest()

    def __init__(self, settings, app):
        self.settings = settings

    @hookimpl
    def streamer_limit(self, principal, connection, request):
        return None

    @hookimpl
    def streamer_on_request(self, request, handler, mode):
        pass
'''

FIRST = """
    @hookimpl
    def streamer_authenticate(self, handshake):
        return Principal(user="ann")

    @hookimpl
    def streamer_open_store(self, name, clock):
        from streamer_core.ports import Store
        return _filled(Store)(clock) if name == "stub" else None

    @hookimpl
    def streamer_open_transport(self, name):
        from streamer_core.ports import Transport
        return _filled(Transport)() if name == "stub" else None


def _filled(port):
    return type("Stub", (port,), dict.fromkeys(port.__abstractmethods__, lambda *a, **k: None))
"""

HANDLERS = """
from streamer_core import handler

{payload}


@handler("echo")
def echo(request: Text) -> dict:
    return {{"text": {text}}}
"""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What settings and payloads are declared with."""

    name: str
    imports: str
    settings: str
    payload: str
    text: str


RECORDS = Kind(
    name="records",
    imports="from streamer_core.records import record",
    settings="@record\n    class Settings",
    payload="Text = dict",
    text='request["text"]',
)
MODELS = Kind(
    name="models",
    imports="from pydantic import BaseModel",
    settings="class Settings(BaseModel)",
    payload="from pydantic import BaseModel\n\nclass Text(BaseModel):\n    text: str",
    text="request.text",
)

STREAMER = """
import time; began = time.perf_counter()
from streamer_core import Settings, Streamer
app = Streamer.start(Settings.load())
print(time.perf_counter() - began, len(app.plugins), flush=True)
"""

STREAMER_MESSAGE = """
import time; began = time.perf_counter()
from streamer_core import Settings, Streamer
from streamer_core.model.connection import Handshake
app = Streamer.start(Settings.load())
connection = app.connect(Handshake(connection_id="c"))
frame = app.receive(connection, b'{"action": "echo", "payload": {"text": "x"}}').frames[0]
assert b'"success":true' in frame, frame
print(time.perf_counter() - began, len(app.plugins), flush=True)
"""

BOTO3 = """
import time; began = time.perf_counter()
import boto3
boto3.client("dynamodb", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
print(time.perf_counter() - began, 0, flush=True)
"""


@dataclass(frozen=True, kw_only=True)
class Start:
    """One process: seconds of the work alone, and with the interpreter's own start and end."""

    inside: float
    whole: float


def run(report: Report, options: Options) -> None:
    """Alternate them."""
    rounds = options.size(21, 1)
    with tempfile.TemporaryDirectory(prefix="streamer-benchmark-") as name:
        programs = {"boto3": (BOTO3, Path(name), Path(name))}
        for kind in (RECORDS, MODELS):
            programs |= _programs(Path(name, kind.name), kind)
        starts: dict[str, list[Start]] = {which: [] for which in programs}
        for turn in range(rounds + 1):
            for which, (program, place, path) in programs.items():
                start = run_in(place, program, path)
                if turn:  # the first one compiles
                    starts[which].append(start)
    for which, those in starts.items():
        report.add(which, 1000 * _inside(those), "ms")
        report.add("  whole process", 1000 * statistics.median(s.whole for s in those), "ms")
    boto3 = _inside(starts.pop("boto3"))
    for which, those in starts.items():
        bounds = {} if "message" in which else {"bound": BOUND, "aim": AIM}
        report.add(f"{which} / boto3", _inside(those) / boto3, "", **bounds)
    report.note(f"medians of {rounds} fresh processes each, {PLUGINS} plugins")


def _programs(folder: Path, kind: Kind) -> dict[str, tuple[str, Path, Path]]:
    """Make the two projects of a kind; give the programs to run, each with its place and path."""
    folder.mkdir()
    install(folder, kind=kind)
    scanned, frozen = folder / "scanned", folder / "frozen"
    project(scanned, kind=kind)
    project(frozen, kind=kind, more='frozen = "frozen.json"')
    _freeze(scanned, frozen)
    return {
        f"{kind.name}, {place.name}{what}": (program, place, folder)
        for what, program in (("", STREAMER), (", first message", STREAMER_MESSAGE))
        for place in (scanned, frozen)
    }


def _inside(starts: list[Start]) -> float:
    return statistics.median(start.inside for start in starts)


def install(folder: Path, plugins: int = PLUGINS, kind: Kind = MODELS) -> None:
    """Install so many; the first brings store, transport and authentication."""
    for number in range(plugins):
        module = f"streamer_plugin_bench{number}"
        code = PLUGIN.format(imports=kind.imports, kind=kind.settings, number=number)
        (folder / f"{module}.py").write_text(code + (FIRST if number == 0 else ""))
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        name = module.replace("_", "-")
        (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n")
        entry = f"[streamer.plugins]\nbench{number} = {module}:Plugin\n"
        (info / "entry_points.txt").write_text(entry)


def project(folder: Path, plugins: int = PLUGINS, kind: Kind = MODELS, more: str = "") -> None:
    """Make a project that loads so many of them."""
    folder.mkdir()
    names = [f"bench{number}" for number in range(plugins)]
    handlers = HANDLERS.format(payload=kind.payload, text=kind.text)
    (folder / "bench_handlers.py").write_text(handlers)
    (folder / "streamer.toml").write_text(
        f'[streamer]\nstore = "stub"\ntransport = "stub"\nhandlers = ["bench_handlers"]\n'
        f"plugins = {names}\n{more}\n[plugins.bench0]\nnumber = 7\n"
    )


def _freeze(scanned: Path, frozen: Path) -> None:
    """Write the file from a start that scans, with the frozen project's settings."""
    program = (
        "from pathlib import Path; from streamer_core import Settings, Streamer\n"
        "import dataclasses\n"
        f"settings = Settings.load({str(frozen)!r})\n"
        "core = dataclasses.replace(settings.core, frozen=None)\n"
        "app = Streamer.start(dataclasses.replace(settings, core=core))\n"
        f"app.freeze(Path({str(frozen / 'frozen.json')!r}))\n"
        "print(0, len(app.plugins))\n"
    )
    run_in(scanned, program, scanned.parent)


def run_in(project: Path, program: str, path: Path, plugins: int = PLUGINS) -> Start:
    """Run a program in a process of its own, with what is installed in `path`.

    Raises:
        RuntimeError: it loaded another number of plugins.
    """
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=project,
        env={"PYTHONPATH": str(path), "PATH": "/usr/bin:/bin"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    whole = time.perf_counter() - began
    inside, loaded = done.stdout.split()
    if int(loaded) not in {0, plugins}:
        raise RuntimeError(f"{loaded} plugins were loaded")
    return Start(inside=float(inside), whole=whole)
