"""The destination `dicom`: the report by C-STORE, in the best form that the peer takes, and storage commitment."""

from dataclasses import dataclass, field

from pydicom import Dataset

from dicom_io.commitment import ObjectReference
from dicom_io.errors import PeerUnreachableError, StoreRefusedError, TlsFilesError
from dicom_io.report import ReportForm
from dicom_io.scu import SUCCESS
from dicom_io.sending import Sending, sending
from worker.delivery.reporting import report_as
from worker.destinations import DicomDestination
from worker.dispatch import PLAIN, Dispatch
from worker.domain import ScreeningResult
from worker.errors import DeliveryRefusedError, DeliveryRetryError, DestinationDownError
from worker.receipt import Receipt

_PROCESSING_FAILURE = 0x0110
_SOP_CLASS_NOT_SUPPORTED = 0x0122
_NO_FORM = "The peer takes no structured report and no Secondary Capture in any transfer syntax offered."
_SOP_CLASSES = [form.sop_class_uid for form in ReportForm]


def send(
    result: ScreeningResult, destination: DicomDestination, *, calling_ae_title: str, dispatch: Dispatch = PLAIN
) -> Receipt:
    """Send the report of a result in the best form that the peer takes, and ask it for storage commitment.

    All forms are proposed in one association. One whose object is refused gives way to the next, and is left out next
    time, unless nothing else is taken.

    Returns:
        The status that the peer answered, the form of the report, and what was asked for.

    Raises:
        DestinationDownError: if the peer cannot be reached or is out of resources, or our certificate cannot be used.
        DeliveryRetryError: if it failed on its side.
        DeliveryRefusedError: if it takes the report in no form, or the result has no DICOM source image.
    """
    if not result.has_dicom_source:
        report_as(ReportForm.COMPREHENSIVE_3D_SR, result)
    try:
        return _send(result, destination, calling_ae_title, dispatch)
    except (PeerUnreachableError, TlsFilesError) as error:
        raise DestinationDownError(str(error)) from error
    except StoreRefusedError as error:
        raise _told(error.status)(str(error)) from error


@dataclass(slots=True)
class _Choice:
    """Which forms of a report are still to be tried, the best first; what was refused lately comes last."""

    result: ScreeningResult
    refused_lately: tuple[ReportForm, ...]
    refused: list[ReportForm] = field(default_factory=list)
    refusal: StoreRefusedError = field(default_factory=lambda: StoreRefusedError(_NO_FORM))

    def next_form(self, opened: Sending) -> ReportForm:
        left = [form for form in ReportForm if form not in self.refused and opened.takes(form.sop_class_uid)]
        if not left:
            raise self.refusal
        return min(left, key=lambda form: form in self.refused_lately)

    def store(self, opened: Sending) -> tuple[ReportForm, Dataset, int] | None:
        """Send the report until a form is taken; None if the peer ended the association after it refused one."""
        before = len(self.refused)
        while True:
            form = self.next_form(opened)
            report = report_as(form, self.result)
            try:
                return form, report, opened.store(report)
            except StoreRefusedError as error:
                self.refusal = _if_of_the_form(error)
                self.refused.append(form)
            except PeerUnreachableError:
                if len(self.refused) == before:
                    raise
                return None

    def all_refused(self, taken: ReportForm) -> tuple[ReportForm, ...]:
        refused = {*self.refused, *self.refused_lately} - {taken}
        return tuple(form for form in ReportForm if form in refused)


def _send(result: ScreeningResult, destination: DicomDestination, calling_ae_title: str, dispatch: Dispatch) -> Receipt:
    hear = None if dispatch.transaction_uid is None else dispatch.hear
    timeout, choice = destination.timeout_seconds, _Choice(result, dispatch.refused_lately)
    while True:  # each association but the last one ends with a refusal, and there are three forms to refuse
        with sending(
            destination.entity, _SOP_CLASSES, calling_ae_title=calling_ae_title, timeout_seconds=timeout, hear=hear
        ) as opened:
            stored = choice.store(opened)
            if stored is not None:
                form, report, status = stored
                asked, transaction_uid = _ask_commitment(opened, report, dispatch.transaction_uid)
                refused = choice.all_refused(form)
                return Receipt(_stored(status) + asked, form, transaction_uid, destination.peer, refused)


def _if_of_the_form(error: StoreRefusedError) -> StoreRefusedError:
    """Return a refusal that another form may escape (PS3.4 B.2.3): the class, or what the object of the class says.

    Raises:
        StoreRefusedError: if no form would be taken, as when the peer has no room.
    """
    if error.status == _SOP_CLASS_NOT_SUPPORTED or (error.status or 0) >> 8 in {0xA8, 0xA9, *range(0xC0, 0xD0)}:
        return error
    raise error


def _ask_commitment(opened: Sending, report: Dataset, transaction_uid: str | None) -> tuple[str, str | None]:
    """Ask for storage commitment; whatever comes of it, the report is delivered.

    Returns:
        What to add to the answer of the C-STORE, and the Transaction UID if a report on it may come.
    """
    if transaction_uid is None or not opened.commits:
        return "", None
    reference = ObjectReference(str(report.SOPClassUID), str(report.SOPInstanceUID))
    try:
        status = opened.ask_commitment(transaction_uid, [reference])
    except PeerUnreachableError:
        return "; asked for storage commitment, no answer", transaction_uid
    if status == SUCCESS:
        return "; asked for storage commitment", transaction_uid
    return f"; storage commitment refused, status 0x{status:04X}", None


def _stored(status: int) -> str:
    warning = "" if status == SUCCESS else " with a warning"
    return f"stored{warning}, status 0x{status:04X}"


def _told(status: int | None) -> type[DeliveryRetryError | DeliveryRefusedError]:
    """Return what a failure status says of the object and of the peer: 0xA7xx is out of resources (PS3.4 B.2.3)."""
    if status is not None and status >> 8 == 0xA7:
        return DestinationDownError
    return DeliveryRetryError if status == _PROCESSING_FAILURE else DeliveryRefusedError
