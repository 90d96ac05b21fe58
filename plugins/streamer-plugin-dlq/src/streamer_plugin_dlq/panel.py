"""The console's table."""

from datetime import UTC, datetime

from streamer_plugin_dlq.letters import Letters
from streamer_plugin_dlq.wanted import Wanted

_SHOWN = 20


def rows(letters: Letters) -> list[dict[str, str]]:
    """Give the newest that nobody has dealt with."""
    entries, _ = letters.page(Wanted(), limit=_SHOWN)
    return [
        {
            "failed": f"{datetime.fromtimestamp(one.at / 1000, UTC):%Y-%m-%d %H:%M:%SZ}",
            "source": one.source,
            "action": one.action,
            "code": one.code,
            "kind": one.kind,
            "tenant": one.tenant,
            "user": one.user,
            "id": one.id,
        }
        for one in entries
    ]
