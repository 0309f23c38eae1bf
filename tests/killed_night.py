"""A nightly run that is killed when it has received so many films: python -m tests.killed_night SETTINGS FILMS."""

import json
import os
import signal
import sys
from datetime import datetime

from dicom_io.scp import ReceivedObject
from worker.db import Database
from worker.intake import Intake
from worker.reconciling.night import NightlyRun
from worker.reconciling.run import Reconciler
from worker.service import Service
from worker.settings import Settings


def main() -> None:
    """Run, and die without a word."""
    given, films = json.loads(sys.argv[1]), int(sys.argv[2])
    now = datetime.fromisoformat(given.pop("now"))
    settings = Settings(**given)
    service = Service(settings, Database(settings.effective_database_url), lambda _queue: None, lambda: now)
    received: list[str] = []

    def receive(one: ReceivedObject) -> None:
        Intake(service).receive(one)
        received.append(one.content_sha256)
        if len(received) == films:
            os.kill(os.getpid(), signal.SIGKILL)

    NightlyRun(Reconciler(service, receive)).go_on()


if __name__ == "__main__":
    main()
