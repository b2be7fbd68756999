"""`python -m services.cli.tether MODULE`: runs MODULE, and ends it when the process that started it is gone.

The starter holds the other end of our standard input and never writes. The kernel closes it however the starter ends,
kill -9 included, on every Unix; a signal bound to the parent's death exists on Linux alone.
"""

import os
import runpy
import signal
import sys
import threading


def _end_with(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)  # as from the starter: drain, then exit


def main() -> None:
    """Standard input is the tether; the module sees an empty one."""
    module = sys.argv[1]
    tether = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    threading.Thread(target=_end_with, args=(tether,), name="tether", daemon=True).start()
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
