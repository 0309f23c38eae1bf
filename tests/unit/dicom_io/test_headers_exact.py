"""Any header: the one table against the chain of look-up tables that pydicom applies pixel by pixel."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, uid

from dicom_io.reader import read_radiograph
from tests.films import film, save
from tests.slow_preparation import prepare_slowly
from worker.model.input_spec import InputSpec
from worker.model.preprocessing import preprocess

SPEC = InputSpec(size=32)
SYNTAXES = (
    uid.ExplicitVRLittleEndian,
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)


def look_up_table(draw: st.DrawFn, *, signed: bool, depths: range | tuple[int, ...]) -> Dataset:
    """A rising LUT of some length, first value and depth, as numbers or as bytes."""
    count, bits = draw(st.integers(2, 3000)), draw(st.sampled_from(depths))
    first = draw(st.integers(-500 if signed else 0, 500))
    item = Dataset()
    item.LUTDescriptor = [count, first & 0xFFFF if not signed else first, bits]
    item["LUTDescriptor"].VR = "SS" if signed else "US"
    item.LUTData = np.linspace(0, 2**bits - 1, count).astype(int).tolist()
    item["LUTData"].VR = "US"
    return item


@st.composite
def headers(draw: st.DrawFn) -> dict[str, Any]:
    """Attributes of the pixel, modality, VOI and presentation modules that belong together."""
    stored = draw(st.integers(6, 16))
    allocated = draw(st.sampled_from([8, 16])) if stored <= 8 else 16
    signed = draw(st.booleans())
    header: dict[str, Any] = {
        "BitsAllocated": allocated,
        "BitsStored": stored,
        "HighBit": draw(st.integers(stored - 1, allocated - 1)),
        "PixelRepresentation": int(signed),
        "PhotometricInterpretation": draw(st.sampled_from(["MONOCHROME1", "MONOCHROME2"])),
        "PresentationLUTShape": draw(st.sampled_from([None, "IDENTITY", "INVERSE"])),
    }
    modality = draw(st.sampled_from(["nothing", "rescale", "lut"]))
    if modality == "rescale":
        header["RescaleSlope"] = draw(st.sampled_from([1, 0.5, 2.44, -1, -0.25]))
        header["RescaleIntercept"] = draw(st.sampled_from([0, -1024, 17.5]))
    elif modality == "lut":
        header["ModalityLUTSequence"] = [
            look_up_table(draw, signed=signed, depths=(16,))
        ]  # pydicom is wrong for others
    voi = draw(st.sampled_from(["nothing", "window", "lut"]))
    if voi == "window":
        count = draw(st.integers(1, 3))
        center = draw(st.integers(-1000, 4000))
        header["WindowCenter"] = [center + 7 * index for index in range(count)]
        header["WindowWidth"] = [draw(st.integers(1, 5000))] * count
        header["VOILUTFunction"] = draw(st.sampled_from([None, "LINEAR", "LINEAR_EXACT", "SIGMOID"]))
    elif voi == "lut" and modality != "rescale":
        header["VOILUTSequence"] = [look_up_table(draw, signed=signed and modality == "nothing", depths=range(10, 17))]
    if draw(st.booleans()):
        bottom = -(2 ** (stored - 1)) if signed else 0
        header["PixelPaddingValue"] = draw(st.integers(bottom, bottom + 2**stored - 1))
        header["PixelPaddingRangeLimit"] = draw(st.sampled_from([None, min(header["PixelPaddingValue"] + 9, 31)]))
    return header


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(headers(), st.sampled_from(SYNTAXES), st.integers(0, 2**32 - 1), st.integers(5, 70), st.integers(5, 70))
def test_any_header_agrees_with_the_slow_preparation(
    header: dict[str, Any], syntax: uid.UID, seed: int, rows: int, columns: int
) -> None:
    """The mean difference is at most 0.5 and the largest 2 grey levels, whatever the header, syntax, size and noise."""
    dice = np.random.default_rng(seed)
    words = dice.integers(0, 2 ** header["BitsAllocated"], (rows, columns))
    if header["BitsAllocated"] == 8 and words.size % 2:
        words = words[:, :-1]
    with tempfile.TemporaryDirectory() as folder:
        path = save(film(words.astype(f"<u{header['BitsAllocated'] // 8}"), **header), Path(folder) / "f.dcm", syntax)
        expected = prepare_slowly(path, SPEC.size)
        assume(np.ptp(expected) > 2)
        difference = np.abs(preprocess(read_radiograph(path), SPEC) - expected)
    assert difference.mean() <= 0.5
    assert difference.max() <= 2
