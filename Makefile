# Gym Queue: everything a developer or a first-time user runs.
# `make demo` and `make test` need Python >= 3.11 and nothing else: they make .venv themselves.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ROUNDS := 5
VM_ROUNDS := 3
STAMP  := $(VENV)/.installed

.PHONY: help install demo up test check format docs images vm-image bench bench-overview bench-desktop bench-vm bench-benchmark constraints dist clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1	/' | expand -t 24

install: $(STAMP) ## Make .venv with the project and its development tools

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is missing or older than 3.11: name another with make PYTHON=python3.12 .." >&2; exit 1; }
	@echo "installing packages into $(VENV): a minute or more"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: install ## Run the shipped benchmark through a master and two workers, then stop everything
	@$(BIN)/gym-anything demo

up: install ## Run a master and two workers until Ctrl-C
	@$(BIN)/gym-anything up

test: install ## Run the test suite; what needs a missing tool is skipped with its reason
	$(BIN)/python -m pytest -n 3 --dist worksteal --durations 40 --durations-min 8

check: install ## Run ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## Format the code and sort the imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install ## Write docs/reference from the code
	$(BIN)/python docs/generate.py

bench: install ## Measure the rows of docs/performance.md (see python -m bench --help)
	$(BIN)/python -m bench

images: ## Build the images of the desktop tests from Debian's packages (needs root, Docker, debootstrap)
	tests/images/build.sh x11-lite desktop_env

vm-image: install ## Build the image of virtual machines, unless it is there (needs root, debootstrap, qemu-utils)
	$(BIN)/gym-anything image build debian-x11

bench-overview: install ## Measure what twenty browsers on the dashboard cost a master of a thousand workers
	$(BIN)/python -m bench.overview

bench-desktop: install ## Measure desktops in Docker: the rows of docs/desktops.md
	$(BIN)/python -m bench.desktop --rounds $(ROUNDS)

bench-vm: install ## Measure virtual machines: the rows of docs/vms.md
	$(BIN)/python -m bench.vm --rounds $(VM_ROUNDS)

bench-benchmark: install ## Measure what a benchmark makes of its slots: the rows of docs/performance.md
	$(BIN)/python -m bench.benchmark

constraints: install ## Write constraints.txt from what .venv holds
	$(BIN)/python -m pip freeze --exclude-editable --disable-pip-version-check > constraints.txt

dist: install ## Build the source archive and the wheel into dist (docs/release.md)
	rm -rf dist
	$(BIN)/python -m build --no-isolation

clean: ## Remove .venv and what tools left behind
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage dist
