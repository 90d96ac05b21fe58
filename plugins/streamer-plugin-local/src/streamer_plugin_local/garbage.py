"""How often this process looks for objects that hold each other."""

import gc

_YOUNG, _MIDDLE, _OLD = 10_000, 3, 3
"""New containers between two looks at them; every so manieth look goes deeper.

Python's own (700, 10, 10) looks at the young so often that a full gateway walked through the
thousands of messages under way again and again: a tenth of its time. A look at all comes after as
many new ones as with those: what a closed connection leaves behind lies about no longer.
"""


def settle_down() -> None:
    """Look seldom, and never again at what there is now: a full look took 20 to 70 ms of imports.

    What goes in the ordinary way is freed at once, as ever; only what holds itself waits longer.
    """
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
    gc.freeze()
