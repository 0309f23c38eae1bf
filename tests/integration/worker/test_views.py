"""What people look at, on both kinds of database."""

from tests.studies import MINUTE, NOW, incoming, receive, result, say
from worker.db import Database
from worker.repository.model_versions import RegisteredModel
from worker.repository.views import worklist


def test_new_studies_are_on_the_worklist_however_long_its_history(
    database: Database, champion: RegisteredModel
) -> None:
    """Of the studies that came last, the raised ones are first, then the longest waiting; older ones make room."""
    for number in range(1, 6):
        study = f"2.25.{number}"
        receive(database, incoming(study=study, at=NOW + number * MINUTE))
        say(database, champion, result(study, flagged=number in (1, 2, 4)))
    with database.read() as session:
        listed = [entry.study_instance_uid for entry in worklist(session, limit=4)]
    assert listed == ["2.25.2", "2.25.4", "2.25.3", "2.25.5"]
