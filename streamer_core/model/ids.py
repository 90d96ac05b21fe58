"""Keys made from identities."""

import hashlib

_REF_BYTES = 16


def ref_of(tenant: str, user: str, request_id: str) -> str:
    """Give the key of the request that `request_id` names for this user: 32 hex digits.

    The parts are hashed with their lengths before them, so that no two identities share a key by
    moving a character from one part to the next.
    """
    digest = hashlib.blake2b(digest_size=_REF_BYTES)
    for part in (tenant, user, request_id):
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return digest.hexdigest()


def request_subject(ref: str) -> str:
    """Give the subject under which a request's followers subscribe."""
    return f"request/{ref}"


def topic_subject(tenant: str, topic: str) -> str:
    """Give the subject of a tenant's topic; the length keeps tenants apart."""
    return f"topic/{len(tenant)}/{tenant}/{topic}"
