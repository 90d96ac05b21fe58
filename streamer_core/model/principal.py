"""Who is asking."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from streamer_core.records import record

ADMIN_SCOPE = "streamer:admin"
PRIORITY_SCOPE = "streamer:priority"
OPERATOR_SCOPE = "streamer:operator"
NO_TENANT = "default"
"""The tenant of those whose token names none: an installation without tenants has this one."""


@record
class Principal:
    """A verified identity: it comes from the token alone, never from a message.

    Args:
        user: the user's id within the tenant.
        tenant: whose data this is; requests, topics and ids never cross it.
        scopes: rights, compared as whole strings.
        expires_at: Unix ms after which the identity is no longer good, or None.
        token_id, issued_at: which token said so, and when (Unix ms) it was issued, where the
            authenticator knows: by them a token can be revoked under a live connection.
        claims: whatever else the authenticator learnt; never sent, never logged, never stored.
        kept: those of the claims that `[streamer] keep_claims` names; stored with the connection,
            so that they are there at each of its messages. JSON values.
    """

    user: str
    tenant: str = NO_TENANT
    scopes: frozenset[str] = frozenset()
    expires_at: int | None = None
    token_id: str | None = None
    issued_at: int | None = None
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)
    kept: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def may(self, scope: str) -> bool:
        """Tell whether the principal holds the scope."""
        return scope in self.scopes

    @property
    def is_admin(self) -> bool:
        """Whether the principal may see and steer every request of its tenant."""
        return ADMIN_SCOPE in self.scopes
