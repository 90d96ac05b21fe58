"""`[plugins.dlq]`."""

import re

from streamer_core.records import record
from streamer_core.sections import Ms

_DAY_MS = 86_400_000
_QUEUE = re.compile(r"https?://[^/\s]+/\S*[^/\s]|[A-Za-z0-9_-]{1,80}(\.fifo)?")
_REGION = re.compile(r"[A-Za-z0-9-]{1,63}")
"""What botocore takes for one."""


@record
class DlqSettings:
    """What is kept of a dead letter, for how long, and where others lie.

    Args:
        keep: how long after its failure.
        payload: whether payload and metadata are kept.
        redact: names of fields that are blanked, wherever they lie: `password`, or the last names
            of a path, `card.number`.
        queues: the names or addresses of SQS queues that are emptied into the dead letters.
        region: of the queues; left out: what the AWS environment says.
    """

    keep: Ms = 30 * _DAY_MS
    payload: bool = True
    redact: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    region: str | None = None

    def __post_init__(self) -> None:
        if not self.keep:
            raise ValueError("keep: must be more than nothing")
        for path in self.redact:
            if not all(path.split(".")) or "*" in path:
                raise ValueError(
                    f"redact: {path!r} is no name, nor names joined by dots; a name blanks all "
                    f"that lies in it"
                )
        if self.region is not None and not _REGION.fullmatch(self.region):
            raise ValueError(f"region: {self.region!r} is none, as eu-central-1 is")
        for queue in self.queues:
            if not _QUEUE.fullmatch(queue):
                raise ValueError(
                    f"queues: {queue!r} is no name of a queue, as in shop-parking, nor its "
                    f"address, as in https://sqs.eu-central-1.amazonaws.com/…/shop-parking"
                )
