"""A device whose memory runs out, or that is lost; the faults are injected where PyTorch would raise them."""

import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from worker.device import Runner, find_device, is_lost, is_out_of_memory
from worker.errors import DeviceLostError

CPU = torch.device("cpu")


class Grey(nn.Module):
    """Answers with the mean grey level of a film; raises what it is told to where more films come than fit."""

    def __init__(self, fits: int = 1000, fault: Exception | None = None) -> None:
        super().__init__()
        self.fits, self.fault = fits, fault
        self.batches: list[int] = []
        self.inside = 0

    def forward(self, films: Tensor) -> tuple[Tensor, Tensor]:
        """Score films."""
        self.inside += 1
        assert self.inside == 1
        self.batches.append(len(films))
        if self.fault is not None and len(films) > self.fits:
            self.inside -= 1
            raise self.fault
        means = films.float().mean(dim=(1, 2))
        self.inside -= 1
        return means, means[:, None, None].expand(-1, 7, 7)


@pytest.fixture
def told() -> list[tuple[str, dict[str, Any]]]:
    """What the runner said."""
    return []


@pytest.fixture
def films() -> np.ndarray:
    """Ten films of a grey level of their own."""
    return np.repeat(np.arange(10, dtype=np.uint8), 16 * 16).reshape(10, 16, 16)


@pytest.mark.parametrize(
    "fault",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_a_batch_that_does_not_fit_is_halved_and_the_size_is_remembered(
    films: np.ndarray, told: list[tuple[str, dict[str, Any]]], fault: Exception
) -> None:
    """Every film is scored, in its place; the next call begins with the size that fits."""
    network = Grey(fits=3, fault=fault)
    runner = Runner(network, CPU, lambda event, **values: told.append((event, values)))
    logits, maps = runner.launch(films).wait()
    np.testing.assert_array_equal(logits, np.arange(10))
    assert maps.shape == (10, 7, 7)
    assert network.batches == [10, 5, 2, 2, 2, 2, 2]
    assert [values["from_now_on"] for _, values in told] == [5, 2]
    runner.launch(films)
    assert network.batches[7:] == [2] * 5


def test_a_film_that_does_not_fit_alone_is_an_error(films: np.ndarray) -> None:
    """There is nothing left to halve: the caller is told, as memory that others use now may be free later."""
    network = Grey(fits=0, fault=torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(torch.OutOfMemoryError):
        Runner(network, CPU, lambda *_, **__: None).launch(films)
    assert network.batches == [10, 5, 2, 1]


@pytest.mark.parametrize(
    "fault",
    [
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be"),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    ],
)
def test_a_lost_device_is_one_line(films: np.ndarray, fault: Exception) -> None:
    """It names the device and the first line of the cause, and says what happens next."""
    with pytest.raises(DeviceLostError, match=r"^device cpu failed: .*; the worker ends to start anew$") as caught:
        Runner(Grey(fits=0, fault=fault), CPU, lambda *_, **__: None).launch(films)
    assert "\n" not in str(caught.value)


def test_a_fault_that_shows_only_when_the_answer_is_waited_for_is_named_too(films: np.ndarray) -> None:
    """CUDA computes while the caller goes on, and complains at the next synchronisation."""

    class Broken:
        def synchronize(self) -> None:
            raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    launched = Runner(Grey(), CPU, lambda *_, **__: None).launch(films)
    object.__setattr__(launched.parts[0], "ready", Broken())
    with pytest.raises(DeviceLostError, match="device-side assert"):
        launched.wait()


def test_other_errors_stay_what_they_are() -> None:
    """A bug is neither a lack of memory nor a lost device."""
    for error in (RuntimeError("expected 3 channels"), ValueError("CUDA error"), KeyboardInterrupt()):
        assert not is_lost(error)
        assert not is_out_of_memory(error)


def test_threads_take_turns_on_the_device(films: np.ndarray) -> None:
    """The network asserts that nobody else is inside."""
    runner = Runner(Grey(), CPU, lambda *_, **__: None)
    answers: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: answers.extend(runner.launch(films).wait()[0] for _ in range(20)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 80
    assert all((answer == np.arange(10)).all() for answer in answers)


def test_auto_is_a_device_that_is_there() -> None:
    """CUDA where there is one, else the CPU."""
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
