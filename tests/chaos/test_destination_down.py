"""The destination is down while studies are being pushed, and comes back."""

from pathlib import Path

from pydicom import dcmread

from tests.chaos.films import Films
from tests.chaos.invariants import assert_promises_kept, concluded, settle, take_stock
from tests.chaos.ledger import Ledger
from tests.chaos.outages import Pacs
from tests.chaos.pusher import push
from tests.chaos.report import Report
from tests.chaos.scale import Scale
from tests.chaos.service import ChaosService
from tests.servers.ports import wait_until


def test_what_waited_for_a_destination_arrives_once_the_flagged_first(
    embedded: ChaosService, pacs: Pacs, films: Films, scale: Scale, report: Report
) -> None:
    """The folder is told meanwhile; the PACS gets every report when it is back, those of flagged studies first."""
    ledger = Ledger()
    with report.row("destination", "destination down for the whole run, then back", planned=1) as row:
        earlier = set(pacs.arrivals())
        pacs.stop()
        told = flags(embedded)
        pushed = [films.new(flagged=number % 2 == 1) for number in range(scale.waiting_studies)]
        for first in range(0, len(pushed), 10):
            push(embedded.listener, pushed[first : first + 10], ledger)
        wait_until(lambda: concluded(embedded, ledger) == len(pushed), "every study concluded", seconds=300, every=0.2)
        wait_until(lambda: flags(embedded) >= told + len(pushed), "a flag of each in the folder", every=0.2)
        assert set(pacs.arrivals()) == earlier
        pacs.start()
        row.rounds = 1
        settle(embedded, ledger)
        row.take(tally := take_stock(embedded, ledger))
        assert_promises_kept(tally)
        arrivals = [path for path in pacs.arrivals() if path not in earlier]
        assert [_is_flagged(path) for path in arrivals] == sorted(map(_is_flagged, arrivals), reverse=True)


def flags(service: ChaosService) -> int:
    """How many flags lie in the folder."""
    return sum(1 for _ in service.flags_folder.glob("*.json"))


def _is_flagged(report: Path) -> bool:
    return str(dcmread(report).SeriesDescription) == "AI TRIAGE: HIGH"
