"""Running a network on a device: copies beside the computing, memory that runs out, a device that is lost."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from worker.errors import ConfigurationError, DeviceLostError

Tell = Callable[..., object]  # takes an event's name, and its values by name, as structlog's loggers do
_OUT_OF_MEMORY = ("out of memory", "ALLOC_FAILED")  # the driver's, cuBLAS's and cuDNN's own words
_LOST = ("CUDA error", "CUDA driver", "cuDNN error", "CUBLAS_STATUS")


@dataclass(frozen=True, slots=True)
class Part:
    """What came of one launch: on its way to the host until `ready` says that it is there."""

    logits: Tensor
    maps: Tensor
    ready: Any  # torch.cuda.Event or its stand-in of torch.cpu


@dataclass(frozen=True, slots=True)
class Launched:
    """Films on their way through the network, in one part or more.

    Attributes:
        device: where they are.
    """

    parts: Sequence[Part]
    device: torch.device

    def wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Wait for logits (N,) and activation maps (N, h, w).

        Raises:
            DeviceLostError: if the device failed meanwhile.
        """
        with naming_faults(self.device):
            for part in self.parts:
                part.ready.synchronize()
        logits = np.concatenate([part.logits.numpy() for part in self.parts])
        return logits, np.concatenate([part.maps.numpy() for part in self.parts])


class naming_faults:  # noqa: N801 - reads as a statement
    """A `with` block in which a fault of the device itself becomes a DeviceLostError of one line."""

    def __init__(self, device: torch.device | str) -> None:
        self.device = device

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        """Name the fault, if it is one of the device."""
        if error is not None and is_lost(error):
            cause = next(iter(str(error).splitlines()), type(error).__name__)
            raise DeviceLostError(f"device {self.device} failed: {cause}; the worker ends to start anew") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether the device's memory did not suffice, which fewer films at once may mend."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _OUT_OF_MEMORY)


def is_lost(error: BaseException) -> bool:
    """Tell whether the device itself failed: after such a fault CUDA answers nothing more in this process.

    Source: CUDA Runtime API, cudaErrorIllegalAddress and the like ("any further CUDA work will return the same error").
    """
    if is_out_of_memory(error) or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, torch.AcceleratorError) or any(text in str(error) for text in _LOST)


def find_device(name: str) -> torch.device:
    """Return the device that a setting names: `auto` (CUDA where there is one, else the CPU), `cpu`, `cuda`, `cuda:N`.

    Raises:
        ConfigurationError: if there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigurationError(f"device: {name!r} is no device; use auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigurationError(f"device: {name} is not there; use auto or cpu, or mend the NVIDIA driver")
    return device


class Runner:
    """One network on one device; one thread at a time goes in, others wait.

    The same code runs on a CPU, where PyTorch's streams and events do nothing and a launch returns with its answer.

    Attributes:
        most: films that go in at once; halved whenever the device's memory does not suffice. None: all there are.
    """

    def __init__(self, network: nn.Module, device: torch.device, tell: Tell) -> None:
        self.most: int | None = None
        self._network = network.to(device)
        self._device = device
        self._tell = tell
        self._turn = threading.Lock()
        self._api: Any = torch.get_device_module(device)
        self._on_cuda = device.type == "cuda"
        if self._on_cuda:  # for the whole process: the flags are not a thread's own
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cuda.matmul.allow_tf32 = False
        self._copying, self._computing = self._stream(), self._stream()

    def launch(self, pixels: NDArray[np.uint8]) -> Launched:
        """Send films, uint8 (N, size, size), into the network; on CUDA this returns before they are through.

        Raises:
            DeviceLostError: if the device failed, now or in what it computed before.
            RuntimeError: if one film alone does not fit into its memory.
        """
        parts: list[Part] = []
        with self._turn, naming_faults(self._device):
            done = 0
            while done < len(pixels) or not parts:
                part = pixels[done : done + (self.most or len(pixels))]
                try:
                    parts.append(self._launch(part))
                    done += len(part)
                except RuntimeError as error:
                    self._halve(len(part), error)
        return Launched(parts, self._device)

    def _launch(self, pixels: NDArray[np.uint8]) -> Part:
        staged = torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=self._on_cuda)
        np.copyto(staged.numpy(), pixels)
        with torch.inference_mode():
            with self._api.stream(self._copying):
                films = staged.to(self._device, non_blocking=True)
            self._computing.wait_stream(self._copying)
            with self._api.stream(self._computing):
                if self._on_cuda:
                    films.record_stream(self._computing)  # its memory is not given away before it was read
                logits, maps = self._network(films)
                ready = self._api.Event()
                part = Part(logits.to("cpu", non_blocking=True), maps.to("cpu", non_blocking=True), ready)
                ready.record()
        return part

    def _halve(self, films: int, error: RuntimeError) -> None:
        if not is_out_of_memory(error) or films <= 1:
            raise error
        self.most = films // 2
        self._tell("device-out-of-memory", films=films, from_now_on=self.most)
        if self._on_cuda:
            torch.cuda.empty_cache()

    def _stream(self) -> Any:
        return self._api.Stream(self._device) if self._on_cuda else self._api.Stream()
