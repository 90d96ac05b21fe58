"""Measurements."""

from streamer_core.markers import hookspec
from streamer_core.model.call import Metric


@hookspec
def streamer_on_metric(metric: Metric) -> None:
    """Take one measurement.

    Called: for each measurement the engine or a plugin makes (`app.runtime.measure`), many for one
    message; docs/operations.md lists them. Where no plugin has this hook none is even made.
    Answers (observe): all are told; what they give back is ignored.

    Args:
        metric: dotted name, value, unit (`count`, `ms`, `bytes`, `gauge`), tags of few values each,
            never a user's or a request's id; in bytes, how many `times` value adds up.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: must not: add it up, and send what was gathered in `streamer_on_flush` or a thread.

    Example:
        ```python
        from collections import Counter
        from streamer_core.markers import hookimpl

        class Totals:
            def __init__(self, settings, app):
                self.totals = Counter()

            @hookimpl
            def streamer_on_metric(self, metric):
                if metric.unit == "count":
                    self.totals[metric.name, *sorted(metric.tags.items())] += metric.value
        ```

    Added in 0.1. Implemented by: cloudwatch (adds it up).
    """
