"""Run a module for as long as whoever started it: `python kept.py MODULE [ARGUMENT…]`.

Standard input is a pipe that nobody writes to. It ends with the process at its other end, however
that ended, and then this one ends with all that it has started.
"""

import os
import runpy
import signal
import sys
import threading


def _end_with_the_other() -> None:
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_other, daemon=True).start()
    sys.argv[:] = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
