"""The handlers and topics of one application, and the payloads they take."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from streamer_core.errors import ConfigurationError, Invalid
from streamer_core.model.handler import HandlerSpec, TopicSpec
from streamer_core.typeddicts import readable

_SHOWN_PROBLEMS = 20
_SHOWN_CHARS = 200


class Registered:
    """A handler with what is made of its specification once: validator and schema."""

    def __init__(self, spec: HandlerSpec) -> None:
        self.spec = spec

    @cached_property
    def _adapter(self) -> Any:
        # 110 ms to import and build a first model: a start that validates nothing saves it.
        from pydantic import TypeAdapter  # noqa: PLC0415

        return TypeAdapter(readable(self.spec.payload_type))

    @cached_property
    def _validate(self) -> Callable[[Any], Any]:
        validate: Callable[[Any], Any] = self._adapter.validator.validate_python
        return validate

    def validate(self, payload: Mapping[str, Any]) -> Any:
        """Give the payload as the handler's type.

        Raises:
            Invalid: what does not fit, each with its path.
        """
        if self.spec.payload_type is None:
            return payload
        try:
            return self._validate(payload)
        except ValueError as error:
            from pydantic import ValidationError  # noqa: PLC0415

            if not isinstance(error, ValidationError):
                raise
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            details = [
                {"path": _path(p["loc"]), "message": p["msg"][:_SHOWN_CHARS]}
                for p in problems[:_SHOWN_PROBLEMS]
            ]
            raise Invalid("The payload does not fit the action", details=details) from None

    def check(self) -> None:
        """See at the start, not at the first request, that payloads can be validated.

        Raises:
            ConfigurationError: names the handler and what its payload's type lacks.
        """
        try:
            _ = self.schema
        except Exception as error:
            # pydantic says more, over many lines, of how its own hooks are written.
            first = str(error).partition("\n")[0]
            raise ConfigurationError(
                f"{_place(self.spec)}: its payload cannot be validated: "
                f"{type(error).__name__}: {first}"
            ) from error

    @cached_property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the payload."""
        if self.spec.payload_type is None:
            return {"type": "object"}
        schema: dict[str, Any] = self._adapter.json_schema()
        return schema


class Registry:
    """Finds handlers by action and topics by name.

    Raises:
        ConfigurationError: two handlers of one action, or two topics of one pattern, naming both.
    """

    def __init__(self, specs: Iterable[HandlerSpec | TopicSpec] = ()) -> None:
        self._handlers: dict[str, Registered] = {}
        self._topics: dict[str, tuple[re.Pattern[str], TopicSpec]] = {}
        for spec in specs:
            self.add(spec)

    def add(self, spec: HandlerSpec | TopicSpec) -> None:
        """Add one; the same one again changes nothing."""
        known: HandlerSpec | TopicSpec | None
        if isinstance(spec, HandlerSpec):
            known = self._handlers[spec.action].spec if spec.action in self._handlers else None
            name = f"action {spec.action!r}"
        else:
            known = self._topics[spec.pattern][1] if spec.pattern in self._topics else None
            name = f"topic {spec.pattern!r}"
        if known is spec:
            return
        if known is not None:
            raise ConfigurationError(
                f"{name} is declared twice: by {_place(known)} and by {_place(spec)}; rename one"
            )
        if isinstance(spec, HandlerSpec):
            self._handlers[spec.action] = Registered(spec)
        else:
            self._topics[spec.pattern] = (_compiled(spec.pattern), spec)

    def get(self, action: str) -> Registered | None:
        """Find a handler."""
        return self._handlers.get(action)

    def __iter__(self) -> Iterator[Registered]:
        return iter(self._handlers.values())

    def __len__(self) -> int:
        return len(self._handlers)

    def topic(self, name: str) -> tuple[TopicSpec, dict[str, str]] | None:
        """Find the topic that a name belongs to, and what its placeholders stand for."""
        for pattern, spec in self._topics.values():
            if match := pattern.fullmatch(name):
                return spec, match.groupdict()
        return None

    @property
    def scopes(self) -> frozenset[str]:
        """All scopes that any handler asks for."""
        return frozenset().union(*(registered.spec.scopes for registered in self))


def _place(spec: HandlerSpec | TopicSpec) -> str:
    function = spec.call if isinstance(spec, HandlerSpec) else spec.rule
    return f"{spec.module}.{function.__qualname__}"


def _path(parts: Iterable[int | str]) -> str:
    # The names may be the client's own, and as long as a message.
    return ".".join(["payload", *map(str, parts)])[:_SHOWN_CHARS]


def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", pattern)
    regex = "".join(
        f"(?P<{part}>[^:/]+)" if index % 2 else re.escape(part) for index, part in enumerate(parts)
    )
    return re.compile(regex)
