"""Values that the rest of the package and its users exchange."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SOPInstanceReference:
    """The identity of one DICOM object (PS3.3 C.12.1, C.7.2.1, C.7.3.1)."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class ApplicationEntity:
    """A DICOM peer: AE title (at most 16 characters), host name or address, TCP port."""

    ae_title: str
    host: str
    port: int
