"""Who may see a request: its owner, an admin of its tenant, and nobody else."""

from dataclasses import asdict
from typing import Any

from streamer_core.engine.runtime import Runtime
from streamer_core.errors import Invalid, NotFound
from streamer_core.model.call import Resource
from streamer_core.model.ids import REF, ref_of
from streamer_core.model.message import Message
from streamer_core.model.principal import Principal
from streamer_core.model.request import Request


def find(rt: Runtime, principal: Principal, ref: str, verb: str) -> Request:
    """Give a request that the principal may see.

    Raises:
        NotFound: there is none, or it is another's; the asker cannot tell which.
        Refused: a gate says no to the verb.
    """
    request = rt.store.get(ref)
    if request is None or not request.owned_by(principal):
        raise NotFound("There is no such request")
    registered = rt.registry.get(request.action)
    resource = Resource(
        kind="request",
        name=ref,
        handler=registered.spec if registered else None,
        request=request,
    )
    rt.hook.streamer_authorize(principal=principal, verb=verb, resource=resource)
    return request


def ref_in(principal: Principal, message: Message) -> str:
    """Read `{"request_id"}` or `{"ref"}` from a payload.

    Raises:
        Invalid: neither is there, or it is no string.
        NotFound: the ref is none.
    """
    ref, request_id = message.payload.get("ref"), message.payload.get("request_id")
    given = ref if ref is not None else request_id
    if not isinstance(given, str) or not given:
        raise Invalid.field("payload.request_id", "give a request_id, or a ref, as a string")
    if ref is None:
        return ref_of(principal.tenant, principal.user, given)
    if not REF.fullmatch(given):
        raise NotFound("There is no such request")  # nor need a store be able to look for it
    return given


def view(request: Request) -> dict[str, Any]:
    """Show a request as its owner may see it: no failure's kind or stack, no worker."""
    return summary(request) | dict(request.outcome or {})


def anybodys(request: Request) -> dict[str, Any]:
    """Show a request to whoever sees those of all users."""
    return view(request) | {"tenant": request.tenant, "user": request.user}


def whole(request: Request) -> dict[str, Any]:
    """Show a request to an operator: all of it, failures with their stacks included."""
    return anybodys(request) | {
        "scopes": sorted(request.scopes),
        "payload": dict(request.payload),
        "metadata": dict(request.metadata),
        "policy": asdict(request.policy),
        "worker": request.worker,
        "lease_until": request.lease_until,
        "checkpoint": request.checkpoint,
        "failures": [asdict(failure) for failure in request.failures],
    }


def summary(request: Request) -> dict[str, Any]:
    """Show a request without what may fill a message by itself: its result, an error's details."""
    shown: dict[str, Any] = {
        "request_id": request.id,
        "ref": request.ref,
        "action": request.action,
        "status": request.status.wire,
        "priority": request.priority.value,
        "attempt": request.attempt,
        "created_at": request.created_at,
        "due_at": request.due_at,
        "started_at": request.started_at,
        "finished_at": request.finished_at,
        "expires_at": request.expires_at,
        "last_seq": request.last_seq,
        "cancel_requested": request.cancel_requested_at is not None,
        "redriven_from": request.redriven_from,
        "progress": None,
    }
    if request.progress is not None:
        shown["progress"] = {
            "percentage": request.progress.percentage,
            "message": request.progress.message,
            "attempt": request.progress.attempt,
            "at": request.progress.at,
        }
    if error := (request.outcome or {}).get("error"):
        shown["error"] = {"code": error["code"], "message": error["message"]}
    return shown
