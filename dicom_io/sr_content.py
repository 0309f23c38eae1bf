"""The content tree of a screening report: TID 1500 Measurement Report (PS3.16)."""

from collections.abc import Iterable, Mapping

from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    ContainerContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    ImageContentItem,
    LanguageOfContentItemAndDescendants,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom import Dataset, uid
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom_io.reasons import Reason
from dicom_io.report import MANUFACTURER, ScreenedImage, ScreeningReport, derive_uid

PRIVATE_SCHEME = "99CXRTRIAGE"

PNEUMONIA = Code("233604007", "SCT", "Pneumonia")
FINDING_CONTEXT = Code("408729009", "SCT", "Finding context")
SOURCE = Code("260753009", "SCT", "Source")
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")

STATUS = Code("screening-status", PRIVATE_SCHEME, "AI screening status")
SCREENED = Code("screened", PRIVATE_SCHEME, "Screened by AI; says nothing about absence")
UNSCREENED = Code("unscreened", PRIVATE_SCHEME, "Not screened by AI")
REASON = Code("status-reason", PRIVATE_SCHEME, "Reason why not screened")
PRIORITY = Code("triage-priority", PRIVATE_SCHEME, "Suggested reading priority")
HIGH = Code("high", PRIVATE_SCHEME, "High")
PRIORITY_REASON = Code("priority-reason", PRIVATE_SCHEME, "Reason of the suggested priority, if no finding")
WAITING_TIME = Code("waiting-time", PRIVATE_SCHEME, "Unread for too long; says nothing of a finding")
STAGE = Code("result-stage", PRIVATE_SCHEME, "Stage of the screening result")
COMPLETE = Code("complete", PRIVATE_SCHEME, "Every image of the study has been dealt with")
INTERIM = Code("interim", PRIVATE_SCHEME, "Told before every image has been dealt with")
FLAG = Code("flag", PRIVATE_SCHEME, "What became of the AI's flag")
WITHDRAWN = Code("withdrawn", PRIVATE_SCHEME, "Withdrawn by a reader; says nothing about absence")
WARNING = Code("warning", PRIVATE_SCHEME, "Warning")

_ENGLISH = Code("en-US", "RFC5646", "English (United States)")
_CONTAINS = RelationshipTypeValues.CONTAINS
# The multi-frame SOP classes whose frames the reader takes for radiographs; elsewhere a frame must not be named.
MULTI_FRAME = frozenset(
    (
        uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
        uid.XRayAngiographicImageStorage,
        uid.XRayRadiofluoroscopicImageStorage,
    )
)
_MODALITIES = {
    "CR": codes.cid29.ComputedRadiography,
    "CT": codes.cid29.ComputedTomography,
    "DX": codes.cid29.DigitalRadiography,
    "MG": codes.cid29.Mammography,
    "MR": codes.cid29.MagneticResonance,
    "NM": codes.cid29.NuclearMedicine,
    "RF": codes.cid29.Radiofluoroscopy,
    "RG": codes.cid29.RadiographicImaging,
    "US": codes.cid29.Ultrasound,
}


def reason_code(reason: Reason) -> Code:
    """Return the private code of a reason; its value is the code of the JSON flag."""
    return Code(reason.value, PRIVATE_SCHEME, reason.value.replace("-", " ").capitalize())


def build_content(report: ScreeningReport, sources: Mapping[str, Dataset]) -> ContentSequence:
    """Build the content tree of a report.

    Args:
        report: what is stated.
        sources: header of each source image by SOP Instance UID; images without one are left out.

    Returns:
        The root container: observer, procedure, image library, one measurement group per frame, and the statements
        on the study. Only a flagged frame has a finding and a probability. Without images, which is so when all of them
        were rejected, the statements on the study are all that is left.

    Source: DICOM PS3.16 TID 1500, 1501, 1600, 4019.
    """
    images = [image for image in report.images if image.sop_instance_uid in sources]
    if not images:
        return _content_without_images(report)
    screened = any(image.reason is None for image in images)
    content = MeasurementReport(
        observation_context=_observation_context(report),
        procedure_reported=codes.LN.XRUnspecifiedBodyRegion if screened else codes.SCT.ImagingProcedure,
        imaging_measurements=[_group(report, image, sources[image.sop_instance_uid]) for image in images],
        title=codes.DCM.ImagingMeasurementReport,
    )
    # TID 1500 fixes the order: image library, imaging measurements, qualitative evaluations.
    content[0].ContentSequence.insert(-1, _image_library(sources.values()))
    content[0].ContentSequence.append(_study_evaluations(report))
    return content


def _content_without_images(report: ScreeningReport) -> ContentSequence:
    # highdicom's MeasurementReport wants a measurement group.
    root = ContainerContentItem(codes.DCM.ImagingMeasurementReport, template_id="1500")
    procedure = CodeContentItem(
        codes.DCM.ProcedureReported, codes.SCT.ImagingProcedure, RelationshipTypeValues.HAS_CONCEPT_MOD
    )
    language = LanguageOfContentItemAndDescendants(_ENGLISH)
    observed = _observation_context(report)
    root.ContentSequence = ContentSequence([*language, *observed, procedure, _study_evaluations(report)])
    return ContentSequence([root], is_root=True)


def _observation_context(report: ScreeningReport) -> ObservationContext:
    device = DeviceObserverIdentifyingAttributes(
        uid=derive_uid("2.25." + str(int(report.model_sha256[:32], 16)), "device"),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=f"{report.model_name} {report.model_version}",
    )
    return ObservationContext(
        observer_device_context=ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    )


def _group(report: ScreeningReport, image: ScreenedImage, source: Dataset) -> MeasurementsAndQualitativeEvaluations:
    """Build the measurement group of one frame (TID 1501)."""
    frames = [image.frame] if source.SOPClassUID in MULTI_FRAME else None
    reference = SourceImageForMeasurementGroup(source.SOPClassUID, source.SOPInstanceUID, frames)
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=derive_uid(report.result_uid, f"group/{image.sop_instance_uid}/{image.frame}"),
            identifier=f"Image {image.sop_instance_uid} frame {image.frame}",
        ),
        finding_type=PNEUMONIA if image.flagged else None,
        algorithm_id=_algorithm(report, image),
        measurements=[_certainty(image.probability)] if image.flagged and image.probability is not None else None,
        qualitative_evaluations=[QualitativeEvaluation(name, value) for name, value in _image_statements(image)],
        source_images=[reference],
    )


def _algorithm(report: ScreeningReport, image: ScreenedImage) -> AlgorithmIdentification:
    parameters = [f"model card sha256 = {report.model_sha256}"]
    if image.threshold is not None:
        parameters.append(f"threshold = {image.threshold:.6g}")
    return AlgorithmIdentification(report.model_name, report.model_version, parameters, manufacturer=MANUFACTURER)


def _certainty(probability: float) -> Measurement:
    return Measurement(codes.DCM.CertaintyOfFinding, round(100 * probability, 2), codes.UCUM.Percent)


def _image_statements(image: ScreenedImage) -> list[tuple[Code, Code]]:
    if image.reason is not None:
        return [(STATUS, UNSCREENED), (REASON, reason_code(image.reason))]
    if image.withdrawn:
        return [(STATUS, SCREENED), (FLAG, WITHDRAWN)]
    if image.flagged:
        return [(STATUS, SCREENED), (FINDING_CONTEXT, codes.SCT.Suspected)]
    return [(STATUS, SCREENED)]


def _study_statements(report: ScreeningReport) -> list[tuple[Code, Code]]:
    stage = (STAGE, COMPLETE if report.complete else INTERIM)
    status = (
        [(STATUS, SCREENED)] if report.reason is None else [(STATUS, UNSCREENED), (REASON, reason_code(report.reason))]
    )
    return [*status, *_priority_statements(report), stage]


def _priority_statements(report: ScreeningReport) -> list[tuple[Code, Code]]:
    if report.flagged:
        return [(PRIORITY, HIGH)]
    if report.waiting:
        return [(PRIORITY, HIGH), (PRIORITY_REASON, WAITING_TIME)]
    return [(FLAG, WITHDRAWN)] if report.withdrawn else []


def _study_evaluations(report: ScreeningReport) -> ContainerContentItem:
    """Build what is said of the study as a whole (TID 1500 row 12 to 14)."""
    container = ContainerContentItem(QUALITATIVE_EVALUATIONS, relationship_type=_CONTAINS)
    container.ContentSequence = ContentSequence(
        [
            *(CodeContentItem(name, value, _CONTAINS) for name, value in _study_statements(report)),
            *(TextContentItem(WARNING, text, _CONTAINS) for text in report.warnings),
        ]
    )
    return container


def _image_library(sources: Iterable[Dataset]) -> ContainerContentItem:
    """List the source images (TID 1600).

    highdicom's own image library asks for attributes that real films lack, such as Imager Pixel Spacing.
    """
    group = ContainerContentItem(codes.DCM.ImageLibraryGroup, relationship_type=_CONTAINS)
    group.ContentSequence = ContentSequence([_library_entry(source) for source in sources])
    library = ContainerContentItem(codes.DCM.ImageLibrary, relationship_type=_CONTAINS)
    library.ContentSequence = ContentSequence([group])
    return library


def _library_entry(source: Dataset) -> ImageContentItem:
    entry = ImageContentItem(SOURCE, source.SOPClassUID, source.SOPInstanceUID, relationship_type=_CONTAINS)
    modality = _MODALITIES.get(str(source.get("Modality", "")))
    if modality is not None:
        item = CodeContentItem(codes.DCM.Modality, modality, RelationshipTypeValues.HAS_ACQ_CONTEXT)
        entry.ContentSequence = ContentSequence([item])
    return entry
