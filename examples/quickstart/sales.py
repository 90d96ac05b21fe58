"""Makes the file that the demo adds up: real rows, the same for the same seed."""

import random
from pathlib import Path

REGIONS = ("east", "north", "south", "west")
_PRICES = [f"{cents / 100:.2f}" for cents in range(99, 99_999, 101)]


def write_sales(path: Path, rows: int, seed: int = 1) -> None:
    """Write `rows` lines of day, region, quantity and price."""
    chance = random.Random(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="ascii", newline="") as file:
        for first in range(0, rows, 10_000):
            count = min(10_000, rows - first)
            regions = chance.choices(REGIONS, k=count)
            prices = chance.choices(_PRICES, k=count)
            for number, (region, price) in enumerate(zip(regions, prices, strict=True), first):
                day = f"2026-{1 + number % 12:02}-{1 + number % 28:02}"
                file.write(f"{day},{region},{1 + number % 9},{price}\n")
