# `make demo` shows the main job, `make test` proves it. Both make their own environments first.

PYTHON ?= python3
DEMO := .venv-demo
TEST := .venv-test
BENCH := .venv-bench
WHEEL := .venv-wheel
RAY := .venv-ray
LOWEST := .venv-lowest
BIN := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
# Many tests wait for a server more than for a core.
WORKERS := 6
PYTEST_ARGS :=
# These don't differ from one Python to another, or are about the checkout.
CLIENT_ONLY := $(addprefix --ignore=tests/,protocol typegen emulator benchmarks documents durability real structure testbed workers)
BUSY := 0
STALLED = $(TEST)/$(BIN)/python -m pytest -q -n $(WORKERS) -p tests.testbed.stall --timeout 300 --stall-busy $(BUSY) \
	$(if $(SEED),--stall-seed $(SEED))
# It would look for a newer release of itself at PyPI.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help demo test compiled test-on test-client test-lowest test-ray stall stall-short wheel lint format bench bench-quick soak prove prove-ray test-real clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(DEMO)/.made ## watch the main job happen on a local fal: four pictures in demo-output/
	$(DEMO)/$(BIN)/python -m fal_async demo

test: $(TEST)/.made ## prove it: lint, types and the whole suite
	$(MAKE) --no-print-directory -j 2 lint compiled
	$(TEST)/$(BIN)/python -m pytest -q -n $(WORKERS) $(PYTEST_ARGS)

# In a new checkout, pytest compiles every test, and Hypothesis reads every module: here once, and not in each worker.
compiled: $(TEST)/.made ## write what the workers of the suite share: compiled tests, constants of the modules
	$(TEST)/$(BIN)/python -m pytest -q -k test_any_model_output_becomes_strict_json

test-on: $(TEST)/.made ## the suite alone, on another Python: PYTHON=python3.13 TEST=.venv-test-3.13
	$(TEST)/$(BIN)/python -m pytest -q -n $(WORKERS) $(PYTEST_ARGS)

test-client: $(TEST)/.made ## the client's tests alone, where another Python or system may differ: PYTHON and TEST as above
	$(TEST)/$(BIN)/python -m pytest -q -n $(WORKERS) $(CLIENT_ONLY) $(PYTEST_ARGS)

# The tests lie beside the environment, without the package of the checkout.
test-lowest: wheel ## the same from the wheel, on the lowest versions that pyproject.toml declares
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(TEST)/$(BIN)/python -m tests.testbed.lowest > $(LOWEST)/lowest.txt
	$(LOWEST)/$(BIN)/python -m pip install --quiet --disable-pip-version-check --group test \
		-c $(LOWEST)/lowest.txt "$$(echo dist/*.whl)[all]"
	cp -r tests README.md pyproject.toml $(LOWEST)
	cd $(LOWEST) && $(BIN)/python -m pytest -q -n $(WORKERS) $(CLIENT_ONLY) --ignore=tests/test_citations.py $(PYTEST_ARGS)

# Each program of these tests starts Ray, which takes several seconds: two at a time are enough.
test-ray: $(RAY)/.made ## the tests that need Ray: FalMapper, its chapter, actors that are killed
	$(RAY)/$(BIN)/python -m pytest -q -n 2 tests/integrations/ray tests/documents/test_ray_chapter.py \
		tests/durability/on_ray $(PYTEST_ARGS)

stall: $(TEST)/.made ## the suite with event loops and threads that are late: again with SEED=N, on busy cores with BUSY=2
	$(STALLED) $(PYTEST_ARGS)

stall-short: $(TEST)/.made ## the same of the tests that wait most: a part of CI
	$(STALLED) tests/queue tests/realtime tests/transport tests/guarantees tests/test_streaming.py $(PYTEST_ARGS)

wheel: $(TEST)/.made ## build dist/, install the wheel by itself, run the README's first program from it (TAG=v1.2.3: is it that version?)
	rm -rf dist
	$(TEST)/$(BIN)/python -m build --outdir dist
	$(PYTHON) -m venv --clear $(WHEEL)
	$(WHEEL)/$(BIN)/python -m pip install --quiet --disable-pip-version-check dist/*.whl
	$(TEST)/$(BIN)/python -m tests.testbed.built_wheel dist $(WHEEL)/$(BIN)/python $(TAG)

lint: $(TEST)/.made ## ruff, mypy, and pyright on the types of the public names
	$(TEST)/$(BIN)/ruff check .
	$(TEST)/$(BIN)/ruff format --check .
	$(TEST)/$(BIN)/mypy
	$(TEST)/$(BIN)/pyright --pythonpath $(TEST)/$(BIN)/python tests/structure/test_typing.py
	$(TEST)/$(BIN)/python -m tests.structure.type_completeness

format: $(TEST)/.made ## let ruff fix and format
	$(TEST)/$(BIN)/ruff check --fix .
	$(TEST)/$(BIN)/ruff format .

bench: $(BENCH)/.made ## all measurements: most of an hour
	$(BENCH)/$(BIN)/python -m benchmarks

bench-quick: $(BENCH)/.made ## the same in two minutes, less exact
	$(BENCH)/$(BIN)/python -m benchmarks --quick

soak: $(TEST)/.made ## 9,000 calls while everything goes wrong now and then
	$(TEST)/$(BIN)/python -W error -m tests.guarantees.soak

prove: $(TEST)/.made ## 20,000 items of a batch, killed ten times while everything goes wrong, under each of three seeds; then four processes on PostgreSQL, and webhooks of eight workers
	$(TEST)/$(BIN)/python -W error -m tests.durability.prove
	$(TEST)/$(BIN)/python -W error -m tests.durability.prove --workers 4 --items 5000 --kills 2
	$(TEST)/$(BIN)/python -W error -m tests.workers.prove --kills 3

prove-ray: $(RAY)/.made ## 5,000 rows of a Ray dataset with faults, on two actors, one of which is killed three times
	$(RAY)/$(BIN)/python -m tests.durability.prove --ray --items 5000 --kills 3 --seeds 1

# Programs of others against the emulator, our client against a real fal.App: needs npm, and builds environments of its
# own (1.9 GB, several minutes), which FAL_ASYNC_REAL_CACHE=folder keeps for the next run.
test-real: $(TEST)/.made ## clients and servers that we did not write; needs npm
	FAL_ASYNC_REAL=1 $(TEST)/$(BIN)/python -m pytest -q tests/real

clean: ## remove environments, caches and builds
	rm -rf $(DEMO) $(BENCH) $(WHEEL) $(LOWEST) $(RAY) .venv-test* demo-output build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(DEMO)/.made: pyproject.toml
	$(PYTHON) -m venv --clear $(DEMO)
	$(DEMO)/$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(TEST)/.made: pyproject.toml
	$(PYTHON) -m venv --clear $(TEST)
	$(TEST)/$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(TEST)/$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev -e '.[all]'
	touch $@

$(RAY)/.made: pyproject.toml
	$(PYTHON) -m venv --clear $(RAY)
	$(RAY)/$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(RAY)/$(BIN)/python -m pip install --quiet --disable-pip-version-check --group ray -e '.[ray]'
	touch $@

# An environment of its own: what else is installed would make the rivals' imports dearer than they are.
$(BENCH)/.made: pyproject.toml
	$(PYTHON) -m venv --clear $(BENCH)
	$(BENCH)/$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(BENCH)/$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench -e .
	touch $@
