"""Let clients in by a JSON Web Token.

PyJWT and cryptography are imported with the first token: a start pays nothing for them.
"""

from streamer_plugin_jwt.plugin import JwtPlugin

__all__ = ["JwtPlugin"]
