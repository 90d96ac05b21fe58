"""Stores that plugins put around the store."""

from typing import Any

import pytest

from streamer_core import Settings, Streamer
from streamer_core.errors import ConfigurationError
from streamer_core.markers import hookimpl
from streamer_core.model.connection import Handshake
from streamer_core.model.principal import Principal
from streamer_core.plugins import Found
from streamer_core.ports import Clock, Store, WrappedStore
from streamer_core.testing import ManualClock, MemoryStore, MemoryTransport
from streamer_core.testing.contracts import StoreContract

asked: list[str] = []


class Noting(WrappedStore):
    def __init__(self, inner: Store, name: str) -> None:
        super().__init__(inner)
        self.name = name

    def put_connection(self, connection: Any, **given: Any) -> None:
        asked.append(self.name)
        self.inner.put_connection(connection, **given)


class Outer:
    answer: Any = None

    def __init__(self, _settings: object, _app: object) -> None: ...

    @hookimpl
    def streamer_wrap_store(self, store: Store) -> Any:
        return Noting(store, type(self).__name__)  # type: ignore[abstract]

    @hookimpl
    def streamer_authenticate(self) -> Principal:
        return Principal(user="u")


class Quiet:
    def __init__(self, _settings: object, _app: object) -> None: ...

    @hookimpl
    def streamer_wrap_store(self) -> None: ...


class Inner(Outer): ...


class Wrong(Quiet):
    @hookimpl
    def streamer_wrap_store(self) -> Any:
        return "a store"


class Broken(Quiet):
    @hookimpl
    def streamer_wrap_store(self) -> Any:
        raise OSError("no")


def started(*classes: type) -> tuple[Streamer, MemoryStore]:
    clock = ManualClock()
    store = MemoryStore(clock)
    found = [
        Found(name=f"{place}", value=f"{__name__}:{one.__name__}")
        for place, one in enumerate(classes)
    ]
    app = Streamer(
        Settings.of({}), store=store, transport=MemoryTransport(), clock=clock, found=found
    )
    return app, store


@pytest.fixture(autouse=True)
def _nobody_asked_yet() -> None:
    asked.clear()


def test_the_first_plugins_is_the_outermost() -> None:
    app, store = started(Outer, Quiet, Inner)
    app.connect(Handshake(connection_id="c-1"))
    assert asked == ["Outer", "Inner"]
    assert store.get_connection("c-1") is not None
    assert app.store is app.runtime.store
    app.close()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Wrong, "plugin '1' wraps the store as str; it must be a streamer_core.ports.Store"),
        (Broken, "plugin '1': streamer_wrap_store: OSError: no"),
    ],
)
def test_what_is_no_store_stops_the_start(wrong: type, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        started(Outer, wrong)


class TestAWrappedStore(StoreContract):
    @pytest.fixture
    def open_store(self) -> Any:
        data = MemoryStore(ManualClock()).data

        def opened(clock: Clock) -> Store:
            return WrappedStore(MemoryStore(clock, data))  # type: ignore[abstract]

        return opened
