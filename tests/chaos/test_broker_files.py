"""Empty, foreign and half-written files in the folders of the embedded broker."""

import random
from pathlib import Path

from tests.chaos.films import Films
from tests.chaos.invariants import assert_promises_kept, settle, take_stock
from tests.chaos.ledger import Ledger
from tests.chaos.pusher import push, pushing, wait_for_more
from tests.chaos.report import Report
from tests.chaos.scale import Scale
from tests.chaos.service import ChaosService
from tests.integration.worker.test_embedded_broker import HOSTILE, IGNORED, UNKNOWN
from tests.servers.ports import wait_until

QUEUES = ("prepare", "score", "deliver")


def test_workers_outlive_whatever_lies_in_the_broker_s_folders(
    embedded: ChaosService, films: Films, scale: Scale, dice: random.Random, report: Report
) -> None:
    """No process ends, what is no message is set aside, messages that were lost are made up for by the sweep."""
    broker, ledger = embedded.data_dir / "broker", Ledger()
    starts = {name: part.starts for name, part in embedded.parts.items()}
    fault = "empty, foreign and half-written files in the embedded broker's folders"
    with report.row("broker-files", fault, planned=scale.broker_files) as row:
        while row.rounds < scale.broker_files:
            with pushing(embedded, films, ledger, scale):
                wait_for_more(ledger, 2)
                plant(broker, row.rounds)
                lose_messages(broker / "queue", dice)
                wait_until(lambda: not _waiting(broker), "the foreign files set aside", seconds=240)
                push(embedded.listener, [films.new(), films.new()], ledger)  # the senders may have come to their end
            row.rounds += 1
        settle(embedded, ledger)
        row.take(tally := take_stock(embedded, ledger))
        assert_promises_kept(tally)
        assert {name: part.starts for name, part in embedded.parts.items()} == starts
        aside = {path.name for path in (broker / "aside").iterdir()}
        assert _hostile(0).keys() <= aside


def plant(broker: Path, number: int) -> None:
    """Leave foreign files in every folder, under names that make them messages of every queue."""
    for name, content in {**_hostile(number), **_of_every_queue(UNKNOWN, number), **IGNORED}.items():
        (broker / "queue" / name).write_bytes(content)
    for name in ("exchange", "prepare.exchange", "celery.pidbox.exchange"):
        (broker / "control" / name).write_bytes(b"\0" * number)


def lose_messages(queue: Path, dice: random.Random) -> None:
    """Delete messages that wait, as a crash or a person may; a worker may be faster."""
    for path in queue.glob("*.msg"):
        if dice.random() < 0.5 and not _is_foreign(path):
            path.unlink(missing_ok=True)


def _hostile(number: int) -> dict[str, bytes]:
    return _of_every_queue(HOSTILE, number)


def _of_every_queue(files: dict[str, bytes], number: int) -> dict[str, bytes]:
    named = {name.replace(".deliver.", f"-{number}.{queue}."): text for name, text in files.items() for queue in QUEUES}
    assert len(named) == len(QUEUES) * len(files)
    return named


def _is_foreign(path: Path) -> bool:
    return "-" in path.name


def _waiting(broker: Path) -> list[Path]:
    return [path for path in (broker / "queue").glob("*.msg") if _is_foreign(path)]
