"""What the network expects of its input; travels in every artifact's card."""

import hashlib
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class InputSpec(BaseModel):
    """How a film becomes the array that the network sees.

    Attributes:
        size: rows and columns of the prepared image, pixels.
        resize: exact area average; the film is stretched to a square, as the training images were.
        window: the film's own VOI LUT or first window, else its percentiles.
        percentiles: lower and upper percentile of the pixel values that become black and white without a window.
        mean, std: normalisation of the grey level in [0, 1], done by a layer of the network.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(default=224, ge=32, le=1024)
    resize: Literal["area"] = "area"
    window: Literal["voi-or-percentile"] = "voi-or-percentile"
    percentiles: tuple[float, float] = (0.5, 99.5)
    mean: float = 0.485
    std: float = Field(default=0.229, gt=0)

    @property
    def sha256(self) -> str:
        """Hash of what determines the prepared bytes: everything but the normalisation. 64 hex digits."""
        return hashlib.sha256(self.model_dump_json(exclude={"mean", "std"}).encode()).hexdigest()
