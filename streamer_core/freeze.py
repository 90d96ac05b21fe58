"""Write down what a start resolved, so that the next one need not look for it.

Looking entry points up reads the metadata of every installed distribution. A bundle that never
changes after it was built starts from the file instead, and refuses to start where it has changed.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from streamer_core.errors import ConfigurationError
from streamer_core.installed import versions
from streamer_core.plugins import Found
from streamer_core.settings import Settings

FORMAT = 1
CORE = "streamer-core"
_AGAIN = "run `streamer freeze` again"


def write(path: Path, *, plugins: list[Found], handlers: list[str], settings: Settings) -> None:
    """Write the file: plugins in their order, handler modules, versions, the settings' digest."""
    data = {
        "format": FORMAT,
        "core": versions()[CORE],
        "plugins": [asdict(plugin) for plugin in plugins],
        "handlers": handlers,
        "settings": settings.digest,
    }
    path.write_text(json.dumps(data, indent=2) + "\n", "utf-8")


def read(path: Path, settings: Settings) -> tuple[list[Found], list[str]]:
    """Give the frozen plugins and handler modules.

    Raises:
        ConfigurationError: it cannot be read, or does not match what is installed or set.
    """
    try:
        data: dict[str, Any] = json.loads(path.read_text("utf-8"))
        plugins = [Found(**plugin) for plugin in data["plugins"]]
        handlers = list(data["handlers"])
        frozen = (data["format"], data["core"], data["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path}: not a frozen file ({error}); {_AGAIN}") from None
    _match(path, "format", frozen[0], FORMAT)
    present = versions()
    for name, version in [(CORE, frozen[1]), *((one.distribution, one.version) for one in plugins)]:
        _match(path, name, version, present.get(name, "not installed"))
    if frozen[2] != settings.digest:
        raise ConfigurationError(f"{path}: the settings changed since it was written; {_AGAIN}")
    return plugins, handlers


def _match(path: Path, what: str, frozen: object, present: object) -> None:
    if frozen != present:
        raise ConfigurationError(f"{path}: {what} was {frozen} and is {present}; {_AGAIN}")
