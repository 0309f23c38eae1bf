"""A model that takes another input: received files are prepared again for it, and nothing else hears of that."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zstandard
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import select, update

from dicom_io.phantom import phantom_dataset
from tests.films import save
from tests.integration.worker.conftest import Clock, Wakes
from tests.rescreens import SICK, WELL, GreyNetwork, archive, finish, promote, rescreener
from worker.model.artifact import default_directory, load_card
from worker.model.input_spec import InputSpec
from worker.model.preprocessing import prepare
from worker.queues import Queue
from worker.repository.model_versions import RegisteredModel
from worker.repository.rescreen_difference import difference
from worker.repository.rescreen_frames import load_films
from worker.repository.rescreen_preparation import ask_for_preparation
from worker.repository.rescreen_views import Counts
from worker.repository.rescreening import claim_chunk, last_run
from worker.rescreen_tables import RescreenPreparation
from worker.rescreening.preparing import RescreenPreparer
from worker.rescreening.starting import Order, Starter
from worker.service import Service
from worker.tables import Image, PreparedImage, Study

LARGER = InputSpec(size=448)
FILMS = {"2.25.1/2.25.11": SICK, "2.25.2/2.25.21": WELL, "2.25.3/2.25.31": WELL}


@pytest.fixture
def network() -> GreyNetwork:
    """A model whose input is larger."""
    return GreyNetwork(load_card(default_directory()).model_copy(update={"input_spec": LARGER}))


@pytest.fixture
def site(service: Callable[..., Service], clock: Clock, champion: RegisteredModel, tmp_path: Path) -> Service:
    """Films prepared for the smaller input: one with its file, one with an unreadable one, one whose file is purged."""
    built = service()
    archive(built.database, champion, load_card(default_directory()), FILMS)
    with built.database.begin() as session:
        contents = session.scalars(select(Image.content_sha256).order_by(Image.id)).all()
        session.execute(update(Image).where(Image.content_sha256 == contents[2]).values(purged_at=clock()))
    for content, raw in zip(contents, (_film(tmp_path), b"no film"), strict=False):
        path = built.spool.path(content)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    clock.advance(minutes=1)
    return built


def _film(folder: Path) -> bytes:
    path = folder / "film.dcm"
    save(phantom_dataset(1, kind="CR"), path, ExplicitVRLittleEndian)
    return path.read_bytes()


def counts(site: Service) -> Counts:
    """What became of the frames."""
    with site.database.read() as session:
        run = last_run(session)
        assert run is not None
        return difference(session, run, site.now()).counts


def test_what_has_a_file_is_prepared_again_and_the_rest_is_counted(
    site: Service, network: GreyNetwork, wakes: Wakes, clock: Clock
) -> None:
    """The chunk waits for the prepare workers, and goes on at once with the last of its files; then the run ends."""
    better = promote(site.database)
    Starter(site, "me@host").start(Order())
    host, preparer = rescreener(site, better, network), RescreenPreparer(site)
    finish(host)
    assert (network.batches, wakes.queues[-1]) == ([], Queue.PREPARE)
    assert [preparer.prepare_next() for _ in range(3)] == [True, True, False]
    finish(host)
    found = counts(site)
    assert (found.frames_scored, found.not_prepared, found.unanswered) == (1, 2, 0)
    assert network.batches == [1]


def test_nothing_is_said_and_no_state_changes(site: Service, network: GreyNetwork) -> None:
    """The image is as it was; beside its prepared pixels lie those of the larger input, as `prepare` makes them."""
    with site.database.read() as session:
        before = session.query(Image.state, Image.attempts, Study.revision, Study.status).join(Study).all()
        path = site.spool.path(session.scalars(select(Image.content_sha256).order_by(Image.id)).first() or "")
    better = promote(site.database)
    Starter(site, "me@host").start(Order())
    finish(rescreener(site, better, network))
    while RescreenPreparer(site).prepare_next():
        pass
    with site.database.read() as session:
        assert session.query(Image.state, Image.attempts, Study.revision, Study.status).join(Study).all() == before
        larger = select(PreparedImage.pixels).where(PreparedImage.input_spec_sha256 == LARGER.sha256)
        (pixels,) = session.scalars(larger).all()
    stored = np.frombuffer(zstandard.decompress(pixels), np.uint8).reshape(1, 448, 448)
    assert np.array_equal(stored, prepare(path, LARGER))


def test_a_host_without_the_spool_leaves_the_work(
    site: Service, network: GreyNetwork, tmp_path: Path, clock: Clock
) -> None:
    """A spool that is away is no fault of the object: it goes back, uncounted, until the spool is mounted again."""
    better = promote(site.database)
    Starter(site, "me@host").start(Order())
    finish(rescreener(site, better, network))
    away = Service(site.settings.model_copy(update={"data_dir": tmp_path / "away"}), site.database, site.wake, site.now)
    for _ in range(2 * site.settings.max_attempts):
        assert RescreenPreparer(away).prepare_next() is True
        clock.advance(minutes=10)
    with site.database.read() as session:
        assert set(session.scalars(select(RescreenPreparation.attempts))) == {0}
    while RescreenPreparer(site).prepare_next():
        pass
    finish(rescreener(site, better, network))
    assert counts(site).frames_scored == 1


def test_a_run_can_be_stopped_while_a_host_asks_for_preparations(site: Service, network: GreyNetwork) -> None:
    """It waits for that host, and leaves nothing of the run; a host that comes later asks for nothing."""
    promote(site.database)
    run = Starter(site, "me@host").start(Order()).run
    now, policy, spec = site.now(), site.image_policy, network.card.input_spec
    with site.database.begin() as session:
        work = claim_chunk(session, run, now=now, policy=policy)
    assert work is not None
    with site.database.read() as session:
        films = load_films(session, work, spec.sha256, after=(0, 0), limit=9)
    asked = (work, films, spec.model_dump(mode="json"), policy)
    with ThreadPoolExecutor(1) as thread:
        with site.database.begin() as session:
            waited_for = ask_for_preparation(session, *asked)
            stopping = thread.submit(Starter(site, "me@host").stop)
            with pytest.raises(TimeoutError):
                stopping.result(timeout=0.5)
        assert stopping.result(timeout=30).id == run.id
    with site.database.begin() as session:
        assert ask_for_preparation(session, *asked) == waited_for == {film.content_sha256 for film in films[:2]}
        assert session.scalars(select(RescreenPreparation)).all() == []
