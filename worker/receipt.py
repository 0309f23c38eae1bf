"""What a destination answered to a result that it took."""

from dataclasses import dataclass

from dicom_io.report import ReportForm


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer of a destination.

    Attributes:
        answer: a short text for the audit trail, without anything about the patient.
        form: as which kind of DICOM object the report was taken; None where none was sent.
        transaction_uid: of the storage commitment that was asked for; None if it was not.
        peer: who answered, where the form that it takes is to be remembered; its title and address in one text.
        refused: forms whose SOP class the peer negotiates, and then answers that it does not support.
    """

    answer: str
    form: ReportForm | None = None
    transaction_uid: str | None = None
    peer: str | None = None
    refused: tuple[ReportForm, ...] = ()
