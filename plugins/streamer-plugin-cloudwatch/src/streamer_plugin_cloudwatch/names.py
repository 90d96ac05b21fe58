"""Names and values that CloudWatch takes, and not too many of them."""

import re

OTHER = "other"
NOTHING = "none"
# A metric's name may have 255, of which `.bytes` needs 6, and a value 1,024 (API reference).
MOST_CHARS = 249
_MOST_TAGS = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def clean(text: object) -> str:
    """Give a name or a value as CloudWatch takes it: printable ASCII, neither empty nor long.

    It begins with no colon, which CloudWatch keeps for itself, and is not `_aws`.
    """
    plain = str(text).encode("ascii", "replace").decode()
    return _CONTROL.sub("?", plain).strip().lstrip(":_")[:MOST_CHARS] or NOTHING


class Guard:
    """Keeps tags to few values: each distinct one is a metric of its own, and is paid for.

    What was let in once is let in for good, so that a metric does not come and go.

    Args:
        most: how many values of a tag are told apart.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: dict[str, set[str]] = {}

    def value(self, tag: str, value: object) -> str:
        """Give the value to write: itself, or `other`."""
        text = clean(value)
        seen = self._seen.get(tag)
        if seen is None:
            if len(self._seen) >= _MOST_TAGS:
                return OTHER
            seen = self._seen[tag] = set()
        if text not in seen:
            if len(seen) >= self._most:
                return OTHER
            seen.add(text)
        return text
