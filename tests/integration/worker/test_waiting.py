"""Studies that nobody has read for too long are raised, on both kinds of database."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.integration.worker.conftest import Clock
from tests.studies import (
    FOLDER,
    MINUTE,
    NOW,
    PACS,
    SECOND,
    STUDY,
    flags,
    incoming,
    outbox,
    prepare,
    receive,
    score_everything,
    state,
    the_study,
)
from worker.correcting import Correction
from worker.db import Database
from worker.errors import WithdrawalError
from worker.exporting.facts import DatabaseFacts
from worker.maintenance import Sweeper
from worker.metrics.definitions import UNHEARD
from worker.reading import Reading
from worker.repository.model_versions import RegisteredModel
from worker.repository.page_strip import read_strip
from worker.repository.views import study_history
from worker.service import Service
from worker.stating import Speaker

BuildService = Callable[..., Service]
HEARD, HOUR = "2.25.9", 60


@pytest.fixture
def site(service: BuildService) -> Service:
    """A site where nobody should wait for more than an hour."""
    return service(escalate_after_minutes=HOUR, study_quiet_seconds=30)


@pytest.fixture
def sweep(site: Service, champion: RegisteredModel) -> Callable[[], None]:
    """Sweep once."""
    return Sweeper(site, Speaker(champion, (FOLDER, PACS), shadow=False), lambda step: step()).sweep


@pytest.fixture
def heard(database: Database, site: Service, clock: Clock) -> None:
    """Another study came and was read just before: the RIS tells us."""
    receive(database, incoming("2.25.91", study=HEARD, at=NOW - SECOND))
    clock.advance(seconds=-1)
    Reading(site, "ris").mark_read(HEARD)
    clock.advance(seconds=1)


def waiting(database: Database) -> list[dict[str, object]]:
    """The results that raise a study for its waiting time, but for conclusions that repeat it."""
    return [f for f in flags(database) if f["priority_reason"] == "waiting-time"]


def screen(database: Database, champion: RegisteredModel, *flagged: str) -> None:
    """The film 2.25.11 came, was prepared and scored."""
    receive(database, incoming(at=NOW))
    prepare(database)
    score_everything(database, champion, flagged=flagged)


@pytest.mark.usefixtures("heard")
def test_who_waits_too_long_is_raised_once_without_a_finding(
    database: Database, champion: RegisteredModel, clock: Clock, sweep: Callable[[], None]
) -> None:
    """Not before the hour, then once; PACS and folder are told as of a flag, in words that state no finding."""
    screen(database, champion)
    clock.advance(minutes=59)
    sweep()
    assert waiting(database) == []
    clock.advance(minutes=1)
    sweep()
    sweep()
    (flag,) = waiting(database)
    assert (flag["priority"], flag["finding"], flag["status"], flag["complete"]) == ("HIGH", None, "SCREENED", True)
    assert [(row[2], row[3]) for row in outbox(database) if row[0] == "waiting"] == [("flags", 30), ("pacs", 30)]
    with database.read() as session:
        history = study_history(session, STUDY)
    assert history is not None
    assert "priority HIGH for its waiting time, without a finding (unread for too long" in history.events[-1].text


@pytest.mark.usefixtures("heard")
def test_a_study_that_nobody_screened_is_raised_too(
    database: Database, clock: Clock, sweep: Callable[[], None]
) -> None:
    """Neither the network nor a person has looked at it."""
    receive(database, incoming())
    clock.advance(minutes=HOUR)
    sweep()
    (flag,) = waiting(database)
    assert (flag["status"], flag["reason"], flag["priority"], flag["finding"]) == (
        "UNSCREENED",
        "overdue",
        "HIGH",
        None,
    )


@pytest.mark.usefixtures("heard")
def test_a_finding_is_told_at_once_although_the_study_was_raised_before(
    database: Database, champion: RegisteredModel, clock: Clock, sweep: Callable[[], None], speaker: Speaker
) -> None:
    """Up only: the flag outranks the waiting time, and a later conclusion keeps it."""
    receive(database, incoming())
    clock.advance(minutes=HOUR)
    sweep()
    prepare(database)
    score_everything(database, champion, flagged={"2.25.11"}, at=clock.time)
    with database.begin() as session:
        assert speaker.state_finding(session, 2, clock.time)
        assert not speaker.state_finding(session, 2, clock.time)
    sweep()
    assert [f["priority_reason"] for f in flags(database)[-2:]] == ["finding", "finding"]
    assert flags(database)[-1]["finding"] == "suspected pneumonia"


@pytest.mark.usefixtures("heard")
def test_nothing_lowers_what_waiting_raised(
    database: Database, champion: RegisteredModel, clock: Clock, sweep: Callable[[], None], site: Service
) -> None:
    """Read, another film, a conclusion: HIGH stays, without a finding; and there is no flag to withdraw."""
    screen(database, champion)
    clock.advance(minutes=HOUR)
    sweep()
    Reading(site, "roe").mark_read(STUDY)
    receive(database, incoming("2.25.12", at=clock.time))
    prepare(database, "2.25.12")
    score_everything(database, champion, at=clock.time)
    clock.advance(minutes=1)
    sweep()
    assert [(f["priority"], f["finding"]) for f in flags(database)[-2:]] == [("HIGH", None)] * 2
    with pytest.raises(WithdrawalError, match="raised for its waiting time"):
        Correction(site, Speaker(champion, (), shadow=False), "roe").withdraw(STUDY, "a fold")


@pytest.mark.usefixtures("heard")
def test_read_studies_do_not_wait_until_another_image_comes(
    database: Database, champion: RegisteredModel, clock: Clock, sweep: Callable[[], None], site: Service
) -> None:
    """Its wait begins anew with the film that nobody has read, however old the study is."""
    screen(database, champion)
    Reading(site, "roe").mark_read(STUDY)
    clock.advance(days=30)
    receive(database, incoming("2.25.12", at=clock.time))
    receive(database, incoming("2.25.92", study="2.25.8", at=clock.time))
    Reading(site, "ris").mark_read("2.25.8")
    clock.advance(minutes=HOUR - 1)
    sweep()
    assert waiting(database) == []
    clock.advance(minutes=1)
    sweep()
    assert [f["study_instance_uid"] for f in waiting(database)] == [STUDY]


def test_without_a_signal_nobody_is_raised(
    database: Database, clock: Clock, sweep: Callable[[], None], site: Service
) -> None:
    """Never told, told a day ago, or told only later what is read: nobody knows whether the study was."""
    receive(database, incoming())
    clock.advance(minutes=2 * HOUR)
    sweep()
    assert waiting(database) == []
    receive(database, incoming("2.25.91", study=HEARD, at=clock.time))
    Reading(site, "ris").mark_read(HEARD)
    sweep()
    assert waiting(database) == []  # it came before the first signal
    receive(database, incoming("2.25.92", study="2.25.8", at=clock.time + SECOND))
    clock.advance(hours=24)
    sweep()
    assert waiting(database) == []  # the RIS has been silent for a day
    receive(database, incoming("2.25.93", study="2.25.7", at=clock.time))
    Reading(site, "ris").mark_read("2.25.7")
    sweep()
    assert [f["study_instance_uid"] for f in waiting(database)] == ["2.25.8"]


@pytest.mark.usefixtures("heard")
def test_who_has_waited_for_more_than_a_week_is_left_alone(
    database: Database, champion: RegisteredModel, clock: Clock, sweep: Callable[[], None], site: Service
) -> None:
    """An archive that the signals began with long ago is not raised when the setting is made."""
    screen(database, champion)
    clock.advance(days=7, minutes=HOUR, seconds=1)
    receive(database, incoming("2.25.93", study="2.25.7", at=clock.time))
    Reading(site, "ris").mark_read("2.25.7")
    sweep()
    assert waiting(database) == []
    assert the_study_priority(database) is None


def test_a_withdrawn_flag_does_not_wait(
    database: Database,
    champion: RegisteredModel,
    clock: Clock,
    sweep: Callable[[], None],
    site: Service,
    speaker: Speaker,
) -> None:
    """Whoever withdraws a flag has read the study: it is not raised again an hour later."""
    screen(database, champion, "2.25.11")
    state(database, speaker.state_finding)
    Correction(site, speaker, "roe").withdraw(STUDY, "a fold")
    assert the_study(database).read_at == NOW
    clock.advance(minutes=2 * HOUR)
    sweep()
    assert waiting(database) == []


def test_a_read_signal_that_falls_silent_is_told(
    database: Database, clock: Clock, site: Service, champion: RegisteredModel
) -> None:
    """After an hour in which studies came, at an hour when others were read: on the page, and to Prometheus."""
    assert _unheard(site) is None  # nobody has ever said anything
    for number, hours in enumerate((-23, 0)):
        clock.time = heard = NOW + timedelta(hours=hours)
        receive(database, incoming(f"2.25.8{number}", study=f"2.25.8{number}.9", at=heard))
        Reading(site, "ris").mark_read(f"2.25.8{number}.9")
    for number in range(4):
        receive(database, incoming(f"2.25.7{number}", study=f"2.25.7{number}.9", at=heard + MINUTE))
    said = {}
    for hours in (1, 0.9, 1.5, 2, 24.5, 25.5, 14 * 24):
        if hours == 0.9:  # until then there are four, which say nothing
            receive(database, incoming("2.25.75", study="2.25.75.9", at=heard + MINUTE))
        clock.time = heard + timedelta(hours=hours)
        said[hours] = _unheard(site)
    nobody_reads_then = {2: None, 24.5: None}
    assert said == {1: None, 0.9: None, 1.5: heard, 25.5: heard, 14 * 24: heard} | nobody_reads_then
    assert _unheard(site, escalate_after_minutes=None) is None
    Reading(site, "ris").mark_read("2.25.75.9")
    assert _unheard(site) is None


def test_a_weekend_on_which_nobody_reads_is_no_silent_signal(
    database: Database, clock: Clock, site: Service, champion: RegisteredModel
) -> None:
    """Though films come: nobody read on the two before. The Monday after it is, be the last one a holiday."""
    for days in (14, 11, 10, 9, 8, 7, 3, 2, 1, 0):  # before this Friday; not the Monday 4 days before
        clock.time = NOW - timedelta(days=days)
        receive(database, incoming(f"2.25.6{days}", study=f"2.25.6{days}.9", at=clock.time))
        Reading(site, "ris").mark_read(f"2.25.6{days}.9")
    for number in range(5):
        receive(database, incoming(f"2.25.7{number}", study=f"2.25.7{number}.9", at=NOW + MINUTE))
    said = []
    for days in (1, 2, 3):
        clock.time = NOW + timedelta(days=days, minutes=30)
        said.append(_unheard(site))
    assert said == [None, None, NOW]


def _unheard(site: Service, **changed: object) -> datetime | None:
    """What the page's strip says, and that Prometheus is told the same."""
    asked = replace(site, settings=site.settings.model_copy(update=changed))
    with asked.database.read() as session:
        strip = read_strip(session, asked.settings, asked.now(), policy=asked.delivery_policy)
    told = DatabaseFacts(asked).ask()[UNHEARD]
    assert told == ({} if changed else {(): strip.unheard_since is not None})
    return strip.unheard_since


def the_study_priority(database: Database) -> object:
    """The priority of the study that waits."""
    with database.read() as session:
        history = study_history(session, STUDY)
    assert history is not None
    return history.study.priority
