"""Names and values that CloudWatch takes, and not too many of them."""

import re
import zlib

OTHER = "other"
NOTHING = "none"
# A metric's name may have 255, of which `.bytes` needs 6, and a value 1,024 (API reference).
MOST_CHARS = 249
_MOST_TAGS = 100
_SUM_CHARS = 9  # what ends one that was cut
_ODD = re.compile(r"[^ -~]|%|^[ :_]")


def clean(text: object) -> str:
    """Give a name or a value as CloudWatch takes it: printable ASCII, neither empty nor long.

    It begins with no colon, which CloudWatch keeps for itself, and is not `_aws`. Different ones
    stay different: what cannot stand there is percent-encoded UTF-8, and what is cut ends in a sum
    of all of it.
    """
    plain = _ODD.sub(_encoded, str(text))
    if len(plain) > MOST_CHARS:
        plain = f"{plain[: MOST_CHARS - _SUM_CHARS]}~{zlib.crc32(plain.encode()):08x}"
    return plain or NOTHING


def _encoded(odd: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in odd[0].encode("utf-8", "surrogatepass"))


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
