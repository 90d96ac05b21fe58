"""What handlers do in a run, and what goes wrong in the store meanwhile."""

from hypothesis import strategies as st

from streamer_core.ports import Store

DOINGS = ("emit", "emit", "insist", "checkpoint", "progress", "beat", "blink", "linger", "guest")
_TROUBLES = (
    *("fail", "reject", "later", "circuit", "outlive", "hang", "cancel", "drain"),
    *("meanwhile", "meanwhile", "die"),
)
_doing, _trouble = st.sampled_from(DOINGS), st.sampled_from(_TROUBLES)
# Much is done before trouble comes, or there would be little to lose.
STEPS = st.lists(_doing, min_size=3, max_size=10) | st.lists(
    _doing | _doing | _trouble, min_size=3, max_size=10
)
_OFTEN = ("append", "finish", "requeue", "heartbeat", "subscribers", "mark_sent", "enqueue")
IN_WORK = ("append", "append", "finish", "requeue", "heartbeat", "subscribers")
VERBS = sorted(Store.__abstractmethods__ - {"check", "close", "open_feed"})
FAILING = st.sampled_from(_OFTEN) | st.sampled_from(VERBS)
TAKE_ITEMS = frozenset({"enqueue", "append", "finish", "requeue", "heartbeat"})
