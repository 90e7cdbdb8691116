# `make demo` shows the main job, `make test` proves it. Both make their own environments first.

PYTHON ?= python3
DEMO := .venv-demo
TEST := .venv-test

.PHONY: demo test test-on lint format bench soak test-real clean

demo: $(DEMO)/.made
	$(DEMO)/bin/python -m fal_async demo

test: lint
	$(TEST)/bin/python -m pytest -q -n auto

# The same suite on another Python: make test-on PYTHON=python3.13 TEST=.venv-test-3.13
test-on: $(TEST)/.made
	$(TEST)/bin/python -m pytest -q -n auto

lint: $(TEST)/.made
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/mypy

format: $(TEST)/.made
	$(TEST)/bin/ruff check --fix .
	$(TEST)/bin/ruff format .

bench: $(TEST)/.made
	$(TEST)/bin/python -m benchmarks

clean:
	rm -rf $(DEMO) .venv-test* demo-output build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(DEMO)/.made: pyproject.toml
	$(PYTHON) -m venv --clear $(DEMO)
	$(DEMO)/bin/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(TEST)/.made: pyproject.toml
	$(PYTHON) -m venv --clear $(TEST)
	$(TEST)/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(TEST)/bin/python -m pip install --quiet --disable-pip-version-check --group dev -e '.[all]'
	touch $@
