"""Writes the figures of `benchmarks/results/` into docs/performance.md: `make performance`.

The page is written by hand but for its blocks, from `<!-- figures: NAME -->` to `<!-- end -->`,
which are the tables of `results/NAME.json`. `bounds` gathers from all what has a bound; `growth`
also shows the plots in `docs/growth/`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import tables
from benchmarks.peers import tables as peers
from benchmarks.report import ROOT
from benchmarks.tables import Result

RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "performance.md"
PLOTS = PAGE.parent / "growth"
BEGIN, END = "<!-- figures: ", "<!-- end -->"
BLOCK = re.compile(rf"^{BEGIN}(\w+) -->$(.*?)^{END}$", re.MULTILINE | re.DOTALL)


def main() -> None:
    """Write the page's blocks anew."""
    text = PAGE.read_text("utf-8")
    PAGE.write_text(filled(text, committed(RESULTS), plots(PLOTS)), "utf-8")
    print(f"written: {PAGE}")


def committed(folder: Path) -> dict[str, Result]:
    """Read the figures, by the name of their benchmark.

    Raises:
        ValueError: a file is that of a quick run, whose figures mean nothing.
    """
    found = {
        path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))
    }
    for name, result in found.items():
        if result["quick"]:
            raise ValueError(f"{name}: a quick run's figures mean nothing; run it without --quick")
    return found


def plots(folder: Path) -> list[str]:
    """List the curves that are drawn."""
    return sorted(path.stem for path in folder.glob("*.svg"))


def filled(page: str, results: Mapping[str, Result], curves: Sequence[str]) -> str:
    """Give the page with its blocks written anew.

    Raises:
        ValueError: a block has no end, or figures have no block.
    """
    names = BLOCK.findall(page)
    if len(names) != page.count(BEGIN) or any(BEGIN in body for _, body in names):
        raise ValueError(f"a block has no {END} of its own")
    if without := results.keys() - {name for name, _ in names}:
        raise ValueError(f"no block shows {', '.join(sorted(without))}")

    def written(match: re.Match[str]) -> str:
        return f"{BEGIN}{match[1]} -->\n{_block(match[1], results, curves)}\n{END}"

    return BLOCK.sub(written, page)


def _block(name: str, results: Mapping[str, Result], curves: Sequence[str]) -> str:
    if name == "bounds":
        # What peers are held to, that all their messages end, is no promise of ours.
        return tables.bounds({key: one for key, one in results.items() if key != "peers"})
    if name not in results:
        return f"*Not measured yet: `python -m benchmarks {name}`.*"
    if name == "peers":
        return peers.block(results[name])
    images = [f"![{curve}](growth/{curve}.svg)" for curve in curves if name == "growth"]
    return "\n\n".join([tables.block(results[name]), *images])


if __name__ == "__main__":
    main()
