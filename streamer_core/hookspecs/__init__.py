"""Every extension point. Import them from here; each is written down beside its kin:

- `registration`, `storage`, `transport`, `lifecycle`: what a process is made of, from start to end;
- `auth`, `admission`, `routing`: a message's way in;
- `dispatch`, `execution`, `circuits`: its handler's run;
- `events`, `metrics`: what became of it.

Five families, told apart by how answers combine:

- **provide**: collected; a provider answers only to its own name, and two for one name are refused.
- **gate**: all are asked; any typed error refuses; None passes.
- **decide**: the first answer that is not None wins; the core's own comes last; a typed error means
  "mine, and no".
- **surround**: an onion around what the core does. Where it is watched, by context managers
  (`streamer_around_…`), which are the cheaper ones; where the answer may be another, by
  `wrapper=True` generators.
- **observe**: told afterwards, each by itself: one that fails is logged and silences nobody.

All hooks are plain functions, called in the order of the plugins' manifests.

True of all of them, and not said again below:

- An implementation takes the arguments it wants, by name, and may leave out the others.
- Hooks are called from any thread, several at once.
- Times are Unix milliseconds, durations milliseconds, sizes bytes.
- The pulse is one thread in each process, beside all running handlers: it sends their progress and
  extends their leases. What holds it longer than `lease` (30 s) costs every one of them its lease.
- An example is a whole plugin, loaded as it stands by the tests.
"""

from streamer_core.hookspecs.admission import streamer_admit, streamer_limit
from streamer_core.hookspecs.auth import streamer_authenticate, streamer_authorize
from streamer_core.hookspecs.circuits import streamer_circuit, streamer_on_circuit_change
from streamer_core.hookspecs.dispatch import streamer_dispatch, streamer_park, streamer_schedule
from streamer_core.hookspecs.events import (
    streamer_on_connect,
    streamer_on_dead_letter,
    streamer_on_disconnect,
    streamer_on_request,
    streamer_on_transition,
    streamer_on_update,
)
from streamer_core.hookspecs.execution import (
    streamer_around_call,
    streamer_execute,
    streamer_retry,
)
from streamer_core.hookspecs.lifecycle import (
    streamer_health,
    streamer_on_flush,
    streamer_on_sweep,
    streamer_shutdown,
    streamer_startup,
)
from streamer_core.hookspecs.metrics import streamer_on_metric
from streamer_core.hookspecs.registration import (
    streamer_lambda_entries,
    streamer_register_commands,
    streamer_register_handlers,
    streamer_register_panels,
)
from streamer_core.hookspecs.routing import (
    streamer_around_message,
    streamer_enqueue,
    streamer_metadata,
    streamer_route,
)
from streamer_core.hookspecs.storage import (
    streamer_open_store,
    streamer_open_tenant_store,
    streamer_wrap_store,
)
from streamer_core.hookspecs.transport import (
    streamer_deliver,
    streamer_fan_out,
    streamer_open_transport,
)

__all__ = [
    "streamer_admit",
    "streamer_around_call",
    "streamer_around_message",
    "streamer_authenticate",
    "streamer_authorize",
    "streamer_circuit",
    "streamer_deliver",
    "streamer_dispatch",
    "streamer_enqueue",
    "streamer_execute",
    "streamer_fan_out",
    "streamer_health",
    "streamer_lambda_entries",
    "streamer_limit",
    "streamer_metadata",
    "streamer_on_circuit_change",
    "streamer_on_connect",
    "streamer_on_dead_letter",
    "streamer_on_disconnect",
    "streamer_on_flush",
    "streamer_on_metric",
    "streamer_on_request",
    "streamer_on_sweep",
    "streamer_on_transition",
    "streamer_on_update",
    "streamer_open_store",
    "streamer_open_tenant_store",
    "streamer_open_transport",
    "streamer_park",
    "streamer_register_commands",
    "streamer_register_handlers",
    "streamer_register_panels",
    "streamer_retry",
    "streamer_route",
    "streamer_schedule",
    "streamer_shutdown",
    "streamer_startup",
    "streamer_wrap_store",
]
