"""What every command shares: help, errors, exit codes, and the commands of plugins."""

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from streamer_core import cli
from streamer_core.cli import loading, root
from streamer_core.cli.extend import BROUGHT_BY
from streamer_core.cli.project import Project
from streamer_core.errors import StoreError
from streamer_core.settings import Settings
from tests.unit.cli.tools import Dist, Run, Start

COMMANDING = """
    import click
    from streamer_core.markers import hookimpl

    class Plugin:
        def __init__(self, settings, app):
            self.app = app

        @hookimpl
        def streamer_register_commands(self, cli):
            @cli.command()
            @click.option("--config")
            def shout(config):
                "Shout."
                click.echo(f"store={self.app.settings.core.store} config={config}")
"""
BROKEN = "raise ImportError('no such luck')"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"streamer {version('streamer-core')}\n"


def test_help_lists_commands_of_the_core_and_of_plugins(run: Run, dist: Dist) -> None:
    dist("shouting", COMMANDING)
    result = run("--help", STREAMER_PLUGINS="local,shouting")
    assert result.exit_code == 0
    for command in (*root.BUILT_IN, "dev", "shout"):
        assert f"\n  {command} " in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("command", root.BUILT_IN)
def test_that_every_command_has_a_help_page(run: Run, command: str) -> None:
    assert run(command, "--help").exit_code == 0


def test_that_help_survives_a_broken_plugin(run: Run, dist: Dist) -> None:
    dist("broken", BROKEN)
    dist("shouting", COMMANDING)
    result = run("--help")
    assert "shout" in result.stdout
    assert "dist-broken 1.2 (plugin 'broken') cannot be imported" in result.stderr


def test_that_help_survives_wrong_settings(run: Run, elsewhere: Path) -> None:
    (elsewhere / "streamer.toml").write_text("[streamer]\nstoer = 1")
    result = run("--help")
    assert result.exit_code == 0
    assert "did you mean 'store'?" in result.stderr


def test_a_command_of_a_plugin_that_is_left_out(run: Run) -> None:
    """As in a project that `streamer init` has made, whose settings name the plugins to load."""
    for command, distribution in BROUGHT_BY.items():
        result = run(command, STREAMER_PLUGINS="sqlite")
        assert result.exit_code == 2
        name = distribution.removeprefix("streamer-plugin-")
        assert result.stderr == (
            f"Error: `streamer {command}` is brought by {distribution}, which the settings leave "
            f'out\nHint: add "{name}" to [streamer] plugins\n'
        )
        if name != "jwt":  # which needs settings
            assert f"\n  {command} " in run("--help", STREAMER_PLUGINS=name).stdout


def test_a_command_that_is_misspelt(run: Run) -> None:
    result = run("snd", STREAMER_PLUGINS="local")
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: there is no command 'snd'\nHint: did you mean `streamer send`?\n"
    )
    assert "`streamer --help` lists all" in run("xyzzy", STREAMER_PLUGINS="local").stderr


def test_an_option_that_is_misspelt(run: Run) -> None:
    assert run("--verzion").exit_code == 2


def test_a_command_that_a_plugin_brings(run: Run, dist: Dist, elsewhere: Path) -> None:
    dist("shouting", COMMANDING)
    (elsewhere / "other.toml").write_text('[streamer]\nstore = "memory"')
    assert run("shout").stdout == "store=sqlite config=None\n"
    assert run("--config", "other.toml", "shout").stdout == "store=memory config=other.toml\n"


def test_a_command_that_is_left_out_with_its_plugin(run: Run, dist: Dist) -> None:
    dist("broken", BROKEN)
    result = run("shout")
    assert result.exit_code == 2
    assert "no such luck" in result.stderr
    assert "streamer plugins doctor" in result.stderr


def test_that_a_plugin_takes_no_command_from_the_core(run: Run, dist: Dist) -> None:
    dist("shouting", COMMANDING.replace("def shout", "def send"))
    result = run("--help")
    assert "plugin 'shouting': there is a command 'send' already" in result.stderr


def test_dev_that_is_not_installed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "installed", list)
    result = run("dev")
    assert result.exit_code == 2
    assert "streamer-plugin-local, which is not installed" in result.stderr
    assert "Hint: pip install streamer-plugin-local" in result.stderr


def test_dev_that_the_settings_leave_out(run: Run) -> None:
    result = run("dev", STREAMER_PLUGINS="sqlite")
    assert result.exit_code == 2
    assert 'add "local" to [streamer] plugins' in result.stderr


def test_a_file_of_settings_that_is_not_there(run: Run) -> None:
    result = run("--config", "none.toml", "connections")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: none.toml: there is no such file")


def test_that_a_sentence_gives_its_hint_a_line(run: Run) -> None:
    result = run("connections", STREAMER_STORE="nosuch", STREAMER_PLUGINS="local")
    assert result.exit_code == 2
    assert "\nHint: pip install streamer-plugin-nosuch\n" in result.stderr


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (StoreError("disk is full"), 1, "Error: StoreError: disk is full\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_ends_a_command(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    said: str,
) -> None:
    def fail(*_: object) -> Settings:
        raise error

    monkeypatch.setattr(Project, "settings", property(fail))
    result = run("freeze")
    assert (result.exit_code, result.stderr) == (code, said)


def test_without_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "streamer_core.cli.root", None)
    monkeypatch.setattr(cli, "_EXTRA", {"streamer_core.cli.root"})
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert 'pip install "streamer-core[cli]"' in capsys.readouterr().err
    monkeypatch.setattr(cli, "_EXTRA", set())
    with pytest.raises(ModuleNotFoundError):
        cli.main()


def test_the_installed_command(start: Start) -> None:
    process = start("send", "--help")
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Exit codes:" in out
