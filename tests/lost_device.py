"""`celery -A tests.lost_device worker`: the service on a host whose accelerator fails at its first batch of films."""

import numpy as np
import torch
from numpy.typing import NDArray

from worker.celery import app
from worker.device import Part, Runner

__all__ = ["app"]

_launch = Runner._launch
_lost: list[bool] = []


def _fail(runner: Runner, pixels: NDArray[np.uint8]) -> Part:
    if _lost or len(pixels) > 1:  # the self-test, of one film, is passed
        _lost.append(True)
        raise torch.AcceleratorError(
            "CUDA error: unspecified launch failure\nCUDA kernel errors might be reported late"
        )
    return _launch(runner, pixels)


Runner._launch = _fail  # type: ignore[method-assign]
