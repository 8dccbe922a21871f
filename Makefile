# The two commands of a newcomer are `make demo` and `make test`. Each makes .venv if it is missing.
# TORCH may be set to another version or to a local wheel: make install TORCH=torch==2.12.1
TORCH ?= torch==2.13.0
PYTHON ?= python3
BIN := .venv/bin
# A package index may be slow or away for a moment.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --retries 10 --timeout 60
# Most tests wait for processes, so two at a time take little more than half as long.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup

.DEFAULT_GOAL := help
.PHONY: help demo exports-env install test test-slow lint format bench clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1	\2/' | expand -t 18

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Irongrid needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

# torch first and alone, so that no other package's range chooses another build of it.
.venv/.train: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Irongrid with its training runtime into .venv (about a minute) ..."
	@$(PIP) $(TORCH) -c constraints.txt
	@$(PIP) -e '.[train]' -c constraints.txt
	@touch $@

.venv/.all: .venv/.train
	@echo "Installing every extra ..."
	@$(PIP) -e '.[train,postgres,dev]' -c constraints.txt
	@touch $@

install: .venv/.all ## make .venv with every extra

# The libraries that our exports are for cannot live beside our pins. This environment sees what .venv
# has, torch above all, and adds them. MaxText asks for Python 3.12 but its config runs on 3.11.
EXPORTS_PIP := $(subst $(BIN),.venv-exports/bin,$(PIP))
.venv-exports/.made: tests/planner/exports/real-libraries.txt .venv/.all
	@echo "Installing Megatron-Core, DeepSpeed, torchtitan and MaxText into .venv-exports (3 minutes) ..."
	@rm -rf .venv-exports
	@$(BIN)/python -m venv .venv-exports
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> $$(.venv-exports/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/beside.pth
	@$(EXPORTS_PIP) -r $<
	@$(EXPORTS_PIP) --no-deps --ignore-requires-python \
		megatron-core==0.16.1 torchtitan==0.3.0 maxtext==0.2.5
	@DS_BUILD_OPS=0 DS_ACCELERATOR=cpu $(EXPORTS_PIP) --no-deps --no-build-isolation deepspeed==0.19.8
	@touch $@

exports-env: .venv-exports/.made ## .venv-exports, with the libraries that read our exports

demo: .venv/.train ## the main job: train a small model, kill a rank, watch it recover
	@$(BIN)/irongrid demo

test: .venv/.all ## the tests (a few minutes)
	$(PYTEST) -m "not slow"

test-slow: .venv/.all exports-env ## full sweeps and matrices
	$(PYTEST) -m slow

lint: .venv/.all ## ruff and mypy strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.all ## let ruff fix and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.all ## every benchmark, one after another
	@for run in benchmarks/*/run.py; do echo "== $$run"; $(BIN)/python $$run --json || exit 1; done

clean: ## remove .venv, .venv-exports and caches
	rm -rf .venv .venv-exports .pytest_cache .mypy_cache .ruff_cache .hypothesis
