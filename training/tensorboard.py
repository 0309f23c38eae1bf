"""The history of a run for TensorBoard, where it is installed."""

from pathlib import Path
from typing import Any

from training.errors import TrainingError
from training.schedule import Row


class Board:
    """Event files of a run.

    Args:
        writer: torch's `SummaryWriter`.
    """

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def show(self, row: Row) -> None:
        """Write the figures of an epoch."""
        for name, figure in row.items():
            self._writer.add_scalar(name, figure, int(row["epoch"]))
        self._writer.flush()


def open_board(output: Path) -> Board:
    """Open `output/tensorboard`.

    Raises:
        TrainingError: if TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - optional
    except ImportError:
        raise TrainingError("TensorBoard is not here: pip install tensorboard, or leave --tensorboard out") from None
    return Board(SummaryWriter(output / "tensorboard"))
