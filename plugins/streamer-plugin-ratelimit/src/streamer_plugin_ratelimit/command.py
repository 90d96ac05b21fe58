"""`streamer ratelimit`: look at counters, and empty them.

A store cannot list its counters: the options say whose are meant.
"""

from collections.abc import Callable, Sequence
from typing import Any

import click

from streamer_core import Settings, Streamer
from streamer_core.ports.detached import Detached
from streamer_plugin_ratelimit.limit import Limit
from streamer_plugin_ratelimit.settings import PARTS


def ratelimit(limits: Sequence[Limit], settings: Settings) -> click.Group:
    """Make the command for these limits."""
    group = click.Group(
        name="ratelimit", help="Look at the counters of [plugins.ratelimit], and empty them."
    )

    @group.command(help="Show the limits, and how much is used of those that the options name.")
    @_options
    def show(name: str | None, **whose: str | None) -> None:
        with _opened(settings) as app:
            for limit in _named(limits, name):
                key = _key(limit, whose)
                used = f"by {', '.join(limit.parts)}" if key is None else _used(app, limit, key)
                click.echo(f"{limit.name}: {limit.settings.rate}, {limit.burst} at once; {used}")

    @group.command(help="Empty the counters that the options name: who was refused may go on.")
    @_options
    def reset(name: str | None, **whose: str | None) -> None:
        found = [(limit, _key(limit, whose)) for limit in _named(limits, name)]
        if name is None and not any(whose.values()):
            raise click.UsageError("say whose: give --limit, --user with --tenant, or the like")
        if all(key is None for _, key in found):
            needs = "; ".join(f"{limit.name}: {', '.join(limit.parts)}" for limit, _ in found)
            raise click.UsageError(f"that names no counter; needed are, for {needs}")
        with _opened(settings) as app:
            for limit, key in found:
                if key is not None:
                    app.store.count([limit.count(key, -limit.burst, app.clock.now())])
                    click.echo(f"{limit.name}: emptied")

    return group


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for part in reversed(PARTS):
        command = click.option(f"--{part}", help=f"Of this {part}.")(command)
    return click.option("--limit", "name", help="Of this limit alone.")(command)


def _opened(settings: Settings) -> Streamer:
    return Streamer(settings, transport=Detached(), load_handlers=False)


def _named(limits: Sequence[Limit], name: str | None) -> list[Limit]:
    found = [limit for limit in limits if name in {None, limit.name}]
    if not found:
        known = ", ".join(limit.name for limit in limits) or "none"
        raise click.UsageError(f"there is no such limit; known: {known}")
    return found


def _key(limit: Limit, whose: dict[str, Any]) -> str | None:
    """Name the counter that the options mean; None: they leave something out."""
    who = [whose[part] for part in limit.parts]
    return None if None in who else limit.key(tuple(who))


def _used(app: Streamer, limit: Limit, key: str) -> str:
    (level,) = app.store.count([limit.count(key, 0, app.clock.now())]).levels
    return f"{level:.1f} used"
