"""The application: settings, plugins and engine, put together once; what every entry calls."""

import gc
import os
import random
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from streamer_core import defaults, implementations, plugins
from streamer_core import freeze as frozen_file
from streamer_core.defaults import Defaults
from streamer_core.engine import connect, deliver, receive
from streamer_core.engine.pulse import Pulse
from streamer_core.engine.received import Received
from streamer_core.engine.runtime import Runtime
from streamer_core.engine.submit import Storing
from streamer_core.errors import ConfigurationError
from streamer_core.handlers import MARK, declared
from streamer_core.hooks import collect, observe
from streamer_core.installed import HANDLERS, Entry, entry_points
from streamer_core.model.call import Health, Outgoing
from streamer_core.model.connection import Connection, Handshake
from streamer_core.model.handler import HandlerSpec, TopicSpec
from streamer_core.model.request import Request
from streamer_core.model.tables import OwnTables
from streamer_core.ports import Change, Clock, Store, SystemClock, Transport
from streamer_core.registry import Registry
from streamer_core.settings import Settings

if TYPE_CHECKING:
    from streamer_core.engine.sweep import Swept
    from streamer_core.engine.work import Ran

_DRAIN_STEP_S = 0.02


class Streamer:
    """One process's application. Made by `start`, ended by `close`.

    Attributes:
        settings: as loaded.
        plugins: the loaded plugins' names, in the order they are asked.
        registry: handlers and topics; empty where they were not loaded.
        store, transport, clock: the ports.
        runtime: what the engine works with.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store | None = None,
        transport: Transport | None = None,
        clock: Clock | None = None,
        found: Sequence[plugins.Found] | None = None,
        load_handlers: bool = True,
    ) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self._modules: list[str] | None = None
        self._found = self._resolved() if found is None else list(found)
        # What was frozen was checked then: to see all signatures and schemas takes its time.
        checked = settings.core.frozen is not None
        self.hooks, self.plugins = plugins.manager_of(self._found, settings, self, checked=checked)
        self.registry = Registry(self._specs() if load_handlers else ())
        if load_handlers:
            self._check_authenticator()
        if not checked:
            for registered in self.registry:
                registered.check()
        self.transport = transport or self._opened_transport()
        try:
            self.store = self._wrapped(store or self._opened_store())
        except BaseException:
            self.transport.close()
            raise
        core = Defaults(settings.core, self.transport, self.clock)
        plugins.register(self.hooks, defaults.NAME, core, "streamer-core", checked=checked)
        implementations.check_pending(self.hooks)
        self.runtime = Runtime(
            settings=settings.core,
            store=self.store,
            transport=self.transport,
            clock=self.clock,
            hooks=self.hooks,
            registry=self.registry,
            worker=_worker_name(self.clock),
            pulse=Pulse(self.clock),
        )

    @classmethod
    def start(cls, settings: Settings | None = None, **parts: Any) -> "Streamer":
        """Load everything and begin.

        Args:
            settings: left out: from the file found here or in a parent folder.
            parts: `store`, `transport`, `clock` to use instead of those the settings name;
                `found`: the plugins to load instead of those installed; `load_handlers=False` for a
                process that runs none.

        Raises:
            ConfigurationError: something is wrong; the text says where and what to write.
        """
        with _collecting_nothing():
            app = cls(settings or Settings.load(), **parts)
            try:
                plugins.start_all(app.hooks, app)
            except BaseException:
                app.close()
                raise
            return app

    # -- what the entries call

    def connect(self, handshake: Handshake) -> Connection:
        """Let a connection in, or raise Refused with the HTTP status to answer."""
        return connect.connect(self.runtime, handshake)

    def receive(self, connection: Connection | None, data: bytes) -> Received:
        """Take one text frame; never raises for what a client sends.

        None for a connection that is not known any more: the answer closes it.
        """
        return receive.receive(self.runtime, connection, data)

    def take(self, connection: Connection, data: bytes) -> Received | Storing:
        """Take one text frame as `receive` does, but leave what must be stored to `store_all`."""
        return receive.take(self.runtime, connection, data)

    def store_all(self, those: Sequence[Storing]) -> list[Received]:
        """Store requests that were taken, in one write, and answer each."""
        return receive.store(self.runtime, those)

    def disconnect(self, connection_id: str, reason: str = "") -> None:
        """Forget a connection; its requests go on."""
        connect.disconnect(self.runtime, connection_id, reason)

    def dismiss(self, connection_id: str, reason: str) -> None:
        """Say goodbye on a connection, close it, and forget it; its requests go on."""
        deliver.dismiss(self.runtime, connection_id, reason)

    def work(self) -> bool:
        """Claim the next due request and run it in this thread; False where there was none."""
        from streamer_core.engine import work

        return work.work(self.runtime)

    def run(self, ref: str) -> bool:
        """Claim one request and run it in this thread; False where it is not to be had now."""
        from streamer_core.engine import work

        return work.run_one(self.runtime, ref)

    def claim(self, at_most: int) -> Sequence[Request]:
        """Claim due requests for this worker to `execute`, or to `give_back`."""
        from streamer_core.engine import work

        return work.claim(self.runtime, at_most)

    def execute(self, request: Request) -> "Ran":
        """Run a claimed request in this thread; what became of it is to be handed to `settle`."""
        from streamer_core.engine import work

        return work.run(self.runtime, request)

    def settle(self, those: Sequence["Ran"]) -> None:
        """Write what became of requests: one write for all that have ended."""
        from streamer_core.engine import work

        work.settle_all(self.runtime, those)

    def give_back(self, requests: Sequence[Request]) -> None:
        """Let other workers have what was claimed here and will not be run."""
        from streamer_core.engine import work

        work.give_back(self.runtime, requests)

    def wake(self, change: Change) -> None:
        """Act on a record of the change feed."""
        from streamer_core.engine import dispatch

        dispatch.wake(self.runtime, change)

    def send(self, event: Outgoing, connections: Sequence[str]) -> None:
        """Send an event that whoever published it has handed over; a busy connection misses it."""
        from streamer_core.engine import deliver

        deliver.send(self.runtime, event, connections)

    def park(self, record: Mapping[str, Any], error: str) -> bool:
        """Have a record of a stream kept that cannot be read, and why; False where nobody did."""
        from streamer_core.engine import dispatch

        return dispatch.park(self.runtime, record, error)

    def sweep(self) -> "Swept":
        """Make a round of the sweeper."""
        from streamer_core.engine import sweep

        return sweep.sweep(self.runtime)

    def cancel(self, ref: str) -> Request | None:
        """Cancel a request as its operator; gives the record after it."""
        from streamer_core.engine import requests

        return requests.cancel_stored(self.runtime, ref)

    def redrive(self, ref: str, *, delay_ms: int = 0) -> Request:
        """Start a failed request again as a new one, `redriven_from` it, due after a delay.

        Whoever follows the old one is told when the new one begins, and follows that. Done twice,
        it is started once.

        Raises:
            NotFound: there is no such request.
            Conflict: it has not failed.
        """
        from streamer_core.engine import redrive

        return redrive.redrive(self.runtime, ref, delay_ms=delay_ms)

    def redrive_record(self, record: Request, *, delay_ms: int = 0) -> Request:
        """Do the same for a request that the store has forgotten, given its record.

        Raises:
            Conflict: it has not failed.
        """
        from streamer_core.engine import redrive

        return redrive.redrive_record(self.runtime, record, delay_ms=delay_ms)

    def zombies(self) -> int:
        """Count threads whose call was settled without them."""
        return sum(one.is_zombie for one in self.runtime.pulse.running)

    def health(self) -> list[Health]:
        """Ask the store and every plugin how they are; it takes a second at most."""
        from streamer_core.engine import health

        return health.ask(self.runtime)

    def drain(self, timeout_s: float) -> None:
        """Let running handlers end; ask them to stop at half time; give back what is left.

        What is given back was asked to stop, too, however short the time: nobody waits for it, but
        a thread that goes on holds up its process.
        """
        self.runtime.draining.set()
        began = self.clock.monotonic()
        while (running := self.runtime.pulse.running) and self._within(began, timeout_s):
            if not self._within(began, timeout_s / 2):
                for one in running:
                    one.stop("drain")
            time.sleep(_DRAIN_STEP_S)
        for one in self.runtime.pulse.running:
            one.stop("drain")
            one.inside(one.release)

    def flush(self) -> None:
        """Have plugins send on what they gathered: the process may be frozen after it."""
        observe(self.hooks, "streamer_on_flush")

    def rename(self) -> None:
        """Take another name as a worker: this process is a copy, one of many of one snapshot.

        Python's random numbers begin anew, too: tracers make ids of them, and decide by them.
        """
        self.runtime.worker = _worker_name(self.clock)
        random.seed()

    def close(self) -> None:
        """End: plugins first, then the pulse, the transport and the store."""
        self.flush()
        observe(self.hooks, "streamer_shutdown", app=self)
        self.runtime.pulse.close()
        self.transport.close()
        self.store.close()

    def __enter__(self) -> "Streamer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def freeze(self, path: Path) -> None:
        """Write what this start resolved, for a later one to begin from."""
        by_name = {found.name: found for found in self._found}
        frozen_file.write(
            path,
            plugins=[by_name[name] for name in self.plugins],
            handlers=self._handler_modules(),
            settings=self.settings,
        )

    # -- putting it together

    def _within(self, began: float, seconds: float) -> bool:
        return self.clock.monotonic() - began < seconds

    @cached_property
    def _entries(self) -> list[Entry]:
        return entry_points()

    def _resolved(self) -> list[plugins.Found]:
        frozen = self.settings.core.frozen
        if frozen is None:
            return plugins.discover(self.settings.core.plugins, self._entries)
        found, self._modules = frozen_file.read(self.settings.root / frozen, self.settings)
        wanted = self.settings.core.plugins
        from_file = wanted == self.settings.named  # which the file was frozen from
        if wanted is not None and not from_file and set(wanted) != {one.name for one in found}:
            raise ConfigurationError(
                f"{frozen}: it loads other plugins than STREAMER_PLUGINS names; "
                f"run `streamer freeze` again, or start without the frozen file"
            )
        return found

    def _handler_modules(self) -> list[str]:
        if self._modules is not None:
            return self._modules
        installed = sorted(entry.value for entry in self._entries if entry.group == HANDLERS)
        return list(dict.fromkeys([*installed, *self.settings.core.handlers]))

    def _specs(self) -> Iterable[HandlerSpec | TopicSpec]:
        root = str(self.settings.root)
        if self.settings.core.handlers and root not in sys.path:
            sys.path.insert(0, root)
        sources = [_imported(module) for module in self._handler_modules()]
        for plugin, brought in self._provided("streamer_register_handlers"):
            sources.extend(_checked_sources(plugin, brought))
        return [spec for source in sources for spec in declared(source)]

    def _provided(self, hook: str, **arguments: Any) -> list[tuple[str, Any]]:
        """Ask those that provide; one that fails stops the start, and is named."""

        def stop(plugin: str, error: Exception) -> None:
            said = str(error) if isinstance(error, ConfigurationError) else plugins.cause(error)
            raise ConfigurationError(f"plugin {plugin!r}: {hook}: {said}") from error

        return collect(self.hooks, hook, on_error=stop, **arguments)

    def _check_authenticator(self) -> None:
        if not self.hooks.hook.streamer_authenticate.get_hookimpls():
            raise ConfigurationError(
                "no plugin authenticates clients; try: pip install streamer-plugin-jwt, "
                "or streamer-plugin-local for development"
            )

    def open_tenant_store(self, tables: OwnTables) -> Store:
        """Open a store of a tenant's own, for a plugin that keeps tenants in different places.

        Raises:
            ConfigurationError: the store cannot have such tables; the text names the tenant.
        """
        name = self.settings.core.store
        given = {"name": name, "clock": self.clock, "tables": tables}
        answers = self._provided("streamer_open_tenant_store", **given)
        if not answers:
            raise ConfigurationError(
                f"the store {name!r} has no tables of a tenant's own, as {tables.tenant!r} is to "
                f"have; take its section out, or use another store"
            )
        store: Store = _only(answers, "store", name, Store)
        return store

    def _opened_store(self) -> Store:
        name = self.settings.core.store
        answers = self._provided("streamer_open_store", name=name, clock=self.clock)
        store: Store = _only(answers, "store", name, Store)
        return store

    def _wrapped(self, store: Store) -> Store:
        try:
            return plugins.wrap_store(self.hooks, store)
        except BaseException:
            store.close()
            raise

    def _opened_transport(self) -> Transport:
        name = self.settings.core.transport
        answers = self._provided("streamer_open_transport", name=name)
        transport: Transport = _only(answers, "transport", name, Transport)
        return transport


@contextmanager
def _collecting_nothing() -> Iterator[None]:
    """Look for no garbage while a start makes what stays: modules, models, plugins."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _worker_name(clock: Clock) -> str:
    return f"{_host()}:{os.getpid()}:{clock.new_id()[:6]}"


def _host() -> str:
    if hasattr(os, "uname"):  # to import the socket module costs a start 5 ms
        return os.uname().nodename
    import socket  # pragma: no cover - Windows

    return socket.gethostname()  # pragma: no cover


def _only(answers: Sequence[tuple[str, Any]], kind: str, name: str, port: type) -> Any:
    if not answers:
        raise ConfigurationError(
            f"[streamer] {kind} = {name!r}: no loaded plugin opens it; "
            f"try: pip install streamer-plugin-{name}"
        )
    if len(answers) > 1:
        both = " and ".join(repr(plugin) for plugin, _ in answers)
        raise ConfigurationError(f"plugins {both} both open the {kind} {name!r}; uninstall one")
    plugin, answer = answers[0]
    if not isinstance(answer, port):
        raise ConfigurationError(
            f"plugin {plugin!r} opens the {kind} {name!r} as {type(answer).__name__}; "
            f"it must be a streamer_core.ports.{port.__name__}"
        )
    return answer


def _checked_sources(plugin: str, brought: Any) -> list[Any]:
    sources = list(brought) if isinstance(brought, Iterable) else [brought]
    for source in sources:
        if not isinstance(source, ModuleType) and not hasattr(source, MARK):
            raise ConfigurationError(
                f"plugin {plugin!r}: streamer_register_handlers gives {source!r:.80}; "
                f"give modules, or functions that carry @handler or @topic"
            )
    return sources


def _imported(module: str) -> Any:
    try:
        return import_module(module)
    except ConfigurationError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigurationError(
            f"handlers module {module!r} cannot be imported: {plugins.cause(error)}"
        ) from error
