"""Computing in bf16 and deciding as in fp32.

Thresholds are certified in fp32. A bf16 logit may lie on the other side only if it is near: such films are scored
again in fp32. How near is measured; see deploy/capacity.md.
"""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from worker.errors import ConfigurationError

Precision = Literal["fp32", "bf16"]
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}

MARGIN = 0.1  # logits; nearly four times the largest difference on 5,875 real films
_WITH_BF16 = ("avx512_bf16", "amx_bf16")  # others compute it with fp32's instructions, which is no faster
_AMPERE = (8, 0)


def choose_precision(name: str, device: torch.device) -> Precision:
    """Return the precision that a setting names; `auto` is bf16 where the device has instructions for it.

    Raises:
        ConfigurationError: if it is no precision.
    """
    if name not in ("auto", *DTYPES):
        raise ConfigurationError(f"precision: {name!r} is none; use auto, fp32 or bf16")
    if name == "fp32" or (name == "auto" and not _computes_bf16(device)):
        return "fp32"
    return "bf16"


def _computes_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _AMPERE
    ask = getattr(torch.cpu, "get_capabilities", None)  # not in the oldest PyTorch that is supported
    return ask is not None and any(ask().get(name, False) for name in _WITH_BF16)


def are_near(logits: NDArray[np.float32], threshold_logit: float) -> NDArray[np.bool_]:
    """Tell which bf16 logits, float32 (N,), decide nothing; one that is no number does not either."""
    near: NDArray[np.bool_] = ~(np.abs(logits - threshold_logit) > MARGIN)
    return near


def are_too_far_apart(bf16: NDArray[np.float32], fp32: NDArray[np.float32]) -> bool:
    """Tell whether a difference between the two uses up more than half of `MARGIN`: then it is no margin any more."""
    apart = np.abs(bf16 - fp32)[np.isfinite(fp32)]
    return bool((~(apart <= MARGIN / 2)).any())  # so that a bf16 logit that is no number counts, too
