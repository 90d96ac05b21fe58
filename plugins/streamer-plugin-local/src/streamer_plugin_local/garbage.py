"""How often this process looks for objects that hold each other."""

import gc

_YOUNG = 10_000
"""New containers between two looks at them. Python's own 700 are fewer than a full gateway has
messages under way, each of which it then walked through in vain: a tenth of its time."""


def settle_down() -> None:
    """Look seldom, and never again at what there is now: a full look took 20 to 70 ms of imports.

    What goes in the ordinary way is freed at once, as ever; only what holds itself waits longer.
    """
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
    gc.freeze()
