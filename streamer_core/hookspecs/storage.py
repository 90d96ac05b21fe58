"""The store: opened, and wrapped."""

from streamer_core.markers import hookspec
from streamer_core.model.tables import OwnTables
from streamer_core.ports import Clock, Store


@hookspec
def streamer_open_store(name: str, clock: Clock) -> Store | None:
    """Open the store of that name.

    Called: once in each process, at its start: all plugins are made, handlers are imported, the
    transport is open. Not called where the store is handed in, as tests do.
    Answers (provide): every plugin is asked; answer to your own name alone. None: not mine. No
    answer, or two, stop the start and name the setting, or both plugins.

    Args:
        name: the setting `[streamer] store`.
        clock: the time that every rule of the store goes by; do not use another.

    Returns:
        An open store that passes `streamer_core.testing.contracts.StoreContract`.

    Raises:
        ConfigurationError: a setting is wrong; its text should name it. This and any other error
            stop the start.

    Blocks: may, as long as opening takes; nothing is served yet.

    Example:
        ```python
        from streamer_core.markers import hookimpl
        from streamer_core.testing import MemoryStore

        class ScratchPlugin:
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_open_store(self, name, clock):
                return MemoryStore(clock) if name == "scratch" else None
        ```

    Added in 0.1. Implemented by: sqlite, dynamodb.
    """


@hookspec
def streamer_open_tenant_store(name: str, clock: Clock, tables: OwnTables) -> Store | None:
    """Open a store of a tenant's own, beside the one of that name.

    Called: once in each process for each tenant that has such a store, right after the other was
    opened, by the plugin that knows them, through `Streamer.open_tenant_store`.
    Answers (provide): every plugin is asked; answer to your own name alone. None: not mine. No
    answer, or two, stop the start and name the setting, or both plugins.

    Args:
        name: the setting `[streamer] store`.
        clock: the time that every rule of the store goes by.
        tables: whose it is, and where.

    Returns:
        An open store that shares nothing with the other one but settings and, if need be, the
        client; it passes `streamer_core.testing.contracts.StoreContract`.

    Raises:
        ConfigurationError: the tables cannot be the tenant's own, as where they are the shared
            ones. This and any other error stop the start.

    Blocks: may; nothing is served yet. Make no call: a tenant's account that does not answer must
    keep nobody else from starting.

    Example:
        ```python
        from streamer_core.markers import hookimpl
        from streamer_core.testing import MemoryStore

        class ScratchPlugin:
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_open_tenant_store(self, name, clock, tables):
                return MemoryStore(clock) if name == "scratch" else None
        ```

    Added in 0.1. Implemented by: dynamodb, sqlite.
    """


@hookspec
def streamer_wrap_store(store: Store) -> Store | None:
    """Put a store of your own around the store.

    Called: once in each process, right after the store was opened, or handed in. All that this
    process does with its store goes through what is given here: the engine, commands, plugins.
    Answers (provide): every plugin is asked, the last one first, each with what the one after it
    gave: the first plugin's is the outermost. None: leave it as it is.

    Args:
        store: the store so far.

    Returns:
        A store that closes the one given when it is closed. `WrappedStore` hands on every verb;
        override those that shall do more. `streamer_core.scope.current_tenant` says for whom the
        engine works as it calls.

    Raises:
        ConfigurationError: this and any other error stop the start.

    Blocks: may, as long as it takes; nothing is served yet. The verbs: microseconds, no I/O.

    Example:
        ```python
        from collections import Counter
        from streamer_core.markers import hookimpl
        from streamer_core.ports import WrappedStore

        class Counting(WrappedStore):
            def __init__(self, inner, reads):
                super().__init__(inner)
                self.reads = reads

            def get(self, ref):
                self.reads["get"] += 1
                return self.inner.get(ref)

        class ReadsPlugin:
            def __init__(self, settings, app):
                self.reads = Counter()

            @hookimpl
            def streamer_wrap_store(self, store):
                return Counting(store, self.reads)
        ```

    Added in 0.1. Implemented by: tenancy.
    """
