"""How health is shown: over the wire, by a gateway and by the command line alike."""

from collections.abc import Sequence
from typing import Any

from streamer_core.model.call import Health

_FROM_BEST = ("ok", "degraded", "dead")


def overall(checks: Sequence[Health]) -> str:
    """Give the worst of their statuses: `ok`, `degraded` or `dead`."""
    return max((check.status for check in checks), key=_FROM_BEST.index, default="ok")


def report(checks: Sequence[Health], *, details: bool) -> dict[str, Any]:
    """Give `{"status"}`, with details also `checks`: of each name, status, detail, `latency_ms`.

    Details tell how the house is built: they are for its operators.
    """
    shown: dict[str, Any] = {"status": overall(checks)}
    if details:
        shown["checks"] = [
            {
                "name": check.name,
                "status": check.status,
                "detail": check.detail,
                "latency_ms": round(check.latency_ms or 0, 3),
            }
            for check in checks
        ]
    return shown
