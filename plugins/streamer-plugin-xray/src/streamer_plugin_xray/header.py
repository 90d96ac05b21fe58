"""X-Ray's trace header, and what of W3C's says the same."""

import re
from collections.abc import Mapping

from streamer_core.plugin import record

STORED = "xray.header"
"""Under this name it is stored with a request: X-Amzn-Trace-Id is the client's, and others'."""

_GIVEN = "X-Amzn-Trace-Id"
_ROOT = re.compile(r"1-[0-9a-f]{8}-[0-9a-f]{24}")
_PARENT = re.compile(r"[0-9a-f]{16}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{8})([0-9a-f]{24})-([0-9a-f]{16})-([0-9a-f]{2})")


@record
class Header:
    """A trace, the segment to go on under, and whether it is kept; None: nobody has decided."""

    root: str | None = None
    parent: str | None = None
    sampled: bool | None = None

    def __str__(self) -> str:
        parts = [f"Root={self.root}"]
        parts += [f"Parent={self.parent}"] if self.parent else []
        parts += [f"Sampled={int(self.sampled)}"] if self.sampled is not None else []
        return ";".join(parts)

    @property
    def stored(self) -> Mapping[str, str]:
        """What a request carries from here on: this header, and for others the same as W3C's."""
        if self.root is None or self.parent is None:
            return {STORED: str(self)}
        trace = self.root[2:].replace("-", "")
        traceparent = f"00-{trace}-{self.parent}-{int(bool(self.sampled)):02}"
        return {STORED: str(self), "traceparent": traceparent}


NONE = Header()
UNKEPT = Header(sampled=False)


def header_in(metadata: Mapping[str, str]) -> Header:
    """Read what metadata say of a trace: stored, else as X-Ray's header, else as W3C's."""
    text = metadata.get(STORED) or metadata.get(_GIVEN)
    return _parsed(text) if text else _of_w3c(metadata.get("traceparent", ""))


def _parsed(text: str) -> Header:
    parts = dict(part.strip().partition("=")[::2] for part in text.split(";"))
    root, parent = parts.get("Root", ""), parts.get("Parent", "")
    if not _ROOT.fullmatch(root):
        return NONE
    return Header(
        root=root,
        parent=parent if _PARENT.fullmatch(parent) else None,
        sampled={"1": True, "0": False}.get(parts.get("Sampled", "")),
    )


def _of_w3c(text: str) -> Header:
    found = _TRACEPARENT.fullmatch(text)
    if found is None or not all(int(number, 16) for number in (found[1] + found[2], found[3])):
        return NONE
    return Header(
        root=f"1-{found[1]}-{found[2]}", parent=found[3], sampled=bool(int(found[4], 16) & 1)
    )
