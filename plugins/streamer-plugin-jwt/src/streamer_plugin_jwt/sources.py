"""Where the text of a key is: the environment, a file, AWS, or the setting itself."""

import os
from pathlib import Path
from typing import Any

from streamer_core.errors import ConfigurationError
from streamer_plugin_jwt.sight import problem_of

_LARGEST = 256 * 1024
_AWS = ("secretsmanager:", "ssm:")


class Unreadable(Exception):
    """The text could not be had now; its text says why, and nothing of the key."""


def is_remote(place: str) -> bool:
    """Tell whether reading it takes a call to AWS."""
    return place.startswith(_AWS)


def read_local(place: str, root: Path) -> str:
    """Read a key's text from this machine.

    Raises:
        ConfigurationError: it is not there, or is no key at first sight.
    """
    kind, colon, name = place.partition(":")
    if colon and kind == "env":
        text = os.environ.get(name, "")
        if not text.strip():
            raise ConfigurationError(f"[plugins.jwt] keys: the environment has no {name}")
    elif colon and kind == "file":
        text = _file(root / Path(name).expanduser())
    else:
        text = place
    if problem := problem_of(text.strip()):
        what = place if colon and kind in {"env", "file"} else "a key"
        raise ConfigurationError(f"[plugins.jwt] keys: {what}: {problem}")
    return text


def _file(path: Path) -> str:
    try:
        with path.open("rb") as file:  # its size is none, where it is no file
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ConfigurationError(f"[plugins.jwt] keys: {path}: too large for a key")
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigurationError(f"[plugins.jwt] keys: {path}: {said}") from None


def read_remote(place: str, timeout_s: float) -> str:
    """Read a key's text from Secrets Manager or SSM's Parameter Store.

    Raises:
        Unreadable: it could not be read.
    """
    kind, _, name = place.partition(":")
    try:
        import botocore.exceptions  # noqa: PLC0415 - heavy, and an extra
    except ImportError:
        raise Unreadable(
            'botocore is not installed; try: pip install "streamer-plugin-jwt[aws]"'
        ) from None
    try:
        if kind == "ssm":
            answer = _client("ssm", timeout_s).get_parameter(Name=name, WithDecryption=True)
            return str(answer["Parameter"]["Value"])
        answer = _client("secretsmanager", timeout_s).get_secret_value(SecretId=name)
    except botocore.exceptions.ClientError as error:
        raise Unreadable(f"{place}: {error.response['Error']['Code']}") from None
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise Unreadable(f"{place}: {type(error).__name__}") from None
    text = answer.get("SecretString")
    if text is None:
        raise Unreadable(f"{place}: it is binary; store it as text")
    return str(text)


def _client(service: str, timeout_s: float) -> Any:
    from botocore.config import Config  # noqa: PLC0415
    from botocore.session import get_session  # noqa: PLC0415

    return get_session().create_client(
        service,
        config=Config(
            connect_timeout=timeout_s,
            read_timeout=timeout_s,
            retries={"mode": "standard", "total_max_attempts": 1},
        ),
    )
