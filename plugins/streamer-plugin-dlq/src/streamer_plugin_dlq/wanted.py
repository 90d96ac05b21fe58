"""Which dead letters are asked for."""

from streamer_core.records import record
from streamer_plugin_dlq.entry import Entry


@record
class Wanted:
    """What dead letters must have; None means any.

    Args:
        since, until: when it failed lies in [`since`, `until`), Unix ms.
        handled: also those that were redriven or replayed.
    """

    source: str | None = None
    tenant: str | None = None
    user: str | None = None
    action: str | None = None
    code: str | None = None
    kind: str | None = None
    since: int | None = None
    until: int | None = None
    handled: bool = False

    def has(self, entry: Entry) -> bool:
        """Tell whether an entry is asked for."""
        pairs = (
            (self.source, entry.source),
            (self.tenant, entry.tenant),
            (self.user, entry.user),
            (self.action, entry.action),
            (self.code, entry.code),
            (self.kind, entry.kind),
        )
        in_time = (self.since is None or entry.at >= self.since) and (
            self.until is None or entry.at < self.until
        )
        return (
            in_time
            and all(wanted is None or wanted == is_ for wanted, is_ in pairs)
            and (self.handled or not entry.done)
        )
