"""Every extension point, in the order a message meets them.

Five families, told apart by how answers combine:

- **provide**: collected; a provider answers only to its own name, and two for one name are refused.
- **gate**: all are asked; any typed error refuses; None passes.
- **decide**: the first answer that is not None wins; the core's own comes last; a typed error means
  "mine, and no".
- **surround**: an onion around the core's own implementation (`wrapper=True` generators).
- **observe**: told afterwards, each by itself: one that fails is logged and silences nobody.

All hooks are plain functions, called in the order of the plugins' manifests.

True of all of them, and not said again below:

- An implementation takes the arguments it wants, by name, and may leave out the others.
- Hooks are called from any thread, several at once.
- Times are Unix milliseconds, durations milliseconds, sizes bytes.
- The pulse is one thread in each process, beside all running handlers: it sends their progress and
  extends their leases. What holds it longer than `lease` (30 s) costs every one of them its lease.
- An example is a whole plugin, loaded as it stands by the tests.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from streamer_core.markers import hookspec
from streamer_core.model.call import Call, Health, Metric, Outgoing, Panel, Push, Resource
from streamer_core.model.connection import Connection, Handshake
from streamer_core.model.counter import Count
from streamer_core.model.handler import HandlerSpec
from streamer_core.model.message import Message, Mode
from streamer_core.model.policy import Verdict
from streamer_core.model.principal import Principal
from streamer_core.model.request import Failure, Request, Status
from streamer_core.model.tables import OwnTables
from streamer_core.model.update import Update
from streamer_core.ports import Change, Clock, Delivery, Enqueued, Store, Transport

# -- provide ---------------------------------------------------------------------------------------


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
def streamer_open_transport(name: str) -> Transport | None:
    """Open the transport of that name.

    Called: once in each process that sends, at its start, before the store is opened. Not called
    where the transport is handed in: a gateway's workers bring their own way to it.
    Answers (provide): every plugin is asked; answer to your own name alone. None: not mine. No
    answer, or two, stop the start and name the setting, or both plugins.

    Args:
        name: the setting `[streamer] transport`.

    Returns:
        A transport that passes `streamer_core.testing.contracts.TransportContract`.

    Raises:
        ConfigurationError: a setting is wrong. This and any other error stop the start.

    Blocks: may, as long as opening takes. Do not wait for a first client here.

    Example:
        ```python
        from streamer_core.markers import hookimpl
        from streamer_core.testing import MemoryTransport

        class ScratchPlugin:
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_open_transport(self, name):
                return MemoryTransport() if name == "scratch" else None
        ```

    Added in 0.1. Implemented by: local, apigateway.
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


@hookspec
def streamer_register_handlers() -> Iterable[Any]:
    """Bring handlers and topics: modules, or functions that carry a decorator.

    Called: once in each process that runs handlers, after the modules of the `streamer.handlers`
    entry points and of `[streamer] handlers` were imported; no store or transport is open yet.
    Answers (provide): every plugin is asked, and all that they bring is registered. None: nothing.
    An action or topic that two bring stops the start and names both modules.

    Returns:
        Modules whose `@handler` and `@topic` functions are to be found, such functions, or both.

    Raises:
        ConfigurationError: this and any other error stop the start.

    Blocks: may import; keep it short, since every cold start waits for it.

    Example:
        ```python
        from streamer_core import handler
        from streamer_core.markers import hookimpl

        @handler("echo")
        def echo(payload: dict) -> dict:
            return payload

        class EchoPlugin:
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_register_handlers(self):
                return [echo]
        ```

    Added in 0.1. Implemented by: tenancy.
    """


@hookspec
def streamer_register_commands(cli: Any) -> None:
    """Add commands to the `streamer` command line.

    Called: once, when `streamer --help` or a command that is not built in is asked for. The plugin
    is made with an `app` that has `settings` and `clock` alone: nothing is open.
    Answers (provide): every plugin may add. A name that is taken is refused: use the plugin's own,
    and a group `streamer x …` where there are several commands.

    Args:
        cli: the `click.Group` to add to; click is there, by the extra `streamer-core[cli]`.

    Raises: any error is shown, and the other plugins' commands work.

    Blocks: must not; import what a command needs inside it.

    Example:
        ```python
        from streamer_core.markers import hookimpl

        class ClockPlugin:
            def __init__(self, settings, app):
                self.clock = app.clock

            @hookimpl
            def streamer_register_commands(self, cli):
                import click

                @cli.command("time", help="Print the time that requests are stamped with.")
                def time():
                    click.echo(self.clock.now())
        ```

    Added in 0.1. Implemented by: local (`streamer dev`), dynamodb (`streamer tables`), jwt
    (`streamer token`, `streamer jwt`), circuitbreaker (`streamer circuits`), ratelimit (`streamer
    ratelimit`), dlq (`streamer dlq`), cloudwatch (`streamer cloudwatch`), tenancy (`streamer
    tenants`).
    """


@hookspec
def streamer_register_panels() -> Iterable[Panel]:
    """Bring tables for the console.

    Called: at each look at the console, in the gateway's process.
    Answers (provide): every plugin is asked, all panels are shown. None: none.

    Returns:
        `Panel`s. `rows` is called right after: a list of rows, each a map of column to text; the
        first names the columns. No secrets: an operator reads them.

    Raises: the class of what the hook or `rows` raises is shown in its table's place.

    Blocks: within a second, `rows` included: somebody is looking at an empty page.

    Example:
        ```python
        from streamer_core.markers import hookimpl
        from streamer_core.model.call import Panel

        class HandlersPlugin:
            def __init__(self, settings, app):
                self.app = app

            def rows(self):
                return [{"action": one.spec.action} for one in self.app.registry]

            @hookimpl
            def streamer_register_panels(self):
                return [Panel(name="handlers", title="Handlers", rows=self.rows)]
        ```

    Added in 0.1. Implemented by: circuitbreaker, dlq.
    """


@hookspec
def streamer_lambda_entries(app: Any) -> Mapping[str, Callable[[Mapping[str, Any], Any], Any]]:
    """Bring the functions that a cloud calls with its events, to be tried on this machine.

    Called: once in each process that answers messages, by a gateway that raises a cloud's events
    instead of calling the application: `streamer dev --lambda`.
    Answers (provide): exactly one plugin may bring them; none or two stop that gateway's start.

    Args:
        app: the `streamer_core.Streamer` that the functions shall work with.

    Returns:
        Functions of event and context, under the names `connect`, `disconnect` and `router`.

    Raises:
        ConfigurationError: the plugin cannot bring them; this and any other error stop the start.

    Blocks: must not.

    Example:
        ```python
        from streamer_core.markers import hookimpl

        class EchoCloudPlugin:
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_lambda_entries(self, app):
                return {
                    "connect": lambda event, context: {"statusCode": 200},
                    "disconnect": lambda event, context: {"statusCode": 200},
                    "router": lambda event, context: {"statusCode": 200, "body": event["body"]},
                }
        ```

    Added in 0.1. Implemented by: apigateway.
    """


@hookspec
def streamer_startup(app: Any) -> None:
    """Begin: everything is loaded, checked and open, and no message has come yet.

    Called: once in each process that serves; not for a command of the command line. `app.store`,
    `app.transport`, `app.registry` and `app.runtime` are there, as they are not yet when the plugin
    is made.
    Answers (observe): all are told, in order; but here the first error stops the start, and
    `streamer_shutdown` follows for every plugin, those not yet told included.

    Args:
        app: the `streamer_core.Streamer`; keep it if you need it later.

    Raises:
        ConfigurationError: the plugin cannot work; its text should say what to change. This and any
            other error stop the start.

    Blocks: may, a few seconds at most. On Lambda it is part of the cold start; a thread begun here
    is frozen between events.

    Example:
        ```python
        from streamer_core.errors import ConfigurationError
        from streamer_core.markers import hookimpl

        class PickyPlugin:
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_startup(self, app):
                if app.settings.core.allow_query_token:
                    raise ConfigurationError("[streamer] allow_query_token must be off here")
        ```

    Added in 0.1. Implemented by: circuitbreaker, otel, xray, cloudwatch (begins to write at each
    interval).
    """


@hookspec(firstresult=True)
def streamer_authenticate(handshake: Handshake) -> Principal | None:
    """Say who it is that connects, or that shows a new token on a live connection.

    Called: once for each connection, first of all; and once for each `streamer.authenticate`, where
    `handshake.renewing` is the principal in force and only token, id and address are set.
    Answers (decide): the first principal wins. None: not mine, ask the next; nobody's: 401. A
    principal that has expired is 401 too. A renewal may not change user or tenant. A start of a
    process with handlers is refused where no plugin has this hook.

    Args:
        handshake: connection id, bearer token as found, headers (lower case), query, address. It
            is all the client's word.

    Returns:
        The principal. Requests, ids and topics belong to its tenant and user from here on.

    Raises:
        Unauthorized, Forbidden, RateLimited, Unavailable: mine, and no: HTTP 401, 403, 429, 503
            before the upgrade; on renewal an `error` message. Any other error is logged, and
            refuses with 503, on renewal with `INTERNAL_ERROR`.

    Blocks: may, while the client waits: aim for under 100 ms, cache keys, bound every fetch.

    Example:
        ```python
        import hmac
        from streamer_core.errors import Unauthorized
        from streamer_core.markers import hookimpl
        from streamer_core.model.principal import Principal

        class OneKeyPlugin:
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_authenticate(self, handshake):
                if handshake.token is None or not handshake.token.startswith("key-"):
                    return None
                if not hmac.compare_digest(handshake.token.encode(), b"key-of-ada"):
                    raise Unauthorized("The key is not known")
                return Principal(user="ada", scopes=frozenset({"reports"}))
        ```

    Added in 0.1. Implemented by: jwt, local (without another authenticator, on
    loopback).
    """


@hookspec(firstresult=True)
def streamer_receive(request: Message, connection: Connection, take: Callable[[], Any]) -> Any:
    """Take a client's request: through the gates, and answer it or give what is to be stored.

    Called: once for each message that names a handler, decoded, before `streamer_authorize`. A sync
    request is run inside. One that is queued is stored after it, with others that came along:
    `streamer_enqueue`. Not for the framework's own actions, nor while the process drains.
    Answers (surround): write a `wrapper=True` generator around `yield`; the core calls `take`
    inside.

    Args:
        request: the message; its payload is the client's data: do not log it.
        connection: where it comes from.
        take: takes it. For the core's implementation: do not call it.

    Returns:
        The core's own answer. A wrapper gives back what `yield` gave it.

    Raises:
        Refused: the client's `error`; whatever fails inside has become one, and is logged. Any
            other error, of a wrapper, is logged and refuses with `INTERNAL_ERROR`.

    Blocks: must not: the answer waits for it.

    Example:
        ```python
        from streamer_core.markers import hookimpl

        class SlowestPlugin:
            def __init__(self, settings, app):
                self.clock, self.slowest = app.clock, {}

            @hookimpl(wrapper=True)
            def streamer_receive(self, request):
                began = self.clock.monotonic()
                try:
                    return (yield)
                finally:
                    took = self.clock.monotonic() - began
                    self.slowest[request.action] = max(took, self.slowest.get(request.action, 0))
        ```

    Added in 0.1. Implemented by: core defaults, otel, xray.
    """


@hookspec
def streamer_authorize(principal: Principal, verb: str, resource: Resource) -> None:
    """Refuse what the principal may not do, by raising.

    Called: before each of these verbs, once where nothing else is said:

    - `call`: a handler's action; also for every handler when a client lists `streamer.actions`;
    - `priority`: besides `call`, where the client asks for `high`;
    - `status`, `cancel`, `resume`, `subscribe`: a stored request, once it is known to be the
      principal's own or its tenant's admin's; twice for the last two;
    - `subscribe`, `publish`: a topic, once its rule has let a subscriber in;
    - `admin`: the details of `streamer.health`, for whoever operates the installation.

    Answers (gate): every plugin is asked until one raises. None: nothing against it. A yes cannot
    undo another's no, nor open what the core keeps to the owner.

    Args:
        principal: who asks.
        verb: one of the words above; pass those you do not know.
        resource: `kind` (`action`, `request`, `topic`), `name`, and the handler, topic pattern,
            record or message, where there is one.

    Raises:
        Forbidden, or another Refused: the client's `error`; `NotFound` hides that it exists. From
            `publish` it reaches the handler. Any other error is logged and refuses with
            `INTERNAL_ERROR`.

    Blocks: should not: each message waits for it. No side effects; listing asks too.

    Example:
        ```python
        from streamer_core.errors import Forbidden
        from streamer_core.markers import hookimpl

        class ReadOnlyPlugin:
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_authorize(self, principal, verb):
                if verb == "cancel" and not principal.may("requests:cancel"):
                    raise Forbidden("Cancelling needs the scope requests:cancel")
        ```

    Added in 0.1. Implemented by: core defaults (scopes, priority, admin).
    """


@hookspec
def streamer_limit(principal: Principal, connection: Connection, request: Message | None) -> None:
    """Refuse what comes too fast, by raising.

    Called: once for each connection, authenticated and not yet stored; once for each message with a
    known action: the framework's own first of all, a handler's after `streamer_authorize` and
    before its payload is looked at. Frames that cannot be decoded and unknown actions do not get
    here.
    Answers (gate): every plugin is asked until one raises; those before it have counted already.
    None: let it pass.

    Args:
        principal: who sends.
        connection: where it comes from; at connecting, as it would be stored.
        request: the message, `size` bytes long; None for a connection.

    Raises:
        RateLimited: with `retry_after_ms` where it is known: 429 for a connection, else the
            client's `error`, after which `close` ends the connection. Other Refused likewise; any
            other error is logged and refuses with `INTERNAL_ERROR`, a StoreError with
            `STORAGE_ERROR`: catch it to let pass.

    Blocks: one round trip to the store at most.

    Example:
        ```python
        from streamer_core.errors import RateLimited
        from streamer_core.markers import hookimpl
        from streamer_core.model.counter import Count
        from streamer_core.model.ids import tenant_key

        class TenASecondPlugin:
            def __init__(self, settings, app):
                self.app = app

            @hookimpl
            def streamer_limit(self, principal):
                key = tenant_key("ten", principal.tenant, principal.user)
                taken = self.app.store.count([Count(key=key, limit=10, refill_per_s=10)])
                if not taken.accepted:
                    raise RateLimited("Too many messages", retry_after_ms=taken.retry_after_ms)
        ```

    Added in 0.1. Implemented by: jwt (revoked tokens), ratelimit, tenancy.
    """


@hookspec
def streamer_admit(
    principal: Principal,
    connection: Connection,
    request: Message | None,
    handler: HandlerSpec | None,
    mode: Mode | None,
) -> Sequence[Count] | None:
    """Refuse what is over an agreed amount, by raising, or give counts to settle with it.

    Called: once for each connection, after `streamer_limit`; once for each request of a handler,
    the payload valid, after `streamer_route`. Repeats of a stored request are asked for too.
    Answers (gate): every plugin is asked until one raises; all counts are gathered. None: nothing
    against it, nothing to count.

    Args:
        principal: who sends.
        connection: where it comes from.
        request, handler, mode: the message, its handler's specification, how it will be answered;
            stored where that is async or the handler idempotent. None for a connection.

    Returns:
        Counts, their keys as of `tenant_key`. Those that `settles` are applied once, by the write
        that ends the request or forgets the connection: those below zero, and those `per` second
        or update. The others are taken in the write that stores it: all have room, or nothing is
        stored and the client gets `QUOTA_EXCEEDED`; a repeat takes nothing. For a request that is
        not stored they are applied before it runs and at its end: a crash in between leaves the
        first. For a connection at least one is to be taken, or none settles.

    Raises:
        QuotaExceeded, or another Refused: 429 for a connection, else the client's `error`. Any
            other error is logged and refuses with `INTERNAL_ERROR`.

    Blocks: one round trip to the store at most; better none, by giving counts.

    Example:
        ```python
        from streamer_core.markers import hookimpl
        from streamer_core.model.counter import Count
        from streamer_core.model.ids import tenant_key

        class FiveAtOncePlugin:              # at most five unfinished requests a user
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_admit(self, principal, request):
                if request is None:
                    return None
                key = tenant_key("open", principal.tenant, principal.user)
                return [Count(key=key, limit=5), Count(key=key, amount=-1)]
        ```

    Added in 0.1. Implemented by: tenancy (quotas, usage).
    """


@hookspec(firstresult=True)
def streamer_route(request: Message, handler: HandlerSpec) -> Mode | None:
    """Decide whether a request is answered at once or queued.

    Called: once for each request that passed the gates; and for every handler when a client lists
    `streamer.actions`, with a message that has no payload.
    Answers (decide): the first mode wins. None: not mine. The core, last: the client's
    `options.mode`; a delay is async; the handler's `mode`; async where `estimated` is over
    `async_threshold`.

    Args:
        request: the message; payload valid.
        handler: its specification.

    Returns:
        `Mode.SYNC` or `Mode.ASYNC`. A sync request with a delay, or with an estimate over
        `sync_limit`, is refused with `VALIDATION_ERROR`, whoever decided.

    Raises:
        Refused: the client's `error`. Any other error is logged and refuses with `INTERNAL_ERROR`.

    Blocks: must not; decide from what is at hand.

    Example:
        ```python
        from streamer_core.markers import hookimpl
        from streamer_core.model.message import Mode

        class BigIsSlowPlugin:               # whatever the handler's estimate
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_route(self, request):
                return Mode.ASYNC if request.size > 10_000 else None
        ```

    Added in 0.1. Implemented by: core defaults.
    """


@hookspec
def streamer_metadata(request: Request) -> Mapping[str, str] | None:
    """Give metadata that a new request carries from here on.

    Called: once for each request about to be stored: one that was taken, inside `streamer_receive`;
    or a dead letter's redrive, whose `redriven_from` is set and whose metadata are the old one's. A
    repeat is asked for too. Not for a sync request that is not stored.
    Answers (provide): every plugin is asked. What they give is added to the client's own, and
    replaces what has the same name; of two plugins the first in order wins. None: nothing.

    Args:
        request: the record as it would be stored.

    Returns:
        Names and texts, a few hundred bytes at most. The handler finds them in `ctx.metadata`, and
        every later process in `request.metadata`: no secrets.

    Raises:
        Exception: logged as `plugin failed`; the request is stored without it.

    Blocks: must not: the answer waits for it.

    Example:
        ```python
        from streamer_core.markers import hookimpl

        class VersionPlugin:                 # which deploy took it
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_metadata(self, request):
                return {"taken_by": "v42"}
        ```

    Added in 0.1. Implemented by: otel, xray.
    """


@hookspec(firstresult=True)
def streamer_enqueue(
    requests: Sequence[Request], write: Callable[[], Sequence[Enqueued | Exception]]
) -> Sequence[Enqueued | Exception]:
    """Store new requests, in one write where the store can.

    Called: for all that is stored together: what a batch of messages left to be stored, an
    idempotent sync request, a redrive. It is not yet acknowledged.
    Answers (surround): write a `wrapper=True` generator around `yield`; the core calls `write`
    inside.

    Args:
        requests: as they will be stored, with their metadata.
        write: stores them. For the core's implementation: do not call it.

    Returns:
        For each request what the store made of it: `Enqueued`, whose `created` is False for a
        repeat, or why it was not stored. A wrapper gives back what `yield` gave it.

    Raises:
        StoreError: none of them is known to be stored: `STORAGE_ERROR`. Any other error is logged
            and refuses all with `INTERNAL_ERROR`.

    Blocks: must not: their acknowledgments wait for it.

    Example:
        ```python
        from collections import Counter
        from streamer_core.markers import hookimpl

        class BatchesPlugin:
            def __init__(self, settings, app):
                self.sizes = Counter()

            @hookimpl(wrapper=True)
            def streamer_enqueue(self, requests):
                answers = yield
                self.sizes[len(requests)] += 1
                return answers
        ```

    Added in 0.1. Implemented by: core defaults (the write itself), otel.
    """


@hookspec(firstresult=True)
def streamer_dispatch(change: Change) -> bool | None:
    """Wake a worker for a request that is due.

    Called: by `Streamer.wake` for each record of the change feed that is due, and by the sweeper
    for each waiting request that is. The same one may come often, late, or after it was run: the
    claim decides who runs it.
    Answers (decide): the first answer that is not None wins. None: not mine. The core has no answer
    of its own: workers that call `Streamer.work` find the request without being woken.

    Args:
        change: `ref`, `lane` (its priority) and `due_at`, which has come.

    Returns:
        True: somebody was woken. False: mine, and it did not work; nobody else is asked, and the
        sweeper asks again within a minute.

    Raises:
        Exception: logged as `nobody could be woken`, and taken as False.

    Blocks: one call to the network at most; records wait behind it. Never run the request here.

    Example:
        ```python
        import queue
        from streamer_core.markers import hookimpl

        class QueuePlugin:
            def __init__(self, settings, app):
                self.woken = queue.SimpleQueue()     # other threads get() and call app.run(ref)

            @hookimpl
            def streamer_dispatch(self, change):
                self.woken.put(change.ref)
                return True
        ```

    Added in 0.1. Implemented by: local (wakes a worker process), apigateway (invokes a
    function).
    """


@hookspec(firstresult=True)
def streamer_schedule(change: Change) -> bool | None:
    """See to it that a request is dispatched when it becomes due.

    Called: by `Streamer.wake` for each record of the change feed that is due later (a delay, a
    retry, `continue_later`), and by the sweeper, every round, for what is due within a minute. The
    same one may come often: arm it once, or let it be woken twice.
    Answers (decide): the first answer that is not None wins. None: not mine. Without any, the
    sweeper's round finds the request, up to a minute late.

    Args:
        change: `ref`, `lane` and `due_at`, which is still to come; days away, perhaps.

    Returns:
        True: it will be woken. False: mine, and not now; the sweeper asks again.

    Raises:
        Exception: logged as `nobody could be woken`, and taken as False.

    Blocks: one call to the network at most. Never wait for the time here.

    Example:
        ```python
        import threading
        from dataclasses import replace
        from streamer_core.markers import hookimpl

        class TimerPlugin:
            def __init__(self, settings, app):
                self.app = app

            @hookimpl
            def streamer_schedule(self, change):
                now = self.app.clock.now()
                due = replace(change, due_at=now)    # in time, by this machine's clock
                timer = threading.Timer((change.due_at - now) / 1000, self.app.wake, [due])
                timer.daemon = True
                timer.start()
                return True
        ```

    Added in 0.1. Implemented by: local (a timer), apigateway (SQS, to 15 min).
    """


@hookspec(firstresult=True)
def streamer_park(record: Mapping[str, Any], error: str) -> bool | None:
    """Keep a record of a stream that nobody can read, for its operator.

    Called: by `Streamer.park`, once for each time that a platform brings such a record to whoever
    reads the stream for it. One that was not kept is brought again, with those behind it; one that
    was kept may be, too.
    Answers (decide): the first answer that is not None wins. None: not mine, or not possible now.
    Nobody's: it is not kept.

    Args:
        record: as the platform gave it, JSON throughout. It may hold clients' data: do not log it.
        error: why it cannot be read; for operators.

    Returns:
        True: it is stored, durably. False: mine, and it is not stored.

    Raises:
        Exception: logged as `a record cannot be parked`, and taken as False.

    Blocks: a few writes at most; the records behind it wait.

    Example:
        ```python
        import json
        from streamer_core.markers import hookimpl

        class ParkingPlugin:
            def __init__(self, settings, app):
                self.app = app

            @hookimpl
            def streamer_park(self, record, error):
                key = f"parked/{record['eventID']}"
                self.app.store.put_value(key, {"error": error, "record": json.dumps(record)})
                return True
        ```

    Added in 0.1. Implemented by: dlq (stores it), apigateway (sends it to a queue).
    """


@hookspec(firstresult=True)
def streamer_execute(call: Call) -> Any:
    """Run the handler and give what it returned.

    Called: once for each attempt of a stored request, claimed, its payload valid; once for a sync
    request. Not for one that is cancelled before it begins, or whose payload fits no more.
    Answers (surround): write a `wrapper=True` generator around `yield`; the core calls the handler
    inside. One that is no wrapper takes the core's place where it gives something but None; None
    lets the core run the handler, so it must not have been run already.

    Args:
        call: handler, principal, mode, attempt, validated payload, context, the record (None for a
            sync request).

    Returns:
        The handler's value, or another in its place: any value that JSON can hold.

    Raises:
        Reject: the client reads it, no attempt follows. CircuitOpen: an async request waits,
            no attempt spent. ContinueLater (no Exception): the run goes on later: let it pass.
            Another Refused gives its code; anything else is `PROCESSING_FAILED`, logged, and
            `streamer_retry` decides. The engine catches all of them.

    Blocks: as long as the handler runs; its timeout goes on. Add microseconds around it, not I/O.

    Example:
        ```python
        from streamer_core.markers import hookimpl

        class StopwatchPlugin:
            def __init__(self, settings, app):
                self.clock, self.seconds = app.clock, {}

            @hookimpl(wrapper=True)
            def streamer_execute(self, call):
                began = self.clock.monotonic()
                try:
                    return (yield)
                finally:
                    self.seconds[call.ref] = self.clock.monotonic() - began
        ```

    Added in 0.1. Implemented by: core defaults (the call itself), circuitbreaker, otel, xray,
    tenancy.
    """


@hookspec(firstresult=True)
def streamer_circuit(name: str, deadline: int) -> AbstractContextManager[Any] | None:
    """Give the guard of a named dependency.

    Called: each time a handler writes `ctx.circuit(name)`, in its thread.
    Answers (decide): the first guard wins. None: not mine. Nobody's: nothing is guarded.

    Args:
        name: the handler's word for the dependency, `ledger` or `smtp`.
        deadline: Unix ms at which the handler times out; a use that lasts longer has failed.

    Returns:
        A context manager. Entered before the dependency is used; its exit sees how that ended. It
        must let exceptions pass.

    Raises:
        CircuitOpen: on entering: the dependency is known to be failing. An async request then waits
            `retry_after_ms` (else 5 s) without an attempt spent; a sync one is answered
            `CIRCUIT_OPEN`. Any other error is the handler's failure.

    Blocks: one round trip to the store at most, on entering and on leaving.

    Example:
        ```python
        from contextlib import contextmanager
        from streamer_core.errors import CircuitOpen
        from streamer_core.markers import hookimpl

        class ThreeStrikesPlugin:
            def __init__(self, settings, app):
                self.strikes = {}

            @contextmanager
            def guard(self, name):
                if self.strikes.get(name, 0) >= 3:
                    raise CircuitOpen(f"{name} is failing", retry_after_ms=30_000)
                try:
                    yield
                except Exception:
                    self.strikes[name] = self.strikes.get(name, 0) + 1
                    raise
                self.strikes[name] = 0

            @hookimpl
            def streamer_circuit(self, name):
                return self.guard(name)
        ```

    Added in 0.1. Implemented by: circuitbreaker.
    """


@hookspec(firstresult=True)
def streamer_retry(request: Request, failure: Failure) -> Verdict | None:
    """Decide whether a failed attempt is followed by another, and when.

    Called: once for each failed attempt of a stored request, before anything of it is written: by
    the worker, by the pulse for a timeout, by the sweeper for a worker that was lost
    (`failure.kind` is `WorkerLost`). A `Reject` is asked for too. Not for sync requests that are
    not stored.
    Answers (decide): the first verdict wins, and is followed as it is: attempts and age are the
    decider's to count. None: not mine. The core, last: gives up where the failure is not retryable,
    or `max_attempts` or `max_age` is reached; else backs off exponentially with full jitter.

    Args:
        request: the record as it was claimed; `policy` holds the handler's rules.
        failure: `attempt`, `code`, `retryable`, `kind` (the exception's class), and its trace: for
            operators, never for clients.

    Returns:
        `Again(delay_ms=…)`: stored as due then; or `GiveUp()`: a dead letter. A request that was
        asked to stop ends as cancelled whatever is said.

    Raises:
        Exception: logged as `streamer_retry failed`; the core's own answer is taken.

    Blocks: must not; the pulse may be waiting.

    Example:
        ```python
        from streamer_core.markers import hookimpl
        from streamer_core.model.policy import Again

        class PatientPlugin:                 # a full disk is mended by people: try for a day
            def __init__(self, settings, app):
                self.clock = app.clock

            @hookimpl
            def streamer_retry(self, request, failure):
                young = self.clock.now() - request.created_at < 86_400_000
                return Again(delay_ms=600_000) if young and "ENOSPC" in failure.trace else None
        ```

    Added in 0.1. Implemented by: core defaults.
    """


@hookspec(firstresult=True)
def streamer_deliver(pushes: Sequence[Push]) -> Sequence[Mapping[str, Delivery]]:
    """Hand messages to the transport.

    Called: for all that is pushed: progress, chunks, restarts, ends of stored requests, events;
    also a sync request's progress and chunks. What is sent together comes in one call: one message
    as a rule, the ends of a batch of requests. Answers that go back with the message they answer
    (`response`, `acknowledgment`, replays) do not pass here.
    Answers (surround): write a `wrapper=True` generator around `yield`; the core sends inside, all
    in one call of the transport.

    Args:
        pushes: messages (type, encoded bytes, request id, ref and the request's metadata), each
            with the ids of its connections, of which there may be none.

    Returns:
        For each push how it ended for each connection. `GONE`: the connection is forgotten; `BUSY`,
        or none: it is sent again later, progress excepted; `TOO_LARGE` is logged. A wrapper gives
        back what `yield` gave it.

    Raises:
        TransportError: whether they arrived is not known. This and any other error are logged, and
            taken as `BUSY` for all.

    Blocks: a send at most; in the pulse's thread mostly.

    Example:
        ```python
        from collections import Counter
        from streamer_core.markers import hookimpl

        class TallyPlugin:
            def __init__(self, settings, app):
                self.sent = Counter()

            @hookimpl(wrapper=True)
            def streamer_deliver(self, pushes):
                verdicts = yield
                for push, of_each in zip(pushes, verdicts, strict=True):
                    for verdict in of_each.values():
                        self.sent[push.message.type, verdict.value] += 1
                return verdicts
        ```

    Added in 0.1. Implemented by: core defaults (the send itself), otel, xray.
    """


@hookspec(firstresult=True)
def streamer_fan_out(event: Outgoing, connections: Sequence[str]) -> bool | None:
    """Have somebody else send an event to many connections.

    Called: once for each event of a topic that has subscribers, by whoever publishes it, once it is
    known that it may. What is stored (updates of a request) does not pass here.
    Answers (decide): the first answer that is not None wins. None: not mine. The core has no answer
    of its own: whoever publishes then sends, and waits until all have been sent to.

    Args:
        event: the encoded message.
        connections: the ids of all its subscribers.

    Returns:
        True: somebody else sends it, with `Streamer.send`. False: mine, and it did not work; it is
        sent here.

    Raises:
        Exception: logged as `an event could not be handed over`, and taken as False.

    Blocks: a few calls to the network at most: a client may be waiting for the answer.

    Example:
        ```python
        import threading
        from streamer_core.markers import hookimpl

        class BesidePlugin:                  # nobody waits for more than a hundred sends
            def __init__(self, settings, app):
                self.app = app

            @hookimpl
            def streamer_fan_out(self, event, connections):
                if len(connections) <= 100:
                    return None
                threading.Thread(target=self.app.send, args=(event, connections)).start()
                return True
        ```

    Added in 0.1. Implemented by: apigateway (invokes a function).
    """


@hookspec
def streamer_on_connect(connection: Connection) -> None:
    """Learn that a connection was accepted and stored.

    Called: once for each connection, before its handshake is answered: nothing may be sent to it
    yet. Not told of a renewed token.
    Answers (observe): all are told; what they give back is ignored.

    Args:
        connection: as stored; its principal still has the authenticator's `claims`.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: must not: the client waits to be let in.

    Example:
        ```python
        from streamer_core.markers import hookimpl

        class WhoIsThere:
            def __init__(self, settings, app):
                self.users = set()

            @hookimpl
            def streamer_on_connect(self, connection):
                self.users.add((connection.principal.tenant, connection.principal.user))
        ```

    Added in 0.1. Implemented by: none yet.
    """


@hookspec
def streamer_on_disconnect(connection: Connection, reason: str) -> None:
    """Learn that a connection is gone.

    Called: once for each stored connection, in whichever process forgets it: it closed, a send
    found it gone, or the sweeper found it over. Up to a connection's life (2 h) late where the
    transport said nothing. Its requests go on.
    Answers (observe): all are told; what they give back is ignored.

    Args:
        connection: as it was stored, without `claims` but those that are `kept`.
        reason: `gone` (found by a send), `expired` (by the sweeper), a plugin's word for what it
            ended, else the transport's, which may be empty.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: must not.

    Example:
        ```python
        from streamer_core.markers import hookimpl

        class HowLong:
            def __init__(self, settings, app):
                self.clock, self.lives = app.clock, []

            @hookimpl
            def streamer_on_disconnect(self, connection, reason):
                self.lives.append((reason, self.clock.now() - connection.connected_at))
        ```

    Added in 0.1. Implemented by: none yet.
    """


@hookspec
def streamer_on_request(request: Message, handler: HandlerSpec, mode: Mode) -> None:
    """Learn that a request passed the gates.

    Called: once for each request of a handler, after `streamer_route`, before it is run or stored.
    It may still be refused: no room for its counts, another request of its id, a store that fails.
    Repeats are told too. For what is stored use `streamer_on_transition`.
    Answers (observe): all are told; what they give back is ignored.

    Args:
        request: the message; its payload is the client's data: do not log it.
        handler: its specification.
        mode: how it will be answered.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: must not: the answer waits for it.

    Example:
        ```python
        from collections import Counter
        from streamer_core.markers import hookimpl

        class Popular:
            def __init__(self, settings, app):
                self.calls = Counter()

            @hookimpl
            def streamer_on_request(self, request, mode):
                self.calls[request.action, mode.value] += 1
        ```

    Added in 0.1. Implemented by: local (lets the messages behind go on).
    """


@hookspec
def streamer_on_transition(request: Request, before: Status | None, after: Status) -> None:
    """Learn that a stored request moved.

    Called: after each durable move, in the process that made it: accepted (`before` is None),
    claimed, given back, to be tried again, ended. A crash between the write and this call loses it:
    count what must be exact in the store. Asking a running request to stop is no move.
    Answers (observe): all are told; what they give back is ignored.

    Args:
        request: the record as this process last read it: `after`, not `request.status`, is where it
            stands. Payload and outcome are the client's data.
        before: where it stood; None: it is new.
        after: where it stands.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: must not: it may be the pulse, and the request's next write waits.

    Example:
        ```python
        from collections import Counter
        from streamer_core.markers import hookimpl

        class Ends:
            def __init__(self, settings, app):
                self.ended = Counter()

            @hookimpl
            def streamer_on_transition(self, request, after):
                if after.terminal:
                    self.ended[request.action, after] += 1
        ```

    Added in 0.1. Implemented by: otel, xray.
    """


@hookspec
def streamer_on_update(request: Request, updates: Sequence[Update]) -> None:
    """Learn that updates were stored.

    Called: after each write of chunks, a restart or a terminal message by the worker that holds the
    request, before they are sent. Not told of an end that nobody's worker wrote: a waiting request
    cancelled, the sweeper's. Progress is no update.
    Answers (observe): all are told; what they give back is ignored.

    Args:
        request: the record as it was claimed.
        updates: in order of `seq`, at least one, up to `chunk_buffer` chunks and an end.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: must not: the sends wait for it.

    Example:
        ```python
        from streamer_core.markers import hookimpl

        class Output:
            def __init__(self, settings, app):
                self.pieces = {}

            @hookimpl
            def streamer_on_update(self, request, updates):
                chunks = sum(update.kind == "chunk" for update in updates)
                self.pieces[request.ref] = self.pieces.get(request.ref, 0) + chunks
        ```

    Added in 0.1. Implemented by: none yet.
    """


@hookspec
def streamer_on_dead_letter(request: Request, failure: Failure) -> None:
    """Learn that a request failed for good.

    Called: once for each stored request that ends as FAILED, after its `streamer_on_transition`; a
    handler's `Reject` included: look at `failure.code`, where a dot marks the handler's own. It is
    kept for `keep` (7 days) and may be redriven until then.
    Answers (observe): all are told; what they give back is ignored.

    Args:
        request: the record as it was claimed or found; `failures` are those before this one.
        failure: the last attempt's, with class and trace: for operators, never for clients.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: must not: hand an alarm to a thread or a queue.

    Example:
        ```python
        from streamer_core.log import get_logger
        from streamer_core.markers import hookimpl

        class Alarm:
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_on_dead_letter(self, request, failure):
                if "." not in failure.code:
                    get_logger().error("dead letter", ref=request.ref, kind=failure.kind)
        ```

    Added in 0.1. Implemented by: dlq.
    """


@hookspec
def streamer_on_circuit_change(name: str, before: str, after: str) -> None:
    """Learn that a circuit opened or closed.

    Called: by the plugin that keeps the circuits, once for each change, with
    `app.runtime.tell("streamer_on_circuit_change", name=…, before=…, after=…)`. The core keeps none
    and never calls it.
    Answers (observe): all are told; what they give back is ignored.

    Args:
        name: the dependency, as in `ctx.circuit(name)`; for an action's own `action:` and its name.
        before, after: `closed`, `open` or `half_open`.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: must not: a handler is waiting to go on.

    Example:
        ```python
        from streamer_core.markers import hookimpl

        class OpenCircuits:
            def __init__(self, settings, app):
                self.open = set()

            @hookimpl
            def streamer_on_circuit_change(self, name, before, after):
                (self.open.add if after == "open" else self.open.discard)(name)
        ```

    Added in 0.1. Implemented by: cloudwatch (counts them).
    """


@hookspec
def streamer_on_metric(metric: Metric) -> None:
    """Take one measurement.

    Called: for each measurement the engine or a plugin makes (`app.runtime.measure`), many for one
    message; docs/operations.md lists them. Where no plugin has this hook none is even made.
    Answers (observe): all are told; what they give back is ignored.

    Args:
        metric: dotted name, value, unit (`count`, `ms`, `bytes`, `gauge`), tags of few values each,
            never a user's or a request's id; in bytes, how many `times` value adds up.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: must not: add it up, and send what was gathered in `streamer_on_flush` or a thread.

    Example:
        ```python
        from collections import Counter
        from streamer_core.markers import hookimpl

        class Totals:
            def __init__(self, settings, app):
                self.totals = Counter()

            @hookimpl
            def streamer_on_metric(self, metric):
                if metric.unit == "count":
                    self.totals[metric.name, *sorted(metric.tags.items())] += metric.value
        ```

    Added in 0.1. Implemented by: cloudwatch (adds it up).
    """


@hookspec
def streamer_on_sweep() -> None:
    """Make good what was missed of your own: the sweeper has made a round.

    Called: after each round of the sweeper, about once a minute, in whichever process made it;
    several may, at once or one soon after the other. Not called after a round that failed.
    Answers (observe): all are told; what they give back is ignored.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: may, ten seconds at most: the next round must come soon.

    Example:
        ```python
        from streamer_core.markers import hookimpl

        class LastRoundPlugin:               # for an alarm: does the sweeper still come round?
            def __init__(self, settings, app):
                self.app = app

            @hookimpl
            def streamer_on_sweep(self):
                self.app.store.put_value("last-round", self.app.clock.now())
        ```

    Added in 0.1. Implemented by: dlq (finds what it was not told of), jwt (ends the connections of
    revoked tokens).
    """


@hookspec
def streamer_on_flush() -> None:
    """Send on what was gathered: this process may be frozen or ended after it.

    Called: by `Streamer.flush`. `Streamer.close` calls that once, before `streamer_shutdown`; an
    entry whose process may be frozen between events, as on Lambda, after each.
    Answers (observe): all are told; what they give back is ignored.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: may, a second at most: on Lambda the event is not over, and is paid for, until it
    returns.

    Example:
        ```python
        import json
        import sys
        from streamer_core.markers import hookimpl

        class Lines:
            def __init__(self, settings, app):
                self.waiting = []

            @hookimpl
            def streamer_on_metric(self, metric):
                self.waiting.append({"name": metric.name, "value": metric.value})

            @hookimpl
            def streamer_on_flush(self):
                waiting, self.waiting = self.waiting, []
                sys.stderr.writelines(json.dumps(line) + "\\n" for line in waiting)
        ```

    Added in 0.1. Implemented by: circuitbreaker, dlq, otel, cloudwatch (writes its lines), tenancy.
    """


@hookspec
def streamer_health() -> Health | None:
    """Tell how you are.

    Called: by `Streamer.health`, when somebody asks (a load balancer each few seconds, the action
    `streamer.health`, an operator); in each process once a second at most and never twice at once;
    in a thread of its own, beside the other checks. Also by `streamer health`, in a process whose
    plugins were not told to start. The core's own check of the store is always the first answer.
    Answers (observe): every plugin is asked, all answers are shown. None: nothing to tell.

    Returns:
        Name, ok, degraded, one sentence without secrets (500 characters are shown); the core
        measures what the check took where `latency_ms` does not say it. Not ok: whatever is asked
        of this process should be asked of another: it answers 503. Degraded: it should be seen to.

    Raises:
        Exception: logged as `health check failed`; the plugin is shown as not ok.

    Blocks: a second at most: bound every call, or show what a thread of your own found last. One
        that takes longer is shown as not ok, and not asked again before it has ended.

    Example:
        ```python
        import shutil
        from streamer_core.markers import hookimpl
        from streamer_core.model.call import Health

        class DiskPlugin:
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_health(self):
                free_mb = shutil.disk_usage("/").free // 1_000_000
                return Health(name="disk", ok=free_mb > 100, detail=f"{free_mb} MB are free")
        ```

    Added in 0.1. Implemented by: local (its worker processes), jwt (the age of its keys), tenancy
    (tables of tenants that failed).
    """


@hookspec
def streamer_shutdown(app: Any) -> None:
    """End: no message comes any more; the store is still open.

    Called: once in `Streamer.close`, after `streamer_on_flush`, before pulse, transport and store
    are closed; also where a start failed, or a command opened only the store: perhaps without
    `streamer_startup` before it. A process that is killed never calls it.
    Answers (observe): all are told, in the order of the start; what they give back is ignored.

    Args:
        app: the `streamer_core.Streamer`.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: may, a few seconds at most; join your threads with a bound.

    Example:
        ```python
        import threading
        from streamer_core.markers import hookimpl

        class TickingPlugin:
            def __init__(self, settings, app):
                self.stop = threading.Event()
                self.thread = threading.Thread(target=self.stop.wait, daemon=True)

            @hookimpl
            def streamer_startup(self, app):
                self.thread.start()

            @hookimpl
            def streamer_shutdown(self, app):
                self.stop.set()
                if self.thread.ident:
                    self.thread.join(timeout=5)
        ```

    Added in 0.1. Implemented by: dlq, cloudwatch (writes what is left), tenancy.
    """
