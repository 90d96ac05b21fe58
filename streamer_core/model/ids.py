"""Keys made from identities."""

import hashlib
import re
from functools import lru_cache

_TENANT_BYTES, _REQUEST_BYTES = 4, 12
_LENGTH = re.compile(r"[0-9]{1,9}")
REF = re.compile(r"[0-9a-f]{32}")


def ref_of(tenant: str, user: str, request_id: str) -> str:
    """Give the key of the request that `request_id` names for this user: 32 hex digits.

    The first eight are `tenant_part`: a store that keeps tenants in different places finds the one
    of a request by them. The others are of all three parts, hashed with their lengths before them,
    so that no two identities share a key by moving a character from one part to the next.
    """
    part, begun = _begun(tenant, user)
    digest = begun.copy()
    digest.update(_with_length(request_id))
    return part + digest.hexdigest()


def tenant_part(tenant: str) -> str:
    """Give what the refs of a tenant's requests begin with: 8 hex digits.

    It is a hint of where to look, and proves nothing: tenants may share it.
    """
    return hashlib.blake2b(_with_length(tenant), digest_size=_TENANT_BYTES).hexdigest()


@lru_cache(maxsize=4096)
def _begun(tenant: str, user: str) -> tuple[str, "hashlib.blake2b"]:
    """Hash what all of a user's requests begin with."""
    begun = hashlib.blake2b(_with_length(tenant) + _with_length(user), digest_size=_REQUEST_BYTES)
    return tenant_part(tenant), begun


def _with_length(part: str) -> bytes:
    raw = part.encode("utf-8", "surrogatepass")
    return len(raw).to_bytes(4, "big") + raw


def request_subject(ref: str) -> str:
    """Give the subject under which a request's followers subscribe."""
    return f"request/{ref}"


def topic_subject(tenant: str, topic: str) -> str:
    """Give the subject of a tenant's topic; the length keeps tenants apart."""
    return tenant_key("topic", tenant, topic)


def tenant_key(kind: str, tenant: str, *rest: str) -> str:
    """Give a key of a tenant: of a counter, a small value, a subject. `kind` has no slash."""
    return "/".join((kind, str(len(tenant)), tenant, *rest))


def tenant_of(key: str) -> str | None:
    """Tell whose a key is that `tenant_key` made; None: no tenant's."""
    _, _, counted = key.partition("/")
    digits, _, named = counted.partition("/")
    if not _LENGTH.fullmatch(digits) or len(named) < (length := int(digits)):
        return None
    return named[:length] if named[length : length + 1] in {"", "/"} else None
