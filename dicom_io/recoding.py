"""Another transfer syntax for a data set whose text must stay the bytes that it is."""

import struct
from io import BytesIO

from pydicom import Dataset
from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_data_element
from pydicom.tag import BaseTag
from pydicom.uid import ImplicitVRLittleEndian

from dicom_io.part10 import tolerant


def as_implicit(dataset: Dataset) -> Dataset:
    """Encode a data set in Implicit VR Little Endian.

    pydicom would decode every text and encode it anew, which changes bytes where the character set is wrong or allows
    more than one way to write the same.

    Args:
        dataset: with file meta, encoded in Explicit VR Little Endian; not changed. Values that were never looked at
            keep their bytes, except inside sequences.

    Returns:
        The same elements; pydicom writes them in Implicit VR Little Endian without looking at them.

    Source: DICOM PS3.5 7.1.3, A.1.
    """
    with tolerant():
        encoded = DicomBytesIO()
        encoded.is_implicit_VR, encoded.is_little_endian = True, True
        character_sets = dataset.get("SpecificCharacterSet", "ISO_IR 6")
        for tag in sorted(dataset.keys()):
            _write(encoded, dataset, tag, character_sets)
        recoded = read_dataset(BytesIO(encoded.getvalue()), is_implicit_VR=True, is_little_endian=True)
        recoded.set_original_encoding(True, True, convert_encodings(character_sets))
    recoded.file_meta = FileMetaDataset()
    recoded.file_meta.update(dataset.file_meta)
    recoded.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return recoded


def _write(encoded: DicomBytesIO, dataset: Dataset, tag: BaseTag, character_sets: str | list[str]) -> None:
    element: DataElement | RawDataElement = dataset.get_item(tag)
    if isinstance(element, RawDataElement) and element.VR != "SQ":
        value = element.value or b""
        encoded.write(struct.pack("<HHI", tag.group, tag.element, len(value)) + value)
    else:
        write_data_element(encoded, dataset[tag], character_sets)
