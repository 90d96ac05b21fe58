"""What each plugin adds to a start: measured in fresh interpreters, that share nothing."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from streamer_core.cli import loading
from streamer_core.cli.loading import Tried
from streamer_core.cli.problem import Code, Problem
from streamer_core.cli.project import Project
from streamer_core.plugins import Found

_RUNS = 3
_BOUND_S = 60


@dataclass(frozen=True, kw_only=True)
class Took:
    """Milliseconds to import a plugin's module, and to check its section and make it."""

    import_ms: float
    make_ms: float

    @property
    def all_ms(self) -> float:
        """Both."""
        return self.import_ms + self.make_ms


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One plugin.

    Args:
        name: of the plugin.
        alone: in a process with the core, and the plugins that it requires, and nothing else.
        in_order: in a process with all plugins, after those that are loaded before it: what another
            has imported already costs it nothing.
    """

    name: str
    alone: Took
    in_order: Took


def measure(project: Project, tried: list[Tried]) -> list[Timing]:
    """Time those plugins of a project that are on, in the order of loading.

    Each figure is the fastest of three processes: what is slower has been disturbed. The first
    compiles, where nothing was compiled yet.

    Raises:
        ConfigurationError: they do not work together.
        Problem: a process that is timed ended, or does not.
    """
    wanted = {one.name: one for one in loading.working(tried)}
    order = loading.made(list(wanted.values()), project.settings, project.unstarted)[1]
    in_order = _fastest(project, [wanted[name] for name in order])
    return [
        Timing(name=name, alone=_alone(project, name, wanted, order), in_order=took)
        for name, took in zip(order, in_order, strict=True)
    ]


def _alone(project: Project, name: str, wanted: dict[str, Found], order: Sequence[str]) -> Took:
    needed = {one.name for one in loading.with_required(wanted[name], wanted)} - {name}
    before = [wanted[one] for one in order if one in needed]
    return _fastest(project, [*before, wanted[name]])[-1]


def _fastest(project: Project, found: Sequence[Found]) -> list[Took]:
    runs = [_run(project, found) for _ in range(_RUNS)]
    return [min(those, key=lambda took: took.all_ms) for those in zip(*runs, strict=True)]


def _run(project: Project, found: Sequence[Found]) -> list[Took]:
    config = None if project.config is None else str(project.config)
    asked = json.dumps({"config": config, "plugins": [asdict(one) for one in found]})
    command = [sys.executable, "-m", "streamer_core.cli.timed"]
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter
            command, input=asked, stdout=subprocess.PIPE, text=True, check=True, timeout=_BOUND_S
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        names = ", ".join(one.name for one in found)
        raise Problem(f"a process that loads {names} failed", code=Code.FAILED) from None
    taken: list[dict[str, Any]] = json.loads(done.stdout)
    return [Took(import_ms=one["import_ms"], make_ms=one["make_ms"]) for one in taken]
