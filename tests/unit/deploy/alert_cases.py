"""When each alert fires and when it does not, as promtool's series: one value a minute, an hour, or 6 hours."""

from collections.abc import Sequence
from dataclasses import dataclass, field

HOST = 'instance="a",job="cxr-triage"'
_RECEIVED = 'cxr_triage_objects_received_total{receipt="new",instance="a"}'
_SCORED = 'cxr_triage_images_total{state="scored",reason="",instance="b"}'
_WAITING = 'cxr_triage_work_waiting{stage="score",instance="b"}'
_FLAGGED = 'cxr_triage_frames_scored_total{flagged="true"}'
_CLEAR = 'cxr_triage_frames_scored_total{flagged="false"}'
_LATENCY = 'cxr_triage_delivery_latency_seconds_bucket{stage="early",priority="HIGH",kind="hl7",le='
_SEEN = 'cxr_triage_sender_last_received_timestamp_seconds{ae_title="DX1",instance="a"}'
_IN_SERVICE = 'cxr_triage_model_in_service_info{name="m",version="1",sha256="aa",instance="a"}'
_SCORERS = 'cxr_triage_processes{role="score",instance="b"}'


@dataclass(frozen=True)
class Case:
    """Series under which an alert fires at a time, and series under which it does not."""

    alert: str
    fires: dict[str, str]
    quiet: dict[str, str]
    at: str = "20m"
    with_it: tuple[str, ...] = field(default=())  # alerts that fire for the same reason
    every: str = "1m"


def _one(alert: str, series: str, fires: str, quiet: str, at: str = "20m") -> Case:
    return Case(alert, {series: fires}, {series: quiet}, at)


def _oldest(stage: str) -> str:
    return f'cxr_triage_work_oldest_age_seconds{{stage="{stage}",instance="a"}}'


_GPU = 'cxr_triage_gpu_memory_size_bytes{device="cuda:0",process="score-0",instance="a"}'
_GPU_FREE = _GPU.replace("_size_", "_free_")
_FREE, _SIZE, _KEPT = (f'cxr_triage_disk_{what}_bytes{{instance="a"}}' for what in ("free", "size", "kept_free"))

_DAY, _WEEK = 24, 7 * 24  # hours


def _seen(days: Sequence[int], until: int = 3 * _WEEK) -> str:
    """When a sender was last seen, every 6 hours of three weeks from a Monday on; it sends at noon of these days."""
    last, values = 0, []
    for hour in range(0, 3 * _WEEK, 6):
        if hour < until and hour // _DAY % 7 in days and hour % _DAY == 12:
            last = hour * 3600
        values.append(last)
    return " ".join(map(str, values))


_ON_WORKDAYS, _EVERY_DAY = range(5), range(7)

CASES = (
    _one("CxrTriageHostDown", f"up{{{HOST}}}", "0x30", "1x30"),
    Case(
        "CxrTriageNothingScreened",
        {_RECEIVED: "0+1x30", _SCORED: "7x30", _WAITING: "0+1x30"},
        {_RECEIVED: "0+1x30", _SCORED: "0+1x30", _WAITING: "1x30"},
        "25m",
    ),
    _one("CxrTriageFilmsWait", _oldest("prepare"), "0+60x30", "290x30"),
    _one("CxrTriageResultsWait", _oldest("deliver"), "1500+60x30", "1700x30"),
    _one("CxrTriageStudiesNotConcluded", _oldest("conclude"), "7000+60x30", "7000x30"),
    _one("CxrTriageOverdue", 'cxr_triage_results_total{stage="overdue",instance="a"}', "0x10 1x20", "3x30"),
    Case(
        "CxrTriageFlagsSlow",
        {f'{_LATENCY}"120.0"}}': "0x90", f'{_LATENCY}"300.0"}}': "0+1x90", f'{_LATENCY}"+Inf"}}': "0+1x90"},
        {f'{_LATENCY}"120.0"}}': "0+1x90", f'{_LATENCY}"300.0"}}': "0+1x90", f'{_LATENCY}"+Inf"}}': "0+1x90"},
        "80m",
    ),
    _one("CxrTriageObjectsRefused", 'cxr_triage_c_store_total{status="0xA700"}', "0x10 1x20", "5x30"),
    _one(
        "CxrTriageDestinationFailing",
        'cxr_triage_destination_failures_in_a_row{destination="pacs",instance="a"}',
        "0 1 2+1x30",
        "0 1x30",
    ),
    _one("CxrTriageDeadLetters", 'cxr_triage_dead_letters{destination="ris",instance="a"}', "0x10 1x20", "0x30"),
    _one("CxrTriageQuarantineGrows", 'cxr_triage_quarantined_images{instance="a"}', "3x10 14x20", "3x10 13x20"),
    Case("CxrTriageSenderSilent", {_SEEN: "0x20"}, {_SEEN: "0x5 18000+3600x15"}, "15h", every="1h"),
    *(
        Case("CxrTriageSenderSilent", {_SEEN: silent}, {_SEEN: _seen(_ON_WORKDAYS)}, f"{at}h", every="6h")
        for silent, at in (
            (_seen(_ON_WORKDAYS, until=2 * _WEEK - 2 * _DAY), 2 * _WEEK + 18),  # of a Monday that was to be busy
            (_seen(_EVERY_DAY, until=2 * _WEEK - _DAY), 2 * _WEEK - 6),  # of a Sunday, which is always busy there
            (_seen(_ON_WORKDAYS, until=_WEEK + 8), 2 * _WEEK + 2 * _DAY + 18),  # for nine days
        )
    ),
    _one("CxrTriageReadSignalSilent", 'cxr_triage_read_signal_silent{instance="a"}', "0x5 1x25", "0x15 1x15"),
    Case(
        "CxrTriageDiskNearlyFull",
        {_FREE: "150x30", _SIZE: "9999x30", _KEPT: "100x30"},
        {_FREE: "600x30", _SIZE: "9999x30", _KEPT: "100x30"},
    ),
    Case(
        "CxrTriageDiskFull",
        {_FREE: "90x30", _SIZE: "9999x30", _KEPT: "100x30"},
        {_FREE: "600x30", _SIZE: "9999x30", _KEPT: "100x30"},
        with_it=("CxrTriageDiskNearlyFull",),
    ),
    Case("CxrTriageGpuMemory", {_GPU: "100x30", _GPU_FREE: "4x30"}, {_GPU: "100x30", _GPU_FREE: "6x30"}),
    _one("CxrTriageProcessGone", 'cxr_triage_processes{role="score",instance="a"}', "1x10 0x20", "1x30"),
    _one("CxrTriageDatabaseDown", 'cxr_triage_database_up{instance="a"}', "1x10 0x20", "1x30"),
    _one("CxrTriageBrokerDown", 'cxr_triage_wake_ups_lost_total{instance="a"}', "0+1x30", "4x30"),
    _one("CxrTriageTaskFaults", 'cxr_triage_task_faults_total{instance="a"}', "0x10 1x20", "4x30"),
    Case(
        "CxrTriageModelNotLoaded",
        {_IN_SERVICE: "1x30", _SCORERS: "1x30"},
        {_IN_SERVICE: "1x30"},  # of a cluster, one exporter for what SQL tells
    ),
    Case(
        "CxrTriageModelNotLoaded",
        {
            _IN_SERVICE: "1x30",
            _SCORERS: "1x30",
            'cxr_triage_model_info{sha256="bb",process="score-0",instance="b"}': "1x30",
        },
        {
            _IN_SERVICE: "1x30",
            _SCORERS: "1x30",
            'cxr_triage_model_info{sha256="aa",process="score-0",instance="b"}': "1x30",
        },
    ),
    Case(
        "CxrTriageFlagRateUnusual",
        {_FLAGGED: "0+1x340 340+9x30", _CLEAR: "0+9x340 3060+1x30"},
        {_FLAGGED: "0+1x370", _CLEAR: "0+9x370"},
        "365h",
        every="1h",
    ),
    _one("CxrTriageClocksApart", 'cxr_triage_database_clock_offset_seconds{instance="a"}', "-6x30", "-4x30"),
)
