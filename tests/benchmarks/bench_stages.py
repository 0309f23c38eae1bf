"""What one prepare process and one destination get through, and what a study takes in SQL: figures of `simulate`.

PostgreSQL that waits for the disk, films of 10 MB, results to Orthanc; one process, one thing at a time, warm.
"""

import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import structlog
from pydicom import Dataset, uid
from sqlalchemy import text

from dicom_io.phantom import draw
from tests.films import encoded_films, save
from tests.servers.orthanc import Orthanc, orthanc
from tests.servers.postgres import postgres
from tests.studies import incoming, put_in_service, receive, result, say, score_everything
from worker.db import Database
from worker.delivering import Deliverer
from worker.model.artifact import default_directory, load_card
from worker.preparing import Preparer
from worker.repository.model_versions import RegisteredModel
from worker.schema import migrate
from worker.service import Service
from worker.settings import Settings

STUDIES = 60
SYNTAXES = (uid.JPEGLosslessSV1, uid.JPEG2000Lossless, uid.ExplicitVRLittleEndian)


def received(service: Service, film: Dataset, syntax: str, folder: Path, first: int) -> list[str]:
    """Put studies of one film into spool and database, as the listener does; returns their UIDs."""
    studies = [f"2.25.{number}" for number in range(first, first + STUDIES)]
    for study in studies:
        film.StudyInstanceUID, film.SOPInstanceUID = study, f"{study}.11"
        row = incoming(f"{study}.11", study=study)
        service.spool.store(row.content_sha256, [save(film, folder / "film.dcm", syntax).read_bytes()])
        receive(service.database, row)
    return studies


def per_second(work: Callable[[], bool]) -> tuple[float, float]:
    """Do all of it; returns how many a second by the clock (median) and by this process's processor time (mean)."""
    seconds, processor = [], time.process_time()
    started = time.perf_counter()
    while work():
        seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
    return 1 / statistics.median(seconds), len(seconds) / (time.process_time() - processor)


def bytes_of(database: Database) -> int:
    """Bytes of all tables with their indexes, prepared images apart."""
    total = (
        "select sum(pg_total_relation_size(relid)) from pg_stat_user_tables where relname not like 'prepared_images%'"
    )
    with database.read() as session:
        return int(session.scalar(text(total)) or 0)


def measure(service: Service, champion: RegisteredModel, pacs: Orthanc, folder: Path) -> None:
    """Print the figures."""
    films = encoded_films(draw(1, opacity=True, rows=2500, columns=2048), WindowCenter=2048, WindowWidth=4096)
    preparer, before = Preparer(service, load_card(default_directory())), bytes_of(service.database)
    studies: list[str] = []
    for syntax in SYNTAXES:
        studies += received(service, films[syntax], syntax, folder, 1 + len(studies))
        _print(f"prepare, {syntax.name.split(',')[0]}", per_second(preparer.prepare_next))
    score_everything(service.database, champion)
    for study in studies:
        say(service.database, champion, result(study).model_copy(update={"images": ()}), to=("pacs",))
    _print("deliver, SR to Orthanc", per_second(Deliverer(service).deliver_next))
    grown = (bytes_of(service.database) - before) / len(studies)
    sys.stdout.write(f"{grown:,.0f} bytes in SQL for a study of one film, one result and one destination\n")
    if len(pacs.get("/instances")) < len(studies):
        sys.exit("not every result came to Orthanc: these are no figures")


def _print(what: str, rates: tuple[float, float]) -> None:
    sys.stdout.write(f"{what:40} {rates[0]:6.1f} a second, {rates[1]:6.1f} by processor time\n")


def main() -> None:
    """Measure once."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory() as name, postgres(durable=True) as server, server.database() as url:
        folder = Path(name)
        (folder / "orthanc").mkdir()
        with orthanc(folder / "orthanc") as pacs:
            peer = {"kind": "dicom", "name": "pacs", "ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.port}
            settings = Settings(data_dir=folder, database_url=url, destinations=(peer,))  # type: ignore[arg-type]
            database = Database(url)
            migrate(database)
            service = Service(settings, database, wake=lambda _queue: None)
            measure(service, put_in_service(database), pacs, folder)
            database.dispose()


if __name__ == "__main__":
    main()
