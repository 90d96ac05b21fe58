"""The rules of `streamer_core.ports.transport`."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from streamer_core.ports.transport import Delivery, Transport
from streamer_core.testing.contracts.build import eventually, race

Connect = Callable[[], str]
HangUp = Callable[[str], None]
Received = Callable[[str, int], Sequence[Any]]
Stall = Callable[[str], None]

ENOUGH = 20_000


class TransportContract:
    """What every transport must do. Subclass it as `Test…` and give the fixtures below.

    - `transport`: an open Transport.
    - `connect`: called, it connects a client and gives the connection's id.
    - `received`: called with an id and a number, it waits for that many messages of the client and
      gives all it has received, decoded from JSON, in order.
    - `hang_up`: called with an id, the client goes away.
    - `stall`: called with an id, its buffer is full, or the client stops reading so that it will
      be; only where `can_be_busy` is declared.
    """

    can_be_busy: bool = False

    @pytest.fixture
    def transport(self) -> Transport:
        """Give the transport; the implementer's."""
        raise NotImplementedError("the subclass gives the fixture transport")

    @pytest.fixture
    def connect(self) -> Connect:
        """Give a function that connects a client; the implementer's."""
        raise NotImplementedError("the subclass gives the fixture connect")

    @pytest.fixture
    def received(self) -> Received:
        """Give a function that tells what a client received; the implementer's."""
        raise NotImplementedError("the subclass gives the fixture received")

    @pytest.fixture
    def hang_up(self) -> HangUp:
        """Give a function by which a client goes away; the implementer's."""
        raise NotImplementedError("the subclass gives the fixture hang_up")

    @pytest.fixture
    def stall(self) -> Stall:
        """Give a function that fills a client's buffer, where the transport has one."""
        pytest.skip("the transport does not declare can_be_busy")

    def test_what_is_sent_arrives(
        self, transport: Transport, connect: Connect, received: Received
    ) -> None:
        """As it was, in order, on that connection alone."""
        one, other = connect(), connect()
        messages: list[dict[str, Any]] = [{"n": 1}, {"text": "ä🦆\u2028 \ud83e"}, {"n": 3}]
        for message in messages:
            assert transport.send(one, _encoded(message)) is Delivery.DELIVERED
        assert transport.send(other, _encoded({"other": True})) is Delivery.DELIVERED
        assert list(received(one, 3)) == messages
        assert list(received(other, 1)) == [{"other": True}]

    def test_utf8_arrives_too(
        self, transport: Transport, connect: Connect, received: Received
    ) -> None:
        """JSON need not be ASCII."""
        connection = connect()
        data = json.dumps({"text": "ä🦆"}, ensure_ascii=False).encode()
        assert transport.send(connection, data) is Delivery.DELIVERED
        assert list(received(connection, 1)) == [{"text": "ä🦆"}]

    def test_an_unknown_connection_is_gone(self, transport: Transport) -> None:
        """There is none, and there will not be."""
        assert transport.send("nobody", b"{}") is Delivery.GONE
        assert not transport.is_open("nobody")

    def test_a_client_that_went_away_is_gone(
        self, transport: Transport, connect: Connect, hang_up: HangUp
    ) -> None:
        """For good, once the transport has noticed."""
        connection = connect()
        assert transport.is_open(connection)
        hang_up(connection)
        assert eventually(lambda: transport.send(connection, b"{}") is Delivery.GONE)
        assert not transport.is_open(connection)
        assert transport.send(connection, b"{}") is Delivery.GONE

    def test_the_longest_message_arrives(
        self, transport: Transport, connect: Connect, received: Received
    ) -> None:
        """Of exactly `max_message_bytes`."""
        connection = connect()
        message = _of_size(transport.max_message_bytes)
        assert transport.send(connection, message) is Delivery.DELIVERED
        assert list(received(connection, 1)) == [json.loads(message)]

    def test_a_longer_message_is_too_large(
        self, transport: Transport, connect: Connect, received: Received
    ) -> None:
        """By one byte; it does not arrive and the connection goes on."""
        connection = connect()
        message = _of_size(transport.max_message_bytes + 1)
        assert transport.send(connection, message) is Delivery.TOO_LARGE
        assert transport.is_open(connection)
        assert transport.send(connection, b'{"n":1}') is Delivery.DELIVERED
        assert list(received(connection, 1)) == [{"n": 1}]

    def test_a_busy_connection_takes_nothing(
        self, transport: Transport, connect: Connect, received: Received, stall: Stall
    ) -> None:
        """BUSY comes in the end, at once, and holds up no other connection."""
        slow, quick = connect(), connect()
        stall(slow)
        message = _of_size(min(transport.max_message_bytes, 16 * 1024))
        verdicts = (transport.send(slow, message) for _ in range(ENOUGH))
        assert Delivery.BUSY in verdicts
        assert transport.is_open(slow)
        assert transport.send(quick, b'{"n":1}') is Delivery.DELIVERED
        assert list(received(quick, 1)) == [{"n": 1}]

    def test_send_many_gives_each_its_own_verdict(
        self, transport: Transport, connect: Connect, received: Received
    ) -> None:
        """One that is gone does not hold up those after it."""
        first, last = connect(), connect()
        verdicts = transport.send_many([first, "nobody", last], b'{"n":1}')
        assert dict(verdicts) == {
            first: Delivery.DELIVERED,
            "nobody": Delivery.GONE,
            last: Delivery.DELIVERED,
        }
        assert list(received(first, 1)) == list(received(last, 1)) == [{"n": 1}]

    def test_send_each_gives_each_its_own_verdict(
        self, transport: Transport, connect: Connect, received: Received
    ) -> None:
        """Each message to its own connection, in order, and a verdict in its place."""
        first, last = connect(), connect()
        too_large = _of_size(transport.max_message_bytes + 1)
        sent = [(first, b'{"n":1}'), ("nobody", b"{}"), (last, b'{"n":2}'), (last, too_large)]
        verdicts = transport.send_each([*sent, (first, b'{"n":3}')])
        assert list(verdicts) == [
            *(Delivery.DELIVERED, Delivery.GONE, Delivery.DELIVERED),
            *(Delivery.TOO_LARGE, Delivery.DELIVERED),
        ]
        assert list(received(first, 2)) == [{"n": 1}, {"n": 3}]
        assert list(received(last, 1)) == [{"n": 2}]
        assert list(transport.send_each([])) == []

    def test_send_many_to_nobody_is_nothing(self, transport: Transport) -> None:
        """An empty list gives no verdicts."""
        assert dict(transport.send_many([], b"{}")) == {}

    def test_send_many_too_large_is_so_for_all(
        self, transport: Transport, connect: Connect
    ) -> None:
        """And closes none."""
        connections = [connect(), connect()]
        message = _of_size(transport.max_message_bytes + 1)
        verdicts = transport.send_many(connections, message)
        assert dict(verdicts) == dict.fromkeys(connections, Delivery.TOO_LARGE)
        assert all(transport.is_open(connection) for connection in connections)

    def test_a_closed_connection_is_gone(self, transport: Transport, connect: Connect) -> None:
        """Once the close is through; other connections stay."""
        closed, other = connect(), connect()
        transport.close_connection(closed, 1001, "drain")
        assert eventually(lambda: not transport.is_open(closed))
        assert eventually(lambda: transport.send(closed, b"{}") is Delivery.GONE)
        assert transport.is_open(other)

    def test_closing_again_is_no_error(self, transport: Transport, connect: Connect) -> None:
        """Nor is closing what never was."""
        connection = connect()
        for _ in range(2):
            transport.close_connection(connection)
        transport.close_connection("nobody", 1001, "ä" * 61)

    def test_messages_before_a_close_arrive(
        self, transport: Transport, connect: Connect, received: Received
    ) -> None:
        """What was handed over is not thrown away by an orderly close."""
        connection = connect()
        for number in range(20):
            transport.send(connection, _encoded({"n": number}))
        transport.close_connection(connection)
        assert list(received(connection, 20)) == [{"n": number} for number in range(20)]

    def test_threads_send_at_once(
        self, transport: Transport, connect: Connect, received: Received
    ) -> None:
        """No message is lost, torn or repeated; each thread's own stay in order."""
        connection = connect()

        def send(thread: int) -> list[Delivery]:
            messages = [_encoded({"thread": thread, "n": n, "pad": "x" * 500}) for n in range(20)]
            return [transport.send(connection, message) for message in messages]

        for verdicts in race(4, send):
            assert verdicts == [Delivery.DELIVERED] * 20
        messages = received(connection, 80)
        assert len(messages) == 80
        for thread in range(4):
            own = [message["n"] for message in messages if message["thread"] == thread]
            assert own == list(range(20))


def _encoded(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode()


def _of_size(size: int) -> bytes:
    empty = _encoded({"pad": ""})
    return _encoded({"pad": "x" * (size - len(empty))})
