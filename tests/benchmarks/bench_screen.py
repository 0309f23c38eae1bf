"""What `screen` makes of a folder of mixed files: beside its own two halves, and beside the script one would write.

Ways over the same files, in this process and on all its cores, each measured in turn in every round, medians of the
rounds: preparation alone, the forward pass alone (in the precision that is served, and in fp32), `screen` whole with
its JSON lines but without its start, and a plain loop of pydicom, Pillow and torchvision over one file at a time. Real
films where there are any, else drawn ones.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import numpy as np
import pydicom
import torch
from numpy.typing import NDArray
from PIL import Image
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from rich.console import Console
from rich.table import Table
from torch import nn
from torchvision import transforms
from torchvision.models import resnet50

from dicom_io.part10 import tolerant
from dicom_io.phantom import draw, phantom_dataset
from worker.cli.outputs import Destinations, open_outputs
from worker.inference import load_engine
from worker.model.artifact import default_directory
from worker.model.network import load_network
from worker.model.served import ServedNetwork
from worker.precision import DTYPES
from worker.screening.processes import PreparingProcesses, cores
from worker.screening.run import FILMS_ON_CPU, Screener
from worker.service import utc_now

FILES = 300
ROUNDS = 3
OF_THE_SLOWER_HALF = 0.85
OF_THE_PLAIN_LOOP = 2.5
_REAL = (
    "kermany_originals/**/*.jpeg",
    "kermany_224/train/**/*.jpeg",
    "nih_adult_256/**/*.jpeg",
    "dicom/chest/*.dcm",
)


def make_files(folder: Path) -> list[Path]:
    """Copy as many real films of each kind, some of them more than once, or draw some."""
    shared = Path(os.environ.get("TEST_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    kinds = [sorted(shared.glob(pattern)) for pattern in _REAL]
    films = kinds if all(kinds) else _draw(folder / "drawn")
    names = zip(*(islice(cycle(kind), FILES // len(films)) for kind in films), strict=True)
    copies = [(folder / f"{number:03}{path.suffix}", path) for number, path in enumerate(sum(names, ()))]
    return [Path(shutil.copy(path, copy)) for copy, path in copies]


def _draw(folder: Path) -> list[list[Path]]:
    folder.mkdir()
    pictures, objects = [], []
    for seed in range(10):
        side = 256 * (1 + seed % 5)
        pictures.append(folder / f"{seed}.png")
        Image.fromarray((draw(seed, opacity=seed % 2 == 0, rows=side, columns=side) >> 4).astype(np.uint8)).save(
            pictures[-1]
        )
        objects.append(folder / f"{seed}.dcm")
        phantom_dataset(seed, opacity=seed % 2 == 0).save_as(objects[-1], enforce_file_format=True)
    return [pictures, objects]


class PlainLoop:
    """What a script does: one file at a time, torch's own number of threads."""

    def __init__(self) -> None:
        self._network = resnet50(num_classes=1).eval()
        self._transform = transforms.Compose(
            (
                transforms.Resize((224, 224)),
                transforms.ToTensor(),
                transforms.Lambda(lambda grey: grey.repeat(3, 1, 1)),
                transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            )
        )

    def run(self, files: list[Path]) -> None:
        """Score every file."""
        with torch.no_grad():
            for path in files:
                film = self._transform(Image.fromarray(_plain_pixels(path)))
                torch.sigmoid(self._network(film.unsqueeze(0))).item()


def _plain_pixels(path: Path) -> NDArray[np.uint8]:
    if path.suffix != ".dcm":
        return np.asarray(Image.open(path).convert("L"))
    with tolerant():
        dataset = pydicom.dcmread(path)
        values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset).astype(np.float64)
    grey = (values - values.min()) / max(np.ptp(values), 1) * 255
    return (255 - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey).astype(np.uint8)


class Ways:
    """The ways to be measured, over the same files."""

    def __init__(self, stack: ExitStack, files: list[Path], folder: Path) -> None:
        self._files, self._folder, self._runs = files, folder, 0
        directory = default_directory()
        engine = load_engine(directory, device="cpu", precision="auto")
        self._processes = stack.enter_context(PreparingProcesses(engine.card.input_spec, cores()))
        self._screener = Screener(engine, self._processes, now=utc_now)
        self._prepare = stack.enter_context(ThreadPoolExecutor(cores()))
        network = load_network(directory, engine.card)
        self._served, self._fp32 = ServedNetwork(network, DTYPES[engine.precision]), network
        films = np.concatenate([prepared.films for prepared in self._prepare.map(self._processes.prepare, files)])
        self._batches = torch.split(torch.from_numpy(films), FILMS_ON_CPU)
        self._plain = PlainLoop()

    def preparation(self) -> None:
        """Prepare alone."""
        list(self._prepare.map(self._processes.prepare, self._files))

    def forward_served(self) -> None:
        """Score prepared films alone, in the precision that is served."""
        self._forward(self._served)

    def forward_fp32(self) -> None:
        """Score prepared films alone, in fp32."""
        self._forward(self._fp32)

    def _forward(self, network: nn.Module) -> None:
        with torch.inference_mode():
            for batch in self._batches:
                network(batch)

    def screen(self) -> None:
        """Screen and write JSON lines."""
        self._runs += 1
        to = Destinations(json_file=self._folder / f"{self._runs}.jsonl")
        with ExitStack() as open_files:
            (write,), _ = open_outputs(open_files, to, self._screener.engine.card.sha256)
            for screened in self._screener.screen(self._files):
                write(screened)

    def plain(self) -> None:
        """Go the plain way."""
        self._plain.run(self._files)


def measure(ways: dict[str, Callable[[], None]]) -> dict[str, list[float]]:
    """Return the files per second of each way, round by round."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            rates[name].append(FILES / (time.perf_counter() - started))
    return rates


def main() -> None:
    """Print files per second and the ratios."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        ways = Ways(stack, make_files(folder), folder)
        each = {
            "preparation alone": ways.preparation,
            "forward alone, as served": ways.forward_served,
            "forward alone, fp32": ways.forward_fp32,
            "screen": ways.screen,
            "plain loop": ways.plain,
        }
        rates = {name: median(round_rates) for name, round_rates in measure(each).items()}
    preparation, forward, exact, whole, plain = rates.values()
    table = Table(title=f"{FILES} mixed films on {cores()} cores, load {os.getloadavg()[0]:.1f}; medians of {ROUNDS}")
    table.add_column("way")
    table.add_column("files/s", justify="right")
    for way, rate in rates.items():
        table.add_row(way, f"{rate:.1f}")
    # Where both halves need the same cores, their times add up.
    table.add_row("bound: both halves on the same cores", f"{1 / (1 / preparation + 1 / forward):.1f}")
    console = Console()
    console.print(table)
    for half, precision in ((forward, "as served"), (exact, "in fp32")):
        ratio = whole / min(preparation, half)
        console.print(f"screen is {ratio:.2f} of the slower half, {precision} (to reach {OF_THE_SLOWER_HALF})")
    console.print(f"screen is {whole / plain:.2f} times the plain loop (to reach {OF_THE_PLAIN_LOOP})")


if __name__ == "__main__":
    sys.exit(main())
