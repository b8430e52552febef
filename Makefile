# Each target's help stands behind its name. Everything rests on `make setup`, which costs nothing the second time.
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
WORLD ?=
PYTEST ?=
# Half as many more processes than processors: tests wait for the processes that they start.
SPREAD := -n $(shell echo $$(( $$(nproc) * 3 / 2 ))) --dist loadfile --no-loadscope-reorder

.PHONY: help setup setup-clients demo test test-faults lint types docs up down
.PHONY: bench bench-quick bench-guard bench-clients audit coverage lock

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing: system packages (if permitted) and .venv with the package
	@bash scripts/setup.sh

setup-clients: ## Environments of the real clients that the tests drive: .venv-caveclient, .venv-legacy
	@bash scripts/setup-clients.sh

demo: setup ## The main job from upload to frozen versions; WORLD=FOLDER takes a world of yours
	@bash scripts/setup-clients.sh caveclient
	@$(BIN)/matengine demo --client-python .venv-caveclient/bin/python $(if $(WORLD),--world $(WORLD))

test: setup setup-clients lint ## All tests; PYTEST="-k name" hands words to pytest
	@$(BIN)/python -m pytest tests -m "not faults and not bench" $(SPREAD) $(PYTEST)

test-faults: setup setup-clients ## Only the tests that kill processes and cut connections, and the long runs of random ones
	@$(BIN)/python -m pytest tests -m faults $(PYTEST)

coverage: setup setup-clients ## All tests, then the lines and branches they went through; below 90 % of branches fails
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest tests -m "not faults and not bench" $(SPREAD) --timeout 900 $(PYTEST)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/python scripts/coverage_table.py

lint: setup ## Style (ruff), floors (import-linter) and spelling (codespell)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/codespell

types: setup ## Types (mypy)
	@$(BIN)/mypy

audit: setup ## Security: bandit over the code, and whether the installed packages fit together
	@$(BIN)/bandit --quiet --configfile pyproject.toml --recursive materializationengine localcave l1dbproto scripts
	@$(BIN)/pip check

lock: setup ## Pin what the image installs in requirements.lock; UPGRADE=1 takes the newest of everything
	@bash scripts/lock.sh

docs: setup ## The manual, in docs/_build/html; warnings are errors
	@bash scripts/docs.sh

bench: setup bench-clients ## Measure every part against its floor, at a million rows and other sizes (up to an hour)
	@$(BIN)/python -m bench full

bench-quick: setup bench-clients ## The same at a hundred thousand rows, in a few minutes
	@$(BIN)/python -m bench quick

bench-guard: setup bench-clients ## End with an error where a ratio to the floor is worse than in the kept quick run
	@$(BIN)/python -m bench quick --guard

# Libraries that are measured against, in environments of their own.
bench-clients:
	@bash scripts/setup-clients.sh cloudvolume
	@bash scripts/setup-clients.sh apdb

up: setup ## Start the whole service in .matengine/, or show the one that runs
	@$(BIN)/matengine stack up

down: setup ## End it and all its processes
	@$(BIN)/matengine stack down
