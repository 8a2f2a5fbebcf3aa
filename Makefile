# `make repro` and `make test` set everything up. With .venv activated, plain commands (dvc, mlflow, pytest) work too.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONPATH := src
export NO_ALBUMENTATIONS_UPDATE := 1
export MLFLOW_DISABLE_TELEMETRY := true
.DEFAULT_GOAL := help
.PHONY: help setup repro test lint format compare gather leak bench docs ui track lock clean

help:  ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: .venv/ready  ## make .venv with the pinned packages

# --no-deps, because the lock lists every package.
.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lesionbench needs Python 3.11 or newer (PYTHON=... names another)")'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

repro: setup  ## rebuild everything that changed (dvc repro)
	dvc repro

test: setup  ## run the tests, on all cores (ARGS=tests/split for a part)
	pytest -n logical --maxprocesses 4 --dist loadfile $(ARGS)

lint: setup  ## check format, imports, types and layers
	ruff format --check .
	ruff check .
	mypy
	lint-imports

format: setup  ## fix format and imports
	ruff format .
	ruff check --fix .

compare: setup  ## a short table of the experiments (ARGS="--scores test")
	python pipeline/experiments.py $(ARGS)

gather: setup  ## mean and spread over seeds and folds
	python pipeline/experiments.py --gather $(ARGS)

leak: setup  ## gather the leak experiment of docs/splits.md
	python pipeline/leak.py $(ARGS)

bench: setup  ## measure speed, into benchmarks/README.md (ARGS=hair for a part)
	PYTHONPATH=src:. python -m benchmarks.run $(ARGS)

docs: setup  ## write docs/reference.md and the API pages, docs/api/index.html
	python docs/reference.py
	pdoc --docformat google --output-directory docs/api lesionbench

ui: setup  ## open MLflow's comparison of backbones
	mlflow ui

track: setup  ## bring MLflow up to date from the files
	python pipeline/track.py

lock:  ## pin the newest allowed versions again (needs uv)
	uv pip compile --universal --generate-hashes --no-annotate --no-header --python-version 3.11 --extra dev \
		--upgrade pyproject.toml --output-file requirements.lock

clean:  ## remove the environment and the cache (results stay)
	rm -rf .venv .cache
