"""Which addresses keys may be fetched from."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_allowed(address: str) -> bool:
    """Tell whether it is HTTPS, or on this machine."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return False
    if not host or parts.username or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
