"""What the listener counts, for Prometheus; labels are codes, never what a peer sent."""

from prometheus_client import Counter, start_http_server

from dicom_io.access import Observer, Reason
from worker.errors import ConfigurationError

LOOPBACK = "127.0.0.1"

C_STORE = Counter("cxr_triage_c_store", "C-STORE requests by the status they were answered with.", ["status"])
TURNED_AWAY = Counter(
    "cxr_triage_associations_refused", "Connections refused, or ended before their time, by reason.", ["reason"]
)


def counting() -> Observer:
    """Count every answer and every connection that was turned away; each reason is there from the start, as 0."""
    for reason in Reason:
        TURNED_AWAY.labels(reason.value)
    return Observer(
        answered=lambda status: C_STORE.labels(f"0x{status:04X}").inc(),
        turned_away=lambda reason: TURNED_AWAY.labels(reason.value).inc(),
    )


def expose(port: int) -> None:
    """Answer Prometheus on this port of the loopback interface for as long as the process lives.

    Raises:
        ConfigurationError: if the port cannot be bound.
    """
    try:
        start_http_server(port, addr=LOOPBACK)
    except OSError as error:
        raise ConfigurationError(
            f"listener.metrics_port: cannot listen on {LOOPBACK}:{port}: {error.strerror}; free the port, or change it"
        ) from error
