"""Heatmaps through the outbox, on both kinds of database: who gets them, of which frames, and what if there is none."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from pydicom import dcmread
from sqlalchemy import delete, select, update

from dicom_io.header import encode_header
from dicom_io.phantom import phantom_dataset
from tests.evidence import HEATMAP_CLASSES, stored_film
from tests.servers.ports import LOOPBACK
from tests.servers.storescp import StartStoreScp, StoreScp
from tests.studies import STUDY, incoming, prepare, receive, result, say, score_everything
from worker.db import Database
from worker.delivering import Deliverer
from worker.destinations import DicomDestination
from worker.domain import DeliveryState, Flag, Stage
from worker.repository.evidence import load_evidence
from worker.repository.model_versions import RegisteredModel
from worker.service import Service
from worker.tables import Delivery, Event, Image, PreparedImage, Score, Study

FILM = "2.25.11"


@dataclass
class Way:
    """A flagged film, scored and stored, and the way of its results to a PACS."""

    database: Database
    champion: RegisteredModel
    server: StoreScp
    service: Callable[..., Service]

    def deliver(self, flag: Flag, *, stage: Stage = Stage.COMPLETE, heatmap: bool = True, **settings: int) -> str:
        """Say a result, deliver it and return the answer."""
        pacs = DicomDestination(
            kind="dicom",
            name="pacs",
            ae_title=self.server.ae_title,
            host=LOOPBACK,
            port=self.server.port,
            heatmap=heatmap,
            storage_commitment=False,
        )
        assert say(self.database, self.champion, flag, stage=stage, to=("pacs",))
        assert Deliverer(self.service(destinations=(pacs,), **settings)).deliver_next()
        with self.database.read() as session:
            row = session.scalars(select(Delivery).order_by(Delivery.id.desc()).limit(1)).one()
            event = session.scalars(select(Event).where(Event.kind == "delivered").order_by(Event.id.desc())).first()
        assert row.state == DeliveryState.DELIVERED, row.last_error
        assert event is not None
        assert event.detail["answer"] == row.answer
        return row.answer or ""

    def received(self) -> list[str]:
        """The SOP classes beside reports that the PACS has."""
        classes = [str(dcmread(path, stop_before_pixels=True).SOPClassUID) for path in self.server.files()]
        return [sop_class for sop_class in classes if sop_class in HEATMAP_CLASSES]

    def change(self, *statements: object) -> None:
        """Run statements in a transaction."""
        with self.database.begin() as session:
            for statement in statements:
                session.execute(statement)


@pytest.fixture
def way(database: Database, champion: RegisteredModel, service: Callable[..., Service], storescp: StartStoreScp) -> Way:
    """A film that was received, prepared and scored over the threshold."""
    header = phantom_dataset(1, kind="CR", rows=60, columns=40, study_instance_uid=STUDY)
    header.SOPInstanceUID = FILM
    receive(database, incoming(FILM))
    prepare(database, FILM, header=encode_header(header))
    score_everything(database, champion, flagged=[FILM])
    way = Way(database, champion, storescp(), service)
    way.change(update(PreparedImage).values(pixels=stored_film()))
    return way


def test_a_flagged_result_brings_its_heatmap(way: Way) -> None:
    """The answer and the audit trail tell of it."""
    assert way.deliver(result(flagged=True)).endswith("activation maps: 3 of 3 objects stored")
    assert sorted(way.received()) == sorted(HEATMAP_CLASSES)


@pytest.mark.parametrize("case", ["off", "unflagged", "withdrawn"])
def test_nothing_but_the_report_is_sent(case: str, way: Way) -> None:
    """To a destination that did not ask for it, or of a result that raises nothing."""
    flag = result(flagged=case != "unflagged")
    if case == "withdrawn":
        images = tuple(image.model_copy(update={"withdrawn": True}) for image in flag.images)
        none = {"priority": None, "priority_reason": None, "finding": None}
        flag = flag.model_copy(update={"withdrawn": True, "images": images, **none})
    answer = way.deliver(flag, heatmap=case != "off")
    assert "activation maps" not in answer
    assert way.received() == []


@pytest.mark.parametrize("gone", ["film", "map", "score"])
def test_a_flag_goes_out_without_what_was_purged(gone: str, way: Way) -> None:
    """The report is delivered at once, and its answer says what was left out."""
    statements = {
        "film": delete(PreparedImage),
        "map": update(Score).values(activation_map=None),
        "score": delete(Score),
    }
    way.change(statements[gone])
    answer = way.deliver(result(flagged=True))
    assert answer.startswith("stored, status 0x0000; activation maps: 0 of 0 objects stored, 1 of the frames left out")
    assert way.received() == []
    assert len(way.server.files()) == 1


def test_the_conclusion_does_not_bring_the_heatmap_of_the_early_flag_again(way: Way) -> None:
    """Else a reader found every map twice; a correction of the patient makes new objects, which are sent."""
    way.deliver(result(flagged=True, complete=False), stage=Stage.EARLY)
    assert len(way.received()) == 3
    assert "activation maps" not in way.deliver(result(flagged=True))
    assert len(way.received()) == 3
    way.change(update(Study).values(corrections=1, revision=2))
    assert "activation maps: 3 of 3" in way.deliver(result(flagged=True, revision=2))
    assert len(way.received()) == 6


def test_what_another_destination_has_is_not_held_against_this_one(way: Way) -> None:
    """A result that went elsewhere brought nothing here."""
    early = result(flagged=True, complete=False)
    assert say(way.database, way.champion, early, stage=Stage.EARLY, to=("other",))
    way.change(update(Delivery).values(state=DeliveryState.DELIVERED))
    assert "activation maps: 3 of 3" in way.deliver(result(flagged=True))


def test_the_film_is_the_one_that_was_scored(way: Way) -> None:
    """Prepared again later for another model, its older form is drawn: what is sent again has the same bytes."""
    with way.database.begin() as session:
        first = session.scalars(select(PreparedImage)).one()
        scored_at = session.scalars(select(Score.scored_at)).one()
        assert scored_at is not None
        for number, moment in enumerate((scored_at.replace(year=2025), scored_at.replace(year=2027))):
            row = {"content_sha256": first.content_sha256, "frame": 1, "created_at": moment}
            session.add(PreparedImage(input_spec_sha256=str(number) * 64, pixels=str(number).encode(), **row))
    flag = result(flagged=True)
    assert say(way.database, way.champion, flag)
    with way.database.read() as session:
        (evidence,) = load_evidence(session, flag, "flags")
    assert evidence.pixels == stored_film()


def test_the_same_film_in_another_study_has_its_own_score(way: Way) -> None:
    """Content is shared; the map is the study's, and a film that replaced this one has another."""
    flag = result(flagged=True)
    assert say(way.database, way.champion, flag)
    way.change(update(Image).values(content_sha256="0" * 64))
    with way.database.read() as session:
        (evidence,) = load_evidence(session, flag, "flags")
    assert evidence.activation_map is None
