"""A socket that speaks as the X-Ray daemon does: a line of header, then a document of JSON."""

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from aws_xray_sdk.core import xray_recorder

from tests.conftest import logs

__all__ = ["Daemon", "logs"]

HEADER = {"format": "json", "version": 1}


class Daemon:
    """Keeps the documents that it is sent, those inside others apart."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.documents: list[dict[str, Any]] = []
        self._arrived = threading.Condition()
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self) -> None:
        while data := self._socket.recv(65_536):
            header, _, body = data.partition(b"\n")
            assert json.loads(header) == HEADER
            with self._arrived:
                self._add(json.loads(body))
                self._arrived.notify_all()

    def _add(self, document: dict[str, Any]) -> None:
        for inner in document.pop("subsegments", []):
            self._add({"trace_id": document["trace_id"], **inner, "parent_id": document["id"]})
        self.documents.append(document)

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        """Wait until so many documents are here; give them all."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.documents) >= count, 20), self.documents
            return list(self.documents)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            host, port = self.address.split(":")
            end.sendto(b"", (host, int(port)))
        self._thread.join(20)
        self._socket.close()


@pytest.fixture(scope="session", autouse=True)
def closed() -> Iterator[None]:
    """Close the SDK's socket, which a process keeps for good, before somebody warns of it."""
    yield
    xray_recorder.emitter._socket.close()


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    running = Daemon()
    yield running
    running.close()
