"""What a sender was answered, object by object: the promises that the service has to keep."""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.chaos.films import Film

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700


@dataclass
class Ledger:
    """Every film that was sent, and every answer to it; None where none came."""

    _films: dict[str, Film] = field(default_factory=dict)
    _answers: defaultdict[str, list[int | None]] = field(default_factory=lambda: defaultdict(list))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def include(self, other: "Ledger") -> None:
        """Take over what another ledger knows."""
        for uid, answers in other._answers.items():
            for answer in answers:
                self.record(other._films[uid], answer)

    def record(self, film: Film, answer: int | None) -> None:
        """Remember an answer."""
        with self._lock:
            self._films[film.sop_instance_uid] = film
            self._answers[film.sop_instance_uid].append(answer)

    def accepted(self) -> list[Film]:
        """The films that were answered 0x0000 at least once, in the order in which they were sent first."""
        with self._lock:
            return [self._films[uid] for uid, answers in self._answers.items() if SUCCESS in answers]

    def unanswered(self) -> list[Film]:
        """The films that were never answered 0x0000: a PACS sends them again."""
        with self._lock:
            return [self._films[uid] for uid, answers in self._answers.items() if SUCCESS not in answers]

    def answers(self) -> Counter[int | None]:
        """How often each status was answered; None: no answer."""
        with self._lock:
            return Counter(answer for answers in self._answers.values() for answer in answers)

    def studies(self) -> set[str]:
        """The studies of every film that was sent, whatever the answer."""
        with self._lock:
            return studies(self._films.values())

    @property
    def pushed(self) -> int:
        """Objects that were sent."""
        return len(self._films)


def studies(films: Iterable[Film]) -> set[str]:
    """The studies of films."""
    return {film.study_instance_uid for film in films}
