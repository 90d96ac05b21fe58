"""Keys by URL: a key set's own, or the one that OpenID Connect discovery names."""

from collections.abc import Sequence

from streamer_plugin_jwt.fetch import fetch_json
from streamer_plugin_jwt.keys import Key, read_set
from streamer_plugin_jwt.places import is_allowed
from streamer_plugin_jwt.settings import Issuer
from streamer_plugin_jwt.sources import Unreadable


def fetch_keys(issuer: Issuer, timeout_s: float) -> Sequence[Key]:
    """Fetch the keys of an issuer.

    Raises:
        Unreadable: they, or the document that says where they are, cannot be had.
        BadKey: it is no key set.
    """
    address = issuer.jwks or _discovered(str(issuer.issuer), timeout_s)
    return read_set(fetch_json(address, timeout_s))


def _discovered(issuer: str, timeout_s: float) -> str:
    """Ask where the keys are (OpenID Connect Discovery 1.0, 4)."""
    address = issuer.rstrip("/") + "/.well-known/openid-configuration"
    found = fetch_json(address, timeout_s)
    if not isinstance(found, dict) or found.get("issuer") != issuer:
        raise Unreadable("the discovery document is not of this issuer")
    keys = found.get("jwks_uri")
    if not isinstance(keys, str) or not is_allowed(keys):
        raise Unreadable("the discovery document names no https:// address of keys")
    return keys
