"""What the command line asks of every benchmark."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PLOTS = Path(__file__).parent.parent / "docs" / "growth"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Sizes.

    Args:
        quick: those of a smoke test.
        rates: messages a second to offer, beside the bound's.
        seconds: how long a rate is offered or a loop is kept up.
        connections: how many there are where there are many.
        curves: which ones `growth` measures; all, where none is named.
        plots: the folder that `growth` draws them in.
        async_rate, sync_rate: queued requests and messages a second that the soak offers.
    """

    quick: bool = False
    rates: list[int] = field(default_factory=list)
    seconds: float | None = None
    connections: int | None = None
    curves: list[str] = field(default_factory=list)
    plots: Path = PLOTS
    async_rate: int | None = None
    sync_rate: int | None = None

    def size(self, full: T, quick: T) -> T:
        """Choose between the two sizes."""
        return quick if self.quick else full

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.seconds or self.size(10, 0.5)

    @property
    def crowd(self) -> int:
        """Connections."""
        return self.connections or self.size(10_000, 200)
