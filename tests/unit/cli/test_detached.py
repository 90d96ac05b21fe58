from streamer_core.ports import Delivery
from streamer_core.ports.detached import Detached


def test_that_it_takes_nothing_and_forgets_nobody() -> None:
    transport = Detached()
    assert transport.send("c-1", b"{}") is Delivery.BUSY
    assert transport.send_many(["c-1"], b"{}") == {"c-1": Delivery.BUSY}
    assert transport.is_open("c-1")
    transport.close_connection("c-1")
    transport.close()
