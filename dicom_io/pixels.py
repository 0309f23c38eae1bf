"""From stored words to grey levels: one table of 65,536 entries for the whole chain of look-up tables.

Every function here maps arrays with one entry per possible stored word (256 or 65,536), so the image itself is touched
once, by the gather. Order of the steps: PS3.3 C.11.1 (modality), C.11.2 (VOI), C.11.6 (presentation).
"""

import math

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicom_io.description import PixelDescription
from dicom_io.errors import UnsupportedObjectError
from dicom_io.look_up_table import look_up_table, palette

TABLE_SIZE = 65_536
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as in YBR_FULL (PS3.3 C.7.6.3.1.2)


def stored_values(description: PixelDescription) -> NDArray[np.int64]:
    """The pixel value in every possible stored word.

    Returns:
        shape (2 ** bits_allocated,); bits outside Bits Stored, such as embedded overlays, are ignored.

    Source: PS3.5 8.1.1.
    """
    words = np.arange(1 << description.bits_allocated, dtype=np.int64)
    values = (words >> (description.high_bit + 1 - description.bits_stored)) & ((1 << description.bits_stored) - 1)
    if description.signed:
        values[values >= 1 << (description.bits_stored - 1)] -= 1 << description.bits_stored
    return values


def modality_values(stored: NDArray[np.int64], header: Dataset) -> NDArray[np.float64]:
    """Apply the Modality LUT Sequence, else Rescale Slope and Intercept, else nothing.

    Raises:
        UnsupportedObjectError: if the LUT contradicts its descriptor, or slope or intercept is no finite number
            or the slope is zero.

    Source: PS3.3 C.11.1.1.
    """
    sequence = header.get("ModalityLUTSequence")
    if sequence:
        return look_up_table(sequence[0], signed=bool(stored.min() < 0)).apply(stored)
    slope, intercept = _number(header, "RescaleSlope", 1.0), _number(header, "RescaleIntercept", 0.0)
    if slope == 0:
        raise UnsupportedObjectError("Rescale Slope is zero, which makes every pixel the same.")
    return stored.astype(np.float64) * slope + intercept


def voi_display(values: NDArray[np.float64], header: Dataset) -> NDArray[np.float64] | None:
    """Apply the first VOI LUT, else the first window.

    Several windows are alternative views (PS3.3 C.11.2.1.2); the first is the default one.

    Returns:
        display values in [0, 1], or None if the header has neither.

    Raises:
        UnsupportedObjectError: if the LUT contradicts its descriptor, or the window is no finite number, too narrow
            or of an unknown function.

    Source: PS3.3 C.11.2.1.
    """
    sequence = header.get("VOILUTSequence")
    if sequence:
        table = look_up_table(sequence[0], signed=bool(values.min() < 0))
        return np.minimum(table.apply(values) / table.maximum, 1.0)
    center, width = _first(header, "WindowCenter"), _first(header, "WindowWidth")
    if center is None or width is None:
        return None
    return window(values, center, width, str(header.get("VOILUTFunction") or "LINEAR").strip().upper())


def window(values: NDArray[np.float64], center: float, width: float, function: str = "LINEAR") -> NDArray[np.float64]:
    """Map modality values to display values in [0, 1] with a window.

    Args:
        values: modality values, any shape.
        center: Window Center, in the unit of `values`.
        width: Window Width, in the unit of `values`.
        function: VOI LUT Function: LINEAR, LINEAR_EXACT or SIGMOID.

    Raises:
        UnsupportedObjectError: if center or width is not finite, the width is below 1 (LINEAR) or not positive, or
            the function is unknown.

    Source: PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID), C.11.2.1.3.2 (LINEAR_EXACT).
    """
    if not (math.isfinite(center) and math.isfinite(width)):
        raise UnsupportedObjectError("Window Center or Width is not a finite number.")
    if width <= 0 or (function == "LINEAR" and width < 1):
        raise UnsupportedObjectError(f"Window Width {width:g} is too narrow for {function}.")
    if function == "LINEAR":
        if width == 1:
            return (values > center - 0.5).astype(np.float64)
        return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)
    if function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0, 1)
    if function == "SIGMOID":
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(-4 * (values - center) / width))
    raise UnsupportedObjectError("VOI LUT Function is none of LINEAR, LINEAR_EXACT and SIGMOID.")


def stretch(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Map `low` and below to 0, `high` and above to 1, in between linearly; a step where the two are equal."""
    if high <= low:
        return (values > low).astype(np.float64)
    return np.clip((values - low) / (high - low), 0, 1)


def percentile_bounds(
    values: NDArray[np.float64], counts: NDArray[np.int64], percentiles: tuple[float, float]
) -> tuple[float, float]:
    """The percentiles of an image whose histogram is known.

    Args:
        values: modality value of each word.
        counts: how often each word occurs, same shape; padding already left out.
        percentiles: lower and upper, in percent.

    Returns:
        lower and upper bound: the smallest value at or below which that part of the pixels lies.
    """
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(counts[order])
    ranks = np.asarray(percentiles) / 100 * cumulative[-1]
    low, high = values[order[np.searchsorted(cumulative, np.maximum(ranks, 1))]]
    return float(low), float(high)


def padding_mask(stored: NDArray[np.int64], header: Dataset) -> NDArray[np.bool_]:
    """Which words are padding: Pixel Padding Value, up to the Range Limit where there is one.

    Source: PS3.3 C.7.5.1.1.2.
    """
    value = _first(header, "PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, dtype=np.bool_)
    limit = _first(header, "PixelPaddingRangeLimit")
    low, high = sorted((_as_stored(value, stored), _as_stored(value if limit is None else limit, stored)))
    return (stored >= low) & (stored <= high)


def is_inverted(header: Dataset) -> bool:
    """Whether the lowest display value is white.

    Presentation LUT Shape speaks where it is there, for it was written for that; else MONOCHROME1 does. Never both: an
    image with both is inverted once.

    Source: PS3.3 C.7.6.3.1.2, C.8.11.3.1.2.
    """
    shape = str(header.get("PresentationLUTShape") or "").strip().upper()
    if shape in ("IDENTITY", "INVERSE"):
        return shape == "INVERSE"
    return str(header.get("PhotometricInterpretation") or "").strip().upper() == "MONOCHROME1"


def needs_histogram(description: PixelDescription, header: Dataset) -> bool:
    """Whether the grey levels depend on the pixels: more than 8 bits stored and neither VOI LUT nor window.

    Images of 8 bits without a window are display values already and are taken as they are.
    """
    if description.photometric_interpretation == "PALETTE COLOR" or description.bits_stored <= 8:
        return False
    has_window = _first(header, "WindowCenter") is not None and _first(header, "WindowWidth") is not None
    return not (has_window or header.get("VOILUTSequence"))


def grey_table(
    description: PixelDescription,
    header: Dataset,
    counts: NDArray[np.int64] | None = None,
    percentiles: tuple[float, float] = (0.5, 99.5),
) -> NDArray[np.uint8]:
    """Compose modality LUT, VOI LUT, padding and inversion of a one-sample image.

    Args:
        description: the checked pixel description.
        header: the data set.
        counts: how often each stored word occurs in the image, where `needs_histogram` says so.
        percentiles: lower and upper percentile that become black and white then.

    Returns:
        shape (65536,), stored word to grey level, 0 is black. Padding is black, whatever the polarity.

    Raises:
        UnsupportedObjectError: if a LUT, window or rescale contradicts itself or the standard.
    """
    stored = stored_values(description)
    if description.photometric_interpretation == "PALETTE COLOR":
        return _fill(palette_luminance(stored, header))
    values = modality_values(stored, header)
    padding = padding_mask(stored, header)
    display = voi_display(values, header)
    if display is None:
        display = stretch(values, *_default_bounds(values, padding, counts, percentiles))
    if is_inverted(header):
        display = 1 - display
    return _fill(np.where(padding, 0.0, display))


def palette_luminance(stored: NDArray[np.int64], header: Dataset) -> NDArray[np.float64]:
    """Luminance in [0, 1] of each palette index.

    Raises:
        UnsupportedObjectError: if a palette is absent, segmented or contradicts its descriptor.

    Source: PS3.3 C.7.6.3.1.5, C.7.6.3.1.6.
    """
    luminance = np.zeros(stored.shape)
    for weight, colour in zip(_LUMA, ("Red", "Green", "Blue"), strict=True):
        table = palette(header, colour)
        luminance += weight * table.apply(stored) / table.maximum
    return np.minimum(luminance, 1.0)


def percentile_table(counts: NDArray[np.int64], percentiles: tuple[float, float]) -> NDArray[np.uint8]:
    """The table of a grey picture of 16 bits that says nothing about itself, such as a PNG.

    Args:
        counts: how often each word occurs, shape (65536,).
        percentiles: lower and upper percentile that become black and white: converters store 12 bits in 16.
    """
    values = np.arange(TABLE_SIZE, dtype=np.float64)
    return _fill(stretch(values, *percentile_bounds(values, counts, percentiles)))


def _default_bounds(
    values: NDArray[np.float64],
    padding: NDArray[np.bool_],
    counts: NDArray[np.int64] | None,
    percentiles: tuple[float, float],
) -> tuple[float, float]:
    if counts is None:
        return float(values.min()), float(values.max())
    image = np.where(padding, 0, counts)
    if not image.any():
        raise UnsupportedObjectError("Every pixel is padding.")
    return percentile_bounds(values, image, percentiles)


def _fill(display: NDArray[np.float64]) -> NDArray[np.uint8]:
    # Repeats a table of 256 entries, so that any word finds its grey level.
    grey = np.floor(display * 255 + 0.5).astype(np.uint8)
    return np.resize(grey, TABLE_SIZE)


def _number(header: Dataset, keyword: str, default: float) -> float:
    value = _first(header, keyword)
    if value is None:
        return default
    if not math.isfinite(value):
        raise UnsupportedObjectError(f"{keyword} is not a finite number.")
    return value


def _first(header: Dataset, keyword: str) -> float | None:
    # The first of one or several numbers; None where there is none.
    value = header.get(keyword)
    if value is None or value == "" or isinstance(value, bytes):
        return None
    if not isinstance(value, (int, float, str)):
        value = next(iter(value), None)
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError) as error:
        raise UnsupportedObjectError(f"{keyword} is not a number.") from error


def _as_stored(value: float, stored: NDArray[np.int64]) -> int:
    # Pixel Padding Value has the VR of the pixels, but an implicit file may show a negative one as unsigned.
    number = int(value)
    return number - TABLE_SIZE if stored.min() < 0 and number >= TABLE_SIZE // 2 else number
