"""How busy the score stage keeps its device: raw forward, engine fed from memory, whole stage fed from a database.

With or without CUDA. The first two rows need torch, torchvision, pydantic, safetensors and this package alone; the
third is left out where SQLAlchemy and the rest of the service cannot be imported. All are measured in turn, in the
same run, on the same films; the ratios are what counts. `python -m tests.benchmarks.bench_gpu --help`.
"""

import argparse
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from worker.inference import Engine, Pending, load_engine
from worker.model.artifact import default_directory

Films = NDArray[np.uint8]
RAW, ENGINE = "raw forward, films on the device", "engine, fed from memory"
Cost = tuple[float, float]  # of a round: seconds, and processor seconds of this process
Costs = dict[str, list[Cost]]
TARGETS = {"cpu": (0.95, 0.95), "cuda": (0.95, 0.8)}  # engine and whole stage, of raw


def drawn_films(count: int, size: int) -> Films:
    """Films (count, size, size) that pack as real ones do; a tenth is flagged, few lie near the threshold."""
    dice, films = np.random.default_rng(7), []
    for number in range(count):
        blocks = np.kron(dice.integers(20, 236, (size // 16, size // 16)), np.ones((16, 16)))
        film = dice.integers(0, 256, (size, size)) if number % 10 == 0 else blocks + dice.normal(0, 3, (size, size))
        films.append(np.clip(film, 0, 255).astype(np.uint8))
    return np.stack(films)


def batches(films: Films, size: int) -> Iterator[Films]:
    """The films, `size` at a time."""
    return (films[start : start + size] for start in range(0, len(films), size))


def stopwatch() -> Callable[[], Cost]:
    """Start; call what is returned for the cost since then."""
    start, processor = time.perf_counter(), time.process_time()
    return lambda: (time.perf_counter() - start, time.process_time() - processor)


def raw(engine: Engine, films: Films, batch_size: int) -> Cost:
    """Cost of the forward passes alone, in the engine's precision."""
    network = engine._fast._network
    there = [torch.from_numpy(batch).to(engine.device) for batch in batches(films, batch_size)]
    _synchronise(engine.device)
    read = stopwatch()
    with torch.inference_mode():
        for batch in there:
            network(batch)
    _synchronise(engine.device)
    return read()


def fed_from_memory(engine: Engine, films: Films, batch_size: int) -> Cost:
    """Cost from uint8 films in memory to scores there, with one batch ahead."""
    read, before = stopwatch(), None
    for batch in batches(films, batch_size):
        pending: Pending = engine.start(batch)
        if before is not None:
            before.result()
        before = pending
    if before is not None:
        before.result()
    return read()


def stages(engine: Engine, films: Films, options: argparse.Namespace) -> dict[str, Callable[[], Cost]]:
    """The whole stage on each database, as a function that returns its cost; none where it cannot be imported."""
    try:
        from tests.benchmarks.score_stage import fed_from_database  # noqa: PLC0415 - not where only torch is
    except ImportError as error:
        sys.stdout.write(f"whole stage left out: {error}\n")
        return {}
    return fed_from_database(engine, films, options.batch, options.database)


def main() -> None:
    """Measure and print the table."""
    options = _options()
    engine = load_engine(default_directory(), device=options.device, precision=options.precision)
    films = drawn_films(options.images, engine.card.input_spec.size)
    ways = {
        RAW: lambda: raw(engine, films, options.batch),
        ENGINE: lambda: fed_from_memory(engine, films, options.batch),
        **stages(engine, films, options),
    }
    costs: Costs = defaultdict(list)
    for number in range(options.rounds + 1):
        for name, run in ways.items():
            cost = run()
            if number:  # the first one warms up
                costs[name].append(cost)
    _report(engine, options, costs)


def _report(engine: Engine, options: argparse.Namespace, costs: Costs) -> None:
    kind = engine.device.type
    name = torch.cuda.get_device_name(engine.device) if kind == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    lines = [
        f"{name}; torch {torch.__version__}; {engine.precision}; batches of {options.batch}; {options.images} films",
        f"medians of {options.rounds} rounds in turn; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
    ]
    for way, measured in costs.items():
        elapsed, processor = (_ratio(costs[RAW], measured, which) for which in (0, 1))
        goal = {RAW: None, ENGINE: TARGETS[kind][0]}.get(way, TARGETS[kind][1])
        wanted = "" if goal is None else f"  (to reach: {goal})"
        rate = options.images / statistics.median(seconds for seconds, _ in measured)
        by_processor = f", {processor:.3f} by processor time" if kind == "cpu" else ""
        lines.append(f"{way:32} {rate:9.1f} films/s  {elapsed:6.3f} of raw{by_processor}{wanted}")
    sys.stdout.writelines(f"{line}\n" for line in lines)


def _ratio(raw_costs: list[Cost], costs: list[Cost], which: int) -> float:
    return statistics.median(raw[which] / cost[which] for raw, cost in zip(raw_costs, costs, strict=True))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--batch", type=int, default=256 if torch.cuda.is_available() else 16)
    parser.add_argument("--images", type=int, default=20_480 if torch.cuda.is_available() else 160)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--database", help="URL of an empty PostgreSQL database, beside SQLite")
    return parser.parse_args()


def _synchronise(device: torch.device) -> None:
    torch.get_device_module(device).synchronize()


if __name__ == "__main__":
    main()
