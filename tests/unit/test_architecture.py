"""What each process loads. Who may import whom stands in pyproject.toml and is checked by lint-imports."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "torchvision", "highdicom", "imagecodecs", "PIL", "scipy", "sklearn", "matplotlib"}
LOADED = "import sys, importlib; importlib.import_module(sys.argv[1]); print(*{m.split('.')[0] for m in sys.modules})"


def _loads(module: str) -> set[str]:
    """The top-level packages that a fresh process holds after importing the module."""
    answer = subprocess.run([sys.executable, "-c", LOADED, module], check=True, capture_output=True, text=True)
    return set(answer.stdout.split())


@pytest.mark.parametrize("module", ["worker.listener", "worker.cli.main", "worker.celery"])
def test_light_processes_load_no_heavy_library(module: str) -> None:
    """The listener, the commands and a worker's start need neither the network nor the codecs."""
    assert _loads(module) & HEAVY == set()


@pytest.mark.parametrize("module", ["worker.tasks.prepare", "worker.tasks.deliver"])
def test_only_scoring_needs_torch(module: str) -> None:
    """Hosts that decode or deliver run without torch."""
    assert _loads(module) & {"torch", "torchvision"} == set()
