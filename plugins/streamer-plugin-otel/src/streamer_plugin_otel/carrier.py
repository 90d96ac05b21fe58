"""A trace's context as metadata carry it."""

import re
from collections.abc import Mapping

from opentelemetry.propagators.textmap import Getter

_PRINTABLE = re.compile(r"[ -~]*")

# W3C Trace Context, "tracestate header field values": the members of its list, and how many.
_KEY = r"[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}"
_STATE = re.compile(rf"(?:(?:{_KEY})=[ -+\--<>-~]{{0,255}}[!-+\--<>-~])?")
_MOST_STATES = 32

# W3C Baggage, "baggage HTTP header format"; without blanks within a member, which older propagators
# do not take. No member longer than 4,096, and how many: as the SDK has it.
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR = rf"{_NAME}=[!#-+\--:<-\[\]-~]*"
_BAGGAGE = re.compile(rf"(?!.{{4097}}){_PAIR}(?:;(?:{_PAIR}|{_NAME}))*")
_MOST_BAGGAGE = 180

_LISTS = {"tracestate": (_STATE, _MOST_STATES), "baggage": (_BAGGAGE, _MOST_BAGGAGE)}
_LONGEST = {"traceparent": 512}
_LONGEST_OF_OTHERS = 8_192
"""Where the propagators stop reading."""


class WellFormed(Getter[Mapping[str, str]]):
    """Reads what is written as the propagators expect it.

    They warn of what they cannot read in its own words, and those are a client's, who has no
    business in the log.
    """

    def get(self, carrier: Mapping[str, str], key: str) -> list[str] | None:
        """Give the text of that name, or None."""
        text = carrier.get(key)
        return [text] if text is not None and _is_well_formed(key, text) else None

    def keys(self, carrier: Mapping[str, str]) -> list[str]:
        """Give the names."""
        return list(carrier)


def _is_well_formed(key: str, text: str) -> bool:
    if len(text) > _LONGEST.get(key, _LONGEST_OF_OTHERS) or not _PRINTABLE.fullmatch(text):
        return False
    if key not in _LISTS:
        return True
    member, most = _LISTS[key]
    members = text.split(",")
    return len(members) <= most and all(member.fullmatch(one.strip(" ")) for one in members)


WELL_FORMED = WellFormed()
