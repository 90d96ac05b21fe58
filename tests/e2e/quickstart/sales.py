"""The quickstart as a newcomer has it: a copy, so that nothing of an earlier run is there."""

import shutil
from collections import Counter
from decimal import Decimal
from pathlib import Path

QUICKSTART = Path(__file__).parents[3] / "examples" / "quickstart"


def copied(folder: Path) -> Path:
    """Copy the example without what running it left there."""
    ignored = shutil.ignore_patterns(".streamer", "__pycache__")
    return Path(shutil.copytree(QUICKSTART, folder / "quickstart", ignore=ignored))


def totals(sales: Path) -> dict[str, str]:
    """Add up a file of sales without Streamer."""
    cents: Counter[str] = Counter()
    for line in sales.read_text("ascii").splitlines():
        _day, region, quantity, price = line.split(",")
        cents[region] += int(quantity) * int(price.replace(".", ""))
    return {region: str(Decimal(sum_) / 100) for region, sum_ in sorted(cents.items())}


def write(sales: Path, rows: int) -> None:
    """Write a file of sales, as the example's own script does."""
    regions = ("east", "north", "south", "west")
    with sales.open("w", encoding="ascii") as file:
        for row in range(rows):
            region = regions[row * 7919 % 4]
            price = f"{row * 31 % 900 + 1}.{row % 100:02}"
            file.write(f"2026-{1 + row % 12:02}-{1 + row % 28:02},{region},{1 + row % 9},{price}\n")
