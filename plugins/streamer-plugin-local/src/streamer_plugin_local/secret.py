"""The secret of one start: it opens the management API and the console."""

import hmac
import re
import secrets

COOKIE = "streamer_console"
_CREDENTIAL = re.compile(r"AWS4-HMAC-SHA256 +Credential=([^/ ]+)/")


class Secret:
    """Made anew at each start, printed once, kept nowhere.

    Args:
        text: the secret; letters, digits, `-` and `_`, so that it can be an access key id.
    """

    def __init__(self, text: str | None = None) -> None:
        self.text = text or secrets.token_urlsafe(24)

    def is_(self, shown: str | None) -> bool:
        """Compare in constant time."""
        return shown is not None and hmac.compare_digest(shown.encode(), self.text.encode())

    def signed(self, authorization: str | None) -> bool:
        """Look for it in an `Authorization` header.

        It is an AWS signature's access key id, or a bearer token. The signature itself is not
        checked: who knows the id, knows the secret.
        """
        if authorization is None:
            return False
        if match := _CREDENTIAL.match(authorization):
            return self.is_(match[1])
        return authorization.startswith("Bearer ") and self.is_(authorization[7:])
