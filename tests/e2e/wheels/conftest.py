"""Wheels of all packages of this repository, as they would be published; built once."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Build them all: `uv build` finds the workspace's members, a new plugin among them."""
    folder = tmp_path_factory.mktemp("wheels")
    # With the hatchling of this environment: nothing is fetched.
    how = ["--wheel", "--no-sources", "--no-build-isolation", "--python", sys.executable]
    subprocess.run(
        [UV, "-q", "build", "--all-packages", *how, "--out-dir", folder, ROOT], check=True
    )
    return sorted(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def pinned(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give constraints: a package of ours is its wheel, and all others are those tested."""
    ours = [
        f"{wheel.name.partition('-')[0].replace('_', '-')} @ {wheel.as_uri()}" for wheel in wheels
    ]
    others = (ROOT / "constraints.txt").read_text("utf-8")
    constraints = tmp_path_factory.mktemp("pinned") / "constraints.txt"
    constraints.write_text("\n".join([others, *ours, ""]), "utf-8")
    return constraints
