"""The numbers a client lives by, each with the reason for its default."""

import ssl
from dataclasses import dataclass, field

from streamer_client.timing import Backoff


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a client behaves; times are in seconds.

    token_as_subprotocol: send the pair ``streamer.v1, bearer.<token>`` instead of the header
        ``Authorization: Bearer``, for proxies that strip it.
    start_offline: enter the client without waiting for its first connection.
    handover_after: age at which a connection is replaced before API Gateway's 2 h end it;
        up to a tenth less, so that many clients do not move at once.
    linger: how long a replaced connection may still answer: a sync answer takes 29 s at most.
    ping_interval: API Gateway closes what is idle for 10 min.
    reply_timeout: for the answers to framework actions, the time offline included.
    gap_timeout: how long a missing update may be on its way before it is asked for again.
    buffer_limit: unread updates of a request, or unread events of a subscription.
    outbox_limit, outbox_bytes: what may wait to be sent, whichever is reached first.
    """

    token_as_subprotocol: bool = False
    ssl_context: ssl.SSLContext | None = None
    start_offline: bool = False
    backoff: Backoff = field(default_factory=Backoff)
    open_timeout: float = 10.0
    handover_after: float = 110 * 60.0
    linger: float = 30.0
    ping_interval: float = 4 * 60.0
    reply_timeout: float = 30.0
    gap_timeout: float = 1.0
    buffer_limit: int = 1000
    outbox_limit: int = 10_000
    outbox_bytes: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        if self.ping_interval >= 600:
            raise ValueError("ping_interval must stay under API Gateway's idle limit of 600 s")
        if self.handover_after >= 7200:
            raise ValueError("handover_after must stay under API Gateway's limit of 7200 s")
        if min(self.buffer_limit, self.outbox_limit, self.outbox_bytes) < 1:
            raise ValueError("buffer_limit, outbox_limit and outbox_bytes are at least 1")
