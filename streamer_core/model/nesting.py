"""How deep JSON may be nested."""

from typing import Any

DEEPEST = 64


def too_deep(value: Any, data: bytes) -> bool:
    """Tell whether a value, decoded from `data`, is nested deeper than 64 objects and lists.

    Python reads JSON as deep as the stack has room. What one process just managed to store, a
    worker or the sweeper, deeper in its own stack, could fail to read, again and again.
    """
    if data.count(b"[") + data.count(b"{") <= DEEPEST:
        return False
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
