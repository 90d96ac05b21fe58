"""Topics: who may join, and events to those who did. Events are sent, not kept."""

from collections.abc import Sequence
from typing import Any

from streamer_core.engine import deliver
from streamer_core.engine.runtime import Runtime
from streamer_core.errors import Forbidden, TooLarge, Unserializable
from streamer_core.model import encode
from streamer_core.model.call import Outgoing, Resource
from streamer_core.model.handler import TopicSpec
from streamer_core.model.ids import topic_subject
from streamer_core.model.principal import Principal


def check_may_join(rt: Runtime, principal: Principal, topic: str) -> None:
    """Ask the topic's rule and the gates.

    Raises:
        Forbidden: nobody declares the topic, or its rule says no; the client cannot tell which.
    """
    found = rt.registry.topic(topic)
    if found is None or not _rule_allows(rt, principal, *found):
        raise Forbidden("This topic cannot be joined")
    resource = Resource(kind="topic", name=topic, topic=found[0])
    rt.hook.streamer_authorize(principal=principal, verb="subscribe", resource=resource)


def _rule_allows(rt: Runtime, principal: Principal, spec: TopicSpec, names: dict[str, str]) -> bool:
    try:
        return bool(spec.rule(principal, **names))
    except Exception:
        rt.log.exception("topic rule failed", topic=spec.pattern, module=spec.module)
        return False


def publish(rt: Runtime, principal: Principal, topic: str, data: Any) -> None:
    """Send an event to the subscribers of a topic of the principal's tenant; a busy one misses it.

    Raises:
        ValueError: nobody declares the topic.
        Forbidden: a gate refuses it.
        Unserializable, TooLarge: a message cannot carry the data.
    """
    found = rt.registry.topic(topic)
    if found is None:
        raise ValueError(f"no loaded module declares a topic that matches {topic!r}")
    resource = Resource(kind="topic", name=topic, topic=found[0])
    rt.hook.streamer_authorize(principal=principal, verb="publish", resource=resource)
    try:
        event = encode.event(rt.clock.now(), topic, data)
    except ValueError as error:
        raise Unserializable(f"event of topic {topic!r}: {error}") from None
    if len(event.data) > rt.settings.max_message_bytes:
        raise TooLarge("The event is larger than a message may be")
    connections = rt.store.subscribers(topic_subject(principal.tenant, topic))
    if connections and not _is_handed_over(rt, event, connections):
        deliver.send(rt, event, connections)


def _is_handed_over(rt: Runtime, event: Outgoing, connections: Sequence[str]) -> bool:
    try:
        return bool(rt.hook.streamer_fan_out(event=event, connections=connections))
    except Exception:
        rt.log.exception("an event could not be handed over", connections=len(connections))
        return False
