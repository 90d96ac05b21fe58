"""The rules of `streamer_core.ports.store`, one concern a file, put together as StoreContract."""

from streamer_core.testing.contracts.store.append import AppendRules
from streamer_core.testing.contracts.store.cancel import CancelRules
from streamer_core.testing.contracts.store.claim import ClaimRules, FairnessRules
from streamer_core.testing.contracts.store.connections import ConnectionRules, SubscriptionRules
from streamer_core.testing.contracts.store.counters import CounterRules
from streamer_core.testing.contracts.store.encoding import EncodingRules, SizeRules
from streamer_core.testing.contracts.store.end import FinishRules
from streamer_core.testing.contracts.store.enqueue import EnqueueRules
from streamer_core.testing.contracts.store.expiry import ExpiryRules
from streamer_core.testing.contracts.store.feed import FeedRules
from streamer_core.testing.contracts.store.life import DurabilityRules, HandleRules
from streamer_core.testing.contracts.store.query import QueryRules
from streamer_core.testing.contracts.store.races import RaceRules
from streamer_core.testing.contracts.store.requeue import RequeueRules
from streamer_core.testing.contracts.store.slots import SlotRules
from streamer_core.testing.contracts.store.sweep import SweepRules
from streamer_core.testing.contracts.store.values import ValueRules


class StoreContract(
    ConnectionRules,
    SubscriptionRules,
    EnqueueRules,
    ClaimRules,
    FairnessRules,
    SlotRules,
    AppendRules,
    FinishRules,
    RequeueRules,
    CancelRules,
    RaceRules,
    QueryRules,
    SweepRules,
    ExpiryRules,
    CounterRules,
    ValueRules,
    FeedRules,
    EncodingRules,
    SizeRules,
    DurabilityRules,
    HandleRules,
):
    """What every store must do. Subclass it as `Test…` and give the fixture `open_store`.

    ```python
    class TestMyStore(StoreContract):
        durable = True

        @pytest.fixture
        def open_store(self, tmp_path):
            return lambda clock: MyStore(tmp_path / "db", clock)
    ```
    Every call of `open_store` opens one more handle on the same data, empty at a test's start.
    What a store can do beyond the rest is declared by class attributes:

    - `durable`: what was written is there after close and open.
    - `multi_process`: handles opened side by side see each other's writes and changes.
    - `max_item_bytes`: records, updates and checkpoints larger than this raise ItemTooLarge.
    - `walk_items`: how many requests a walk through a list passes; fewer, where each takes long.
    - `purges = False`: the database deletes what has expired by itself, and `purge` gives 0.

    Times come from a ManualClock; threads and feeds wait in real time, at most some seconds.
    `streamer_core.testing.contracts.machine.StoreMachine` walks through the same rules at random.
    """
