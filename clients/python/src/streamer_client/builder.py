"""A request, said step by step."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from streamer_client.request import Request
from streamer_client.spec import Mode, Priority, RequestSpec

if TYPE_CHECKING:
    from streamer_client.client import Client


class RequestBuilder:
    """Every step gives a new builder, so that one can serve as a template.

    ``await client.build("generate_report").payload(month="2026-10").priority("high").send()``
    """

    def __init__(self, client: "Client", spec: RequestSpec) -> None:
        self._client = client
        self._spec = spec

    def __repr__(self) -> str:
        return f"<RequestBuilder {self._spec.action}>"

    def _with(self, **changes: Any) -> "RequestBuilder":
        return RequestBuilder(self._client, replace(self._spec, **changes))

    def payload(self, payload: dict[str, Any] | None = None, **fields: Any) -> "RequestBuilder":
        """Set the payload: an object, fields, or both; it replaces an earlier one."""
        return self._with(payload={**(payload or {}), **fields})

    def metadata(
        self, metadata: Mapping[str, str] | None = None, **fields: str
    ) -> "RequestBuilder":
        """Add metadata to what is there: a mapping, fields, or both."""
        return self._with(metadata={**(self._spec.metadata or {}), **(metadata or {}), **fields})

    def id(self, request_id: str) -> "RequestBuilder":
        """Name the request."""
        return self._with(id=request_id)

    def priority(self, priority: Priority) -> "RequestBuilder":
        """Set ``high``, ``normal`` or ``low``."""
        return self._with(priority=priority)

    def delay(self, delay: timedelta | float) -> "RequestBuilder":
        """Have it run later: a timedelta, or seconds."""
        return self._with(delay=delay)

    def mode(self, mode: Mode) -> "RequestBuilder":
        """Set ``auto``, ``sync`` or ``async``."""
        return self._with(mode=mode)

    def resend(self, resend: bool = True) -> "RequestBuilder":
        """Say whether to send again what was cut off unanswered and is unknown to the server."""
        return self._with(resend=resend)

    def retries(self, retries: int) -> "RequestBuilder":
        """Say how often a refusal that a retry can help is tried again."""
        return self._with(retries=retries)

    def send(self) -> Request:
        """Send it; await the handle for the result."""
        return self._client.submit_spec(self._spec)
