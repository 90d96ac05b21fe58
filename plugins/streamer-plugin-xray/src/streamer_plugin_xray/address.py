"""The daemon's address. The SDK would not even be imported with another in the environment."""

import re
import socket

_PLACE = r"[^\s:]+:([0-9]{1,5})"
_ADDRESS = re.compile(f"{_PLACE}|tcp:{_PLACE} udp:{_PLACE}|udp:{_PLACE} tcp:{_PLACE}")
_LAST_PORT = 65_535


def is_address(text: str) -> bool:
    """Tell whether it is one that the SDK takes, and can send to."""
    found = _ADDRESS.fullmatch(text)
    return found is not None and all(
        0 < int(port) <= _LAST_PORT for port in found.groups() if port is not None
    )


def is_found(host: str) -> bool:
    """Tell whether a host is there by this name; the SDK's sends would fail one by one."""
    try:
        return bool(socket.getaddrinfo(host, None, socket.AF_INET))
    except (OSError, UnicodeError):  # the latter of what no name can be
        return False
