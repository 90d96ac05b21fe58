"""Fetching JSON with bounds: HTTPS or loopback, no redirects, so many bytes, so long."""

import json
import time
import urllib.error
import urllib.request
from typing import Any

from streamer_plugin_jwt.places import is_allowed
from streamer_plugin_jwt.sources import Unreadable

_LARGEST = 512 * 1024
_PIECE = 64 * 1024


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect could lead where nobody allowed."""

    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        """Follow none: it is an error then."""


def fetch_json(address: str, timeout_s: float) -> Any:
    """Fetch and decode a document.

    Each wait for the socket is bounded by `timeout_s`, and so is the reading of the body. To
    resolve a name, or to take headers that come in crumbs, may take longer: do not wait for it.

    Raises:
        Unreadable: it could not be fetched, is too large, or is no JSON.
    """
    if not is_allowed(address):
        raise Unreadable("its address is not https://")
    handlers: list[Any] = [_NoRedirects()]
    if address.startswith("http:"):
        handlers.append(urllib.request.ProxyHandler({}))  # loopback is nobody's proxy's business
    asked = urllib.request.Request(  # noqa: S310 - is_allowed
        address, headers={"Accept": "application/json", "User-Agent": "streamer-plugin-jwt"}
    )
    end = time.monotonic() + timeout_s
    try:
        with urllib.request.build_opener(*handlers).open(asked, timeout=timeout_s) as answer:
            return json.loads(_body(answer, end))
    except urllib.error.HTTPError as error:
        error.close()
        raise Unreadable(f"it was answered with {error.code}") from None
    except (ValueError, RecursionError):
        raise Unreadable("the answer is no JSON") from None
    except Unreadable:
        raise
    except Exception as error:  # noqa: BLE001 - http.client's, ssl's and the socket's are many
        raise Unreadable(type(getattr(error, "reason", error)).__name__) from None


def _body(answer: Any, end: float) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while piece := answer.read1(_PIECE):
        size += len(piece)
        if size > _LARGEST:
            raise Unreadable(f"the answer is larger than {_LARGEST // 1024} KB")
        if time.monotonic() > end:
            raise Unreadable("the answer took too long")
        pieces.append(piece)
    return b"".join(pieces)
