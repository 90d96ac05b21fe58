"""What a plugin says about itself before it is made."""

from streamer_core.records import record


@record
class Manifest:
    """Where a plugin stands among the others, by their entry point names.

    Args:
        requires: must be loaded too; it is made before this one.
        before, after: where both are loaded, this one is asked before or after them.
        conflicts: may not be loaded beside this one.
    """

    requires: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
