"""Each kind of host runs on what its extra installs. Who may import whom stands in pyproject.toml (lint-imports)."""

import subprocess
import sys

import pytest

PREPARE = {"imagecodecs", "PIL", "rle"}
SCORE = {"safetensors", "torch", "torchvision"}
DELIVER = {"dicomweb_client", "highdicom", "requests"}
TRAIN = {"jinja2", "matplotlib", "scipy", "sklearn"}
SERVICE = {"alembic", "celery", "pydicom", "pynetdicom", "redis", "sqlalchemy", "structlog", "zstandard"}
# What None stands for in sys.modules cannot be imported, as if it were not installed.
WITHOUT = """
import importlib, sys
sys.modules.update(dict.fromkeys(sys.argv[2].split()))
importlib.import_module(sys.argv[1])
"""


@pytest.mark.parametrize(
    ("module", "missing"),
    [
        pytest.param("worker.listener", PREPARE | SCORE | DELIVER | TRAIN, id="listener"),
        pytest.param("worker.cli.main", PREPARE | SCORE | DELIVER | TRAIN, id="commands"),
        pytest.param("worker.doctor", PREPARE | SCORE | DELIVER | TRAIN, id="doctor"),
        pytest.param("worker.celery", PREPARE | SCORE | DELIVER | TRAIN, id="beat"),
        pytest.param("worker.tasks.prepare", SCORE | DELIVER | TRAIN, id="prepare"),
        pytest.param("worker.tasks.score", DELIVER | TRAIN, id="score"),
        pytest.param("worker.tasks.deliver", PREPARE - {"PIL"} | SCORE | TRAIN, id="deliver"),
        pytest.param(
            "tests.benchmarks.bench_gpu", SERVICE | PREPARE - {"PIL"} | DELIVER | TRAIN - {"jinja2"}, id="bench-gpu"
        ),
        pytest.param("worker.tasks.train", PREPARE | SCORE | DELIVER | TRAIN, id="train"),
    ],
)
def test_a_process_starts_without_the_packages_of_the_others(module: str, missing: set[str]) -> None:
    """A host of this kind needs nothing that only other kinds install; the listener and the commands need no torch."""
    started = subprocess.run(
        [sys.executable, "-c", WITHOUT, module, " ".join(missing)], check=False, capture_output=True, text=True
    )
    assert started.returncode == 0, started.stderr[-2000:]
