"""What is installed: versions of distributions, and the entry points of Streamer's groups.

`importlib.metadata` knows it too, but its import takes a start 20 ms, the email package and zipfile
with it, and it parses a distribution's whole description for its name and again for its version.
Both stand in the name of the folder that every installer makes, `<name>-<version>.dist-info`
(packaging.python.org, "Recording installed projects"). Where Python finds modules anywhere but in
folders, in a zip file or by a finder of another kind, `importlib.metadata` is asked after all.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import NamedTuple

PLUGINS, HANDLERS = "streamer.plugins", "streamer.handlers"
_SUFFIXES = (".dist-info", ".egg-info")


class Entry(NamedTuple):
    """An entry point: its name, what it names, and which distribution brought it.

    The distribution's name is in lower case and with dashes, as indexes compare names.
    """

    group: str
    name: str
    value: str
    distribution: str
    version: str


def entry_points() -> list[Entry]:
    """List the entry points of Streamer's groups."""
    if not _all_in_folders():
        return _asked()
    found: list[Entry] = []
    for distribution, (version, folder) in _distributions().items():
        try:
            text = Path(folder, "entry_points.txt").read_text("utf-8")
        except OSError:
            continue
        if "[streamer." in text:
            found += [Entry(*named, distribution, version) for named in _named(text)]
    return found


def versions() -> Mapping[str, str]:
    """Give the versions of all distributions by their names, in lower case and with dashes."""
    if _all_in_folders():
        return {name: version for name, (version, _) in _distributions().items()}
    from importlib import metadata  # noqa: PLC0415

    return {_normal(dist.name): dist.version for dist in reversed([*metadata.distributions()])}


def _all_in_folders() -> bool:
    others = [finder for finder in sys.meta_path if finder is not PathFinder]
    return not any(hasattr(finder, "find_distributions") for finder in others) and not any(
        Path(folder).is_file() for folder in sys.path
    )


def _distributions() -> dict[str, tuple[str, str]]:
    """Give version and folder of each distribution by its name: the first on the path."""
    found: dict[str, tuple[str, str]] = {}
    for place in sys.path:
        try:
            entries = list(os.scandir(place or "."))
        except OSError:
            continue  # a folder of the path need not exist
        for entry in entries:
            if entry.name.endswith(_SUFFIXES):
                # `<name>-<version>.dist-info`; an egg's may say `-py3.11` after its version.
                name, version, *_ = [*entry.name.rpartition(".")[0].split("-"), ""]
                found.setdefault(_normal(name), (version, entry.path))
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _named(text: str) -> Iterator[tuple[str, str, str]]:
    """Read group, name and value of each entry point that is Streamer's."""
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            group = line.strip("[]")
        elif group in {PLUGINS, HANDLERS} and not line.startswith("#"):
            name, equals, value = line.partition("=")
            if equals:
                yield group, name.strip(), value.strip()


def _asked() -> list[Entry]:
    from importlib import metadata  # noqa: PLC0415

    found = []
    for group in (PLUGINS, HANDLERS):
        for entry in metadata.entry_points(group=group):
            dist = entry.dist
            about = (_normal(dist.name), dist.version) if dist else ("unknown", "")
            found.append(Entry(group, entry.name, entry.value, *about))
    return found
