"""`[plugins.apigateway]`."""

from streamer_core.model.message import Priority
from streamer_core.records import record
from streamer_core.sections import Ms

_MOST_AT_ONCE = 500


@record
class ApiGatewaySettings:
    """What the functions know of each other; the template sets all of it by the environment.

    Args:
        endpoint: of the management API: `https://<api>.execute-api.<region>.amazonaws.com/<stage>`.
        region: left out: what the AWS environment says.
        worker: the worker function that is woken for requests of all lanes but `high`.
        high_worker: that of the lane `high`; left out: `worker`.
        notifier: the function that sends events to many; left out: whoever publishes does.
        fan_out: how many subscribers an event may have and still be sent by whoever publishes it.
        timers: the address of the queue through which a worker is woken later.
        parking: the address of the queue that keeps stream records nobody can read.
        at_once: how many messages are sent side by side.
        patience: how long a send is tried again that is throttled, or whose client is slow.
    """

    endpoint: str | None = None
    region: str | None = None
    worker: str | None = None
    high_worker: str | None = None
    notifier: str | None = None
    fan_out: int = 200
    timers: str | None = None
    parking: str | None = None
    at_once: int = 32
    patience: Ms = 500

    def __post_init__(self) -> None:
        if not 1 <= self.at_once <= _MOST_AT_ONCE:
            raise ValueError(f"at_once: must be from 1 to {_MOST_AT_ONCE}")
        if self.fan_out < 0:
            raise ValueError("fan_out: must be 0 or more")
        for name in ("endpoint", "timers", "parking"):
            address = getattr(self, name)
            if address is not None and not address.startswith(("https://", "http://")):
                raise ValueError(f"{name}: must begin with https://")

    def worker_of(self, lane: Priority) -> str | None:
        """Give the function that runs requests of a lane."""
        if lane is Priority.HIGH and self.high_worker is not None:
            return self.high_worker
        return self.worker
