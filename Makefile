# Each target does all that it needs by itself: it makes .venv and installs into it.
#   make demo    a small zoo of real models, made, charted and shown
#   make test    all tests
#   make check   lint, format, types, layers, docs
#   make docs    write the generated pages anew
#   make clean   take away .venv and caches

PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
# One thread a process: two that spin on a busy machine are slower than one.
export OMP_NUM_THREADS = 1

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types layers docs transcripts clean

help:
	@sed -n 's/^#   //p' Makefile

# A stamp for each set of packages: installed again when what is asked for changes.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "weightscape needs Python 3.11 or newer; this is $$($(PYTHON) --version 2>&1)." \
	       "Give another: make PYTHON=python3.12 ..." >&2; exit 2; }
	@echo "making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
	  echo "no virtual environment: on Debian, install python3-venv" >&2; exit 2; }

.venv/.demo .venv/.dev: .venv/.%: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing weightscape[$*] into .venv: 1 to 5 minutes, most of it PyTorch; it takes 2 GB"
	@start=$$(date +%s); $(BIN)/pip install --quiet --disable-pip-version-check \
	  -c constraints.txt -e '.[$*]' && echo "installed in $$(($$(date +%s) - start)) s"
	@touch $@

demo: .venv/.demo
	@$(BIN)/weightscape demo --workers $(WORKERS)

test: .venv/.dev
	@echo "running all tests on $(WORKERS) processes: 2 to 5 minutes"
	@$(BIN)/python -m pytest -n $(WORKERS) --doctest-modules src/weightscape tests

check: lint types layers docs-check

lint: .venv/.dev
	@echo "lint and format (ruff)"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { \
	  $(BIN)/ruff format --check .; echo "mend with: $(BIN)/ruff format ." >&2; exit 1; }

types: .venv/.dev
	@echo "types (mypy --strict)"
	@$(BIN)/mypy

layers: .venv/.dev
	@echo "layers (import-linter)"
	@$(BIN)/lint-imports --config pyproject.toml > .venv/layers.txt || { cat .venv/layers.txt; exit 1; }

.PHONY: docs-check
docs-check: .venv/.dev
	@echo "docs"
	@$(BIN)/python -m pytest tests/unit/test_docs.py

docs: .venv/.dev
	@$(BIN)/python scripts/pages.py

# The transcripts and pictures of README.md and docs/, made by running what they show.
transcripts: .venv/.dev demo/zoo/truth.json
	@$(BIN)/python scripts/transcripts.py demo/zoo

demo/zoo/truth.json: | .venv/.dev
	@$(BIN)/weightscape demo --no-open

clean:
	rm -rf .venv build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
