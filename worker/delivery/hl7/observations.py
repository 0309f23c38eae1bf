"""What an ORU states, one OBX each: the statements and codes of the structured report (`dicom_io.sr_content`)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom_io import sr_content as sr
from dicom_io.reasons import Reason
from worker.delivery.hl7.encoding import REPETITION, compose
from worker.delivery.hl7.values import coded
from worker.domain import FINDING, Flag, Prediction, PriorityReason, ScreeningStatus

# As IHE has it: RAD TF-2 4.128 names the study by "DICOM Study", not by PS3.16's "Study".
STUDY = Code("113014", "DCM", "DICOM Study")

# OBX-3: value type of OBX-5, and what it says.
STATEMENTS: Mapping[Code, tuple[str, str]] = {
    sr.STATUS: ("CWE", "`screened` or `unscreened`, of the study and of each image"),
    sr.REASON: ("CWE", "why not; one of the reason codes above"),
    sr.PRIORITY: ("CWE", "`high`; no row without a priority"),
    sr.PRIORITY_REASON: (
        "CWE",
        "`waiting-time`: nobody has read the study for too long, and no finding is stated of it",
    ),
    codes.DCM.Finding: (
        "CWE",
        f"`233604007^Pneumonia^SCT` with the original text `{FINDING}` (CWE.9), of a flagged study and image",
    ),
    sr.FINDING_CONTEXT: ("CWE", "`415684004^Suspected^SCT`, with every finding"),
    sr.FLAG: ("CWE", "`withdrawn`: a reader took the flag back"),
    sr.STAGE: ("CWE", "`complete` or `interim`, of the study"),
    sr.WARNING: ("TX", "warnings, one per repetition"),
    STUDY: ("ST", "Study Instance UID"),
    codes.DCM.TrackingUniqueIdentifier: ("ST", "UID of the result, as in the JSON flag"),
    codes.DCM.AlgorithmName: ("ST", "name of the model"),
    codes.DCM.AlgorithmVersion: ("ST", "version of the model"),
    codes.DCM.AlgorithmParameters: ("ST", "SHA-256 of the model card; of a screened image the threshold"),
    codes.DCM.TrackingIdentifier: ("ST", "SOP Instance UID and frame of an image, before its other rows"),
    codes.DCM.CertaintyOfFinding: ("NM", "probability in percent, of a flagged image only"),
}


@dataclass(frozen=True, slots=True)
class Observation:
    """One OBX.

    Attributes:
        name: what is stated, a key of `STATEMENTS`.
        value: composed OBX-5.
        sub_id: OBX-4, which holds together what is said of one image.
    """

    name: Code
    value: str
    sub_id: str

    @property
    def fields(self) -> dict[int, str]:
        """Its fields 2 to 8, composed."""
        fields = {2: STATEMENTS[self.name][0], 3: coded(self.name), 4: self.sub_id, 5: self.value}
        if self.name == codes.DCM.CertaintyOfFinding:
            fields[6] = compose("%", "Percent", "UCUM")
        if self.name == codes.DCM.Finding:
            fields[8] = "A"
        return fields


def observations(flag: Flag) -> Iterator[Observation]:
    """Yield what is said of the study, then of each image that has a SOP Instance UID.

    Only a flagged image has a finding and a probability. Nothing says that something is normal or absent.
    """
    yield from (Observation(name, value, "1") for name, value in _of_study(flag))
    for number, image in enumerate((image for image in flag.images if image.sop_instance_uid is not None), start=1):
        yield from (Observation(name, value, f"1.{number}") for name, value in _of_image(image))


def _of_study(flag: Flag) -> Iterator[tuple[Code, str]]:
    yield from _status(flag.status, flag.reason)
    if flag.priority is not None:
        yield sr.PRIORITY, coded(sr.HIGH)
        if flag.priority_reason is PriorityReason.WAITING_TIME:
            yield sr.PRIORITY_REASON, coded(sr.WAITING_TIME)
        else:
            yield from _finding()
    elif flag.withdrawn:
        yield sr.FLAG, coded(sr.WITHDRAWN)
    yield sr.STAGE, coded(sr.COMPLETE if flag.complete else sr.INTERIM)
    if flag.warnings:
        yield sr.WARNING, REPETITION.join(map(compose, flag.warnings))
    if flag.study_instance_uid is not None:
        yield STUDY, compose(flag.study_instance_uid)
    yield codes.DCM.TrackingUniqueIdentifier, compose(flag.result_uid)
    yield codes.DCM.AlgorithmName, compose(flag.model.name)
    yield codes.DCM.AlgorithmVersion, compose(flag.model.version)
    yield codes.DCM.AlgorithmParameters, compose(f"model card sha256 = {flag.model.sha256}")


def _of_image(image: Prediction) -> Iterator[tuple[Code, str]]:
    yield codes.DCM.TrackingIdentifier, compose(f"Image {image.sop_instance_uid} frame {image.frame}")
    yield from _status(image.status, image.reason)
    if image.withdrawn:
        yield sr.FLAG, coded(sr.WITHDRAWN)
    elif image.flagged:
        yield from _finding()
        if image.probability is not None:
            yield codes.DCM.CertaintyOfFinding, f"{round(100 * image.probability, 2):.10g}"
    if image.threshold is not None:
        yield codes.DCM.AlgorithmParameters, compose(f"threshold = {image.threshold:.6g}")


def _status(status: ScreeningStatus, reason: Reason | None) -> Iterator[tuple[Code, str]]:
    if status is ScreeningStatus.SCREENED:
        yield sr.STATUS, coded(sr.SCREENED)
        return
    yield sr.STATUS, coded(sr.UNSCREENED)
    yield sr.REASON, coded(sr.reason_code(reason or Reason.INCOMPLETE))


def _finding() -> Iterator[tuple[Code, str]]:
    yield codes.DCM.Finding, coded(sr.PNEUMONIA, "", "", "", "", "", FINDING)
    yield sr.FINDING_CONTEXT, coded(codes.SCT.Suspected)
