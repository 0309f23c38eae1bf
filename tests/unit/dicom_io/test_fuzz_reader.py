"""Mutated files: every one ends as a radiograph or as a named error, in bounded time, and the process lives."""

import io
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicom_io.errors import ImageError
from dicom_io.reader import read_header, read_radiograph
from dicom_io.suitability import age_years, assess
from tests.films import encoded_films, gradient, save

SECONDS_PER_FILE = 2.0
LARGEST_SEED = 400_000  # bytes: a mutation of a small file tries more of the code per second
HEADER = 2048

Mutation = Callable[[np.random.Generator, bytearray], None]


def _flip_bits(dice: np.random.Generator, data: bytearray) -> None:
    for position in dice.integers(0, len(data), dice.integers(1, 20)):
        data[position] ^= 1 << int(dice.integers(8))


def _disturb_header(dice: np.random.Generator, data: bytearray) -> None:
    for position in dice.integers(0, min(HEADER, len(data)), dice.integers(1, 6)):
        data[position] = int(dice.choice([0, 1, 0x7F, 0x80, 0xFE, 0xFF]))


def _cut(dice: np.random.Generator, data: bytearray) -> None:
    del data[int(dice.integers(1, len(data))) :]


def _remove(dice: np.random.Generator, data: bytearray) -> None:
    start = int(dice.integers(0, len(data)))
    del data[start : start + int(dice.integers(1, 64))]


def _insert(dice: np.random.Generator, data: bytearray) -> None:
    start = int(dice.integers(0, len(data)))
    data[start:start] = dice.bytes(int(dice.integers(1, 64)))


def _repeat(dice: np.random.Generator, data: bytearray) -> None:
    start, other = (int(place) for place in dice.integers(0, len(data), 2))
    data[other:other] = data[start : start + int(dice.integers(1, 512))]


def _lie_about_lengths(dice: np.random.Generator, data: bytearray) -> None:
    position = int(dice.integers(0, max(1, min(HEADER, len(data)) - 4)))
    data[position : position + 4] = int(dice.choice([0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF])).to_bytes(
        4, "little"
    )


MUTATIONS: tuple[Mutation, ...] = (
    _flip_bits,
    _disturb_header,
    _cut,
    _remove,
    _insert,
    _repeat,
    _lie_about_lengths,
)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """A film in every coding, as PNG and JPEG, and the small real files where they are at hand."""
    folder = tmp_path_factory.mktemp("seeds")
    contents = [
        save(film, folder / f"{syntax}.dcm", syntax).read_bytes() for syntax, film in encoded_films(gradient()).items()
    ]
    for kind in ("PNG", "JPEG"):
        stream = io.BytesIO()
        Image.fromarray((gradient() >> 4).astype(np.uint8)).save(stream, kind)
        contents.append(stream.getvalue())
    real = Path(__file__).parents[4] / "shared" / "data" / "dicom"
    return contents + [path.read_bytes() for path in real.glob("*/*.dcm") if path.stat().st_size <= LARGEST_SEED]


def _outcome(path: Path) -> str:
    try:
        header = read_header(path)
        assess(header)
        age_years(header)
        read_radiograph(path, covering=32)
    except ImageError as error:
        return type(error).__name__
    return "read"


def _fuzz(seeds: list[bytes], path: Path, count: int, seed: int) -> Counter[str]:
    dice, outcomes = np.random.default_rng(seed), Counter[str]()
    for number in range(count):
        data = bytearray(seeds[number % len(seeds)])
        for mutate in dice.choice(np.array(MUTATIONS, dtype=object), int(dice.integers(1, 4))):
            mutate(dice, data)
        path.write_bytes(data)
        started = time.process_time()
        outcomes[_outcome(path)] += 1
        assert time.process_time() - started < SECONDS_PER_FILE, f"mutation {number} of seed {seed} took too long"
    sys.stdout.write(f"{count} mutations: {dict(outcomes.most_common())}\n")
    return outcomes


def test_two_thousand_mutations(seeds: list[bytes], tmp_path: Path) -> None:
    """2,000 mutated files are read or named, and the mutations reach both ends."""
    outcomes = _fuzz(seeds, tmp_path / "f", 2_000, seed=1)
    assert outcomes.total() == 2_000
    assert len(outcomes) > 5


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2, 12))
def test_twenty_thousand_mutations(seeds: list[bytes], tmp_path: Path, seed: int) -> None:
    """2,000 other mutations with each of ten seeds, 20,000 in all."""
    assert _fuzz(seeds, tmp_path / "f", 2_000, seed=seed).total() == 2_000
