"""What an address of a collector must be."""

import re
from urllib.parse import urlsplit

_SPACE = re.compile(r"\s")


def wrong_with(address: str) -> str | None:
    """Say what is wrong with an address; None: nothing is."""
    if not address.startswith(("http://", "https://")):
        return "must begin with http:// or https://"
    if not _names_a_host(address):
        return "must name a host, as in http://127.0.0.1:4318"
    return None


def _names_a_host(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and parts.port != 0 and not _SPACE.search(address)
    except ValueError:  # a bracket is left open, or the port is no number
        return False
