"""How long one piece of work takes: what a simulation draws, and the moments that the formulas need."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from worker.errors import ConfigurationError

Shape = Literal["exponential", "deterministic", "lognormal"]


@dataclass(frozen=True, slots=True)
class Duration:
    """A random time.

    Attributes:
        mean: in any unit; what is drawn has the same.
        shape: exponential (as variable as a Poisson process), deterministic (always the mean) or lognormal.
        variation: standard deviation over mean, of the lognormal shape only.

    Raises:
        ConfigurationError: if the mean or the variation is not positive, or the shape is unknown.
    """

    mean: float
    shape: Shape = "exponential"
    variation: float = 0.5

    def __post_init__(self) -> None:
        if not (0 < self.mean < math.inf and 0 < self.variation < math.inf):
            raise ConfigurationError(f"a time must be above 0, and {self.mean:g} is not: give another one")
        if self.shape not in get_args(Shape):
            raise ConfigurationError(f"{self.shape!r} is no shape of a time: one of {', '.join(get_args(Shape))}")

    @property
    def squared_variation(self) -> float:
        """Variance over squared mean."""
        return {"exponential": 1.0, "deterministic": 0.0, "lognormal": self.variation**2}[self.shape]

    @property
    def second_moment(self) -> float:
        """Mean of the square, in squared units."""
        return self.mean**2 * (1 + self.squared_variation)

    def draw(self, dice: np.random.Generator, count: int) -> NDArray[np.float64]:
        """Draw independent times, shape (count,)."""
        if self.shape == "exponential":
            return dice.exponential(self.mean, count)
        if self.shape == "deterministic":
            return np.full(count, self.mean)
        spread = math.log1p(self.variation**2)
        return dice.lognormal(math.log(self.mean) - spread / 2, math.sqrt(spread), count)
