# `make demo` shows the main job, `make test` proves it. Both make their own environments first.

PYTHON ?= python3
DEMO := .venv-demo
TEST := .venv-test
BENCH := .venv-bench
# Many tests wait for a server more than for a core.
WORKERS := 4
PYTEST_ARGS :=
BUSY := 0
STALLED = $(TEST)/bin/python -m pytest -q -n $(WORKERS) -p tests.testbed.stall --timeout 300 --stall-busy $(BUSY) \
	$(if $(SEED),--stall-seed $(SEED))
# It would look for a newer release of itself at PyPI.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-on stall stall-short lint format bench bench-quick soak test-real clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(DEMO)/.made ## watch the main job happen on a local fal: four pictures in demo-output/
	$(DEMO)/bin/python -m fal_async demo

test: lint ## prove it: lint, types and the whole suite
	$(TEST)/bin/python -m pytest -q -n $(WORKERS) $(PYTEST_ARGS)

test-on: $(TEST)/.made ## the suite alone, on another Python: PYTHON=python3.13 TEST=.venv-test-3.13
	$(TEST)/bin/python -m pytest -q -n $(WORKERS) $(PYTEST_ARGS)

stall: $(TEST)/.made ## the suite with event loops and threads that are late: again with SEED=N, on busy cores with BUSY=2
	$(STALLED) $(PYTEST_ARGS)

stall-short: $(TEST)/.made ## the same of the tests that wait most: a part of CI
	$(STALLED) tests/queue tests/realtime tests/transport tests/guarantees tests/test_streaming.py $(PYTEST_ARGS)

lint: $(TEST)/.made ## ruff, mypy, and pyright on the types of the public names
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/mypy
	$(TEST)/bin/pyright --pythonpath $(TEST)/bin/python tests/structure/test_typing.py
	$(TEST)/bin/python -m tests.structure.type_completeness

format: $(TEST)/.made ## let ruff fix and format
	$(TEST)/bin/ruff check --fix .
	$(TEST)/bin/ruff format .

bench: $(BENCH)/.made ## all measurements: most of an hour
	$(BENCH)/bin/python -m benchmarks

bench-quick: $(BENCH)/.made ## the same in two minutes, less exact
	$(BENCH)/bin/python -m benchmarks --quick

soak: $(TEST)/.made ## 9,000 calls while everything goes wrong now and then
	$(TEST)/bin/python -W error -m tests.guarantees.soak

# Official clients against the emulator, ours against a real fal.App: needs npm, builds environments of its own.
test-real: $(TEST)/.made ## clients and servers that we did not write; needs npm
	FAL_ASYNC_REAL=1 $(TEST)/bin/python -m pytest -q tests/real

clean: ## remove environments, caches and builds
	rm -rf $(DEMO) $(BENCH) .venv-test* demo-output build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(DEMO)/.made: pyproject.toml
	$(PYTHON) -m venv --clear $(DEMO)
	$(DEMO)/bin/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(TEST)/.made: pyproject.toml
	$(PYTHON) -m venv --clear $(TEST)
	$(TEST)/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(TEST)/bin/python -m pip install --quiet --disable-pip-version-check --group dev -e '.[all]'
	touch $@

# An environment of its own: what else is installed would make the rivals' imports dearer than they are.
$(BENCH)/.made: pyproject.toml
	$(PYTHON) -m venv --clear $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --group bench -e .
	touch $@
