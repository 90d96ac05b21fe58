"""The framework's own actions, `streamer.…`."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from streamer_core.engine import connect, health, requests, resume
from streamer_core.engine.received import Received
from streamer_core.engine.runtime import Runtime
from streamer_core.errors import Invalid, Refused, TooLarge, UnsupportedVersion
from streamer_core.installed import versions
from streamer_core.model import encode
from streamer_core.model.call import Outgoing, Resource
from streamer_core.model.connection import Connection
from streamer_core.model.health import report
from streamer_core.model.message import Message, Mode
from streamer_core.registry import Registered

Verb = Callable[[Runtime, Connection, Message], Received]


def _received(*messages: Outgoing) -> Received:
    return Received(frames=tuple(message.data for message in messages))


def _hello(rt: Runtime, connection: Connection, message: Message) -> Received:
    asked = message.payload.get("version")
    if isinstance(asked, bool) or asked != encode.PROTOCOL_VERSION:
        raise UnsupportedVersion(
            f"This server speaks version {encode.PROTOCOL_VERSION}",
            details={"supported": [encode.PROTOCOL_VERSION]},
        )
    limits = {
        "message_bytes": rt.settings.max_message_bytes,
        "sync_ms": rt.settings.sync_limit,
        "connection_ms": max(0, connection.expires_at - rt.clock.now()),
        "delay_ms": rt.settings.max_delay,
    }
    welcome = encode.welcome(rt.clock.now(), message.id, connection.id, limits, _server())
    if "resume" not in message.payload:
        return _received(welcome)
    asked_for = resume.wanted(message.payload["resume"], "payload.resume")
    return _received(welcome, *resume.resume(rt, connection, asked_for))


@cache
def _server() -> str:
    return f"streamer/{versions().get('streamer-core')}"


def _ping(rt: Runtime, _connection: Connection, message: Message) -> Received:
    return _received(encode.pong(rt.clock.now(), message.id))


def _authenticate(rt: Runtime, connection: Connection, message: Message) -> Received:
    token = message.payload.get("token")
    if not isinstance(token, str) or not token:
        raise Invalid.field("payload.token", "must be a string")
    renewed = connect.renew(rt, connection, token)
    data = {"expires_at": renewed.expires_at}
    answer = encode.response(rt.clock.now(), message.id, data)
    return Received(frames=(answer.data,), connection=renewed)


def _resume(rt: Runtime, connection: Connection, message: Message) -> Received:
    asked_for = resume.wanted(message.payload.get("requests"), "payload.requests")
    return _received(*resume.resume(rt, connection, asked_for))


def _actions(rt: Runtime, connection: Connection, message: Message) -> Received:
    """List them; without their schemas where a message cannot hold all of these."""
    wanted = message.payload.get("action")
    if wanted is not None and not isinstance(wanted, str):
        raise Invalid.field("payload.action", "must be a string")
    found = [one for one in rt.registry if wanted in {None, one.spec.action}]
    shown = [one for one in (_listed(rt, connection, message, one) for one in found) if one]
    for schemas in (True, False):
        actions = [one if schemas else {**one, "payload_schema": None} for one in shown]
        answer = encode.response(rt.clock.now(), message.id, {"actions": actions})
        if len(answer.data) <= rt.settings.max_message_bytes:
            return _received(answer)
    raise TooLarge('The actions do not fit in a message; ask for one: {"action": name}')


def _listed(
    rt: Runtime, connection: Connection, message: Message, one: Registered
) -> Mapping[str, Any] | None:
    """Describe an action; None where a call of it would be refused, or fail, before it is run."""
    resource = Resource(kind="action", name=one.spec.action, handler=one.spec, message=message)
    try:
        rt.hook.streamer_authorize(principal=connection.principal, verb="call", resource=resource)
        return _shown(rt, one)
    except Refused:
        return None
    except Exception:
        rt.log.exception("message failed", action=one.spec.action)
        return None


def _shown(rt: Runtime, one: Registered) -> Mapping[str, Any]:
    spec = one.spec
    probe = Message(id="-", action=spec.action)
    mode = Mode(rt.hook.streamer_route(request=probe, handler=spec))
    return {
        "action": spec.action,
        "description": spec.description,
        "mode": mode.value,
        "estimated_ms": spec.estimated_ms,
        "timeout_ms": spec.policy.timeout_ms,
        "idempotent": spec.idempotent,
        "scopes": sorted(spec.scopes),
        "payload_schema": one.schema,
    }


def _health(rt: Runtime, connection: Connection, message: Message) -> Received:
    """Tell whether all is well; to whoever operates the installation, also what is not."""
    details = _operates(rt, connection, message)
    data = report(health.ask(rt), details=details)
    return _received(encode.response(rt.clock.now(), message.id, data))


def _operates(rt: Runtime, connection: Connection, message: Message) -> bool:
    resource = Resource(kind="action", name=message.action, message=message)
    try:
        rt.hook.streamer_authorize(principal=connection.principal, verb="admin", resource=resource)
    except Refused:
        return False
    return True


ACTIONS: Mapping[str, Verb] = {
    "streamer.hello": _hello,
    "streamer.ping": _ping,
    "streamer.authenticate": _authenticate,
    "streamer.status": requests.status,
    "streamer.list": requests.list_own,
    "streamer.cancel": requests.cancel,
    "streamer.resume": _resume,
    "streamer.subscribe": requests.subscribe,
    "streamer.unsubscribe": requests.unsubscribe,
    "streamer.actions": _actions,
    "streamer.health": _health,
}
