"""Work done ahead of the one who asks for it: a bounded number of pieces, answers in the order of the questions."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, wait
from typing import TypeVar

_ASK_SECONDS = 0.2

_Question = TypeVar("_Question")
_Answer = TypeVar("_Answer")


class InterruptedRunError(Exception):
    """Somebody asked the run to end."""


def ahead(
    executor: Executor,
    work: Callable[[_Question], _Answer],
    questions: Iterable[_Question],
    *,
    pieces: int,
    stop: threading.Event,
) -> Iterator[_Answer]:
    """Do work in an executor, at most `pieces` of it at a time, waiting to be fetched included.

    Yields:
        One answer per question, in order.

    Raises:
        InterruptedRunError: soon after `stop` is set.
    """
    begun: deque[Future[_Answer]] = deque()
    for question in questions:
        begun.append(executor.submit(work, question))
        if len(begun) >= pieces:
            yield _answer(begun.popleft(), stop)
    while begun:
        yield _answer(begun.popleft(), stop)


def _answer(future: Future[_Answer], stop: threading.Event) -> _Answer:
    while not stop.is_set():
        if wait((future,), timeout=_ASK_SECONDS).done:
            return future.result()
    raise InterruptedRunError
