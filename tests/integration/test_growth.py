"""The benchmark of a growing archive, in short: that it fills, works and prints, not how long anything takes."""

import os
import subprocess
import sys
from pathlib import Path


def test_the_benchmark_of_growth_runs_and_prints_its_table(repository: Path, postgres_url: str) -> None:
    """Every step is there for each size, every table that grows, and what exceeds the bound or that nothing does.

    It starts a PostgreSQL of its own; the fixture is there to skip the test where none is installed.
    """
    command = [sys.executable, "-m", "tests.benchmarks.bench_scale", "--studies", "200", "2000", "--rounds", "1"]
    run = subprocess.run(
        command,
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    for step in ("intake", "claim: prepare", "claim: score", "claim: deliver", "result written", "sweep", "worklist"):
        assert step in run.stdout
    for table in ("studies", "images", "scores", "results", "deliveries", "events", "prepared_images"):
        assert table in run.stdout
    assert "times the smallest" in run.stdout


def test_an_archive_smaller_than_its_open_work_is_refused(repository: Path) -> None:
    """One line says what is possible."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_scale", "--studies", "10"]
    run = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "--studies: at least 200" in run.stderr
