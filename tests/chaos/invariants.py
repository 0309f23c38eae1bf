"""What must hold whatever was killed, lost or full: read from SQL, the spool and the destination."""

import json
import re
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from sqlalchemy import Row, exists, select

from dicom_io.identity import content_sha256
from tests.chaos.ledger import OUT_OF_RESOURCES, SUCCESS, Ledger, studies
from tests.chaos.service import ChaosService
from tests.servers.ports import wait_until
from worker.domain import WORKING_STATES, DeliveryState, ScreeningStatus, Stage
from worker.tables import Delivery, Image, Result, Score, Study

SETTLE_SECONDS = 240.0  # on a busy machine
_SHA256_DIGITS = 64
_TEMPORARY = re.compile(r"^\.[0-9a-f]{64}\.dcm\.(?P<process>\d+)-[0-9a-f]+$")


@dataclass(frozen=True)
class Tally:
    """What came of a run.

    Attributes:
        pushed: objects that were sent; what follows is of their studies.
        accepted: of these, answered 0x0000.
        refused: answers 0xA700.
        unanswered: sendings without an answer.
        other: answers that are neither.
        concluded: studies with their last revision concluded.
        delivered: results that lie whole at the destination.
        duplicates: results, or files at the destination, that say what another one says.
        lost: accepted objects that no conclusion judges as it should, and results that were not delivered.
        half_stored: files in the spool that are not what their name says, and rows without a file.
    """

    pushed: int
    accepted: int
    refused: int
    unanswered: int
    other: int
    concluded: int
    delivered: int
    duplicates: tuple[str, ...]
    lost: tuple[str, ...]
    half_stored: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """The tally in numbers."""
        return {key: len(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def settle(service: ChaosService, ledger: Ledger) -> None:
    """Wait until nothing is left to do, or give up waiting: `take_stock` says what is missing."""
    wanted = studies(ledger.accepted())
    try:
        wait_until(lambda: _is_settled(service, wanted), "the end of all work", seconds=SETTLE_SECONDS, every=0.2)
    except TimeoutError:
        return


def take_stock(service: ChaosService, ledger: Ledger) -> Tally:
    """Compare what was promised with what is there."""
    answers = ledger.answers()
    pushed = ledger.studies()
    said = {uid: flag for uid, flag in _said(service).items() if flag["study_instance_uid"] in pushed}
    written = {uid: flag for uid, flag in _written(service).items() if flag["study_instance_uid"] in pushed}
    return Tally(
        pushed=ledger.pushed,
        accepted=len(ledger.accepted()),
        refused=answers[OUT_OF_RESOURCES],
        unanswered=answers[None],
        other=sum(answers.values()) - answers[SUCCESS] - answers[OUT_OF_RESOURCES] - answers[None],
        concluded=concluded(service, ledger),
        delivered=len(said.keys() & written.keys()),
        duplicates=tuple(_doubled(service, said, written)),
        lost=(*_unscreened(service, ledger), *_undelivered(service, said, written)),
        half_stored=(*broken_files(service), *rows_without_file(service, pushed)),
    )


def assert_promises_kept(tally: Tally) -> None:
    """Check that nothing was lost, said twice or stored by halves, and that something was tried at all."""
    assert tally.accepted > 0
    assert tally.lost == ()
    assert tally.duplicates == ()
    assert tally.half_stored == ()
    assert tally.other == 0


def claimed_again(service: ChaosService, ledger: Ledger) -> list[str]:
    """Name the work of some studies that was claimed more than once; where nothing was killed, none is."""
    pushed = ledger.studies()
    images = select(Study.study_instance_uid, Image.attempts).join(Image, Image.study_id == Study.id)
    scores = select(Study.study_instance_uid, Score.attempts).select_from(Score).join(Image).join(Study)
    deliveries = select(Study.study_instance_uid, Delivery.attempts).select_from(Delivery).join(Result).join(Study)
    with service.database.read() as session:
        claimed = [row for statement in (images, scores, deliveries) for row in session.execute(statement)]
    return [row.study_instance_uid for row in claimed if row.attempts > 1 and row.study_instance_uid in pushed]


def _is_settled(service: ChaosService, wanted: set[str]) -> bool:
    with service.database.read() as session:
        open_study = session.scalar(select(exists().where(Study.concluded_revision < Study.revision)))
        working = session.scalar(select(exists().where(Image.state.in_(WORKING_STATES))))
        sending = session.scalar(select(exists().where(Delivery.state == DeliveryState.PENDING)))
        known = set(session.scalars(select(Study.study_instance_uid)))
    return wanted <= known and not (open_study or working or sending)


def concluded(service: ChaosService, ledger: Ledger) -> int:
    """Count the studies of a ledger whose last revision is concluded."""
    with service.database.read() as session:
        done = session.scalars(select(Study.study_instance_uid).where(Study.concluded_revision == Study.revision))
        return len(ledger.studies().intersection(done))


def _results(service: ChaosService) -> list[Row[Any]]:
    columns = (Study.study_instance_uid, Result.revision, Result.model_version_id, Result.stage, Result.flag)
    with service.database.read() as session:
        return list(session.execute(select(*columns).select_from(Result).join(Study).order_by(Result.id)))


def _said(service: ChaosService) -> dict[str, dict[str, Any]]:
    flags = [json.loads(row.flag) for row in _results(service)]
    return {flag["result_uid"]: flag for flag in flags}


def _written(service: ChaosService) -> dict[str, dict[str, Any]]:
    # A flag counts with its report only, which is written after it.
    flags = [path for path in service.flags_folder.glob("*.json") if path.with_suffix(".dcm").exists()]
    return {path.stem: json.loads(path.read_text()) for path in flags}


def _doubled(
    service: ChaosService, said: dict[str, dict[str, Any]], written: dict[str, dict[str, Any]]
) -> Iterator[str]:
    stages = Counter(
        (row.study_instance_uid, row.revision, row.model_version_id, row.stage) for row in _results(service)
    )
    yield from (f"result {key}" for key, count in stages.items() if count > 1)
    flags = Counter((f["study_instance_uid"], f["revision"], f["complete"]) for f in written.values() if f["complete"])
    yield from (f"flag {key}" for key, count in flags.items() if count > 1)
    yield from (f"flag {uid} of no result" for uid in written.keys() - said.keys())
    yield from (f"report {uid}" for uid in (_reported(service) - _sent_to_pacs(service)).elements())


def _undelivered(
    service: ChaosService, said: dict[str, dict[str, Any]], written: dict[str, dict[str, Any]]
) -> Iterator[str]:
    yield from (f"result {uid}" for uid, flag in said.items() if written.get(uid) != flag)
    yield from (f"report of study {uid}" for uid in (_sent_to_pacs(service) - _reported(service)).elements())


def _sent_to_pacs(service: ChaosService) -> Counter[str]:
    statement = select(Study.study_instance_uid).select_from(Delivery).join(Result).join(Study)
    with service.database.read() as session:
        return Counter(session.scalars(statement.where(Delivery.destination == "pacs")))


def _reported(service: ChaosService) -> Counter[str]:
    arrivals = service.pacs.arrivals() if service.pacs else []
    return Counter(str(dcmread(path).StudyInstanceUID) for path in arrivals)


def _unscreened(service: ChaosService, ledger: Ledger) -> Iterator[str]:
    conclusions: dict[str, dict[str, Any]] = {}
    for row in _results(service):
        if row.stage == Stage.COMPLETE:
            conclusions[row.study_instance_uid] = json.loads(row.flag)
    for film in ledger.accepted():
        flag = conclusions.get(film.study_instance_uid, {"images": [], "priority": None})
        named = {image["sop_instance_uid"]: image["status"] for image in flag["images"]}
        expected = ScreeningStatus.SCREENED if film.in_scope else ScreeningStatus.UNSCREENED
        if named.get(film.sop_instance_uid) != expected or (flag["priority"] is not None) != film.flagged:
            yield f"film {film.sop_instance_uid}"


def broken_files(service: ChaosService) -> Iterator[str]:
    """Name the files of the spool that are not whole under the hash of their data set."""
    for path in (service.data_dir / "spool").rglob("*"):
        if path.is_file() and not _is_whole(path) and not _is_of_the_dead(path):
            yield f"file {path.name}"


def _is_of_the_dead(path: Path) -> bool:
    # What a killed process was writing is under no final name, and retention takes it away.
    temporary = _TEMPORARY.match(path.name)
    return temporary is not None and not Path(f"/proc/{temporary['process']}").exists()


def _is_whole(path: Path) -> bool:
    named = path.suffix == ".dcm" and len(path.stem) == _SHA256_DIGITS
    return named and content_sha256(path) == path.stem


def rows_without_file(service: ChaosService, wanted: Container[str]) -> Iterator[str]:
    """Name the objects of some studies that SQL knows and the spool has not."""
    with service.database.read() as session:
        rows = session.execute(select(Study.study_instance_uid, Image.content_sha256).select_from(Image).join(Study))
        hashes = {row.content_sha256 for row in rows if row.study_instance_uid in wanted}
    spool = service.data_dir / "spool"
    yield from (f"row {name}" for name in hashes if not (spool / name[:2] / f"{name}.dcm").exists())


def every_study(service: ChaosService) -> set[str]:
    """The studies that SQL knows."""
    with service.database.read() as session:
        return set(session.scalars(select(Study.study_instance_uid)))
