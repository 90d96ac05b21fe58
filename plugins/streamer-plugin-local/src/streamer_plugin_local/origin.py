"""Who may speak to a server that trusts its own machine.

A page from anywhere can make its visitor's browser connect to `localhost`, and by DNS rebinding
even under the page's own name. The first sends its `Origin`, the second its name as `Host`.
"""

import ipaddress
from urllib.parse import urlsplit

from streamer_plugin_local.settings import LocalSettings

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """Tell whether a name or an address is this machine's own."""
    if host in _LOOPBACK_NAMES or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Checks `Host` and `Origin` against what the settings allow."""

    def __init__(self, settings: LocalSettings) -> None:
        self._names = {name.lower() for name in (settings.host, *settings.allowed_hosts)}
        self._origins = {origin.lower().rstrip("/") for origin in settings.allowed_origins}
        self._open = not is_loopback(settings.host)

    def host_problem(self, host: str | None) -> str | None:
        """Say what is wrong with a `Host` header, or None."""
        name = _name_of(host or "")
        if name in self._names or is_loopback(name) or (self._open and _is_address(name)):
            return None
        return (
            f"Host {name or 'is missing and'} is not known here; "
            "add it to allowed_hosts in [plugins.local]"
        )

    def origin_problem(self, origin: str | None, host: str | None) -> str | None:
        """Say what is wrong with a WebSocket's `Origin`, or None; without one it is no browser.

        A page of this machine, whatever its port, is the developer's own.
        """
        if origin is None or origin.lower() in self._origins:
            return None
        name, own = _name_of(origin.partition("://")[2]), _name_of(host or "")
        if name and (name == own or (is_loopback(name) and is_loopback(own))):
            return None
        return _origin_sentence(origin)

    def console_origin_problem(self, origin: str | None, host: str | None) -> str | None:
        """The same for what changes something in the console: only its own pages may."""
        if origin is None or origin.partition("://")[2].lower() == (host or "").lower():
            return None
        return _origin_sentence(origin)


def _origin_sentence(origin: str) -> str:
    return f"Origin {origin[:200]} may not connect; add it to allowed_origins in [plugins.local]"


def _name_of(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower().rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
