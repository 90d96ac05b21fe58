"""What the plugins' tests share: every store there is, and both worlds."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from pynamodb.connection import Connection
from streamer_plugin_dynamodb.database import connect
from streamer_plugin_dynamodb.store import DynamoStore
from streamer_plugin_sqlite import SqliteStore

from streamer_core.ports import Clock, Store
from tests.emulators import CREDENTIALS, EMULATORS, REGION, ministack, moto
from tests.emulators.dynamodb import make_tables

OpenStore = Callable[[Clock], Store]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure no coverage of what others cover: on emulators what runs on SQLite as well, and in
    the processes of both worlds what each plugin's own tests call here."""
    for item in items:
        store = item.callspec.params.get("open_store") if hasattr(item, "callspec") else None
        if store in EMULATORS or "world" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.uncovered)


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Give a function that gives the address of `moto` or `ministack`; each runs from its first use
    to the end of the tests."""
    with ExitStack() as stack:

        @cache
        def address(name: str) -> str:
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            for variable, value in CREDENTIALS.items():
                patch.setenv(variable, value)
            running = moto() if name == "moto" else ministack(tmp_path_factory.mktemp(name))
            return stack.enter_context(running)

        yield address


@pytest.fixture(scope="session")
def connection_to(aws: Callable[[str], str]) -> Callable[[str], Connection]:
    """Give a function that gives a client of an emulator, made once: that takes long."""
    return cache(lambda name: connect(region=REGION, endpoint=aws(name)))


@pytest.fixture(params=["sqlite", *EMULATORS])
def open_store(
    request: pytest.FixtureRequest, tmp_path: Path, connection_to: Callable[[str], Connection]
) -> OpenStore:
    """Give a function that opens a store: at each call the same data, as another process would."""
    if request.param == "sqlite":
        return partial(SqliteStore, tmp_path / "streamer.db")
    return partial(DynamoStore, make_tables(connection_to(request.param)))


@pytest.fixture(params=["local", "lambda"])
def world(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Give settings of `[plugins.local]`, for `write_project`: messages answered by the gateway's
    workers, or by the Lambda entries from API Gateway's events."""
    return {"as_lambda": request.param == "lambda"}
