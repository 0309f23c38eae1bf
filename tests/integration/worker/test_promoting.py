"""Putting models in service and back, on both kinds of database."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.integration.worker.conftest import Clock, Wakes
from tests.models import judgement, small_version, write_judgement
from tests.studies import NOW
from worker.champion import champion_in_service, find_champion, put_shipped_model_in_place
from worker.db import Database
from worker.domain import ModelReference
from worker.errors import ConfigurationError, ModelError, PromotionError
from worker.model.artifact import SCOPE_NAME, ModelCard
from worker.promoting import Change
from worker.queues import Queue
from worker.repository.model_versions import Entry, put_in_service, put_shipped_model_in_service, withdrawn_at
from worker.service import Service
from worker.tables import Event

OLDER_SHIPPED = ModelReference(name="resnet50", version="0.0.9", sha256="9" * 64)


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelCard:
    """A package whose model has a few bytes for weights."""
    card = small_version(tmp_path / "package", "1")
    for module in ("worker.champion", "worker.model_store", "worker.promoting"):
        monkeypatch.setattr(f"{module}.default_directory", lambda: tmp_path / "package")
    return card


@pytest.fixture
def site(service: Callable[..., Service], shipped: ModelCard) -> Service:
    """A service with the shipped model in service."""
    put_shipped_model_in_place(service().database, NOW)
    return service()


@pytest.fixture
def promote(site: Service, tmp_path: Path) -> Callable[[str], ModelCard]:
    """Call it with a version to publish, judge favourably against the model in service, and promote."""

    def run(version: str) -> ModelCard:
        card = small_version(tmp_path / version, version)
        favourable = judgement(champion_in_service(site.database).reference.sha256, card.sha256)
        write_judgement(tmp_path / version / "promotion.json", favourable)
        Change(site, "me").promote(tmp_path / version)
        return card

    return run


def in_service(site: Service) -> str:
    """The version in service."""
    return champion_in_service(site.database).reference.version


def changes(database: Database) -> list[dict[str, object]]:
    """What the audit trail says of changes of the model."""
    with database.read() as session:
        return [e.detail for e in session.scalars(select(Event).where(Event.kind == "model-in-service"))]


def test_a_promotion_is_recorded_and_wakes_the_workers(
    site: Service, promote: Callable[[str], ModelCard], wakes: Wakes, shipped: ModelCard
) -> None:
    """Both models, the judgement's hash and who did it stand in the audit trail; the files lie with the service."""
    card = promote("2")
    installed = find_champion(site)
    assert (installed.card, installed.directory) == (card, site.settings.models_dir / card.sha256)
    change = changes(site.database)[-1]
    assert (change["how"], change["sha256"], change["replaced"], change["by"]) == (
        "promoted",
        card.sha256,
        shipped.sha256,
        "me",
    )
    assert len(str(change["promotion_sha256"])) == 64
    assert wakes.queues == [Queue.PREPARE, Queue.SCORE]


def test_a_refused_promotion_changes_nothing(site: Service, tmp_path: Path) -> None:
    """Neither the model in service nor the folder of models nor the audit trail."""
    card = small_version(tmp_path / "2", "2")
    change, before = Change(site, "me"), changes(site.database)
    with pytest.raises(PromotionError, match="nothing is promoted without"):
        change.promote(tmp_path / "2")
    write_judgement(tmp_path / "promotion.json", judgement("f" * 64, card.sha256))
    with pytest.raises(PromotionError, match="in service is"):
        change.promote(tmp_path / "2")
    favourable = judgement(champion_in_service(site.database).reference.sha256, card.sha256)
    write_judgement(tmp_path / "promotion.json", favourable)
    (tmp_path / "2" / SCOPE_NAME).write_bytes(b"other")
    with pytest.raises(ModelError):
        change.promote(tmp_path / "2")
    assert (in_service(site), changes(site.database)) == ("1", before)
    assert not site.settings.models_dir.exists()


def test_a_threshold_that_promises_nothing_is_refused(site: Service, shipped: ModelCard, tmp_path: Path) -> None:
    """However well it did on the locked cases: nobody knows how many sick patients it would miss."""
    nothing = dict.fromkeys(("target_sensitivity", "confidence", "allowed_misses", "lower_bound"))
    point = shipped.operating_point.model_copy(update={**nothing, "method": "balanced-accuracy"})
    hoping = small_version(tmp_path / "2", "2", operating_point=point, status="provisional", description="Provisional.")
    write_judgement(tmp_path / "promotion.json", judgement(shipped.sha256, hoping.sha256))
    with pytest.raises(PromotionError, match="cxr-train calibrate"):
        Change(site, "me").promote(tmp_path / "2")


@pytest.mark.parametrize("less", [{"target_sensitivity": 0.5}, {"confidence": 0.5}])
def test_a_promise_below_that_of_the_model_in_service_is_refused(
    site: Service, shipped: ModelCard, tmp_path: Path, less: dict[str, float]
) -> None:
    """A judgement is of the locked cases only; the promise is what the site relies on. An equal one is enough."""
    point = shipped.operating_point.model_copy(update=less)
    lax = small_version(tmp_path / "2", "2", operating_point=point)
    write_judgement(tmp_path / "promotion.json", judgement(shipped.sha256, lax.sha256))
    with pytest.raises(PromotionError, match=r"promises less .* 0\.5 \(in service: 0\.9"):
        Change(site, "me").promote(tmp_path / "2")
    assert in_service(site) == "1"


def test_a_provisional_model_is_promoted_on_the_persons_word(site: Service, shipped: ModelCard, tmp_path: Path) -> None:
    """Nobody has looked at a refreshed model before somebody promotes it."""
    card = small_version(tmp_path / "2", "2", status="provisional", description="Provisional.")
    write_judgement(tmp_path / "promotion.json", judgement(shipped.sha256, card.sha256))
    assert Change(site, "me").promote(tmp_path / "2").reference.version == "2"


def test_a_model_with_another_self_test_is_refused(site: Service, shipped: ModelCard, tmp_path: Path) -> None:
    """Score hosts could not check it when they load it."""
    other_film = shipped.self_test.model_copy(update={"pixels_sha256": "0" * 64})
    strange = small_version(tmp_path / "2", "2", self_test=other_film)
    write_judgement(tmp_path / "promotion.json", judgement(shipped.sha256, strange.sha256))
    with pytest.raises(PromotionError, match="self test"):
        Change(site, "me").promote(tmp_path / "2")


def test_rollbacks_go_further_back_and_end_at_the_first_model(
    site: Service, promote: Callable[[str], ModelCard]
) -> None:
    """Each takes the last promotion back; the first model has none before it."""
    promote("2")
    promote("3")
    rollback = Change(site, "me").roll_back
    assert rollback("missed two").reference.version == "2"
    assert rollback("still does").reference.version == "1" == in_service(site)
    with pytest.raises(PromotionError, match="no way back"):
        rollback("again")
    last = changes(site.database)[-1]
    assert (last["how"], last["reason"], last["by"]) == ("rolled-back", "still does", "me")


def test_a_promotion_after_a_rollback_is_rolled_back_to_the_model_before_it(
    site: Service, promote: Callable[[str], ModelCard]
) -> None:
    """What was rolled back is not among what a later rollback leads to."""
    promote("2")
    Change(site, "me").roll_back("bad")
    promote("3")
    assert Change(site, "me").roll_back("bad, too").reference.version == "1"


def test_a_model_that_was_rolled_back_needs_a_judgement_from_after_that(
    site: Service, promote: Callable[[str], ModelCard], clock: Clock, shipped: ModelCard, tmp_path: Path
) -> None:
    """The one that it was promoted by is against the model in service again, and knows nothing of the rollback."""
    card = promote("2")
    change = Change(site, "me")
    with pytest.raises(PromotionError, match="in service already"):
        change.promote(tmp_path / "2")
    clock.advance(hours=1)
    change.roll_back("missed two")
    with pytest.raises(PromotionError, match=r"rolled back at 2026-11-20 11:00:00 UTC.*cxr-train compare"):
        change.promote(tmp_path / "2")
    assert in_service(site) == "1"
    newer = judgement(shipped.sha256, card.sha256, judged_at=clock() + timedelta(seconds=1))
    write_judgement(tmp_path / "2" / "promotion.json", newer)
    assert change.promote(tmp_path / "2").reference.version == "2" == in_service(site)


def test_a_rollback_withdraws_the_model_that_it_replaces_and_no_other(
    site: Service, promote: Callable[[str], ModelCard], clock: Clock
) -> None:
    """The last rollback of a model counts; the one that it led to was not rolled back, nor a model that never was."""
    two, three = promote("2"), promote("3")
    change = Change(site, "me")
    change.roll_back("bad")
    with site.database.read() as session:
        assert [withdrawn_at(session, card.sha256) for card in (two, three)] == [None, clock()]
    clock.advance(hours=1)
    change.roll_back("bad, too")
    with site.database.read() as session:
        earlier = clock() - timedelta(hours=1)
        assert [withdrawn_at(session, card.sha256) for card in (two, three)] == [clock(), earlier]


def test_a_rollback_without_the_files_is_refused(site: Service, promote: Callable[[str], ModelCard]) -> None:
    """The operator is told to bring them; the present model stays in service."""
    second = promote("2")
    promote("3")
    (site.settings.models_dir / second.sha256).rename(site.settings.models_dir / "elsewhere")
    with pytest.raises(ConfigurationError, match="models add"):
        Change(site, "me").roll_back("bad")
    assert in_service(site) == "3"


def test_two_promotions_at_once_are_one(site: Service, tmp_path: Path) -> None:
    """The second was decided against a model that is no longer in service."""
    seen = champion_in_service(site.database)
    two, three = (ModelReference(name="m", version=version, sha256=version * 64) for version in ("2", "3"))
    with site.database.begin() as session:
        put_in_service(session, two, NOW, replacing=seen, location="site", entry=Entry.PROMOTED)
    with pytest.raises(PromotionError, match="just now"), site.database.begin() as session:
        put_in_service(session, three, NOW, replacing=seen, location="site", entry=Entry.PROMOTED)
    assert in_service(site) == "2"


def test_an_upgrade_replaces_a_shipped_model_and_no_other(
    service: Callable[..., Service], promote: Callable[[str], ModelCard], clock: Clock
) -> None:
    """A site's own model stays through `migrate`; after a rollback to the package's, the package's next one follows."""
    site = service()
    promote("2")
    put_shipped_model_in_place(site.database, NOW)
    assert in_service(site) == "2"
    Change(site, "me").roll_back("bad")
    newer = ModelReference(name="resnet50", version="9", sha256="8" * 64)
    with site.database.begin() as session:
        assert put_shipped_model_in_service(session, newer, NOW).reference == newer


def test_a_rollback_to_an_older_shipped_model_survives_an_upgrade(
    service: Callable[..., Service], tmp_path: Path
) -> None:
    """The package brought another model, the site went back to the one before: that is its own choice from now on."""
    site = service()
    card = small_version(tmp_path / "old", "0.0.9")
    with site.database.begin() as session:
        put_shipped_model_in_service(session, OLDER_SHIPPED.model_copy(update={"sha256": card.sha256}), NOW)
    put_shipped_model_in_place(site.database, NOW)
    site.models.install(tmp_path / "old")
    Change(site, "me").roll_back("the new one misses more")
    put_shipped_model_in_place(site.database, NOW)
    assert in_service(site) == "0.0.9"


def test_the_shipped_model_is_there_for_the_way_back_after_an_upgrade(
    site: Service, promote: Callable[[str], ModelCard], tmp_path: Path
) -> None:
    """The next version of the package brings other weights; a copy of today's stays with the site."""
    promote("2")
    shutil.rmtree(tmp_path / "package")
    small_version(tmp_path / "package", "1.1")
    assert Change(site, "me").roll_back("bad").reference.version == "1"
    put_shipped_model_in_place(site.database, NOW)
    assert find_champion(site).card.version == "1"
