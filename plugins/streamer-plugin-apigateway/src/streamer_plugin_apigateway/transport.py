"""The transport: API Gateway's management API, `@connections`."""

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from http import HTTPStatus
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from streamer_core.errors import ConfigurationError, TransportError
from streamer_core.ports import Delivery, Transport
from streamer_plugin_apigateway.settings import ApiGatewaySettings

T = TypeVar("T")
_FIRST_PAUSE_S = 0.02
_random = random.SystemRandom()  # functions restored from one snapshot must not pause alike


class ManagementTransport(Transport):
    """Posts to connections; several at once, each in a thread.

    Args:
        make_api: makes boto's client of the management API, at the first send: a router answers
            most messages without one, and to make it takes longer than all else it does.
        at_once: how many messages are sent side by side.
        patience_s: how long a send is tried again that is answered with 429.
    """

    def __init__(self, make_api: Callable[[], Any], *, at_once: int, patience_s: float) -> None:
        self._make_api = make_api
        self._making = threading.Lock()
        self._made: Any = None
        self._at_once = at_once
        self._patience_s = patience_s

    def send(self, connection_id: str, data: bytes) -> Delivery:
        """Send one message; raises TransportError where API Gateway does not say how it went."""
        if len(data) > self.max_message_bytes:
            return Delivery.TOO_LARGE
        api = self._api  # to make it takes of nobody's patience
        end, longest = time.monotonic() + self._patience_s, _FIRST_PAUSE_S
        while (verdict := _posted(api, connection_id, data)) is Delivery.BUSY:
            # 429 says both that the account is throttled and that the client's buffer is full.
            pause = _random.uniform(0, longest)
            longest *= 2
            if time.monotonic() + pause >= end:
                break
            time.sleep(pause)
        return verdict

    def send_many(self, connection_ids: Sequence[str], data: bytes) -> Mapping[str, Delivery]:
        """Send the same message to many, side by side."""
        verdicts = self._side_by_side(lambda one: self._tried(one, data), connection_ids)
        return dict(zip(connection_ids, verdicts, strict=True))

    def send_each(self, messages: Sequence[tuple[str, bytes]]) -> Sequence[Delivery]:
        """Send many messages, those of one connection in order, connections side by side."""
        places: dict[str, list[int]] = {}
        for place, (connection_id, _) in enumerate(messages):
            places.setdefault(connection_id, []).append(place)
        verdicts: dict[int, Delivery] = {}

        def send(those: list[int]) -> None:
            for place in those:
                verdicts[place] = self._tried(*messages[place])

        self._side_by_side(send, list(places.values()))
        return [verdicts[place] for place in range(len(messages))]

    def close_connection(
        self,
        connection_id: str,
        code: int = 1000,  # noqa: ARG002 - the port's
        reason: str = "",  # noqa: ARG002
    ) -> None:
        """Close a connection; API Gateway tells the client neither code nor reason."""
        self._asked(lambda: self._api.delete_connection(ConnectionId=connection_id))

    def is_open(self, connection_id: str) -> bool:
        """Tell whether the connection can still be sent to."""
        return self._asked(lambda: self._api.get_connection(ConnectionId=connection_id))

    def close(self) -> None:
        """End the threads and the client."""
        if "_pool" in self.__dict__:
            self._pool.shutdown()
        if self._made is not None:
            self._made.close()

    @property
    def _api(self) -> Any:
        if self._made is None:
            with self._making:
                self._made = self._made or self._make_api()
        return self._made

    def _asked(self, ask: Callable[[], Any]) -> bool:
        """Ask about a connection; False where it is gone."""
        try:
            ask()
        except ClientError as error:
            if _verdict(error) is Delivery.GONE:
                return False
            raise TransportError(f"the management API answered with {_code(error)}") from error
        except BotoCoreError as error:
            raise TransportError(f"a call failed: {type(error).__name__}") from error
        return True

    def _side_by_side(self, work: Callable[[Any], T], those: Sequence[Any]) -> list[T]:
        if len(those) == 1:
            return [work(those[0])]
        return list(self._pool.map(work, those))

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._at_once, thread_name_prefix="streamer-send")


def open_transport(settings: ApiGatewaySettings) -> ManagementTransport:
    """Open the way to the management API that the settings name.

    Raises:
        ConfigurationError: they name none.
    """
    if settings.endpoint is None:
        raise ConfigurationError(
            "[plugins.apigateway] endpoint: the transport needs the address of the management "
            "API; try: https://<api>.execute-api.<region>.amazonaws.com/<stage>"
        )

    def make_api() -> Any:
        from streamer_plugin_apigateway.clients import client  # noqa: PLC0415 - and all of boto3

        return client(
            "apigatewaymanagementapi",
            region=settings.region,
            endpoint=settings.endpoint,
            at_once=settings.at_once,
        )

    return ManagementTransport(
        make_api, at_once=settings.at_once, patience_s=settings.patience / 1000
    )


def _posted(api: Any, connection_id: str, data: bytes) -> Delivery:
    try:
        api.post_to_connection(ConnectionId=connection_id, Data=data)
    except ClientError as error:
        return _verdict(error)
    except BotoCoreError as error:
        raise TransportError(f"a post failed: {type(error).__name__}") from error
    return Delivery.DELIVERED


_VERDICTS = {
    HTTPStatus.GONE: Delivery.GONE,
    HTTPStatus.BAD_REQUEST: Delivery.GONE,  # "Invalid connectionId": it never was
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Delivery.TOO_LARGE,
    HTTPStatus.TOO_MANY_REQUESTS: Delivery.BUSY,
}


def _verdict(error: ClientError) -> Delivery:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    verdict = _VERDICTS.get(HTTPStatus(status)) if status else None
    if verdict is None:
        raise TransportError(f"the management API answered with {_code(error)}") from error
    return verdict


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code"))
