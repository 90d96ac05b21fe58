"""From a token to who it is: the issuer is found, the signature checked, then the claims."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamer_core.errors import ConfigurationError
from streamer_core.model.principal import Principal
from streamer_core.ports import Clock
from streamer_plugin_jwt.claims import principal_of
from streamer_plugin_jwt.settings import Issuer, JwtSettings, place_of
from streamer_plugin_jwt.sight import may_serve
from streamer_plugin_jwt.sources import is_remote, read_local, read_remote
from streamer_plugin_jwt.tokens import BadToken, check_signature, take_apart

if TYPE_CHECKING:
    from streamer_plugin_jwt.keys import Key
    from streamer_plugin_jwt.keyset import KeySet


class Verifier:
    """Knows all issuers and their keys; PyJWT is imported with the first token.

    Args:
        settings: the section.
        root: relative paths of keys begin there.
        clock: tells whether a token is good now.

    Raises:
        ConfigurationError: a key is not where the settings say.
    """

    def __init__(self, settings: JwtSettings, root: Path, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self.issuers = settings.all_issuers
        self._texts = {name: _texts(one, root) for name, one in self.issuers.items()}
        self._sets: dict[str, KeySet] = {}
        self._ready: threading.Event | None = None

    def verify(self, token: str) -> Principal:
        """Say who it is.

        Raises:
            BadToken: the token is not good.
            Unavailable: its issuer's keys cannot be had.
        """
        unverified = take_apart(token)
        name = self._issuer_of(unverified.claims.get("iss"))
        issuer = self.issuers[name]
        if issuer.algorithms and unverified.algorithm not in issuer.algorithms:
            raise BadToken("algorithm not allowed")
        keys = self.key_set(name).find(unverified.kid, unverified.algorithm)
        check_signature(token, unverified, keys)
        return principal_of(unverified.claims, issuer, self._settings, self._clock.now())

    def _issuer_of(self, claimed: Any) -> str:
        """Find the issuer that a token names, else the one that has no name."""
        for wanted in (claimed, None):
            for name, one in self.issuers.items():
                if one.issuer == wanted:
                    return name
        raise BadToken("another issuer")

    def is_ready(self, wait_s: float) -> bool:
        """Tell whether all that reads keys is imported, and begin with it; for one thread alone.

        On a busy machine it takes longer than a look at the health may.
        """
        if self._ready is None:
            self._ready = threading.Event()
            threading.Thread(target=self._prepare, args=(self._ready,), daemon=True).start()
        return self._ready.wait(wait_s)

    def _prepare(self, ready: threading.Event) -> None:
        try:
            self.key_sets()
        finally:  # what went wrong is seen by whoever uses them
            ready.set()

    def key_sets(self) -> Sequence["KeySet"]:
        """Give the keys of all issuers."""
        return [self.key_set(name) for name in self.issuers]

    def key_set(self, name: str) -> "KeySet":
        """Give the keys of an issuer."""
        made = self._sets.get(name)
        if made is None:
            made = self._sets.setdefault(name, self._make(name))
        return made

    def _make(self, name: str) -> "KeySet":
        from streamer_plugin_jwt.keyset import Fetched, Fixed  # noqa: PLC0415 - and cryptography

        issuer, timeout_s = self.issuers[name], self._settings.timeout / 1000
        if issuer.keys:
            texts = self._texts[name]

            def load() -> Sequence["Key"]:
                return _read(issuer, texts, timeout_s)

            if not any(is_remote(place_of(one)[1]) for one in issuer.keys):
                return Fixed(name, load)
        else:

            def load() -> Sequence["Key"]:
                from streamer_plugin_jwt.oidc import fetch_keys  # noqa: PLC0415 - and all of HTTP

                return fetch_keys(issuer, timeout_s)

        return Fetched(
            name,
            load,
            self._clock,
            refresh_ms=self._settings.refresh,
            stale_ms=self._settings.stale,
            timeout_s=timeout_s,
        )


def _texts(issuer: Issuer, root: Path) -> Mapping[str, str]:
    places = {place_of(one)[1] for one in issuer.keys}
    texts = {one: read_local(one, root) for one in places if not is_remote(one)}
    is_all = bool(texts) and len(texts) == len(places)
    if is_all and issuer.algorithms and not may_serve(texts.values(), issuer.algorithms):
        raise ConfigurationError(
            f"[plugins.jwt] algorithms: none of {', '.join(issuer.algorithms)} is for one of the "
            f"keys; HS256 and the like are for secrets, all others for pairs of keys"
        )
    return texts


def _read(issuer: Issuer, texts: Mapping[str, str], timeout_s: float) -> Sequence["Key"]:
    from streamer_plugin_jwt.keys import read  # noqa: PLC0415

    keys: list[Key] = []
    for one in issuer.keys:
        kid, place = place_of(one)
        keys.extend(read(texts.get(place) or read_remote(place, timeout_s), kid))
    return keys
