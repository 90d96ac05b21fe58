"""Connections of other gateways: two may work on one store, and run each other's clients' requests.

```
worker of B ──send──> B: not mine, the id names A ──unix socket──> A ──WebSocket──> client
            <─verdict─                            <──verdict──────
```
A connection's id begins with the name of the gateway that made it, a new one at each start. Where
that gateway listens is a small value in the store, which outlives every connection of it; so one
that is not there, or whose socket refuses, is dead, and its connections are gone for good.
"""

import asyncio
import json
import re
import socket
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from streamer_core.errors import StoreError
from streamer_core.log import get_logger
from streamer_core.ports import Delivery, Store
from streamer_plugin_local.peers import ANSWER_S, Caller, Peer
from streamer_plugin_local.records import DELIVERIES, Kind, Record, encode_json, long
from streamer_plugin_local.rendezvous import new_address, remove

_RENEW_S, _AGAIN_S = 60.0, 5.0
_ID = re.compile(r"([0-9a-f]{8})-")
_GONE = DELIVERIES.index(Delivery.GONE)

Undelivered = dict[str, int]
"""Connections that did not take a message, each with its verdict's place in `DELIVERIES`."""


class Relay:
    """Asks the gateways that hold connections which this one does not, and is asked by them.

    Everything here runs on the event loop.

    Args:
        name: this gateway's, as its connections' ids begin.
        store: where gateways find each other.
        connection_life: of the core's settings, in ms.
        serve: does what another gateway asks.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        connection_life: int,
        serve: Callable[[Caller, Record], None],
    ) -> None:
        self._name = name
        self._store = store
        self._connection_life = connection_life
        self._serve = serve
        self._loop = asyncio.get_running_loop()
        self._peers: dict[str, Peer] = {}
        self._callers: set[Caller] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._address: Path | None = None
        self._server: asyncio.Server | None = None

    # -- to be found

    async def start(self) -> None:
        """Listen, and say where; done before this gateway lets a connection in."""
        try:
            self._address = new_address()
            self._server = await self._loop.create_unix_server(
                lambda: Caller(self._serve, self._callers), self._address
            )
        except OSError:
            get_logger().warning("other gateways cannot reach this one", exc_info=True)
            return
        registered = await self._register(str(self._address))
        self._do(self._stay_registered(str(self._address), registered))

    async def _register(self, address: str) -> bool:
        # It outlives every connection, also where the machine sleeps and nothing is renewed: a
        # connection that is there and a gateway that is not would be taken for gone.
        expires_at = self._store.clock.now() + self._connection_life + int(2_000 * _RENEW_S)
        where = {"host": socket.gethostname(), "socket": address}
        put = partial(self._store.put_value, _key(self._name), where, expires_at=expires_at)
        try:
            await self._loop.run_in_executor(None, put)
        except StoreError:
            get_logger().warning("other gateways cannot find this one yet", exc_info=True)
            return False
        return True

    async def _stay_registered(self, address: str, registered: bool) -> None:
        while True:
            await asyncio.sleep(_RENEW_S if registered else _AGAIN_S)
            registered = await self._register(address)

    async def stop(self) -> None:
        """Leave the others; connections of this gateway are gone from now on."""
        for task in self._tasks:
            task.cancel()
        if self._server is not None:
            self._server.close()
            forget = partial(self._store.delete_value, _key(self._name))
            with suppress(StoreError):
                await self._loop.run_in_executor(None, forget)
        peers, self._peers = self._peers, {}
        for peer in peers.values():
            peer.give_up(Delivery.BUSY)
        for stream in (*peers.values(), *self._callers):
            stream.cut()
        if self._address is not None:
            remove(self._address)

    # -- to ask

    def offer(
        self, data: bytes, done: Callable[[Mapping[str, int]], None], undelivered: Undelivered
    ) -> None:
        """Send to those that are not here, where they are; `done` gets those left undelivered."""
        elsewhere = defaultdict(list)
        for connection_id, verdict in undelivered.items():
            if verdict == _GONE and (owner := self._owner(connection_id)):
                elsewhere[owner].append(connection_id)
        waiting = set(elsewhere)
        if not waiting:
            done(undelivered)
            return

        def answered(owner: str, answer: bytes | Delivery) -> None:
            asked = elsewhere[owner]
            if isinstance(answer, Delivery):
                verdicts = dict.fromkeys(asked, DELIVERIES.index(answer))
            else:
                verdicts = json.loads(answer)
            for connection_id in asked:
                del undelivered[connection_id]
            undelivered.update(verdicts)
            waiting.remove(owner)
            if not waiting:
                done(undelivered)

        for owner, ids in elsewhere.items():
            body = long(data) + json.dumps(ids).encode()
            self._peer(owner).ask(Kind.SEND_MANY, body, partial(answered, owner))

    def is_open(self, connection_id: str, done: Callable[[bool], None]) -> None:
        """Tell whether a connection that is not here is open where it is."""
        owner = self._owner(connection_id)
        if owner is None:
            done(False)
            return

        def answered(answer: bytes | Delivery) -> None:
            # Of a gateway that does not answer it is not known that anything is gone.
            done(answer in (b"\x01", Delivery.BUSY))

        self._peer(owner).ask(Kind.IS_OPEN, connection_id.encode(), answered)

    def close(self, connection_id: str, code: int, reason: str) -> None:
        """Close a connection that is not here where it is."""
        if owner := self._owner(connection_id):
            asked = {"id": connection_id, "code": code, "reason": reason}
            self._peer(owner).write(encode_json(Kind.CLOSE, 0, asked))

    def _owner(self, connection_id: str) -> str | None:
        """Give the name of the other gateway that made a connection."""
        found = _ID.match(connection_id)
        return found[1] if found and found[1] != self._name else None

    # -- the way there

    def _peer(self, name: str) -> Peer:
        peer = self._peers.get(name)
        if peer is None:
            peer = self._peers[name] = Peer(lambda lost: self._do(self._lost(name, lost)))
            self._do(self._open(name, peer))
        return peer

    async def _open(self, name: str, peer: Peer) -> None:
        refused = await self._connect(name, peer)
        if refused is None:
            return
        peer.give_up(refused)
        if refused is Delivery.GONE:
            self._drop(name, peer)
        else:
            # Busy at once meanwhile: nobody waits, or reads a line about it, at each message.
            self._loop.call_later(_AGAIN_S, self._drop, name, peer)

    async def _lost(self, name: str, peer: Peer) -> None:
        self._drop(name, peer)
        if peer.owes:
            # It may have taken what it has not answered, unless it is dead.
            again = Peer(lambda _: None)
            peer.give_up(await self._connect(name, again) or Delivery.BUSY)
            again.cut()

    def _drop(self, name: str, peer: Peer) -> None:
        if self._peers.get(name) is peer:
            del self._peers[name]

    async def _connect(self, name: str, peer: Peer) -> Delivery | None:
        """Connect to a gateway, or say what its connections are then."""
        try:
            async with asyncio.timeout(ANSWER_S):
                found = await self._loop.run_in_executor(None, self._store.get_value, _key(name))
                return Delivery.GONE if found is None else await self._dial(found.data, peer)
        except (OSError, StoreError):
            get_logger().warning("another gateway cannot be reached", gateway=name, exc_info=True)
            return Delivery.BUSY

    async def _dial(self, where: dict[str, str], peer: Peer) -> Delivery | None:
        try:
            await self._loop.create_unix_connection(lambda: peer, where["socket"])
        except (ConnectionRefusedError, FileNotFoundError):
            if where["host"] != socket.gethostname():
                raise  # on another machine it may live
            return Delivery.GONE
        return None

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _key(name: str) -> str:
    return f"gateway/{name}"
