"""Doorbells: how a process that committed wakes the feeds of all processes, without polling.

Each open feed binds a datagram socket in `<database>.feeds/`, a directory that only this user may
enter. Who fed changes sends a byte to each. A full socket needs no second ring; one that nobody
listens on any more was left by a process that died, and is removed.

Where there are no such sockets (Windows, some shared folders), a feed is woken by its own process
at once and looks for the changes of others twice a second.
"""

import os
import secrets
import select
import socket
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path

_LONGEST_PATH = 100  # unix(7): 107 bytes; less on other systems
_LOOK_EVERY_S = 0.5


class Doorbell(ABC):
    """What one feed waits on."""

    @abstractmethod
    def wait(self, timeout_s: float) -> None:
        """Wait until it rings, at most so long; it may return for no reason."""

    @abstractmethod
    def ring(self) -> None:
        """Wake whoever waits, or the next who will."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it; nobody waits any more."""


class Doorbells:
    """All bells of a database: those in the directory, and this process's own.

    Args:
        directory: where the sockets lie; made for the first.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._mutex = threading.Lock()
        self._sender: socket.socket | None = None
        self._fd: int | None = None
        self._own: list[Doorbell] = []

    def open(self) -> Doorbell:
        """Give a new bell."""
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            return _SocketBell(self, f"{os.getpid()}-{secrets.token_hex(4)}")
        except (OSError, AttributeError):
            bell = _ThreadBell(self._own)
            self._own.append(bell)
            return bell

    def ring(self) -> None:
        """Ring all; never blocks and never fails."""
        for bell in tuple(self._own):
            bell.ring()
        with suppress(OSError, AttributeError):
            for name in os.listdir(self._directory):  # noqa: PTH208 - half the time of iterdir
                self.send(name)

    def send(self, name: str) -> None:
        """Ring the bell of that name."""
        try:
            self._sending().sendto(b"!", self.address(name))
        except ConnectionRefusedError:
            self.remove(name)
        except OSError:
            pass  # full: it has rung already; or gone meanwhile

    def remove(self, name: str) -> None:
        """Remove a bell's socket from the directory."""
        with suppress(OSError):
            (self._directory / name).unlink()

    def address(self, name: str) -> str:
        """Give an address that is short enough; a long path is reached by the directory's fd."""
        path = self._directory / name
        if len(os.fsencode(path)) <= _LONGEST_PATH:
            return str(path)
        with self._mutex:
            if self._fd is None:
                self._fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._fd}/{name}"

    def close(self) -> None:
        """Let go of what was opened for ringing."""
        with self._mutex:
            if self._sender is not None:
                self._sender.close()
            if self._fd is not None:
                os.close(self._fd)
            self._sender = self._fd = None

    def _sending(self) -> socket.socket:
        with self._mutex:
            if self._sender is None:
                self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._sender.setblocking(False)
            return self._sender


class _SocketBell(Doorbell):
    """A bell that every process can ring."""

    def __init__(self, bells: Doorbells, name: str) -> None:
        self._bells = bells
        self._name = name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind(bells.address(name))
        except BaseException:
            self._socket.close()
            raise
        self._poll = select.poll()  # unlike select(), it takes file descriptors over 1023
        self._poll.register(self._socket, select.POLLIN)

    def wait(self, timeout_s: float) -> None:
        self._poll.poll(max(0.0, timeout_s) * 1000)
        with suppress(BlockingIOError):
            while True:
                self._socket.recv(1)

    def ring(self) -> None:
        self._bells.send(self._name)

    def close(self) -> None:
        self._socket.close()
        self._bells.remove(self._name)


class _ThreadBell(Doorbell):
    """A bell that only its own process can ring."""

    def __init__(self, own: list[Doorbell]) -> None:
        self._own = own
        self._rung = threading.Event()

    def wait(self, timeout_s: float) -> None:
        self._rung.wait(min(timeout_s, _LOOK_EVERY_S))
        self._rung.clear()

    def ring(self) -> None:
        self._rung.set()

    def close(self) -> None:
        self._own.remove(self)
