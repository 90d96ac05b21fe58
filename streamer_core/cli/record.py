"""A stored request as its operator sees it: all of it, failures with their stacks included."""

from streamer_core.cli import output
from streamer_core.cli.text import clean, compact, pretty, when
from streamer_core.model.request import Failure, Request

COLUMNS = ("ref", "id", "action", "status", "progress", "tenant", "user", "created", "error")


def row(request: Request) -> tuple[str, ...]:
    """Give a request's line of the list."""
    error = (request.outcome or {}).get("error") or {}
    return (
        request.ref,
        request.id,
        request.action,
        request.status.wire,
        f"{request.progress.percentage:.0f}%" if request.progress else "",
        request.tenant,
        request.user,
        when(request.created_at),
        str(error.get("code", "")),
    )


def print_record(request: Request) -> None:
    """Print everything, for people."""
    output.facts(_facts(request))
    output.block("payload", pretty(dict(request.payload)))
    if request.outcome:
        output.block("outcome", pretty(dict(request.outcome)))
    for failure in request.failures:
        _print_failure(failure)


def _facts(request: Request) -> list[tuple[str, str]]:
    progress, stop = request.progress, request.cancel_requested_at
    most = request.policy.max_attempts
    return [
        ("ref", request.ref),
        ("id", request.id),
        ("action", request.action),
        ("status", request.status.wire + (" (asked to stop)" if stop else "")),
        ("progress", f"{progress.percentage:.0f}% {progress.message}" if progress else ""),
        ("attempt", f"{request.attempt} of {most}" if request.attempt else ""),
        ("tenant", request.tenant),
        ("user", request.user),
        ("scopes", " ".join(sorted(request.scopes))),
        ("priority", request.priority.value),
        ("metadata", compact(dict(request.metadata)) if request.metadata else ""),
        ("worker", request.worker or ""),
        ("created", when(request.created_at)),
        ("due", when(request.due_at)),
        ("started", when(request.started_at)),
        ("held by workers", f"{request.ran_ms / 1000:g} s" if request.ran_ms else ""),
        ("finished", when(request.finished_at)),
        ("kept until", when(request.expires_at)),
        ("updates", f"{request.last_seq}, {request.sent_seq} known to be sent"),
        ("redriven from", request.redriven_from or ""),
    ]


def _print_failure(failure: Failure) -> None:
    kind = f" {failure.kind}" if failure.kind else ""
    said = f"{failure.code}: {failure.message}"
    text = "\n".join(part for part in (said, failure.trace) if part)
    title = f"attempt {failure.attempt} failed {when(failure.at)}{kind}"
    output.block(clean(title), clean(text, keep="\n"))
