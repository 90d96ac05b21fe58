"""Which algorithm may be used with which key: what the token says never decides it alone.

RFC 8725, 3.1: a key is for one kind of algorithm. A public key is no secret of HMAC, and a curve
has the one that RFC 7518, 3.4, gives it.
"""

RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
HMAC_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The least length of a secret: that of the hash (RFC 7518, 3.2)."""

ALGORITHMS = frozenset({*RSA, *CURVES.values(), "EdDSA", *HMAC_BYTES})


def of_secret(length: int) -> tuple[str, ...]:
    """Give the algorithms that a secret of so many bytes is long enough for."""
    return tuple(name for name, least in HMAC_BYTES.items() if length >= least)
