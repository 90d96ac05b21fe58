"""Clients of AWS."""

from typing import Any

import botocore
from botocore.config import Config
from botocore.session import get_session

_USER_AGENT = f"Botocore/{botocore.__version__} streamer"
"""botocore would put it together twice for each call: a quarter of its processor time."""
_CONNECT_S, _READ_S = 2, 5


def client(
    service: str, *, region: str | None, endpoint: str | None = None, at_once: int = 10
) -> Any:
    """Make a client that may be used by `at_once` threads, and tries each call once.

    Raises:
        BotoCoreError, ValueError: botocore does not know where the service is.
    """
    return get_session().create_client(
        service,
        region_name=region,
        endpoint_url=endpoint,
        config=Config(
            connect_timeout=_CONNECT_S,
            read_timeout=_READ_S,
            max_pool_connections=at_once,
            retries={"mode": "standard", "total_max_attempts": 1},
            tcp_keepalive=True,
            user_agent=_USER_AGENT,
        ),
    )
