"""Client for Streamer: long requests over one WebSocket, live progress, durable results."""

from streamer_client.blocking import BlockingClient, BlockingRequest, BlockingSubscription
from streamer_client.builder import RequestBuilder
from streamer_client.client import Client, Page
from streamer_client.errors import (
    Cancelled,
    ClientClosed,
    ConnectionLost,
    Failed,
    GatewayError,
    HandshakeRefused,
    InvalidRequest,
    MessageTooLarge,
    OutboxFull,
    ProtocolError,
    Refused,
    RequestError,
    StreamerError,
    TimedOut,
    Unauthorized,
    WaitTimeout,
)
from streamer_client.messages import (
    Acknowledgment,
    Chunk,
    Complete,
    Event,
    Gap,
    Progress,
    Restart,
    Update,
)
from streamer_client.request import Request
from streamer_client.settings import Settings
from streamer_client.spec import RequestOptions, RequestSpec
from streamer_client.timing import Backoff, Timing
from streamer_client.topics import Subscription

__all__ = [
    "Acknowledgment",
    "Backoff",
    "BlockingClient",
    "BlockingRequest",
    "BlockingSubscription",
    "Cancelled",
    "Chunk",
    "Client",
    "ClientClosed",
    "Complete",
    "ConnectionLost",
    "Event",
    "Failed",
    "Gap",
    "GatewayError",
    "HandshakeRefused",
    "InvalidRequest",
    "MessageTooLarge",
    "OutboxFull",
    "Page",
    "Progress",
    "ProtocolError",
    "Refused",
    "Request",
    "RequestBuilder",
    "RequestError",
    "RequestOptions",
    "RequestSpec",
    "Restart",
    "Settings",
    "StreamerError",
    "Subscription",
    "TimedOut",
    "Timing",
    "Unauthorized",
    "Update",
    "WaitTimeout",
]
