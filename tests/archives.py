"""PACS for the tests: real ones with films in them, and one that answers whatever a test wants."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Protocol

from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    ComputedRadiographyImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from dicom_io.part10 import tolerant
from dicom_io.phantom import phantom_dataset
from dicom_io.scu import store_files
from dicom_io.types import ApplicationEntity
from tests.servers.ports import LOOPBACK

OUR_TITLE = "CXRTRIAGE"
DAY = date(2026, 1, 2)  # the Study Date of every phantom
FIND = StudyRootQueryRetrieveInformationModelFind
Answers = Iterable[tuple[int, Dataset | None]]


class _Server(Protocol):
    @property
    def ae_title(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


def entity(server: _Server) -> ApplicationEntity:
    """How to call a started server."""
    return ApplicationEntity(server.ae_title, server.host, server.port)


def orthanc_that_sends_to(port: int) -> dict[str, object]:
    """Configuration of an Orthanc that anybody may ask, and that knows our listener on this port."""
    return {
        "DicomModalities": {"cxr": [OUR_TITLE, LOOPBACK, port]},
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
    }


def film(number: int, study: str, **options: Any) -> Dataset:
    """A small CR film in a study."""
    return phantom_dataset(number, **{"kind": "CR", "rows": 32, "columns": 32, "study_instance_uid": study, **options})


def fill(pacs: ApplicationEntity, films: Sequence[Dataset], folder: Path) -> None:
    """Put films into a PACS."""
    paths = [folder / f"{number}.dcm" for number, _ in enumerate(films)]
    for one, path in zip(films, paths, strict=True):
        one.save_as(path, enforce_file_format=True)
    assert set(store_files(pacs, paths, calling_ae_title="MODALITY", timeout_seconds=30)) == {0}


def answer(**attributes: object) -> Dataset:
    """An answer to a C-FIND with any attributes, also wrong ones."""
    dataset = Dataset()
    with tolerant():
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
    return dataset


@contextmanager
def archive(
    find: Callable[[evt.Event], Answers] | None = None,
    move: Callable[[evt.Event], Iterator[Any]] | None = None,
    get: Callable[[evt.Event], Iterator[Any]] | None = None,
) -> Iterator[ApplicationEntity]:
    """A PACS that answers with what the handlers yield, and offers what has one."""
    peer = AE(ae_title="UNKIND")
    offered = [
        (FIND, evt.EVT_C_FIND, find),
        (StudyRootQueryRetrieveInformationModelMove, evt.EVT_C_MOVE, move),
        (StudyRootQueryRetrieveInformationModelGet, evt.EVT_C_GET, get),
    ]
    for model, _event, handler in offered:
        if handler is not None:
            peer.add_supported_context(model)
    peer.add_supported_context("1.2.840.10008.1.1")
    peer.add_supported_context(ComputedRadiographyImageStorage, scu_role=True, scp_role=True)
    handlers = [(event, handler) for _model, event, handler in offered if handler is not None]
    server = peer.start_server((LOOPBACK, 0), block=False, evt_handlers=handlers)
    try:
        yield ApplicationEntity("UNKIND", LOOPBACK, server.socket.getsockname()[1])
    finally:
        server.shutdown()
