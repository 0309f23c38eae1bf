"""How a process ends without taking a second for nothing."""

import atexit
import gc
import sys


def leave_quickly() -> None:
    """Let the memory of this process go as it ends, instead of being searched for what could be freed.

    What is to be closed or written has been by then, and the kernel takes the memory at once. The interpreter would
    look through some hundred thousand objects three times: with eight processes on two cores that takes seconds.
    """
    atexit.register(_keep_everything)


def _keep_everything() -> None:
    if "torch" not in sys.modules:  # a library that it brings prints a page on whatever it finds unfreed
        gc.freeze()
