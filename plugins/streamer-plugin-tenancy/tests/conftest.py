"""An app with the plugin, on a clock held by hand."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from streamer_core.plugins import Found
from tests.conftest import logs
from tests.unit.harness import Rig

__all__ = ["logs", "make_rig", "make_rig_on"]

FOUND = (Found(name="tenancy", value="streamer_plugin_tenancy:TenancyPlugin"),)

MakeRig = Callable[..., Rig]


@pytest.fixture
def make_rig() -> MakeRig:
    """Give a function that makes one; `sections={"tenancy": {…}}` are the plugin's settings."""
    return partial(Rig, found=FOUND)


@pytest.fixture
def make_rig_on(make_rig: MakeRig, open_store: Callable[[Any], Any]) -> MakeRig:
    """Give a function that makes one on each store; made again, on the same data."""
    return partial(make_rig, open_store=open_store)
