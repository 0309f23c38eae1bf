"""The destination `dicom`: the report by C-STORE, in the best form that the peer takes, and storage commitment."""

from dataclasses import dataclass, field

from pydicom import Dataset

from dicom_io.commitment import ObjectReference
from dicom_io.errors import PeerError, PeerUnreachableError, StoreRefusedError, TlsFilesError
from dicom_io.report import ReportForm
from dicom_io.scu import SUCCESS
from dicom_io.sending import Sending, sending
from worker.delivery.reporting import report_as
from worker.destinations import DicomDestination
from worker.dispatch import PLAIN, Dispatch
from worker.domain import ScreeningResult
from worker.errors import DeliveryRefusedError, DeliveryRetryError, DestinationDownError
from worker.receipt import Receipt

_PROCESSING_FAILURE, _DUPLICATE_SOP_INSTANCE = 0x0110, 0x0111
_SOP_CLASS_NOT_SUPPORTED, _NOT_AUTHORIZED = 0x0122, 0x0124
_FAILURES_ARE_THE_FORMS = 3  # from which attempt on; in those before, they are taken for passing ones
_COMMITMENT_SECONDS = 5  # the outcome comes in a report of its own, and the next flag must not wait for the answer
_NO_FORM = "The peer takes no structured report and no Secondary Capture in any transfer syntax offered."
_SOP_CLASSES = [form.sop_class_uid for form in ReportForm]


def send(
    result: ScreeningResult, destination: DicomDestination, *, calling_ae_title: str, dispatch: Dispatch = PLAIN
) -> Receipt:
    """Send the report of a result in the best form that the peer takes, and ask it for storage commitment.

    All forms are proposed in one association. One whose object is refused gives way to the next; if it is the SOP class
    that is refused, it is left out next time, unless nothing else is taken. One at which the peer fails, or ends the
    association, in attempt after attempt gives way, too: a flag in a lesser form is better than none.

    Returns:
        The status that the peer answered, the form of the report, and what was asked for.

    Raises:
        DestinationDownError: if the peer cannot be reached or is out of resources, our certificate cannot be used, or
            the peer takes nothing of ours: no SOP class of a report, or not from us. That is for an operator to mend.
        DeliveryRetryError: if it failed on its side.
        DeliveryRefusedError: if it refuses this object in every form, or the result has no DICOM source image.
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
    dispatch: Dispatch
    refused: list[ReportForm] = field(default_factory=list)
    unsupported: set[ReportForm] = field(default_factory=set)
    refusal: PeerError = field(default_factory=lambda: StoreRefusedError(_NO_FORM))

    def next_form(self, opened: Sending) -> ReportForm:
        left = [form for form in ReportForm if form not in self.refused and opened.takes(form.sop_class_uid)]
        if not left:
            raise self.refusal
        return min(left, key=lambda form: form in self.dispatch.refused_lately)

    def store(self, opened: Sending) -> tuple[ReportForm, Dataset, int] | None:
        """Send the report until a form is taken; None if the peer ended the association at one, or after it."""
        before = len(self.refused)
        while True:
            form = self.next_form(opened)
            report = report_as(form, self.result)
            try:
                return form, report, opened.store(report)
            except StoreRefusedError as error:
                if error.status == _DUPLICATE_SOP_INSTANCE:  # of an attempt whose answer was lost; the UID is ours
                    return form, report, _DUPLICATE_SOP_INSTANCE
                self._note(form, error)
            except PeerUnreachableError as error:
                if len(self.refused) == before:
                    self._note(form, error)
                return None

    def all_unsupported(self, taken: ReportForm) -> tuple[ReportForm, ...]:
        """Return the forms that are not worth another try; what the peer said of one object says nothing of others."""
        unsupported = {*self.unsupported, *self.dispatch.refused_lately} - {taken}
        return tuple(form for form in ReportForm if form in unsupported)

    def _note(self, form: ReportForm, error: PeerError) -> None:
        """Strike a form out; raises a fault that another form would not escape, as when the peer has no room."""
        status = error.status if isinstance(error, StoreRefusedError) else None
        failed = isinstance(error, PeerUnreachableError) or status == _PROCESSING_FAILURE
        if not (_is_of_the_form(status) or (failed and self.dispatch.attempt >= _FAILURES_ARE_THE_FORMS)):
            raise error
        self.refusal = error
        self.refused.append(form)
        if status == _SOP_CLASS_NOT_SUPPORTED:
            self.unsupported.add(form)


def _send(result: ScreeningResult, destination: DicomDestination, calling_ae_title: str, dispatch: Dispatch) -> Receipt:
    hear = None if dispatch.transaction_uid is None else dispatch.hear
    timeout, choice = destination.timeout_seconds, _Choice(result, dispatch)
    while True:  # each association but the last one strikes a form out, and there are three forms to refuse
        with sending(
            destination.entity, _SOP_CLASSES, calling_ae_title=calling_ae_title, timeout_seconds=timeout, hear=hear
        ) as opened:
            stored = choice.store(opened)
            if stored is not None:
                form, report, status = stored
                asked, transaction_uid = _ask_commitment(opened, report, dispatch.transaction_uid)
                unsupported = choice.all_unsupported(form)
                return Receipt(_stored(status) + asked, form, transaction_uid, destination.peer, unsupported)


def _is_of_the_form(status: int | None) -> bool:
    """Tell whether another form may escape a refusal (PS3.4 B.2.3): of the class, or of what its object says."""
    return status == _SOP_CLASS_NOT_SUPPORTED or (status or 0) >> 8 in {0xA8, 0xA9, *range(0xC0, 0xD0)}


def _ask_commitment(opened: Sending, report: Dataset, transaction_uid: str | None) -> tuple[str, str | None]:
    """Ask for storage commitment; whatever comes of it, the report is delivered.

    Returns:
        What to add to the answer of the C-STORE, and the Transaction UID if a report on it may come.
    """
    if transaction_uid is None or not opened.commits:
        return "", None
    reference = ObjectReference(str(report.SOPClassUID), str(report.SOPInstanceUID))
    try:
        status = opened.ask_commitment(transaction_uid, [reference], timeout_seconds=_COMMITMENT_SECONDS)
    except PeerUnreachableError:
        return "; asked for storage commitment, no answer", transaction_uid
    if status == SUCCESS:
        return "; asked for storage commitment", transaction_uid
    return f"; storage commitment refused, status 0x{status:04X}", None


def _stored(status: int) -> str:
    if status == _DUPLICATE_SOP_INSTANCE:
        return "stored before, status 0x0111"
    warning = "" if status == SUCCESS else " with a warning"
    return f"stored{warning}, status 0x{status:04X}"


def _told(status: int | None) -> type[DeliveryRetryError | DeliveryRefusedError]:
    """Return what the last failure says: of this object, or of everything that we would send (PS3.4 B.2.3)."""
    out_of_resources = (status or 0) >> 8 == 0xA7
    if out_of_resources or status in {None, _SOP_CLASS_NOT_SUPPORTED, _NOT_AUTHORIZED}:
        return DestinationDownError
    return DeliveryRetryError if status == _PROCESSING_FAILURE else DeliveryRefusedError
