"""The page of one study, its films and its report."""

from collections.abc import Callable

import numpy as np
import pytest
import zstandard
from sqlalchemy import update

from dicom_io.reasons import Reason
from tests.integration.worker.web.conftest import READER, Browser
from tests.studies import FOLDER, STUDY, incoming, prepare, receive, result, say, score_everything
from worker.db import Database
from worker.domain import ImageState
from worker.repository.model_versions import RegisteredModel
from worker.tables import Image, PreparedImage

SignIn = Callable[[str], Browser]
FILM = f"/studies/{STUDY}/images/1/1"
PICTURES = (f"{FILM}/film.png", f"{FILM}/heatmap.png", f"/studies/{STUDY}/thumbnail.png")


@pytest.fixture
def screened(database: Database, champion: RegisteredModel) -> None:
    """A study with a flagged film and a lateral, of which a result was said twice."""
    receive(database, incoming(), incoming("2.25.12"))
    prepare(database)
    prepare(database, "2.25.12", state=ImageState.OUT_OF_SCOPE, reason=Reason.LATERAL_VIEW)
    score_everything(database, champion, flagged={"2.25.11"})
    with database.begin() as session:
        pixels = zstandard.compress(np.zeros((224, 224), np.uint8).tobytes())
        session.execute(update(PreparedImage).values(pixels=pixels))
    say(database, champion, result(STUDY, flagged=True), to=(FOLDER.name,))


@pytest.mark.usefixtures("screened")
def test_a_study_is_told_whole(sign_in: SignIn) -> None:
    """Per frame what was found against which threshold by which model; why the lateral was not; what was sent."""
    client = sign_in(READER).client
    facts = ("0.9200", "0.3100", "resnet50 1.0.0", Reason.LATERAL_VIEW.meaning, "<td>flags</td>", "image 1 scored by")
    for page in (client.get(f"/studies/{STUDY}").text, client.get(f"/studies/{STUDY}/report").text):
        assert [fact for fact in facts if fact not in page] == []


@pytest.mark.usefixtures("screened")
def test_films_and_heatmaps_are_pictures_kept_by_this_browser_only(sign_in: SignIn) -> None:
    """PNG; no shared cache may keep them."""
    client = sign_in(READER).client
    for path in PICTURES:
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        assert answer.headers["cache-control"].startswith("private")
        assert answer.content.startswith(b"\x89PNG")


@pytest.mark.usefixtures("screened")
@pytest.mark.parametrize("pixels", [b"damaged", zstandard.compress(b"no square of pixels"), None])
def test_a_picture_that_is_damaged_or_purged_is_told_and_the_page_stands(
    database: Database, sign_in: SignIn, pixels: bytes | None
) -> None:
    """410 in words; the study's page is there all the same."""
    with database.begin() as session:
        if pixels is None:
            session.query(PreparedImage).delete()
        else:
            session.execute(update(PreparedImage).values(pixels=pixels))
    client = sign_in(READER).client
    for path in PICTURES:
        answer = client.get(path)
        assert answer.status_code == 410
        assert "purged" in answer.text or "cannot be read" in answer.text
    assert client.get(f"/studies/{STUDY}").status_code == 200


def test_a_film_that_waits_is_told(database: Database, sign_in: SignIn) -> None:
    """Between the receipt and the score there is a page, without a number."""
    receive(database, incoming())
    client = sign_in(READER).client
    assert "No film of this study is prepared" in client.get(f"/studies/{STUDY}").text
    prepare(database)
    page = client.get(f"/studies/{STUDY}").text
    assert "not scored yet" in page
    assert "on its way" in page


def test_a_study_that_vanished_is_told(sign_in: SignIn) -> None:
    """404 with the way back to the worklist, and with who is signed in; no JSON for an address that is none."""
    client = sign_in(READER).client
    for path in ("/studies/9.9.9", "/studies/9.9.9/report", "/studies/9.9.9/thumbnail.png"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert 'href="/"' in answer.text
        assert "reader · reader" in answer.text
    for path in ("/studies/%00", f"/studies/{65 * '1'}", "/nowhere", f"{FILM}x/film.png"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")


@pytest.mark.usefixtures("screened")
def test_an_image_replaced_by_a_later_object_is_marked(database: Database, sign_in: SignIn) -> None:
    """Its film stays to be seen, as what was said rests on it."""
    with database.begin() as session:
        session.execute(update(Image).where(Image.id == 1).values(state=ImageState.SUPERSEDED))
    assert "replaced by a later object" in sign_in(READER).client.get(f"/studies/{STUDY}").text
