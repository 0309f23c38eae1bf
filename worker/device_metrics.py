"""What a score process shows of its model and its device."""

from collections.abc import Callable

import torch

from worker.domain import ModelReference
from worker.metrics.definitions import GPU_FREE, GPU_RESERVED, GPU_SIZE, MODEL


def show_model(model: ModelReference, device: torch.device) -> None:
    """Show which model is served from now on, and the memory of its device where that is CUDA."""
    MODEL.clear()
    MODEL.labels(model.name, model.version, model.sha256, str(device)).set(1)
    if device.type != "cuda":
        return
    name = str(device)
    GPU_FREE.labels(name).set_function(_asked(lambda: torch.cuda.mem_get_info(device)[0]))
    GPU_SIZE.labels(name).set_function(_asked(lambda: torch.cuda.mem_get_info(device)[1]))
    GPU_RESERVED.labels(name).set_function(_asked(lambda: torch.cuda.memory_reserved(device)))


def _asked(ask: Callable[[], int]) -> Callable[[], float]:
    def answer() -> float:
        try:
            return ask()
        except RuntimeError:  # a device that is lost answers nothing; the worker ends by itself
            return float("nan")

    return answer
