"""Shares of cases with their intervals. Pure."""

import math
from statistics import NormalDist

from pydantic import BaseModel, ConfigDict

_Z = NormalDist().inv_cdf(0.975)


class Share(BaseModel):
    """A share of independent cases with its 95 % interval; null where there are no cases."""

    model_config = ConfigDict(frozen=True)

    part: int
    whole: int
    value: float | None
    low: float | None
    high: float | None


def share(part: int, whole: int) -> Share:
    """Return `part` of `whole` cases as a share, with Wilson's interval.

    Near 0 and 1, where sensitivities lie, and with few cases it covers close to 95 %, and it is never without width.

    Source: Wilson, JASA 22 (1927) 209; Brown, Cai and DasGupta, Statistical Science 16 (2001) 101.
    """
    if not whole:
        return Share(part=part, whole=whole, value=None, low=None, high=None)
    p, z2 = part / whole, _Z**2
    middle = (p + z2 / (2 * whole)) / (1 + z2 / whole)
    half = _Z * math.sqrt(p * (1 - p) / whole + z2 / (4 * whole**2)) / (1 + z2 / whole)
    low = 0.0 if part == 0 else middle - half
    high = 1.0 if part == whole else middle + half
    return Share(part=part, whole=whole, value=p, low=low, high=high)
