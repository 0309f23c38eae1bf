"""A process that prepares files for the one that screens: paths come in by its standard input, answers go out.

Its own process, so that cores are used, and that a file which kills its reader ends nothing else. What it is asked
is a line of JSON, the path; what it answers is a line of JSON, the facts, and then the films' bytes.
"""

import json
import os
import signal
import sys
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from worker.faults import describe
from worker.model.input_spec import InputSpec
from worker.screening.preparation import Prepared, prepare_file

READY = b"ready\n"
_FIRST_TO_GO = "1000"  # proc(5), oom_score_adj: where memory ends the kernel takes this process, not its parent


def main() -> None:
    """Prepare files for the input spec of the first argument, until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole terminal; the parent ends us
    sys.excepthook = _tell_where
    Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO, encoding="ascii")
    spec = InputSpec.model_validate_json(sys.argv[1])
    answers = _take_standard_output()
    answers.write(READY)
    answers.flush()
    for line in sys.stdin.buffer:
        send(prepare_file(Path(json.loads(line)), spec), answers)


def send(prepared: Prepared, answers: BinaryIO) -> None:
    """Write an answer, as `worker.screening.processes` reads it."""
    answers.write(prepared.facts.model_dump_json().encode() + b"\n")
    answers.write(prepared.films.tobytes())
    answers.flush()


def _take_standard_output() -> BinaryIO:
    # What a codec prints must not stand between two answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _tell_where(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
    # Not what the exception says: a library may quote a patient's name.
    fault = describe(error)
    sys.stderr.write(f"cxr-triage: preparing a file failed: {fault.error}\n{fault.traceback or ''}\n")


if __name__ == "__main__":
    main()
