"""For tests of Streamer, of plugins and of handlers: fakes, and the suites that ports must pass.

The fakes need nothing beyond the core; `streamer_core.testing.contracts` needs the extra
`streamer-core[testing]`. Nothing outside tests imports this package.
"""

from streamer_core.testing.clock import ManualClock
from streamer_core.testing.store import MemoryStore
from streamer_core.testing.transport import MemoryTransport

__all__ = ["ManualClock", "MemoryStore", "MemoryTransport"]
