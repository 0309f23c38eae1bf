"""A PACS that pushes studies with DCMTK's storescu and with our own client, and remembers every answer."""

import contextlib
import random
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from pydicom import dcmread

from dicom_io.errors import PeerUnreachableError, StoreRefusedError
from dicom_io.scu import store
from dicom_io.types import ApplicationEntity
from tests.chaos.films import Film, Films
from tests.chaos.ledger import Ledger
from tests.chaos.scale import Scale
from tests.chaos.service import ChaosService
from tests.servers.ports import wait_until
from tests.servers.programs import require_program

LONGEST_PUSH_SECONDS = 120.0  # a push that takes longer was left hanging
_ANSWER_SECONDS = 30
_SENDING = re.compile(r"^I: Sending file: (?P<path>.*)$")
_ANSWERED = re.compile(r"^I: Received Store Response \((?P<status>.*)\)$")
_STATUSES = {"Success": 0x0000, "OutOfResources": 0xA700, "SOPClassMismatch": 0xA900, "CannotUnderstand": 0xC000}
_OTHER = 0xFFFF


class HangingError(Exception):
    """The service neither answered nor ended the association."""


def push(listener: ApplicationEntity, films: Sequence[Film], ledger: Ledger, *, within: Sequence[str] = ()) -> None:
    """Push films with storescu over one association; a film after one that was refused is sent nevertheless.

    Args:
        listener: where to.
        films: what.
        ledger: takes the answers.
        within: words before the command, which let it run on another host.

    Raises:
        HangingError: if it does not end.
    """
    waits = ("--timeout", "5", "--acse-timeout", "10", "--dimse-timeout", str(_ANSWER_SECONDS))
    command = (*within, require_program("storescu", "dcmtk"), "--verbose", "--no-halt", "--required", *waits)
    address = ("--call", listener.ae_title, listener.host, str(listener.port))
    paths = [str(film.path) for film in films]
    try:
        done = subprocess.run(
            [*command, *address, *paths], capture_output=True, text=True, check=False, timeout=LONGEST_PUSH_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise HangingError(f"storescu got no answer within {LONGEST_PUSH_SECONDS:g} seconds") from error
    answers = _answers(done.stdout + done.stderr)
    for film in films:
        ledger.record(film, answers.get(str(film.path)))


def push_with_our_client(listener: ApplicationEntity, films: Sequence[Film], ledger: Ledger) -> None:
    """Push films one by one, each over an association of its own."""
    for film in films:
        ledger.record(film, _stored(listener, film))


def _stored(listener: ApplicationEntity, film: Film) -> int | None:
    try:
        (status,) = store(listener, [dcmread(film.path)], calling_ae_title="PACS", timeout_seconds=_ANSWER_SECONDS)
    except StoreRefusedError as error:
        return error.status
    except PeerUnreachableError:
        return None
    return status


def _answers(printed: str) -> dict[str, int]:
    answers: dict[str, int] = {}
    sending = ""
    for line in printed.splitlines():
        if match := _SENDING.match(line):
            sending = match["path"]
        elif match := _ANSWERED.match(line):
            answers[sending] = next((code for word, code in _STATUSES.items() if word in match["status"]), _OTHER)
    return answers


@dataclass
class Pusher:
    """Pushes until the block ends: studies of one or two films, some sent again.

    Attributes:
        scale: bounds the number of objects, the time and the pace.
    """

    listener: ApplicationEntity
    films: Films
    ledger: Ledger
    dice: random.Random
    scale: Scale
    _enough: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _fault: list[BaseException] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="pusher")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._enough.set()
        assert self._thread is not None
        self._thread.join()
        if self._fault and error is None:
            raise self._fault[0]

    def _run(self) -> None:
        end = time.monotonic() + self.scale.seconds
        try:
            while not self._enough.is_set() and self.ledger.pushed < self.scale.objects and time.monotonic() < end:
                self._push_some()
                self._enough.wait(self.scale.pause)
        except BaseException as fault:  # noqa: BLE001 - raised again at the end of the block, in the thread of the test
            self._fault.append(fault)

    def _push_some(self) -> None:
        batch = [film for _ in range(self.dice.randint(1, 2)) for film in self._study()]
        batch += self._again()
        way = push if self.dice.random() < 0.8 else push_with_our_client
        way(self.listener, batch, self.ledger)

    def _study(self) -> list[Film]:
        first = self.films.new(flagged=self.dice.random() < 0.5)
        if self.dice.random() < 0.7:
            return [first]
        return [first, self.films.new(flagged=first.flagged, study_instance_uid=first.study_instance_uid)]

    def _again(self) -> list[Film]:
        # As a PACS does with what was not answered, and at times with what was.
        owed = self.ledger.unanswered()[:2]
        known = self.ledger.accepted()
        return owed + ([self.dice.choice(known)] if known and self.dice.random() < 0.1 else [])


@contextlib.contextmanager
def pushing(service: ChaosService, films: Films, ledger: Ledger, scale: Scale) -> Iterator[None]:
    """Push from several senders at once until the block ends; what failed in a sender is raised then.

    Raises:
        HangingError: if a push did not end.
    """
    with contextlib.ExitStack() as senders:
        for number in range(scale.senders):
            dice = random.Random(scale.seed + number)  # noqa: S311 - not for secrets
            senders.enter_context(Pusher(service.listener, films, ledger, dice, scale))
        yield


def wait_for_more(ledger: Ledger, count: int) -> None:
    """Wait until so many more objects were answered 0x0000: the service is at work.

    Raises:
        TimeoutError: if they were not within minutes, also on a busy machine.
    """
    enough = len(ledger.accepted()) + count
    wait_until(lambda: len(ledger.accepted()) >= enough, f"{count} more accepted objects", seconds=240)


def push_the_rest(listener: ApplicationEntity, ledger: Ledger) -> None:
    """Send again what was never answered 0x0000, over and over, until everything is."""
    end = time.monotonic() + LONGEST_PUSH_SECONDS
    while (owed := ledger.unanswered()) and time.monotonic() < end:
        push(listener, owed[:20], ledger)
