# Everything runs in .venv, which these targets make themselves: only Python, pip and make are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet -c constraints.txt

.PHONY: compare audit benchmark notebooks test test-long lint format clean

compare: $(VENV)/.installed
	$(BIN)/python -m experiments compare

audit: $(VENV)/.installed
	$(BIN)/python -m experiments audit

benchmark: $(VENV)/.installed
	$(BIN)/python -m experiments benchmark

notebooks: $(VENV)/.installed-dev
	cd notebooks && PYTHONPATH=.. ../$(BIN)/jupyter execute --inplace *.ipynb

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-long: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 -m long

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Stamps record that an install succeeded; they are made anew when the requirements change.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[experiments]'
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[dev]'
	touch $@ $(VENV)/.installed
