VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install train test lint docs clean adapter-env

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 12

$(BIN)/.ready: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

install: $(BIN)/.ready  ## make the environment .venv with sognet and all extras
	@echo "enter the environment with: source $(BIN)/activate"

train: $(BIN)/.ready  ## train on the built-in electrolyte and show what was learned (under five minutes on two cores)
	$(BIN)/sognet train experiment=electrolyte

test: $(BIN)/.ready  ## run the tests (about twelve minutes on two cores)
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(BIN)/.ready  ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

docs: $(BIN)/.ready  ## build the documentation into site/
	$(BIN)/mkdocs build --strict

adapter-env:  ## make an environment .venv-$(PACKAGE) and run the tests of an adapter in it: PACKAGE=sevennet
	test -x $(VENV)-$(PACKAGE)/bin/python || $(PYTHON) -m venv $(VENV)-$(PACKAGE)
	$(VENV)-$(PACKAGE)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[$(PACKAGE)]' pytest 'torch<2.14'
	$(VENV)-$(PACKAGE)/bin/python -m pytest -n0 tests/short_range/test_other_packages.py

clean:  ## remove the environment and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache build dist site
