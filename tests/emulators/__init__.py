"""AWS on this machine: emulators that others have written, started and ended by the tests.

They have an environment of their own, `.venv/emulators`, that `make` sets up: what they are made of
is not what Streamer is made of.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

EMULATORS = ("moto", "ministack")
"""Their names, as parameters of tests."""

PYTHON = Path(sys.prefix, "emulators", "bin", "python")
REGION = "us-east-1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": REGION,
}
_KEPT = Path(__file__).with_name("kept.py")
_START_S, _END_S = 60.0, 10.0


class NoEmulator(Exception):
    """It is not installed, or did not start."""


@contextlib.contextmanager
def moto() -> Iterator[str]:
    """Run moto's server, and give its address."""
    port = free_port()
    with _running(["moto_server", port], {}, port, "/moto-api/"):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def ministack(folder: Path, **environment: str) -> Iterator[str]:
    """Run ministack, with what it writes in a folder, and give its address."""
    port = free_port()
    own = {
        "BIND_HOST": "127.0.0.1",  # its default is every address
        "GATEWAY_PORT": str(port),
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "MINISTACK_REGION": REGION,
        "STATE_DIR": str(folder / "state"),
        "S3_DATA_DIR": str(folder / "s3"),
        "TMPDIR": str(folder),
        "DOCKER_HOST": f"unix://{folder}/none.sock",
        "LOG_LEVEL": "WARNING",
        "IOT_MTLS_ENABLED": "0",  # a port of its own, on every address
    }
    with _running(["ministack"], own | environment, port, "/_ministack/health"):
        yield f"http://127.0.0.1:{port}"


def free_port() -> int:
    """Give a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _running(
    arguments: list[object], environment: Mapping[str, str], port: int, path: str
) -> Iterator[None]:
    if not PYTHON.exists():
        raise NoEmulator(f"{PYTHON} is not there: `make setup` makes it")
    process = subprocess.Popen(
        [PYTHON, _KEPT, *map(str, arguments)],
        env={"PATH": os.environ["PATH"], **CREDENTIALS, **environment},
        stdin=subprocess.PIPE,  # it ends with this process: see kept.py
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait(process, f"http://127.0.0.1:{port}{path}")
        yield
    finally:
        _end(process)


def _wait(process: "subprocess.Popen[bytes]", url: str) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise NoEmulator(f"{process.args!r} ended with {process.returncode}")
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise NoEmulator(f"{process.args!r} did not answer within {_START_S:.0f} s")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End it and all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
