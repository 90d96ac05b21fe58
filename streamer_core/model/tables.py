"""Where a tenant's own tables are, and whose word opens them."""

from collections.abc import Callable
from dataclasses import field

from streamer_core.records import record


@record
class Credentials:
    """What calls of somebody else's account are signed with, for a while.

    Args:
        key_id, secret, token: as AWS gives them; never logged: left out of `repr`.
        expires_at: Unix ms.
    """

    key_id: str = field(repr=False)
    secret: str = field(repr=False)
    token: str = field(repr=False)
    expires_at: int


@record
class OwnTables:
    """A tenant's own place in a database.

    Args:
        tenant: whose.
        prefix: what the names of its tables begin with; None: as those that all share.
        region: where they are; None: where the shared ones are.
        credentials: gives new ones at each call, where the tables are in another account; called
            before the first call to the database, and again before they have expired. It may raise
            what its SDK raises.
    """

    tenant: str
    prefix: str | None = None
    region: str | None = None
    credentials: Callable[[], Credentials] | None = field(default=None, repr=False)
