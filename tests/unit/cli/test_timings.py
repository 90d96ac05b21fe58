"""`streamer plugins --timings`: what each plugin adds to a start, measured in fresh processes."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.unit.cli.tools import Dist, Run, Start

pytestmark = pytest.mark.uncovered

SLOW_MS = 300
PLUGIN = """
    import sys, time
    from cli_test_shared import nothing
    from streamer_core.plugin import Manifest

    class Plugin:
        manifest = Manifest({manifest})

        def __init__(self, settings, app):
            if sys.argv[0].endswith("timed.py"):
                print("hello at", app.clock.now())
            time.sleep({make_s})
"""


@pytest.fixture
def timed(start: Start, project: Path, dist: Dist) -> "subprocess.Popen[str]":
    """Time two plugins that import a module which takes long, of which one takes long to make."""
    (project / "streamer.toml").write_text('[streamer]\nplugins = ["a", "b"]\n')
    folders = [
        dist("shared", f"import time\ntime.sleep({SLOW_MS / 1000})\nnothing = None\n"),
        dist("a", PLUGIN.format(manifest="", make_s=0)),
        dist("b", PLUGIN.format(manifest="requires=('a',)", make_s=SLOW_MS / 1000)),
    ]
    return start("plugins", "--timings", "--json", PYTHONPATH=":".join(folders))


def test_what_is_shared_is_the_first_ones(timed: "subprocess.Popen[str]") -> None:
    out, err = timed.communicate(timeout=110)
    assert timed.returncode == 0, err
    a, b, total = map(json.loads, out.splitlines())
    assert (a["name"], b["name"]) == ("a", "b")
    assert a["alone"]["import_ms"] >= SLOW_MS
    assert a["in_order"]["import_ms"] >= SLOW_MS
    assert b["in_order"]["make_ms"] >= SLOW_MS > b["in_order"]["import_ms"]
    assert b["alone"]["import_ms"] < SLOW_MS, "what it requires was loaded before"
    took = [one["in_order"][part] for one in (a, b) for part in ("import_ms", "make_ms")]
    assert total == {"total_ms": pytest.approx(sum(took))}


def test_a_table_with_its_total(run: Run, project: Path) -> None:
    (project / "streamer.toml").write_text('[streamer]\nplugins = ["sqlite"]\n')
    head, sqlite, total = run("plugins", "--timings").stdout.splitlines()
    assert head == "NAME    ALONE = IMPORT + MAKE  IN ORDER = IMPORT + MAKE"
    whole, imported, made = map(float, sqlite.replace("=", "").replace("+", "").split()[4:])
    assert whole == pytest.approx(imported + made, abs=0.11)
    assert total.split() == ["total", f"{whole:.1f}"]


def test_a_broken_one_is_left_out_and_noted(run: Run, project: Path, dist: Dist) -> None:
    (project / "streamer.toml").write_text('[streamer]\nplugins = ["broken"]\n')
    dist("broken", "raise ImportError('no such luck')")
    result = run("plugins", "--timings", "--json")
    assert (result.exit_code, result.stdout) == (0, '{"total_ms":0}\n')
    assert "streamer plugins doctor" in result.stderr


def test_one_that_works_only_here(run: Run, project: Path, dist: Dist) -> None:
    (project / "streamer.toml").write_text('[streamer]\nplugins = ["here"]\n')
    dist("here", "class Plugin:\n    def __init__(self, settings, app): ...\n")
    result = run("plugins", "--timings")  # found by this process's path, and by no other's
    assert result.exit_code == 1
    assert "a process that loads here failed" in result.stderr


def test_that_its_options_are_not_those_of_a_command_below(run: Run, project: Path) -> None:
    assert run("plugins", "--timings", "list").exit_code == 2
