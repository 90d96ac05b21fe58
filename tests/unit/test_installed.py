"""What is installed is what `importlib.metadata` says, found without it."""

import importlib.metadata
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from streamer_core.installed import HANDLERS, PLUGINS, Entry, entry_points, versions


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def theirs() -> list[Entry]:
    """Give what `importlib.metadata` says."""
    groups = [importlib.metadata.entry_points(group=group) for group in (PLUGINS, HANDLERS)]
    return sorted(
        Entry(one.group, one.name, one.value, normal(one.dist.name), one.dist.version)
        for found in groups
        for one in found
        if one.dist
    )


def ours(distribution: str = "some-thing") -> list[Entry]:
    return [one for one in entry_points() if one.distribution == distribution]


def install(site: Path, folder: str, about: str, text: str) -> None:
    info = site / folder
    info.mkdir(parents=True)
    (info / about).write_text("Metadata-Version: 2.1\nName: Some.Thing\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(text)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_entry_points_of_this_environment() -> None:
    assert sorted(entry_points()) == theirs()
    assert {one.name for one in entry_points()} >= {"sqlite", "local"}


def test_versions_of_this_environment() -> None:
    those = {normal(one.name) for one in importlib.metadata.distributions()}
    assert versions() == {name: importlib.metadata.version(name) for name in those}
    assert "streamer-core" in those


@pytest.mark.parametrize(
    ("folder", "about"),
    [
        ("some_thing-1.2.dist-info", "METADATA"),
        ("Some.Thing-1.2.dist-info", "METADATA"),
        ("Some.Thing-1.2-py3.11.egg-info", "PKG-INFO"),
    ],
)
def test_names_as_installers_write_them(site: Path, folder: str, about: str) -> None:
    install(site, folder, about, "[streamer.plugins]\nx = some.thing:Thing\n")
    assert ours() == [Entry(PLUGINS, "x", "some.thing:Thing", "some-thing", "1.2")]
    assert sorted(entry_points()) == theirs()
    assert versions()["some-thing"] == "1.2"


def test_a_file_as_people_write_it(site: Path) -> None:
    text = """
# a comment
[other]
x = not.this

[streamer.plugins]
# x = nor.this
  one=a:B
two  =  c : D [extra]

[streamer.others]
x = nor.this

[streamer.handlers]
three = e
"""
    install(site, "some_thing-1.2.dist-info", "METADATA", text)
    assert [one[:3] for one in ours()] == [
        (PLUGINS, "one", "a:B"),
        (PLUGINS, "two", "c : D [extra]"),
        (HANDLERS, "three", "e"),
    ]
    assert sorted(entry_points()) == theirs()


def test_what_is_no_entry_point(site: Path) -> None:
    install(site, "some_thing-1.2.dist-info", "METADATA", "[streamer.plugins]\nnonsense\n")
    assert ours() == []


def test_the_first_on_the_path_hides_another(
    site: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "some_thing-1.2.dist-info", "METADATA", "[streamer.plugins]\nx = hidden\n")
    nearer = tmp_path_factory.mktemp("nearer")
    install(nearer, "some_thing-2.0.dist-info", "METADATA", "[streamer.plugins]\nx = seen\n")
    monkeypatch.syspath_prepend(nearer)
    assert ours() == [Entry(PLUGINS, "x", "seen", "some-thing", "2.0")]
    assert versions()["some-thing"] == "2.0"


def test_a_path_that_is_not_there(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(site / "away")
    assert sorted(entry_points()) == theirs()


def test_in_a_zip_file_it_is_found_too(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = "some_thing-1.2.dist-info"
    with zipfile.ZipFile(site / "bundle.zip", "w") as bundle:
        bundle.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: x\nVersion: 1.2\n")
        bundle.writestr(f"{info}/entry_points.txt", "[streamer.plugins]\nx = y\n")
    monkeypatch.syspath_prepend(site / "bundle.zip")
    assert ours("x") == [Entry(PLUGINS, "x", "y", "x", "1.2")]
    assert sorted(entry_points()) == theirs()
    assert versions()["x"] == "1.2"


def test_a_finder_of_its_own_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder(importlib.metadata.DistributionFinder):
        """Finds nothing, but might."""

        def find_spec(self, *_: object) -> None: ...
        def find_distributions(self, *_: object) -> list[importlib.metadata.Distribution]:
            return [Known()]

    class Known(importlib.metadata.Distribution):
        """A distribution that is in no folder."""

        def read_text(self, filename: str) -> str | None:
            about = "Metadata-Version: 2.1\nName: Known\nVersion: 3\n"
            return {"METADATA": about, "entry_points.txt": "[streamer.plugins]\nx = y\n"}.get(
                filename
            )

        def locate_file(self, _: object) -> Path:
            return Path()

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    assert ours("known") == [Entry(PLUGINS, "x", "y", "known", "3")]
    assert versions()["known"] == "3"


def test_importlib_metadata_is_not_needed() -> None:
    code = (
        "import sys; from streamer_core import installed;"
        "assert installed.versions()['streamer-core'];"
        "assert 'importlib.metadata' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
