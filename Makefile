# What a user and a developer of cxr-triage type. `make help` lists it.
.DEFAULT_GOAL := help
.PHONY: help setup demo test nightly chaos lint secrets audit bench bench-gpu bench-scale docs constraints
SHELL := /bin/bash

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED)  ## make .venv with the package and every tool; at once when nothing changed

$(INSTALLED): pyproject.toml deploy/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "cxr-triage needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	    "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv || { \
	  echo "$(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing into .venv: some minutes and some gigabytes the first time (PyTorch)."
	@$(BIN)/pip install --quiet --editable '.[dev]' --constraint deploy/constraints.txt
	@touch $@

demo: $(INSTALLED)  ## run the main job on drawn films, or on yours: make demo DEMO_DATA=folder
	$(BIN)/cxr-triage demo $(if $(DEMO_DATA),--data '$(DEMO_DATA)')

# The steps are lines of one recipe and not prerequisites, so that pytest's summary is the last thing printed, `make -j` included.
test: $(INSTALLED)  ## set up what is missing, Debian packages of real peers included, and pass every check
	.ci/install-debian-packages
	$(MAKE) --no-print-directory lint
	$(BIN)/pytest --numprocesses 3 --dist worksteal $(PYTEST_ARGS)

nightly: $(INSTALLED)  ## pass the long checks that `make test` leaves out
	$(BIN)/pytest -m nightly $(PYTEST_ARGS)

chaos: $(INSTALLED)  ## kill, fill, cut off and confuse a running service for an hour or so; ends with a table (chaos.json)
	.ci/install-debian-packages
	CHAOS_LONG=1 $(BIN)/pytest tests/chaos $(PYTEST_ARGS)

lint: $(INSTALLED)  ## style, types, import contracts, secrets
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory secrets

secrets: $(INSTALLED)  ## look for passwords and keys in tracked files (offline); SHA-256 hashes are none
	git ls-files -z ':!*.safetensors' | xargs -0 $(BIN)/detect-secrets-hook --no-verify --exclude-secrets '^[0-9a-f]{64}$$' --

audit: $(INSTALLED)  ## look for known vulnerabilities in the installed packages (asks the network)
	$(BIN)/pip-audit --skip-editable

bench: $(INSTALLED)  ## measure preparation, screening of a folder, the time to a flag, the intake beside DCMTK's and Orthanc's, re-screening
	$(BIN)/python -m tests.benchmarks
	$(BIN)/python -m tests.benchmarks.bench_screen
	$(BIN)/python -m tests.benchmarks.bench_latency
	$(BIN)/python -m tests.benchmarks.bench_intake
	$(BIN)/python -m tests.benchmarks.bench_rescreen
	$(BIN)/python -m tests.benchmarks.bench_page

bench-gpu: $(INSTALLED)  ## measure how busy the score stage keeps its device, CUDA or CPU: raw forward, engine, whole stage
	$(BIN)/python -m tests.benchmarks.bench_gpu $(BENCH_ARGS)

bench-scale: $(INSTALLED)  ## measure the database's answers with 1 k, 100 k and 1 M studies in it; takes some ten minutes and 15 GB of disk
	$(BIN)/python -m tests.benchmarks.bench_scale $(BENCH_ARGS)

docs: $(INSTALLED)  ## write the tables of the documents from the code
	$(BIN)/python -m tests.reference

constraints: $(INSTALLED)  ## write the versions that lie in .venv into deploy/constraints.txt
	{ sed -n '/^#/p' deploy/constraints.txt; $(BIN)/pip freeze --exclude-editable; } > .venv/constraints.txt
	mv .venv/constraints.txt deploy/constraints.txt
	@touch $(INSTALLED)
