"""Strings that SQLite cannot take.

JSON may hold half of a surrogate pair (`"\\ud800"`), which UTF-8 and so SQLite's TEXT cannot. A
string with one is stored as a BLOB, where it equals itself and no other.
"""


def stored(text: str) -> str | bytes:
    """Give what to bind for a string that comes from outside."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def told(value: str | bytes) -> str:
    """Give the string that `stored` was given."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogatepass")
