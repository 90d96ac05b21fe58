"""What the commands print."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from streamer_core.cli import output
from streamer_core.cli.problem import note
from streamer_core.cli.text import clean, pretty, when
from streamer_core.model.request import Request
from streamer_plugin_dlq.entry import REQUEST, Entry, to_plain

_COLUMNS = ("id", "failed", "source", "action", "code", "kind", "tenant", "user", "done")
_CAUSE = ("source", "action", "code", "kind")


def print_list(entries: Sequence[Entry], *, as_json: bool) -> None:
    """Print one a line."""
    if as_json:
        output.json_lines(map(to_plain, entries))
    elif entries:
        output.table(_COLUMNS, [_row(entry) for entry in entries])
    else:
        note("no dead letters")


def _row(entry: Entry) -> tuple[str, ...]:
    own = (entry.source, entry.action, entry.code, entry.kind, entry.tenant, entry.user)
    return (entry.id, when(entry.at), *own, entry.done)


def print_causes(entries: Iterable[Entry], *, as_json: bool) -> None:
    """Print one cause a line, the most frequent first."""
    times: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for entry in entries:
        times[tuple(getattr(entry, name) for name in _CAUSE)].append(entry.at)
    causes = sorted(times.items(), key=lambda cause: (-len(cause[1]), cause[0]))
    found = [
        {"count": len(those), **dict(zip(_CAUSE, cause, strict=True))}
        | {"first": min(those), "last": max(those)}
        for cause, those in causes
    ]
    if as_json:
        output.json_lines(found)
    elif found:
        columns = ("count", *_CAUSE, "first", "last")
        output.table(columns, [_cause_row(one) for one in found])
    else:
        note("no dead letters")


def _cause_row(cause: Mapping[str, Any]) -> tuple[str, ...]:
    own = (cause[name] for name in _CAUSE)
    return (str(cause["count"]), *own, when(cause["first"]), when(cause["last"]))


def print_letter(entry: Entry, details: Any, *, as_json: bool) -> None:
    """Print all of one."""
    if as_json:
        output.json_lines([to_plain(entry) | {"details": details}])
        return
    output.facts(_facts(entry))
    if entry.source != REQUEST:
        output.block("record", pretty(details))
        return
    for name in ("payload", "metadata"):
        output.block(name, pretty(details[name]))
    for failure in details["failures"]:
        title = f"attempt {failure['attempt']} failed {when(failure['at'])} {failure['kind']}"
        text = f"{failure['code']}: {failure['message']}\n{failure['trace']}"
        output.block(clean(title), clean(text, keep="\n"))


def _facts(entry: Entry) -> list[tuple[str, str]]:
    return [
        ("id", entry.id),
        ("source", entry.source),
        ("ref", entry.ref),
        ("action", entry.action),
        ("tenant", entry.tenant),
        ("user", entry.user),
        ("accepted", when(entry.created_at or None)),
        ("failed", when(entry.at)),
        ("code", entry.code),
        ("kind", entry.kind),
        ("message", entry.message),
        ("attempts", str(entry.attempts or "")),
        ("redacted", "some of it was left out, as [plugins.dlq] says" if entry.redacted else ""),
        ("done", f"{entry.done} {entry.redriven_as}".strip()),
    ]


def print_redriven(entry: Entry, new: Request, *, as_json: bool) -> None:
    """Print what a dead letter was redriven as."""
    if as_json:
        plain = {"id": entry.id, "ref": entry.ref, "redriven_as": new.ref, "due_at": new.due_at}
        output.json_lines([plain])
    else:
        click.echo(f"{entry.id} is redriven as {new.ref}, due {when(new.due_at)}")
