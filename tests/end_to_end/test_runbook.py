"""What deploy/runbook.md says is typed on a real service, and gives what it says one sees."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from dicom_io.phantom import phantom_dataset
from dicom_io.scu import store
from tests.archives import entity, fill, orthanc_that_sends_to
from tests.chaos.outages import Pacs
from tests.models import judgement, real_version, write_judgement
from tests.runbook import Step
from tests.runbook_site import Postgres, Site, flags_by_study, postgres
from tests.servers.certificates import Authority
from tests.servers.http import HttpServer, StartHttp, answered
from tests.servers.orthanc import StartOrthanc
from tests.servers.ports import LOOPBACK, free_port, wait_until
from worker.model.artifact import default_directory, load_card
from worker.repository.views import DeliveryView, undelivered

TAKES_NO_SUCH = 413  # of the answers by which a webhook says that it never takes an object
KNOWN, BROKEN, ABSENT, LATER = "1.2.3.4", "1.2.3.5", "1.2.3.6", "1.2.3.7"
StartSite = Callable[..., Site]


def film(study: str, seed: int = 1) -> Dataset:
    """A film of a study, of the day that the runbook speaks of."""
    drawn = phantom_dataset(seed, kind="CR", rows=256, columns=256, study_instance_uid=study)
    drawn.StudyDate = "20261120"
    return drawn


def push(site: Site, *films: Dataset) -> None:
    """Push films as the PACS does."""
    assert set(store(site.service.listener, films, calling_ae_title="PACS1", timeout_seconds=30)) == {0}


def said(site: Site, study: str, times: int = 1) -> None:
    """Wait until so many results of a study lie in the folder."""
    wait_until(
        lambda: len(flags_by_study(site).get(study, [])) >= times, f"a result, see {site.service.log}", seconds=120
    )


def outbox(site: Site) -> list[DeliveryView]:
    """What is not delivered."""
    with site.database() as session:
        return undelivered(session)


def delivered(site: Site) -> None:
    """Wait until nothing waits in the outbox."""
    wait_until(lambda: not outbox(site), "an empty outbox", seconds=120)


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A PostgreSQL of the test's own, which it may stop."""
    with postgres() as running:
        yield running


@pytest.fixture
def board(http_server: StartHttp) -> HttpServer:
    """A webhook."""
    return http_server()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartSite]:
    """Call it to start a site with a PACS; keywords are those of `Site`."""
    started: list[Site] = []
    pacs = Pacs(tmp_path / "pacs")

    def begin(**how: object) -> Site:
        port = how.pop("port", None)
        site = Site(tmp_path, pacs, **how)  # type: ignore[arg-type]
        if isinstance(port, int):
            site.service.port = port
        started.append(site)
        pacs.start()
        site.service.start()
        return site

    yield begin
    for site in started:
        site.service.stop()
        pacs.stop()


def destinations(tmp_path: Path, board: HttpServer) -> str:
    """The folder of flags, and a webhook named board."""
    secret = "of-the-test-alone"  # noqa: S105 - made up  # pragma: allowlist secret
    return (
        f'[[destinations]]\nname = "flags"\nkind = "folder"\npath = "{tmp_path}/data/flags"\n'
        f'[[destinations]]\nname = "board"\nkind = "webhook"\nurl = "{board.url}"\nsecret = "{secret}"\n'
    )


def test_what_failed_is_mended(server: Postgres, start: StartSite, tmp_path: Path, board: HttpServer) -> None:
    """Health, dead letters, quarantine and a wrong flag, on PostgreSQL: each is done as it is written."""
    site = start(postgres=server, toml=destinations(tmp_path, board))
    push(site, film(KNOWN))
    said(site, KNOWN, 2)
    delivered(site)
    site.shown("Is it well?")

    board.says(answered(TAKES_NO_SUCH))
    broken = film(BROKEN, 4)
    broken.PixelData = broken.PixelData[: 256 * 256]
    push(site, film("1.2.3.8", 3), broken)
    said(site, BROKEN)
    wait_until(lambda: [row.state for row in outbox(site)] == ["dead"] * 3, "dead letters", seconds=120)
    board.says(answered())
    site.shown("Dead letters")
    site.shown("Quarantine")
    site.shown("A wrong flag")
    said(site, KNOWN, 3)
    assert flags_by_study(site)[KNOWN][-1] is None
    delivered(site)


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_what_is_down_comes_back(
    server: Postgres, redis_url: str, orthanc: StartOrthanc, start: StartSite, tmp_path: Path, board: HttpServer
) -> None:
    """Stop and start, PACS, database, a study that never came, a model and the rest: each is done as it is written."""
    port = free_port()
    archive = orthanc(**orthanc_that_sends_to(port))
    fill(entity(archive), [film(ABSENT, 6)], tmp_path)
    toml = (
        f'[reconciliation]\nwindow = "00:00-00:01"\n[reconciliation.pacs]\nae_title = "{archive.ae_title}"\n'
        f'host = "{LOOPBACK}"\nport = {archive.port}\n{destinations(tmp_path, board)}'
    )
    site = start(postgres=server, toml=toml, port=port, environment={"CXR_BROKER_URL": redis_url})
    push(site, film(KNOWN))
    said(site, KNOWN, 2)
    delivered(site)
    site.shown("A study is missing")
    said(site, ABSENT, 2)
    site.pacs.stop()
    push(site, film(LATER, 2))
    said(site, LATER)
    site.shown("PACS down", before=lambda step: _until_it_waits(site, step))
    assert len(site.pacs.arrivals()) >= 2
    _promote(site)
    for heading in ("Roll a model back", "Adding a host", "Disk full", "Redis down", "A GPU host lost", "Clocks apart"):
        site.shown(heading)
    (site.folder / "etc" / "tls").mkdir()
    authority = Authority.make(site.folder / "etc" / "tls", "authority")
    authority.issue("listener")
    site.shown("Certificates")
    server.stop()
    site.shown("Database down")
    for heading in ("Overdue studies", "Logs for a developer", "Upgrade", "Start, stop"):
        site.shown(heading)
    push(site, film("1.2.3.9", 9))
    said(site, "1.2.3.9", 2)


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["PostgreSQL", "SQLite"])
def test_a_lost_host_is_restored(
    kind: str, server: Postgres, orthanc: StartOrthanc, start: StartSite, tmp_path: Path, board: HttpServer
) -> None:
    """What was in the back-up is there, what came later is taken in from the spool and fetched from the PACS."""
    port = free_port()
    archive = orthanc(**orthanc_that_sends_to(port))
    known, later = film(KNOWN), film(LATER, 7)
    fill(entity(archive), [known, film(ABSENT, 6), later], tmp_path)
    toml = (
        f'[reconciliation]\nwindow = "00:00-00:01"\n[reconciliation.pacs]\nae_title = "{archive.ae_title}"\n'
        f'host = "{LOOPBACK}"\nport = {archive.port}\n{destinations(tmp_path, board)}'
    )
    site = start(postgres=server if kind == "PostgreSQL" else None, toml=toml, port=port)
    site.pacs.stop()  # so that its reports wait in the back-up
    push(site, known)
    said(site, KNOWN, 2)
    site.shown(f"Back-up with {kind}")
    site.pacs.start()
    push(site, later)
    said(site, LATER, 2)
    delivered(site)
    assert reports(site) == {KNOWN: 2, LATER: 2}

    site.shown(f"Restore with {kind}")
    assert {entry["study_instance_uid"] for entry in site.service.json("worklist")} == {KNOWN}
    site.shown("After a restore")
    said(site, ABSENT, 2)
    delivered(site)
    worklist = {entry["study_instance_uid"]: entry["status"] for entry in site.service.json("worklist")}
    assert worklist == {KNOWN: "SCREENED", ABSENT: "SCREENED", LATER: "SCREENED"}
    assert reports(site) == {KNOWN: 2, LATER: 4, ABSENT: 2}


def reports(site: Site) -> Counter[str]:
    """How many reports of each study the PACS holds; one that came twice is there once."""
    return Counter(str(dcmread(path).StudyInstanceUID) for path in site.pacs.arrivals())


def _promote(site: Site) -> None:
    directory = site.folder / "models" / "site"
    shipped = load_card(default_directory())
    card = real_version(directory, "0.2.0+site", threshold_logit=-50.0)
    write_judgement(directory / "promotion.json", judgement(shipped.sha256, card.sha256))
    done = site.service.run("models", "promote", str(directory))
    assert done.returncode == 0, done.stderr


def _until_it_waits(site: Site, step: Step) -> None:
    if step.command == "cxr-triage deliveries":
        wait_until(lambda: any(row.last_error for row in outbox(site)), "a failed delivery", seconds=120)
