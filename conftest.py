"""What goes together where the tests run in several processes: `pytest -n 2 --dist loadgroup`.

A file's tests stay together, since fixtures are made for a module; what shares a deployment or an
emulator that takes long to start does so, too.

Hypothesis has no clock: how long an example takes tells of the machine, not of the test.

And what is not measured: `@pytest.mark.uncovered` is for tests that run for long what others cover.
"""

import gc
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import coverage
import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent
TOGETHER = ("tests/e2e/aws", "plugins/streamer-plugin-apigateway")
_IN_CHILDREN = "COVERAGE_PROCESS_CONFIG"  # by which coverage's `patch = subprocess` finds it

_UNCHECKED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
settings.register_profile("streamer", deadline=None, suppress_health_check=_UNCHECKED)
settings.load_profile("streamer")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name each test's group."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", "uncovered: coverage is not measured while it runs")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leave what the collection has made out of all garbage collections that come."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Stop measuring, here and in processes that it starts, for as long as a test runs that says
    so, its fixtures included: it takes half as long then."""
    measuring = coverage.Coverage.current()
    if measuring is None or item.get_closest_marker("uncovered") is None:
        return (yield)
    measuring.stop()
    in_children = os.environ.pop(_IN_CHILDREN, None)
    try:
        return (yield)
    finally:
        if in_children is not None:
            os.environ[_IN_CHILDREN] = in_children
        measuring.start()


def _group(item: pytest.Item) -> str:
    path = item.path.relative_to(ROOT).as_posix()
    for folder in TOGETHER:
        if path.startswith(f"{folder}/"):
            return folder
    spec = getattr(item, "callspec", None)
    # A file whose tests all run on several emulators is as many groups.
    return f"{path}@{spec.params.get('endpoint') if spec else None}"
