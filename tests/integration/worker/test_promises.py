"""What storage commitment promises, and what it does not, on both kinds of database."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import ComprehensiveSRStorage
from sqlalchemy import select

from tests.commitment_client import listening
from tests.commitment_site import Site, set_image
from tests.integration.worker.conftest import Clock
from tests.studies import NOW
from worker.committing import Committer
from worker.db import Database
from worker.tables import Image

CT = "1.2.840.10008.5.1.4.1.1.2"


def _flip_last_bit(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))


def _flip_syntax(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0", 1))


DAMAGES: tuple[tuple[Callable[[Path], object], int], ...] = (
    (_flip_last_bit, 0x0110),
    (_flip_syntax, 0x0110),
    (lambda path: path.write_bytes(path.read_bytes()[:-2]), 0x0110),
    (lambda path: path.write_bytes(path.read_bytes()[:200]), 0x0110),  # inside the file meta information
    (lambda path: path.write_bytes(b""), 0x0110),
    (lambda path: path.unlink(), 0x0112),
)


def test_a_damaged_file_is_not_committed(site: Site) -> None:
    """However small the damage; its neighbour is. What is sent again is stored anew, and then committed."""
    (_, good), *rest = references = site.send(*range(len(DAMAGES) + 1))
    bad = [instance for _, instance in rest]
    for instance, (damage, _) in zip(bad, DAMAGES, strict=True):
        damage(site.file(instance))
    site.ask(references)
    with listening(site.ear):
        assert site.work()
        reasons = [reason for _, reason in DAMAGES]
        assert site.ear.outcomes == [(2, [good], dict(zip(bad, reasons, strict=True)))]
        assert site.image(good).committed_until is not None
        assert {site.image(instance).committed_until for instance in bad} == {None}
        for instance in bad:
            site.store(site.films[instance])
        site.ask(references, "2.25.8")
        assert site.work()
    assert site.ear.outcomes[1:] == [(1, sorted([good, *bad]), {})]


def test_a_stated_length_that_is_not_the_files_is_a_damage(site: Site, database: Database) -> None:
    """The length in the row is held against the file."""
    ((_, instance),) = references = site.send(1)
    set_image(database, instance, data_set_bytes=7)
    site.ask(references)
    with listening(site.ear):
        assert site.work()
    assert site.ear.outcomes == [(2, [], {instance: 0x0110})]


def test_what_is_not_here_is_not_committed(site: Site, database: Database) -> None:
    """A purged film, one of another SOP class, a report whose identity alone was recorded, and an unknown object."""
    (purged, kept) = site.send(1, 2)
    set_image(database, purged[1], purged_at=NOW)
    report = Dataset()
    report.SOPClassUID, report.SOPInstanceUID = ComprehensiveSRStorage, "2.25.99"
    report.StudyInstanceUID, report.SeriesInstanceUID = "2.25.1", "2.25.2"
    site.store(report)
    site.ask([purged, (CT, kept[1]), (ComprehensiveSRStorage, "2.25.99"), (CT, "2.25.404")])
    with listening(site.ear):
        assert site.work()
    failed = {purged[1]: 0x0112, kept[1]: 0x0119, "2.25.99": 0x0112, "2.25.404": 0x0112}
    assert site.ear.outcomes == [(2, [], failed)]
    assert site.image(kept[1]).committed_until is None


def test_the_current_object_is_the_one_that_counts(site: Site, database: Database) -> None:
    """Of two contents under one UID the newer is checked; the older, which its sender may hold, is kept with it."""
    ((sop_class, instance),) = site.send(1)
    older = site.image(instance)
    changed = site.films[instance]
    changed.InstitutionName = "elsewhere"
    site.store(changed)
    site.service.spool.path(older.content_sha256).unlink()
    site.ask([(sop_class, instance)])
    with listening(site.ear):
        assert site.work()
        assert site.ear.outcomes == [(1, [instance], {})]
        with database.read() as session:
            assert session.scalars(select(Image.committed_until)).all() == [NOW + timedelta(days=10)] * 2
            (newer,) = session.scalars(select(Image.content_sha256).where(Image.state == "received")).all()
        site.service.spool.path(newer).unlink()
        site.ask([(sop_class, instance)], "2.25.8")
        assert site.work()
    assert site.ear.outcomes[1:] == [(2, [], {instance: 0x0112})]


def test_an_object_that_changes_while_it_is_checked_is_not_committed(
    site: Site, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read is not what is current any more, or was purged meanwhile: the decision sees it."""
    (_, replaced), (_, purged) = references = site.send(1, 2)

    def replace(*arguments: Any) -> Any:
        found = check(*arguments)
        changed = site.films[replaced]
        changed.InstitutionName = "elsewhere"
        site.store(changed)
        set_image(database, purged, purged_at=NOW)
        return found

    check = Committer._faults
    monkeypatch.setattr(Committer, "_faults", replace)
    site.ask(references)
    with listening(site.ear):
        assert site.work()
    assert site.ear.outcomes == [(2, [], {replaced: 0x0110, purged: 0x0112})]


def test_a_promise_is_never_shortened(site: Site, database: Database) -> None:
    """One of an earlier, longer retention stands."""
    ((_, instance),) = references = site.send(1)
    set_image(database, instance, committed_until=NOW + timedelta(days=99))
    site.ask(references)
    with listening(site.ear):
        assert site.work()
    assert site.image(instance).committed_until == NOW + timedelta(days=99)


def test_a_full_disk_promises_nothing(site: Site) -> None:
    """Below the free space that is to be kept the caller is told so, and keeps its copy."""
    ((_, instance),) = references = site.send(1)
    site.ask(references)
    settings = site.service.settings.model_copy(update={"min_free_bytes": 1 << 60})
    with listening(site.ear):
        assert Committer(replace(site.service, settings=settings)).commit_next()
    assert site.ear.outcomes == [(2, [], {instance: 0x0213})]
    assert site.image(instance).committed_until is None


def test_a_spool_that_is_away_tells_nothing(site: Site, clock: Clock) -> None:
    """A disk that is not mounted is no loss of the films on it: the request waits until it is back."""
    ((_, instance),) = references = site.send(1)
    site.ask(references)
    root = site.service.spool.root
    root.rename(root.with_name("away"))
    with listening(site.ear):
        assert site.work()
        assert (site.ear.reports, root.exists()) == ([], False)
        assert "mount it" in (site.requests()[0].last_error or "")
        root.with_name("away").rename(root)
        clock.advance(minutes=1)
        assert site.work()
    assert site.ear.outcomes == [(1, [instance], {})]
