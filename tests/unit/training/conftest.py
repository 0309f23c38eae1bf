"""One thread for all of these tests: where cores are shared, a second one mostly waits, and burns its core waiting."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)
