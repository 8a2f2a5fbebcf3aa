# `make repro` and `make test` set everything up. With .venv activated, plain commands (dvc, mlflow, pytest) work too.
# Commands have their whole path, as macOS's make does not look for them in the PATH below, which is for their children.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONPATH := src
export NO_ALBUMENTATIONS_UPDATE := 1
export MLFLOW_DISABLE_TELEMETRY := true
.DEFAULT_GOAL := help
.PHONY: help setup repro train-parallel verify real test lint format compare gather leak bench docs ui track lock clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: .venv/ready  ## make .venv with the pinned packages

# The scripts of a .venv name their Python by its whole path: in a moved or copied project it is another's, or none.
AT_HOME := head -n 2 .venv/bin/dvc 2>/dev/null | grep -qF -e "$$(pwd -P)/.venv/bin/python" \
	-e "$$(cd .venv 2>/dev/null && pwd -P)/bin/python"
ifneq ($(wildcard .venv/ready),)
ifneq ($(shell $(AT_HOME) && echo yes),yes)
.PHONY: .venv/ready
endif
endif

# --no-deps, because the lock lists every package.
.venv/ready: requirements.lock pyproject.toml
	@git rev-parse --verify --quiet HEAD >/dev/null || { echo "error: DVC needs a git repository with a commit, and this \
	folder is none (a downloaded zip?). Type: git init && git add . && git commit -m start" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: lesionbench needs Python 3.11 or newer, and $(PYTHON) is %d.%d; make PYTHON=python3.12 names another" % sys.version_info[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: $(PYTHON) lacks venv or ensurepip; install them \
	(Debian, Ubuntu: apt install python3-venv), or make PYTHON=... names another Python" >&2; exit 1; }
	@$(AT_HOME) || rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

repro: setup  ## rebuild everything that changed (ARGS="--force" for dvc repro's options)
	$(BIN)/dvc repro $(ARGS)

JOBS ?= 2
# Where there are NVIDIA's GPUs, tools/repro_stage.sh gives the trainings one after another.
SLOT := $(if $(shell command -v nvidia-smi),--process-slot-var=SLOT)
train-parallel: setup  ## the same, with JOBS=2 trainings at once
	$(BIN)/dvc repro augment
	$(BIN)/dvc stage list --name-only train | xargs -P $(JOBS) $(SLOT) -n 1 tools/repro_stage.sh
	$(BIN)/dvc repro $(ARGS)

verify: setup  ## tell whether the last run reproduced the committed results
	$(BIN)/python pipeline/verify.py

RECIPE ?= cpu
real: setup  ## results on the real images, by a recipe (RECIPE=gpu, ARGS="-S seed=2" for dvc exp run's options)
	$(BIN)/python pipeline/real.py '$(RECIPE)' $(ARGS)

test: setup  ## run the tests, on all cores (ARGS=tests/split for a part, ARGS="-m slow" for what that leaves out)
	$(BIN)/pytest -n auto --dist loadfile -m "not slow" $(ARGS)

lint: setup  ## check format, imports, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## fix format and imports
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

compare: setup  ## a short table of the experiments (ARGS="--scores test")
	$(BIN)/python pipeline/experiments.py $(ARGS)

gather: setup  ## mean and spread over seeds and folds, and their networks as one model
	$(BIN)/python pipeline/experiments.py --gather $(ARGS)

leak: setup  ## gather the leak experiment of docs/splits.md
	$(BIN)/python pipeline/leak.py $(ARGS)

bench: setup  ## measure speed, into benchmarks/README.md (ARGS=hair for a part)
	PYTHONPATH=src:. $(BIN)/python -m benchmarks.run $(ARGS)

docs: setup  ## write docs/reference.md and the API pages, docs/api/index.html
	$(BIN)/python docs/reference.py
	$(BIN)/pdoc --docformat google --output-directory docs/api lesionbench

ui: setup  ## open MLflow's comparison of backbones (ARGS="--port 5001")
	$(BIN)/python pipeline/ui.py $(ARGS)

track: setup  ## bring MLflow up to date from the files
	$(BIN)/python pipeline/track.py

lock:  ## pin the newest allowed versions again (needs uv)
	uv pip compile --universal --generate-hashes --no-annotate --no-header --python-version 3.11 --extra dev --extra server \
		--upgrade pyproject.toml --output-file requirements.lock

clean:  ## remove the environment and the cache (results stay)
	rm -rf .venv .cache
