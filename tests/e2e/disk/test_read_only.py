"""A file that may be read and not written: a clear error, before anything is served."""

import ctypes
import os

import pytest

from tests.e2e.disk.starting import start
from tests.e2e.kit.stand import NewStand, Stand

_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE = 24, 1


def _as_anybody() -> None:
    """Give up root's right to write what it may not: it ends with the next exec."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0)


@pytest.fixture
def used(new_stand: NewStand) -> Stand:
    """Give a stand whose database was made, and closed."""
    stand = new_stand()
    stand.store().close()
    return stand


@pytest.mark.parametrize("read_only", ["streamer.db", "."])
def test_a_start_is_refused(used: Stand, read_only: str) -> None:
    path = used.folder / read_only
    mode = path.stat().st_mode
    path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        ended = start(used.folder, _as_anybody)
    finally:
        path.chmod(mode)
    assert ended.returncode == 2, ended.stderr
    database = used.folder / "streamer.db"
    assert f"[plugins.sqlite] path: {database} cannot be used" in ended.stderr, ended.stderr
    assert "Traceback" not in ended.stderr
