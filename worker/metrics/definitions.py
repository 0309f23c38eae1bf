"""Every metric: its name, kind, labels and meaning; the only place that names them.

Labels are words of this program and of its settings, never what a peer sent unchecked, and nothing of a patient.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# Where this is set the library keeps its values in mapped files, and on a full disk the kernel kills a process that
# touches a new page of one (SIGBUS). It is read at the import.
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

Kind = Literal["counter", "gauge", "histogram"]

REGISTRY = CollectorRegistry(auto_describe=True)  # what this process counts
PREFIX = "cxr_triage_"
SENDERS = f"{PREFIX}sender_last_received_timestamp_seconds"

_LATENCY_SECONDS = (0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400)
_LOGITS = (-8, -6, -4, -3, -2, -1, -0.5, 0, 0.5, 1, 2, 3, 4, 6, 8)


@dataclass(frozen=True, slots=True)
class Definition:
    """A metric as Prometheus shows it.

    Attributes:
        name: with its unit, and `_total` if it is a counter.
        kind: Prometheus' type.
        meaning: one sentence.
        labels: their names.
        latest: of a gauge: the highest value of all processes, kept beyond their end; else each process shows its own.
        limits: upper limits of a histogram's buckets, without infinity.
    """

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    latest: bool = False
    limits: tuple[float, ...] = ()

    @property
    def sample_names(self) -> tuple[str, ...]:
        """The names of its samples."""
        if self.kind == "histogram":
            return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))
        return (self.name,)


DEFINITIONS: dict[str, Definition] = {}


def _define(name: str, kind: Kind, meaning: str, labels: Sequence[str] = (), **more: bool | tuple[float, ...]) -> str:
    full = f"{PREFIX}{name}"
    DEFINITIONS[full] = Definition(full, kind, meaning, tuple(labels), **more)  # type: ignore[arg-type]
    return full


def _counter(name: str, meaning: str, *labels: str, zero: Sequence[tuple[str, ...]] = ()) -> Counter:
    counter = Counter(_define(name, "counter", meaning, labels), meaning, labels, registry=REGISTRY)
    for values in zero:  # of what begins at 1 Prometheus sees no increase
        counter.labels(*values)
    return counter


def _histogram(name: str, meaning: str, *labels: str, limits: tuple[float, ...]) -> Histogram:
    full = _define(name, "histogram", meaning, labels, limits=limits)
    return Histogram(full, meaning, labels, buckets=limits, registry=REGISTRY)


def _gauge(name: str, meaning: str, *labels: str, latest: bool = False) -> Gauge:
    shown = labels if latest else ("process", *labels)  # the exporter adds which process says so
    return Gauge(_define(name, "gauge", meaning, shown, latest=latest), meaning, labels, registry=REGISTRY)


C_STORE = _counter(
    "c_store_total",
    "C-STORE requests by the status they were answered with.",
    "status",
    zero=[("0x0000",), ("0x0122",), ("0xA700",), ("0xA900",), ("0xC000",)],
)
TURNED_AWAY = _counter(
    "associations_refused_total", "Connections refused, or ended before their time, by reason.", "reason"
)
RECEIVED = _counter(
    "objects_received_total",
    "Objects that are safe here: `new`, `replacement`, `duplicate`, or `other` for those without pixels; without the "
    "doctor's films.",
    "receipt",
    zero=[("new",), ("replacement",), ("duplicate",), ("other",)],
)
SENDER_SEEN = _gauge(
    "sender_last_received_timestamp_seconds",
    "When an object of this calling AE title was last taken, the doctor's films apart; `other` for titles outside "
    "`listener.allowed_callers`, or beyond the first 50 where that is empty.",
    "ae_title",
    latest=True,
)
IMAGES = _counter(
    "images_total",
    "Images that came to a state: `prepared`, then `scored`, or else `out-of-scope` or `failed`, with the reason; "
    "without the doctor's films.",
    "state",
    "reason",
    zero=[("prepared", ""), ("scored", "")],
)
ATTEMPTS_FAILED = _counter(
    "image_attempts_failed_total",
    "Attempts on an image that failed in a way that may pass.",
    "step",
    zero=[("prepare",), ("score",)],
)
FRAMES = _counter(
    "frames_scored_total",
    "Frames that the network judged; without the doctor's films and re-screening.",
    "flagged",
    zero=[("true",), ("false",)],
)
DISTANCE = _histogram(
    "score_logit_distance",
    "Logit minus the logit of the threshold: at and above 0 a frame is flagged. Without the doctor's films and "
    "re-screening.",
    limits=_LOGITS,
)
RESULTS = _counter(
    "results_total",
    "Results said of studies, by stage, status, reason and priority; without the doctor's.",
    "stage",
    "status",
    "reason",
    "priority",
    zero=[("overdue", "UNSCREENED", "overdue", "")],
)
SENDINGS = _counter(
    "delivery_attempts_total", "Attempts to deliver: `delivered`, `retry` or `refused`.", "destination", "outcome"
)
LATENCY = _histogram(
    "delivery_latency_seconds",
    "From receipt to acknowledgement by a destination of this kind: of an `early` flag since its first flagged image "
    "came, of a `complete` result since the study's last image. Without re-screening and withdrawals.",
    "kind",
    "stage",
    "priority",
    limits=_LATENCY_SECONDS,
)
WAKES_LOST = _counter("wake_ups_lost_total", "Wake-ups that the broker did not take; the sweep sends them again.")
FAULTS = _counter("task_faults_total", "Steps of a task that ended with an unforeseen fault; the log says where.")
MODEL = _gauge(
    "model_info",
    "1: the model that this score process has loaded, and its device.",
    "name",
    "version",
    "sha256",
    "device",
)
GPU_FREE = _gauge("gpu_memory_free_bytes", "Free memory of the device that this score process uses.", "device")
GPU_SIZE = _gauge("gpu_memory_size_bytes", "Memory of the device that this score process uses.", "device")
GPU_RESERVED = _gauge("gpu_memory_reserved_bytes", "Memory of the device that PyTorch holds in this process.", "device")

# What the exporter finds out when it is asked.
BUILD = _define("build_info", "gauge", "1: the version of the exporter.", ["version"])
PROCESSES = _define(
    "processes",
    "gauge",
    "Processes of this role that count into the folder and gave a sign of life in the last 30 s; 0 if there were some.",
    ["role"],
)
UNREADABLE = _define(
    "metrics_files_unreadable",
    "gauge",
    "Files of `metrics.folder` that are damaged or another account's; their process writes them anew, if one comes.",
)
DATABASE_UP = _define("database_up", "gauge", "Whether the database answered; without it the rows below are missing.")
DATABASE_LEVEL = _define("database_level_info", "gauge", "1: the level of the database schema.", ["level"])
CLOCK_OFFSET = _define(
    "database_clock_offset_seconds", "gauge", "This host's clock minus the database server's; PostgreSQL only."
)
WAITING = _define(
    "work_waiting",
    "gauge",
    "Rows that a stage has before it, the doctor's films too, counted up to 10000; `conclude`: studies.",
    ["stage"],
)
OLDEST = _define(
    "work_oldest_age_seconds",
    "gauge",
    "How long the oldest of them has waited, 0 if none waits; `conclude`: since the study's last image.",
    ["stage"],
)
DEAD = _define("dead_letters", "gauge", "Results that a destination will never take, up to 10000.", ["destination"])
FAILURES_IN_A_ROW = _define(
    "destination_failures_in_a_row",
    "gauge",
    "How often this destination took nothing since it last did; from 2 on it is paused.",
    ["destination"],
)
PAUSED = _define(
    "destination_paused", "gauge", "Whether nothing is sent to this destination at present.", ["destination"]
)
UNHEARD = _define(
    "read_signal_silent",
    "gauge",
    "Whether nobody has said for an hour what was read, although studies came and it was said at this hour of the "
    "week before, or of that before it; only with `escalate_after_minutes`.",
)
QUARANTINED = _define(
    "quarantined_images", "gauge", "Images whose every attempt failed, up to 10000, without the doctor's."
)
IN_SERVICE = _define("model_in_service_info", "gauge", "1: the model in service.", ["name", "version", "sha256"])
DISK_FREE = _define("disk_free_bytes", "gauge", "Free space where `data_dir` lies.")
DISK_SIZE = _define("disk_size_bytes", "gauge", "Size of the file system where `data_dir` lies.")
DISK_KEPT = _define("disk_kept_free_bytes", "gauge", "`min_free_bytes`: below it objects are refused.")
