"""`streamer token` and `streamer jwt`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from streamer_core.app import Streamer
from streamer_core.cli import options
from streamer_core.cli.text import clean, when
from streamer_core.errors import ConfigurationError
from streamer_core.model.principal import NO_TENANT
from streamer_core.ports.detached import Detached
from streamer_plugin_jwt.claims import is_short_text
from streamer_plugin_jwt.denylist import Denylist

if TYPE_CHECKING:
    from streamer_plugin_jwt.plugin import JwtPlugin

_NOT_WELL = 1
_PATIENCE_S = 10.0


def commands(plugin: "JwtPlugin") -> Sequence[click.Command]:
    """Make the commands of a plugin."""
    group = click.Group(
        name="jwt",
        help="Revoke tokens, and look at the keys they are checked with.",
        commands=[revoke, revoked, keys],
        context_settings={"obj": plugin},
    )
    issue = click.Command(
        name=token.name,
        help=token.help,
        params=token.params,
        callback=token.callback,
        context_settings={"obj": plugin},
    )
    return [group, issue]


@click.command(name="token")
@click.option("--user", required=True, help="Whose token it is.")
@click.option("--tenant", help="Of this tenant.")
@click.option("--scope", "scopes", multiple=True, help="A scope; may be given several times.")
@click.option(
    "--life", type=options.duration, default="1h", show_default=True, help="How long it is good."
)
@click.option("--issuer", "name", help="Which of several issuers signs it.")
@click.pass_obj
def token(
    plugin: "JwtPlugin",
    /,
    *,
    scopes: tuple[str, ...],
    life: int,
    name: str | None,
    **who: str | None,
) -> None:
    """Print a token for development, signed with the project's own key."""
    from streamer_plugin_jwt.issue import Wanted, issue  # noqa: PLC0415 - and all of cryptography

    issuers = plugin.verifier.issuers
    name = name or next(iter(issuers))
    if name not in issuers:
        raise ConfigurationError(f"there is no issuer {name!r}; there are: {', '.join(issuers)}")
    wanted = Wanted(user=who["user"] or "", tenant=who["tenant"], scopes=scopes, life_ms=life)
    click.echo(issue(plugin.verifier, plugin.clock, name, wanted))


def _short_text(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    if text is not None and not is_short_text(text):
        raise click.BadParameter("no token has that: write 1 to 256 printable characters")
    return text


@click.command()
@click.option("--user", required=True, callback=_short_text, help="Whose tokens.")
@click.option(
    "--tenant", callback=_short_text, help="Of this tenant; a must where tokens name one."
)
@click.option(
    "--id",
    "token_id",
    callback=_short_text,
    help="The token's id, its claim jti; without: all issued so far.",
)
@click.pass_obj
def revoke(plugin: "JwtPlugin", user: str, tenant: str | None, token_id: str | None) -> None:
    """Let nobody in any more by a token, or by all that a user has.

    Open connections are refused within seconds, and closed by the next sweep, within a minute.
    """
    tenant = _checked(tenant, plugin)
    with _denylist(plugin) as denylist:
        if token_id is None:
            denylist.revoke_user(tenant, user)
        else:
            denylist.revoke_token(tenant, user, token_id)
    what = "all tokens issued so far" if token_id is None else f"the token {token_id}"
    click.echo(f"revoked: {what} of {user} (tenant {tenant})")


def _checked(tenant: str | None, plugin: "JwtPlugin") -> str:
    """Give the tenant that is meant: what is revoked of another than the token's lets it in still.

    Raises:
        UsageError: no token can be of it.
    """
    is_named = any(one.tenant for one in plugin.verifier.issuers.values())
    if tenant is None and is_named:
        raise click.UsageError("whose user? Tokens name a tenant: give --tenant")
    if tenant not in {None, NO_TENANT} and not is_named:
        raise click.UsageError(
            f"all users are of the tenant {NO_TENANT!r}: [plugins.jwt] tenant names no claim"
        )
    return tenant or NO_TENANT


@click.command()
@click.pass_obj
def revoked(plugin: "JwtPlugin") -> None:
    """List what was revoked."""
    with _denylist(plugin) as denylist:
        entries = sorted(denylist.entries(), key=lambda one: int(one["at"]))
    for one in entries:
        what = f"token {one['token_id']}" if "token_id" in one else "all tokens issued before"
        click.echo(clean(f"{when(one['at'])}  {one['tenant']}  {one['user']}  {what}"))


@click.command()
@click.pass_context
def keys(context: click.Context) -> None:
    """Read or fetch the keys of all issuers, and say how they are; exit code 1 if not well."""
    states = [one.state(_PATIENCE_S) for one in context.obj.verifier.key_sets()]
    for state in states:
        click.echo(state.said)
    if not all(state.ok and not state.degraded for state in states):
        context.exit(_NOT_WELL)


@contextmanager
def _denylist(plugin: "JwtPlugin") -> Iterator[Denylist]:
    """Open the store beside whoever serves it."""
    settings: Any = plugin.core_settings
    with Streamer(settings, transport=Detached(), load_handlers=False) as app:
        yield Denylist(app.store, app.clock, plugin.settings)
