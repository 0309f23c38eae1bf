"""What is drawn in a part of the picture only is drawn as in all of it, to the last bit."""

import hashlib

import numpy as np
import pytest

from dicom_io import anatomy
from dicom_io.anatomy import Body, Dice, Plane, grid

# Of seed 7, as float64 on 320 by 320. Pixels are rounded, so that theirs would hide most changes of the last bits.
RIBS_SHA256 = "e8dd998d3b7701de626a618f9c83e7718f3f810a2ba5b87d9a0dc13f621123af"
SIZE = 160


def drawn(seed: int) -> list[Plane]:
    """Every shape of one imagined patient that is drawn in parts."""
    dice, (x, y) = Dice(seed), grid(SIZE, SIZE)
    body = Body.throw(dice)
    return [anatomy.ribs(x, y, body), anatomy.vessels(x, y, dice), anatomy.consolidation(x, y, dice)]


def test_what_is_left_out_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the rows and columns that a bone, vessel or opacity is drawn in, it covers nothing, in any patient."""
    seeds = range(20)
    parts = [drawn(seed) for seed in seeds]
    monkeypatch.setattr(anatomy, "near", lambda *_: slice(None))
    for seed, in_parts in zip(seeds, parts, strict=True):
        assert all(np.array_equal(part, whole) for part, whole in zip(in_parts, drawn(seed), strict=True)), seed


def test_the_ribs_have_the_recorded_bits() -> None:
    """Additions and multiplications come in the order in which they always came."""
    ribs = anatomy.ribs(*grid(320, 320), Body.throw(Dice(7)))
    assert hashlib.sha256(ribs.tobytes()).hexdigest() == RIBS_SHA256
