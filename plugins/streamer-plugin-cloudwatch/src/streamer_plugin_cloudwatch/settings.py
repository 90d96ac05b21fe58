"""`[plugins.cloudwatch]`."""

import re

from streamer_core.records import record
from streamer_core.sections import Ms

_NAMESPACE = re.compile(r"(?!AWS/)[A-Za-z0-9._/#:-]{1,255}")
_MOST_VALUES = 1000

IDENTITIES = frozenset(
    {"tenant", "user", "request_id", "ref", "connection_id", "trace_id", "span_id"}
)
"""Tags that name somebody or one of very many: properties of the line, which Logs Insights finds,
and no dimensions, which are paid for each."""


@record
class CloudWatchSettings:
    """Where the lines go, and what of a measurement becomes a dimension.

    Args:
        to: `stdout`, or a file, from the project's folder. Left out: `stdout` on Lambda, and off
            elsewhere.
        namespace: of the metrics in CloudWatch. Two deployments in one account need two.
        interval: how long measurements are added up before they are written.
        properties: who a measurement is of, as a property of the line: `tenant`, `user` and the
            like.
        dimensions: the same, as a dimension.
        most_values: how many distinct values of a tag a process tells apart; all others are
            `other`.
    """

    to: str | None = None
    namespace: str = "Streamer"
    interval: Ms = 10_000
    properties: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ()
    most_values: int = 100

    @property
    def named(self) -> tuple[str, ...]:
        """Whom measurements name."""
        return self.properties + self.dimensions

    def __post_init__(self) -> None:
        if self.to is not None and (not self.to.strip() or "\0" in self.to):
            raise ValueError("to: must be stdout or a file; leave it out for what is usual")
        if not _NAMESPACE.fullmatch(self.namespace):
            raise ValueError(
                "namespace: must have 1 to 255 characters of A-Z a-z 0-9 . _ / # : -, "
                "and not begin with AWS/"
            )
        if self.interval <= 0:
            raise ValueError("interval: must be more than nothing")
        for setting in ("properties", "dimensions"):
            for tag in getattr(self, setting):
                if tag not in IDENTITIES:
                    raise ValueError(
                        f"{setting}: {tag!r:.80} is none of {', '.join(sorted(IDENTITIES))}; "
                        f"all other tags are dimensions as it is"
                    )
        if not 1 <= self.most_values <= _MOST_VALUES:
            raise ValueError(f"most_values: must be from 1 to {_MOST_VALUES}")
