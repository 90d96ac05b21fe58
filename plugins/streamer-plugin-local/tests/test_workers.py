"""Worker processes: blocked, dead, out of memory, retired, replaced, killed with the gateway."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from streamer_plugin_local.testing import RunningGateway, Talk, eventually, running_gateway
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from streamer_core.errors import ConfigurationError
from tests.e2e.kit.processes import children, lives

pytestmark = pytest.mark.uncovered


def answer(talk: Talk, action: str, payload: dict[str, Any]) -> dict[str, Any]:
    talk.send(action, payload)
    data: dict[str, Any] = talk.until(lambda m: m["type"] == "response")["data"]
    return data


def test_blocking_handlers_stall_nobody(gateway: RunningGateway) -> None:
    with Talk(gateway.url) as blocked, Talk(gateway.url) as other:
        for n in range(40):
            blocked.send("block", {"s": 1.5}, id=f"b{n}")
        began = time.monotonic()
        for _ in range(20):
            other.ask("echo")
        took = time.monotonic() - began

        for _ in range(40):
            assert blocked.get()["type"] == "response"
        assert took < 1.2, "the echoes waited for the blocked"


def test_burning_handlers_stall_nobody(gateway: RunningGateway) -> None:
    with Talk(gateway.url) as burning, Talk(gateway.url) as other:
        for n in range(2):
            burning.send("burn", {"s": 1.5}, id=f"b{n}")
        began = time.monotonic()
        for _ in range(10):
            other.ask("echo")
        assert time.monotonic() - began < 1.4
        for _ in range(2):
            assert burning.get()["type"] == "response"


def test_fifty_requests_that_only_wait_run_at_once(gateway: RunningGateway, talk: Talk) -> None:
    began = time.monotonic()
    for n in range(50):
        talk.send("wait", {"s": 6}, id=f"fifty-{n}-{began}")
    started = 0
    while started < 50:
        message = talk.get()
        started += message["type"] == "progress" and message["percentage"] == 1
        assert not message.get("terminal"), "one ended before all had begun"
    ended = 0
    while ended < 50:
        ended += bool(talk.get().get("terminal"))
    assert time.monotonic() - began < 25, "one after the other they take 300 s"


def test_a_dead_worker_costs_its_own_messages_and_is_replaced(project: Any) -> None:
    with running_gateway(project(async_workers=1)) as gateway, Talk(gateway.url) as talk:
        answer = talk.ask("die", id="d-1")
        assert answer["request_id"] == "d-1"
        assert answer["error"]["code"] == "SERVICE_UNAVAILABLE"
        assert answer["error"]["retry"]["retryable"] is True
        assert answer["refused"] is True
        assert talk.ask("echo")["type"] == "response"

        for pid in gateway.workers:
            if lives(pid):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: not any(map(lives, gateway.workers)))
        # A message that was handed to one before its end was noticed is answered for it, as one
        # that may be sent again; the others wait in the gateway until there is a worker again.
        eventually(lambda: talk.ask("echo")["type"] == "response")
        talk.send("wait", {"s": 0})
        assert talk.until(lambda m: m.get("terminal"))["type"] == "complete"
        eventually(lambda: len(children(gateway.pid)) == 3)
        assert "exit code 3" in gateway.log()


def test_a_queued_request_whose_worker_dies_is_made_good_by_the_sweeper(project: Any) -> None:
    folder = project(
        core={"lease": "1s", "heartbeat": "200ms"},
        sweep_interval="300ms",
        async_workers=1,
        sync_workers=1,
    )
    with running_gateway(folder) as gateway, Talk(gateway.url) as talk:
        talk.send("queued_die")
        ended = talk.until(lambda m: m.get("terminal"))
        assert ended["error"]["code"] == "PROCESSING_FAILED"
        talk.send("wait", {"s": 0})
        talk.until(lambda m: m["type"] == "complete")


def test_a_worker_that_wants_too_much_memory_fails_alone(project: Any) -> None:
    folder = project(worker_memory_mb=2048, async_workers=1, sync_workers=1)
    with running_gateway(folder) as gateway, Talk(gateway.url) as talk:
        answer = talk.ask("hog", {"bytes": 4 * 1024**3})
        assert answer["error"]["code"] == "PROCESSING_FAILED"
        assert talk.ask("echo")["type"] == "response"


def test_a_thread_that_outlived_its_timeout_costs_its_process_later(project: Any) -> None:
    folder = project(sync_workers=1, async_workers=1)
    with running_gateway(folder) as gateway, Talk(gateway.url) as talk:
        talk.send("block", {"s": 3}, id="neighbour")
        late = talk.ask("hang", {"s": 600}, id="hangs")
        assert (late["request_id"], late["error"]["code"]) == ("hangs", "TIMEOUT")

        assert talk.get()["request_id"] == "neighbour"
        eventually(lambda: len(set(gateway.workers) & set(children(gateway.pid))) == 1)
        # The late end of what hung is not told a second time.
        assert talk.ask("echo", id="next")["request_id"] == "next"


def test_a_stopped_worker_is_killed(project: Any) -> None:
    folder = project(stall_timeout="2s", sync_workers=1, async_workers=1)
    with running_gateway(folder) as gateway, Talk(gateway.url) as talk:
        for pid in gateway.workers:
            os.kill(pid, signal.SIGSTOP)
        assert talk.ask("echo")["error"]["code"] == "SERVICE_UNAVAILABLE"
        assert talk.ask("echo")["type"] == "response"


UNTIL = """
@handler("until", estimated="1s", timeout="20s")
def until(payload: dict) -> dict:
    while not os.path.exists(payload["path"]):
        time.sleep(0.01)
    return {}
"""
FORK = """
@handler("fork")
def fork(payload: dict) -> dict:
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    return {"pid": os.getpid(), "child": child}
"""


def test_what_a_worker_has_forked_does_not_hide_its_end(project: Any) -> None:
    folder: Path = project(async_workers=1, sync_workers=1)
    with (folder / "app_handlers.py").open("a") as source:
        source.write(FORK)
    with running_gateway(folder) as gateway, Talk(gateway.url) as talk:
        forked = talk.ask("fork")["data"]
        try:
            os.kill(forked["pid"], signal.SIGKILL)
            eventually(lambda: talk.ask("echo")["type"] == "response")
        finally:
            os.kill(forked["child"], signal.SIGKILL)


def test_process_isolation_gives_each_request_a_process_of_its_own(project: Any) -> None:
    folder = project(isolation="process", async_workers=3, sync_workers=1)
    with running_gateway(folder) as gateway, Talk(gateway.url) as talk:
        for n in range(3):
            talk.send("wait", {"s": 2}, id=f"p{n}")
        pids: set[str] = set()
        while len(pids) < 3:
            message = talk.get()
            if message["type"] == "progress":
                pids.add(message["message"])
            assert not message.get("terminal"), "one waited for another"


def test_killing_the_gateway_leaves_no_orphans(project: Any) -> None:
    with running_gateway(project()) as gateway:
        with Talk(gateway.url) as talk:
            talk.send("wait", {"s": 60})
            talk.send("block", {"s": 60})
            talk.until(lambda m: m["type"] == "progress")
            gateway.stop(signal.SIGKILL)
        eventually(lambda: not any(map(lives, gateway.workers)))


# -- ending


def test_sigterm_says_goodbye_lets_work_end_and_exits_with_0(project: Any) -> None:
    with running_gateway(project(async_workers=1)) as gateway, Talk(gateway.url) as talk:
        talk.send("wait", {"s": 1}, id="queued")
        talk.send("block", {"s": 1}, id="sync")
        talk.until(lambda m: m["type"] == "progress")
        gateway.process.terminate()

        assert talk.until(lambda m: m["type"] == "goodbye")["reason"] == "drain"
        assert talk.ask("echo", id="late")["error"]["code"] == "SERVICE_UNAVAILABLE"
        left = {"queued", "sync"}
        while left:
            message = talk.get()
            if message["type"] in {"complete", "response"}:
                left.discard(message["request_id"])
        with pytest.raises(ConnectionClosed):
            talk.get()
        assert talk.ws.close_code == 1001
        assert gateway.process.wait(30) == 0


def test_a_stop_waits_for_no_worker_that_only_starts(project: Any) -> None:
    folder = project(drain_timeout="20s", async_workers=1, sync_workers=1)
    with running_gateway(folder) as gateway:
        for pid in gateway.workers:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: gateway.log().count("SIGKILL") == 2, "their end")
        began = time.monotonic()
        assert gateway.stop() == 0
        assert time.monotonic() - began < 15


def test_a_stop_waits_for_messages_in_workers_that_were_replaced(project: Any) -> None:
    folder: Path = project(reload=True, async_workers=1, sync_workers=1)
    source, go = folder / "app_handlers.py", folder / "go"
    source.write_text(source.read_text() + UNTIL)
    with running_gateway(folder) as gateway, Talk(gateway.url) as talk:
        talk.send("until", {"path": str(go)}, id="slow")
        talk.ask("echo")
        source.write_text(source.read_text() + "\n")
        eventually(lambda: "new workers are ready" in gateway.log(), "the reload")
        gateway.process.terminate()
        talk.until(lambda m: m["type"] == "goodbye")
        go.touch()
        assert talk.get()["request_id"] == "slow"


def test_what_does_not_end_in_time_is_given_back(project: Any) -> None:
    folder = project(drain_timeout="600ms", async_workers=1, sync_workers=1)
    with running_gateway(folder) as gateway, Talk(gateway.url) as talk:
        talk.until_acknowledged("block", {"s": 3}, id="given-back", options={"mode": "async"})
        asking = {"request_id": "given-back"}
        eventually(lambda: answer(talk, "streamer.status", asking)["status"] == "processing")
        assert gateway.stop() == 0
    with running_gateway(folder) as gateway, Talk(gateway.url) as talk:
        eventually(lambda: answer(talk, "streamer.status", asking)["status"] == "completed")
        # No attempt was spent on the stop.
        assert answer(talk, "streamer.status", asking)["attempt"] == 1


def test_a_second_signal_ends_at_once(project: Any) -> None:
    with running_gateway(project(async_workers=1)) as gateway, Talk(gateway.url) as talk:
        talk.send("block", {"s": 60})
        talk.ask("echo")
        gateway.process.send_signal(signal.SIGINT)
        talk.until(lambda m: m["type"] == "goodbye")
        assert gateway.stop(signal.SIGINT) == 1
        eventually(lambda: not any(map(lives, gateway.workers)))


# -- starting and reloading


@pytest.mark.parametrize(
    ("local", "handlers", "sentence"),
    [
        ({"prot": 1}, "", "did you mean 'port'"),
        ({"host": "0.0.0.0"}, "", "no plugin authenticates"),
        ({"core": {"handlers": ["nowhere"]}}, "", "nowhere"),
        ({}, "def x(:", "SyntaxError"),
        ({}, "import os; os._exit(9)", "exit code 9"),
    ],
)
def test_a_wrong_start_is_one_sentence(
    project: Any, local: dict[str, Any], handlers: str, sentence: str
) -> None:
    folder: Path = project(**local)
    if handlers:
        (folder / "app_handlers.py").write_text(handlers)
    with pytest.raises(ConfigurationError) as caught, running_gateway(folder):
        pass
    assert sentence in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_a_gateway_may_be_stopped_while_it_starts(project: Any) -> None:
    folder: Path = project(async_workers=1, sync_workers=1)
    (folder / "app_handlers.py").write_text("import time; time.sleep(600)")
    starting = subprocess.Popen(
        [sys.executable, "-m", "streamer_plugin_local", "--port", "0", "--config", str(folder)],
        stdout=subprocess.PIPE,
    )
    with starting:
        try:
            eventually(lambda: len(children(starting.pid)) == 2)
            starting.terminate()
            assert starting.wait(20) == 0
        finally:
            starting.kill()
        assert starting.communicate()[0] == b""


def test_changed_code_is_taken_up_and_broken_code_is_not(project: Any) -> None:
    folder: Path = project(reload=True, async_workers=1, sync_workers=1)
    source = folder / "app_handlers.py"
    good = source.read_text()
    with running_gateway(folder) as gateway, Talk(gateway.url) as talk:
        source.write_text(good + '\n@handler("fresh")\ndef fresh() -> dict:\n    return {"n": 1}\n')
        eventually(lambda: talk.ask("fresh").get("data") == {"n": 1}, "the new handler")

        source.write_text(good + "\ndef broken(:\n")
        eventually(lambda: "SyntaxError" in gateway.log(), "the complaint")
        assert talk.ask("fresh")["data"] == {"n": 1}

        source.write_text(good + '\n@handler("fresh")\ndef fresh() -> dict:\n    return {"n": 2}\n')
        eventually(lambda: talk.ask("fresh").get("data") == {"n": 2}, "the mended handler")
        eventually(lambda: len(children(gateway.pid)) == 2, "the old workers' end")


# -- faults and slow clients


def test_a_feed_that_misbehaves_loses_nothing(project: Any) -> None:
    folder = project(
        faults={"feed_delay": "50ms", "feed_duplicate": True, "feed_reorder": True},
        async_workers=1,
        sync_workers=1,
    )
    with running_gateway(folder) as gateway, Talk(gateway.url) as talk:
        for n in range(20):
            talk.send("wait", {"s": 0}, id=f"f{n}")
        ended: set[str] = set()
        while len(ended) < 20:
            message = talk.get()
            if message.get("terminal"):
                assert message["request_id"] not in ended
                ended.add(message["request_id"])


def test_a_delayed_request_runs_when_it_is_due(gateway: RunningGateway, talk: Talk) -> None:
    began = time.monotonic()
    talk.send("wait", {"s": 0}, id=f"later-{began}", options={"delay_ms": 700})
    talk.until(lambda m: m.get("terminal"))
    assert 0.6 < time.monotonic() - began < 5


def test_a_client_that_does_not_read_is_cut_off_and_others_do_not_notice(project: Any) -> None:
    folder = project(
        send_buffer_bytes=64 * 1024, slow_timeout="2s", async_workers=1, sync_workers=1
    )
    with running_gateway(folder) as gateway, Talk(gateway.url) as other, stalled(gateway) as slow:
        before = memory_mb(gateway.pid)
        ask = json.dumps({"action": "big", "payload": {"bytes": 120_000}}).encode()
        for n in range(400):
            if not sent(slow, Frame(Opcode.TEXT, ask).serialize(mask=True)):
                break
            if n % 40 == 0:
                assert other.ask("echo")["type"] == "response"
        eventually(lambda: not sent(slow, Frame(Opcode.PONG, b"").serialize(mask=True)))
        assert other.ask("echo")["type"] == "response"
        assert memory_mb(gateway.pid) - before < 100


def stalled(gateway: RunningGateway) -> socket.socket:
    """Connect a client that never reads."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(1)
    sock.connect(("127.0.0.1", gateway.port))
    sock.sendall(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    return sock


def sent(sock: socket.socket, data: bytes) -> bool:
    """Send, or find that the gateway does not read any more; False where it has closed."""
    try:
        sock.sendall(data)
    except TimeoutError:
        return True
    except OSError:
        return False
    return True


def memory_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def test_many_messages_ahead_are_all_answered(talk: Talk) -> None:
    for n in range(2_000):
        talk.send("echo", {"n": n}, id=str(n))
    got = {json.loads(talk.ws.recv(20))["data"]["n"] for _ in range(2_000)}
    assert got == set(range(2_000))
