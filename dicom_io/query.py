"""Asking a PACS what it has: C-FIND as SCU in the Study Root information model (PS3.4 C.4.1, C.6.2).

No attribute of a patient is asked for. What a PACS answers is held against what it was asked: some leave a key alone
that they do not know, some state several values, some stop at a number of answers of their own.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

from pydicom import Dataset
from pydicom.multival import MultiValue
from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind

from dicom_io.associating import association, name, status_of
from dicom_io.errors import PeerUnreachableError, QueryRefusedError, StoreRefusedError, UnsupportedObjectError
from dicom_io.part10 import settle, tolerant
from dicom_io.suitability import RADIOGRAPH_CLASSES
from dicom_io.types import ApplicationEntity, SOPInstanceReference

MOST_ANSWERS = 10_000  # to one request: more are not a day's studies, but a PACS that matches nothing

_SUCCESS = 0x0000
_PENDING = frozenset((0xFF00, 0xFF01))
_LIMITED = frozenset((0xA700, 0xFE00))  # out of resources, ended by the peer itself
_UID = re.compile(r"[0-9.]{1,64}")  # PS3.5 9.1; leading zeros are left to those who wrote them


@dataclass(frozen=True, slots=True)
class StudiesFound:
    """The studies that a peer names.

    Attributes:
        study_instance_uids: in the order they were named, each once.
        limited: the peer said that there are more; those are not here.
        unnamed: answers without a usable Study Instance UID.
    """

    study_instance_uids: tuple[str, ...]
    limited: bool
    unnamed: int


@dataclass(frozen=True, slots=True)
class _Answers:
    datasets: tuple[Dataset, ...]
    limited: bool = False


def find_studies(
    peer: ApplicationEntity,
    dates: Sequence[date],
    modalities: Sequence[str],
    *,
    calling_ae_title: str,
    timeout_seconds: float,
) -> StudiesFound:
    """Ask for the studies of some days, one request per day and modality.

    Where the peer names only a part, it is asked again for parts of the day, down to an hour.

    Args:
        peer: the PACS.
        dates: Study Dates, in the peer's own local time.
        modalities: at least one of them must be a Modality in Study, where the peer states any: a study without a
            statement is named, too.
        calling_ae_title: how we call ourselves, at most 16 characters.
        timeout_seconds: longest wait for the connection and for each answer.

    Raises:
        PeerUnreachableError: if there is no connection, or the association was rejected, aborted or timed out.
        QueryRefusedError: if the peer offers no C-FIND, or answers it with a failure.
    """
    wanted: dict[str, None] = {}
    unnamed, limited = 0, False
    with _asking(peer, calling_ae_title, timeout_seconds) as opened:
        for day, modality in ((day, modality) for day in dates for modality in modalities):
            answers = _find_day(opened, peer, day, modality)
            limited = limited or answers.limited
            for answer in answers.datasets:
                if not _is_of(answer, day, modalities):
                    continue
                uid = _text(answer, "StudyInstanceUID")
                unnamed += not _is_uid(uid)
                wanted |= {uid: None} if _is_uid(uid) else {}
    return StudiesFound(tuple(wanted), limited, unnamed)


def find_instances(
    peer: ApplicationEntity,
    study_instance_uid: str,
    modalities: Sequence[str],
    *,
    calling_ae_title: str,
    timeout_seconds: float,
) -> tuple[SOPInstanceReference, ...]:
    """Ask for the images of a study that may be radiographs.

    Args:
        peer: the PACS.
        study_instance_uid: of the study.
        modalities: Modality of the series that are looked into; a series without one is looked into, too.
        calling_ae_title: see `find_studies`.
        timeout_seconds: see `find_studies`.

    Returns:
        Those of a SOP class in `suitability.RADIOGRAPH_CLASSES`, and those of which the peer states no class: theirs
        is empty.

    Raises:
        PeerUnreachableError: see `find_studies`.
        QueryRefusedError: see `find_studies`; also if the peer names only a part, or a series or image without its UID.
    """
    found: dict[str, SOPInstanceReference] = {}
    with _asking(peer, calling_ae_title, timeout_seconds) as opened:
        above = {"StudyInstanceUID": study_instance_uid}
        for series in _all(opened, peer, "SERIES", SeriesInstanceUID="", Modality="", **above):
            if _text(series, "Modality") not in {"", *modalities}:
                continue
            series_uid = _uid(series, "SeriesInstanceUID", peer)
            keys = {**above, "SeriesInstanceUID": series_uid, "SOPInstanceUID": "", "SOPClassUID": ""}
            for image in _all(opened, peer, "IMAGE", **keys):
                sop_class, uid = _text(image, "SOPClassUID"), _uid(image, "SOPInstanceUID", peer)
                if sop_class in {"", *RADIOGRAPH_CLASSES}:
                    found[uid] = SOPInstanceReference(study_instance_uid, series_uid, sop_class, uid)
    return tuple(found.values())


@contextmanager
def _asking(peer: ApplicationEntity, calling_ae_title: str, timeout_seconds: float) -> Iterator[Association]:
    # A PACS may answer with more than it was asked for; pynetdicom would render it for its log.
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    contexts = [build_context(StudyRootQueryRetrieveInformationModelFind)]
    try:
        with association(peer, contexts, calling_ae_title=calling_ae_title, timeout_seconds=timeout_seconds) as opened:
            yield opened
    except StoreRefusedError as error:
        raise QueryRefusedError(f"{name(peer)} offers no C-FIND (Study Root); check what it lets us do.") from error


def _find_day(opened: Association, peer: ApplicationEntity, day: date, modality: str) -> _Answers:
    keys = {"StudyDate": f"{day:%Y%m%d}", "ModalitiesInStudy": modality, "StudyInstanceUID": ""}
    whole = _find(opened, peer, "STUDY", **keys)
    if not whole.limited:
        return whole
    parts = list(_find_hours(opened, peer, keys, range(24)))
    datasets = (answer for part in (whole, *parts) for answer in part.datasets)
    return _Answers(tuple(datasets), limited=any(part.limited for part in parts))


def _find_hours(opened: Association, peer: ApplicationEntity, keys: dict[str, str], hours: range) -> Iterator[_Answers]:
    """Ask for a part of a day, and where that is still too much, for each half of it, down to an hour."""
    for half in (hours[: len(hours) // 2], hours[len(hours) // 2 :]):
        part = _find(opened, peer, "STUDY", StudyTime=f"{half[0]:02}0000-{half[-1]:02}5959.999999", **keys)
        if part.limited and len(half) > 1:
            yield from _find_hours(opened, peer, keys, half)
        else:
            yield part


def _all(opened: Association, peer: ApplicationEntity, level: str, **keys: str) -> tuple[Dataset, ...]:
    answers = _find(opened, peer, level, **keys)
    if answers.limited:
        raise QueryRefusedError(f"{name(peer)} names only a part of a study's {level} level; raise its limit.")
    return answers.datasets


def _find(opened: Association, peer: ApplicationEntity, level: str, **keys: str) -> _Answers:
    identifier = Dataset()
    with tolerant():  # a UID that breaks the rules is still the study's
        for keyword, value in {"QueryRetrieveLevel": level, **keys}.items():
            setattr(identifier, keyword, value)
        try:
            responses = opened.send_c_find(identifier, StudyRootQueryRetrieveInformationModelFind)
        except RuntimeError as error:
            raise PeerUnreachableError(f"{name(peer)} ended the association.") from error
    answers: list[Dataset] = []
    for response, answer in responses:
        status = status_of(response, peer)
        if status in _PENDING and len(answers) < MOST_ANSWERS:
            answers.append(_settled(answer))
        elif status in _PENDING:
            opened.abort()
            raise QueryRefusedError(f"{name(peer)} gave {MOST_ANSWERS} answers without an end; mend its matching.")
        elif status != _SUCCESS and not (status in _LIMITED and answers):
            raise QueryRefusedError(f"{name(peer)} answered the C-FIND with status 0x{status:04X}.")
        else:
            return _Answers(tuple(answers), limited=status in _LIMITED)
    raise PeerUnreachableError(f"{name(peer)} ended the association.")


def _settled(answer: Dataset | None) -> Dataset:
    """Return the answer with what can be read of it; nothing where it could not be decoded."""
    if answer is None:
        return Dataset()
    try:
        settle(answer)
    except UnsupportedObjectError:
        return Dataset()
    return answer


def _is_of(answer: Dataset, day: date, modalities: Sequence[str]) -> bool:
    stated_day = _text(answer, "StudyDate").replace(".", "")  # ACR-NEMA's form, PS3.5 6.2
    stated = _texts(answer, "ModalitiesInStudy")
    return stated_day in {"", f"{day:%Y%m%d}"} and (not stated or not stated.isdisjoint(modalities))


def _uid(answer: Dataset, keyword: str, peer: ApplicationEntity) -> str:
    uid = _text(answer, keyword)
    if not _is_uid(uid):
        raise QueryRefusedError(f"{name(peer)} answered without a usable {keyword}.")
    return uid


def _is_uid(text: str) -> bool:
    return _UID.fullmatch(text) is not None


def _text(answer: Dataset, keyword: str) -> str:
    return "\\".join(sorted(_texts(answer, keyword)))


def _texts(answer: Dataset, keyword: str) -> frozenset[str]:
    value = answer.get(keyword)
    values = value if isinstance(value, MultiValue | list) else [value]
    texts = (str(one).strip(" \0") for one in values if one is not None)
    return frozenset(text for text in texts if text)
