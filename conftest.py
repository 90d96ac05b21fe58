"""How the tests run in several processes: `pytest -n 4 --dist loadscope`.

A file's tests stay together, since fixtures are made for a module; what shares a deployment or an
emulator that takes long to start does so, too.

Hypothesis has no clock: how long an example takes tells of the machine, not of the test.

And what is not measured: `@pytest.mark.uncovered` is for tests that run for long what others cover.
"""

import gc
import os
from collections.abc import Generator
from typing import Any

import coverage
import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests.emulators import EMULATORS

TOGETHER = ("tests/e2e/aws", "plugins/streamer-plugin-apigateway")
_IN_CHILDREN = "COVERAGE_PROCESS_CONFIG"  # by which coverage's `patch = subprocess` finds it

_UNCHECKED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
settings.register_profile("streamer", deadline=None, suppress_health_check=_UNCHECKED)
settings.load_profile("streamer")


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives each process a group of tests at a time."""

    def _split_scope(self, nodeid: str) -> str:
        path, _, name = nodeid.partition("::")
        if folder := next((one for one in TOGETHER if path.startswith(f"{one}/")), None):
            return folder
        # A file whose tests all run on several emulators is as many groups.
        emulator = next((one for one in EMULATORS if f"[{one}" in name), "")
        return f"{path}@{emulator}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Have tests grouped as we want it."""
    return Scheduling(config, log)


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
