"""The daemon's address. The SDK would not even be imported with another in the environment."""

import re
import socket

_PLACE = r"([^\s:]+):([0-9]{1,5})"
_ADDRESS = re.compile(f"{_PLACE}|tcp:{_PLACE} udp:{_PLACE}|udp:{_PLACE} tcp:{_PLACE}")
_LAST_PORT = 65_535
_NUMBER = re.compile(r"[0-9.]+")


def is_address(text: str) -> bool:
    """Tell whether it is one that the SDK takes, and can send to."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return False
    groups = [group for group in found.groups() if group is not None]
    hosts, ports = groups[::2], groups[1::2]
    return all(map(_may_be_host, hosts)) and all(0 < int(port) <= _LAST_PORT for port in ports)


def _may_be_host(text: str) -> bool:
    try:
        text.encode("idna")
    except UnicodeError:
        return False
    return is_number(text) or not _NUMBER.fullmatch(text)


def is_number(text: str) -> bool:
    """Tell whether a host needs no looking up."""
    try:
        return bool(socket.inet_aton(text))
    except OSError:
        return False
