"""What all scenarios share: a stand, and chance."""

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.kit.seed import chance as seeded
from tests.e2e.kit.stand import NewStand, Stand

# They look into /proc.
collect_ignore_glob = [] if sys.platform == "linux" else ["*"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure no coverage: what holds here under load is covered by the tests of its parts."""
    folder = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(folder):
            item.add_marker(pytest.mark.uncovered)


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    return seeded(request.node.name)


@pytest.fixture
def new_stand(tmp_path: Path) -> Iterator[NewStand]:
    """Give stands with settings of their own; all are ended with the test."""
    made: list[Stand] = []

    def new(**settings: Any) -> Stand:
        made.append(Stand(tmp_path / f"stand{len(made)}", **settings))
        return made[-1]

    yield new
    for stand in made:
        stand.close()


@pytest.fixture
def stand(new_stand: NewStand) -> Stand:
    return new_stand()
