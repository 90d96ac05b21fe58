"""What goes together where the tests run in several processes: `pytest -n 2 --dist loadgroup`.

A file's tests stay together, since fixtures are made for a module; what shares a deployment or an
emulator that takes long to start does so, too.
"""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent
TOGETHER = ("tests/e2e/aws", "plugins/streamer-plugin-apigateway")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name each test's group."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item: pytest.Item) -> str:
    path = item.path.relative_to(ROOT).as_posix()
    for folder in TOGETHER:
        if path.startswith(f"{folder}/"):
            return folder
    spec = getattr(item, "callspec", None)
    # A file whose tests all run on several emulators is as many groups.
    return f"{path}@{spec.params.get('endpoint') if spec else None}"
