"""How long a request may take, how often it is tried, and how many of a kind run at once."""

from streamer_core.records import record


@record
class Policy:
    """The part of a handler's specification that is stored with each request.

    It travels with the record, so that the sweeper can act on a request without its handler's code.

    Args:
        timeout_ms: how long one attempt may take.
        max_attempts: how many attempts are spent before a failure is final.
        max_age_ms: no further attempt begins later than this after the first one began.
        backoff_ms: the first retry's longest delay; it doubles with each attempt.
        backoff_cap_ms: the longest delay of any retry.
    """

    timeout_ms: int = 300_000
    max_attempts: int = 3
    max_age_ms: int = 86_400_000
    backoff_ms: int = 1_000
    backoff_cap_ms: int = 300_000


@record
class Slot:
    """Room for `at_most` running requests that share `key`."""

    key: str
    at_most: int


@record
class Again:
    """Verdict on a failed attempt: try again after `delay_ms`."""

    delay_ms: int


@record
class GiveUp:
    """Verdict on a failed attempt: the failure is final."""


Verdict = Again | GiveUp
