"""Who a measurement is of, where the settings ask for it."""

from collections.abc import Callable, Sequence

from streamer_core.markers import hookimpl
from streamer_core.model.call import Metric
from streamer_core.scope import fields


class Naming:
    """Tags measurements with what this thread's work is known to be of.

    Args:
        names: the identities that are asked for.
        take: takes what was tagged.
    """

    def __init__(self, names: Sequence[str], take: Callable[[Metric], None]) -> None:
        self._names = names
        self._take = take

    @hookimpl
    def streamer_on_metric(self, metric: Metric) -> None:
        """Tag it, and hand it on; what is nobody's stays as it is."""
        known = fields()
        tags = {name: value for name in self._names if (value := known.get(name)) is not None}
        self._take(metric._replace(tags={**tags, **metric.tags}))
