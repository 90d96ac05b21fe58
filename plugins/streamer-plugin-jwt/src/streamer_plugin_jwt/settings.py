"""`[plugins.jwt]`."""

from collections.abc import Iterator, Mapping
from dataclasses import field

from streamer_core.records import record
from streamer_core.sections import Ms
from streamer_plugin_jwt.algorithms import ALGORITHMS
from streamer_plugin_jwt.places import is_allowed

NOT_CONFIGURED = (
    'whose tokens are good? Write issuer = "https://…" and audience = ["…"], or '
    'keys = ["env:JWT_SECRET"], in [plugins.jwt]; to do without tokens, leave "jwt" out of '
    "[streamer] plugins, which names the plugins to load"
)
_KINDS = ("env:", "file:", "secretsmanager:", "ssm:", "-----BEGIN ", "{")
_TOKEN_USES = {"access", "id"}
_OWN = "jwt"
_LONGEST_TIMEOUT_MS = 10_000
_LONGEST_LEEWAY_MS = 600_000
_SHORTEST_REFRESH_MS = 60_000


@record
class Issuer:
    """Whose tokens are good, and what is read of them.

    Args:
        issuer: the `iss` that its tokens have; its keys are found by OpenID Connect discovery
            unless `jwks` or `keys` say where.
        jwks: the address of its key set.
        keys: keys, each `[kid=]place`; a place is `env:NAME`, `file:PATH`, `secretsmanager:NAME`,
            `ssm:NAME`, or a public key itself, as PEM or JWK.
        audience: a token must be meant for one of these.
        algorithms: the only ones to take, of those that the key's type has.
        user, tenant: the claims that say who it is; without `tenant` all are of the tenant
            `default`.
        scopes: claims that hold scopes: words in a string, or a list.
        require: claims that must be there besides.
        cognito: its tokens are Amazon Cognito's: an access token says `client_id` for `aud`.
        token_use: the kinds of Cognito's tokens that are taken.
    """

    issuer: str | None = None
    jwks: str | None = None
    keys: tuple[str, ...] = field(default=(), repr=False)
    audience: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ()
    user: str = "sub"
    tenant: str | None = None
    scopes: tuple[str, ...] = ("scope", "scp")
    require: tuple[str, ...] = ()
    cognito: bool = False
    token_use: tuple[str, ...] = ("access", "id")

    def __post_init__(self) -> None:
        if wrong := next(self._problems(), None):
            raise ValueError(wrong)

    @property
    def is_one(self) -> bool:
        """Whether it says where its keys are."""
        return bool(self.keys or self.jwks or self.issuer)

    def _problems(self) -> Iterator[str]:
        if self.keys and self.jwks:
            yield "keys: there is jwks too; an issuer has its keys in one way"
        if self.jwks and not self.issuer:
            yield "issuer: must be set where jwks is: whose keys are these?"
        if self.is_one and not self.keys and not self.audience:
            yield 'audience: must be set, as in audience = ["app"]: others take its tokens too'
        for name in ("jwks",) if self.jwks or self.keys else ("issuer",):
            address = getattr(self, name)
            if address and not is_allowed(address):
                yield f"{name}: must begin with https:// (http:// on loopback alone)"
        yield from self._odd_values()
        yield from self._empty_values()

    def _odd_values(self) -> Iterator[str]:
        for number, key in enumerate(self.keys):
            place = place_of(key)[1].strip()
            if not place.startswith(_KINDS) or place in _KINDS:
                # The text is left out: it may be a secret.
                yield (
                    f"keys: number {number + 1} is no place; write env:NAME, file:PATH, "
                    f"secretsmanager:NAME or ssm:NAME, or a public key in PEM or as a JWK"
                )
        for name in self.algorithms:
            if name not in ALGORITHMS:
                yield f"algorithms: {name!r} is none of {', '.join(sorted(ALGORITHMS))}"
        if not self.token_use or not set(self.token_use) <= _TOKEN_USES:
            yield 'token_use: must be of "access" and "id"'
        if not self.user or self.tenant == "":
            yield "user, tenant: must name claims"

    def _empty_values(self) -> Iterator[str]:
        for name in ("issuer", "jwks"):
            if getattr(self, name) == "":
                yield f"{name}: must not be empty; leave it out where there is none"
        for name in ("audience", "scopes", "require"):
            if "" in getattr(self, name):
                yield f"{name}: one of them is empty"


@record
class JwtSettings(Issuer):
    """The section: an issuer itself, several in `[plugins.jwt.issuers.<name>]`, or both.

    Args:
        issuers: several, by a name for people.
        leeway: by how much clocks may differ.
        longest_life: a token that was issued for longer is refused; a revocation is kept for so
            long.
        refresh: how old a key set may be before it is fetched again.
        stale: how long the last good key set serves while none can be fetched.
        timeout: how long a fetch of keys may take, all in all.
        revocation_cache: how long what was revoked may go unnoticed by a live connection.
    """

    issuers: dict[str, Issuer] = field(default_factory=dict)
    leeway: Ms = 5_000
    longest_life: Ms = 30 * 86_400_000
    refresh: Ms = 3_600_000
    stale: Ms = 86_400_000
    timeout: Ms = 3_000
    revocation_cache: Ms = 5_000

    @property
    def all_issuers(self) -> Mapping[str, Issuer]:
        """All of them, by name; that of the section itself is `jwt`."""
        return {**({_OWN: self} if self.is_one else {}), **self.issuers}

    def _problems(self) -> Iterator[str]:
        yield from super(JwtSettings, self)._problems()  # noqa: UP008 - slots: a class made anew
        issuers = self.all_issuers
        if not issuers:
            yield NOT_CONFIGURED
        if self.is_one and _OWN in self.issuers:
            yield f"issuers.{_OWN}: so is named that of the section itself; give it another name"
        for name, one in issuers.items():
            if not one.is_one:
                yield f"issuers.{name}: {NOT_CONFIGURED}"
        named = [one.issuer for one in issuers.values()]
        if len(set(named)) < len(named):
            yield "issuer: two have the same, or none: which of them is to check a token?"
        if not 0 < self.timeout <= _LONGEST_TIMEOUT_MS:
            yield "timeout: must be more than nothing, and at most 10 s: a client waits for it"
        if self.leeway > _LONGEST_LEEWAY_MS:
            yield "leeway: must be at most 10 minutes"
        if self.refresh < _SHORTEST_REFRESH_MS or self.stale < self.refresh:
            yield "refresh: must be at least a minute, and no longer than stale"
        if self.longest_life <= 0:
            yield "longest_life: must be more than nothing"


def place_of(key: str) -> tuple[str | None, str]:
    """Give the key's id, where one is written, and its place."""
    if key.startswith(_KINDS):
        return None, key
    kid, equals, place = key.partition("=")
    return (kid, place) if equals and kid else (None, key)
