"""What all processes know of a circuit, and its legal moves.

```
         too much failed, or was slow            open_for is over: a first probe
CLOSED ------------------------------> OPEN ------------------------------------> HALF_OPEN
   ^                                    ^  <------------------------------------      |
   |                                    |            a probe failed                   |
   |                                    by hand: until it is closed by hand           |
   +----------------------------------------------------------------------------------+
                                  `probes` probes went well
```

Moves are functions from state to state: whoever stores the new one, on the condition that nobody
has stored another since, has made the move. A move that changes nothing gives the same object.
"""

from collections.abc import Mapping
from dataclasses import field, fields, replace
from enum import StrEnum
from typing import Any

from streamer_core.plugin import record
from streamer_plugin_circuitbreaker import window as windows
from streamer_plugin_circuitbreaker.settings import Rules
from streamer_plugin_circuitbreaker.window import Tally, Window


class Phase(StrEnum):
    """Whether calls are let through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@record
class State:
    """A circuit. Times are Unix ms.

    Args:
        phase: whether calls are let through.
        round: counts the changes of phase; what was begun in an earlier one counts no more.
        since: when the phase began.
        until: of an open one: when it may be probed; None: it was opened by hand, and stays so.
        reason: of an open one: `failures`, `slow`, `probe` or `hand`.
        writer: names whoever made the last change, once for each change.
        window: the calls counted.
        probes: those under way: id and when it lapses.
        passed: how many probes have gone well.
    """

    phase: Phase = Phase.CLOSED
    round: int = 0
    since: int = 0
    until: int | None = None
    reason: str = ""
    writer: str = ""
    window: Window = field(default_factory=dict)
    probes: Mapping[str, int] = field(default_factory=dict)
    passed: int = 0

    # -- as the store keeps it

    def to_plain(self) -> dict[str, Any]:
        """Give JSON-ready values."""
        return {
            "phase": self.phase.value,
            "round": self.round,
            "since": self.since,
            "until": self.until,
            "reason": self.reason,
            "writer": self.writer,
            "window": [[begins, *tally] for begins, tally in self.window.items()],
            "probes": dict(self.probes),
            "passed": self.passed,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "State":
        """Make it of what `to_plain` gave, of this version or a newer one."""
        known = {one.name: plain[one.name] for one in fields(cls) if one.name in plain}
        window = {begins: Tally(*tally) for begins, *tally in plain["window"]}
        return cls(**{**known, "phase": Phase(plain["phase"]), "window": window})

    # -- moves

    def _changed(self, phase: Phase, now: int, **more: Any) -> "State":
        return State(phase=phase, round=self.round + 1, since=now, **more)

    def closed(self, now: int) -> "State":
        """Close it, and begin to count anew."""
        return self._changed(Phase.CLOSED, now)

    def opened(self, now: int, reason: str, until: int | None) -> "State":
        """Open it; keeps what was counted, for people to see."""
        return self._changed(Phase.OPEN, now, reason=reason, until=until, window=self.window)

    def opened_by_hand(self, now: int) -> "State":
        """Open it until it is closed by hand."""
        return self if self.is_by_hand else self.opened(now, "hand", None)

    @property
    def is_by_hand(self) -> bool:
        """Whether a person has opened it."""
        return self.phase is Phase.OPEN and self.until is None

    def counted(self, seen: Window, rules: Rules, now: int) -> "State":
        """Count calls of a closed one; open it where too many of all have failed or were slow."""
        both = windows.together(self.window, seen)
        after = replace(self, window=windows.recent(both, now, rules.window))
        calls, failures, slow = windows.total(after.window)
        if calls < rules.minimum_calls:
            return after
        if failures / calls >= rules.failure_rate:
            return after.opened(now, "failures", now + rules.open_for)
        if slow / calls >= rules.slow_rate:
            return after.opened(now, "slow", now + rules.open_for)
        return after

    def probing(self, probe: str, rules: Rules, now: int) -> "State":
        """Let a probe begin, where it may be probed and there is room for one."""
        if self.may_be_probed(rules, now):
            lapses = now + rules.probe_lapse
            return self._changed(Phase.HALF_OPEN, now, probes={probe: lapses}, window=self.window)
        if self.has_room(rules, now):
            return replace(self, probes={**self.alive(rules, now), probe: now + rules.probe_lapse})
        return self

    def takes_probes(self, rules: Rules, now: int) -> bool:
        """Tell whether a probe may begin now."""
        return self.may_be_probed(rules, now) or self.has_room(rules, now)

    def may_be_probed(self, rules: Rules, now: int) -> bool:
        """Tell whether it has been open for long enough."""
        if self.phase is not Phase.OPEN or self.until is None:
            return False
        return not _is_to_come(self.until, rules.open_for, rules, now)

    def has_room(self, rules: Rules, now: int) -> bool:
        """Tell whether it is being probed, and one more may do so."""
        return self.phase is Phase.HALF_OPEN and len(self.alive(rules, now)) < rules.probes

    def alive(self, rules: Rules, now: int) -> Mapping[str, int]:
        """Give the probes under way."""
        return {
            probe: lapses
            for probe, lapses in self.probes.items()
            if _is_to_come(lapses, rules.probe_lapse, rules, now)
        }

    def probed(self, probe: str, seen: Tally | None, rules: Rules, now: int) -> "State":
        """End a probe; None: what it saw says nothing."""
        if self.phase is not Phase.HALF_OPEN:
            return self
        if seen is not None and seen.is_bad:
            return self.opened(now, "probe", now + rules.open_for)
        passed = self.passed + (seen is not None)
        if passed >= rules.probes:
            return self.closed(now)
        others = {one: lapses for one, lapses in self.probes.items() if one != probe}
        return replace(self, probes=others, passed=passed)


def _is_to_come(then: int, longest_ms: int, rules: Rules, now: int) -> bool:
    """Tell whether a time is not reached yet that was the longest time away, when it was written.

    One that is further off, by more than clocks may differ, was written by a clock that has been
    set back, or that nobody else goes by: nobody should wait for it.
    """
    return now < then <= now + longest_ms + rules.window // windows.TENTHS
