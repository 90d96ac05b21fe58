"""Two handlers: one that answers at once, one that reads a million rows and tells how far it is."""

import csv
from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel, Field

from streamer_core import Context, Reject, handler

STEP_BYTES = 1_000_000  # how much is read between two checkpoints: about 30,000 rows


class Greeting(BaseModel):
    name: str = Field(min_length=1, max_length=80)


@handler("hello")
def hello(request: Greeting) -> dict[str, str]:
    """Greet somebody; answered at once."""
    return {"greeting": f"Hello, {request.name}"}


class SalesReport(BaseModel):
    file: Path


@handler("sales_report", estimated="30s", timeout="10m", retry={"max_attempts": 5})
def sales_report(request: SalesReport, ctx: Context) -> dict[str, object]:
    """Add up a file of sales by region.

    Each step is checkpointed together with the piece of output before it: an attempt that is cut
    short goes on from there, and no row is counted twice.
    """
    if not request.file.is_file():
        raise Reject("reports.no_file", "There is no such file of sales")
    size = request.file.stat().st_size
    state = ctx.restored or {"offset": 0, "rows": 0, "totals": {}}
    totals = defaultdict(Decimal, {name: Decimal(total) for name, total in state["totals"].items()})
    offset, rows = state["offset"], state["rows"]
    with request.file.open("rb") as file:
        file.seek(offset)
        while lines := file.readlines(STEP_BYTES):
            if ctx.cancelled:
                return {}
            for _day, region, quantity, price in csv.reader(line.decode() for line in lines):
                totals[region] += int(quantity) * Decimal(price)
            rows, offset = rows + len(lines), file.tell()
            ctx.emit({"rows": rows, "through_byte": offset})
            ctx.checkpoint({"offset": offset, "rows": rows, "totals": _texts(totals)})
            ctx.progress(100 * offset / size, f"{rows:,} rows")
    return {"rows": rows, "totals": _texts(totals)}


def _texts(totals: Mapping[str, Decimal]) -> dict[str, str]:
    return {region: str(total) for region, total in sorted(totals.items())}
