"""Suites that show whether a port or a plugin keeps its promises.

Subclass one as `Test…`, give the fixtures that its docstring names, and run pytest. A rule that
does not hold yet may be marked xfail with a reason, never replaced.
"""

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{name}" for name in ("build", "machine", "plugin", "store", "transport"))
)

from streamer_core.testing.contracts.plugin import PluginContract  # noqa: E402 - rewrite comes first
from streamer_core.testing.contracts.store import StoreContract  # noqa: E402
from streamer_core.testing.contracts.transport import TransportContract  # noqa: E402

__all__ = ["PluginContract", "StoreContract", "TransportContract"]
