"""`make bench`: on one core and one thread, so set before numpy is imported."""

import os
import runpy

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
runpy.run_module("tests.benchmarks.bench_prepare", run_name="__main__")
