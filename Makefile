# `make` alone lists the targets. Every target sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup run check test test-slow test-gpu mutation coverage bench snapshots screenshots docs examples wheel clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all,bench,dev]'
	@touch $(STAMP)

setup: $(STAMP)  ## make the virtual environment and install everything

run: $(STAMP)  ## the main job on sklearn:breast_cancer: the interface, or headless where there is no terminal
	@if [ -t 0 ] && [ -t 1 ]; then $(BIN)/advisor sklearn:breast_cancer --budget 60s; \
	else $(BIN)/advisor run sklearn:breast_cancer --budget 60s --yes; fi

check: $(STAMP)  ## format, lint, strict types, import contract, rules, stale docs
	$(BIN)/ruff format --check advisor tests benchmarks examples
	$(BIN)/ruff check advisor tests benchmarks examples
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/advisor rules check
	$(BIN)/python -m tests.reference --check

test: $(STAMP)  ## the whole suite but for slow, gpu and benchmarks
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not gpu"

test-slow: $(STAMP)  ## the tests marked slow
	$(BIN)/python -m pytest -m slow

test-gpu: $(STAMP)  ## the tests that need an accelerator
	$(BIN)/python -m pytest -m gpu

mutation: $(STAMP)  ## change each condition of each rule: some example must notice
	$(BIN)/python -m tests.rulebook.mutation

coverage: $(STAMP)  ## the rules and conditions that examples and plans exercise
	$(BIN)/advisor rules coverage

bench: $(STAMP)  ## the benchmarks; figures as ratios measured side by side
	$(BIN)/python -m benchmarks

snapshots: $(STAMP)  ## accept the screens as they are now
	$(BIN)/python -m pytest tests/tui --snapshot-update

screenshots: $(STAMP)  ## draw the screens as SVG into docs/screenshots; look at them
	$(BIN)/python -m tests.tui.screenshots

docs: $(STAMP)  ## write the reference pages from the code
	$(BIN)/python -m tests.reference

examples: $(STAMP)  ## write the plan files of examples/article anew
	$(BIN)/python -m tests.examples.plans

wheel: $(STAMP)  ## build the wheel
	$(BIN)/python -m build --wheel

clean:  ## remove what was built
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache
