"""Handler modules that cannot be imported stop the start, and the sentence says where."""

import itertools
from pathlib import Path

import pytest

from streamer_core import Settings, Streamer
from streamer_core.errors import ConfigurationError
from streamer_core.testing import ManualClock, MemoryStore, MemoryTransport

_names = (f"app_handlers_{n}" for n in itertools.count())


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("x = 1\nimport no_such_module\n", "No module named 'no_such_module' ({name}.py, line 2)"),
        ("\n\nprint(nowhere)\n", "NameError: name 'nowhere' is not defined ({name}.py, line 3)"),
        ("def f(:\n", "SyntaxError: invalid syntax ({name}.py, line 1)"),
        ("raise SystemExit(1)\n", "SystemExit: 1 ({name}.py, line 1)"),
        (None, "ModuleNotFoundError: No module named '{name}'"),
    ],
    ids=["import", "name", "syntax", "exit", "missing"],
)
def test_a_module_that_cannot_be_imported(
    code: str | None, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = next(_names)
    if code is not None:
        (tmp_path / f"{name}.py").write_text(code)
    (tmp_path / "streamer.toml").write_text(f'[streamer]\nplugins = []\nhandlers = ["{name}"]\n')
    monkeypatch.syspath_prepend(tmp_path)
    clock = ManualClock()

    with pytest.raises(ConfigurationError) as refused:
        Streamer(
            Settings.load(tmp_path, environ={}),
            store=MemoryStore(clock),
            transport=MemoryTransport(),
            clock=clock,
        )

    said = f"handlers module {name!r} cannot be imported: "
    assert str(refused.value).startswith(said)
    assert str(refused.value).endswith(cause.format(name=name))
