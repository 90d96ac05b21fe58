"""`streamer plugins doctor`: everything a start would check, one by one, and all of it."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import click

from streamer_core import plugins
from streamer_core.app import Streamer
from streamer_core.cli import loading, options, output
from streamer_core.cli.loading import Tried
from streamer_core.cli.problem import Code
from streamer_core.cli.project import Project, Unstarted, pass_project
from streamer_core.cli.text import clean
from streamer_core.errors import ConfigurationError, StoreError
from streamer_core.ports import SystemClock
from streamer_core.ports.detached import Detached
from streamer_core.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Check:
    """What was looked at, and what was found: `OK`, `FAIL` or `-` where it could not be tried."""

    name: str
    status: str
    detail: str = ""


@click.command(name="doctor")
@options.as_json
@pass_project
def command(project: Project, as_json: bool) -> None:
    """Check settings, each plugin by itself, their order, the store and the handlers.

    It says what to do about what is wrong. Exits 1 where something is.
    """
    checks = list(examine(project))
    if as_json:
        output.json_lines(asdict(check) for check in checks)
    else:
        for check in checks:
            _print(check)
    if any(check.status == "FAIL" for check in checks):
        click.get_current_context().exit(Code.FAILED)


def _print(check: Check) -> None:
    colour = {"OK": "green", "FAIL": "red"}.get(check.status)
    click.echo(
        f"{click.style(f'{check.status:<4}', fg=colour)}  {check.name}: {clean(check.detail)}"
    )


def examine(project: Project) -> Iterator[Check]:
    """Check everything, from the settings upwards."""
    try:
        settings = project.settings
        yield Check(name="settings", status="OK", detail=str(settings.source or "none; defaults"))
    except ConfigurationError as error:
        yield Check(name="settings", status="FAIL", detail=str(error))
        # The plugins may be looked at all the same, as far as they need no settings of their own.
        yield from map(_of_plugin, loading.try_all(*_bare()))
        yield Check(name="store and handlers", status="-", detail="not tried without settings")
        return
    tried = loading.try_all(settings, project.unstarted)
    yield from map(_of_plugin, tried)
    together = _together(settings, tried, project.unstarted)
    yield together
    if together.status == "FAIL":
        yield Check(name="store and handlers", status="-", detail="not tried without the plugins")
    else:
        yield from _whole(project)


def _bare() -> tuple[Settings, Unstarted]:
    return Settings(), Unstarted(settings=Settings(), clock=SystemClock())


def _of_plugin(tried: Tried) -> Check:
    name = f"plugin {tried.found.name}"
    if tried.problem:
        return Check(name=name, status="FAIL", detail=tried.problem)
    left_out = "" if tried.wanted else "; left out by [streamer] plugins"
    detail = f"{tried.found.distribution} {tried.found.version}{left_out}"
    return Check(name=name, status="OK", detail=detail)


def _together(settings: Settings, tried: list[Tried], app: Unstarted) -> Check:
    """Check what no plugin can be blamed for alone: names, requirements, order, sections."""
    if any(one.problem for one in tried):
        return Check(name="all plugins", status="FAIL", detail="mend those above first")

    def order() -> str:
        found = plugins.discover(settings.core.plugins)
        names = plugins.manager_of(found, settings, app)[1]
        return " -> ".join(names) or "none are installed"

    return _check("all plugins", order)


def _whole(project: Project) -> Iterator[Check]:
    opened: list[Streamer] = []

    def store() -> str:
        opened.append(app := project.open())
        began = app.clock.monotonic()
        try:
            app.store.check()
        except StoreError as error:
            said = type(error).__name__
            raise ConfigurationError(f"it opens, but does not answer: {said}") from error
        return f"answers within {(app.clock.monotonic() - began) * 1000:.1f} ms"

    def handlers() -> str:
        app = Streamer(project.settings, transport=Detached(), store=opened[0].store)
        actions = sorted(one.spec.action for one in app.registry)
        return ", ".join(actions) or 'there are none; write [streamer] handlers = ["module"]'

    try:
        yield _check(f"store {project.settings.core.store}", store)
        if opened:
            yield _check("handlers", handlers)
    finally:
        for app in opened:
            app.close()


def _check(name: str, work: Callable[[], str]) -> Check:
    try:
        return Check(name=name, status="OK", detail=work())
    except ConfigurationError as error:
        return Check(name=name, status="FAIL", detail=str(error))
    except Exception as error:  # noqa: BLE001 - what a plugin's own code raises may be anything
        return Check(name=name, status="FAIL", detail=f"{type(error).__name__}: {error}")
