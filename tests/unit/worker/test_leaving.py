"""How a long-running process ends."""

import subprocess
import sys

_LIFE = """
import atexit, sys
from worker.leaving import leave_quickly

class Cycle:
    def __init__(self):
        self.me = self

    def __del__(self):
        print("searched for")

leave_quickly()
atexit.register(print, "tidied up")
kept = Cycle()
sys.stdout.write("written, ")
sys.exit(3)
"""


def test_what_is_to_be_done_at_the_end_is_done_and_memory_is_not_searched() -> None:
    """Buffers are written, the handlers of the end run, and the status is the one that was given."""
    ended = subprocess.run([sys.executable, "-c", _LIFE], capture_output=True, text=True, check=False, timeout=60)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("written, tidied up\n", "", 3)
