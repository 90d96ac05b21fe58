"""Which limits hold for whom and what."""

from collections.abc import Iterable, Iterator

from streamer_core.errors import ConfigurationError
from streamer_core.handlers import RESERVED
from streamer_core.model.principal import Principal
from streamer_core.settings import CoreSettings
from streamer_plugin_ratelimit.limit import Limit, matches
from streamer_plugin_ratelimit.settings import RateLimitSettings, TierSettings


class Book:
    """All limits of the settings.

    Raises:
        ConfigurationError: tiers are told by a claim that the core does not keep.
    """

    def __init__(self, settings: RateLimitSettings, core: CoreSettings) -> None:
        claim = settings.tiers.claim
        if claim is not None and claim not in core.keep_claims:
            raise ConfigurationError(
                f"[plugins.ratelimit.tiers] claim = {claim!r}: a connection does not keep that "
                f"claim; write keep_claims = [{claim!r}] into [streamer]"
            )
        self.limits = [Limit(one) for one in settings.limits]
        of_limits = {one.tier for one in settings.limits if one.tier is not None}
        self._tiers = _Tiers(settings.tiers, of_limits)
        self._tiered = bool(of_limits)
        # As many as there are actions times tiers: names that nobody knows do not get here.
        self._found: dict[tuple[str | None, str | None], tuple[Limit, ...]] = {}

    def check(self, actions: Iterable[str]) -> None:
        """See that each limit is about actions that there are, or the framework's.

        A process that loads no handlers cannot tell.

        Raises:
            ConfigurationError: names the limit and the pattern.
        """
        known = sorted(actions)
        for limit in self.limits:
            for pattern in limit.settings.actions:
                found = _is_frameworks(pattern) or any(matches(pattern, one) for one in known)
                if known and not found:
                    raise ConfigurationError(
                        f"[plugins.ratelimit] limit {limit.name!r}: actions {pattern!r} is about "
                        f"no action; there are: {', '.join(known)}, and streamer.*"
                    )

    def limits_of(self, principal: Principal, action: str | None) -> tuple[Limit, ...]:
        """Give the limits on a message of this action, or on a connection (None)."""
        tier = self._tiers.of(principal) if self._tiered else None
        found = self._found.get((tier, action))
        if found is None:
            found = self._found[tier, action] = tuple(self._find(tier, action))
        return found

    def _find(self, tier: str | None, action: str | None) -> Iterator[Limit]:
        for limit in self.limits:
            if limit.settings.tier in {None, tier} and limit.is_about(action):
                yield limit


def _is_frameworks(pattern: str) -> bool:
    """Tell whether a pattern is about actions of the framework, be it among others."""
    return pattern.startswith(RESERVED) or matches(pattern, RESERVED)


class _Tiers:
    """Who has which tier.

    A claim that names no tier of the settings is passed over: whoever has it is in the default
    tier, and not without limits.
    """

    def __init__(self, settings: TierSettings, of_limits: set[str]) -> None:
        self._settings = settings
        self._scopes = tuple(settings.scopes.items())
        self._known = settings.names | of_limits

    def of(self, principal: Principal) -> str | None:
        """Give a client's tier; None: it has none."""
        settings = self._settings
        tier = settings.tenants.get(principal.tenant)
        if tier is not None:
            return tier
        if settings.claim is not None:
            claimed = principal.kept.get(settings.claim)
            if isinstance(claimed, str) and claimed in self._known:
                return claimed
        for scope, tier in self._scopes:
            if scope in principal.scopes:
                return tier
        return settings.default
