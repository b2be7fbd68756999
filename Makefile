# Every target sets up what it needs first; a second call does nothing twice. ARGS="…" is handed to the program.
.DEFAULT_GOAL := help
.PHONY: help setup demo up test soak vendors lint bench
.DELETE_ON_ERROR:

RUN := .venv/bin
# Most tests wait for servers rather than for a processor. WORKERS=0 runs them in one process. In the order of the folders
# the long ones of tests/e2e come early; by size of their files they would come last, one worker waiting for another.
WORKERS ?= 4

help:
	@echo "make setup | demo | up | test | soak | vendors | lint | bench   (CONTRIBUTING.md says what each does)"

setup: .venv/.project

# The stamps are written last, so that an interrupted step is done again.
.venv/.packages: requirements/dev.lock scripts/setup
	@scripts/setup
	@touch $@

.venv/.project: .venv/.packages pyproject.toml
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	@$(RUN)/headrace demo $(ARGS)

up: setup
	@$(RUN)/headrace up --embedded --sandboxes $(ARGS)

# Hundreds of processes start: none shall compile our modules anew, whatever the shell says.
test: export PYTHONDONTWRITEBYTECODE =
test: setup
	@scripts/test-servers
	$(RUN)/python -m pytest -m "not soak and not vendor" -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

vendors: setup
	$(RUN)/python -m pytest -m vendor -s tests/vendors $(ARGS)

soak: setup
	@scripts/test-servers
	$(RUN)/python -m pytest -m soak $(ARGS)

lint: setup
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports

bench: setup
	@$(RUN)/python bench/run.py $(ARGS)
