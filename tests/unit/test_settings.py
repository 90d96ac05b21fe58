"""Defaults, then a file, then the environment; what is wrong is named with its place."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from streamer_core.errors import ConfigurationError
from streamer_core.records import record
from streamer_core.settings import CoreSettings, Settings, validate_section


def write(folder: Path, text: str, name: str = "streamer.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def load(path: Path, **environ: str) -> Settings:
    return Settings.load(path, environ=environ)


def test_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings.load(environ={})
    assert settings.core == CoreSettings()
    assert (settings.source, settings.root) == (None, tmp_path)


def test_a_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        [streamer]
        store = "dynamodb"
        handlers = ["a.b", "c"]
        lease = "1m"
        keep = 60
        allow_query_token = true
        [plugins.jwt]
        issuer = "https://issuer"
        [plugins.jwt.keys]
        one = 1
        """,
    )
    settings = load(path)
    assert (settings.core.store, settings.core.handlers) == ("dynamodb", ("a.b", "c"))
    assert (settings.core.lease, settings.core.keep) == (60_000, 60_000)
    assert settings.core.allow_query_token
    assert settings.plugins == {"jwt": {"issuer": "https://issuer", "keys": {"one": 1}}}
    assert (settings.source, settings.root) == (path, tmp_path)
    assert load(tmp_path) == settings
    assert "issuer" not in repr(settings)


def test_pyproject(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        [tool.streamer]
        store = "x"
        [tool.streamer.plugins.jwt]
        issuer = "y"
        """,
        "pyproject.toml",
    )
    settings = load(path)
    assert (settings.core.store, settings.plugins) == ("x", {"jwt": {"issuer": "y"}})
    assert load(tmp_path) == settings
    path = write(tmp_path, '[tool.streamer]\nplugins = ["jwt"]', "pyproject.toml")
    assert load(path).core.plugins == ("jwt",)


def test_the_nearest_file_upwards_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    write(below, "[project]\nname = 'x'", "pyproject.toml")
    path = write(tmp_path, '[streamer]\nstore = "x"')
    monkeypatch.chdir(below)
    assert Settings.load(environ={}).source == path
    nearer = write(tmp_path / "a", '[tool.streamer]\nstore = "y"', "pyproject.toml")
    assert Settings.load(environ={}).source == nearer


def test_the_environment_comes_last(tmp_path: Path) -> None:
    path = write(tmp_path, '[streamer]\nstore = "x"\n[plugins.jwt]\nissuer = "y"')
    settings = load(
        path,
        STREAMER_STORE="z",
        STREAMER_HANDLERS="a, b,",
        STREAMER_LEASE="5s",
        STREAMER_CHUNK_BUFFER="7",
        STREAMER_ALLOW_QUERY_TOKEN="true",
        STREAMER_PLUGINS__JWT__ISSUER="w",
        STREAMER_PLUGINS__JWT__KEYS__ONE="[1]",
        STREAMER_PLUGINS__OTHER__PATH="/x",
        STREAMER_HOME_OF_ANOTHER_PROGRAM="x",
    )
    assert (settings.core.store, settings.core.handlers) == ("z", ("a", "b"))
    assert (settings.core.lease, settings.core.chunk_buffer) == (5000, 7)
    assert settings.core.allow_query_token
    assert settings.plugins == {
        "jwt": {"issuer": "w", "keys": {"one": [1]}},
        "other": {"path": "/x"},
    }
    assert settings.digest == load(path).digest


def test_which_plugins(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    assert load(path, STREAMER_PLUGINS="a,b").core.plugins == ("a", "b")
    assert load(path).core.plugins is None


def test_the_digest_is_of_what_the_file_says(tmp_path: Path) -> None:
    one = load(write(tmp_path, '[streamer]\nstore="x"\ntransport="y"')).digest
    assert load(write(tmp_path, '[streamer]\ntransport="y"\nstore="x"')).digest == one
    assert load(write(tmp_path, '[streamer]\nstore="x"')).digest != one


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[streamer", "streamer.toml: "),
        ("[streamr]", "unknown section [streamr]"),
        ("streamer = 3", "write [streamer] as a table"),
        ("plugins = 3", "as a table"),
        ("[plugins]\njwt = 3", "as a table"),
        ('[streamer]\nstor = "x"', "stor: there is no such setting; did you mean 'store'?"),
        ("[streamer]\nzzz = 1", "there is no such setting; known: "),
        ('[streamer]\nlease = "soon"', "lease: 'soon' is not a duration"),
        ("[streamer]\nlease = 0", "lease: "),
        ("[streamer]\nlease = [1]", "lease: "),
        ("[streamer]\nchunk_buffer = 0", "chunk_buffer: "),
        ("[streamer]\nchunk_buffer = true", "[streamer] chunk_buffer: write a number"),
        ("[streamer]\nlease = true", "lease: True is not a duration"),
        ("[streamer]\nmax_message_bytes = 5", "max_message_bytes: "),
        ('[streamer]\nlease = "1s"', "heartbeat: must be shorter than lease"),
        ('[streamer]\nhandlers = "a.b"', 'handlers: write a list, as in handlers = ["…"]'),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(write(tmp_path, text))
    assert says in str(caught.value)
    assert "streamer.toml" in str(caught.value)


def test_a_tool_section_that_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="as a table"):
        load(write(tmp_path, "[tool]\nstreamer = 3", "pyproject.toml"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("STREAMER_STORES", "did you mean STREAMER_STORE"),
        ("STREAMER_PLUGINS__JWT", "write STREAMER_PLUGINS__<PLUGIN>__<SETTING>"),
        ("STREAMER_PLUGINS__JWT__ISSUER__URL", "STREAMER_PLUGINS__JWT__ISSUER__URL"),
    ],
)
def test_a_wrong_name_in_the_environment(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        load(write(tmp_path, '[plugins.jwt]\nissuer = "x"'), **{name: "x"})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "other.toml"):
        with pytest.raises(ConfigurationError, match="there is no such file"):
            load(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    path.chmod(0)
    with pytest.raises(ConfigurationError, match=r"streamer\.toml"):
        load(path)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "streamer.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"streamer\.toml"):
        load(path)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid")

    api_key: int = 0


@pytest.mark.parametrize("section", [{"api_key": "hunter2"}, {"api_kye": "hunter2"}])
def test_a_value_is_never_shown(section: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"here api_k.*: ") as caught:
        validate_section(Section, section, "here")
    assert "hunter2" not in str(caught.value)


@record
class Switches:
    on: bool = False
    number: int = 0
    numbers: tuple[int, ...] = ()


@pytest.mark.parametrize("yes", ["1", "true", "yes"])
def test_text_of_the_environment_is_read(tmp_path: Path, yes: str) -> None:
    environ = {"STREAMER_PLUGINS__X__ON": yes, "STREAMER_PLUGINS__X__NUMBER": "1"}
    settings = load(write(tmp_path, ""), STREAMER_PLUGINS__X__NUMBERS="[1]", **environ)
    made = validate_section(Switches, settings.plugins["x"], "here")
    assert made == Switches(on=True, number=1, numbers=(1,))
    assert type(made.number) is int


@pytest.mark.parametrize("number", ["1", "0", "1.0"])
def test_a_files_number_is_no_boolean(tmp_path: Path, number: str) -> None:
    settings = load(write(tmp_path, f"[plugins.x]\non = {number}"))
    with pytest.raises(ConfigurationError, match=r"^here on: write true or false$"):
        validate_section(Switches, settings.plugins["x"], "here")
    with pytest.raises(ConfigurationError, match="allow_query_token: write true or false"):
        load(write(tmp_path, f"[streamer]\nallow_query_token = {number}"))
    named = load(write(tmp_path, "[streamer]"), STREAMER_ALLOW_QUERY_TOKEN="1")
    assert named.core.allow_query_token is True


def test_settings_from_values() -> None:
    settings = Settings.of({"lease": "3s"}, {"x": {"y": 1}})
    assert (settings.core.lease, settings.plugins) == (3000, {"x": {"y": 1}})
