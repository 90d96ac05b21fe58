"""Where a gateway's own socket is: in a folder that this user alone may enter."""

import os
import shutil
import socket
import tempfile
import time
from contextlib import suppress
from pathlib import Path

_PREFIX, _NAME = "streamer-gateway-", "socket"
_LONGEST_BASE = 60
"""A socket's path has 103 bytes on some systems, 107 on Linux (unix(7), sun_path)."""
_OLD_S = 60.0


def new_address() -> Path:
    """Make the folder (mode 0700), and give the path for the socket in it.

    Raises:
        OSError: it could not be made.
    """
    base = tempfile.gettempdir()
    if len(os.fsencode(base)) > _LONGEST_BASE:
        base = "/tmp"  # noqa: S108 - the folder in it is made for us alone
    _remove_left(Path(base))
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base)) / _NAME


def remove(address: Path) -> None:
    """Remove socket and folder."""
    shutil.rmtree(address.parent, ignore_errors=True)


def _remove_left(base: Path) -> None:
    """Remove what gateways that were killed have left; other users' folders cannot be looked into.

    Only what is old: a socket refuses too in the moment before its gateway listens.
    """
    for address in base.glob(f"{_PREFIX}*/{_NAME}"):
        with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            if time.time() - address.lstat().st_mtime < _OLD_S or not address.is_socket():
                continue
            probe.setblocking(False)
            try:
                probe.connect(str(address))
            except ConnectionRefusedError:
                remove(address)
