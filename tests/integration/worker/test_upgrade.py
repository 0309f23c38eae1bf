"""A database of the release before, with work in flight, on both kinds of database."""

from alembic import command
from sqlalchemy import select, text

from dicom_io.report import ReportForm
from tests.studies import NOW, POLICY, incoming, receive, result, say
from worker.db import Database
from worker.domain import Stage
from worker.level import require_level
from worker.repository.model_versions import RegisteredModel
from worker.repository.outbox import claim_delivery
from worker.schema import _config, migrate
from worker.tables import Delivery

SENT = "UPDATE deliveries SET state = 'delivered', answer = :answer WHERE destination = :destination"


def go_back(database: Database) -> None:
    """Make the schema that of the release before."""
    with database.engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")


def test_what_was_sent_and_what_waits_go_on_where_they_stood(database: Database, champion: RegisteredModel) -> None:
    """What a PACS or a folder took was the best form, and is named as predecessor; what waits is sent as before."""
    receive(database, incoming())
    early = result(complete=False, flagged=True)
    say(database, champion, early, stage=Stage.EARLY, to=("pacs", "flags", "waits"))
    go_back(database)
    with database.begin() as session:
        for destination, answer in (("pacs", "stored, status 0x0000"), ("flags", "wrote 2.25.1.json and 2.25.1.dcm")):
            session.execute(text(SENT), {"answer": answer, "destination": destination})
    migrate(database)
    require_level(database)
    with database.read() as session:
        forms = session.execute(select(Delivery.destination, Delivery.form).order_by(Delivery.id)).all()
    best = ReportForm.COMPREHENSIVE_3D_SR
    assert [tuple(row) for row in forms] == [("pacs", best), ("flags", best), ("waits", None)]
    say(database, champion, result(), to=("pacs",))
    with database.begin() as session:
        works = [claim_delivery(session, now=NOW, policy=POLICY, committing=("waits",)) for _ in range(2)]
    waiting, later = works
    assert waiting is not None
    assert later is not None
    assert (waiting.destination, waiting.result.flag.result_uid) == ("waits", early.result_uid)
    assert waiting.transaction_uid is not None
    assert (later.result.predecessor_result_uid, later.result.predecessor_form) == (early.result_uid, best)
