"""Comparing the spool with the database: what a row names and is gone, and what is here and no row names.

Both come of a disk that was lost, or of a back-up: SQL and spool are then of different moments.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from dicom_io.errors import ImageError
from dicom_io.identification import identify
from dicom_io.identity import content_sha256, file_meta
from dicom_io.leftovers import files, folders
from dicom_io.scp import Receive, ReceivedObject
from worker.errors import ConfigurationError
from worker.repository.retention import KeptImage, kept_files, wanted
from worker.service import Service

MEDIUM = 0  # PS3.7 E.1, Priority (0000,0700)


class Stock(BaseModel):
    """How spool and database stand to each other.

    Attributes:
        images: whose received file is to be kept.
        missing: those of them whose file is not here.
        unknown: files here that no image wants, such as those of films that came after a back-up.
    """

    model_config = ConfigDict(frozen=True)

    images: int
    missing: tuple[KeptImage, ...]
    unknown: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What became of files that no image wanted; `refused` are not whole, or no DICOM images."""

    taken: int
    refused: tuple[Path, ...]


def take_stock(service: Service) -> Stock:
    """Compare; run it on a host that sees the spool.

    A film that is just coming in may be among the unknown, as its file comes before its row.

    Raises:
        ConfigurationError: if there is no spool on this host.
    """
    if not service.spool.root.is_dir():
        raise ConfigurationError(f"no spool in {service.settings.data_dir}: run it where the listener's is")
    with service.database.read() as session:
        kept = kept_files(session)
    gone = [image for image in kept if not service.spool.path(image.content_sha256).is_file()]
    with service.database.read() as session:
        still = wanted(session, {image.content_sha256 for image in gone})  # retention may have taken some just now
    missing = tuple(image for image in gone if image.content_sha256 in still)
    return Stock(images=len(kept), missing=missing, unknown=tuple(_unknown(service)))


def take_in(paths: Sequence[Path], receive: Receive, calling_ae_title: str) -> TakenIn:
    """Take files of the spool in as if they had just been sent.

    Args:
        paths: whole files of the spool, named by their content.
        receive: takes responsibility for each, as the listener does.
        calling_ae_title: whom the films shall be from.

    Raises:
        OutOfResourcesError: if disk or database takes none; the rest is left as it is.
        OSError: if a file cannot be read.
    """
    taken = 0
    refused: list[Path] = []
    for path in paths:
        try:
            receive(_as_received(path, calling_ae_title))
        except ImageError:
            refused.append(path)
        else:
            taken += 1
    return TakenIn(taken, tuple(refused))


def _unknown(service: Service) -> list[Path]:
    found: list[Path] = []
    for folder in folders(service.spool.root):
        whole = [file for file in files(folder) if file.whole]
        with service.database.read() as session:
            needed = wanted(session, {file.content_sha256 for file in whole})
        found += sorted(file.path for file in whole if file.content_sha256 not in needed)
    return found


def _as_received(path: Path, calling_ae_title: str) -> ReceivedObject:
    content = memoryview(path.read_bytes())
    meta = file_meta(content)
    syntax, data_set = meta.transfer_syntax_uid or "", content[meta.length :]
    return ReceivedObject(
        identification=identify(data_set, syntax),
        transfer_syntax_uid=syntax,
        calling_ae_title=calling_ae_title,
        priority=MEDIUM,
        file_head=bytes(content[: meta.length]),
        data_set=data_set,
        content_sha256=content_sha256(path),
    )
