"""What preparing one film costs, per transfer syntax: the usual way, ours, and the ratio in the same run.

The usual way is what a script does: pydicom's `pixel_array`, its two look-up tables, eight bits, Pillow's resize.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from rich.console import Console
from rich.table import Table

from dicom_io.part10 import tolerant
from dicom_io.phantom import draw
from tests.films import encoded_films, save
from worker.model.input_spec import InputSpec
from worker.model.preprocessing import prepare

ROWS, COLUMNS = 2500, 2048
STORED_BYTES = ROWS * COLUMNS * 2
SECONDS_PER_CASE = 2.0
# Ratio to reach; None: shown for comparison.
TARGETS: dict[uid.UID, float | None] = {
    uid.ExplicitVRLittleEndian: 5,
    uid.RLELossless: 4,
    uid.JPEGLosslessSV1: 3,
    uid.JPEGLSLossless: 1.4,
    uid.JPEG2000Lossless: 12,
    uid.JPEG2000: None,
    uid.HTJ2KLossless: None,
    uid.JPEGBaseline8Bit: 2.5,
    uid.JPEGExtended12Bit: None,
}


def usual(path: Path, size: int = InputSpec().size) -> NDArray[np.uint8]:
    """Prepare as most scripts do."""
    with tolerant():
        dataset = pydicom.dcmread(path)
        values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset).astype(np.float64)
    grey = (values - values.min()) / max(np.ptp(values), 1) * 255
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = 255 - grey
    return np.asarray(Image.fromarray(grey.astype(np.uint8)).resize((size, size), Image.Resampling.BOX))


def floor(path: Path) -> int:
    """Read a file and touch every 16-bit word of it once."""
    return int(np.frombuffer(path.read_bytes()[-STORED_BYTES:], np.uint16).max())


def milliseconds(work: Callable[[Path], object], path: Path) -> float | None:
    """Least processor time of many runs, the system's included; None if the work cannot be done."""
    best, stop = float("inf"), time.process_time() + SECONDS_PER_CASE
    while time.process_time() < stop:
        started = time.process_time()
        try:
            work(path)
        except RuntimeError:  # pydicom found no decoder that takes it
            return None
        best = min(best, time.process_time() - started)
    return best * 1000


def peak(path: Path) -> float:
    """Peak memory of one preparation above that of a tiny one, in stored pixels of the film."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_prepare", str(path.with_name("tiny.dcm")), str(path)]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout) / STORED_BYTES


def report_peak(paths: list[Path]) -> None:
    """In a process of its own: print by how many bytes the last file raises the peak."""
    before = 0
    for path in paths:
        before = _peak_so_far()
        prepare(path)
    sys.stdout.write(str(_peak_so_far() - before))


def _peak_so_far() -> int:
    # Not getrusage, whose maximum a child inherits from its parent.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def main() -> None:
    """Print the table."""
    films = encoded_films(draw(1, opacity=True, rows=ROWS, columns=COLUMNS), WindowCenter=2048, WindowWidth=4096)
    films[uid.JPEGBaseline8Bit].WindowCenter, films[uid.JPEGBaseline8Bit].WindowWidth = 128, 256
    table = Table(
        title=f"one film of {ROWS} x {COLUMNS}, 12 bits (JPEG baseline 8), one core; peak memory in stored pixels"
    )
    for heading in ("transfer syntax", "usual ms", "ours ms", "ratio", "to reach", "peak"):
        table.add_column(heading, justify="left" if heading == "transfer syntax" else "right")
    tiny = encoded_films(draw(1, opacity=True, rows=300, columns=300))[uid.JPEG2000]
    with tempfile.TemporaryDirectory() as folder:
        save(tiny, Path(folder) / "tiny.dcm", uid.JPEG2000)
        for syntax, target in TARGETS.items():
            path = save(films[syntax], Path(folder) / f"{syntax}.dcm", syntax)
            slow, fast = milliseconds(usual, path), milliseconds(prepare, path)
            ratio = "" if slow is None or fast is None else f"{slow / fast:.1f}"
            name = syntax.name.split(",")[0].removesuffix(" Image Compression")
            table.add_row(name, _number(slow), _number(fast), ratio, str(target or ""), f"{peak(path):.2f}")
        path = Path(folder) / f"{uid.ExplicitVRLittleEndian}.dcm"
        bottom, ours = milliseconds(floor, path), milliseconds(prepare, path)
    console = Console()
    console.print(table)
    if bottom and ours:
        times = f"{ours / bottom:.1f} times as long (at most 3)"
        console.print(f"uncompressed: reading and touching {bottom:.1f} ms, preparing {ours:.1f} ms, {times}")


def _number(value: float | None) -> str:
    return "refused" if value is None else f"{value:.1f}"


if __name__ == "__main__":
    report_peak([Path(argument) for argument in sys.argv[1:]]) if sys.argv[1:] else main()
